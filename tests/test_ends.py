"""The end of the connection, however it comes: every child is told, and nothing is left."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from channels.consumer import StopConsumer
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
    WebsocketConsumer,
)
from channels.layers import InMemoryChannelLayer, get_channel_layer
from channels.routing import URLRouter
from django.test import override_settings
from django.urls import path

from channels_demultiplexer.close_codes import CloseCode
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer
from channels_demultiplexer.signals import stream_closed

from .children import CONNECT, Echo, Echoing, Life, Puppet, SyncEcho, bye, plain_echo, text
from .driver import Client, demultiplexer, serving, settled, until, within

pytestmark = pytest.mark.usefixtures("task_factory", "database_checks")


@pytest.fixture(autouse=True)
def nothing_unhandled(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """No exception is left that nobody has retrieved, which asyncio would log."""
    yield
    gc.collect()
    # Kept apart: what was logged during the test, and in this end of it.
    records = [*caplog.get_records("call"), *caplog.records]
    assert not [record for record in records if record.name == "asyncio"]


class Member(AsyncWebsocketConsumer):
    """Is in a group from its connect to its disconnect."""

    groups = ["members"]
    codes: list[int]

    async def disconnect(self, code: int) -> None:
        self.scope["codes"].append(code)


class SyncMember(WebsocketConsumer):
    """The same, in a thread."""

    groups = ["members"]

    def disconnect(self, code: int) -> None:
        self.scope["codes"].append(code)


class Parent(WebsocketDemultiplexer):
    """A demultiplexer that is in a group itself."""

    groups = ["parents"]
    consumer_classes: Any = {"a": Member, "b": SyncMember, "room/<int:n>": Member}

    async def disconnect(self, code: int) -> None:
        self.scope["codes"].append(("parent", code))


class Crash(Exception):
    """What parents raise here."""


@pytest.fixture
def codes() -> list[Any]:
    """What the disconnects of children and parent have got."""
    return []


async def opened(client: Client, *names: str) -> None:
    """Open streams, and wait for their acceptance."""
    for name in names:
        client.open(name)
        await client.expect_opened(name)


def tidy(codes: list[Any], code: int) -> bool:
    """Say whether parent and children were told once each, with this code."""
    return sorted(codes, key=str) == [("parent", code), code, code, code]


# How it comes.


@pytest.mark.parametrize("code", [1000, 1001, 1006, 4000])
async def test_client_that_leaves(codes: list[Any], layer: InMemoryChannelLayer, code: int) -> None:
    """The socket's code reaches every open child; no frame is sent for it."""
    async with serving(Parent.as_asgi(), codes=codes) as client:
        await opened(client, "a", "b", "room/1")
        assert len(layer.groups["members"]) == 3
        client.disconnect(code)
        await client.ended()
        assert not client.unheard
    assert tidy(codes, code)


async def test_disconnect_without_a_code() -> None:
    """A child gets the server's disconnect as it is, also one without a code."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet})) as client:
        life = await puppet.life()
        await life.accept()
        client._gone.set()
        client.feed({"type": "websocket.disconnect"})
        assert await life.receive() == {"type": "websocket.disconnect"}


async def test_code_of_an_enum() -> None:
    """Child and parent get a plain code where the server's is an enum's, as wsproto's are."""
    puppet, codes = Puppet(), list[Any]()
    application = Parent.as_asgi(consumer_classes={"a": puppet})
    async with serving(application, codes=codes) as client:
        life = await puppet.life()
        await life.accept()
        client.disconnect(CloseCode.NO_STATUS)
        told = await life.receive()
        assert told == bye(1005)
        life.finish()
        await client.ended()
    assert codes == [("parent", 1005)]
    assert type(told["code"]) is type(codes[0][1]) is int


