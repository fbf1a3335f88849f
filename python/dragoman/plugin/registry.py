"""Finds adapters through the ``dragoman.adapters`` entry-point group: ours and third parties' alike."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

from dragoman.errors import DragomanError, ErrorKind, UsageError
from dragoman.plugin.adapter import CONTRACT, Adapter

GROUP = "dragoman.adapters"


class PluginError(DragomanError):
    """An adapter package cannot be used; the message names its distribution. Other brokers are not touched."""

    default_kind = ErrorKind.USAGE


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed adapter, loaded or not."""

    name: str
    distribution: str
    version: str
    entry_point: metadata.EntryPoint

    def load(self) -> Adapter:
        """Import the adapter and check it against the contract.

        Raises
        ------
        PluginError
            If it does not import, is no `Adapter`, or speaks another contract.
        """
        where = f"adapter {self.name!r} of {self.distribution} {self.version}"
        try:
            cls = self.entry_point.load()
        except Exception as error:
            # Third-party code may raise anything at import; it must hurt nobody else.
            raise PluginError(f"{where} does not load: {type(error).__name__}: {error}") from error
        if not (isinstance(cls, type) and issubclass(cls, Adapter)):
            raise PluginError(f"{where}: {self.entry_point.value} is not a subclass of dragoman.plugin.Adapter")
        if cls.contract != CONTRACT:
            raise PluginError(
                f"{where} speaks contract {cls.contract}, this is contract {CONTRACT}",
                remedy="install matching versions of dragoman and the adapter",
            )
        if cls.name != self.name:
            raise PluginError(f"{where} calls itself {cls.name!r}")
        return cls()


def plugins() -> dict[str, Plugin]:
    """Return every installed adapter by name, without importing any."""
    found: dict[str, Plugin] = {}
    for entry in metadata.entry_points(group=GROUP):
        dist = entry.dist
        name, version = (dist.name, dist.version) if dist else ("an unknown distribution", "")
        held = found.setdefault(entry.name, Plugin(entry.name, name, version, entry))
        if held.distribution != name:
            raise PluginError(f"adapter {entry.name!r} is offered by {held.distribution} and by {name}: remove one")
    return found


def load_adapter(name: str) -> Adapter:
    """Load the adapter of a broker.

    Raises
    ------
    UsageError
        Unknown broker; the nearest names are in the message.
    PluginError
        See `Plugin.load`.
    """
    available = plugins()
    plugin = available.get(name)
    if plugin is None:
        near = difflib.get_close_matches(name, available, 3, 0.5) or sorted(available)
        raise UsageError(f"no adapter for broker {name!r}", remedy=f"installed: {', '.join(near) or 'none'}")
    return plugin.load()


def emulator_factory(adapter: Adapter) -> Callable[..., Any]:
    """Import the factory of the broker's side that an adapter ships.

    Raises
    ------
    UsageError
        Where it ships none.
    """
    if not adapter.emulator:
        raise UsageError(f"{adapter.name} ships no emulator")
    module, _, name = adapter.emulator.partition(":")
    factory: Callable[..., Any] = getattr(import_module(module), name)
    return factory
