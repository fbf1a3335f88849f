"""Everything a broker's emulator is made of, under one name: the contract, the venue, and the parts brokers share.

As `dragoman.plugin` is to an adapter, so is this to its emulator. What each part is for is said where it is defined.
"""

from dragoman.emulator.alert_desk import AlertDesk, AlertWords
from dragoman.emulator.alerts import Alert, AlertBook, Condition, Figure, Firing, Terms
from dragoman.emulator.app_emulator import AppEmulator, AppSession, LoginPage
from dragoman.emulator.apps import App, AppRefusalError, same
from dragoman.emulator.bodies import (
    best,
    cents,
    compact,
    fixed,
    ist,
    json_answer,
    ladder,
    millis,
    num,
    rfc3339,
    seconds,
    shortest,
    stamp,
    succeeded,
)
from dragoman.emulator.brackets import Bracket, BracketBook, Fate, Part
from dragoman.emulator.by_path import SocketsByPath
from dragoman.emulator.chains import Chains, Follow, cover, iceberg, slices
from dragoman.emulator.channel_sockets import ChannelFault, ChannelSocket, ChannelSockets
from dragoman.emulator.channels import Listener
from dragoman.emulator.conflated import Client as ConflatedClient
from dragoman.emulator.conflated import ConflatedSockets, RequestError
from dragoman.emulator.contract import Emulator, HttpAnswer, HttpCall, Post, Push, Roots
from dragoman.emulator.contracts import ContractFilter
from dragoman.emulator.counting import DAY, MINUTE, SECOND, Meter, MeterFullError
from dragoman.emulator.desks import Desk, StreamDesk, TriggerDesk
from dragoman.emulator.encode import StreamEncoder, market_values
from dragoman.emulator.encode_protobuf import proto_field, proto_map, proto_message, proto_wrapped
from dragoman.emulator.encode_topics import TopicEncoder, Vector
from dragoman.emulator.fees import Fees, fees
from dragoman.emulator.forms import FieldError, Form, json_body, records
from dragoman.emulator.guarded import GuardedSockets, Quota
from dragoman.emulator.history import ALWAYS, Bar, History, StretchError, candle, joined
from dragoman.emulator.identities import identity
from dragoman.emulator.keyed import Accepts, KeyPair
from dragoman.emulator.link_view import LinkView
from dragoman.emulator.linked_desk import ClientNames, LinkedDesk
from dragoman.emulator.linked_orders import LinkedOrders
from dragoman.emulator.links import Chain, Link, Phase, Told, Trail
from dragoman.emulator.listed import (
    COUNTED_IN_LOTS,
    Listed,
    ListingName,
    csv_bytes,
    exchange_symbol,
    kind_word,
    last_expiries,
)
from dragoman.emulator.listeners import KindSocket, Listeners
from dragoman.emulator.lookup import Lookup
from dragoman.emulator.minutes import MinuteBar, MinuteBars, MinuteChanges
from dragoman.emulator.named_sockets import NamedSocket, NamedSockets, StreamRoute
from dragoman.emulator.numbered import NumberedBooks
from dragoman.emulator.order_desk import MARKET_TYPES, OrderDesk, OrderWords
from dragoman.emulator.paging import gathered, page, page_after
from dragoman.emulator.placed import PlacedSocket
from dragoman.emulator.postbacks import Postbacks
from dragoman.emulator.protection import Bands, asked_protection, automatic
from dragoman.emulator.proto_rows import Each, ProtoTable, write_proto
from dragoman.emulator.refusals import ApiError
from dragoman.emulator.rest import RestEmulator, Rule
from dragoman.emulator.resting_view import LegView, RestingView
from dragoman.emulator.routes import Handler, Route, listing, matching, refusing, replying, telling
from dragoman.emulator.rows import As, Levels, Or, Rows, Table, write
from dragoman.emulator.settings import Settings
from dragoman.emulator.signed import Fault, SignedKey, seeded_ed25519, sorted_pairs, unsigned
from dragoman.emulator.socket_requests import NamedStreams, SessionAct, SignedSession, SocketRequest, read_request
from dragoman.emulator.statuses import StatusWords
from dragoman.emulator.stops import crosses, lots_for, passed
from dragoman.emulator.sums import Security, Worth, owned, position_sums, securities, worth
from dragoman.emulator.tick_desk import TickDesk
from dragoman.emulator.token_sockets import BookSockets, EventSockets, TokenSockets
from dragoman.emulator.tokens import Lease, Tokens, WebTokens
from dragoman.emulator.topic_desk import TopicDesk
from dragoman.emulator.topic_sockets import Sockets, Topic, TopicSocket, TopicSockets
from dragoman.emulator.trading_days import TradingDays
from dragoman.emulator.triggers import Leg, Resting, TriggerBook, TriggerOverError
from dragoman.emulator.unit_views import AccountView, SpanBar, StakeView, TopView
from dragoman.emulator.updates import Execution, MarketChanges, OrderChanges, Prints, execution
from dragoman.emulator.venue import FUNDS, default_venue
from dragoman.emulator.venue.commission import Commission
from dragoman.emulator.venue.crypto import crypto_venue
from dragoman.emulator.venue.recorded import RecordedMarket
from dragoman.emulator.venue.types import (
    ZERO,
    Listing,
    MarketView,
    OrderNeed,
    OrderState,
    VenueEvent,
    VenueFill,
    VenueFunds,
    VenueOrder,
    VenuePosition,
    VenueProtocol,
    VenueRejectError,
)
from dragoman.emulator.venue.universe_crypto import recorded_listings
from dragoman.emulator.venue.us import us_venue
from dragoman.emulator.views import FundsView, HoldingView, NeedView, OrderView, PositionView, QuoteView, TradeView

