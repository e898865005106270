"""What is measured: one echo consumer, on its own and behind each of the demultiplexers."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .driver import Application, Message
from .measure import Skipped


class Echo(AsyncJsonWebsocketConsumer):
    """Sends back what it gets."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json(content)


class Stalled(AsyncJsonWebsocketConsumer):
    """Never ends receiving its first message."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await asyncio.Event().wait()


class Blocking(JsonWebsocketConsumer):
    """Blocks the thread of sync code for 20 ms at each message."""

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        time.sleep(0.02)


async def trivial(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Sends back what it gets, with as little as ASGI allows."""
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message: Message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        await send({"type": "websocket.send", "text": message["text"]})


def names(count: int) -> list[str]:
    """Return the names of `count` streams."""
    return [f"stream-{number}" for number in range(count)]


def ours(count: int, child: Any = Echo, **options: Any) -> Application:
    """Return our demultiplexer with `count` streams of `child`."""
    return WebsocketDemultiplexer.as_asgi(
        consumer_classes=dict.fromkeys(names(count), child), **options
    )


def on_demand(child: Any = Echo) -> Application:
    """Return our demultiplexer with streams that open by a frame, `room/<int>`."""
    return WebsocketDemultiplexer.as_asgi(
        consumer_classes={"room/<int:number>": child}, max_streams=10_000
    )


def rival(count: int) -> Application:
    """
    Return channelsmultiplexer's demultiplexer with `count` streams.

    Raises:
        Skipped: if it is not installed.
    """
    try:
        from channelsmultiplexer import AsyncJsonWebsocketDemultiplexer
    except ImportError:
        raise Skipped("channelsmultiplexer is not installed") from None
    applications = {name: Echo.as_asgi() for name in names(count)}
    made = type("Rival", (AsyncJsonWebsocketDemultiplexer,), {"applications": applications})
    application: Application = made.as_asgi()
    return application
