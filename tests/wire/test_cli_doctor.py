"""``dragoman doctor``: each check, good and bad, with its remedy and its exit status."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest
import trustme

from dragoman.cli.doctor_account import adapter_findings, calendar_finding, credential_findings
from dragoman.cli.doctor_egress import egress_finding
from dragoman.cli.doctor_network import Line, Trips, clock_finding, latency_finding, tls_findings
from dragoman.cli.findings import Level
from dragoman.plugin.registry import load_adapter
from dragoman.runtime.real import RealRuntime
from dragoman.session.profiles import Egress, Profile
from dragoman.session.references import Reference
from dragoman.session.secrets import Secret
from dragoman.transport.base import Origin
from wire.shell import Shell

ZERODHA = load_adapter("zerodha")
LIVE = Profile(broker="zerodha", name="main", environment="live", hosts=ZERODHA.hosts["live"])
ORDER = (
    "profile credentials tls latency clock egress token account limits kill_switch"
    " calendar market_protection algo_id quantity_unit"
)


@pytest.fixture
def runtime():
    real = RealRuntime()
    yield real
    real.close()


def test_all_is_well_at_an_emulator_and_loopback_is_said_to_be_loopback(tmp_path):
    shell = Shell(tmp_path)
    with shell.emulator():
        before = shell("doctor", "--json")
        assert before.status == 1
        assert before.json["ok"] is False
        token = next(one for one in before.json["findings"] if one["check"] == "token")
        assert (token["level"], token["code"], token["remedy"]) == (
            "fail",
            "NO_TOKEN",
            "run: dragoman login -e emulator",
        )
        assert shell("login").status == 0
        ran = shell("doctor", "--json")
        found = {one["check"]: one for one in ran.json["findings"]}
        assert (ran.status, ran.json["ok"]) == (0, True)
        assert list(found) == ORDER.split()
        # Just before six in the morning, Indian time, a token of today ends soon; at the end of a year a calendar does.
        ending = ("TOKEN_ENDS_SOON", "CALENDAR_ENDS", "CALENDAR_UNKNOWN")
        soon = [name for name, one in found.items() if one["code"] in ending]
        assert {one["level"] for name, one in found.items() if name not in soon} == {"ok"}
        assert found["tls"]["code"] == found["egress"]["code"] == "LOOPBACK"
        assert found["token"]["values"]["account"] == "emu_ZZ0001"
        assert found["token"]["values"]["expires"].endswith("Z")
        assert found["latency"]["values"]["warm_p50_ms"] > 0
        assert abs(found["clock"]["values"]["offset_ns"]) < 2_000_000_000
        assert found["limits"]["values"]["orders/1d"]["count"] == 5000
        assert found["market_protection"]["code"] == "AUTOMATIC"
        text = shell("doctor").out
        assert "TLS does not apply on loopback" in text
        assert f"14 checks, 0 failed, {len(soon)} to look at" in text
        assert max(map(len, text.splitlines())) <= 80
        assert "emu_api_secret" not in text + ran.out


def test_a_broker_that_is_down_fails(tmp_path):
    shell = Shell(tmp_path)
    with shell.emulator("--faults", "http:503@GET /"):
        found = {one["check"]: one for one in shell("doctor", "--json").json["findings"]}
        assert (found["latency"]["level"], found["latency"]["code"]) == ("fail", "BROKER_DOWN")


def test_without_a_profile_the_doctor_stops_there(tmp_path):
    ran = Shell(tmp_path)("doctor", "--json", DRAGOMAN_ENVIRONMENT="", DRAGOMAN_BROKER="zerodha")
    assert ran.status == 1
    (finding,) = ran.json["findings"]
    assert (finding["check"], finding["code"]) == ("profile", "PROFILE_UNUSABLE")


def test_credentials_that_are_missing_or_unreachable_fail_and_are_not_shown(runtime, monkeypatch):
    monkeypatch.setenv("HERE", "canary-secret")
    there, nowhere = (Reference("env", name, "credential api_secret") for name in ("HERE", "NOT_HERE_AT_ALL"))
    key = Secret("canary-key")

    def examined(**given):
        return asyncio.run(credential_findings(ZERODHA, replace(LIVE, credentials=given), runtime))

    (good,) = examined(api_key=key, api_secret=there)
    assert (good.level, good.values["names"]) == (Level.OK, ["api_key", "api_secret"])
    assert "canary" not in repr(good)
    assert [one.code for one in examined(api_key=key)] == ["CREDENTIALS_FOUND", "CREDENTIAL_MISSING"]
    assert [one.code for one in examined(api_key=key, api_secret=nowhere)][-1] == "CREDENTIAL_UNREACHABLE"


@pytest.mark.parametrize(
    ("seconds", "level", "code"),
    [
        (0.4, "ok", "CLOCK_RIGHT"),
        (-7.0, "warn", "CLOCK_OFF"),
        (300.0, "fail", "CLOCK_WRONG"),
        (None, "warn", "CLOCK_UNKNOWN"),
    ],
)
def test_the_clock_is_judged_by_its_offset(seconds, level, code):
    found = clock_finding(Trips(offset_ns=None if seconds is None else int(seconds * 1e9)))
    assert (found.level, found.code) == (level, code)
    assert bool(found.remedy) == (level != "ok")


def test_round_trips_are_judged(runtime):
    line = SimpleNamespace(rest=Origin("https", "broker.example", 443))
    assert latency_finding(line, Trips(2.0, [1.0, 3.0, 2.0], [200] * 3)).values["warm_p50_ms"] == 2.0
    assert latency_finding(line, Trips(2.0, [900.0], [404])).code == "SLOW"
    assert latency_finding(line, Trips(error="no connection")).code == "NO_ANSWER"


# -- the address -------------------------------------------------------------------------------------------------------


def egress(runtime, local, *, echo=None, **given):
    """Examine a line whose own address is `local`; a service at `echo` answers with its text."""

    async def look():
        async with Line(runtime, replace(LIVE, egress=Egress(**given))) as line:
            line.local = local

            async def send(origin, prepare, *, timeout_s):
                return SimpleNamespace(status=200, body=echo.encode())

            if echo is not None:
                line.http.send = send
            return await egress_finding(line, ZERODHA, "https://ip.example/" if echo else None, 1.0)

    return asyncio.run(look())


@pytest.mark.parametrize(
    ("local", "given", "level", "code"),
    [
        ("8.8.8.8", {"registered_ip": "8.8.8.8"}, "ok", "ADDRESS_REGISTERED"),
        ("8.8.4.4", {"registered_ip": "8.8.8.8"}, "fail", "ADDRESS_DIFFERS"),
        ("8.8.8.8", {}, "warn", "REGISTERED_UNKNOWN"),
        ("10.0.0.7", {"registered_ip": "8.8.8.8"}, "warn", "EGRESS_UNKNOWN"),
        ("8.8.8.8", {"registered_ip": "8.8.8.8", "proxy": "http://proxy.example:3128"}, "warn", "EGRESS_UNKNOWN"),
        ("10.0.0.7", {"registered_ip": "8.8.8.8", "echo": "8.8.8.8\n"}, "ok", "ADDRESS_REGISTERED"),
        ("10.0.0.7", {"registered_ip": "8.8.8.8", "echo": "8.8.4.4"}, "fail", "ADDRESS_DIFFERS"),
        ("10.0.0.7", {"registered_ip": "8.8.8.8", "echo": "<html>"}, "warn", "EGRESS_UNKNOWN"),
        ("8.8.8.8", {"registered_ip": "my-house"}, "warn", "EGRESS_UNKNOWN"),
        ("2001:4860:4860::8888", {"registered_ip": "2001:4860:4860:0::8888"}, "ok", "ADDRESS_REGISTERED"),
    ],
)
def test_the_address_is_compared_with_the_registered_one(runtime, local, given, level, code):
    found = egress(runtime, local, **given)
    assert (found.level, found.code) == (level, code)
    assert bool(found.remedy) == (level != "ok")


def test_an_unencrypted_service_is_not_asked_for_the_address(runtime):
    async def look():
        async with Line(runtime, LIVE) as line:
            return await egress_finding(line, ZERODHA, "http://ip.example/", 1.0)

    found = asyncio.run(look())
    assert found.code == "EGRESS_UNKNOWN"
    assert "not encrypted" in found.found


# -- encryption --------------------------------------------------------------------------------------------------------


def tls(runtime, *, trusted: bool):
    """Connect to a TLS server on loopback; return what is found, and what the network is."""
    authority = trustme.CA()
    server, client = (ssl.SSLContext(kind) for kind in (ssl.PROTOCOL_TLS_SERVER, ssl.PROTOCOL_TLS_CLIENT))
    authority.issue_cert("localhost").configure_cert(server)
    if trusted:
        authority.configure_trust(client)

    async def look():
        listener = await runtime.net.listen(asyncio.Protocol, "127.0.0.1", 0, tls=server)
        root = f"https://localhost:{listener.port}"
        hosts = {"rest": root, "ws": root.replace("https", "wss"), "login": "https://elsewhere.example"}
        try:
            async with Line(runtime, replace(LIVE, hosts=hosts), tls=client) as line:
                return await tls_findings(line), line.local
        finally:
            await listener.close()

    return asyncio.run(look())


def test_the_certificate_and_the_version_are_told_once_for_each_host(runtime):
    (found,), local = tls(runtime, trusted=True)
    assert (found.level, found.values["version"], found.values["host"]) == (Level.OK, "TLSv1.3", "localhost")
    assert "trustme" in found.values["issuer"]
    assert found.values["ends"].endswith("Z")
    assert local == "127.0.0.1"


def test_a_certificate_nobody_vouches_for_fails(runtime):
    (found,), _ = tls(runtime, trusted=False)
    assert (found.level, found.code) == (Level.FAIL, "TLS_REFUSED")


# -- the adapter's rules -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "level", "code", "exchanges"),
    [
        ((2026, 11, 23), Level.OK, "CALENDAR_KNOWN", ["BCD", "BFO", "BSE", "CDS", "MCX", "NCO", "NFO", "NSE"]),
        ((2026, 12, 20), Level.WARN, "CALENDAR_ENDS", ["BCD", "BFO", "BSE", "CDS", "MCX", "NCO", "NFO", "NSE"]),
        ((2025, 11, 23), Level.WARN, "CALENDAR_UNKNOWN", ["BCD", "CDS", "MCX", "NCO"]),
    ],
)
def test_exchanges_whose_holidays_nobody_has_told_of_are_named(day, level, code, exchanges):
    found = calendar_finding(ZERODHA, LIVE, int(datetime(*day, tzinfo=UTC).timestamp()) * 10**9)
    assert (found.level, found.code, found.values["exchanges"]) == (level, code, exchanges)
    coins = calendar_finding(load_adapter("binance"), LIVE, 0)
    assert (coins.level, coins.values["exchanges"]) == (Level.OK, [])


def test_what_becomes_of_market_orders_algo_ids_and_unverified_quantities_is_told():
    found = {one.check: one for one in adapter_findings(ZERODHA, LIVE)}
    assert found["market_protection"].code == "AUTOMATIC"
    assert found["algo_id"].code == "PER_ORDER"
    assert found["quantity_unit"].values["segments"] == ["BCD", "CDS", "MCX"]
    settled = replace(LIVE, settings={"quantity_unit": dict.fromkeys(("BCD", "CDS", "MCX"), "LOTS")})
    assert "quantity_unit" not in {one.check for one in adapter_findings(ZERODHA, settled)}
    wrong = replace(LIVE, settings={"quantity_unit": "LOTS"})
    assert {one.check: one.code for one in adapter_findings(ZERODHA, wrong)}["quantity_unit"] == "SETTING_WRONG"
