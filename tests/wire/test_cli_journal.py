"""``dragoman journal``: the record of orders, checked, shown, asked and exported; it is only read."""

from __future__ import annotations

import asyncio
import csv
from decimal import Decimal

import pyarrow.parquet as pq
import pytest

from dragoman.model import Fill, Order, OrderRequest, OrderStatus, Side
from dragoman.orders.journal import Journal, Kind, journal_folder
from dragoman.orders.journal.codec import to_plain
from dragoman.runtime.real import RealRuntime
from wire.shell import Shell

TERMS = {"instrument_id": "X:Y", "side": Side.BUY, "quantity": Decimal("1.50")}


def write(folder: str, names, *, account="AB1", environment="live", close=True) -> None:
    async def main():
        journal = await Journal.open(
            runtime, folder, broker="examplebroker", environment=environment, account=account, chunk_size=8192
        )
        for name in names:
            request = OrderRequest(**TERMS, client_order_id=name, wire_id=f"W{name}")
            await journal.commit(Kind.INTENT, {"op": "place", "name": name, "at": 1, "request": to_plain(request)})
            order = Order(**TERMS, client_order_id=name, order_id=f"7{name}", status=OrderStatus.FILLED)
            fill = Fill(**TERMS, trade_id=f"t{name}", order_id=f"7{name}", price=Decimal("9.85"))
            journal.append(Kind.STREAM, {"order": to_plain(order), "fills": [to_plain(fill)]})
        if close:
            await journal.close()
        else:
            await journal.flush()

    runtime = RealRuntime()
    asyncio.run(main())
    runtime.close()


@pytest.fixture
def shell(tmp_path):
    """A shell on a machine with one journal: of 20 orders, in two chunks."""
    shell = Shell(tmp_path, 100, DRAGOMAN_ENVIRONMENT="")
    shell.env.pop("DRAGOMAN_ENVIRONMENT")
    shell.journal = journal_folder(f"{tmp_path}/state", "examplebroker", "live", "AB1")
    write(shell.journal, [f"n{number}" for number in range(20)])
    return shell


def content(folder: str):
    disk = RealRuntime().disk
    return {name: disk.read(f"{folder}/{name}") for name in disk.listdir(folder) if name.endswith(".journal")}


@pytest.mark.parametrize("command", [("verify",), ("show",), ("sql", "select count(*) from orders")])
def test_a_broker_named_by_the_command_goes_before_the_environments_but_not_before_an_options(shell, command):
    ran = shell("journal", *command, "examplebroker", DRAGOMAN_BROKER="zerodha")
    assert ran.status == 0, ran.err
    ran = shell("journal", *command, "examplebroker", "--broker", "zerodha")
    assert (ran.status, "two brokers are named" in ran.line) == (2, True)


def test_a_sound_journal_verifies(shell):
    ran = shell("journal", "verify")
    assert ran.status == 0, ran.err
    assert "42 records of 1 epochs; the last epoch ended properly" in ran.out
    assert "every byte is as it was written" in ran.out
    found = shell("journal", "verify", "--json").json
    assert found["sound"]
    assert found["ended"]
    assert found["damage"] == []
    assert found["account"] == {"broker": "examplebroker", "environment": "live", "account": "AB1"}
    assert (found["records"], found["epochs"], found["writer"]) == (42, 1, None)
    assert found["bytes"] == sum(map(len, content(shell.journal).values()))


def test_damage_is_told_until_an_opening_has_met_it(shell, tmp_path):
    path = tmp_path / "state" / "journal" / "examplebroker.live.AB1" / "00000001.journal"
    data = bytearray(path.read_bytes())
    data[data.index(b'"name":"n7"') + 9] ^= 2
    path.write_bytes(data)
    ran = shell("journal", "verify")
    assert ran.status == 1
    assert "DAMAGE: 00000001.journal at byte" in ran.out
    assert "1 records are lost" in ran.out
    (damage,) = shell("journal", "verify", "--json").json["damage"]
    assert (damage["what"], damage["lost"], damage["known"]) == ("damaged", 1, False)
    write(shell.journal, ["later"])
    ran = shell("journal", "verify")
    assert ran.status == 0
    assert "known damage: 00000001.journal at byte" in ran.out
    assert "2 epochs" in ran.out