async def test_reason_of_the_client() -> None:
    """The disconnect of a child is the socket's as it is, with its reason."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet})) as client:
        life = await puppet.life()
        await life.accept()
        client.disconnect(4000, "é")
        assert await life.receive() == bye(4000, "é")


async def cancel(client: Client) -> None:
    """Cancel the application, and wait for its end."""
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.ended()


async def test_cancellation(codes: list[Any], layer: InMemoryChannelLayer) -> None:
    """When the server cancels the application, every child is told with 1006 and finishes."""
    async with serving(Parent.as_asgi(), codes=codes) as client:
        await opened(client, "a", "b", "room/1")
        await cancel(client)
        assert tidy(codes, 1006)
        assert not layer.groups


@pytest.mark.parametrize("parent", [Parent, WebsocketDemultiplexer])
@pytest.mark.parametrize("moment", range(0, 60, 3))
async def test_cancellation_at_any_await(
    codes: list[Any], layer: InMemoryChannelLayer, moment: int, parent: Any
) -> None:
    """Whenever the cancellation comes, nothing is left."""
    application = parent.as_asgi(consumer_classes={"a": Member, "b": Echo})
    async with Client(application, codes=codes) as client:
        client.feed({"type": "websocket.connect"})
        client.data("b", 1)
        client.open("a")
        for _ in range(moment):
            await asyncio.sleep(0)
        await cancel(client)
        assert not layer.groups
        assert asyncio.all_tasks() <= {asyncio.current_task(), client.task}


@pytest.mark.parametrize("moment", range(20))
async def test_cancellation_during_the_end(
    codes: list[Any], layer: InMemoryChannelLayer, moment: int
) -> None:
    """A cancellation that comes when the client leaves leaves nothing either."""
    async with serving(Parent.as_asgi(), codes=codes) as client:
        await opened(client, "a", "room/1")
        client.disconnect(1001)
        for _ in range(moment):
            await asyncio.sleep(0)
        client.task.cancel()
        with suppress(asyncio.CancelledError):
            await client.ended()
        assert not layer.groups
        assert [code for code in codes if code in (1001, 1006)] in ([1001] * 3, [1006] * 3)


@pytest.mark.parametrize("moment", range(20))
async def test_cancellation_twice(
    codes: list[Any], layer: InMemoryChannelLayer, moment: int
) -> None:
    """A second cancellation does not keep anybody from leaving his groups."""
    async with serving(Parent.as_asgi(), codes=codes) as client:
        await opened(client, "a", "b", "room/1")
        client.task.cancel()
        for _ in range(moment):
            await asyncio.sleep(0)
        client.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client.ended()
        assert asyncio.all_tasks() <= {asyncio.current_task(), client.task}
        assert tidy(codes, 1006)
        assert not layer.groups


async def test_second_cancellation_leaves_the_children_their_time() -> None:
    """A second cancellation of the application does not shorten the time of the children."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet}, consumer_close_timeout=60)) as client:
        life = await puppet.life()
        await life.accept()
        for _ in range(3):
            client.task.cancel()
            await settled()
        assert await life.receive() == bye_without_reason(1006)
        assert not client.task.done()
        life.finish()
        with pytest.raises(asyncio.CancelledError):
            await client.ended()
        assert not life.cancellations


def bye_without_reason(code: int) -> dict[str, Any]:
    """What a child receives where the socket's end has no reason."""
    return {"type": "websocket.disconnect", "code": code}


@pytest.mark.parametrize("where", ["connect", "accepted", "receive_json", "handler", "disconnect"])
async def test_crash_of_the_parent(
    codes: list[Any], layer: InMemoryChannelLayer, where: str
) -> None:
    """What the parent's own code raises reaches the server, when every child has finished."""

    class Crashing(Parent):
        async def connect(self) -> None:
            if where == "connect":
                raise Crash
            await self.accept()
            if where == "accepted":
                raise Crash

        async def receive_json(self, content: Any) -> None:
            if content.get("crash"):
                raise Crash
            await super().receive_json(content)

        async def handler(self, event: Any) -> None:
            raise Crash

        async def disconnect(self, code: int) -> None:
            await super().disconnect(code)
            if where == "disconnect":
                raise Crash

    async with Client(Crashing.as_asgi(), codes=codes) as client:
        client.feed({"type": "websocket.connect"})
        if where not in ("connect", "accepted"):
            await client.receive()
            await opened(client, "a", "b", "room/1")
        if where == "receive_json":
            client.send(crash=True)
        elif where == "handler":
            await layer.group_send("parents", {"type": "handler"})
        elif where == "disconnect":
            client.disconnect(1001)
        with pytest.raises(Crash):
            await client.ended()
        assert not layer.groups
        if where in ("receive_json", "handler"):
            assert tidy(codes, 1011)
        elif where == "disconnect":
            assert tidy(codes, 1001)
        else:
            assert ("parent", 1011) in codes


async def test_parent_that_stops() -> None:
    """A StopConsumer of the parent's own ends the socket as any consumer's, with 1000."""

    class Stopping(WebsocketDemultiplexer):
        async def receive_json(self, content: Any) -> None:
            raise StopConsumer

    puppet = Puppet()
    async with serving(Stopping.as_asgi(consumer_classes={"a": puppet})) as client:
        life = await puppet.life()
        await life.accept()
        client.send()
        assert await life.receive() == bye_without_reason(1000)
        life.finish()
        await client.ended()


