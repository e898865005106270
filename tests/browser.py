"""A real browser: headless Chromium, driven by Playwright, and a network to cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator

from playwright.async_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    async_playwright,
    expect,
)

from .chromium import ARGUMENTS, executable
from .servers import HOST, PATIENCE

__all__ = ["Network", "Watch", "browser", "watched"]

expect.set_options(timeout=PATIENCE * 1000)


@contextlib.asynccontextmanager
async def browser() -> AsyncIterator[Browser]:
    """Run a browser until the block ends."""
    path = executable()
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path, args=ARGUMENTS, timeout=PATIENCE * 1000
        )
        try:
            yield browser
        finally:
            await browser.close()


class Watch:
    """
    A browser context, watched.

    Attributes:
        context: the context.
        faults: the errors and warnings that its pages have had in the console.
        expected: how those of them begin that the test itself brings about. They may come late,
            and more or fewer than once: so a test says beforehand what it expects.
    """

    def __init__(self, context: BrowserContext) -> None:
        self.context = context
        self.faults: list[str] = []
        self.expected: tuple[str, ...] = ()
        context.on("console", self._said)
        context.on("weberror", lambda error: self.faults.append(str(error.error)))

    def _said(self, message: ConsoleMessage) -> None:
        # A violation of the Content-Security-Policy is an error of the console too.
        text = message.text
        if message.type in {"error", "warning"} and not text.startswith(self.expected):
            self.faults.append(text)


@contextlib.asynccontextmanager
async def watched(browser: Browser) -> AsyncIterator[Watch]:
    """Give a context of its own, whose pages must do without errors in the console."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900})
    context.set_default_timeout(PATIENCE * 1000)
    watch = Watch(context)
    try:
        yield watch
    finally:
        await context.close()
    assert not watch.faults, watch.faults


class Network:
    """
    A way to a server that can be cut: it forwards TCP connections, until it does not.

    Attributes:
        port: the port that it listens on.
        target: the port of the server. It may be changed.
        silent: whether nothing goes through any more, though the connections stay.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.silent = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[str]:
        """Forward until the block ends, and give the address for a browser."""
        server = await asyncio.start_server(self._forward, HOST, 0)
        self.port: int = server.sockets[0].getsockname()[1]
        try:
            yield f"http://{HOST}:{self.port}"
        finally:
            server.close()
            for writer in self._writers:
                writer.close()
            if self._tasks:
                await asyncio.wait(self._tasks)
            await server.wait_closed()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            with self._open(writer), contextlib.suppress(OSError):
                far_reader, far_writer = await asyncio.open_connection(HOST, self.target)
                with self._open(far_writer):
                    await asyncio.gather(
                        self._copy(reader, far_writer), self._copy(far_reader, writer)
                    )
        finally:
            self._tasks.discard(task)

    @contextlib.contextmanager
    def _open(self, writer: asyncio.StreamWriter) -> Iterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Copy until the end, which ends the other direction too."""
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if not self.silent:
                    writer.write(data)
                    await writer.drain()
        writer.close()
