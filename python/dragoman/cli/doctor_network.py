"""The doctor on the way to the broker: encryption, round trips, the broker's clock."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from dragoman.cli.findings import Finding, fail, ok, said, warn
from dragoman.cli.output import iso
from dragoman.errors import DragomanError
from dragoman.runtime.base import Runtime
from dragoman.session.brokertime import BrokerClock
from dragoman.session.profiles import Profile
from dragoman.session.wire import origin_of
from dragoman.transport.base import HttpOptions, Origin, WireRequest
from dragoman.transport.http import HttpClient
from dragoman.transport.http_connect import Proxy, open_connection
from dragoman.transport.tls import client_context

_WARM = 7
_SLOW_MS = 300.0
_DAYS_AHEAD = 14
_CORRECTED_S = 2.0
_WRONG_S = 60.0
_NS = 1_000_000_000


@dataclass(slots=True)
class Trips:
    """Round trips to the root of the REST host, without credentials.

    Attributes
    ----------
    cold_ms : float
        The first one: connection, handshake and reply.
    warm_ms : list of float
        Reply times over the connection that stands.
    offset_ns : int or None
        The broker's clock minus ours; None where its replies are not dated.
    error : str
        Why there are none.
    """

    cold_ms: float = 0.0
    warm_ms: list[float] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    offset_ns: int | None = None
    error: str = ""


class Line:
    """The way from here to one profile's broker.

    Parameters
    ----------
    runtime : Runtime
    profile : Profile
    tls : ssl.SSLContext, optional
        In place of our own; for tests.

    Attributes
    ----------
    rest : Origin
    local : str
        Address of this machine on connections to the broker; empty before one stood.
    """

    def __init__(self, runtime: Runtime, profile: Profile, tls: ssl.SSLContext | None = None) -> None:
        self.runtime = runtime
        self.profile = profile
        self.rest = origin_of("rest", profile.hosts["rest"])
        self.local = ""
        self.tls = tls
        egress = profile.egress
        self.proxy = Proxy.parse(egress.proxy) if egress.proxy else None
        options = HttpOptions(source_address=egress.source_address, proxy=egress.proxy)
        self.http = HttpClient(runtime, options, tls=tls)

    async def __aenter__(self) -> Line:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.http.close()

    async def connect(self, origin: Origin) -> asyncio.Transport:
        """Open a connection that nothing is asked on, to see what it is like. Raises NotSent."""
        if origin.tls and self.tls is None:
            self.tls = client_context()
        transport, _ = await open_connection(
            self.runtime,
            origin,
            asyncio.Protocol,
            tls=self.tls,
            proxy=self.proxy,
            source_address=self.profile.egress.source_address,
            timeout_s=10.0,
        )
        name = transport.get_extra_info("sockname")
        self.local = str(name[0]) if name else self.local
        return transport

    async def measure(self, timeout_s: float) -> Trips:
        """Make round trips, one after the other."""
        clock, trips = self.runtime.clock, Trips()
        broker = BrokerClock(clock)
        path = urlsplit(self.profile.hosts["rest"]).path or "/"
        request = WireRequest("GET", path, ())
        try:
            for number in range(1 + _WARM):
                begun, begun_wall = clock.mono_ns(), clock.wall_ns()
                reply = await self.http.send(self.rest, lambda: request, timeout_s=timeout_s)
                taken_ms = (clock.mono_ns() - begun) / 1e6
                if number == 0:
                    trips.cold_ms = taken_ms
                    continue  # its date was read after a handshake: too early a beginning
                trips.warm_ms.append(taken_ms)
                trips.statuses.append(reply.status)
                broker.observe(reply.headers.get("date"), begun_wall, clock.wall_ns())
        except DragomanError as error:
            trips.error = said(error)
        trips.offset_ns = broker.measured_ns
        return trips


async def tls_findings(line: Line) -> list[Finding]:
    """Connect to each host once; say with which TLS, and whose certificate until when."""
    origins = {origin_of(name, root): name for name, root in sorted(line.profile.hosts.items()) if name != "login"}
    seen: dict[tuple[str, int, bool], Finding] = {}
    for origin, name in origins.items():
        place = (origin.host, origin.port, origin.tls)
        if place not in seen:
            seen[place] = await _tls_finding(line, origin, name)
    return list(seen.values())


async def _tls_finding(line: Line, origin: Origin, name: str) -> Finding:
    try:
        transport = await line.connect(origin)
    except DragomanError as error:
        failed = isinstance(error.__cause__, ssl.SSLError)
        code = "TLS_REFUSED" if failed else "UNREACHABLE"
        return fail("tls", code, f"{name} {origin}: {said(error)}", error.remedy or "check network, proxy and hosts")
    try:
        if not origin.tls:
            return ok("tls", "LOOPBACK", f"{name} {origin}: TLS does not apply on loopback")
        return _certificate_finding(line, origin, name, transport)
    finally:
        transport.abort()


def _certificate_finding(line: Line, origin: Origin, name: str, transport: asyncio.Transport) -> Finding:
    session: Any = transport.get_extra_info("ssl_object")
    certificate: dict[str, Any] = transport.get_extra_info("peercert") or {}
    version = session.version() if session is not None else "?"
    ends = ssl.cert_time_to_seconds(certificate["notAfter"])
    days = (ends - line.runtime.clock.wall_ns() / _NS) / 86_400
    issuer = ", ".join(
        value for part in certificate.get("issuer", ()) for key, value in part if key == "organizationName"
    )
    told = f"{name} {origin}: {version}, verified, by {issuer or 'an unnamed issuer'}, {days:.0f} days left"
    values = {"host": origin.host, "version": version, "issuer": issuer, "ends": iso(int(ends) * _NS)}
    if days < _DAYS_AHEAD:
        return warn("tls", "CERTIFICATE_ENDS", told, "the broker must renew it; nothing to do here", **values)
    return ok("tls", "TLS_VERIFIED", told, **values)


def latency_finding(line: Line, trips: Trips) -> Finding:
    """Say how long a request takes over a connection that stands."""
    if trips.error or not trips.warm_ms:
        return fail("latency", "NO_ANSWER", f"{line.rest}: {trips.error}", "check network, proxy and hosts")
    ordered = sorted(trips.warm_ms)
    middle, worst = ordered[len(ordered) // 2], ordered[-1]
    told = f"{line.rest}: {middle:.1f} ms warm (worst of {len(ordered)}: {worst:.1f}), {trips.cold_ms:.1f} ms cold"
    values = {"warm_p50_ms": round(middle, 3), "warm_max_ms": round(worst, 3), "cold_ms": round(trips.cold_ms, 3)}
    if all(status >= 500 for status in trips.statuses):
        return fail(
            "latency", "BROKER_DOWN", f"{told}; it answers {trips.statuses[-1]}", "see its status page", **values
        )
    if middle > _SLOW_MS:
        return warn("latency", "SLOW", told, "orders arrive late from here: move nearer to the broker", **values)
    return ok("latency", "MEASURED", told, **values)


def clock_finding(trips: Trips) -> Finding:
    """Say how far this machine's clock is from the broker's."""
    if trips.offset_ns is None:
        told = "there was no reply to read it from" if trips.error else "the broker's replies carry no date"
        return warn("clock", "CLOCK_UNKNOWN", told, "keep this machine's clock by NTP")
    # Replies are dated in whole seconds.
    seconds = trips.offset_ns / 1e9
    told = f"the broker's is {abs(seconds):.1f} s {'ahead' if seconds > 0 else 'behind'}, to within about a second"
    values = {"offset_ns": trips.offset_ns}
    if abs(seconds) > _WRONG_S:
        return fail("clock", "CLOCK_WRONG", told, "set this machine's clock, and keep it by NTP", **values)
    if abs(seconds) > _CORRECTED_S:
        return warn("clock", "CLOCK_OFF", f"{told}; corrected for", "keep this machine's clock by NTP", **values)
    return ok("clock", "CLOCK_RIGHT", told, **values)
