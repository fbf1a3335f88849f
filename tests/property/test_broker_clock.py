"""The native clock corrects itself by what it observes as the one that is written to be read."""

from __future__ import annotations

from email.utils import formatdate

from hypothesis import given
from hypothesis import strategies as st

from dragoman._core import OffsetClock
from dragoman.runtime.virtual import MONDAY_MORNING_NS, VirtualRuntime
from dragoman.session.brokertime import BrokerClock, http_date_ns
from reference.broker_clock import ReferenceClock

S = 1_000_000_000
DATES = st.one_of(
    st.integers(-5, 5).map(lambda seconds: MONDAY_MORNING_NS // S + seconds),
    st.integers(0, 4 * 10**9 - 2 * 10**8),
).map(lambda second: formatdate(second, usegmt=True))
SAMPLES = st.tuples(
    st.one_of(DATES, DATES, st.sampled_from([None, "", "soon", "Mon, 05 Jan 9999 03:45:00 GMT"])),
    st.integers(-5 * S, 5 * S),
    st.integers(-S, 3 * S),
)


@given(taken=st.lists(SAMPLES, max_size=40), threshold_ns=st.sampled_from([0, S, 2 * S]), kept=st.integers(1, 16))
def test_the_offset_is_the_median_of_the_last_samples_beyond_the_threshold(taken, threshold_ns, kept):
    runtime = VirtualRuntime()
    native = OffsetClock(runtime.clock.wall_ns, threshold_ns, kept, http_date_ns)
    read = native.read
    reference = ReferenceClock(threshold_ns, kept)
    for date, early, took in taken:
        sent = MONDAY_MORNING_NS + early
        native.observe(date, sent, sent + took)
        reference.observe(None if date and "9999" in date else http_date_ns(date), sent, sent + took)
        assert (native.offset_ns, native.measured_ns) == (reference.offset_ns, reference.measured_ns)
        assert read() == native.now_ns == runtime.clock.wall_ns() + reference.offset_ns


def test_the_clock_of_a_session_is_read_as_any_other_callable():
    runtime = VirtualRuntime()
    clock, other = BrokerClock(runtime.clock), BrokerClock(runtime.clock)
    date = formatdate(MONDAY_MORNING_NS // S + 3600, usegmt=True)
    for _ in range(3):
        clock.observe(date, MONDAY_MORNING_NS, MONDAY_MORNING_NS)
    over = OffsetClock(clock.read, 0, 1, http_date_ns)  # one above the other: known natively
    beside = OffsetClock(lambda: clock.now_ns, 0, 1, http_date_ns)
    assert clock.offset_ns == 3600 * S + S // 2
    assert over.read() == beside.read() == clock.read() == other.read() + clock.offset_ns
