"""The native way of a frame: counted, timed, decoded, handed on; what needs Python is asked of it."""

from __future__ import annotations

import gc
import struct
import time
import weakref
from types import SimpleNamespace

import pytest
from picows import WSMsgType
from picows.picows import _make_test_ws_frame

from dragoman._core import Books, Decoder, FrameCounts, Handout, Histogram, Intake
from dragoman.plugin.registry import load_adapter

LTP = struct.pack(">HHIi", 1, 8, 257, 10_000)
UNKNOWN = struct.pack(">HH3s", 1, 3, b"odd")
"""A packet of a length that no layout has: control."""


class Connection:
    """An intake whose calls are noted, under a clock that stands still."""

    def __init__(self, *, decoder=True, numbered=False, on_batch=None, at_rest=True, max_bytes=1000) -> None:
        self.batches: list[int] = []
        self.errors: list[Exception] = []
        self.beside: list[tuple] = []
        self.views: list[object] = []
        self.slow: list[object] = []
        self.complaints: list[Exception] = []
        self.counts = FrameCounts()
        self.intake = Intake(
            Decoder(load_adapter("zerodha").feed("market").layouts.compile()) if decoder else None,
            self.counts,
            on_batch=on_batch or (lambda batch: self.batches.append(len(batch))),
            on_error=self.errors.append,
            beside=self._beside,
            mono_ns=lambda: 70,
            wall_ns=lambda: 90,
            numbered=numbered,
        )
        self.frame = self.intake.tap(
            lambda transport, frame: self.slow.append(frame), self.complaints.append, max_bytes=max_bytes
        )
        self.intake.at_rest = at_rest

    def _beside(self, data, batch, ts_recv) -> None:
        self.views.append(data)
        self.beside.append((bytes(data), None if batch is None else batch.control, ts_recv))


def ws_frame(payload=LTP, kind=WSMsgType.BINARY, fin=True, rsv1=False):
    return _make_test_ws_frame(kind, payload, fin, rsv1)


def test_a_frame_is_counted_timed_and_handed_on():
    connection = Connection()
    intake, counts = connection.intake, connection.counts
    assert (intake.last_frame_ns, intake.last_data_ns, intake.last_frame_wall_ns) == (70, 70, 90)
    intake.take(LTP, 1000, 500)
    intake.take(memoryview(b"\0"), 2000, 600)  # a heartbeat
    assert connection.batches == [1]
    assert (counts.frames, counts.bytes, counts.messages) == (2, len(LTP) + 1, 1)
    assert (counts.last_frame_ns, counts.last_data_ns) == (600, 500)
    assert (intake.last_frame_ns, intake.last_data_ns) == (600, 500)
    assert (intake.last_frame_wall_ns, intake.frame_before_wall_ns) == (2000, 1000)
    assert connection.beside == []


def test_counts_go_on_over_connections():
    first, second = Connection(), Connection()
    again = Intake(None, first.counts, on_batch=len, on_error=len, beside=second._beside, mono_ns=int, wall_ns=int)
    first.intake.take(LTP, 0, 1)
    again.take(b"hello", 0, 2)
    assert (first.counts.frames, first.counts.last_frame_ns) == (2, 2)


def test_python_reads_control_messages_numbered_streams_and_streams_without_a_decoder():
    with_control, numbered, plain = Connection(), Connection(numbered=True), Connection(decoder=False)
    with_control.intake.take(UNKNOWN, 7, 0)
    numbered.intake.take(LTP, 8, 0)
    plain.intake.take(b"hello", 9, 0)
    assert with_control.beside == [(UNKNOWN, ((4, 7),), 7)]
    assert numbered.beside == [(LTP, (), 8)]
    assert plain.beside == [(b"hello", None, 9)]


def test_a_deaf_intake_neither_counts_nor_decodes():
    connection = Connection()
    connection.intake.deaf = True
    connection.intake.take(LTP, 0, 0)
    connection.frame(None, ws_frame())
    assert (connection.counts.frames, connection.batches, connection.slow) == (0, [], [])


