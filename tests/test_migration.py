"""The page on migration: each step, with the shape that the old code has."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.testing import WebsocketCommunicator
from django.core.exceptions import ImproperlyConfigured

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer
from docs.examples import migration

pytestmark = pytest.mark.usefixtures("database_checks")


class Echo(AsyncJsonWebsocketConsumer):
    """A consumer of version 2.2: it accepts, and answers by `send_json`."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json({"echo": content})


async def connected(demultiplexer: type[WebsocketDemultiplexer]) -> WebsocketCommunicator:
    """Connect to a demultiplexer."""
    socket = WebsocketCommunicator(demultiplexer.as_asgi(), "/ws/")
    assert (await socket.connect())[0]
    return socket


def behind(**consumers: Any) -> type[WebsocketDemultiplexer]:
    """Return a demultiplexer as version 2.2 declares it; it stays when all have ended."""

    class Demultiplexer(WebsocketDemultiplexer):
        consumer_classes = consumers
        close_when_empty = False

    return Demultiplexer


# From channels-demultiplexer 2.2.


async def test_the_declaration_of_22() -> None:
    """The class and its clients' frames are as they were."""
    socket = await connected(behind(echo=Echo, other=Echo))
    for stream in "echo", "other":
        await socket.send_json_to({"stream": stream, "payload": {"n": 1}})
        answer = {"stream": stream, "payload": {"echo": {"n": 1}}}
        assert await socket.receive_json_from() == answer
    await socket.disconnect()


@pytest.mark.parametrize(
    ("frame", "attributes"),
    [
        ({"stream": "echo", "event": "saved", "payload": 1}, {"event_key": "demultiplexer"}),
        ({"stream": "echo", "text": "note", "payload": 1}, {"text_key": "opaque"}),
    ],
)
async def test_clients_with_keys_of_ours(frame: Any, attributes: dict[str, str]) -> None:
    """A key of the client's own is taken for ours, and refused; renaming ours gives it back."""
    socket = await connected(behind(echo=Echo))
    await socket.send_json_to(frame)
    assert (await socket.receive_json_from())["status"] == 400
    await socket.disconnect()
    socket = await connected(type("Renamed", (behind(echo=Echo),), attributes))
    await socket.send_json_to(frame)
    assert await socket.receive_json_from() == {"stream": "echo", "payload": {"echo": 1}}
    await socket.disconnect()


async def test_frames_with_an_event() -> None:
    """A client of old has to pass over two kinds of frames, which have an `event`."""

    class Closer(Echo):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            await self.close(4001)

    socket = await connected(behind(closer=Closer))
    await socket.send_json_to({"stream": "closer", "payload": 1})
    assert (await socket.receive_json_from())["event"] == "close"
    await socket.send_json_to({"stream": "closer", "payload": 1})
    assert (await socket.receive_json_from())["event"] == "error"
    await socket.disconnect()


