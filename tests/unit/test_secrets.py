"""Secrets never appear: not in text made of them, not in logs, whatever way they got there."""

from __future__ import annotations

import copy
import gc
import io
import json
import logging
import pickle

import orjson
import pytest

from dragoman.session.secrets import Secret, guard_logging, redact

CANARY = 'canary+7/"é=s3cret'


@pytest.fixture
def log():
    """A logger that does not propagate, so that only the record guard stands between it and the stream."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s %(extra)s", defaults={"extra": ""}))
    logger = logging.getLogger("canaries")
    logger.propagate = False
    logger.addHandler(handler)
    unguard = guard_logging()
    yield logger, stream
    unguard()
    logger.removeHandler(handler)


@pytest.mark.parametrize("show", [repr, str, format, "{:>40}".format, "{!r}".format, lambda s: f"{[s]}", "%s".__mod__])
def test_text_made_of_a_secret_shows_stars(show):
    assert "canary" not in show(Secret(CANARY))
    assert "***" in show(Secret(CANARY))


@pytest.mark.parametrize(
    "take", [pickle.dumps, copy.copy, copy.deepcopy, json.dumps, orjson.dumps, hash, vars, "".join]
)
def test_a_secret_refuses_to_be_taken_along(take):
    with pytest.raises(TypeError) as raised:
        take(Secret(CANARY))
    assert "canary" not in str(raised.value)


def test_reveal_returns_the_value_and_equality_compares_it():
    assert Secret(CANARY).reveal() == CANARY
    assert Secret("same-value") == Secret("same-value")
    assert Secret("same-value") != Secret("other-value")
    assert Secret("same-value") != "same-value"
    assert not Secret("")


def test_a_secret_holds_text_only():
    with pytest.raises(TypeError, match="not bytes"):
        Secret(b"canary")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "line",
    [
        "token " + CANARY,
        "https://x/?t=canary%2B7%2F%22%C3%A9%3Ds3cret&b=1",
        json.dumps({"token": CANARY}),
        json.dumps({"token": CANARY}, ensure_ascii=False),
        repr({"token": CANARY}),
    ],
)
def test_redact_finds_every_spelling(line):
    secret = Secret(CANARY)
    assert "s3cret" not in redact(line)
    assert "***" in redact(line)
    assert secret.reveal() == CANARY


def test_a_longer_secret_that_contains_a_shorter_one_goes_whole():
    held = Secret("abcd-1234"), Secret("abcd-1234-wxyz")
    assert redact("x abcd-1234-wxyz y abcd-1234 z") == "x *** y *** z"
    assert len(held) == 2


def test_emulator_values_and_very_short_ones_are_left_alone():
    held = Secret("emu_key_1"), Secret("7")
    assert redact("emu_key_1 and 7") == "emu_key_1 and 7"
    assert held[0].emulated


def test_a_secret_that_was_never_revealed_is_forgotten_with_its_object():
    secret = Secret("unrevealed-canary")
    assert redact("unrevealed-canary") == "***"
    del secret
    gc.collect()
    assert redact("unrevealed-canary") == "unrevealed-canary"


def test_a_revealed_secret_stays_redacted_after_its_object_is_gone():
    secret = Secret("revealed-canary")
    secret.reveal()
    del secret
    gc.collect()
    assert redact("revealed-canary") == "***"


def test_log_messages_arguments_exceptions_stacks_and_extras_are_redacted(log):
    logger, stream = log
    secret = Secret(CANARY)
    logger.warning("plain " + secret.reveal())
    logger.warning("argument %s", secret.reveal())
    logger.warning("mapping %(x)r", {"x": secret.reveal()})
    try:
        raise ValueError(f"token {secret.reveal()} refused")
    except ValueError:
        logger.exception("failed")
    logger.warning("stack", stack_info=True)
    found = stream.getvalue()
    assert "s3cret" not in found
    assert found.count("***") >= 4
    assert "ValueError" in found
    assert "failed" in found


def test_extra_fields_are_redacted_on_root_handlers():
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(message)s %(url)s"))
    root = logging.getLogger()
    root.addHandler(handler)
    unguard = guard_logging()
    try:
        secret = Secret("extra-field-canary")
        root.warning("see", extra={"url": f"https://x/?t={secret.reveal()}"})
    finally:
        unguard()
        root.removeHandler(handler)
    assert stream.getvalue() == "see https://x/?t=***\n"


def test_a_record_whose_arguments_do_not_fit_is_disarmed(log, capsys):
    logger, stream = log
    secret = Secret("misfit-canary")
    logger.warning("%d of %s", secret.reveal())
    assert "misfit-canary" not in stream.getvalue() + capsys.readouterr().err
    assert "arguments do not fit" in stream.getvalue()


def test_a_record_without_secrets_keeps_its_arguments(log):
    logger, _ = log
    held = Secret("some-live-canary")
    records: list[logging.LogRecord] = []
    logger.addFilter(lambda record: records.append(record) or True)
    try:
        logger.warning("%s of %s", 1, 2)
    finally:
        logger.filters.clear()
    assert records[0].args == (1, 2)
    assert held


def test_guarding_twice_and_unguarding_restores_the_factory():
    before = logging.getLogRecordFactory()
    first, second = guard_logging(), guard_logging()
    assert first is second
    first()
    assert logging.getLogRecordFactory() is before
