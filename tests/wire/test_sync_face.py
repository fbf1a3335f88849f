"""The blocking face against an emulated broker on loopback, with the emulator on a thread of its own."""

from __future__ import annotations

import ast
import inspect
import os
import pathlib
import signal
import threading
import urllib.request
from decimal import Decimal

import pytest

import dragoman.sync
from dragoman.client import Client as AsyncClient
from dragoman.connecting import connect as async_connect
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import AuthRequired, DecodeError, DragomanError, ErrorKind, NotSent, OutcomeUnknown, UsageError
from dragoman.market import MarketData
from dragoman.model import AlertRequest, Gap, Mode, Notice, OrderStatus, Product, StreamState
from dragoman.plugin.registry import emulator_factory, load_adapter
from dragoman.portfolio import AccountServices
from dragoman.runtime.io_thread import IoThread, shared_io_thread
from dragoman.runtime.real import RealRuntime
from dragoman.runtime.watchdog import Stall
from dragoman.session.fanout import Fanout
from dragoman.session.session import AccountSession
from dragoman.sync.bridge import MARKET, SESSION, members
from dragoman.sync.client import PARTS, BlockingAccount, BlockingEvents, BlockingMarket, BlockingSession
from dragoman.sync.stubs import stub

PATIENCE_S = 20.0
D = Decimal


class Broker:
    """An emulated broker on loopback."""

    def __init__(self) -> None:
        self.thread = IoThread("emulator")
        self.runtime = RealRuntime()
        self.adapter = load_adapter("zerodha")
        self.redirect_port = self.thread.call(self._free_port, "port")
        make = emulator_factory(self.adapter)
        self.emulator = make(7, self.runtime.clock.wall_ns(), redirect_port=self.redirect_port)
        self.host = EmulatorHost(self.emulator, self.runtime)
        self.roots = self.thread.call(self.host.start, "host")

    async def _free_port(self) -> int:
        import asyncio

        listener = await self.runtime.net.listen(asyncio.Protocol, "127.0.0.1", 0)
        port = listener.port
        await listener.close()
        return port

    def connect(self, state_dir: pathlib.Path, **more):
        wanted = {credential.name for credential in self.adapter.credentials}
        more.setdefault("open_url", visit)
        return dragoman.sync.connect(
            self.adapter,
            "test",
            environment="emulator",
            overrides={
                "hosts": {"rest": self.roots.rest, "ws": self.roots.ws, "login": self.roots.login},
                "credentials": {k: v for k, v in self.emulator.credentials.items() if k in wanted},
                "redirect_port": self.redirect_port,
            },
            state_dir=str(state_dir),
            **more,
        )

    def close(self) -> None:
        self.thread.call(self.host.close, "host")
        self.thread.stop()
        self.runtime.close()


def visit(url: str) -> None:
    """Do what a browser does at the login page."""
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as page:
        page.read()


@pytest.fixture
def broker():
    found = Broker()
    yield found
    found.close()


@pytest.fixture
def client(broker, tmp_path):
    with broker.connect(tmp_path) as found:
        yield found


def tradable(client):
    return next(i for i in client.instruments if i.tradable and i.instrument_id.startswith("NSE:"))


