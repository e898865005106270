"""The library on real servers, over real WebSockets. What a server does its own way: TRAITS."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from channels_demultiplexer.client import (
    Connection,
    Stream,
    StreamClosed,
    StreamRefused,
    connect,
)
from channels_demultiplexer.frames import SUBPROTOCOL

from .servers import PATIENCE, SERVERS, Server, serve

APPLICATION = "tests.asgi_app:application"


class Traits(NamedTuple):
    """What servers do differently. The defaults are what the ASGI specification asks for."""

    #: Whether the client gets the reason with which the application closes the socket.
    close_reason: bool = True
    #: Whether the application can close the socket while its `receive` waits.
    closes_while_receiving: bool = True
    #: The code in `websocket.disconnect` for a client that has closed with 4321.
    client_code: int = 4321
    #: The same for a client that vanishes.
    abnormal: int = 1006
    #: What a message that the server itself finds too long closes the socket with.
    too_big: int = 1009
    #: The code in `websocket.disconnect` when the server is told to stop, None where applications
    #: hear of it by chance at best.
    shutdown: int | None = 1006
    #: Whether the server, told to stop, waits for clients to leave, for as long as it takes.
    waits_for_clients: bool = False
    #: Whether a SIGTERM goes unnoticed by the applications where it comes soon after a handshake.
    settles: bool = False
    #: Arguments that shorten its own wait for connections to end by themselves.
    args: tuple[str, ...] = ()


TRAITS = {
    "daphne": Traits(close_reason=False, too_big=1006, settles=True),
    "uvicorn": Traits(abnormal=1005, shutdown=1012),
    "uvicorn-wsproto": Traits(abnormal=1005, shutdown=1012),
    "hypercorn": Traits(
        client_code=1006,
        waits_for_clients=sys.version_info >= (3, 12),
        args=("--graceful-timeout", "1"),
    ),
    "granian": Traits(closes_while_receiving=False, abnormal=1005, too_big=1005, shutdown=None),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server for all tests of this module."""
    with serve(request.param, APPLICATION) as server:
        yield server


@pytest.fixture
def traits(server: Server) -> Traits:
    """What the server does its own way."""
    return TRAITS[server.name]


@asynccontextmanager
async def connected(server: Server, path: str, **options: Any) -> AsyncIterator[Connection]:
    """Connect to a path of the server."""
    async with (
        asyncio.timeout(3 * PATIENCE),
        connect(
            server.url + path, proxy=None, max_size=None, open_timeout=PATIENCE, **options
        ) as socket,
    ):
        yield socket


async def opened(socket: Connection, *names: str) -> list[Stream]:
    """Open streams, which end with the socket."""
    return [await socket.stream(name) for name in names]


async def closed(socket: ClientConnection) -> tuple[int | None, str | None]:
    """Wait until the socket has closed, and return the code and the reason."""
    async with asyncio.timeout(PATIENCE):
        await socket.wait_closed()
    return socket.close_code, socket.close_reason


async def logged(server: Server, text: str) -> None:
    """Wait until the server's log has a text."""
    await asyncio.to_thread(server.wait_for_log, text)


async def settled(server: Server) -> None:
    """
    Wait until Daphne has swept away what is left of handshakes, on which its shutdown stumbles.

    It does so once a second, for all that have ended, and then logs how their applications have.
    """
    async with connected(server, "/failing/"):
        pass
    await logged(server, "Exception inside application: fails when its client has gone")


# The socket.


async def test_socket_refused(server: Server) -> None:
    """A socket that the demultiplexer does not accept is answered with 403."""
    with pytest.raises(InvalidStatus) as caught:
        async with connected(server, "/refusing/"):
            pass
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize(
    ("offered", "selected"),
    [(None, None), (["other"], None), (["other", SUBPROTOCOL], SUBPROTOCOL)],
)
async def test_socket_subprotocol(
    server: Server, offered: list[str] | None, selected: str | None
) -> None:
    """A client that offers the demultiplexer's subprotocol gets it."""
    async with connected(server, "/main/", subprotocols=offered) as socket:
        assert socket.subprotocol == selected


