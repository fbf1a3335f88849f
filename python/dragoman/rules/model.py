"""What rules say: values a user writes down. They watch a position, and only ever make it smaller.

Prices and quantities are exact: `Decimal`, or what `place` takes for one (an int, text, a float by its shortest
spelling). Whatever cannot be one of them, or a word that there is not, raises UsageError where it is written down;
whether they fit the position, and each other, `RuleBook.add` says. Nothing here does anything.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from enum import StrEnum
from typing import Literal

from dragoman.checks.constructors import ABOVE_0, Within, checked
from dragoman.model import OrderType, Product, Segment

_checked = checked(
    {
        "price": ABOVE_0,
        "percent": ABOVE_0,
        "ticks": ABOVE_0,
        "quantity": ABOVE_0,
        "r": ABOVE_0,
        "risk": ABOVE_0,
        "reference": ABOVE_0,
        "start": ABOVE_0,
        "limit": ABOVE_0,
        "fraction": Within(0, 1),
        "utilisation": Within(0, 1),
        "protection": Within(0, 100),
        "offset_percent": Within(0, 100, itself=True),
        "reprice_s": Within(0, 604_800),
        "tries": Within(1, 1_000, itself=True),
        "stale_after_s": Within(0, 604_800),
        "before_close_s": Within(0, 86_399, itself=True),
        "late_s": Within(0, 604_800, itself=True),
        "pause_s": Within(0, 604_800, itself=True),
        "most": Within(1, 1_000_000, itself=True),
    }
)

PriceSource = Literal["last", "mark", "mid"]
PositionSide = Literal["NET", "LONG", "SHORT"]


class OnStale(StrEnum):
    """What a rule does once what it watches has gone stale and no quote can be had either.

    Attributes
    ----------
    HOLD
        Nothing: it is SUSPENDED, and ARMED again with the first price that comes.
    EXIT
        It fires.
    ALERT
        It stays ARMED and says so in an event.
    """

    HOLD = "HOLD"
    EXIT = "EXIT"
    ALERT = "ALERT"


@_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A price, as one of: itself, a percentage or a number of ticks away from the reference.

    Attributes
    ----------
    price : Decimal, optional
    percent : Decimal, optional
        Above 0. Away to which side the rule says: a stop lies where it hurts, a target where it pays.
    ticks : int, optional
        Above 0, likewise.
    """

    price: Decimal | None = None
    percent: Decimal | None = None
    ticks: int | None = None


@_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Send:
    """How exits are sent.

    Attributes
    ----------
    order_type : OrderType
        MARKET or LIMIT. Where the broker refuses MARKET orders, LIMIT is sent.
    protection : Decimal, optional
        Percent a MARKET order may move through the book; left out, the broker's automatic protection is asked for.
    offset_percent : Decimal
        How far through the last price a LIMIT order reaches.
    reprice_s : float
        After so long what is left of a LIMIT order is cancelled and sent anew at the price of then.
    tries : int
        How many refusals in a row end it.
    clears : {"ours", "all", "none"}
        Which working orders on the same side of the same position it may cancel where they leave it too little to
        exit: those of this library, also those placed elsewhere, or none.
    """

    order_type: OrderType = OrderType.MARKET
    protection: Decimal | None = None
    offset_percent: Decimal = Decimal("0.5")
    reprice_s: float = 5.0
    tries: int = 6
    clears: Literal["ours", "all", "none"] = "ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What all rules have.

    Attributes
    ----------
    rule_id : str
        Your name of it, good for one rule ever; minted where it is left out.
    send : Send
    where : {"local", "broker"}
        Watched by this process, or by the broker's own trigger where it has one.
    """

    rule_id: str = ""
    send: Send = field(default_factory=Send)
    where: Literal["local", "broker"] = "local"

    @property
    def kind(self) -> str:
        """The name of its class."""
        return type(self).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionRule(Rule):
    """What rules about one position have.

    Attributes
    ----------
    instrument_id, product, position_side
        Which position: the key of `Position`.
    quantity : Decimal, optional
        How much of it, at most; left out, all there is when it fires.
    """

    instrument_id: str
    product: Product
    position_side: PositionSide = "NET"
    quantity: Decimal | None = None

    @property
    def key(self) -> tuple[str, Product, PositionSide]:
        """The position's key."""
        return (self.instrument_id, self.product, self.position_side)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriceRule(PositionRule):
    """What rules that watch a price have.

    Attributes
    ----------
    source : {"last", "mark", "mid"}
        Which price of a tick; the stream is asked for in a mode that carries it. Quotes tell last prices alone.
    reference : Decimal, optional
        What percentages and ticks count from; left out, the position's average price.
    on_stale : OnStale
    stale_after_s : float
        No usable price for so long, while the market is open, is stale.
    poll : bool
        Ask for quotes while the stream is silent or gone, before anything counts as stale.
    """

    source: PriceSource = "last"
    reference: Decimal | None = None
    on_stale: OnStale = OnStale.HOLD
    stale_after_s: float = 30.0
    poll: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class _OneLevel(PriceRule):
    price: Decimal | None = None
    percent: Decimal | None = None
    ticks: int | None = None

    @property
    def level(self) -> Level:
        """Where, or how far away."""
        return Level(price=self.price, percent=self.percent, ticks=self.ticks)


