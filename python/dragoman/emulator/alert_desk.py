"""Requests for alerts: made, read, changed and deleted, whatever a broker's words for their terms."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, ClassVar

from dragoman.emulator.alerts import Alert, AlertBook, Condition, Figure, Terms
from dragoman.emulator.bodies import num
from dragoman.emulator.desks import Desk, TableT
from dragoman.emulator.forms import FieldError, Form
from dragoman.emulator.order_desk import OrderWords
from dragoman.emulator.venue.types import VenueProtocol


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertWords:
    """How a broker's requests name the terms of an alert: a figure, an operator, and a number or another figure.

    The fields of a figure are its side (``lhs``, ``rhs``), an underscore and what is said of it: `exchange`, `symbol`,
    `attribute`, `number`, and `kind`, of the right one.

    Attributes
    ----------
    figures : mapping of str to str
        The broker's attributes of a market -> the venue's.
    counted : collection of str
        Those of the venue that are quantities.
    operators : collection of str
    ordering : str
        The type of an alert that places orders, which are the items of `basket`; others are of type `simple`.
    """

    figures: Mapping[str, str]
    counted: Collection[str]
    operators: Collection[str]
    simple: str
    ordering: str
    left: str = "lhs"
    right: str = "rhs"
    exchange: str = "exchange"
    symbol: str = "tradingsymbol"
    attribute: str = "attribute"
    number: str = "constant"
    kind: str = "type"
    other: str = "instrument"
    basket: str = "basket"

    @property
    def echoed(self) -> list[str]:
        """The fields a broker shows as they came."""
        left = [f"{self.left}_{name}" for name in (self.attribute, self.exchange, self.symbol)]
        right = (self.kind, self.attribute, self.exchange, self.symbol, self.number)
        return [*left, "operator", *(f"{self.right}_{name}" for name in right)]


class AlertDesk(Desk[TableT]):
    """Alerts of one account.

    Class attributes
    ----------------
    words : AlertWords
    order_words : OrderWords
        How the orders of an alert are read.
    refusals : mapping of exception type to tuple
        What the broker says of `LookupError`, where there is none, and `ValueError`, of terms that cannot be.
    """

    words: ClassVar[AlertWords]
    order_words: ClassVar[OrderWords]
    refusals: ClassVar[Mapping[type[Exception], tuple[Any, ...]]]

    def __init__(self, venue: VenueProtocol, names: TableT, account: str, seed: int = 1) -> None:
        super().__init__(venue, names, account, seed)
        self.book = AlertBook(venue, account, self.key)

    def key(self, number: int) -> str:
        """Return what the broker calls its alert of this number, from 1."""
        return str(number)

    def listed(self, exchange: str, symbol: str) -> Any:
        """Return the instrument whose figures are asked for, None where there is none."""
        raise TypeError(f"{type(self).__name__} does not define listed")

    def terms(self, form: Form) -> Terms:
        """Read what a request asks of an alert. Raises FieldError."""
        words, right = self.words, self.words.right
        kind = form.choice("type", (words.simple, words.ordering))
        left, named = self.figure(form, words.left)
        echoed: dict[str, Any] = {name: form.get(name) or "" for name in words.echoed} | {"type": kind}
        other: Decimal | Figure
        if form.choice(f"{right}_{words.kind}", (words.number, words.other)) == words.other:
            other, _ = self.figure(form, right)
        else:
            number = form.number(f"{right}_{words.number}")
            other = number * (named.unit if left.attribute in words.counted else 1)
            echoed[f"{right}_{words.number}"] = num(number)
        items: list[Form] = []
        if kind == words.ordering:
            items = Form(form.record(words.basket, dict)).rows(
                "items", f"Invalid `{words.basket}`. It should have items."
            )
            echoed[words.basket] = json.loads(form.text(words.basket))
        orders = tuple(self.order_words.terms(Form(item.raw("params") or {}), self.names.of(item)) for item in items)
        condition = Condition(left, form.choice("operator", words.operators), other)
        return Terms(form.text("name"), condition, orders, echoed)

    def figure(self, form: Form, side: str) -> tuple[Figure, Any]:
        """Read the figure of a side, and the instrument it is of. Raises FieldError."""
        words = self.words
        field = f"{side}_{words.symbol}"
        exchange, symbol = form.text(f"{side}_{words.exchange}"), form.text(field)
        named = self.listed(exchange, symbol)
        if named is None:
            raise FieldError(f"Invalid `{field}`. There is no {exchange}:{symbol}.")
        attribute = form.choice(f"{side}_{words.attribute}", words.figures)
        return Figure(named.instrument_id, words.figures[attribute]), named

    def find(self, key: str) -> Alert:
        """Return an alert. Raises the broker's error where there is none."""
        with self.errors.turning(self.refusals):
            return self.book.get(key)

    def act(self, method: str, key: str | None, read: Callable[[], Terms], now_ns: int) -> Alert:
        """Read (GET), make or change an alert."""
        if method == "GET":
            return self.find(key or "")
        with self.errors.turning(self.refusals):
            return self.book.save(key, read(), now_ns)

    def remove(self, keys: Iterable[str], now_ns: int) -> int:
        """Delete all that are named, or none where one is unknown; return how many."""
        found = [self.find(key) for key in keys]
        for alert in found:
            self.book.delete(alert, now_ns)
        return len(found)
