"""What a client says while a scenario runs: ticks, events, order updates, log lines; and whether a secret is in it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, Final

from dragoman._core import Batch, Tick
from dragoman.client import Client
from dragoman.model import OrderUpdate

_SHORTEST: Final = 4
_OWN_SIDE: Final = "dragoman.emulator"


class Watch:
    """Collects from every client of one scenario, one after the other.

    Attributes
    ----------
    last : dict of str to Tick
        The newest record of each instrument.
    fields : dict of str to dict
        The newest value of each field of each instrument, whatever kind of record brought it.
    ticks, controls : Counter
        Records by instrument.
    events, updates, errors : list
    """

    def __init__(self) -> None:
        self.last: dict[str, Tick] = {}
        self.fields: dict[str, dict[str, Any]] = {}
        self.ticks: Counter[str] = Counter()
        self.crossed: Counter[str] = Counter()
        self.events: list[Any] = []
        self.updates: list[OrderUpdate] = []
        self.errors: list[BaseException] = []

    def follow(self, client: Client) -> Callable[[], None]:
        """Listen to a client from now on; what is returned ends that."""
        removes = (
            client.on_batch(self._on_batch),
            client.on_event(self.events.append),
            client.on_order(self.updates.append),
        )

        def unfollow() -> None:
            for remove in removes:
                remove()

        return unfollow

    def _on_batch(self, batch: Batch) -> None:
        for tick in batch:
            name = tick.instrument_id or f"key {tick.key}"
            self.last[name] = tick
            self.ticks[name] += 1
            seen = self.fields.setdefault(name, {})
            seen.update((field, value) for field, value in tick.as_dict().items() if value is not None)

    def statuses(self, client_order_id: str) -> list[str]:
        """Return every status an order was reported to have, repeats left out."""
        seen: list[str] = []
        for update in self.updates:
            if update.order.client_order_id == client_order_id and seen[-1:] != [update.order.status]:
                seen.append(update.order.status)
        return seen


class LogWatch:
    """Keeps every log line of this process as it was written, before anything takes secrets out of it.

    Use it as a context manager. Lines of the emulator's side are left out: it may name its own credentials.
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def __enter__(self) -> LogWatch:
        self._before = logging.getLogRecordFactory()
        self._root_level = logging.root.level
        logging.setLogRecordFactory(self._make)
        logging.root.setLevel(logging.DEBUG)
        return self

    def __exit__(self, *_: object) -> None:
        logging.root.setLevel(self._root_level)
        if logging.getLogRecordFactory() == self._make:
            logging.setLogRecordFactory(self._before)

    def _make(self, *args: Any, **kwargs: Any) -> logging.LogRecord:
        plain = logging.LogRecord(*args, **kwargs)
        if not plain.name.startswith(_OWN_SIDE):
            self.lines.append(_written(plain))
        return self._before(*args, **kwargs)


def _written(record: logging.LogRecord) -> str:
    try:
        text = record.getMessage()
    except (TypeError, ValueError):
        text = f"{record.msg} {record.args!r}"
    if record.exc_info and record.exc_info[1] is not None:
        text += f"\n{logging.Formatter().formatException(record.exc_info)}"
    return f"{record.levelname} {record.name}: {text}"


def leaks(secrets: Iterable[str], texts: Iterable[tuple[str, Callable[[], str]]]) -> list[str]:
    """Return where a secret stands in a text, by the text's name; never the secret itself."""
    wanted = [secret for secret in secrets if len(secret) >= _SHORTEST]
    return [where for where, text in texts if any(secret in (shown := text()) for secret in wanted) and shown]
