"""What stands where text belongs is shown in part, with a remedy that fits it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dragoman.checks.inputs import identifier, text
from dragoman.errors import UsageError
from dragoman.model import Order, Side


@pytest.mark.parametrize("value", [5, 1.5, None, Decimal(7)])
def test_a_plain_value_is_to_be_written_in_quotes(value):
    with pytest.raises(UsageError) as caught:
        text("tag", value)
    assert str(caught.value).endswith("(write it in quotes: tag='...')")


@pytest.mark.parametrize("read", [text, identifier])
def test_an_object_is_shown_in_part_and_its_name_is_asked_for(read):
    order = Order(instrument_id="NSE:INFY", side=Side.BUY, quantity=Decimal(1))
    with pytest.raises(UsageError) as caught:
        read("entry", [order])
    said = str(caught.value)
    assert said.startswith("entry [Order(instrument_id='NSE:INFY'")
    assert said.endswith("(give text: its name or its id)")
    assert len(said) < 200
