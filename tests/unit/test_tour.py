"""The notebook does what it says, from its first cell to its last, and is committed without outputs."""

from __future__ import annotations

import ast
import json
import pathlib

import nbformat
import pytest
from nbclient import NotebookClient

TOUR = pathlib.Path(__file__).resolve().parents[2] / "examples" / "tour.ipynb"


@pytest.fixture(scope="module")
def executed():
    notebook = nbformat.read(TOUR, as_version=4)
    resources = {"metadata": {"path": str(TOUR.parent)}}
    return NotebookClient(notebook, timeout=60, kernel_name="python3", resources=resources).execute()


def outputs(notebook, code: str):
    """Return the outputs of the one cell that contains `code`."""
    (cell,) = [cell for cell in notebook.cells if cell.cell_type == "code" and code in cell.source]
    return cell.outputs


def shown(notebook, code: str, form: str = "text/plain") -> str:
    """Return how the value of a cell is shown."""
    (result,) = [output for output in outputs(notebook, code) if output.output_type == "execute_result"]
    return result.data[form]


def printed(notebook, code: str) -> str:
    return "".join(output.text for output in outputs(notebook, code) if output.output_type == "stream")


def test_it_is_committed_without_outputs():
    for cell in json.loads(TOUR.read_text())["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


def test_every_code_cell_runs_and_none_warns(executed):
    for cell in executed.cells:
        for output in cell.get("outputs", ()):
            assert output.output_type != "error"
            assert output.get("name") != "stderr", output.text


CLIENT = 'dragoman.connect("zerodha", "tour", **how)\nclient'


@pytest.mark.parametrize("code", [CLIENT, 'search("infosis"', "\ninfy", "\nquote", "await client.cancel(order)"])
def test_values_show_as_tables(executed, code):
    assert shown(executed, code, "text/html").startswith(("<table", "<div"))


def test_the_client_shows_its_environment(executed):
    assert "(emulator)" in shown(executed, CLIENT, "text/html")


def test_a_misspelt_name_is_found(executed):
    assert "NSE:INFY" in shown(executed, 'search("infosis"')


def test_ticks_reach_numpy_pandas_and_polars(executed):
    assert shown(executed, "kept[-1]").startswith("Tick(NSE:")
    assert "Name: last_price, dtype: float64" in shown(executed, "pd.Series(")
    assert "shape: (4, 3)" in shown(executed, "pl.concat(tables)")  # each of the four instruments ticked


def test_the_book_has_five_levels_a_side(executed):
    text = shown(executed, "book.snapshot(5)")
    assert text.startswith("BookSnapshot('NSE:INFY'")
    assert "stale" not in text
    bids, asks = text.split("asks=")
    assert bids.count("), (") == asks.count("), (") == 4


def test_the_order_lives_and_ends_as_told(executed):
    life = ast.literal_eval(shown(executed, "dict.fromkeys(life)"))
    statuses = list(dict.fromkeys(status for status, _ in life))
    assert statuses == ["SUBMITTED", "ACCEPTED", "OPEN", "CANCELED"]
    prices = list(dict.fromkeys(float(price) for _, price in life))
    assert len(prices) == 2
    assert prices[1] == pytest.approx(prices[0] + 0.1)
    assert "CANCELED" in shown(executed, "await client.cancel(order)")


def test_a_price_off_the_tick_is_refused_with_the_nearest(executed):
    assert "is off the tick of 0.1 (nearest valid:" in printed(executed, "dragoman.UsageError")


def test_what_was_bought_is_a_position_and_costs_margin(executed):
    assert "FILLED" in shown(executed, "table([bought]")
    row = shown(executed, "to_pandas(positions)").splitlines()[-1].split()
    assert row[1:4] == ["NSE:INFY", "INTRADAY", "5.0"]
    assert "Decimal('1998" in shown(executed, 'margins["EQUITY"]')  # of two millions


def test_candles_are_a_frame(executed):
    text = shown(executed, "to_polars(candles)")
    assert "NSE:INFY" in text
    assert "shape: (0" not in text


def test_the_blocking_face_closes_the_position(executed):
    assert shown(executed, "dragoman.sync.connect") == "(<OrderStatus.FILLED: 'FILLED'>, Decimal('0'))"
