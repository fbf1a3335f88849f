"""Entry orders of brackets that are over: what has not filled yet must not fill any more, for nothing guards it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from dragoman.errors import DragomanError
from dragoman.model import OrderStatus
from dragoman.orders import OrderService
from dragoman.rules.model import Bracket
from dragoman.rules.tracked import Tracked
from dragoman.runtime.base import Runtime
from dragoman.session.secrets import redact

if TYPE_CHECKING:
    from dragoman.rules.engine import Engine

_AGAIN_S: Final = 1.0
_TAKEN_S: Final = 2.0  # how long a cancel that the broker took may need
_log = logging.getLogger("dragoman.rules")


class Entries:
    """Cancels entries of brackets that have fired, or are over, until they have ended.

    Parameters
    ----------
    runtime : Runtime
    orders : OrderService
    engine : Engine
    """

    def __init__(self, runtime: Runtime, orders: OrderService, engine: Engine) -> None:
        self._runtime = runtime
        self._orders = orders
        self._engine = engine
        self._ending: set[str] = set()

    def end(self, rule: Tracked) -> bool:
        """Whether a bracket's entry may still fill; from here on it is being cancelled."""
        assert isinstance(rule.rule, Bracket)
        name = rule.rule.entry
        entry = self._orders.store.get(name)
        if entry is None or entry.status.terminal:
            return False
        if name not in self._ending:
            self._ending.add(name)
            self._runtime.spawn(self._end(name, rule.rule_id), name=f"end the entry of {rule.rule_id}")
        return True

    async def _end(self, name: str, rule_id: str) -> None:
        try:
            while not self._engine.closed:
                entry, wait_s = self._orders.store.get(name), _TAKEN_S
                if entry is None or entry.status.terminal:
                    return
                if entry.order_id and entry.status is not OrderStatus.UNKNOWN:
                    try:
                        await self._orders.cancel(entry)
                    except DragomanError as error:
                        wait_s = max(_AGAIN_S, error.retry_after_s or 0.0)
                        _log.warning("entry %s of rule %s is not cancelled: %s", name, rule_id, redact(str(error)))
                await self._runtime.sleep(wait_s)
        finally:
            self._ending.discard(name)
