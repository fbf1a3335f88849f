"""Traders killed between trigger and order, by SIGKILL: the next one finds the firing and exits exactly once.

The broker is a process of its own that loses replies and requests, and counts what it received. ``RULE_KILLS`` says how
many are killed.
"""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest

from chaos.test_killed_traders import SEED, Process

KILLS = int(os.environ.get("RULE_KILLS", "4"))
MOMENTS = ("fired", "intent", "sent", "later")


def lives(folder, kills):
    """Let so many traders be killed and one go on to the end; return what all said, and the broker's books."""
    broker, traders, said = Process("broker_worker", SEED), Process("rule_worker", folder), []
    try:
        traders.tell(broker.popen.stdout.readline().strip())
        for life in range(kills + 1):
            kill = MOMENTS[life % len(MOMENTS)] if life < kills else None
            traders.tell(json.dumps({"life": life, "seed": SEED * 1000 + life, "kill": kill}))
            while (line := traders.hear()) != ["gone"]:
                said.append([life, *line])
        broker.tell("ledger")
        return said, broker.hear()
    finally:
        traders.close()
        broker.close()


@pytest.mark.slow
def test_a_rule_whose_process_is_killed_exits_exactly_once(tmp_path):
    print(f"\nCHAOS_SEED={SEED} RULE_KILLS={KILLS}")
    said, books = lives(tmp_path, KILLS)
    assert not [line for line in said if line[1] == "died"], said
    assert [line[1:] for line in said if line[1] == "end"] == [["end"]], "only the last one was to live"
    orders = {order["wire_id"]: order for order in books["orders"]}
    received = Counter(books["received"])
    ended = {line[2]: line for line in said if line[1] == "ended"}  # as told last
    assert sorted(ended) == sorted(f"stop{life}" for life in range(KILLS))
    for name, (_, _, _, status, exits) in ended.items():
        arrived = [orders[wire_id] for _, wire_id in exits if wire_id in orders]
        filled = [order for order in arrived if float(order["filled"]) > 0]
        assert (status, [order["filled"] for order in filled]) == ("DONE", ["10"]), (name, exits, arrived)
        assert all(received[wire_id] <= 1 for _, wire_id in exits), "an exit was sent twice"
    assert {line[3] for line in said if line[1] == "held" and line[0] == KILLS} == {"0"}
    assert books["errors"] == 0
