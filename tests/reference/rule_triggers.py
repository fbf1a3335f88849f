"""Price triggers in plain Python, one at a time: what the native ones are compared with."""

from __future__ import annotations

import math

LOWEST = -(2**63)


class PlainTriggers:
    """The same face and the same rules as `dragoman._core.Triggers`, for last prices."""

    def __init__(self):
        self.armed = {}
        self.seen = {}
        self.event = {}
        self._fired = ()

    def arm(self, id, instrument, kind, level, *, trail=math.nan, source="last", after_ns=0, percent=False, step=0.0):
        self.armed[id] = {
            "instrument": instrument,
            "kind": kind,
            "level": level,
            "trail": trail,
            "percent": percent,
            "step": step,
            "best": math.nan,
        }

    def disarm(self, id):
        return self.armed.pop(id, None) is not None

    def level(self, id):
        return self.armed[id]["level"]

    def seen_ns(self, id):
        return self.seen.get(self.armed[id]["instrument"], LOWEST)

    def fired(self):
        return self._fired

    def apply(self, batch):
        found = []
        for tick in batch:
            found += self._take(tick.instrument, tick.last_price, tick.ts_recv, tick.ts_event)
        self._fired = tuple(found)
        return tuple(one[0] for one in found)

    def fire_at(self, instrument, price, ts):
        self._fired = tuple(self._take(instrument, price, ts, None))
        return tuple(one[0] for one in self._fired)

    def _take(self, instrument, price, ts, event):
        if price is None or not math.isfinite(price) or price <= 0:
            return []
        if event is not None:
            if event < self.event.get(instrument, LOWEST):
                return []
            self.event[instrument] = event
        self.seen[instrument] = max(ts, self.seen.get(instrument, LOWEST))
        found = []
        for id, one in list(self.armed.items()):
            if one["instrument"] != instrument:
                continue
            kind, level = one["kind"], one["level"]
            if kind == "trail_below":
                moved = price * (1 - one["trail"] / 100) if one["percent"] else price - one["trail"]
                level = one["level"] = max(level, moved)
            elif kind == "trail_above":
                moved = price * (1 + one["trail"] / 100) if one["percent"] else price + one["trail"]
                level = one["level"] = min(level, moved)
            if (price <= level) if kind in ("below", "trail_below") else (price >= level):
                del self.armed[id]
                found.append((id, price, level, event, ts))
        return found
