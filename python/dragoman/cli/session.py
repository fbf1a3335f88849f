"""``dragoman login`` and ``dragoman logout``."""

from __future__ import annotations

import sys
from typing import Any

from dragoman.cli import terminal
from dragoman.cli.account import Account
from dragoman.cli.output import moment, print_json
from dragoman.errors import AuthRequired, UsageError
from dragoman.runtime.base import Runtime
from dragoman.session.profiles import Profile
from dragoman.session.session import AccountSession

_PLAINLY = "the session was over already"


def login(at: Account, *, paste: bool, force: bool, token_from_stdin: bool) -> None:
    """Log in, or say that a session stands; the token is kept for the other commands."""
    token = sys.stdin.readline().strip() if token_from_stdin else None
    if token == "":
        raise UsageError("there is no token on standard input", remedy="pipe it in, one line")

    async def log_in(runtime: Runtime) -> dict[str, Any]:
        profile = await at.load(runtime)
        page = _Page(runtime, profile)
        session = AccountSession(
            runtime,
            at.adapter,
            profile,
            read_only=True,
            access_token=token,
            open_url=None if paste else page.open,
            prompt=terminal.ask,
        )
        try:
            if force and token is None:
                await runtime.in_worker(at.cache(runtime, profile).delete)
            await session.start()
            return {
                "broker": profile.broker,
                "profile": profile.name,
                "environment": profile.environment,
                "account": session.ctx.account,
                "expires": session.expires_ns,
                "session": "imported" if token else "new" if page.opened or paste else "kept",
            }
        finally:
            await session.close()

    found = at.perform(log_in)
    if at.as_json:
        print_json(found)
        return
    ends = f", until {moment(found['expires'], at.zone)}" if found["expires"] else ""
    print(f"{found['profile']}@{found['broker']} ({found['environment']}): logged in as {found['account']}{ends}")


class _Page:
    """Opens a login page; an emulator's needs no human."""

    def __init__(self, runtime: Runtime, profile: Profile) -> None:
        self._runtime = runtime
        self._profile = profile
        self.opened = False

    async def open(self, url: str) -> None:
        self.opened = True
        if self._profile.environment == "emulator":
            from dragoman.testing.emulated import browser

            await browser(self._runtime)(url)
            return
        import webbrowser

        print(f"Log in on this page (Ctrl-C gives up):\n{url}", file=sys.stderr, flush=True)
        if not await self._runtime.in_worker(webbrowser.open, url):
            print("No browser can be opened here: open it yourself, or use --paste.", file=sys.stderr, flush=True)


def logout(at: Account) -> None:
    """End the session at the broker and forget its token."""

    async def log_out(runtime: Runtime) -> dict[str, Any]:
        profile = await at.load(runtime)
        told = {"broker": profile.broker, "profile": profile.name, "environment": profile.environment}
        kept = await runtime.in_worker(at.kept, runtime, profile)
        if kept is None:
            return told | {"account": None, "session": "none"}
        session = AccountSession(runtime, at.adapter, profile, read_only=True, may_log_in=False)
        try:
            await session.start()
            await session.logout()
            return told | {"account": kept.account, "session": "ended"}
        except AuthRequired:
            await runtime.in_worker(at.cache(runtime, profile).delete)
            return told | {"account": kept.account, "session": "over"}
        finally:
            await session.close()

    found = at.perform(log_out)
    if at.as_json:
        print_json(found)
        return
    said = {"none": "was not logged in", "ended": "logged out", "over": f"{_PLAINLY}; its token is forgotten"}
    print(f"{found['profile']}@{found['broker']} ({found['environment']}): {said[found['session']]}")
