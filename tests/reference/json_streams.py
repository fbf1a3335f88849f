"""JSON streams in the shapes that venues use, and messages for them; shared by the tests of the engine."""

from __future__ import annotations

from dragoman.plugin import (
    JsonAggressor,
    JsonField,
    JsonKey,
    JsonLayout,
    JsonLevels,
    JsonSide,
    JsonStream,
    JsonWhen,
)

equals, has, absent = JsonWhen.equals, JsonWhen.has, JsonWhen.absent

WRAPPED = JsonStream(
    "wrapped",
    layouts=(
        JsonLayout(
            "depth",
            at="data",
            when=(equals("e", "depthUpdate"),),
            key=JsonKey("s"),
            kind="depth_delta",
            fields=(
                JsonField("ts_event", "E", unit="ms"),
                JsonField("sequence", "u"),
                JsonField("prev_sequence", "U", add=-1),
            ),
            levels=(JsonLevels("bid", "b"), JsonLevels("ask", "a")),
        ),
        JsonLayout(
            "ticker",
            at="data",
            when=(equals("e", "bookTicker"),),
            key=JsonKey("/stream", until="@"),
            fields=(
                JsonField("bid_price", "b"),
                JsonField("bid_quantity", "B", absent=("-1",)),
                JsonField("ask_price", "a", divisor=100),
                JsonField("ask_quantity", "A"),
                JsonField("last_trade_time", "T", unit="s", shift_s=-19800),
            ),
        ),
        JsonLayout(
            "trade",
            at="data",
            when=(equals("e", "aggTrade"), has("p")),
            key=JsonKey("s", "x", join="|"),
            kind="trade",
            fields=(JsonField("last_price", "p"), JsonField("last_quantity", "q")),
            aggressor=JsonAggressor("m", buyer=(False, "B"), seller=(True, 1)),
        ),
        JsonLayout("acknowledged", when=(has("result", "error"),), control=True),
    ),
    plain=("pong",),
)

MIXED = JsonStream(
    "mixed",
    layouts=(
        JsonLayout(
            "quote",
            when=(equals("T", "q"),),
            key=JsonKey("S"),
            fields=(
                JsonField("bid_price", "bp"),
                JsonField("bid_quantity", "bs"),
                JsonField("ask_price", "ap"),
                JsonField("ask_quantity", "as"),
                JsonField("ts_event", "t", unit="rfc3339"),
            ),
        ),
        JsonLayout(
            "book",
            when=(equals("T", "o"),),
            key=JsonKey("S"),
            kind="depth_delta",
            snapshot_when=equals("r", True),
            levels=(
                JsonLevels("bid", "b", price="p", quantity="s", exact=False),
                JsonLevels("ask", "a", price="p", quantity="s", orders="n", exact=False),
            ),
        ),
        JsonLayout("number", when=(equals("T", 7, 8),), key=JsonKey("k", number=True), kind="status"),
    ),
)

POSITIONAL = JsonStream(
    "positional",
    positional=True,
    layouts=(
        JsonLayout(
            "snapshot",
            when=(has("1.as", "1.bs"),),
            key=JsonKey("-1"),
            kind="depth_snapshot",
            levels=(JsonLevels("bid", "1.bs"), JsonLevels("ask", "1.as")),
        ),
        JsonLayout(
            "update",
            when=(has("1.a", "1.b"), absent("0.x")),
            key=JsonKey("-1"),
            kind="depth_delta",
            levels=(
                JsonLevels("ask", "1.a"),
                JsonLevels("ask", "2.a"),
                JsonLevels("bid", "1.b"),
                JsonLevels("bid", "2.b"),
            ),
        ),
        JsonLayout(
            "trade",
            when=(equals("-2", "trade"),),
            each="1",
            key=JsonKey("/-1"),
            kind="trade",
            fields=(
                JsonField("last_price", "0"),
                JsonField("last_quantity", "1"),
                JsonField("last_trade_time", "2", unit="s"),
            ),
            aggressor=JsonAggressor("3", buyer=("b",), seller=("s",)),
        ),
    ),
)

NESTED = JsonStream(
    "nested",
    layouts=(
        JsonLayout(
            "l2",
            when=(equals("/channel", "l2_data"),),
            each="events",
            key=JsonKey("product_id"),
            kind="depth_delta",
            snapshot_when=equals("type", "snapshot"),
            fields=(JsonField("sequence", "/sequence_num"), JsonField("ts_event", "/timestamp", unit="rfc3339")),
            levels=(
                JsonLevels(
                    JsonSide("side", bid=("bid",), ask=("offer", "ask")),
                    "updates",
                    price="price_level",
                    quantity="new_quantity",
                ),
            ),
        ),
        JsonLayout(
            "trade",
            when=(equals("/channel", "market_trades"), equals("../type", "update")),
            each="events.*.trades",
            key=JsonKey("product_id"),
            kind="trade",
            fields=(
                JsonField("last_price", "price"),
                JsonField("last_quantity", "size"),
                JsonField("last_trade_time", "time", unit="rfc3339"),
            ),
            aggressor=JsonAggressor("side", buyer=("SELL",), seller=("BUY",)),
        ),
        JsonLayout(
            "mids",
            when=(equals("/channel", "mids"),),
            each="mids",
            key=JsonKey("@key"),
            fields=(JsonField("last_price", "@value"),),
        ),
    ),
)

CHANGES = JsonStream(
    "changes",
    layouts=(
        JsonLayout(
            "l2update",
            when=(equals("type", "l2update"),),
            key=JsonKey("product_id"),
            kind="depth_delta",
            fields=(JsonField("ts_event", "time", unit="rfc3339"),),
            levels=(JsonLevels(JsonSide(0, bid=("buy",), ask=("sell",)), "changes", price=1, quantity=2),),
        ),
        JsonLayout(
            "snapshot",
            when=(equals("type", "snapshot"),),
            key=JsonKey("product_id"),
            kind="depth_snapshot",
            levels=(JsonLevels("bid", "bids"), JsonLevels("ask", "asks")),
        ),
        JsonLayout(
            "ticker",
            when=(equals("type", "ticker"),),
            key=JsonKey("product_id"),
            fields=(
                JsonField("last_price", "price"),
                JsonField("bid_price", "best_bid"),
                JsonField("ask_price", "best_ask"),
                JsonField("ts_event", "time", unit="rfc3339"),
            ),
        ),
    ),
)
