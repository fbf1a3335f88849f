"""How prices, quantities and times of day look to people: in tables, on the live screen, on the page of a report.

All digits are in what programs read (`dragoman.model.plain`); what people read is cut the same way wherever they look.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def priced(value: Decimal, apart: str = ",") -> str:
    """Return a finite price or sum: two digits after the point, up to four where it has more.

    Parameters
    ----------
    apart : str
        What stands between thousands: a comma or nothing.
    """
    cut = round(value, 4)
    return f"{cut:{apart}.2f}" if cut == round(cut, 2) else f"{cut.normalize():{apart}f}"


def counted(value: Decimal) -> str:
    """Return a finite quantity with all its digits, thousands apart."""
    return f"{value.normalize():,f}"


def clock(ns: int, zone: tzinfo = UTC, *, seconds: bool = True) -> str:
    """Return the time of day of ns since the epoch."""
    at = (_EPOCH + timedelta(microseconds=ns // 1000)).astimezone(zone)
    return at.strftime("%H:%M:%S" if seconds else "%H:%M")
