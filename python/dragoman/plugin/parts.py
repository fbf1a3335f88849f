"""What adapters share beside the contract, under one name: reading records, asking in pages, telling failures apart.

As `dragoman.emulator.parts` is to an emulator, so is this to an adapter. What each part is for is said where it is
defined.
"""

from dragoman.plugin.candle_flows import Interval, SpanCandles, Stretch, interval_of
from dragoman.plugin.channels import ChannelFeed, Topic, by_channel
from dragoman.plugin.feed import send_json
from dragoman.plugin.history import check_stretch, history, read_rows
from dragoman.plugin.json_rows import JsonRows
from dragoman.plugin.jwt_claims import jwt_claims, jwt_expiry_ns
from dragoman.plugin.messagepack import pack_messagepack, unpack_messagepack
from dragoman.plugin.paging import after_last, by_token, pages
from dragoman.plugin.quote_rows import QuotedDepth, read_levels
from dragoman.plugin.records import (
    IST,
    Pairs,
    Records,
    Row,
    day_start,
    digits,
    float_at,
    given,
    json_number,
    local_ns,
    moment_ns,
    needed,
    next_time_ns,
    nonzero,
    number,
    pairs,
    plain,
    rfc3339,
    rfc3339_ns,
    side_of,
    text_or_none,
    wire_tag,
)
from dragoman.plugin.refusals import failure_of, is_success, json_or_none, number_in
from dragoman.plugin.replacing import Seen, Stage, Steps, replaced
from dragoman.plugin.replies import fetch, fetch_rows
from dragoman.plugin.row_tables import RowTable
from dragoman.plugin.signing import hmac_sha256_hex, is_ed25519, is_pem, sign_pem
from dragoman.plugin.spans import batches, spans
from dragoman.plugin.subscriptions import Subscriptions
from dragoman.plugin.traded import Traded
from dragoman.plugin.turns import in_turns
from dragoman.plugin.us import CENT, NEW_YORK, US, US_HOURS, check_penny, us_id, us_option

__all__ = [
    "CENT",
    "IST",
    "NEW_YORK",
    "US",
    "US_HOURS",
    "ChannelFeed",
    "Interval",
    "JsonRows",
    "Pairs",
    "QuotedDepth",
    "Records",
    "Row",
    "RowTable",
    "Seen",
    "SpanCandles",
    "Stage",
    "Steps",
    "Stretch",
    "Subscriptions",
    "Topic",
    "Traded",
    "after_last",
    "batches",
    "by_channel",
    "by_token",
    "check_penny",
    "check_stretch",
    "day_start",
    "digits",
    "failure_of",
    "fetch",
    "fetch_rows",
    "float_at",
    "given",
    "history",
    "hmac_sha256_hex",
    "in_turns",
    "interval_of",
    "is_ed25519",
    "is_pem",
    "is_success",
    "json_number",
    "json_or_none",
    "jwt_claims",
    "jwt_expiry_ns",
    "local_ns",
    "moment_ns",
    "needed",
    "next_time_ns",
    "nonzero",
    "number",
    "number_in",
    "pack_messagepack",
    "pages",
    "pairs",
    "plain",
    "read_levels",
    "read_rows",
    "replaced",
    "rfc3339",
    "rfc3339_ns",
    "send_json",
    "side_of",
    "sign_pem",
    "spans",
    "text_or_none",
    "unpack_messagepack",
    "us_id",
    "us_option",
    "wire_tag",
]
