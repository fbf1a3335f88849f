"""Finds adapters through the ``dragoman.adapters`` entry-point group: ours and third parties' alike."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module, metadata
from typing import Any

from dragoman.errors import DragomanError, ErrorKind, UsageError
from dragoman.plugin.adapter import CONTRACT, Adapter, SessionRules
from dragoman.plugin.capabilities import Capabilities
from dragoman.plugin.codes import CodeTable
from dragoman.plugin.cross_check import disagreements

GROUP = "dragoman.adapters"


class PluginError(DragomanError):
    """An adapter package cannot be used; the message names its distribution. Other brokers are not touched."""

    default_kind = ErrorKind.USAGE


_TABLES: tuple[tuple[str, type], ...] = (
    ("title", str),
    ("hosts", Mapping),
    ("credentials", tuple),
    ("capabilities", Capabilities),
    ("limits", tuple),
    ("session", SessionRules),
    ("codes", CodeTable),
    ("feeds", tuple),
    ("emulator", str),
)


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed adapter, loaded or not.

    Attributes
    ----------
    rival : str
        The distribution that offers an adapter of the same name; then neither loads.
    """

    name: str
    distribution: str
    version: str
    entry_point: metadata.EntryPoint
    rival: str = ""

    def load(self) -> Adapter:
        """Import the adapter and check it against the contract.

        Raises
        ------
        PluginError
            If it does not import, is no `Adapter`, lacks a table, speaks another contract, has a rival, or its tables
            contradict each other (`dragoman.plugin.cross_check`): all of them are named at once.
        """
        where = f"adapter {self.name!r} of {self.distribution} {self.version}".rstrip()
        if self.rival:
            raise PluginError(f"{where} is offered by {self.rival} as well", remedy="uninstall one of them")
        try:
            cls = self.entry_point.load()
        except (Exception, SystemExit) as error:
            # Third-party code may do anything at import; it must hurt nobody else.
            raise PluginError(f"{where} does not load: {type(error).__name__}: {error}") from error
        if not (isinstance(cls, type) and issubclass(cls, Adapter)):
            raise PluginError(f"{where}: {self.entry_point.value} is not a subclass of dragoman.plugin.Adapter")
        if not any("contract" in vars(base) for base in cls.__mro__ if base is not Adapter):
            # The base's own number says what is installed, not what the adapter was written for.
            raise PluginError(f"{where} does not say which contract it speaks", remedy=f"add contract = {CONTRACT}")
        if cls.contract != CONTRACT:
            raise PluginError(
                f"{where} speaks contract {cls.contract}, this is contract {CONTRACT}",
                remedy="install matching versions of dragoman and the adapter",
            )
        if getattr(cls, "name", None) != self.name:
            raise PluginError(f"{where} calls itself {getattr(cls, 'name', None)!r}")
        for table, kind in _TABLES:
            found = getattr(cls, table, None)
            if not isinstance(found, kind):
                raise PluginError(f"{where}: {table} is {type(found).__name__}, expected {kind.__name__}")
        try:
            adapter = cls()
        except Exception as error:
            raise PluginError(f"{where} cannot be made: {type(error).__name__}: {error}") from error
        try:
            wrong = list(disagreements(adapter))
        except Exception as error:
            raise PluginError(f"{where}: its tables cannot be read: {type(error).__name__}: {error}") from error
        if wrong:
            raise PluginError(f"{where}: {'; '.join(wrong)}", remedy="correct the tables: they contradict each other")
        return adapter


def plugins() -> dict[str, Plugin]:
    """Return every installed adapter by name, without importing any.

    A name that two distributions offer is there with its `rival`: loading it fails, and hurts no other.
    """
    found: dict[str, Plugin] = {}
    for entry in metadata.entry_points(group=GROUP):
        dist = entry.dist
        name, version = ((dist.name or "an unnamed distribution"), dist.version or "") if dist else ("unknown", "")
        held = found.setdefault(entry.name, Plugin(entry.name, name, version, entry))
        if held.distribution != name:
            found[entry.name] = replace(held, rival=name)
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
    PluginError
        Where it does not load.
    """
    if not adapter.emulator:
        raise UsageError(f"{adapter.name} ships no emulator")
    module, _, name = adapter.emulator.partition(":")
    try:
        factory: Callable[..., Any] = getattr(import_module(module), name)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{adapter.name}: emulator {adapter.emulator!r} does not load: {type(error).__name__}: {error}"
        ) from error
    return factory
