"""A hundred clients of one broker lose it together: they neither storm it while it is away nor when it is back."""

from __future__ import annotations

from collections import Counter
from contextlib import AsyncExitStack

from dragoman.emulator.host import EmulatorHost
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.profiles import load_profile
from dragoman.session.session import AccountSession
from reference.session_toys import TOKEN, ToyAdapter, ToyBroker, ToyFeed
from simulation.trials import NS

CLIENTS = 100
OUTAGE_S = 600
PER_SECOND = 0.15


class Gatekeeper(EmulatorHost):
    """Turns connections away while it is `away`, and writes down when somebody knocked."""

    away = False

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.knocks = []

    def connected(self, connection):
        super().connected(connection)
        if self.away:
            self.knocks.append(self.mono_ns() // NS)
            connection.abort()


async def crowd(runtime):
    """Return every knock during an outage, by second, and how long each client took to come back."""
    host = Gatekeeper(ToyBroker(), runtime, poll_interval_s=1.0)
    roots = await host.start()
    adapter = ToyAdapter()
    adapter.feeds = (ToyFeed,)
    overrides = {
        "hosts": {"rest": roots.rest, "ws": roots.ws, "login": roots.login},
        "credentials": host.emulator.credentials,
    }
    profile = await load_profile(runtime, adapter, environment="emulator", overrides=overrides)
    streams = []
    async with AsyncExitStack() as stack:
        stack.push_async_callback(host.close)
        for number in range(CLIENTS):
            session = AccountSession(runtime, adapter, profile, state_dir=f"/state/{number}", access_token=TOKEN)
            stack.push_async_callback(session.close)
            await session.start()
            stream = session.stream("market", lambda batch: None, lambda event: None)
            await stream.start()
            streams.append(stream)
        await runtime.sleep(70)
        host.away = True
        began = runtime.clock.mono_ns() // NS
        for link in runtime.net.links:
            if link.open:
                link.reset()
        await runtime.sleep(OUTAGE_S)
        host.away = False
        ended = runtime.clock.mono_ns()
        back = []
        while len(back) < CLIENTS:
            await runtime.sleep(0.1)
            ready = sum(stream.ready for stream in streams)
            back += [(runtime.clock.mono_ns() - ended) / NS] * (ready - len(back))
        return Counter(second - began for second in host.knocks), back


def test_a_hundred_clients_that_lose_their_broker_together_do_not_storm_it():
    with VirtualRuntime(seed=23) as runtime:
        knocks, back = runtime.run(crowd(runtime))
    total, most = sum(knocks.values()), max(knocks.values())
    worst_back = max(Counter(int(seconds) for seconds in back).values())
    print(
        f"\n{CLIENTS} clients, {OUTAGE_S} s: {total} tries, at most {most} in a second ({most / total:.1%});", end=" "
    )
    print(f"then at most {worst_back} came back in one second, the last after {max(back):.0f} s")
    assert total <= 40 * CLIENTS
    assert most <= PER_SECOND * total
    assert worst_back <= PER_SECOND * CLIENTS
    assert max(back) <= 46
