"""SIGTERM ends a program in good order and in bounded time, also while its broker is dead."""

from __future__ import annotations

import json
import signal
import time

import pytest

from chaos.test_killed_traders import Process

PROMISED_S = 5.0


@pytest.fixture
def broker():
    process = Process("broker_worker", 3)
    yield process
    process.popen.send_signal(signal.SIGCONT)
    process.close()


def begin(broker, folder):
    """Start a trader and wait until it is connected."""
    trader = Process("terminated_worker", folder)
    trader.tell(broker.popen.stdout.readline().strip())
    assert trader.hear() == ["up"]
    return trader


def end(trader):
    """Terminate a trader; return its exit status, how long it took, and what it said."""
    began = time.monotonic()
    trader.popen.send_signal(signal.SIGTERM)
    try:
        said, _ = trader.popen.communicate(timeout=20)
    finally:
        trader.popen.kill()
    return trader.popen.returncode, time.monotonic() - began, [json.loads(line) for line in said.splitlines()]


def test_a_signal_closes_the_client_and_the_program_says_so(broker, tmp_path):
    trader = begin(broker, tmp_path)
    status, took, said = end(trader)
    assert status == 128 + signal.SIGTERM
    assert said == [["out"]]
    assert took <= PROMISED_S


def test_a_dead_broker_holds_nobody_up(broker, tmp_path):
    trader = begin(broker, tmp_path)
    broker.popen.send_signal(signal.SIGSTOP)
    trader.tell("go")
    assert trader.hear() == ["sent"]
    status, took, said = end(trader)
    assert status == 128 + signal.SIGTERM
    assert said == [["out"]]
    print(f"\nended {took:.1f} s after SIGTERM with an order on its way to a dead broker")
    assert took <= PROMISED_S
