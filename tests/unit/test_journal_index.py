"""The index of a journal: what it answers, that it follows the log, and that nothing hangs on it."""

from __future__ import annotations

import sqlite3
from decimal import Decimal

import pytest

from dragoman.model import Fill, Order, OrderRequest, OrderStatus, Side
from dragoman.orders.journal import Kind, open_index, read_journal, verify_journal
from dragoman.orders.journal.codec import to_plain
from dragoman.orders.journal.format import chunk_name
from dragoman.orders.journal.index import FILE, update_index
from dragoman.orders.journal.reading import facts_of
from dragoman.runtime.real_disk import RealDisk
from dragoman.runtime.virtual_disk import VirtualDisk
from reference.journal_kit import FOLDER, committed, on, opened

BUY = {"instrument_id": "X:Y", "side": Side.BUY, "quantity": Decimal("1.50")}


async def trade(journal, name: str, *, trade_id: str = "t1") -> None:
    request = OrderRequest(**BUY, price=Decimal("9.90"), client_order_id=name, wire_id=f"W{name}")
    await committed(journal, {"op": "place", "name": name, "at": 1, "request": to_plain(request)})
    order = Order(
        **BUY,
        client_order_id=name,
        order_id=f"7{name}",
        status=OrderStatus.FILLED,
        filled_quantity=Decimal("1.50"),
        average_price=Decimal("9.85"),
    )
    fill = Fill(**BUY, trade_id=trade_id, order_id=f"7{name}", price=Decimal("9.85"), ts_event=5)
    journal.append(Kind.STREAM, {"order": to_plain(order), "fills": [to_plain(fill)]})
    journal.append(Kind.DECISION, {"what": "seen", "name": name})


def traded(names, *, disk=None, chunk_size=4096):
    disk = VirtualDisk() if disk is None else disk

    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=chunk_size)
        for name in names:
            await trade(journal, name)
        await journal.close()

    on(disk, scenario)
    return disk


def ask(disk, query: str, folder: str = FOLDER):
    index = open_index(disk, folder)
    try:
        return index.execute(query).fetchall()
    finally:
        index.close()


def dump(disk):
    return [ask(disk, f"SELECT * FROM {table} ORDER BY 1, 2") for table in ("records", "orders", "fills", "decisions")]


def test_orders_fills_and_decisions_have_rows():
    disk = traded(["a", "b"])
    assert ask(disk, "SELECT name, wire_id, order_id, side, quantity, price, status, average_price FROM orders") == [
        ("a", "Wa", "7a", "BUY", "1.50", "9.90", "FILLED", "9.85"),
        ("b", "Wb", "7b", "BUY", "1.50", "9.90", "FILLED", "9.85"),
    ]
    assert ask(disk, "SELECT trade_id, name, quantity, price, is_synthetic, time_ns FROM fills") == [
        ("t1", "a", "1.50", "9.85", 0, 5),
        ("t1", "b", "1.50", "9.85", 0, 5),
    ]
    assert ask(disk, "SELECT name, what FROM decisions") == [("a", "seen"), ("b", "seen")]
    assert ask(disk, "SELECT kind, count(*) FROM records GROUP BY 1 ORDER BY 1") == [
        ("CLOSE", 1),
        ("DECISION", 2),
        ("INTENT", 2),
        ("OPEN", 1),
        ("STREAM", 2),
    ]
    assert ask(disk, "SELECT time FROM records LIMIT 1") == [("2026-01-05T03:45:00.000Z",)]


def test_it_follows_the_log_and_equals_one_made_anew():
    disk = VirtualDisk()
    for round_ in range(4):
        traded([f"{round_}/{number}" for number in range(6)], disk=disk, chunk_size=1024)
        added = update_index(disk, FOLDER)
        assert added == 20
        assert update_index(disk, FOLDER) == 0
    followed = dump(disk)
    fresh = VirtualDisk()
    fresh.files = dict(disk.files)
    assert dump(fresh) == followed
    assert len(followed[0]) == 80


def test_a_fill_that_the_real_one_replaced_is_gone():
    disk = VirtualDisk()

    async def scenario(runtime):
        journal = await opened(runtime)
        guess = Fill(**BUY, trade_id="~1", order_id="7", price=Decimal(1), is_synthetic=True)
        real = Fill(**BUY, trade_id="t9", order_id="7", price=Decimal(2))
        order = to_plain(Order(**BUY, client_order_id="a", order_id="7"))
        journal.append(Kind.POLL, {"order": order, "fills": [to_plain(guess)]})
        journal.append(Kind.STREAM, {"order": order, "fills": [to_plain(real)], "replaced": ["~1"]})
        await journal.close()

    on(disk, scenario)
    assert ask(disk, "SELECT trade_id, price FROM fills") == [("t9", "2")]


