"""The kill switch's file: what it says, what damage makes of it, and who may release it."""

from __future__ import annotations

import errno
import os
import stat

import pytest

from dragoman.checks.kill import RELEASED_AT, KillSwitch
from dragoman.errors import NotSent, Rejected, UsageError
from dragoman.runtime.real_disk import RealDisk
from dragoman.runtime.virtual_disk import VirtualDisk

PATH = "/state/kill/account"
SIZE = 4096


def engaged(disk, path=PATH, *, why="too much", entropy=b"12345678", epoch=1, **more):
    switch = KillSwitch.open(disk, path, broker="examplebroker")
    switch.engage(switch.stop(entropy), who="process 7", why=why, ts=5, epoch=epoch, **more)
    return switch


def test_a_switch_that_was_never_used_is_off_and_its_file_belongs_to_its_owner(tmp_path):
    path = str(tmp_path / "kill" / "account")
    switch = KillSwitch.open(RealDisk(), path)
    assert (switch.engaged, switch.state().epoch, switch.state().damage) == (False, 0, "")
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_an_engaged_switch_is_so_for_everybody_and_after_a_restart(tmp_path):
    disk, path = RealDisk(), str(tmp_path / "account")
    other = KillSwitch.open(disk, path)
    engaged(disk, path, flatten=True)
    for switch in (other, KillSwitch.open(disk, path)):
        state = switch.state()
        assert (state.engaged, state.who, state.why, state.ts_changed) == (True, "process 7", "too much", 5)
        assert (state.flatten, state.epoch) == (True, 1)


def test_others_are_stopped_before_anything_is_on_the_disk():
    disk = VirtualDisk()
    first, second = KillSwitch.open(disk, PATH), KillSwitch.open(disk, PATH)
    calls = disk.calls
    first.stop(b"12345678")
    assert second.engaged
    assert disk.calls == calls
    with pytest.raises(NotSent, match="dropped on its way"):
        second.check()


def test_a_release_needs_the_token_of_this_engagement():
    disk = VirtualDisk()
    switch = engaged(disk)
    token = switch.token()
    for wrong in ("", "0" * 16, token[:-1]):
        with pytest.raises(UsageError, match="another engagement"):
            switch.release(wrong, who="me", ts=9)
    engaged(disk, entropy=b"87654321", epoch=2)
    with pytest.raises(UsageError, match="another engagement"):
        switch.release(token, who="me", ts=9)
    switch.release(switch.token(), who="me", ts=9)
    state = KillSwitch.open(disk, PATH).state()
    assert (state.engaged, state.who, state.epoch) == (False, "me", 2)
    with pytest.raises(UsageError, match="not engaged"):
        switch.token()


def test_a_release_that_is_overtaken_by_another_engagement_releases_nothing():
    disk = VirtualDisk()
    switch = engaged(disk)
    token, write = switch.token(), switch._write

    def overtaken(offset, half):
        switch._write = write
        engaged(disk, entropy=b"87654321", epoch=2)
        write(offset, half)

    switch._write = overtaken
    switch.release(token, who="me", ts=9)
    assert switch.engaged
    assert KillSwitch.open(disk, PATH).engaged


@pytest.mark.parametrize("damage", [False, True])
def test_a_release_that_is_overtaken_right_after_its_token_was_compared_releases_nothing(damage, monkeypatch):
    disk = VirtualDisk()
    switch = engaged(disk)
    if damage:
        disk.files[PATH][0][40] ^= 1
    token, compare = switch.token(), KillSwitch.token

    def overtaken(self):
        monkeypatch.undo()
        found = compare(self)
        engaged(disk, entropy=b"87654321", epoch=2, why="anew", flatten=True)
        return found

    monkeypatch.setattr(KillSwitch, "token", overtaken)
    switch.release(token, who="me", ts=9)
    state = KillSwitch.open(disk, PATH).state()
    assert (state.engaged, state.why, state.flatten, state.damage) == (True, "anew", True, "")


def test_an_engagement_while_a_damaged_one_is_rewritten_keeps_its_mark():
    disk = VirtualDisk()
    switch = engaged(disk)
    disk.files[PATH][0][40] ^= 1
    token, write = switch.token(), switch._write

    def overtaken(offset, half):
        switch._write = write
        engaged(disk, entropy=b"87654321", epoch=2)
        write(offset, half)

    switch._write = overtaken
    switch.release(token, who="me", ts=9)
    assert KillSwitch.open(disk, PATH).state().engaged


@pytest.mark.parametrize("last", ["closes", "plain"])
def test_of_two_that_engage_at_once_the_wish_to_close_positions_stays(last):
    disk = VirtualDisk()
    closes, plain = KillSwitch.open(disk, PATH), KillSwitch.open(disk, PATH)
    marks = {closes: closes.stop(b"12345678"), plain: plain.stop(b"87654321")}
    for switch in (closes, plain) if last == "plain" else (plain, closes):
        switch.engage(marks[switch], who=last, why="", ts=1, flatten=switch is closes)
    disk.crash()
    found = KillSwitch.open(disk, PATH)
    assert (found.state().engaged, found.state().flatten) == (True, True)
    found.release(found.token(), who="me", ts=2)
    assert not found.state().flatten
    found.engage(found.stop(b"abcdefgh"), who="later", why="", ts=3)
    assert not found.state().flatten


