"""Streams across processes, over a real Redis, with both of its channel layers."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from redis.asyncio import Redis

from channels_demultiplexer.client import (
    Connection,
    Stream,
    StreamClosed,
    StreamRefused,
    connect,
)

from .redis_server import RedisServer, redis_server
from .servers import PATIENCE, Server, serve

QUEUES = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
CRASHED = 1011
#: Each test has some of its own: with pub/sub, what was said in an earlier test is heard by whoever
#: joins the room before it has come.
ROOMS = "abcdefg"

both_layers = pytest.mark.parametrize(
    "cluster", [QUEUES, PUBSUB], indirect=True, ids=["queues", "pubsub"]
)


class Cluster(NamedTuple):
    """Two server processes and their Redis."""

    layer: str
    redis: RedisServer
    servers: tuple[Server, Server]

    async def members(self, room: str) -> int:
        """
        Return how many are in the room's group, as Redis itself says.

        These are channels, or with pub/sub processes: each subscribes once for all its channels.
        """
        async with Redis.from_url(self.redis.url) as redis:
            if self.layer == QUEUES:
                return int(await redis.zcard(f"asgi:group:room.{room}"))
            [[_, count]] = await redis.pubsub_numsub(f"asgi__group__room.{room}")
            return int(count)

    async def wait_for_members(self, room: str, *, channels: int, processes: int) -> None:
        """Wait until a room's group has so many channels, in so many processes."""
        expected = channels if self.layer == QUEUES else processes
        deadline = time.monotonic() + PATIENCE
        while (count := await self.members(room)) != expected:
            assert time.monotonic() < deadline, f"{count} in {room!r}, not {expected}"
            await asyncio.sleep(0.02)


@contextmanager
def clustered(layer: str) -> Iterator[Cluster]:
    """Start a Redis, and two servers with it."""
    with redis_server() as redis:
        env = {"REDIS_LAYER": layer, "REDIS_URL": redis.url}
        application = "tests.redis_app:application"
        with (
            serve("uvicorn", application, env=env) as one,
            serve("uvicorn", application, env=env) as other,
        ):
            yield Cluster(layer, redis, (one, other))


@pytest.fixture(scope="module")
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """A cluster with the layer that the test names, shared by all tests that name it."""
    with clustered(request.param) as cluster:
        yield cluster


class Client:
    """A client of one process, and the streams that it has opened."""

    def __init__(self, socket: Connection) -> None:
        self.socket = socket
        self._streams: dict[str, Stream] = {}

    async def open(self, *names: str) -> None:
        """Open streams."""
        for name in names:
            self._streams[name] = await self.socket.stream(name, open_timeout=PATIENCE)

    async def reopen(self, name: str) -> None:
        """Open a stream; again where its child crashes on a connection to the old Redis."""
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    return await self.open(name)
                except StreamRefused as refused:
                    assert refused.code == CRASHED  # noqa: PT017 - else it is tried again

    async def say(self, name: str, value: Any) -> None:
        """Send a value to a stream."""
        await self._streams[name].send_json(value)

    async def heard(self, name: str) -> Any:
        """Return the next value of a stream."""
        async with asyncio.timeout(PATIENCE):
            return await self._streams[name].recv_json()

    async def ended(self, *names: str) -> list[int]:
        """Return the codes with which streams end, of which nothing is heard before."""
        for name in names:
            with pytest.raises(StreamClosed):
                await self.heard(name)
        return [self._streams[name].close_code or 0 for name in names]

    async def leave(self, name: str, code: int = 1000) -> int:
        """Close a stream, and return the code that this is acknowledged with."""
        await self._streams[name].close(code)
        return self._streams[name].close_code or 0

    async def is_alive(self) -> bool:
        """Whether a stream that has no channel layer answers."""
        await self.say("plain", 2)
        return bool(await self.heard("plain") == 2)


Clients = tuple[Client, Client]


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    """Connect to a server."""
    async with connect(f"{server.url}/", proxy=None, open_timeout=PATIENCE) as socket:
        yield Client(socket)


