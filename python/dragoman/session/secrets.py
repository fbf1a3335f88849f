"""Secret values that refuse to be shown, and a guard that keeps their text out of the logs.

Theory: a `Secret` cannot leak by accident, only what its `reveal` returned can. So every live secret is known here by
its text, in each spelling in which it is likely to turn up (as it is, percent-encoded, JSON-escaped, base64), and
`redact` replaces all of them. Entries are weak: they go when the secret goes, except that the last few *revealed* ones
stay for a while, because an exception that holds such text may be logged after the secret is gone.

Values that start with ``emu_`` are an emulator's and are not redacted: they open nothing.
"""

from __future__ import annotations

import base64
import hmac
import json
import logging
import re
import traceback
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, NoReturn
from urllib.parse import quote, quote_plus

EMULATOR_PREFIX: Final = "emu_"
SHOWN: Final = "***"
_SHORTEST = 4  # redacting every "1" would hide the log, not the secret
_REMEMBERED = 64

_live: dict[int, weakref.ref[Secret]] = {}
_faded: deque[str] = deque(maxlen=_REMEMBERED)
_pattern: re.Pattern[str] | None = None
_stale = False


class Secret:
    """A value that is shown as ``Secret(***)`` wherever text is made of it; `reveal` is the only way to it.

    It cannot be pickled, copied, written as JSON, hashed or joined into a string, and is compared in constant time.

    Parameters
    ----------
    value : str
    """

    __slots__ = ("__weakref__", "_revealed", "_value")

    def __init__(self, value: str) -> None:
        if not isinstance(value, str):
            raise TypeError(f"a Secret holds a str, not {type(value).__name__}")
        self._value = value
        self._revealed = False
        _register(self)

    def reveal(self) -> str:
        """Return the value. Call it last, where the bytes are built, and keep the result nowhere."""
        self._revealed = True
        return self._value

    def __del__(self) -> None:
        global _stale
        # At interpreter exit the module's names are None before the last secrets go.
        if _live is not None and _live.pop(id(self), None) is not None:
            if self._revealed and self._value not in _faded:
                _faded.append(self._value)
            _stale = True

    @property
    def emulated(self) -> bool:
        """Whether it is an emulator's credential."""
        return self._value.startswith(EMULATOR_PREFIX)

    def __bool__(self) -> bool:
        return bool(self._value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self._value.encode(), other._value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash would tell equal values apart from others

    def __repr__(self) -> str:
        return f"Secret({SHOWN})"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return repr(self)

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a Secret is neither pickled nor copied; reveal() it where its bytes are needed")

    def __copy__(self) -> NoReturn:
        self.__reduce_ex__(0)

    def __deepcopy__(self, memo: object) -> NoReturn:
        self.__reduce_ex__(0)


def as_secret(value: str | Secret) -> Secret:
    """Wrap a plain value; a `Secret` passes through."""
    return value if isinstance(value, Secret) else Secret(value)


def _register(secret: Secret) -> None:
    global _stale
    value = secret._value
    if len(value) >= _SHORTEST and not value.startswith(EMULATOR_PREFIX):
        _live[id(secret)] = weakref.ref(secret)
        _stale = True


def _spellings(value: str) -> set[str]:
    """Return how `value` may stand in a URL, a form, JSON, a repr or a header."""
    found = {value, quote(value, safe=""), quote(value), quote_plus(value)}
    found.update((json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1], repr(value)[1:-1]))
    encoded = base64.b64encode(value.encode()).decode()
    found.update((encoded, encoded.rstrip("=")))
    return {text for text in found if len(text) >= _SHORTEST}


def _compiled() -> re.Pattern[str] | None:
    global _pattern, _stale
    if _stale:
        _stale = False
        secrets = [ref() for ref in list(_live.values())]
        values = [secret._value for secret in secrets if secret is not None] + list(_faded)
        words = sorted({text for value in values for text in _spellings(value)}, key=len, reverse=True)
        _pattern = re.compile("|".join(map(re.escape, words))) if words else None
    return _pattern


def forget_locals(error: BaseException) -> None:
    """Empty the frames that an exception and its causes came through, those that still run excepted.

    They hold revealed secrets, requests and replies, which tools that print local variables would show.
    """
    waiting: list[BaseException | None] = [error]
    seen: set[int] = set()
    while waiting:
        found = waiting.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        traceback.clear_frames(found.__traceback__)
        waiting += (found.__cause__, found.__context__)
        if isinstance(found, BaseExceptionGroup):
            waiting += found.exceptions


def scrubber(values: Iterable[str]) -> Callable[[str], str]:
    """Return what replaces these values, in each spelling, by ``***``: an emulator's as well."""
    words = sorted({word for value in values for word in _spellings(value)}, key=len, reverse=True)
    pattern = re.compile("|".join(map(re.escape, words))) if words else None
    return lambda text: pattern.sub(SHOWN, text) if pattern else text


def redact(text: str) -> str:
    """Return `text` with every known secret replaced by ``***``."""
    pattern = _compiled()
    return pattern.sub(SHOWN, text) if pattern else text


class RedactingFilter(logging.Filter):
    """Takes secrets out of a record: message, arguments, exception, stack and extra fields.

    It never drops a record. A record without secrets passes unchanged, its arguments included.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        if _compiled() is None:
            return True
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - any __str__ may raise here, and the record must still be made safe
            # logging would print the arguments of such a record to standard error, as they are.
            message = f"{record.msg} (arguments do not fit the message)"
            record.msg, record.args = redact(message), ()
        if (safe := redact(message)) != message:
            record.msg, record.args = safe, ()
        if record.exc_info and record.exc_info[1] is not None:
            shown = record.exc_text or _FORMATTER.formatException(record.exc_info)
            if (safe := redact(shown)) != shown:
                record.exc_text, record.exc_info = safe, None
        elif record.exc_text:
            record.exc_text = redact(record.exc_text)
        if record.stack_info:
            record.stack_info = redact(record.stack_info)
        for name, value in list(record.__dict__.items()):
            if name not in _OWN_FIELDS and value is not None and not isinstance(value, (bool, int, float)):
                shown = value if isinstance(value, str) else repr(value)
                if (safe := redact(shown)) != shown:
                    record.__dict__[name] = safe
        return True


_FORMATTER = logging.Formatter()
_OWN_FIELDS = frozenset(logging.makeLogRecord({}).__dict__)
_FILTER = RedactingFilter()
_unguard: Callable[[], None] | None = None


def guard_logging() -> Callable[[], None]:
    """Redact every log record of this process; calling it again changes nothing but covers new root handlers.

    Records are cleaned as they are made, whichever logger or handler they go to, and once more by the root logger's
    handlers, which see the ``extra`` fields that are added later.

    Returns
    -------
    callable
        Takes the guard away again: for tests.
    """
    global _unguard
    handlers = list(logging.getLogger().handlers)
    if logging.lastResort is not None:
        handlers.append(logging.lastResort)
    for handler in handlers:
        if _FILTER not in handler.filters:
            handler.addFilter(_FILTER)
    if _unguard is not None:
        return _unguard
    before = logging.getLogRecordFactory()

    def make(*args: Any, **kwargs: Any) -> logging.LogRecord:
        record = before(*args, **kwargs)
        _FILTER.filter(record)
        return record

    def unguard() -> None:
        global _unguard
        _unguard = None
        if logging.getLogRecordFactory() is make:
            logging.setLogRecordFactory(before)
        for handler in (*logging.getLogger().handlers, logging.lastResort):
            if handler is not None:
                handler.removeFilter(_FILTER)

    logging.setLogRecordFactory(make)
    _unguard = unguard
    return unguard
