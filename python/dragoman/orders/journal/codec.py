"""The model's values as plain JSON and back, exactly.

A value becomes an object of the fields that differ from their defaults: decimals as text, enums by their value, tuples
as lists, values within it likewise. The broker's raw words (`raw`) are left out. What a class says about its fields is
worked out once; a field that says `Any` carries the type of what it holds where JSON would lose it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from math import isfinite
from operator import attrgetter
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import orjson

from dragoman._core import PlainWriter, PlainWriters

T = TypeVar("T")

_Convert = Callable[[Any], Any]
_LEFT_OUT: Final = frozenset(("raw",))
_MARK: Final = "$"
_WIDEST: Final = 1 << 63
_member: Final = attrgetter("_value_")
_WRITTEN: Final[dict[_Convert | None, int]] = {None: 0, str: 1, _member: 2}
"""How the core writes what these converters make plain; see `PlainWriter`."""
_AS_IT_IS: Final = (str, int, bool, float, type(None))


class _Plan(typing.NamedTuple):
    """How values of one class are taken apart and made."""

    read: Callable[[Any], tuple[Any, ...]]
    parts: tuple[tuple[str, Any, _Convert | None], ...]
    made: dict[str, _Convert | None]
    writer: PlainWriter


def to_plain(value: Any) -> dict[str, Any]:
    """Return a value of the model as what JSON knows.

    Raises
    ------
    TypeError
        It is no dataclass, or `extras` hold something that has no plain form.
    """
    plan = _plan(type(value))
    found: dict[str, Any] = {}
    for (name, default, convert), held in zip(plan.parts, plan.read(value), strict=True):
        if held is default or held == default:
            continue
        found[name] = held if convert is None or held is None else convert(held)
    return found


def from_plain(kind: type[T], data: Mapping[str, Any]) -> T:
    """Return the value of class `kind` that `to_plain` made `data` of.

    Fields that this version does not know are passed over: a later one may have written them.

    Raises
    ------
    TypeError, ValueError, ArithmeticError
        `data` is not of that class.
    """
    made = _plan(kind).made
    values = {}
    for name, held in data.items():
        if name in made:
            convert = made[name]
            values[name] = held if convert is None or held is None else convert(held)
    return kind(**values)


_plans: dict[type[Any], _Plan] = {}


def _plan(kind: type[Any]) -> _Plan:
    plan = _plans.get(kind)
    if plan is None:
        plan = _plans[kind] = _planned(kind)
    return plan


plain_json: Final = PlainWriters(lambda kind: _plan(kind).writer).write
"""Return what `to_plain` does as JSON, written by the core, since orders wait for it; see `PlainWriters.write`."""


def _planned(kind: type[Any]) -> _Plan:
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is no value of the model: expected a dataclass")
    hints = typing.get_type_hints(kind)
    parts, made, written = [], {}, []
    for field in fields(kind):
        if field.name in _LEFT_OUT or not field.init:
            continue
        take, make = _converters(hints[field.name])
        # No value equals a new object, so a field without a default is always written.
        default = field.default_factory() if field.default_factory is not MISSING else field.default
        parts.append((field.name, object() if default is MISSING else default, take))
        written.append((field.name, default is not MISSING, default, _WRITTEN.get(take, 3), take))
        made[field.name] = make
    names = [name for name, _, _ in parts]
    read = attrgetter(*names) if len(names) > 1 else lambda value: tuple(getattr(value, name) for name in names)
    return _Plan(read, tuple(parts), made, PlainWriter(kind, tuple(written), orjson.dumps))


def _converters(hint: Any) -> tuple[_Convert | None, _Convert | None]:
    """Return what makes a field plain, and what makes it of plain; None where JSON has it as it is."""
    origin, inner = get_origin(hint), get_args(hint)
    if origin in (typing.Union, types.UnionType):
        rest = [one for one in inner if one is not type(None)]
        return _converters(rest[0]) if len(rest) == 1 else (_carry, _uncarry)
    if origin is Literal or hint in (str, int, bool):
        return None, None
    if hint is Decimal:
        return str, Decimal
    if origin is tuple and len(inner) == 2 and inner[1] is Ellipsis:
        take, make = _converters(inner[0])
        return (list if take is None else _each(list, take)), (tuple if make is None else _each(tuple, make))
    if isinstance(hint, type):
        if issubclass(hint, Enum):
            return _member, hint
        if is_dataclass(hint):
            return to_plain, lambda data: from_plain(hint, data)
    return _carry, _uncarry


def _each(collect: Callable[[Any], Any], convert: _Convert) -> _Convert:
    return lambda values: collect(map(convert, values))


def _carry(value: Any) -> Any:
    """Return anything as JSON, with its type where JSON would lose it."""
    if isinstance(value, Enum):
        value = value.value
    kind = type(value)
    if kind in _AS_IT_IS:
        if kind is int and not -_WIDEST <= value < _WIDEST:
            return {_MARK: "int", "is": str(value)}
        if kind is float and not isfinite(value):
            return {_MARK: "float", "is": repr(value)}
        return value
    if kind is Decimal:
        return {_MARK: "decimal", "is": str(value)}
    if isinstance(value, Mapping):
        if all(isinstance(key, str) for key in value) and _MARK not in value:
            return {key: _carry(one) for key, one in value.items()}
        return {_MARK: "map", "is": [[_carry(key), _carry(one)] for key, one in value.items()]}
    if kind is list:
        return [_carry(one) for one in value]
    if kind is tuple:
        return {_MARK: "tuple", "is": [_carry(one) for one in value]}
    raise TypeError(f"a {kind.__name__} has no plain form: expected text, numbers, lists, tuples and mappings")


_CARRIED: Final[dict[str, _Convert]] = {
    "int": int,
    "float": float,
    "decimal": Decimal,
    "map": lambda pairs: {_uncarry(key): _uncarry(one) for key, one in pairs},
    "tuple": lambda values: tuple(map(_uncarry, values)),
}


def _uncarry(value: Any) -> Any:
    if isinstance(value, dict):
        if _MARK in value:
            return _CARRIED[value[_MARK]](value["is"])
        return {key: _uncarry(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_uncarry(one) for one in value]
    return value
