"""The parts of the page, each made from the report's numbers as they are embedded in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from html import escape
from typing import Any, Final
from zoneinfo import ZoneInfo

from dragoman.model.figures import clock
from dragoman.report.cells import amount, at, moment, money, quantity, rows, text, total, units, wait
from dragoman.report.plots import distribution
from dragoman.report.style import facts
from dragoman.report.timeplots import Bar, Life, Trade, bars, lives, prices, steps

Found = Mapping[str, Any]
PARTS: Final = {
    "money": "Profit and margin",
    "positions": "Positions",
    "orders": "Orders",
    "fills": "Fills",
    "slippage": "Slippage",
    "latency": "Latency",
    "rejects": "Rejects",
    "unknown": "Unknown outcomes",
    "rules": "Rules and kill switch",
}
_LIVES, _INSTRUMENTS, _BARS, _STEPS = 40, 12, 30, 8
_ENOUGH: Final = 10


def _part(name: str) -> str:
    return f'<section id="{name}"><h2>{escape(PARTS[name])}</h2>'


def _zone(found: Found) -> ZoneInfo:
    return ZoneInfo(found["time_zone"])


def about(found: Found) -> str:
    """Return whose day it is, its sums, and what the numbers rest on."""
    zone = _zone(found)
    account = " ".join(filter(None, (found["broker"], found["environment"], found["account_id"])))
    what = [("account", account), ("times", found["time_zone"]), ("up to", at(found["ts_recv_ns"], zone))]
    what.append(("journal", f"{found['records']:,} records of the day"))
    if found["unreadable"]:
        what.append(("unreadable", f"{found['unreadable']:,} records cannot be read and are left out"))
    what += [("damage", one) for one in found["damage"]]
    if not found["opening_known"]:
        what.append(("opening", "the journal does not say what the day began with: positions are its fills alone"))
    what += [("note", one) for one in found["notes"]]
    return facts(what) + _tiles(found)


def _tiles(found: Found) -> str:
    ended = [one["status"] for one in found["orders"]]
    tiles = [("orders", f"{len(ended):,}"), ("filled", f"{ended.count('FILLED'):,}")]
    tiles += [("fills", f"{len(found['fills']):,}"), ("refused", f"{len(found['rejections']):,}")]
    tiles.append(("unknown outcomes", f"{len(found['unknowns']):,}"))
    tiles += [(f"realised, {one['currency']}", money(one["realised"])) for one in found["totals"]]
    reply = [one for one in found["latencies"] if (one["act"], one["until"]) == ("place", "reply")]
    tiles += [("median reply", wait(one["p50"])) for one in reply]
    shown = "".join(f'<div class="tile"><span>{escape(name)}</span><b>{escape(said)}</b></div>' for name, said in tiles)
    return f'<div class="tiles">{shown}</div>'


# -- money -------------------------------------------------------------------------------------------------------------


def _money(found: Found) -> Iterator[str]:
    zone = _zone(found)
    yield _part("money")
    lines: dict[str, list[tuple[int, float]]] = {}
    start = min([one["ts_event_ns"] for one in found["realised"]], default=0)
    for one in found["realised"]:
        line = lines.setdefault(f"realised {one['currency']}", [(start, 0.0)])
        line.append((one["ts_event_ns"], float(one["realised"])))
    for one in found["money"]:
        for row in one["pnl"]:
            value = float(row["realised"]) + float(row["unrealised"])
            lines.setdefault(f"in all {row['currency']}", []).append((one["ts_recv_ns"], value))
    if lines:
        yield steps(
            _few(lines), "Profit over the day: realised by each fill, and in all at each sample.", "money", zone
        )
    margins: dict[str, list[tuple[int, float]]] = {}
    for one in found["money"]:
        for row in one["margins"]:
            for name, value in (("free", row["net"]), ("used", row["used"]["total"])):
                if value is not None:
                    line = margins.setdefault(f"{row['segment'].lower()} {name}", [])
                    line.append((one["ts_recv_ns"], float(value)))
    if margins:
        yield steps(_few(margins), "Margin by segment, as it was known at each sample.", "money", zone)
    else:
        yield '<p class="soft">No margin was kept: nobody followed it that day.</p>'
    columns = {"currency": text("currency")}
    sums = {name: total(name) for name in ("realised", "unrealised", "income", "charges", "value")}
    yield rows(columns | sums, found["totals"], numbers=sums, empty="Nothing was traded or held.")
    if found["charges"]:
        parts = "brokerage transaction_tax exchange_fee regulator_fee stamp_duty gst depository_fee total".split()
        named = {name.replace("_", " "): total(name) for name in parts}
        yield "<h3>Charges, estimated by the broker's table</h3>"
        yield rows({"instrument": text("instrument_id")} | named, found["charges"], numbers=named, empty="")
    yield "</section>"


def _few(lines: Mapping[str, Sequence[tuple[int, float]]]) -> dict[str, Sequence[tuple[int, float]]]:
    return dict(list(lines.items())[:_STEPS])


def _positions(found: Found) -> Iterator[str]:
    yield _part("positions")
    numbers = {
        "overnight": units("overnight_quantity"),
        "bought": units("day_buy_quantity"),
        "at": amount("day_buy_price"),
        "sold": units("day_sell_quantity"),
        "for": amount("day_sell_price"),
        "quantity": units("quantity"),
        "average": amount("average_price"),
        "mark": amount("last_price"),
        "realised": total("realised_pnl"),
        "unrealised": total("unrealised_pnl"),
    }
    columns = {"instrument": text("instrument_id"), "product": text("product")} | numbers
    yield rows(columns, found["positions"], numbers=numbers, empty="Nothing was traded or held.")
    gains = [one for one in found["positions"] if one["realised_pnl"] is not None and Decimal(one["realised_pnl"])]
    if gains:
        drawn = [_gain(one) for one in sorted(gains, key=lambda one: -abs(Decimal(one["realised_pnl"])))[:_BARS]]
        yield bars(drawn, "Realised profit by position, at average cost.", left="lost", right="gained")
    yield "</section>"


def _gain(row: Found) -> Bar:
    value = Decimal(row["realised_pnl"])
    label = f"{row['instrument_id']} {row['product'].lower()}"
    return Bar(label, float(value), f"{money(row['realised_pnl'])} {row['currency']}", "met" if value > 0 else "missed")


# -- orders ------------------------------------------------------------------------------------------------------------


def _orders(found: Found) -> Iterator[str]:
    zone = _zone(found)
    yield _part("orders")
    told = [one for one in found["orders"] if one["life"]]
    if told:
        shown = [_life(one, zone) for one in told[:_LIVES]]
        more = f" The first {_LIVES} of {len(told)}." if len(told) > _LIVES else ""
        yield lives(shown, f"Orders, from the first record to the last; a diamond ends those that failed.{more}", zone)
    columns = {
        "order": text("name"),
        "asked for": lambda row: escape(_asked(row)),
        "filled": units("filled_quantity"),
        "average": amount("average_price"),
        "status": lambda row: escape(row["status"] + (" (exit)" if row["exits"] else "")),
        "life": lambda row: f'<div class="life">{"<br>".join(escape(_told(one, zone)) for one in row["life"])}</div>',
    }
    right = ("filled", "average")
    yield rows(columns, found["orders"], numbers=right, empty="No order was placed or seen.")
    yield "</section>"


def _asked(row: Found) -> str:
    """Return an order's terms in words."""
    named = [
        f"{word} {money(row[name])}" for word, name in (("at", "price"), ("trigger", "trigger_price")) if row[name]
    ]
    asked, kind = row["asked_type"], row["order_type"]
    kind = kind if asked == kind else f"{asked} as {kind}"
    what = (row["side"], quantity(row["quantity"]), row["instrument_id"], kind, *named, row["product"])
    return " ".join(what)


