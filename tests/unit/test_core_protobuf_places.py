"""Protobuf depth whose rows say their place: differences laid into what an instrument's places hold."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dragoman._core import Books, Decoder, intern_instrument
from dragoman.emulator.encode_protobuf import proto_field, proto_message
from dragoman.plugin import (
    ProtoColumn,
    ProtoKey,
    ProtoLevels,
    ProtoRecords,
    ProtoRestart,
    ProtoShape,
    ProtoSide,
    ProtoStream,
    ProtoSub,
    ProtoValue,
)

ROW = ProtoSide(ProtoColumn((1, 1), "int64", divisor=100), ProtoColumn((2, 1), "uint32"), ProtoColumn((3, 1), "uint32"))
PLACE = ProtoColumn((4, 1), "uint32")
DEPTH = (
    ProtoLevels(1, ask=ROW, max_rows=4, position=PLACE),
    ProtoLevels(2, bid=ROW, max_rows=4, position=PLACE),
)


def stream(**options):
    members = (
        ProtoKey(1, "string"),
        ProtoSub(2, DEPTH, shape=ProtoShape("depth", kind="depth_delta", mode="full")),
        ProtoSub(3, (ProtoValue(1, "int64", "volume"),), shape=ProtoShape("quote")),
        ProtoValue(4, "uint64", "sequence"),
        ProtoRestart(5),
    )
    return ProtoStream("places", (ProtoRecords(1, members),), **({"merge": True} | options))


def row(place, price=None, quantity=None, orders=None):
    """One row; what is None is not in it, what is 0 is a message without its number."""
    cells = ((1, "int64", price), (2, "uint32", quantity), (3, "uint32", orders), (4, "uint32", place))
    return b"".join(
        proto_message(number, proto_field(1, kind, value)) for number, kind, value in cells if value is not None
    )


def record(asks=(), bids=(), *, restart=False, sequence=0, key="A", depth=True):
    rows = b"".join([*(proto_message(1, one) for one in asks), *(proto_message(2, one) for one in bids)])
    return proto_message(
        1,
        proto_field(1, "string", key),
        proto_message(2, rows) if depth else b"",
        proto_field(4, "uint64", sequence),
        proto_field(5, "bool", restart),
    )


def decoder_of(**options):
    decoder = Decoder(stream(**options).compile())
    decoder.bind_text(b"A", intern_instrument("NSE:A"))
    return decoder


def shown(batch, at=0):
    bids, asks = batch.levels(at)
    return [tuple(level) for level in bids], [tuple(level) for level in asks]


WHOLE = record(
    asks=[row(0, 10010, 1, 1), row(1, 10020, 2, 2)], bids=[row(0, 10000, 5, 3), row(1, 9990, 6, 4)], restart=True
)


def test_a_row_changes_what_it_tells_of_its_place_and_nothing_else():
    decoder = decoder_of()
    first = decoder.decode(WHOLE)
    assert shown(first) == ([(100.0, 5.0, 3), (99.9, 6.0, 4)], [(100.1, 1.0, 1), (100.2, 2.0, 2)])
    assert first[0].kind == "depth_snapshot"
    later = decoder.decode(record(bids=[row(1, quantity=60)], asks=[row(0, price=10005)]))
    assert shown(later) == ([(100.0, 5.0, 3), (99.9, 60.0, 4)], [(100.05, 1.0, 1), (100.2, 2.0, 2)])
    assert later[0].kind == "depth_delta"
    assert (later[0].ask_price, later[0].bid_quantity) == (100.05, 5.0)
    # A wrapper that is there without its number says 0: the place is empty, and the next one is the best.
    emptied = decoder.decode(record(asks=[row(0, quantity=0)]))
    assert shown(emptied)[1] == [(100.2, 2.0, 2)]
    assert emptied[0].ask_price == 100.2


def test_a_side_without_rows_has_no_best_price():
    decoder = decoder_of()
    decoder.decode(WHOLE)
    batch = decoder.decode(record(asks=[row(0, quantity=0), row(1, quantity=0)]))
    assert shown(batch)[1] == []
    assert (batch[0].ask_price, batch[0].ask_quantity, batch[0].bid_price) == (None, None, 100.0)


def test_rows_without_a_place_or_beyond_the_last_say_nothing():
    decoder = decoder_of()
    decoder.decode(WHOLE)
    batch = decoder.decode(record(asks=[row(None, 1, 1, 1), row(4, 1, 1, 1)]))
    assert shown(batch)[1] == [(100.1, 1.0, 1), (100.2, 2.0, 2)]
    assert decoder.counters["rejected_values"] == 1


def test_more_rows_than_places_are_malformed_and_change_nothing():
    decoder = decoder_of()
    decoder.decode(WHOLE)
    assert len(decoder.decode(record(asks=[row(0, quantity=9)] * 5))) == 0
    assert decoder.counters["malformed"] == 1
    assert shown(decoder.decode(record()))[1][0] == (100.1, 1.0, 1)


def test_a_broken_frame_changes_no_place():
    decoder = decoder_of()
    decoder.decode(WHOLE)
    for cut in range(1, 20):
        decoder.decode(record(asks=[row(0, quantity=9)], bids=[row(0, quantity=9)])[:-cut])
    assert shown(decoder.decode(record())) == ([(100.0, 5.0, 3), (99.9, 6.0, 4)], [(100.1, 1.0, 1), (100.2, 2.0, 2)])


def test_a_restart_forgets_what_places_held():
    decoder = decoder_of()
    decoder.decode(WHOLE)
    batch = decoder.decode(record(asks=[row(0, 10010, 1, 1)], restart=True))
    assert shown(batch) == ([], [(100.1, 1.0, 1)])


def test_several_instruments_in_a_frame_keep_their_own_places():
    decoder = decoder_of()
    frame = WHOLE + record(bids=[row(0, 500, 7, 1)], restart=True, key="B") + record(key="C", depth=False)
    frame += record(asks=[row(0, price=10003)])
    batch = decoder.decode(frame)
    assert [shown(batch, at)[0][:1] for at in range(3)] == [[(100.0, 5.0, 3)], [(5.0, 7.0, 1)], [(100.0, 5.0, 3)]]
    assert shown(batch, 2)[1][0] == (100.03, 1.0, 1)


def test_a_book_follows_and_a_missing_number_breaks_it_until_the_next_snapshot():
    decoder, books, name = decoder_of(), Books(), intern_instrument("NSE:A")
    books.follow(name, rule="plain", hold=False)

    def take(frame):
        books.apply(decoder.decode(frame))
        return books.book(name)

    def numbered(sequence, **rows):
        return record(sequence=sequence, **rows)

    first = WHOLE[:-2]  # without its restart, which is put behind a number
    assert first + b"\x28\x01" == WHOLE
    book = take(numbered(5, asks=[row(0, 10010, 1, 1)], bids=[row(0, 10000, 5, 3)], restart=True))
    assert (book.bid_price, book.ask_price, book.gapped) == (100.0, 100.1, False)
    assert take(numbered(6, bids=[row(0, price=10001)])).bid_price == 100.01
    assert take(numbered(8, bids=[row(0, price=10002)])).gapped
    assert not take(numbered(9, asks=[row(0, 10010, 1, 1)], restart=True)).gapped


ROWS = st.lists(
    st.tuples(
        st.sampled_from(["bid", "ask"]),
        st.integers(0, 3),
        st.none() | st.integers(1, 10**6),
        st.none() | st.integers(0, 9),
        st.none() | st.integers(0, 9),
    ),
    max_size=4,
)


@settings(max_examples=60)
@given(frames=st.lists(st.tuples(ROWS, st.booleans()), max_size=12))
def test_places_hold_what_a_plain_table_holds(frames):
    decoder = decoder_of()
    table = {"bid": {}, "ask": {}}
    for rows, restart in frames:
        if restart:
            table = {"bid": {}, "ask": {}}
        sides = {"bid": [], "ask": []}
        for side in ("ask", "bid"):
            for way, place, *told in rows:
                if way == side:
                    sides[side].append(row(place, *told))
                    old = table[side].get(place, (0, 0, 0))
                    table[side][place] = tuple(b if b is not None else a for a, b in zip(old, told, strict=True))
        batch = decoder.decode(record(sides["ask"], sides["bid"], restart=restart))
        wanted = tuple(
            [(p / 100, float(q), n) for _, (p, q, n) in sorted(table[side].items()) if q] for side in ("bid", "ask")
        )
        assert shown(batch) == wanted


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (ProtoLevels(1, ask=ROW, max_rows=4, position=ProtoColumn((4, 1), "double")), "position"),
        (ProtoLevels(1, ask=ROW, max_rows=5000, position=PLACE), "max_rows 5000"),
        (ProtoLevels(1, ask=ROW, sort=True, position=PLACE), "rows to be sorted"),
    ],
)
def test_positions_that_cannot_be_are_refused(changed, said):
    layout = ProtoStream(
        "places", (ProtoRecords(1, (ProtoKey(1, "string"), changed), shape=ProtoShape("x")),), merge=True
    )
    with pytest.raises(ValueError, match=said):
        layout.compile()


def test_positions_need_a_stream_that_merges():
    with pytest.raises(ValueError, match="merge=True"):
        stream(merge=False).compile()
