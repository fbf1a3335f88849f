"""Reading a broker's JSON records into the model, and writing what its requests need: what most adapters do alike.

Numbers on the order path stay the decimals that stand on the wire. Whatever is wrong with a record becomes one
`DecodeError` that names the place; whatever a broker does not take, one `UsageError` with zero bytes sent.

Example
-------
>>> records = Records("examplebroker")
>>> with records.reading("order"):
...     price = nonzero(records.loads('{"price": 101.05}'), "price")
>>> price
Decimal('101.05')
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from decimal import Decimal
from types import TracebackType
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl, urlencode, urlsplit

from dragoman.errors import AuthRequired, DecodeError, DragomanError, ErrorKind, Rejected, UsageError
from dragoman.model import Instrument, Order, OrderChange, OrderRequest, Position, Product, Side
from dragoman.model.order import is_order_id
from dragoman.plugin.codes import EnumMap
from dragoman.plugin.context import Context
from dragoman.plugin.effects import Flow, Redirect, Request

Row: TypeAlias = Mapping[str, Any]
Pairs: TypeAlias = tuple[tuple[str, str], ...]

IST: Final = timezone(timedelta(hours=5, minutes=30), "IST")
"""Indian time: it never had another offset since electronic trading began, so no time zone data is needed."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
MISREAD: Final = (LookupError, TypeError, ValueError, AttributeError, ArithmeticError)
_MICROSECOND: Final = timedelta(microseconds=1)
_EPOCH_UNITS: Final = ((10**11, 10**9), (10**14, 10**6), (10**17, 10**3))
_FRACTION: Final = re.compile(r"\.(\d{1,9})")


class Records:
    """Errors in the name of one broker, around reading its records."""

    def __init__(self, broker: str) -> None:
        self.broker = broker

    def reading(self, what: str) -> AbstractContextManager[None]:
        """Turn whatever goes wrong inside a record of the wrong shape into one DecodeError that names the place."""
        return _Reading(self.broker, what)

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
            return json.loads(text, parse_float=Decimal, parse_constant=_no_constant)
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
        self.check(
            (
                value not in offered,
                f"{place} orders take no {what} {value}",
                f"use one of {', '.join(sorted(offered))}",
            ),
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
    """`Records.reading`; a class, as each record of each message enters one."""

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


# -- reading -----------------------------------------------------------------------------------------------------------


def number(value: Any) -> Decimal:
    """Return a number exactly: a JSON number, or text of one; absent and empty read as 0, see `needed`.

    Raises
    ------
    TypeError, ValueError, ArithmeticError
        For what is none, or not finite.
    """
    if value is None or value == "":
        return Decimal(0)
    if isinstance(value, bool) or not isinstance(value, Decimal | int | str | float):
        raise TypeError(f"{value!r} is not a number")
    result = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
    if not result.is_finite():
        raise ValueError(f"{value!r} is not a finite number")
    return result


def needed(row: Row, key: str) -> Decimal:
    """Return the number at `key`, which has to be there: a price or quantity nobody told is not 0.

    Raises
    ------
    LookupError, TypeError, ValueError, ArithmeticError
        It is absent, null, empty, or no number.
    """
    value = row[key]
    if value is None or value == "":
        raise ValueError(f"{key} is {value!r}, expected a number")
    return number(value)


def side_of(words: EnumMap[Side | None], word: Any) -> Side:
    """Return the side a word names: of an order or a fill it has to be known.

    Raises
    ------
    ValueError
        It is another word.
    """
    side = words.read(str(word))
    if side is None:
        raise ValueError(f"side {word!r} is none of {', '.join(words.inward)}")
    return side


def given(row: Row, key: str) -> Decimal | None:
    """Return the number at `key`, None where the broker sent none."""
    return None if row.get(key) in (None, "") else number(row[key])


def nonzero(row: Row, key: str) -> Decimal | None:
    """Return the number at `key`, None where it is 0: the way of many brokers to say there is no such price."""
    return number(row.get(key)) or None


def float_at(row: Row, key: str) -> float | None:
    """Return the float64 nearest to the number at `key`, None where the broker sent none."""
    value = given(row, key)
    return None if value is None else float(value)


def text_or_none(value: Any) -> str | None:
    """Return text, None for an absent or empty one."""
    return None if value is None or value == "" else str(value)


def moment_ns(moment: datetime) -> int:
    """Return ns UTC of a moment with a time zone, exact to the microsecond."""
    return (moment - _EPOCH) // _MICROSECOND * 1000


def local_ns(text: Any, zone: tzinfo) -> int | None:
    """Return ns UTC of ISO 8601 text, in `zone` where it names none; None where it is empty.

    Raises
    ------
    ValueError, TypeError
        For other text.
    """
    if text is None or text == "":
        return None
    moment = datetime.fromisoformat(text)
    return moment_ns(moment.replace(tzinfo=zone) if moment.tzinfo is None else moment)


def rfc3339_ns(text: Any) -> int | None:
    """Return ns UTC of RFC 3339 text with its offset, all of up to nine digits kept; None where it is empty.

    Raises
    ------
    ValueError, TypeError
        For other text, and for a time without an offset.
    """
    if text is None or text == "":
        return None
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} names no offset from UTC")
    fraction = _FRACTION.search(text)
    below = int(fraction[1].ljust(9, "0")) if fraction else 0
    return moment_ns(moment.replace(microsecond=0)) + below


def day_start(now_ns: int, zone: tzinfo) -> datetime:
    """Return when the day of a moment (ns UTC) began in `zone`."""
    now = datetime.fromtimestamp(now_ns // 1_000_000_000, zone)
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def epoch_ns(value: int) -> int:
    """Return ns UTC of an epoch time in whatever unit, told by its size: seconds, ms, us or ns; good from 1973 on."""
    return next((value * unit for limit, unit in _EPOCH_UNITS if value < limit), value)


def next_time_ns(now_ns: int, at: time, zone: tzinfo) -> int:
    """Return ns UTC of the next time of day `at` in `zone` after `now_ns`: when tokens die, mostly."""
    now = datetime.fromtimestamp(now_ns // 1_000_000_000, zone)
    then = now.replace(hour=at.hour, minute=at.minute, second=at.second, microsecond=0)
    if then <= now:
        then += timedelta(days=1)
    return moment_ns(then)


# -- writing -----------------------------------------------------------------------------------------------------------


def plain(value: Decimal | None) -> str | None:
    """Write a decimal without an exponent."""
    return None if value is None else digits(value)


def digits(value: Decimal) -> str:
    """Write a decimal that is there without an exponent."""
    text = str(value)
    return format(value, "f") if "E" in text else text


def rfc3339(ns: int) -> str:
    """Write ns UTC as RFC 3339 text of whole seconds."""
    return datetime.fromtimestamp(ns // 1_000_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pairs(**fields: str | None) -> Pairs:
    """Return the fields that are given, for a query or a form."""
    return tuple((name, value) for name, value in fields.items() if value is not None)


def wire_tag(wire_id: str, tag: str | None, room: int) -> str | None:
    """Return what goes into a broker's tag: our wire id, then the user's where all of it fits and is alphanumeric."""
    user = tag or ""
    fits = len(wire_id) + len(user) <= room and user.isascii() and user.isalnum()
    return (wire_id + user if fits else wire_id) or None


def json_number(value: Decimal | None) -> int | float:
    """Return a decimal as the JSON number requests carry, 0 for none: whole ones without a point.

    A price of up to 15 digits is written with exactly its digits.
    """
    if value is None:
        return 0
    whole = int(value)
    return whole if whole == value else float(value)
