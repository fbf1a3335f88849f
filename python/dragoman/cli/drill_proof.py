"""The crash drill's verdict: what the rules did, summed up anew from the exchange's own ledger and from the journal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from dragoman.cli.drill_legs import Leg
from dragoman.cli.drill_story import Drill
from dragoman.emulator.host import EmulatorHost
from dragoman.emulator.venue.types import VenueFill
from dragoman.orders.journal import journal_folder, open_index
from dragoman.runtime.base import Disk

D = Decimal


class Proof:
    """Sums that have to agree, and where they do not.

    Attributes
    ----------
    lines : list of dict
        ``what``, ``found`` and whether it ``agrees``.
    differences : list of str
    """

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.differences: list[str] = []

    def line(self, what: str, found: object, differences: Iterable[str]) -> None:
        """Add a sum, with what is wrong about it."""
        wrong = list(differences)
        self.lines.append({"what": what, "found": str(found), "agrees": not wrong})
        self.differences += wrong


def prove(drill: Drill, host: EmulatorHost) -> Proof:
    """Compare with the exchange's ledger, while the client is still connected."""
    proof, client, venue = Proof(), drill.client, drill.venue
    account = client.session.ctx.account
    ledger: Any = venue.ledger(account)
    legs = {leg.key[0]: [one for one in drill.legs if one.key[0] == leg.key[0]] for leg in drill.legs}
    fills = list(venue.fills(account))
    proof.line("the story went as it should", f"{len(drill.rows)} events", drill.missed)
    proof.line("the exchange's own books", f"{len(fills)} fills", ledger["problems"])

    charged = {
        name: sum((_charged(fill, some[0]) for fill in fills if fill.instrument_id == name), D(0))
        for name, some in legs.items()
    }
    left_there = [
        (one.instrument_id, one.quantity - charged.get(one.instrument_id, D(0))) for one in venue.positions(account)
    ]
    left_here = [(row.instrument_id, row.quantity) for row in client.portfolio.live.rows()]
    words = [
        f"{name}: {left} is left {where}"
        for where, found in (("at the exchange", left_there), ("here", left_here))
        for name, left in found
        if abs(left) >= client.instrument(name).lot_size  # less is dust, which nobody can sell
    ]
    proof.line("positions are flat at the exchange", f"{len(drill.legs)} of {len(drill.legs)}", words)

    wrong, over, opened, exited = [], [], D(0), D(0)
    for leg in drill.legs:
        came, went, problems = _walk(leg, [one for one in fills if _of(one, leg, legs)])
        over += problems
        opened, exited = opened + 1, exited + bool(went)
        if came != leg.quantity or not 0 <= came - charged.get(leg.key[0], D(0)) - went < leg.instrument.lot_size:
            wrong.append(f"{leg.label}: {leg.quantity} opened here, {came} there, and {went} exited")
    proof.line("the sum of exits is each position", f"{exited} of {opened}", wrong)
    proof.line("no exit went past its position", f"{len(fills)} fills walked through", over)

    gains = {one.key[:2]: _gain(one, [fill for fill in fills if _of(fill, one, legs)]) for one in drill.legs}
    rows = {(row.instrument_id, row.product): row for row in client.portfolio.live.rows()}
    wrong = []
    for key, gain in gains.items():
        ours = rows[key].realised_pnl if key in rows else None
        if ours is None or abs(Fraction(ours) - gain) > Fraction(1, 10**8):
            wrong.append(f"{key[0]}: {ours} realised here, {float(gain):.10g} by the exchange's fills")
    wallet = [one for one in drill.legs if venue.listing(one.key[0]).settles_at_once]  # type: ignore[union-attr]
    settled = {leg.key[0] for leg in wallet}
    wrong += [
        f"{one.instrument_id}: {rows[key].realised_pnl} realised here, {one.realised} in the exchange's ledger"
        for one in venue.positions(account)
        if one.instrument_id not in settled
        and (key := (one.instrument_id, one.product)) in rows
        and rows[key].realised_pnl != one.realised
    ]
    total = sum((one.realised for one in client.portfolio.live.totals().values()), D(0))
    proof.line("realised P&L is the exchange's", f"{total:f}", wrong)

    wrong, seen = [], []
    for when, told, live, funds in drill.margins:
        there = sum((one.net for one in funds.values()), D(0))
        here = sum((one.net or D(0) for one in told.values()), D(0))
        known = sum((one.net or D(0) for one in live.values()), D(0))
        seen.append(f"{round(here, 2):f}")
        if round(there, _places(here)) != here or known != here:
            wrong.append(f"margin, {when}: {known} live, {here} by the broker, {there} at the exchange")
    proof.line("usable margin is the exchange's", ", ".join(seen), wrong)

    wrong = [f"order {order.client_order_id} has no proven outcome" for order in client.orders_service.store.unknown]
    counters = client.counters()
    if counters["handler_errors"] or host.counters.emulator_errors:
        wrong.append(f"{counters['handler_errors']} handlers and {host.counters.emulator_errors} replies raised")
    proof.line("nothing is unknown, nothing raised", "0", wrong)
    return proof