@pytest.mark.parametrize("byte", [0, 1, 255])
def test_a_file_of_one_byte_over_and_over_wishes_no_positions_closed(byte):
    disk = VirtualDisk()
    disk.files[PATH] = (bytearray([byte]) * SIZE, 0o600)
    switch = KillSwitch.open(disk, PATH)
    assert switch.damaged
    switch.engage(switch.stop(b"12345678"), who="process 7", why=switch.state().damage, ts=5)
    assert (switch.state().engaged, switch.state().flatten) == (True, False)


def test_what_the_disk_does_not_take_is_known_here_and_the_wish_to_close_positions_everywhere():
    disk = VirtualDisk()
    other = KillSwitch.open(disk, PATH)
    disk.fail(errno.EIO, operation="write", path=PATH, times=-1)
    switch = KillSwitch.open(disk, PATH)
    mark = switch.stop(b"12345678")
    with pytest.raises(OSError, match="Input/output"):
        switch.engage(mark, who="me", why="drill", ts=5, flatten=True, epoch=3)
    state = switch.state()
    assert (state.who, state.why, state.flatten, state.epoch) == ("me", "drill", True, 3)
    assert (state.damage, state.durable) == ("", False)
    assert (other.state().engaged, other.state().flatten) == (True, True)
    with pytest.raises(OSError, match="Input/output"):
        other.engage(other.stop(b"87654321"), who="another", why="anew", ts=6)
    assert (switch.state().why, switch.state().flatten) == (switch.state().damage, True)


def test_a_switch_that_cannot_be_opened_says_that_it_stopped_nobody_else():
    disk = VirtualDisk()
    trader = KillSwitch.open(disk, PATH)
    disk.fail(errno.EACCES, operation="open")
    switch = KillSwitch.open(disk, "/state/kill/other")
    mark = switch.stop(b"12345678")
    with pytest.raises(OSError, match="cannot be used") as caught:
        switch.engage(mark, who="me", why="", ts=1)
    assert "no other was stopped" in str(switch.not_durable(caught.value))
    assert (switch.usable, trader.usable, trader.engaged) == (False, True, False)


def test_words_that_are_no_text_are_written_down_all_the_same():
    disk = VirtualDisk()
    switch = engaged(disk, why="caf\udce9", flatten=True)
    state = KillSwitch.open(disk, PATH).state()
    assert (state.why, state.flatten, state.damage) == ("caf?", True, "")
    switch.release(switch.token(), who="caf\udce9", ts=9)
    assert KillSwitch.open(disk, PATH).state().who == "caf?"


def test_engaging_twice_makes_two_engagements():
    disk = VirtualDisk()
    first = engaged(disk)
    token = first.token()
    assert engaged(disk, epoch=2).token() != token


