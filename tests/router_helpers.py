"""A client of a router consumer on a socket of its own, or behind a demultiplexer as a stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

#: Seconds that nothing takes; only a failing test waits so long.
TIMEOUT = 8


async def soon(awaitable: Any) -> Any:
    """Await what is to happen soon."""
    async with asyncio.timeout(TIMEOUT):
        return await awaitable


async def settle() -> None:
    """Let every task that can go on do so, until it waits for something outside."""
    for _ in range(20):
        await asyncio.sleep(0)


async def until(condition: Callable[[], Any], what: str) -> None:
    """Wait until a condition holds."""
    try:
        async with asyncio.timeout(TIMEOUT):
            while not condition():  # noqa: ASYNC110  # what is waited for sets no event
                await asyncio.sleep(0)
    except TimeoutError:
        raise AssertionError(f"in vain waited for {what}") from None


class Client:
    """A client, and the server, of one connection."""

    def __init__(self, application: Any, **scope: Any) -> None:
        self.scope = {
            "type": "websocket",
            "path": "/",
            "headers": [],
            "query_string": b"",
            "subprotocols": [],
            **scope,
        }
        self.application = application
        #: What the application has been given by `receive`.
        self.taken: list[dict[str, Any]] = []
        #: How often the server's `send` has been called.
        self.sends = 0
        #: What the server's `send` raises.
        self.send_error: Exception | None = None
        #: Cleared, the server's `send` waits.
        self.writable = asyncio.Event()
        self.writable.set()
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.outgoing: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task: asyncio.Task[None]

    async def _receive(self) -> dict[str, Any]:
        message = await self.incoming.get()
        self.taken.append(message)
        return message

    async def _send(self, message: dict[str, Any]) -> None:
        self.sends += 1
        await self.writable.wait()
        if self.send_error is not None:
            raise self.send_error
        await self.outgoing.put(message)

    def start(self) -> None:
        """Start the application, which gets a connect."""
        self.incoming.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.create_task(self.application(self.scope, self._receive, self._send))

    async def connect(self) -> None:
        """Start the application and wait until it has accepted."""
        self.start()
        assert (await self.event())["type"] == "websocket.accept"

    async def event(self) -> dict[str, Any]:
        """Return the next ASGI message of the application; raise what it raised if it ends."""
        getter = asyncio.ensure_future(self.outgoing.get())
        await soon(asyncio.wait({getter, self.task}, return_when=asyncio.FIRST_COMPLETED))
        if not getter.done():
            getter.cancel()
            self.task.result()
            raise AssertionError("the application ended")
        return await getter

    def put(self, text: str | None = None, **message: Any) -> None:
        """Send a text, or a message of another kind."""
        if text is not None:
            message["text"] = text
        self.incoming.put_nowait({"type": "websocket.receive", **message})

    def send(self, message: Any) -> None:
        """Send a message of the route layer."""
        self.put(json.dumps(message))

    def request(self, route: str, uuid: Any = 1, **fields: Any) -> None:
        """Send a request."""
        self.send({"route": route, "uuid": uuid, **fields})

    async def text(self) -> str:
        """Return the next text."""
        event = await self.event()
        assert event["type"] == "websocket.send", event
        return event["text"]

    async def receive(self) -> Any:
        """Return the next message of the route layer."""
        return json.loads(await self.text())

    async def ask(self, route: str, payload: Any = None, **fields: Any) -> Any:
        """Send a request and return its answer."""
        self.request(route, payload=payload, **fields)
        return await self.receive()

    async def ping(self) -> None:
        """Exchange a heartbeat: what was sent before it has been read."""
        self.send({"route": "PING", "uuid": "fence"})
        assert await self.receive() == {"route": "PONG", "uuid": "fence"}

    async def closed(self) -> Any:
        """Return the code with which the application closes the connection."""
        event = await self.event()
        assert event["type"] == "websocket.close", event
        return event.get("code")

    def hang_up(self, code: int = 1000) -> None:
        """Disconnect, without waiting for the application."""
        self.incoming.put_nowait({"type": "websocket.disconnect", "code": code})

    async def disconnect(self, code: int = 1000) -> None:
        """Disconnect and wait for the application to end by itself."""
        self.hang_up(code)
        await soon(self.task)

    async def finish(self) -> None:
        """Disconnect at the end of a test that has not done so."""
        if not self.task.done():
            await self.disconnect()

    def leftovers(self) -> list[dict[str, Any]]:
        """Return what the application has sent and nobody has received."""
        return [self.outgoing.get_nowait() for _ in range(self.outgoing.qsize())]


class StreamClient(Client):
    """A client of the stream `api` of a demultiplexer."""

    def __init__(self, application: Any, **scope: Any) -> None:
        demultiplexer = WebsocketDemultiplexer.as_asgi(consumer_classes={"api": application})
        super().__init__(demultiplexer, **scope)

    async def connect(self) -> None:
        await super().connect()
        self.incoming.put_nowait(
            {"type": "websocket.receive", "text": '{"stream":"api","event":"open"}'}
        )
        frame = json.loads(await super().text())
        assert (frame["stream"], frame["event"]) == ("api", "open")

    def put(self, text: str | None = None, **message: Any) -> None:
        if message.get("bytes") is not None:
            super().put(bytes=b"\x03api" + message["bytes"])
            return
        assert text is not None
        try:
            json.loads(text, parse_constant=int)  # NaN is no JSON, and int refuses it
        except (ValueError, RecursionError):
            super().put(json.dumps({"stream": "api", "text": text}))
        else:
            super().put('{"stream":"api","payload":' + text + "}")

    async def text(self) -> str:
        text = await super().text()
        start, end = '{"stream":"api","payload":', "}"
        assert text.startswith(start), text
        return text[len(start) : -len(end)]

    async def closed(self) -> Any:
        frame = json.loads(await super().text())
        assert (frame["stream"], frame["event"]) == ("api", "close")
        return frame["code"]


def returns(base: Any, result: Any, **route: Any) -> Any:
    """Return a consumer of which the route `x` returns something, with steps."""

    class Consumer(base):
        routes = [{"route": "x", **route}]

        def on_x(self) -> Any:
            return result

    return Consumer


def raises(base: Any, exc: BaseException, **route: Any) -> Any:
    """Return a consumer of which the route `x` raises something; `ok` does not."""

    class Consumer(base):
        routes = [{"route": "x", **route}, {"route": "ok"}]

        def on_x(self) -> None:
            raise exc

        def on_ok(self) -> dict[str, Any]:
            return {"payload": "ok"}

    return Consumer
