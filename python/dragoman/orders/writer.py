"""The right to change things on an account: one process has it, and the journal it writes is the proof."""

from __future__ import annotations

from dragoman.errors import AccountBusy
from dragoman.orders.journal import Journal, journal_folder
from dragoman.session.session import AccountSession


class Writer:
    """Opens the account's journal, when it is first needed or when whoever holds it is gone.

    Parameters
    ----------
    session : AccountSession
    enabled : bool
        False for an account without a journal: nothing is written, and nobody is kept from writing.

    Attributes
    ----------
    journal : Journal or None
    busy : AccountBusy or None
        Who had it when it was last asked for.
    """

    def __init__(self, session: AccountSession, *, enabled: bool) -> None:
        self._session = session
        self.enabled = enabled and not session.read_only
        self.journal: Journal | None = None
        self.busy: AccountBusy | None = None

    @property
    def ready(self) -> bool:
        """Whether this process may write now: it holds the journal, and knows all that is in it."""
        return self.journal is not None or not self.enabled

    @property
    def folder(self) -> str:
        """Where the journal of this account lies."""
        session = self._session
        hosts = session.profile.hosts.values()
        return journal_folder(
            session.state_dir, session.adapter.name, session.environment, session.ctx.account, hosts=hosts
        )

    async def open(self) -> Journal:
        """Take the account's journal; whoever has read it sets `journal`, and from then on this process writes.

        Raises
        ------
        AccountBusy
            Another process is; it names that.
        """
        session = self._session
        try:
            journal = await Journal.open(
                session.runtime,
                self.folder,
                broker=session.adapter.name,
                environment=session.environment,
                account=session.ctx.account,
            )
        except AccountBusy as busy:
            self.busy = busy
            raise
        self.busy = None
        return journal

    async def close(self) -> None:
        """Let another process write."""
        journal, self.journal = self.journal, None
        if journal is not None:
            await journal.close()
