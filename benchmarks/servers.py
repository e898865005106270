"""Real servers: one socket with ten streams against ten sockets."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib.util
import os
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

from .applications import names
from .driver import Replies
from .measure import Effort, Figure, Side, Skipped, Work, figure, in_turns, pin
from .payloads import frame, payload
from .websocket import Client, connect

STREAMS, SOCKETS = "one socket", "ten sockets"
#: How many streams the demultiplexers at /streams/N have.
COUNTS = (1, 2, 5, 10, 20)
_USERS = 10


class Server:
    """A server process on a port of this machine."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, deflate: bool) -> None:
        self.port = port
        self._process = process
        self._deflate = deflate
        # The CPU clock of another process, as glibc's clock_getcpuclockid makes it.
        self._clock = (~process.pid << 3) | 2

    def cpu(self) -> float:
        """Return the CPU seconds that the server has used."""
        return time.clock_gettime(self._clock)

    def memory(self) -> int:
        """Return the bytes of anonymous memory that the server has in use."""
        for line in Path(f"/proc/{self._process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise Skipped("the system doesn't say what memory a process has")

    def terminate(self) -> None:
        """Ask the server to end, by SIGTERM."""
        self._process.terminate()

    async def connect(self, paths: list[str], replies: Replies) -> list[Client]:
        """Connect to each path, all at once."""
        return await connect(self.port, paths, replies, deflate=self._deflate)


@contextlib.asynccontextmanager
async def serving(
    kind: str, deflate: bool = False, application: str = "serve", **environment: str
) -> AsyncIterator[Server]:
    """
    Run a server for the time of the context.

    Args:
        kind: "uvicorn"; "uvicorn-legacy", with the implementation of WebSockets that was its
            default before; or "daphne".
        deflate: whether it negotiates permessage-deflate, which Daphne doesn't.
        application: the module of this package whose `application` is served.
        environment: the environment variables that it needs.

    Raises:
        Skipped: if it is not installed, or this is no Linux.
    """
    if sys.platform != "linux":
        raise Skipped("the clock of another process is read as on Linux")
    program = kind.partition("-")[0]
    for module in ("uvicorn", "websockets") if program == "uvicorn" else ("daphne",):
        if importlib.util.find_spec(module) is None:
            raise Skipped(f"{module} is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {
        "uvicorn": f"--host 127.0.0.1 --port {port} --log-level error --lifespan off "
        f"--ws-per-message-deflate {str(deflate).lower()} "
        f"--ws {'websockets' if kind == 'uvicorn-legacy' else 'websockets-sansio'}",
        "daphne": f"-b 127.0.0.1 -p {port} -v 0",
    }
    command = [sys.executable, "-W", "ignore", "-m", program, *options[program].split()]
    process = await asyncio.create_subprocess_exec(
        *command,
        f"benchmarks.{application}:application",
        cwd=Path(__file__).parent.parent,
        env={**os.environ, **environment},
    )
    pin(process.pid, core=1)
    try:
        await _listening(process, port)
        yield Server(process, port, deflate)
    finally:
        with contextlib.suppress(ProcessLookupError):  # it has ended by itself
            process.kill()
        await process.wait()


async def _listening(process: asyncio.subprocess.Process, port: int) -> None:
    async with asyncio.timeout(30):
        while process.returncode is None:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return
    raise RuntimeError("the server has ended")


def _paths(side: str, count: int = 10) -> list[str]:
    """Return what a user with so many consumers connects to."""
    return ["/bare"] * count if side == SOCKETS else [f"/streams/{count}"]


def _frames(side: str, count: int = 10) -> list[bytes]:
    """Return a user's messages: one for each consumer."""
    content = payload(100)
    if side == SOCKETS:
        return [content.encode()] * count
    return [frame(name, content) for name in names(count)]


async def _exchange(clients: list[Client], messages: list[bytes], replies: Replies) -> None:
    """Send the messages, one for each consumer, and wait until each is answered."""
    answered = replies.expect(len(messages))
    each = len(messages) // len(clients)
    for number, message in enumerate(messages):
        clients[number // each].send(message)
    await answered


async def cost(effort: Effort, kind: str) -> Figure:
    """The server's CPU for a message: users with ten messages under way each."""
    # Longer rounds: the client's pace, on another core, makes short ones differ.
    effort = dataclasses.replace(effort, seconds=4 * effort.seconds)
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(kind))
        works = {side: await _messaging(stack, server, side) for side in (STREAMS, SOCKETS)}
        return await in_turns(works, effort, clock=server.cpu)


async def rate(effort: Effort, kind: str) -> Figure:
    """How many messages a second: the wall time of each, the other way round."""
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(kind))
        works = {side: await _messaging(stack, server, side) for side in (STREAMS, SOCKETS)}
        return await in_turns(works, effort, lambda times: times[1] / times[0], time.perf_counter)