@_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class StopLoss(_OneLevel):
    """Exit when the price falls to a level (a long position), or rises to it (a short one).

    Give one of `price`, `percent` and `ticks`, see `Level`.
    """


@_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class TakeProfit(_OneLevel):
    """Exit when the price rises to a level (a long position), or falls to it (a short one)."""


@_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class TrailingStop(_OneLevel):
    """Exit when the price falls back from its best by a distance; the level only ever comes closer.

    Attributes
    ----------
    price, percent, ticks
        The distance: in money, in percent of the best price, or in ticks.
    start : Decimal, optional
        Where the level lies at first; left out, the distance away from the first price seen.
    """

    start: Decimal | None = None


@_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Oco(PriceRule):
    """A stop and a target for the same quantity: whichever is reached first exits, and the other is void.

    Attributes
    ----------
    stop, target : Level
    trailing : bool
        The stop is the distance of a trailing one.
    """

    stop: Level
    target: Level
    trailing: bool = False


@_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Bracket(Oco):
    """A stop and a target for what an entry order fills. It waits for the first fill, and ends if none comes.

    Attributes
    ----------
    entry : str
        The entry order's name (`client_order_id`). Percentages and ticks count from its average price.
    """

    entry: str


@_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One step of a ladder: where, and how much.

    Attributes
    ----------
    level : Level, optional
    r : Decimal, optional
        Instead: so many times the rule's `risk` away from the reference.
    quantity : Decimal, optional
    fraction : Decimal, optional
        Instead: of the position as it was when the rule was added, above 0, at most 1.
    """

    level: Level | None = None
    r: Decimal | None = None
    quantity: Decimal | None = None
    fraction: Decimal | None = None


@_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class ScaleOut(PriceRule):
    """Exit in steps as the price moves in the position's favour. The last rung takes whatever is left.

    Attributes
    ----------
    rungs : tuple of Rung
        The nearest first. Each is rounded down to whole lots, so that all add up to the position exactly.
    risk : Decimal, optional
        What one R is, as a price difference: usually from the entry to the stop.
    """

    rungs: tuple[Rung, ...]
    risk: Decimal | None = None


@_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class TimeExit(PositionRule):
    """Exit at a time of the clock.

    Attributes
    ----------
    at : str, optional
        ``HH:MM`` or ``HH:MM:SS`` in the exchange's time zone: the next time it is that on a day of the week on which
        the exchange is open then. Of holidays the calendar knows those of the years it covers: on another one, the
        broker refuses the exit and the rule FAILS.
    before_close_s : float, optional
        Instead: so many seconds before the exchange's close.
    late_s : float
        How late it still acts, where no process ran or the exchange was closed at its time; later than that it fails
        and says so.
    """

    at: str | None = None
    before_close_s: float | None = None
    late_s: float = 3600.0


@_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class MarginFloor(Rule):
    """Make positions smaller when margin runs short.

    Attributes
    ----------
    segment : Segment
    below : Decimal, optional
        Usable margin (`Margin.net`) under which it fires.
    utilisation : Decimal, optional
        Instead: used over used plus usable, in (0, 1], above which it fires.
    by : str
        ``largest_loser``: exit the position with the worst unrealised P&L. ``pro_rata``: take `fraction` of every one.
        Else the name of a plan of yours, see `RuleBook.plan`.
    fraction : Decimal
    pause_s : float
        How long after an exit margin is looked at again.
    most : int
        How often it may fire before it fails and asks for somebody.
    """

    segment: Segment
    below: Decimal | None = None
    utilisation: Decimal | None = None
    by: str = "largest_loser"
    fraction: Decimal = Decimal("0.25")
    pause_s: float = 5.0
    most: int = 20


@_checked
@dataclass(frozen=True, slots=True, kw_only=True)
class DailyLoss(Rule):
    """Stop for the day when it has lost too much.

    Attributes
    ----------
    limit : Decimal
        The loss since the day began, above 0; what was carried over counts from the previous close on.
    currency : str
    act : {"flatten", "block", "both"}
        Exit every position, refuse new orders until the day is over, or both.
    after_charges : bool
        Whether the loss includes the day's charges, as far as they are known: what is lost is money, whoever has it.
    """

    limit: Decimal
    currency: str = "INR"
    after_charges: bool = True
    act: Literal["flatten", "block", "both"] = "both"


AnyRule = StopLoss | TakeProfit | TrailingStop | Oco | Bracket | ScaleOut | TimeExit | MarginFloor | DailyLoss
KINDS: dict[str, type[Rule]] = {
    one.__name__: one
    for one in (StopLoss, TakeProfit, TrailingStop, Oco, Bracket, ScaleOut, TimeExit, MarginFloor, DailyLoss)
}
