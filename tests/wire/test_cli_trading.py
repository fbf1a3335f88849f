"""The commands that trade: what is asked before, and what is told after, for all that may become of a request."""

from __future__ import annotations

import json
import signal
from decimal import Decimal

import pytest

from wire.shell import Shell

REST = ("--price", "1400", "--product", "INTRADAY")


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    shell = Shell(tmp_path_factory.mktemp("shell"))
    with shell.emulator():
        assert shell("login").status == 0
        yield shell


@pytest.fixture
def resting(shell):
    """Id of an order that rests in the book."""
    ran = shell("place", "BUY", 5, "NSE:INFY", *REST, "--yes", "--json")
    assert (ran.status, ran.json["outcome"], ran.json["order"]["status"]) == (0, "confirmed", "OPEN"), ran.out
    return ran.json["order"]["order_id"]


def book(shell):
    """Every order and its status."""
    return [(one["order_id"], one["status"]) for one in shell("orders", "--json").json]


# -- asking first ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command",
    [
        ("place", "BUY", "1", "NSE:INFY"),
        ("modify", "1", "--price", "5"),
        ("cancel", "1"),
        ("gtt", "place", "SELL", "1", "NSE:SBIN", "--trigger", "700", "--price", "699"),
        ("gtt", "modify", "1", "--quantity", "5"),
        ("gtt", "delete", "1"),
    ],
    ids=" ".join,
)
def test_without_a_terminal_nothing_is_sent_unless_yes_was_said(shell, command):
    before = book(shell)
    ran = shell(*command, typed="y\n")
    assert (ran.status, ran.out) == (2, "")
    assert "not asked at a terminal: EMULATOR emulator@zerodha (emu_ZZ0001) " in ran.line
    assert "--yes" in ran.line
    assert book(shell) == before


def test_the_question_names_environment_account_and_order(shell):
    ran = shell.terminal("place", "buy", "10", "NSE:INFY", *REST, "--json", typed="y\n")
    assert ran.err.startswith("EMULATOR emulator@zerodha (emu_ZZ0001) place BUY 10 NSE:INFY LIMIT 1400 INTRADAY? [y/N]")
    assert (ran.status, ran.json["outcome"]) == (0, "confirmed")
    assert shell("cancel", ran.json["order"]["order_id"], "--yes").status == 0


@pytest.mark.parametrize("answer", ["n\n", "\n", "\x04"], ids=["no", "nothing", "end"])
def test_any_answer_but_yes_is_no(shell, answer):
    before = book(shell)
    ran = shell.terminal("place", "BUY", "10", "NSE:INFY", *REST, typed=answer)
    assert (ran.status, ran.out) == (1, "")
    assert "nothing was sent" in ran.err
    assert book(shell) == before


def test_ctrl_c_at_the_question_sends_nothing(shell):
    before = book(shell)
    ran = shell.terminal("place", "BUY", "10", "NSE:INFY", *REST, typed=None)
    assert (ran.status, ran.out) == (130, "")
    assert "Traceback" not in ran.err
    assert book(shell) == before


# -- confirmed ---------------------------------------------------------------------------------------------------------


def test_a_market_order_is_told_as_it_ended(shell):
    ran = shell("place", "BUY", 2, "NSE:SBIN", "--product", "INTRADAY", "--tag", "mine", "--yes", "--json")
    told = ran.json
    assert (ran.status, told["outcome"], told["order"]["status"]) == (0, "confirmed", "FILLED")
    assert (told["order"]["filled_quantity"], told["order"]["tag"]) == ("2", "mine")
    assert Decimal(told["order"]["average_price"]) > 0
    assert told["error"] is None


def test_lots_and_stops(shell):
    future = next(
        row["instrument_id"] for row in shell("instruments", "reliance fut", "--type", "future", "--json").json
    )
    ran = shell("place", "BUY", 1, future, "--lots", "--price", "1300", "--product", "CARRY", "--yes", "--json")
    assert (ran.status, ran.json["order"]["quantity"]) == (0, "500")
    assert shell("cancel", ran.json["order"]["order_id"], "--yes").status == 0
    assert "not a whole number" in shell("place", "BUY", "1.5", future, "--lots", "--yes").line
    terms = ("--trigger", "1395", "--price", "1390", "--product", "INTRADAY", "--yes", "--json")
    stop = shell("place", "SELL", 1, "NSE:INFY", *terms)
    order = stop.json["order"]
    assert (order["order_type"], order["status"]) == ("STOP_LIMIT", "TRIGGER_PENDING")
    assert shell("cancel", order["order_id"], "--yes").status == 0


