"""An account's money as emulators tell it."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dragoman.emulator.venue.types import VenueFunds
from dragoman.emulator.views import FundsView
from dragoman.model import Segment

D = Decimal


def money(**more) -> FundsView:
    terms = {"segment": Segment.EQUITY, "opening": D(1000), "collateral_cash": D(100), "collateral_pledged": D(300)}
    return FundsView(VenueFunds(**terms | more))


@pytest.mark.parametrize(
    ("tied", "pledged", "liquid"),
    [
        ({}, 0, 0),
        ({"used": D(200)}, 200, 0),
        ({"used": D(250), "blocked": D(90)}, 300, 40),
        ({"used": D(900)}, 300, 100),
        ({"used": D(350), "used_premium": D(100), "used_delivery": D(200)}, 50, 0),  # paid in cash
    ],
)
def test_pledged_securities_stand_for_margin_first_and_liquid_funds_for_the_rest(tied, pledged, liquid):
    found = money(**tied)
    assert (found.tied_pledged, found.tied_collateral_cash) == (pledged, liquid)
    assert found.tied_pledged + found.tied_collateral_cash <= found.tied
