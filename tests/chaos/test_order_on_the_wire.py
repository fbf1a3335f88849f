"""Intents are durable before the first byte of them leaves: seen by the kernel, not by us. See `chaos.order_check`."""

from __future__ import annotations

import shutil

import pytest

from chaos.order_check import BROKERS, NO_STRACE, ORDERS, traced, unproven

JOURNAL, OTHER, SOCKET = "5</d/00000001.journal>", "6</d/token.json>", "9<TCP:[127.0.0.1:1->127.0.0.1:2]>"
WRITTEN = f'7 pwrite64({JOURNAL}, "...W1...", 64, 512) = 64'
SYNCED = f"7 fdatasync({JOURNAL}) = 0"
SENT = f'3 sendto({SOCKET}, "POST /orders tag=W1", 19, MSG_NOSIGNAL, NULL, 0) = 19'


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason=NO_STRACE)
@pytest.mark.parametrize("broker", BROKERS)
def test_the_intent_of_every_order_is_on_the_disk_before_a_byte_of_it_leaves(broker):
    trace, wire_ids = traced(broker)
    assert len(wire_ids) >= ORDERS
    assert unproven(trace, wire_ids) == []


def test_a_trace_in_the_right_order_proves_it():
    begun, ended = f"7 fdatasync({JOURNAL} <unfinished ...>", "7 <... fdatasync resumed>) = 0"
    assert unproven([WRITTEN, SYNCED, SENT], ["W1"]) == []
    assert unproven([WRITTEN, begun, "4 write(1, 4) = 1", ended, SENT], ["W1"]) == []


@pytest.mark.parametrize(
    "trace",
    [
        [SENT, WRITTEN, SYNCED],
        [WRITTEN, SENT, SYNCED],
        [SYNCED, WRITTEN, SENT],
        [WRITTEN, SENT],
        [SYNCED, SENT],
        [WRITTEN, SYNCED.replace("= 0", "= -1 EIO (Input/output error)"), SENT],
        [WRITTEN, SYNCED.replace(JOURNAL, OTHER), SENT],
        [WRITTEN.replace("= 64", "= -1 ENOSPC (No space left on device)"), SYNCED, SENT],
        [WRITTEN, f"7 fdatasync({JOURNAL} <unfinished ...>", SENT, "7 <... fdatasync resumed>) = 0"],
        [WRITTEN.replace(", 64, 512) = 64", " <unfinished ...>"), "8" + SYNCED[1:], SENT],
        [WRITTEN, '3 write(2<pipe:[77]>, "order W1", 8) = 8', SYNCED, SENT],
        [WRITTEN, SYNCED],
    ],
)
def test_a_trace_in_any_other_order_does_not(trace):
    assert unproven(trace, ["W1"]) != []
