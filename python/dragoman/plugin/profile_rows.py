"""The profile of an account, in the spelling that several brokers share."""

from __future__ import annotations

from dragoman.model import OrderType, Product, Profile
from dragoman.plugin.codes import EnumMap
from dragoman.plugin.records import Records
from dragoman.plugin.values import Row


def read_profile(records: Records, row: Row, products: EnumMap[Product], types: EnumMap[OrderType]) -> Profile:
    """Read a profile, short or full; words of products and order types that are new to us are left out.

    Raises
    ------
    DecodeError
        Where it names no ``user_id``.
    """
    with records.reading("profile"):
        offered = (products.read(word) for word in row.get("products") or ())
        known = (types.read(word) for word in row.get("order_types") or ())
        return Profile(
            broker=records.broker,
            account_id=str(row["user_id"]),
            name=str(row.get("user_name") or ""),
            short_name=str(row.get("user_shortname") or ""),
            email=str(row.get("email") or ""),
            type=str(row.get("user_type") or ""),
            exchanges=tuple(str(word) for word in row.get("exchanges") or ()),
            products=tuple(one for one in offered if one is not Product.UNKNOWN),
            order_types=tuple(one for one in known if one is not OrderType.UNKNOWN),
            raw=row,
        )
