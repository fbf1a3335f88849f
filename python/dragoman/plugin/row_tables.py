"""Values of the model from records by a table of keys: how a field is read follows from the field, not from the broker.

A field without a default has to be there; one that is 0 by default reads what is absent as 0; one that may be None
stays None where the broker tells nothing. A price of 0 is no price. A key may lead into the record: ``"ohlc.open"``.

Example
-------
>>> from dragoman.model import Charges
>>> CHARGES = RowTable(Charges, total="total", gst="taxes.gst")
>>> CHARGES.read({"total": 4.5, "taxes": {"gst": 0.5}}, instrument_id="NSE:X").gst
Decimal('0.5')
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, Field, fields
from decimal import Decimal
from typing import Any, Final, Generic, TypeAlias, TypeVar

from dragoman.plugin.values import Row, float_at, given, needed, nonzero, number, text_or_none

T = TypeVar("T")
_Reader: TypeAlias = Callable[[Row, str], Any]

_PRICES: Final = frozenset(("average_price", "last_price", "close_price"))


COMMON_POSITION_KEYS: Final = {
    **{
        f"{span}{way}_{what}": f"{span}{way}_{what}"
        for span in ("", "day_")
        for way in ("buy", "sell")
        for what in ("quantity", "price", "value")
    },
    "quantity": "quantity",
    "overnight_quantity": "overnight_quantity",
    "multiplier": "multiplier",
    "average_price": "average_price",
    "last_price": "last_price",
    "close_price": "close_price",
    "realised_pnl": "realised",
    "unrealised_pnl": "unrealised",
    "pnl": "pnl",
    "value": "value",
}
"""Of positions, in the spelling that several brokers share."""

COMMON_HOLDING_KEYS: Final = {
    "isin": "isin",
    "quantity": "quantity",
    "t1_quantity": "t1_quantity",
    "pledged_quantity": "collateral_quantity",
    "collateral_type": "collateral_type",
    "average_price": "average_price",
    "last_price": "last_price",
    "close_price": "close_price",
    "pnl": "pnl",
    "day_change": "day_change",
    "day_change_percent": "day_change_percentage",
}
"""Of holdings, likewise."""


class RowTable(Generic[T]):
    """How one kind of value is read: its fields and the keys that hold them.

    Parameters
    ----------
    kind : dataclass
        Of the model.
    **keys : str
        Field -> key. Fields that are left out have to be given to `read`, or keep their default.

    Raises
    ------
    TypeError
        For a field that `kind` has not, or that is neither a number, a flag nor text.
    """

    def __init__(self, kind: Callable[..., T], **keys: str) -> None:
        known: Mapping[str, Field[Any]] = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
        unknown = keys.keys() - known.keys()
        if unknown:
            raise TypeError(f"{kind} has no {', '.join(sorted(unknown))}")
        self._kind = kind
        self._plan = [(name, tuple(key.split(".")), _reader(known[name])) for name, key in keys.items()]
        self._keeps = "raw" in known

    def read(self, row: Row, **told: Any) -> T:
        """Return the value of a record; `told` are the fields that no key holds.

        Raises
        ------
        LookupError, TypeError, ValueError, ArithmeticError, AttributeError
            For a record of another shape: read inside `Records.reading`.
        """
        found: dict[str, Any] = {"raw": row} if self._keeps else {}
        for name, (*way, key), reader in self._plan:
            part = row
            for step in way:
                part = part.get(step) or {}
            found[name] = reader(part, key)
        return self._kind(**(found | told))


def _reader(field: Field[Any]) -> _Reader:
    kind = str(field.type)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind == "Decimal":
        return needed if field.default is MISSING else _or_default(field.default)
    if kind == "Decimal | None":
        return nonzero if field.name in _PRICES else given
    raise TypeError(f"{field.name} is {kind}, expected a number, a flag or text")


def _or_default(default: Decimal) -> _Reader:
    def read(row: Row, key: str) -> Decimal:
        return number(row.get(key)) or default

    return read


def _text(row: Row, key: str) -> str:
    return text_or_none(row.get(key)) or ""


def _text_or_none(row: Row, key: str) -> str | None:
    return text_or_none(row.get(key))


def _flag(row: Row, key: str) -> bool:
    return bool(row.get(key))


_PLAIN: Final[dict[str, _Reader]] = {
    "float | None": float_at,
    "str": _text,
    "str | None": _text_or_none,
    "bool": _flag,
}


def total_of(rows: Iterable[Row], key: str) -> Decimal | None:
    """Return the sum of what stands under `key`, None where no record tells it."""
    found = [value for row in rows if (value := given(row, key)) is not None]
    return sum(found, Decimal(0)) if found else None
