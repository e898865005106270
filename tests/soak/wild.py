"""
What the soak's users do that no client should: on a socket as it is, beside the client's.

They send frames faster than anybody takes them, nonsense, and lives that follow without waiting.
"""

from __future__ import annotations

import asyncio
import json
import random
from typing import Any

from websockets.asyncio.client import ClientConnection

from .application import CAPACITY, LATE, MAX_SIZE, STALL_TIMEOUT
from .counts import PATIENCE, Counts, Unexpected

OPEN = {"event": "open", "subprotocol": None}


def closed(code: int, reason: str = "") -> dict[str, Any]:
    """Return the close frame of a stream."""
    return {"event": "close", "code": code, "reason": reason}


def error(status: int) -> dict[str, Any]:
    """Return an error frame; the words in it are not compared."""
    return {"event": "error", "status": status}


class WildSocket:
    """A socket as it is, and what has come for each of its streams."""

    def __init__(self, socket: ClientConnection, counts: Counts) -> None:
        self.counts = counts
        self.socket = socket
        self.streams: dict[str, WildStream] = {}

    async def send(self, message: str | bytes) -> None:
        """Send a message."""
        self.counts.sent += 1
        await self.socket.send(message)

    async def read(self) -> None:
        """Sort what comes, by streams."""
        async for message in self.socket:
            self.counts.heard += 1
            frame = json.loads(message)
            name = frame.pop("stream", None)
            if frame.get("event") == "error":
                del frame["payload"]
            if name is not None:
                self.streams[name].frames.put_nowait(frame)
            elif frame.get("status") not in (400, 413):
                raise Unexpected(f"{frame!r} came")


class WildStream:
    """A stream of such a socket."""

    def __init__(self, socket: WildSocket, name: str) -> None:
        self.socket = socket
        self.name = name
        self.number = 0
        #: What came, without the stream's name.
        self.frames: asyncio.Queue[Any] = asyncio.Queue()
        socket.streams[name] = self

    def next(self) -> int:
        """Return a payload like no other of this stream."""
        self.number += 1
        return self.number

    async def tell(self, **fields: Any) -> None:
        """Send a frame of this stream."""
        await self.socket.send(json.dumps({"stream": self.name, **fields}))

    async def heard(self) -> Any:
        """Return what comes next."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.frames.get()
        except TimeoutError:
            raise Unexpected(f"{self.name}: no answer in {PATIENCE} s") from None

    async def expect(self, *expected: Any) -> None:
        """Take what comes next, which must be these."""
        for one in expected:
            frame = await self.heard()
            if frame != one:
                raise Unexpected(f"{self.name}: {frame!r:.300} came, not {one!r:.300}")


async def cycle(stream: WildStream) -> None:
    """Lives that follow without waiting are told apart by counting."""
    frames: list[Any] = []
    for code in range(4000, 4000 + random.randint(1, 4)):
        payload = stream.next()
        await stream.tell(event="open")
        await stream.tell(payload=payload)
        await stream.tell(event="close", code=code)
        frames += [OPEN, {"payload": payload}, closed(code)]
    await stream.expect(*frames)


async def slow(stream: WildStream) -> None:
    """A child that takes its time holds up its socket, and loses nothing."""
    payloads = await _fill(stream, "0.01")
    await stream.expect(*({"payload": payload} for payload in payloads))
    stream.socket.counts.echoes += len(payloads)
    await stream.tell(event="close")
    await stream.expect(closed(1000))


async def stall(stream: WildStream) -> None:
    """A child that takes nothing holds up its socket, and ends with 1013 as that takes too long."""
    await _fill(stream, random.choice([str(STALL_TIMEOUT + LATE), "never"]))
    # One is being handled, so many wait, one is too many; what comes later finds no stream.
    await stream.expect(closed(1013), *[error(409)] * 2)
    stream.socket.counts.stalls += 1


async def _fill(stream: WildStream, query: str) -> list[int]:
    """Open a stream, send more than may wait for its child, and return that."""
    await stream.tell(event="open", query=query)
    await stream.expect(OPEN)
    payloads = [stream.next() for _ in range(CAPACITY + 4)]
    for payload in payloads:
        await stream.tell(payload=payload)
    return payloads


async def bad(stream: WildStream) -> None:
    """Bad frames are answered with their status."""
    send = stream.socket.send
    await stream.tell(payload=1)
    await stream.tell(event="open", subprotocols=[1])
    await stream.tell(event="nonsense")
    await stream.tell(event="close")
    await send(json.dumps({"stream": f"{stream.name}\ud800", "payload": 1}))
    await send(b"\x00")
    await send("{")
    await send("x" * (MAX_SIZE + 1))
    await stream.expect(error(409), error(400), error(400), error(409))
