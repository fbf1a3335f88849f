"""Plain recordings: instruments found in the messages, books bridged to fetched snapshots, gaps seen and healed."""

from __future__ import annotations

import pytest
from dragoman.adapters.binance.adapter import BinanceAdapter

from dragoman.errors import DecodeError, UsageError
from dragoman.testing.recording import read_recording
from dragoman.testing.replay import at_path, replay

URL = "https://example.invalid/fapi/v1/depth?symbol=ABCUSDT&limit=1000"


def delta(at: float, first: int, last: int, before: int, bid: str = "10.0", quantity: str = "1") -> str:
    row = (
        f'{{"e":"depthUpdate","E":1,"T":1,"s":"ABCUSDT","U":{first},"u":{last},"pu":{before},'
        f'"b":[["{bid}","{quantity}"]],"a":[]}}'
    )
    return f'{at}: {{"stream":"abcusdt@depth","data":{row}}}'


def snapshot(at: float, last: int) -> str:
    body = f'{{"lastUpdateId":{last},"E":1,"T":1,"bids":[["9.5","2"]],"asks":[["11.0","3"]]}}'
    return f"{URL} -> {at}: {body}"


def played(lines: list[str], http: list[str]):
    recording = read_recording("\n".join(lines).encode(), "lines", "\n".join(http).encode())
    return replay(BinanceAdapter(), recording, feed="usdm-depth")


STEADY = [delta(1.0, 1, 5, 0), delta(2.0, 6, 8, 5), delta(3.0, 9, 9, 8, "10.5"), delta(4.0, 10, 12, 9, "10.6")]


def test_a_book_starts_from_the_snapshot_that_came_and_the_deltas_that_follow_it():
    found = played(["wss://example.invalid/stream <-> 0.5", *STEADY], [snapshot(1.5, 7)])
    assert (found.frames, found.ticks, found.gaps, found.snapshots) == (4, 4, 0, 1)
    (top,) = found.tops
    assert top.instrument_id == "BINANCE:ABCUSDT"
    assert (top.bid_price, top.bid_quantity, top.ask_price, top.ask_quantity) == (10.6, 1.0, 11.0, 3.0)
    assert not top.stale


def test_a_dropped_line_is_a_gap_and_a_later_snapshot_heals_it():
    lost = [STEADY[0], STEADY[1], STEADY[3]]
    broken = played(lost, [snapshot(1.5, 7)])
    assert (broken.gaps, broken.tops[0].stale) == (1, True)
    lines = [*lost, delta(5.0, 13, 13, 12, "10.7")]
    healed = played(lines, [snapshot(1.5, 7), snapshot(4.5, 12)])
    assert (healed.gaps, healed.snapshots, healed.tops[0].stale) == (1, 2, False)
    assert healed.tops[0].bid_price == 10.7


def test_a_repeated_line_changes_nothing():
    once, twice = (played(lines, [snapshot(1.5, 7)]) for lines in (STEADY, [*STEADY[:3], *STEADY[2:]]))
    assert twice.tops == once.tops
    assert (twice.gaps, twice.duplicates) == (0, once.duplicates + 1)


def test_without_its_snapshot_a_book_stays_stale():
    found = played(STEADY, [])
    assert found.snapshots == 0
    assert found.tops == []
    assert found.held == 4


def test_what_is_no_data_is_counted_and_hurts_nothing():
    found = played([*STEADY, '5.0: {"result":null,"id":1}', "6.0: {broken"], [snapshot(1.5, 7)])
    assert (found.ticks, found.control, found.errors) == (4, 1, 1)


def test_a_clock_gives_the_time_for_each_message():
    recording = read_recording("\n".join(STEADY).encode(), "lines", snapshot(1.5, 7).encode())
    ticking = iter(range(0, 10_000, 100))
    assert replay(BinanceAdapter(), recording, feed="usdm-depth", mono_ns=lambda: next(ticking)).ns_per_message > 0


def test_a_recording_that_no_stream_reads_names_the_streams():
    recording = read_recording(b"1.0: {}\n", "lines")
    with pytest.raises(UsageError, match="no stream of binance reads this recording") as caught:
        replay(BinanceAdapter(), recording)
    assert "usdm-depth" in str(caught.value)


@pytest.mark.parametrize("line", ["no colon", "yesterday: {}", "1e400000: {}"])
def test_a_line_that_cannot_be_read_names_file_and_number(line):
    with pytest.raises(DecodeError, match="lines, line 2"):
        read_recording(f"1.0: {{}}\n{line}\n".encode(), "lines")


def test_paths_go_through_keys_and_positions():
    value = {"a": [{"b": 1}, {"b": 2}]}
    assert (at_path(value, "a.1.b"), at_path(value, "a.-1.b"), at_path(value, "a.7.b")) == (2, 2, None)


def test_recorded_futures_have_no_gap_and_no_crossed_book(real_data):
    folder = real_data / "recordings"
    ws, http = ((folder / name).read_bytes() for name in ("BINANCE_FUTURES.ws.1.0", "BINANCE_FUTURES.http.0.0"))
    found = replay(BinanceAdapter(), read_recording(ws, "ws", http))
    assert found.feed == "usdm-depth" or found.feed == "spot"
    found = replay(BinanceAdapter(), read_recording(ws, "ws", http), feed="usdm-depth")
    assert (found.gaps, found.crossed, found.errors, found.snapshots) == (0, 0, 0, 4)
    assert len(found.tops) == 4
    assert not any(top.stale for top in found.tops)
