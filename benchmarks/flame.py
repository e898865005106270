"""The flame graph of one message's life, by sampling the stack of the event loop's thread."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from contextlib import AsyncExitStack
from types import FrameType

from .applications import ours
from .messages import echoing
from .payloads import frame, payload
from .svg import Call, icicle

#: What the names of modules begin with, and the colour and legend of it.
_KINDS = (
    ("channels_demultiplexer", "#6db3f2", "this library"),
    ("channels", "#f2b36d", "Channels"),
    ("asgiref", "#e58f8f", "the thread hop"),
    ("json", "#a5d6a7", "JSON"),
    ("benchmarks", "#cfcfcf", "the benchmark"),
    ("", "#dccbe8", "asyncio and others"),
)
_HOP = "asgiref: wait for the thread"
_INTERVAL = 0.0007

Stack = tuple[str, ...]


def draw(seconds: float, checks: str) -> str:
    """Return the SVG of `seconds` of echoing through one stream with this DATABASE_CHECKS."""
    samples = asyncio.run(_sample(seconds, checks))
    total = sum(samples.values())
    return icicle(
        f'One message, echoed behind one stream with "{checks}": {total:,} samples',
        _calls(samples, total),
        {name: colour for _, colour, name in _KINDS},
    )


async def _sample(seconds: float, checks: str) -> Counter[Stack]:
    samples: Counter[Stack] = Counter()

    def take(_: int, current: FrameType | None) -> None:
        samples[_stack(current)] += 1

    async with AsyncExitStack() as stack:
        work = await echoing(
            stack, [ours(1, database_checks=checks)], [frame("stream-0", payload(100))]
        )
        await work(500)
        before = signal.signal(signal.SIGALRM, take)
        signal.setitimer(signal.ITIMER_REAL, _INTERVAL, _INTERVAL)
        try:
            end = time.perf_counter() + seconds
            while time.perf_counter() < end:
                await work(100)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)
    return samples


def _stack(current: FrameType | None) -> Stack:
    """Return the names of the calls within the event loop's turn, the outermost first."""
    names: list[str] = []
    while current is not None:
        module = current.f_globals.get("__name__", "?")
        function = current.f_code.co_qualname
        if function == "EpollSelector.select":
            # Nothing else makes the loop wait here.
            return (_HOP,)
        if module == "asyncio.base_events" and function == "BaseEventLoop._run_once":
            break
        if not (module == "asyncio.events" and function == "Handle._run"):
            names.append(f"{module}: {function}")
        current = current.f_back
    return tuple(reversed(names)) or ("asyncio: the event loop",)


def _calls(samples: Counter[Stack], total: int) -> list[Call]:
    """Make the tree of calls, leaving out what is under 0.3%."""
    inner: dict[str, Counter[Stack]] = {}
    for stack, count in samples.items():
        if stack:
            inner.setdefault(stack[0], Counter())[stack[1:]] += count
    return [
        (name, _colour(name), sum(rest.values()) / total, _calls(rest, total))
        for name, rest in sorted(inner.items(), key=lambda item: -sum(item[1].values()))
        if sum(rest.values()) >= 0.003 * total
    ]


def _colour(name: str) -> int:
    return next(n for n, (start, _, _) in enumerate(_KINDS) if name.startswith(start))
