"""Tests of the communicators, with consumers as users write them."""

from __future__ import annotations

import asyncio
import importlib
import sys

import pytest
from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer
from channels.testing import WebsocketCommunicator

from channels_demultiplexer import testing
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer
from channels_demultiplexer.testing import DemultiplexerCommunicator

from .driver import settled, until


class Echo(AsyncWebsocketConsumer):
    """Echoes; selects the first subprotocol; does as told by some texts."""

    async def connect(self):
        await self.accept(next(iter(self.scope["subprotocols"]), None))

    async def receive(self, text_data=None, bytes_data=None):
        if text_data == "close":
            await self.close(4001, "asked")
        elif text_data == "crash":
            raise RuntimeError("asked")
        else:
            await self.send(text_data=text_data, bytes_data=bytes_data)


class Greeter(AsyncJsonWebsocketConsumer):
    """Speaks first."""

    async def connect(self):
        await self.accept()
        await self.send_json({"query": self.scope["query_string"].decode()})


class Refuser(AsyncWebsocketConsumer):
    """Refuses with a code."""

    async def connect(self):
        await self.close(4009)


class Demultiplexer(WebsocketDemultiplexer):
    """All of them."""

    consumer_classes = {"echo": Echo, "greeter": Greeter, "refuser": Refuser}


FACES = {
    "own URL": lambda: WebsocketCommunicator(Echo.as_asgi(), "/ws/", subprotocols=["a"]),
    "stream": lambda: DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/ws/").stream(
        "echo#1", subprotocols=["a"]
    ),
}


@pytest.fixture(params=FACES.values(), ids=FACES)
def communicator(request):
    """The same consumer on its own URL and as a stream."""
    return request.param()


async def test_consumer_test_needs_to_change_one_line(communicator):
    """A consumer's test runs alike on its own URL and against a stream."""
    assert await communicator.connect() == (True, "a")
    await communicator.send_json_to({"a": 1})
    assert await communicator.receive_json_from() == {"a": 1}
    await communicator.send_to(text_data="<p>not JSON</p>")
    assert await communicator.receive_from() == "<p>not JSON</p>"
    await communicator.send_to(bytes_data=b"\x00\xff")
    assert await communicator.receive_from() == b"\x00\xff"
    assert await communicator.receive_nothing()
    await communicator.disconnect()


async def test_close_comes_out_as_the_consumer_sent_it(communicator):
    """A close of the child has its code and reason, as on its own URL."""
    await communicator.connect()
    await communicator.send_to(text_data="close")
    assert await communicator.receive_output() == {
        "type": "websocket.close",
        "code": 4001,
        "reason": "asked",
    }
    await communicator.disconnect()


async def test_json_text_comes_out_verbatim():
    """The text of a payload is what the child wrote, to the space."""
    stream = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/").stream("echo")
    await stream.connect()
    await stream.send_to(text_data='{"a" :1,  "b":[]}')
    assert await stream.receive_from() == '{"a" :1,  "b":[]}'
    await stream.disconnect()


@pytest.mark.parametrize("empty", [{"text_data": ""}, {"bytes_data": b""}])
async def test_empty_frames_can_be_sent(empty):
    """Empty text and bytes are messages."""
    stream = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/").stream("echo")
    await stream.connect()
    await stream.send_to(**empty)
    assert [await stream.receive_from()] == list(empty.values())
    await stream.disconnect()


@pytest.mark.parametrize("arguments", [{}, {"text_data": "a", "bytes_data": b"a"}])
async def test_send_to_takes_exactly_one_kind(arguments):
    """Sending nothing, or both kinds, is an error of the test."""
    stream = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/").stream("echo")
    with pytest.raises(AssertionError, match="exactly one"):
        await stream.send_to(**arguments)


async def test_streams_interleave():
    """What is sent to one stream waits while another is read."""
    communicator = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/")
    assert await communicator.connect() == (True, None)
    one, two = communicator.stream("echo#1"), communicator.stream("echo#2")
    await one.connect()
    await two.connect()
    await one.send_json_to(1)
    await two.send_json_to(2)
    assert await two.receive_json_from() == 2
    assert await one.receive_json_from() == 1
    await communicator.disconnect()


async def test_streams_are_read_at_the_same_time():
    """Two tasks that wait for two streams each get their own."""
    communicator = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/")
    one, two = communicator.stream("echo#1"), communicator.stream("echo#2")
    await one.connect()
    await two.connect()
    async with asyncio.TaskGroup() as group:
        first = group.create_task(one.receive_json_from())
        second = group.create_task(two.receive_json_from())
        await two.send_json_to("second")
        await one.send_json_to("first")
    assert (first.result(), second.result()) == ("first", "second")
    await communicator.disconnect()


