"""Faults an emulator host plays: declared as rules, drawn from a seed, counted as they fire.

A rule is a `Fault` object, or a piece of a spec string. Pieces are separated by ``;`` and read::

    ACTION[:CODE][=VALUE][@CONDITION[&CONDITION...]][*COUNT]

``CODE``
    an HTTP status or a WebSocket close code; a bare status (``429``) is short for ``http:429``.
``VALUE``
    a duration (``50ms``, ``2s``, ``1m``), a probability (``0.01``), a size (``9MiB``), a length difference
    (``+10``), or a URL, as the action wants it.
``CONDITION``
    ``[METHOD ]/path`` matches the path and everything below it, or the whole path where it has ``*``, ``?`` or ``[``;
    ``METHOD`` alone matches any path; ``WRITE`` is any method but GET and HEAD. ``after=DURATION`` waits so long: since
    the socket opened for what happens to sockets and frames, since the host started for the rest. ``p=PROBABILITY``
    throws dice each time.
``COUNT``
    how often the rule fires in all. Without it: always, or once per socket for what happens to a socket.

For example ``delay=50ms;http:503@/orders*2;drop_reply@POST /orders*1;close_socket:1011@after=3s;drop_frames=0.01``.

Actions on HTTP calls, upgrades included. At most one of them answers a call; delays add up. An upgrade that a fault
answers is not processed, whatever the action says of calls: its socket never opens.

=================== ============================================================================================
delay=T             process the call T later
delay_reply=T       process it at once, answer T later
http:CODE           do not process it; answer CODE with the broker's own error body
html:CODE           the same with an HTML page (default 502)
empty:CODE          the same with no body at all (default 200)
late_http:CODE      process it, then answer CODE; likewise late_html and late_empty
redirect=URL        do not process it; answer 302 to another host
drop_request        read it and never answer; it is not processed
hold=T              read it and never answer; process it T later, whatever became of its connection
reset_request       reset the connection instead of processing it; close_request closes it in good order
drop_reply          process it and never answer
reset_reply         process it, then reset with no byte of the reply; close_reply closes in good order
reset_mid_reply     process it, send half the reply, reset
truncate_reply      process it, send half the body under the full Content-Length, close
wrong_length=+N     process it, claim a body N bytes longer (or -N shorter) than what is sent (default +10)
bomb=SIZE           process it, answer a small gzip body that inflates to SIZE (default 64MiB)
refuse_upgrade:CODE upgrades only: answer CODE (default 403)
=================== ============================================================================================

Actions on frames the host pushes; the value is the share of frames: drop_frames, dup_frames, reorder_frames,
truncate_frames, fragment_frames; and delay_frames=T, which keeps their order.

Actions on an open socket: mute_socket[=T] (nothing is pushed, pings are answered), slow_reader[=T] (the host stops
reading it), close_socket:CODE (default 1011), reset_socket, oversize_frame=SIZE (default 9MiB), bad_utf8 (a text frame
that is not), rsv_frame (a reserved bit set), bad_opcode.

Action on the broker: token_death ends every session (`Emulator.expire_tokens`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, StrEnum
from fnmatch import fnmatchcase
from typing import Final

from dragoman.emulator.venue.rng import Rng
from dragoman.errors import UsageError

WRITE: Final = "WRITE"
"""Stands for every method that changes something."""


class Scope(Enum):
    """What a fault happens to."""

    DELAY = "delay"  # HTTP calls; adds up
    CALL = "call"  # HTTP calls; one answers
    UPGRADE = "upgrade"
    FRAME = "frame"
    SOCKET = "socket"
    BROKER = "broker"


class Action(StrEnum):
    DELAY = "delay"
    DELAY_REPLY = "delay_reply"
    HTTP = "http"
    HTML = "html"
    EMPTY = "empty"
    LATE_HTTP = "late_http"
    LATE_HTML = "late_html"
    LATE_EMPTY = "late_empty"
    REDIRECT = "redirect"
    DROP_REQUEST = "drop_request"
    HOLD = "hold"
    RESET_REQUEST = "reset_request"
    CLOSE_REQUEST = "close_request"
    DROP_REPLY = "drop_reply"
    RESET_REPLY = "reset_reply"
    CLOSE_REPLY = "close_reply"
    RESET_MID_REPLY = "reset_mid_reply"
    TRUNCATE_REPLY = "truncate_reply"
    WRONG_LENGTH = "wrong_length"
    BOMB = "bomb"
    REFUSE_UPGRADE = "refuse_upgrade"
    DROP_FRAMES = "drop_frames"
    DUP_FRAMES = "dup_frames"
    REORDER_FRAMES = "reorder_frames"
    TRUNCATE_FRAMES = "truncate_frames"
    FRAGMENT_FRAMES = "fragment_frames"
    DELAY_FRAMES = "delay_frames"
    MUTE_SOCKET = "mute_socket"
    SLOW_READER = "slow_reader"
    CLOSE_SOCKET = "close_socket"
    RESET_SOCKET = "reset_socket"
    OVERSIZE_FRAME = "oversize_frame"
    BAD_UTF8 = "bad_utf8"
    RSV_FRAME = "rsv_frame"
    BAD_OPCODE = "bad_opcode"
    TOKEN_DEATH = "token_death"  # noqa: S105 - an action, not a secret


@dataclass(frozen=True, slots=True)
class Form:
    """What an action takes: kind and default of its code and of its value. A default of None means it must be given;
    a duration of 0 means for ever."""

    scope: Scope
    code: str = ""  # "", "status" or "close"
    code_default: int | None = None
    value: str = ""  # "", "duration", "share", "size", "difference" or "url"
    value_default: float | str | None = None


_MIB = 1024 * 1024
_CALL = Form(Scope.CALL)
_SOCKET = Form(Scope.SOCKET)
_SHARE = Form(Scope.FRAME, value="share", value_default=1.0)

FORMS: dict[Action, Form] = {
    Action.DELAY: Form(Scope.DELAY, value="duration"),
    Action.DELAY_REPLY: Form(Scope.DELAY, value="duration"),
    Action.HTTP: Form(Scope.CALL, code="status"),
    Action.HTML: Form(Scope.CALL, code="status", code_default=502),
    Action.EMPTY: Form(Scope.CALL, code="status", code_default=200),
    Action.LATE_HTTP: Form(Scope.CALL, code="status"),
    Action.LATE_HTML: Form(Scope.CALL, code="status", code_default=502),
    Action.LATE_EMPTY: Form(Scope.CALL, code="status", code_default=200),
    Action.REDIRECT: Form(Scope.CALL, value="url", value_default="http://elsewhere.invalid/"),
    Action.DROP_REQUEST: _CALL,
    Action.HOLD: Form(Scope.CALL, value="duration"),
    Action.RESET_REQUEST: _CALL,
    Action.CLOSE_REQUEST: _CALL,
    Action.DROP_REPLY: _CALL,
    Action.RESET_REPLY: _CALL,
    Action.CLOSE_REPLY: _CALL,
    Action.RESET_MID_REPLY: _CALL,
    Action.TRUNCATE_REPLY: _CALL,
    Action.WRONG_LENGTH: Form(Scope.CALL, value="difference", value_default=10),
    Action.BOMB: Form(Scope.CALL, value="size", value_default=64 * _MIB),
    Action.REFUSE_UPGRADE: Form(Scope.UPGRADE, code="status", code_default=403),
    Action.DROP_FRAMES: _SHARE,
    Action.DUP_FRAMES: _SHARE,
    Action.REORDER_FRAMES: _SHARE,
    Action.TRUNCATE_FRAMES: _SHARE,
    Action.FRAGMENT_FRAMES: _SHARE,
    Action.DELAY_FRAMES: Form(Scope.FRAME, value="duration"),
    Action.MUTE_SOCKET: Form(Scope.SOCKET, value="duration", value_default=0.0),
    Action.SLOW_READER: Form(Scope.SOCKET, value="duration", value_default=0.0),
    Action.CLOSE_SOCKET: Form(Scope.SOCKET, code="close", code_default=1011),
    Action.RESET_SOCKET: _SOCKET,
    Action.OVERSIZE_FRAME: Form(Scope.SOCKET, value="size", value_default=9 * _MIB),
    Action.BAD_UTF8: _SOCKET,
    Action.RSV_FRAME: _SOCKET,
    Action.BAD_OPCODE: _SOCKET,
    Action.TOKEN_DEATH: Form(Scope.BROKER),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One rule.

    Attributes
    ----------
    action : Action
    code : int or None
        HTTP status or close code; None takes the action's default.
    value : float, str or None
        Seconds, bytes, a length difference or a URL; None takes the action's default. The share of frames is
        `probability`.
    method, path : str or None
        What to match; None matches all, and the method `WRITE` all but GET and HEAD.
    after_s : float
        Seconds since the socket opened, or since the host started.
    probability : float
        Of firing each time it could, in (0, 1].
    count : int or None
        How often it fires in all.

    Raises
    ------
    UsageError
        Where the action does not take what it is given.
    """

    action: Action
    code: int | None = None
    value: float | str | None = None
    method: str | None = None
    path: str | None = None
    after_s: float = 0.0
    probability: float = 1.0
    count: int | None = None

    def __post_init__(self) -> None:
        form = FORMS[self.action]
        if self.code is not None and not form.code:
            raise UsageError(f"fault {self.action}: code {self.code} given, expected none")
        if self.value is not None and form.value in ("", "share"):
            raise UsageError(f"fault {self.action}: value {self.value!r} given, expected none")
        if form.code == "status" and not 200 <= self.resolved_code <= 599:
            raise UsageError(f"fault {self.action}: code {self.code}, expected an HTTP status from 200 to 599")
        if form.code == "close" and not 1000 <= self.resolved_code <= 4999:
            raise UsageError(f"fault {self.action}: code {self.code}, expected a close code from 1000 to 4999")
        if form.value not in ("", "share") and self.value is None and form.value_default is None:
            raise UsageError(f"fault {self.action}: no value, expected a {form.value} ({self.action}=...)")
        wanted: type | tuple[type, ...] = str if form.value == "url" else (int, float)
        if self.value is not None and not isinstance(self.value, wanted):
            raise UsageError(f"fault {self.action}: value {self.value!r}, expected a {form.value}")
        if isinstance(self.value, int | float) and form.value in ("duration", "size") and self.value < 0:
            raise UsageError(f"fault {self.action}: value {self.value}, expected a {form.value} of 0 or more")
        if not 0 < self.probability <= 1:
            raise UsageError(f"fault {self.action}: probability {self.probability}, expected more than 0, at most 1")
        if self.count is not None and self.count < 1:
            raise UsageError(f"fault {self.action}: count {self.count}, expected 1 or more")

    @property
    def scope(self) -> Scope:
        return FORMS[self.action].scope

    @property
    def resolved_code(self) -> int:
        """The code, or the action's default."""
        code = self.code if self.code is not None else FORMS[self.action].code_default
        if code is None:
            raise UsageError(f"fault {self.action}: no code, expected {self.action}:CODE")
        return code

    @property
    def number(self) -> float:
        """The value of an action that takes a number, or its default: seconds, bytes, or a difference of bytes."""
        value = self.value if self.value is not None else FORMS[self.action].value_default
        return float(value or 0.0)

    @property
    def url(self) -> str:
        """The value of an action that takes a URL, or its default."""
        return str(self.value if self.value is not None else FORMS[self.action].value_default)

    def matches(self, method: str | None, path: str) -> bool:
        """Say whether a call, or (method None) a socket opened at `path`, is meant."""
        if self.method == WRITE and method in ("GET", "HEAD"):
            return False
        if self.method not in (None, WRITE) and method is not None and self.method != method:
            return False
        if self.path is None:
            return True
        if any(c in self.path for c in "*?["):
            return fnmatchcase(path, self.path)
        return path == self.path or path.startswith(self.path.rstrip("/") + "/")