async def test_parent_that_does_not_stop() -> None:
    """A parent that goes on after its disconnect, as any consumer may, is told only once."""
    told = []

    class Going(WebsocketDemultiplexer):
        async def websocket_disconnect(self, message: Any) -> None:
            told.append(message["code"])

    async with serving(Going.as_asgi(consumer_classes={"a": Echo})) as client:
        client.disconnect(1001)
        await settled()
        await until(lambda: told)
        await settled()
        await cancel(client)
    assert told == [1001]


async def test_second_trouble_in_the_end(codes: list[Any]) -> None:
    """What disconnect() makes of a crash is logged; the crash itself goes to the server."""

    class Crashing(Parent):
        async def receive_json(self, content: Any) -> None:
            raise Crash

        async def disconnect(self, code: int) -> None:
            raise LookupError

    async with serving(Crashing.as_asgi(), codes=codes) as client:
        client.send()
        with pytest.raises(Crash):
            await client.ended()
        record = client.log.expect("the disconnect of '/socket/' failed")
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], LookupError)


async def test_disconnect_of_the_parent_that_hangs(codes: list[Any]) -> None:
    """disconnect() has the children's time when the application is cancelled, and no more."""

    class Hanging(Parent):
        async def disconnect(self, code: int) -> None:
            await super().disconnect(code)
            await asyncio.Event().wait()

    application = Hanging.as_asgi(consumer_close_timeout=0.5, consumer_classes={"a": Member})
    async with serving(application, codes=codes) as client:
        await opened(client, "a")
        client.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client.ended()
        record = client.log.expect("the disconnect of '/socket/' failed")
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], TimeoutError)
    assert codes.count(1006) == 1


async def test_close_by_the_parent(codes: list[Any], layer: InMemoryChannelLayer) -> None:
    """After the parent's close() the children leave, and so does the parent with the socket."""

    class Closing(Parent):
        async def receive_json(self, content: Any) -> None:
            if content.get("close"):
                await self.close(4000)
            else:
                await super().receive_json(content)

    async with serving(Closing.as_asgi(), codes=codes) as client:
        await opened(client, "a", "b", "room/1")
        client.send(close=True)
        await client.expect_closed(4000)
    assert tidy(codes, 4000)
    assert not layer.groups


async def test_end_before_the_connect() -> None:
    """An application that is cancelled before its connect tells nobody."""
    codes: list[Any] = []
    async with Client(Parent.as_asgi(), codes=codes) as client:
        await settled()
        client.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client.ended()
    assert codes == []


async def test_end_of_a_refused_socket(codes: list[Any], layer: InMemoryChannelLayer) -> None:
    """A socket that was refused leaves its groups when the server says that it has ended."""

    class Refusing(Parent):
        async def connect(self) -> None:
            await self.close()

    async with Client(Refusing.as_asgi(), codes=codes) as client:
        client.feed({"type": "websocket.connect"})
        await client.expect_closed(1000)
    assert codes == [("parent", 1000)]


# The server refuses what is sent.


@pytest.mark.parametrize(
    "send",
    [
        lambda client: client.close("a"),
        lambda client: client.send(event="ping"),
        lambda client: client.open("room/1"),
        lambda client: client.data("nobody", 1),
    ],
    ids=["acknowledgement", "pong", "confirmation", "error"],
)
async def test_server_that_refuses_to_send(
    codes: list[Any], layer: InMemoryChannelLayer, send: Any
) -> None:
    """When the server's send raises, as the client has gone, the disconnect is still read."""
    async with serving(Parent.as_asgi(), codes=codes) as client:
        await opened(client, "a", "b", "room/1")
        client.send_error = OSError("the client has gone")
        send(client)
        await until(lambda: not client.unread)
        await settled()
        client.disconnect(1001)
        await client.ended()
        assert tidy(codes, 1001) or codes.count(1000) == 1
        assert not layer.groups


@pytest.mark.parametrize("echo", [Echo, SyncEcho, plain_echo])
async def test_consumers_that_cannot_send(echo: Any) -> None:
    """A child that answers when the client has gone is not logged as a crash."""
    async with serving(demultiplexer({"a": echo, "b": echo})) as client:
        for name in ("a", "b"):
            client.data(name, 1)
            await client.expect_frame(stream=name, payload=1)
        client.send_error = OSError("the client has gone")
        client.data("a", 1)
        client.data("b", 1)
        await until(lambda: not client.unread)
        await settled()
        client.disconnect(1006)
        await client.ended()


