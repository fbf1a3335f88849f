"""The one exception tree: a class for each way a caller can react.

::

    DragomanError
    |-- UsageError          the call was wrong, or the adapter says no to it; zero bytes were sent
    |-- Rejected            the broker, or a check of ours, said no: nothing is live
    |-- NotSent             the request provably never left this machine
    |-- OutcomeUnknown      it may have left; what became of it is not known yet
    |-- AuthRequired        a human or a refresh must renew the session
    |-- Throttled           too fast, or the deadline is nearer than the limiter's wait
    |-- DecodeError         bytes that are not what the protocol says
    |-- StaleData           the answer would be old; zero bytes were sent
    `-- AccountBusy         another process writes to this account

`KIND_CLASS` maps every `ErrorKind` to its class: it is the only place where that is decided.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Final


class Effect(StrEnum):
    """What a failed request did at the broker."""

    NONE = "NONE"
    APPLIED = "APPLIED"
    UNKNOWN = "UNKNOWN"


class Retry(StrEnum):
    """What would have to happen before trying again makes sense."""

    NEVER = "NEVER"
    BACKOFF = "BACKOFF"
    AFTER = "AFTER"
    REAUTH = "REAUTH"
    RESOLVE_FIRST = "RESOLVE_FIRST"
    USER_ACTION = "USER_ACTION"


class ErrorKind(StrEnum):
    """What went wrong, in words shared by all brokers."""

    AUTH_EXPIRED = "AUTH_EXPIRED"
    AUTH_INVALID = "AUTH_INVALID"
    PERMISSION_DENIED = "PERMISSION_DENIED"
    IP_NOT_ALLOWED = "IP_NOT_ALLOWED"
    ALGO_NOT_REGISTERED = "ALGO_NOT_REGISTERED"
    RATE_LIMITED = "RATE_LIMITED"
    DAILY_LIMIT_REACHED = "DAILY_LIMIT_REACHED"
    INSUFFICIENT_MARGIN = "INSUFFICIENT_MARGIN"
    INSUFFICIENT_HOLDINGS = "INSUFFICIENT_HOLDINGS"
    INVALID_PRICE_TICK = "INVALID_PRICE_TICK"
    PRICE_OUT_OF_BAND = "PRICE_OUT_OF_BAND"
    INVALID_QUANTITY = "INVALID_QUANTITY"
    FREEZE_QTY_EXCEEDED = "FREEZE_QTY_EXCEEDED"
    NEVER_ARRIVED = "NEVER_ARRIVED"
    CONNECTION_LOST = "CONNECTION_LOST"
    STALE_STREAM = "STALE_STREAM"
    SEQUENCE_GAP = "SEQUENCE_GAP"
    CHECKSUM_MISMATCH = "CHECKSUM_MISMATCH"
    LOCAL_DENIED = "LOCAL_DENIED"
    MARKET_CLOSED = "MARKET_CLOSED"
    INSTRUMENT_NOT_FOUND = "INSTRUMENT_NOT_FOUND"
    INSTRUMENT_NOT_TRADABLE = "INSTRUMENT_NOT_TRADABLE"
    ORDER_NOT_FOUND = "ORDER_NOT_FOUND"
    TOO_LATE_TO_MODIFY_OR_CANCEL = "TOO_LATE_TO_MODIFY_OR_CANCEL"
    DUPLICATE_ORDER = "DUPLICATE_ORDER"
    POSITION_ALREADY_FLAT = "POSITION_ALREADY_FLAT"
    RISK_REJECTED = "RISK_REJECTED"
    EXCHANGE_REJECTED = "EXCHANGE_REJECTED"
    NOT_SUPPORTED = "NOT_SUPPORTED"
    BAD_REQUEST = "BAD_REQUEST"
    NOT_SENT = "NOT_SENT"
    MAYBE_SENT = "MAYBE_SENT"
    TIMEOUT = "TIMEOUT"
    SERVER_5XX = "SERVER_5XX"
    BAD_RESPONSE = "BAD_RESPONSE"
    USAGE = "USAGE"
    ACCOUNT_BUSY = "ACCOUNT_BUSY"
    STALE_DATA = "STALE_DATA"
    MAINTENANCE = "MAINTENANCE"
    UNMAPPED = "UNMAPPED"


_U = Retry.USER_ACTION
_R = Retry.RESOLVE_FIRST

KIND_DEFAULTS: Final[dict[ErrorKind, tuple[Effect, Retry]]] = {
    ErrorKind.AUTH_EXPIRED: (Effect.NONE, Retry.REAUTH),
    ErrorKind.AUTH_INVALID: (Effect.NONE, _U),
    ErrorKind.PERMISSION_DENIED: (Effect.NONE, _U),
    ErrorKind.IP_NOT_ALLOWED: (Effect.NONE, _U),
    ErrorKind.ALGO_NOT_REGISTERED: (Effect.NONE, _U),
    ErrorKind.RATE_LIMITED: (Effect.NONE, Retry.AFTER),
    ErrorKind.DAILY_LIMIT_REACHED: (Effect.NONE, Retry.NEVER),
    ErrorKind.INSUFFICIENT_MARGIN: (Effect.NONE, _U),
    ErrorKind.INSUFFICIENT_HOLDINGS: (Effect.NONE, _U),
    ErrorKind.INVALID_PRICE_TICK: (Effect.NONE, Retry.NEVER),
    ErrorKind.PRICE_OUT_OF_BAND: (Effect.NONE, Retry.NEVER),
    ErrorKind.INVALID_QUANTITY: (Effect.NONE, Retry.NEVER),
    ErrorKind.FREEZE_QTY_EXCEEDED: (Effect.NONE, Retry.NEVER),
    ErrorKind.NEVER_ARRIVED: (Effect.NONE, _U),
    ErrorKind.CONNECTION_LOST: (Effect.UNKNOWN, Retry.BACKOFF),
    ErrorKind.STALE_STREAM: (Effect.NONE, Retry.BACKOFF),
    ErrorKind.SEQUENCE_GAP: (Effect.NONE, Retry.BACKOFF),
    ErrorKind.CHECKSUM_MISMATCH: (Effect.NONE, Retry.BACKOFF),
    ErrorKind.LOCAL_DENIED: (Effect.NONE, Retry.NEVER),
    ErrorKind.MARKET_CLOSED: (Effect.NONE, Retry.AFTER),
    ErrorKind.INSTRUMENT_NOT_FOUND: (Effect.NONE, Retry.NEVER),
    ErrorKind.INSTRUMENT_NOT_TRADABLE: (Effect.NONE, Retry.NEVER),
    ErrorKind.ORDER_NOT_FOUND: (Effect.NONE, _R),
    ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL: (Effect.NONE, _R),
    ErrorKind.DUPLICATE_ORDER: (Effect.APPLIED, _R),
    ErrorKind.POSITION_ALREADY_FLAT: (Effect.NONE, _R),
    ErrorKind.RISK_REJECTED: (Effect.NONE, Retry.NEVER),
    ErrorKind.EXCHANGE_REJECTED: (Effect.NONE, Retry.NEVER),
    ErrorKind.NOT_SUPPORTED: (Effect.NONE, Retry.NEVER),
    ErrorKind.BAD_REQUEST: (Effect.NONE, Retry.NEVER),
    ErrorKind.NOT_SENT: (Effect.NONE, Retry.BACKOFF),
    ErrorKind.MAYBE_SENT: (Effect.UNKNOWN, _R),
    ErrorKind.TIMEOUT: (Effect.UNKNOWN, _R),
    ErrorKind.SERVER_5XX: (Effect.UNKNOWN, _R),
    ErrorKind.BAD_RESPONSE: (Effect.UNKNOWN, _R),
    ErrorKind.USAGE: (Effect.NONE, Retry.NEVER),
    ErrorKind.ACCOUNT_BUSY: (Effect.NONE, Retry.AFTER),
    ErrorKind.STALE_DATA: (Effect.NONE, Retry.BACKOFF),
    ErrorKind.MAINTENANCE: (Effect.NONE, Retry.AFTER),
    ErrorKind.UNMAPPED: (Effect.UNKNOWN, _R),
}
"""What a kind means unless the broker's own table says otherwise."""


