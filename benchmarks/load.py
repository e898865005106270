"""
The command line `python -m benchmarks.load`: as many streams as asked for, at once.

It opens them on a server of its own, holds them, talks on all, tells all something through a
group, has the server end by SIGTERM, and prints what that cost.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack

from .applications import names
from .driver import Replies
from .measure import Effort, Figure, Side, Skipped, figure, pin
from .payloads import frame, payload
from .servers import Server, idle, serving
from .table import circumstances, heading
from .websocket import Client, connect

#: How many sockets connect at once.
_AT_ONCE = 50
#: How many echoes have their time taken while nobody else talks.
_ALONE = 500
# Not the one of queues: there each channel of a group takes a connection to Redis to join it, and
# redis-py 8 has no more than 100.
_REDIS = "channels_redis.pubsub.RedisPubSubChannelLayer"
_MEMORY = "channels.layers.InMemoryChannelLayer"


class Member(Client):
    """A client that notes when what it waits for has come, and how its connection has ended."""

    code: int | None = None

    def closed(self, code: int) -> None:
        self.code = code
        self.transport.close()


class Crowd:
    """
    Sockets with as many streams each, all of them open.

    Args:
        server: the server.
        streams: how many each socket has.
    """

    def __init__(self, server: Server, streams: int) -> None:
        self.server = server
        self.clients: list[Member] = []
        self._path = f"/streams/{streams}"
        self._names = names(streams)
        self._replies = Replies()

    @property
    def streams(self) -> int:
        """How many streams there are."""
        return len(self.clients) * len(self._names)

    async def join(self, sockets: int) -> None:
        """Connect so many more, and wait until all their streams are open."""
        for start in range(0, sockets, _AT_ONCE):
            paths = [self._path] * min(_AT_ONCE, sockets - start)
            new = await connect(self.server.port, paths, self._replies, make=Member)
            opened = self._replies.expect(len(new) * len(self._names))
            for client in new:
                for name in self._names:
                    client.send(b'{"stream":"%b","event":"open"}' % name.encode())
            await opened
            self.clients += new

    async def talk(self, rounds: int) -> int:
        """Send a frame to every stream at once, so often; return how many there were."""
        frames = [frame(name, payload(100)) for name in self._names]
        for _ in range(rounds):
            answered = self._replies.expect(self.streams)
            for message in frames:
                for client in self.clients:
                    client.send(message)
            await answered
        return rounds * self.streams

    async def echo(self) -> float:
        """Return the seconds that an echo takes on a stream, whichever it is."""
        client, name = random.choice(self.clients), random.choice(self._names)
        answered = self._replies.expect(1)
        start = time.perf_counter()
        client.send(frame(name, payload(100)))
        await answered
        return time.perf_counter() - start

    async def tell_all(self) -> float:
        """Return the seconds until every stream has passed on what one has told its group."""
        heard = self._replies.expect(self.streams)
        start = time.perf_counter()
        self.clients[0].send(frame(self._names[0], f"[{payload(100)}]"))
        await heard
        return time.perf_counter() - start

    async def end(self) -> tuple[float, Counter[int | None]]:
        """End the server; return the seconds until all have lost it, and how many by which code."""
        start = time.perf_counter()
        self.server.terminate()
        await asyncio.gather(*(client.lost() for client in self.clients))
        return time.perf_counter() - start, Counter(client.code for client in self.clients)

    def leave(self) -> None:
        """Drop all connections."""
        for client in self.clients:
            client.transport.abort()


@contextlib.asynccontextmanager
async def crowd(
    kind: str, streams: int, layer: str = "none", checks: str = "due"
) -> AsyncIterator[Crowd]:
    """Have a server with this channel layer and setting, and nobody on it yet."""
    _allow_files()
    with _layer(layer) as configured:
        async with serving(
            kind, application="load_app", LOAD_LAYER=json.dumps(configured), LOAD_CHECKS=checks
        ) as server:
            made = Crowd(server, streams)
            try:
                yield made
            finally:
                made.leave()


def _allow_files() -> None:
    """Let this process, and the server after it, have as many connections as the system lets."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def _layer(name: str) -> Iterator[object]:
    """Have what CHANNEL_LAYERS says of a layer, for "redis" a Redis of its own."""
    if name == "redis":
        with tempfile.TemporaryDirectory() as directory:
            yield from _redis(directory)
    else:
        yield {"BACKEND": _MEMORY} if name == "memory" else None


