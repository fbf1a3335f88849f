"""`Disk` over the operating system's files."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile


class RealDisk:
    """Whole files, replaced atomically. Every call blocks."""

    def read(self, path: str) -> bytes:
        """Return the file's bytes. Raises FileNotFoundError."""
        with open(path, "rb") as file:
            return file.read()

    def write_atomic(self, path: str, data: bytes, *, mode: int = 0o600) -> None:
        """Replace the file durably: temporary file in the same folder, fsync, rename, fsync of the folder.

        A missing folder is made with mode 0700. The temporary file is created 0600, so the bytes are never readable
        by others, not even for a moment.
        """
        folder = os.path.dirname(path) or "."
        os.makedirs(folder, mode=0o700, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{os.path.basename(path)}.", suffix=".tmp", dir=folder)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fchmod(file.fileno(), mode)
                os.fsync(file.fileno())
            os.replace(temporary, path)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
            raise
        _sync_folder(folder)

    def exists(self, path: str) -> bool:
        """Say whether a file or folder is there."""
        return os.path.exists(path)

    def mode(self, path: str) -> int:
        """Return permission bits. Raises FileNotFoundError."""
        return stat.S_IMODE(os.stat(path).st_mode)

    def remove(self, path: str) -> None:
        """Remove the file if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def listdir(self, path: str) -> list[str]:
        """Return sorted names; empty where the folder is absent."""
        try:
            return sorted(os.listdir(path))
        except FileNotFoundError:
            return []


def _sync_folder(folder: str) -> None:
    # Without this the rename itself may be lost in a crash.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
