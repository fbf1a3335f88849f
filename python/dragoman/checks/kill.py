"""The kill switch of an account: one small file that every process of the host has mapped.

Theory: the file has two halves. The first says who engaged the switch, the second who released it; each begins with a
random mark, and the switch is off where the second half's mark equals the first's: a release names the engagement it
ends. So nobody needs a lock: whoever engages writes only the first half, whoever releases only the second, and a
release that is overtaken by another engagement names a mark that is no longer there, and releases nothing.

Of two that engage it at once, the record of the one that writes last stays. That positions are to be closed must not go
with the other one, so that wish has a word of its own behind the first half: the mark of the release after which it was
uttered, mixed with a constant. Only those write it who want positions closed, and the next release makes it void.

Engaging begins by writing the mark through the mapping: from that moment every process of the host refuses new orders,
before anything is durable. Reading costs two looks at memory. Each half has a checksum. A half that is not what its
checksum says, a file of another size or one that cannot be opened stand for a switch that is engaged.
"""

from __future__ import annotations

import errno
from struct import Struct
from typing import Any, Final

import orjson

from dragoman._core import crc32c
from dragoman.errors import ErrorKind, NotSent, Rejected, Retry, UsageError
from dragoman.model import KillState
from dragoman.runtime.base import Disk, DiskMap

_HALF: Final = 2048
_HEAD: Final = Struct("<Q8sI")
_CRC: Final = Struct("<I")
_MAGIC: Final = b"DRGMKILL"
_RECORD: Final = _HALF - 8  # what a checksum covers, and itself; behind it there is room for a word
_ROOM: Final = _RECORD - _HEAD.size - _CRC.size
_MARK: Final = 8  # bytes
_FIRST: Final = 1  # the mark of a file that was never used
_LONGEST: Final = 300
_NAMED: Final = 2**48 - 1  # so much of a mark is shown: less than releases it
_RELEASE: Final = "release the switch with client.release(), twice, or with `dragoman kill --release`"
RELEASED_AT: Final = _HALF // 8
"""Where in `KillSwitch.marks` the mark of the last release stands; that of the last engagement is at 0."""
_FLATTEN_AT: Final = _RECORD // 8
_FLATTEN: Final = int.from_bytes(b"FLATTEN!", "little")  # mixed in: a file of one byte over and over has no such wish


