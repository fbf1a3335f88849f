"""The stream: one trade of 16 bytes in each frame, big-endian.

References
----------
"Streaming API v2", sections 2-4 of the invented broker.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dragoman.plugin import (
    Context,
    Control,
    Endpoint,
    Feed,
    Field,
    Framing,
    Key,
    PackedLayout,
    PackedStream,
    Raw,
    Scale,
    Select,
    Send,
    StallRule,
    Want,
    WirePart,
    model,
)

STREAM = PackedStream(
    "examplebroker",
    byte_order="big",
    framing=Framing.single(),
    select=Select.by_length(),
    layouts=(
        PackedLayout(
            "trade",
            size=16,
            key=Key(WirePart("u32", 0)),
            fields=(
                Field("last_price", "i32", 4, scaled=True),  # in hundredths
                Field("last_quantity", "u32", 8),
                Field("ts_event", "u32", 12, unit="s"),
            ),
            scale=Scale.fixed(100),
            mode="ltp",
        ),
    ),
)


class Stream(Feed):
    """Last trades over one WebSocket."""

    kind = "market"
    layouts = STREAM
    stall = StallRule(any_frame_s=10.0, ping_s=5.0)

    def endpoint(self, ctx: Context) -> Endpoint:
        token = ctx.login["access_token"].reveal()
        return Endpoint(ctx.hosts["ws"], headers=(("Authorization", f"Bearer {token}"),))

    def want(self, add: Sequence[Want], drop: Sequence[Want], ctx: Context) -> Sequence[Send]:
        return [
            Send(json.dumps({"do": word, "tokens": [int(want.instrument.broker_token) for want in wants]}))
            for word, wants in (("unsubscribe", drop), ("subscribe", add))
            if wants
        ]

    def keys(self, instrument: model.Instrument) -> Sequence[int | bytes]:
        return (int(instrument.broker_token),)

    def on_control(self, frame: str | bytes, ctx: Context) -> Control:
        message: Any = json.loads(frame)
        if message.get("type") == "notice":
            return Control(events=(model.Notice("info", str(message["text"])),))
        return Control(events=(Raw(str(message.get("type")), message),))