async def test_socket_closes_with_last_stream(server: Server, traits: Traits) -> None:
    """When the last stream has been closed, the socket closes with its code and reason."""
    async with connected(server, "/last/") as socket:
        closer = await socket.stream("closer")
        await closer.send_json({"code": 4003, "reason": "énough"})
        with pytest.raises((StreamClosed, ConnectionClosed)):
            await closer.recv()
        assert (closer.close_code, closer.close_reason) == (4003, "énough")
        if not traits.closes_while_receiving:
            with suppress(ConnectionClosed):
                while True:
                    await socket.send('{"event":"ping"}')
                    await asyncio.sleep(0.1)
        assert await closed(socket) == (4003, "énough" if traits.close_reason else "")


# Streams.


async def test_streams_of_each_kind(server: Server) -> None:
    """Consumers of each kind answer on one socket, each in its order."""
    async with connected(server, "/main/") as socket:
        streams = await opened(socket, "echo", "json", "sync")
        sent = [[number, "ünïcode"] for number in range(20)]
        for value in sent:
            for stream in streams:
                await stream.send_json(value)
        echo, json, sync = [[await stream.recv_json() for _ in sent] for stream in streams]
    assert echo == sent
    assert json == [{"async": value} for value in sent]
    assert sync == [{"sync": value} for value in sent]


@pytest.mark.parametrize("message", [b"", b"\x00\xff" * 500, "", "<b>\u2028", '{"a":  "é"}'])
async def test_messages(server: Server, message: str | bytes) -> None:
    """Bytes, JSON, and text that is none go both ways as they are, empty ones too."""
    async with connected(server, "/main/") as socket, socket.stream("echo") as echo:
        await echo.send(message)
        assert await echo.recv() == message


async def test_lazy_stream(server: Server) -> None:
    """A lazy stream opens at its first frame, without being asked to."""
    async with connected(server, "/main/") as socket:
        for text in '{"stream":"echo","payload":1}', '{"stream":"echo","text":"<b>"}':
            await socket.send(text)
            assert await socket.recv() == text
        await socket.send(b"\x04echo\x00")
        assert await socket.recv() == b"\x04echo\x00"


async def test_stream_subprotocol(server: Server) -> None:
    """A child selects a subprotocol of its stream."""
    async with (
        connected(server, "/main/") as socket,
        socket.stream("chooser", subprotocols=["v1", "v2"]) as chooser,
    ):
        assert chooser.subprotocol == "v2"


@pytest.mark.parametrize(
    ("name", "code", "reason"),
    [("closer", 4100, "done"), ("refuser", 4001, "not today"), ("crasher", 1011, "")],
)
async def test_stream_closes(server: Server, name: str, code: int, reason: str) -> None:
    """A child that closes, refuses or crashes ends its own stream, with code and reason."""
    async with connected(server, "/main/") as socket, socket.stream("echo") as echo:
        with pytest.raises((StreamRefused, StreamClosed)) as caught:
            await _end(socket, name)
        assert (caught.value.code, caught.value.reason) == (code, reason)
        await echo.send_json(1)
        assert await echo.recv_json() == 1


async def _end(socket: Connection, name: str) -> None:
    stream = await socket.stream(name)
    await stream.send_json({"code": 4100, "reason": "done"})
    await stream.recv()


async def test_groups(server: Server) -> None:
    """Messages cross between direct sockets, parametrised streams and mounted URLs."""
    async with (
        connected(server, "/room/a/", subprotocols=None) as direct,
        connected(server, "/main/") as declared,
        connected(server, "/mounted/") as mounted,
    ):
        here, _ = await opened(declared, "room/a/", "room/b/")
        _, there = await opened(mounted, "room/b/", "room/a/")
        # The direct socket's group is joined before its handshake is answered.
        await there.send_json("hi")
        assert await direct.recv() == '"hi"'
        assert await here.recv_json() == "hi"
        assert await there.recv_json() == "hi"
        await direct.send('"there"')
        assert await here.recv_json() == "there"


# Sizes.


async def test_big_message(server: Server) -> None:
    """A message of almost a mebibyte, which every server takes, goes both ways."""
    text = "x" * (1024 * 1024 - 100)
    async with connected(server, "/main/") as socket, socket.stream("echo") as echo:
        await echo.send(text)
        assert await echo.recv() == text


