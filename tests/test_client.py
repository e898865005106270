"""The Python client, against real servers and, for what they seldom do, a scripted one."""

from __future__ import annotations

import asyncio
import functools
import gc
import itertools
import json
import random
import subprocess
import sys
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_websocket
from websockets.exceptions import (
    ConcurrencyError,
    ConnectionClosed,
    ConnectionClosedError,
    InvalidStatus,
    ProtocolError,
)
from websockets.protocol import State

from channels_demultiplexer.client import (
    Connection,
    FrameRefused,
    Stream,
    StreamClosed,
    StreamRefused,
    connect,
)
from channels_demultiplexer.exceptions import FrameTooLarge, MalformedFrame
from docs.examples import python_client

from .servers import PATIENCE, Server, serve

#: Of each connection that does not ask for others.
OPTIONS: dict[str, Any] = {"proxy": None, "open_timeout": PATIENCE, "close_timeout": PATIENCE}


@pytest.fixture(scope="module", params=["uvicorn", "daphne"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server for all tests of this module."""
    with serve(request.param, "tests.client_app:application") as server:
        yield server


@asynccontextmanager
async def connected(server: Server, path: str = "/", **options: Any) -> AsyncIterator[Connection]:
    """Connect to a path of the server."""
    async with (
        asyncio.timeout(PATIENCE),
        connect(server.url + path, **{**OPTIONS, **options}) as socket,
    ):
        yield socket


Script = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[str]:
    """Run a server that does as it is told, and return its address."""
    async with serve_websocket(script, "127.0.0.1", 0) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


@asynccontextmanager
async def scripted(script: Script, **options: Any) -> AsyncIterator[Connection]:
    """Connect to a server that does as it is told."""
    async with (
        asyncio.timeout(PATIENCE),
        serving(script) as url,
        connect(url, subprotocols=None, **{**OPTIONS, **options}) as socket,
    ):
        yield socket


async def expect(socket: ServerConnection, **expected: Any) -> None:
    """Receive a frame that has all this."""
    frame = json.loads(await socket.recv())
    assert expected.items() <= frame.items()


async def say(socket: ServerConnection, *events: str, **fields: Any) -> None:
    """Send events of the stream "a"."""
    for event in events:
        await socket.send(json.dumps({"stream": "a", "event": event, **fields}))


async def burst(socket: ServerConnection) -> None:
    """Send five messages of the stream `a`, from 0 on."""
    for number in range(5):
        await socket.send(f'{{"stream":"a","payload":{number}}}')


async def rest(stream: Stream) -> list[Any]:
    """Return what comes until the stream ends."""
    return [value async for value in stream]


# Opening.


async def test_open(server: Server) -> None:
    """A stream is open in its block, and closed with 1000 when the block has been left."""
    async with connected(server) as socket:
        async with socket.stream("echo") as echo:
            assert echo.state is State.OPEN
            assert (echo.name, echo.subprotocol, echo.close_code) == ("echo", None, None)
        assert echo.state is State.CLOSED
        assert (echo.close_code, echo.close_reason) == (1000, "")


async def test_open_awaited(server: Server) -> None:
    """An awaited stream stays open until it is closed."""
    async with connected(server) as socket:
        where = await socket.stream("where", query="")
        assert await where.recv_json() == ""
        await where.close(4321, "bye")
        assert (where.close_code, where.close_reason) == (4321, "bye")
        # What the consumer sent before its end can still be taken.
        assert await where.recv_json() == 4321
        with pytest.raises(StreamClosed, match=r"^the stream 'where' is closed with 4321 bye$"):
            await where.recv()
        await where.close()


async def test_open_subprotocols_and_query(server: Server) -> None:
    """The consumer selects from the subprotocols, and sees the query."""
    async with connected(server) as socket:
        async with socket.stream("chooser", subprotocols=["v1", "v2"]) as chooser:
            assert chooser.subprotocol == "v2"
        async with socket.stream("where", query="token=1") as where:
            assert await where.recv_json() == "token=1"


async def test_open_subprotocol_of_socket(server: Server) -> None:
    """The socket offers the protocol's own subprotocol; options are those of websockets."""
    async with connected(server) as socket:
        assert socket.subprotocol == "channels-demultiplexer.v1"
    async with connected(server, subprotocols=None) as socket:
        assert socket.subprotocol is None


@pytest.mark.parametrize(
    ("name", "code", "reason"), [("refuser", 4001, "not today"), ("chooser", 1011, "")]
)
async def test_open_refused(server: Server, name: str, code: int, reason: str) -> None:
    """A consumer that refuses, or crashes before it accepts, raises StreamRefused."""
    async with connected(server) as socket:
        with pytest.raises(StreamRefused) as caught:
            await socket.stream(name)
        assert (caught.value.stream, caught.value.code, caught.value.reason) == (name, code, reason)
        await is_alive(socket)


async def test_open_unknown(server: Server) -> None:
    """A name that matches nothing raises FrameRefused with 404."""
    async with connected(server) as socket:
        with pytest.raises(
            FrameRefused, match=r"^the stream 'no' had a frame refused with 404 no such stream$"
        ) as caught:
            await socket.stream("no")
        assert caught.value.status == 404
        await is_alive(socket)


async def test_open_too_many(server: Server) -> None:
    """One stream too many raises FrameRefused with 429."""
    async with connected(server) as socket:
        for number in range(20):
            await socket.stream(f"echo#{number}")
        with pytest.raises(FrameRefused) as caught:
            await socket.stream("echo")
        assert caught.value.status == 429


async def test_open_in_time(server: Server) -> None:
    """A consumer that does not accept in time raises TimeoutError, and the stream is closed."""
    async with connected(server) as socket:
        with pytest.raises(TimeoutError, match=r"^timed out opening the stream 'late'$"):
            await socket.stream("late", open_timeout=0.01)
        assert socket._streams["late"].state is State.CLOSING
        await socket._streams["late"]._ended


async def test_open_twice(server: Server) -> None:
    """A stream that is open cannot be opened again, nor can its object after its end."""
    async with connected(server) as socket:
        async with socket.stream("echo#1") as echo:
            with pytest.raises(ValueError, match=r"^'echo#1' is open already: with another label"):
                await socket.stream("echo#1")
        with pytest.raises(RuntimeError, match="a stream is opened once"):
            await echo


async def test_open_while_closing(server: Server) -> None:
    """Who opens a stream that is closing gets its next life, and nothing of the last."""
    async with connected(server) as socket:
        earlier = await socket.stream("where", query="1")
        closing = asyncio.create_task(earlier.close(1001))
        await asyncio.sleep(0)
        async with socket.stream("where", query="2") as where:
            assert await where.recv_json() == "2"
        assert await rest(where) == [1000]
        assert await rest(earlier) == ["1", 1001]
        await closing


async def test_open_eager(server: Server) -> None:
    """What an eager stream has sent before it is opened here waits for that."""
    async with connected(server, "/eager/") as socket:
        async with socket.stream("echo") as echo:
            await echo.send("fence")
            await echo.recv()
        async with socket.stream("where") as where:
            assert await where.recv_json() == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": ""}, "1 to 255 bytes"),
        ({"name": 256 * "x"}, "1 to 255 bytes, not 256"),
        ({"name": "\ud800"}, "lone surrogate"),
        ({"name": "x", "query": 8193 * "x"}, "8193 bytes, more than 8192"),
        ({"name": "x", "query": 8191 * "x", "subprotocols": ["é"]}, "8193 bytes, more than 8192"),
        ({"name": "x", "subprotocols": [""]}, "'subprotocols'"),
        ({"name": "x", "subprotocols": "v1"}, "'subprotocols' is a list of strings"),
        ({"name": "x", "query": b"x"}, "JSON serializable"),
        ({"name": "x", "query": "\ud800"}, "'query' is a string without lone surrogates"),
    ],
)
async def test_open_with_wrong_arguments(
    server: Server, arguments: dict[str, Any], message: str
) -> None:
    """What the server would refuse raises before it is sent, and says what would be right."""
    async with connected(server) as socket:
        with pytest.raises((MalformedFrame, TypeError), match=message):
            socket.stream(**arguments)


