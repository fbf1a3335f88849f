"""The live screen: one `textual` application over one connected client, on the client's own loop."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar, Final
from zoneinfo import ZoneInfo

from textual import events
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Static

from dragoman.cli.output import clock
from dragoman.cli.watch import acts, cells, drawn
from dragoman.cli.watch.arrange import MOST, Arranged, order_ways, position_ways, price_ways
from dragoman.cli.watch.cells import exact_price, units
from dragoman.cli.watch.keys import KEYS, help_text
from dragoman.cli.watch.model import WatchModel
from dragoman.cli.watch.panes import Drawing, Listing
from dragoman.cli.watch.rows import OrderRow, PositionRow
from dragoman.cli.watch.style import CSS
from dragoman.errors import DragomanError

if TYPE_CHECKING:
    from dragoman.client import Client

REFRESH_S: Final = 0.25


class Question(ModalScreen[str]):
    """Asks before something is done; gives the key that answers, "" for no.

    Parameters
    ----------
    text : str
    answers : dict of str to str
        What each key means, besides no.
    """

    def __init__(self, text: str, answers: dict[str, str]) -> None:
        super().__init__()
        self._text, self._answers = text, answers

    def compose(self) -> ComposeResult:
        keys = "   ".join(f"[{key}] {word}" for key, word in (*self._answers.items(), ("n", "no")))
        yield Static(f"{self._text}\n\n{keys}", id="question", markup=False)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        if event.key in self._answers:
            self.dismiss(event.key)
        elif event.key in ("n", "escape", "q", "enter"):
            self.dismiss("")


class Help(ModalScreen[None]):
    """Lists the keys."""

    def __init__(self, trading: bool) -> None:
        super().__init__()
        self._trading = trading

    def compose(self) -> ComposeResult:
        yield Static(help_text(self._trading), id="help", markup=False)

    def on_key(self, event: events.Key) -> None:
        event.stop()
        self.dismiss()


class WatchApp(App[None]):
    """The live screen of one account.

    Parameters
    ----------
    model : WatchModel
        Opened; who made it closes it.
    zone : ZoneInfo
        In which times are shown.
    timeout_s : float
        For each request that a key causes.
    refresh_s : float
        Between two looks at what changed.
    """

    CSS = CSS
    ENABLE_COMMAND_PALETTE = False
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (100, "-wide")]
    BINDINGS: ClassVar[list[BindingType]] = [
        *(Binding(one.key, one.action, one.word, show=one.key != "tab", priority=one.key == "q") for one in KEYS),
        Binding("ctrl+c", "quit", show=False, priority=True),
    ]

    def __init__(
        self, model: WatchModel, *, zone: ZoneInfo, timeout_s: float = 10.0, refresh_s: float = REFRESH_S
    ) -> None:
        super().__init__()
        self.model = model
        self._zone, self._timeout_s, self._refresh_s = zone, timeout_s, refresh_s
        self._ways: dict[str, Arranged[Any]] = {
            "prices": price_ways(),
            "orders": order_ways(),
            "positions": position_ways(),
        }
        self.acts: set[asyncio.Task[None]] = set()
        """What keys have begun and has not ended."""
        self.listings: dict[str, Listing] = {}
        self.drawings: dict[str, Drawing] = {}
        """The panes, by name; of this screen, also while a question stands before it."""
        self._make_panes()

    @property
    def client(self) -> Client:
        return self.model.client

    def _make_panes(self) -> None:
        model, zone = self.model, self._zone
        for listing in (
            Listing("watch list", cells.price_columns(lambda: model.prices.name), id="prices", empty="empty"),
            Listing(
                "orders",
                cells.order_columns(zone, lambda: model.orders_stale),
                id="orders",
                empty="none",
                detail=cells.order_detail,
            ),
            Listing("positions", cells.position_columns(), id="positions", empty="none"),
            Listing("rules", cells.rule_columns(), id="rules", empty="none", detail=cells.rule_detail),
            Listing("streams", cells.stream_columns(), id="streams", empty="none"),
            Listing("alerts", cells.alert_columns(zone), id="alerts", empty="none", newest_first=True),
        ):
            self.listings[str(listing.id)] = listing
        for name, title in (("heading", ""), ("ladder",) * 2, ("margins",) * 2, ("lanes", "limits"), ("totals", "")):
            self.drawings[name] = Drawing(title, id=name)

    def compose(self) -> ComposeResult:
        listings, drawings = self.listings, self.drawings
        yield drawings["heading"]
        with Horizontal(id="body"):
            with Vertical(id="right"):
                yield listings["orders"]
                with Vertical(id="held") as held:
                    listings["positions"].titled = held
                    yield listings["positions"]
                    yield drawings["totals"]
                with Horizontal(id="machinery"):
                    yield listings["rules"]
                    yield listings["streams"]
                yield listings["alerts"]
            with Vertical(id="left"):
                yield drawings["ladder"]
                yield listings["prices"]
                yield drawings["margins"]
                yield drawings["lanes"]
        yield Footer()

    def on_mount(self) -> None:
        self.theme = "textual-dark"
        self.title = "dragoman watch"
        self.listings["orders"].focus()
        self.set_interval(self._refresh_s, self.look)
        self.call_after_refresh(self.look)

    def on_resize(self) -> None:
        self.call_after_refresh(self.look)

    # -- showing -----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Show what changed."""
        if not self.is_headless and not sys.stdin.isatty():
            self.exit()  # the terminal is gone, and nobody told: nothing may go on unseen
            return
        if not self.is_running:
            return
        model = self.model
        model.refresh()
        now = model.now
        self._draw("heading", lambda width: drawn.heading(model.heading(), clock(now, self._zone), width))
        self._look_at_prices(now)
        orders, stale = model.orders(), model.orders_stale
        shown = self._ways["orders"].rows(orders)
        words = self._ways["orders"].words(len(shown), len(orders)) if orders else ""
        words = f"STALE: updates may be missing · {words}" if stale else words
        self.listings["orders"].show(shown, [row.client_order_id for row in shown], words, stale)
        positions = model.positions()
        held = self._ways["positions"].rows(positions)
        words = self._ways["positions"].words(len(held), len(positions)) if positions else ""
        self.listings["positions"].show(held, [row.key for row in held], words)
        self._draw("totals", lambda width: drawn.totals(model.totals(), width))
        self._draw("margins", lambda width: drawn.margins(model.margins(), model.problem, width))
        self._draw("lanes", lambda width: drawn.lanes(model.lanes(), width))
        rules = model.rules()
        self.listings["rules"].show(rules, [row.rule_id for row in rules])
        streams = model.streams()
        self.listings["streams"].show(streams, [(row.name, row.shard) for row in streams])
        alerts = model.alerts()[:MOST]
        self.listings["alerts"].show(alerts, list(range(len(alerts), 0, -1)))

    def _look_at_prices(self, now: int) -> None:
        prices, pane = self.model.prices, self.drawings["ladder"]
        pane.entitle(f"ladder · {prices.name}" if prices.name else "ladder")
        room = max(1, pane.content_region.height - 2)
        self._draw("ladder", lambda width: drawn.ladder(prices.ladder(room, now), width))
        rows = self._ways["prices"].rows(prices.rows(now))
        words = str(len(rows)) if rows else ""
        self.listings["prices"].show(rows, [row.instrument_id for row in rows], words, prices.name)

    def _draw(self, name: str, make: Callable[[int], Any]) -> None:
        pane = self.drawings[name]
        width = pane.content_region.width
        if width > 0:
            pane.draw(make(width))

    # -- looking around ----------------------------------------------------------------------------------------------

    def action_choose(self, step: int) -> None:
        self._choose(self.model.prices.chosen + step)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        self.listings[str(event.data_table.id)].tell()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        row = self.listings["prices"].selected
        if event.data_table.id == "prices" and row is not None:
            self._choose(self.model.prices.names.index(row.instrument_id))

    def _choose(self, position: int) -> None:
        try:
            self.model.prices.choose(position)
        except DragomanError as error:
            self._say(str(error), failed=True)
        self.look()

    def action_filter(self) -> None:
        name = self._pane()
        if name:
            self._ways[name].next_filter()
            self.look()

    def action_sort(self) -> None:
        name = self._pane()
        if name:
            self._ways[name].next_sort()
            self.look()

    def _pane(self) -> str:
        """The pane in focus, where its rows can be arranged."""
        name = self.focused.id if self.focused is not None else None
        return name if name in self._ways else ""

    def action_help(self) -> None:
        self.push_screen(Help(self.model.trading))

    # -- acting ------------------------------------------------------------------------------------------------------

    def action_cancel(self) -> None:
        row: OrderRow | None = self.listings["orders"].selected
        if row is None or not self._may_trade():
            return
        price = f" {exact_price(row.price)}" if row.price is not None else ""
        name = row.order_id or row.client_order_id
        what = f"cancel {row.side} {units(row.quantity)} {row.instrument_id} {row.kind}{price} ({name})"
        self._ask(what, {"y": "cancel it"}, lambda key: acts.cancel(self.client, row, self._timeout_s))

    def action_flatten(self) -> None:
        row: PositionRow | None = self.listings["positions"].selected
        if row is None or not self._may_trade():
            return
        what = f"exit {units(row.quantity)} {row.instrument_id} {row.product}, all of it, at the market"
        self._ask(what, {"y": "exit it"}, lambda key: acts.flatten(self.client, row, self._timeout_s))

    def action_kill(self) -> None:
        if not self._may_trade():
            return
        what = "KILL: stop all new orders of this account, in every process, and cancel what works"
        answers = {"y": "kill", "f": "kill, and close all positions"}
        self._ask(what, answers, lambda key: acts.kill(self.client, flatten_too=key == "f", timeout_s=self._timeout_s))

    def _may_trade(self) -> bool:
        try:
            acts.check_trading(self.model.trading)
        except DragomanError as error:
            self._say(str(error), failed=True)
            return False
        return True

    def _ask(self, what: str, answers: dict[str, str], act: Callable[[str], Awaitable[str]]) -> None:
        """Ask, naming environment and account; then act in the background."""
        head = self.model.heading()
        who = f"{head.environment.upper()} {head.profile}@{head.broker} ({head.account})"

        def answered(key: str | None) -> None:
            if key:
                task = self.client.session.runtime.spawn(self._act(act(key)), name="watch: act")
                self.acts.add(task)
                task.add_done_callback(self.acts.discard)

        self.push_screen(Question(f"{who}\n{what}?", answers), answered)

    async def _act(self, work: Awaitable[str]) -> None:
        try:
            self._say(await work, failed=False)
        except DragomanError as error:
            self._say(str(error), failed=True)

    def _say(self, text: str, *, failed: bool) -> None:
        self.model.tell("error" if failed else "info", "you", text)
        if self.is_running:
            self.notify(self.model.alerts()[0].text, severity="error" if failed else "information", markup=False)

    # -- ending ------------------------------------------------------------------------------------------------------

    def _fatal_error(self) -> None:
        """End without the traceback `textual` prints: it shows the values of variables, also of those that hold keys.

        What was raised is raised again once the terminal is whole: see `failure`.
        """
        self._close_messages_no_wait()

    @property
    def failure(self) -> Exception | None:
        """What ended the screen, where it did not end by itself."""
        return self._exception