def test_an_order_is_changed_and_canceled_by_another_process_than_placed_it(shell, resting):
    ran = shell("modify", resting, "--price", "1401", "--quantity", 4, "--yes", "--json")
    assert (ran.status, ran.json["outcome"]) == (0, "confirmed")
    order = ran.json["order"]
    assert (Decimal(order["price"]), order["quantity"], order["pending"]) == (1401, "4", "NONE")
    ran = shell("cancel", resting, "--yes")
    assert ran.status == 0
    assert ran.out.startswith(f"confirmed: {resting} BUY 4 NSE:INFY LIMIT 1401.00 CANCELED")


# -- rejected and refused ----------------------------------------------------------------------------------------------


def test_a_rejected_order_says_why(shell):
    ran = shell("place", "BUY", 2000, "NSE:TCS", "--price", "3100", "--yes", "--json")
    told = ran.json
    assert (ran.status, told["outcome"]) == (3, "rejected")
    assert (told["error"]["kind"], told["error"]["effect"]) == ("INSUFFICIENT_MARGIN", "NONE")
    assert told["order"]["status"] == "REJECTED"
    ran = shell("place", "BUY", 2000, "NSE:TCS", "--price", "3100", "--yes")
    assert ran.out.startswith("rejected: ")
    assert "margin" in ran.out.lower()


def test_a_wrong_order_is_refused_with_the_nearest_price(shell):
    ran = shell("place", "BUY", 1, "NSE:INFY", "--price", "1400.03", "--yes")
    assert (ran.status, ran.out) == (2, "")
    assert "1400" in ran.line
    assert "unknown instrument" in shell("place", "BUY", 1, "NSE:INFO", "--yes").line
    assert "use one of BUY, SELL" in shell("place", "HOLD", 1, "NSE:INFY", "--yes").line


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("NSE:INFY", "BUY", "10"), "side 'NSE:INFY' is unknown (write it as: dragoman place BUY 10 NSE:INFY)"),
        (
            ("BUY", "NSE:INFY", "10"),
            "quantity 'NSE:INFY' is not a number (write it as: dragoman place BUY 10 NSE:INFY)",
        ),
        (("BUY", "ten", "NSE:INFY"), "quantity 'ten' is not a number (give a finite number"),
        (("BUY", "1", "NSE:INFY", "--product", "HOUSE"), "product 'HOUSE' is unknown (use one of DELIVERY"),
        (("BUY", "1", "NSE:INFY", "--validity", "LONG"), "time_in_force 'LONG' is unknown"),
        (("BUY", "1", "NSE:INFY", "--type", "STOP"), "order_type 'STOP' is unknown"),
    ],
)
def test_wrong_words_are_refused_before_anybody_is_asked(shell, words, says):
    ran = shell("place", *words)
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.line
    assert "not asked" not in ran.line


def test_changes_that_cannot_be_are_refused(shell, resting):
    assert "nothing to change" in shell("modify", resting, "--yes").line
    assert shell("cancel", resting, "--yes").status == 0
    ran = shell("cancel", resting, "--yes")
    assert ran.status == 2
    assert "CANCELED already" in ran.line
    assert "no order 'nosuch'" in shell("cancel", "nosuch", "--yes").line


# -- lost answers ------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def faulty(tmp_path_factory):
    """Make a shell at an emulator with faults, logged in."""
    made = []

    def start(faults: str) -> Shell:
        shell = Shell(tmp_path_factory.mktemp("faulty"))
        serving = shell.emulator("--faults", faults)
        serving.__enter__()
        made.append(serving)
        assert shell("login").status == 0
        return shell

    yield start
    for serving in made:
        serving.__exit__(None, None, None)


def test_an_order_whose_answer_was_lost_is_found_in_the_brokers_book(faulty):
    shell = faulty("drop_reply@POST /orders*1")
    ran = shell("place", "BUY", 5, "NSE:INFY", *REST, "--yes", "--json", "--timeout", 1)
    assert (ran.status, ran.json["outcome"], ran.json["order"]["status"]) == (0, "confirmed", "OPEN")
    assert len(shell("orders", "--json").json) == 1


@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_an_order_that_cannot_be_found_is_unknown_and_nobody_is_told_to_send_it_again(faulty, form):
    shell = faulty("drop_request@POST /orders*1")
    ran = shell("place", "BUY", 5, "NSE:INFY", *REST, "--yes", "--timeout", 1, *form)
    assert ran.status == 4
    if form:
        assert ran.json["outcome"] == "unknown"
        assert ran.json["order"]["status"] == "UNKNOWN"
        assert ran.json["order"]["wire_id"] in ran.json["advice"]
        said = ran.json["advice"]
    else:
        assert ran.out.startswith("UNKNOWN: ")
        said = ran.out
    assert "Do not place it again" in said
    assert "dragoman orders" in said
    assert shell("orders", "--json").json == []


