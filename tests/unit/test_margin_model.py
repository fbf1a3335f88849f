"""What a margin says of itself."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dragoman.model import Margin, MarginUsed, Segment


@pytest.mark.parametrize(
    ("net", "used", "share"),
    [(75, 25, "0.25"), (0, 10, "1"), (10, 0, "0"), (0, 0, None), (None, 5, None), (5, None, None)],
)
def test_utilisation_is_used_over_used_and_usable_and_absent_where_it_cannot_be_said(net, used, share):
    def money(value):
        return None if value is None else Decimal(value)

    margin = Margin(segment=Segment.EQUITY, net=money(net), used=MarginUsed(total=money(used)))
    assert margin.utilisation == (None if share is None else Decimal(share))
