"""Balances beside positions that are such."""

from __future__ import annotations

from decimal import Decimal

from dragoman.model import Balance, LivePosition, Product
from dragoman.portfolio import Discrepancy
from dragoman.portfolio.in_kind import assets_of
from dragoman.portfolio.wallets import Wallets

D = Decimal
BTC, BTC_EUR, ETH, PERP = "XC:BTC/USDT", "XC:BTC/EUR", "XC:ETH/USDT", "XC:BTC/USDT=PERP"


def row(name: str, quantity: str, product: Product = Product.CASH) -> LivePosition:
    return LivePosition(instrument_id=name, product=product, quantity=D(quantity))


def owned(**totals: str) -> list[Balance]:
    return [Balance(asset=asset, total=D(total), free=D(total)) for asset, total in totals.items()]


def begun(balances, rows) -> Wallets:
    wallets = Wallets()
    assert not wallets.begun
    wallets.begin(balances, rows)
    assert wallets.begun
    return wallets


def test_only_pairs_have_a_base_and_a_quote_asset():
    assert assets_of(BTC) == ("BTC", "USDT")
    assert [assets_of(name) for name in (PERP, "NSE:INFY", "XC:BTC", "no id at all")] == [None] * 4


def test_a_wallet_that_grew_by_what_was_bought_is_no_difference():
    wallets = begun(owned(BTC="2", USDT="1000"), [])
    seen = wallets.look(owned(BTC="2.999", ETH="3", USDT="1"), [row(BTC, "0.999"), row(PERP, "7", Product.MARGIN)])
    assert (seen.differing, seen.short) == ((), {})
    assert wallets.look(owned(BTC="2.999", ETH="3"), [row(BTC, "0.999"), row(ETH, "3")]).differing == ()


def test_what_was_held_when_balances_were_read_first_counts_once():
    wallets = begun(owned(BTC="2.999"), [row(BTC, "0.999")])
    assert wallets.look(owned(BTC="2"), [row(BTC, "0")]).differing == ()


def test_a_commission_nobody_counted_is_told_with_both_sides_and_bounds_what_can_be_sold():
    wallets = begun(owned(USDT="1000"), [])
    seen = wallets.look(owned(BTC="0.999"), [row(BTC, "1")])
    assert seen.differing == (Discrepancy(BTC, Product.CASH, "NET", "quantity", D(1), D("0.999")),)
    assert seen.short == {(BTC, Product.CASH, "NET"): D("-0.001")}


def test_a_withdrawal_is_told_and_bounds_nothing_while_there_are_more_coins_than_were_bought():
    wallets = begun(owned(BTC="5"), [])
    seen = wallets.look(owned(BTC="3.5"), [row(BTC, "1")])
    assert [(one.ours, one.broker) for one in seen.differing] == [(1, D("-1.5"))]
    assert seen.short == {}


def test_two_pairs_of_one_coin_share_its_balance():
    wallets = begun(owned(BTC="1"), [])
    assert wallets.look(owned(BTC="1.5"), [row(BTC, "2"), row(BTC_EUR, "-1.5")]).differing == ()
    (one,) = wallets.look(owned(BTC="1.4"), [row(BTC, "2"), row(BTC_EUR, "-1.5")]).differing
    assert (one.instrument_id, one.ours, one.broker) == (BTC, 2, D("1.9"))


def test_the_last_digit_of_a_rounded_balance_is_no_difference():
    wallets = begun(owned(BTC="1"), [])
    assert wallets.look(owned(BTC="1.33333333"), [row(BTC, "0.333333334")]).differing == ()
