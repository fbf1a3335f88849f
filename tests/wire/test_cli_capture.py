"""`dragoman capture` against an emulator that another process serves, and `dragoman replay` of what it wrote."""

from __future__ import annotations

import json
import stat

import pytest

from wire.shell import Shell


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A shell that is logged in to a running emulator."""
    shell = Shell(tmp_path_factory.mktemp("shell"))
    with shell.emulator("--tick-rate", "20"):
        assert shell("login", "-b", "zerodha").status == 0
        yield shell


@pytest.fixture(scope="module")
def recorded(shell):
    """A capture of a second, and what the command said of it."""
    target = shell.folder / "day.jsonl"
    ran = shell("capture", "-b", "zerodha", "NSE:INFY", "NSE:SBIN", "--seconds", "1", "--out", target, "--json")
    assert ran.status == 0, ran.err
    return target, ran.json


def test_the_file_is_private_and_whole_and_holds_no_token(shell, recorded):
    target, told = recorded
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    last = json.loads(target.read_bytes().splitlines()[-1])
    assert (last["sha256"], last["frames"]) == (told["sha256"], told["frames"])
    tokens = [path.read_text() for path in (shell.folder / "state").rglob("*") if path.suffix == ".json"]
    kept = json.loads(next(text for text in tokens if "access_token" in text))
    token = kept.get("access_token") or kept["session"]["access_token"]
    assert token.startswith("emu_")
    assert token.encode() not in target.read_bytes()


def test_replaying_it_counts_and_shows_tops(shell, recorded):
    target, _ = recorded
    found = shell("replay", "zerodha", target, "--json")
    assert found.status == 0, found.err
    assert (found.json["feed"], found.json["errors"], found.json["whole"]) == ("market", 0, True)
    assert found.json["ticks"] >= 2
    assert {top["instrument_id"] for top in found.json["tops"]} == {"NSE:INFY", "NSE:SBIN"}
    assert found.json["ns_per_message"] > 0
    shown = shell("replay", "zerodha", target).out
    assert "ns per message" in shown
    assert "NSE:INFY" in shown


def test_a_file_that_was_changed_makes_the_status_one(shell, recorded):
    target, _ = recorded
    changed = shell.folder / "changed.jsonl"
    changed.write_bytes(target.read_bytes().replace(b'"emulator"', b'"Emulator"', 1))
    ran = shell("replay", "zerodha", changed)
    assert ran.status == 1
    assert "not what its hash says" in ran.out


def test_a_file_that_is_there_is_not_overwritten_and_one_that_is_not_is_said(shell, recorded):
    target, _ = recorded
    before = target.read_bytes()
    ran = shell("capture", "-b", "zerodha", "NSE:INFY", "--seconds", "1", "--out", target)
    assert (ran.status, target.read_bytes()) == (2, before)
    assert "there already" in ran.line
    assert shell("replay", "zerodha", shell.folder / "nothing").status == 2
    assert shell("replay", "binance", target).status == 2


def test_plain_lines_find_their_twin_with_the_replies(shell):
    body = '{"lastUpdateId":5,"E":1,"T":1,"bids":[["9.5","2"]],"asks":[["11.0","3"]]}'
    row = '{"e":"depthUpdate","E":1,"T":1,"s":"ABCUSDT","U":6,"u":7,"pu":5,"b":[["10.0","1"]],"a":[]}'
    (shell.folder / "abc.ws.1").write_text(f'1.0: {{"stream":"abcusdt@depth","data":{row}}}\n')
    (shell.folder / "abc.http.0").write_text(f"https://example.invalid/depth?symbol=ABCUSDT -> 0.5: {body}\n")
    found = shell("replay", "binance", shell.folder / "abc.ws.1", "--feed", "usdm-depth", "--json").json
    assert (found["snapshots"], found["tops"][0]["bid_price"], found["tops"][0]["stale"]) == (1, 10.0, False)
