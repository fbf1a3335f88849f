"""What adapters share beside the contract, under one name: reading records, asking in pages, telling failures apart.

As `dragoman.emulator.parts` is to an emulator, so is this to an adapter. What each part is for is said where it is
defined.
"""

from dragoman.plugin.account_rows import AccountRows
from dragoman.plugin.beats import BeatingFeed
from dragoman.plugin.candle_flows import DAY, Interval, SpanCandles, Stretch, interval_of, midnight
from dragoman.plugin.channels import ChannelFeed, Topic, by_channel
from dragoman.plugin.feed import send_json
from dragoman.plugin.field_frames import bits_field, bits_of, fields_of, frame, names_field, names_of
from dragoman.plugin.history import check_stretch, history, read_rows
from dragoman.plugin.indian import CASH_PRODUCTS, CONTRACT_PRODUCTS, INDIAN_HOURS, SHARES
from dragoman.plugin.json_rows import JsonRows
from dragoman.plugin.jwt_claims import jwt_claims, jwt_expiry_ns
from dragoman.plugin.keys import KeySession
from dragoman.plugin.messagepack import pack_messagepack, unpack_messagepack
from dragoman.plugin.order_rows import COMMON_FILL_KEYS, COMMON_ORDER_KEYS, OrderRows
from dragoman.plugin.packed_fields import count, price, seconds
from dragoman.plugin.paging import after_last, by_token, pages
from dragoman.plugin.profile_rows import read_profile
from dragoman.plugin.protection import PROTECTED, check_protection, kept_protection, wire_protection
from dragoman.plugin.quote_rows import QuotedDepth, QuoteRows, read_levels
from dragoman.plugin.records import Records
from dragoman.plugin.refusals import SUCCESS, failure_of, json_or_none, number_in
from dragoman.plugin.renewal import Renewal
from dragoman.plugin.replacing import Seen, Stage, Steps, replaced
from dragoman.plugin.replies import (
    FILE,
    TAKEN,
    at_once,
    changed,
    fetch,
    fetch_rows,
    master_of,
    public_file,
    resting_rule,
    session_of,
    together,
)
from dragoman.plugin.row_tables import COMMON_HOLDING_KEYS, COMMON_POSITION_KEYS, RowTable, total_of
from dragoman.plugin.signing import hmac_sha256_hex, is_ed25519, is_pem, sign_pem
from dragoman.plugin.spans import batches, spans
from dragoman.plugin.subscriptions import Subscriptions
from dragoman.plugin.traded import Traded
from dragoman.plugin.turns import in_turns
from dragoman.plugin.us import CENT, NEW_YORK, US, US_HOURS, check_penny, us_id, us_option
from dragoman.plugin.values import (
    IST,
    Pairs,
    Row,
    day_start,
    digits,
    epoch_ns,
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

__all__ = [
    "CASH_PRODUCTS",
    "CENT",
    "COMMON_FILL_KEYS",
    "COMMON_HOLDING_KEYS",
    "COMMON_ORDER_KEYS",
    "COMMON_POSITION_KEYS",
    "CONTRACT_PRODUCTS",
    "DAY",
    "FILE",
    "INDIAN_HOURS",
    "IST",
    "NEW_YORK",
    "PROTECTED",
    "SHARES",
    "SUCCESS",
    "TAKEN",
    "US",
    "US_HOURS",
    "AccountRows",
    "BeatingFeed",
    "ChannelFeed",
    "Interval",
    "JsonRows",
    "KeySession",
    "OrderRows",
    "Pairs",
    "QuoteRows",
    "QuotedDepth",
    "Records",
    "Renewal",
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
    "at_once",
    "batches",
    "bits_field",
    "bits_of",
    "by_channel",
    "by_token",
    "changed",
    "check_penny",
    "check_protection",
    "check_stretch",
    "count",
    "day_start",
    "digits",
    "epoch_ns",
    "failure_of",
    "fetch",
    "fetch_rows",
    "fields_of",
    "float_at",
    "frame",
    "given",
    "history",
    "hmac_sha256_hex",
    "in_turns",
    "interval_of",
    "is_ed25519",
    "is_pem",
    "json_number",
    "json_or_none",
    "jwt_claims",
    "jwt_expiry_ns",
    "kept_protection",
    "local_ns",
    "master_of",
    "midnight",
    "moment_ns",
    "names_field",
    "names_of",
    "needed",
    "next_time_ns",
    "nonzero",
    "number",
    "number_in",
    "pack_messagepack",
    "pages",
    "pairs",
    "plain",
    "price",
    "public_file",
    "read_levels",
    "read_profile",
    "read_rows",
    "replaced",
    "resting_rule",
    "rfc3339",
    "rfc3339_ns",
    "seconds",
    "send_json",
    "session_of",
    "side_of",
    "sign_pem",
    "spans",
    "text_or_none",
    "together",
    "total_of",
    "unpack_messagepack",
    "us_id",
    "us_option",
    "wire_protection",
    "wire_tag",
]
