"""The guard that every judge's script runs under: only loopback is open to it."""

from __future__ import annotations

import pathlib
import subprocess
import sys

GUARD = pathlib.Path(__file__).resolve().parents[1] / "judges" / "guarded.py"
SCRIPT = """
import socket, sys
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname()).close()
socket.getaddrinfo("localhost", 80)
calls = (
    lambda: socket.getaddrinfo("broker.invalid", 443),
    lambda: socket.create_connection(("192.0.2.1", 443), timeout=1),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"?", ("192.0.2.2", 53)),
)
for call in calls:
    try:
        call()
    except ConnectionRefusedError as error:
        print(error)
print(sys.argv[1:], __name__)
"""


def test_a_judges_script_reaches_nothing_but_loopback(tmp_path: pathlib.Path) -> None:
    script, written = tmp_path / "script.py", tmp_path / "strayed.txt"
    script.write_text(SCRIPT)
    command = [sys.executable, "-I", "-W", "ignore", str(GUARD), str(written), str(script), "{}"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    said = done.stdout.splitlines()
    assert said[:-1] == [
        f"a call to {host}, which is not mapped" for host in ("broker.invalid", "192.0.2.1", "192.0.2.2")
    ]
    assert said[-1] == "['{}'] __main__"
    assert written.read_text().splitlines() == [
        "getaddrinfo broker.invalid",
        "getaddrinfo 192.0.2.1",
        "sendto 192.0.2.2",
    ]