async def test_send_that_the_server_refuses_is_dropped(caplog: pytest.LogCaptureFixture) -> None:
    """A child that sends when the client has gone lives to receive its disconnect."""
    caplog.set_level(logging.DEBUG, "channels_demultiplexer")
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet})) as client:
        life = await puppet.life()
        await life.accept()
        client.send_error = OSError("the client has gone")
        await life.send_text("1")
        client.send_error = AssertionError("sent again")
        await life.send_text("2")
        client.disconnect(1001)
        assert await life.receive() == bye(1001)
        life.finish()
        await client.ended()
    messages = [record.getMessage() for record in caplog.records]
    assert "'/socket/' has gone: OSError('the client has gone')" in messages


async def test_other_error_of_the_servers_send_raises_in_the_child() -> None:
    """What else a server's send raises is not taken for a client that has gone."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet})) as client:
        life = await puppet.life()
        await life.accept()
        client.send_error = LookupError("broken")
        with pytest.raises(LookupError, match="broken"):
            await life.send_text("1")
        client.send_error = None
        life.finish()
        await client.expect_ended("a", 1000)


# What the children do with it.


async def test_child_has_its_time_at_the_end() -> None:
    """The application waits for a child that cleans up."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet})) as client:
        life = await puppet.life()
        await life.accept()
        client.disconnect(1001)
        assert await life.receive() == bye(1001)
        await settled()
        assert not client.task.done()
        life.finish()
        await client.ended()
        assert not life.cancellations


async def test_cancellation_while_children_have_their_time() -> None:
    """A cancellation that comes when the application waits is raised when they have finished."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet})) as client:
        life = await puppet.life()
        client.disconnect(1001)
        await settled()
        client.task.cancel()
        await settled()
        assert not client.task.done()
        life.finish()
        await cancel(client)
        assert not life.cancellations


@pytest.mark.parametrize("accepts", [False, True])
@pytest.mark.parametrize("cancels", [False, True])
async def test_child_that_ignores_the_end(accepts: bool, cancels: bool) -> None:
    """A child that ignores the end is cancelled in time, with a warning that names it."""
    puppet = Puppet()
    application = demultiplexer({"a": puppet}, consumer_close_timeout=0.01)
    async with serving(application) as client:
        life = await puppet.life()
        if accepts:
            await life.accept()
        if cancels:
            client.task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await client.ended()
        else:
            client.disconnect(1001)
            await client.ended()
        assert life.cancellations == 1
        client.log.expect("stream 'a' .*cancelled")


async def test_child_that_swallows_cancellations_at_the_end() -> None:
    """A child that swallows its cancellations is cancelled again, and waited for."""
    puppet = Puppet(swallowed=2)
    async with serving(demultiplexer({"a": puppet}, consumer_close_timeout=0.01)) as client:
        life = await puppet.life()
        client.disconnect(1001)
        await client.ended()
        assert life.cancellations == 3
        for _ in range(3):
            client.log.expect("stream 'a' .*cancelled")


async def test_child_that_crashes_at_the_end() -> None:
    """A child that crashes in cleaning up is logged, and harms nobody."""
    puppet, other = Puppet(), Puppet()
    async with serving(demultiplexer({"a": puppet, "b": other})) as client:
        life, second = await puppet.life(), await other.life()
        await second.accept()
        client.disconnect(1001)
        life.crash(LookupError())
        assert await second.receive() == bye(1001)
        second.finish()
        await client.ended()
        client.log.expect("'a'.*crashed")


async def test_data_before_the_end_reaches_the_child() -> None:
    """What the client sent before it left reaches the child before its disconnect."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet})) as client:
        life = await puppet.life()
        await life.accept()
        client.data("a", 1)
        client.disconnect(1001)
        assert await life.receive() == text("1")
        assert await life.receive() == bye(1001)


async def test_what_a_child_sends_at_the_end_is_dropped() -> None:
    """When the socket has ended, what children send goes nowhere and raises nothing."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet, "b": puppet})) as client:
        one, two = await puppet.life(), await puppet.life()
        await one.accept()
        client.disconnect(1001)
        assert await one.receive() == bye(1001)
        client.send_error = AssertionError("sent")
        await one.send_text("1")
        await one.send_close()
        await two.send({"type": "websocket.accept"})
        one.finish()
        two.finish()
        await client.ended()


async def test_child_that_opens_at_the_end() -> None:
    """A child that has not run yet gets its connect, and its disconnect next."""
    puppet = Puppet()
    async with Client(demultiplexer({"a": puppet})) as client:
        client.feed({"type": "websocket.connect"})
        client.disconnect(1001)
        life = await puppet.life()
        assert await life.receive() == CONNECT
        assert await life.receive() == bye(1001)


async def test_child_that_is_closing_at_the_end() -> None:
    """A child that the client has told to leave already isn't told twice."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet})) as client:
        life = await puppet.life()
        await life.accept()
        client.close("a", code=3000)
        assert await life.receive() == bye(3000)
        client.disconnect(1001)
        call = asyncio.create_task(life._receive())
        await settled()
        assert not call.done()
        call.cancel()
        life.finish()
        await client.ended()
        assert not client.unheard