async def test_eager_stream_that_speaks_first_is_confirmed_first():
    """What an eager child sent before its open was answered waits behind the answer."""
    stream = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/?a=b").stream("greeter")
    assert await stream.connect() == (True, None)
    assert await stream.receive_json_from() == {"query": "a=b"}
    await stream.disconnect()


async def test_eager_stream_need_not_be_opened():
    """An eager stream that has spoken is closed by disconnect, though connect was not called."""
    application = WebsocketDemultiplexer.as_asgi(consumer_classes={"echo": Echo, "two": Echo})
    communicator = DemultiplexerCommunicator(application, "/")
    await communicator.connect()
    stream = communicator.stream("echo")
    await stream.send_json_to(1)
    assert await stream.receive_json_from() == 1
    await stream.disconnect()
    await communicator.send_json_to({"stream": "echo", "payload": 1})
    with pytest.raises(AssertionError, match="error 409"):
        await stream.receive_from()
    await communicator.disconnect()


async def test_query_reaches_the_child():
    """A query given for the stream takes the place of the socket's."""
    communicator = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/?a=b")
    stream = communicator.stream("greeter#2", query="c=d")
    await stream.connect()
    assert await stream.receive_json_from() == {"query": "c=d"}
    await stream.disconnect()


async def test_refused_stream_gives_its_code():
    """A child that refuses gives False and its code."""
    communicator = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/")
    await communicator.connect()
    assert await communicator.stream("refuser#1").connect() == (False, 4009)
    await communicator.disconnect()


async def test_unknown_stream_gives_its_status():
    """An open that is answered by an error frame gives False and the status."""
    stream = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/").stream("nobody")
    assert await stream.connect() == (False, 404)
    await stream.disconnect()


async def test_refused_socket_gives_its_code():
    """A stream whose socket is refused gives False and the socket's code."""

    class Closed(Demultiplexer):
        async def connect(self):
            await self.close(4003)

    stream = DemultiplexerCommunicator(Closed.as_asgi(), "/").stream("echo")
    assert await stream.connect() == (False, 4003)
    await stream.disconnect()


async def test_error_frame_fails_the_test_that_reads():
    """An error frame in place of a message says what was wrong."""
    communicator = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/")
    await communicator.connect()
    stream = communicator.stream("echo#1")
    await stream.send_json_to(1)
    with pytest.raises(AssertionError, match="stream 'echo#1': error 409: the stream is not open"):
        await stream.receive_from()
    await communicator.disconnect()


async def test_disconnect_waits_for_the_child():
    """A child that takes too long to finish fails the disconnect."""

    class Slow(AsyncWebsocketConsumer):
        async def disconnect(self, code):
            await asyncio.Event().wait()

    class Demultiplexer(WebsocketDemultiplexer):
        consumer_classes = {"slow": Slow}
        consumer_close_timeout = 0.2

    communicator = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/")
    await communicator.connect()
    stream = communicator.stream("slow")
    await stream.connect()
    with pytest.raises(TimeoutError):
        await stream.disconnect(timeout=0.01)
    await stream.wait()
    assert stream.ended
    await communicator.disconnect()


async def test_socket_stays_with_other_streams():
    """A socket that a stream connected ends with the last stream, not the first."""
    communicator = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/")
    one, two = communicator.stream("echo#1"), communicator.stream("echo#2")
    await one.connect()
    await two.connect()
    await one.disconnect()
    await two.send_json_to(2)
    assert await two.receive_json_from() == 2
    await two.disconnect()
    assert communicator.future.done()


async def test_socket_that_was_connected_itself_stays():
    """A socket that the test connected is the test's to disconnect."""
    application = WebsocketDemultiplexer.as_asgi(consumer_classes={"echo": Echo})
    communicator = DemultiplexerCommunicator(application, "/")
    await communicator.connect()
    stream = communicator.stream("echo#1")
    await stream.connect()
    await stream.disconnect()
    await communicator.send_json_to({"event": "ping"})
    assert await communicator.receive_json_from() == {"event": "pong"}
    await communicator.disconnect()


