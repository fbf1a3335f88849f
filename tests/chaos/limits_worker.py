"""One of several processes that spend one account's limits: ``python limits_worker.py PATH SECONDS SEED``.

Says ``ready``, and is told on its input when to start, in monotonic ns. Then it prints, for each request it was
granted: when it was (monotonic ns), its lane, and how long it had waited.
"""

from __future__ import annotations

import asyncio
import random
import sys

from dragoman.plugin import Lane, RateLimit, Request, Window
from dragoman.runtime.real import RealRuntime
from dragoman.session.limiter import Limiter

S = 10**9
LIMITS = (RateLimit("orders", 10, "1s", window=Window.CALENDAR, reserve=1),)
ORDER, CANCEL = Request(meter="orders"), Request(meter="orders", lane=Lane.RISK)


async def work(path: str, seconds: float, seed: int) -> None:
    chance = random.Random(seed)
    runtime = RealRuntime()
    mono_ns = runtime.clock.mono_ns
    skew_ns = chance.randint(-S, S)
    limiter = Limiter(runtime, LIMITS, broker="toy", wall_ns=lambda: runtime.clock.wall_ns() + skew_ns)
    await limiter.share(path)
    print("ready", flush=True)
    start_ns = int(sys.stdin.readline())
    end_ns = start_ns + int(seconds * S)
    await runtime.sleep(max(0.0, (start_ns - mono_ns()) / S))
    lines: list[str] = []

    async def one(request: Request) -> None:
        came = mono_ns()
        grant = await limiter.acquire(request, end_ns + 10 * S)
        lines.append(f"{grant.mono_ns} {int(request.lane)} {grant.mono_ns - came}")

    async def orders() -> None:
        while mono_ns() < end_ns:
            await one(ORDER)

    async def cancels() -> None:
        while mono_ns() < end_ns:
            await runtime.sleep(chance.expovariate(0.6))
            await one(CANCEL)

    await asyncio.gather(orders(), orders(), cancels())
    runtime.close()
    print(*lines, sep="\n")


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], float(sys.argv[2]), int(sys.argv[3])))
