"""One exit: what is wanted of a position, and the orders it has become so far."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from dragoman.errors import ErrorKind
from dragoman.model import Instrument, Order, Side
from dragoman.portfolio.net import PositionKey
from dragoman.rules.model import Send
from dragoman.rules.working import ZERO, left

_LOT_OF_ONE: Final = Decimal(1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitReport:
    """How an exit ended.

    Attributes
    ----------
    wanted, filled : Decimal
        They differ where it failed, and where others closed the position meanwhile.
    failed : bool
        Part of the position that should be gone is still there, and nothing more is tried.
    reason : str
    orders : tuple of str
        Names of the orders it took.
    """

    name: str
    key: PositionKey
    side: Side
    wanted: Decimal
    filled: Decimal
    failed: bool
    reason: str
    orders: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Refusal:
    """One order that was refused.

    Attributes
    ----------
    step : int or Decimal
        Which of its exit's steps sent it; of an order of an earlier run, its quantity.
    largest : Decimal
        The largest order of that step.
    """

    kind: ErrorKind
    text: str
    step: int | Decimal
    largest: Decimal
    retry_after_s: float | None = None


class Exit:
    """What `Exits.reduce` returns; await it for how it ends.

    Attributes
    ----------
    name : str
        Its orders are called after it: ``NAME.1``, ``NAME.2``, so that each is sent once, whoever asks again.
    side : Side
        Of its orders. Where the position turns to the other side it is over.
    wanted : Decimal
    whole : bool
        All there is: it grows with a position that grows while it exits.
    changed : callable or None
        Told when an order of it was sent, and when it has ended.
    stopped : str
        Why nothing more of it is sent, where that is so: it ends once nothing of it is on its way any more.
    waits_for : str
        What has kept it from sending anything for long; empty where nothing has.
    comparisons : int
        How often the broker was asked for the position, because it had told another one than is counted here.
    yielded : bool
        It was stopped because another exit took over what it had left, which is no failure.
    """

    def __init__(
        self,
        name: str,
        key: PositionKey,
        side: Side,
        wanted: Decimal,
        instrument: Instrument,
        send: Send,
        why: str,
        order_of: Callable[[str], Order | None],
        *,
        whole: bool,
        timeout_s: float,
    ) -> None:
        self.name = name
        self.key = key
        self.side = side
        self.wanted = wanted
        self.whole = whole
        self.instrument = instrument
        self.send = send
        self.why = why
        self.timeout_s = timeout_s
        self.orders: list[str] = []
        self.changed: Callable[[Exit], object] | None = None
        self.entering: dict[str, Decimal] = {}  # placed, and not in the store yet
        self.judged: set[str] = set()
        self.retracted: set[str] = set()  # orders it cancels itself
        self.retry_after: dict[str, float | None] = {}
        self.steps: list[Decimal] = []  # the largest order of each time that something was sent
        self.step_of: dict[str, int] = {}
        self.refusals = 0
        self._counted: set[tuple[int | Decimal, ErrorKind]] = set()
        self.piece: Decimal | None = None
        self.as_limit = False
        self.stopped = ""
        self.waits_for = ""
        self.unreached: ErrorKind | None = None  # why the broker could not be asked, as was told last
        self.comparisons = 0
        self.yielded = False
        self.paused: asyncio.TimerHandle | None = None
        self.patience: asyncio.TimerHandle | None = None
        self.ended: asyncio.Future[ExitReport] = asyncio.get_running_loop().create_future()
        self._order_of = order_of

    def __await__(self) -> Generator[Any, None, ExitReport]:
        return asyncio.shield(self.ended).__await__()

    @property
    def done(self) -> bool:
        return self.ended.done()

    @property
    def report(self) -> ExitReport | None:
        """How it ended; None while it has not."""
        return self.ended.result() if self.ended.done() else None

    @property
    def filled(self) -> Decimal:
        """How much its orders have filled."""
        return sum((order.filled_quantity for order in self.known), ZERO)

    @property
    def working(self) -> Decimal:
        """How much of its orders may still fill, those not entered yet included."""
        return sum((left(order) for order in self.known), sum(self.entering.values(), ZERO))

    @property
    def known(self) -> list[Order]:
        """Its orders as they are now."""
        return [order for name in self.orders if (order := self._order_of(name)) is not None]

    def pieces(self, amount: Decimal, most: int) -> list[Decimal]:
        """Cut an amount into orders: whole lots, none above the freeze quantity or what was refused as too large."""
        lot = self.instrument.lot_size or _LOT_OF_ONE
        whole = amount // lot * lot if self.instrument.lot_size else amount
        limits = [limit // lot * lot for limit in (self.instrument.freeze_quantity, self.piece) if limit is not None]
        largest = max(min(limits), lot) if limits else whole
        found: list[Decimal] = []
        while whole > 0 and len(found) < most:
            found.append(min(whole, largest))
            whole -= found[-1]
        return found

    def halve(self, refused: Decimal) -> bool:
        """Take orders of at most half of one that was refused; False where that is less than a lot."""
        lot = self.instrument.lot_size or _LOT_OF_ONE
        half = refused / 2 // lot * lot
        if half < lot:
            return False
        self.piece = half
        return True

    def largest(self, step: int | Decimal) -> Decimal:
        """Return the size of the largest order of one of its steps."""
        return self.steps[step - 1] if isinstance(step, int) else step

    def counts(self, refusal: Refusal) -> bool:
        """Whether a refusal is the first of its reason among what one step sent; it is counted from here on."""
        told = (refusal.step, refusal.kind)
        if told in self._counted:
            return False
        self._counted.add(told)
        return True

    def end(self, reason: str, *, failed: bool) -> None:
        """Say how it ended."""
        for timer in (self.paused, self.patience):
            if timer is not None:
                timer.cancel()
        self.paused = self.patience = None
        if self.ended.done():
            return
        self.ended.set_result(
            ExitReport(
                name=self.name,
                key=self.key,
                side=self.side,
                wanted=self.wanted,
                filled=self.filled,
                failed=failed,
                reason=reason,
                orders=tuple(self.orders),
            )
        )
        if self.changed is not None:
            self.changed(self)
