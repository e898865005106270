"""The signals for metrics and audit."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from channels.routing import URLRouter
from django.dispatch import Signal
from django.urls import path

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer
from channels_demultiplexer.signals import announce, frame_rejected, stream_closed, stream_opened
from channels_demultiplexer.status import StatusCodes

from .children import Echo, Echoing, Puppet, SyncEcho, bye, returning, text
from .driver import Client, connected, demultiplexer, serving, settled, within

pytestmark = pytest.mark.usefixtures("task_factory", "database_checks")

NAMES = {"opened": stream_opened, "closed": stream_closed, "rejected": frame_rejected}


class Heard:
    """What was announced, in order."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()

    def receiver(self, name: str) -> Any:
        """Return a receiver for the signal `name`."""

        async def receive(**arguments: Any) -> None:
            del arguments["signal"]
            self._queue.put_nowait((name, arguments))

        return receive

    async def expect(self, name: str, stream: str | None, **arguments: Any) -> dict[str, Any]:
        """Expect an announcement with these arguments; return all."""
        found = await within(self._queue.get(), f"the signal {name!r}")
        assert found[0] == name
        assert found[1].keys() == {"sender", "scope", "stream", *arguments}
        assert found[1]["stream"] == stream
        assert {key: found[1][key] for key in arguments} == arguments
        return found[1]

    @property
    def nothing(self) -> bool:
        """Whether nothing was announced that was not expected."""
        return self._queue.empty()


@pytest.fixture
def heard() -> Iterator[Heard]:
    """Listens to all signals."""
    heard = Heard()
    receivers = [(signal, heard.receiver(name)) for name, signal in NAMES.items()]
    for signal, receiver in receivers:
        signal.connect(receiver)
    yield heard
    for signal, receiver in receivers:
        signal.disconnect(receiver)
    assert heard.nothing


class Sender(WebsocketDemultiplexer):
    """The sender of the signals."""

    consumer_classes = {"a": Echo}


async def test_stream_opened_and_closed(heard: Heard) -> None:
    """A stream's life is announced with its name, its child's scope, and its code."""
    puppet = Puppet()
    async with serving(Sender.as_asgi(consumer_classes={"a": puppet})) as client:
        life = await puppet.life()
        await settled()
        assert heard.nothing
        await life.accept()
        opened = await heard.expect("opened", "a")
        assert opened["scope"] is life.scope
        assert issubclass(opened["sender"], Sender)
        client.close("a", code=3000)
        assert await life.receive() == bye(3000)
        await settled()
        assert heard.nothing
        life.finish()
        closed = await heard.expect("closed", "a", code=3000, opened=True)
        assert closed["scope"] is life.scope
        assert closed["sender"] is opened["sender"]


async def test_sender_is_the_class(heard: Heard) -> None:
    """The sender is the demultiplexer class, for receivers that listen to one."""
    async with serving(Sender.as_asgi()):
        assert (await heard.expect("opened", "a"))["sender"] is Sender
    await heard.expect("closed", "a", code=1000, opened=True)


@pytest.mark.parametrize("fields", [{}, {"code": None}])
async def test_socket_that_ends_without_a_code(heard: Heard, fields: dict[str, Any]) -> None:
    """A stream that ends with its socket, for which the server gives no code, ended with 1005."""
    async with connected({"a": Puppet()}) as client:
        client.feed({"type": "websocket.disconnect", **fields})
        await settled()
        for life in client.puppets:
            life.finish()
        await heard.expect("closed", "a", code=1005, opened=False)
        await client.ended()


async def test_refused_stream(heard: Heard) -> None:
    """A stream that its child refuses is announced as closed only."""
    async with connected({"a/<int:n>": returning}) as client:
        client.open("a/1")
        await client.expect_ended("a/1", 4403)
        await heard.expect("closed", "a/1", code=4403, opened=False)