async def test_time_of_a_child_that_is_closing_at_the_end() -> None:
    """The end leaves the time that runs already as it is; none runs when the child has ended."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet}, consumer_close_timeout=0.2)) as client:
        life = await puppet.life()
        client.close("a")
        await settled()
        client.disconnect(1001)
        await settled()
        life.finish()
        await client.ended()
        await asyncio.sleep(0.3)  # longer than its time


async def test_child_that_is_cleaning_up_at_the_end() -> None:
    """A child that has closed its stream and cleans up is waited for too."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet, "b": Echo})) as client:
        life = await puppet.life()
        await life.accept()
        await life.send_close(code=4000)
        await client.expect_ended("a", 4000)
        client.disconnect(1001)
        assert await life.receive() == bye(4000)
        await settled()
        assert not client.task.done()
        life.finish()
        await client.ended()


async def test_life_that_waits_at_the_end_never_begins() -> None:
    """A life that waits for the one before it does not begin when the socket has ended."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet})) as client:
        life = await puppet.life()
        client.close("a")
        client.open("a")
        await client.expect_silence()
        client.disconnect(1001)
        await settled()
        life.finish()
        await client.ended()
    assert puppet.lives == 1


async def test_send_that_waits_at_the_end() -> None:
    """A child that waits for a client that does not read ends with the socket."""
    puppet = Puppet()
    async with Client(demultiplexer({"a": puppet}), capacity=1) as client:
        await client.connect()
        life = await puppet.life()
        await life.accept()
        sends = [asyncio.create_task(life.send_text(str(number))) for number in range(3)]
        await settled()
        client.disconnect(1001)
        await within(asyncio.gather(*sends), "the sends")
        assert await life.receive() == bye(1001)


async def test_acknowledgement_that_waits_at_the_end() -> None:
    """A `close` whose answer the client does not read holds up nothing at the end."""
    puppet = Puppet()
    application = demultiplexer({"a": Echo, "b": puppet}, consumer_close_timeout=60)
    async with Client(application, capacity=1) as client:
        await client.connect()
        life = await puppet.life()
        await life.accept()
        await life.send_text("1")
        client.close("a")
        await settled()
        client.disconnect(1001)
        life.finish()
        await client.ended()


async def test_server_that_holds_up_an_answer_for_ever() -> None:
    """A server whose send of an answer does not return does not hold up the end."""
    application = demultiplexer({"a": plain_echo})
    async with Client(application) as client:
        await client.connect()
        stuck = asyncio.Event()

        async def hang(message: Any) -> None:
            stuck.set()
            await asyncio.Event().wait()

        client.hook = hang
        client.close("a")
        await within(stuck.wait(), "the answer")
        client.disconnect(1001)
        await client.ended()


async def test_frame_rejected_after_the_end() -> None:
    """A miss that shows when the socket has ended is told to nobody."""
    router = URLRouter([path("x", Echo.as_asgi())])
    go = asyncio.Event()

    async def late(scope: Any, receive: Any, send: Any) -> None:
        await go.wait()
        await router(scope, receive, send)

    async with serving(demultiplexer({"a/<int:n>": late})) as client:
        client.open("a/1")
        await client.expect_silence()
        client.disconnect(1001)
        await settled()
        go.set()
        await client.ended()
        assert not client.unheard


async def test_logged_states(caplog: pytest.LogCaptureFixture) -> None:
    """Each change of a stream's state is logged for debugging."""
    caplog.set_level(logging.DEBUG, "channels_demultiplexer")
    async with serving(demultiplexer({"a": Echo})) as client:
        await opened(client, "a")
        client.close("a")
        await client.expect_ended("a", 1000)
    changes = [message.replace("StreamState.", "") for message in caplog.messages]
    assert [message for message in changes if "->" in message] == [
        "stream 'a': OPENING -> OPEN",
        "stream 'a': OPEN -> CLOSING",
        "stream 'a': CLOSING -> CLOSED",
    ]