async def test_open_on_closed_socket(server: Server) -> None:
    """On a socket that has closed, a stream raises as websockets does."""
    async with connected(server) as socket:
        echo = await socket.stream("echo")
        await socket.close()
        assert (echo.state, echo.close_code) == (State.CLOSED, 1000)
        for name in "echo", "where":
            with pytest.raises(ConnectionClosed):
                await socket.stream(name)
    async with connected(server) as socket:
        await socket.close()
        with pytest.raises(ConnectionClosed):
            await socket.stream("echo")


# Sending and receiving.


async def is_alive(socket: Connection) -> None:
    """Assert that a stream answers."""
    async with socket.stream("echo") as echo:
        await echo.send("alive")
        assert await echo.recv() == "alive"


@pytest.mark.parametrize(
    ("sent", "value"),
    [
        ('{ "a":  [1.0, "\\ud800"] }', {"a": [1.0, "\ud800"]}),
        ("<b>\u2028", "<b>\u2028"),
        ("", ""),
        ("null", None),
        (b"", b""),
        (b"\x00\xff", b"\x00\xff"),
    ],
)
async def test_send(server: Server, sent: str | bytes, value: Any) -> None:
    """A message comes back as it was sent, as `recv`, or as its value, as `recv_json` has it."""
    async with connected(server) as socket, socket.stream("echo") as echo:
        await echo.send(sent)
        await echo.send(sent)
        assert await echo.recv() == sent
        assert await echo.recv_json() == value


async def test_send_json_and_bytes(server: Server) -> None:
    """Values go as JSON, bytes as bytes."""
    async with connected(server) as socket, socket.stream("echo") as echo:
        await echo.send_json({"ü": ["\ud800"]})
        await echo.send_bytes(bytearray(b"\x00"))
        assert await echo.recv_json() == {"ü": ["\ud800"]}
        assert await echo.recv() == b"\x00"
        with pytest.raises(ValueError, match="JSON compliant"):
            await echo.send_json(float("nan"))


@pytest.mark.parametrize("content", [1000 * "é", 1000 * b"x"])
async def test_send_too_large(server: Server, content: str | bytes) -> None:
    """A frame over the size that the server takes is not sent."""
    async with connected(server, max_frame_size=1000) as socket, socket.stream("echo") as echo:
        with pytest.raises(FrameTooLarge, match="exceeds the limit of 1000 bytes"):
            await echo.send(content)
        await echo.send("x")
        assert await echo.recv() == "x"


