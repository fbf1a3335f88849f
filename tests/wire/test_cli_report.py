"""``dragoman report``: a page, or numbers, from a journal or a copy of it."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from decimal import Decimal

import pytest

from dragoman.model import Fill, Order, OrderRequest, OrderStatus, Product, Side
from dragoman.orders.journal import Journal, Kind, journal_folder
from dragoman.orders.journal.codec import to_plain
from dragoman.runtime.real import RealRuntime
from wire.shell import Shell

TERMS = {"instrument_id": "NSE:INFY", "side": Side.BUY, "quantity": Decimal("15"), "product": Product.INTRADAY}


@pytest.fixture
def shell(tmp_path):
    """A shell on a machine with a journal of today, written by nobody any more."""

    async def main():
        journal = await Journal.open(runtime, folder, broker="zerodha", environment="live", account="AB1")
        request = OrderRequest(**TERMS, client_order_id="mine")
        await journal.commit(Kind.INTENT, {"op": "place", "name": "mine", "at": 1, "request": to_plain(request)})
        terms = {"client_order_id": "mine", "order_id": "7", "order_ids": ("7",), "filled_quantity": Decimal(15)}
        order = Order(**TERMS, **terms, status=OrderStatus.FILLED)
        fill = Fill(**TERMS, trade_id="t1", order_id="7", price=Decimal("9.85"), ts_event=runtime.clock.wall_ns())
        journal.append(Kind.STREAM, {"order": to_plain(order), "fills": [to_plain(fill)]})
        await journal.close()

    shell = Shell(tmp_path, 100, DRAGOMAN_ENVIRONMENT="")
    shell.env.pop("DRAGOMAN_ENVIRONMENT")
    shell.journal = folder = journal_folder(f"{tmp_path}/state", "zerodha", "live", "AB1")
    runtime = RealRuntime()
    asyncio.run(main())
    runtime.close()
    return shell


def test_the_page_is_written_for_its_owner_alone_and_has_the_numbers_that_json_prints(shell, tmp_path):
    page = tmp_path / "day.html"
    ran = shell("report", "zerodha", "--file", page)
    assert ran.status == 0, ran.err
    assert str(page) in ran.out
    assert page.stat().st_mode & 0o077 == 0
    (inside,) = re.findall(r'<script type="application/json" id="report">(.*?)</script>', page.read_text(), re.DOTALL)
    told, printed = json.loads(inside), shell("report", "--json").json
    assert {**told, "ts_recv": 0, "ts_recv_ns": 0} == {**printed, "ts_recv": 0, "ts_recv_ns": 0}
    assert [one["price"] for one in printed["fills"]] == ["9.85"]
    assert printed["positions"][0]["quantity"] == "15"


def test_a_copy_of_a_journal_is_read_wherever_it_lies_and_left_as_it_was(shell, tmp_path):
    copy = tmp_path / "elsewhere"
    shutil.copytree(shell.journal, copy)
    before = {path.name: path.read_bytes() for path in copy.iterdir()}
    found = shell("report", "--folder", copy, "--json").json
    assert (found["broker"], found["account_id"], len(found["orders"])) == ("zerodha", "AB1", 1)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == before


def test_a_day_that_is_not_there_and_a_file_that_cannot_be_are_told(shell, tmp_path):
    ran = shell("report", "--day", "2020-01-01")
    assert ran.status == 2
    assert "no record of 2020-01-01" in ran.line
    assert "there are 20" in ran.line
    assert shell("report", "--day", "soon").status == 2
    assert shell("report", "upstox", "--broker", "zerodha").status == 2
    ran = shell("report", "--file", tmp_path / "none" / "x.html")
    assert ran.status == 2
    assert "cannot be written" in ran.line
