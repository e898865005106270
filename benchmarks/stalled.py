"""What a stream feels of a neighbour that has stalled, where the client keeps to credit."""

from __future__ import annotations

import asyncio
import statistics
import time

from channels_demultiplexer.client import Connection, connect

from .measure import Effort, Figure, Side, figure
from .payloads import payload
from .servers import serving

#: The frames that the client has for the stream that takes none.
_WAITING = 10_000


async def beside(effort: Effort, kind: str) -> Figure:
    """p50 of an echo beside a stalled stream for which frames wait, against the echo alone."""
    sides = [Side("beside a stalled stream", "us"), Side("alone", "us")]
    async with serving(kind) as server:
        for _ in range(min(effort.rounds, 31)):
            for side in sides:
                url = f"ws://127.0.0.1:{server.port}/stalled"
                async with connect(url, compression=None) as socket:
                    stalled = asyncio.create_task(_flood(socket)) if side is sides[0] else None
                    await _probe(socket, effort.seconds / 4)
                    side.values.append(await _probe(socket, effort.seconds) * 1e6)
                    if stalled is not None:
                        assert not stalled.done(), "the stream takes what it gets"
                        stalled.cancel()
                        await asyncio.wait({stalled})
    return figure(sides, note="wall time")


async def _flood(socket: Connection) -> None:
    stream = await socket.stream("stalled").__aenter__()
    content = payload(100)
    await asyncio.gather(*(stream.send(content) for _ in range(_WAITING)))


async def _probe(socket: Connection, seconds: float) -> float:
    """Return the median of the round trips of so many seconds."""
    content = payload(100)
    times: list[float] = []
    async with socket.stream("echo") as echo:
        end = time.perf_counter() + seconds
        while not times or time.perf_counter() < end:
            start = time.perf_counter()
            await echo.send(content)
            await echo.recv()
            times.append(time.perf_counter() - start)
    return statistics.median(times)