__all__ = [
    "ALWAYS",
    "COUNTED_IN_LOTS",
    "DAY",
    "FUNDS",
    "MARKET_TYPES",
    "MINUTE",
    "SECOND",
    "ZERO",
    "Accepts",
    "AccountView",
    "Alert",
    "AlertBook",
    "AlertDesk",
    "AlertWords",
    "ApiError",
    "App",
    "AppEmulator",
    "AppRefusalError",
    "AppSession",
    "As",
    "Bands",
    "Bar",
    "BookSockets",
    "Bracket",
    "BracketBook",
    "Chain",
    "Chains",
    "ChannelFault",
    "ChannelSocket",
    "ChannelSockets",
    "ClientNames",
    "Commission",
    "Condition",
    "ConflatedClient",
    "ConflatedSockets",
    "ContractFilter",
    "Desk",
    "Each",
    "Emulator",
    "EventSockets",
    "Execution",
    "Fate",
    "Fault",
    "Fees",
    "FieldError",
    "Figure",
    "Firing",
    "Follow",
    "Form",
    "FundsView",
    "GuardedSockets",
    "Handler",
    "History",
    "HoldingView",
    "HttpAnswer",
    "HttpCall",
    "KeyPair",
    "KindSocket",
    "Lease",
    "Leg",
    "LegView",
    "Levels",
    "Link",
    "LinkView",
    "LinkedDesk",
    "LinkedOrders",
    "Listed",
    "Listener",
    "Listeners",
    "Listing",
    "ListingName",
    "LoginPage",
    "Lookup",
    "MarketChanges",
    "MarketView",
    "Meter",
    "MeterFullError",
    "MinuteBar",
    "MinuteBars",
    "MinuteChanges",
    "NamedSocket",
    "NamedSockets",
    "NamedStreams",
    "NeedView",
    "NumberedBooks",
    "Or",
    "OrderChanges",
    "OrderDesk",
    "OrderNeed",
    "OrderState",
    "OrderView",
    "OrderWords",
    "Part",
    "Phase",
    "PlacedSocket",
    "PositionView",
    "Post",
    "Postbacks",
    "Prints",
    "ProtoTable",
    "Push",
    "Quota",
    "QuoteView",
    "RecordedMarket",
    "RequestError",
    "RestEmulator",
    "Resting",
    "RestingView",
    "Roots",
    "Route",
    "Rows",
    "Rule",
    "Security",
    "SessionAct",
    "Settings",
    "SignedKey",
    "SignedSession",
    "SocketRequest",
    "Sockets",
    "SocketsByPath",
    "SpanBar",
    "StakeView",
    "StatusWords",
    "StreamDesk",
    "StreamEncoder",
    "StreamRoute",
    "StretchError",
    "Table",
    "Terms",
    "TickDesk",
    "TokenSockets",
    "Tokens",
    "Told",
    "TopView",
    "Topic",
    "TopicDesk",
    "TopicEncoder",
    "TopicSocket",
    "TopicSockets",
    "TradeView",
    "TradingDays",
    "Trail",
    "TriggerBook",
    "TriggerDesk",
    "TriggerOverError",
    "Vector",
    "VenueEvent",
    "VenueFill",
    "VenueFunds",
    "VenueOrder",
    "VenuePosition",
    "VenueProtocol",
    "VenueRejectError",
    "WebTokens",
    "Worth",
    "asked_protection",
    "automatic",
    "best",
    "candle",
    "cents",
    "compact",
    "cover",
    "crosses",
    "crypto_venue",
    "csv_bytes",
    "default_venue",
    "exchange_symbol",
    "execution",
    "fees",
    "fixed",
    "gathered",
    "iceberg",
    "identity",
    "ist",
    "joined",
    "json_answer",
    "json_body",
    "kind_word",
    "ladder",
    "last_expiries",
    "listing",
    "lots_for",
    "market_values",
    "matching",
    "millis",
    "num",
    "owned",
    "page",
    "page_after",
    "passed",
    "position_sums",
    "proto_field",
    "proto_map",
    "proto_message",
    "proto_wrapped",
    "read_request",
    "recorded_listings",
    "records",
    "refusing",
    "replying",
    "rfc3339",
    "same",
    "seconds",
    "securities",
    "seeded_ed25519",
    "shortest",
    "slices",
    "sorted_pairs",
    "stamp",
    "succeeded",
    "telling",
    "unsigned",
    "us_venue",
    "worth",
    "write",
    "write_proto",
]