def test_an_order_is_found_by_name_however_old_it_is():
    disk = traded([f"n{number}" for number in range(40)], chunk_size=1024)

    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=1024)
        await trade(journal, "today")
        await journal.flush()
        old, new, none = [await journal.named(name) for name in ("n3", "today", "never")]
        await journal.close()
        return old, new, none

    disk.latency_s = 0.001
    old, new, none = on(disk, scenario)
    assert (
        [record.kind for record in old] == [record.kind for record in new] == [Kind.INTENT, Kind.STREAM, Kind.DECISION]
    )
    assert [record.epoch for record in old + new] == [1, 1, 1, 2, 2, 2]
    assert old[0].payload["request"]["wire_id"] == "Wn3"
    assert old == [record for record in read_journal(disk, FOLDER) if facts_of(record.payload).name == "n3"]
    assert none == []


def test_a_log_that_was_put_back_to_an_older_state_makes_the_index_anew():
    disk = traded(["a"])
    before = {path: (bytes(data), mode) for path, (data, mode) in disk.files.items()}
    traded(["b"], disk=disk)
    assert len(ask(disk, "SELECT * FROM orders")) == 2
    disk.files = before
    traded([f"c{number}" for number in range(2)], disk=disk)
    assert [row[0] for row in ask(disk, "SELECT name FROM orders ORDER BY 1")] == ["a", "c0", "c1"]


def test_an_index_that_is_damaged_is_made_anew(tmp_path):
    memory, disk = traded(["a", "b"]), RealDisk()
    folder = str(tmp_path / "j")
    for path, (data, _) in memory.files.items():
        disk.write_atomic(path.replace(FOLDER, folder), bytes(data))
    assert len(ask(disk, "SELECT * FROM orders", folder)) == 2
    path = tmp_path / "j" / FILE
    for spoiled in (b"no database at all" * 100, path.read_bytes()[:3000], b""):
        path.write_bytes(spoiled)
        assert ask(disk, "SELECT name FROM orders", folder) == [("a",), ("b",)]
    assert disk.mode(str(path)) == 0o600


def test_the_index_is_for_reading():
    index = open_index(traded(["a"]), FOLDER)
    for statement in ("DELETE FROM fills", "DROP TABLE orders", "CREATE TABLE x (y)"):
        with pytest.raises(sqlite3.OperationalError, match="readonly"):
            index.execute(statement)
    index.close()


def test_readers_look_without_the_lock_while_another_writes():
    disk = VirtualDisk()

    async def scenario(runtime):
        journal = await opened(runtime, chunk_size=1024)
        seen = []
        for number in range(30):
            await trade(journal, f"n{number}", trade_id=f"t{number}")
            before = {path: bytes(data) for path, (data, _) in disk.files.items()}
            scan = verify_journal(disk, FOLDER)
            assert not scan.damage
            seen.append(sum(record.kind is Kind.INTENT for record in read_journal(disk, FOLDER)))
            assert {path: bytes(data) for path, (data, _) in disk.files.items()} == before, "a reader wrote"
        assert seen == list(range(1, 31))
        await journal.close()

    on(disk, scenario)


def test_a_reader_stops_before_what_is_half_written_and_reads_what_lies_behind_old_damage():
    disk = traded(["a", "b"])
    path = f"{FOLDER}/{chunk_name(1)}"
    data = bytearray(disk.files[path][0])
    data[data.index(b'"name":"b"') + 8] ^= 1
    disk.files[path] = (bytes(data), 0o600)

    async def scenario(runtime):
        journal = await opened(runtime)
        await trade(journal, "c")
        await journal.flush()
        live = f"{FOLDER}/{chunk_name(2)}"
        whole = disk.files[live][0]
        half = bytearray(whole)
        at = half.index(b'"what":"seen"')
        half[at] ^= 1
        names = [facts_of(record.payload).name for record in read_journal(disk, FOLDER)]
        disk.files[live] = (half, 0o600)
        fewer = [facts_of(record.payload).name for record in read_journal(disk, FOLDER)]
        disk.files[live] = (whole, 0o600)
        await journal.close()
        return names, fewer

    disk.latency_s = 0.001
    names, fewer = on(disk, scenario)
    assert names == ["", "a", "a", "a", "b", "b", "", "", "c", "c", "c"]
    assert fewer == names[:-1]
