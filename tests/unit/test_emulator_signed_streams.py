"""Parts of emulators of brokers with signed requests: keys, weights, numbered books, leases, sockets that answer."""

from __future__ import annotations

from decimal import Decimal

import pytest

from dragoman.emulator.counting import SECOND, CalendarCounter, Meter, MeterFullError
from dragoman.emulator.numbered import NumberedBooks
from dragoman.emulator.signed import Fault, SignedKey, seeded_ed25519, sorted_pairs, unsigned
from dragoman.emulator.socket_requests import NamedStreams, SessionAct, SignedSession, SocketRequest, read_request
from dragoman.emulator.tokens import Lease, Tokens
from dragoman.plugin.signing import hmac_sha256_hex, sign_pem

D = Decimal
NOW = 10_000 * 1_000_000


@pytest.mark.parametrize("secret", ["emu_secret", seeded_ed25519(3)])
def test_a_signed_request_is_right_or_the_first_fault_is_named(secret):
    key, payload = SignedKey("emu_key", secret), "a=1&timestamp=10000"
    sign = sign_pem if secret.startswith("-----") else hmac_sha256_hex
    fields = {"timestamp": "10000", "signature": sign(secret, payload)}
    assert key.fault(payload, fields, NOW) is None
    assert key.fault(payload + "0", fields, NOW) is Fault.SIGNATURE
    assert key.fault(payload, fields | {"timestamp": "soon"}, NOW) is Fault.MALFORMED
    assert key.fault(payload, fields | {"timestamp": "4999"}, NOW) is Fault.TIME
    assert key.fault(payload, fields | {"timestamp": "11000"}, NOW) is Fault.TIME
    assert key.fault(payload, fields | {"timestamp": "4999", "recvWindow": "6000"}, NOW) is None


def test_a_revoked_key_is_not_known():
    key = SignedKey("emu_key", "emu_secret")
    assert (key.known("emu_key"), key.known("other")) == (True, False)
    key.revoked = True
    assert not key.known("emu_key")


def test_what_is_signed_has_no_signature_in_it():
    assert unsigned("a=1&signature=x", "b=2") == "a=1b=2"
    assert sorted_pairs({"b": True, "a": 1, "signature": "x"}) == "a=1&b=true"


def test_weights_are_counted_until_the_unit_turns():
    counter, meter = CalendarCounter(), Meter("weight", 10)
    assert [counter.spend(meter, cost, 0) for cost in (4, 6)] == [4, 10]
    with pytest.raises(MeterFullError):
        counter.spend(meter, 1, SECOND - 1)
    assert counter.spend(meter, 1, SECOND) == 1


@pytest.mark.parametrize(("by_level", "numbers"), [(True, (1002, 1003, 1001)), (False, (10_029, 10_034, 10_017))])
def test_differences_of_a_book_follow_each_other(by_level, numbers):
    books, size = NumberedBooks(), D(1)
    assert books.update("X", {"bids": {D(9): size}, "asks": {}}, by_level=by_level) is not None
    change = books.update("X", {"bids": {D(8): size}, "asks": {}}, by_level=by_level)
    assert change is not None
    assert (change.first, change.last, change.previous) == numbers
    assert change.levels == {"bids": {D(8): 1, D(9): 0}, "asks": {}}
    assert books.last("X") == numbers[1]
    assert books.update("X", {"bids": {D(8): size}, "asks": {}}, by_level=by_level) is None


def test_a_lease_lives_on_while_it_is_extended():
    lease = Lease(Tokens(1, offset_ns=0, dies_at_ns=0, request_life_ns=0), 100)
    assert lease.extend(0) is None
    token = lease.open(0)
    assert (lease.open(50), lease.extend(149), lease.alive(token, 248)) == (token, token, True)
    assert not lease.alive(token, 249)
    assert lease.open(249) != token
    lease.end()
    assert not lease.alive(lease.token, 250)


def refuse(params):
    raise ValueError(params)


def test_a_socket_that_logged_on_signs_no_more():
    session = SignedSession()
    with pytest.raises(ValueError, match="emu"):
        session.act(SessionAct.LOG_ON, {"apiKey": "emu"}, refuse)
    with pytest.raises(ValueError, match=r"\{\}"):
        session.act(SessionAct.LISTEN, {}, refuse)
    assert session == SignedSession()
    session.act(SessionAct.LOG_ON, {"apiKey": "emu"}, lambda params: None)
    session.act(SessionAct.LISTEN, {}, refuse)
    assert session == SignedSession("emu", listening=True)
    with pytest.raises(ValueError, match="wrong"):
        session.admit({"signature": "wrong"}, refuse, signed=False)
    session.act(SessionAct.SILENCE, {}, refuse)
    assert session.act(SessionAct.LOG_OFF, {}, refuse) == SignedSession()


@pytest.mark.parametrize("data", ["", "[]", "1", '{"id": 1}', "null", "[" * 100_000])
def test_a_message_without_a_method_is_no_request(data):
    assert read_request(data) is None


def test_named_streams_are_taken_and_dropped_and_unknown_ones_refused():
    streams = NamedStreams(["", "a"], 2)
    more = read_request('{"id": 7, "method": "SUBSCRIBE", "params": ["b"]}')
    assert more == SocketRequest(7, "SUBSCRIBE", ["b"])
    assert streams.wrong(more, lambda name: name == "a") == "b"
    assert streams.wrong(more, lambda name: True) is None
    assert (streams.take(more), list(streams.names)) == (["b"], ["a", "b"])
    assert streams.wrong(SocketRequest(1, "SUBSCRIBE", ["c"]), lambda name: True) == "c"
    assert streams.wrong(SocketRequest(1, "DANCE", None), lambda name: True) == "DANCE"
    assert NamedStreams(["a"]).take(SocketRequest(1, "UNSUBSCRIBE", ["a"])) == ()
