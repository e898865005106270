"""What a stream feels of a neighbour that is flooded, or blocks the thread of sync code."""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from asgiref.sync import sync_to_async

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .applications import Blocking, Echo, ours
from .driver import Application, Message, Replies, Socket
from .measure import Effort, Figure, Side, figure
from .payloads import frame, payload

# As many as a stream's inbox may hold, less some: one frame more, and the socket would be paused
# until there is room, which is what the default policy is for.
_AHEAD = 90

#: Measures for so many seconds, and returns the median of the round trips in seconds.
Probe = Callable[[float], Awaitable[float]]


class FloodedSocket(Socket):
    """
    A socket whose client has always `_AHEAD` frames under way to the flooded consumer.

    Args:
        quiet: how the replies begin that are not the flooded consumer's.
    """

    __slots__ = ("_flood", "_quiet")

    def __init__(self, application: Application, replies: Replies, quiet: str) -> None:
        super().__init__(application, replies)
        self._flood: bytes | None = None
        self._quiet = quiet

    def flood(self, message: bytes) -> None:
        """Begin the flood of `message`."""
        self._flood = message
        for _ in range(_AHEAD):
            self.put_text(message)

    async def send(self, message: Message) -> None:
        text = message.get("text")
        if text is None or text.startswith(self._quiet):
            self._replies.count()
        elif self._flood is not None:
            self.put_text(self._flood)

    async def end(self) -> None:
        self._flood = None
        await super().end()


async def latency(effort: Effort) -> Figure:
    """p50 of a round trip while the flood is beside it, against a flood on its own socket."""
    return await _in_turns(effort, {"flood beside it": _beside, "flood on its own socket": _apart})


async def flooded(effort: Effort) -> Figure:
    """p50 of a stream's round trip beside a flooded stream, against both on their own sockets."""
    return await _in_turns(effort, {"streams": _beside, "sockets of their own": _bare})


async def blocked(effort: Effort) -> Figure:
    """p50 of an async stream's round trip while a sync one blocks, against their own sockets."""
    return await _in_turns(effort, {"streams": _block_beside, "sockets of their own": _block_apart})


async def _in_turns(
    effort: Effort, starts: dict[str, Callable[[AsyncExitStack], Awaitable[Probe]]]
) -> Figure:
    sides = [Side(name, "us") for name in starts]
    for _ in range(min(effort.rounds, 31)):
        for side, start in zip(sides, starts.values(), strict=True):
            async with AsyncExitStack() as stack:
                probe = await start(stack)
                await probe(effort.seconds / 4)
                side.values.append(await probe(effort.seconds) * 1e6)
    return figure(sides, note="wall time")


async def _beside(stack: AsyncExitStack) -> Probe:
    replies = Replies()
    socket = await _connect(stack, ours(2), replies, '{"stream":"stream-0"')
    socket.flood(frame("stream-1", payload(100)))
    return _probe(socket, replies)


async def _apart(stack: AsyncExitStack) -> Probe:
    replies = Replies()
    socket = await _connect(stack, ours(2), replies, '{"stream":"stream-0"')
    flooded = await _connect(stack, Echo.as_asgi(), Replies(), "none")
    flooded.flood(payload(100).encode())
    return _probe(socket, replies)


async def _bare(stack: AsyncExitStack) -> Probe:
    replies = Replies()
    socket = await _connect(stack, Echo.as_asgi(), replies, "{")
    other = await _connect(stack, Echo.as_asgi(), Replies(), "none")
    other.flood(payload(100).encode())
    return _probe(socket, replies, payload(100).encode())


async def _block_beside(stack: AsyncExitStack) -> Probe:
    replies = Replies()
    consumers = {"stream-0": Echo, "stream-1": Blocking}
    application = WebsocketDemultiplexer.as_asgi(consumer_classes=consumers)
    socket = await _connect(stack, application, replies, '{"stream":"stream-0"')
    return _probe(socket, replies, before=_block(socket, frame("stream-1", payload(100))))


async def _block_apart(stack: AsyncExitStack) -> Probe:
    replies = Replies()
    socket = await _connect(stack, Echo.as_asgi(), replies, "{")
    other = await _connect(stack, Blocking.as_asgi(), Replies(), "none")
    message = payload(100).encode()
    return _probe(socket, replies, message, _block(other, message))


def _block(socket: Socket, message: bytes) -> Callable[[], Awaitable[None]]:
    """Return what has `message` block the thread, once it is free and every hop has ended."""

    async def block() -> None:
        await sync_to_async(lambda: None)()
        socket.put_text(message)
        for _ in range(20):
            await asyncio.sleep(0)

    return block


async def _connect(
    stack: AsyncExitStack, application: Application, replies: Replies, quiet: str
) -> FloodedSocket:
    socket = FloodedSocket(application, replies, quiet)
    accepted = replies.expect(1)
    socket.start()
    stack.push_async_callback(socket.end)
    await accepted
    return socket


def _probe(
    socket: Socket,
    replies: Replies,
    message: bytes = frame("stream-0", payload(100)),
    before: Callable[[], Awaitable[None]] | None = None,
) -> Probe:
    async def probe(seconds: float) -> float:
        times: list[float] = []
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            if before is not None:
                await before()
            start = time.perf_counter()
            answered = replies.expect(1)
            socket.put_text(message)
            await answered
            times.append(time.perf_counter() - start)
        return statistics.median(times)

    return probe