def _told(step: Found, zone: ZoneInfo) -> str:
    return f"{at(step['ts_recv_ns'], zone)} {step['source'].lower()}: {step['what']}"


def _life(row: Found, zone: ZoneInfo) -> Life:
    dots = tuple(one["ts_recv_ns"] for one in row["life"])
    label = f"{row['side']} {quantity(row['quantity'])} {row['instrument_id']}"
    good = row["status"] not in ("REJECTED", "DENIED", "UNKNOWN", "EXPIRED")
    said = f"{row['name']}: {label}, {row['status']}; " + ", ".join(
        f"{clock(one['ts_recv_ns'], zone)} {one['what']}" for one in row["life"]
    )
    return Life(label, min(dots), max(dots), dots, good, said)


def _fills(found: Found) -> Iterator[str]:
    zone = _zone(found)
    yield _part("fills")
    groups: dict[str, list[Found]] = {}
    for one in found["fills"]:
        groups.setdefault(one["instrument_id"], []).append(one)
    sent = {one["name"]: one["ts_intent_ns"] for one in found["orders"] if one["ts_intent"] is not None}
    for name, group in sorted(groups.items(), key=lambda one: -len(one[1]))[:_INSTRUMENTS]:
        trades = [_trade(one, zone) for one in group]
        known = {(sent[one["name"]], float(one["mark"])) for one in group if one["mark"] and one["name"] in sent}
        yield prices(trades, sorted(known), f"{name}: price of each fill.", zone)
    columns = {
        "time": moment("ts_event", zone),
        "instrument": text("instrument_id"),
        "side": text("side"),
        "quantity": units("quantity"),
        "price": amount("price"),
        "known before": amount("mark"),
        "order": text("name"),
        "trade": lambda row: escape(f"{row['trade_id']}{' (not itemised)' if row['is_synthetic'] else ''}"),
    }
    yield rows(columns, found["fills"], numbers=("quantity", "price", "known before"), empty="Nothing was filled.")
    yield "</section>"


def _trade(row: Found, zone: ZoneInfo) -> Trade:
    words = f"{row['side']} {quantity(row['quantity'])} at {money(row['price'])}"
    said = f"{at(row['ts_event_ns'], zone)}: {words}, order {row['name']}"
    return Trade(row["ts_event_ns"], float(row["price"]), row["side"] == "BUY", said)


