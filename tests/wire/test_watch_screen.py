"""The live screen in a terminal, over a client on loopback: keys do what they say, and what is shown is what is so."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import select
import signal
import struct
import sys
import termios
import time
from contextlib import asynccontextmanager
from decimal import Decimal as D
from zoneinfo import ZoneInfo

import pytest

from dragoman.cli.watch import check_textual
from dragoman.cli.watch.cells import exact_price, figure, units
from dragoman.cli.watch.model import WatchModel
from dragoman.cli.watch.screen import Help, Question, WatchApp
from dragoman.errors import AccountBusy, Rejected, UsageError
from dragoman.model import OrderStatus, Side
from dragoman.runtime.loops import new_event_loop
from dragoman.runtime.real import RealRuntime
from wire.ruled import hold, move
from wire.shell import Shell
from wire.trading import INFY, SBIN, world

SIZE = (150, 46)


class Looked:
    """A screen that is driven: the world behind it, and what its panes say."""

    def __init__(self, here, model, app, pilot) -> None:
        self.world, self.model, self.app, self.pilot = here, model, app, pilot

    def rows(self, pane: str) -> list[dict[str, str]]:
        """Return the text of every cell there is room for, row by row."""
        listing = self.app.listings[pane]
        return [listing.text_of(at) for at in range(len(listing.rows_shown))]

    def drawn(self, pane: str) -> str:
        return self.app.drawings[pane].plain

    def title(self, pane: str) -> str:
        return (self.app.listings | self.app.drawings)[pane].words

    async def until(self, condition) -> None:
        async with asyncio.timeout(30):
            while not condition():
                await self.pilot.pause(0.02)

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def ended(self) -> None:
        await self.until(lambda: not self.app.acts)


@asynccontextmanager
async def screen(runtime, folder, *, trading=True, size=SIZE, names=(), before=None, **options):
    async with world(runtime, state_dir=str(folder), read_only=options.pop("read_only", False), **options) as here:
        if before is not None:
            await before(here)
        model = WatchModel(here.client, names, trading=trading)
        model.open()
        app = WatchApp(model, zone=ZoneInfo("Asia/Kolkata"), timeout_s=5.0, refresh_s=0.1)
        try:
            async with app.run_test(size=size) as pilot:
                await pilot.pause(0.1)
                yield Looked(here, model, app, pilot)
        finally:
            await model.close()


def driven(folder, scenario, **options):
    """Run `scenario(looked)` on a real loop, over sockets of this machine."""

    async def run(runtime):
        async with asyncio.timeout(50), screen(runtime, folder, **options) as looked:
            await scenario(looked)

    runtime = RealRuntime()
    try:
        with asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(run(runtime))
    finally:
        runtime.close()


# -- what is shown -----------------------------------------------------------------------------------------------------


def test_every_pane_shows_what_the_client_says(tmp_path):
    async def before(here):
        await hold(here, 100)
        await here.rest()
        with pytest.raises(Rejected):
            await here.client.place(SBIN, "BUY", 900_000, order_type="LIMIT", price=here.venue.listing(SBIN).reference)

    async def scenario(on):
        client = on.world.client
        await move(on.world, 5)
        await on.until(lambda: on.model.margins() and on.rows("positions")[0]["mark"] == exact_price(on.world.price(5)))
        (row,) = client.portfolio.live.rows()
        (shown,) = on.rows("positions")
        assert (shown["instrument"], shown["quantity"]) == (INFY, units(row.quantity))
        assert (shown["average"], shown["mark"]) == (exact_price(row.average_price), exact_price(row.last_price))
        assert shown["unrealised"] == figure(row.unrealised_pnl, sign=True)
        pnl = client.portfolio.live.totals()["INR"]
        assert f"total {figure(pnl.realised + pnl.unrealised, sign=True)}" in on.drawn("totals")
        told = [(one["instrument"], one["filled"], one["status"]) for one in on.rows("orders")]
        assert told == [(INFY, "0/10", "OPEN"), (SBIN, "0/900,000", "REJECTED"), (INFY, "100/100", "FILLED")]
        assert on.rows("orders")[1]["why"].startswith("FREEZE_QTY_EXCEEDED: ")
        book = client.book(INFY)
        await on.until(lambda: figure(book.bid_price) in on.drawn("ladder"))
        assert figure(book.ask_price) in on.drawn("ladder")
        assert "STALE" not in on.drawn("ladder")
        for segment, margin in client.margin.now().items():
            await on.until(lambda segment=segment: f"{segment}" in on.drawn("margins"))  # drawn after it was read
            assert f"used {figure(margin.used.total, 0)}, usable {figure(margin.net, 0)}" in on.drawn("margins")
        for name, one in client.session.limiter.state().items():
            assert any(line.startswith(name) and f"/{one['count']}" in line for line in on.drawn("lanes").split("\n"))
        assert on.rows("streams")[0]["state"] == "ready"
        assert on.drawn("heading").startswith(f" EMULATOR  test@{client.session.adapter.name} (")
        assert " TRADING" in on.drawn("heading")

    driven(tmp_path, scenario, before=before)


def test_a_stale_stream_is_marked_in_every_number_that_hangs_on_it(tmp_path):
    async def before(here):
        await hold(here, 100)
        await here.rest()

    async def scenario(on):
        await move(on.world, 5)
        await on.until(lambda: not on.rows("positions")[0]["mark"].endswith("?"))
        await on.world.cut()
        await on.until(lambda: on.rows("positions")[0]["mark"].endswith("?"))
        (row,) = on.rows("positions")
        assert row["unrealised"].endswith("?")
        assert "1 stale" in on.drawn("totals")
        assert "STALE: the market stream is" in on.drawn("ladder")
        assert on.rows("prices")[0]["last"].endswith("?")
        assert "STALE" in on.title("orders")
        assert on.rows("orders")[0]["status"] == "OPEN?"
        assert on.rows("streams")[0]["state"] in ("waiting", "stale", "connecting")
        assert any(alert["what"] == "gap" for alert in on.rows("alerts"))
        on.world.heal()
        await on.until(lambda: on.world.client.streams["market"].ready)
        await move(on.world, 8)
        await on.until(lambda: not on.rows("positions")[0]["mark"].endswith("?"))
        await on.until(lambda: "STALE" not in on.drawn("ladder") + on.title("orders"))

    driven(tmp_path, scenario, before=before)


@pytest.mark.parametrize("size", [(150, 46), (100, 30), (80, 24), (50, 16), (20, 8)], ids=str)
def test_narrow_terminals_lose_columns_and_keep_what_matters(tmp_path, size):
    async def before(here):
        await hold(here, 100)

    async def scenario(on):
        await on.until(lambda: on.rows("positions"))
        (row,) = on.rows("positions")
        assert {"instrument", "quantity", "unrealised"} <= row.keys()
        assert {"instrument", "side", "filled", "status"} <= on.rows("orders")[0].keys()
        if size[0] >= 80:
            assert "mark" in row
        if size[0] >= 150:
            assert {"average", "realised", "value"} <= row.keys()
        assert "EMULATOR" in on.drawn("heading")

    driven(tmp_path, scenario, before=before, size=size)


# -- keys --------------------------------------------------------------------------------------------------------------


def test_a_key_cancels_the_order_that_is_selected(tmp_path):
    orders = []

    async def before(here):
        orders.append(await here.rest())
        orders.append(await here.rest(price=here.price(-30)))

    async def scenario(on):
        older, newer = (one.client_order_id for one in orders)
        await on.until(lambda: len(on.rows("orders")) == 2)
        await on.press("down", "c")
        assert isinstance(on.app.screen, Question)
        await on.press("n")
        assert not isinstance(on.app.screen, Question)
        assert {one.status for one in on.world.client.orders_service.store} == {OrderStatus.OPEN}
        await on.press("c", "y")
        await on.until(lambda: on.world.store.get(older).status is OrderStatus.CANCELED)
        await on.until(lambda: [one["status"] for one in on.rows("orders")] == ["OPEN", "CANCELED"])
        assert on.world.store.get(newer).status is OrderStatus.OPEN
        await on.ended()
        assert on.app.listings["orders"].selected.client_order_id == older  # the cursor went with its row

    driven(tmp_path, scenario, before=before)


def test_a_key_flattens_the_position_that_is_selected(tmp_path):
    async def before(here):
        await hold(here, 100)

    async def scenario(on):
        price = await move(on.world, 0)
        on.world.venue.place_external(INFY, Side.BUY, D(500), price)
        await on.until(lambda: on.rows("positions"))
        await on.press("x", "y")
        await on.until(lambda: on.rows("positions")[0]["quantity"] == "0")
        await on.ended()
        assert "100 of 100 exited" in on.rows("alerts")[0]["told"]
        (held,) = on.world.venue.positions(on.world.account)
        assert held.quantity == 0
        exits = [one for one in on.world.store if one.side is Side.SELL]
        assert [(one.filled_quantity, one.status) for one in exits] == [(100, OrderStatus.FILLED)]

    driven(tmp_path, scenario, before=before)


def test_a_key_kills_only_once_it_was_confirmed(tmp_path):
    async def before(here):
        await here.rest()

    async def scenario(on):
        client = on.world.client
        await on.press("K", "enter")
        assert not client.killed.engaged
        await on.press("K", "escape")
        assert not client.killed.engaged
        await on.press("K", "y")
        await on.until(lambda: client.killed.engaged and not client.killed.working)
        await on.until(lambda: "KILLED: engaged on the live screen" in on.drawn("heading"))
        await on.until(lambda: on.rows("orders")[0]["status"] == "CANCELED")
        with pytest.raises(Rejected):
            await on.world.rest()

    driven(tmp_path, scenario, before=before)


def test_kill_can_close_all_positions_too(tmp_path):
    async def before(here):
        await hold(here, 100)

    async def scenario(on):
        price = await move(on.world, 0)
        on.world.venue.place_external(INFY, Side.BUY, D(500), price)
        await on.press("K", "f")
        await on.until(lambda: on.rows("positions")[0]["quantity"] == "0")
        assert on.world.client.killed.flatten

    driven(tmp_path, scenario, before=before)


def test_without_trade_the_keys_say_so_and_nothing_is_sent(tmp_path):
    async def scenario(on):
        on.world.place_elsewhere()
        await on.until(lambda: on.rows("orders"))
        for key in ("c", "x", "K"):
            await on.press(key)
            assert not isinstance(on.app.screen, Question)
        assert [str(one.status) for one in on.world.live] == ["OPEN"]
        assert not on.world.client.killed.engaged
        assert "read-only" in on.rows("alerts")[0]["told"]
        assert "read-only" in on.drawn("heading")
        assert on.rows("orders")[0]["status"] == "OPEN"

    driven(tmp_path, scenario, trading=False, read_only=True)


def test_what_an_act_comes_to_is_told_also_where_it_is_refused(tmp_path):
    async def before(here):
        await here.rest()

    async def scenario(on):
        async def busy(*_, **__):
            raise AccountBusy("another process writes to this account", remedy="stop it")

        await on.until(lambda: on.rows("orders"))
        on.world.client.cancel = busy
        try:
            await on.press("c", "y")
            await on.until(lambda: any("another process writes" in one["told"] for one in on.rows("alerts")))
        finally:
            del on.world.client.cancel
        assert on.rows("orders")[0]["status"] == "OPEN"
        assert on.app.failure is None

    driven(tmp_path, scenario, before=before)


def test_keys_go_through_instruments_filters_and_sorts(tmp_path):
    async def before(here):
        await here.rest()
        done = await here.rest(price=here.price(-30))
        await here.client.cancel(done)
        await here.client.wait_order(done)

    async def scenario(on):
        await on.until(lambda: len(on.rows("prices")) == 2)
        assert on.title("ladder").endswith(SBIN)
        await on.press("n")
        assert on.title("ladder").endswith(INFY)
        assert [one[""] for one in on.rows("prices")] == [" ", "▸"]
        await on.press("n")
        assert on.title("ladder").endswith(SBIN)
        await on.press("p")
        assert on.title("ladder").endswith(INFY)
        assert len(on.rows("orders")) == 2
        await on.press("f")
        assert [one["status"] for one in on.rows("orders")] == ["OPEN"]
        assert on.title("orders") == "orders · 1 of 2, working, by life"
        await on.press("s")
        assert on.title("orders") == "orders · 1 of 2, working, by newest"
        await on.press("question_mark")
        assert isinstance(on.app.screen, Help)
        await on.press("x")  # closes the help, and does nothing else
        assert not isinstance(on.app.screen, (Help, Question))
        on.app.listings["prices"].focus()
        await on.press("up", "up", "enter")
        assert on.title("ladder").endswith(SBIN)
        await on.press("q")
        assert on.app._exit

    driven(tmp_path, scenario, before=before, names=[SBIN])


def test_what_ends_the_screen_is_raised_and_no_variable_is_printed(tmp_path, capsys):
    async def run(runtime):
        async with world(runtime, state_dir=str(tmp_path)) as here:
            model = WatchModel(here.client)
            model.open()
            app = WatchApp(model, zone=ZoneInfo("Asia/Kolkata"), refresh_s=0.02)
            secret_of_mine = "hunter2"
            model.lanes = lambda: {}[secret_of_mine]
            await app.run_async(headless=True, size=SIZE)
            await model.close()
            assert isinstance(app.failure, KeyError)

    runtime = RealRuntime()
    try:
        asyncio.run(run(runtime))
    finally:
        runtime.close()
    out = capsys.readouterr()
    assert "hunter2" not in out.out + out.err


# -- the command -------------------------------------------------------------------------------------------------------


def test_without_textual_the_command_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr("dragoman.cli.watch.find_spec", lambda name: None)
    with pytest.raises(UsageError, match="textual") as caught:
        check_textual()
    assert caught.value.remedy == "run: pip install 'dragoman[watch]'"
    ran = Shell(tmp_path)("watch", "zerodha")
    assert (ran.status, ran.out) == (2, "")
    assert "pip install 'dragoman[watch]'" in ran.line


def test_without_a_terminal_or_with_json_nothing_is_asked_of_a_broker(tmp_path):
    shell = Shell(tmp_path)
    assert "needs a terminal" in shell("watch", "zerodha").line
    assert "is not JSON" in shell("watch", "zerodha", "--json").line


def test_the_commands_other_than_watch_do_not_load_textual():
    import subprocess

    program = "import sys, dragoman.cli.app, dragoman.cli.watch.model; print('textual' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


class Terminal:
    """A real process on a pseudo-terminal of 150 by 46, and all it has written there."""

    def __init__(self, shell: Shell, *arguments: str) -> None:
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", SIZE[1], SIZE[0], 0, 0))
        self.before = termios.tcgetattr(theirs)
        self.theirs = theirs
        shell.env |= {"TERM": "xterm-256color", "COLUMNS": str(SIZE[0]), "LINES": str(SIZE[1])}
        self.process = shell.start(*arguments, stdin=theirs, stdout=theirs, stderr=theirs)
        self.shown = b""

    def until(self, *words: bytes) -> None:
        """Read until all words were written; it fails rather than hang, and says which were not."""
        deadline = time.monotonic() + 30
        while missing := [word for word in words if word not in self.shown]:
            ready, _, _ = select.select([self.ours], [], [], 1)
            assert time.monotonic() < deadline, (missing, self.shown[-2000:])
            self.shown += os.read(self.ours, 65536) if ready else b""

    def type(self, text: bytes) -> None:
        os.write(self.ours, text)

    def end(self) -> int:
        """Read on until the process is over; return its status."""
        while self.process.poll() is None:
            ready, _, _ = select.select([self.ours], [], [], 0.05)
            if ready:
                self.shown += os.read(self.ours, 65536)
        while select.select([self.ours], [], [], 0)[0]:
            self.shown += os.read(self.ours, 65536)
        assert termios.tcgetattr(self.theirs) == self.before  # as whoever sits there had it
        assert b"\x1b[?1049l" in self.shown  # and with what stood there before
        return self.close()

    def close(self) -> int:
        status = self.process.wait(30)
        os.close(self.ours)
        os.close(self.theirs)
        return status


def test_the_command_draws_on_a_terminal_trades_by_keys_and_leaves_it_whole(tmp_path):
    shell = Shell(tmp_path)
    with shell.emulator():
        assert shell("login").status == 0
        placed = shell("place", "BUY", 5, INFY, "--price", "1400", "--product", "INTRADAY", "--yes", "--json")
        assert placed.status == 0, placed.err
        screen = Terminal(shell, "watch", "zerodha", SBIN, "--trade")
        screen.until(b"EMULATOR", b"emulator@zerodha", b"TRADING", b"NSE:SBIN", b"NSE:INFY", b"OPEN")
        screen.type(b"c")
        screen.until(b"cancel BUY 5 NSE:INFY LIMIT 1,400.00")
        screen.type(b"y")
        screen.until(b"CANCELED")
        assert [one["status"] for one in shell("orders", "--json").json] == ["CANCELED"]
        screen.type(b"q")
        assert screen.end() == 0
        looking = Terminal(shell, "watch", "zerodha", SBIN)
        looking.until(b"read-only", b"NSE:SBIN")
        looking.process.send_signal(signal.SIGTERM)
        assert looking.end() == 143
        left = Terminal(shell, "watch", "zerodha", SBIN)
        left.until(b"read-only", b"NSE:SBIN")
        os.close(left.ours)  # the window is closed; this process was not given the terminal, so no signal comes
        os.close(left.theirs)
        assert left.process.wait(30) is not None
        wrong = Terminal(shell, "watch", "zerodha", "NSE:NOTHING")
        wrong.until(b"NSE:NOTHING")
        assert wrong.close() == 2
