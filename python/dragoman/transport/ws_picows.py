"""WebSocket frames over real sockets, picows underneath. The one place where picows' options are stated.

The upgrade's answer is read by `Upgrade`, not by picows: picows raises on a refusal with whatever part of its body
came in the same segment, and a broker's reason is in the body. After a 101 the transport is handed to picows' protocol,
which then reads into its own buffer; nothing of ours is between the socket and its parser.
"""

from __future__ import annotations

import asyncio
from typing import Any

from picows import WSAutoPingStrategy, WSCloseCode, WSFrame, WSHandshakeError, WSListener, WSMsgType, WSTransport
from picows.picows import WSProtocol  # type: ignore[attr-defined]

from dragoman.runtime.base import Runtime
from dragoman.transport.base import Origin, WsOptions
from dragoman.transport.ws_connection import Connection
from dragoman.transport.ws_frames import Op, ProtocolFault

_BINARY = int(Op.BINARY)  # a member of an enum would be looked up anew at each frame
_TYPES = {
    Op.TEXT: WSMsgType.TEXT,
    Op.BINARY: WSMsgType.BINARY,
    Op.PING: WSMsgType.PING,
    Op.PONG: WSMsgType.PONG,
}
_REASONS = {1002: "the peer broke the protocol", 1007: "text that is not UTF-8", 1009: "a frame that is too long"}


class PicowsWire:
    """`Wire` over a picows protocol."""

    def __init__(
        self, runtime: Runtime, origin: Origin, target: str, headers: list[tuple[str, str]], options: WsOptions
    ) -> None:
        self._runtime = runtime
        self._origin = origin
        self._listener = _Listener(options)
        self._protocol: Any = WSProtocol(
            host_port=origin.authority,
            ws_path=target,
            is_client_side=True,
            ws_listener_factory=lambda request, response: self._listener,
            logger=_Mute(self._on_trouble),
            disconnect_on_exception=False,  # our listener catches the handler's
            websocket_handshake_timeout=None,  # the whole opening has one deadline, in `connect_ws`
            enable_auto_ping=False,  # pings and their deadline are in `Connection`
            auto_ping_idle_timeout=0,
            auto_ping_reply_timeout=0,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=False,  # picows would answer before the reserved bits are looked at
            max_frame_size=options.max_frame_bytes,
            extra_headers=headers,
            read_buffer_init_size=options.read_buffer_bytes,
        )
        # Of `ws_connect`, which is not used: max_redirects is 0 since nothing here follows one, proxy, ssl_context and
        # socket_factory are `open_connection`'s, and use_aiofastnet is False since the runtime makes the transports.
        self._io: asyncio.Transport
        self._ws: WSTransport

    def open(self, transport: asyncio.Transport) -> None:
        self._io = transport
        self._protocol.connection_made(transport)

    def accept(self, transport: asyncio.Transport, head: bytes, headers: dict[str, str]) -> None:
        transport.set_protocol(self._protocol)
        self._feed(head)
        waiter = self._protocol.wait_until_handshake_complete()
        try:
            waiter.send(None)  # picows judged the head while it was fed, so there is nothing to wait for
        except StopIteration:
            self._ws = self._protocol.transport
        except WSHandshakeError as error:
            raise ProtocolFault(1002, f"is not a valid upgrade ({type(error).__name__})") from None
        else:
            waiter.close()
            raise ProtocolFault(1002, "is not a whole upgrade")

    def begin(self, connection: Connection, rest: bytes) -> None:
        self._listener.connection = connection
        self._listener.short_cut(connection)
        if rest:
            self._feed(rest)
        if self._ws.is_disconnected:  # while the caller was being told that it is open
            connection.lost()
        elif not self._io.is_closing():
            self._io.resume_reading()

    def _feed(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            room = self._protocol.get_buffer(-1)
            piece = data[at : at + len(room)]
            room[: len(piece)] = piece
            at += len(piece)
            self._protocol.buffer_updated(len(piece))

    def send(self, op: int, payload: bytes) -> None:
        if op == Op.CLOSE:
            # An int, not WSCloseCode: picows sends any of 16 bits, and its enum lacks what brokers use (3000 to 4999).
            self._ws.send_close(_as_code(payload), payload[2:])
        else:
            self._ws.send(_TYPES[Op(op)], payload)

    def buffered(self) -> int:
        return self._io.get_write_buffer_size()

    def end(self) -> None:
        self._ws.disconnect(graceful=True)

    def abort(self) -> None:
        self._ws.disconnect(graceful=False)

    def _on_trouble(self, error: object) -> None:
        """Take note of what made picows give up: it tells its log, and nobody else until the connection is gone."""
        code, reason = 1002, _REASONS[1002]
        if isinstance(error, tuple) and error and int(error[0]) in _REASONS:
            code, reason = int(error[0]), _REASONS[int(error[0])]
        if self._listener.connection is not None:
            self._listener.connection.fail(code, reason, deaf=True)
        self._runtime.spawn(self._collect(), name=f"websocket {self._origin} ends")

    async def _collect(self) -> None:
        """Retrieve the error picows keeps for whoever waits; it was told in other words already."""
        try:
            await self._ws.wait_disconnected()
        except Exception:  # noqa: BLE001 - reported by `_on_trouble`
            return


class _Listener(WSListener):
    connection: Connection | None = None

    def __init__(self, options: WsOptions) -> None:
        self._max = options.max_message_bytes
        self._any_fits = options.max_frame_bytes <= options.max_message_bytes  # picows refuses longer frames

    def short_cut(self, connection: Connection) -> None:
        """Let whole binary messages go straight into the handler's native intake, where it has one."""
        if (intake := connection.intake) is not None:
            intake.at_rest = connection.at_rest
            # An attribute of the instance: picows finds it before the method of the class.
            self.on_ws_frame = intake.tap(self.on_ws_frame, connection.binary_failed, max_bytes=self._max)  # type: ignore[method-assign, assignment]

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        connection = self.connection
        if connection is None:
            return
        if frame.rsv1 or frame.rsv2 or frame.rsv3:
            connection.fail(1002, "a frame with a reserved bit set")
            return
        kind: Any = frame.msg_type  # an IntEnum, whatever the stub says
        if kind == _BINARY and frame.fin and connection.at_rest and (self._any_fits or frame.payload_size <= self._max):
            connection.binary(frame.get_payload_as_memoryview())
        else:
            connection.frame(kind, bool(frame.fin), frame.get_payload_as_memoryview())

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        if self.connection is not None:
            self.connection.lost()

    def pause_writing(self) -> None:
        """Nothing: `Connection` watches the buffer itself."""

    def resume_writing(self) -> None:
        """Nothing, like `pause_writing`."""


class _Mute:
    """picows' log, muted: at its lowest level it writes the upgrade request out, tokens and all.

    What it calls an error is passed on.
    """

    def __init__(self, on_trouble: Any) -> None:
        self._on_trouble = on_trouble

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - the name is logging's
        return False

    def log(self, level: int, message: str, *args: object) -> None: ...

    def debug(self, message: str, *args: object) -> None: ...

    def info(self, message: str, *args: object) -> None: ...

    def warning(self, message: str, *args: object) -> None: ...

    def error(self, message: str, *args: object) -> None:
        self._on_trouble(args[0] if args else None)

    def exception(self, message: str, *args: object) -> None:
        self._on_trouble(None)


def _as_code(payload: bytes) -> WSCloseCode:
    code: Any = int.from_bytes(payload[:2], "big")
    return code  # type: ignore[no-any-return]