@pytest.mark.parametrize("base", [AsyncJsonWebsocketConsumer, JsonWebsocketConsumer])
async def test_consumer_that_cannot_send_leaves_its_groups(
    layer: InMemoryChannelLayer, base: type
) -> None:
    """A child that sends to a client that has gone still gets its disconnect."""
    tried = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Said(AsyncJsonWebsocketConsumer):
        groups = ["news"]

        async def said(self, event: dict[str, Any]) -> None:
            await self.send_json(event["said"])
            tried.set()

    class SyncSaid(JsonWebsocketConsumer):
        groups = ["news"]

        def said(self, event: dict[str, Any]) -> None:
            self.send_json(event["said"])
            loop.call_soon_threadsafe(tried.set)

    child = Said if base is AsyncJsonWebsocketConsumer else SyncSaid
    async with serving(demultiplexer({"a": child})) as client:
        await opened(client, "a")
        client.send_error = OSError("the client has gone")
        await layer.group_send("news", {"type": "said", "said": 1})
        await within(tried.wait(), "the message")
        client.disconnect(1006)
        await client.ended()
        assert not layer.groups


# A child that gives up its own send.


@asynccontextmanager
async def unread(*, accepts: bool) -> AsyncIterator[tuple[Client, Life]]:
    """A client that does not read what a stream `b` has sent, and a life of the stream `a`."""
    puppet, talking = Puppet(), Puppet()
    async with Client(demultiplexer({"a": puppet, "b": talking}), capacity=1) as client:
        await client.connect()
        life, other = await puppet.life(), await talking.life()
        await other.accept()
        if accepts:
            await life.accept()
        else:
            assert await life.receive() == CONNECT
            client.open("a")
            await client.expect_silence()
        await other.send_text("1")
        yield client, life


async def given_up(send: Coroutine[Any, Any, None]) -> None:
    """Begin a send, and give it up while it waits."""
    task = asyncio.create_task(send)
    await settled()
    assert not task.done()
    task.cancel()
    await within(asyncio.wait({task}), "the send")
    assert task.cancelled()


async def test_close_that_its_child_gives_up() -> None:
    """It is told all the same, before any later frame is answered with 409."""
    async with unread(accepts=True) as (client, life):
        await given_up(life.send_close(code=4000, reason="why"))
        client.data("a", 1)
        await settled()
        await client.expect_frame(stream="b", payload=1)
        await client.expect_ended("a", 4000, "why")
        await client.expect_error(409, "a")
        assert await life.receive() == bye(4000, "why")


async def test_time_of_a_child_that_gives_up_its_close() -> None:
    """Its time begins when the client was told, whether or not it waits for that."""
    async with unread(accepts=True) as (client, life):
        await given_up(life.send_close(code=4000))
        await asyncio.sleep(60)
        assert not life.over.is_set()
        await client.expect_frame(stream="b", payload=1)
        await client.expect_ended("a", 4000)
        await life.cancelled()
        client.log.expect("'a' .*cancelled")


async def test_refusal_that_its_child_gives_up() -> None:
    """So is a refusal."""
    async with unread(accepts=False) as (client, life):
        await given_up(life.send_close())
        await client.expect_frame(stream="b", payload=1)
        await client.expect_ended("a", 4403)
        await client.expect_silence()


async def test_accept_that_its_child_gives_up() -> None:
    """The `open` is answered all the same, before the child's data."""
    async with unread(accepts=False) as (client, life):
        await given_up(life.send({"type": "websocket.accept", "subprotocol": "x"}))
        sending = asyncio.create_task(life.send_text("2"))
        await client.expect_frame(stream="b", payload=1)
        await client.expect_opened("a", "x")
        await client.expect_frame(stream="a", payload=2)
        await within(sending, "the send")
        client.data("a", 3)
        assert await life.receive() == text("3")


class Refusal:
    """Has a client's server refuse what it is given to send, once it may `go`."""

    def __init__(self, client: Client) -> None:
        self.go = asyncio.Event()
        self._client = client
        self._senders: set[Any] = set()
        client.hook = self._refuse

    async def _refuse(self, message: Any) -> None:
        self._senders.add(asyncio.current_task())
        await within(self.go.wait(), "the test")
        raise LookupError("broken")

    async def expect(self) -> None:
        """Expect that this is logged, and that who sends has not failed."""
        await within(asyncio.gather(*self._senders), "the sender")
        self._client.log.expect("'/socket/': the server refused an answer")


