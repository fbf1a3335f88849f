"""Whether an adapter's tables agree with each other and with its code: looked at once, when it is loaded.

What each table looks like on its own is checked where it is made. Here is what only shows when two are held together:
a feature that is offered without its flow, a stream without its feed, a layout that does not compile, depth the layouts
do not carry, a meter that no request can name.
"""

from __future__ import annotations

from collections.abc import Iterator

from dragoman.plugin.adapter import Adapter, Credential
from dragoman.plugin.feed import Feed
from dragoman.plugin.layout import PackedStream
from dragoman.plugin.layout_json import JsonStream
from dragoman.plugin.layout_protobuf import ProtoStream
from dragoman.plugin.limits import RateLimit, Scope

_GTT = ("gtts", "gtt", "gtt_place", "gtt_modify", "gtt_delete")
_ALERTS = ("alerts", "alert_create", "alert_modify", "alert_delete", "alert_history")
FLOWS = {
    **{
        name: (name,) for name in ("place", "modify", "cancel", "trades", "positions", "holdings", "convert", "margins")
    },
    **{name: (name,) for name in ("order_margin", "quotes", "depth", "candles", "profile", "basket_margin", "charges")},
    **{name: (name,) for name in ("balances", "auctions", "authorise_holdings", "holdings_summary", "postback")},
    **{name: (name,) for name in ("cancel_many", "exit_all")},
    "order_history": ("order",),
    "basket": ("place_many",),
    "trigger_range": ("trigger_ranges",),
    "gtt": _GTT,
    "alerts": _ALERTS,
}
"""Feature -> the flows that make it."""


def disagreements(adapter: Adapter) -> Iterator[str]:
    """Yield what is wrong, each as ``table: found, expected``."""
    yield from _items(adapter)
    yield from _features(adapter)
    yield from _limits(adapter)
    yield from _feeds(adapter)


def _items(adapter: Adapter) -> Iterator[str]:
    for table, kind in (("credentials", Credential), ("limits", RateLimit)):
        for at, item in enumerate(getattr(adapter, table)):
            if not isinstance(item, kind):
                yield f"{table}[{at}] is {type(item).__name__}, expected {kind.__name__}"
    feeds: tuple[object, ...] = adapter.feeds  # whatever a third party put there
    for at, feed in enumerate(feeds):
        if not (isinstance(feed, type) and issubclass(feed, Feed)):
            yield f"feeds[{at}] is {feed!r}, expected a subclass of Feed"


def _features(adapter: Adapter) -> Iterator[str]:
    capabilities = adapter.capabilities
    for feature, flows in FLOWS.items():
        if capabilities.features.get(feature):
            missing = [name for name in flows if _undefined(adapter, name)]
            if missing:
                yield f"capabilities.features[{feature!r}] is offered, expected the adapter to define {missing[0]}"
    for needed in ("classify", *(("orders",) if capabilities.features["place"] else ())):
        if _undefined(adapter, needed):
            yield f"{needed} is not defined, expected it of every adapter that places orders"
    if adapter.session.refresh == "token" and _undefined(adapter, "refresh"):
        yield "session.refresh is 'token', expected the adapter to define refresh"
    unsaid = sorted(capabilities.segments - set(capabilities.quantity_unit))
    if unsaid:
        yield f"capabilities.quantity_unit lacks {', '.join(unsaid)}, expected every segment (UNVERIFIED where open)"


def _undefined(adapter: Adapter, name: str) -> bool:
    return getattr(type(adapter), name) is getattr(Adapter, name)


def _limits(adapter: Adapter) -> Iterator[str]:
    limits = [one for one in adapter.limits if isinstance(one, RateLimit)]
    meters = sorted({one.meter for one in limits})
    if meters and "default" not in meters:
        yield f"limits name the meters {', '.join(meters)}, expected 'default' too: requests that name none spend it"
    for limit in limits:
        if limit.count < 1 or not 0 <= limit.reserve < limit.count:
            yield (
                f"limits: {limit.name} has count {limit.count} and reserve {limit.reserve},"
                " expected a count of at least 1 and a reserve below it"
            )
        try:
            timed = limit.period_ns > 0
        except ValueError as error:
            yield f"limits: {limit.meter}: {error}"
            continue
        if timed is (limit.scope is Scope.ORDER):
            expected = "none: it counts for the life of an order" if timed else "a period such as '1s'"
            yield f"limits: {limit.meter} of scope {limit.scope} has per {limit.per!r}, expected {expected}"


def _feeds(adapter: Adapter) -> Iterator[str]:
    capabilities = adapter.capabilities
    feeds = [one for one in adapter.feeds if isinstance(one, type) and issubclass(one, Feed)]
    kinds = [feed.kind for feed in feeds]
    names = [feed.stream() for feed in feeds]
    for name in dict.fromkeys(names):
        if names.count(name) > 1:
            yield f"feeds: {names.count(name)} streams named {name!r}, expected one; give the others a `name`"
    for feed in feeds:
        yield from _layouts(adapter, feed)
    if capabilities.modes and "market" not in kinds:
        yield f"capabilities.modes is {_words(capabilities.modes)}, expected a feed of kind 'market' to carry them"
    carried = any(feed.carries_orders or feed.kind == "orders" for feed in feeds)
    offered = bool(capabilities.features["order_stream"])
    if offered is not carried:
        found, expected = ("offered", "a feed that carries orders") if offered else ("not offered", "no such feed")
        yield f"capabilities.features['order_stream'] is {found}, expected {expected}"
    if feeds and capabilities.max_instruments_per_socket < 1 and "market" in kinds:
        yield f"capabilities.max_instruments_per_socket is {capabilities.max_instruments_per_socket}, expected above 0"


def _layouts(adapter: Adapter, feed: type[Feed]) -> Iterator[str]:
    where = f"feeds.{feed.__name__}.layouts"
    stream: object = feed.layouts
    if stream is None:
        return
    if not isinstance(stream, (PackedStream, JsonStream, ProtoStream)):
        yield f"{where} is {type(stream).__name__}, expected a PackedStream, JsonStream, ProtoStream or None"
        return
    try:
        stream.compile()
    except (ValueError, TypeError) as error:
        yield f"{where}: {error}"
        return
    if not isinstance(stream, PackedStream):
        return
    offered = adapter.capabilities.modes
    modes = {layout.mode for layout in stream.layouts} - {"none"}
    extra = sorted(modes - {str(mode) for mode in offered})
    if extra:
        yield f"{where} carries mode {', '.join(extra)}, expected those of capabilities.modes: {_words(offered)}"
    depths = adapter.capabilities.depth_levels
    for layout in stream.layouts:
        for table in layout.levels:
            if isinstance(table.rows, int) and table.rows not in depths:
                yield (
                    f"{where}.{layout.name} carries {table.rows} levels,"
                    f" expected one of capabilities.depth_levels: {', '.join(map(str, depths)) or 'none'}"
                )


def _words(values: frozenset[object] | frozenset[str]) -> str:
    return ", ".join(sorted(str(value) for value in values)) or "none"
