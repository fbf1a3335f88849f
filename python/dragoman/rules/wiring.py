"""Hang the rules of an account on its orders, positions and market data."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal

from dragoman._core import Triggers
from dragoman.market import InstrumentMaster, MarketData
from dragoman.model import Margin, Product, Segment
from dragoman.model.rules import RuleEvent
from dragoman.orders import OrderService
from dragoman.portfolio import AccountServices
from dragoman.portfolio.book import PositionBook
from dragoman.portfolio.service import becomes_holding
from dragoman.rules.book import RuleBook
from dragoman.rules.flatten import Begin
from dragoman.rules.positions import BookPositions
from dragoman.session.session import AccountSession


def rule_book(
    session: AccountSession,
    master: InstrumentMaster,
    market: MarketData,
    orders: OrderService,
    positions: PositionBook,
    publish: Callable[[RuleEvent], object],
    account: AccountServices,
    *,
    streaming: Callable[[str], bool],
    margins: Callable[[], Mapping[Segment, Margin]],
    hurry: Callable[[], object],
    begin: Begin,
) -> RuleBook:
    """Make the rule book of an account, fed by its stream; the kill switch closes positions through its exits.

    Parameters
    ----------
    session, master, market, orders, positions, publish, account, streaming, margins, hurry, begin
        As `RuleBook` has them.
    """

    def price_of(instrument_id: str) -> Decimal | None:
        price, _, stale = positions.marking.read(master.handle(master.resolve(instrument_id)))
        return None if stale else price

    def owned(instrument_id: str, product: Product) -> bool:
        found = master.get(instrument_id)
        return found is not None and becomes_holding(session.adapter, found, product)

    triggers = Triggers()
    held = BookPositions(
        positions,
        master,
        session.runtime.clock.wall_ns,
        owned=owned,
        read=bool(session.adapter.capabilities.features.get("positions")),
    )
    book = RuleBook(
        session,
        master,
        market,
        orders,
        held,
        triggers,
        publish,
        account,
        streaming=streaming,
        price_of=price_of,
        margins=margins,
        hurry=hurry,
        begin=begin,
    )
    market.on_batch.triggers = triggers
    market.on_batch.moved = book.moved
    market.held = book.engine.watch.held
    orders.stopping.flatten, orders.stopping.held = book.flatten, book.flatten.held
    return book
