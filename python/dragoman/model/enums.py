"""Choices of the unified model. Spelling follows FIX where FIX has a word; meanings are in docs/semantics.md."""

from __future__ import annotations

from enum import StrEnum


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> Side:
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP_MARKET = "STOP_MARKET"
    STOP_LIMIT = "STOP_LIMIT"
    MARKET_IF_TOUCHED = "MARKET_IF_TOUCHED"
    LIMIT_IF_TOUCHED = "LIMIT_IF_TOUCHED"
    TRAILING_STOP_MARKET = "TRAILING_STOP_MARKET"
    TRAILING_STOP_LIMIT = "TRAILING_STOP_LIMIT"
    UNKNOWN = "UNKNOWN"

    @property
    def has_price(self) -> bool:
        return self in PRICED

    @property
    def has_trigger(self) -> bool:
        return self in TRIGGERED


PRICED = frozenset((OrderType.LIMIT, OrderType.STOP_LIMIT, OrderType.LIMIT_IF_TOUCHED, OrderType.TRAILING_STOP_LIMIT))
TRIGGERED = frozenset(
    (OrderType.STOP_MARKET, OrderType.STOP_LIMIT, OrderType.MARKET_IF_TOUCHED, OrderType.LIMIT_IF_TOUCHED)
)


class TimeInForce(StrEnum):
    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"
    AT_THE_OPEN = "AT_THE_OPEN"
    AT_THE_CLOSE = "AT_THE_CLOSE"
    UNKNOWN = "UNKNOWN"


class Product(StrEnum):
    DELIVERY = "DELIVERY"
    INTRADAY = "INTRADAY"
    CARRY = "CARRY"
    MTF = "MTF"
    MARGIN = "MARGIN"
    COVER = "COVER"
    BRACKET = "BRACKET"
    CASH = "CASH"
    UNKNOWN = "UNKNOWN"


class Variety(StrEnum):
    REGULAR = "REGULAR"
    AMO = "AMO"
    ICEBERG = "ICEBERG"
    AUCTION = "AUCTION"
    COVER = "COVER"
    BRACKET = "BRACKET"
    UNKNOWN = "UNKNOWN"


class OrderStatus(StrEnum):
    """What is firmly known of an order.

    Attributes
    ----------
    terminal : bool
        Whether the order is over.
    """

    CREATED = "CREATED"
    DENIED = "DENIED"
    SUBMITTED = "SUBMITTED"
    UNKNOWN = "UNKNOWN"
    ACCEPTED = "ACCEPTED"
    OPEN = "OPEN"
    TRIGGER_PENDING = "TRIGGER_PENDING"
    TRIGGERED = "TRIGGERED"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"

    terminal: bool  # looked at for every update, so it lies ready

    @property
    def working(self) -> bool:
        """Whether the order may still trade."""
        return self not in _TERMINAL and self is not OrderStatus.CREATED

    @classmethod
    def _missing_(cls, value: object) -> OrderStatus | None:
        return cls.CANCELED if value == "CANCELLED" else None


_TERMINAL = frozenset(
    (OrderStatus.DENIED, OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED)
)
for _status in OrderStatus:
    _status.terminal = _status in _TERMINAL


class Pending(StrEnum):
    """What is in flight beside an order's last firm status."""

    NONE = "NONE"
    MODIFY = "MODIFY"
    CANCEL = "CANCEL"


class Origin(StrEnum):
    US = "US"
    EXTERNAL = "EXTERNAL"


class AssetClass(StrEnum):
    EQUITY = "EQUITY"
    INDEX = "INDEX"
    CURRENCY = "CURRENCY"
    COMMODITY = "COMMODITY"
    CRYPTO = "CRYPTO"
    DEBT = "DEBT"
    FUND = "FUND"
    UNKNOWN = "UNKNOWN"


class InstrumentType(StrEnum):
    SPOT = "SPOT"
    ETF = "ETF"
    INDEX = "INDEX"
    FUTURE = "FUTURE"
    OPTION = "OPTION"
    PERP = "PERP"
    BOND = "BOND"
    UNKNOWN = "UNKNOWN"


class OptionType(StrEnum):
    CALL = "CALL"
    PUT = "PUT"


class QuantityUnit(StrEnum):
    """What a broker counts on the wire in a segment."""

    UNITS = "UNITS"
    LOTS = "LOTS"
    UNVERIFIED = "UNVERIFIED"


class Segment(StrEnum):
    """Margin segments."""

    EQUITY = "EQUITY"
    COMMODITY = "COMMODITY"
    CURRENCY = "CURRENCY"
    FO = "FO"
    ALL = "ALL"


class Source(StrEnum):
    POLLED = "POLLED"
    STREAMED = "STREAMED"
    PROJECTED = "PROJECTED"


class PriceBasis(StrEnum):
    """Where an average price comes from."""

    FILLS = "FILLS"
    BROKER = "BROKER"
    DERIVED = "DERIVED"


class AdjustmentKind(StrEnum):
    """Why a position changes without a fill.

    SPLIT: quantities times numerator / denominator, costs stay. BONUS: numerator units for every denominator held, at
    no cost. DIVIDEND: `price` of income for each unit held. EXPIRY: all of it is closed at `price`, the settlement
    (none: worthless). ASSIGNMENT: `quantity` units, signed, change hands at `price`: the option's leg at 0, the
    underlying's at the strike. TRANSFER_IN: `quantity` units that cost `price` (none: nobody knows). TRANSFER_OUT:
    `quantity` units, signed as the position, leave at what they cost. EXTERNAL: a trade of `quantity` units, signed, at
    `price`, whose fill nobody reports.
    """

    SPLIT = "SPLIT"
    BONUS = "BONUS"
    DIVIDEND = "DIVIDEND"
    EXPIRY = "EXPIRY"
    ASSIGNMENT = "ASSIGNMENT"
    TRANSFER_IN = "TRANSFER_IN"
    TRANSFER_OUT = "TRANSFER_OUT"
    EXTERNAL = "EXTERNAL"


class Liquidity(StrEnum):
    MAKER = "MAKER"
    TAKER = "TAKER"
    AUCTION = "AUCTION"
    NONE = "NONE"


class Mode(StrEnum):
    """How much of an instrument a stream carries. DEEP: the quote, and more levels than FULL has, where offered."""

    LTP = "ltp"
    QUOTE = "quote"
    FULL = "full"
    DEEP = "deep"

    @property
    def has_depth(self) -> bool:
        return self in (Mode.FULL, Mode.DEEP)
