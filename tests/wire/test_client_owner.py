"""Where a client may be used: on the loop that entered its context, in the process that made it, and nowhere else."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import pathlib
import threading
from collections.abc import Callable
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from dragoman.client import Client
from dragoman.errors import UsageError
from dragoman.model import OrderRequest, OrderType, Product, Side
from dragoman.runtime.loops import run
from dragoman.runtime.process import Owner
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.testing.emulated import connected

NAME = "NSE:INFY"
ANY_THREAD = {"metrics"}
"""What any thread of the process may look at."""
ARGUMENTS = {
    "candles": (NAME, "1d", None, None),
    "convert": (None, "DELIVERY"),
    "modify_gtt": ("1", None),
    "place": (NAME, "BUY", 1),
}


@asynccontextmanager
async def client_at(folder: pathlib.Path):
    """Connect to an emulator in this process, over real sockets."""
    runtime = RealRuntime()
    try:
        async with asyncio.timeout(30), connected("zerodha", state_dir=str(folder), runtime=runtime) as client:
            yield client
    finally:
        runtime.close()


def calls(client: Client) -> dict[str, Callable[[], object]]:
    """Return a call of each public method and property of a client, with arguments enough to reach its first line."""
    found: dict[str, Callable[[], object]] = {}
    for name, member in inspect.getmembers_static(Client):
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            found[name] = lambda name=name: getattr(client, name)  # type: ignore[misc]
            continue
        needed = [
            p for p in list(inspect.signature(member).parameters.values())[1:]
            if p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD
        ]  # fmt: skip
        given = ARGUMENTS.get(name, (NAME,) * len(needed))
        found[name] = lambda name=name, given=given: getattr(client, name)(*given)  # type: ignore[misc]
    return found


def answers(client: Client) -> dict[str, str]:
    """Call everything on this thread, each coroutine on a loop of its own; return by name what it raised."""
    found = {}
    for name, call in calls(client).items():
        try:
            value = call()
            if inspect.iscoroutine(value):
                asyncio.run(value)
            found[name] = "no error"
        except UsageError as error:
            found[name] = str(error)
        except BaseException as error:  # noqa: BLE001 - a raw error is what this looks for
            found[name] = f"raw {error!r}"
    return found


def in_a_fork(work: Callable[[], dict[str, str]]) -> dict[str, str]:
    """Run `work` in a forked child and return what it returned."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(write, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    found: dict[str, str] = json.loads(text)
    return found


def state(client: Client) -> tuple[object, ...]:
    """Return what a refused call must leave as it was."""
    sent = client.session.sender.counters.requests
    handlers = len(client.market.batches.callbacks)
    return sent, dict(client.market.subscribed), len(client.market.books), handlers, len(client.orders_service.store)


def test_on_another_thread_every_method_refuses_before_it_does_anything(tmp_path):
    async def scenario():
        async with client_at(tmp_path) as client:
            client.subscribe("NSE:TCS", "ltp")  # whose ticks make no book of their own
            before, found = state(client), {}
            other = threading.Thread(target=lambda: found.update(answers(client)))
            other.start()
            await asyncio.to_thread(other.join)
            assert state(client) == before
            assert (await client.quote(NAME)).instrument_id == NAME
            return found

    found = run(scenario())
    assert {name for name, text in found.items() if "another thread" not in text} == ANY_THREAD


def test_after_a_fork_every_name_refuses_and_the_parent_goes_on(tmp_path):
    async def scenario():
        async with client_at(tmp_path) as client:
            metrics = client.metrics

            def child() -> dict[str, str]:
                before, found = state(client), answers(client)
                try:
                    found["prometheus"] = metrics.prometheus()
                except BaseException as error:  # noqa: BLE001 - a raw error is what this looks for
                    found["prometheus"] = str(error)
                return found | {"changed": "" if state(client) == before else "yes"}

            found = in_a_fork(child)
            client.subscribe("NSE:TCS")
            async for tick in client.ticks():
                assert tick.instrument_id == "NSE:TCS"
                break
            return found

    found = run(scenario())
    assert found.pop("changed") == ""
    assert [name for name, text in found.items() if "after the fork" not in text] == []
    assert {"subscribe", "book", "on_tick", "ticks", "order", "close", "metrics"} <= set(found)


def test_the_parts_of_a_client_refuse_too(tmp_path):
    async def scenario():
        async with client_at(tmp_path) as client:

            def child() -> dict[str, str]:
                found = {}
                parts: dict[str, Callable[[], object]] = {
                    "market": lambda: client.market.subscribe("NSE:TCS"),
                    "stream": lambda: client._streams.open["market"].unsubscribe(()),
                    "account": lambda: asyncio.run(client.account.profile()),
                    "portfolio": lambda: asyncio.run(client.portfolio.margins()),
                    "session": lambda: asyncio.run(client.session.close()),
                }
                for name, call in parts.items():
                    try:
                        call()
                        found[name] = "no error"
                    except UsageError as error:
                        found[name] = str(error)
                return found

            return in_a_fork(child)

    assert [name for name, text in run(scenario()).items() if "after the fork" not in text] == []


def test_between_runs_of_its_loop_a_handle_can_be_used_on_its_own_thread():
    with VirtualRuntime() as runtime:
        owner = Owner("test")

        async def bind():
            owner.bind()
            owner.check("inside")

        runtime.run(bind())
        owner.check("between")

        async def elsewhere():
            owner.check("there")

        with pytest.raises(UsageError, match="another loop"):
            asyncio.run(elsewhere())


def test_below_the_client_no_order_leaves_a_forked_child_not_even_an_exit(tmp_path):
    async def scenario():
        async with client_at(tmp_path) as client:
            await client.place(NAME, "BUY", 1, order_type="LIMIT", price=1400, product="INTRADAY")  # the line is warm
            service, instrument = client.orders_service, client.instruments.resolve(NAME)
            request = OrderRequest(
                instrument_id=NAME,
                side=Side.BUY,
                quantity=Decimal(1),
                order_type=OrderType.LIMIT,
                price=Decimal(1400),
                product=Product.INTRADAY,
            )

            def child() -> dict[str, str]:
                found = {}
                for exits in (True, False):
                    ended = service.placing(request, instrument, 5.0, True, True, exits)
                    assert isinstance(ended, asyncio.Future)
                    found[f"exits={exits}"] = str(ended.exception())
                return found

            found = in_a_fork(child)
            return found, len(await client.orders())

    found, orders = run(scenario())
    assert [name for name, text in found.items() if "after the fork" not in text] == []
    assert (len(found), orders) == (2, 1)
