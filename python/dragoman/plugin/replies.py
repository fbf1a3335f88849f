"""What flows do alike around a reply: fetch what it holds, tell what became of orders, make a session of a login."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import time, tzinfo
from types import MappingProxyType
from typing import Any, Final

from dragoman._core import copied
from dragoman.errors import ErrorKind
from dragoman.model import Gtt, Order, Outcome
from dragoman.plugin.adapter import Session
from dragoman.plugin.context import Context
from dragoman.plugin.effects import Download, Flow, PushParser, Reply, Request
from dragoman.plugin.jwt_claims import jwt_expiry_ns
from dragoman.plugin.records import Records
from dragoman.plugin.values import next_time_ns

FILE: Final = "file"
"""Note of a request whose reply is a file, not a message to look for errors in."""
TAKEN: Final = Outcome("ACCEPTED")
"""What `Outcome.accepted` makes, without its id: copied with one that is plainly good, as digits are."""


def fetch(records: Records, request: Request, key: str | None = None) -> Flow[Any]:
    """Send a request and return what its reply holds, or what stands under `key`, decimals exact.

    Raises
    ------
    DecodeError
        Where the reply is no JSON, or has no such key.
    """
    reply = yield request
    found = records.loads(reply.body)
    with records.reading(request.path):
        return found if key is None else found[key]


def fetch_rows(records: Records, request: Request, key: str | None = None) -> Flow[list[Any]]:
    """Send a request and return the list its reply is, or has under `key`, decimals exact.

    Raises
    ------
    DecodeError
        Where there is no list: absence proves nothing.
    """
    return records.as_rows(request.path, (yield from fetch(records, request)), key)


def public_file(path: str, *, host: str = "assets") -> Request:
    """Return the request for a file anybody may read: the token stays at home. Its reply is no message (`FILE`)."""
    return Request(host=host, path=path, auth=False, note=FILE, timeout_s=120.0)


def master_of(request: Request, parser: PushParser[Any]) -> Flow[int]:
    """Download a file of instruments through its parser, and return how many there were."""
    done = yield Download(request, parser)
    return int(done.rows)


def at_once(count: int, most: int) -> tuple[bool, str, str]:
    """Return the rule (`Records.check`) of a request that takes one order or several, but not any number."""
    return not 0 < count <= most, f"{count} orders at once, expected 1 to {most}", "split them"


def together(outcomes: Sequence[Outcome], *, raw: Any = None) -> Outcome:
    """Return what became of an order that the broker made one or several of.

    Raises
    ------
    ValueError
        Where it made none: read inside `Records.reading`.
    """
    if not outcomes:
        raise ValueError("the reply tells of no order")
    return outcomes[0] if len(outcomes) == 1 else Outcome.parent(None, tuple(outcomes), raw=raw)


def resting_rule(records: Records, found: Sequence[Gtt], gtt_id: str) -> Gtt:
    """Return the GTT of an id out of a list. Raises UsageError where it is not there."""
    one = next((gtt for gtt in found if gtt.gtt_id == gtt_id), None)
    if one is None:
        raise records.refused(f"there is no GTT {gtt_id}", "look at gtts()", kind=ErrorKind.ORDER_NOT_FOUND)
    return one


def changed(records: Records, reply: Reply, order: Order) -> Outcome:
    """Read the reply to a change or cancel, whose ``data.order_id`` must name the order. Raises DecodeError."""
    with records.reading("order reply"):
        found = (reply.parsed or reply.json)["data"]
        told = found["order_id"]
        if told == order.order_id and told.isdigit():
            return copied(TAKEN, order_id=told, raw=found)
        return Outcome.accepted(records.confirmed("order reply", told, order.order_id), raw=found)


def session_of(
    found: Mapping[str, Any],
    token: str,
    ctx: Context,
    *,
    account: str,
    dies_at: time,
    zone: tzinfo,
    more: Mapping[str, Any] = MappingProxyType({}),
    secrets: Collection[str] = (),
) -> Session:
    """Make a session of what a login or a profile tells and the access token.

    Parameters
    ----------
    account : str
        Key of the account's id.
    dies_at : time
        Time of day, in `zone`, at which tokens die that do not say themselves when they do.
    more : mapping
        What else later requests need.
    secrets : collection of str
        Keys besides ``access_token`` that nobody may see.

    Raises
    ------
    LookupError
        Where no account is told: read inside `Records.reading`.
    """
    values = {key: value for key, value in found.items() if value not in (None, "")}
    values |= {**more, "access_token": token}
    expires = jwt_expiry_ns(token) or next_time_ns(ctx.now_ns, dies_at, zone)
    hidden = frozenset(("access_token", *secrets)) & values.keys()
    return Session(token, str(found[account]), values, expires_ns=expires, secrets=hidden)
