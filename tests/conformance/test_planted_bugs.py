"""The kit catches bugs: each planted one fails the scenario beside it, which the sound adapter passes."""

from __future__ import annotations

import pytest
from dragoman.adapters.zerodha.adapter import ZerodhaAdapter

from conformance import faulty, unsound
from dragoman.testing.conformance import run

CAUGHT_BY = {
    faulty.wrong_status_map: "orders/limit_rests",
    faulty.cancel_reported_as_reject: "orders/cancel",
    faulty.swapped_sides_read: "orders/sell_limit",
    faulty.swapped_sides_sent: "orders/limit_rests",
    faulty.lost_partial_fill: "orders/partial_fill",
    faulty.remaining_is_quantity: "orders/partial_fill",
    faulty.price_and_trigger_swapped: "orders/stop_limit",
    faulty.average_is_the_limit: "orders/marketable_limit",
    faulty.product_mixed_up: "orders/product_delivery",
    faulty.order_times_in_local_time: "orders/times",
    faulty.trade_times_in_local_time: "orders/times",
    faulty.trade_price_in_paise: "orders/partial_fill",
    faulty.tag_lost: "orders/lost_reply",
    faulty.units_for_lots: "orders/future",
    faulty.wire_id_left_out: "orders/lost_reply",
    faulty.validity_left_out: "orders/ioc",
    faulty.product_left_out: "orders/product_delivery",
    faulty.retrying_post: "orders/reset_after",
    faulty.post_marked_as_a_read: "orders/reset_after",
    faulty.modify_forgets_the_price: "orders/modify_price",
    faulty.unmapped_reject: "orders/not_enough_money",
    faulty.server_error_taken_for_a_reject: "orders/server_error",
    faulty.anything_is_a_success: "orders/cancel_too_late",
    faulty.wrong_scale: "data/ltp",
    faulty.swapped_levels: "data/book",
    faulty.high_and_low_swapped: "data/quote",
    faulty.tick_times_in_local_time: "data/exchange_time",
    faulty.tick_times_in_milliseconds: "data/exchange_time",
    faulty.missing_unsubscribe: "data/unsubscribe",
    faulty.mode_left_out: "data/full",
    faulty.quotes_one_row_off: "data/quotes",
    faulty.candle_times_in_local_time: "data/candles",
    faulty.position_sign: "orders/short_position",
    faulty.position_average_of_buys: "orders/position",
    faulty.margin_counts_used_money: "orders/margin_blocked",
    faulty.holding_without_its_parts: "orders/holdings",
    faulty.fee_ignored: "orders/charges",
    faulty.wrong_expiry_day: "session/instruments",
    faulty.lot_size_of_one: "session/instruments",
    faulty.token_in_a_log: "session/connect",
    faulty.token_in_an_event: "orders/limit_rests",
    faulty.token_in_an_error: "orders/not_enough_money",
}


UNSOUND = {
    unsound.error_taken_for_a_reject: "orders/never_arrived_500",
    unsound.sent_again_after_an_error: "orders/doubt_504",
    unsound.no_fence: "orders/fence",
    unsound.names_are_not_looked_up: "orders/name_twice",
    unsound.other_terms_are_not_seen: "orders/name_other_terms",
    unsound.absence_is_proof_at_once: "orders/never_arrived",
    unsound.nobody_looks: "orders/never_arrived_reset",
    unsound.lost_is_forgotten: "orders/late_kept",
    unsound.late_is_never_cancelled: "orders/late_canceled",
    unsound.changes_in_doubt_are_believed: "orders/cancel_lost",
    unsound.fills_are_not_told_apart: "orders/restart_twice",
    unsound.sent_before_it_is_durable: "orders/restart_never_arrived",
    unsound.sent_though_the_disk_failed: "orders/disk_fails",
    unsound.cancels_wait_for_the_disk: "orders/disk_fails",
    unsound.restart_forgets_intents: "orders/name_after_restart",
    unsound.restart_forgets_changes: "orders/restart_changing",
    unsound.restart_forgets_what_was_lost: "orders/late_after_restart",
    unsound.two_writers: "orders/second_client_reads",
    unsound.never_stale: "session/outage_nothing_placed",
    unsound.no_audit: "session/audit",
    unsound.no_backoff: "session/outage_minutes",
    unsound.other_logins_are_not_found: "session/relogin_elsewhere",
}


@pytest.mark.logs  # an unsound library may warn of itself
@pytest.mark.parametrize("bug", UNSOUND, ids=lambda bug: bug.__name__)
def test_the_kit_catches_it_in_the_library(bug, monkeypatch, record_property):
    bug(monkeypatch)
    result = run(ZerodhaAdapter(), UNSOUND[bug])
    assert result.status == "failed", f"{UNSOUND[bug]} did not notice"
    record_property("caught by", str(result))


@pytest.mark.logs  # a faulty adapter may be warned of
@pytest.mark.parametrize("bug", CAUGHT_BY, ids=lambda bug: bug.__name__)
def test_the_kit_catches(bug, record_property):
    result = run(bug(), CAUGHT_BY[bug])
    assert result.status == "failed", f"{CAUGHT_BY[bug]} did not notice"
    record_property("caught by", str(result))


@pytest.mark.logs  # scenarios provoke what is to be warned of
@pytest.mark.parametrize("scenario", sorted({*CAUGHT_BY.values(), *UNSOUND.values()}))
def test_the_sound_adapter_passes_what_catches_them(scenario):
    assert run(ZerodhaAdapter(), scenario).ok
