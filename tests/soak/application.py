"""What the soak's server serves: streams with every habit at /, how the process is at /stats."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from typing import Any

from channels.db import aclose_old_connections
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
)
from channels.layers import InMemoryChannelLayer, channel_layers
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from ..asgi_app import Room  # which sets Django up
from .counts import PATIENCE

# isort: split
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer, child

#: Frames that may wait for a child.
CAPACITY = 20
#: Seconds until a full inbox ends the stream of a child that stalls, those for which the child then
#: goes on, and those that it has to end. Others have all the time that there is.
STALL_TIMEOUT = 2
LATE = 5
CLOSE_TIMEOUT = 6
#: Bytes of a message.
MAX_SIZE = 100_000
#: What fills most of a frame of a flood.
FILLING = "x" * 1000

# Room enough for what comes while a member is held up, so that every message is to arrive. What is
# on its way to a member that goes stays in the layer's memory until it expires.
channel_layers.backends["default"] = layer = InMemoryChannelLayer(capacity=1000, expiry=10)


class Crash(Exception):
    """What children raise that are told to."""


class Watch(logging.Handler):
    """Counts the crashes that were asked for, and keeps what else is worth a warning."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.crashes = 0
        self.cancelled = 0
        self.unexpected = 0
        #: One of each kind.
        self.examples: dict[str, str] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Sort a record."""
        if record.exc_info and isinstance(record.exc_info[1], Crash):
            self.crashes += 1
        elif "is cancelled" in record.msg and "stall" in str(record.args):
            self.cancelled += 1
        elif (
            record.msg != "socket.send() raised exception."
        ):  # asyncio's, of a client that has gone
            self.unexpected += 1
            kind = f"{record.name} {record.msg} {record.exc_info and record.exc_info[0]}"
            if len(self.examples) < 20:
                self.examples.setdefault(kind, self.format(record))


watch = Watch()
logging.basicConfig(handlers=[watch], level=logging.WARNING, force=True)
logging.captureWarnings(True)
# Warnings of the kind "never awaited" are raised where nobody can catch them.
sys.unraisablehook = lambda args: watch.handle(
    logging.makeLogRecord(
        {"msg": f"unraisable: {args.exc_value!r} in {args.object!r}", "levelno": 40}
    )
)


class Alone:
    """A consumer without channel layer."""

    channel_layer_alias = "none"


class Echo(Alone, AsyncWebsocketConsumer):
    """Sends back what it gets, text as text and bytes as bytes."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data, bytes_data)


class Sync(Alone, JsonWebsocketConsumer):
    """Sends back what it gets, in a thread."""

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.send_json(content)


class Crasher(Alone, AsyncJsonWebsocketConsumer):
    """Raises where its query says."""

    def _reach(self, where: str) -> None:
        if self.scope["query_string"].decode() == where:
            raise Crash(where)

    async def connect(self) -> None:
        self._reach("connect")
        await self.accept()
        self._reach("accept")

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        self._reach("receive")

    async def disconnect(self, code: int) -> None:
        self._reach("disconnect")


class Closer(Alone, AsyncJsonWebsocketConsumer):
    """Closes as it is told to, or refuses."""

    async def connect(self) -> None:
        if self.scope["query_string"] == b"refuse":
            await self.close()
        else:
            await self.accept()

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.close(content["code"], content["reason"])


class Flooder(Alone, AsyncJsonWebsocketConsumer):
    """Sends as many messages as it is told to."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        for number in range(content):
            await self.send_json([number, FILLING])


class Staller(Alone, AsyncWebsocketConsumer):
    """Sends back what it gets, after the seconds that its query says, or never."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        query = self.scope["query_string"].decode()
        if query == "never":
            await asyncio.Event().wait()
        if query:
            await asyncio.sleep(float(query))
        await self.send(text_data)


class Streams(WebsocketDemultiplexer):
    """One stream of each habit; a label makes more of them."""

    consumer_classes = {
        "echo": Echo,
        "sync": Sync,
        "room/<int:room>/": Room,
        "crash": Crasher,
        "close": Closer,
        "flood": Flooder,
        "slow": Staller,
        "stall": child(
            Staller.as_asgi(), stall_timeout=STALL_TIMEOUT, consumer_close_timeout=CLOSE_TIMEOUT
        ),
    }
    lazy = True
    stream_capacity = CAPACITY
    stall_timeout = PATIENCE
    consumer_close_timeout = PATIENCE
    max_frame_size = MAX_SIZE


async def stats(scope: Any, receive: Any, send: Any) -> None:
    """Answer each message with how the process is."""
    await receive()
    await send({"type": "websocket.accept"})
    while (await receive())["type"] == "websocket.receive":
        # Channels goes to a thread and back for each message of each consumer, to the same thread
        # for all: where that is late, all are.
        await aclose_old_connections()
        figures = {
            "tasks": len(asyncio.all_tasks()),
            "members": sum(map(len, layer.groups.values())),
            "crashes": watch.crashes,
            "cancelled": watch.cancelled,
            "unexpected": watch.unexpected,
            "examples": list(watch.examples.values()),
        }
        await send({"type": "websocket.send", "text": json.dumps(figures)})


application = ProtocolTypeRouter(
    {"websocket": URLRouter([path("", Streams.as_asgi()), path("stats", stats)])}
)
