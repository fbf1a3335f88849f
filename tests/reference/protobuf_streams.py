"""Protobuf streams for tests and benchmarks, after the schemas in the brokers' protocol pages, and their vectors."""

from __future__ import annotations

from dragoman.plugin import (
    ProtoColumn,
    ProtoConstant,
    ProtoControl,
    ProtoKey,
    ProtoLevels,
    ProtoOnly,
    ProtoRecords,
    ProtoShape,
    ProtoSide,
    ProtoStream,
    ProtoSub,
    ProtoValue,
)

LTPC = (
    ProtoValue(1, "double", "last_price", default=0),
    ProtoValue(2, "int64", "last_trade_time", unit="ms"),
    ProtoValue(3, "int64", "last_quantity"),
    ProtoValue(4, "double", "previous_close"),
)
DAY = ProtoSub(
    1,
    (
        ProtoValue(2, "double", "open"),
        ProtoValue(3, "double", "high"),
        ProtoValue(4, "double", "low"),
        ProtoValue(5, "double", "session_close"),
    ),
    only_if=ProtoOnly(1, "string", ("1d",)),
)
DEPTH = ProtoLevels(
    1,
    bid=ProtoSide(ProtoColumn(2, "double"), ProtoColumn(1, "int64")),
    ask=ProtoSide(ProtoColumn(4, "double"), ProtoColumn(3, "int64")),
)
FIRST_LEVEL = (
    ProtoValue(1, "int64", "bid_quantity", default=0),
    ProtoValue(2, "double", "bid_price", default=0),
    ProtoValue(3, "int64", "ask_quantity", default=0),
    ProtoValue(4, "double", "ask_price", default=0),
)


def keyed_feed(*, merge: bool = False, extras: bool = False) -> ProtoStream:
    """The feed with a map of instruments; `extras` hands records with greeks to the feed too."""
    greeks = (ProtoControl(3),) if extras else ()
    market = (
        ProtoSub(1, LTPC),
        ProtoSub(2, (DEPTH,)),
        *greeks,
        ProtoSub(4, (DAY,)),
        ProtoValue(5, "double", "average_price"),
        ProtoValue(6, "int64", "volume"),
        ProtoValue(7, "double", "oi"),
        ProtoValue(9, "double", "total_buy_quantity"),
        ProtoValue(10, "double", "total_sell_quantity"),
    )
    first = (
        ProtoSub(1, LTPC),
        ProtoSub(2, FIRST_LEVEL),
        *greeks,
        ProtoValue(4, "int64", "volume"),
        ProtoValue(5, "double", "oi"),
    )
    union = (
        ProtoSub(1, LTPC, shape=ProtoShape("ltpc", mode="ltp")),
        ProtoSub(
            2,
            (
                ProtoSub(1, market, shape=ProtoShape("full", mode="full")),
                ProtoSub(
                    2, (ProtoSub(1, LTPC), ProtoSub(2, (DAY,))), shape=ProtoShape("index", "quote", "full", ("index",))
                ),
            ),
        ),
        ProtoSub(3, first, shape=ProtoShape("first_level", mode="quote")),
    )
    return ProtoStream(
        "keyed_feed",
        (
            ProtoRecords(2, (ProtoKey(1, "string"), ProtoSub(2, union))),
            ProtoValue(3, "int64", "ts_event", unit="ms"),
        ),
        control_when=ProtoOnly(1, "enum", (2,)),
        merge=merge,
    )


BOOK_ROW = ProtoSide(ProtoColumn((2, 1), "double"), ProtoColumn((2, 2), "double"))

ONE_EACH = ProtoStream(
    "one_each",
    (
        ProtoKey(3, "enum"),
        ProtoKey(2, "enum"),
        ProtoKey(1, "string"),
        ProtoSub(
            4,
            (
                ProtoValue(1, "double", "ts_event", unit="epoch"),
                ProtoValue(2, "double", "open"),
                ProtoValue(3, "double", "high"),
                ProtoValue(4, "double", "low"),
                ProtoValue(5, "double", "previous_close"),
                ProtoValue(6, "double", "volume"),
                ProtoValue(13, "double", "last_price", default=0),
                ProtoValue(16, "double", "price_band_high"),
            ),
            shape=ProtoShape("price", mode="quote"),
        ),
        ProtoSub(
            5,
            (
                ProtoValue(1, "double", "ts_event", unit="epoch"),
                ProtoLevels(2, bid=BOOK_ROW, sort=True),
                ProtoLevels(3, ask=BOOK_ROW, sort=True),
            ),
            shape=ProtoShape("book", "depth_snapshot", "full"),
        ),
        ProtoSub(
            6,
            (
                ProtoValue(1, "double", "ts_event", unit="epoch"),
                ProtoValue(2, "double", "last_price", default=0),
                ProtoConstant("last_quantity", 0.0),
            ),
            shape=ProtoShape("index", mode="ltp", flags=("index",)),
        ),
    ),
)

MARKET_INFO = "080218bb9eecd38333220c0a0a0a064e53455f45511002"
LTPC_HEX = (
    "080112340a134e53455f45517c494e45303632413031303230121d0a1b0900000000007e894010c09decd38333181921cdcccccccc388940"
    "1888a1ecd38333"
)
INDEX_HEX = (
    "126a0a124e53455f494e4445587c4e6966747920353012541250124e0a1909000000005038d84010c09decd3833321000000008012d84012"
    "310a2f0a02316411000000008021d84019000000008044d8402100000000201fd84029000000005038d84038c0d8b2c4833320011888a1ec"
    "d38333"
)
FULL_HEX = (
    "08011289010a0c4e53455f464f7c3435343530127912750a730a1b099a99999999696b4010c09decd38333184b21cdcccccccce07e401219"
    "0a17089601110000000000686b40184b2133333333336b6b401a090948e17a14ae47e13f293333333333836b4030e80739000000000088b3"
    "4041b81e85eb51b8be3f49000000000000594051000000000000694020011888a1ecd38333"
)
GREEKS_HEX = (
    "0801124d0a0c4e53455f464f7c3435343530123d1a390a09099a99999999696b40120c089601110000000000686b401a090948e17a14ae47"
    "e13f20e80729000000000088b34031b81e85eb51b8be3f20021888a1ecd38333"
)
PRICE_HEX = "0a0432383835180122120900008c712c357942690000000000c69340"
BOOK_HEX = "2a1812160801121209cdccccccccc59340110000000000005e40"