class KillSwitch:
    """One account's switch. Its methods that write block; those that look do not.

    The switch is engaged where ``marks[0] != marks[RELEASED_AT]``; the order path looks at that itself.

    Parameters
    ----------
    path : str
    file : DiskMap or None
        None for a file that cannot be used: the switch is engaged, and stays so.
    problem : str
        Why it cannot be.
    broker : str
        For messages.

    Attributes
    ----------
    marks : memoryview
        The file as integers of 64 bits.
    durable : bool
        What was written last is on the disk.
    """

    def __init__(self, path: str, file: DiskMap | None, problem: str = "", *, broker: str = "") -> None:
        self.path = path
        self._broker = broker
        self._file = file
        self._problem = problem
        view = memoryview(bytearray(_FIRST.to_bytes(8, "little") + bytes(2 * _HALF - 8))) if file is None else file.view
        self.marks: memoryview = view.cast("Q")
        self._view = view
        self._held: tuple[int, dict[str, Any]] | None = None
        self.durable = True

    @classmethod
    def open(cls, disk: Disk, path: str, *, broker: str = "") -> KillSwitch:
        """Open the switch of a path, made, off, where it is absent. Raises nothing: see `state`."""
        unused = _half(_FIRST, {"epoch": 0}) + bytes(_HALF - _RECORD)
        try:
            file = disk.map(path, initial=unused + unused)
        except OSError as error:
            return cls(path, None, f"{error.strerror or error}", broker=broker)
        return cls(path, file, broker=broker)

    def close(self) -> None:
        """Let go of the file; `marks` stays what it is."""
        if self._file is not None:
            self._file.close()

    # -- looking -----------------------------------------------------------------------------------------------------

    @property
    def engaged(self) -> bool:
        """Whether new orders are stopped."""
        marks = self.marks
        return bool(marks[0] != marks[RELEASED_AT])

    @property
    def mark(self) -> int:
        """The mark of the last engagement: a release is for this one and no other."""
        return int(self.marks[0])

    def state(self) -> KillState:
        """Return what the file says. Nothing is read from the disk."""
        if self._file is None:
            text = f"{self.path} cannot be used: {self._problem}"
            return KillState(engaged=True, why=text, damage=text, durable=False)
        by, until = self._by(), _read(self._view[_HALF:])
        engaged = self.engaged
        if engaged and by is not None and self._flatten_asked:
            by = by | {"flatten": True}
        if by is None or until is None:
            what = " and ".join(name for name, half in (("engagement", by), ("release", until)) if half is None)
            damage = f"{self.path}: the record of the last {what} is damaged"
            found = by or {"flatten": engaged and self._flatten_asked}
            return self._state(True, found, damage, found.get("why") or damage)
        return self._state(engaged, by if engaged else until, "", None)

    def _state(self, engaged: bool, entry: dict[str, Any], damage: str, why: str | None) -> KillState:
        return KillState(
            engaged=engaged,
            who=entry.get("who", ""),
            why=entry.get("why", "") if why is None else why,
            ts_changed=entry.get("ts"),
            flatten=bool(entry.get("flatten")),
            epoch=entry.get("epoch", 0),
            engagement=f"{self.mark & _NAMED:012x}",
            damage=damage,
            durable=self.durable,
        )

    def _by(self) -> dict[str, Any] | None:
        """Return the record of the last engagement: until it is on the disk, the one that this process holds."""
        held, found = self._held, _read(self._view[:_HALF])
        if held is not None and held[0] != self.marks[0]:
            self._held = held = None  # somebody has engaged it anew
        return held[1] if found is None and held is not None else found

    @property
    def lost(self) -> bool:
        """Whether the file was removed or replaced while this process has it open: nobody else's kill reaches it."""
        return self._file is not None and self._file.lost()

    def strand(self, entropy: bytes, *, ts: int) -> None:
        """Stop this process, whose file is lost. It stays so: nothing that others do is seen here any more."""
        mark = self.stop(entropy)
        self.hold(mark, who="", why=self._lost_words, ts=ts, epoch=self.state().epoch)

    @property
    def _lost_words(self) -> str:
        return f"{self.path} was removed or replaced while it was in use"

    @property
    def _flatten_asked(self) -> bool:
        """Whether anybody wanted positions closed since the last release."""
        return bool(self.marks[_FLATTEN_AT] == self.marks[RELEASED_AT] ^ _FLATTEN)

    @property
    def damaged(self) -> bool:
        """Whether the file looks released and is damaged: somebody has to `engage` it, for all to see."""
        return not self.engaged and bool(self.state().damage)

    def refusal(self, what: str) -> Rejected:
        """Return the error for something that is not to be done while the switch is engaged."""
        return Rejected(
            self._told(what),
            kind=ErrorKind.LOCAL_DENIED,
            retry=Retry.USER_ACTION,
            broker=self._broker or None,
            remedy=f"cancels and exits pass; {_RELEASE}; nothing was sent",
        )

    def check(self, _: object = None) -> None:
        """Stop a request that is on its way.

        Raises
        ------
        NotSent
            The switch is engaged: the request is dropped.
        """
        marks = self.marks
        if marks[0] != marks[RELEASED_AT]:
            raise NotSent(
                self._told("the order was dropped on its way"),
                kind=ErrorKind.NOT_SENT,
                retry=Retry.USER_ACTION,
                broker=self._broker or None,
                remedy=f"nothing was sent; {_RELEASE}",
            )

    def _told(self, what: str) -> str:
        state = self.state()
        by = f" by {state.who}" if state.who else ""
        why = f": {state.why}" if state.why else ""
        name = f"{self._broker}: " if self._broker else ""
        return f"{name}{what}: the kill switch was engaged{by}{why}"

    # -- engaging ----------------------------------------------------------------------------------------------------

    def stop(self, entropy: bytes) -> int:
        """Stop new orders in every process of the host, at once; `engage` makes it durable. Returns its mark.

        Parameters
        ----------
        entropy : bytes of length 8
        """
        mark = int.from_bytes(entropy, "little")
        while mark in (0, _FIRST, self.marks[0], self.marks[RELEASED_AT]):
            mark = (mark + 1) % 2**64
        self.marks[0] = mark
        self.durable = False
        return mark

    def hold(self, mark: int, *, who: str, why: str, ts: int, flatten: bool = False, epoch: int = 1) -> None:
        """Keep in memory who engaged the switch and why, for as long as the disk does not.

        That positions are to be closed is seen by every process of the host from here on.
        """
        if flatten:
            self.marks[_FLATTEN_AT] = self.marks[RELEASED_AT] ^ _FLATTEN
        self._held = mark, {"epoch": epoch, "who": _clean(who), "why": _clean(why), "ts": ts, "flatten": flatten}

    def engage(self, mark: int, *, who: str, why: str, ts: int, flatten: bool = False, epoch: int = 1) -> None:
        """Write down that the switch is engaged, and why. Blocks; durable when it returns.

        Raises
        ------
        OSError
            It is not durable. The stop itself holds, in this process if the file cannot be used, else in all.
        """
        self.hold(mark, who=who, why=why, ts=ts, flatten=flatten, epoch=epoch)
        held = self._held
        assert held is not None
        self._write(0, _half(*held))
        self.durable = True

    def not_durable(self, error: OSError) -> Rejected:
        """Return the error for a stop that `engage` could not write down."""
        if not self.usable:
            why = f"{self.path} cannot be used: {self._problem}" if self._file is None else self._lost_words
            return Rejected(
                f"only this process places no orders any more, and no other was stopped: {why}",
                kind=ErrorKind.LOCAL_DENIED,
                retry=Retry.USER_ACTION,
                broker=self._broker or None,
                remedy="engage it again as the user that trades, or end the processes that trade",
            )
        return Rejected(
            f"new orders are stopped, but that could not be written to {self.path}: {error.strerror or error}",
            kind=ErrorKind.LOCAL_DENIED,
            retry=Retry.USER_ACTION,
            broker=self._broker or None,
            remedy="keep this process running or repair the disk and engage it again: a restart may not find it"
            " stopped",
        )

    @property
    def usable(self) -> bool:
        """Whether other processes see what is done with it."""
        return self._file is not None and not self._file.lost()

    # -- releasing ---------------------------------------------------------------------------------------------------

    def token(self) -> str:
        """Return what releases this engagement, and no other.

        Raises
        ------
        UsageError
            The switch is off, or its file cannot be used.
        """
        if self._file is None:
            raise UsageError(
                f"the kill switch cannot be released: {self.path} cannot be used: {self._problem}",
                broker=self._broker or None,
                remedy="end all that trades on the account before you repair or replace that file: a process that has"
                " it open goes on with the old one",
            )
        if self.lost:
            raise UsageError(
                f"the kill switch cannot be released: {self._lost_words}",
                broker=self._broker or None,
                remedy="end this process and start it again: it has the old file open, and what others do is not seen",
            )
        if not self.engaged and not self.damaged:
            raise UsageError(
                "the kill switch is not engaged",
                broker=self._broker or None,
                remedy="nothing to do: orders leave already",
            )
        return f"{self.mark:016x}"

    def release(self, token: str, *, who: str, ts: int) -> None:
        """End the engagement a token stands for. Blocks; durable when it returns.

        Raises
        ------
        UsageError
            The token is of no engagement, or of another one.
        OSError
            It could not be written: it stays engaged, or a restart may find it so.
        """
        if token.strip().lower() != self.token():
            raise UsageError(
                "this token does not release the kill switch: it is of another engagement",
                broker=self._broker or None,
                remedy="ask again with release(), and look why it was engaged anew",
            )
        mark = int(token.strip(), 16)  # and never what is there by now: somebody may engage it meanwhile
        by, known = _read(self._view[:_HALF]), self._by()
        epoch = (known or {}).get("epoch", 0)
        if by is None and self.marks[0] == mark:
            # Its mark is left alone: one that is written at this moment stays, and a damaged half is an engaged one.
            self._write(_MARK, _half(mark, known or {"epoch": epoch})[_MARK:])
        self._write(_HALF, _half(mark, {"epoch": epoch, "who": _clean(who), "ts": ts}))

    def listen(self, callback: Any) -> Any:
        """Call back on the running loop after any process changed the switch; return what ends it."""
        return (lambda: None) if self._file is None else self._file.listen(callback)

    def _write(self, offset: int, half: bytes) -> None:
        if self._file is None:
            raise OSError(f"{self.path} cannot be used: {self._problem}")
        if self._file.lost():
            raise OSError(errno.ESTALE, self._lost_words, self.path)
        self._file.write(offset, half)
        self._file.sync()


def _clean(text: str) -> str:
    """Return text that can be written as UTF-8, of bounded length: a shell hands over whatever bytes it was given."""
    return text[:_LONGEST].encode("utf-8", "replace").decode()


def _half(mark: int, entry: dict[str, Any]) -> bytes:
    payload = orjson.dumps(entry)
    if len(payload) > _ROOM:
        payload = orjson.dumps(entry | {name: entry[name][:40] for name in ("who", "why") if name in entry})
    body = (_HEAD.pack(mark, _MAGIC, len(payload)) + payload).ljust(_RECORD - _CRC.size, b"\0")
    return body + _CRC.pack(crc32c(body))


def _read(half: memoryview) -> dict[str, Any] | None:
    data = bytes(half[:_RECORD])
    body, (crc,) = data[: -_CRC.size], _CRC.unpack(data[-_CRC.size :])
    if crc32c(body) != crc:
        return None
    _, magic, length = _HEAD.unpack_from(body)
    try:
        found = orjson.loads(body[_HEAD.size : _HEAD.size + length]) if magic == _MAGIC else None
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
