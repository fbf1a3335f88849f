"""How a client's instrument master is filled: from this host's cache, or from the broker and then kept for later."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from dragoman.market.master import InstrumentMaster
from dragoman.market.master_cache import MasterCache
from dragoman.model import Notice
from dragoman.session.session import AccountSession

_KEEP_S: Final = 5.0
"""How long the end of a client waits for its master to be kept."""


class MasterLoader:
    """Fills one client's instrument master, as often as it is asked.

    Parameters
    ----------
    session : AccountSession
    instruments : InstrumentMaster
        Becomes what was loaded; until that is complete it stays as it is.
    cache : MasterCache or None
        Where masters of the day are kept, if they are.
    publish : callable
        Gets a `Notice` where the cache cannot be used.
    """

    def __init__(
        self,
        session: AccountSession,
        instruments: InstrumentMaster,
        cache: MasterCache | None,
        publish: Callable[[Notice], None],
    ) -> None:
        self._session = session
        self._instruments = instruments
        self._cache = cache
        self._publish = publish
        self._keeping: asyncio.Task[None] | None = None

    async def load(self, *, cached: bool, timeout_s: float) -> int:
        """Load the master, from the cache where that is wanted and it is there; return how many instruments it has."""
        session, cache = self._session, self._cache
        if cached and cache is not None:
            with session.runtime.garbage_kept():
                found = await session.runtime.in_worker(cache.load, session.ctx.now_ns)
            if found.master is not None:
                self._instruments.become(found.master)
                return len(self._instruments)
            if found.problem:
                self._publish(Notice("warning", found.problem, "MASTER_CACHE"))
        fresh, as_of = InstrumentMaster(), session.ctx.now_ns
        with session.runtime.garbage_kept():
            await session.run(session.adapter.instruments(session.ctx), timeout_s=timeout_s, on_rows=fresh.add)
        fresh.source = "download"
        self._instruments.become(fresh)
        if cache is not None:
            self._keeping = session.runtime.spawn(self._keep(cache, as_of), name="keep the instrument master")
        return len(self._instruments)

    async def close(self) -> None:
        """Wait until the master is kept, a few seconds at most."""
        if self._keeping is not None:
            await asyncio.wait((self._keeping,), timeout=_KEEP_S)

    async def _keep(self, cache: MasterCache, as_of: int) -> None:
        """Write the master for later runs; nothing waits for it, and nothing fails because of it."""
        try:
            await self._session.runtime.in_worker(cache.save, self._instruments, as_of)
        except OSError as error:
            self._publish(Notice("warning", f"the instrument master is not kept: {error}", "MASTER_CACHE"))
