"""The benchmarks' report says what was found: goals, losses, and what changed since another run."""

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import pytest
from benchmarks.compare import change, compare
from benchmarks.measure import Curve, Section, Value, faster, quantiles, share, timing, timing_of_calls
from benchmarks.page import html
from benchmarks.report import from_json, markdown, to_json

FACTS = {"processor": "one & only", "run": "now"}
VOID = {"meta", "br"}


def row(ours, theirs, goal=None, make=faster, question="a question"):
    return make(question, timing(ours), "a peer", timing(theirs), goal)


def sections(*findings):
    return [Section("name", "A title", "A method with a < in it.", findings)]


def everything():
    singly = timing_of_calls([[100.0, 110.0, 190.0], [100.0, 120.0, 130.0]])
    return sections(
        row([1.0, 2.0], [100.0, 220.0], 50.0),
        row([1.0, 2.0], [100.0, 220.0], 500.0, question="a goal that is missed"),
        share("latency", singly, "a floor", singly, 1.2),
        Value("weight", 300.0, "bytes", 320.0, 299.0, 301.0, "how"),
        Curve("growth", "instruments", "ns", {"ours": [(1, 5.0), (1000, 6.0)], "theirs": [(1, 9.0)]}, log_x=True),
    )


class Balance(HTMLParser):
    def __init__(self):
        super().__init__()
        self.open = []

    def handle_starttag(self, tag, attrs):
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        pass


def test_the_ratio_is_of_neighbouring_rounds_and_its_spread_beside_it():
    found = row([1.0, 2.0, 4.0], [10.0, 40.0, 120.0], 20.0)
    assert (found.ratio, found.ratios, found.spread) == (20.0, (10.0, 20.0, 30.0), (10.0, 30.0))
    assert found.best == 10.0
    assert found.met
    assert not found.slower


def test_a_share_is_met_from_below_and_says_that_ours_is_slower():
    found = row([12.0], [10.0], 1.3, share)
    assert found.met
    assert found.slower
    assert not row([14.0], [10.0], 1.3, share).met


def test_a_share_finer_than_the_calls_is_left_out():
    assert [one for one, _ in quantiles(range(100))][-2:] == [0.99, 1.0]


def test_markdown_names_missed_goals():
    report = markdown(everything(), FACTS)
    assert "at least 500x: MISSED" in report
    assert "at least 50x: met" in report
    assert "at most 320 bytes: met" in report


def test_the_page_is_well_formed_and_loads_nothing():
    page = html(everything(), FACTS)
    balance = Balance()
    balance.feed(page)
    assert balance.open == []
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    assert len(drawings) == 4
    for drawing in drawings:
        assert "nan" not in ET.tostring(ET.fromstring(drawing), "unicode").lower()
    assert not re.search(r"<script|<link|<img|@import|url\(|https?:", page)
    assert "one &amp; only" in page
    assert "1 of 4" not in page
    assert "3 of 4" in page


def test_a_run_comes_back_from_its_json():
    data = json.loads(json.dumps(to_json(everything(), FACTS)))
    again = from_json(data)
    assert markdown(again, FACTS) == markdown(everything(), FACTS)
    with pytest.raises(ValueError, match="format"):
        from_json({"format": 2})


def test_a_change_within_the_spreads_is_noise():
    old, new = row([1.0, 1.0], [10.0, 20.0]), row([1.0, 1.0], [12.0, 22.0])
    assert "noise" in change(old, new)
    assert change(old, row([1.0, 1.0], [40.0, 60.0])) == "3.33x better"
    assert change(old, row([1.0, 1.0], [2.0, 4.0])).endswith("WORSE")
    assert change(Value("w", 300.0, "bytes"), Value("w", 150.0, "bytes")) == "2.00x better"


def test_two_files_are_compared_with_what_is_new_and_gone(tmp_path):
    runs = sections(row([1.0], [10.0])), sections(row([1.0], [40.0]), row([1.0], [5.0], question="another"))
    names = [tmp_path / "old.json", tmp_path / "new.json"]
    for name, run in zip(names, runs, strict=True):
        name.write_text(json.dumps(to_json(run, FACTS)))
    said = compare(*map(str, names))
    assert "10x -> 40x | 4.00x better" in said
    assert re.search(r"another .* new ", said)
