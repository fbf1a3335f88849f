"""What users write, read exactly: numbers, choices and the further fields of an order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cache, lru_cache
from typing import Any, TypeAlias, TypeVar, cast

from dragoman._core import copied
from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Instrument, OrderChange, OrderRequest, OrderType, Product, Side, TimeInForce, Variety

Number: TypeAlias = Decimal | int | str | float
E = TypeVar("E", bound=StrEnum)

_EMPTY = OrderRequest(instrument_id="", side=Side.BUY, quantity=Decimal(0))
_OURS = frozenset(("instrument_id", "side", "quantity", "account_id", "wire_id"))
_FURTHER = frozenset(item.name for item in fields(OrderRequest)) - _OURS
_CHOICES: Mapping[str, type[StrEnum]] = {
    "order_type": OrderType,
    "time_in_force": TimeInForce,
    "product": Product,
    "variety": Variety,
}
_EXACT = (str, int, Decimal)  # read by Decimal alone; not their subclasses
_NUMBERS = frozenset(
    "price trigger_price market_protection display_quantity notional trailing_offset leverage quantity".split()
)


def exact(name: str, value: Number) -> Decimal:
    """Return a number exactly; a float counts as the shortest decimal that prints it.

    Raises
    ------
    UsageError
        It is none, or not finite.
    """
    kind = type(value)
    try:
        if kind in _EXACT:
            number = Decimal(value)
        else:
            # float() first: subclasses (NumPy's) print themselves with their name.
            number = Decimal(repr(float(value)) if isinstance(value, float) else str(value).strip())
    except InvalidOperation:
        raise UsageError(f"{name} {value!r} is not a number") from None
    if kind is bool or not number.is_finite():
        raise UsageError(f"{name} {value!r} is not a number")
    return number


@cache
def _members(kind: type[StrEnum]) -> dict[str, StrEnum]:
    """Return the members by their names: as they are, and in lower case."""
    lower = {member.value.casefold(): member for member in reversed(kind)}
    return lower | {member.value: member for member in kind}


def choice(kind: type[E], name: str, value: object) -> E:
    """Return the member of an enum that `value` names, in either case.

    Raises
    ------
    UsageError
        Naming what there is.
    """
    if type(value) is kind:
        return value
    members = _members(kind)
    member = members.get(value) if type(value) is str else None
    if member is None:
        member = members.get(str(value).casefold())
    if member is not None:
        return cast(E, member)
    offered = ", ".join(item.value for item in kind if item.value != "UNKNOWN")
    raise UsageError(f"{name} {value!r} is unknown", remedy=f"use one of {offered}")


def order_request(
    instrument: Instrument,
    side: Side | str,
    quantity: Number | None,
    lots: int | None,
    terms: Mapping[str, Any],
) -> OrderRequest:
    """Make a request of what a user wrote.

    Raises
    ------
    UsageError
    """
    by_money = terms.get("notional") is not None
    if (quantity is not None) + (lots is not None) + by_money != 1:
        raise UsageError("give quantity, lots or notional, one of them")
    read = _read("an order", terms, _FURTHER)
    if "extras" not in read:
        read["extras"] = {}  # its own, not the prototype's
    read["instrument_id"] = instrument.instrument_id
    read["side"] = choice(Side, "side", side)
    read["quantity"] = Decimal(0) if by_money else _units(instrument, quantity, lots)
    return copied(_EMPTY, **read)


def plain_request(
    instrument: Instrument,
    side: Side | str,
    quantity: Number | None,
    order_type: OrderType | str,
    price: Number | None,
    time_in_force: TimeInForce | str | None,
    product: Product | str | None,
    variety: Variety | str,
    more: Mapping[str, Any],
) -> OrderRequest | None:
    """Return what `order_request` does, for an order that says nothing but this; None where that has to look closer.

    Orders in a row differ in quantity and price: what the words mean is looked up once for each set of them.
    """
    if quantity is None or more:
        return None
    try:
        meant = _meant(side, order_type, time_in_force, product, variety)
        units = Decimal(quantity) if type(quantity) in _EXACT else exact("quantity", quantity)
        if price is None or type(price) not in _EXACT:
            at = None if price is None else exact("price", price)
        elif not (at := Decimal(price)).is_finite():
            return None
    except (UsageError, InvalidOperation, TypeError):
        return None
    if not units.is_finite():
        return None
    return copied(meant, instrument_id=instrument.instrument_id, quantity=units, price=at, extras={})


@lru_cache(maxsize=4096)
def _meant(
    side: Side | str,
    order_type: OrderType | str,
    time_in_force: TimeInForce | str | None,
    product: Product | str | None,
    variety: Variety | str,
) -> OrderRequest:
    words = {"order_type": order_type, "time_in_force": time_in_force, "product": product, "variety": variety}
    return replace(_EMPTY, side=choice(Side, "side", side), **_read("an order", words, _FURTHER))


def order_change(instrument: Instrument | None, lots: int | None, terms: Mapping[str, Any]) -> OrderChange:
    """Make a change of what a user wrote; None leaves a field as it is. Raises UsageError."""
    read = _read("a change", terms, frozenset(item.name for item in fields(OrderChange)))
    if lots is not None:
        if "quantity" in read:
            raise UsageError("give quantity or lots, not both")
        if instrument is None:
            raise UsageError("lots of an instrument that is not in the master", kind=ErrorKind.INSTRUMENT_NOT_FOUND)
        read["quantity"] = _units(instrument, None, lots)
    return OrderChange(**read)


def _units(instrument: Instrument, quantity: Number | None, lots: int | None) -> Decimal:
    if quantity is not None:
        return exact("quantity", quantity)
    number = exact("lots", lots or 0)
    if number != number.to_integral_value() or number <= 0:
        raise UsageError(f"lots {lots!r} is not a whole number above 0", kind=ErrorKind.INVALID_QUANTITY)
    return instrument.lot_size * number


def _read(what: str, terms: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    if not terms.keys() <= known:
        raise UsageError(f"{what} takes no {', '.join(sorted(terms.keys() - known))}")
    read: dict[str, Any] = {}
    for name, value in terms.items():
        if value is None:
            continue
        kind = _CHOICES.get(name)
        if kind is not None:
            read[name] = value if type(value) is kind else choice(kind, name, value)
        elif name in _NUMBERS:
            read[name] = exact(name, value)
        else:
            read[name] = value
    return read
