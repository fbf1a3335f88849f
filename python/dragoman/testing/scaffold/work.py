"""What is left to do in an adapter that began as a scaffold: read from its own tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from dragoman.plugin import Adapter
from dragoman.plugin.capabilities import FEATURES
from dragoman.plugin.cross_check import FLOWS

INVENTED: Final = "invented by the scaffold"
NOT_WRITTEN: Final = "not written yet"


def _feature(name: str) -> Callable[[Adapter], str]:
    def look(adapter: Adapter) -> str:
        support = adapter.capabilities.features[name]
        if support or support.reason != NOT_WRITTEN:
            return ""
        flows = ", ".join(FLOWS.get(name, ()))
        what = f"write the flow {flows} and its route in the emulator" if flows else "declare it"
        return f"{what}, then set the feature to YES; or say no(reason) where the broker has no such thing"

    return look


def _hosts(adapter: Adapter) -> str:
    invented = sorted(root for hosts in adapter.hosts.values() for root in hosts.values() if ".example" in root)
    return f"put the broker's hosts in place of {', '.join(invented)}" if invented else ""


def _limits(adapter: Adapter) -> str:
    names = [limit.name for limit in adapter.limits if limit.source == INVENTED]
    return f"put the broker's limits, with their source, in place of {', '.join(names)}" if names else ""


def _codes(adapter: Adapter) -> str:
    codes = [row.code for row in adapter.codes.rows if row.source == INVENTED]
    return f"put the broker's codes, with their source, in place of {', '.join(codes)}" if codes else ""


def _units(adapter: Adapter) -> str:
    open_ = [
        segment
        for segment, unit in adapter.capabilities.quantity_unit.items()
        if unit == "UNVERIFIED" and segment not in adapter.capabilities.reasons
    ]
    return f"say in what {', '.join(open_)} counts quantities, or why it is open, in reasons" if open_ else ""


def _depth(adapter: Adapter) -> str:
    modes = {str(mode) for mode in adapter.capabilities.modes}
    if modes == {"ltp"} and "full" not in adapter.capabilities.reasons:
        return "describe the broker's other modes in feed.py, or say in reasons why there is no 'full'"
    return ""


_TASKS: Final[Mapping[str, Callable[[Adapter], str]]] = {
    "hosts": _hosts,
    "limits": _limits,
    "codes": _codes,
    "quantity units": _units,
    "modes": _depth,
    **{f"feature {name}": _feature(name) for name in sorted(FEATURES)},
}
WORK: Final = tuple(_TASKS)
"""Names of what there is to do."""


def left(adapter: Adapter) -> dict[str, str]:
    """Return what is left to do, by the names of `WORK`, each as a sentence."""
    return {name: todo for name, look in _TASKS.items() if (todo := look(adapter))}
