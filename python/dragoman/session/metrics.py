"""What one account measures: how long things take, natively counted, and what its parts count themselves.

Histograms hold ns in fixed memory and take a value without allocating. They are made when a meter is first used, which
happens a handful of times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, Literal

from dragoman.session.exposition import Exposition

if TYPE_CHECKING:
    from dragoman._core import Histogram

Phase = Literal["limiter", "connection", "first_byte", "whole"]
"""Of a request: the wait for the limiter; for a connection, opened if need be; from the first byte written to the first
byte read; and all of it, limiter included."""

PHASES: Final[tuple[Phase, ...]] = ("limiter", "connection", "first_byte", "whole")
QUANTILES: Final = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (0.9999, "p99.99"))
_COUNTERS: Final = {
    "frames": "Frames received.",
    "bytes": "Bytes received.",
    "messages": "Records and control messages received.",
    "connects": "Connections tried.",
    "reconnects": "Times the stream came back.",
    "stalls": "Times the stream was given up for its silence.",
    "gaps": "Spans of time that were not seen.",
    "control_errors": "Control messages that could not be read.",
    "unknown_messages": "Control messages nobody knows.",
}
_AGES: Final = {"frame": "Time since the last frame of any kind.", "data": "Time since the last market data."}
_UNREADABLE: Final = ("truncated", "malformed", "unknown_packets", "undefined_topics", "rejected_values")


class Metrics:
    """Latencies and counts of one account; `dragoman.Client.metrics`.

    Attributes
    ----------
    frame_to_handler : Histogram
        ns from a frame's arrival to the first inline batch handler.
    handler : Histogram
        ns that each call of an inline handler took, of batches, orders and events alike.
    queued_handler, frame_to_queued : Histogram
        The same of handlers that run on a thread of their own (the blocking face), for ticks the age.
    loop_lag : Histogram
        ns the I/O loop answered late, measured a few times a second.

    Notes
    -----
    May be read from any thread.
    """

    def __init__(self, broker: str, account: Callable[[], str], read: Callable[[], dict[str, Any]] = dict) -> None:
        from dragoman._core import Histogram

        self._broker = broker
        self._account = account
        self._make = Histogram
        self._phases: dict[tuple[str, Phase], Histogram] = {}
        self._read = read
        self.frame_to_handler = Histogram()
        self.handler = Histogram()
        self.queued_handler = Histogram()
        self.frame_to_queued = Histogram()
        self.loop_lag = Histogram()

    def __repr__(self) -> str:
        found = self.latencies()
        inner = ", ".join(f"{name} p50 {row['p50_us']:g} us" for name, row in found.items())
        return f"<Metrics {self._broker}: {inner or 'nothing measured yet'}>"

    def read_from(self, read: Callable[[], dict[str, Any]]) -> None:
        """Take counts from `read`, which returns what `Client.counters` does."""
        self._read = read

    def phase(self, meter: str, phase: Phase) -> Histogram:
        """Return the histogram of one phase of the requests that spend `meter`, ns."""
        found = self._phases.get((meter, phase))
        if found is None:
            found = self._phases[meter, phase] = self._make()
        return found

    def _all(self) -> Iterator[tuple[str, Histogram]]:
        yield "frame_to_handler", self.frame_to_handler
        yield "handler", self.handler
        yield "queued_handler", self.queued_handler
        yield "frame_to_queued", self.frame_to_queued
        yield "loop_lag", self.loop_lag
        for (meter, phase), histogram in sorted(self._phases.copy().items()):
            yield f"request.{meter}.{phase}", histogram

    def latencies(self) -> dict[str, dict[str, float]]:
        """Return what was measured, by name: count, mean_us, p50_us ... p99.99_us, max_us.

        Names are those of the attributes, and ``request.<meter>.<phase>``.
        """
        return {name: summary(histogram) for name, histogram in self._all() if histogram.count}

    def round_trips(self) -> dict[str, dict[str, float]]:
        """Return by meter how long replies took to begin once requests had been written."""
        return {
            meter: summary(histogram)
            for (meter, phase), histogram in sorted(self._phases.copy().items())
            if phase == "first_byte" and histogram.count
        }

    def counters(self) -> dict[str, Any]:
        """Return what was counted; see `Client.counters`."""
        return self._read()

    def reset(self) -> None:
        """Forget all latencies; counters go on."""
        for _, histogram in self._all():
            histogram.reset()

    def prometheus(self) -> str:
        """Return everything in the Prometheus text format, version 0.0.4; times in seconds."""
        page = Exposition({"broker": self._broker, "account": self._account()})
        page.histogram(
            "frame_to_handler_seconds", "From a frame's arrival to its first handler.", self.frame_to_handler
        )
        page.histogram("handler_seconds", "How long inline handlers took.", self.handler)
        page.histogram("queued_handler_seconds", "How long queued handlers took.", self.queued_handler)
        page.histogram("frame_to_queued_seconds", "From arrival to the first queued handler.", self.frame_to_queued)
        page.histogram("loop_lag_seconds", "How late the I/O loop answered.", self.loop_lag)
        text = "How long requests took, by meter and phase."
        for (meter, phase), histogram in sorted(self._phases.copy().items()):
            page.histogram("request_seconds", text, histogram, meter=meter, phase=phase)
        counted = self._read()
        for stream, found in counted.get("streams", {}).items():
            for shard, own in found["shards"].items():
                self._stream(page, own, stream=stream, shard=shard)
            page.counter(
                "stream_repeated_orders_total",
                "Order updates that came over a further socket, too.",
                found["repeated_orders"],
                stream=stream,
            )
        for state, number in counted.get("orders", {}).items():
            page.gauge("orders", "Orders and reports of orders, by what became of them.", number, what=state)
        books = counted.get("books", {})
        if books:
            page.gauge("books", "Live books.", books["count"])
            page.counter("book_gaps_total", "Breaks in the numbering of depth messages.", books["gaps"])
        for kind, number in sorted(counted.get("request_failures", {}).items()):
            page.counter("request_failures_total", "Requests that failed, by what went wrong.", number, kind=str(kind))
        if "unknown_words" in counted:
            words = sum(counted["unknown_words"].values())
            page.counter("unknown_words_total", "Words of the broker that nobody has mapped.", words)
        if "sockets_held" in counted:
            page.gauge("sockets_held", "Sockets leased by this session.", counted["sockets_held"])
        for name, help_text in (
            ("requests", "Requests written."),
            ("ticks", "Ticks received."),
            ("conflated", "Ticks that gave way to newer ones of their instrument and kind."),
            ("handler_errors", "Handlers that raised."),
            ("throttled", "Requests the limiter refused."),
            ("uncounted", "Risk-reducing requests sent although the shared counts were out of reach."),
            ("penalties", "Times the broker said to slow down."),
            ("loop_stalls", "Times a handler blocked the I/O loop."),
        ):
            if name in counted:
                page.counter(f"{name}_total", help_text, counted[name])
        for limit, use in counted.get("limits", {}).items():
            page.gauge("limit_left", "What is left of a limit now.", use["left"], limit=limit)
            page.gauge("limit_waiting", "Requests that wait for a limit.", use["waiting"], limit=limit)
        return page.text()

    def _stream(self, page: Exposition, found: dict[str, Any], **labels: str) -> None:
        """Add what one socket of a stream counted."""
        for name, help_text in _COUNTERS.items():
            page.counter(f"stream_{name}_total", help_text, found[name], **labels)
        page.gauge("stream_ready", "1 while the socket is connected and subscribed.", found["ready"], **labels)
        page.gauge("stream_instruments", "Instruments asked for.", found["instruments"], **labels)
        for what, help_text in _AGES.items():
            if found[f"{what}_age_s"] is not None:
                page.gauge(f"stream_{what}_age_seconds", help_text, found[f"{what}_age_s"], **labels)
        for reason in _UNREADABLE:
            if reason in found["decoder"]:
                page.counter(
                    "decode_errors_total",
                    "What the decoder could not read.",
                    found["decoder"][reason],
                    reason=reason,
                    **labels,
                )


def summary(histogram: Histogram) -> dict[str, float]:
    """Return count, mean_us, the quantiles and max_us of a histogram of ns."""
    found: dict[str, float] = {"count": histogram.count}
    if not histogram.count:
        return found
    found["mean_us"] = histogram.total / histogram.count / 1000
    for share, name in QUANTILES:
        found[f"{name}_us"] = (histogram.quantile(share) or 0) / 1000
    found["max_us"] = histogram.maximum / 1000
    return found
