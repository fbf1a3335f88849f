"""What commands share: JSON and tables of model values, exit statuses, completion."""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal

import pytest
from rich.console import Console

from dragoman import errors
from dragoman.cli import completion, look, output
from dragoman.cli.account import Account
from dragoman.cli.demo_report import show
from dragoman.cli.exits import Status, status_of
from dragoman.cli.output import amount, fitted, iso, money, number, plain, print_json, step, text
from dragoman.errors import KIND_CLASS, ErrorKind, error_for
from dragoman.model import DepthLevel, Mode, Order, OrderStatus, Position, Product, Quote, Side


def test_json_has_the_models_names_exact_decimals_and_both_forms_of_a_time(capsys):
    order = Order(
        instrument_id="NSE:INFY", side=Side.BUY, quantity=Decimal("10"), price=Decimal("1500.10"),
        status=OrderStatus.OPEN, ts_event=1_767_254_400_123_456_789, raw={"secret": "words"},
    )  # fmt: skip
    print_json([order])
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["instrument_id"], row["side"], row["status"]) == ("NSE:INFY", "BUY", "OPEN")
    assert (row["quantity"], row["price"]) == ("10", "1500.10")
    assert (row["ts_event"], row["ts_event_ns"]) == ("2026-01-01T08:00:00.123456Z", 1_767_254_400_123_456_789)
    assert row["ts_closed"] is None
    assert "raw" not in row


def test_what_json_does_not_know_becomes_what_it_knows():
    quote = Quote(instrument_id="X:Y", mode=Mode.FULL, last_price=float("nan"), bids=(DepthLevel(1.5, 2.0, 3),))
    row = plain(quote)
    assert (row["mode"], row["last_price"], row["bids"]) == (
        "full",
        None,
        [{"price": 1.5, "quantity": 2.0, "orders": 3}],
    )
    assert plain({Side.BUY: Decimal("1E+3")}) == {"BUY": "1000"}
    assert iso(0) == "1970-01-01T00:00:00.000000Z"


@pytest.mark.parametrize(
    ("value", "shown"),
    [(Decimal("1500"), "1500.00"), (1505.4, "1505.40"), (Decimal("84.2575"), "84.2575"), (None, ""),
     (Decimal("3115.2592814371257"), "3115.2593"), (0.1 + 0.2, "0.30"), (float("nan"), "")],
)  # fmt: skip
def test_amounts_have_two_digits_and_up_to_four(value, shown):
    assert amount(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [("0.1", "0.10"), ("0.05", "0.05"), ("0.0025", "0.0025"), ("1E-8", "0.00000001"), ("1", "1.00"), ("0.0", "")],
)
def test_price_steps_have_all_their_digits_and_two_at_least(value, shown):
    assert step(Decimal(value)) == shown


def test_a_table_gives_up_its_least_columns_first_and_folds_the_rest():
    columns = (text("name"), money("price", 1), number("volume", 2), text("remark", 3))
    rows = [{"name": "A" * 20, "price": 1.5, "volume": 10, "remark": "long " * 8}]

    def names(width: int) -> list[str]:
        console = Console(width=width)
        return [str(column.header) for column in fitted(console, "T", columns, rows).columns]

    assert names(120) == ["name", "price", "volume", "remark"]
    assert names(45) == ["name", "price", "volume"]
    assert names(34) == ["name", "price"]
    assert names(10) == ["name"]
    narrow = Console(width=12)
    with narrow.capture() as shown:
        narrow.print(fitted(narrow, "T", columns, rows))
    assert shown.get().count("A") == 20


def test_an_answer_wider_than_the_terminal_is_told_field_by_field(monkeypatch, capsys):
    columns = [text(f"column_{i}", key=str(i)) for i in range(12)]
    rows = [{str(i): f"value-{i}-of-{row}" for i in range(12)} for row in ("a", "b")]
    monkeypatch.setenv("COLUMNS", "80")
    output.show("Answer", columns, rows, fields=True)
    said = capsys.readouterr().out.splitlines()
    assert said[:2] == ["Answer 1 of 2", "  column_0   value-0-of-a"]
    assert said[13:15] == ["Answer 2 of 2", "  column_0   value-0-of-b"]
    assert len(said) == 26
    monkeypatch.setenv("COLUMNS", "300")
    output.show("Answer", columns, rows, fields=True)
    assert any(all(f"value-{i}-of-b" in line for i in range(12)) for line in capsys.readouterr().out.splitlines())


@pytest.mark.parametrize(
    ("profits", "head", "sums"),
    [
        ([("INR", "3", "1"), ("INR", "-1", None)], "pnl", "P&L in all: 2.00"),
        ([("INR", "3", "1"), ("INR", None, "1")], "pnl", None),
        ([("USDT", None, "-0.456"), ("USDC", None, "2")], "unrealised", "Unrealised P&L in all: 2.00 USDC, -0.46 USDT"),
        ([("USDT", None, "1"), ("USDT", None, None)], "unrealised", None),
    ],
)
def test_positions_tell_the_profit_that_is_known_and_sum_no_two_currencies(monkeypatch, capsys, profits, head, sums):
    held = [
        Position(
            instrument_id=f"BINANCE:COIN{number}/USDT=PERP",
            product=Product.MARGIN,
            quantity=Decimal("0.01300000"),
            average_price=Decimal("94419.2"),
            last_price=Decimal("94384.1"),
            currency=currency,
            pnl=None if pnl is None else Decimal(pnl),
            unrealised_pnl=None if unrealised is None else Decimal(unrealised),
        )
        for number, (currency, pnl, unrealised) in enumerate(profits)
    ]
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(Account, "ask", lambda self, work: held)
    look.positions(Account(), everything=False)
    said = capsys.readouterr().out.splitlines()
    assert head in said[2].split()
    assert [line for line in said if "in all" in line] == ([sums] if sums else [])