async def test_control_frame_too_large(server: Server) -> None:
    """Neither is an `open` or a `close` that the server would refuse without naming the stream."""
    async with connected(server, max_frame_size=1000) as socket, socket.stream("echo") as echo:
        with pytest.raises(FrameTooLarge, match="exceeds the limit of 1000 bytes"):
            socket.stream("echo#2", query=1000 * "x")
        with pytest.raises(FrameTooLarge, match="exceeds the limit of 1000 bytes"):
            await echo.close(1000, 1000 * "x")
        await echo.send("x")
        assert await echo.recv() == "x"


async def test_use_when_not_open(server: Server) -> None:
    """Before the opening to send or receive is a mistake, after the end it raises StreamClosed."""
    async with connected(server) as socket:
        echo = socket.stream("echo")
        assert echo.state is State.CLOSED
        for use in echo.send("x"), echo.recv():
            with pytest.raises(RuntimeError, match="the stream is not open: use `async with`"):
                await use
        await echo.close()
        async with echo:
            pass
        with pytest.raises(StreamClosed):
            await echo.send("x")


@pytest.mark.parametrize("code", [1000, 1001])
async def test_iteration_ends(server: Server, code: int) -> None:
    """Iteration ends with the stream, and `close_code` says how."""
    async with connected(server) as socket, socket.stream("closer") as closer:
        await closer.send_json({"code": code, "reason": "done"})
        assert await rest(closer) == []
        assert (closer.close_code, closer.close_reason) == (code, "done")


@pytest.mark.parametrize(("content", "code"), [('{"code":4100,"reason":""}', 4100), ("", 1011)])
async def test_iteration_raises(server: Server, content: str, code: int) -> None:
    """Iteration raises where the consumer closed with a code of its own, or crashed."""
    async with connected(server) as socket, socket.stream("closer") as closer:
        await closer.send(content)
        with pytest.raises(StreamClosed) as caught:
            await rest(closer)
        assert caught.value.code == code
        await is_alive(socket)


async def test_iteration_raises_after_a_close_of_ones_own(server: Server) -> None:
    """Whichever side closes the stream, iteration ends well with 1000 and 1001 only."""
    async with connected(server) as socket:
        echo = await socket.stream("echo")
        await echo.close(3000, "enough")
        with pytest.raises(StreamClosed, match="3000 enough"):
            await rest(echo)


async def test_recv_after_the_end(server: Server) -> None:
    """Each call after the end raises anew: what is raised does not grow."""
    async with connected(server) as socket:
        echo = await socket.stream("echo")
        await echo.close()
        lengths = set()
        for _ in range(3):
            with pytest.raises(StreamClosed) as caught:
                await echo.recv()
            lengths.add(len(caught.traceback))
        assert len(lengths) == 1


async def test_recv_while_closing(server: Server) -> None:
    """What the consumer says until the acknowledgement can be waited for."""
    async with connected(server) as socket:
        where = await socket.stream("where", query="")
        assert await where.recv_json() == ""
        closing = asyncio.create_task(where.close(4321))
        await asyncio.sleep(0)
        assert where.state is State.CLOSING
        assert await where.recv_json() == 4321
        await closing


async def test_recv_twice(server: Server) -> None:
    """Two tasks cannot wait for one stream's messages."""
    async with connected(server) as socket, socket.stream("echo") as echo:
        waiting = asyncio.create_task(echo.recv())
        await asyncio.sleep(0)
        with pytest.raises(ConcurrencyError, match=r"^another task already waits for 'echo'$"):
            await echo.recv()
        await echo.send("x")
        assert await waiting == "x"