@pytest.mark.parametrize(
    ("manage_envelope", "received"),
    [
        (True, '{"stream":"raw","payload":{"bare": 1}}'),
        (False, '{"bare": 1}'),
    ],
)
async def test_text_that_went_out_as_it_was(manage_envelope: bool, received: str) -> None:
    """What `send(text_data=...)` sends is wrapped, unless the class says otherwise."""

    class Raw(AsyncJsonWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await self.send(text_data='{"bare": 1}')

    declared = type("Declared", (behind(raw=Raw),), {"manage_envelope": manage_envelope})
    socket = await connected(declared)
    assert await socket.receive_from() == received
    await socket.disconnect()


async def test_consumer_that_does_not_accept() -> None:
    """A consumer that never accepts gets no frames; accepted for by middleware it does."""

    class Mute(AsyncJsonWebsocketConsumer):
        async def connect(self) -> None:
            pass

        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            await self.send_json({"echo": content})

    socket = await connected(behind(mute=Mute, cured=migration.AcceptFirst(Mute.as_asgi())))
    await socket.send_json_to({"stream": "mute", "payload": 1})
    await socket.send_json_to({"stream": "cured", "payload": 2})
    assert await socket.receive_json_from() == {"stream": "cured", "payload": {"echo": 2}}
    await socket.send_json_to({"event": "ping"})
    assert await socket.receive_json_from() == {"event": "pong"}
    await socket.disconnect()


async def test_consumer_that_sends_before_it_accepts(caplog: Any) -> None:
    """A consumer that sends first crashes with 1011, and the log says why; middleware helps."""
    socket = await connected(behind(greeting=migration.GreetingConsumer))
    frame = await socket.receive_json_from()
    assert (frame["event"], frame["code"]) == ("close", 1011)
    await socket.disconnect()
    [record] = caplog.records
    assert isinstance(record.exc_info[1], RuntimeError)
    socket = await connected(migration.Demultiplexer)
    greeting = {"stream": "greeting", "payload": {"hello": "there"}}
    assert await socket.receive_json_from() == greeting
    await socket.disconnect()


async def test_consumer_that_accepts_late_behind_the_middleware() -> None:
    """The consumer's own `accept()` is left out, so that it does no harm."""

    class Late(migration.GreetingConsumer):
        async def connect(self) -> None:
            await super().connect()
            await self.accept()

    socket = await connected(behind(late=migration.AcceptFirst(Late.as_asgi())))
    assert await socket.receive_json_from() == {"stream": "late", "payload": {"hello": "there"}}
    await socket.send_json_to({"event": "ping"})
    assert await socket.receive_json_from() == {"event": "pong"}
    await socket.disconnect()


async def test_consumer_that_closes_the_socket() -> None:
    """A consumer's `close()` ends its stream; the demultiplexer's ends the socket."""

    class Leaver(Echo):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            await self.close()

    class Parent(behind(leaver=Leaver, echo=Echo)):  # type: ignore[misc]
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            if content == {"bye": True}:
                await self.close(4000)
            else:
                await super().receive_json(content, **kwargs)

    socket = await connected(Parent)
    await socket.send_json_to({"stream": "leaver", "payload": 1})
    assert (await socket.receive_json_from())["event"] == "close"
    await socket.send_json_to({"stream": "echo", "payload": 1})
    assert await socket.receive_json_from() == {"stream": "echo", "payload": {"echo": 1}}
    await socket.send_json_to({"bye": True})
    assert (await socket.receive_output())["code"] == 4000
    await socket.disconnect(4000)


def test_module_that_has_gone() -> None:
    """An import of the queue fails at start-up."""
    with pytest.raises(ImportError):
        importlib.import_module("channels_demultiplexer.queue")


@pytest.mark.parametrize("name", ["_consumers", "_input_queues", "_send_json_multiplexed"])
def test_names_that_subclasses_used(name: str) -> None:
    """What subclasses of 2.2 reached for is not there."""
    assert not hasattr(WebsocketDemultiplexer, name)


async def test_disconnect_is_called() -> None:
    """What stood in `websocket_disconnect` stands in `disconnect(code)`."""
    codes = []

    class Parent(behind(echo=Echo)):  # type: ignore[misc]
        async def disconnect(self, code: int) -> None:
            codes.append(code)

    socket = await connected(Parent)
    await socket.disconnect(4002)
    assert codes == [4002]


# From channelsmultiplexer.


def test_streams_as_arguments() -> None:
    """`as_asgi(chat=...)` says what to write."""
    with pytest.raises(TypeError, match="consumer_classes="):
        WebsocketDemultiplexer.as_asgi(chat=Echo.as_asgi())


def test_instances_of_consumers() -> None:
    """An instance, which served all sockets at once, is refused."""
    with pytest.raises(ImproperlyConfigured):
        behind(echo=Echo()).as_asgi()


async def test_the_scope_names_the_stream() -> None:
    """`scope["demultiplexer_cls"]` is gone; the stream's name is in the scope."""
    scopes = []

    class Looker(Echo):
        async def connect(self) -> None:
            scopes.append(self.scope)
            await self.accept()

    socket = await connected(behind(looker=Looker))
    await socket.send_json_to({"stream": "looker", "event": "open"})
    await socket.receive_json_from()
    await socket.disconnect()
    [scope] = scopes
    assert "demultiplexer_cls" not in scope
    assert scope["demultiplexer"] == {"stream": "looker"}


def test_the_time_to_close() -> None:
    """`application_close_timeout` is `consumer_close_timeout`."""
    declared = type("Declared", (behind(echo=Echo),), {"consumer_close_timeout": 7})
    assert declared.check().consumer_close_timeout == 7


# From Channels 1.


async def test_what_the_bridge_of_channels_1_sends() -> None:
    """`bridge.stream("echo").send(...)` and `bridge.demultiplex("echo", ...)` work as they did."""
    socket = await connected(migration.BridgedDemultiplexer)
    connected_frame = {"stream": "echo", "payload": {"status": "connected"}}
    assert await socket.receive_json_from() == connected_frame
    # What WebSocketBridge writes, to the letter: JSON.stringify({stream: ..., payload: ...}).
    await socket.send_to(text_data='{"stream":"echo","payload":{"prop1":"value1"}}')
    frame = await socket.receive_json_from()
    # What it reads: `data.stream` for the handler, `data.payload` for its argument.
    assert frame["stream"] == "echo"
    assert frame["payload"] == {"original_message": {"prop1": "value1"}}
    await socket.disconnect()
