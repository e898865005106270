"""The application that the tests of the browser client talk to, over real servers."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
django.setup()

import strawberry  # noqa: E402
from channels.generic.websocket import (  # noqa: E402
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
)
from channels.routing import URLRouter  # noqa: E402
from django.urls import path  # noqa: E402
from strawberry.channels import GraphQLWSConsumer  # noqa: E402

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer  # noqa: E402
from channels_demultiplexer.router import AsyncSocketRouterConsumer  # noqa: E402


class Echo(AsyncWebsocketConsumer):
    """Sends back what it gets, text as text and bytes as bytes."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data, bytes_data)


class Stuck(AsyncWebsocketConsumer):
    """Takes one message, and is busy with it for ever."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await asyncio.Event().wait()


class Scope(AsyncJsonWebsocketConsumer):
    """Tells what it sees of its scope, and selects the last subprotocol."""

    async def connect(self) -> None:
        await self.accept((self.scope["subprotocols"] or [None])[-1])
        await self.send_json(
            {
                "path": self.scope["path"],
                "query": self.scope["query_string"].decode(),
                "subprotocols": self.scope["subprotocols"],
            }
        )


class Articles(AsyncSocketRouterConsumer):
    """Routes: one that answers, one that refuses, one that takes for ever."""

    routes = [{"route": "double"}, {"route": "refuse"}, {"route": "stuck"}]

    async def connect(self) -> None:
        await self.accept()
        await self.push("welcome", {"to": "you"})

    def on_double(self, payload: Any) -> dict[str, Any]:
        return {"payload": payload * 2, "headers": {"a": 1}}

    def on_refuse(self, payload: Any) -> dict[str, Any]:
        return {"payload": payload, "status": 403}

    async def on_stuck(self, payload: Any) -> None:
        await asyncio.Event().wait()


@strawberry.type
class Query:
    """What GraphQL can ask."""

    @strawberry.field
    def hello(self, name: str) -> str:
        return f"Hello, {name}!"


@strawberry.type
class Subscription:
    """What GraphQL can subscribe to."""

    @strawberry.subscription
    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number


schema = strawberry.Schema(query=Query, subscription=Subscription)


class Lived:
    """One life of a `Model` stream: what it got, and whether it still lives."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.live = True
        self.got: list[str] = []


#: The lives of each client of the model test, by the client's number.
lives: dict[str, list[Lived]] = {}


class Model(AsyncWebsocketConsumer):
    """A stream of the model test: keeps what it gets, and ends in the way that it is told."""

    async def connect(self) -> None:
        client = self.scope["url_route"]["kwargs"]["client"]
        self.lived = Lived(self.scope["demultiplexer"]["stream"])
        lives.setdefault(client, []).append(self.lived)
        if "refused" in self.lived.name:
            await self.close(4001)
        else:
            await self.accept()

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        assert text_data is not None
        self.lived.got.append(text_data)
        await self.send(text_data)
        if text_data.startswith('"end'):
            await self.close(4002)
        elif text_data.startswith('"crash'):
            self.lived.live = False
            raise RuntimeError("as it was told")

    async def disconnect(self, code: int) -> None:
        self.lived.live = False


class State(AsyncWebsocketConsumer):
    """Tells of the lives of its client."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        known = lives.get(self.scope["url_route"]["kwargs"]["client"], [])
        await self.send(json.dumps([vars(lived) for lived in known]))


class Main(WebsocketDemultiplexer):
    """The streams of the library tests."""

    consumer_classes = {"echo": Echo, "articles": Articles, "scope": Scope, "stuck": Stuck}
    consumer_close_timeout = 0.1
    urlpatterns = [
        path("echo/", Echo.as_asgi()),
        path("scope/<str:name>/", Scope.as_asgi()),
        path("ws/graphql/", GraphQLWSConsumer.as_asgi(schema=schema)),
    ]


class Models(WebsocketDemultiplexer):
    """The streams of the model test; a stream takes two messages at once."""

    consumer_classes = {
        "eager": Model,
        "refused": Model,
        "model/<str:name>/": Model,
        "state": State,
    }
    stream_capacity = 2
    consumer_close_timeout = 60


application = URLRouter(
    [
        path("main/", Main.as_asgi()),
        path("models/<str:client>/", Models.as_asgi()),
    ]
)
