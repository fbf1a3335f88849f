"""Latency histograms against the sorted list of what was recorded."""

from __future__ import annotations

import math
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import Histogram, record_spans

LARGEST = 2**42 - 1
values = st.lists(
    st.one_of(st.integers(0, 1000), st.integers(0, LARGEST), st.integers(0, 41).map(lambda bits: 1 << bits)), min_size=1
)
shares = st.one_of(st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0]), st.floats(0, 1))


def recorded(numbers):
    histogram = Histogram()
    for number in numbers:
        histogram.record(number)
    return histogram


@given(values, shares)
def test_every_quantile_is_within_a_hundredth_of_the_exact_one(numbers, share):
    exact = sorted(numbers)[max(1, math.ceil(share * len(numbers))) - 1]
    found = recorded(numbers).quantile(share)
    assert abs(found - exact) <= exact / 100
    assert min(numbers) <= found <= max(numbers)


@given(values)
def test_count_total_and_extremes_are_exact(numbers):
    histogram = recorded(numbers)
    assert (histogram.count, histogram.total) == (len(numbers), sum(numbers))
    assert (histogram.minimum, histogram.maximum) == (min(numbers), max(numbers))
    assert len(histogram) == len(numbers)


@given(values, values, shares)
def test_merging_equals_recording_everything_in_one(first, second, share):
    merged = recorded(first)
    merged.merge(recorded(second))
    whole = recorded(first + second)
    assert merged.quantile(share) == whole.quantile(share)
    assert (merged.count, merged.total, merged.maximum) == (whole.count, whole.total, whole.maximum)


@given(values, st.lists(st.integers(0, LARGEST), unique=True, max_size=20).map(sorted))
def test_cumulative_counts_are_exact_up_to_a_hundredth_of_the_bound(numbers, bounds):
    found = recorded(numbers).cumulative(bounds)
    assert found == sorted(found)
    for bound, count in zip(bounds, found, strict=True):
        assert sum(n <= bound * 0.99 for n in numbers) <= count <= sum(n <= bound for n in numbers)


def test_a_reset_histogram_is_empty():
    histogram = recorded([1, 2, -3])
    assert histogram.rejected == 1
    histogram.reset()
    assert (histogram.count, histogram.rejected, histogram.quantile(0.5)) == (0, 0, None)


def test_what_is_too_large_counts_as_the_largest_and_what_is_no_number_is_refused():
    histogram = recorded([10**30, -(10**30)])
    assert (histogram.maximum, histogram.count, histogram.rejected) == (LARGEST, 1, 1)
    with pytest.raises(TypeError):
        histogram.record(1.5)
    with pytest.raises(ValueError, match="from 0 to 1"):
        histogram.quantile(99)
    with pytest.raises(ValueError, match="rising"):
        histogram.cumulative([2, 1])
    with pytest.raises(TypeError, match="expected a Histogram"):
        histogram.merge([1])


def test_memory_is_fixed_and_recording_allocates_nothing():
    histogram, numbers = Histogram(), list(range(0, 10**9, 10**5))
    record, size = histogram.record, histogram.nbytes
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for number in numbers:
            record(number)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak - before < 1000  # the loop's own two or three values, not ten thousand
    assert histogram.nbytes == size < 40_000


@given(st.lists(st.tuples(st.integers(-(2**62), 2**62), st.integers(-(2**62), 2**62)), max_size=4))
def test_spans_are_recorded_as_their_lengths(spans):
    together = tuple(Histogram() for _ in spans)
    record_spans(together, *(at for span in spans for at in span))
    for histogram, (begun, ended) in zip(together, spans, strict=True):
        assert str(histogram) == str(recorded([ended - begun]))
        assert (histogram.count, histogram.rejected) == ((1, 0) if ended >= begun else (0, 1))


def test_spans_need_a_histogram_and_two_times_each():
    with pytest.raises(TypeError, match="two times for each"):
        record_spans((Histogram(),), 1)
    with pytest.raises(TypeError, match="expected a Histogram"):
        record_spans((None,), 1, 2)  # type: ignore[arg-type]
    with pytest.raises(OverflowError):
        record_spans((Histogram(),), 1, 2**70)
