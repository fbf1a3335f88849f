"""A process that opens the journal in the folder it is given, commits, says what is durable, and waits to be killed."""

from __future__ import annotations

import asyncio
import sys

from dragoman.orders.journal import Journal, Kind
from dragoman.runtime.real import RealRuntime


async def main(folder: str, account: str) -> None:
    journal = await Journal.open(
        RealRuntime(), folder, broker="examplebroker", environment="emulator", account=account, chunk_size=8192
    )
    print("open", journal.epoch, flush=True)
    number = 0
    while True:
        number += 1
        journal.append(Kind.STREAM, {"s": number})
        done = journal.commit(Kind.INTENT, {"epoch": journal.epoch, "n": number})
        if done is not None:
            await done
        print(number, flush=True)


asyncio.run(main(sys.argv[1], sys.argv[2]))
