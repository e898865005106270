"""The chat of the Channels tutorial, unmodified, on sockets of its own and in streams."""

from __future__ import annotations

import json
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.layers import InMemoryChannelLayer
from channels.routing import URLRouter
from django.urls import path, re_path

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .driver import Client, serving

# The consumers of part 2 and part 3 of the tutorial
# (https://channels.readthedocs.io/en/stable/tutorial/), to the letter but for their names.


class SyncChatConsumer(WebsocketConsumer):
    def connect(self):
        self.room_name = self.scope["url_route"]["kwargs"]["room_name"]
        self.room_group_name = f"chat_{self.room_name}"

        # Join room group
        async_to_sync(self.channel_layer.group_add)(self.room_group_name, self.channel_name)

        self.accept()

    def disconnect(self, close_code):
        # Leave room group
        async_to_sync(self.channel_layer.group_discard)(self.room_group_name, self.channel_name)

    # Receive message from WebSocket
    def receive(self, text_data):
        text_data_json = json.loads(text_data)
        message = text_data_json["message"]

        # Send message to room group
        async_to_sync(self.channel_layer.group_send)(
            self.room_group_name, {"type": "chat.message", "message": message}
        )

    # Receive message from room group
    def chat_message(self, event):
        message = event["message"]

        # Send message to WebSocket
        self.send(text_data=json.dumps({"message": message}))


class ChatConsumer(AsyncWebsocketConsumer):
    async def connect(self):
        self.room_name = self.scope["url_route"]["kwargs"]["room_name"]
        self.room_group_name = f"chat_{self.room_name}"

        # Join room group
        await self.channel_layer.group_add(self.room_group_name, self.channel_name)

        await self.accept()

    async def disconnect(self, close_code):
        # Leave room group
        await self.channel_layer.group_discard(self.room_group_name, self.channel_name)

    # Receive message from WebSocket
    async def receive(self, text_data):
        text_data_json = json.loads(text_data)
        message = text_data_json["message"]

        # Send message to room group
        await self.channel_layer.group_send(
            self.room_group_name, {"type": "chat.message", "message": message}
        )

    # Receive message from room group
    async def chat_message(self, event):
        message = event["message"]

        # Send message to WebSocket
        await self.send(text_data=json.dumps({"message": message}))


def project(consumer: Any) -> Any:
    """Return the application of a project: the tutorial's routing, and two demultiplexers."""
    websocket_urlpatterns = [
        re_path(r"ws/chat/(?P<room_name>\w+)/$", consumer.as_asgi()),
    ]
    declared = {"ws/chat/<slug:room_name>/": consumer}
    return URLRouter(
        [
            path("declared/", WebsocketDemultiplexer.as_asgi(consumer_classes=declared)),
            path("mounted/", WebsocketDemultiplexer.as_asgi(urlpatterns=websocket_urlpatterns)),
            *websocket_urlpatterns,
        ]
    )


@pytest.fixture(params=[ChatConsumer, SyncChatConsumer])
def application(request: pytest.FixtureRequest) -> Any:
    """The project, with each of the tutorial's consumers."""
    return project(request.param)


HOWS = pytest.mark.parametrize("how", ["declared", "mounted"])
LOBBY, ATTIC = "ws/chat/lobby/", "ws/chat/attic/"


async def enter(client: Client, *rooms: str) -> None:
    """Open the streams of the rooms."""
    for room in rooms:
        client.open(room)
        await client.expect_opened(room)


@HOWS
async def test_two_rooms_on_one_socket(application: Any, how: str) -> None:
    """What is said in a room is heard in the stream of this room only."""
    async with serving(application, path=f"/{how}/") as client:
        await enter(client, LOBBY, ATTIC)
        for room in (LOBBY, ATTIC, LOBBY):
            client.data(room, {"message": room})
            await client.expect_text(f'{{"stream":"{room}","payload":{{"message": "{room}"}}}}')
        await client.expect_silence()


@HOWS
async def test_messages_between_sockets(application: Any, how: str) -> None:
    """What is said in a stream is heard in streams of other sockets and on direct ones."""
    async with (
        serving(application, path=f"/{how}/") as ann,
        serving(application, path="/declared/") as bob,
        serving(application, path="/mounted/") as cid,
        serving(application, path=f"/{LOBBY}") as direct,
        serving(application, path=f"/{ATTIC}") as elsewhere,
    ):
        await enter(ann, LOBBY, ATTIC)
        await enter(bob, LOBBY)
        await enter(cid, LOBBY)
        ann.data(LOBBY, {"message": "hello"})
        for client in (ann, bob, cid):
            await client.expect_frame(stream=LOBBY, payload={"message": "hello"})
        await direct.expect_frame(message="hello")
        direct.send(message="welcome")
        for client in (ann, bob, cid):
            await client.expect_frame(stream=LOBBY, payload={"message": "welcome"})
        await direct.expect_frame(message="welcome")
        elsewhere.send(message="anybody?")
        await elsewhere.expect_frame(message="anybody?")
        await ann.expect_frame(stream=ATTIC, payload={"message": "anybody?"})


@HOWS
async def test_leaving_a_room(application: Any, how: str, layer: InMemoryChannelLayer) -> None:
    """A stream that is closed leaves its room; the socket's end leaves the others."""
    async with serving(application, path=f"/{how}/") as client:
        await enter(client, LOBBY, ATTIC)
        client.close(LOBBY)
        await client.expect_ended(LOBBY, 1000)
        assert list(layer.groups) == ["chat_attic"]
        client.data(LOBBY, {"message": "lost"})
        await client.expect_error(409, LOBBY)
        await enter(client, LOBBY)
        assert sorted(layer.groups) == ["chat_attic", "chat_lobby"]
    assert not layer.groups


@HOWS
async def test_crash_in_a_room(application: Any, how: str, layer: InMemoryChannelLayer) -> None:
    """A message that the consumer cannot deal with ends its stream; the other room goes on."""
    async with serving(application, path=f"/{how}/") as client:
        await enter(client, LOBBY, ATTIC)
        client.data(LOBBY, {"massage": 1})
        await client.expect_ended(LOBBY, 1011)
        record = client.log.expect("crashed")
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], KeyError)
        assert record.exc_info[1].__context__ is None
        client.data(ATTIC, {"message": "still here"})
        await client.expect_frame(stream=ATTIC, payload={"message": "still here"})
    # As on a socket of its own, this consumer does not leave its group when it crashes.
    assert list(layer.groups) == ["chat_lobby"]
    layer.groups.clear()


async def test_same_room_twice(application: Any) -> None:
    """Two labels are two members of one room."""
    names = [f"{LOBBY}#1", f"{LOBBY}#2"]
    async with serving(application, path="/mounted/") as client:
        await enter(client, *names)
        client.data(names[0], {"message": "x"})
        await client.expect_frames(
            *({"stream": name, "payload": {"message": "x"}} for name in names)
        )
