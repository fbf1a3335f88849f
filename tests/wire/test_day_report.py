"""The report of a day that was traded: its numbers are those of the API, read from the journal alone."""

from __future__ import annotations

import json
import re
from decimal import Decimal as D
from html import unescape

from dragoman.model.plain import plain
from dragoman.report import numbers, render
from wire.reported import HOSTILE, a_day, report_of
from wire.trading import play

UNTOLD = {"complete_as_of", "ts_recv", "ts_event", "ts_polled"}
UNTOLD |= {"account_id", "broker", "opening_source", "close_source"}
"""What is of the moment of asking, or of a process: not the journal's."""


def embedded(html):
    (text,) = re.findall(r'<script type="application/json" id="report">(.*?)</script>', html, re.DOTALL)
    return json.loads(text)


def test_the_embedded_numbers_are_those_of_the_api():
    async def scenario(world):
        rule = await a_day(world)
        client = world.client
        orders, trades = await client.orders(), await client.trades()
        await world.runtime.sleep(1)
        client._samples.sample()
        margins, totals, rows = client.margin.now(), client.portfolio.live.totals(), client.portfolio.live.rows()
        report = report_of(world)
        found = embedded(render(report))
        assert found == numbers(report)

        told = {row["name"]: row for row in found["orders"]}
        assert set(told) == {order.client_order_id for order in orders}
        same = ("order_id", "instrument_id", "side", "quantity", "order_type", "product", "status", "price")
        same += ("trigger_price", "filled_quantity", "remaining_quantity", "average_price")
        for order in orders:
            assert {name: told[order.client_order_id][name] for name in same} == {
                name: plain(getattr(order, name)) for name in same
            }
        assert {(row["trade_id"], row["quantity"], row["price"], row["side"]) for row in found["fills"]} == {
            (one.trade_id, plain(one.quantity), plain(one.price), one.side.value) for one in trades
        }
        assert len(found["fills"]) == len(trades)

        names = [name for name in plain(rows[0]) if name.removesuffix("_ns") not in UNTOLD]
        assert [{name: row[name] for name in names} for row in found["positions"]] == [
            {name: plain(row)[name] for name in names} for row in rows
        ]
        assert found["totals"] == plain(list(totals.values()))
        last = found["money"][-1]
        kept = [{k: v for k, v in one.items() if k.removesuffix("_ns") not in UNTOLD} for one in last["margins"]]
        assert kept == [
            {k: v for k, v in plain(one).items() if k.removesuffix("_ns") not in UNTOLD} for one in margins.values()
        ]
        assert last["pnl"] == plain(list(totals.values()))

        (fired,) = found["rules"]
        assert (fired["rule_id"], fired["status"], len(fired["ts_fired"])) == (rule.rule_id, "DONE", 1)
        assert fired["orders"] == list(client.rules.get(rule.rule_id).orders)
        (kill,) = found["kills"]
        assert kill["engaged"]
        (doubt,) = found["unknowns"]
        assert doubt["name"] == "lost"
        assert doubt["ts_closed"] is not None
        assert sum(one["count"] for one in found["rejects"]) == 1
        assert told["at market"]["mark"] is not None
        (slipped,) = [one for one in found["slippage"] if one["name"] == "at market"]
        paid = D(told["at market"]["average_price"]) - D(told["at market"]["mark"])
        assert D(slipped["by_mark"]) == paid
        assert D(slipped["cost"]) == paid * 20
        html = render(report)
        return html

    html = play(scenario)
    assert html.lower().count("<script") == html.lower().count("</script") == 1
    assert HOSTILE[:-1] in unescape(html)
