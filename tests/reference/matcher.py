"""A limit order book that only sorts a list: the oracle for price-time priority."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Waiting:
    number: int  # order of arrival
    sign: int
    price: int
    quantity: int


class ListBook:
    def __init__(self) -> None:
        self.waiting: list[Waiting] = []
        self.arrivals = 0

    def add(self, sign: int, price: int | None, quantity: int) -> tuple[list[tuple[int, int, int]], int]:
        """Trade, then wait; return ([(number hit, price, quantity)], own number or 0)."""
        hits = []
        while quantity:
            others = [w for w in self.waiting if w.sign == -sign and (price is None or sign * w.price <= sign * price)]
            if not others:
                break
            first = min(others, key=lambda w: (sign * w.price, w.number))
            traded = min(quantity, first.quantity)
            first.quantity -= traded
            quantity -= traded
            hits.append((first.number, first.price, traded))
            if not first.quantity:
                self.waiting.remove(first)
        if not quantity or price is None:
            return hits, 0
        self.arrivals += 1
        self.waiting.append(Waiting(self.arrivals, sign, price, quantity))
        return hits, self.arrivals

    def remove(self, number: int) -> None:
        self.waiting = [w for w in self.waiting if w.number != number]

    def side(self, sign: int) -> list[tuple[int, int]]:
        prices = sorted({w.price for w in self.waiting if w.sign == sign}, key=lambda price: -sign * price)
        return [
            (price, sum(w.quantity for w in self.waiting if (w.sign, w.price) == (sign, price))) for price in prices
        ]
