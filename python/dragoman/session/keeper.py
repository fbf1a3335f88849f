"""Keeps a session alive: warns ahead of its end, renews it, and takes over what another process has renewed.

One process of a host renews at a time; the others find the new token where it is kept. Where only a human can log in,
the keeper waits for a token that somebody fetched, in this process or another, and goes on with it. It also asks again
about the one it had: not every refusal is meant.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from dragoman.errors import AuthRequired, DragomanError, ErrorKind
from dragoman.model import Notice
from dragoman.runtime.base import DiskLock, LockTaken
from dragoman.session.secrets import redact

if TYPE_CHECKING:
    from dragoman.session.session import AccountSession

_NS: Final = 1_000_000_000
_WARN_AHEAD_S: Final = 900.0
_RENEW_AHEAD_S: Final = 120.0
_SPREAD_S: Final = 30.0
_LOOK_AGAIN_S: Final = 60.0
_LOOK_FOR_TOKEN_S: Final = 10.0
_RENEWING_S: Final = 30.0
_ASK_AGAIN_S: Final = (10.0, 60.0, 300.0)
_STOOD_S: Final = 300.0
"""How long a session that was found to stand must do so before the next refusal is taken for a new one."""
_log = logging.getLogger("dragoman.session")


class SessionKeeper:
    """Watches over one session.

    Parameters
    ----------
    session : AccountSession
    lock_path : str
        The file that stands for the right to renew this profile's session.
    """

    def __init__(self, session: AccountSession, lock_path: str) -> None:
        self._session = session
        self._runtime = session.runtime
        self._lock_path = lock_path
        # Several processes must not all begin in the same second.
        self._ahead_s = _RENEW_AHEAD_S + session.runtime.random.uniform(0.0, _SPREAD_S)
        self._renewal: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._ended = asyncio.Event()
        self._asked = 0
        self._ask_ns = 0
        self._stands_since_ns: int | None = None

    def start(self) -> None:
        """Begin to watch, unless it does."""
        if self._watch is not None and not self._watch.done():
            return
        self._watch = self._runtime.spawn(self._keep(), name=f"{self._session.adapter.name} session keeper")

    async def close(self) -> None:
        """End it, and a renewal that runs."""
        tasks = [task for task in (self._watch, self._renewal) if task is not None and not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def session_ended(self) -> None:
        """The broker no longer accepts the session: get another, where that needs no human."""
        now_ns, stands_ns = self._runtime.clock.mono_ns(), self._stands_since_ns
        if stands_ns is None or now_ns - stands_ns >= _STOOD_S * _NS:
            self._asked = 0
        self._set_next_question()
        self._ended.set()
        if self._unattended:
            self._renew()

    @property
    def _unattended(self) -> bool:
        return self._session.adapter.session.refresh != "none"

    async def _keep(self) -> None:
        warned_for: int | None = None
        session = self._session
        while True:
            ends = session.expires_ns
            left = None if ends is None else (ends - session.clock.now_ns) / _NS
            if left is not None and self._unattended and left <= self._ahead_s:
                self._renew()
            elif left is not None and 0 < left <= _WARN_AHEAD_S and warned_for != ends:
                warned_for = ends
                text = f"{session.profile}: the session ends in {left / 60:.0f} minutes; log in again before"
                session.announce(Notice("warning", text, code=ErrorKind.AUTH_EXPIRED))
            elif left is not None and left <= 0 and session.over is None:
                session.end(AuthRequired(f"{session.profile}: the session ended", broker=session.adapter.name))
            if session.over is not None or (left is not None and left <= _WARN_AHEAD_S):
                await self._look_for_token()
            if session.doubtful and self._runtime.clock.mono_ns() >= self._ask_ns:
                await self._ask_again()
            await self._pause(left)

    async def _pause(self, left: float | None) -> None:
        """Sleep until the next look: soon after the session ended, and in steps, since the wall clock may step."""
        if self._session.over is not None:
            pause = _LOOK_FOR_TOKEN_S
        else:
            pause = _LOOK_AGAIN_S if left is None else min(_LOOK_AGAIN_S, max(1.0, left))
        self._ended.clear()
        try:
            async with asyncio.timeout(pause):
                await self._ended.wait()
        except TimeoutError:
            return

    async def _look_for_token(self) -> None:
        """Take over a token that somebody else has fetched."""
        try:
            if not await self._session.take_over_token():
                return
        except DragomanError as error:
            _log.warning("%s: the token found cannot be used: %s", self._session.profile, redact(str(error)))
            return
        await self._renewed("a new login was found")

    async def _ask_again(self) -> None:
        """Ask about the token that was refused: one wrong word of the broker does not end the day."""
        session = self._session
        self._set_next_question()
        try:
            if not await session.ask_again():
                return
        except DragomanError as error:
            _log.info("%s: the broker cannot be asked about the session: %s", session.profile, redact(str(error)))
            return
        self._stands_since_ns = self._runtime.clock.mono_ns()
        await self._renewed("the broker takes the session again that it had refused")

    def _set_next_question(self) -> None:
        pause = _ASK_AGAIN_S[min(self._asked, len(_ASK_AGAIN_S) - 1)]
        self._asked += 1
        self._ask_ns = self._runtime.clock.mono_ns() + int(pause * _NS)

    def _renew(self) -> None:
        if self._renewal is None or self._renewal.done():
            self._renewal = self._runtime.spawn(self._renew_once(), name=f"{self._session.adapter.name} renewal")

    async def _renew_once(self) -> None:
        """Renew once; while this runs no other renewal begins, so that a broker that refuses is not hammered."""
        session = self._session
        try:
            lock = await self._right()
            try:
                # Whoever had the right before may have left a token.
                if not await session.take_over_token():
                    await session.renew()
            finally:
                if lock is not None:
                    lock.release()
        except Exception as raised:  # noqa: BLE001 - whatever a human's callback raised; it is announced
            error = raised if isinstance(raised, DragomanError) else self._not_renewed(raised)
            _log.warning("%s: renewing the session failed: %s", session.profile, redact(str(error)))
            session.announce(error)
            await self._runtime.sleep(_LOOK_AGAIN_S)
            return
        await self._renewed("the session was renewed")

    def _not_renewed(self, cause: Exception) -> AuthRequired:
        error = AuthRequired(
            f"{self._session.profile}: asking a human to log in failed: {type(cause).__name__}: {cause}",
            kind=ErrorKind.AUTH_EXPIRED,
            broker=self._session.adapter.name,
            remedy="log in again",
        )
        error.__cause__ = cause
        return error

    async def _right(self) -> DiskLock | None:
        """Wait for the right to renew; None where its file cannot be used: better two renewals than none."""
        disk, clock = self._runtime.disk, self._runtime.clock
        ends_ns = clock.mono_ns() + int(_RENEWING_S * _NS)

        def take() -> DiskLock:
            return disk.lock(self._lock_path, now_ns=clock.wall_ns())

        while True:
            try:
                return await self._runtime.in_worker(take)
            except LockTaken:
                if clock.mono_ns() >= ends_ns:
                    return None
                await self._runtime.sleep(0.5)
            except OSError as error:
                _log.warning("%s: no lock for renewing: %s", self._session.profile, error.strerror)
                return None

    async def _renewed(self, what: str) -> None:
        self._session.announce(Notice("info", f"{self._session.profile}: {what}"))
        await self._session.restart_streams()
