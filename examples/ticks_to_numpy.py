"""Collect streamed ticks as one NumPy array, without making a Python object per tick.

Run it with how many seconds to collect::

    python examples/ticks_to_numpy.py 5
"""

from __future__ import annotations

import asyncio
import sys

import numpy as np
import numpy.typing as npt
from emulated import connected

from dragoman._core import RECORD_DTYPE, Batch, instrument_name
from dragoman.model import InstrumentType


async def collect(seconds: float, served: str | None = None) -> npt.NDArray[np.void]:
    """Return every record of fifty shares, in order of arrival."""
    kept: list[npt.NDArray[np.void]] = []

    def keep(batch: Batch) -> None:
        # `records` is a view of the decoder's own memory; a copy is one memcpy for the whole frame.
        kept.append(batch.records.copy())

    async with connected("zerodha", served) as client:
        shares = [i for i in client.instruments if i.tradable and i.instrument_type is InstrumentType.SPOT][:50]
        stop = client.on_batch(keep)
        client.subscribe(shares, "quote")
        await asyncio.sleep(seconds)
        stop()
    return np.concatenate(kept) if kept else np.empty(0, RECORD_DTYPE)


def summary(ticks: npt.NDArray[np.void]) -> dict[str, tuple[int, float, float]]:
    """Return, by canonical id: number of ticks, last price, and its change over the span in percent."""
    found = {}
    for handle in np.unique(ticks["instrument"]):
        prices = ticks["last_price"][ticks["instrument"] == handle]
        change = (prices[-1] / prices[0] - 1) * 100
        found[instrument_name(int(handle))] = (len(prices), float(prices[-1]), float(change))
    return found


async def main(seconds: float = 5.0, served: str | None = None) -> dict[str, tuple[int, float, float]]:
    rows = summary(await collect(seconds, served))
    for name, (count, price, change) in sorted(rows.items(), key=lambda row: -abs(row[1][2])):
        print(f"{name:<20} {count:>5} ticks  {price:>10.2f}  {change:+.3f} %")
    return rows


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if sys.argv[1:] else 5.0, *sys.argv[2:3]))
