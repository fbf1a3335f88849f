"""How sessions are come by: the token of the last run, one made elsewhere, the broker's login, a renewal."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from dragoman.errors import AuthRequired, ErrorKind, UsageError
from dragoman.plugin import Adapter, Credential, Flow, Session
from dragoman.runtime.base import Runtime
from dragoman.session.context import SessionContext
from dragoman.session.driver import AskHuman, FlowDriver
from dragoman.session.login import LoginRedirect
from dragoman.session.profiles import Profile
from dragoman.session.references import Reference
from dragoman.session.secrets import Secret
from dragoman.session.tokens import TokenCache

NO_SESSION: Final = "NO_SESSION"
"""Code of the AuthRequired that stands for a login which may not begin."""
PROBE_S: Final = 15.0
"""How long a question about a token may take."""
_LOGIN_S: Final = 300.0
_log = logging.getLogger("dragoman.session")


class Logins:
    """Fetches sessions of one profile; which of them is in force is its `AccountSession`'s to say.

    Parameters
    ----------
    runtime : Runtime
    adapter : Adapter
    profile : Profile
    ctx : SessionContext
        Gets the credentials, once they are needed.
    driver : FlowDriver
    cache : TokenCache
        Where the session of the last run is, and of other processes.
    may_log_in : bool
        False makes AuthRequired of a login, before any of its credentials is fetched.
    prompt, redirect
        How to reach the human.
    """

    def __init__(
        self,
        runtime: Runtime,
        adapter: Adapter,
        profile: Profile,
        ctx: SessionContext,
        driver: FlowDriver,
        cache: TokenCache,
        *,
        may_log_in: bool,
        prompt: AskHuman | None,
        redirect: LoginRedirect,
    ) -> None:
        self._runtime = runtime
        self._adapter = adapter
        self._profile = profile
        self._ctx = ctx
        self._driver = driver
        self._cache = cache
        self._may_log_in = may_log_in
        self._prompt = prompt
        self._redirect = redirect

    async def resolve(self, wanted: Callable[[Credential], bool]) -> None:
        """Fetch the credentials that are needed now; those of the login stay where they are until there is one."""
        for credential in self._adapter.credentials:
            given = self._profile.credentials.get(credential.name)
            if given is None or credential.name in self._ctx.credentials or not wanted(credential):
                continue
            secret = await given.resolve(self._runtime) if isinstance(given, Reference) else given
            self._ctx.credentials.add(credential.name, secret)

    async def of_token(self, token: Secret) -> Session:
        """Ask the broker whose session a token is. Errors as `Adapter.import_token`."""
        return await self._driver.run(self._adapter.import_token(token.reveal(), self._ctx), timeout_s=PROBE_S)

    async def stored(self) -> Session | None:
        """Return the session that is kept on this host, by this process or another; nobody has asked about it."""
        now_ns, account = self._ctx.now_ns, self._profile.account
        return await self._runtime.in_worker(lambda: self._cache.load(now_ns, account=account))

    async def kept(self, begin: Callable[[Session], Awaitable[None]]) -> Session | None:
        """Return the session of the last run, if the broker still takes its token; `begin` is called before asking."""
        session = await self.stored()
        if session is None:
            return None
        await begin(session)
        try:
            found = await self.of_token(Secret(session.access_token))
        except AuthRequired:
            await self.forget()
            return None
        except UsageError as error:
            if error.kind is ErrorKind.NOT_SUPPORTED:
                return session  # the broker has no way to ask; the first request will tell
            raise
        return session if found.account == session.account else found

    async def anew(self) -> Session:
        """Log in.

        Raises
        ------
        AuthRequired
            Nobody finished the login, or none may begin here (`NO_SESSION`).
        """
        if not self._may_log_in:
            raise AuthRequired(
                f"{self._profile}: there is no session, or the broker has ended it, and no login may begin here",
                code=NO_SESSION,
                broker=self._adapter.name,
                remedy="log in elsewhere first, or connect with may_log_in=True",
            )
        await self.resolve(lambda credential: True)
        return await self._from(self._adapter.login(self._ctx), _LOGIN_S)

    async def renewed(self) -> Session:
        """Fetch a new session without a human, as the broker allows. Errors as `anew`."""
        if self._adapter.session.refresh == "token":
            return await self._from(self._adapter.refresh(self._ctx), PROBE_S)
        return await self.anew()

    async def keep(self, session: Session) -> None:
        """Keep a session for the next run, and for other processes; a disk that fails keeps nobody from trading."""
        try:
            await self._runtime.in_worker(self._cache.save, session)
        except OSError as error:
            _log.warning("%s: the session is not kept for the next run: %s", self._profile, error.strerror)

    async def forget(self) -> None:
        """Remove what is kept."""
        await self._runtime.in_worker(self._cache.delete)

    async def _from(self, flow: Flow[Session], timeout_s: float) -> Session:
        return await self._driver.run(flow, timeout_s=timeout_s, prompt=self._prompt, redirect=self._redirect)
