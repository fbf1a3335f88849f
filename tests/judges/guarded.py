"""Run an SDK's script so that nothing of its process reaches another machine: only loopback is allowed.

``python guarded.py FILE SCRIPT ARGUMENT...``. Whatever else the process looks up or connects to is refused, and written
into FILE, a line each; the judge fails on it. An audit hook sees every way to a socket, whatever library takes it, and
cannot be removed. Runs in the SDK's own environment, beside it: nothing of dragoman or of the SDK is imported here.
"""

import os
import runpy
import sys

LOOPBACK = frozenset(("127.0.0.1", "::1", "localhost", "", None))


def host_of(event, arguments):
    """Return the host an audited event is about; None for what has none (a Unix socket, another event)."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = arguments[0]
    elif event in ("socket.connect", "socket.sendto"):
        address = arguments[-1]
        host = address[0] if isinstance(address, tuple) else None
    else:
        return None
    return host.decode("ascii", "replace") if isinstance(host, bytes) else host


def guard(path):
    """Refuse and write down whatever leaves this machine, from now on."""
    strayed = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def watch(event, arguments):
        if not event.startswith("socket."):
            return
        host = host_of(event, arguments)
        if host not in LOOPBACK:
            os.write(strayed, f"{event.removeprefix('socket.')} {host}\n".encode())
            raise ConnectionRefusedError(f"a call to {host}, which is not mapped")

    sys.addaudithook(watch)


if __name__ == "__main__":
    written, script, *rest = sys.argv[1:]
    guard(written)
    sys.argv = [script, *rest]
    runpy.run_path(script, run_name="__main__")
