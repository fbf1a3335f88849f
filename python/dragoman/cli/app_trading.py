"""The commands that trade."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dragoman.cli.completion import instrument_ids
from dragoman.cli.options import ProductWord, Yes, account_command

if TYPE_CHECKING:
    from dragoman.cli.account import Account

TRADING = "Trading"
OrderId = Annotated[str, typer.Argument(help="The broker's order id, or ours.")]
GttId = Annotated[str, typer.Argument(help="Id of the trigger, see `dragoman gtt list`.")]
Side = Annotated[str, typer.Argument(help="BUY or SELL.")]
Instrument = Annotated[str, typer.Argument(help="Canonical id such as NSE:INFY.", autocompletion=instrument_ids)]
Price = Annotated[str | None, typer.Option("--price", help="Limit price.")]
Trigger = Annotated[str | None, typer.Option("--trigger", help="Trigger price of a stop.")]
Stale = Annotated[bool, typer.Option("--allow-stale", help="Go ahead although order updates cannot be followed.")]
Triggers = Annotated[list[str] | None, typer.Option("--trigger", help="Trigger price; twice for two legs.")]
Prices = Annotated[list[str] | None, typer.Option("--price", help="Limit price of the leg's order; once for each.")]
LastPrice = Annotated[str | None, typer.Option(help="The market now; asked of the broker otherwise.")]


def add_to(app: typer.Typer) -> None:
    """Add the commands to an application."""

    @account_command(app, panel=TRADING)
    def place(
        at: Account,
        side: Side,
        quantity: Annotated[str, typer.Argument(help="Units, not lots; with --lots the number of lots.")],
        instrument: Instrument,
        order_type: Annotated[
            str | None,
            typer.Option("--type", help="MARKET, LIMIT, STOP_LIMIT, STOP_MARKET; by default as the prices say."),
        ] = None,
        price: Price = None,
        trigger: Trigger = None,
        lots: Annotated[bool, typer.Option("--lots", help="The quantity counts lots.")] = False,
        product: ProductWord = None,
        validity: Annotated[
            str | None, typer.Option(help="DAY, IOC, GTC, ...; DAY unless said, GTC where the venue has no days.")
        ] = None,
        variety: Annotated[str, typer.Option(help="REGULAR, AMO, ICEBERG, COVER, AUCTION.")] = "REGULAR",
        protection: Annotated[
            str | None, typer.Option(help="Percent a market order may move; the broker's automatic one otherwise.")
        ] = None,
        display: Annotated[str | None, typer.Option(help="Units shown to the market.")] = None,
        algo_id: Annotated[str | None, typer.Option(help="Registered id of the algo this order belongs to.")] = None,
        tag: Annotated[str | None, typer.Option(help="A word of yours, kept with the order.")] = None,
        wait: Annotated[
            float, typer.Option(min=0, max=86_400, help="Seconds to wait for the order to be finished.")
        ] = 0.0,
        allow_stale: Stale = False,
        yes: Yes = False,
    ) -> None:
        """Place an order: `place BUY 10 NSE:INFY --price 1500`. Tells confirmed, rejected, not sent or UNKNOWN."""
        from dragoman.cli import trading

        terms: dict[str, str | int | None] = {
            "order_type": order_type or trading.type_of(price, trigger),
            "price": price,
            "trigger_price": trigger,
            "product": product,
            "time_in_force": validity,
            "variety": variety,
            "market_protection": protection,
            "display_quantity": display,
            "algo_id": algo_id,
            "tag": tag,
        }
        if lots:
            terms["lots"] = trading.whole("lots", quantity)
        trading.place(
            at, side, None if lots else quantity, instrument, terms, yes=yes, wait=wait, allow_stale=allow_stale
        )

    @account_command(app, panel=TRADING)
    def modify(
        at: Account,
        order: OrderId,
        quantity: Annotated[str | None, typer.Option(help="The new total, in units.")] = None,
        price: Price = None,
        trigger: Trigger = None,
        order_type: Annotated[str | None, typer.Option("--type", help="The new order type.")] = None,
        validity: Annotated[str | None, typer.Option(help="DAY, IOC, GTC, ...")] = None,
        display: Annotated[str | None, typer.Option(help="Units shown to the market.")] = None,
        allow_stale: Stale = False,
        yes: Yes = False,
    ) -> None:
        """Change a working order."""
        from dragoman.cli import trading

        changes = {
            "quantity": quantity,
            "price": price,
            "trigger_price": trigger,
            "order_type": order_type,
            "time_in_force": validity,
            "display_quantity": display,
        }
        trading.modify(at, order, changes, yes=yes, allow_stale=allow_stale)

    @account_command(app, panel=TRADING)
    def cancel(at: Account, order: OrderId, yes: Yes = False) -> None:
        """Cancel a working order."""
        from dragoman.cli import trading

        trading.cancel(at, order, yes=yes)

    @account_command(app, panel=TRADING)
    def kill(
        at: Account,
        name: Annotated[str | None, typer.Argument(metavar="[BROKER]", help="As --broker.")] = None,
        reason: Annotated[str, typer.Option("--reason", help="Shown wherever an order is refused.")] = "",
        flatten: Annotated[bool, typer.Option("--flatten", help="Close all positions as well.")] = False,
        release: Annotated[bool, typer.Option("--release", help="Let orders leave again.")] = False,
        account: Annotated[
            str | None, typer.Option("--account", help="With --release: the account, instead of typing it.")
        ] = None,
        yes: Annotated[
            bool, typer.Option("--yes", "-y", help="Taken as elsewhere; only --release asks, and for more than a yes.")
        ] = False,
    ) -> None:
        """Stop all new orders of an account and cancel what works; it stays so until --release. Asks nothing."""
        from dragoman.cli import kill as switch

        if release:
            switch.release(at, name, account, yes=yes)
        else:
            switch.kill(at, name, reason, flatten=flatten)

    @account_command(app, panel=TRADING)
    def watch(
        at: Account,
        names: Annotated[
            list[str] | None,
            typer.Argument(
                metavar="[BROKER] [INSTRUMENT]...",
                help="The broker, as --broker, and instruments to follow besides those that are traded.",
                autocompletion=instrument_ids,
            ),
        ] = None,
        trade: Annotated[bool, typer.Option("--trade", help="Let keys cancel, flatten and kill.")] = False,
    ) -> None:
        """Show a live screen: depth, prices, orders, positions, margins, rules, limits, streams, alerts."""
        from dragoman.cli.watch import watch as show

        show(at, names or (), trade=trade)

    triggers = typer.Typer(help="Triggers that rest at the broker and place orders.", no_args_is_help=True)
    _add_triggers(triggers)
    app.add_typer(triggers, name="gtt", rich_help_panel=TRADING)


def _add_triggers(app: typer.Typer) -> None:
    @account_command(app, "list")
    def listed(
        at: Account, everything: Annotated[bool, typer.Option("--all", help="Also those that are finished.")] = False
    ) -> None:
        """Print triggers."""
        from dragoman.cli import gtt

        gtt.listed(at, everything=everything)

    @account_command(app)
    def place(
        at: Account,
        side: Side,
        quantity: Annotated[str, typer.Argument(help="Units.")],
        instrument: Instrument,
        trigger: Triggers = None,
        price: Prices = None,
        product: Annotated[str, typer.Option(help="DELIVERY, INTRADAY, CARRY, MTF.")] = "DELIVERY",
        last_price: LastPrice = None,
        yes: Yes = False,
    ) -> None:
        """Place a trigger: one --trigger with its --price, or two of each: the first to fire ends the other."""
        from dragoman.cli import gtt

        gtt.place(
            at, instrument, side, quantity, trigger or (), price or (), product=product, last_price=last_price, yes=yes
        )

    @account_command(app)
    def modify(
        at: Account,
        gtt_id: GttId,
        quantity: Annotated[str | None, typer.Option(help="Units, of every leg.")] = None,
        trigger: Triggers = None,
        price: Prices = None,
        last_price: LastPrice = None,
        yes: Yes = False,
    ) -> None:
        """Change a trigger; what is not named stays as it is."""
        from dragoman.cli import gtt

        gtt.modify(
            at, gtt_id, quantity=quantity, triggers=trigger or (), prices=price or (), last_price=last_price, yes=yes
        )

    @account_command(app)
    def delete(at: Account, gtt_id: GttId, yes: Yes = False) -> None:
        """Delete a trigger."""
        from dragoman.cli import gtt

        gtt.delete(at, gtt_id, yes=yes)
