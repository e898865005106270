"""The plots: what is measured for each, and how it is drawn."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from . import flame, messages, servers
from .applications import Echo, ours, rival
from .driver import Application
from .measure import Effort, Figure, Skipped, Work, in_turns
from .payloads import frame, payload
from .svg import Lines, chart

SIZES = (100, 1000, 10_000, 100_000)
OPEN = (1, 10, 100, 1000)


async def against_size(effort: Effort) -> Lines:
    """CPU time of a message against the payload's bytes; channelsmultiplexer where there is."""
    applications: dict[str, Application] = {
        "bare consumer": Echo.as_asgi(),
        "channels_demultiplexer": ours(1),
    }
    with contextlib.suppress(Skipped):
        applications["channelsmultiplexer"] = rival(1)
    lines: Lines = {}
    for size in SIZES:
        content = payload(size)
        async with AsyncExitStack() as stack:
            works: dict[str, Work] = {}
            for name, application in applications.items():
                bare = name == "bare consumer"
                message = content.encode() if bare else frame("stream-0", content)
                works[name] = await messages.echoing(stack, [application], [message])
            _add(lines, size, await in_turns(works, effort))
    return lines


async def against_streams(effort: Effort) -> Lines:
    """CPU time of a frame against the number of open streams."""
    lines: Lines = {}
    async with AsyncExitStack() as stack:
        for count in OPEN:
            count = effort.size(count) if count > 1 else 1
            works = {
                "round robin": await messages.rooms(stack, count, count),
                "one hot stream": await messages.rooms(stack, count, 1),
            }
            _add(lines, count, await in_turns(works, effort))
    return lines


async def memory(effort: Effort) -> Lines:
    """A server's memory for a user against the number of streams: one socket and N sockets."""
    lines: Lines = {}
    # The short form has no time for many servers.
    for count in servers.COUNTS if effort.divisor == 1 else servers.COUNTS[:1]:
        for deflate in (False, True):
            suffix = ", deflate" if deflate else ""
            for name, side in (("one socket", servers.STREAMS), ("N sockets", servers.SOCKETS)):
                used = await servers.per_user(effort.size(40), "uvicorn", deflate, side, count)
                lines.setdefault(name + suffix, []).append((count, used))
    return lines


def _add(lines: Lines, x: float, figure: Figure) -> None:
    for side in figure.sides:
        lines.setdefault(side.name, []).append((x, statistics.median(side.values)))


def draw(folder: Path, effort: Effort) -> dict[str, Lines]:
    """Measure and draw each plot into `folder`; return the points."""
    drawn: dict[str, Lines] = {}

    def one(
        name: str,
        measure: Callable[[Effort], Awaitable[Lines]],
        labels: tuple[str, str, str],
        log: str = "",
    ) -> None:
        try:
            drawn[name] = asyncio.run(measure(effort))  # type: ignore[arg-type]
        except Skipped as reason:
            print(f"bench-{name}.svg skipped: {reason}")
            return
        (folder / f"bench-{name}.svg").write_text(chart(*labels, drawn[name], log=log))
        print(f"bench-{name}.svg", flush=True)

    one(
        "payload",
        against_size,
        ("Cost of an echoed message", "bytes of payload", "CPU time, µs"),
        "xy",
    )
    one(
        "streams",
        against_streams,
        ("Cost of an echoed frame beside open streams", "open streams", "CPU time, µs"),
        "x",
    )
    one(
        "memory",
        memory,
        ("Memory of a user under Uvicorn", "consumers", "kB of server memory"),
    )
    for checks in ("always", "due"):
        (folder / f"bench-flame-{checks}.svg").write_text(flame.draw(effort.seconds * 50, checks))
        print(f"bench-flame-{checks}.svg")
    return drawn