@pytest.mark.parametrize("how", ["close", "crash", "return", "stall", "socket", "no code"])
async def test_code_of_each_end(heard: Heard, how: str) -> None:
    """The code is that with which the stream has ended."""
    puppet = Puppet()
    attributes: dict[str, Any] = {"stream_overflow": "close", "stream_capacity": 1}
    async with connected({"a": puppet, "r/<int:n>": Echo}, **attributes) as client:
        life = await puppet.life()
        await life.accept()
        await heard.expect("opened", "a")
        codes = {"close": 4000, "crash": 1011, "return": 1000, "stall": 1013, "socket": 1001}
        code = codes.get(how, 1005)
        if how == "close":
            await life.send_close(code=4000)
        elif how == "crash":
            life.crash(LookupError())
        elif how == "stall":
            client.data("a", 1)
            client.data("a", 2)
            await client.expect_ended("a", 1013)
        elif how == "socket":
            client.disconnect(1001)
        elif how == "no code":
            client.feed({"type": "websocket.disconnect"})
        if how not in ("crash", "return"):
            await settled()
            assert heard.nothing  # until the child has finished
        if how != "crash":
            life.finish()
        await heard.expect("closed", "a", code=code, opened=True)
        if how == "crash":
            client.log.expect("crashed")


async def test_code_of_a_stream_that_has_ended_before_its_socket(heard: Heard) -> None:
    """A stream that has ended keeps its code when the socket ends before its child."""
    puppet = Puppet()
    async with connected({"a": puppet, "b/<int:n>": Echo}) as client:
        life = await puppet.life()
        await life.accept()
        await heard.expect("opened", "a")
        await life.send_close(code=4000)
        client.disconnect(1001)
        assert await life.receive() == bye(4000)
        await settled()
        life.finish()
        await heard.expect("closed", "a", code=4000, opened=True)


async def test_miss_of_a_router_behind_middleware(heard: Heard) -> None:
    """A miss that shows when the child runs is both a rejected frame and a closed stream."""
    missing = Echoing(URLRouter([path("x", Echo.as_asgi())]))
    async with connected({"a/<int:n>": missing}) as client:
        client.open("a/1")
        await client.expect_error(404, "a/1")
        rejected = await heard.expect("rejected", "a/1", status=StatusCodes.NOT_FOUND)
        assert rejected["scope"] is client.scope
        await heard.expect("closed", "a/1", code=4403, opened=False)


@pytest.mark.parametrize(
    ("message", "stream", "status"),
    [
        ("", None, StatusCodes.BAD_REQUEST),
        ('{"stream":"a"}', "a", StatusCodes.BAD_REQUEST),
        ('{"stream":"b","payload":1}', "b", StatusCodes.NOT_FOUND),
    ],
)
async def test_frame_rejected(
    heard: Heard, message: str, stream: str | None, status: StatusCodes
) -> None:
    """A frame that gets an error is announced with the name, the socket's scope, the status."""
    async with serving(Sender.as_asgi(lazy=True)) as client:
        client.send_text(message)
        await client.expect_error(status, stream)
        rejected = await heard.expect("rejected", stream, status=status)
        assert rejected["scope"] is client.scope
        assert isinstance(rejected["status"], StatusCodes)
        assert issubclass(rejected["sender"], Sender)


@pytest.mark.parametrize("echo", [Echo, SyncEcho])
async def test_receivers_that_fail_harm_nobody(echo: Any) -> None:
    """A receiver may raise, and may be a plain function, as under Django's own signals."""
    called = []

    def receive(signal: Signal, **arguments: Any) -> None:
        called.append(signal)
        raise LookupError("a receiver")

    for signal in NAMES.values():
        signal.connect(receive)
    try:
        async with connected({"a": echo}) as client:
            client.data("a", 1)
            await client.expect_frame(stream="a", payload=1)
            client.data("b", 1)
            await client.expect_error(404, "b")
            client.close("a")
            await client.expect_ended("a", 1000)
            client.disconnect()
            await client.ended()
            for _ in NAMES:
                record = client.log.expect("Error calling")
                assert "LookupError: a receiver" in client.log.format(record)
    finally:
        for signal in NAMES.values():
            signal.disconnect(receive)
    assert sorted(map(id, called)) == sorted(map(id, NAMES.values()))