class Rule:
    """A fault at work: its number among the host's rules, and what is left of its count."""

    __slots__ = ("fault", "left", "number")

    def __init__(self, fault: Fault, number: int) -> None:
        self.fault = fault
        self.number = number
        self.left = fault.count


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one HTTP call."""

    delay_s: float = 0.0
    reply_delay_s: float = 0.0
    fault: Fault | None = None


_NO_PLAN = Plan()


class Faults:
    """The rules of one host. Rules can be added and cleared while it runs.

    Parameters
    ----------
    faults : iterable of Fault
    seed : int
        Of the dice, so that a run can be repeated.

    Attributes
    ----------
    fired : Counter
        How often each action happened.
    """

    def __init__(self, faults: Iterable[Fault] = (), *, seed: int = 1) -> None:
        self._rules: list[Rule] = []
        self._added = 0
        self._dice = Rng(seed)
        self.fired: Counter[Action] = Counter()
        for fault in faults:
            self.add(fault)

    @classmethod
    def parse(cls, spec: str, *, seed: int = 1) -> Faults:
        """Read a spec string; its grammar is the module's text.

        Raises
        ------
        UsageError
            Naming the piece that is wrong and the form expected.
        """
        from dragoman.emulator.fault_spec import parse_faults

        return cls(parse_faults(spec), seed=seed)

    def add(self, fault: Fault) -> None:
        """Add a rule behind the others; one for sockets happens to those already open, too."""
        self._rules.append(Rule(fault, self._added))
        self._added += 1

    def clear(self) -> None:
        """Drop all rules; what already happened to a socket stays."""
        self._rules.clear()

    def needs(self, action: Action) -> bool:
        """Say whether a rule with this action is left."""
        return any(rule.fault.action is action for rule in self._rules)

    def below(self, limit: int) -> int:
        """Draw an integer in [0, `limit`) from the same dice."""
        return self._dice.below(limit)

    def plan(self, method: str, path: str, age_s: float, *, upgrade: bool = False) -> Plan:
        """Decide what happens to an HTTP call, `age_s` after the host started."""
        if not self._rules:
            return _NO_PLAN
        delay_s = reply_delay_s = 0.0
        answering: Fault | None = None
        for rule in tuple(self._rules):
            fault = rule.fault
            scope = fault.scope
            if scope is Scope.UPGRADE:
                if not upgrade:
                    continue
            elif scope is not Scope.DELAY and scope is not Scope.CALL:
                continue
            if (scope is not Scope.DELAY and answering) or not fault.matches(method, path):
                continue
            if not self.fire(rule, age_s):
                continue
            if fault.action is Action.DELAY:
                delay_s += fault.number
            elif fault.action is Action.DELAY_REPLY:
                reply_delay_s += fault.number
            else:
                answering = fault
        return Plan(delay_s, reply_delay_s, answering)

    def frame(self, path: str, age_s: float) -> Fault | None:
        """Decide what happens to a frame for a socket that opened at `path`, `age_s` ago: the first rule that fires."""
        for rule in tuple(self._rules):
            fault = rule.fault
            if fault.scope is Scope.FRAME and fault.matches(None, path) and self.fire(rule, age_s):
                return fault
        return None

    def due(self, scope: Scope, path: str, age_s: float, done: set[int]) -> list[Fault]:
        """Return the socket's or broker's faults whose time has come.

        Parameters
        ----------
        done : set of int
            The rules that have had their turn with this socket; added to.
        """
        faults = []
        for rule in tuple(self._rules):
            fault = rule.fault
            if fault.scope is not scope or rule.number in done or age_s < fault.after_s:
                continue
            if not fault.matches(None, path):
                continue
            done.add(rule.number)
            if self.fire(rule, age_s):
                faults.append(fault)
        return faults

    def fire(self, rule: Rule, age_s: float) -> bool:
        """Throw the dice for a rule, and take one off its count if it fires."""
        fault = rule.fault
        if age_s < fault.after_s or rule.left == 0:
            return False
        # 53 bits, as a float has: a probability of 1 always fires, since the draw is below 1.
        if fault.probability < 1 and self._dice.below(1 << 53) / (1 << 53) >= fault.probability:
            return False
        if rule.left is not None:
            rule.left -= 1
            if rule.left == 0 and rule in self._rules:
                self._rules.remove(rule)
        self.fired[fault.action] += 1
        return True