def resting(client):
    """Place a limit order far below the market: it stays open."""
    name = tradable(client)
    quote = client.quote(name)
    tick = name.tick_size
    price = (Decimal(str(quote.bids[0].price if quote.bids else quote.last_price)) * Decimal("0.95") // tick) * tick
    return client.place(name, "BUY", name.lot_size, order_type="LIMIT", price=price, product=Product.INTRADAY)


# -- one face, two ways ---------------------------------------------------------------------------------------------


def public(handle) -> set[str]:
    """Return every public name of a live handle, those of its instance included."""
    return {name for name in dir(handle) if not name.startswith("_")}


def test_every_public_name_of_a_live_async_client_is_there_and_no_other(client):
    asynchronous, blocking = public(client._engine.client), public(client)
    # `start` is part of connecting; the parts say where their work is done here.
    assert asynchronous - blocking == set(PARTS) | {"start"}
    assert blocking - asynchronous == {"closed"}
    assert public(client._engine.client.account) == public(client.account)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_stays_on_the_io_thread_says_what_to_use_instead(client, part):
    with pytest.raises(AttributeError, match="the blocking client has"):
        getattr(client, part)
    named = set(PARTS[part].replace(" and ", ", ").replace("()", "").split(", "))
    assert named <= public(client)


def test_the_rest_of_the_account_can_be_asked_without_a_loop(client):
    account, name = client.account, tradable(client)
    assert account.profile() == client.profile()
    assert [one.instrument_id for one in account.holdings()] == [one.instrument_id for one in client.holdings()]
    assert account.holdings_summary().current_value > 0
    assert isinstance(account.auctions(), list)
    made = account.create_alert(AlertRequest(name="above", instrument_id=name.instrument_id, operator=">=", value=D(1)))
    assert made.alert_id in {one.alert_id for one in account.alerts()}
    account.delete_alerts([made.alert_id])
    assert account.alerts() == []
    with pytest.raises(DecodeError):
        account.postback(b"{}")
    client.close()
    with pytest.raises(UsageError, match="closed"):
        account.alerts()


TWINS = [
    pytest.param(ours, theirs, name, id=f"{theirs.__name__}.{name}")
    for ours, theirs, only in (
        (dragoman.sync.Client, AsyncClient, None),
        (BlockingAccount, AccountServices, None),
        (BlockingMarket, MarketData, MARKET),
        (BlockingSession, AccountSession, SESSION),
    )
    for name, shape in sorted(members(theirs, only).items())
    if shape != "property"
]


def test_the_parts_have_no_name_that_the_asynchronous_ones_lack(client):
    source = client._engine.client
    for part, kind, original in (
        (client.session, BlockingSession, source.session),
        (client.market, BlockingMarket, source.market),
        (client.events, BlockingEvents, source.events),
        (client.market.gaps, BlockingEvents, source.market.gaps),
    ):
        assert type(part) is kind
        assert public(part) <= public(original)
    assert public(client.market) >= MARKET
    assert public(client.session) >= SESSION
    assert {"add", "iterate", "published"} == public(client.events) <= public(Fanout("x"))


def test_the_session_tells_what_it_is_without_a_loop(client):
    session = client.session
    assert (session.broker, session.profile, session.environment) == ("zerodha", "test", "emulator")
    assert session.account == client.profile().account_id
    assert session.read_only is False
    assert session.expires_ns > client._engine.client.session.ctx.now_ns
    assert session.stalls == 0
    assert session.latencies()
    assert "session of" in repr(session)


def test_a_login_anew_asks_on_the_calling_thread_and_brings_another_token(broker, tmp_path):
    asked = []

    def open_url(url: str) -> None:
        asked.append(threading.current_thread())
        visit(url)

    with broker.connect(tmp_path, open_url=open_url) as client:
        before = client._engine.client.session.ctx.generation
        done = threading.Thread(target=client.session.login, name="elsewhere")
        done.start()
        done.join(PATIENCE_S)
        client.session.login()
        assert [thread.name for thread in asked] == [threading.current_thread().name, "elsewhere", asked[0].name]
        assert client._engine.client.session.ctx.generation == before + 2
        assert client.margins()


def test_a_logout_of_the_session_ends_it(client):
    client.session.logout()
    with pytest.raises(AuthRequired, match=r"logged out|session is over"):
        client.positions()


def test_market_data_and_events_can_be_had_from_their_parts(client):
    name, events, seen = tradable(client), client.events.iterate(), threading.Event()
    client.events.add(lambda event: seen.set())
    market = client.market
    assert market.resolve(name) == [name]
    assert market.subscribe(name, "full") == [name]
    assert market.subscribed == {name.instrument_id: Mode.FULL}
    assert next(market.ticks()).instrument_id == name.instrument_id
    assert market.ticks_seen > 0
    assert market.book(name).bid_price is not None
    assert set(market.quotes([name])) == {name.instrument_id}
    market.unsubscribe(name)
    assert market.subscribed == {}
    client._engine.run(lambda: client._engine.client.events.publish(Notice("info", "hello")), "publish")
    assert any(event == Notice("info", "hello") for event in events)
    assert seen.wait(PATIENCE_S)
    assert client.events.published > 0


# -- a human who is not there ------------------------------------------------------------------------------------------


@pytest.mark.logs  # a renewal that fails is logged, too
def test_a_renewal_in_the_background_that_needs_a_human_is_announced_and_does_not_hang(client):
    told, found = threading.Event(), []

    def note(event) -> None:
        if isinstance(event, DragomanError):
            found.append(event)
            told.set()

    client.on_event(note)
    session = client._engine.client.session
    client._engine.run(session._keeper._renew, "renew")
    assert told.wait(PATIENCE_S)
    assert isinstance(found[0], AuthRequired)
    assert found[0].kind is ErrorKind.AUTH_EXPIRED
    assert "session.login()" in found[0].remedy
    assert client.margins()  # the session that stood still stands
    client.session.login()
    assert client.margins()


def test_who_asks_after_the_caller_has_gone_is_answered(io):
    kept, late = [], []

    async def connect(ask) -> str:
        kept.append(ask)
        return await ask(lambda: "typed")

    assert io.attend(connect, "login") == "typed"

    async def renew() -> None:
        try:
            await kept[0](lambda: "nobody runs this")
        except AuthRequired as error:
            late.append(str(error))

    io.call(renew, "renew", patience_s=PATIENCE_S)
    assert "a human must log in" in late[0]


def test_a_question_that_waits_when_its_caller_goes_is_answered(io):
    import asyncio

    waiting, outcome = [], []

    async def connect(ask) -> None:
        async def ask_beside() -> None:
            try:
                await ask(lambda: None)
            except AuthRequired as error:
                outcome.append(error)

        loop = asyncio.get_running_loop()
        waiting.append(loop.create_task(ask_beside()))
        loop.call_soon(lambda: None)

    io.attend(connect, "login")

    async def ended() -> None:
        await asyncio.wait(waiting, timeout=PATIENCE_S)
        assert waiting[0].done()

    io.call(ended, "wait", patience_s=PATIENCE_S * 2)


# -- arguments ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout_s", [None, "x", float("nan"), float("inf"), -1, True, [], 1e12])
def test_a_timeout_that_is_none_is_refused_on_this_side_already(client, timeout_s):
    for call in (
        lambda: client.quote(tradable(client), timeout_s=timeout_s),
        lambda: client.market.quotes(tradable(client), timeout_s=timeout_s),
        lambda: client.account.holdings(timeout_s=timeout_s),
        lambda: client.positions(timeout_s=timeout_s),
        lambda: client.place(tradable(client), "BUY", 1, timeout_s=timeout_s),
    ):
        with pytest.raises(UsageError, match="timeout_s"):
            call()
    assert client.orders() == []


def test_a_timeout_is_read_kindly(client):
    assert client.margins(timeout_s="3")
    assert client.margins(timeout_s=D("3.5"))


@pytest.mark.parametrize(("blocking", "asynchronous", "name"), TWINS)
def test_parameters_are_those_of_the_async_method(blocking, asynchronous, name):
    ours = inspect.signature(getattr(blocking, name)).parameters
    theirs = inspect.signature(getattr(asynchronous, name)).parameters
    extra = [p for p in ours if p not in theirs]
    assert extra == (["inline"] if name.startswith("on_") and name != "on_batch" else [])
    for parameter, found in theirs.items():
        mine = ours[parameter]
        assert (mine.kind, mine.default, str(mine.annotation)) == (found.kind, found.default, str(found.annotation))
    assert bool(inspect.getdoc(getattr(blocking, name))) == bool(getattr(asynchronous, name).__doc__)
    assert not inspect.iscoroutinefunction(getattr(blocking, name))


def test_connect_takes_what_the_async_one_takes_but_the_runtime():
    ours = inspect.signature(dragoman.sync.connect).parameters
    theirs = inspect.signature(async_connect).parameters
    assert list(ours) == [name for name in theirs if name != "runtime"]
    assert all(ours[name].default == theirs[name].default for name in ours)


def test_the_checked_in_types_are_what_the_sources_say():
    kept = pathlib.Path(inspect.getfile(dragoman.sync)).with_name("client.pyi").read_text("utf-8")
    made, found = (ast.dump(_sorted_imports(ast.parse(text))) for text in (stub(), kept))
    assert found == made, "run: python -m dragoman.sync.stubs > python/dragoman/sync/client.pyi, and format it"


def _sorted_imports(tree: ast.Module) -> ast.Module:
    """Bring imports, which a formatter may group, into one form."""
    pairs = {
        (node.module, alias.name) for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    rest = [node for node in tree.body if not isinstance(node, ast.ImportFrom)]
    return ast.Module([*(ast.ImportFrom(m, [ast.alias(n)], 0) for m, n in sorted(pairs)), *rest], [])


# -- a session --------------------------------------------------------------------------------------------------------


def test_a_session_streams_and_trades(client):
    name = tradable(client)
    updates = client.order_updates()
    client.subscribe(name, "full")
    tick = next(client.ticks())
    assert tick.instrument_id == name.instrument_id
    order = client.place(name, "BUY", name.lot_size, product=Product.INTRADAY)
    done = client.wait_order(order)
    assert done.status is OrderStatus.FILLED
    assert next(u for u in updates if u.order.status.terminal).order.client_order_id == order.client_order_id
    assert sum(fill.quantity for fill in client.trades(order)) == name.lot_size
    assert any(p.instrument_id == name.instrument_id for p in client.positions())
    assert client.order(order.client_order_id).status is OrderStatus.FILLED
    assert client.margins()
    assert client.streams["market"].ready
    assert client.book(name).bid_price is not None
    assert "blocking" in repr(client)


def test_errors_are_raised_in_the_caller_as_they_are(client):
    with pytest.raises(UsageError, match="NOSUCHNAME"):
        client.quote("NSE:NOSUCHNAME")
    with pytest.raises(UsageError, match="NOSUCHNAME"):
        client.instrument("NSE:NOSUCHNAME")


def test_an_error_of_connecting_has_no_other_behind_it(tmp_path):
    with pytest.raises(UsageError, match="no adapter") as caught:
        dragoman.sync.connect("nobody", state_dir=str(tmp_path))
    assert caught.value.__context__ is None


def test_a_login_asks_on_the_calling_thread_and_its_failure_is_the_callers(broker, tmp_path):
    seen = []

    def refuse(url: str) -> None:
        seen.append(threading.current_thread())
        raise RuntimeError("no browser here")

    with pytest.raises(RuntimeError, match="no browser"):
        broker.connect(tmp_path, open_url=refuse)
    assert seen == [threading.current_thread()]


# -- handlers ---------------------------------------------------------------------------------------------------------


def test_a_queued_handler_may_call_the_client(client):
    found, asked, done = [], [], threading.Event()

    def look(update) -> None:
        found.append(client.order(update.order.client_order_id))
        if update.order.status is OrderStatus.OPEN and not asked:
            asked.append(client.cancel(update.order))
        if update.order.status is OrderStatus.CANCELED:
            done.set()

    client.on_order(look)
    resting(client)
    assert done.wait(PATIENCE_S)
    assert all(order is not None for order in found)
    assert client.counters()["handler_errors"] == 0


def test_a_blocked_handler_loses_no_order_event_and_holds_up_no_call(client):
    entered, release = threading.Event(), threading.Event()
    complete, queued = client.order_updates(), []

    def block(update) -> None:
        entered.set()
        assert release.wait(PATIENCE_S)
        queued.append(update)

    client.on_order(block)
    for _ in range(3):
        order = resting(client)
        client.cancel(order)
        assert client.wait_order(order).status is OrderStatus.CANCELED
    assert entered.wait(PATIENCE_S)
    assert client.counters()["queued"]["waiting"] > 0
    metrics = client.metrics
    release.set()
    client.close()
    assert queued == list(complete)
    assert len(queued) >= 9
    assert metrics.latencies()["queued_handler"]["count"] == len(queued)
    assert "dragoman_queued_handler_seconds_count" in metrics.prometheus()


def test_ticks_conflate_for_a_blocked_handler_and_are_counted(client):
    name = tradable(client)
    entered, release, seen = threading.Event(), threading.Event(), []

    def block(tick) -> None:
        entered.set()
        assert release.wait(PATIENCE_S)
        seen.append(tick)

    client.on_tick(block)
    every = threading.Semaphore(0)
    newest = []
    client.on_batch(lambda batch: newest.extend(batch))
    client.on_batch(lambda batch: every.release())
    client.subscribe(name, "ltp")
    for _ in range(4):
        assert every.acquire(timeout=PATIENCE_S)
    assert entered.is_set()
    assert client.counters()["queued"]["conflated"] >= 2
    client.unsubscribe(name)
    release.set()
    client.close()
    assert len(seen) < len(newest)
    assert seen[-1] == newest[-1]


def test_a_method_called_on_the_io_thread_is_refused_before_doing_anything(client):
    caught, done = [], threading.Event()
    name = tradable(client)

    def inline(update) -> None:
        try:
            client.place(name, "BUY", name.lot_size)
        except UsageError as error:
            caught.append(error)
        done.set()

    end = client.on_order(inline, inline=True)
    resting(client)
    assert done.wait(PATIENCE_S)
    end()
    assert "I/O thread" in str(caught[0])
    assert len(client.orders()) == len({o.order_id for o in client.orders()})
    assert not [o for o in client.orders(refresh=False) if o.status is OrderStatus.DENIED]


def test_a_stall_longer_than_the_heartbeat_gaps_every_stream_and_names_the_handler(client):
    gaps, ready = [], threading.Event()

    def note(event) -> None:
        if isinstance(event, Gap):
            gaps.append(event)
        if isinstance(event, StreamState) and event.state == "ready" and gaps:
            ready.set()

    client.on_event(note)
    session = client._engine.client.session
    client._engine.run(lambda: session._on_stall(Stall(0.5, "strategy.short")), "stall")
    assert client.streams["market"].ready
    client._engine.run(lambda: session._on_stall(Stall(3600.0, "strategy.slow")), "stall")
    assert ready.wait(PATIENCE_S)
    assert "strategy.slow" in gaps[0].reason
    assert "heartbeat" in gaps[0].reason
    assert session.stalls == 2


# -- interruption, forks, the end -------------------------------------------------------------------------------------


def test_an_interrupted_caller_leaves_the_order_on_its_way(client):
    name = tradable(client)

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        order = resting(client)
        timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            client.wait_order(order, timeout_s=PATIENCE_S)
        timer.join()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert client.counters()["queued"]["detached"] >= 1
    assert client.cancel(order).client_order_id == order.client_order_id
    assert client.wait_order(order).status is OrderStatus.CANCELED
    assert client.ltp(name)


def test_an_interrupted_place_still_places_its_order_once(client):
    name, release, updates = tradable(client), threading.Event(), client.order_updates()
    known = {order.order_id for order in client.orders()}

    def interrupt(signum, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    try:
        # While the I/O thread is kept busy the order cannot come back before the interrupt comes.
        client._engine.io.post(lambda: release.wait(PATIENCE_S))
        timer = threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            client.place(name, "BUY", name.lot_size, product=Product.INTRADAY)
        timer.join()
    finally:
        release.set()
        signal.signal(signal.SIGUSR1, before)
    filled = next(update.order for update in updates if update.order.status is OrderStatus.FILLED)
    assert {order.order_id for order in client.orders()} - known == {filled.order_id}


def test_after_a_fork_the_handle_refuses_and_the_parent_lives_on(client):
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            client.orders()
            answer = "no error"
        except UsageError as error:
            answer = str(error)
        except BaseException as error:  # noqa: BLE001 - a child must end here, whatever happens
            answer = repr(error)
        os.write(write, answer.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    assert "fork" in answer
    assert client.margins()


def test_a_closed_client_refuses_and_its_iterators_end(broker, tmp_path):
    client = broker.connect(tmp_path)
    ticks = client.ticks()
    client.close()
    client.close()
    assert list(ticks) == []
    with pytest.raises(UsageError, match="closed"):
        client.orders()


def test_a_program_that_never_closes_ends_cleanly(broker, tmp_path):
    import subprocess
    import sys

    wanted = {credential.name for credential in broker.adapter.credentials}
    program = f"""
import urllib.request, dragoman.sync
client = dragoman.sync.connect("zerodha", "test", environment="emulator", state_dir={str(tmp_path)!r},
    overrides={{"hosts": {{"rest": {broker.roots.rest!r}, "ws": {broker.roots.ws!r}, "login": {broker.roots.login!r}}},
    "credentials": { {k: v for k, v in broker.emulator.credentials.items() if k in wanted}!r},
    "redirect_port": {broker.redirect_port}}}, open_url=lambda url: urllib.request.urlopen(url).close())
client.on_order(print)
client.subscribe(next(i for i in client.instruments if i.tradable), "full")
print("ticking", next(client.ticks()).instrument >= 0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "ticking True\n", "")


# -- the thread itself ------------------------------------------------------------------------------------------------


@pytest.fixture
def io():
    thread = IoThread("test-io")
    yield thread
    thread.stop()


def test_work_that_was_never_begun_is_not_sent_and_never_runs(io):
    release, ran = threading.Event(), []
    io.post(lambda: release.wait(PATIENCE_S))

    async def work() -> None:
        ran.append(1)

    with pytest.raises(NotSent, match="nothing was begun"):
        io.call(work, "work", patience_s=0.05)
    release.set()
    io.run(lambda: None, "flush")
    assert not ran


def test_work_under_way_goes_on_without_its_caller(io):
    import asyncio

    gate, done = asyncio.Event(), threading.Event()

    async def work() -> None:
        await gate.wait()
        done.set()

    with pytest.raises(OutcomeUnknown, match="goes on"):
        io.call(work, "work", patience_s=0.05)
    assert io.detached == 1
    io.post(gate.set)
    assert done.wait(PATIENCE_S)


def test_a_call_from_the_thread_itself_is_refused(io):
    def inside() -> str:
        with pytest.raises(UsageError, match="I/O thread") as caught:
            io.run(lambda: None, "inner")
        return str(caught.value)

    assert "inner" in io.run(inside, "outer")


def test_there_is_one_io_thread_a_process():
    assert shared_io_thread() is shared_io_thread()


# -- margin ----------------------------------------------------------------------------------------------------------


def test_the_margin_is_followed_watched_and_told_of_from_a_plain_thread(client):
    heard, margin = threading.Event(), client.margin
    before = margin.ready(timeout_s=PATIENCE_S)["EQUITY"]
    end = margin.threshold("EQUITY", below=before.net, hysteresis=0, callback=lambda alert: heard.set())
    watched = margin.watch()
    assert next(watched).net is not None
    order = resting(client)
    assert heard.wait(PATIENCE_S)
    assert margin.now()["EQUITY"].net < before.net
    end()
    client.cancel(order)
    assert margin.counters()["bound_broken"] == 0
    assert margin.counters()["alerts"] >= 1


def test_a_threshold_without_a_limit_is_refused_on_the_calling_thread(client):
    with pytest.raises(UsageError, match="0 limits are given"):
        client.margin.threshold("EQUITY")