async def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody listens, a signal is not sent."""

    class Costly(Signal):
        async def asend_robust(self, *args: Any, **kwargs: Any) -> Any:
            raise AssertionError("sent")

    await announce(Costly(), Sender)


async def test_slow_receiver_of_an_end_holds_up_the_next_life(heard: Heard) -> None:
    """A life is over when its end has been announced; the next begins after it."""
    puppet, go = Puppet(), asyncio.Event()

    async def wait(**arguments: Any) -> None:
        await within(go.wait(), "the test")

    stream_closed.connect(wait)
    try:
        async with Client(demultiplexer({"a": puppet})) as client:
            await client.connect()
            life = await puppet.life()
            client.close("a")
            client.open("a")
            life.finish()
            await client.expect_ended("a", 1000)
            await client.expect_silence()
            assert puppet.lives == 1
            go.set()
            await puppet.life()
    finally:
        stream_closed.disconnect(wait)
    for _ in range(2):
        await heard.expect("closed", "a", code=1000, opened=False)


async def test_announcements_are_not_kept(heard: Heard) -> None:
    """A connection keeps nothing of what it has announced."""

    def tasks() -> int:
        gc.collect()
        # By type(): to ask what is lazy for its class makes it.
        return sum(issubclass(type(each), asyncio.Task) for each in gc.get_objects())

    counts = []
    async with connected({"a/<int:n>": returning}) as client:
        for _ in range(3):
            client.open("a/1")
            await client.expect_ended("a/1", 4403)
            await heard.expect("closed", "a/1", code=4403, opened=False)
            await settled()
            counts.append(tasks())
    assert len(set(counts)) == 1


async def test_sender_is_the_class_that_was_written() -> None:
    """Arguments of as_asgi() don't change the sender, which receivers are connected by."""

    class Mine(WebsocketDemultiplexer):
        consumer_classes = {"a": Echo}

    class Theirs(Mine):
        pass

    configured: Any = Mine.as_asgi(max_streams=5)

    class Late(configured.consumer_class):
        pass

    senders = []

    async def note(sender: type, **arguments: Any) -> None:
        senders.append(sender)

    stream_opened.connect(note, sender=Mine)
    try:
        for application in (configured, Theirs.as_asgi(max_streams=5), Late.as_asgi()):
            async with Client(application) as client:
                await client.connect()
                client.data("a", 1)
                await client.expect_frame(stream="a", payload=1)
    finally:
        stream_opened.disconnect(note, sender=Mine)
    assert senders == [Mine]


@pytest.mark.parametrize("how", ["gives up", "is cancelled"])
async def test_acceptance_that_its_child_gives_up(heard: Heard, how: str) -> None:
    """A stream that has opened is announced as open before it is as closed, however it ends."""
    begun, go = asyncio.Event(), asyncio.Event()
    children: list[Any] = []

    async def wait(**arguments: Any) -> None:
        begun.set()
        await within(go.wait(), "the test")

    async def child(scope: Any, receive: Any, send: Any) -> None:
        children.append(asyncio.current_task())
        await receive()
        accepting = asyncio.ensure_future(send({"type": "websocket.accept"}))
        try:
            await within(begun.wait(), "the announcement")
            if how == "is cancelled":
                await accepting
        finally:
            accepting.cancel()

    stream_opened.connect(wait)
    try:
        async with connected({"a/<int:n>": child}) as client:
            client.open("a/1")
            await within(begun.wait(), "the announcement")
            await settled()
            if how == "is cancelled":
                children[0].cancel()
            await client.expect_opened("a/1")
            await client.expect_ended("a/1", 1011 if how == "is cancelled" else 1000)
            await heard.expect("opened", "a/1")
            await settled()
            assert heard.nothing
            go.set()
            code = 1011 if how == "is cancelled" else 1000
            await heard.expect("closed", "a/1", code=code, opened=True)
            if how == "is cancelled":
                client.log.expect("'a/1'.*crashed")
    finally:
        stream_opened.disconnect(wait)


async def test_data_for_a_child_that_gives_up_its_acceptance(heard: Heard) -> None:
    """It has accepted all the same, and receives data, however slow the receivers are."""
    begun, go = asyncio.Event(), asyncio.Event()

    async def wait(**arguments: Any) -> None:
        begun.set()
        await within(go.wait(), "the test")

    puppet = Puppet()
    stream_opened.connect(wait)
    try:
        async with connected({"a": puppet}) as client:
            life = await puppet.life()
            accepting = asyncio.create_task(life.accept())
            await within(begun.wait(), "the announcement")
            accepting.cancel()
            client.data("a", 1)
            try:
                assert await life.receive() == text("1")
            finally:
                go.set()
            await heard.expect("opened", "a")
            client.disconnect()
            life.finish()
            await heard.expect("closed", "a", code=1000, opened=True)
    finally:
        stream_opened.disconnect(wait)
