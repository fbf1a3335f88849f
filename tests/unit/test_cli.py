"""The ``dragoman`` command: its outputs, its exit statuses, and one clear line for whatever is wrong."""

from __future__ import annotations

import base64
import contextlib
import json
import pathlib
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from dragoman.cli import demo, main

ROOT = pathlib.Path(__file__).resolve().parents[2]
VECTORS = json.loads((ROOT / "tests/fixtures/zerodha/vectors.json").read_text())
PROGRAM = [sys.executable, "-c", "from dragoman.cli import main; main()"]


@pytest.fixture
def dragoman(monkeypatch, capsys):
    """Run the command in this process: ``dragoman(*arguments)`` returns status, output and errors."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["dragoman", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as end:
            status = int(end.code or 0)
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def one_line(error: str) -> str:
    """Return an error message, which is one line and no traceback."""
    assert error.startswith("dragoman: ")
    assert error.count("\n") == 1
    return error


# -- brokers -----------------------------------------------------------------------------------------------------------


def test_brokers_tells_what_each_adapter_offers_and_why_not(dragoman):
    status, out, _ = dragoman("brokers", "--json")
    assert status == 0
    row = next(row for row in json.loads(out) if row["name"] == "zerodha")
    assert row["loads"]
    assert row["distribution"].startswith("dragoman ")
    assert {"live", "emulator"} <= set(row["environments"])
    assert "LIMIT" in row["order_types"]
    assert row["modes"] == ["full", "ltp", "quote"]
    assert row["features"]["place"] == {"verdict": "YES", "reason": ""}
    assert all(one["reason"] for one in row["features"].values() if one["verdict"] != "YES")
    assert {"meter": "orders", "count": 10, "per": "1s", "window": "calendar"} in row["limits"]


def test_brokers_as_a_table(dragoman):
    status, out, _ = dragoman("brokers")
    assert status == 0
    assert "zerodha" in out


# -- decode ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["case"])
@pytest.mark.parametrize("how", ["hex", "base64", "raw"])
def test_decode_of_known_frames(dragoman, tmp_path, vector, how):
    data = bytes.fromhex(vector["hex"])
    texts = {"hex": vector["hex"].encode() + b"\n", "base64": base64.encodebytes(data), "raw": data}
    file = tmp_path / "frame"
    file.write_bytes(texts[how])
    status, out, _ = dragoman("decode", "zerodha", f"--{how}", file)
    assert status == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == len(vector["records"])
    for row, expected in zip(rows, vector["records"], strict=True):
        sides = {side: [list(level.values()) for level in levels] for side, levels in row.get("depth", {}).items()}
        assert {name: (row | sides)[name] for name in expected} == expected


def test_a_heartbeat_has_no_ticks(dragoman, tmp_path):
    (tmp_path / "beat").write_text("00")
    assert dragoman("decode", "zerodha", "--hex", tmp_path / "beat") == (0, "", "")


def ist_ns(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) * 1000


@pytest.mark.parametrize("name", ["ticker_full", "ticker_quote"])
def test_decode_equals_the_official_samples_field_by_field(dragoman, real_data, name):
    """`change` of the quote sample is left out: it is that of the full sample's price, not of its own packet."""
    expected = json.loads((real_data / "kite-mocks" / f"{name}.json").read_text())
    status, out, _ = dragoman("decode", "zerodha", "--base64", real_data / "kite-mocks" / f"{name}.packet")
    assert status == 0
    (row,) = map(json.loads, out.splitlines())
    ohlc, depth = expected.pop("ohlc"), expected.pop("depth", None)
    change = expected.pop("change")
    times = {ours: expected.pop(theirs, None) for ours, theirs in (("last_trade_time",) * 2, ("ts_event", "timestamp"))}
    ours = {
        "instrument_token": "key",
        "buy_quantity": "total_buy_quantity",
        "sell_quantity": "total_sell_quantity",
        "oi_day_high": "oi_high",
        "oi_day_low": "oi_low",
    }
    assert {name: row[ours.get(name, name)] for name in expected} == expected
    assert [row[key] for key in ("open", "high", "low", "previous_close")] == list(ohlc.values())
    if name == "ticker_full":
        assert row["last_price"] - row["previous_close"] == change
        assert {key: row[key] for key in times} == {key: ist_ns(text) for key, text in times.items()}
        assert row["depth"] == {"bids": depth["buy"], "asks": depth["sell"]}
        best = (row["bid_price"], row["bid_quantity"], row["ask_price"], row["ask_quantity"])
        assert best == (1573.4, 5, 1573.7, 172)
    else:
        assert times == {"last_trade_time": None, "ts_event": None}
        assert depth is None
        assert "depth" not in row
        assert "ts_event" not in row