def test_a_journal_that_is_being_written_is_read(shell):
    async def main():
        journal = await Journal.open(
            runtime, shell.journal, broker="examplebroker", environment="live", account="AB1", chunk_size=8192
        )
        await journal.commit(Kind.DECISION, {"what": "thinking", "name": "n1"})
        ran = await asyncio.to_thread(shell, "journal", "verify")
        told = await asyncio.to_thread(shell, "journal", "show", "--limit", 1, "--json")
        assert await journal.close()
        return ran, told

    runtime = RealRuntime()
    ran, told = asyncio.run(main())
    runtime.close()
    assert ran.status == 0
    assert "writes it" in ran.out
    assert told.json["what"] == "thinking"


def test_the_newest_records_or_the_life_of_one_order_are_shown(shell):
    before = content(shell.journal)
    ran = shell("journal", "show", "--limit", 4)
    assert ran.status == 0
    assert "CLOSE" in ran.out
    assert "n19" in ran.out
    assert "n15" not in ran.out
    for name in ("n3", "Wn3", "7n3"):
        lines = [line for line in shell("journal", "show", "--order", name).out.splitlines() if "n3" in line]
        assert ["INTENT" in line for line in lines] == [True, False]
    assert "no such records" in shell("journal", "show", "--order", "nobody").out
    assert content(shell.journal) == before


def test_questions_in_sql_are_answered_and_nothing_can_be_changed(shell):
    query = "SELECT side, count(*) AS orders, sum(quantity) AS units FROM orders GROUP BY side"
    assert shell("journal", "sql", query, "--json").json == {"side": "BUY", "orders": 20, "units": 30.0}
    ran = shell("journal", "sql", query)
    assert ran.status == 0
    assert "orders" in ran.out
    assert "BUY    20       30" in ran.out
    assert "no rows" in shell("journal", "sql", "SELECT * FROM decisions").out
    for wrong in ("DELETE FROM orders", "SELECT nonsense FROM nowhere", "ATTACH '/nowhere/x' AS x"):
        ran = shell("journal", "sql", wrong)
        assert ran.status == 2
        assert "the question cannot be answered" in ran.line


def test_the_audit_trail_is_exported_whole_in_both_forms(shell, tmp_path):
    ran = shell("journal", "export", tmp_path / "trail.csv", "--json")
    assert ran.json == {"file": str(tmp_path / "trail.csv"), "rows": 42, "form": "csv"}
    assert "42 records" in shell("journal", "export", tmp_path / "trail.parquet").out
    with (tmp_path / "trail.csv").open() as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(tmp_path / "trail.parquet").to_pylist()
    assert len(rows) == len(table) == 42
    for text, typed in zip(rows, table, strict=True):
        assert {name: str(value) for name, value in typed.items() if name != "time"} == {
            name: value for name, value in text.items() if name != "time"
        }
    assert (rows[1]["client_order_id"], rows[1]["what"], rows[1]["quantity"]) == ("n0", "place", "1.50")
    for name in ("trail.csv", "trail.parquet"):
        assert (tmp_path / name).stat().st_mode & 0o077 == 0
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".part")] == []
    ran = shell("journal", "export", tmp_path / "late.csv", "--since", "2200-01-01", "--json")
    assert ran.json["rows"] == 0
    assert shell("journal", "export", tmp_path / "x", "--csv").status == 0
    for wrong in (("x.txt",), ("x.csv", "--csv", "--parquet")):
        assert shell("journal", "export", tmp_path / wrong[0], *wrong[1:]).status == 2


def test_which_journal_is_meant_is_found_or_asked(shell, tmp_path):
    state = f"{tmp_path}/state"
    assert shell("journal", "verify", "--folder", shell.journal).status == 0
    assert shell("journal", "verify", "--folder", tmp_path / "none").status == 2
    write(journal_folder(state, "examplebroker", "live", "AB2"), ["a"], account="AB2")
    write(journal_folder(state, "examplebroker", "sandbox", "AB1"), ["b"], environment="sandbox")
    ran = shell("journal", "verify")
    assert ran.status == 2
    assert "3 journals can be meant" in ran.line
    assert shell("journal", "verify", "--environment", "sandbox", "--json").json["records"] == 4
    other = Shell(tmp_path / "other", 100)
    ran = other("journal", "verify")
    assert ran.status == 2
    assert "there is no such journal" in ran.line