async def test_socket_gets_what_belongs_to_no_communicator():
    """The socket's own methods see the frames of streams without a communicator."""
    communicator = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/")
    await communicator.connect()
    assert await communicator.receive_json_from() == {
        "stream": "greeter",
        "payload": {"query": ""},
    }
    assert (await communicator.receive_json_from())["stream"] == "refuser"
    assert await communicator.receive_nothing()
    await communicator.send_json_to({"stream": "echo", "text": "<p>"})
    assert not await communicator.receive_nothing(timeout=1)
    assert await communicator.receive_json_from() == {"stream": "echo", "text": "<p>"}
    await communicator.disconnect()


@pytest.mark.parametrize("text", ["not JSON", "[1]"])
async def test_socket_gets_what_is_no_frame(text):
    """What a parent sends beside the protocol comes out of the socket's methods."""

    class Chatty(WebsocketDemultiplexer):
        async def connect(self):
            await self.accept()
            await self.send(text)

    communicator = DemultiplexerCommunicator(Chatty.as_asgi(), "/")
    await communicator.connect()
    assert await communicator.receive_from() == text
    await communicator.disconnect()


async def test_timeout_leaves_the_application_alone():
    """A wait for nothing fails, and the socket goes on."""
    communicator = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/")
    stream = communicator.stream("echo")
    await stream.connect()
    with pytest.raises(TimeoutError):
        await stream.receive_from(timeout=0.01)
    await stream.send_json_to(1)
    assert await stream.receive_json_from() == 1
    await stream.disconnect()


async def test_crash_of_the_application_is_raised_where_one_waits():
    """A wait that times out because the socket crashed raises the crash."""

    class Broken(WebsocketDemultiplexer):
        async def connect(self):
            raise LookupError("broken")

    communicator = DemultiplexerCommunicator(Broken.as_asgi(), "/")
    with pytest.raises(LookupError, match="broken"):
        await communicator.connect(timeout=0.1)


async def waiting(awaitable):
    """Return a task that waits, for longer than anything takes that waits for no time."""
    task = asyncio.ensure_future(awaitable)
    await settled()
    assert not task.done()
    return task


async def test_communicators_wait_for_what_comes_later():
    """Both wait by default for output, and for as long as they are told for its absence."""
    application = WebsocketDemultiplexer.as_asgi(consumer_classes={"echo": Echo})
    communicator = DemultiplexerCommunicator(application, "/")
    await communicator.connect()
    stream = communicator.stream("echo")
    await stream.connect()
    nonsense = {"type": "websocket.receive", "text": "nonsense"}
    for receiver, provoke in (
        (stream, lambda: stream.send_to(text_data="later")),
        (communicator, lambda: communicator.send_input(nonsense)),
    ):
        output = await waiting(receiver.receive_output())
        await provoke()
        assert (await output)["type"] == "websocket.send"
        nothing = await waiting(receiver.receive_nothing())
        assert await nothing
        nothing = await waiting(receiver.receive_nothing(timeout=8))
        await provoke()
        assert not await nothing
        assert (await receiver.receive_output())["type"] == "websocket.send"
    await communicator.disconnect()


async def test_key_names_are_those_of_the_class():
    """The communicator speaks with the key names that the class has."""

    class Renamed(Demultiplexer):
        multiplex_key = "to"
        payload_key = "body"
        text_key = "plain"
        event_key = "do"

    stream = DemultiplexerCommunicator(Renamed.as_asgi(), "/").stream("echo")
    assert await stream.connect() == (True, None)
    await stream.send_json_to([1])
    assert await stream.receive_json_from() == [1]
    await stream.send_to(text_data="<p>")
    assert await stream.receive_from() == "<p>"
    await stream.disconnect(code=4005)


def test_missing_daphne_is_explained(monkeypatch):
    """Without daphne, importing the module says what to install."""
    monkeypatch.setitem(sys.modules, "channels.testing", None)
    with pytest.raises(ImportError, match=r"install channels-demultiplexer\[daphne\]"):
        importlib.reload(testing)


async def test_two_waits_at_once():
    """Of two calls that wait, one reads for both; each gets what is its own."""
    socket = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/ws/")
    first, second = socket.stream("echo#1"), socket.stream("echo#2")
    await first.connect()
    await second.connect()
    waits = [asyncio.create_task(each.receive_from()) for each in (first, second)]
    await until(lambda: socket._turn._waiters)  # the second for the first
    await second.send_to(text_data="2")
    assert await waits[1] == "2"
    await first.send_to(text_data="1")
    assert await waits[0] == "1"
    await first.disconnect()
    await second.disconnect()
