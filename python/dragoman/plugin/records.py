"""One broker's records and requests, and errors in its name: what most adapters do alike around them.

Whatever is wrong with a record becomes one `DecodeError` that names the place; whatever a broker does not take, one
`UsageError` with zero bytes sent. What stands in a record is read by `dragoman.plugin.values`.

Example
-------
>>> from dragoman.plugin.values import nonzero
>>> records = Records("examplebroker")
>>> with records.reading("order"):
...     price = nonzero(records.loads('{"price": 101.05}'), "price")
>>> price
Decimal('101.05')
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from decimal import Decimal
from functools import lru_cache, partial
from types import TracebackType
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from dragoman.errors import AuthRequired, DecodeError, DragomanError, ErrorKind, Rejected, UsageError
from dragoman.model import Instrument, Order, OrderChange, OrderRequest, Position, Product
from dragoman.model.order import is_order_id
from dragoman.plugin.context import Context
from dragoman.plugin.effects import Flow, Redirect, Request

MISREAD: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)


class Records:
    """Errors in the name of one broker, around reading its records."""

    def __init__(self, broker: str) -> None:
        self.broker = broker
        self.reading: Callable[[str], AbstractContextManager[None]] = lru_cache(64)(partial(_Reading, broker))
        """Turn whatever goes wrong inside a record of the wrong shape into one DecodeError that names the place."""

    def misread(self, what: str, error: BaseException) -> DecodeError:
        """Return the error of a record of the wrong shape, where `MISREAD` was caught by hand."""
        return _misread(self.broker, what, error)

    def loads(self, text: str | bytes) -> Any:
        """Parse JSON with its decimals kept exactly.

        Raises
        ------
        DecodeError
            For bytes that are not JSON, or nested beyond reason.
        """
        try:
            whole = text if isinstance(text, str) else _decoded(text)
            try:
                found, end = _begun(whole)
            except ValueError:
                return _loads(text)  # blanks before it, or nothing that can be read
            return found if end == len(whole) or not whole[end:].strip(_BLANKS) else _loads(text)
        except (ValueError, RecursionError) as error:
            raise DecodeError(
                f"{self.broker}: not JSON: {len(text)} characters or bytes, {type(error).__name__} {error}",
                broker=self.broker,
            ) from error

    def message(self, frame: str | bytes, *kinds: str) -> Mapping[str, Any]:
        """Parse a frame that is a JSON object, decimals kept exactly, with text under each key of `kinds`.

        Raises
        ------
        DecodeError
            For any other frame.
        """
        found = self.loads(frame)
        if not isinstance(found, Mapping) or not all(isinstance(found.get(key), str) for key in kinds):
            what = f"an object with {' and '.join(kinds)}" if kinds else "an object"
            raise DecodeError(
                f"{self.broker}: frame of {len(frame)} characters is no message, expected {what}",
                broker=self.broker,
                text=str(frame[:200]),
            )
        return found

    def as_rows(self, what: str, found: Any, key: str | None = None) -> list[Any]:
        """Return a list as it is, or the one under `key` of an object.

        A reply without its list is not an empty one: absence would be taken for proof that there is nothing.

        Raises
        ------
        DecodeError
            For anything else, what is absent and null included.
        """
        rows = found if key is None else found.get(key) if isinstance(found, Mapping) else None
        if not isinstance(rows, list):
            place, seen = what if key is None else f"{what}: {key}", type(rows).__name__
            raise DecodeError(
                f"{self.broker}: {place}: found {seen if rows is not None else 'nothing'}, expected a list",
                broker=self.broker,
                remedy="read again; a reply without its list says nothing of what there is",
            )
        return rows

    def confirmed(self, what: str, found: Any, order_id: str) -> str:
        """Return the id that a reply to a change or cancel tells, which must be the one that was asked about.

        Raises
        ------
        DecodeError
            It tells none, or another: the outcome is open.
        """
        told = str(found) if is_order_id(found) or type(found) is int else ""
        if told != order_id:
            raise DecodeError(
                f"{self.broker}: {what}: found the order id {found!r}, expected {order_id!r}",
                broker=self.broker,
                remedy="look for the order at the broker: the reply does not say that it was this one",
            )
        return told

    def refused(self, what: str, remedy: str, *, kind: ErrorKind = ErrorKind.BAD_REQUEST) -> UsageError:
        """Return the error of what this broker does not take; zero bytes were sent."""
        return UsageError(f"{self.broker}: {what}", kind=kind, broker=self.broker, remedy=remedy)

    def check(self, *rules: tuple[object, str, str], kind: ErrorKind = ErrorKind.BAD_REQUEST) -> None:
        """Refuse what the first rule that holds says: whether something is wrong, what, and the remedy.

        Raises UsageError.
        """
        for wrong, what, remedy in rules:
            if wrong:
                raise self.refused(what, remedy, kind=kind)

    def check_offered(self, place: str, what: str, value: str, offered: Collection[str]) -> None:
        """Refuse a value of an order's field `what` that orders of `place` do not have. Raises UsageError."""
        if value not in offered:
            raise self.refused(
                f"{place} orders take no {what} {value}",
                f"use one of {', '.join(sorted(offered))}",
                kind=ErrorKind.NOT_SUPPORTED,
            )

    def check_fixed(self, order: Order, change: OrderChange, *names: str) -> None:
        """Refuse a change of a field that no change of this broker's orders can touch. Raises UsageError."""
        for name in names:
            wanted = getattr(change, name)
            if wanted is not None and wanted != getattr(order, name, None):
                raise self.refused(f"{name} of an order cannot be changed", "cancel it and place another")

    def denied(self, what: str, remedy: str, **more: Any) -> AuthRequired:
        """Return the error of keys or tokens that the broker does not take; `more` as of a DragomanError."""
        return AuthRequired(
            f"{self.broker}: {what}", kind=ErrorKind.AUTH_INVALID, broker=self.broker, remedy=remedy, **more
        )

    def credentials(self, ctx: Context, *names: str, remedy: str) -> tuple[str, ...]:
        """Return what the profile holds under `names`. Raises AuthRequired where it lacks one."""
        for name in names:
            if name not in ctx.credentials:
                raise self.denied(f"the profile names no {name}", remedy)
        return tuple(ctx.credentials[name].reveal() for name in names)

    def instrument(self, name: str, ctx: Context) -> Instrument:
        """Return an instrument of the master. Raises UsageError where it has none of this name."""
        found = ctx.instruments.get(name)
        if found is None:
            raise self.refused(
                f"{name} is not in the instrument master", "load today's", kind=ErrorKind.INSTRUMENT_NOT_FOUND
            )
        return found

    def unlisted(self, instrument: Instrument) -> Rejected:
        """Return the error of a quote or book that the broker left out of its reply."""
        return Rejected(
            f"{self.broker}: no quote for {instrument.instrument_id}: the broker leaves out what it does not list",
            kind=ErrorKind.INSTRUMENT_NOT_FOUND,
            broker=self.broker,
            remedy="load today's instrument master: the contract expired or was renamed",
        )

    def check_product(self, order: OrderRequest, offered: Collection[Product], exchange: str) -> None:
        """Refuse a product that this exchange's orders do not have. Raises UsageError."""
        if order.product not in offered:
            raise self.refused(
                f"{exchange} takes no {order.product} orders", f"use one of {', '.join(sorted(offered))}"
            )

    def extras(self, order: OrderRequest, known: Collection[str]) -> Mapping[str, Any]:
        """Return the order's extras for this broker. Raises UsageError for what is none, or not `known`."""
        if order.extras == {}:
            return order.extras
        extras = order.extras.get(self.broker, {})
        if not isinstance(extras, Mapping):
            raise self.refused(
                f"extras[{self.broker!r}] is a {type(extras).__name__}, expected a mapping", "give a dict"
            )
        unknown = set(extras) - set(known)
        if unknown:
            raise self.refused(f"unknown extras {sorted(unknown)}", f"known: {', '.join(sorted(known))}")
        return extras

    def check_conversion(self, position: Position, quantity: Decimal) -> None:
        """Refuse to convert nothing, or more than there is. Raises UsageError."""
        size = abs(position.quantity)
        if not 0 < quantity <= size:
            raise self.refused(
                f"{quantity} of {position.instrument_id} cannot be converted: the position is {position.quantity}",
                f"convert at most {size}",
                kind=ErrorKind.INVALID_QUANTITY,
            )

    def token(self, request: Request, ctx: Context) -> str:
        """Return the access token of the session. Raises AuthRequired where there is none."""
        found = ctx.login.get("access_token")
        if found is None:
            raise AuthRequired(
                f"{self.broker}: {request.method} {request.path} needs a session",
                broker=self.broker,
                remedy="log in or import an access token",
            )
        return str(found.reveal())

    def login_code(self, page: str, asked: Mapping[str, str], name: str) -> Flow[str]:
        """Send the human to the login page and return the code under `name` that it sends back.

        `asked` goes into the page's query, beside what the address has already. Raises AuthRequired without a code.
        """
        parts = urlsplit(page)
        query = urlencode(dict(parse_qsl(parts.query)) | dict(asked))
        answer = yield Redirect(parts._replace(query=query).geturl(), state_param="state")
        code = str(answer.get(name, ""))
        if not code:
            raise AuthRequired(
                f"{self.broker}: the login page sent back {', '.join(sorted(answer)) or 'nothing'}, expected {name}",
                kind=ErrorKind.AUTH_INVALID,
                broker=self.broker,
                remedy="log in again",
            )
        return code

    def whole(self, value: Decimal) -> int:
        """Return a quantity as an integer. Raises UsageError for a fraction."""
        if value != value.to_integral_value():
            raise self.refused(
                f"quantity {value} is not a whole number", "give whole units", kind=ErrorKind.INVALID_QUANTITY
            )
        return int(value)


