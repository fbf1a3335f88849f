"""``dragoman kill``: from a shell, with and without a process that trades, with and without a broker that answers."""

from __future__ import annotations

import pytest

from dragoman.checks.kill import KillSwitch
from dragoman.errors import UsageError
from dragoman.rules.exits import Exits
from dragoman.runtime.real_disk import RealDisk
from wire.shell import Shell

REST = ("--price", "1400", "--product", "INTRADAY")
ACCOUNT = "emu_ZZ0001"


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    shell = Shell(tmp_path_factory.mktemp("shell"))
    with shell.emulator():
        assert shell("login").status == 0
        yield shell


@pytest.fixture(autouse=True)
def released(shell):
    yield
    for name in (shell.folder / "state" / "kill").glob("*"):
        switch = KillSwitch.open(RealDisk(), str(name))
        if switch.state().engaged:
            switch.release(switch.token(), who="a test", ts=1)


def place(shell):
    return shell("place", "BUY", 5, "NSE:INFY", *REST, "--yes", "--json")


def statuses(shell):
    return {one["status"] for one in shell("orders", "--json").json}


def test_a_kill_cancels_what_works_and_the_next_order_is_refused_with_the_reason(shell):
    assert place(shell).status == 0
    ran = shell("kill", "--reason", "fat finger", "--json")
    assert (ran.status, ran.json["engaged"], ran.json["why"], ran.json["working"]) == (0, True, "fat finger", [])
    assert statuses(shell) == {"CANCELED"}
    refused = place(shell)
    assert refused.status == 3
    assert "fat finger" in refused.out + refused.err


def test_it_takes_the_broker_as_its_argument_and_says_what_it_did(shell):
    ran = shell("kill", "zerodha")
    assert ran.status == 0, ran.err
    assert ran.out.startswith("kill switch engaged: no new order leaves")
    wrong = shell("kill", "zerodha", "-b", "upstox")
    assert (wrong.status, "two brokers" in wrong.err) == (2, True)


def test_a_release_wants_the_account_typed(shell):
    assert shell("kill").status == 0
    wrong = shell("kill", "--release", typed="somebody\n")
    assert wrong.status == 2
    assert "stays engaged" in wrong.err
    assert place(shell).status == 3
    ran = shell("kill", "--release", typed=f"{ACCOUNT}\n")
    assert ran.status == 0, ran.err
    assert "released: orders may leave" in ran.out
    assert place(shell).status == 0
    assert shell("kill", "--release", "--account", ACCOUNT).status == 2


def test_a_yes_is_taken_by_a_kill_and_does_not_release_it(shell):
    ran = shell("kill", "--yes", "--json")
    assert (ran.status, ran.json["engaged"]) == (0, True), ran.err
    wrong = shell("kill", "--release", "--yes")
    assert (wrong.status, "--account" in wrong.err) == (2, True)
    assert place(shell).status == 3
    assert shell("kill", "--release", "--yes", "--account", ACCOUNT).status == 0
    assert place(shell).status == 0


def test_the_switch_is_set_although_the_broker_does_not_answer(tmp_path):
    shell = Shell(tmp_path)
    shell.profiles(
        """
        [zerodha.main]
        environment = "emulator"
        account = "emu_ZZ0001"
        credentials = { api_key = "emu_key", api_secret = "emu_secret" }
        hosts = { rest = "http://127.0.0.1:9", ws = "ws://127.0.0.1:9", login = "http://127.0.0.1:9" }
        """
    )
    ran = shell("kill", "zerodha", "-p", "main", "--reason", "no network")
    assert ran.status != 0
    assert "new orders are stopped; what works could not be cancelled from here" in ran.err
    (name,) = (tmp_path / "state" / "kill").iterdir()
    assert KillSwitch.open(RealDisk(), str(name)).state().why == "no network"


def test_the_doctor_names_who_stopped_the_account(shell):
    assert shell("kill", "--reason", "drill").status == 0
    found = {one["check"]: one for one in shell("doctor", "--json").json["findings"]}["kill_switch"]
    assert (found["level"], found["code"]) == ("fail", "KILL_SWITCH_ENGAGED")
    assert "drill" in found["found"]
    assert found["remedy"].endswith("--release")


def test_nobody_who_never_logged_in_is_told_how_to_name_the_account(tmp_path):
    shell = Shell(tmp_path)
    with shell.emulator():
        ran = shell("kill")
    assert ran.status == 5
    assert "write `account` into the profile" in ran.err


def positions(shell):
    held = {one["instrument_id"]: float(one["quantity"]) for one in shell("positions", "--json").json}
    return {name: quantity for name, quantity in held.items() if quantity}


def buy(shell):
    assert shell("place", "BUY", 5, "NSE:INFY", "--product", "INTRADAY", "--yes").status == 0
    shell.until("positions", "--json", holds=lambda ran: any(float(one["quantity"]) for one in ran.json))
    assert positions(shell) == {"NSE:INFY": 5}


def test_a_kill_that_flattens_nothing_names_what_stays_open(shell):
    assert "positions: none is open" in shell("kill").out
    assert shell("kill", "--release", "--account", ACCOUNT).status == 0
    buy(shell)
    ran = shell("kill")
    assert ran.status == 0, ran.err
    assert "positions: left open: NSE:INFY INTRADAY 5 (--flatten closes them)" in ran.out
    assert "positions: all closed" in shell("kill", "--flatten").out


def test_a_kill_that_flattens_ends_once_no_position_is_left(shell):
    buy(shell)
    ran = shell.process("kill", "--flatten", "--json")
    assert (ran.status, ran.json["flattened"], ran.json["positions"]) == (0, True, []), ran.err
    assert positions(shell) == {}


def test_a_kill_that_cannot_close_a_position_names_it_and_fails(shell, monkeypatch):
    def reduce(self, key, *args, **options):
        raise UsageError(f"the exit of {key[0]} is refused")

    buy(shell)
    with monkeypatch.context() as patched:
        patched.setattr(Exits, "reduce", reduce)
        ran = shell("kill", "--flatten", "--timeout", "4", "--json")
    assert (ran.status, ran.json["flattened"], ran.json["positions"]) == (1, False, ["NSE:INFY INTRADAY"])
    assert "not all positions are closed, still open: NSE:INFY INTRADAY" in ran.err
    assert shell("kill").status == 0, "the wish stays until somebody releases the switch"
    assert positions(shell) == {}


def test_a_switch_that_cannot_be_opened_is_not_said_to_stop_anybody(shell, monkeypatch):
    def unopenable(self, path, *, initial):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(RealDisk, "map", unopenable)
    ran = shell("kill")
    assert ran.status != 0
    assert "no other was stopped" in ran.err
    assert "new orders are stopped" not in ran.out + ran.err
    assert "no new order leaves" not in ran.out
