"""
The application that the real servers serve in tests.

What its consumers live through they print, as lines that begin with "@", to the server's log.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

from channels.exceptions import StopConsumer  # noqa: E402
from channels.generic.websocket import (  # noqa: E402
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
)
from channels.routing import ProtocolTypeRouter, URLRouter  # noqa: E402
from django.urls import path  # noqa: E402

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer, child  # noqa: E402


def note(text: str) -> None:
    """Print a line for the test, in one piece."""
    sys.stdout.write(f"@ {text}\n")
    sys.stdout.flush()


class Echo(AsyncWebsocketConsumer):
    """Sends back what it gets, text as text and bytes as bytes."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data, bytes_data)


class Json(AsyncJsonWebsocketConsumer):
    """Sends back what it gets, decoded and encoded again."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json({"async": content})


class Sync(JsonWebsocketConsumer):
    """The same, in a thread."""

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.send_json({"sync": content})


class Chooser(AsyncWebsocketConsumer):
    """Selects the last of the subprotocols that are offered."""

    async def connect(self) -> None:
        await self.accept(self.scope["subprotocols"][-1])


class Closer(AsyncJsonWebsocketConsumer):
    """Closes as it is told to."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.close(content["code"], content["reason"])


class Refuser(AsyncWebsocketConsumer):
    """Refuses."""

    async def connect(self) -> None:
        await self.close(4001, "not today")


class Crasher(AsyncWebsocketConsumer):
    """Raises at the first message."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        raise ZeroDivisionError("a secret")


class Room(AsyncJsonWebsocketConsumer):
    """Passes what it gets to everyone in its room."""

    async def connect(self) -> None:
        self.room = f"room.{self.scope['url_route']['kwargs']['room']}"
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def disconnect(self, code: int) -> None:
        await self.channel_layer.group_discard(self.room, self.channel_name)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.channel_layer.group_send(self.room, {"type": "said", "said": content})

    async def said(self, event: dict[str, Any]) -> None:
        await self.send_json(event["said"])


class Tidy(AsyncWebsocketConsumer):
    """Takes a moment to clean up."""

    async def disconnect(self, code: int) -> None:
        name = self.scope["demultiplexer"]["stream"]
        note(f"{name} told {code}")
        await asyncio.sleep(0.3)
        note(f"{name} done")


class SyncTidy(JsonWebsocketConsumer):
    """The same, in a thread."""

    def disconnect(self, code: int) -> None:
        name = self.scope["demultiplexer"]["stream"]
        note(f"{name} told {code}")
        time.sleep(0.3)
        note(f"{name} done")


class Deaf(AsyncWebsocketConsumer):
    """Never comes to an end of itself."""

    async def disconnect(self, code: int) -> None:
        name = self.scope["demultiplexer"]["stream"]
        note(f"{name} told {code}")
        try:
            await asyncio.Event().wait()
        finally:
            note(f"{name} cancelled")


class Stuck(AsyncWebsocketConsumer):
    """Handles its first message for ever."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await asyncio.Event().wait()


class Ender(AsyncWebsocketConsumer):
    """Ends, or comes to its end, as the socket's path says."""

    async def connect(self) -> None:
        how = self.scope["url_route"]["kwargs"]["how"]
        if how == "crash":
            raise ZeroDivisionError("a secret")
        if how == "refusal":
            await self.close()
            return
        await self.accept()
        if how == "return":
            raise StopConsumer
        if how == "stall":
            await asyncio.Event().wait()
        elif how == "reason":
            await self.close(4001, "é" * 100)
        elif how != "parent":
            await self.close(int(how) if how.isdigit() else None)


class Last(WebsocketDemultiplexer):
    """A socket that closes with its only stream, or as the client asks for."""

    consumer_classes = {"a": Ender}
    stream_capacity = 1
    stream_overflow = "close"
    consumer_close_timeout = 0.1

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if "close" in content:
            await self.close(content["close"])
        else:
            await super().receive_json(content)


class Flooded(WebsocketDemultiplexer):
    """A stream that takes nothing beside one that does."""

    consumer_classes = {"stuck": Stuck, "echo": Echo}
    stream_capacity = 10
    stall_timeout = 0.5
    consumer_close_timeout = 0.5


class Main(WebsocketDemultiplexer):
    """One stream of each kind."""

    consumer_classes = {
        "echo": Echo,
        "json": Json,
        "sync": Sync,
        "room/<str:room>/": Room,
        "chooser": Chooser,
        "closer": Closer,
        "refuser": Refuser,
        "crasher": Crasher,
    }
    lazy = True


class Ending(WebsocketDemultiplexer):
    """Streams that print how they end. The numbers tell those of one test from another's."""

    consumer_classes = {
        "tidy/<int:number>/": Tidy,
        "sync/<int:number>/": SyncTidy,
        "deaf/<int:number>/": child(Deaf.as_asgi(), consumer_close_timeout=1),
    }
    consumer_close_timeout = 60


class Failing(AsyncWebsocketConsumer):
    """Raises when its client has gone."""

    async def disconnect(self, code: int) -> None:
        raise RuntimeError("fails when its client has gone")


class Refusing(WebsocketDemultiplexer):
    """A socket that lets nobody in."""

    consumer_classes = {"echo": Echo}

    async def connect(self) -> None:
        await self.close()


class Small(WebsocketDemultiplexer):
    """Takes small messages only, fewer than any server takes."""

    consumer_classes = {"echo": Echo}
    max_frame_size = 1000


urlpatterns = [
    path("room/<str:room>/", Room.as_asgi()),
    path("main/", Main.as_asgi()),
    path("refusing/", Refusing.as_asgi()),
    path("small/", Small.as_asgi()),
    path("failing/", Failing.as_asgi()),
    path("flooded/", Flooded.as_asgi()),
    path("ending/", Ending.as_asgi()),
    path("last/<str:how>/", Last.as_asgi()),
    path("last/", WebsocketDemultiplexer.as_asgi(consumer_classes={"closer": Closer})),
]
application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                *urlpatterns,
                path("mounted/", WebsocketDemultiplexer.as_asgi(urlpatterns=urlpatterns)),
            ]
        )
    }
)