def test_what_the_handler_of_batches_raises_is_told_and_control_is_read_all_the_same():
    def broken(_batch):
        raise ValueError("mine")

    connection = Connection(on_batch=broken, numbered=True)
    connection.intake.take(LTP, 0, 0)
    assert [repr(error) for error in connection.errors] == ["ValueError('mine')"]
    assert connection.errors[0].__traceback__ is not None
    assert len(connection.beside) == 1


def test_a_handout_is_told_how_long_ago_the_frame_came():
    handout = Handout(Books(), mono_ns=lambda: 70 + 25, wall_ns=int, failed=print)
    handout.took, handout.age = Histogram(), Histogram()
    handout.handlers = (len,)
    connection = Connection(on_batch=handout)
    connection.frame(None, ws_frame())
    assert (handout.ticks, handout.age.maximum, handout.age.count) == (1, 25, 1)


def test_whole_binary_messages_of_the_websocket_library_come_straight():
    connection = Connection()
    connection.frame(None, ws_frame())
    connection.frame(None, ws_frame(UNKNOWN))
    assert (connection.slow, connection.complaints) == ([], [])
    assert connection.batches == [1]
    assert connection.beside == [(UNKNOWN, ((4, 7),), 90)]
    assert (connection.intake.last_frame_ns, connection.intake.last_frame_wall_ns) == (70, 90)


def test_bytes_that_were_kept_cannot_be_read_after_the_frame():
    connection = Connection(decoder=False)
    connection.frame(None, ws_frame())
    with pytest.raises(ValueError, match="released"):
        bytes(connection.views[0])


@pytest.mark.parametrize(
    ("frame", "options"),
    [
        (ws_frame(kind=WSMsgType.TEXT), {}),
        (ws_frame(kind=WSMsgType.CONTINUATION), {}),
        (ws_frame(kind=WSMsgType.PING), {}),
        (ws_frame(fin=False), {}),
        (ws_frame(rsv1=True), {}),
        (ws_frame(), {"max_bytes": len(LTP) - 1}),
        (ws_frame(), {"at_rest": False}),
        (SimpleNamespace(msg_type=2, fin=1), {}),  # memory that is not known
        (LTP, {}),
    ],
)
def test_every_other_frame_goes_the_slow_way(frame, options):
    connection = Connection(**options)
    connection.frame(None, frame)
    assert connection.slow == [frame]
    assert connection.counts.frames == 0


def test_an_error_in_a_frame_that_came_straight_is_complained_of():
    connection = Connection(decoder=False)
    connection.beside = None  # so that noting it raises
    connection.frame(None, ws_frame())
    assert [type(error) for error in connection.complaints] == [AttributeError]


def test_what_is_no_exception_reaches_whoever_runs_the_loop():
    def stopping(_batch):
        raise KeyboardInterrupt

    connection = Connection(on_batch=stopping)
    with pytest.raises(KeyboardInterrupt):
        connection.frame(None, ws_frame())
    with pytest.raises(KeyboardInterrupt):
        connection.intake.take(LTP, 0, 0)
    assert (connection.errors, connection.complaints) == ([], [])


def test_the_machines_own_clocks_are_read():
    intake = Intake(
        None,
        FrameCounts(),
        on_batch=len,
        on_error=len,
        beside=print,
        mono_ns=time.monotonic_ns,
        wall_ns=time.time_ns,
    )
    assert 0 <= time.monotonic_ns() - intake.last_frame_ns < 10**11
    assert 0 <= time.time_ns() - intake.last_frame_wall_ns < 10**11


def test_an_intake_that_is_held_by_its_callbacks_only_is_collected():
    connection = Connection()
    gone = weakref.ref(connection)
    del connection
    gc.collect()
    assert gone() is None


def test_what_it_is_made_of_is_checked():
    with pytest.raises(TypeError, match="expected a Decoder"):
        Intake(LTP, FrameCounts(), on_batch=len, on_error=len, beside=len, mono_ns=int, wall_ns=int)
    with pytest.raises(TypeError, match="expected a Decoder"):
        Intake(None, object(), on_batch=len, on_error=len, beside=len, mono_ns=int, wall_ns=int)
    with pytest.raises(RuntimeError, match="nobody tapped it"):
        Intake(None, FrameCounts(), on_batch=len, on_error=len, beside=len, mono_ns=int, wall_ns=int)._frame(None, LTP)