def _redis(directory: str) -> Iterator[object]:
    program = shutil.which("redis-server")
    if program is None:
        raise Skipped("redis-server is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        program,
        "--bind",
        "127.0.0.1",
        "--port",
        str(port),
        "--save",
        "",
        "--dir",
        directory,
    ]
    process = subprocess.Popen([*command, "--loglevel", "warning"], stdout=subprocess.DEVNULL)
    try:
        # redis-py 8 gives up a wait after seconds, unless it is told not to.
        host = {"address": f"redis://127.0.0.1:{port}/0", "socket_timeout": None}
        yield {"BACKEND": _REDIS, "CONFIG": {"hosts": [host]}}
    finally:
        process.kill()
        process.wait()


async def checking(effort: Effort, kind: str) -> Figure:
    """The server's CPU for an echo while 2,000 sockets of ten streams talk, against "always"."""
    sides = [Side(checks, "us") for checks in ("due", "always")]
    async with AsyncExitStack() as stack:
        crowds = []
        for side in sides:
            made = await stack.enter_async_context(crowd(kind, 10, checks=side.name))
            await made.join(effort.size(2000))
            await made.talk(1)
            crowds.append(made)
        for _ in range(min(effort.rounds, 7)):
            for side, made in zip(sides, crowds, strict=True):
                before = made.server.cpu()
                count = await made.talk(1)
                side.values.append((made.server.cpu() - before) / count * 1e6)
    return figure(sides)


async def load(arguments: argparse.Namespace) -> None:
    """Do it all, and print it."""
    async with crowd(arguments.server, arguments.streams, arguments.layer) as made:
        server = made.server
        await made.join(1)  # which imports and caches what all share
        await idle(server)
        cpu, memory, start = server.cpu(), server.memory(), time.perf_counter()
        await made.join(arguments.sockets - 1)
        seconds = time.perf_counter() - start
        new = made.streams - arguments.streams
        cpu = server.cpu() - cpu
        await idle(server)
        print(
            f"streams opened: {made.streams:,} on {arguments.sockets:,} sockets, "
            f"{new / seconds:,.0f} a second"
        )
        print(f"server CPU to open one: {cpu / new * 1e6:,.0f} us")
        print(f"server memory of one: {(server.memory() - memory) / new / 1000:,.1f} kB")
        times = sorted([await made.echo() for _ in range(_ALONE)])
        print(
            f"echo, one under way: p50 {times[len(times) // 2] * 1e3:,.2f} ms, "
            f"p99 {times[len(times) * 99 // 100] * 1e3:,.2f} ms"
        )
        await made.talk(1)
        cpu, start = server.cpu(), time.perf_counter()
        count = await made.talk(3)
        seconds, cpu = time.perf_counter() - start, server.cpu() - cpu
        print(
            f"echo, one under way on every stream: {count / seconds:,.0f} a second, "
            f"server CPU of one {cpu / count * 1e6:,.0f} us"
        )
        if arguments.layer != "none":
            told = [await made.tell_all() for _ in range(3)]
            print(f"a broadcast to every stream: {statistics.median(told):,.2f} s until the last")
        seconds, codes = await made.end()
        counted = ", ".join(f"{code} for {count:,}" for code, count in codes.most_common())
        print(f"SIGTERM: all ended within {seconds:,.2f} s, close code {counted}")


def main() -> int:
    """Read the arguments, and run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load", description=__doc__)
    parser.add_argument("--sockets", type=int, default=2000)
    parser.add_argument("--streams", type=int, default=10, help="of each socket, at most 100")
    parser.add_argument("--layer", choices=["memory", "redis", "none"], default="none")
    parser.add_argument("--server", choices=["uvicorn", "daphne"], default="uvicorn")
    arguments = parser.parse_args()
    about = circumstances("benchmarks.load")
    print(heading(about).replace("; ", "\n"))
    print(about["command"], flush=True)
    pin()
    asyncio.run(load(arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main())