async def _messaging(stack: AsyncExitStack, server: Server, side: str) -> Work:
    replies = Replies()
    clients: list[Client] = []
    for _ in range(_USERS):
        clients += await server.connect(_paths(side), replies)
    for client in clients:
        stack.push_async_callback(client.close)
    messages = _frames(side) * _USERS

    async def work(count: int) -> int:
        lots = -(-count // len(messages))
        for _ in range(lots):
            await _exchange(clients, messages, replies)
        return lots * len(messages)

    return work


async def ready(effort: Effort, kind: str) -> Figure:
    """
    Wall time from a user's first byte until ten consumers have accepted.

    Sockets are connected one after another: a client may not have two handshakes with one host
    under way (RFC 6455, section 4.1, step 2), and browsers don't.
    """
    sides = [Side(side, "ms") for side in (STREAMS, SOCKETS)]
    async with serving(kind) as server:
        for side in sides:
            await _ready(server, side.name)
        for _ in range(effort.rounds):
            for side in sides:
                side.values.append(await _ready(server, side.name) * 1e3)
    return figure(sides, note="wall time")


async def _ready(server: Server, side: str) -> float:
    """Connect a user, and return the seconds until all is ready; then wait for the server."""
    replies = Replies()
    start = time.perf_counter()
    clients = [client for path in _paths(side) for client in await server.connect([path], replies)]
    if side == STREAMS:
        opened = replies.expect(10)
        for name in names(10):
            clients[0].send(b'{"stream":"%b","event":"open"}' % name.encode())
        await opened
    seconds = time.perf_counter() - start
    for client in clients:
        await client.close()
    await idle(server)
    return seconds


async def idle(server: Server) -> None:
    """Wait until the server has done all that it had to do."""
    while True:
        before = server.cpu()
        await asyncio.sleep(0.02)
        if server.cpu() - before < 0.001:
            return


async def memory(effort: Effort, kind: str, deflate: bool) -> Figure:
    """The server's memory for a user whose ten consumers have each answered a message."""
    sides = [Side(side, "kB") for side in (STREAMS, SOCKETS)]
    for _ in range(min(effort.rounds, 5)):
        for side in sides:
            side.values.append(await per_user(effort.size(60), kind, deflate, side.name))
    return figure(sides)


async def per_user(users: int, kind: str, deflate: bool, side: str, count: int = 10) -> float:
    """Return the kB that a new server uses for each of so many users with `count` consumers."""
    replies = Replies()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serving(kind, deflate))

        async def come() -> None:
            clients = await server.connect(_paths(side, count), replies)
            for client in clients:
                stack.push_async_callback(client.close)
            await _exchange(clients, _frames(side, count), replies)

        # The first user imports and caches what all share.
        await come()
        await idle(server)
        before = server.memory()
        for _ in range(users):
            await come()
        await idle(server)
        return (server.memory() - before) / users / 1000