def _slippage(found: Found) -> Iterator[str]:
    yield _part("slippage")
    yield "<p>Per unit, against the price known when the order was sent and those it named; above 0 is worse.</p>"
    known = [one for one in found["slippage"] if one["basis_points"] is not None]
    if known:
        worst = sorted(known, key=lambda one: -abs(Decimal(one["basis_points"])))[:_BARS]
        drawn = [_slipped(one) for one in worst]
        yield bars(drawn, "Basis points of the price known when sent, the largest first.", left="better", right="worse")
    numbers = {
        "quantity": units("quantity"),
        "average": amount("average_price"),
        "known": amount("mark"),
        "by known": amount("by_mark"),
        "bp": amount("basis_points"),
        "cost": amount("cost"),
        "limit": amount("limit"),
        "by limit": amount("by_limit"),
        "trigger": amount("trigger"),
        "by trigger": amount("by_trigger"),
    }
    columns = {"order": text("name"), "instrument": text("instrument_id"), "side": text("side")} | numbers
    yield rows(columns, found["slippage"], numbers=numbers, empty="Nothing was filled.")
    yield "</section>"


def _slipped(row: Found) -> Bar:
    value = Decimal(row["basis_points"])
    label = f"{row['side']} {quantity(row['quantity'])} {row['instrument_id']}"
    kind: Any = "missed" if value > 0 else "met" if value < 0 else "plain"
    return Bar(label, float(value), f"{money(row['basis_points'])} bp", kind)


# -- how it went -------------------------------------------------------------------------------------------------------


def _latency(found: Found) -> Iterator[str]:
    yield _part("latency")
    yield "<p>From when the intent was written down, which is before anything is sent, by the journal's own times.</p>"
    drawn = {}
    for one in found["latencies"]:
        curve = [(share, ns) for share, ns in one["curve"] if ns > 0]
        if one["count"] >= _ENOUGH and len([share for share, _ in curve if share < 1]) > 1:
            drawn[f"{one['act']}: {one['until']}"] = curve
    if drawn:
        yield distribution(drawn, "Time to an answer, by percentile.", lambda ns: wait(round(ns)))
    times = {name: _wait(name) for name in ("least", "p50", "p90", "p99", "greatest")}
    columns = {"act": text("act"), "until": text("until"), "count": lambda row: f"{row['count']:,}"} | times
    yield rows(columns, found["latencies"], numbers=("count", *times), empty="Nothing was sent and answered.")
    yield "</section>"


def _wait(name: str) -> Callable[[Found], str]:
    return lambda row: wait(row[name])


def _rejects(found: Found) -> Iterator[str]:
    zone = _zone(found)
    yield _part("rejects")
    if found["rejects"]:
        drawn = [
            Bar(f"{one['kind']} {one['code']}".strip(), one["count"], str(one["count"]), "missed")
            for one in found["rejects"][:_BARS]
        ]
        yield bars(drawn, "Refusals by kind, with the broker's own code.")
    columns = {
        "time": moment("ts_recv", zone),
        "order": text("name"),
        "act": text("act"),
        "instrument": text("instrument_id"),
        "kind": text("kind"),
        "code": text("code"),
        "text": text("text"),
    }
    yield rows(columns, found["rejections"], empty="Nothing was refused.")
    yield "</section>"


def _unknown(found: Found) -> Iterator[str]:
    zone = _zone(found)
    yield _part("unknown")
    columns = {
        "since": moment("ts_recv", zone),
        "order": text("name"),
        "act": text("act"),
        "until": lambda row: at(row["ts_closed_ns"], zone) if row["ts_closed"] is not None else "<b>open</b>",
        "how": text("how"),
        "then": text("status"),
    }
    yield rows(columns, found["unknowns"], empty="The outcome of everything was known.")
    yield "</section>"


def _rules(found: Found) -> Iterator[str]:
    zone = _zone(found)
    yield _part("rules")
    columns = {
        "rule": text("rule_id"),
        "kind": text("kind"),
        "instrument": text("instrument_id"),
        "status": text("status"),
        "fired": lambda row: "<br>".join(at(ts, zone) for ts in row["ts_fired"]),
        "exited": units("exited"),
        "why": text("reason"),
        "orders": lambda row: "<br>".join(map(escape, row["orders"])),
    }
    yield rows(columns, found["rules"], numbers=("exited",), empty="No rule was at work.")
    yield "<h3>Kill switch</h3>"
    columns = {
        "time": moment("ts_event", zone),
        "switch": lambda row: "engaged" if row["engaged"] else "released",
        "flatten": lambda row: "yes" if row["flatten"] else "",
        "who": text("who"),
        "why": text("why"),
    }
    yield rows(columns, found["kills"], empty="It was not touched.")
    yield "</section>"


ALL: Final = (_money, _positions, _orders, _fills, _slippage, _latency, _rejects, _unknown, _rules)
