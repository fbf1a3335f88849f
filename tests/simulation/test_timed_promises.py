"""What is promised in seconds, measured on the virtual clock at every broker's emulator. `-s` prints the figures."""

from __future__ import annotations

import pytest

from dragoman.runtime.virtual import MONDAY_MORNING_NS
from simulation.trials import BROKERS, NS, at, share

each = pytest.mark.parametrize("broker", BROKERS)
CUTS = 60
"""At each of the five: 300 together."""
SATURDAY_NS = MONDAY_MORNING_NS + (5 * 86_400 - 2 * 3600) * NS
"""07:15 in India, when the session of the day before is over everywhere; 20:45 of Friday in New York."""


@each
def test_an_outage_of_ten_minutes_costs_at_most_forty_connects_a_socket(broker):
    async def scenario(trial):
        before = {name: stream.counters["connects"] for name, stream in trial.client.streams.items()}
        await trial.stage.host.close()
        await trial.runtime.sleep(600)
        tried = {name: stream.counters["connects"] - before[name] for name, stream in trial.client.streams.items()}
        await trial.stage.host.start()
        return tried, await trial.seconds_until(trial.whole)

    tried, seconds = at(broker, scenario)
    print(f"\n{broker}: {tried} connects in 600 s, whole again {seconds:.1f} s after the broker was")
    assert max(tried.values()) <= 40
    assert max(tried.values()) >= 5
    assert seconds <= 50


@each
@pytest.mark.slow
def test_after_a_cut_all_is_connected_and_read_again_within_a_second_and_always_within_three(broker):
    async def scenario(trial):
        await trial.rest("mine")
        took = []
        for _ in range(CUTS):
            await trial.runtime.sleep(trial.runtime.random.uniform(61, 90))  # longer than a life that counts as healthy
            for link in trial.runtime.net.links:
                if link.open:
                    link.reset()
            await trial.seconds_until(lambda: not trial.whole())
            took.append(await trial.seconds_until(trial.whole))
        return took

    took = at(broker, scenario, seed=11)
    print(f"\n{broker}: {CUTS} cuts, p50 {share(took, 0.5):.2f} s, p99 {share(took, 0.99):.2f} s")
    assert share(took, 0.5) <= 1
    assert share(took, 0.99) <= 3


@each
@pytest.mark.slow
def test_a_single_lost_fill_is_found_within_thirty_seconds(broker):
    async def scenario(trial):
        took = []
        for number in range(8):
            order = await trial.rest(f"mine-{number}")
            await trial.runtime.sleep(trial.runtime.random.uniform(3, 15))
            trial.stage.fault("drop_frames")
            trial.fill(order)
            await trial.runtime.sleep(0.5)
            trial.stage.host.faults.clear()
            took.append(0.5 + await trial.seconds_until(lambda: not trial.client.orders_service.store.open))
            await trial.runtime.sleep(61)
        return took, trial.client.counters()["audit"]["missed"]

    took, missed = at(broker, scenario, seed=13)
    print(f"\n{broker}: a lost fill was found after {min(took):.1f} to {max(took):.1f} s; {missed} noticed as missed")
    assert max(took) <= 30


@each
@pytest.mark.slow
def test_a_dead_order_stream_is_found_within_ten_seconds(broker):
    """Connected, and silent in both directions: nothing is answered, not even a ping."""

    async def scenario(trial):
        took = []
        for _ in range(8):
            await trial.runtime.sleep(trial.runtime.random.uniform(61, 75))
            links = [link for link in trial.runtime.net.links if link.open]
            for link in links:
                link.vanish()
            took.append(await trial.seconds_until(lambda: trial.client.orders_service.stale))
            for link in links:
                link.reset()  # or the broker would count its own ends as open sockets
            await trial.seconds_until(trial.whole)
        return took

    took = at(broker, scenario, seed=17)
    print(f"\n{broker}: a dead order stream was found after {min(took):.1f} to {max(took):.1f} s")
    assert max(took) <= 10


@each
@pytest.mark.slow
def test_an_order_stream_that_answers_pings_and_tells_nothing_is_found_within_ten_seconds(broker):
    """Counted from the first report that it withholds."""

    async def scenario(trial):
        took = []
        for number in range(6):
            order = await trial.rest(f"mine-{number}")
            await trial.runtime.sleep(trial.runtime.random.uniform(61, 75))
            trial.stage.fault("mute_socket")
            await trial.runtime.sleep(trial.runtime.random.uniform(0, 3))
            if trial.client.orders_service.stale:  # found by its own heartbeat, before there was anything to tell
                took.append(0.0)
            else:
                trial.fill(order)
                took.append(await trial.seconds_until(lambda: trial.client.orders_service.stale))
            trial.stage.host.faults.clear()
            await trial.seconds_until(trial.whole)
        return took

    took = at(broker, scenario, seed=19)
    print(f"\n{broker}: a mute order stream was found {min(took):.1f} to {max(took):.1f} s after what it left out")
    assert max(took) <= 10


@each
@pytest.mark.slow
def test_sixteen_closed_hours_trip_nothing(broker):
    async def scenario(trial):
        await trial.runtime.sleep(16 * 3600)
        return trial.counted("gaps"), trial.counted("connects"), trial.whole()

    gaps, connects, whole = at(broker, scenario, start_wall_ns=SATURDAY_NS, poll_interval_s=2.0)
    assert whole
    assert gaps == 0
    assert connects <= 3, "one a stream"
