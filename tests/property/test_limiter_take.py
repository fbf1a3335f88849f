"""Taking at once is what looking closer does, whatever was taken, given back, learnt and awaited before."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from dragoman.errors import DragomanError
from dragoman.plugin import Lane, RateLimit, Reply, Request, Scope, Window
from dragoman.runtime.virtual import MONDAY_MORNING_NS, VirtualRuntime
from dragoman.session.brokertime import BrokerClock
from dragoman.session.limiter import Limiter

S = 1_000_000_000
ALMOST_MIDNIGHT_NS = MONDAY_MORNING_NS + 14 * 3600 * S + 44 * 60 * S  # 23:59 in India
LIMITS = (
    RateLimit("orders", 4, "1s", window=Window.ROLLING, reserve=1),
    RateLimit("orders", 6, "1d", window=Window.CALENDAR, reserve=1),
    RateLimit("orders", 2, scope=Scope.ORDER),
    RateLimit("reads", 2, "1s", window=Window.BUCKET),
)
REQUESTS = st.builds(
    Request,
    meter=st.sampled_from(["orders"] * 5 + ["reads", "default", "unknown"]),
    cost=st.sampled_from([1, 1, 1, 2, 5]),
    lane=st.sampled_from(Lane),
    limit_key=st.sampled_from([None] * 5 + ["7"]),
)
STEPS = st.lists(
    st.one_of(
        REQUESTS,
        REQUESTS,
        st.sampled_from([0.1, 1.3, 1.3, 60.0, 1800.0]),
        st.sampled_from(["refund", "learn", "wait"]),
    ),
    min_size=10,
    max_size=60,
)


class Side:
    """A limiter that takes in its own way, and what it said."""

    def __init__(self, runtime, take):
        clock = BrokerClock(runtime.clock)
        self.runtime, self.how = runtime, take
        self.limiter = Limiter(runtime, LIMITS, broker="toy", time_zone="Asia/Kolkata", wall_ns=clock.read)
        self.grants, self.waiting, self.said = [], [], []

    async def acquire(self, request):
        try:
            self.grants.append(await self.limiter.acquire(request, self.runtime.clock.mono_ns() + 3 * S))
            self.said.append(("served", self.runtime.clock.mono_ns()))
        except DragomanError as error:
            self.said.append(str(error))

    def take(self, request):
        try:
            grant = self.how(self.limiter, request)
        except DragomanError as error:
            self.said.append(str(error))
            return
        self.said.append(grant and (grant.plan, grant.lane, grant.orders, grant.mono_ns, grant.native is None))
        if grant is not None:
            self.grants.append(grant)

    def step(self, step):
        if isinstance(step, Request):
            self.take(step)
        elif step == "refund" and self.grants:
            self.limiter.refund(self.grants.pop())
        elif step == "learn":
            self.limiter.learn(Request(meter="orders"), Reply(429, {"retry-after": "2"}, b""))
        elif step == "wait":
            self.waiting.append(self.runtime.spawn(self.acquire(Request(meter="orders", cost=3)), name="waits"))
        self.said.append(self.limiter.state())


@given(steps=STEPS)
def test_taking_at_once_is_taking_closer(steps):
    with VirtualRuntime(start_wall_ns=ALMOST_MIDNIGHT_NS) as runtime:
        sides = Side(runtime, Limiter.take), Side(runtime, Limiter.take_closer)

        async def main():
            for step in steps:
                if isinstance(step, float):
                    await runtime.sleep(step)
                for side in sides:
                    side.step(step)
                await runtime.sleep(0.0)
            await runtime.sleep(10.0)
            for side in sides:
                side.step(None)
                for task in side.waiting:
                    await task

        runtime.run(main())
        assert sides[0].said == sides[1].said
