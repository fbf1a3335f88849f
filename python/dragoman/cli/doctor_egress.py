"""The doctor on the address that the broker sees: brokers take orders from a registered one only."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from dragoman.cli.doctor_network import Line
from dragoman.cli.findings import Finding, fail, ok, said, warn
from dragoman.errors import DragomanError, UsageError
from dragoman.plugin import Adapter
from dragoman.session.wire import origin_of
from dragoman.transport.base import WireRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_WHAT = {"orders": "orders", "all": "every request"}


async def egress_finding(line: Line, adapter: Adapter, ip_echo: str | None, timeout_s: float) -> Finding:
    """Compare the address requests leave from with the one registered at the broker.

    The address is known where this machine's own is a public one, or where `ip_echo` tells it; behind NAT or a proxy it
    cannot be found out from here, and that is what the finding says then.
    """
    rule, egress = adapter.session.static_ip, line.profile.egress
    if _loopback(line.rest.host):
        return ok("egress", "LOOPBACK", "does not apply: the broker is on loopback")
    if rule == "none":
        return ok("egress", "NOT_ASKED_FOR", f"{adapter.name} registers no address")
    try:
        registered = _address("egress.registered_ip", egress.registered_ip) or _public(egress.source_address)
        actual = await _echoed(line, ip_echo, timeout_s) if ip_echo else None
    except DragomanError as error:
        return warn("egress", "EGRESS_UNKNOWN", said(error), error.remedy or "look at the service by hand")
    if actual is None and egress.proxy is None:
        actual = _public(line.local)
    values = {"registered": str(registered or "") or None, "actual": str(actual or "") or None}
    what = f"{adapter.name} takes {_WHAT[rule]} from a registered address only"
    if registered is None:
        there = f", this is {actual}" if actual else ""
        remedy = "set egress.registered_ip in the profile to what the broker has on file"
        return warn("egress", "REGISTERED_UNKNOWN", f"{what}, the profile names none{there}", remedy, **values)
    if actual is None:
        hidden = "a proxy" if egress.proxy else f"NAT (this machine is {line.local or 'not connected'})"
        return warn(
            "egress",
            "EGRESS_UNKNOWN",
            f"{what}, {registered}; behind {hidden} the address in use cannot be found out from here",
            "name a service that tells it: --ip-echo https://...",
            **values,
        )
    if actual != registered:
        return fail(
            "egress",
            "ADDRESS_DIFFERS",
            f"{what}, {registered}; requests leave from {actual}",
            "register this address with the broker, or leave from the registered one (egress.source_address)",
            **values,
        )
    return ok("egress", "ADDRESS_REGISTERED", f"requests leave from {actual}, the registered address", **values)


async def _echoed(line: Line, url: str, timeout_s: float) -> Address:
    """Ask a service which address it sees, the way requests to the broker go."""
    origin = origin_of("--ip-echo", url)
    if origin.scheme != "https":
        raise UsageError(f"--ip-echo {origin} is not encrypted, so anybody could answer", remedy="use an https URL")
    parts = urlsplit(url)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    reply = await line.http.send(origin, lambda: WireRequest("GET", target, ()), timeout_s=timeout_s)
    text = reply.body[:200].decode("utf-8", "replace").strip()
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(
            f"{origin} answered {reply.status} and no address", remedy="name a service that answers with it alone"
        ) from None


def _address(what: str, text: str | None) -> Address | None:
    if text is None:
        return None
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        raise UsageError(f"{what} {text!r} is no address", remedy="write it as 203.0.113.7") from None


def _public(text: str | None) -> Address | None:
    """Return an address that the world can see as it is."""
    try:
        found = ipaddress.ip_address(text or "")
    except ValueError:
        return None
    return found if found.is_global else None


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
