"""What the tests of the Python client are served: streams with every habit."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from .asgi_app import Chooser, Closer, Crasher, Echo, Refuser, Room, Stuck  # which sets Django up

# isort: split
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer, child
from channels_demultiplexer.router import AsyncSocketRouterConsumer


class Where(AsyncJsonWebsocketConsumer):
    """Says its query, and the code that it is left with."""

    async def connect(self) -> None:
        await self.accept()
        await self.send_json(self.scope["query_string"].decode())

    async def disconnect(self, code: int) -> None:
        await self.send_json(code)


class Flood(AsyncJsonWebsocketConsumer):
    """Sends as many messages as it is told to, then says that it has."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        for number in range(content):
            await self.send_json(number)
        await self.send_json("done")


class Late(AsyncWebsocketConsumer):
    """Never accepts."""

    async def connect(self) -> None:
        await asyncio.Event().wait()


class Routes(AsyncSocketRouterConsumer):
    """Answers, pushes, or does neither."""

    routes = [{"route": "double"}, {"route": "push"}, {"route": "wait"}, {"route": "quit"}]
    max_concurrency = 5

    async def on_double(self, payload: Any, headers: Any) -> Any:
        return {"payload": 2 * payload, "headers": headers, "status": 201}

    async def on_push(self, payload: Any) -> None:
        await self.push("pushed", payload)

    async def on_wait(self) -> None:
        await asyncio.Event().wait()

    async def on_quit(self) -> None:
        await self.close(4009)


class Random(AsyncJsonWebsocketConsumer):
    """Refuses where its query says, sends back what it gets, and closes when it is told to."""

    connected: ClassVar[list[str]] = []

    async def connect(self) -> None:
        if self.scope["query_string"] == b"refuse":
            await self.close()
            return
        await self.accept()
        self.connected.append(self.scope["demultiplexer"]["stream"])

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if content == "close":
            await self.close(4100)
        else:
            await self.send_json(content)

    async def disconnect(self, code: int) -> None:
        if self.scope["query_string"] != b"refuse":
            self.connected.remove(self.scope["demultiplexer"]["stream"])


class Census(AsyncJsonWebsocketConsumer):
    """Says which of them are there."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json(sorted(Random.connected))


class Articles(AsyncSocketRouterConsumer):
    """What the example of the documentation asks."""

    routes = [{"route": "getArticle"}]

    async def on_get_article(self, payload: Any) -> Any:
        return {"payload": {"title": f"Article {payload['id']}"}}


class Streams(WebsocketDemultiplexer):
    """One of each; `hello` is there before anybody asks."""

    consumer_classes = {
        "echo": Echo,
        "where": Where,
        "flood": Flood,
        "late": child(Late.as_asgi(), consumer_close_timeout=0.1),
        "routes": Routes,
        "chooser": Chooser,
        "closer": Closer,
        "refuser": Refuser,
        "crasher": Crasher,
        "stuck": child(Stuck.as_asgi(), consumer_close_timeout=0.1),
        "random": child(Random.as_asgi(), consumer_close_timeout=60),  # each is to be counted out
        "census": Census,
        "room/<str:room>/": Room,
        "articles": Articles,
    }
    lazy = True
    max_streams = 20
    max_frame_size = 1000


class Eager(WebsocketDemultiplexer):
    """Streams that are open at once."""

    consumer_classes = {"where": Where, "echo": Echo}


class Renamed(WebsocketDemultiplexer):
    """Other keys, and what is sent too fast is refused."""

    consumer_classes = {"echo": Echo, "stuck": Stuck}
    lazy = True
    multiplex_key = "channel"
    payload_key = "data"
    event_key = "do"
    stream_overflow = "reject"
    stream_capacity = 2
    consumer_close_timeout = 0.2


application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                path("", Streams.as_asgi()),
                path("eager/", Eager.as_asgi()),
                path("keys/", Renamed.as_asgi()),
            ]
        )
    }
)
