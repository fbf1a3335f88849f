"""JSON and MessagePack messages: every path in one, with what is written there, and what the layouts make of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from dragoman._core import Decoder
from dragoman.emulator.bodies import rfc3339
from dragoman.errors import DecodeError
from dragoman.plugin import JsonLayout, JsonLevels, JsonStream
from dragoman.plugin.layout_json import JsonWhen, Path, _path
from dragoman.plugin.messagepack import Moment, unpack_messagepack
from dragoman.testing.explain.notes import NOT_COVERED, Note

Steps = tuple[str | int, ...]
_MISSING: Final = object()


class _Literal(str):
    """A number as written, or what else only MessagePack has: a time, bytes, an extension."""

    __slots__ = ()


def explain_json(stream: JsonStream, data: bytes) -> list[Note]:
    """Explain one frame, in the stream's encoding.

    Raises
    ------
    DecodeError
        It is not JSON, or not MessagePack.
    """
    whole = _plain(unpack_messagepack(data)) if stream.encoding == "msgpack" else _read(data)
    names: dict[Steps, list[tuple[str, str]]] = {}
    batch = Decoder(stream.compile()).decode(data)
    ticks = iter(list(batch))
    several = isinstance(whole, list) and not stream.positional
    for at, message in enumerate(whole) if several else [(None, whole)]:
        root: Steps = () if at is None else (at,)
        for layout, scopes in _records(stream, message, root):
            tick = next(ticks, None) if not layout.control else None
            for steps, name, value in _named(layout, scopes, tick.as_dict() if tick is not None else {}):
                names.setdefault(steps, []).append((layout.name, name if value is None else f"{name}\0{value!r}"))
    return [_note(steps, value, names.get(steps, [])) for steps, value in _leaves(whole, ())]


def _read(data: bytes) -> Any:
    try:
        return json.loads(data, parse_int=_Literal, parse_float=_Literal)
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"the frame is not JSON: {error}") from None


def _plain(value: Any) -> Any:
    """Return an unpacked value as JSON would have been read: its numbers, and what JSON has not, as literals."""
    match value:
        case Mapping():
            return {str(key): _plain(one) for key, one in value.items()}
        case list():
            return [_plain(one) for one in value]
        case Moment(ns):
            return _Literal(rfc3339(ns))
        case bytes():
            return _Literal(f"bytes {value.hex()}")
        case (int(kind), bytes(body)):
            return _Literal(f"extension {kind}: {body.hex()}")
        case int() | float() if not isinstance(value, bool):
            return _Literal(repr(value))
    return value


def _note(steps: Steps, value: Any, found: list[tuple[str, str]]) -> Note:
    shown = str(value) if isinstance(value, _Literal) else json.dumps(value, ensure_ascii=False)
    path = ".".join(map(str, steps)) or "(the message)"
    if not found:
        return Note(-1, -1, NOT_COVERED, shown, path=path)
    parts = [name.partition("\0") for _, name in found]
    values = [value for _, mark, value in parts if mark]
    name = " and ".join(dict.fromkeys(name for name, _, _ in parts))
    return Note(-1, -1, name, shown, values[0] if values else None, found[0][0], path)


def _leaves(value: Any, steps: Steps) -> Iterator[tuple[Steps, Any]]:
    inner: Any = ()
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    if not inner or not value:
        yield steps, value
        return
    for key, one in inner:
        yield from _leaves(one, (*steps, key))


# -- which layout ----------------------------------------------------------------------------------------------------

Scope = tuple[Any, Steps]


def _records(stream: JsonStream, message: Any, root: Steps) -> Iterator[tuple[JsonLayout, list[Scope]]]:
    """Yield each record's layout, and the scopes its paths start from, outermost first."""
    outer: list[Scope] = [(message, root)]
    for layout in stream.layouts:
        scopes = _inside(layout, outer)
        if scopes is None:
            continue
        if layout.each is None:
            if _holds(layout, scopes):
                yield layout, scopes
                return
            continue
        of = [one for one in stream.layouts if one.each == layout.each and one.at == layout.at]
        elements = list(_elements(scopes, layout.each))
        if not elements:
            continue
        for element in elements:
            chosen = next((one for one in of if _holds(one, element)), None)
            if chosen is not None:
                yield chosen, element
        return


