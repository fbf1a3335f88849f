"""The commands that read an account, against an emulator that another process serves: both forms, and the failures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from decimal import Decimal

import pytest

from dragoman.cli import look
from dragoman.cli.account import Account
from dragoman.errors import UsageError
from dragoman.session.secrets import Secret
from wire.shell import Shell


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    """A shell that is logged in to a running emulator, with an order placed and filled."""
    shell = Shell(tmp_path_factory.mktemp("shell"))
    with shell.emulator("--tick-rate", "20"):
        assert shell("login").status == 0
        assert shell("place", "BUY", 10, "NSE:INFY", "--product", "INTRADAY", "--yes", "--wait", 5).status == 0
        yield shell


def widest(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


# -- the session -------------------------------------------------------------------------------------------------------


def test_login_tells_who_and_until_when_and_keeps_the_session(shell):
    found = shell("login", "--json").json
    assert (found["broker"], found["profile"], found["environment"]) == ("zerodha", "emulator", "emulator")
    assert (found["account"], found["session"]) == ("emu_ZZ0001", "kept")
    assert found["expires"].endswith("Z")
    assert isinstance(found["expires_ns"], int)
    assert "emulator@zerodha (emulator): logged in as emu_ZZ0001, until " in shell("login").out


def test_without_a_login_every_command_says_how_to_log_in(shell, tmp_path):
    other = Shell(tmp_path, DRAGOMAN_STATE=str(tmp_path))
    line = (shell.folder / "state/emulators/zerodha.emulator.json").read_bytes()
    (tmp_path / "emulators").mkdir()
    (tmp_path / "emulators/zerodha.emulator.json").write_bytes(line)
    ran = other("margins")
    assert (ran.status, ran.out) == (5, "")
    assert "there is no session" in ran.line
    assert "run: dragoman login -e emulator" in ran.line


def test_a_session_that_another_login_ended_is_said_to_be_over(tmp_path):
    shell = Shell(tmp_path)
    with shell.emulator():
        assert shell("login").status == 0
        assert shell("margins").status == 0
        kept = tmp_path / "state/tokens/zerodha.emulator.emulator.json"
        old = kept.read_bytes()
        assert shell("login", "--force", "--json").json["session"] == "new"
        kept.write_bytes(old)
        ran = shell("margins")
        assert ran.status == 5
        assert "the broker has ended it" in ran.line
        kept.write_bytes(old)
        kept.chmod(0o600)
        findings = {one["check"]: one for one in shell("doctor", "--json").json["findings"]}
        assert findings["token"]["code"] == "TOKEN_REFUSED"
        kept.write_bytes(old)
        kept.chmod(0o600)
        assert shell("logout", "--json").json["session"] == "over"
        assert not kept.exists()


def test_logout_ends_the_session_and_says_where_there_is_none(tmp_path):
    shell = Shell(tmp_path)
    with shell.emulator("--name", "toy"):
        options = ("--profile", "toy")
        assert shell("login", *options).status == 0
        assert shell("logout", *options).out == "toy@zerodha (emulator): logged out\n"
        assert shell("logout", *options).out == "toy@zerodha (emulator): was not logged in\n"
        assert shell("positions", *options).status == 5


def test_a_token_made_elsewhere_comes_through_standard_input(shell, tmp_path):
    kept = json.loads((shell.folder / "state/tokens/zerodha.emulator.emulator.json").read_bytes())
    (tmp_path / "state").mkdir()
    os.symlink(shell.folder / "state/emulators", tmp_path / "state/emulators")
    other = Shell(tmp_path)
    assert other("login", "--token-stdin", typed="\n").status == 2
    ran = other("login", "--token-stdin", "--json", typed=kept["access_token"] + "\n")
    assert ran.json["session"] == "imported"
    assert kept["access_token"] not in ran.out + ran.err
    assert other("margins").status == 0


class _Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *given):
        return None


def redirected(shown: str) -> str:
    """Return where the login page that was shown leads to: what a human copies from the browser."""
    with pytest.raises(urllib.error.HTTPError) as answered:
        urllib.request.build_opener(_Stay).open(re.search(r"http\S+", shown)[0], timeout=10)
    answered.value.close()
    return answered.value.headers["location"] + "\n"


def test_a_login_without_a_browser_takes_the_pasted_address(tmp_path):
    shell = Shell(tmp_path)
    with shell.emulator():
        asks = "the address the browser ends up at: "
        ran = shell.terminal("login", "--paste", "--json", typed=redirected, asks=asks)
        assert (ran.status, ran.json["session"]) == (0, "new")
        assert shell("margins").status == 0
        ran = shell.terminal("login", "--paste", "--force", typed="http://127.0.0.1:1/\n" * 3, asks=asks)
        assert (ran.status, ran.out) == (5, "")
        assert "none of 3 pasted addresses belongs to this login" in ran.err
        ran = shell.terminal("login", "--paste", "--force", typed=None, asks=asks)
        assert (ran.status, ran.out) == (130, "")
        assert "run it at a terminal" in shell("login", "--paste", "--force").line


def test_commands_that_do_not_trade_could_not(shell, monkeypatch):
    for name, value in shell.env.items():
        monkeypatch.setenv(name, value)
    at = Account(environment="emulator")
    with pytest.raises(UsageError, match="this session is read-only"):
        at.ask(lambda client: client.place("NSE:INFY", "BUY", 1))


# -- failures that every command shares --------------------------------------------------------------------------------


def test_no_profile_is_one_clear_sentence(tmp_path):
    ran = Shell(tmp_path)("margins", DRAGOMAN_ENVIRONMENT="", DRAGOMAN_BROKER="zerodha")
    assert (ran.status, ran.out) == (2, "")
    assert "there is no file" in ran.line
    assert "api_key, api_secret" in ran.line


def test_no_emulator_is_one_clear_sentence(tmp_path):
    ran = Shell(tmp_path)("margins", DRAGOMAN_BROKER="zerodha")
    assert ran.status == 2
    assert "no emulator of zerodha named 'emulator' is running" in ran.line
    assert "run `dragoman emulate zerodha`" in ran.line


def test_an_emulator_that_has_gone_is_said_to_be_gone(tmp_path):
    shell = Shell(tmp_path)
    with shell.emulator():
        record = (tmp_path / "state/emulators/zerodha.emulator.json").read_bytes()
    assert not (tmp_path / "state/emulators/zerodha.emulator.json").exists()  # it takes its word back
    (tmp_path / "state/emulators/zerodha.emulator.json").write_bytes(record)
    ran = shell("login")
    assert ran.status == 6
    assert "refused" in ran.line


def test_a_profile_of_another_environment_is_refused(shell):
    shell.profiles('[zerodha.main]\nenvironment = "live"\ncredentials.api_key = "k"\n')
    ran = shell("margins", "--profile", "main")
    assert ran.status == 2
    assert "is for environment live" in ran.line


@pytest.mark.parametrize("options", [(), ("--broker", "zerodha")])
def test_an_unknown_environment_is_refused_before_anything_else(tmp_path, options):
    ran = Shell(tmp_path)("margins", *options, "--environment", "prod")
    assert (ran.status, ran.line) == (
        2,
        "dragoman: environment 'prod' is unknown (use one of live, sandbox, emulator)\n",
    )


def test_an_unknown_broker_is_refused_with_the_installed_ones(shell):
    ran = shell("margins", "--broker", "zerodah")
    assert ran.status == 2
    assert "installed: zerodha" in ran.line


def test_a_fault_of_the_program_shows_no_values_and_no_secrets(shell, monkeypatch):
    secret = Secret("hush-canary-hush")

    def broken(at):
        kept_in_a_local = secret.reveal()
        raise RuntimeError(f"cannot do this with {kept_in_a_local}")

    monkeypatch.setattr(look, "margins", broken)
    ran = shell("margins")
    assert ran.status == 70
    assert "RuntimeError: cannot do this with ***" in ran.err
    assert "canary" not in ran.err
    assert "this is a fault of dragoman itself" in ran.err


# -- instruments and market --------------------------------------------------------------------------------------------


def test_instruments_are_found_by_words_and_by_misspelt_ones(shell):
    found = shell("instruments", "relaince", "--exchange", "nse", "--json").json
    assert [row["instrument_id"] for row in found] == ["NSE:RELIANCE"]
    assert (found[0]["tick_size"], found[0]["lot_size"]) == ("0.1", "1") or found[0]["lot_size"] == "1"
    calls = shell("instruments", "nifty", "call", "--type", "option", "--limit", 3, "--json").json
    assert len(calls) == 3
    assert {row["option_type"] for row in calls} == {"CALL"}
    table = shell("instruments", "infy")
    assert "NSE:INFY" in table.out
    assert widest(table.out) <= 80
    assert len(shell("instruments", "--limit", 4, "--json").json) == 4


def test_words_that_nothing_has_and_unknown_kinds_are_refused(shell):
    assert "nothing is like" in shell("instruments", "qqqqxxzz").line
    ran = shell("instruments", "infy", "--type", "stock")
    assert ran.status == 2
    assert "use SPOT" in ran.line


def test_a_quote_comes_with_its_depth(shell):
    (found,) = shell("quote", "NSE:INFY", "--json").json
    assert found["instrument_id"] == "NSE:INFY"
    assert len(found["bids"]) == 5
    assert set(found["bids"][0]) == {"price", "quantity", "orders"}
    assert found["bid_price"] == found["bids"][0]["price"] < found["ask_price"]
    table = shell("quote", "NSE:INFY").out
    assert "Depth" in table
    assert widest(table) <= 80
    assert "Depth" not in shell("quote", "NSE:INFY", "NSE:SBIN").out


def test_an_unknown_instrument_names_the_nearest(shell):
    ran = shell("quote", "NSE:INFO")
    assert ran.status == 2
    assert "nearest: NSE:INFY" in ran.line


def test_candles_as_json_and_as_a_table_of_the_exchanges_days(shell):
    found = shell("candles", "NSE:INFY", "--from", "2026-01-05", "--to", "2026-01-09", "--json").json
    assert [row["ts_open"][:10] for row in found] == [f"2026-01-{day:02}" for day in (4, 5, 6, 7, 8)]  # 00:00 IST
    table = shell("candles", "NSE:INFY", "--from", "2026-01-05", "--to", "2026-01-09").out
    assert [line.split()[0] for line in table.splitlines()[4:9]] == [f"2026-01-0{day}" for day in (5, 6, 7, 8, 9)]
    assert widest(table) <= 80
    assert "is no time" in shell("candles", "NSE:INFY", "--from", "yesterday").line
    assert "use one of" in shell("candles", "NSE:INFY", "-i", "7m").line


def test_ticks_are_one_line_an_event(shell):
    lines = [json.loads(line) for line in shell("ticks", "NSE:INFY", "--count", 3, "--json").out.splitlines()]
    rows = [line for line in lines if line["event"] == "tick"]
    assert len(rows) == 3
    assert {row["instrument_id"] for row in rows} == {"NSE:INFY"}
    assert rows[0]["last_price"] > 0
    assert rows[0]["ts_event"].endswith("Z")
    assert isinstance(rows[0]["ts_event_ns"], int)
    text = shell("ticks", "NSE:INFY", "NSE:SBIN", "--count", 2, "--mode", "ltp").out
    assert text.splitlines()[0].split()[:3] == ["time", "instrument", "last"]
    assert len(text.splitlines()) == 3
    assert widest(text) <= 80
    assert shell("ticks", "NSE:INFY", "--seconds", 0.5).status == 0
    assert "use one of" in shell("ticks", "NSE:INFY", "--mode", "deep").line


# -- the account's books -----------------------------------------------------------------------------------------------


def test_orders_are_listed_and_one_is_told_with_its_life(shell):
    (order,) = [one for one in shell("orders", "--json").json if one["status"] == "FILLED"]
    assert (order["quantity"], order["filled_quantity"], order["side"]) == ("10", "10", "BUY")
    assert order["ts_event"].endswith("Z")
    assert "raw" not in order
    assert shell("orders", "--open", "--json").json == []
    (told,) = shell("orders", order["order_id"], "--json").json
    assert told["order"]["order_id"] == order["order_id"]
    assert told["history"][-1]["status"] == "FILLED"
    assert len(told["history"]) >= 4
    assert sum(Decimal(fill["quantity"]) for fill in told["fills"]) == 10
    table = shell("orders").out
    assert order["order_id"] in table
    life = shell("orders", order["order_id"]).out
    assert "Its life" in life
    assert "COMPLETE" in life
    assert "Fills" in life
    assert max(widest(table), widest(life)) <= 80
    ran = shell("orders", "1")
    assert ran.status == 2
    assert "no order '1'" in ran.line


def test_positions_holdings_and_margins(shell):
    (position,) = shell("positions", "--json").json
    assert (position["instrument_id"], position["quantity"], position["product"]) == ("NSE:INFY", "10", "INTRADAY")
    assert Decimal(position["average_price"]) > 0
    table = shell("positions").out
    assert "P&L in all: " in table
    (holding,) = shell("holdings", "--json").json
    assert (holding["instrument_id"], holding["quantity"], holding["t1_quantity"]) == ("NSE:SBIN", "60", "10")
    margins = {row["segment"]: row for row in shell("margins", "--json").json}
    assert Decimal(margins["EQUITY"]["used"]["total"]) > 0
    assert 0 < Decimal(margins["EQUITY"]["utilisation"]) < 1
    for text in (table, shell("holdings").out, shell("margins").out):
        assert widest(text) <= 80


@pytest.mark.parametrize("columns", [40, 80, 160])
@pytest.mark.parametrize("command", [("orders",), ("margins",), ("instruments", "reliance")])
def test_tables_fit_the_terminal_and_cut_nothing_off(shell, columns, command):
    ran = shell(*command, COLUMNS=str(columns))
    assert (ran.status, ran.err) == (0, "")
    text = ran.out
    assert widest(text) <= columns
    assert "…" not in text


# -- real processes ----------------------------------------------------------------------------------------------------


def test_a_real_process_prints_json_and_nothing_else(shell):
    ran = shell.process("positions", "--json")
    assert (ran.status, ran.err) == (0, "")
    assert ran.json[0]["instrument_id"] == "NSE:INFY"


def test_ctrl_c_ends_a_stream_in_good_order(shell):
    with shell.start("ticks", "NSE:INFY", "--json") as process:
        assert json.loads(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert err == "dragoman: interrupted\n"


def test_a_reader_that_has_enough_ends_a_stream_without_a_word(shell):
    with shell.start("ticks", "NSE:INFY", "--json") as process:
        process.stdout.readline()
        process.stdout.close()
        process.stdout = None
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (141, "")


def test_help_imports_nothing_heavy():
    program = "import sys; from dragoman.cli.app import app; print(*sorted(sys.modules))"
    done = subprocess.run([os.sys.executable, "-c", program], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"numpy", "pydantic", "picows", "uvloop", "wsproto", "httptools", "orjson", "asyncio", "dragoman._core"}
    assert not heavy & loaded
    assert not {"dragoman.client", "dragoman.model", "dragoman.plugin", "dragoman.session"} & loaded


def test_commands_that_never_log_in_fetch_no_secret_of_a_login(tmp_path):
    shell = Shell(tmp_path)
    shell.profiles(
        '[zerodha.main]\nenvironment = "emulator"\nhosts = { rest = "http://127.0.0.1:9", '
        'ws = "ws://127.0.0.1:9", login = "http://127.0.0.1:9" }\n'
        'credentials = { api_key = { env = "THE_KEY" }, api_secret = { env = "NOT_SET" } }\n'
    )
    shell.env["THE_KEY"] = "emu_key"
    ran = shell("quote", "NSE:INFY", "-p", "main")
    assert ran.status == 5, ran.err
    assert "dragoman login" in ran.line


def test_commands_that_only_look_read_no_orders(tmp_path):
    shell = Shell(tmp_path)
    with shell.emulator("--faults", "http:403@GET /orders;http:403@GET /trades"):
        assert shell("login").status == 0
        for command in (
            ("quote", "NSE:INFY"), ("instruments", "infy"), ("candles", "NSE:INFY"), ("positions",), ("holdings",),
            ("margins",), ("gtt", "list"), ("ticks", "NSE:INFY", "--count", "1"),
        ):  # fmt: skip
            ran = shell(*command)
            assert ran.status == 0, (command, ran.err)
        assert shell("orders").status != 0