async def test_accept_that_its_child_gives_up_and_the_server_refuses() -> None:
    """Its refusal is logged, and what comes later is sent."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet}, lazy=True)) as client:
        client.open("a")
        life = await puppet.life()
        assert await life.receive() == CONNECT
        refusal = Refusal(client)
        await given_up(life.send({"type": "websocket.accept"}))
        refusal.go.set()
        await refusal.expect()
        client.hook = None
        await life.send_text("1")
        await client.expect_frame(stream="a", payload=1)


async def test_close_that_the_parent_gives_up_and_the_server_refuses() -> None:
    """Its refusal is logged, and the children have been told to leave."""
    puppet = Puppet()

    class Closing(WebsocketDemultiplexer):
        consumer_classes = {"a": puppet}

        async def receive_json(self, content: Any) -> None:
            await given_up(self.close(4000))
            refusal.go.set()

    async with serving(Closing.as_asgi()) as client:
        life = await puppet.life()
        assert await life.receive() == CONNECT
        refusal = Refusal(client)
        client.send()
        assert await life.receive() == bye(4000)
        await within(refusal.go.wait(), "the hook")
        await refusal.expect()


@pytest.mark.parametrize("message", ["accept", "close"])
async def test_child_that_is_cancelled_in_its_send(message: str) -> None:
    """A child that is cancelled in its accept or close owes the client nothing."""
    children = []

    async def child(scope: Any, receive: Any, send: Any) -> None:
        children.append(asyncio.current_task())
        await receive()
        await send({"type": f"websocket.{message}"})

    talking = Puppet()
    application = demultiplexer({"a": child, "b": talking}, lazy=True)
    async with Client(application, capacity=1) as client:
        await client.connect()
        client.data("b", 0)
        other = await talking.life()
        await other.accept()
        await other.send_text("1")
        client.open("a")
        await until(lambda: children)
        await settled()
        children[0].cancel()
        await until(children[0].done)
        client.data("a", 1)
        await settled()
        await client.expect_frame(stream="b", payload=1)
        if message == "accept":
            await client.expect_opened("a")
            await client.expect_ended("a", 1011)
        else:
            await client.expect_ended("a", 4403)
        await client.expect_error(409, "a")
        await client.expect_silence()
        client.log.expect("'a'.*crashed")


# Time that does not run.


async def test_close_of_a_helper_while_the_child_returns() -> None:
    """A child that has returned has no time to end, though its close is told only later."""
    async with unread(accepts=True) as (client, life):
        closing = asyncio.create_task(life.send_close(code=4000))
        await settled()
        life.finish()
        await asyncio.sleep(60)
        await client.expect_frame(stream="b", payload=1)
        await client.expect_ended("a", 4000)
        await within(closing, "the close")
        await asyncio.sleep(60)


@pytest.mark.parametrize("leaves", [False, True])
async def test_socket_that_ends_while_a_close_waits(leaves: bool) -> None:
    """A child whose close waits when the socket ends has its time once."""
    async with unread(accepts=True) as (client, life):
        closing = asyncio.create_task(life.send_close(code=4000))
        await settled()
        client.disconnect(1001)
        client.puppets[1].finish()  # the stream b
        await within(closing, "the close")
        assert await life.receive() == bye(4000)
        if leaves:
            life.finish()
            await asyncio.sleep(60)
        else:
            await life.cancelled()
            client.log.expect("'a' .*cancelled")


async def test_socket_that_closes_while_a_close_waits() -> None:
    """The child's time begins with the end of the socket, though the client reads nothing."""
    puppet, talking = Puppet(), Puppet()

    class Closing(WebsocketDemultiplexer):
        consumer_classes = {"a": puppet, "b": talking}

        async def receive_json(self, content: Any) -> None:
            await self.close(4000)

    async with Client(Closing.as_asgi(), capacity=1) as client:
        await client.connect()
        life, other = await puppet.life(), await talking.life()
        await other.accept()
        await other.send_text("1")
        await life.accept()
        closing = asyncio.create_task(life.send_close(code=4001))
        await settled()
        client.send()
        other.finish()
        await life.cancelled()
        client.log.expect("'a' .*cancelled")
        await client.expect_frame(stream="b", payload=1)
        await client.expect_ended("a", 4001)
        await within(closing, "the close")
        await client.expect_closed(4000)


async def test_end_of_the_socket_while_an_end_is_announced() -> None:
    """A child that has finished has no time to end, though its end is still being announced."""
    go = asyncio.Event()

    async def wait(**arguments: Any) -> None:
        await within(go.wait(), "the test")

    puppet = Puppet()
    stream_closed.connect(wait)
    try:
        async with serving(demultiplexer({"a": puppet, "b": Echo})) as client:
            life = await puppet.life()
            life.finish()
            await client.expect_ended("a", 4403)
            client.disconnect(1001)
            await asyncio.sleep(6)  # longer than its time
            go.set()
            await client.ended()
    finally:
        stream_closed.disconnect(wait)


# Children that end in odd ways.


