"""What users write, read exactly: numbers, choices and the further fields of an order."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from functools import cache, lru_cache, partial
from types import UnionType
from typing import Any, Final, Literal, TypeAlias, TypeVar, Union, cast, get_args, get_origin, get_type_hints

from dragoman._core import RequestReader, copied
from dragoman.checks.nearest import nearest
from dragoman.errors import ErrorKind, UsageError
from dragoman.model import Instrument, OrderChange, OrderRequest, OrderType, Product, Side, TimeInForce, Variety

Number: TypeAlias = Decimal | int | str | float
E = TypeVar("E", bound=StrEnum)
T = TypeVar("T")

LONGEST_S = 604_800.0
"""A week: nothing waits longer, because nothing may wait for ever."""

_DIGITS = 40
"""Before or after the point: beyond them no market counts, and arithmetic would fill the memory."""
_SHOWN = 60
"""Characters of a wrong value that an error shows."""
_A_NUMBER = "give a finite number: an int, a Decimal, or text such as '1500.05'"
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
_TEXTS = frozenset(("client_order_id", "tag"))


def exact(name: str, value: Number) -> Decimal:
    """Return a number exactly; a float counts as the shortest decimal that prints it.

    Raises
    ------
    UsageError
        It is none, not finite, or of a size that no market knows.
    """
    kind = type(value)
    try:
        if kind in _EXACT:
            number = Decimal(value)
        else:
            # float() first: subclasses (NumPy's) print themselves with their name.
            number = Decimal(repr(float(value)) if isinstance(value, float) else str(value).strip())
    except InvalidOperation:
        raise UsageError(f"{name} {value!r} is not a number", remedy=_A_NUMBER) from None
    if kind is bool or not (number.is_finite() and -_DIGITS <= number.adjusted() <= _DIGITS):
        raise UsageError(f"{name} {value!r} is not a number", remedy=_A_NUMBER)
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
    offered = [item.value for item in kind if item.value != "UNKNOWN"]
    raise UsageError(f"{name} {value!r} is unknown", remedy=f"{nearest(value, offered)}use one of {', '.join(offered)}")


# -- single values ---------------------------------------------------------------------------------------------------


def seconds(name: str, value: float) -> float:
    """Return a timeout in seconds: the one door of them all.

    Raises
    ------
    UsageError
        It is no number within 0 and `LONGEST_S`; None and infinity are none, because nothing waits for ever.
    """
    if type(value) is float and 0.0 <= value <= LONGEST_S:
        return value
    remedy = f"give seconds, such as 10.0, and {LONGEST_S:g} at most"
    try:
        number = exact(name, value)
    except UsageError:
        raise UsageError(f"{name} {value!r} is no number of seconds", remedy=remedy) from None
    if not 0 <= number <= Decimal(LONGEST_S):
        raise UsageError(f"{name} {value!r} is not within 0 and {LONGEST_S:g} seconds", remedy=remedy)
    return float(number)


def text(name: str, value: object) -> str:
    """Return text as it is; UsageError for anything else, and for halves of characters, which no wire carries."""
    if isinstance(value, str):
        if value.isascii() or not any("\ud800" <= one <= "\udfff" for one in value):
            return value
        raise UsageError(f"{name} {value!r} holds half a character", remedy="decode it as what it was written in")
    raise UsageError(f"{name} {_short(value)} is {_a(value)}, expected text", remedy=_as_text(name, value))


def _short(value: object) -> str:
    """Return what a value looks like, of a long one its beginning."""
    shown = repr(value)
    return shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}..."


def _as_text(name: str, value: object) -> str:
    plain = value is None or isinstance(value, (int, float, Decimal))
    return f"write it in quotes: {name}='...'" if plain else "give text: its name or its id"


def identifier(name: str, value: str | int) -> str:
    """Return the text of a broker's id, which may be written as the number that it looks like.

    Raises
    ------
    UsageError
        It is neither, or names nothing.
    """
    if type(value) is int and value >= 0:
        return str(value)
    if isinstance(value, str):
        if value.strip():
            return text(name, value)
        raise UsageError(
            f"{name} {value!r} names nothing", remedy="give the id as the broker, or this library, wrote it"
        )
    raise UsageError(f"{name} {_short(value)} is {_a(value)}, expected an id", remedy=_as_text(name, value))


def flag(name: str, value: bool) -> bool:
    """Return True or False; UsageError for anything else, because the text 'false' would count as true."""
    if value is True or value is False:
        return value
    raise UsageError(f"{name} {value!r} is {_a(value)}, expected True or False", remedy="give True or False")


def _whole(name: str, value: object) -> int:
    if not isinstance(value, int) or type(value) is bool:
        raise UsageError(f"{name} {value!r} is {_a(value)}, expected a whole number", remedy="give an int")
    if not -(2**63) <= value < 2**63:
        raise UsageError(f"{name} {value!r} is out of range", remedy="give a number of at most 64 bits")
    return value


def _table(name: str, value: object) -> Mapping[str, Any]:
    tables = [value, *value.values()] if isinstance(value, Mapping) else []
    if tables and all(isinstance(one, Mapping) and all(isinstance(key, str) for key in one) for one in tables):
        return cast(Mapping[str, Any], value)
    raise UsageError(
        f"{name} {value!r} is {_a(value)}, expected a mapping by broker, of a mapping each",
        remedy=f"write {name}={{'examplebroker': {{...}}}}",
    )


def _word(offered: tuple[str, ...], name: str, value: object) -> str:
    found = value.casefold() if isinstance(value, str) else None
    for one in offered:
        if one.casefold() == found:
            return one
    raise UsageError(f"{name} {value!r} is unknown", remedy=f"{nearest(value, offered)}use one of {', '.join(offered)}")


def _a(value: object) -> str:
    return _article(type(value).__name__)


# -- values of the model ---------------------------------------------------------------------------------------------

Reader: TypeAlias = Callable[[str, Any], Any]


def record(name: str, value: T, kind: type[T]) -> T:
    """Return a value of the model with every field read: numbers exactly, choices in either case.

    Parameters
    ----------
    name : str
        Of the argument, for messages; fields are named after it.
    value : object
    kind : type
        A dataclass of `dragoman.model`.

    Raises
    ------
    UsageError
        It is none of `kind`, or one of its fields cannot be read.
    """
    if not isinstance(value, kind):
        raise UsageError(
            f"{name} {value!r} is {_a(value)}, expected {_article(kind.__name__)}",
            remedy=f"make a {_package(kind)}.{kind.__name__}, or pass on one that a method here returned",
        )
    changed = {}
    for field, read in readers(cast(Any, kind)).items():
        had = getattr(value, field)
        found = read(f"{name}.{field}", had)
        if found is not had:
            changed[field] = found
    return cast(T, replace(cast(Any, value), **changed)) if changed else value


def _package(kind: type) -> str:
    return kind.__module__.rpartition(".")[0]


def several(name: str, values: Iterable[T], kind: type[T]) -> list[T]:
    """Return values of the model as a list, each read as `record` does; a single one is a list of one."""
    if isinstance(values, kind):
        return [record(name, values, kind)]
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable):
        raise UsageError(
            f"{name} {values!r} is {_a(values)}, expected a list of {kind.__name__}",
            remedy=f"give [{kind.__name__}(...), ...]",
        )
    return [record(f"{name}[{at}]", value, kind) for at, value in enumerate(values)]


@cache
def readers(kind: type) -> Mapping[str, Reader]:
    """Return what reads each field of a dataclass of the model, made from its type; other fields are left alone."""
    found = {field: _reader(hint) for field, hint in get_type_hints(kind).items() if not field.startswith("_")}
    named = {field.name for field in fields(kind)}
    return {field: read for field, read in found.items() if read is not None and field in named}


def _reader(hint: Any) -> Reader | None:
    origin, within = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType) and type(None) in within:
        rest = [one for one in within if one is not type(None)]
        read = _reader(rest[0]) if len(rest) == 1 else None
        return None if read is None else partial(_unless_none, read)
    if origin is Literal:
        return partial(_word, tuple(str(one) for one in within))
    if origin is tuple and len(within) == 2 and within[1] is Ellipsis:
        each = _reader(within[0])
        return None if each is None else partial(_each, each)
    if origin is Mapping or hint is Mapping or getattr(origin, "__name__", "") == "Mapping":
        return _table
    if not isinstance(hint, type):
        return None
    if issubclass(hint, StrEnum):
        return partial(_chosen, hint)
    if is_dataclass(hint):
        return lambda name, value: record(name, value, hint)
    return {Decimal: exact, str: text, bool: flag, int: _whole}.get(hint)


def _unless_none(read: Reader, name: str, value: Any) -> Any:
    return None if value is None else read(name, value)


def _chosen(kind: type[StrEnum], name: str, value: Any) -> StrEnum:
    return choice(kind, name, value)


def _each(read: Reader, name: str, values: Any) -> tuple[Any, ...]:
    if isinstance(values, (str, bytes)) or not isinstance(values, Iterable):
        raise UsageError(f"{name} {values!r} is {_a(values)}, expected a tuple", remedy="write (one, ...)")
    found = tuple(read(f"{name}[{at}]", value) for at, value in enumerate(values))
    same = isinstance(values, tuple) and all(a is b for a, b in zip(found, values, strict=True))
    return cast(tuple[Any, ...], values) if same else found


def _article(word: str) -> str:
    return f"{'an' if word[0].upper() in 'AEIOU' else 'a'} {word}"


# -- orders ----------------------------------------------------------------------------------------------------------


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


_NOT_PLAIN = (UsageError, InvalidOperation, TypeError)
plain_request: Callable[
    [
        Instrument,
        Side | str,
        Number | None,
        OrderType | str,
        Number | None,
        TimeInForce | str | None,
        Product | str | None,
        Variety | str,
        Mapping[str, Any],
    ],
    OrderRequest | None,
] = RequestReader(OrderRequest, Instrument, _meant, exact, _NOT_PLAIN).read
"""Return what `order_request` does, for an order that says nothing but instrument, side, quantity, order type, price,
time in force, product and variety, and no more terms; None where `order_request` has to look closer.

Orders in a row differ in quantity and price: what the words mean is looked up once for each set of them.
"""


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


_OTHER_WORDS: Final = {"stop_price": "trigger_price", "limit_price": "price", "qty": "quantity", "tif": "time_in_force"}


def _alike(word: str, known: frozenset[str]) -> str:
    other = _OTHER_WORDS.get(word)
    return f"did you mean {other}? " if other in known else nearest(word, known)


def _read(what: str, terms: Mapping[str, Any], known: frozenset[str]) -> dict[str, Any]:
    if not terms.keys() <= known:
        unknown = sorted(terms.keys() - known)
        offered = ", ".join(sorted(known))
        raise UsageError(
            f"{what} takes no {', '.join(unknown)}", remedy=f"{_alike(unknown[0], known)}it takes {offered}"
        )
    read: dict[str, Any] = {}
    for name, value in terms.items():
        if value is None:
            continue
        kind = _CHOICES.get(name)
        if kind is not None:
            read[name] = value if type(value) is kind else choice(kind, name, value)
        elif name in _NUMBERS:
            read[name] = exact(name, value)
        elif name in _TEXTS and type(value) is str:
            read[name] = value
        else:
            read[name] = readers(OrderRequest)[name](name, value)
    return read
