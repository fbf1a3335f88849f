"""A process that plays frames: it answers a session's start-up requests, upgrades sockets, and sends what it is told.

Run as ``python -m benchmarks.player FOLDER``; it prints its port, then obeys lines of JSON from standard input and
answers each with one. Frames come from files in FOLDER (4-byte length, payload). The time before each frame of a paced
play is kept, for latencies: the monotonic clock is the same in all processes of a machine.

Between plays each socket gets the one-byte frame that means "still here" once a second, as the real ticker sends it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import pathlib
import socket
import struct
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from benchmarks.frames import TOKENS, master

_PAUSE_S = 0.02  # between the word to a consumer and the first frame, on whichever of its sockets that comes
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
REPLIES: dict[str, Any] = {
    "/user/profile": {"user_id": "BENCH1", "user_name": "Bench", "email": "bench@example.com", "broker": "ZERODHA"},
    "/orders": [],
    "/trades": [],
    "/portfolio/positions": {"net": [], "day": []},
}


def ws_frame(payload: bytes, opcode: int = 2) -> bytes:
    """Return a frame as servers send it: unmasked."""
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, size)
    elif size < 65536:
        head = struct.pack(">BBH", 0x80 | opcode, 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 127, size)
    return head + payload


def mark(word: str, kind: str) -> bytes:
    """Return the text message that tells a consumer to begin or to report: one that the ticker sends, of that type."""
    return ws_frame(json.dumps({"type": kind, "data": word}).encode(), 1)


class Peer:
    """One upgraded socket."""

    def __init__(self, connection: socket.socket, rest: bytes) -> None:
        self.connection = connection
        self._rest = rest
        self._lock = threading.Lock()
        self.playing = False

    def send(self, data: bytes) -> None:
        with self._lock:
            self.connection.sendall(data)

    def read(self) -> None:
        """Answer pings and a close, and drop everything else: subscriptions are asked for and granted in silence."""
        try:
            for opcode, payload in self._frames():
                if opcode == 9:
                    self.send(ws_frame(payload, 10))
                elif opcode == 8:
                    self.send(ws_frame(payload, 8))
                    return
        finally:
            self.connection.close()

    def _frames(self) -> Iterator[tuple[int, bytes]]:
        while True:
            head = self._take(2)
            size = head[1] & 127 if len(head) == 2 else 0
            if size >= 126:
                size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
            mask = self._take(4) if len(head) == 2 and head[1] & 128 else b""
            payload = self._take(size)
            if len(head) < 2 or len(payload) < size:
                return
            if mask:
                payload = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
            yield head[0] & 15, payload

    def _take(self, count: int) -> bytes:
        while len(self._rest) < count:
            try:
                piece = self.connection.recv(65536)
            except OSError:
                piece = b""
            if not piece:
                break
            self._rest += piece
        taken, self._rest = self._rest[:count], self._rest[count:]
        return taken


class Player:
    """All peers by the path they asked for, and the frames by file name."""

    def __init__(self, folder: pathlib.Path) -> None:
        self._folder = folder
        self._peers: dict[str, Peer] = {}
        self._frames: dict[str, list[bytes]] = {}
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()
        threading.Thread(target=self._beat, daemon=True).start()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        read = b""
        while True:
            while b"\r\n\r\n" not in read:
                piece = connection.recv(65536)
                if not piece:
                    connection.close()
                    return
                read += piece
            head, _, read = read.partition(b"\r\n\r\n")
            request, *lines = head.decode().split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            path = request.split(" ")[1].partition("?")[0]
            if "sec-websocket-key" in headers:
                self._upgrade(connection, path, headers["sec-websocket-key"].encode(), read)
                return
            connection.sendall(self._answer(path))

    def _answer(self, path: str) -> bytes:
        if path == "/instruments":
            kind, body = "text/csv", master(len(TOKENS))
        else:
            kind, body = "application/json", json.dumps({"status": "success", "data": REPLIES[path]}).encode()
        return f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body

    def _upgrade(self, connection: socket.socket, path: str, key: bytes, rest: bytes) -> None:
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest()).decode()
        head = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        connection.sendall(f"{head}Sec-WebSocket-Accept: {accept}\r\n\r\n".encode())
        peer = self._peers[path.strip("/")] = Peer(connection, rest)
        peer.read()

    def _beat(self) -> None:
        while True:
            time.sleep(1.0)
            for name, peer in list(self._peers.items()):
                try:
                    if not peer.playing:
                        peer.send(ws_frame(b"\0"))
                except OSError:
                    self._peers.pop(name, None)

    def obey(self, order: dict[str, Any]) -> dict[str, Any]:
        """Play: ``frames``, a file, ``count`` of them to each of ``peers``, ``gap_s`` apart, 0 for no gap.

        The first peer is told ``word`` before, each of them "report" after, in messages of type ``mark``. Without a
        gap ``chunk`` frames are written at a time. Answers when the first frame left, and for
        paced frames when each did, in ns of the monotonic clock.
        """
        peers = [self._peers[name] for name in order["peers"]]
        frames, count, chunk = self._load(order["frames"]), order["count"], order["chunk"]
        report = mark("report", order["mark"])
        for peer in peers:
            peer.playing = True
        peers[0].send(mark(order["word"], order["mark"]))
        time.sleep(_PAUSE_S)
        began, stamps = time.monotonic_ns(), []
        if order["gap_s"] > 0:
            stamps = _paced(peers[0], frames, count, order["gap_s"], report)
        else:
            chunks = [b"".join(frames[at : at + chunk]) for at in range(0, len(frames), chunk)]
            threads = [threading.Thread(target=_flat_out, args=(peer, chunks, frames, count, report)) for peer in peers]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        for peer in peers:
            peer.playing = False
        return {"began": began, "stamps": stamps}

    def _load(self, name: str) -> list[bytes]:
        if name not in self._frames:
            data, at, found = (self._folder / name).read_bytes(), 0, []
            while at < len(data):
                size = int.from_bytes(data[at : at + 4], "big")
                found.append(ws_frame(data[at + 4 : at + 4 + size]))
                at += 4 + size
            self._frames[name] = found
        return self._frames[name]


def _paced(peer: Peer, frames: list[bytes], count: int, gap_s: float, report: bytes) -> list[int]:
    stamps, clock, due = [], time.monotonic_ns, time.monotonic()
    for at in range(count):
        due += gap_s
        time.sleep(max(0.0, due - time.monotonic()))
        data = frames[at % len(frames)]
        stamps.append(clock())
        peer.send(data)
    time.sleep(gap_s)
    peer.send(report)
    return stamps


def _flat_out(peer: Peer, chunks: list[bytes], frames: list[bytes], count: int, report: bytes) -> None:
    """Send as fast as the peer reads."""
    rounds, rest = divmod(count, len(frames))
    for _ in range(rounds):
        for chunk in chunks:
            peer.send(chunk)
    peer.send(b"".join(frames[:rest]) + report)


def main(folder: str) -> None:
    player = Player(pathlib.Path(folder))
    print(json.dumps({"port": player.port}), flush=True)
    for line in sys.stdin:
        print(json.dumps(player.obey(json.loads(line))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