async def test_leftover_task_of_a_child() -> None:
    """What a task of a child sends when the `close` was answered is dropped."""
    go = asyncio.Event()
    left = []

    async def late(send: Any) -> None:
        await go.wait()
        await send({"type": "websocket.send", "text": "1"})

    async def child(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        left.append(asyncio.create_task(late(send)))
        await receive()

    async with serving(demultiplexer({"a": child})) as client:
        await opened(client, "a")
        client.close("a")
        await client.expect_ended("a", 1000)
        go.set()
        await within(asyncio.gather(*left), "the task")
        await client.expect_silence()


@pytest.mark.parametrize("closing", [False, True])
async def test_child_that_cancels_itself_and_returns(closing: bool) -> None:
    """It has ended by a cancellation of its own making, of which the client is told."""

    async def child(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        task = asyncio.current_task()
        assert task is not None
        task.cancel()

    async with serving(demultiplexer({"a": child, "b": Echo})) as client:
        await opened(client, "a")
        if closing:
            client.close("a", code=3000)
        else:
            client.data("a", 1)
        await client.expect_ended("a", 3000 if closing else 1011)
        await client.expect_silence()
        client.log.expect("'a'.*crashed")


async def test_only_stream_that_misses() -> None:
    """A miss that shows behind middleware ends the stream, and so the socket of its last one."""
    router = Echoing(URLRouter([path("x", Echo.as_asgi())]))
    async with serving(demultiplexer({"a": router})) as client:
        await client.expect_error(404, "a")
        await client.expect_closed(4403)


@pytest.mark.parametrize("listens", [False, True])
async def test_server_that_refuses_the_last_answer(listens: bool) -> None:
    """What a server's send raises then is logged, and the end announced, and the next life runs."""
    announced = []

    async def note(**arguments: Any) -> None:
        announced.append(arguments["code"])

    puppet = Puppet()
    if listens:
        stream_closed.connect(note)
    try:
        async with serving(demultiplexer({"a": puppet})) as client:
            life = await puppet.life()
            await life.accept()
            client.send_error = LookupError("broken")
            client.close("a", code=3000)
            client.open("a")
            assert await life.receive() == bye(3000)
            life.finish()
            second = await puppet.life()
            record = client.log.expect("'/socket/': the server refused an answer")
            assert record.exc_info is not None
            assert record.exc_info[1] is client.send_error
            assert announced == [3000] * listens
            client.send_error = None
            await second.accept()
            await client.expect_opened("a")
    finally:
        stream_closed.disconnect(note)


async def test_server_that_refuses_the_childs_close() -> None:
    """What a server's send raises then is raised in the child too."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet, "b": Echo})) as client:
        life = await puppet.life()
        await life.accept()
        client.send_error = LookupError("broken")
        with pytest.raises(LookupError, match="broken"):
            await life.send_close()
        client.send_error = None
        client.log.expect("'/socket/': the server refused an answer")
        assert await life.receive() == bye(1000)


# The server's receive.


class Failing(Client):
    """Its server's receive raises when it is fed an exception."""

    async def _receive(self) -> Any:
        message = await super()._receive()
        if message["type"] == "fail":
            raise Crash
        return message


@pytest.mark.parametrize("parent", [Parent, WebsocketDemultiplexer])
async def test_server_whose_receive_raises(
    codes: list[Any], layer: InMemoryChannelLayer, parent: Any
) -> None:
    """It raises in the application, when every child was told with 1011; no task is left."""
    async with Failing(parent.as_asgi(consumer_classes={"a": Member}), codes=codes) as client:
        await client.connect()
        await opened(client, "a")
        client.feed({"type": "fail"})
        with pytest.raises(Crash):
            await client.ended()
        assert asyncio.all_tasks() <= {asyncio.current_task(), client.task}
        assert codes.count(1011) == 1
        assert not layer.groups


# Before the connect.


class SlowLayer(InMemoryChannelLayer):
    """A channel layer that never comes to add to a group `slow`."""

    async def group_add(self, group: str, channel: str) -> None:
        if group == "slow":
            await asyncio.Event().wait()
        await super().group_add(group, channel)


async def test_cancellation_before_connect_is_called(codes: list[Any]) -> None:
    """A parent whose connect() was not called leaves what it has joined, without disconnect()."""
    layers = {"default": {"BACKEND": f"{__name__}.SlowLayer"}}

    class Joining(Parent):
        groups = ["quick", "slow"]

    with override_settings(CHANNEL_LAYERS=layers):
        layer = get_channel_layer()
        async with Client(Joining.as_asgi(), codes=codes) as client:
            client.feed({"type": "websocket.connect"})
            await until(lambda: layer.groups)
            await cancel(client)
            assert not layer.groups
    assert codes == []
