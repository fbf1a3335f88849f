"""Types of the blocking client. Made by `dragoman.sync.stubs`; not edited by hand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any

from dragoman._core import Batch, Book, Tick
from dragoman.checks import Number
from dragoman.errors import DragomanError
from dragoman.market import InstrumentMaster
from dragoman.model import (
    BasketMargin,
    Candle,
    Charges,
    Fill,
    Gap,
    Gtt,
    GttRequest,
    Holding,
    Instrument,
    Margin,
    Mode,
    Notice,
    Order,
    OrderMargin,
    OrderRequest,
    OrderType,
    OrderUpdate,
    Position,
    Product,
    Profile,
    Quote,
    Segment,
    Side,
    StreamState,
    TimeInForce,
    Variety,
)
from dragoman.plugin import Raw
from dragoman.portfolio import Discrepancy
from dragoman.session.metrics import Metrics
from dragoman.session.shards import ShardedStream
from dragoman.sync.engine import Engine
from dragoman.sync.iterators import Following

Event = StreamState | Gap | Notice | Raw | DragomanError

class Client:
    def __init__(self, engine: Engine) -> None: ...
    def __repr__(self) -> str: ...
    def _repr_html_(self) -> str: ...
    def __enter__(self) -> Client: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
    def close(self) -> None: ...
    @property
    def closed(self) -> bool: ...
    @property
    def instruments(self) -> InstrumentMaster: ...
    def on_batch(self, callback: Callable[[Batch], object]) -> Callable[[], None]: ...
    def on_tick(self, callback: Callable[[Tick], object], *, inline: bool = False) -> Callable[[], None]: ...
    def ticks(self) -> Following[Tick]: ...
    def order_updates(self) -> Following[OrderUpdate]: ...
    def counters(self) -> dict[str, Any]: ...
    def logout(self) -> None: ...
    def load_instruments(self, *, cached: bool = False, timeout_s: float = 120.0) -> int: ...
    def on_event(self, callback: Callable[[Event], object], *, inline: bool = False) -> Callable[[], None]: ...
    def instrument(self, name: str | Instrument) -> Instrument: ...
    def quotes(
        self,
        names: str | Instrument | Iterable[str | Instrument],
        mode: Mode | str = Mode.FULL,
        *,
        timeout_s: float = 10.0,
    ) -> dict[str, Quote]: ...
    def quote(self, name: str | Instrument, *, timeout_s: float = 10.0) -> Quote: ...
    def ltp(
        self, names: str | Instrument | Iterable[str | Instrument], *, timeout_s: float = 10.0
    ) -> dict[str, float | None]: ...
    def subscribe(
        self, names: str | Instrument | Iterable[str | Instrument], mode: Mode | str = Mode.QUOTE
    ) -> list[Instrument]: ...
    def unsubscribe(self, names: str | Instrument | Iterable[str | Instrument]) -> None: ...
    def book(self, name: str | Instrument) -> Book: ...
    def place(
        self,
        instrument: str | Instrument,
        side: Side | str,
        quantity: Number | None = None,
        *,
        lots: int | None = None,
        order_type: OrderType | str = OrderType.MARKET,
        price: Number | None = None,
        trigger_price: Number | None = None,
        time_in_force: TimeInForce | str = TimeInForce.DAY,
        product: Product | str = Product.DELIVERY,
        variety: Variety | str = Variety.REGULAR,
        market_protection: Number | None = None,
        display_quantity: Number | None = None,
        tag: str | None = None,
        client_order_id: str = "",
        timeout_s: float = 10.0,
        allow_stale: bool = False,
        **more: Any,
    ) -> Order: ...
    def modify(
        self,
        order: Order | str,
        *,
        lots: int | None = None,
        timeout_s: float = 10.0,
        allow_stale: bool = False,
        **changes: Any,
    ) -> Order: ...
    def cancel(self, order: Order | str, *, timeout_s: float = 10.0) -> Order: ...
    def orders(self, *, refresh: bool = True, timeout_s: float = 15.0) -> list[Order]: ...
    def order(self, name: Order | str) -> Order | None: ...
    def order_history(self, order: Order | str, *, timeout_s: float = 10.0) -> list[Order]: ...
    def trades(self, order: Order | str | None = None, *, timeout_s: float = 10.0) -> list[Fill]: ...
    def wait_order(
        self, order: Order | str, until: Callable[[Order], bool] | None = None, *, timeout_s: float = 10.0
    ) -> Order: ...
    def on_order(self, callback: Callable[[OrderUpdate], object], *, inline: bool = False) -> Callable[[], None]: ...
    def positions(self, *, timeout_s: float = 10.0) -> list[Position]: ...
    def margins(self, *, timeout_s: float = 10.0) -> dict[Segment, Margin]: ...
    def check_positions(self, *, timeout_s: float = 10.0) -> list[Discrepancy]: ...
    @property
    def streams(self) -> dict[str, ShardedStream]: ...
    def profile(self, *, timeout_s: float = 10.0) -> Profile: ...
    def holdings(self, *, timeout_s: float = 10.0) -> list[Holding]: ...
    def convert(
        self, position: Position, product: Product | str, quantity: Number | None = None, *, timeout_s: float = 10.0
    ) -> None: ...
    def candles(
        self,
        name: str | Instrument,
        interval: str,
        start: datetime,
        end: datetime,
        *,
        continuous: bool = False,
        on_rows: Callable[[Sequence[Candle]], object] | None = None,
        on_progress: Callable[[int | None, int | None], object] | None = None,
        timeout_s: float = 600.0,
    ) -> list[Candle]: ...
    def order_margin(self, orders: Iterable[OrderRequest], *, timeout_s: float = 10.0) -> list[OrderMargin]: ...
    def basket_margin(
        self, orders: Iterable[OrderRequest], *, consider_positions: bool = True, timeout_s: float = 10.0
    ) -> BasketMargin: ...
    def charges(self, fills: Iterable[Fill], *, timeout_s: float = 10.0) -> list[Charges]: ...
    def gtts(self, *, timeout_s: float = 10.0) -> list[Gtt]: ...
    def place_gtt(self, request: GttRequest, *, timeout_s: float = 10.0) -> str: ...
    def modify_gtt(self, gtt_id: str, request: GttRequest, *, timeout_s: float = 10.0) -> str: ...
    def delete_gtt(self, gtt_id: str, *, timeout_s: float = 10.0) -> str: ...
    @property
    def metrics(self) -> Metrics: ...
