"""Router consumers, and clients of one on a socket of its own or behind a demultiplexer."""

from __future__ import annotations

import json
from typing import Any

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .driver import Client


class RouterClient(Client):
    """A client of a router consumer that has a socket of its own."""

    def request(self, route: str, uuid: Any = 1, **fields: Any) -> None:
        """Send a request."""
        self.send(route=route, uuid=uuid, **fields)

    async def ask(self, route: str, payload: Any = None, **fields: Any) -> Any:
        """Send a request and return its answer."""
        self.request(route, payload=payload, **fields)
        return await self.receive_json()

    async def expect_silence(self) -> None:
        """Expect that what was sent before has made the consumer send nothing."""
        self.send(route="PING", uuid="fence")
        await self.expect_frame(route="PONG", uuid="fence")


class StreamClient(RouterClient):
    """A client of a router consumer that is the stream `api` of a demultiplexer."""

    def __init__(self, application: Any, **scope: Any) -> None:
        demultiplexer = WebsocketDemultiplexer.as_asgi(consumer_classes={"api": application})
        super().__init__(demultiplexer, **scope)

    async def connect(self) -> dict[str, Any]:
        assert (await super().connect())["type"] == "websocket.accept"
        super().feed({"type": "websocket.receive", "text": '{"stream":"api","event":"open"}'})
        return await self.receive()

    def feed(self, message: dict[str, Any]) -> None:
        if (data := message.get("bytes")) is not None:
            message = {**message, "bytes": b"\x03api" + data}
        elif (text := message.get("text")) is not None:
            try:
                json.loads(text, parse_constant=int)  # NaN is no JSON, and int refuses it
            except (ValueError, RecursionError):
                text = json.dumps({"stream": "api", "text": text})
            else:
                text = '{"stream":"api","payload":' + text + "}"
            message = {**message, "text": text}
        super().feed(message)

    async def receive(self) -> dict[str, Any]:
        """Return the next message of the stream, or of the socket where it has none."""
        message = await super().receive()
        if "text" not in message:
            return message
        text = message["text"]
        start, end = '{"stream":"api","payload":', "}"
        if text.startswith(start):
            return {**message, "text": text[len(start) : -len(end)]}
        frame = json.loads(text)
        assert frame.pop("stream") == "api"
        if frame.pop("event") == "open":
            return {"type": "websocket.accept", **frame}
        # It was the only stream: the socket closes with it.
        assert (await super().receive())["type"] == "websocket.close"
        return {"type": "websocket.close", **frame}


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
