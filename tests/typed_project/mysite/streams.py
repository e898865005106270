"""Every class of the package that a project subclasses, in types that checkers see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer, WebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.dispatch import receiver
from django.urls import path

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer, child
from channels_demultiplexer.exceptions import FrameError
from channels_demultiplexer.router import (
    AsyncSocketRouterConsumer,
    Response,
    Route,
    RouteError,
    SocketRouterConsumer,
    StatusCodes,
)
from channels_demultiplexer.signals import stream_closed


class Chat(AsyncJsonWebsocketConsumer):
    """An async consumer."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json(content)


class Log(WebsocketConsumer):
    """A sync consumer."""

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data=text_data)


@dataclass
class NewNote:
    """The payload of a route."""

    text: str


class Notes(AsyncSocketRouterConsumer):
    """An async router consumer."""

    groups = ["notes"]
    max_pending = 10
    routes = [{"route": "create", "payload_type": NewNote}, Route("list")]

    async def on_create(self, payload: NewNote) -> Response:
        if not payload.text:
            raise RouteError(StatusCodes.CONFLICT, {"error": "an empty note"})
        await self.push("created", payload.text)
        return Response(payload.text, StatusCodes.CREATED)

    async def on_list(self) -> dict[str, Any]:
        return {"payload": []}


class SyncNotes(SocketRouterConsumer):
    """A sync router consumer."""

    routes = ["list"]

    def on_list(self) -> dict[str, Any]:
        return {"payload": []}


class Demultiplexer(WebsocketDemultiplexer):
    """A demultiplexer that overrides what may be overridden."""

    consumer_classes = {
        "chat": Chat,
        "notes": child(Notes, stream_capacity=10, stream_overflow="reject", lazy=True),
        "room/<int:pk>/": child(Chat.as_asgi(), stall_timeout=0.5, consumer_close_timeout=1),
    }
    urlpatterns = [path("log/", child(Log))]
    close_when_empty = False
    groups = ["everybody"]

    max_frame_size = 65536
    stream_overflow = "close"
    consumer_close_timeout = 2.5
    database_checks = "always"
    lazy = True

    async def connect(self) -> None:
        if self.scope.get("user") is None:
            await self.close(code=4401, reason="who?")
        else:
            await self.accept()

    async def disconnect(self, code: int) -> None:
        await super().disconnect(code)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        try:
            await super().receive_json(content)
        except FrameError as error:
            print(error.status, error.stream)
            raise

    async def news_published(self, event: dict[str, Any]) -> None:
        await self.send_json({"stream": "chat", "payload": event["text"]})


class Wrong(WebsocketDemultiplexer):
    """What a type checker tells."""

    max_frame_size = "big"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    stream_overflow = "drop"  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    consumer_classes = {
        "a": child(Chat, stream_capacity="20"),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    }


@receiver(stream_closed)
def count(sender: type, stream: str, code: int, **kwargs: Any) -> None:
    """Receive a signal."""


for declaration in Demultiplexer.streams():
    print(declaration.name, declaration.kind.value, dict(declaration.settings))

# Any: the stubs of Channels and of Django do not agree on what `path()` returns.
urlpatterns: list[Any] = [
    path("ws/", Demultiplexer.as_asgi()),
    path("log/", WebsocketDemultiplexer.as_asgi(consumer_classes={"log": Log})),
]
application = ProtocolTypeRouter({"websocket": URLRouter(urlpatterns)})
