"""Changes of orders: reduced or modified in place where the venue can, canceled and placed anew where it cannot."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from dragoman.plugin import Context, ErrorEffect, ErrorKind, Flow, model
from dragoman.plugin.parts import Row, pairs, plain, text_or_none

from .fields import TRAILING, check_terms, order_fields
from .orders import OrderFlows, named_in, tag_of
from .requests import REPLACING, act, ask, result
from .words import ALGO, RECORDS, SPOT, USDM, OrderKey

_T = model.OrderType
_CHANGED: Final = ("quantity", "price", "trigger_price", "order_type", "time_in_force")
_HALVES: Final = {"-2021": ("SUCCESS", "FAILURE"), "-2022": ("FAILURE", "NOT_ATTEMPTED")}
"""What a replacement that failed says of its cancel and of its new order: nothing else is proof of either."""
_NOT_REPEATED: Final = ("trailingDelta", "pegPriceType", "strategyId", "strategyType")
_ELSEWHERE: Final = "cancel it, place anew"
refused = RECORDS.refused


class ChangeFlows(OrderFlows):
    """How orders are changed."""

    def modify(
        self, order: model.Order, change: model.OrderChange, instrument: model.Instrument, ctx: Context
    ) -> Flow[model.Outcome]:
        key = OrderKey.parse(order.order_id)
        given = {name for name in _CHANGED if getattr(change, name)}
        if change.display_quantity is not None or change.market_protection is not None:
            raise refused("display_quantity and market_protection of an order cannot be changed", _ELSEWHERE)
        if key.letter == USDM.letter:
            return (yield from self._modify_future(order, change, key, given, ctx))
        if key.letter == ALGO:
            raise refused("conditional orders cannot be changed", "cancel it and place another")
        if given == {"quantity"} and change.quantity is not None and change.quantity < order.quantity:
            fields = pairs(
                symbol=key.symbol, orderId=key.number, newQty=plain(change.quantity), newClientOrderId=tag_of(order)
            )
            request = act(SPOT, "PUT", "/order/amend/keepPriority", fields, ctx, call="order.amend.keepPriority")
            row = yield from ask(request, "amend reply")
            with RECORDS.reading("amend reply"):
                return model.Outcome.accepted(named_in(row["amendedOrder"], "orderId", key, order), raw=row)
        return (yield from self._replace(order, change, key, instrument, ctx))

    def _modify_future(
        self, order: model.Order, change: model.OrderChange, key: OrderKey, given: set[str], ctx: Context
    ) -> Flow[model.Outcome]:
        if order.order_type is not _T.LIMIT or given - {"quantity", "price"}:
            raise refused("of a futures order quantity and price can be changed, if it is LIMIT", _ELSEWHERE)
        fields = pairs(
            symbol=key.symbol,
            orderId=key.number,
            side=order.side.value,
            quantity=plain(change.quantity or order.quantity),
            price=plain(change.price or order.price),
        )
        row = yield from ask(act(USDM, "PUT", "/order", fields, ctx, limit_key=order.order_id), "modify reply")
        with RECORDS.reading("modify reply"):
            return model.Outcome.accepted(named_in(row, "orderId", key, order), raw=row)

    def _replace(
        self,
        order: model.Order,
        change: model.OrderChange,
        key: OrderKey,
        instrument: model.Instrument,
        ctx: Context,
    ) -> Flow[model.Outcome]:
        """Cancel and place in one request: the new order has a new number, and goes to the end of the queue.

        The new order repeats the terms of the old one. Where no report of it has come they are asked for: a reply to
        placing does not hold them.
        """
        terms = _terms(order.raw, key)
        if terms is None:
            order = (yield from self.order(order.order_id, ctx))[-1]
            terms = _terms(order.raw, key)
        wanted = _replacement(order, change, terms)
        check_terms(wanted, instrument)
        fields = (
            *order_fields(wanted, SPOT, key.symbol),
            ("cancelReplaceMode", "STOP_ON_FAILURE"),
            ("cancelOrderId", key.number),
            ("cancelNewClientOrderId", REPLACING + ctx.random_bytes(8).hex()),
            # A fill on the way would make the new order too large: then the venue refuses, and nothing changes.
            ("cancelRestrictions", "ONLY_NEW"),
        )
        answers = frozenset(_HALVES)
        request = act(SPOT, "POST", "/order/cancelReplace", fields, ctx, call="order.cancelReplace", answers=answers)
        reply = yield request
        with RECORDS.reading("replace reply"):
            if reply.code is None:
                row = result(reply, request)["newOrderResponse"]
                new = str(OrderKey(SPOT.letter, key.symbol, str(int(row["orderId"]))))
                return model.Outcome.accepted(new, replaces=order.order_id, raw=row)
            found = RECORDS.loads(reply.body)
            error = found.get("error", found)
            return self._half(reply.code, error.get("data"))

    def _half(self, code: str, data: Any) -> model.Outcome:
        """Say what a replacement came to that did not succeed whole.

        Only where both halves say what the code says, and the one that failed says why, is it known what happened.
        """
        halves: Row = data if isinstance(data, Mapping) else {}
        known = (halves.get("cancelResult"), halves.get("newOrderResult")) == _HALVES[code]
        gone = code == "-2021"
        why = halves.get("newOrderResponse" if gone else "cancelResponse")
        why = why if isinstance(why, Mapping) else {}
        failure = self.codes.classify(
            code=str(why.get("code", "")), text=str(why.get("msg", "")), status=400, mutates=True
        )
        if not known or failure.kind is ErrorKind.UNMAPPED or failure.effect is not ErrorEffect.NONE:
            text = f"a part of the replacement is not known: {code}: {failure.text or 'the venue says no more'}"
            remedy = "read the orders; never place it again"
            return model.Outcome.unknown(
                model.Reject(ErrorKind.BAD_RESPONSE, text, code, ErrorEffect.UNKNOWN, remedy=remedy)
            )
        text = f"{'the order was canceled, and its replacement refused' if gone else 'nothing changed'}: {failure.text}"
        effect = ErrorEffect.APPLIED if gone else ErrorEffect.NONE
        remedy = "place it again if it is still wanted" if gone else "read the order: it may be filled"
        return model.Outcome.rejected(model.Reject(failure.kind, text, failure.code, effect, remedy=remedy), raw=data)


class _Terms(NamedTuple):
    """What an order was placed with and its view does not say."""

    post_only: bool
    self_trade_prevention: str | None
    triggered: bool
    stuck: str | None


def _terms(row: Any, key: OrderKey) -> _Terms | None:
    """Read them from the last report; None where there is none of this number."""
    if not isinstance(row, Mapping) or str(row.get("orderId")) != key.number or not row.keys() >= {"type", "isWorking"}:
        return None
    listed = text_or_none(row.get("orderListId")) not in (None, "-1")
    return _Terms(
        post_only=row["type"] == "LIMIT_MAKER",
        self_trade_prevention=text_or_none(row.get("selfTradePreventionMode")),
        triggered=row.get("isWorking") is True,
        stuck="orderListId" if listed else next((name for name in _NOT_REPEATED if row.get(name)), None),
    )


def _replacement(order: model.Order, change: model.OrderChange, terms: _Terms | None) -> model.OrderRequest:
    """Return the order that takes the place of another. Raises UsageError where it would lose one of its terms."""
    if terms is None:
        raise refused(f"the venue tells no terms of order {order.order_id} to repeat", _ELSEWHERE)
    RECORDS.check(
        (order.status.terminal, f"order {order.order_id} is {order.status}", "there is nothing to change any more"),
        kind=ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL,
    )
    kind = change.order_type or order.order_type
    validity = change.time_in_force or order.time_in_force
    RECORDS.check(
        (
            order.filled_quantity,
            f"order {order.order_id} is partly filled, and a replacement starts from nothing",
            "reduce its quantity, or cancel it and place the rest",
        ),
        (
            kind in TRAILING or order.order_type in TRAILING,
            "a trailing order cannot be changed",
            "cancel it and place another",
        ),
        (
            terms.stuck,
            f"order {order.order_id} has a {terms.stuck}, which a replacement cannot repeat",
            _ELSEWHERE,
        ),
        (
            validity is model.TimeInForce.UNKNOWN and kind.has_price,
            f"order {order.order_id} has a time in force that is not known here, and a replacement must repeat it",
            "give time_in_force, or cancel it and place anew",
        ),
    )
    trigger = change.trigger_price or order.trigger_price
    if order.order_type.has_trigger and terms.triggered:
        # What has triggered is an order of the book: its trigger lies behind the market, and would be refused.
        trigger = change.trigger_price
        kind = change.order_type or (_T.LIMIT if kind.has_price else _T.MARKET)
        if kind.has_trigger != (trigger is not None):
            raise refused(f"order {order.order_id} has triggered", "leave trigger_price out, or cancel it, place anew")
    quantity = change.quantity or order.quantity
    if order.display_quantity is not None and order.display_quantity > quantity:
        raise refused(f"order {order.order_id} shows {order.display_quantity}, more than {quantity}", _ELSEWHERE)
    return model.OrderRequest(
        instrument_id=order.instrument_id,
        side=order.side,
        quantity=quantity,
        order_type=kind,
        price=(change.price or order.price) if kind.has_price else None,
        trigger_price=trigger if kind.has_trigger else None,
        time_in_force=validity,
        product=SPOT.product,
        display_quantity=order.display_quantity,
        post_only=terms.post_only,
        self_trade_prevention=terms.self_trade_prevention,
        wire_id=tag_of(order) or "",
    )
