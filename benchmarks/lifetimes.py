"""The cost of a connection: to connect and disconnect, and in memory."""

from __future__ import annotations

import asyncio
import gc
import tracemalloc

from .applications import Echo, ours
from .driver import Application, Replies, Socket
from .measure import Effort, Figure, Side, Work, figure, in_turns
from .settings import channel_layer


def _counting(replies: Replies) -> type[Echo]:
    """Return an echo consumer that counts its acceptance, which a stream's client isn't told."""

    class Counting(Echo):
        async def connect(self) -> None:
            await self.accept()
            replies.count()

    return Counting


async def connecting(effort: Effort, lazy: bool) -> Figure:
    """Connect and disconnect: 20 lazy streams against a bare consumer; 20 eager against 20."""
    replies = Replies()
    child = _counting(replies)
    bare = child.as_asgi()
    if lazy:
        ours_side = _life(replies, [ours(20, child, lazy=True)], replies_each=1)
        bare_side = _life(replies, [bare], replies_each=2)
    else:
        ours_side = _life(replies, [ours(20, child)], replies_each=21)
        bare_side = _life(replies, [bare] * 20, replies_each=2)
    name = "20 lazy" if lazy else "20 eager"
    return await in_turns({name: ours_side, "bare" if lazy else "20 bare": bare_side}, effort)


def _life(replies: Replies, applications: list[Application], replies_each: int) -> Work:
    """Return the work of connecting all, waiting until all have accepted, and disconnecting."""

    async def work(count: int) -> int:
        for _ in range(count):
            sockets = [Socket(application, replies) for application in applications]
            accepted = replies.expect(replies_each * len(sockets))
            for socket in sockets:
                socket.start()
            await accepted
            for socket in sockets:
                socket.put({"type": "websocket.disconnect", "code": 1000})
            for socket in sockets:
                await socket.task  # type: ignore[misc]
        return count

    return work


async def memory(effort: Effort, kind: str, layer: bool = False) -> Figure:
    """Python's memory for an idle connection: `kind` is "one", "lazy" or "eager"."""
    replies = Replies()
    child = _counting(replies)
    bare = child.as_asgi()
    users = effort.size(100)
    made: dict[str, tuple[list[Application], int]] = {
        "one": ([ours(1, child)], 2),
        "lazy": ([ours(20, child, lazy=True)], 1),
        "eager": ([ours(20, child)], 21),
    }
    applications, replies_each = made[kind]
    sockets = 20 if kind == "eager" else 1
    sides = [Side(kind, "B"), Side("bare" if sockets == 1 else f"{sockets} bare", "B")]
    with channel_layer(layer):
        for _ in range(min(effort.rounds, 5)):
            sides[0].values.append(await per_user(replies, applications, replies_each, users))
            sides[1].values.append(await per_user(replies, [bare] * sockets, 2, users))
    return figure(sides)


async def per_user(
    replies: Replies, applications: list[Application], replies_each: int, users: int
) -> float:
    """Return the bytes that Python has allocated for each of so many users."""
    # The first connection imports and caches what all share.
    await _life(replies, applications, replies_each)(1)
    tracemalloc.start()
    try:
        gc.collect()
        before, _ = tracemalloc.get_traced_memory()
        sockets = [Socket(one, replies) for _ in range(users) for one in applications]
        accepted = replies.expect(replies_each * len(sockets))
        for socket in sockets:
            socket.start()
        await accepted
        # So that what came after the acceptances has been done too.
        for _ in range(10):
            await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for socket in sockets:
        await socket.end()
    return (after - before) / users