def test_a_cancel_whose_answer_was_lost_is_proven_by_the_book_or_unknown(faulty):
    shell = faulty("drop_reply@DELETE /orders*1")
    order = shell("place", "BUY", 5, "NSE:INFY", *REST, "--yes", "--json").json["order"]["order_id"]
    ran = shell("cancel", order, "--yes", "--json", "--timeout", 1)
    assert (ran.status, ran.json["outcome"], ran.json["order"]["status"]) == (0, "confirmed", "CANCELED")
    lost = faulty("drop_request@DELETE /orders*1")
    order = lost("place", "BUY", 5, "NSE:INFY", *REST, "--yes", "--json").json["order"]["order_id"]
    ran = lost("cancel", order, "--yes", "--timeout", 1)
    assert ran.status == 4
    assert f"dragoman orders {order}" in ran.out
    assert lost("orders", "--open", "--json").json[0]["order_id"] == order


def test_an_order_that_never_left_is_said_to_be_not_sent(faulty):
    shell = faulty("http:429@POST /orders*1")
    ran = shell("place", "BUY", 5, "NSE:INFY", *REST, "--yes", "--json")
    assert (ran.status, ran.json["outcome"], ran.json["error"]["kind"]) == (7, "not_sent", "RATE_LIMITED")


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_waits_for_the_outcome_and_a_second_one_leaves_with_a_warning(faulty, times):
    shell = faulty("delay_reply=3s@POST /orders*1")
    with shell.start("place", "BUY", 5, "NSE:INFY", *REST, "--yes", "--json") as process:
        shell.until("orders", "--json", holds=lambda ran: ran.status == 0 and ran.json)  # the broker has it
        process.send_signal(signal.SIGINT)
        assert "waiting for the answer" in process.stderr.readline()
        if times == 2:
            process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    if times == 1:
        assert (process.returncode, json.loads(out)["outcome"]) == (0, "confirmed")
    else:
        assert (process.returncode, out) == (130, "")
        assert "UNKNOWN: it may have been carried out. Do not send it again" in err
        assert "Traceback" not in err


# -- triggers ----------------------------------------------------------------------------------------------------------


def test_a_trigger_is_placed_changed_and_deleted(shell):
    legs = ("--trigger", "1000", "--price", "1001", "--trigger", "700", "--price", "699")
    ran = shell("gtt", "place", "SELL", 10, "NSE:SBIN", *legs, "--yes", "--json")
    assert (ran.status, ran.json["outcome"]) == (0, "confirmed")
    gtt = ran.json["gtt_id"]
    (found,) = [one for one in shell("gtt", "list", "--json").json if one["gtt_id"] == gtt]
    assert [leg["trigger_price"] for leg in found["legs"]] == ["700", "1000"]  # the lower one first
    assert shell("gtt", "modify", gtt, "--quantity", 5, "--yes").out == f"confirmed: trigger {gtt} modified\n"
    (found,) = [one for one in shell("gtt", "list", "--json").json if one["gtt_id"] == gtt]
    assert {leg["quantity"] for leg in found["legs"]} == {"5"}
    table = shell("gtt", "list").out
    assert gtt in table
    assert max(map(len, table.splitlines())) <= 80
    assert "name all" in shell("gtt", "modify", gtt, "--price", "5", "--yes").line
    assert shell("gtt", "delete", gtt, "--yes").status == 0
    ran = shell("gtt", "delete", gtt, "--yes", "--json")
    assert (ran.status, ran.json["outcome"]) == (3, "rejected")
    assert gtt not in [one["gtt_id"] for one in shell("gtt", "list", "--json").json]


def test_triggers_that_do_not_fit_together_are_refused(shell):
    ran = shell("gtt", "place", "SELL", 10, "NSE:SBIN", "--trigger", "700", "--yes")
    assert ran.status == 2
    assert "1 triggers and 0 prices" in ran.line


def test_a_trigger_whose_answer_was_lost_is_unknown(faulty):
    shell = faulty("drop_reply@POST /gtt*1")
    legs = ("--trigger", "700", "--price", "699", "--yes", "--timeout", 1)
    ran = shell("gtt", "place", "SELL", 10, "NSE:SBIN", *legs)
    assert ran.status == 4
    assert "dragoman gtt list" in ran.out
    assert "do not place it again" in ran.out
    assert len(shell("gtt", "list", "--json").json) == 1
