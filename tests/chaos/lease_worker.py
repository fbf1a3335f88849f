"""A process that holds sockets of an account's key: ``python lease_worker.py PATH COUNT``.

Says ``held`` once it has them, or what it was refused with; then does nothing until its input ends or it is killed.
"""

from __future__ import annotations

import asyncio
import sys

from dragoman.errors import UsageError
from dragoman.plugin import RateLimit
from dragoman.runtime.real import RealRuntime
from dragoman.session.leases import SocketLeases
from dragoman.session.limiter import Limiter

LIMITS = (RateLimit("orders", 10, "1s"),)
MOST = 3


async def leases_at(runtime: RealRuntime, path: str) -> SocketLeases:
    limiter = Limiter(runtime, LIMITS, broker="toy")
    await limiter.share(path)
    return SocketLeases("toy", lambda: limiter.shared)


async def hold(path: str, count: int) -> None:
    runtime = RealRuntime()
    leases = await leases_at(runtime, path)
    try:
        held = [leases.take(MOST) for _ in range(count)]
    except UsageError as error:
        print(error, flush=True)
    else:
        print("held", flush=True)
        sys.stdin.read()
        for lease in held:
            lease.release()
    runtime.close()


if __name__ == "__main__":
    asyncio.run(hold(sys.argv[1], int(sys.argv[2])))
