"""
A client of one socket, which plays the ASGI server too.

Unlike `channels.testing`, it applies backpressure: the application's sends wait where the client
does not read. It waits for the application to end by itself and never cancels it silently.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, TypeVar

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

T = TypeVar("T")

#: Seconds that nothing takes, however slow the machine: only a failing test waits so long.
TIMEOUT = 30


async def within(awaitable: Awaitable[T], what: str) -> T:
    """Await something that is to happen soon; fail saying `what` where it does not."""
    try:
        async with asyncio.timeout(TIMEOUT):
            return await awaitable
    except TimeoutError:
        raise AssertionError(f"in vain waited for {what}") from None


class Log(logging.Handler):
    """The warnings and errors of a connection, each of which a test has to expect."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def expect(self, pattern: str) -> logging.LogRecord:
        """Take the oldest record out, whose message matches the regular expression."""
        assert self.records, f"nothing was logged, expected {pattern!r}"
        record = self.records.pop(0)
        assert re.search(pattern, record.getMessage()), record.getMessage()
        return record


class Client:
    """
    A client of one socket of `application`.

    Args:
        application: the ASGI application.
        capacity: the most messages that wait for the client to read, before a send waits.
        scope: what the socket's scope has besides the usual.
    """

    def __init__(self, application: Any, *, capacity: int = 100, **scope: Any) -> None:
        self.application = application
        #: The puppets of this socket (see `children.Puppet`), to be released at its end.
        self.puppets: list[Any] = []
        self.scope = {
            "type": "websocket",
            "path": "/socket/",
            "raw_path": b"/socket/",
            "query_string": b"of=socket",
            "headers": [],
            "subprotocols": [],
            "puppets": self.puppets,
            **scope,
        }
        self.log = Log()
        self.task: asyncio.Task[None]
        #: How many messages the application has sent, or tried to, and nobody has received: also
        #: those that no client is there for any more.
        self.unheard = 0
        #: What the server's send raises, once it is set.
        self.send_error: BaseException | None = None
        #: What the server's send awaits first, once it is set.
        self.hook: Callable[[dict[str, Any]], Awaitable[None]] | None = None
        self._input: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._output: asyncio.Queue[dict[str, Any]] = asyncio.Queue(capacity)
        self._gone = asyncio.Event()
        # Whether `ended` has told how the application ended.
        self._told = False
        self._pings = 0

    # The server's side.

    async def _receive(self) -> dict[str, Any]:
        return await self._input.get()

    async def _send(self, message: dict[str, Any]) -> None:
        self.unheard += 1
        if self.hook is not None:
            await self.hook(message)
        if self.send_error is not None:
            raise self.send_error
        # As a server does, drop what is sent when the client has gone, and what waits then.
        if self._gone.is_set():
            return
        if not self._output.full():
            self._output.put_nowait(message)
            return
        gone = asyncio.ensure_future(self._gone.wait())
        put = asyncio.ensure_future(self._output.put(message))
        try:
            await asyncio.wait({gone, put}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for future in (gone, put):
                future.cancel()
            await asyncio.gather(gone, put, return_exceptions=True)

    async def __aenter__(self) -> Client:
        logging.getLogger().addHandler(self.log)
        application = self.application(self.scope, self._receive, self._send)
        self.task = asyncio.create_task(application)
        return self

    async def __aexit__(self, failure: Any, *_: object) -> None:
        try:
            if failure is None:
                await self._end_well()
        finally:
            logging.getLogger().removeHandler(self.log)
            self._gone.set()
            # The test has failed, and is not to hang where the application cannot be cancelled.
            for _ in range(100):
                if self.task.done():
                    break
                self.task.cancel()
                await asyncio.wait({self.task}, timeout=0.1)

    async def _end_well(self) -> None:
        if not self.task.done() and not self._gone.is_set():
            self.disconnect()
        for puppet in self.puppets:
            puppet.finish()
        if not self._told:
            await self.ended()
        assert not self.log.records, [record.getMessage() for record in self.log.records]

    async def ended(self) -> None:
        """Wait until the application has ended, and raise what it raised; not once more at exit."""
        await within(asyncio.wait({self.task}), "the application's end")
        self._told = True
        self.task.result()

    # What the client does.

    def feed(self, message: dict[str, Any]) -> None:
        """Give the application an ASGI message; it need not read it."""
        self._input.put_nowait(message)

    async def connect(self) -> dict[str, Any]:
        """Connect, and return the application's answer."""
        self.feed({"type": "websocket.connect"})
        return await self.receive()

    def disconnect(self, code: int = 1000, reason: str = "") -> None:
        """Go away: nothing is read any more."""
        self._gone.set()
        self.feed({"type": "websocket.disconnect", "code": code, "reason": reason})

    def send_text(self, text: str) -> None:
        """Send a text message as it is."""
        self.feed({"type": "websocket.receive", "text": text})

    def send_bytes(self, data: bytes) -> None:
        """Send a binary message as it is."""
        self.feed({"type": "websocket.receive", "bytes": data})

    def send(self, **frame: Any) -> None:
        """Send a frame of these keys."""
        self.send_text(json.dumps(frame))

    def data(self, stream: str, payload: Any) -> None:
        """Send a data frame."""
        self.send(stream=stream, payload=payload)

    def open(self, stream: str, **fields: Any) -> None:
        """Send an `open`."""
        self.send(stream=stream, event="open", **fields)

    def close(self, stream: str, **fields: Any) -> None:
        """Send a `close`."""
        self.send(stream=stream, event="close", **fields)

    @property
    def unread(self) -> int:
        """How many messages the application has not read yet."""
        return self._input.qsize()

    # What the client expects.

    async def receive(self) -> dict[str, Any]:
        """Return the next message of the application."""
        waiting = asyncio.ensure_future(self._output.get())
        try:
            await within(
                asyncio.wait({waiting, self.task}, return_when=asyncio.FIRST_COMPLETED),
                "a message",
            )
            if waiting.done():
                self.unheard -= 1
                return waiting.result()
        finally:
            waiting.cancel()
        await self.ended()
        raise AssertionError("the application has ended without a message")

    async def receive_text(self) -> str:
        """Return the next message, which is to be text."""
        message = await self.receive()
        assert message["type"] == "websocket.send", message
        text = message["text"]
        assert isinstance(text, str)
        return text

    async def receive_json(self) -> Any:
        """Return what the next message has, which is to be JSON."""
        return json.loads(await self.receive_text())

    async def expect_text(self, text: str) -> None:
        """Expect a text message, to the letter."""
        assert await self.receive_text() == text

    async def expect_frame(self, **frame: Any) -> None:
        """Expect a text frame of exactly these keys."""
        assert await self.receive_json() == frame

    async def expect_frames(self, *frames: dict[str, Any]) -> None:
        """Expect these text frames, in any order."""
        found = [await self.receive_json() for _ in frames]
        assert sorted(map(str, found)) == sorted(map(str, frames))

    async def expect_bytes(self, data: bytes) -> None:
        """Expect a binary message."""
        assert await self.receive() == {"type": "websocket.send", "bytes": data}

    async def expect_opened(self, stream: str, subprotocol: str | None = None) -> None:
        """Expect the answer to an `open`."""
        await self.expect_frame(stream=stream, event="open", subprotocol=subprotocol)

    async def expect_ended(self, stream: str, code: int, reason: str = "") -> None:
        """Expect a server's `close`."""
        await self.expect_frame(stream=stream, event="close", code=code, reason=reason)

    async def expect_error(self, status: int, stream: str | None = None) -> str:
        """Expect an error frame; return its text."""
        frame = await self.receive_json()
        error = frame.pop("payload")
        named = {} if stream is None else {"stream": stream}
        assert frame == {"event": "error", "status": status, **named}
        assert list(error) == ["error"]
        return str(error["error"])

    async def expect_silence(self) -> None:
        """Expect that what was sent before has made the demultiplexer send nothing."""
        self._pings += 1
        self.send(event="ping", payload=self._pings)
        await self.expect_frame(event="pong", payload=self._pings)

    async def expect_closed(self, code: int, reason: str = "") -> None:
        """Expect that the application closes the socket, and tell it that it is closed."""
        message = await self.receive()
        assert message.pop("type") == "websocket.close"
        assert (message.get("code", 1000), message.get("reason", "")) == (code, reason)
        self.disconnect(code, reason)


def demultiplexer(consumer_classes: dict[str, Any], **attributes: Any) -> Any:
    """Return the application of a demultiplexer class of these streams and attributes."""
    attributes = {"consumer_classes": consumer_classes, **attributes}
    return type("Demultiplexer", (WebsocketDemultiplexer,), attributes).as_asgi()


@contextlib.asynccontextmanager
async def serving(application: Any, **scope: Any) -> AsyncIterator[Client]:
    """A client that is connected to `application`, and disconnects at the end."""
    async with Client(application, **scope) as client:
        assert (await client.connect())["type"] == "websocket.accept"
        yield client


@contextlib.asynccontextmanager
async def connected(consumer_classes: dict[str, Any], **attributes: Any) -> AsyncIterator[Client]:
    """A client that is connected to a demultiplexer of these streams and attributes."""
    async with serving(demultiplexer(consumer_classes, **attributes)) as client:
        yield client


def binary(stream: str, data: bytes) -> bytes:
    """Return a binary message."""
    name = stream.encode()
    return bytes([len(name)]) + name + data


async def settled() -> None:
    """
    Let everything run that can run without the test, or a timer.

    For tests that show that something waits, where no message could tell.
    """
    for _ in range(50):
        await asyncio.sleep(0)


async def until(condition: Callable[[], object]) -> None:
    """Let others run, step by step, until a condition holds."""
    end = time.perf_counter() + TIMEOUT  # also where the loop's time stands still
    while not condition():
        assert time.perf_counter() < end, "in vain waited for a condition"
        await asyncio.sleep(0)
