"""
A WebSocket client that does as little as possible, so that the server is what is measured.

It masks with zeros, which leaves the payload as it is, counts the data frames that come without
looking into them, compressed or not, and answers pings.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TypeVar

from .driver import Replies

_HANDSHAKE = (
    "GET {path} HTTP/1.1\r\n"
    "Host: 127.0.0.1:{port}\r\n"
    "Origin: http://127.0.0.1:{port}\r\n"
    "Upgrade: websocket\r\n"
    "Connection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "{extensions}\r\n"
)
_DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"

_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10


def pack(data: bytes, opcode: int = _TEXT) -> bytes:
    """Return the client's frame (RFC 6455, section 5.2) that carries `data`."""
    size = len(data)
    if size < 126:
        head = struct.pack("!BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, size)
    return b"".join((head, bytes(4), data))


class Client(asyncio.Protocol):
    """
    A client's connection.

    Args:
        handshake: the request.
        replies: counts the handshake's answer and each data frame.
    """

    def __init__(self, handshake: bytes, replies: Replies) -> None:
        self._handshake = handshake
        self._replies = replies
        self._buffer = b""
        self._upgraded = False
        self._lost = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._handshake)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._upgraded:
            head, end, rest = self._buffer.partition(b"\r\n\r\n")
            if not end:
                return
            if not head.startswith(b"HTTP/1.1 101"):
                raise RuntimeError(f"the handshake failed: {head!r}")
            self._buffer = rest
            self._upgraded = True
            self._replies.count()
        while self._take_frame():
            pass

    def _take_frame(self) -> bool:
        buffer = self._buffer
        if len(buffer) < 4:
            # An empty pong or close has two bytes; nothing here waits for either.
            return False
        size, start = buffer[1], 2
        if size == 126:
            [size], start = struct.unpack_from("!H", buffer, 2), 4
        elif size == 127:
            if len(buffer) < 10:
                return False
            [size], start = struct.unpack_from("!Q", buffer, 2), 10
        if len(buffer) < start + size:
            return False
        opcode = buffer[0] & 15
        if opcode == _TEXT:
            self._replies.count()
        elif opcode == _PING:
            self.transport.write(pack(buffer[start : start + size], _PONG))
        elif opcode == _CLOSE:
            self.closed(int.from_bytes(buffer[start : start + min(size, 2)]))
        self._buffer = buffer[start + size :]
        return True

    def closed(self, code: int) -> None:
        """Note that the server has closed with `code`, 0 where it gives none."""
        raise RuntimeError(f"the server has closed with {code}")

    def send(self, data: bytes) -> None:
        """Send a text message."""
        self.transport.write(pack(data))

    async def close(self) -> None:
        """Drop the connection."""
        self.transport.abort()
        await self.lost()

    async def lost(self) -> None:
        """Wait until the connection is lost."""
        await self._lost


C = TypeVar("C", bound=Client)


async def connect(
    port: int,
    paths: list[str],
    replies: Replies,
    *,
    deflate: bool = False,
    make: type[C] = Client,  # type: ignore[assignment]
) -> list[C]:
    """Connect a `make` to each path, all at once, and return when all have been accepted."""
    loop = asyncio.get_running_loop()

    async def one(path: str) -> C:
        handshake = _HANDSHAKE.format(
            path=path, port=port, extensions=_DEFLATE if deflate else ""
        ).encode()
        _, client = await loop.create_connection(
            lambda: make(handshake, replies), "127.0.0.1", port
        )
        return client

    accepted = replies.expect(len(paths))
    clients = await asyncio.gather(*map(one, paths))
    await accepted
    return list(clients)