async def test_recv_of_socket() -> None:
    """Where a task receives from the socket itself no stream opens, on the server neither."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await expect(socket, event="close")
        await say(socket, "open", "close")
        await socket.wait_closed()

    async with scripted(script) as socket:
        receiving = asyncio.create_task(socket.recv())
        await asyncio.sleep(0)
        for _ in range(2):
            with pytest.raises(ConcurrencyError):
                await socket.stream("a")
        assert json.loads(await receiving) == {"stream": "a", "event": "open"}
        assert json.loads(await socket.recv()) == {"stream": "a", "event": "close"}


async def test_close_while_the_socket_closes(server: Server) -> None:
    """A stream that is left while the socket closes ends with that."""
    async with connected(server) as socket:
        echo = await socket.stream("echo")
        closing = asyncio.create_task(socket.close(1000, "enough"))
        await asyncio.sleep(0)
        assert socket.state is State.CLOSING
        await echo.close(4000)
        assert (echo.close_code, echo.close_reason) == (socket.close_code, socket.close_reason)
        await closing


async def test_streams_end_with_the_socket(server: Server) -> None:
    """Where the connection is lost every wait ends, with what websockets raises."""
    async with connected(server) as socket:
        echo, where = await socket.stream("echo"), await socket.stream("routes")
        late = asyncio.create_task(socket.stream("late").__aenter__())
        asking = asyncio.create_task(where.request("wait"))
        receiving = asyncio.create_task(echo.recv())
        for _ in range(3):
            await asyncio.sleep(0)
        socket.transport.abort()
        for task in late, asking, receiving:
            with pytest.raises(ConnectionClosedError):
                await task
        with pytest.raises(ConnectionClosedError):
            await rest(echo)
        with pytest.raises(ConnectionClosedError):
            await echo.send("x")
        assert echo.close_code == 1006


async def test_iteration_ends_with_the_socket(server: Server) -> None:
    """Where the socket is closed in peace, iteration ends in peace."""
    async with connected(server) as socket:
        echo = await socket.stream("echo")
        await socket.close()
        assert await rest(echo) == []


# Credit.


async def test_credit_holds_up_its_own_stream(server: Server) -> None:
    """A consumer that takes nothing is sent what may wait for it; other streams go on."""
    async with connected(server) as socket:
        stuck = await socket.stream("stuck")
        sent = 0

        async def flood() -> None:
            nonlocal sent
            for number in range(1000):
                await stuck.send_json(number)
                sent += 1

        flooding = asyncio.create_task(flood())
        for _ in range(5):
            await is_alive(socket)
        assert sent == 100
        await stuck.close()
        with pytest.raises(StreamClosed):
            await flooding
        assert stuck.close_code == 1000  # and not 1013
        assert await rest(stuck) == []  # and no 429


async def test_credit_is_granted_as_the_consumer_takes(server: Server) -> None:
    """Any number of messages goes to a consumer that takes them, in order."""
    async with connected(server) as socket, socket.stream("echo") as echo:

        async def send() -> None:
            for number in range(1000):
                await echo.send_json(number)

        sending = asyncio.create_task(send())
        assert [await echo.recv_json() for _ in range(1000)] == list(range(1000))
        await sending


# The mailbox.


async def test_full_mailbox(server: Server) -> None:
    """A stream whose reader falls behind is closed with 1013; what came before can be taken."""
    async with connected(server) as socket, socket.stream("flood", max_queue=10) as flood:
        await flood.send_json(1000)
        await flood._ended
        assert (flood.close_code, flood.close_reason) == (1013, "10 messages wait unread")
        assert [await flood.recv_json() for _ in range(10)] == list(range(10))
        with pytest.raises(StreamClosed, match="1013 10 messages wait unread"):
            await flood.recv()
        with pytest.raises(StreamClosed):
            await rest(flood)
        await is_alive(socket)


async def test_mailbox_without_limit(server: Server) -> None:
    """A mailbox without limit takes all that comes, as that of `websockets` does."""
    async with connected(server) as socket, socket.stream("flood", max_queue=None) as flood:
        await flood.send_json(1100)
        async with socket.stream("echo") as echo:
            while len(flood._messages) <= 1100:
                await echo.send_json(1)
                await echo.recv_json()
        assert [await flood.recv_json() for _ in range(1101)] == [*range(1100), "done"]


async def _directly(receiving: Coroutine[Any, Any, Any]) -> Any:
    return await receiving


async def _by_task(receiving: Coroutine[Any, Any, Any]) -> Any:
    return await asyncio.create_task(receiving)


@pytest.mark.parametrize("take", [_directly, _by_task])
async def test_mailbox_of_a_reader_that_keeps_up(
    server: Server, take: Callable[[Coroutine[Any, Any, Any]], Awaitable[Any]]
) -> None:
    """A reader that keeps up gets all, however little may wait, and however it takes that."""
    async with connected(server) as socket, socket.stream("flood", max_queue=1) as flood:
        await flood.send_json(3000)
        for number in range(3000):
            assert await take(flood.recv_json()) == number
        assert await take(flood.recv_json()) == "done"


async def test_mailbox_at_the_opening() -> None:
    """What comes with the answer to the `open` waits for who has waited for that."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await say(socket, "open", subprotocol=None)
        await burst(socket)
        await expect(socket, event="close", code=1000)
        await say(socket, "close", code=1000, reason="")

    async with scripted(script) as socket, socket.stream("a", max_queue=1) as stream:
        assert [await stream.recv_json() for _ in range(5)] == [*range(5)]


# Requests.


async def test_request(server: Server) -> None:
    """A request is answered with status, payload and headers."""
    async with connected(server) as socket, socket.stream("routes") as routes:
        answers = await asyncio.gather(
            *(routes.request("double", number, headers={"n": number}) for number in range(5))
        )
        assert answers == [(201, 2 * number, {"n": number}) for number in range(5)]
        assert all(answer.ok for answer in answers)
        missing = await routes.request("burn")
        assert (missing.status, missing.ok) == (404, False)


async def test_request_and_push(server: Server) -> None:
    """What answers no request comes by iteration."""
    async with connected(server) as socket, socket.stream("routes") as routes:
        assert (await routes.request("push", [1])).status == 204
        await routes.send_json({"route": "PING", "uuid": 7})
        pushed = {"route": "pushed", "headers": {}, "payload": [1]}
        assert await routes.recv_json() == pushed
        assert await routes.recv_json() == {"route": "PONG", "uuid": 7}
        waiting = asyncio.create_task(routes.request("wait"))
        await routes.request("push", [1])
        assert await routes.recv_json() == pushed
        waiting.cancel()


async def test_request_in_time(server: Server) -> None:
    """A request without answer raises TimeoutError."""
    async with connected(server) as socket, socket.stream("routes") as routes:
        with pytest.raises(TimeoutError):
            await routes.request("wait", timeout=0.01)


async def test_request_when_the_stream_ends(server: Server) -> None:
    """A request does not outlive its stream."""
    async with connected(server) as socket, socket.stream("routes") as routes:
        with pytest.raises(StreamClosed) as caught:
            await routes.request("quit")
        assert caught.value.code == 4009


# Keys and refused frames.


