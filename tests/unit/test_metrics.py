"""What an account measures, and how it is written down."""

from __future__ import annotations

import pathlib
import re
from types import SimpleNamespace

import pytest

from dragoman._core import Histogram
from dragoman.connecting import connect
from dragoman.emulator.contract import Push
from dragoman.emulator.host import EmulatorHost
from dragoman.errors import DragomanError
from dragoman.model import Product
from dragoman.plugin.registry import emulator_factory, load_adapter
from dragoman.runtime.virtual import VirtualRuntime
from dragoman.session.exposition import Exposition
from dragoman.session.fanout import Fanout, Timing
from dragoman.session.metrics import Metrics, summary
from dragoman.testing.emulated import browser

SAMPLE = re.compile(r'^dragoman_[a-z_]+\{([a-z_]+="(?:[^"\\\n]|\\.)*",?)*\} -?(\d+(\.\d+)?(e[-+]\d+)?|\+Inf)$')


def parse(page: str) -> dict[str, float]:
    """Read a page, holding it to the format: each family announced once, its samples together."""
    announced, current, found = [], None, {}
    for line in page.splitlines():
        if line.startswith("# HELP "):
            current = line.split()[2]
            assert current not in announced
            announced.append(current)
        elif line.startswith("# TYPE "):
            assert line.split()[2] == current
        else:
            assert SAMPLE.match(line), line
            assert line.partition("{")[0] in {current, *(f"{current}_{end}" for end in ("bucket", "sum", "count"))}
            name, value = line.rsplit(" ", 1)
            assert name not in found
            found[name] = float(value)
    assert page.endswith("\n")
    return found


@pytest.fixture(scope="module")
def session():
    """Latencies, counters and the page of a short virtual session that streams and trades."""
    runtime = VirtualRuntime(seed=3)

    async def scenario():
        adapter = load_adapter("zerodha")
        emulator = emulator_factory(adapter)(3, runtime.clock.wall_ns(), redirect_port=5010)
        host = EmulatorHost(emulator, runtime)
        roots = await host.start()
        wanted = {credential.name for credential in adapter.credentials}
        overrides = {
            "hosts": {"rest": roots.rest, "ws": roots.ws, "login": roots.login},
            "credentials": {k: v for k, v in emulator.credentials.items() if k in wanted},
            "redirect_port": 5010,
        }
        async with connect(
            adapter,
            "metrics",
            environment="emulator",
            overrides=overrides,
            state_dir="/state",
            open_url=browser(runtime),
            runtime=runtime,
        ) as client:
            name = next(i for i in client.instruments if i.tradable and i.instrument_id.startswith("NSE:"))
            client.on_batch(lambda batch: None)
            client.subscribe(name, "full")
            await runtime.sleep(5)
            await client.wait_order(await client.place(name, "BUY", name.lot_size, product=Product.INTRADAY))
            with pytest.raises(DragomanError):
                await client.session.run(adapter.order("1", client.session.ctx))
            (number,) = emulator.ticker.sockets._clients
            for frame in ("no JSON", '{"type":"news"}', bytes((0, 1, 0, 5)) + b"12345"):
                host.deliver([Push(number, frame)])
            await runtime.sleep(1)
            found = client.metrics.latencies(), client.metrics.counters(), client.metrics.prometheus()
            client.metrics.reset()
            assert client.metrics.latencies() == {}
        await host.close()
        return found

    return runtime.run(scenario())


def test_every_phase_of_a_request_is_measured(session):
    latencies = session[0]
    assert {f"request.orders.{phase}" for phase in ("limiter", "connection", "first_byte", "whole")} <= set(latencies)
    orders = {name.rpartition(".")[2]: row for name, row in latencies.items() if name.startswith("request.orders.")}
    assert orders["whole"]["count"] == orders["limiter"]["count"] == orders["first_byte"]["count"] > 0
    assert orders["whole"]["max_us"] >= orders["first_byte"]["max_us"] > 0
    assert latencies["frame_to_handler"]["count"] > 0
    assert latencies["handler"]["count"] >= latencies["frame_to_handler"]["count"]


def test_the_page_has_every_latency_and_count(session):
    latencies, counters, page = session
    found = parse(page)

    def value(name: str, **labels: str) -> float:
        wanted = [f'{key}="{text}"' for key, text in labels.items()]
        hits = [v for k, v in found.items() if k.startswith(f"dragoman_{name}{{") and all(w in k for w in wanted)]
        assert len(hits) == 1, (name, labels, hits)
        return hits[0]

    assert value("frame_to_handler_seconds_count") == latencies["frame_to_handler"]["count"]
    assert value("request_seconds_count", meter="orders", phase="whole") == latencies["request.orders.whole"]["count"]
    assert value("stream_frames_total", stream="market") == counters["streams"]["market"]["frames"] > 0
    assert value("stream_ready", stream="market") == 1
    assert value("decode_errors_total", reason="truncated") == 0
    assert value("stream_gaps_total", stream="market") == 1  # a message nobody can read may have been an order's
    assert value("ticks_total") == counters["ticks"]
    assert value("loop_stalls_total") == 0
    assert value("throttled_total") == 0
    assert any("limit_left" in name for name in found)
    assert all('broker="zerodha"' in name for name in found)


