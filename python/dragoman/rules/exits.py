"""The one way anything exits a position.

Theory: an exit may take what the live position has less whatever is spoken for already: every working order on the same
side of the same position, whoever placed it, every one of unknown outcome, and what other exits are about to enter.
Since an order's unseen fills make the position smaller by just as much as they make the order smaller, this holds also
while updates are missing: no exit takes a position past zero. All of it is looked at again with each change of an order
or of the position, on the loop and in one piece, so that two exits that begin in the same moment see each other.

An order of unknown outcome is never sent again: it counts as working until it is found, or proven not to have arrived.
Orders are named after the exit and numbered, and a name is one order for ever, also after a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Final

from dragoman.errors import DragomanError, UsageError
from dragoman.market import MarketData
from dragoman.model import OrderUpdate, Side
from dragoman.orders import OrderService
from dragoman.portfolio.net import PositionKey
from dragoman.rules.clearing import Clearing
from dragoman.rules.exit import Exit
from dragoman.rules.model import Send
from dragoman.rules.positions import Positions
from dragoman.rules.sending import Sending
from dragoman.rules.terms import exit_side
from dragoman.rules.working import ZERO, Working
from dragoman.session.secrets import redact
from dragoman.session.session import AccountSession

_MOST_AT_ONCE: Final = 10
_QUOTE_S: Final = 2.0
_COMPARE_S: Final = 5.0
_log = logging.getLogger("dragoman.rules")
_PLAIN: Final = Send()


class Exits:
    """Exits of one account.

    Parameters
    ----------
    session : AccountSession
    orders : OrderService
    market : MarketData
        Resolves instruments, and is asked for a price where a LIMIT order needs one.
    positions : Positions
    price_of : callable, optional
        Returns the last price of an instrument's canonical id where a stream has told one.

    Attributes
    ----------
    compare : callable
        Reads the broker's positions, and compares what is counted with them.
    withdraw : callable
        Asked before a position is exited: takes away what rests at the broker, is no order, and would exit it too.
    """

    def __init__(
        self,
        session: AccountSession,
        orders: OrderService,
        market: MarketData,
        positions: Positions,
        price_of: Callable[[str], Decimal | None] = lambda instrument_id: None,
    ) -> None:
        self._session = session
        self._orders = orders
        self._store = orders.store
        self._market = market
        self._positions = positions
        self._price_of = price_of
        self._exits: dict[PositionKey, list[Exit]] = {}
        self._by_name: dict[str, Exit] = {}
        self._dirty: set[PositionKey] = set()
        self._due: asyncio.Handle | None = None
        self._working = Working(self._store)
        self._clearing = Clearing(session, orders, self._working, self)
        self._sending = Sending(session, orders, market, self._clearing, self, price_of)
        self.compare: Callable[..., Awaitable[object]] = _nothing
        self.withdraw: Callable[[PositionKey, Side, Decimal], Awaitable[object] | None] = lambda key, side, wanted: None
        self._ends: list[Callable[[], object]] = [positions.listen(self._on_position), self._working.end]
        self._unlisten: Callable[[], None] | None = None  # orders are listened to while there are exits
        self._closed = False

    # -- the face ----------------------------------------------------------------------------------------------------

    def reduce(
        self,
        key: PositionKey,
        quantity: Decimal | None,
        why: str,
        *,
        name: str,
        side: Side | None = None,
        send: Send | None = None,
        timeout_s: float = 10.0,
        changed: Callable[[Exit], object] | None = None,
    ) -> Exit:
        """Make a position smaller by at most `quantity`; None: as far as it goes. From here on, whoever waits.

        Under a name that runs already, that exit is returned. Orders that an earlier run placed under it count.

        Parameters
        ----------
        key : PositionKey
        quantity : Decimal, optional
        why : str
            For the log and the report.
        name : str
            Names its orders, ``NAME.1`` and so on: give the same one for the same exit, also after a restart.
        side : {BUY, SELL}, optional
            Of its orders; left out, what closes the position as it is now.
        send : Send, optional
        timeout_s : float
            For each order to be answered.
        changed : callable, optional
            Told when an order of it was sent, and when it has ended.

        Raises
        ------
        UsageError
            The instrument is unknown, the session is read-only, or `quantity` is not above 0.
        """
        running = self._by_name.get(name)
        if running is not None:
            return running
        self._session.check_mutable()
        if quantity is not None and quantity <= 0:
            raise UsageError(f"exit {name}: a quantity of {quantity}", remedy="give one above 0, or None for all")
        (instrument,) = self._market.resolve(key[0])
        held = self._positions.quantity(key)
        side = side or exit_side(held)
        size = abs(held) if held and exit_side(held) is side else ZERO
        wanted = size if quantity is None else quantity
        whole = quantity is None
        found = Exit(
            name,
            key,
            side,
            wanted,
            instrument,
            send or _PLAIN,
            why,
            self._store.get,
            whole=whole,
            timeout_s=timeout_s,
        )
        found.changed = changed
        self._adopt(found)
        self._by_name[name] = found
        self._exits.setdefault(key, []).append(found)
        if self._unlisten is None and not self._closed:
            self._unlisten = self._store.listen(self._on_order)
        _log.info("exit %s: %s %s of %s: %s", name, side, "all" if whole else wanted, key[0], why)
        waiting = self.withdraw(key, side, wanted)
        if waiting is not None:
            self.pause(found, None)
            self._session.runtime.spawn(self._first(waiting, found), name=f"exit {name}")
        self._step(found)
        return found

    async def _first(self, waiting: Awaitable[object], one: Exit) -> None:
        await waiting
        self.go_on(one)

    def running(self, key: PositionKey | None = None) -> list[Exit]:
        """Return the exits that have not ended, of one position or of all."""
        found = self._exits.get(key, []) if key is not None else [one for many in self._exits.values() for one in many]
        return list(found)

    def spent(self, name: str) -> bool:
        """Whether an exit of that name was sent before, and none of its orders can fill any more."""
        if name in self._by_name or not self.taken(f"{name}.1"):
            return False
        number = 1
        while self.taken(order := f"{name}.{number}"):
            found = self._store.get(order)
            if found is None or not found.status.terminal:
                return False
            number += 1
        return True

    def free(self, key: PositionKey, side: Side) -> Decimal:
        """Return how much of a position nothing that works will take; below 0 where too much works."""
        held = self._positions.agreed(key)
        size = abs(held) if held and exit_side(held) is side else ZERO
        spoken_for = self._working.taken(key, side)
        entering = sum((sum(one.entering.values(), ZERO) for one in self._exits.get(key, ())), ZERO)
        return size - spoken_for - entering

    def recount(self) -> None:
        """Look at all orders and exits again: after orders of an earlier run were entered."""
        self._working.recount()
        for key in tuple(self._exits):
            self.touch(key)

    def close(self) -> None:
        """End all of it here; what works at the broker works on, and a next run goes on."""
        self._closed = True
        for end in self._ends:
            end()
        if self._due is not None:
            self._due.cancel()
        for one in self.running():
            one.changed = None
            one.end("the client was closed", failed=True)
        self._exits.clear()
        self._listen_no_more()

    # -- what makes it look again ------------------------------------------------------------------------------------

    def _on_order(self, update: OrderUpdate) -> None:
        self.touch_all(update.order.instrument_id)

    def _listen_no_more(self) -> None:
        if self._unlisten is not None:
            self._unlisten()
            self._unlisten = None

    def _on_position(self, key: PositionKey) -> None:
        if key in self._exits:
            self.touch(key)

    def touch(self, key: PositionKey) -> None:
        """Look at the exits of a position once whoever is telling of a change has told all."""
        # Later, when whoever is being told of the change has all been told: order and position must say the same.
        self._dirty.add(key)
        if self._due is None:
            self._due = asyncio.get_running_loop().call_soon(self._look)

    def touch_all(self, instrument_id: str) -> None:
        """The same for every position in an instrument."""
        for key in self._exits:
            if key[0] == instrument_id:
                self.touch(key)

    def _look(self) -> None:
        self._due = None
        dirty, self._dirty = self._dirty, set()
        for key in dirty:
            for one in tuple(self._exits.get(key, ())):
                self._step(one)

    # -- one step ----------------------------------------------------------------------------------------------------

    def _adopt(self, one: Exit) -> None:
        """Take over the orders that an earlier run, or the same one, placed under the exit's name."""
        number = 1
        while self.taken(name := f"{one.name}.{number}"):
            one.orders.append(name)
            self._clearing.take(one, name)
            number += 1

    def taken(self, name: str) -> bool:
        """Whether an order of that name was placed, or is about to be."""
        return self._store.get(name) is not None or self._orders.intents.get(name) is not None

    def _step(self, one: Exit) -> None:
        """Plan what is left of an exit, and send it."""
        if one.done:
            return
        self._sending.judge(one)
        if one.done or not self._positions.ready:
            return
        held = self._positions.quantity(one.key)
        size = abs(held) if held and exit_side(held) is one.side else ZERO
        free = self.free(one.key, one.side)
        if free < 0:
            self._clearing.retract(one, -free)
        working = one.working
        if one.whole:
            one.wanted = max(one.wanted, one.filled + size)
        missing = one.wanted - one.filled - working
        if not working and (missing <= 0 or not size):
            self.end(one, "done" if one.filled >= one.wanted else self._gone(held), failed=False)
            return
        if one.stopped:
            if not working:
                self.end(one, one.stopped, failed=not one.yielded)
            return
        amount = min(missing, free)
        pieces = one.pieces(amount, _MOST_AT_ONCE - len(one.entering)) if amount > 0 else []
        if pieces and one.paused is None:
            self._sending.send(one, pieces)
        elif not working and one.paused is None and self._positions.agreed(one.key) != held:
            self._compare(one, held)
        elif not working and one.paused is None and not pieces:
            self._clearing.wait_or_clear(one, missing, free, size)

    def ask(self, one: Exit) -> None:
        """Ask the broker for the position of an exit whose order it says is more than there is."""
        self._compare(one, self._positions.quantity(one.key))

    def _compare(self, one: Exit, held: Decimal) -> None:
        """Ask the broker again for a position of which it has told another size; give up while that stands."""
        if one.comparisons >= one.send.tries:
            agreed = self._positions.agreed(one.key)
            self.end(
                one, f"{held} are counted and the broker has said otherwise: at most {agreed} are safe", failed=True
            )
            return
        one.comparisons += 1
        # Its positions may tell of a fill a while after its orders do: a reading before that would be of no use.
        wait_s = self._session.adapter.session.settle_s if one.orders or one.comparisons > 1 else 0.0
        self.pause(one, wait_s + 3 * _COMPARE_S)
        self._session.runtime.spawn(self._compared(one, wait_s), name=f"positions for exit {one.name}")

    async def _compared(self, one: Exit, wait_s: float) -> None:
        await self._session.runtime.sleep(wait_s)
        try:
            await self.compare(timeout_s=_COMPARE_S)
        except DragomanError as error:
            _log.warning("exit %s: the position cannot be read: %s", one.name, redact(str(error)))
        self.go_on(one)

    def _gone(self, held: Decimal) -> str:
        return f"the position has turned to {held}" if held else "the position was closed meanwhile"

    # -- waiting and ending --------------------------------------------------------------------------------------------

    def pause(self, one: Exit, seconds: float | None) -> None:
        """Send nothing for a while; None: until told otherwise."""
        if one.paused is not None:
            one.paused.cancel()
        loop = asyncio.get_running_loop()
        one.paused = loop.call_later(_QUOTE_S * 4 if seconds is None else seconds, self.go_on, one)

    def go_on(self, one: Exit) -> None:
        """End its pause."""
        if one.paused is not None:
            one.paused.cancel()
        one.paused = None
        self.touch(one.key)

    def end(self, one: Exit, reason: str, *, failed: bool) -> None:
        """End an exit; one that failed, once nothing of it is on its way any more."""
        if failed and one.working:
            one.stopped = one.stopped or reason  # what is on its way may still do it; nothing is sent after it
            return
        running = self._exits.get(one.key, [])
        if one in running:
            running.remove(one)
        if not running:
            self._exits.pop(one.key, None)
        if not self._exits:
            self._listen_no_more()
        self._by_name.pop(one.name, None)
        for name in one.orders:
            self._clearing.owners.pop(name, None)
        level = logging.ERROR if failed else logging.INFO
        _log.log(level, "exit %s has ended, %s of %s: %s", one.name, one.filled, one.wanted, reason)
        one.end(reason, failed=failed)
        if running:
            self.touch(one.key)


async def _nothing(*, timeout_s: float) -> None:
    """Compare nothing: nobody reads positions."""
