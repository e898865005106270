"""What can stand behind a stream's name."""

from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.urls import path

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .consumers import EchoConsumer, RoomConsumer


class LogConsumer(AsyncWebsocketConsumer):
    """Sends lines of text, which need not be JSON."""

    lines = 10

    async def connect(self):
        await self.accept()
        for number in range(self.lines):
            await self.send(text_data=f"line {number}")


class Greeting:
    """ASGI middleware, as it would stand before a socket of its own."""

    def __init__(self, application):
        self.application = application

    async def __call__(self, scope, receive, send):
        await self.application({**scope, "greeting": "hello"}, receive, send)


class GreetedConsumer(AsyncWebsocketConsumer):
    async def connect(self):
        await self.accept()
        await self.send(text_data=self.scope["greeting"])


async def hello(scope, receive, send):
    """A plain ASGI application."""
    await receive()
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "bytes": b"hello"})
    while (await receive())["type"] != "websocket.disconnect":
        pass


class Demultiplexer(WebsocketDemultiplexer):
    consumer_classes = {
        "echo": EchoConsumer,  # a consumer class, sync or async
        "log": LogConsumer.as_asgi(lines=2),  # the result of as_asgi()
        "greeted": Greeting(GreetedConsumer.as_asgi()),  # middleware around it
        "hello": hello,  # any ASGI application
        "room/<int:room_id>/": RoomConsumer,  # a path pattern: one stream for each room
        "api/": URLRouter(  # a router: the key is the prefix of what is below
            [
                path("echo/", EchoConsumer.as_asgi()),
                path("room/<int:room_id>/", RoomConsumer.as_asgi()),
            ]
        ),
    }
