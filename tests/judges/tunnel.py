"""The way from an SDK's hard-coded addresses to an emulator on loopback: a CONNECT proxy with a throw-away CA.

Only environment variables point at it, so the SDK stays as it is and verifies TLS as it always does. A host that is not
mapped gets 403 and is written down: the judge fails on it, and nothing leaves the machine.
"""

from __future__ import annotations

import asyncio
import pathlib
import ssl
import threading
from collections.abc import Mapping
from types import TracebackType

import trustme

_PIECE = 1 << 16
_START_S = 10.0


class Tunnel:
    """A proxy that ends TLS for some hosts and hands their bytes to loopback ports.

    Parameters
    ----------
    hosts : mapping of str to int
        Host name -> loopback port that speaks plain HTTP.
    folder : Path
        Where the CA's certificate is put for the SDK to read.

    Attributes
    ----------
    variables : dict
        Environment variables for the SDK's process.
    opened, refused : list of str
        ``host:port`` of every tunnel asked for.
    """

    def __init__(self, hosts: Mapping[str, int], folder: pathlib.Path) -> None:
        self._hosts = dict(hosts)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority = trustme.CA()
        authority.issue_cert(*hosts).configure_cert(self._context)
        bundle = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(bundle))
        self._bundle = str(bundle)
        self.opened: list[str] = []
        self.refused: list[str] = []
        self.variables: dict[str, str] = {}
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=lambda: self._loop.run_until_complete(self._serve()), daemon=True)

    def __enter__(self) -> Tunnel:
        self._thread.start()
        assert self._started.wait(_START_S), "the tunnel did not start"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._stop is not None
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_S)
        self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        proxy = await asyncio.start_server(self._taken, "127.0.0.1", 0)
        port = proxy.sockets[0].getsockname()[1]
        names = ("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "WEBSOCKET_CLIENT_CA_BUNDLE")
        where = f"http://127.0.0.1:{port}"
        # A call without TLS to anywhere but loopback is refused as well.
        self.variables = {"https_proxy": where, "http_proxy": where, **dict.fromkeys(names, self._bundle)}
        self._started.set()
        await self._stop.wait()
        proxy.close()
        tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _taken(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            method, target, *_ = (await reader.readline()).decode("ascii", "replace").split()
            while (await reader.readline()).strip():
                pass
            port = self._hosts.get(target.rpartition(":")[0]) if method == "CONNECT" else None
            if port is None:
                self.refused.append(target)
                writer.write(b"HTTP/1.1 403 this host is not mapped\r\n\r\n")
                await writer.drain()
                return
            self.opened.append(target)
            writer.write(b"HTTP/1.1 200 ok\r\n\r\n")
            await writer.drain()
            await writer.start_tls(self._context)
            back, forth = await asyncio.open_connection("127.0.0.1", port)
            async with asyncio.TaskGroup() as group:
                group.create_task(_pump(reader, forth))
                group.create_task(_pump(back, writer))
        except (OSError, ValueError, ExceptionGroup, asyncio.CancelledError):
            return  # the SDK went away or spoke no HTTP, which shows in its own checks; or the tunnel was closed
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