async def test_keys(server: Server) -> None:
    """Keys may be others; a frame that is refused raises where messages are received."""
    keys = {"stream": "channel", "payload": "data", "event": "do"}
    async with connected(server, "/keys/", keys=keys) as socket:
        await is_alive(socket)
        async with socket.stream("stuck") as stuck:
            stuck._grant(5)  # more than the server has
            for number in range(5):
                await stuck.send_json(number)
            for _ in range(2):
                with pytest.raises(FrameRefused) as caught:
                    await stuck.recv()
                assert caught.value.status == 429


@pytest.mark.parametrize(
    "keys", [{"strem": "x"}, {"stream": "payload"}, {"stream": "code"}, {"event": "text"}]
)
async def test_wrong_keys(keys: dict[str, str]) -> None:
    """Keys that no server can have are refused."""
    with pytest.raises(ValueError, match="different names for stream, payload, text, event, and"):
        connect("ws://127.0.0.1", keys=keys)


# Closing.


@pytest.mark.parametrize(("code", "reason"), [(999, ""), (5000, ""), ("1000", ""), (1000, b"x")])
async def test_close_with_wrong_arguments(server: Server, code: Any, reason: Any) -> None:
    """A code or reason that the server would refuse raises, and the stream stays open."""
    async with connected(server) as socket, socket.stream("echo") as echo:
        with pytest.raises((MalformedFrame, TypeError)):
            await echo.close(code, reason)
        await echo.send("x")
        assert await echo.recv() == "x"


@pytest.mark.parametrize(("code", "reason"), [(999, ""), (1000, 124 * "x")])
async def test_close_the_socket_with_wrong_arguments(
    server: Server, code: int, reason: str
) -> None:
    """A code or reason that no socket can send raises as in websockets, and the socket goes on."""
    async with connected(server) as socket, socket.stream("echo") as echo:
        with pytest.raises(ProtocolError):
            await socket.close(code, reason)
        await echo.send("x")
        assert await echo.recv() == "x"


# Reconnection.


async def test_reconnection(server: Server) -> None:
    """`async for` connects again where the connection is lost."""
    connections = 0
    async with (
        asyncio.timeout(PATIENCE),
        aclosing(aiter(connect(server.url + "/", proxy=None))) as sockets,
    ):
        async for socket in sockets:
            connections += 1
            await is_alive(socket)
            if connections == 3:
                break
            socket.transport.abort()
    assert socket.state is State.CLOSED


async def test_refused_socket(server: Server) -> None:
    """A socket that is refused raises as websockets does."""
    with pytest.raises((InvalidStatus, OSError)):
        async with connected(server, "/nothing/"):
            pass


# Cancellation.


async def _conversation(socket: Connection) -> None:
    """Everything that can wait."""
    async with socket.stream("echo") as echo:
        await echo.send("x")
        await echo.recv()
        async with socket.stream("routes") as routes:
            await routes.request("double", 1)
        async with socket.stream("echo#2") as other:
            await asyncio.gather(other.send_json(1), other.recv())
    async with socket.stream("echo") as echo:
        await echo.close()


@types.coroutine
def _cancelled(waiting: Coroutine[Any, Any, None], steps: range) -> Iterator[Any]:
    """Run a coroutine; where it waits for the nth time, and n is in `steps`, it is cancelled."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    resume: Callable[[], Any] = functools.partial(waiting.send, None)
    for step in itertools.count():
        try:
            future = resume()
        except StopIteration:
            return
        if step in steps:
            loop.call_soon(task.cancel)
        try:
            value = yield future
        except BaseException as error:  # noqa: BLE001 - handed on
            resume = functools.partial(waiting.throw, error)
        else:
            resume = functools.partial(waiting.send, value)


@pytest.mark.parametrize("times", [1, 2])
async def test_cancellation_at_each_step(server: Server, times: int) -> None:
    """A task that is cancelled, once or again, wherever it is, leaves no stream open."""
    async with connected(server) as socket:
        for step in itertools.count():

            async def run(steps: range) -> None:
                await _cancelled(_conversation(socket), steps)

            task = asyncio.create_task(run(range(step, step + times)))
            await asyncio.wait([task])
            left = list(socket._streams.values())
            assert all(stream.state is State.CLOSING for stream in left)
            for stream in left:
                await stream._ended
            await is_alive(socket)
            if not task.cancelled():
                await task
                break
    assert step >= 10


async def test_cancelled_close_of_the_socket() -> None:
    """A socket whose close is cancelled is dropped, though the server does not answer."""
    deaf = asyncio.Event()

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await say(socket, "open", subprotocol=None)
        socket.transport.pause_reading()
        await deaf.wait()
        socket.transport.resume_reading()

    # Nothing of `websockets` itself drops it.
    async with scripted(script, close_timeout=None, ping_interval=None) as socket:
        await socket.stream("a")
        closing = asyncio.create_task(socket.close())
        await asyncio.sleep(0)
        closing.cancel()
        async with asyncio.timeout(PATIENCE / 2):
            with pytest.raises(asyncio.CancelledError):
                await closing
        assert socket.state is State.CLOSED
        deaf.set()


def test_end_of_the_event_loop(server: Server) -> None:
    """Where all tasks are cancelled at once, the client's own too, streams wait for nothing."""

    async def listen(is_open: asyncio.Event) -> None:
        async with connected(server, close_timeout=0.1) as socket, socket.stream("echo") as echo:
            is_open.set()
            await echo.recv()

    async def main() -> asyncio.Task[None]:
        is_open = asyncio.Event()
        listening = asyncio.create_task(listen(is_open))
        await is_open.wait()
        return listening

    assert asyncio.run(main()).cancelled()


