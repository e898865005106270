"""Tests as a project writes them."""

from channels.testing import WebsocketCommunicator

from channels_demultiplexer.testing import DemultiplexerCommunicator

from .consumers import EchoConsumer
from .quickstart import Demultiplexer


async def test_echo_on_its_own_socket():
    """A consumer's test as it was."""
    communicator = WebsocketCommunicator(EchoConsumer.as_asgi(), "/ws/echo/")
    accepted, _ = await communicator.connect()
    assert accepted
    await communicator.send_json_to({"n": 1})
    assert await communicator.receive_json_from() == {"echo": {"n": 1}}
    await communicator.disconnect()


async def test_echo_as_a_stream():
    """The same test with its first line changed."""
    communicator = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/ws/").stream("echo")
    accepted, _ = await communicator.connect()
    assert accepted
    await communicator.send_json_to({"n": 1})
    assert await communicator.receive_json_from() == {"echo": {"n": 1}}
    await communicator.disconnect()


async def test_two_rooms_on_one_socket():
    """Streams of one socket interleave freely."""
    socket = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/ws/")
    first, second = socket.stream("room/1/"), socket.stream("room/2/")
    for room in (first, second):
        accepted, _ = await room.connect()
        assert accepted
    await second.send_json_to("two")
    await first.send_json_to("one")
    assert await first.receive_json_from() == {"room": "room-1", "said": "one"}
    assert await second.receive_json_from() == {"room": "room-2", "said": "two"}
    await first.disconnect()
    await second.disconnect()


async def test_a_frame_for_nobody():
    """What belongs to no stream comes out of the socket's own communicator."""
    socket = DemultiplexerCommunicator(Demultiplexer.as_asgi(), "/ws/")
    await socket.connect()
    await socket.send_json_to({"stream": "nobody", "payload": 1})
    error = await socket.receive_json_from()
    assert (error["event"], error["status"]) == ("error", 404)
    await socket.disconnect()
