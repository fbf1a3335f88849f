"""The kill switch of an account: one small file that every process of the host has mapped.

Theory: the file has two halves. The first says who engaged the switch, the second who released it; each begins with a
random mark, and the switch is off where the second half's mark equals the first's: a release names the engagement it
ends. So nobody needs a lock: whoever engages writes only the first half, whoever releases only the second, and a
release that is overtaken by another engagement names a mark that is no longer there, and releases nothing.

Engaging begins by writing the mark through the mapping: from that moment every process of the host refuses new orders,
before anything is durable. Reading costs two looks at memory. Each half has a checksum. A half that is not what its
checksum says, a file of another size or one that cannot be opened stand for a switch that is engaged.
"""

from __future__ import annotations

from struct import Struct
from typing import Any, Final

import orjson

from dragoman._core import crc32c
from dragoman.errors import DragomanError, ErrorKind, NotSent, Rejected, Retry, UsageError
from dragoman.model import KillState
from dragoman.runtime.base import Disk, DiskMap

_HALF: Final = 2048
_HEAD: Final = Struct("<Q8sI")
_CRC: Final = Struct("<I")
_MAGIC: Final = b"DRGMKILL"
_ROOM: Final = _HALF - _HEAD.size - _CRC.size
_FIRST: Final = 1  # the mark of a file that was never used
_LONGEST: Final = 300
RELEASED_AT: Final = _HALF // 8
"""Where in `KillSwitch.marks` the mark of the last release stands; that of the last engagement is at 0."""


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
        self.durable = True

    @classmethod
    def open(cls, disk: Disk, path: str, *, broker: str = "") -> KillSwitch:
        """Open the switch of a path, made, off, where it is absent. Raises nothing: see `state`."""
        unused = _half(_FIRST, {"epoch": 0})
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
        by, until = _read(self._view[:_HALF]), _read(self._view[_HALF:])
        engaged = self.engaged
        if by is None or until is None:
            what = " and ".join(name for name, half in (("engagement", by), ("release", until)) if half is None)
            damage = f"{self.path}: the record of the last {what} is damaged"
            found = by or {}
            return _state(True, found, damage, found.get("why") or damage, self.durable)
        return _state(engaged, by if engaged else until, "", None, self.durable)

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
            remedy="cancels and exits pass; release the switch with `dragoman kill --release`; nothing was sent",
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
                remedy="nothing was sent; release the switch with `dragoman kill --release`",
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

    def engage(self, mark: int, *, who: str, why: str, ts: int, flatten: bool = False, epoch: int = 1) -> None:
        """Write down that the switch is engaged, and why. Blocks; durable when it returns.

        Raises
        ------
        OSError
            It is not durable. The stop itself holds.
        """
        entry = {"epoch": epoch, "who": who[:_LONGEST], "why": why[:_LONGEST], "ts": ts, "flatten": flatten}
        self._write(0, _half(mark, entry))
        self.durable = True

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
                remedy="repair or remove that file, then connect again",
            )
        if not self.engaged and not self.damaged:
            raise UsageError("the kill switch is not engaged", broker=self._broker or None)
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
        mark = self.mark
        by = _read(self._view[:_HALF])
        epoch = (by or {}).get("epoch", 0)
        if by is None:
            self._write(0, _half(mark, {"epoch": epoch}))
        self._write(_HALF, _half(mark, {"epoch": epoch, "who": who[:_LONGEST], "ts": ts}))

    def listen(self, callback: Any) -> Any:
        """Call back on the running loop after any process changed the switch; return what ends it."""
        return (lambda: None) if self._file is None else self._file.listen(callback)

    def _write(self, offset: int, half: bytes) -> None:
        if self._file is None:
            raise OSError(f"{self.path} cannot be used: {self._problem}")
        self._file.write(offset, half)
        self._file.sync()


def not_durable(path: str, error: OSError) -> DragomanError:
    """Return the error for a stop that holds, and that a restart may not find."""
    return Rejected(
        f"new orders are stopped, but that could not be written to {path}: {error.strerror or error}",
        kind=ErrorKind.LOCAL_DENIED,
        retry=Retry.USER_ACTION,
        remedy="keep this process running or repair the disk and engage it again: a restart may not find it stopped",
    )


def _half(mark: int, entry: dict[str, Any]) -> bytes:
    payload = orjson.dumps(entry)
    if len(payload) > _ROOM:
        payload = orjson.dumps(entry | {"who": entry["who"][:40], "why": entry["why"][:40]})
    body = (_HEAD.pack(mark, _MAGIC, len(payload)) + payload).ljust(_HALF - _CRC.size, b"\0")
    return body + _CRC.pack(crc32c(body))


def _read(half: memoryview) -> dict[str, Any] | None:
    data = bytes(half)
    body, (crc,) = data[: -_CRC.size], _CRC.unpack(data[-_CRC.size :])
    if crc32c(body) != crc:
        return None
    _, magic, length = _HEAD.unpack_from(body)
    try:
        found = orjson.loads(body[_HEAD.size : _HEAD.size + length]) if magic == _MAGIC else None
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def _state(engaged: bool, entry: dict[str, Any], damage: str, why: str | None, durable: bool) -> KillState:
    return KillState(
        engaged=engaged,
        who=entry.get("who", ""),
        why=entry.get("why", "") if why is None else why,
        ts_changed=entry.get("ts"),
        flatten=bool(entry.get("flatten")),
        epoch=entry.get("epoch", 0),
        damage=damage,
        durable=durable,
    )
