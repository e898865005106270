"""The cost of a message."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from .applications import Echo, names, on_demand, ours, rival, trivial
from .driver import Application, Replies, Socket, connected
from .measure import Effort, Figure, Work, added, in_turns
from .payloads import frame, payload
from .settings import channel_layer


async def echoing(
    stack: AsyncExitStack, applications: list[Application], messages: list[bytes]
) -> Work:
    """
    Connect the applications, and return the work of round trips.

    The i-th message goes to the i-th application, or all to the one there is. All messages are
    under way at once; the next lot goes when every one is answered. An operation is one message.
    """
    replies = Replies()
    sockets = await stack.enter_async_context(connected(applications, replies))
    if len(sockets) == 1:
        sockets *= len(messages)
    pairs = list(zip(sockets, messages, strict=True))

    async def work(count: int) -> int:
        lots = -(-count // len(pairs))
        for _ in range(lots):
            answered = replies.expect(len(pairs))
            for socket, message in pairs:
                socket.put_text(message)
            await answered
        return lots * len(pairs)

    await work(len(pairs))
    return work


async def one_stream(effort: Effort, size: int, layer: bool) -> Figure:
    """One stream against the bare consumer."""
    content = payload(size)
    with channel_layer(layer):
        async with AsyncExitStack() as stack:
            return await in_turns(
                {
                    "one stream": await echoing(stack, [ours(1)], [frame("stream-0", content)]),
                    "bare": await echoing(stack, [Echo.as_asgi()], [content.encode()]),
                },
                effort,
            )


async def always(effort: Effort) -> Figure:
    """One stream whose messages all go to the thread of sync code against one that is spared it."""
    message = frame("stream-0", payload(100))
    async with AsyncExitStack() as stack:
        return await in_turns(
            {
                checks: await echoing(stack, [ours(1, database_checks=checks)], [message])
                for checks in ("always", "due")
            },
            effort,
        )


async def ten_streams(effort: Effort, size: int) -> Figure:
    """Ten streams against ten bare consumers, ten messages under way."""
    content = payload(size)
    frames = [frame(name, content) for name in names(10)]
    async with AsyncExitStack() as stack:
        return await in_turns(
            {
                "ten streams": await echoing(stack, [ours(10)], frames),
                "ten bare": await echoing(stack, [Echo.as_asgi()] * 10, [content.encode()] * 10),
            },
            effort,
        )


async def against_rival(effort: Effort) -> Figure:
    """channelsmultiplexer's ten streams against ours."""
    frames = [frame(name, payload(100)) for name in names(10)]
    async with AsyncExitStack() as stack:
        return await in_turns(
            {
                "channelsmultiplexer": await echoing(stack, [rival(10)], frames),
                "ours": await echoing(stack, [ours(10)], frames),
            },
            effort,
        )


async def added_in_hops(effort: Effort) -> Figure:
    """What is added to a trivial child, in hops through an asyncio.Queue."""
    content = payload(100)
    async with AsyncExitStack() as stack:
        return await in_turns(
            {
                "stream": await echoing(stack, [ours(1, trivial)], [frame("stream-0", content)]),
                "alone": await echoing(stack, [trivial], [content.encode()]),
                "queue hop": await stack.enter_async_context(_queue_hops()),
            },
            effort,
            added,
        )


async def added_in_json(effort: Effort, ascii_only: bool) -> Figure:
    """What is added to a trivial child at 10 kB, in json.loads + json.dumps of the frame."""
    content = payload(10_000, ascii_only=ascii_only)
    message = frame("stream-0", content)
    text = message.decode()

    async def recode(count: int) -> int:
        for _ in range(count):
            json.dumps(json.loads(text))
        return count

    async with AsyncExitStack() as stack:
        return await in_turns(
            {
                "stream": await echoing(stack, [ours(1, trivial)], [message]),
                "alone": await echoing(stack, [trivial], [content.encode()]),
                "loads + dumps": recode,
            },
            effort,
            added,
        )


@contextlib.asynccontextmanager
async def _queue_hops() -> AsyncIterator[Work]:
    """Two tasks that pass an item to and fro; an operation is one hop, half a round trip."""
    there: asyncio.Queue[object] = asyncio.Queue()
    back: asyncio.Queue[object] = asyncio.Queue()

    async def echo() -> None:
        while True:
            await back.put(await there.get())

    async def work(count: int) -> int:
        trips = -(-count // 2)
        for _ in range(trips):
            await there.put(work)
            await back.get()
        return 2 * trips

    task = asyncio.ensure_future(echo())
    try:
        yield work
    finally:
        task.cancel()
        await asyncio.wait([task])


async def open_streams(replies: Replies, socket: Socket, numbers: range) -> None:
    """Open streams of `on_demand`, and wait for the answers."""
    for number in numbers:
        opened = replies.expect(1)
        socket.put_text(b'{"stream":"room/%d","event":"open"}' % number)
        await opened


async def rooms(stack: AsyncExitStack, opened: int, used: int) -> Work:
    """Open so many streams of one socket, and return the work of frames to `used` in turn."""
    replies = Replies()
    [socket] = await stack.enter_async_context(connected([on_demand()], replies))
    await open_streams(replies, socket, range(opened))
    content = payload(100)
    # The hot stream is one from the middle.
    first = 0 if used == opened else opened // 2
    frames = [frame(f"room/{number}", content) for number in range(first, first + used)]
    next_one = 0

    async def work(count: int) -> int:
        nonlocal next_one
        for _ in range(count):
            answered = replies.expect(1)
            socket.put_text(frames[next_one])
            await answered
            next_one = (next_one + 1) % used
        return count

    await work(used)
    return work


async def many_streams(effort: Effort, hot: bool) -> Figure:
    """A frame beside 1,000 open streams against one beside none: round robin, or one hot."""
    count = effort.size(1000)
    async with AsyncExitStack() as stack:
        return await in_turns(
            {
                f"{count} streams": await rooms(stack, count, 1 if hot else count),
                "1 stream": await rooms(stack, 1, 1),
            },
            effort,
        )


async def open_and_close(effort: Effort) -> Figure:
    """Opening and closing a stream beside 1,000 others against beside one."""
    count = effort.size(1000)
    async with AsyncExitStack() as stack:
        return await in_turns(
            {
                f"beside {count}": await _opening(stack, count),
                "beside 1": await _opening(stack, 1),
            },
            effort,
        )


async def _opening(stack: AsyncExitStack, others: int) -> Work:
    replies = Replies()
    [socket] = await stack.enter_async_context(connected([on_demand()], replies))
    await open_streams(replies, socket, range(others))

    async def work(count: int) -> int:
        for _ in range(count):
            for event in (b"open", b"close"):
                answered = replies.expect(1)
                socket.put_text(b'{"stream":"room/10000","event":"%b"}' % event)
                await answered
        return count

    await work(1)
    return work