@pytest.mark.parametrize("half", [0, SIZE // 2], ids=["engagement", "release"])
@pytest.mark.parametrize("was_engaged", [True, False])
def test_no_flipped_bit_releases_a_switch(half, was_engaged):
    disk = VirtualDisk()
    switch = engaged(disk)
    if not was_engaged:
        switch.release(switch.token(), who="me", ts=9)
    whole = bytes(disk.files[PATH][0])
    for at in (*range(120), 500, 2000, SIZE // 2 - 9):
        damaged = bytearray(whole)
        damaged[half + at] ^= 1 << at % 8
        disk.files[PATH] = (damaged, 0o600)
        state = KillSwitch.open(disk, PATH).state()
        assert state.engaged, f"byte {half + at}"
        assert "damaged" in state.damage


@pytest.mark.parametrize("content", [b"", bytes(SIZE), bytes(SIZE - 1), os.urandom(SIZE), b"x" * 10_000])
def test_a_file_that_is_no_switch_is_an_engaged_one(content, tmp_path):
    path = tmp_path / "account"
    path.write_bytes(content)
    switch = KillSwitch.open(RealDisk(), str(path))
    assert switch.state().engaged
    assert switch.state().damage


@pytest.mark.parametrize("code", [errno.EACCES, errno.EIO, errno.ENOSPC])
def test_a_switch_that_cannot_be_opened_is_engaged_and_cannot_be_released(code):
    disk = VirtualDisk()
    disk.fail(code, operation="open")
    switch = KillSwitch.open(disk, PATH)
    assert switch.engaged
    assert "cannot be used" in switch.state().damage
    with pytest.raises(UsageError, match="cannot be released"):
        switch.token()
    with pytest.raises(NotSent):
        switch.check()


def test_a_damaged_engagement_can_be_released_and_is_whole_afterwards():
    disk = VirtualDisk()
    engaged(disk)
    disk.files[PATH][0][40] ^= 1
    switch = KillSwitch.open(disk, PATH)
    switch.release(switch.token(), who="me", ts=9)
    state = KillSwitch.open(disk, PATH).state()
    assert (state.engaged, state.damage) == (False, "")


@pytest.mark.parametrize("seed", range(200))
def test_a_loss_of_power_at_any_moment_of_an_engagement_leaves_it_engaged_or_as_it_was(seed):
    disk = VirtualDisk(seed)
    KillSwitch.open(disk, PATH)
    disk.cut_power_after(seed % 2)
    answered = True
    try:
        engaged(disk)
    except OSError:
        answered = False
    disk.crash()
    state = KillSwitch.open(disk, PATH).state()
    assert state.engaged or not answered
    assert state.engaged or state.epoch == 0


@pytest.mark.parametrize("seed", range(200))
def test_a_loss_of_power_at_any_moment_of_a_release_never_loses_who_engaged(seed):
    disk = VirtualDisk(seed)
    switch = engaged(disk)
    disk.cut_power_after(seed % 2)
    answered = True
    try:
        switch.release(switch.token(), who="me", ts=9)
    except OSError:
        answered = False
    disk.crash()
    state = KillSwitch.open(disk, PATH).state()
    assert not state.engaged or not answered
    assert not state.engaged or state.why


def test_the_refusal_says_who_and_why_and_what_to_do():
    error = engaged(VirtualDisk()).refusal("the order was refused")
    assert isinstance(error, Rejected)
    assert str(error) == (
        "examplebroker: the order was refused: the kill switch was engaged by process 7: too much (cancels and exits"
        " pass; release the switch with client.release(), twice, or with `dragoman kill --release`; nothing was sent)"
    )


def test_words_of_any_length_and_script_fit():
    switch = engaged(VirtualDisk(), why="क" * 5000)
    assert switch.state().why.startswith("क" * 40)


def test_the_marks_are_where_the_order_path_looks():
    switch = KillSwitch.open(VirtualDisk(), PATH)
    assert switch.marks[0] == switch.marks[RELEASED_AT]
    switch.stop(b"12345678")
    assert switch.marks[0] == int.from_bytes(b"12345678", "little")
    assert switch.marks[0] != switch.marks[RELEASED_AT]


@pytest.mark.parametrize("replaced", [False, True])
@pytest.mark.parametrize("disk", [VirtualDisk, RealDisk])
def test_a_switch_whose_file_is_lost_says_so_and_is_neither_durable_nor_released(disk, replaced, tmp_path):
    disk, path = disk(), str(tmp_path / "account")
    switch = KillSwitch.open(disk, path)
    assert (switch.lost, switch.usable) == (False, True)
    disk.remove(path)
    other = KillSwitch.open(disk, path) if replaced else None
    assert (switch.lost, switch.usable) == (True, False)
    mark = switch.stop(os.urandom(8))
    with pytest.raises(OSError, match="removed or replaced") as failed:
        switch.engage(mark, who="w", why="y", ts=1)
    assert switch.engaged
    assert "no other was stopped" in str(switch.not_durable(failed.value))
    with pytest.raises(UsageError, match="start it again"):
        switch.token()
    assert other is None or not other.engaged


def test_each_engagement_has_a_name_of_its_own_also_after_its_file_was_lost_or_damaged():
    names = set()
    for _ in range(2):  # a file that is new counts from one again
        disk = VirtualDisk()
        switch = KillSwitch.open(disk, PATH)
        for number in (1, 2):
            mark = switch.stop(os.urandom(8))
            switch.engage(mark, who="w", why="y", ts=1, flatten=True, epoch=number)
            names.add(switch.state().engagement)
        before = switch.state()
        switch.marks[4] ^= 1
        found = KillSwitch.open(disk, PATH).state()  # this process knows it by heart
        assert found.damage
        assert (found.engaged, found.epoch, before.epoch) == (True, 0, 2)
        assert found.engagement == before.engagement
    assert len(names) == 4


def test_what_is_shown_of_an_engagement_does_not_release_it():
    switch = KillSwitch.open(VirtualDisk(), PATH)
    switch.engage(switch.stop(os.urandom(8)), who="w", why="y", ts=1)
    with pytest.raises(UsageError, match="another engagement"):
        switch.release(switch.state().engagement, who="w", ts=2)


def test_every_refusal_says_what_to_do_next():
    switch = KillSwitch.open(VirtualDisk(), PATH, broker="b")
    with pytest.raises(UsageError, match="not engaged") as told:
        switch.token()
    assert told.value.remedy
    switch.engage(switch.stop(os.urandom(8)), who="w", why="y", ts=1)
    assert "client.release()" in switch.refusal("the order").remedy
    with pytest.raises(NotSent) as dropped:
        switch.check()
    assert "client.release()" in dropped.value.remedy
