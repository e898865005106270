"""Children for the streams of the tests: applications and consumers, each with one habit."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)

from .driver import within

CONNECT = {"type": "websocket.connect"}


def text(content: str) -> dict[str, Any]:
    """What a child receives for a text."""
    return {"type": "websocket.receive", "text": content}


def bye(code: int = 1000, reason: str = "") -> dict[str, Any]:
    """What a child receives at the end."""
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


class Life:
    """One run of a `Puppet`."""

    def __init__(self, scope: Any, receive: Any, send: Any) -> None:
        self.scope = scope
        self.send = send
        #: How often it was cancelled.
        self.cancellations = 0
        self._receive = receive
        self._finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: Is set when the run is over.
        self.over = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        """Receive a message."""
        message: dict[str, Any] = await within(self._receive(), "a message for the child")
        return message

    async def accept(self, **fields: Any) -> None:
        """Receive the connect, and accept."""
        assert await self.receive() == CONNECT
        await self.send({"type": "websocket.accept", **fields})

    async def send_text(self, text: str) -> None:
        """Send a text."""
        await self.send({"type": "websocket.send", "text": text})

    async def send_close(self, **fields: Any) -> None:
        """Close the stream."""
        await self.send({"type": "websocket.close", **fields})

    def finish(self) -> None:
        """Let the run return."""
        if not self._finished.done():
            self._finished.set_result(None)

    def crash(self, error: BaseException) -> None:
        """Let the run raise."""
        self._finished.set_exception(error)

    async def cancelled(self) -> None:
        """Wait until the run has been cancelled."""
        await within(self.over.wait(), "the child's cancellation")
        assert self.cancellations


class Puppet:
    """
    An application whose lives a test plays itself: `life = await puppet.life()`.

    Args:
        swallowed: how many cancellations a life ignores.
    """

    def __init__(self, swallowed: int = 0) -> None:
        #: How many lives have begun.
        self.lives = 0
        self._swallowed = swallowed
        self._begun: asyncio.Queue[Life] = asyncio.Queue()

    async def life(self) -> Life:
        """Return the next life, when it has begun."""
        return await within(self._begun.get(), "a child's life")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        life = Life(scope, receive, send)
        self.lives += 1
        scope["puppets"].append(life)
        self._begun.put_nowait(life)
        try:
            while True:
                try:
                    return await asyncio.shield(life._finished)
                except asyncio.CancelledError:
                    if life._finished.done():
                        raise
                    life.cancellations += 1
                    if life.cancellations > self._swallowed:
                        raise
        finally:
            life.over.set()


class Echo(AsyncWebsocketConsumer):
    """Sends back what it receives."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data, bytes_data)


class SyncEcho(WebsocketConsumer):
    """The same, in a thread."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data, bytes_data)


class JsonEcho(AsyncJsonWebsocketConsumer):
    """Sends back what it has decoded."""

    async def receive_json(self, content: Any) -> None:
        await self.send_json(content)


class SyncJsonEcho(JsonWebsocketConsumer):
    """The same, in a thread."""

    def receive_json(self, content: Any) -> None:
        self.send_json(content)


async def plain_echo(scope: Any, receive: Any, send: Any) -> None:
    """Echo as a plain ASGI application."""
    assert await receive() == CONNECT
    await send({"type": "websocket.accept"})
    while (message := await receive())["type"] == "websocket.receive":
        await send({**message, "type": "websocket.send"})


class Echoing:
    """Middleware that adds its name to the scope's `passed`."""

    def __init__(self, inner: Any, name: str = "middleware") -> None:
        self.inner = inner
        self.name = name

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope = {**scope, "passed": (*scope.get("passed", ()), self.name)}
        await self.inner(scope, receive, send)


class Tell(AsyncWebsocketConsumer):
    """Tells, as soon as it has accepted, what its scope has."""

    async def connect(self) -> None:
        await self.accept()
        scope = self.scope
        await self.send(
            json.dumps(
                {
                    "path": scope["path"],
                    "rest": scope["path_remaining"],
                    "args": scope["url_route"]["args"],
                    "kwargs": scope["url_route"]["kwargs"],
                    "query": scope["query_string"].decode(),
                    "stream": scope.get("demultiplexer", {}).get("stream"),
                    "passed": scope.get("passed", ()),
                }
            )
        )


def crashing(where: str) -> tuple[Any, Any]:
    """Return an async and a sync consumer that crash in the method `where`."""

    async def crash_async(self: Any, *args: Any, **kwargs: Any) -> None:
        raise LookupError(f"crash in {where}")

    def crash(self: Any, *args: Any, **kwargs: Any) -> None:
        raise LookupError(f"crash in {where}")

    return (
        type("Crash", (AsyncWebsocketConsumer,), {where: crash_async}),
        type("SyncCrash", (WebsocketConsumer,), {where: crash}),
    )


async def returning(scope: Any, receive: Any, send: Any) -> None:
    """Returns at once."""


async def accept_and_return(scope: Any, receive: Any, send: Any) -> None:
    """Returns when it has accepted."""
    await send({"type": "websocket.accept"})


async def hasty(scope: Any, receive: Any, send: Any) -> None:
    """Sends before it accepts."""
    await send({"type": "websocket.send", "text": "1"})


async def accepting_twice(scope: Any, receive: Any, send: Any) -> None:
    """Accepts twice."""
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.accept"})
