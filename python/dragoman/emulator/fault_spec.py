"""Read the spec strings of `dragoman.emulator.faults`."""

from __future__ import annotations

import difflib
import re

from dragoman.emulator.faults import FORMS, Action, Fault
from dragoman.errors import UsageError

_PIECE = re.compile(
    r"(?P<action>[^:=@*]+)(:(?P<code>[^=@*]*))?(=(?P<value>[^@]*?))?(@(?P<match>.*?))?(\*(?P<count>\d+))?"
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(us|ms|s|m)")
_SIZE = re.compile(r"(\d+)(B|KiB|MiB)?")
_METHOD = re.compile(r"[A-Z]+")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0}
_BYTES = {None: 1, "B": 1, "KiB": 1024, "MiB": 1024 * 1024}


def parse_faults(spec: str) -> list[Fault]:
    """Read a spec into rules.

    Raises
    ------
    UsageError
        Naming the piece that is wrong and the form expected.
    """
    return [_piece(text) for text in (piece.strip() for piece in spec.split(";")) if text]


def _piece(text: str) -> Fault:
    found = _PIECE.fullmatch(text)
    if found is None:
        raise _bad(text, "not a rule", "ACTION[:CODE][=VALUE][@CONDITION][*COUNT]")
    name, code = found["action"].strip(), found["code"]
    if name.isdigit() and code is None:
        name, code = Action.HTTP.value, name
    try:
        action = Action(name)
    except ValueError:
        near = difflib.get_close_matches(name, [a.value for a in Action], 3)
        known = " or ".join(near) if near else ", ".join(Action)
        raise _bad(text, f"unknown action {name!r}", known) from None
    probability, value = 1.0, None
    if (raw := found["value"]) is not None:
        if FORMS[action].value == "share":
            probability = _probability(text, raw)
        else:
            value = _value(text, action, raw.strip())
    method = path = None
    after_s = 0.0
    for condition in (found["match"] or "").split("&") if found["match"] is not None else ():
        word = condition.strip()
        if word.startswith("after="):
            after_s = _duration(text, word.removeprefix("after="))
        elif word.startswith("p="):
            probability *= _probability(text, word.removeprefix("p="))
        else:
            method, path = _place(text, word)
    try:
        return Fault(
            action,
            code=_code(text, code) if code is not None else None,
            value=value,
            method=method,
            path=path,
            after_s=after_s,
            probability=probability,
            count=int(found["count"]) if found["count"] else None,
        )
    except UsageError as error:
        raise UsageError(f"{text!r}: {error}") from None


def _code(text: str, raw: str) -> int:
    if not raw.strip().isdigit():
        raise _bad(text, f"code {raw!r}", "a number, as in http:503 or close_socket:1011")
    return int(raw)


def _value(text: str, action: Action, raw: str) -> float | str:
    match FORMS[action].value:
        case "duration":
            return _duration(text, raw)
        case "size":
            found = _SIZE.fullmatch(raw)
            if found is None:
                raise _bad(text, f"value {raw!r}", "a size such as 4096, 64KiB or 9MiB")
            return int(found[1]) * _BYTES[found[2]]
        case "difference":
            if not re.fullmatch(r"[+-]\d+", raw):
                raise _bad(text, f"value {raw!r}", "a difference such as +10 or -3")
            return int(raw)
        case "url":
            if not re.match(r"https?://[^\s]+", raw):
                raise _bad(text, f"value {raw!r}", "a URL such as http://elsewhere.invalid/")
            return raw
        case _:
            raise _bad(text, f"value {raw!r}", f"none: {action} takes no value")


def _duration(text: str, raw: str) -> float:
    found = _DURATION.fullmatch(raw.strip())
    if found is None:
        raise _bad(text, f"duration {raw!r}", "a number and its unit, such as 50ms, 2s or 1m")
    return float(found[1]) * _SECONDS[found[2]]


def _probability(text: str, raw: str) -> float:
    try:
        value = float(raw)
    except ValueError:
        value = 0.0
    if not 0 < value <= 1:
        raise _bad(text, f"probability {raw!r}", "more than 0 and at most 1, such as 0.01")
    return value


def _place(text: str, word: str) -> tuple[str | None, str | None]:
    method, _, path = word.rpartition(" ")
    if _METHOD.fullmatch(word):
        method, path = word, ""
    if (path and not path.startswith("/")) or (method and not _METHOD.fullmatch(method)) or not word:
        raise _bad(text, f"condition {word!r}", "[METHOD ]/path, METHOD, after=DURATION or p=PROBABILITY")
    return method or None, path or None


def _bad(text: str, found: str, expected: str) -> UsageError:
    return UsageError(f"fault {text!r}: {found}, expected {expected}")
