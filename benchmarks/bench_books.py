"""How fast do books follow a venue, from its bytes and level by level, and what does a level weigh?"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from benchmarks import peers
from benchmarks.bench_json import STREAM, depth, dump
from benchmarks.measure import Finding, Row, alternate, faster, share
from dragoman._core import Books, Decoder, intern_instrument

TITLE = "Order books"
METHOD = (
    "Generated depth updates of a crypto exchange, 20 levels each, over a book of about 1,000 levels a side. From bytes"
    " to book: ours decodes and applies natively; nautilus_trader decodes with its own msgspec structs, makes deltas"
    " and applies them, as its adapter does; cryptofeed's way is its JSON library with decimals and its C order book,"
    " as its feed does it. One level: 4,096 changes, each with the reading of both tops, in books"
    " of 10, 1,000 and 10,000 levels a side; most changes are near the top, as on a venue. All books are compared with"
    " ours before anything is timed."
)
SYMBOL = "BTCUSDT"
NAUTILUS, CRYPTO_BOOK, CRYPTO_JSON = "nautilus_trader==1.221.0", "order_book==0.6.1", "yapic.json==1.9.5"
NAUTILUS_GOAL, CRYPTO_GOAL, LEVEL_GOAL = 50.0, 12.0, 0.6
MESSAGES = 2000


def messages(levels: int = 20) -> list[bytes]:
    """Return depth updates whose changes lie near the top of a book around 7.5."""
    dice = random.Random(5)
    made = []
    number = 1
    for _ in range(MESSAGES):
        message = depth(dice, 0) | {"s": SYMBOL, "U": number + 1, "u": number + 10, "pu": number}
        number += 10
        for side, sign in (("b", -1), ("a", 1)):
            ticks = sorted({1 + min(int(dice.expovariate(0.02)), 999) for _ in range(levels // 2)})
            message[side] = [[f"{(75_000 + sign * t) / 10_000:.4f}", str(dice.choice((0, 3, 41, 977)))] for t in ticks]
        made.append(dump(message))
    return made


def seeds() -> dict[str, list[tuple[str, str]]]:
    return {
        "bid": [(f"{(75_000 - tick) / 10_000:.4f}", "5") for tick in range(1, 1000)],
        "ask": [(f"{(75_000 + tick) / 10_000:.4f}", "5") for tick in range(1, 1000)],
    }


class Ours:
    def __init__(self) -> None:
        self.handle = intern_instrument(f"BENCH:{SYMBOL}")
        self.decoder = Decoder(STREAM.compile())
        self.decoder.bind_text(SYMBOL.encode(), self.handle)
        self.books = Books(rule="linked")
        self.book = self.books.book(self.handle)
        rows = {side: [(float(p), float(q)) for p, q in levels] for side, levels in seeds().items()}
        self.books.snapshot(self.handle, rows["bid"], rows["ask"], sequence=1)

    def take(self, data: bytes) -> None:
        self.books.apply(self.decoder.decode(data, 0))

    def levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        shot = self.book.snapshot()
        return [(p, q) for p, q, _ in shot.bids], [(p, q) for p, q, _ in shot.asks]


class Nautilus:
    """The adapter's own structs and parsing, and the platform's book."""

    def __init__(self) -> None:
        peers.add(NAUTILUS)
        import msgspec  # type: ignore[import-not-found]
        from nautilus_trader.adapters.binance.common.schemas.market import (  # type: ignore[import-not-found]
            BinanceOrderBookData,
        )
        from nautilus_trader.model.book import OrderBook  # type: ignore[import-not-found]
        from nautilus_trader.model.data import BookOrder  # type: ignore[import-not-found]
        from nautilus_trader.model.enums import BookType, OrderSide  # type: ignore[import-not-found]
        from nautilus_trader.model.identifiers import InstrumentId  # type: ignore[import-not-found]
        from nautilus_trader.model.objects import Price, Quantity  # type: ignore[import-not-found]

        self.id = InstrumentId.from_str(f"{SYMBOL}.BINANCE")
        self.decode = msgspec.json.Decoder(BinanceOrderBookData).decode
        self.book = OrderBook(self.id, BookType.L2_MBP)
        self.sides = {"bid": OrderSide.BUY, "ask": OrderSide.SELL}
        self._order, self._price, self._quantity = BookOrder, Price, Quantity
        for side, levels in seeds().items():
            for price, quantity in levels:
                self.book.add(self.order(side, price, quantity), 0)

    def order(self, side: str, price: str, quantity: str) -> Any:
        return self._order(self.sides[side], self._price.from_str(price), self._quantity.from_str(quantity), 0)

    def take(self, data: bytes) -> None:
        self.book.apply_deltas(self.decode(data).parse_to_order_book_deltas(self.id, 0))

    def levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        sides = (self.book.bids(), self.book.asks())
        bids, asks = ([(float(level.price), level.size()) for level in side] for side in sides)
        return bids, asks


class CryptoFeed:
    """Its JSON library with decimals, its C book, and the loop of its feed."""

    def __init__(self) -> None:
        peers.add(CRYPTO_BOOK)
        peers.add(CRYPTO_JSON)
        from order_book import OrderBook  # type: ignore[import-not-found]
        from yapic import json as fast  # type: ignore[import-not-found]

        self.loads = fast.loads
        self.book = OrderBook()
        self.book.bids = {Decimal(price): Decimal(quantity) for price, quantity in seeds()["bid"]}
        self.book.asks = {Decimal(price): Decimal(quantity) for price, quantity in seeds()["ask"]}

    def take(self, data: bytes) -> None:
        message = self.loads(data, parse_float=Decimal)
        for key, side in (("b", self.book.bids), ("a", self.book.asks)):
            for update in message[key]:
                price, quantity = Decimal(update[0]), Decimal(update[1])
                if quantity == 0:
                    if price in side:
                        del side[price]
                else:
                    side[price] = quantity

    def levels(self) -> tuple[list[tuple[float, float]], list[tuple[float, float]]]:
        bids, asks = (
            [(float(price), float(quantity)) for price, quantity in side.to_dict().items()]
            for side in (self.book.bids, self.book.asks)
        )
        return bids, asks


def over(take: Callable[[bytes], None], data: list[bytes]) -> Callable[[], None]:
    """Return a call that takes the next message, round and round."""
    turn = 0

    def call() -> None:
        nonlocal turn
        take(data[turn])
        turn = turn + 1 if turn + 1 < len(data) else 0

    return call


def same_bytes() -> list[Finding]:
    data = messages()
    ours, nautilus, crypto = Ours(), Nautilus(), CryptoFeed()
    for message in data:
        for side in (ours, nautilus, crypto):
            side.take(message)
    assert ours.levels() == nautilus.levels(), "nautilus_trader's book is another"
    assert ours.levels() == crypto.levels(), "cryptofeed's book is another"
    # In rounds the numbers start over, which a book that checks them would call a gap: ours follows without a rule.
    ours.books.follow(ours.handle, rule="none")
    rows = {side: [(float(p), float(q)) for p, q in levels] for side, levels in seeds().items()}
    ours.books.snapshot(ours.handle, rows["bid"], rows["ask"])
    size = sum(map(len, data)) // len(data)
    rows: list[Finding] = []
    for side, name, goal in ((nautilus, "nautilus_trader", NAUTILUS_GOAL), (crypto, "cryptofeed's way", CRYPTO_GOAL)):
        mine, theirs = alternate(over(ours.take, data), over(side.take, data), rounds=30)
        rows.append(faster(f"bytes to book, 20 levels, {size} bytes", mine, name, theirs, goal))
    return rows


def one_level(depth_of_book: int) -> Row:
    """One level changed and both tops read."""
    dice = random.Random(depth_of_book)
    changes: list[tuple[str, str, str]] = []
    book = Books().book(intern_instrument(f"BENCH:LEVELS{depth_of_book}"))
    nautilus = Nautilus()
    nautilus.book.clear(0, 0)
    for tick in range(1, depth_of_book + 1):
        for side, sign in (("bid", -1), ("ask", 1)):
            price = f"{(750_000 + sign * tick) / 1000:.3f}"
            book.update(side, float(price), 5.0)
            nautilus.book.add(nautilus.order(side, price, "5"), 0)
    for _ in range(4096):
        side, sign = dice.choice((("bid", -1), ("ask", 1)))
        tick = 1 + min(int(dice.expovariate(0.1)), depth_of_book - 1)
        changes.append((side, f"{(750_000 + sign * tick) / 1000:.3f}", str(dice.randint(1, 999))))
    mine = [(side, float(price), float(quantity)) for side, price, quantity in changes]
    theirs = [nautilus.order(*change) for change in changes]
    for change, order in zip(mine, theirs, strict=True):
        top = book.update(*change)
        nautilus.book.update(order, 0)
        assert top == (float(nautilus.book.best_bid_price()), float(nautilus.book.best_ask_price()))
    pairs = list(zip(mine, theirs, strict=True))
    update, update_theirs = book.update, nautilus.book.update
    best_bid, best_ask = nautilus.book.best_bid_price, nautilus.book.best_ask_price

    def ours() -> None:
        for (side, price, quantity), _ in pairs:
            update(side, price, quantity)

    def peer() -> None:
        for _, order in pairs:
            update_theirs(order, 0)
            best_bid()
            best_ask()

    timed, against = alternate(ours, peer, rounds=30)
    question = f"4,096 times one level and both tops, {depth_of_book:,} levels a side"
    return share(question, timed, "nautilus_trader", against, LEVEL_GOAL)


def run() -> list[Finding]:
    """Compare."""
    assert json.loads(messages()[0])["s"] == SYMBOL
    return [*same_bytes(), *(one_level(levels) for levels in (10, 1_000, 10_000))]