# A random conversation.


async def _live(socket: Connection, name: str, chance: random.Random) -> None:
    """Open a stream, hear all or half of what it is sent, and leave, or be left."""
    query = chance.choice(["", "", "refuse"])
    sent = [chance.randrange(10**6) for _ in range(chance.randrange(30))]
    taken = chance.choice([len(sent), len(sent) // 2])
    with suppress(StreamRefused):
        async with socket.stream(name, query=query) as stream:
            assert query == ""
            for number in sent:
                await stream.send_json(number)
            assert [await stream.recv_json() for _ in range(taken)] == sent[:taken]
            if chance.random() < 0.3:
                await stream.send_json("close")
                assert [await stream.recv_json() for _ in sent[taken:]] == sent[taken:]
                with pytest.raises(StreamClosed, match="4100"):
                    await stream.recv()


async def _lives(socket: Connection, name: str, chance: random.Random) -> None:
    """Live some lives, of which chance cuts many short."""
    for _ in range(8):
        task = asyncio.create_task(_live(socket, name, chance))
        if chance.random() < 0.4:
            await asyncio.sleep(chance.random() * 0.01)
            task.cancel()
        await asyncio.wait([task])
        if not task.cancelled():
            await task


@pytest.mark.parametrize("seed", range(5))
async def test_random_conversation(server: Server, seed: int) -> None:
    """Whatever a client does, in the end it knows what the server has."""
    chance = random.Random(seed)
    names = [f"random#{number}" for number in range(6)]
    async with connected(server) as socket:
        await asyncio.gather(*(_lives(socket, name, chance) for name in names))
        for name in names[::2]:
            await socket.stream(name)
        for stream in list(socket._streams.values()):
            if stream.state is State.CLOSING:
                await stream._ended
        assert sorted(socket._streams) == names[::2]
        async with socket.stream("census") as census:
            assert await _census(census) == names[::2], server.log()
    async with connected(server) as socket, socket.stream("census") as census:
        # Another socket's streams end after it has closed.
        while await _census(census):
            continue


async def _census(census: Stream) -> Any:
    await census.send_json(None)
    return await census.recv_json()


# What real servers seldom do.


async def test_server_without_credit() -> None:
    """A server whose answer has no credit is sent as much as the transport takes."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, stream="a", event="open", credit=True)
        await say(socket, "open", subprotocol=None)
        for number in range(10):
            await expect(socket, stream="a", payload=number)
        await expect(socket, stream="a", event="close", code=1000)
        await say(socket, "credit", credit=1)
        await say(socket, "close", code=1000, reason="")

    async with scripted(script) as socket, socket.stream("a") as stream:
        for number in range(10):
            await stream.send_json(number)


async def test_credit() -> None:
    """A stream without credit holds its frames, in order, until there is more."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await say(socket, "open", subprotocol=None, credit=2)
        for number in range(2):
            await expect(socket, payload=number)
        await say(socket, "open", subprotocol=None, credit=50)  # nobody asked
        await socket.send('{"stream":"a","payload":"no more"}')
        await expect(socket, text="go on")  # from a stream that has credit
        await say(socket, "credit", credit=3)
        for number in range(2, 5):
            await expect(socket, payload=number)
        await say(socket, "close", code=4000, reason="")

    async with scripted(script) as socket, socket.stream("a") as stream:
        sending = [asyncio.create_task(stream.send_json(number)) for number in range(8)]
        assert await stream.recv_json() == "no more"
        assert [task.done() for task in sending] == 2 * [True] + 6 * [False]
        await socket.send('{"stream":"b","text":"go on"}')
        ended = await asyncio.gather(*sending, return_exceptions=True)
        assert ended[:5] == 5 * [None]
        assert [type(error) for error in ended[5:]] == 3 * [StreamClosed]


async def test_senders_end_when_the_stream_is_left() -> None:
    """Who waits for credit is told when another task leaves the stream."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await say(socket, "open", subprotocol=None, credit=0)
        await expect(socket, event="close", code=4000)
        await say(socket, "close", code=4000, reason="")

    async with scripted(script) as socket, socket.stream("a") as stream:
        sending = [asyncio.create_task(stream.send_json(number)) for number in range(3)]
        await asyncio.sleep(0)
        await stream.close(4000)
        ended = await asyncio.gather(*sending, return_exceptions=True)
        assert [type(error) for error in ended] == 3 * [StreamClosed]


@pytest.mark.parametrize("is_known", [True, False])
async def test_eager_stream_ends_as_it_is_opened(is_known: bool) -> None:
    """The end of an eager stream that crosses the `open` is not its answer."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, stream="b", event="open")
        if is_known:
            await socket.send('{"stream":"a","payload":"old"}')
        await socket.send('{"stream":"b","event":"open","subprotocol":null}')
        await expect(socket, stream="a", event="open")
        if not is_known:
            await socket.send('{"stream":"a","payload":"old"}')
        await say(socket, "close", code=1000, reason="")
        await say(socket, "open", subprotocol=None)
        await socket.send('{"stream":"a","payload":"new"}')
        await say(socket, "close", code=1000, reason="")
        await socket.wait_closed()

    async with scripted(script) as socket:
        await socket.stream("b")
        async with socket.stream("a") as stream:
            assert await rest(stream) == ["new"]


async def test_open_that_nobody_waits_for() -> None:
    """A stream that opens when nobody waits for it is left."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        # The end of a silent eager stream, of which nothing was known here.
        await say(socket, "close", code=1000, reason="")
        await say(socket, "open", subprotocol=None)
        await expect(socket, event="close", code=1000)
        await say(socket, "close", code=1000, reason="")
        await expect(socket, event="open")
        await say(socket, "open", subprotocol=None)
        await socket.wait_closed()

    async with scripted(script) as socket:
        with pytest.raises(StreamRefused):
            await socket.stream("a")
        stream = socket.stream("a")
        await stream
        assert stream.state is State.OPEN


async def test_errors_out_of_order() -> None:
    """A 409 says nothing of a life that begins; a 429 for an open is its answer."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await say(socket, "error", status=409, payload={"error": "of the life before"})
        await say(socket, "open", subprotocol=None)
        await expect(socket, event="close")
        await say(socket, "close", code=4000, reason="both at once")
        await say(socket, "error", status=409, payload={"error": "of the close"})
        await expect(socket, event="open")
        await say(socket, "error", status=409, payload={"error": "of the close"})
        await say(socket, "error", status=429, payload="too many")
        await socket.wait_closed()

    async with scripted(script) as socket:
        async with socket.stream("a") as stream:
            pass
        assert (stream.close_code, stream.close_reason) == (4000, "both at once")
        with pytest.raises(FrameRefused, match=r"with 429$"):
            await socket.stream("a")


async def test_refused_frame_and_requests() -> None:
    """A refused frame is told to the requests that wait, since it may be one of theirs."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await say(socket, "open", subprotocol=None)
        for _ in range(2):
            await expect(socket, stream="a")
        await say(socket, "error", status=400, payload={"error": "no"})
        await socket.wait_closed()

    async with scripted(script) as socket:
        stream = await socket.stream("a")
        with pytest.raises(TimeoutError):
            await stream.request("x", timeout=0)
        with pytest.raises(FrameRefused, match="400 no"):
            await stream.request("x")


@pytest.mark.parametrize("credit", [0, 9])
async def test_request_given_up(credit: int) -> None:
    """Nothing is kept of a request that was given up, sent or not."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await say(socket, "open", subprotocol=None, credit=credit)
        await socket.wait_closed()

    async with scripted(script) as socket:
        stream = await socket.stream("a")
        with pytest.raises(TimeoutError):
            await stream.request("x", timeout=0)
        asking = asyncio.create_task(stream.request("x"))
        await asyncio.sleep(0)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        with pytest.raises(TypeError):
            await stream.request("x", object())
        assert not stream._requests


async def test_late_answer() -> None:
    """The answer to a request that was given up is dropped; what only looks like one is not."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await say(socket, "open", subprotocol=None)
        uuid = json.loads(await socket.recv())["payload"]["uuid"]
        for known in [1], [uuid], "other", f"other {uuid}", uuid:
            answer = {"uuid": known, "status": 200}
            await socket.send(f'{{"stream":"a","payload":{json.dumps(answer)}}}')
        for other in {"uuid": uuid}, {"status": 1}:
            await socket.send(f'{{"stream":"a","payload":{json.dumps(other)}}}')
        await socket.wait_closed()

    async with scripted(script) as socket:
        stream = await socket.stream("a")
        with pytest.raises(TimeoutError):
            await stream.request("x", timeout=0)
        uuid = f"{stream._uuid}-0"
        for unknown in [1], [uuid], "other", f"other {uuid}":
            assert await stream.recv_json() == {"uuid": unknown, "status": 200}
        assert await stream.recv_json() == {"uuid": uuid}
        assert await stream.recv_json() == {"status": 1}


async def test_messages_that_are_no_frames(caplog: pytest.LogCaptureFixture) -> None:
    """What is no frame, or belongs to no stream, is ignored, with a warning where that helps."""

    async def script(socket: ServerConnection) -> None:
        for message in (
            b"",
            b"\xff",
            "{",
            "[]",
            '{"event":1}',
            '{"event":"pong"}',
            '{"event":"open"}',
            '{"stream":"b","event":"close","code":1000,"reason":""}',
            '{"stream":"b","event":"error","status":404,"payload":{"error":"no"}}',
            '{"stream":"b","event":"credit","credit":1}',
            '{"event":"error","status":413,"payload":{"error":"too large"}}',
        ):
            await socket.send(message)
        await expect(socket, event="open")
        await say(socket, "open", subprotocol=None)
        await socket.wait_closed()

    async with scripted(script) as socket:
        await socket.stream("a")
    assert [record.getMessage() for record in caplog.records if record.levelname == "WARNING"] == [
        *(
            f"ignored a message that is no frame: {message}"
            for message in ("b''", "b'\\xff'", "'{'", "'[]'", "'{\"event\":1}'")
        ),
        "a frame was refused with 413 too large",
    ]


async def test_failure_at_a_message(caplog: pytest.LogCaptureFixture) -> None:
    """A message that the client fails at ends the socket, and whoever waits is told."""
    left = asyncio.get_running_loop().create_future()

    async def script(socket: ServerConnection) -> None:
        await expect(socket, stream="a", event="open")
        await say(socket, "open", subprotocol=None, credit=0)
        await expect(socket, stream="b", event="open")
        await socket.send('{"stream":"b","event":"open","credit":-1}')
        for _ in range(100):  # more than waits to be taken
            await socket.send('{"stream":"a","payload":"too late"}')
        await socket.wait_closed()
        left.set_result(socket.close_code)

    async with scripted(script) as socket:
        stream = await socket.stream("a")
        waiting = [
            asyncio.create_task(waits)
            for waits in (stream.recv(), stream.send("1"), stream.request("x"))
        ]
        for _ in range(2):  # the second finds it closed
            with pytest.raises(ConnectionClosedError, match="1011"):
                await socket.stream("b")
        for task in waiting:
            with pytest.raises(ConnectionClosedError, match="1011"):
                await task
        assert (stream.state, stream.close_code) == (State.CLOSED, 1006)
        assert await left == 1011
    [record] = [record for record in caplog.records if record.levelname == "ERROR"]
    assert record.name == "channels_demultiplexer"
    assert record.getMessage() == "the client failed at a message of the server"
    assert record.exc_info is not None


async def test_close_in_time() -> None:
    """A server that does not acknowledge a close in time raises TimeoutError."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await say(socket, "open", subprotocol=None)
        await socket.wait_closed()

    async with scripted(script, close_timeout=0.01) as socket:
        stream = await socket.stream("a")
        with pytest.raises(TimeoutError, match=r"^timed out closing the stream 'a'$"):
            await stream.close()


async def test_open_in_time_while_closing() -> None:
    """A stream that is opened while its last life closes opens in time, or says that it doesn't."""
    over = asyncio.Event()

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await say(socket, "open")
        await expect(socket, event="close")
        await over.wait()
        await say(socket, "close")
        await expect(socket, event="open")
        await say(socket, "open")
        await expect(socket, event="close")
        await say(socket, "close")

    async with scripted(script) as socket:
        (await socket.stream("a"))._leave()
        with pytest.raises(TimeoutError, match="timed out opening the stream 'a'"):
            await asyncio.wait_for(socket.stream("a", open_timeout=0).__aenter__(), PATIENCE / 4)
        over.set()
        async with socket.stream("a") as again:
            assert again.state is State.OPEN


async def test_overflow_while_closing() -> None:
    """What overflows a stream that is being left is dropped, and who reads on is told so."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await say(socket, "open", subprotocol=None)
        await expect(socket, event="close", code=1000)
        await burst(socket)
        await say(socket, "close", code=1000, reason="")
        await socket.wait_closed()

    async with scripted(script) as socket:
        stream = await socket.stream("a", max_queue=2)
        await stream.close(1000)
        assert [await stream.recv_json() for _ in range(2)] == [0, 1]
        with pytest.raises(StreamClosed, match="1013 2 messages wait unread"):
            await rest(stream)
        assert stream.close_code == 1000


async def test_overflow_and_the_end_of_the_socket() -> None:
    """Where the socket closes in peace before a full mailbox's stream has, the gap is told."""

    async def script(socket: ServerConnection) -> None:
        await expect(socket, event="open")
        await say(socket, "open", subprotocol=None)
        await burst(socket)
        await expect(socket, event="close", code=1013)

    async with scripted(script) as socket:
        stream = await socket.stream("a", max_queue=2)
        await stream._ended
        assert [await stream.recv_json() for _ in range(2)] == [0, 1]
        with pytest.raises(StreamClosed, match="1013 2 messages wait unread"):
            await rest(stream)


# The example of the documentation.


async def test_example_talks(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    """The script gets its answers."""
    await python_client.talk(server.url + "/", "http://localhost")
    assert capsys.readouterr().out == "{'message': 'hi'}\n200 {'title': 'Article 1'}\n"


async def test_example_reconnects(capsys: pytest.CaptureFixture[str]) -> None:
    """The script comes back where the connection breaks, and goes when the stream has ended."""
    visits = 0

    async def script(socket: ServerConnection) -> None:
        nonlocal visits
        visits += 1
        await expect(socket, stream="room/5/", event="open")
        if visits < 3:
            await socket.send('{"stream":"room/5/","event":"open","subprotocol":null}')
            await socket.send(f'{{"stream":"room/5/","payload":{visits}}}')
        if visits == 1:
            socket.transport.abort()
        code, reason = (4001, "full") if visits == 3 else (1000, "")
        await socket.send(
            f'{{"stream":"room/5/","event":"close","code":{code},"reason":"{reason}"}}'
        )
        await socket.wait_closed()

    async with asyncio.timeout(PATIENCE), serving(script) as url:
        await python_client.listen(url, "http://localhost")
        assert capsys.readouterr().out == "1\n2\nthe room has closed\n"
        await python_client.listen(url, "http://localhost")
        assert capsys.readouterr().out == "the stream 'room/5/' was refused with 4001 full\n"
        gc.collect()  # the generators of websockets, which close the sockets


# The environment.


def test_needs_no_django(server: Server) -> None:
    """The client works where neither Django nor Channels is installed."""
    code = (
        "import asyncio, sys\n"
        "for name in 'django', 'channels', 'asgiref': sys.modules[name] = None\n"
        "from docs.examples.python_client import talk\n"
        f"asyncio.run(talk({server.url + '/'!r}, 'http://localhost'))"
    )
    root = Path(__file__).parent.parent
    subprocess.run([sys.executable, "-c", code], cwd=root, check=True, timeout=PATIENCE)