def prove_journal(proof: Proof, drill: Drill, host: EmulatorHost, disk: Disk, state_dir: str) -> None:
    """Compare the journal with the exchange, once the client is closed and everything is written."""
    venue, emulator = drill.venue, host.emulator
    session = drill.client.session
    hosts = session.profile.hosts.values()
    folder = journal_folder(state_dir, session.adapter.name, session.environment, session.ctx.account, hosts=hosts)
    index = open_index(disk, folder)
    try:
        rows = index.execute("SELECT order_id, filled_quantity FROM orders WHERE order_id IS NOT NULL").fetchall()
    finally:
        index.close()
    written = {name: D(filled or 0) for name, filled in rows}
    there = {emulator.order_name(one.order_id): one.filled_quantity for one in venue.orders(session.ctx.account)}
    wrong = [
        f"order {name}: {written.get(name, 'nothing')} in the journal, {there.get(name, 'nothing')} at the exchange"
        for name in sorted(written.keys() | there.keys())
        if written.get(name) != there.get(name)
    ]
    proof.line("orders of the journal are the exchange's", len(there), wrong)


def _of(fill: VenueFill, leg: Leg, legs: dict[str, list[Leg]]) -> bool:
    """Whether a fill belongs to a leg; where an instrument has one leg, by the instrument."""
    if fill.instrument_id != leg.key[0]:
        return False
    return len(legs[leg.key[0]]) == 1 or fill.product == leg.product


def _walk(leg: Leg, fills: Iterable[VenueFill]) -> tuple[Decimal, Decimal, list[str]]:
    """Go through a leg's fills in the exchange's order: what came, what went, and where it went too far."""
    held = came = went = D(0)
    problems = []
    for fill in fills:
        if fill.side is leg.side:
            came += fill.quantity
            held += fill.quantity - _charged(fill, leg)
        else:
            went += fill.quantity
            held -= fill.quantity
        if held < 0:
            problems.append(f"{leg.label}: fill {fill.trade_id} of {fill.quantity} went {-held} past the position")
    return came, went, problems


def _charged(fill: VenueFill, leg: Leg) -> Decimal:
    """Return how much of what it traded a fill's commission took."""
    return fill.fee if fill.fee and fill.fee_asset == leg.instrument.name else D(0)


def _gain(leg: Leg, fills: Sequence[VenueFill]) -> Fraction:
    """Return what a closed leg made by its prices; what is left of it, dust, stays at what it cost on average."""
    sums = [
        (Fraction(fill.side.sign) * Fraction(fill.quantity) - Fraction(_charged(fill, leg)), Fraction(fill.price))
        for fill in fills
    ]
    left, made = sum(units for units, _ in sums), -sum(units * price for units, price in sums)
    came = [(units, price) for (units, price), fill in zip(sums, fills, strict=True) if fill.side is leg.side]
    if left:
        made += left * sum(units * price for units, price in came) / sum(units for units, _ in came)
    return made * Fraction(leg.instrument.multiplier)


def _places(value: Decimal) -> int:
    return max(0, -int(value.as_tuple().exponent))
