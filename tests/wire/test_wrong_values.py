"""Whatever a public method is given, it answers with a typed error or does its work: never with a raw one.

The walk takes each parameter of each public method in turn, gives it values nobody can mean, and takes nothing but a
`DragomanError` for an answer, or none. A method added tomorrow is walked tomorrow: without a right value for each of
its arguments in `right` the walk fails.
"""

from __future__ import annotations

import asyncio
import inspect
import pathlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

import dragoman
import dragoman.sync
from dragoman.client import Client
from dragoman.errors import DragomanError, OutcomeUnknown
from dragoman.market import InstrumentMaster, MarketData
from dragoman.model import (
    AlertRequest,
    Fill,
    GttLeg,
    GttRequest,
    Holding,
    InstrumentType,
    OrderRequest,
    Position,
    Product,
    Side,
)
from dragoman.portfolio import AccountServices
from wire.trading import INFY, World, play

D = Decimal
NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)
ORDER = OrderRequest(instrument_id=INFY, side=Side.BUY, quantity=D(1))
LEG = GttLeg(trigger_price=D(1), side=Side.BUY, quantity=D(1), price=D(1))
FILL = Fill(
    instrument_id=INFY,
    order_id="1",
    trade_id="1",
    side=Side.BUY,
    quantity=D(1),
    price=D(1000),
    product=Product.INTRADAY,
)
HOLDING = Holding(instrument_id=INFY, quantity=D(1))
ALERT = AlertRequest(name="a", instrument_id=INFY, operator=">=", value=D(1))
WRONG: tuple[Any, ...] = (
    None,
    True,
    0,
    -1,
    5,
    1.5,
    float("nan"),
    float("inf"),
    "",
    "x",
    "\ud800",
    "NSE:",
    b"x",
    [],
    ["x"],
    [None],
    {},
    {"x": 1},
    {"zerodha": 1},
    (1, 2),
    {1, 2},
    object(),
    int,
    lambda: None,
    D("NaN"),
    D("1E+999999"),
    D("1E-999999"),
    date.max,
    datetime.max.replace(tzinfo=UTC),
    datetime.min.replace(tzinfo=UTC),
    NOW.replace(tzinfo=None),
    timedelta(1),
    ORDER,
    LEG,
    10**400,
)
CALLABLES = {"callback", "until", "on_rows", "on_progress"}
"""What a function is right for: what it raises then is the user's own."""
FURTHER = {
    "place": sorted(set(OrderRequest.__dataclass_fields__) - {"instrument_id", "side", "quantity"}),
    "modify": ["quantity", "price", "trigger_price", "order_type", "time_in_force", "display_quantity", "extras"],
}
"""What goes by ``**more`` and ``**changes``."""
LEFT_OUT = {
    (Client, "start"): "part of connecting",
    (Client, "close"): "it takes nothing, and the others need an open client",
    (Client, "logout"): "it takes nothing, and the others need a session",
    (InstrumentMaster, "add"): "the client calls it, with what an adapter made of a download",
    (InstrumentMaster, "restored"): "reads a file of ours; a damaged one raises what its docstring says",
    (MarketData, "on_quote"): "the stream calls it, with what an adapter made",
    (MarketData, "on_gap"): "the stream calls it",
    (MarketData, "on_ready"): "the stream calls it",
    (MarketData, "close"): "it takes nothing, and the others need an open client",
}
TARGETS: dict[type, Callable[[Client], Any]] = {
    Client: lambda client: client,
    AccountServices: lambda client: client.account,
    MarketData: lambda client: client.market,
    InstrumentMaster: lambda client: client.instruments,
}
MAY_FAIL = {"balances": "does not offer", "postback": "not as documented", "become": "InstrumentMaster"}
"""What right values cannot have done here, and what it says."""


async def right(world: World, method: str) -> dict[str, Any]:
    """Return a right value for every parameter of any name; what they name exists."""
    client, price = world.client, world.price(-200)
    if client.killed.engaged:
        await client.release(await client.release())
    if method == "release":
        await client.kill()
    for left in world.store.unknown:
        client.resolve_order(left, None)
    leg = replace(LEG, trigger_price=price, price=price)
    request = GttRequest(instrument_id=INFY, legs=(leg,), last_price=world.price(0))
    found: dict[str, Any] = {
        "body": b"{}",
        "broker_symbol": "INFY",
        "broker_token": "1",
        "callback": lambda event: None,
        "end": NOW,
        "exchange": "NSE",
        "exchange_token": "1",
        "fills": [FILL],
        "handle": 0,
        "holdings": [HOLDING],
        "instrument": client.instrument(INFY) if method == "handle" else INFY,
        "instrument_id": INFY,
        "interval": "1d",
        "name": INFY,
        "names": [INFY],
        "orders": [ORDER],
        "other": "a master would leave the client with its instruments",
        "product": "DELIVERY",
        "quantity": 1,
        "limits": None,
        "query": "infy",
        "request": ALERT if "alert" in method else request,
        "side": "BUY",
        "start": NOW - timedelta(days=1),
        "underlying": "NIFTY",
    }
    if method in ("modify", "cancel", "wait_order", "order_history", "order"):
        found["order"] = await world.rest()
    if method == "resolve_order":
        world.fault("drop_frames;http:503@GET /orders;reset_request@POST /orders*1")
        with pytest.raises(OutcomeUnknown):
            await world.rest(timeout_s=1.0, allow_stale=True, allow_unknown=True)
        world.heal()
        found |= {"order": world.store.unknown[-1], "order_id": None}
    if method in ("gtt", "modify_gtt", "delete_gtt"):
        found["gtt_id"] = await client.place_gtt(request)
    if "alert" in method and method not in ("alerts", "create_alert"):
        made = await client.account.create_alert(ALERT)
        found |= {"alert_id": made.alert_id, "alert_ids": [made.alert_id]}
    if method == "convert":
        order = await world.rest()
        world.sell_into(order.price, 30_000)
        await client.wait_order(order)
        found["position"] = next(one for one in await client.positions() if one.product is Product.INTRADAY)
    return found