async def test_message_over_own_limit(server: Server) -> None:
    """A message over MAX_FRAME_SIZE is refused with 413, and the socket goes on."""
    async with connected(server, "/small/") as socket:
        await socket.send(json.dumps({"stream": "echo", "text": "x" * 1000}))
        frame = json.loads(await socket.recv())
        assert (frame["event"], frame["status"]) == ("error", 413)
        async with socket.stream("echo") as echo:
            await echo.send("x")
            assert await echo.recv() == "x"


async def test_message_over_limit_of_server(server: Server, traits: Traits) -> None:
    """A message that the server itself finds too long closes the socket."""
    async with connected(server, "/main/", compression=None) as socket:
        with suppress(ConnectionClosed):
            await socket.send(json.dumps({"stream": "echo", "text": "x" * (16 * 1024 * 1024)}))
        assert (await closed(socket))[0] == traits.too_big


# Ends.


async def test_client_floods_a_stalled_stream(server: Server) -> None:
    """A flooded stream that takes nothing ends; the socket and its other stream go on."""
    async with connected(server, "/flooded/") as socket:
        # A child that is still on its way to its first message would take none while it stalls.
        await socket.send('{"stream":"stuck","event":"open"}')
        assert json.loads(await socket.recv())["event"] == "open"

        async def tell(**frame: Any) -> None:
            await socket.send(json.dumps(frame))

        async def heard() -> Any:
            return json.loads(await socket.recv())

        async def flood() -> None:
            for number in range(500):
                await tell(stream="stuck", payload=[number, "x" * 10_000])
            await tell(stream="echo", payload="after")

        sending = asyncio.create_task(flood())
        try:
            ended = {"stream": "stuck", "event": "close", "code": 1013, "reason": ""}
            assert await heard() == ended
            refused = 0
            while (frame := await heard()).get("status") == 409:
                refused += 1
            assert frame == {"stream": "echo", "payload": "after"}
            # What was in the inbox, in the child's hands, and held up before it.
            assert refused == 500 - 10 - 1 - 1
        finally:
            await sending


async def test_client_closes(server: Server, traits: Traits) -> None:
    """Every child gets the code of a client that closes the socket, and its time."""
    async with connected(server, "/ending/") as socket:
        await opened(socket, "tidy/1/", "sync/1/")
        await socket.close(4321, "bye")
    await logged(server, f"@ tidy/1/ told {traits.client_code}")
    await logged(server, f"@ sync/1/ told {traits.client_code}")
    await logged(server, "@ tidy/1/ done")
    await logged(server, "@ sync/1/ done")


async def test_client_vanishes(server: Server, traits: Traits) -> None:
    """Every child is told when a client vanishes without a word."""
    async with connected(server, "/ending/") as socket:
        await opened(socket, "tidy/2/", "sync/2/")
        socket.transport.abort()
    await logged(server, f"@ tidy/2/ told {traits.abnormal}")
    await logged(server, f"@ sync/2/ told {traits.abnormal}")
    await logged(server, "@ tidy/2/ done")
    await logged(server, "@ sync/2/ done")


@pytest.mark.parametrize("name", SERVERS)
async def test_shutdown(name: str) -> None:
    """When the server stops, children are told and have their time, and none holds it up."""
    traits = TRAITS[name]
    with serve(name, APPLICATION, args=traits.args) as server:
        async with connected(server, "/ending/") as socket:
            await opened(socket, "tidy/3/", "sync/3/", "deaf/3/")
            if traits.settles:
                await settled(server)
            server.terminate()
            if traits.waits_for_clients:
                await socket.close()
            # In a thread, for the client to answer a close.
            await asyncio.to_thread(server.wait)
            await closed(socket)
        log = server.log()
    told = [
        f"@ {kind}/3/ {what}"
        for kind, end in (("tidy", "done"), ("sync", "done"), ("deaf", "cancelled"))
        for what in (f"told {traits.shutdown}", end)
    ]
    if traits.shutdown is not None:
        assert [line for line in told if line not in log] == []
    assert "crashed" not in log