class DragomanError(Exception):
    """Base of every error this library raises.

    Attributes
    ----------
    kind : ErrorKind
    effect : Effect
        What the request did at the broker.
    retry : Retry
    retry_after_s : float or None
        For `Retry.AFTER`, where the broker or the limiter said how long.
    code, text : str or None
        The broker's own code and words, untranslated.
    remedy : str
        One sentence: what to do next.
    broker : str or None
    client_order_id : str or None
        The order this is about: ask the client for it, never place it again under another id.
    """

    default_kind: ErrorKind = ErrorKind.UNMAPPED

    def __init__(
        self,
        message: str,
        *,
        kind: ErrorKind | None = None,
        effect: Effect | None = None,
        retry: Retry | None = None,
        retry_after_s: float | None = None,
        code: str | None = None,
        text: str | None = None,
        remedy: str = "",
        broker: str | None = None,
        client_order_id: str | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind or self.default_kind
        default_effect, default_retry = KIND_DEFAULTS[self.kind]
        self.effect = effect or default_effect
        self.retry = retry or default_retry
        self.retry_after_s = retry_after_s
        self.code = code
        self.text = text
        self.remedy = remedy
        self.broker = broker
        self.client_order_id = client_order_id

    def __str__(self) -> str:
        message = super().__str__()
        return f"{message} ({self.remedy})" if self.remedy else message


class UsageError(DragomanError, ValueError):
    """The call was wrong. Zero bytes were sent."""

    default_kind = ErrorKind.USAGE


class Rejected(DragomanError):
    """The broker, or a check before the wire, refused. Nothing is live because of this request."""

    default_kind = ErrorKind.BAD_REQUEST


class NotSent(DragomanError, ConnectionError):
    """The request provably never left this machine, so sending it again is safe."""

    default_kind = ErrorKind.NOT_SENT


class OutcomeUnknown(DragomanError):
    """The request may have left and its outcome is not known: look before acting, never resend."""

    default_kind = ErrorKind.MAYBE_SENT


class AuthRequired(DragomanError):
    """The session is over or not allowed to do this."""

    default_kind = ErrorKind.AUTH_EXPIRED


class Throttled(DragomanError):
    """A limit was reached, the broker's or our own copy of it."""

    default_kind = ErrorKind.RATE_LIMITED


class DecodeError(DragomanError):
    """Bytes that are not what the protocol says."""

    default_kind = ErrorKind.BAD_RESPONSE


class StaleData(DragomanError):
    """What is known is too old to act on. Zero bytes were sent."""

    default_kind = ErrorKind.STALE_DATA


class AccountBusy(DragomanError):
    """Another process writes to this account; reading is still possible.

    Attributes
    ----------
    pid, host : int, str
        The writer, where it is known; 0 and empty where it is not.
    since_ns : int
        When it began, wall clock, ns UTC.
    """

    default_kind = ErrorKind.ACCOUNT_BUSY

    def __init__(self, message: str, *, pid: int = 0, host: str = "", since_ns: int = 0, **details: Any) -> None:
        super().__init__(message, **details)
        self.pid = pid
        self.host = host
        self.since_ns = since_ns


KIND_CLASS: Final[dict[ErrorKind, type[DragomanError]]] = {
    ErrorKind.AUTH_EXPIRED: AuthRequired,
    ErrorKind.AUTH_INVALID: AuthRequired,
    ErrorKind.PERMISSION_DENIED: AuthRequired,
    ErrorKind.IP_NOT_ALLOWED: AuthRequired,
    ErrorKind.ALGO_NOT_REGISTERED: AuthRequired,
    ErrorKind.RATE_LIMITED: Throttled,
    ErrorKind.DAILY_LIMIT_REACHED: Throttled,
    ErrorKind.INSUFFICIENT_MARGIN: Rejected,
    ErrorKind.INSUFFICIENT_HOLDINGS: Rejected,
    ErrorKind.INVALID_PRICE_TICK: Rejected,
    ErrorKind.PRICE_OUT_OF_BAND: Rejected,
    ErrorKind.INVALID_QUANTITY: Rejected,
    ErrorKind.FREEZE_QTY_EXCEEDED: Rejected,
    ErrorKind.NEVER_ARRIVED: Rejected,
    ErrorKind.CONNECTION_LOST: OutcomeUnknown,
    ErrorKind.STALE_STREAM: StaleData,
    ErrorKind.SEQUENCE_GAP: StaleData,
    ErrorKind.CHECKSUM_MISMATCH: StaleData,
    ErrorKind.LOCAL_DENIED: Rejected,
    ErrorKind.MARKET_CLOSED: Rejected,
    ErrorKind.INSTRUMENT_NOT_FOUND: Rejected,
    ErrorKind.INSTRUMENT_NOT_TRADABLE: Rejected,
    ErrorKind.ORDER_NOT_FOUND: Rejected,
    ErrorKind.TOO_LATE_TO_MODIFY_OR_CANCEL: Rejected,
    ErrorKind.DUPLICATE_ORDER: Rejected,
    ErrorKind.POSITION_ALREADY_FLAT: Rejected,
    ErrorKind.RISK_REJECTED: Rejected,
    ErrorKind.EXCHANGE_REJECTED: Rejected,
    ErrorKind.NOT_SUPPORTED: Rejected,
    ErrorKind.BAD_REQUEST: Rejected,
    ErrorKind.NOT_SENT: NotSent,
    ErrorKind.MAYBE_SENT: OutcomeUnknown,
    ErrorKind.TIMEOUT: OutcomeUnknown,
    ErrorKind.SERVER_5XX: OutcomeUnknown,
    ErrorKind.BAD_RESPONSE: OutcomeUnknown,
    ErrorKind.USAGE: UsageError,
    ErrorKind.ACCOUNT_BUSY: AccountBusy,
    ErrorKind.STALE_DATA: StaleData,
    ErrorKind.MAINTENANCE: Throttled,
    ErrorKind.UNMAPPED: OutcomeUnknown,
}
"""The class that carries each kind."""


def error_for(kind: ErrorKind, message: str, *, mutates: bool = True, **details: Any) -> DragomanError:
    """Make the error of the class that `KIND_CLASS` names for `kind`.

    A read changes nothing at the broker, so one that failed on the way is never an unknown outcome: it is `StaleData`
    with effect NONE, and trying again is safe.

    Parameters
    ----------
    kind : ErrorKind
    message : str
    mutates : bool
        Whether the request could have changed something.
    **details
        As `DragomanError` takes them.
    """
    cls = KIND_CLASS[kind]
    if not mutates and cls is OutcomeUnknown:
        details.update(effect=Effect.NONE, retry=Retry.BACKOFF)
        cls = StaleData
    return cls(message, kind=kind, **details)