class _Reading:
    """`Records.reading`; a class, as each record of each message enters one. It holds nothing of what it reads."""

    __slots__ = ("_broker", "_what")

    def __init__(self, broker: str, what: str) -> None:
        self._broker = broker
        self._what = what

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, MISREAD) and not isinstance(error, DragomanError):
            raise _misread(self._broker, self._what, error) from error


def _misread(broker: str, what: str, error: BaseException) -> DecodeError:
    return DecodeError(
        f"{broker}: {what} is not as documented: {type(error).__name__} {error}",
        broker=broker,
        remedy="look at the raw record; if the broker changed its format, the adapter must follow",
    )


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


_loads: Final = partial(json.loads, parse_float=Decimal, parse_constant=_no_constant)
_begun: Final = json.JSONDecoder(parse_float=Decimal, parse_constant=_no_constant).raw_decode
"""Reads as `_loads` does what text begins with, without a decoder of its own for each."""
_BLANKS: Final = " \t\n\r"


def _decoded(data: bytes) -> str:
    """Return JSON's text. Every encoding but UTF-8 has a mark in front, or a zero in the first two bytes."""
    plain = data[:1] in (b"{", b"[") and data[1:2] != b"\0"
    return data.decode("utf-8" if plain else json.detect_encoding(data), "surrogatepass")
