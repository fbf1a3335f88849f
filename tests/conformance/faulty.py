"""Adapters with one planted bug each, of the sorts that adapters are found to have."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

from dragoman.adapters.zerodha.adapter import ZerodhaAdapter
from dragoman.adapters.zerodha.feed import STREAM, Ticker

from dragoman.errors import DragomanError, ErrorKind
from dragoman.model import Instrument, Notice, OrderStatus, Outcome, Product
from dragoman.plugin import Control, Download, Levels, OrderSeen, PackedLayout, Request, Scale

S = OrderStatus
_IST = 19_800_000_000_000


def reading(order: Callable[[Any], Any] | None = None, fill: Callable[[Any], Any] | None = None) -> Any:
    """Return an adapter that reads orders and fills wrongly, wherever they come from.

    A reader that returns None loses what it read.
    """
    read_order, read_fill = order or (lambda one: one), fill or (lambda one: one)

    class Misread(Ticker):
        def on_control(self, frame, ctx):
            found = super().on_control(frame, ctx)
            events = []
            for event in found.events:
                if isinstance(event, OrderSeen):
                    seen = read_order(event.order)
                    if seen is None:
                        continue
                    event = OrderSeen(seen, tuple(map(read_fill, event.fills)))
                events.append(event)
            return Control(found.send, tuple(events))

    class Adapter(ZerodhaAdapter):
        feeds = (Misread,)

        def orders(self, ctx):
            rows = yield from super().orders(ctx)
            return [one for one in map(read_order, rows) if one is not None]

        def order(self, order_id, ctx):
            rows = yield from super().order(order_id, ctx)
            return [one for one in map(read_order, rows) if one is not None]

        def trades(self, ctx, order_id=None):
            rows = yield from super().trades(ctx, order_id)
            return [read_fill(one) for one in rows]

    return Adapter()


def status(wrong: dict[S, S]) -> Any:
    return reading(lambda order: order.but(status=wrong.get(order.status, order.status)))


def layouts(change: Callable[[PackedLayout], PackedLayout]) -> Any:
    """Return an adapter whose packets are described wrongly."""

    class Misdescribed(Ticker):
        layouts = replace(STREAM, layouts=tuple(map(change, STREAM.layouts)))

    class Adapter(ZerodhaAdapter):
        feeds = (Misdescribed,)

    return Adapter()


def fields(change: Callable[[Any], Any]) -> Any:
    return layouts(lambda layout: replace(layout, fields=tuple(map(change, layout.fields))))


def sending(change: Callable[[Request], Request]) -> Any:
    """Return an adapter whose orders leave with something changed."""

    class Adapter(ZerodhaAdapter):
        def place(self, order, instrument, ctx):
            return (yield from changed(super().place(order, instrument, ctx), change))

    return Adapter()


def changed(flow: Any, change: Callable[[Any], Any]) -> Any:
    """Drive a flow whose requests are changed on their way."""
    answer: Any = None
    try:
        effect = next(flow)
        while True:
            answer = yield change(effect)
            effect = flow.send(answer)
    except StopIteration as end:
        return end.value


def with_form(**values: Callable[[str], str | None]) -> Callable[[Request], Request]:
    def change(request: Request) -> Request:
        form = [(name, values[name](value) if name in values else value) for name, value in request.form]
        return replace(request, form=tuple((name, value) for name, value in form if value is not None))

    return change


# -- statuses, sides, quantities ---------------------------------------------------------------------------------------


def wrong_status_map():
    return status({S.OPEN: S.ACCEPTED})


def cancel_reported_as_reject():
    return status({S.CANCELED: S.REJECTED})


def swapped_sides_read():
    return reading(lambda order: order.but(side=order.side.opposite))


def swapped_sides_sent():
    return sending(with_form(transaction_type=lambda side: "SELL" if side == "BUY" else "BUY"))


def lost_partial_fill():
    return reading(lambda order: None if 0 < order.filled_quantity < order.quantity else order)


def remaining_is_quantity():
    return reading(lambda order: order.but(remaining_quantity=order.quantity))


def price_and_trigger_swapped():
    return reading(lambda order: order.but(price=order.trigger_price, trigger_price=order.price))


def average_is_the_limit():
    return reading(lambda order: order.but(average_price=order.price) if order.filled_quantity else order)


def product_mixed_up():
    wrong = {Product.INTRADAY: Product.DELIVERY, Product.DELIVERY: Product.INTRADAY}
    return reading(lambda order: order.but(product=wrong.get(order.product, order.product)))


def order_times_in_local_time():
    def late(order):
        return order.but(ts_created=(order.ts_created or 0) + _IST, ts_event=(order.ts_event or 0) + _IST)

    return reading(late)


def trade_times_in_local_time():
    return reading(fill=lambda fill: replace(fill, ts_event=(fill.ts_event or 0) + _IST))


def trade_price_in_paise():
    return reading(fill=lambda fill: replace(fill, price=fill.price * 100))


def tag_lost():
    return reading(lambda order: order.but(tag=None, tags=(), wire_id=""))


# -- what is sent ------------------------------------------------------------------------------------------------------


def units_for_lots():
    class Adapter(ZerodhaAdapter):
        def place(self, order, instrument, ctx):
            lots = with_form(quantity=lambda text: str(int(Decimal(text) * instrument.lot_size)))
            return (yield from changed(super().place(order, instrument, ctx), lots))

    return Adapter()


def wire_id_left_out():
    return sending(with_form(tag=lambda _: None))


def validity_left_out():
    return sending(with_form(validity=lambda _: "DAY"))


def product_left_out():
    return sending(with_form(product=lambda _: "MIS"))


def retrying_post():
    class Adapter(ZerodhaAdapter):
        def place(self, order, instrument, ctx):
            try:
                return (yield from super().place(order, instrument, ctx))
            except DragomanError:
                return (yield from super().place(order, instrument, ctx))

    return Adapter()


def post_marked_as_a_read():
    return sending(lambda request: replace(request, mutates=False))


def modify_forgets_the_price():
    class Adapter(ZerodhaAdapter):
        def modify(self, order, change, instrument, ctx):
            flow = super().modify(order, change, instrument, ctx)
            return (yield from changed(flow, with_form(price=lambda _: None)))

    return Adapter()


# -- replies -----------------------------------------------------------------------------------------------------------


def unmapped_reject():
    class Adapter(ZerodhaAdapter):
        def classify(self, reply, request):
            found = super().classify(reply, request)
            return found and replace(found, kind=ErrorKind.UNMAPPED) if reply.status == 400 else found

    return Adapter()


def server_error_taken_for_a_reject():
    class Adapter(ZerodhaAdapter):
        def classify(self, reply, request):
            found = super().classify(reply, request)
            return found and replace(found, kind=ErrorKind.BAD_REQUEST) if reply.status >= 500 else found

    return Adapter()


def anything_is_a_success():
    class Adapter(ZerodhaAdapter):
        def classify(self, reply, request):
            return None if request.method == "DELETE" else super().classify(reply, request)

        def cancel(self, order, ctx):
            yield Request(method="DELETE", path=f"/orders/regular/{order.order_id}", mutates=True, meter="orders")
            return Outcome.accepted(order.order_id)

    return Adapter()


# -- market data -------------------------------------------------------------------------------------------------------


def wrong_scale():
    return layouts(lambda layout: replace(layout, scale=Scale.fixed(1000)))


def swapped_levels():
    def swap(table: Levels) -> Levels:
        return replace(table, side="ask" if table.side == "bid" else "bid")

    return layouts(lambda layout: replace(layout, levels=tuple(map(swap, layout.levels))))


def high_and_low_swapped():
    wrong = {"high": "low", "low": "high"}
    return fields(lambda field: replace(field, to=wrong.get(field.to, field.to)))


def tick_times_in_local_time():
    return fields(lambda field: replace(field, shift_s=19_800) if field.unit else field)


def tick_times_in_milliseconds():
    return fields(lambda field: replace(field, unit="ms") if field.unit else field)


def missing_unsubscribe():
    class Deaf(Ticker):
        def want(self, add, drop, ctx):
            return super().want(add, (), ctx)

    class Adapter(ZerodhaAdapter):
        feeds = (Deaf,)

    return Adapter()


def mode_left_out():
    class Modeless(Ticker):
        def want(self, add, drop, ctx):
            return [send for send in super().want(add, drop, ctx) if '"mode"' not in send.data]

    class Adapter(ZerodhaAdapter):
        feeds = (Modeless,)

    return Adapter()


def quotes_one_row_off():
    class Adapter(ZerodhaAdapter):
        def quotes(self, instruments, mode, ctx):
            rows = yield from super().quotes(instruments, mode, ctx)
            names = [row.instrument_id for row in rows]
            return [replace(row, instrument_id=name) for row, name in zip(rows, names[1:] + names[:1], strict=True)]

    return Adapter()


def candle_times_in_local_time():
    class Adapter(ZerodhaAdapter):
        def candles(self, *args, **more):
            rows = yield from super().candles(*args, **more)
            return [replace(row, ts_open=row.ts_open + _IST) for row in rows]

    return Adapter()


# -- account -----------------------------------------------------------------------------------------------------------


def positions(change: Callable[[Any], Any]) -> Any:
    class Adapter(ZerodhaAdapter):
        def positions(self, ctx):
            return [change(one) for one in (yield from super().positions(ctx))]

    return Adapter()


def position_sign():
    return positions(lambda one: replace(one, quantity=abs(one.quantity)))


def position_average_of_buys():
    return positions(lambda one: replace(one, average_price=one.buy_price * 2))


def margin_counts_used_money():
    class Adapter(ZerodhaAdapter):
        def margins(self, ctx):
            rows = yield from super().margins(ctx)
            return [replace(one, net=one.available.opening_balance) for one in rows]

    return Adapter()


def holding_without_its_parts():
    class Adapter(ZerodhaAdapter):
        def holdings(self, ctx):
            rows = yield from super().holdings(ctx)
            return [replace(one, t1_quantity=Decimal(0), pledged_quantity=Decimal(0)) for one in rows]

    return Adapter()


def fee_ignored():
    class Adapter(ZerodhaAdapter):
        def charges(self, fills, ctx):
            rows = yield from super().charges(fills, ctx)
            return [replace(one, total=Decimal(0)) for one in rows]

    return Adapter()


# -- instruments, secrets -------------------------------------------------------------------------------------------


class _Rows:
    """A parser whose instruments are changed."""

    def __init__(self, parser: Any, change: Callable[[Instrument], Instrument]) -> None:
        self._parser, self._change = parser, change

    def feed(self, data):
        return [self._change(row) if isinstance(row, Instrument) else row for row in self._parser.feed(data)]

    def close(self):
        return [self._change(row) if isinstance(row, Instrument) else row for row in self._parser.close()]


def instruments(change: Callable[[Instrument], Instrument]) -> Any:
    class Adapter(ZerodhaAdapter):
        def instruments(self, ctx):
            def swap(effect):
                return Download(effect.request, _Rows(effect.parser, change))

            return (yield from changed(super().instruments(ctx), swap))

    return Adapter()


def wrong_expiry_day():
    return instruments(lambda one: replace(one, expiry=one.expiry + timedelta(days=1)) if one.expiry else one)


def lot_size_of_one():
    return instruments(lambda one: replace(one, lot_size=Decimal(1)))


def token_in_a_log():
    class Chatty(Ticker):
        def connect(self, ctx):
            found = yield from super().connect(ctx)
            logging.getLogger("examplebroker").info("connecting to %s", found.url)
            return found

    class Adapter(ZerodhaAdapter):
        feeds = (Chatty,)

    return Adapter()


def token_in_an_event():
    class Chatty(Ticker):
        def on_control(self, frame, ctx):
            text = f"heard {len(frame)} characters for {ctx.login['access_token'].reveal()}"
            found = super().on_control(frame, ctx)
            return Control(found.send, (*found.events, Notice("info", text)))

    class Adapter(ZerodhaAdapter):
        feeds = (Chatty,)

    return Adapter()


def token_in_an_error():
    class Adapter(ZerodhaAdapter):
        def place(self, order, instrument, ctx):
            try:
                return (yield from super().place(order, instrument, ctx))
            except DragomanError as error:
                token = ctx.login["access_token"].reveal()
                raise type(error)(f"{error}; sent with {token}", kind=error.kind) from error

    return Adapter()