@asynccontextmanager
async def pair(cluster: Cluster) -> AsyncIterator[Clients]:
    """Connect to each process."""
    one, other = cluster.servers
    async with connected(one) as here, connected(other) as there:
        yield here, there


@pytest_asyncio.fixture
async def clients(cluster: Cluster) -> AsyncIterator[Clients]:
    """A client of each process. When they have gone, nobody is in the rooms of the tests."""
    async with pair(cluster) as clients:
        yield clients
    for room in *ROOMS, "sync":
        await cluster.wait_for_members(room, channels=0, processes=0)


# Groups.


@both_layers
async def test_group_reaches_streams_of_all_processes(cluster: Cluster, clients: Clients) -> None:
    """A message to a group reaches each of its streams once, in every process, and no other."""
    here, there = clients
    for client in here, there:
        await client.open("room/a/", "room/a/#2", "room/b/")
    await cluster.wait_for_members("a", channels=4, processes=2)
    await cluster.wait_for_members("b", channels=2, processes=2)
    await here.say("room/a/", "to a")
    await there.say("room/b/", "to b")
    for client in here, there:
        # That nothing else comes is seen in what comes next.
        assert await client.heard("room/a/") == "to a"
        assert await client.heard("room/a/#2") == "to a"
        assert await client.heard("room/b/") == "to b"
    await there.say("room/a/#2", "again")
    for client in here, there:
        assert await client.heard("room/a/") == "again"
        assert await client.heard("room/a/#2") == "again"


@both_layers
async def test_group_messages_keep_their_order(cluster: Cluster, clients: Clients) -> None:
    """What one stream sends to a group reaches the streams of another process in order."""
    here, there = clients
    await here.open("room/c/")
    await there.open("room/c/", "room/c/#2")
    await cluster.wait_for_members("c", channels=3, processes=2)
    for number in range(50):
        await here.say("room/c/", number)
    for stream in "room/c/", "room/c/#2":
        heard = [await there.heard(stream) for _ in range(50)]
        assert heard == list(range(50))


@both_layers
async def test_sync_consumer_in_group(cluster: Cluster, clients: Clients) -> None:
    """A synchronous consumer hears its group, and leaves it when its stream closes."""
    here, there = clients
    await here.open("sync")
    await there.open("room/sync/")
    await cluster.wait_for_members("sync", channels=2, processes=2)
    await there.say("room/sync/", "hi")
    assert await here.heard("sync") == "hi"
    assert await here.leave("sync") == 1000
    await cluster.wait_for_members("sync", channels=1, processes=1)


@both_layers
async def test_group_left_when_stream_closes(cluster: Cluster, clients: Clients) -> None:
    """A stream that closes leaves its group; another of the same socket stays."""
    here, there = clients
    await here.open("room/d/", "room/d/#2")
    await there.open("room/d/")
    await cluster.wait_for_members("d", channels=3, processes=2)
    assert await here.leave("room/d/", 4321) == 4321
    await cluster.wait_for_members("d", channels=2, processes=2)
    await there.say("room/d/", "hi")
    assert await here.heard("room/d/#2") == "hi"
    assert await here.leave("room/d/#2") == 1000
    await cluster.wait_for_members("d", channels=1, processes=1)
    assert await here.ended("room/d/") == [4321]  # and nothing was heard since


@both_layers
async def test_group_left_when_client_vanishes(cluster: Cluster, clients: Clients) -> None:
    """All streams of a socket that vanishes leave their groups; those of others stay."""
    here, there = clients
    for client in here, there:
        await client.open("room/e/", "room/e/#2", "room/f/", "sync")
    await cluster.wait_for_members("e", channels=4, processes=2)
    here.socket.transport.abort()
    await cluster.wait_for_members("e", channels=2, processes=1)
    await cluster.wait_for_members("f", channels=1, processes=1)
    await cluster.wait_for_members("sync", channels=1, processes=1)
    await there.say("room/e/", "still here")
    assert await there.heard("room/e/#2") == "still here"