@pytest.mark.parametrize(
    ("how", "content", "expected"),
    [
        ("hex", b"xyz", "is not hexadecimal text"),
        ("hex", b"abc", "is not hexadecimal text"),
        ("base64", b"\xff\xfe", "is not base64 text"),
        ("base64", b"QUJ", "is not base64 text"),
        ("raw", b"12345", "5 bytes are neither a frame"),
        ("hex", b"00010008" + b"00063a0100", "neither a frame"),
        ("raw", None, "No such file"),
        ("raw", "folder", "Is a directory"),
    ],
)
def test_bad_files_are_one_clear_line_and_status_2(dragoman, tmp_path, how, content, expected):
    file = tmp_path / "frame"
    if content == "folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    status, out, error = dragoman("decode", "zerodha", f"--{how}", file)
    assert (status, out) == (2, "")
    assert expected in one_line(error)


def test_what_can_be_read_of_a_frame_is_shown_before_the_error(dragoman, tmp_path):
    (tmp_path / "frame").write_text("0002" + "000800063a01000266ba" + "0009" + "00063a01000266baff")
    status, out, error = dragoman("decode", "zerodha", "--hex", tmp_path / "frame")
    assert status == 2
    assert json.loads(out)["last_price"] == 1573.7
    assert "1 packets" in one_line(error)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("decode", "zerodha"), "name one file"),
        (("decode", "nobroker", "--hex", "x"), "No such file"),
        (("emulate", "zerodah"), "zerodha"),
        (("emulate", "zerodha", "--faults", "explode"), "unknown action 'explode'"),
        (("emulate", "zerodha", "--faults", "drop_reply@@"), "drop_reply@@"),
        (("demo", "--broker", "nobroker"), "no adapter for broker"),
    ],
)
def test_wrong_arguments_are_one_clear_line_and_status_2(dragoman, arguments, expected):
    status, out, error = dragoman(*arguments)
    assert (status, out) == (2, "")
    assert expected in one_line(error)


@pytest.mark.parametrize(
    "options", [("--port", "70000"), ("--tick-rate", "0"), ("--redirect-port", "0"), ("--port", "x")]
)
def test_options_out_of_range_are_refused_with_the_range(dragoman, options):
    status, out, error = dragoman("emulate", "zerodha", *options)
    assert (status, out) == (2, "")
    assert options[0] in error


@pytest.mark.parametrize("arguments", [
    ("emulate", "zerodha", "--port", "99999"), ("emulate", "zerodha", "--port", "-1"),
    ("emulate", "zerodha", "--tick-rate", "-5"), ("emulate", "zerodha", "--tick-rate", "nan"),
    ("demo", "--seconds", "-1"), ("demo", "--seconds", "nan"), ("demo", "--seconds", "inf"),
])  # fmt: skip
def test_numbers_that_are_no_numbers_to_work_with_are_refused(dragoman, arguments):
    status, out, error = dragoman(*arguments)
    assert (status, out) == (2, "")
    assert arguments[-2] in error


@pytest.mark.parametrize("option", ["--raw", "--hex", "--base64"])
def test_an_empty_capture_is_said_to_be_empty(dragoman, tmp_path, option):
    path = tmp_path / "nothing"
    path.write_bytes(b"")
    status, out, error = dragoman("decode", "zerodha", option, path)
    assert (status, out) == (2, "")
    assert "is empty" in one_line(error)


def test_a_port_that_is_taken_is_one_clear_line(dragoman):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        status, out, error = dragoman("emulate", "zerodha", "--port", taken.getsockname()[1])
    assert (status, out) == (2, "")
    assert "cannot listen" in one_line(error)


