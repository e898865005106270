"""The rows of the table: name, what it compares, what is to be reached, how it is measured."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from . import hostile, latency, lifetimes, load, messages, routers, servers, stalled
from .measure import Effort, Figure


@dataclass(frozen=True)
class Row:
    """A row of the table."""

    name: str
    title: str
    #: The ratio to reach. None where the row is for information.
    reach: float | None
    run: Callable[[Effort], Awaitable[Figure]]
    #: Whether the ratio is to be at least, not at most, `reach`.
    at_least: bool = False
    #: Whether it needs no server: all that the short form measures.
    in_process: bool = True

    def measure(self, effort: Effort) -> Figure:
        """
        Measure it.

        Raises:
            Skipped: if something is not installed.
        """
        return asyncio.run(self.run(effort))  # type: ignore[arg-type]

    def reached(self, ratio: float) -> bool:
        """Say whether `ratio` is what is to be reached, to two decimals as the table has it."""
        if self.reach is None:
            return True
        ratio = round(ratio, 2)
        return ratio >= self.reach if self.at_least else ratio <= self.reach


def _one_stream(size: int, size_name: str, layer: bool, reach: float) -> Row:
    suffix = "-layer" if layer else ""
    title = f"one stream / bare consumer, {size_name}{', channel layer' if layer else ''}"
    run = partial(messages.one_stream, size=size, layer=layer)
    return Row(f"one-{size_name.replace(' ', '')}{suffix}", title, reach, run)


def _server(
    kind: str,
    *,
    cpu: float | None,
    rate: float | None = None,
    ready: float | None,
    memory: float | None,
    deflate: float | None,
) -> list[Row]:
    """Return the rows of a server: one socket with ten streams against ten sockets."""
    program, _, legacy = kind.partition("-")
    under = f"{program.capitalize()}{' (legacy)' if legacy else ''}, one socket / ten"

    def row(name: str, what: str, reach: float | None, run: Any, **options: Any) -> Row:
        measure = partial(run, kind=kind, **options)
        most = name == "rate"
        return Row(f"{kind}-{name}", f"{under}: {what}", reach, measure, most, in_process=False)

    rows = [
        row("cpu", "server CPU", cpu, servers.cost),
        row("rate", "messages per second", rate, servers.rate),
        row("ready", "time until all are ready", ready, servers.ready),
        row("memory", "memory", memory, servers.memory, deflate=False),
    ]
    if program == "uvicorn":
        # Daphne doesn't negotiate it.
        title = "memory, deflate" if legacy else "memory, permessage-deflate"
        rows.append(row("deflate", title, deflate, servers.memory, deflate=True))
    return rows


ROWS: tuple[Row, ...] = (
    *(
        _one_stream(size, size_name, layer, reach)
        for size, size_name, reach in ((100, "100 B", 0.14), (10_000, "10 kB", 0.66))
        for layer in (False, True)
    ),
    Row(
        "ten",
        "ten streams / ten bare consumers, 100 B",
        0.20,
        partial(messages.ten_streams, size=100),
    ),
    Row(
        "ten-10kB",
        "ten streams / ten bare consumers, 10 kB",
        0.72,
        partial(messages.ten_streams, size=10_000),
    ),
    Row("always", 'one stream, 100 B: DATABASE_CHECKS "always" / "due"', None, messages.always),
    Row("rival", "ten streams: channelsmultiplexer / ours", 15.0, messages.against_rival, True),
    Row("hops", "added to a trivial child, 100 B / a queue hop", 2.2, messages.added_in_hops),
    Row(
        "json",
        "added to a trivial child, 10 kB / json.loads + json.dumps",
        0.11,
        partial(messages.added_in_json, ascii_only=True),
    ),
    Row(
        "json-unicode",
        "the same, not ASCII",
        0.16,
        partial(messages.added_in_json, ascii_only=False),
    ),
    Row("memory-one", "memory: one stream / bare", 1.5, partial(lifetimes.memory, kind="one")),
    Row(
        "memory-one-layer",
        "memory: one stream / bare, channel layer",
        1.3,
        partial(lifetimes.memory, kind="one", layer=True),
    ),
    Row(
        "memory-lazy",
        "memory: 20 lazy, unopened / bare",
        1.1,
        partial(lifetimes.memory, kind="lazy"),
    ),
    Row(
        "memory-eager",
        "memory: 20 eager / 20 bare, channel layer",
        1.08,
        partial(lifetimes.memory, kind="eager", layer=True),
    ),
    Row(
        "connect-lazy",
        "connect + disconnect: 20 lazy / bare",
        1.1,
        partial(lifetimes.connecting, lazy=True),
    ),
    Row(
        "connect-eager",
        "connect + disconnect: 20 eager / 20 bare",
        0.4,
        partial(lifetimes.connecting, lazy=False),
    ),
    Row(
        "thousand",
        "a frame with 1,000 open streams / with 1, round robin",
        1.12,
        partial(messages.many_streams, hot=False),
    ),
    Row(
        "hot",
        "a frame of one hot stream among 1,000 / with 1",
        1.0,
        partial(messages.many_streams, hot=True),
    ),
    Row(
        "open-close",
        "open + close a stream beside 1,000 / beside 1",
        1.1,
        messages.open_and_close,
    ),
    Row(
        "router",
        "a route request: ours / django-observable-socket 1.0.1",
        0.25,
        routers.route_request,
    ),
    Row(
        "hostile",
        "the costliest of many hostile frames / json.loads of it",
        3.0,
        partial(hostile.worst, handler="frame"),
    ),
    Row(
        "hostile-read",
        "the same, with receive_json overridden",
        3.0,
        partial(hostile.worst, handler="read"),
    ),
    *_server("uvicorn", cpu=0.35, rate=3.0, ready=1 / 4.5, memory=1 / 3, deflate=1 / 6.5),
    *_server("uvicorn-legacy", cpu=0.35, rate=3.0, ready=1 / 4.5, memory=1 / 3, deflate=1 / 6.5),
    *_server("daphne", cpu=0.25, ready=None, memory=None, deflate=None),
    *(
        Row(
            f"load-{kind}",
            f'{kind.capitalize()}, 2,000 sockets of ten streams: server CPU, "due" / "always"',
            0.25,
            partial(load.checking, kind=kind),
            in_process=False,
        )
        for kind in ("uvicorn", "daphne")
    ),
    *(
        Row(
            f"credit-{kind}",
            f"{kind.capitalize()}, p50 of an echo beside a stalled stream, credit / without it",
            1.0,
            partial(stalled.beside, kind=kind),
            in_process=False,
        )
        for kind in ("uvicorn", "daphne")
    ),
    Row("latency", "p50 latency: flood beside it / on its own socket", 1.1, latency.latency),
    Row("flooded", "p50 latency beside a flood: streams / sockets", 0.22, latency.flooded),
    Row(
        "blocked",
        "p50 latency beside a sync consumer that blocks for 20 ms: streams / sockets",
        0.02,
        latency.blocked,
    ),
)
