from __future__ import annotations

import gc
import sys
from dataclasses import FrozenInstanceError, dataclass, replace
from decimal import Decimal

import pytest

from dragoman._core import copied
from dragoman.model import Order, OrderStatus, Side
from dragoman.plugin import Request

ORDER = Order(instrument_id="NSE:INFY", side=Side.BUY, quantity=Decimal(3), tags=("a",), raw={"a": 1})


@dataclass(frozen=True, slots=True)
class Checked:
    size: int = 1

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(self.size)


@dataclass(frozen=True)
class Loose:
    size: int = 1


def test_a_copy_is_what_replace_makes() -> None:
    changes = {"status": OrderStatus.OPEN, "price": Decimal("1.5"), "order_ids": ("1", "2")}
    ours, theirs = copied(ORDER, **changes), replace(ORDER, **changes)
    assert type(ours) is Order
    assert ours == theirs
    assert ours.raw is ORDER.raw  # not part of the comparison
    assert ORDER.price is None
    with pytest.raises(FrozenInstanceError):
        ours.price = Decimal(2)  # type: ignore[misc]


def test_a_copy_without_changes_is_another_object_that_is_equal() -> None:
    request = Request(path="/orders", form=(("a", "b"),))
    same = copied(request)
    assert same is not request
    assert same == request


def test_a_change_of_no_field_is_refused() -> None:
    with pytest.raises(TypeError, match="Order has no field 'prise'"):
        copied(ORDER, prise=1)
    with pytest.raises(TypeError, match="one value"):
        copied(ORDER, ORDER)  # type: ignore[call-arg]


@pytest.mark.parametrize("value", [3, Checked(), Loose(), Checked], ids=["int", "post init", "dict", "class"])
def test_a_value_whose_copy_would_differ_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="cannot be copied"):
        copied(value)


def test_copies_hold_and_let_go_of_their_fields() -> None:
    mark = ["mark"]
    before = sys.getrefcount(mark)
    copies = [copied(ORDER, raw=mark) for _ in range(100)]
    copies = [copied(one, raw=mark) for one in copies]
    assert sys.getrefcount(mark) == before + 100
    with pytest.raises(TypeError):
        copied(copies[0], prise=1)
    del copies
    assert sys.getrefcount(mark) == before


def test_cycles_through_a_copy_are_collected() -> None:
    class Mark:
        pass

    import weakref

    mark = Mark()
    gone = weakref.ref(mark)
    mark.order = copied(ORDER, raw=mark)  # type: ignore[attr-defined]
    del mark
    gc.collect()
    assert gone() is None