def _inside(layout: JsonLayout, scopes: list[Scope]) -> list[Scope] | None:
    if layout.at is None:
        return scopes
    found = _find(layout.at, scopes)
    return None if found is None else [*scopes, found]


def _elements(scopes: list[Scope], path: Path) -> Iterator[list[Scope]]:
    parts = _path(path)["steps"]
    waiting = [scopes]
    piece: list[str | int] = []
    for part in (*parts, "*"):
        if part != "*":
            piece.append(part)
            continue
        following = []
        for one in waiting:
            held = _find(tuple(piece), one) if piece else one[-1]
            inner: Any = () if held is None else _children(held[0])
            following += [[*one, (value, (*held[1], key))] for key, value in inner if held is not None]
        waiting, piece = following, []
    yield from waiting


def _children(value: Any) -> Any:
    if isinstance(value, Mapping):
        return value.items()
    return enumerate(value) if isinstance(value, list) else ()


def _holds(layout: JsonLayout, scopes: list[Scope]) -> bool:
    return all(_true(when, scopes) for when in layout.when)


def _true(when: JsonWhen, scopes: list[Scope]) -> bool:
    found = [held[0] for path in when.paths if (held := _find(path, scopes)) is not None and held[0] is not None]
    if when.how == "absent":
        return not found
    if when.how == "has":
        return bool(found)
    wanted = [
        _Literal(value) if isinstance(value, int) and not isinstance(value, bool) else value for value in when.values
    ]
    return any(type(value) is type(one) and value == one for value in found for one in wanted)


def _find(path: Path, scopes: list[Scope]) -> Scope | None:
    spec = _path(path)
    up = spec["up"]
    place = 0 if up == -1 else max(0, len(scopes) - 1 - up)
    value, steps = scopes[place]
    for step in spec["steps"]:
        value, place_of = _step(value, step)
        if value is _MISSING:
            return None
        steps = (*steps, place_of)
    return value, steps


def _step(value: Any, step: str | int) -> tuple[Any, str | int]:
    if isinstance(value, Mapping):
        return (value[str(step)], str(step)) if str(step) in value else (_MISSING, step)
    if isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
        return value[step], step % len(value)
    return _MISSING, step


# -- what it makes of it ---------------------------------------------------------------------------------------------


def _named(layout: JsonLayout, scopes: list[Scope], values: Mapping[str, Any]) -> Iterator[tuple[Steps, str, Any]]:
    for when in layout.when:
        for path in when.paths:
            if (held := _find(path, scopes)) is not None:
                yield held[1], "condition", None
    if layout.control:
        for steps, _ in _leaves(*scopes[-1]):
            yield steps, "control, for the feed", None
        return
    for path in layout.key.paths if layout.key is not None else ():
        if (held := _find(path, scopes)) is not None:
            yield held[1], "key", None
    for field in layout.fields:
        if (held := _find(field.path, scopes)) is not None:
            yield held[1], field.to, values.get(field.to)
    if layout.aggressor is not None and (held := _find(layout.aggressor.path, scopes)) is not None:
        yield held[1], "aggressor", None
    for table in layout.levels:
        yield from _levels(table, scopes)


def _levels(table: JsonLevels, scopes: list[Scope]) -> Iterator[tuple[Steps, str, Any]]:
    side = table.side if isinstance(table.side, str) else "level"
    for at, row in enumerate(table.rows):
        for name in ("price", "quantity", "orders"):
            path = getattr(row, name)
            if path is not None and (held := _find(path, scopes)) is not None:
                yield held[1], f"{side}[{at}].{name}", _float(held[0])
    held = _find(table.path, scopes) if table.path is not None else None
    for at, (key, row) in enumerate(_children(held[0]) if held is not None else ()):
        assert held is not None
        columns: list[tuple[str, str | int | None]] = [
            ("price", table.price),
            ("quantity", table.quantity),
            ("orders", table.orders),
        ]
        if not isinstance(table.side, str):
            columns.append(("side", table.side.at))
        for name, column in columns:
            if column is None:
                continue
            value, place = _step(row, column)
            if value is not _MISSING:
                yield (*held[1], key, place), f"{side}[{at}].{name}", _float(value) if name != "side" else None


def _float(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None
