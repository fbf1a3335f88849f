"""One segment over a day: readings believed or doubted, and how well the projection did."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Final, Literal

from dragoman.model import Instrument, Margin
from dragoman.plugin import MarginTerms
from dragoman.portfolio.margin.projection import Projection, Verdict
from dragoman.portfolio.margin.rates import RateBook
from dragoman.portfolio.margin.rule import ZERO
from dragoman.portfolio.margin.sanity import contradictions, unusable
from dragoman.portfolio.margin.state import State
from dragoman.portfolio.margin.streamed import overlaid, paid_in
from dragoman.portfolio.net import PositionKey

_NS: Final = 1_000_000_000
_TOLD_AGAIN: Final = 3
_TOLD_FOR_NS: Final = 10 * _NS
_ABSURD: Final = Decimal("0.25")
_KEPT: Final = 10_000
COUNTED: Final = (
    "readings",
    "judged",
    "bound_broken",
    "explained_late",
    "doubted",
    "beyond_bound",
    "unusable",
    "passed_over",
)

Said = tuple[Literal["DOUBTFUL", "DIFFERS"], str, Margin]


@dataclass(frozen=True, slots=True)
class Record:
    """How one reading compared: `error` was to be within `bound`; `used` is what the broker told."""

    ts: int
    error: Decimal
    bound: Decimal
    used: Decimal | None


class SegmentMargin:
    """The readings of one segment, and the projection since the last one that was believed.

    Attributes
    ----------
    begun : bool
        Whether a reading stands beside what is known of positions; where it does not, figures are stale.
    clear : bool
        Whether it is known what the last reading had seen; where it is not, the next one should come soon.
    records : deque of Record
        The newest comparisons of readings with projections.
    counters : dict of str to int
        ``readings``; ``judged``: compared with a projection; ``bound_broken``: further off than its bound;
        ``explained_late``: explained by what came after it; ``doubted``: not believed when it came;
        ``beyond_bound``: of these, further off the projection than its bound, whether or not explained later;
        ``unusable``: had no numbers to count with; ``passed_over``: pushes older than what was known.
    """

    def __init__(
        self,
        rates: RateBook,
        terms: MarginTerms,
        instrument: Callable[[PositionKey], Instrument | None],
        mine: Callable[[PositionKey], bool] = lambda key: True,
    ) -> None:
        self._rates, self._terms, self._instrument, self._mine = rates, terms, instrument, mine
        self._slack = ZERO
        self._day = ""
        self._doubted_ns: int | None = None
        self._doubts = 0
        self.projection: Projection | None = None
        self.believed_ns = 0
        self.clear = True
        self.begun = False
        self.records: deque[Record] = deque(maxlen=_KEPT)
        self.counters = dict.fromkeys(COUNTED, 0)

    @property
    def doubtful(self) -> bool:
        """Whether the broker's newest word is not believed yet."""
        return self._doubted_ns is not None

    def begin_anew(self, state: State) -> None:
        """Compare nothing with what was known before: of positions it was something else. The next reading decides."""
        if self.projection is not None:
            self._believe(self.projection.told, state, self.believed_ns)
            self._day, self.begun = "", False

    def take(self, told: Margin, states: Sequence[State], now: int, day: str, *, blind: bool) -> list[Said]:
        """Take a reading; return what somebody should hear of.

        Parameters
        ----------
        states : sequence of State
            What was known from when it was asked for until a moment after it came, oldest first.
        now : int
            Monotonic ns.
        day : str
            Between days nothing is projected: brokers settle.
        blind : bool
            Whether what is known may lack something; nothing is compared then, nor with this reading later.
        """
        self.counters["readings"] += 1
        told = replace(told, ts_polled=told.ts_event)
        if nothing := unusable(told):
            self.counters["unusable"] += 1
            return self._doubt(now, told, f"the broker's margin of {told.segment} has no usable numbers: {nothing}")
        problem = contradictions(told, self._terms)
        text = f"the broker's margin of {told.segment} contradicts itself: {problem}"
        old = self.projection
        if old is None or blind or day != self._day:
            self._day = "" if blind else day
            said = self._doubt(now, told, text) if problem else []
            if not problem:
                self._trust()
            self.begun, self.clear = not blind, len(states) == 1
            self._believe(told, states[-1], now)
            return said
        verdict = old.judge(told, states)
        if problem and not self._said_often_enough(now):
            return self._doubt(now, told, text)
        if verdict.bound is not None and not verdict.held and not self._said_often_enough(now):
            self.counters["beyond_bound"] += 1
            absurd = verdict.error > _ABSURD * (abs(told.net or ZERO) + abs(told.used.total or ZERO))
            return self._doubt(
                now,
                told,
                f"the broker's margin of {told.segment} differs by {verdict.error:.2f} from what orders, fills and "
                f"marks explain (error bound {verdict.bound:.2f}); it is believed once repeated",
                loud=absurd,
            )
        said = [] if verdict.bound is None else self._judged(told, verdict)
        old.learn(told, verdict)
        self._trust()
        self._believe(told, verdict.state, now)
        self.clear = verdict.clear
        return said

    def streamed(
        self, seen: Margin, paid: Decimal, states: Sequence[State], now: int, day: str, *, blind: bool
    ) -> list[Said]:
        """Take what the broker told unasked, as `take` does; what it leaves out stays as it was projected or told.

        Nothing is laid over nothing, and what is older than the last reading is passed over.

        Parameters
        ----------
        seen : Margin
        paid : Decimal
            What came in beside trading, where the message tells neither what is free nor what is used.
        """
        old = self.projection
        if old is None or (seen.ts_event or now) <= (old.told.ts_event or 0):
            self.counters["passed_over"] += 1
            return []
        if seen.net is not None or seen.used.total is not None:
            known = old.margin(states[-1], seen.ts_event or now, stale=False)
            return self.take(overlaid(known, seen), states, now, day, blind=blind)
        told = replace(paid_in(overlaid(old.told, seen), paid), ts_polled=seen.ts_event)
        wrong = unusable(told) or contradictions(told, self._terms)
        if wrong:
            return self._doubt(now, told, f"what the broker streamed of {told.segment} cannot be true: {wrong}")
        old.told = told  # what it had seen of orders and positions is as it was
        return []

    def _judged(self, told: Margin, verdict: Verdict) -> list[Said]:
        assert self.projection is not None
        assert verdict.bound is not None
        self.counters["judged"] += 1
        self.records.append(Record(told.ts_event or 0, verdict.error, verdict.bound, told.used.total))
        self._slack = self.projection.slack_after(verdict)
        if verdict.held:
            self.counters["explained_late"] += self.doubtful
            return []
        self.counters["bound_broken"] += 1
        text = (
            f"the margin of {told.segment} was projected {verdict.error:.2f} {told.currency} off, beyond the error "
            f"bound of {verdict.bound:.2f}; bounds are wider from here on"
        )
        return [("DIFFERS", text, told)]

    def _believe(self, told: Margin, state: State, now: int) -> None:
        self.projection = Projection(told, state, self._rates, self._terms, self._instrument, self._slack, self._mine)
        self.believed_ns = now

    def _doubt(self, now: int, told: Margin, text: str, *, loud: bool = True) -> list[Said]:
        self.counters["doubted"] += 1
        self._doubts += 1
        if self._doubted_ns is None:
            self._doubted_ns = now
        elif self._doubts > 1:
            return []
        return [("DOUBTFUL", text, told)] if loud else []

    def _said_often_enough(self, now: int) -> bool:
        """Whether the broker stays with what was not believed."""
        since = self._doubted_ns
        return since is not None and self._doubts + 1 >= _TOLD_AGAIN and now - since >= _TOLD_FOR_NS

    def _trust(self) -> None:
        self._doubted_ns, self._doubts = None, 0
