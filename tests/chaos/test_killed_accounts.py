"""A kill from another process, at a real trader on a real disk: it stops at once, cancels, and stays stopped."""

from __future__ import annotations

import json
import os
import signal
import time

import pytest

from chaos.test_killed_traders import Process
from dragoman.checks.kill import KillSwitch
from dragoman.runtime.real_disk import RealDisk

ENDED = ("CANCELED", "REJECTED")


@pytest.fixture
def broker():
    process = Process("broker_worker", 11)
    process.line = process.popen.stdout.readline().strip()
    process.tell("calm")
    assert process.popen.stdout.readline() == "calm\n"
    yield process
    process.close()


def begin(broker, folder):
    trader = Process("kill_worker", folder)
    trader.tell(broker.line)
    return trader


def ledger(broker):
    broker.tell("ledger")
    return broker.hear()


def heard(trader, word):
    """Read what a trader says up to a word; return how many lines that were."""
    for count in range(1, 2000):
        if trader.hear()[0] == word:
            return count
    raise AssertionError(f"the trader never said {word}")


def switch_of(folder):
    (name,) = (folder / "kill").iterdir()
    assert name.stat().st_mode & 0o777 == 0o600
    return KillSwitch.open(RealDisk(), str(name))


def kill(switch):
    switch.engage(switch.stop(os.urandom(8)), who="a test", why="from outside", ts=time.time_ns())


def test_a_process_stops_within_its_next_order_cancels_and_its_successor_stays_stopped(broker, tmp_path):
    trader = begin(broker, tmp_path)
    assert trader.hear()[0] == "up"
    heard(trader, "placed")
    switch = switch_of(tmp_path)
    kill(switch)
    heard(trader, "refused")
    received = len(ledger(broker)["received"])
    for _ in range(20):
        assert trader.hear()[0] == "refused"
    deadline = time.monotonic() + 10
    while any(order["status"] not in ENDED for order in ledger(broker)["orders"]) and time.monotonic() < deadline:
        trader.hear()
    books = ledger(broker)
    assert len(books["received"]) == received
    assert {order["status"] for order in books["orders"]} == {"CANCELED"}
    trader.popen.send_signal(signal.SIGKILL)
    trader.close()

    successor = begin(broker, tmp_path)
    said, _ = successor.popen.communicate(timeout=20)
    assert [json.loads(line) for line in said.splitlines()] == [["killed", "from outside"], ["out", ""]]
    assert len(ledger(broker)["received"]) == received

    switch.release(switch.token(), who="a test", ts=time.time_ns())
    third = begin(broker, tmp_path)
    assert third.hear()[0] == "up"
    third.close()
    assert len(ledger(broker)["received"]) > received


def test_a_trader_that_dies_while_it_cancels_leaves_the_account_stopped_and_the_next_one_cancels(broker, tmp_path):
    trader = begin(broker, tmp_path)
    heard(trader, "up")
    heard(trader, "placed")
    switch = switch_of(tmp_path)
    trader.popen.send_signal(signal.SIGSTOP)
    kill(switch)
    trader.popen.send_signal(signal.SIGKILL)
    trader.close()
    working = [order for order in ledger(broker)["orders"] if order["status"] not in ENDED]
    assert len(working) >= 3
    successor = begin(broker, tmp_path)
    successor.popen.communicate(timeout=20)
    assert {order["status"] for order in ledger(broker)["orders"]} <= set(ENDED)
    assert switch.engaged
