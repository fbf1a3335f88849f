"""What rules watch prices with: native triggers on the stream, quotes where it is silent, and a word when both fail.

The triggers themselves are native and take whole batches; here they are armed, told of polled prices, and asked now and
then how far trailing levels have moved and how old the newest price is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import inf, isfinite
from typing import Final, Protocol

from dragoman.errors import DragomanError, UsageError
from dragoman.market import MarketData
from dragoman.market.master import InstrumentMaster
from dragoman.model import Instrument, Mode
from dragoman.rules.carried import RANK, mode_for
from dragoman.rules.terms import Leg
from dragoman.session.secrets import redact
from dragoman.session.session import AccountSession

_NS: Final = 1_000_000_000
_POLL_S: Final = 2.0
_QUOTES_S: Final = 3.0
_log = logging.getLogger("dragoman.rules")


class NativeTriggers(Protocol):
    """The face of `dragoman._core.Triggers` that rules use."""

    def arm(
        self,
        id: int,
        instrument: int,
        kind: str,
        level: float,
        *,
        trail: float = ...,
        source: str = ...,
        after_ns: int = ...,
        percent: bool = ...,
        step: float = ...,
    ) -> None: ...

    def disarm(self, id: int) -> bool: ...

    def level(self, id: int) -> float: ...

    def best(self, id: int) -> float: ...

    def seen_ns(self, id: int) -> int: ...

    def fire_at(self, instrument: int, price: float, ts: int) -> tuple[int, ...]: ...

    def fired(self) -> tuple[tuple[int, float, float, int | None, int], ...]:
        """Return (id, price, level, ts_event, ts_recv) of what the last call fired."""
        ...


@dataclass(slots=True)
class _Armed:
    instrument: Instrument
    handle: int
    leg: Leg
    source: str
    since_ns: int


class Watch:
    """Armed triggers of one account, by a number each.

    Parameters
    ----------
    session : AccountSession
    market : MarketData
    master : InstrumentMaster
    triggers : NativeTriggers
    streaming : callable
        Whether the stream of an instrument, by canonical id, stands now.
    fired : callable
        Gets the numbers of those that fired by a polled price; those fired by the stream come from the hand-out.
    """

    def __init__(
        self,
        session: AccountSession,
        market: MarketData,
        master: InstrumentMaster,
        triggers: NativeTriggers,
        streaming: Callable[[str], bool],
        fired: Callable[[Sequence[int]], object],
    ) -> None:
        self._session = session
        self._market = market
        self._master = master
        self._triggers = triggers
        self._streaming = streaming
        self._fired = fired
        self._armed: dict[int, _Armed] = {}
        self._polled_ns: dict[str, int] = {}
        self._tried_ns = 0
        self._open: dict[str, tuple[int, float | None]] = {}
        self._followed: dict[str, Mode] = {}
        self.failed_polls = 0

    def __len__(self) -> int:
        return len(self._armed)

    # -- arming ------------------------------------------------------------------------------------------------------

    def follow(self, instrument: Instrument, source: str = "last") -> bool:
        """Ask for an instrument's stream, in a mode that carries a price; return whether there is one.

        Raises
        ------
        UsageError
            The broker's sockets carry no more, or its stream does not carry that price.
        """
        mode = mode_for(self._session.adapter, instrument, source)
        if self._market.apply is None:
            return False
        name = instrument.instrument_id
        self._subscribe(name, mode, self._market.subscribed)
        if name not in self._followed or RANK[self._followed[name]] < RANK[mode]:
            self._followed[name] = mode
        return True

    def _subscribe(self, name: str, mode: Mode, subscribed: Mapping[str, Mode]) -> None:
        if name not in subscribed or RANK[subscribed[name]] < RANK[mode]:
            self._market.subscribe(name, mode)

    def keep(self) -> None:
        """Ask again for streams that somebody has dropped, or asked less of, while rules watch them."""
        if self._market.apply is None:
            return
        subscribed = self._market.subscribed
        for name in self.held():
            try:
                self._subscribe(name, self._followed[name], subscribed)
            except UsageError as error:
                _log.warning("%s is watched by rules, and its stream cannot be had again: %s", name, error)
                del self._followed[name]

    def held(self) -> Collection[str]:
        """Return the instruments whose streams rules hang on now; they are not unsubscribed."""
        armed = {one.instrument.instrument_id for one in self._armed.values()}
        return armed & self._followed.keys()

    def arm(self, number: int, instrument: Instrument, leg: Leg, source: str) -> None:
        """Arm one leg; it fires with the next usable price that reaches it."""
        handle = self._master.handle(instrument)
        now = self._session.runtime.clock.wall_ns()
        terms: dict[str, float | bool] = {}
        if leg.trail is not None:
            terms = {"trail": float(leg.trail), "percent": leg.percent, "step": float(leg.step or 0)}
        self._triggers.arm(number, handle, leg.way, float(leg.level), source=source, **terms)  # type: ignore[arg-type]
        self._armed[number] = _Armed(instrument, handle, leg, source, now)

    def disarm(self, number: int) -> None:
        """Disarm one; one that has fired, or was never armed, is no error."""
        if self._armed.pop(number, None) is not None:
            self._triggers.disarm(number)

    def took(self, number: int) -> Decimal | None:
        """Forget one that fired; return where its level lay."""
        armed = self._armed.pop(number, None)
        found = next((Decimal(repr(level)) for one, _, level, _, _ in self._triggers.fired() if one == number), None)
        return found if found is None or armed is None else armed.leg.on_step(found)

    def level(self, number: int) -> Decimal | None:
        """Return where a trailing level lies now; None where the trigger is not armed."""
        armed = self._armed.get(number)
        level = _decimal(self._triggers.level(number)) if armed is not None else None
        return level if level is None or armed is None else armed.leg.on_step(level)

    def best(self, number: int) -> Decimal | None:
        """Return the best price that a trailing one has seen since it was armed; None where it has seen none."""
        return _decimal(self._triggers.best(number)) if number in self._armed else None

    # -- how old prices are ------------------------------------------------------------------------------------------

    def silent_s(self, number: int) -> float:
        """Return for how long a trigger has had no usable price while its market is open, in seconds.

        A price that was polled counts; so does the time since it was armed, and since the market opened.
        """
        armed = self._armed.get(number)
        if armed is None:
            return 0.0
        open_for_s = self._open_for_s(armed.instrument)
        if open_for_s is None:
            return 0.0
        now = self._session.runtime.clock.wall_ns()
        name = armed.instrument.instrument_id
        polled = self._polled_ns.get(name, 0) if armed.source == "last" else 0
        seen = max(self._triggers.seen_ns(number), polled, armed.since_ns)
        return min((now - seen) / _NS, open_for_s)

    def interrupted(self, number: int) -> bool:
        """Whether the stream a trigger hangs on is gone now, while its market is open."""
        armed = self._armed.get(number)
        if armed is None or self._open_for_s(armed.instrument) is None:
            return False
        return not self._streaming(armed.instrument.instrument_id)

    def is_open(self, instrument_id: str) -> bool:
        """Whether an instrument's market is open, as far as the adapter knows."""
        instrument = self._master.get(instrument_id)
        return instrument is None or self._open_for_s(instrument) is not None

    def _open_for_s(self, instrument: Instrument) -> float | None:
        hours = self._session.adapter.hours
        if not any(not one.exchanges or instrument.exchange in one.exchanges for one in hours):
            return inf  # nobody has told when it is closed
        # The same second for a thousand rules: the calendar is asked once for each exchange.
        second = self._session.runtime.clock.wall_ns() // _NS
        known = self._open.get(instrument.exchange)
        if known is None or known[0] != second:
            known = second, self._session.calendar.open_for_s((instrument.exchange,))
            self._open[instrument.exchange] = known
        return known[1]

    # -- without a stream --------------------------------------------------------------------------------------------

    async def poll(self, numbers: Iterable[int]) -> None:
        """Ask for quotes of what these watch, all in one request, at most every two seconds; fire what they reach."""
        # A quote has the last price alone; marks and middles come by the stream, or not at all.
        armed = [one for number in numbers if (one := self._armed.get(number)) is not None and one.source == "last"]
        wanted = {one.instrument.instrument_id: one for one in armed}
        now = self._session.runtime.clock.mono_ns()
        if not wanted or now - self._tried_ns < _POLL_S * _NS or not self._can_poll:
            return
        self._tried_ns = now
        try:
            quotes = await self._market.quotes(
                [one.instrument for one in wanted.values()], Mode.LTP, timeout_s=_QUOTES_S
            )
        except DragomanError as error:
            self.failed_polls += 1
            _log.info("rules have no price, neither streamed nor polled: %s", redact(str(error)))
            return
        for name, quote in quotes.items():
            price, one = quote.last_price, wanted.get(name)
            if price is None or not isfinite(price) or price <= 0 or one is None:
                continue
            ts = self._session.runtime.clock.wall_ns()
            self._polled_ns[name] = ts
            fired = self._triggers.fire_at(one.handle, price, ts)
            if fired:
                self._fired(fired)

    async def price(self, instrument: Instrument) -> Decimal | None:
        """Return the last price of an instrument, asked of the broker; None where it has none.

        Raises
        ------
        DragomanError
            As `MarketData.quotes`.
        """
        quotes = await self._market.quotes(instrument, Mode.LTP, timeout_s=_QUOTES_S)
        price = quotes[instrument.instrument_id].last_price if instrument.instrument_id in quotes else None
        return Decimal(repr(price)) if price is not None and isfinite(price) and price > 0 else None

    async def prices(self, instruments: Sequence[Instrument]) -> dict[str, Decimal]:
        """Return last prices by canonical id, asked of the broker in one request; of none where that fails."""
        if not instruments or not self._can_poll:
            return {}
        try:
            quotes = await self._market.quotes(instruments, Mode.LTP, timeout_s=_QUOTES_S)
        except DragomanError as error:
            self.failed_polls += 1
            _log.info("positions have no price, neither streamed nor polled: %s", redact(str(error)))
            return {}
        found = {name: quote.last_price for name, quote in quotes.items()}
        return {name: Decimal(repr(price)) for name, price in found.items() if price and isfinite(price) and price > 0}

    async def closes(self, instruments: Sequence[Instrument]) -> dict[str, Decimal]:
        """Return previous closes by canonical id, asked of the broker in one request; of none where that fails."""
        if not instruments or not self._can_poll:
            return {}
        try:
            quotes = await self._market.quotes(instruments, Mode.FULL, timeout_s=_QUOTES_S)
        except DragomanError as error:
            _log.info("previous closes could not be asked for: %s", redact(str(error)))
            return {}
        found = {name: quote.previous_close for name, quote in quotes.items()}
        return {name: Decimal(repr(close)) for name, close in found.items() if close and isfinite(close) and close > 0}

    @property
    def _can_poll(self) -> bool:
        return bool(self._session.adapter.capabilities.features["quotes"])


def _decimal(price: float) -> Decimal | None:
    return Decimal(repr(price)) if isfinite(price) else None


def cannot_follow(instrument: Instrument, error: UsageError) -> UsageError:
    """Return the error of a rule whose prices can be had in no way."""
    return UsageError(
        f"prices of {instrument.instrument_id} cannot be followed: {error.args[0]}",
        remedy="make room on the stream, or give poll=True; nothing was armed",
    )