# -- emulate -----------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def emulating(*options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*PROGRAM, "emulate", "zerodha", *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT], ids=lambda end: end.name)
def test_emulate_prints_one_line_serves_and_ends_in_good_order(end):
    with emulating("--seed", "3", "--redirect-port", "5017") as process:
        line = json.loads(process.stdout.readline())
        assert list(line) == ["broker", "rest", "ws", "login", "credentials"]
        assert line["broker"] == "zerodha"
        assert line["rest"].startswith("http://127.0.0.1:")
        assert line["ws"] == line["rest"].replace("http", "ws")
        assert all(value.startswith("emu_") for name, value in line["credentials"].items() if name != "redirect_url")
        assert ":5017/" in line["credentials"]["redirect_url"]
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{line['rest']}/orders", timeout=10)
        assert refused.value.code == 403
        refused.value.close()
        process.send_signal(end)
        out, error = process.communicate(timeout=20)
        assert process.returncode == 0, error
        assert out == ""
        assert json.loads(error.removeprefix("dragoman: "))["requests"] == 1


def test_emulate_ended_at_once_ends_in_good_order():
    with emulating() as process:
        process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=20)
        assert process.returncode == 0


# -- demo --------------------------------------------------------------------------------------------------------------


def test_demo_on_loopback_proves_that_every_book_agrees():
    done = subprocess.run(
        [*PROGRAM, "demo", "--broker", "zerodha", "--json", "--seconds", "3"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["proof"]["agrees"] is True
    assert result["proof"]["differences"] == []
    assert result["proof"]["orders"] >= 6
    assert result["proof"]["fills"] >= 3
    assert result["stream"]["ticking"] >= 200
    assert result["broker"] == "zerodha"
    assert "emu_api_secret" not in done.stdout


def test_a_demo_of_several_brokers_says_which_one_it_is_at(monkeypatch, capsys):
    async def agreed(runtime, broker, **given):
        return {"broker": broker, "proof": {"agrees": True}}

    shown = []
    monkeypatch.setattr(demo, "demo", agreed)
    monkeypatch.setattr(demo, "show_all", lambda results, *, as_json: shown.append([one["broker"] for one in results]))
    monkeypatch.setattr(demo, "with_emulator", lambda: ["alpaca", "zerodha"])
    assert demo.run_demo("all", seconds=0, seed=1, as_json=True) == 0
    assert shown == [["alpaca", "zerodha"]]
    told = capsys.readouterr()
    assert told.err.splitlines() == ["demo: alpaca (1 of 2) ...", "demo: zerodha (2 of 2) ..."]
    assert told.out == ""


def test_a_demo_whose_exchange_has_another_ledger_fails(monkeypatch, capsys):
    prove, proofs = demo.prove, {}

    class Tampered:
        """The exchange's ledger as the proof reads it, one answer changed; the broker goes on telling the truth."""

        def __init__(self, venue, method, change):
            self._venue, self._method, self._change = venue, method, change

        def __getattr__(self, name):
            honest = getattr(self._venue, name)
            return (lambda *given: self._change(list(honest(*given)))) if name == self._method else honest

    def more_filled(orders):
        orders[0].filled_quantity += 1
        return orders

    async def tampered(client, emulator, host):
        for what, method, change in (
            ("order", "orders", more_filled),
            ("fill", "fills", lambda fills: fills[1:]),
            ("position by the broker", "positions", lambda positions: positions[1:]),
        ):
            other = SimpleNamespace(
                venue=Tampered(emulator.venue, method, change),
                order_name=emulator.order_name,
                fill_name=emulator.fill_name,
            )
            proofs[what] = await prove(client, other, host)
        assert (await prove(client, emulator, host))["agrees"]
        return proofs["order"]

    monkeypatch.setattr(demo, "prove", tampered)
    assert demo.run_demo("zerodha", seconds=0.0, seed=7, as_json=True) == 1
    assert json.loads(capsys.readouterr().out)["proof"]["agrees"] is False
    for what, proof in proofs.items():
        assert proof["agrees"] is False
        assert any(difference.startswith(f"{what} ") for difference in proof["differences"])