DOCUMENT = pathlib.Path(__file__).parents[2] / "docs" / "metrics.md"


def test_every_metric_is_in_the_document_with_its_type_and_labels(session):
    page = session[2]
    documented = {}
    for line in DOCUMENT.read_text().splitlines():
        if line.startswith("| `dragoman_"):
            name, kind, _, labels, _ = (cell.strip() for cell in line.strip("|").split("|"))
            wanted = set(re.findall(r"`(\w+)`", labels)) | {"broker", "account"}
            documented[name.strip("`").removeprefix("dragoman_")] = (kind, wanted)
    kinds = {line.split()[2]: line.split()[3] for line in page.splitlines() if line.startswith("# TYPE ")}
    used: dict[str, set[str]] = {}
    for name in parse(page):
        family = name.partition("{")[0]
        if family not in kinds:
            family = re.sub("_(bucket|sum|count)$", "", family)
        used.setdefault(family, set()).update(set(re.findall(r'(\w+)="', name)) - {"le"})
    found = {name.removeprefix("dragoman_"): (kind, used[name]) for name, kind in kinds.items()}
    assert documented == found
    units = {"histogram": "_seconds", "counter": "_total"}
    assert all(name.endswith(units.get(kind, "")) for name, (kind, _) in found.items())


def test_failures_waits_and_what_cannot_be_read_are_counted(session):
    found = parse(session[2])

    def total(name):
        return sum(value for key, value in found.items() if key.startswith(f"dragoman_{name}{{"))

    assert total("request_failures_total") == 1
    assert any("request_failures_total{" in key and 'kind="' in key for key in found)
    assert total("requests_total") > 5
    assert total("stream_control_errors_total") == 1
    assert total("decode_errors_total") == 1
    assert total("stream_unknown_messages_total") >= 1
    assert total("limit_left") > 0
    assert total("sockets_held") == 1
    assert 0 <= total("stream_data_age_seconds") < 60


def test_buckets_rise_and_end_with_the_count(session):
    found = parse(session[2])
    buckets = [v for k, v in found.items() if "request_seconds_bucket" in k and 'orders",phase="whole"' in k]
    assert buckets == sorted(buckets)
    assert buckets[-1] == session[0]["request.orders.whole"]["count"]


def test_labels_are_escaped_and_times_are_seconds():
    page = Exposition({"account": 'a"b\\c\nd'})
    histogram = Histogram()
    histogram.record(1_500_000_000)
    page.histogram("wait_seconds", "A wait.", histogram)
    page.counter("things_total", "Things.", 2.5)
    found = parse(page.text())
    label = r'account="a\"b\\c\nd"'
    assert found[f"dragoman_wait_seconds_sum{{{label}}}"] == 1.5
    assert found[f'dragoman_wait_seconds_bucket{{{label},le="1"}}'] == 0
    assert found[f'dragoman_wait_seconds_bucket{{{label},le="2"}}'] == 1
    assert found[f"dragoman_things_total{{{label}}}"] == 2.5


def test_a_summary_names_its_quantiles_in_microseconds():
    histogram = Histogram()
    for ns in range(1000, 1_001_000, 1000):
        histogram.record(ns)
    found = summary(histogram)
    assert found["count"] == 1000
    assert found["p50_us"] == pytest.approx(500, rel=0.01)
    assert found["p99.99_us"] == found["max_us"] == 1000
    assert summary(Histogram()) == {"count": 0}


@pytest.mark.logs  # the handler that raises is logged
def test_a_fanout_measures_its_callbacks_one_that_raises_included(caplog):
    now = iter(range(0, 1000, 10))
    took, age = Histogram(), Histogram()
    fanout: Fanout[SimpleNamespace] = Fanout("test")
    fanout.measure(Timing(lambda: next(now), lambda: 107, took, age))
    fanout.publish(SimpleNamespace(ts_recv=1))  # nobody listens: nothing is measured
    fanout.add(lambda event: None)
    fanout.add(lambda event: 1 / 0)
    fanout.publish(SimpleNamespace(ts_recv=100))
    assert (took.count, took.minimum, took.maximum) == (2, 10, 10)
    assert (age.count, age.maximum) == (1, 7)
    assert "raised" in caplog.text


def test_a_meter_gets_one_histogram_a_phase():
    metrics = Metrics("examplebroker", lambda: "AB1234")
    assert metrics.phase("orders", "whole") is metrics.phase("orders", "whole")
    metrics.phase("orders", "first_byte").record(5_000)
    assert metrics.round_trips() == {"orders": summary(metrics.phase("orders", "first_byte"))}
    assert "p50 5 us" in repr(metrics)
    assert parse(metrics.prometheus())