@both_layers
async def test_idle_stream_goes_on(cluster: Cluster, clients: Clients) -> None:
    """With `socket_timeout` None, streams hear their group after more than 5 idle seconds."""
    here, there = clients
    await here.open("room/g/")
    await there.open("room/g/")
    # redis-py 8's timeout by default, and as long as channels_redis itself waits at a time.
    await asyncio.sleep(6)
    await here.say("room/g/", "awake")
    assert await here.heard("room/g/") == "awake"
    assert await there.heard("room/g/") == "awake"


# Redis goes, and comes back.


async def heard_by_all(speaker: Client, *clients: Client) -> None:
    """
    Speak in a room until all hear it, reopening a stream that has crashed.

    A connection that redis-py keeps from before the restart raises when it is used next, so that
    a stream may crash once more after it.
    """
    async with asyncio.timeout(PATIENCE):
        for number in itertools.count():
            with suppress(StreamClosed):  # of which hearing tells
                await speaker.say("room/a/", number)
            if all([await _hears(client, number) for client in clients]):
                return


async def _hears(client: Client, number: int) -> bool:
    try:
        async with asyncio.timeout(0.5):
            while await client.heard("room/a/") != number:
                continue
            return True
    except TimeoutError:
        return False
    except StreamClosed as closed:
        assert closed.code == CRASHED  # noqa: PT017 - else it is heard again
        await client.reopen("room/a/")
        return False


@pytest.fixture(params=[signal.SIGTERM, signal.SIGKILL], ids=["SIGTERM", "SIGKILL"])
def end_of_redis(request: pytest.FixtureRequest) -> signal.Signals:
    """The signal that stops Redis."""
    return request.param


async def test_streams_end_with_redis(end_of_redis: signal.Signals) -> None:
    """With queues, every stream that has the layer ends with 1011, and no other; and reopens."""
    streams = "room/a/", "room/a/#2", "room/b/", "sync"
    with clustered(QUEUES) as cluster:
        async with pair(cluster) as (here, there):
            for client in here, there:
                await client.open("plain", *streams)
            cluster.redis.stop(end_of_redis)
            for client in here, there:
                assert await client.ended(*streams) == [CRASHED] * 4
                # Without Redis a stream cannot open.
                with pytest.raises(StreamRefused) as caught:
                    await client.open("room/a/")
                assert caught.value.code == CRASHED
                assert await client.is_alive()
            cluster.redis.start()
            for client in here, there:
                for stream in streams:
                    await client.reopen(stream)
            await heard_by_all(here, here, there)
            await heard_by_all(there, here, there)
            assert await here.is_alive()
            assert await there.is_alive()


async def test_streams_outlive_redis(end_of_redis: signal.Signals) -> None:
    """With pub/sub, streams that only listen go on after a restart, and one that sends crashes."""
    with clustered(PUBSUB) as cluster:
        async with pair(cluster) as (here, there):
            for client in here, there:
                await client.open("plain", "room/a/", "room/a/#2")
            cluster.redis.stop(end_of_redis)
            await here.say("room/a/", "lost")
            assert await here.ended("room/a/") == [CRASHED]
            for client in here, there:
                assert await client.is_alive()
            cluster.redis.start()
            await here.reopen("room/a/")
            # The layer joins its groups again by itself, in each process.
            await cluster.wait_for_members("a", channels=4, processes=2)
            await heard_by_all(here, here, there)
            for client in here, there:
                assert isinstance(await client.heard("room/a/#2"), int)
                assert await client.is_alive()


@pytest.mark.parametrize("layer", [QUEUES, PUBSUB], ids=["queues", "pubsub"])
async def test_ends_without_redis(layer: str) -> None:
    """While Redis is away a client's close is answered, sockets end, and others can come."""
    with clustered(layer) as cluster:
        server = cluster.servers[0]
        async with connected(server) as leaving, connected(server) as staying:
            await leaving.open("room/a/", "room/b/", "sync")
            await staying.open("plain")
            cluster.redis.stop()
            # With queues the stream may have crashed before.
            assert await leaving.leave("room/a/", 4321) in {CRASHED, 4321}
            leaving.socket.transport.abort()
            assert await staying.is_alive()
            cluster.redis.start()
            await staying.reopen("room/a/")
            await heard_by_all(staying, staying)
        assert "is cancelled" not in server.log()
