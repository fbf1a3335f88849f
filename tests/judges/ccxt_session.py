"""What sessions through `ccxt` share: checks, counted calls, and the way to run.

Runs in the library's own environment: nothing of dragoman is importable here. A session prints one JSON line per check
and the methods called. Its checks without a socket run one by one, those that
watch together on one connected object of `ccxt.pro`.
"""

import asyncio
import inspect
import itertools
import json
import os
import sys
import time
import traceback

import ccxt

WHERE = json.loads(sys.argv[1])
KEY, SECRET = WHERE["credentials"]["api_key"], WHERE["credentials"]["api_secret"]
WAIT_S = 10.0
CHECKS = []
CALLED = {}


def check(function):
    CHECKS.append(function)
    return function


class Counted:
    """A library object, unchanged; remembers which methods each check called."""

    check = ""

    def __init__(self, sdk):
        self.sdk = sdk

    def __getattr__(self, name):
        value = getattr(self.sdk, name)
        if callable(value):
            CALLED.setdefault(name, set()).add(Counted.check)
        return value


def until(question, what):
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if found := question():
            return found
        time.sleep(0.05)
    raise AssertionError(f"waited {WAIT_S} s for {what}")


def refused(kind, call, text):
    """Hold that a call ends in an error whose text says so: of exactly this kind, of any where that is `BaseError`."""
    try:
        got = call()
    except ccxt.BaseError as error:
        found = error
    else:
        raise AssertionError(f"not refused: {got!r}")
    assert kind in (type(found), ccxt.BaseError), f"{type(found).__name__}: {found}"
    assert text in str(found), str(found)


async def seen(watch, wanted):
    """Watch until an item satisfies `wanted`, and return it."""
    async with asyncio.timeout(WAIT_S):
        while True:
            found = await watch()
            for one in found if isinstance(found, list) else [found]:
                if wanted(one):
                    return one


def told(function, detail):
    print(json.dumps({"check": function.__name__, "ok": not detail, "detail": detail}), flush=True)


async def _watching(functions, connected):
    pro = Counted(connected())
    try:
        await pro.load_markets()
        for function in functions:
            Counted.check = function.__name__
            detail = ""
            try:
                await function(pro)
            except Exception:  # noqa: BLE001 (a failed check must not hide the next one)
                detail = traceback.format_exc(limit=-3)
            told(function, detail)
    finally:
        await pro.sdk.close()


def run(connected):
    """Run all checks in their order and leave; `connected` makes the library's object that watches."""
    for watches, functions in itertools.groupby(CHECKS, inspect.iscoroutinefunction):
        if watches:
            asyncio.run(_watching(list(functions), connected))
            continue
        for function in functions:
            Counted.check = function.__name__
            detail = ""
            try:
                function()
            except Exception:  # noqa: BLE001 (a failed check must not hide the next one)
                detail = traceback.format_exc(limit=-3)
            told(function, detail)
    print(json.dumps({"table": "calls", "rows": {name: sorted(checks) for name, checks in sorted(CALLED.items())}}))
    sys.stdout.flush()
    os._exit(0)
