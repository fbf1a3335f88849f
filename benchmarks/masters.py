"""A generated instrument master in the broker's real format: the mix of a usual day, as large as asked for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import date, timedelta

HEADER = (
    "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,"
    "segment,exchange"
)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_WORDS = "ASIAN BHARAT CENTRAL DELTA EASTERN FINANCE GLOBAL HINDUSTAN INDIA JINDAL KALYAN LAXMI MEGA NATIONAL".split()
_MONTHS = "JAN FEB MAR APR MAY JUN JUL AUG SEP OCT NOV DEC".split()
_INDICES = {"NIFTY": (24_800, 50, 75), "BANKNIFTY": (52_000, 100, 35), "FINNIFTY": (23_900, 50, 65)}
_DAY = date(2026, 12, 1)

Row = tuple[str, str, str, str, str, str, str, str]


def dump(rows: int, seed: int = 1) -> bytes:
    """Return a CSV dump of `rows` instruments: shares of two exchanges, futures, and options of many strikes."""
    lines = [HEADER]
    random_ = random.Random(seed)
    for number, row in enumerate(_rows(rows, random_), 1):
        symbol, name, expiry, strike, tick, lot, kind, segment = row
        exchange_token = 1000 + number
        exchange = segment.partition("-")[0] if segment != "INDICES" else "NSE"
        lines.append(
            f"{exchange_token * 256 + 1},{exchange_token},{symbol},{name},0.0,{expiry},{strike},{tick},{lot},{kind},"
            f"{segment},{exchange}"
        )
    return "\n".join([*lines, ""]).encode()


def _rows(rows: int, random_: random.Random) -> Iterator[Row]:
    roots = [_root(number) for number in range(rows // 12)]
    made = 0
    for root in _INDICES:
        yield f"{root} 50", f"{root} 50", "", "0", "0", "0", "EQ", "INDICES"
        made += 1
    for exchange in ("NSE", "BSE"):
        for number, root in enumerate(roots):
            symbol = f"{root}-BE" if exchange == "NSE" and number % 40 == 0 else root
            words = " ".join(random_.sample(_WORDS, 3))
            tick = random_.choice(("0.01", "0.05", "0.1"))
            yield symbol, f"{words} {root}", "", "0", tick, "1", "EQ", exchange
            made += 1
    underlyings = list(_INDICES.items()) + [
        (root, (random_.randint(10, 500) * 10, random_.choice((5, 10, 20)), random_.randint(2, 80) * 25))
        for root in roots[:200]
    ]
    expiries = [_DAY + timedelta(days=7 * week) for week in range(60)]
    for expiry in expiries:
        for root, (spot, step, lot) in underlyings:
            month = f"{expiry:%y}{_MONTHS[expiry.month - 1]}{expiry:%d}"
            if made < rows:
                yield f"{root}{month}FUT", root, f"{expiry}", "0", "0.05", str(lot), "FUT", "NFO-FUT"
                made += 1
            for at in range(-20, 21):
                for right in ("CE", "PE"):
                    strike = spot + at * step
                    if strike > 0 and made < rows:
                        symbol = f"{root}{month}{strike}{right}"
                        yield symbol, root, f"{expiry}", str(strike), "0.05", str(lot), right, "NFO-OPT"
                        made += 1
        if made >= rows:
            return


def _root(number: int) -> str:
    letters = ""
    number += 26**3
    while number:
        number, at = divmod(number, 26)
        letters = _LETTERS[at] + letters
    return f"{letters}IND"