def public(kind: type) -> Iterator[tuple[str, list[inspect.Parameter]]]:
    for name, member in inspect.getmembers_static(kind):
        if not name.startswith("_") and (kind, name) not in LEFT_OUT and inspect.isfunction(member):
            yield name, list(inspect.signature(member).parameters.values())[1:]


async def needed(world: World, method: str, parameters: list[inspect.Parameter]) -> dict[str, Any]:
    """Return arguments with which the method does its work."""
    values = await right(world, method)
    must = [one.name for one in parameters if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    more = {"place": {"quantity": 1}, "modify": {"price": world.price(-30)}, "wait_order": {"until": lambda _: True}}
    return {name: values[name] for name in must} | more.get(method, {})


async def raw(target: Any, method: str, arguments: dict[str, Any], said: str) -> list[str]:
    """Make a call; return what it raised where that is no error of ours."""
    try:
        value = getattr(target, method)(**arguments)
        if inspect.isawaitable(value):
            await value
    except DragomanError:
        return []
    except Exception as error:  # noqa: BLE001 - a raw error is what this looks for
        return [f"{method}({said}): {error!r}"]
    return []


def scene(scenario: Callable[[World], Any]) -> Any:
    return play(scenario, kinds=tuple(InstrumentType))


@pytest.mark.parametrize("kind", TARGETS, ids=lambda kind: kind.__name__)
def test_no_wrong_value_of_any_parameter_brings_a_raw_error(kind: type) -> None:
    async def scenario(world: World) -> None:
        target, found = TARGETS[kind](world.client), []
        for method, parameters in public(kind):
            named = [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]
            for parameter in [*named, *(FURTHER.get(method, ()) if kind is Client else ())]:
                arguments = await needed(world, method, parameters)
                for wrong in WRONG:
                    if not (callable(wrong) and parameter in CALLABLES):
                        said = f"{parameter}={wrong!r:.60}"
                        found += await raw(target, method, arguments | {parameter: wrong}, said)
        assert not found, "\n".join(found)

    scene(scenario)


@pytest.mark.parametrize("kind", TARGETS, ids=lambda kind: kind.__name__)
def test_the_walk_begins_at_calls_that_do_their_work(kind: type) -> None:
    async def scenario(world: World) -> None:
        refused = {}
        for method, parameters in public(kind):
            arguments = await needed(world, method, parameters)
            try:
                value = getattr(TARGETS[kind](world.client), method)(**arguments)
                if inspect.isawaitable(value):
                    await value
            except DragomanError as error:
                refused[method] = str(error)
        assert {name: text for name, text in refused.items() if MAY_FAIL.get(name, "nothing") not in text} == {}

    scene(scenario)


FIELDS = [
    pytest.param(method, parameter, kind, id=f"{method}-{kind.__name__}")
    for method, parameter, kind in (
        ("order_margin", "orders", OrderRequest),
        ("place_gtt", "request", GttRequest),
        ("place_gtt", "legs", GttLeg),
        ("charges", "fills", Fill),
        ("authorise_holdings", "holdings", Holding),
        ("create_alert", "request", AlertRequest),
        ("convert", "position", Position),
    )
]


@pytest.mark.parametrize(("method", "parameter", "kind"), FIELDS)
def test_no_wrong_field_of_a_value_of_the_model_brings_a_raw_error(method: str, parameter: str, kind: type) -> None:
    async def scenario(world: World) -> None:
        account, found = world.client.account, []
        arguments = await right(world, method)
        keep = {"convert": ("product",)}.get(method, ())
        for field in kind.__dataclass_fields__:
            for wrong in WRONG:
                said = f"{kind.__name__}.{field}={wrong!r:.60}"
                if parameter == "legs":
                    whole = arguments["request"]
                    legs = tuple(replace(leg, **{field: wrong}) for leg in whole.legs)
                    given: dict[str, Any] = {"request": replace(whole, legs=legs)}
                elif isinstance(arguments[parameter], list):
                    given = {parameter: [replace(arguments[parameter][0], **{field: wrong})]}
                else:
                    given = {parameter: replace(arguments[parameter], **{field: wrong})}
                found += await raw(account, method, given | {name: arguments[name] for name in keep}, said)
        assert not found, "\n".join(found)

    scene(scenario)


@pytest.mark.parametrize("connect", [dragoman.connect, dragoman.sync.connect], ids=["async", "blocking"])
@pytest.mark.parametrize("parameter", inspect.signature(dragoman.sync.connect).parameters)
def test_no_wrong_argument_of_connect_brings_a_raw_error(
    connect: Callable[..., Any], parameter: str, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRAGOMAN_CONFIG", str(tmp_path / "profiles.toml"))

    async def enter(arguments: dict[str, Any]) -> None:
        await dragoman.connect(**arguments)

    found = []
    for wrong in WRONG:
        arguments = {"broker": "zerodha", "profile": "none", "state_dir": str(tmp_path)} | {parameter: wrong}
        try:
            if connect is dragoman.connect:
                asyncio.run(enter(arguments))
            else:
                connect(**arguments)
        except DragomanError:
            continue
        except Exception as error:  # noqa: BLE001 - a raw error is what this looks for
            found.append(f"{parameter}={wrong!r:.60}: {error!r}")
        else:
            found.append(f"{parameter}={wrong!r:.60}: connected to a profile that does not exist")
    assert not found, "\n".join(found)