def test_markup_in_values_is_shown_as_it_is():
    console = Console(width=80)
    with console.capture() as shown:
        console.print(fitted(console, "[red]", (text("name"),), [{"name": "[bold]x[/]"}]))
    assert "[bold]x[/]" in shown.get()
    assert "[red]" in shown.get()


@dataclass
class Empty:
    name: str = ""
    extra: str = ""


def test_columns_that_say_nothing_are_left_out():
    made = fitted(Console(width=80), "T", (text("name"), text("extra", 1)), [Empty("a")])
    assert [str(column.header) for column in made.columns] == ["name"]


def test_the_demos_tables_fit_eighty_columns(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    life = ["PUT ORDER REQ RECEIVED", "VALIDATION PENDING", "OPEN PENDING", "OPEN", "OPEN", "COMPLETE"]
    act = {
        "act": "resting limit, changed, canceled",
        "outcome": "accepted",
        "instrument": "NFO:RELIANCE@20261124-1410CE",
    }
    row = {"count": 5000, "used": 11, "left": 4892, "reserve_left": 97}
    show(
        {
            "broker": "b", "environment": "emulator", "account": "A", "instruments": 1,
            "stream": dict.fromkeys(("subscribed", "ticking", "frames", "ticks", "books"), 1),
            "orders": [
                act | {"filled": 5, "quantity": 5, "average_price": Decimal("1.5"), "life": life},
                act | {"kind": "INSUFFICIENT_MARGIN", "text": "words " * 30, "life": []},
            ],
            "positions": [], "margins": {"EQUITY": {"net": Decimal("1893170.94"), "used": Decimal(1)}},
            "counters": {"limits": {"orders/1d": row}},
            "latency": {"place to accepted": {"count": 6, "p50_us": 1.5, "p99_us": 2.5, "max_us": 3.5}},
            "recorded": ["X:Y"],
            "proof": {"differences": [], "agrees": True, "orders": 1, "fills": 1, "positions": 0},
        },
        as_json=False,
    )  # fmt: skip
    shown = capsys.readouterr().out
    assert max(map(len, shown.splitlines())) <= 80
    assert "OPEN x2" in " ".join(shown.split())
    assert "all agree" in " ".join(shown.split())


# -- exit statuses -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_each_class_of_error_has_the_status_of_its_reaction(kind):
    expected = {
        errors.UsageError: Status.USAGE, errors.Rejected: Status.REJECTED, errors.OutcomeUnknown: Status.UNKNOWN,
        errors.AuthRequired: Status.AUTH, errors.NotSent: Status.NOT_SENT, errors.StaleData: Status.NOT_SENT,
        errors.Throttled: Status.BUSY, errors.AccountBusy: Status.BUSY, errors.DecodeError: Status.USAGE,
    }  # fmt: skip
    assert status_of(error_for(kind, "x")) is expected[KIND_CLASS[kind]]


# -- completion --------------------------------------------------------------------------------------------------------


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("DRAGOMAN_STATE", str(tmp_path))
    monkeypatch.setenv("DRAGOMAN_CONFIG", str(tmp_path / "profiles.toml"))
    for name in ("COMP_WORDS", "COMP_CWORD", "_DRAGOMAN_COMPLETE"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "names").mkdir()
    (tmp_path / "names/zerodha.live.txt").write_text("1 4\nBSE:INFY\nNSE:INDIGO\nNSE:INFY\nNSE:M&M")
    return tmp_path


def test_brokers_profiles_and_environments_are_completed(state):
    (state / "profiles.toml").write_text("[zerodha.main]\nenvironment='live'\n[zerodha.mine]\n[other.far]\n")
    (state / "emulators").mkdir()
    (state / "emulators/zerodha.toy.json").write_text("{}")
    assert completion.broker_names("ze") == ["zerodha"]
    assert completion.profile_names("") == ["main", "mine", "toy"]
    assert completion.profile_names("mi") == ["mine"]
    assert completion.environments("") == ["emulator", "live", "sandbox"]
    (state / "profiles.toml").write_text("not toml")
    assert completion.profile_names("") == ["toy"]


def test_instruments_are_completed_from_the_names_that_were_kept(state):
    assert completion.instrument_ids("NSE:IN") == ["NSE:INDIGO", "NSE:INFY"]
    assert completion.instrument_ids("nse:m&") == ["NSE:M&M"]
    assert completion.instrument_ids("NSE:(") == []
    assert completion.instrument_ids("1") == []  # the line that dates the file is no instrument


@pytest.mark.parametrize(
    ("words", "at", "incomplete", "expected"),
    [("dragoman quote NSE : INF", "4", "INF", ["INFY"]), ("dragoman quote BSE :", "3", ":", ["INFY"]),
     ("dragoman quote NSE", "2", "NSE", ["NSE:INDIGO", "NSE:INFY", "NSE:M&M"])],
)  # fmt: skip
def test_bash_which_ends_words_at_colons_gets_the_rest_only(state, monkeypatch, words, at, incomplete, expected):
    monkeypatch.setenv("_DRAGOMAN_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", at)
    assert completion.instrument_ids(incomplete) == expected
