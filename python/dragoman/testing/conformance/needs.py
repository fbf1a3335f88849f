"""What a scenario needs of a broker, and the adapter's own reason where it has it not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from dragoman.emulator.contract import Emulator
from dragoman.errors import UsageError
from dragoman.plugin import Adapter
from dragoman.plugin.capabilities import FEATURES, MORE_FEATURES


class NotOfferedError(Exception):
    """The broker has not what the scenario needs; the message is the reason."""


_TABLES: Final[Mapping[str, str]] = {
    "type": "order_types",
    "validity": "time_in_force",
    "mode": "modes",
    "product": "products",
    "variety": "varieties",
}


def _expiring(adapter: Adapter, emulator: Emulator) -> str:
    if type(emulator).expire_tokens is Emulator.expire_tokens:
        return "its sessions do not end: the emulator defines no expire_tokens"
    return ""


def _human(adapter: Adapter, emulator: Emulator) -> str:
    if type(adapter).login is Adapter.login:
        return "its access tokens are made elsewhere"
    return "" if adapter.session.refresh == "none" else "its sessions are renewed without a human"


def _renewal(adapter: Adapter, emulator: Emulator) -> str:
    return "a human must log in again" if adapter.session.refresh == "none" else ""


def _market_orders(adapter: Adapter, emulator: Emulator) -> str:
    can = adapter.capabilities
    return can.reasons.get("MARKET", "the broker refuses them") if can.market_orders == "refused" else ""


def _no_market_orders(adapter: Adapter, emulator: Emulator) -> str:
    return "" if adapter.capabilities.market_orders == "refused" else "MARKET orders are taken"


def _streams(adapter: Adapter, emulator: Emulator) -> str:
    return "" if adapter.feeds else "it has no streams"


def _stable_id(adapter: Adapter, emulator: Emulator) -> str:
    return "" if adapter.capabilities.modify_keeps_id else "a changed order gets a new id"


def _fees(adapter: Adapter, emulator: Emulator) -> str:
    if adapter.capabilities.features.get("charges"):
        return "its trades carry no fee: charges are asked for"
    return ""


def _heartbeats(adapter: Adapter, emulator: Emulator) -> str:
    market = [feed for feed in adapter.feeds if feed.kind == "market"]
    if market and market[0].stall.any_frame_s and not market[0].stall.ping_s:
        return ""
    return "its market stream has no heartbeat: silence alone says nothing while pings are answered"


def _wire_id(adapter: Adapter, emulator: Emulator) -> str:
    can = adapter.capabilities
    return "" if can.wire_id_carrier and can.wire_id_length >= 12 else "orders carry no id of ours"


MORE: Final[Mapping[str, tuple[str, Callable[[Adapter, Emulator], str]]]] = {
    "expiring tokens": ("the broker can end a session", _expiring),
    "human login": ("a new login needs a human", _human),
    "renewal": ("a session is renewed without a human", _renewal),
    "market orders": ("MARKET orders are taken, plain or protected", _market_orders),
    "market orders refused": ("MARKET orders are not taken", _no_market_orders),
    "streams": ("there is a stream at all", _streams),
    "stable ids": ("a changed order keeps its id", _stable_id),
    "fees on trades": ("executions carry their fee", _fees),
    "heartbeats": ("the market stream beats, so that silence means death", _heartbeats),
    "wire id": ("orders carry our wire id", _wire_id),
}
"""Word -> what it asks, and what says why a broker has it not (empty: it has)."""


def missing(needs: tuple[str, ...], adapter: Adapter, emulator: Emulator) -> str:
    """Return why the broker lacks one of `needs`; empty where it has them all.

    Raises
    ------
    UsageError
        For a word that is no need at all.
    """
    can = adapter.capabilities
    for need in needs:
        table, colon, value = need.partition(":")
        if colon and table in _TABLES:
            offered: frozenset[Any] = getattr(can, _TABLES[table])
            if value not in {str(one) for one in offered}:
                return f"{value}: {can.reasons.get(value, 'the broker does not offer it')}"
        elif need in MORE:
            if reason := MORE[need][1](adapter, emulator):
                return reason
        elif need in FEATURES | MORE_FEATURES:
            support = can.features.get(need)
            if not support:
                return f"{need}: {support.reason if support is not None else 'the adapter does not define it'}"
        else:
            known = sorted((*MORE, *FEATURES, *MORE_FEATURES, *(f"{name}:..." for name in _TABLES)))
            raise UsageError(f"need {need!r} is not known, expected one of {', '.join(known)}")
    return ""
