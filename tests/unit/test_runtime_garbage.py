from __future__ import annotations

import gc

import pytest

from dragoman.runtime.real import RealRuntime
from dragoman.runtime.virtual import VirtualRuntime


@pytest.fixture(params=[RealRuntime, VirtualRuntime])
def runtime(request):
    return request.param()


def test_nothing_is_collected_inside_and_leaving_restores_it(runtime):
    assert gc.isenabled()
    with runtime.garbage_kept():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_the_last_of_several_restores_it_also_after_an_error(runtime):
    outer, inner = runtime.garbage_kept(), runtime.garbage_kept()
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)
    assert not gc.isenabled()
    inner.__exit__(None, None, None)
    assert gc.isenabled()
    with pytest.raises(ZeroDivisionError), runtime.garbage_kept():
        raise ZeroDivisionError
    assert gc.isenabled()


def test_a_collector_that_was_off_stays_off(runtime):
    gc.disable()
    try:
        with runtime.garbage_kept():
            assert not gc.isenabled()
        assert not gc.isenabled()
    finally:
        gc.enable()
