"""Streams across processes, over a real Redis, with both of its channel layers."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, NamedTuple

import pytest
import pytest_asyncio
from redis.asyncio import Redis
from websockets.asyncio.client import ClientConnection, connect

from .redis_server import RedisServer, redis_server
from .servers import Server, serve

#: Seconds that anything may take on a busy machine.
PATIENCE = 20
QUEUES = "channels_redis.core.RedisChannelLayer"
PUBSUB = "channels_redis.pubsub.RedisPubSubChannelLayer"
CRASHED = {"event": "close", "code": 1011, "reason": ""}
OPENED = {"event": "open", "subprotocol": None}

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
    """A client of one socket, that sorts what it hears by streams."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self._heard: defaultdict[str | None, asyncio.Queue[dict[str, Any]]]
        self._heard = defaultdict(asyncio.Queue)

    async def listen(self) -> None:
        """Sort what comes until the socket closes."""
        async for message in self.socket:
            frame = json.loads(message)
            self._heard[frame.pop("stream", None)].put_nowait(frame)

    async def tell(self, stream: str | None = None, **fields: Any) -> None:
        """Send a frame."""
        await self.socket.send(json.dumps({"stream": stream, **fields} if stream else fields))

    async def heard(self, stream: str | None = None) -> dict[str, Any]:
        """Return the next frame of a stream, or what belongs to none, without its `stream`."""
        async with asyncio.timeout(PATIENCE):
            return await self._heard[stream].get()

    def nothing_heard(self, *streams: str | None) -> bool:
        """Whether nothing of these streams waits to be taken."""
        return all(self._heard[stream].empty() for stream in streams)

    async def open(self, *streams: str) -> None:
        """Open streams."""
        for stream in streams:
            await self.tell(stream, event="open")
        for stream in streams:
            assert await self.heard(stream) == OPENED

    async def reopen(self, stream: str) -> None:
        """Open a stream; again where its child crashes on a connection to the old Redis."""
        await self.tell(stream, event="open")
        async with asyncio.timeout(PATIENCE):
            while (frame := await self.heard(stream)) != OPENED:
                if frame == CRASHED:
                    await self.tell(stream, event="open")
                else:
                    assert frame["status"] == 409  # what was sent before the crash was known

    async def is_alive(self) -> bool:
        """Whether the socket, and a stream that has no channel layer, answer."""
        await self.tell(event="ping", payload=1)
        await self.tell("plain", payload=2)
        pong = await self.heard()
        return pong == {"event": "pong", "payload": 1} and await self.heard("plain") == {
            "payload": 2
        }


Clients = tuple[Client, Client]


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Client]:
    """Connect to a server."""
    async with connect(f"{server.url}/", proxy=None, open_timeout=PATIENCE) as socket:
        client = Client(socket)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            listening.cancel()
            await asyncio.gather(listening, return_exceptions=True)


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
    for room in "a", "b", "sync":
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
    await here.tell("room/a/", payload="to a")
    await there.tell("room/b/", payload="to b")
    for client in here, there:
        # That nothing else comes is seen in what comes next.
        assert await client.heard("room/a/") == {"payload": "to a"}
        assert await client.heard("room/a/#2") == {"payload": "to a"}
        assert await client.heard("room/b/") == {"payload": "to b"}
    await there.tell("room/a/#2", payload="again")
    for client in here, there:
        assert await client.heard("room/a/") == {"payload": "again"}
        assert await client.heard("room/a/#2") == {"payload": "again"}


@both_layers
async def test_group_messages_keep_their_order(cluster: Cluster, clients: Clients) -> None:
    """What one stream sends to a group reaches the streams of another process in order."""
    here, there = clients
    await here.open("room/a/")
    await there.open("room/a/", "room/a/#2")
    await cluster.wait_for_members("a", channels=3, processes=2)
    for number in range(50):
        await here.tell("room/a/", payload=number)
    for stream in "room/a/", "room/a/#2":
        heard = [(await there.heard(stream))["payload"] for _ in range(50)]
        assert heard == list(range(50))


@both_layers
async def test_sync_consumer_in_group(cluster: Cluster, clients: Clients) -> None:
    """A synchronous consumer hears its group, and leaves it when its stream closes."""
    here, there = clients
    await here.open("sync")
    await there.open("room/sync/")
    await cluster.wait_for_members("sync", channels=2, processes=2)
    await there.tell("room/sync/", payload="hi")
    assert await here.heard("sync") == {"payload": "hi"}
    await here.tell("sync", event="close")
    assert await here.heard("sync") == {"event": "close", "code": 1000, "reason": ""}
    await cluster.wait_for_members("sync", channels=1, processes=1)


@both_layers
async def test_group_left_when_stream_closes(cluster: Cluster, clients: Clients) -> None:
    """A stream that closes leaves its group; another of the same socket stays."""
    here, there = clients
    await here.open("room/a/", "room/a/#2")
    await there.open("room/a/")
    await cluster.wait_for_members("a", channels=3, processes=2)
    await here.tell("room/a/", event="close", code=4321)
    assert (await here.heard("room/a/"))["code"] == 4321
    await cluster.wait_for_members("a", channels=2, processes=2)
    await there.tell("room/a/", payload="hi")
    assert await here.heard("room/a/#2") == {"payload": "hi"}
    await here.tell("room/a/#2", event="close")
    assert (await here.heard("room/a/#2"))["code"] == 1000
    await cluster.wait_for_members("a", channels=1, processes=1)
    assert here.nothing_heard("room/a/")


@both_layers
async def test_group_left_when_client_vanishes(cluster: Cluster, clients: Clients) -> None:
    """All streams of a socket that vanishes leave their groups; those of others stay."""
    here, there = clients
    for client in here, there:
        await client.open("room/a/", "room/a/#2", "room/b/", "sync")
    await cluster.wait_for_members("a", channels=4, processes=2)
    here.socket.transport.abort()
    await cluster.wait_for_members("a", channels=2, processes=1)
    await cluster.wait_for_members("b", channels=1, processes=1)
    await cluster.wait_for_members("sync", channels=1, processes=1)
    await there.tell("room/a/", payload="still here")
    assert await there.heard("room/a/#2") == {"payload": "still here"}


@both_layers
async def test_idle_stream_goes_on(cluster: Cluster, clients: Clients) -> None:
    """With `socket_timeout` None, streams hear their group after more than 5 idle seconds."""
    here, there = clients
    await here.open("room/a/")
    await there.open("room/a/")
    # redis-py 8's timeout by default, and as long as channels_redis itself waits at a time.
    await asyncio.sleep(6)
    await here.tell("room/a/", payload="awake")
    assert await here.heard("room/a/") == {"payload": "awake"}
    assert await there.heard("room/a/") == {"payload": "awake"}


# Redis goes, and comes back.


async def heard_by_all(speaker: Client, *clients: Client) -> None:
    """
    Speak in a room until all hear it, reopening a stream that has crashed.

    A connection that redis-py keeps from before the restart raises when it is used next, so that
    a stream may crash once more after it.
    """
    async with asyncio.timeout(PATIENCE):
        for number in itertools.count():
            await speaker.tell("room/a/", payload=number)
            if all([await _hears(client, number) for client in clients]):
                return


async def _hears(client: Client, number: int) -> bool:
    try:
        async with asyncio.timeout(0.5):
            while "payload" in (frame := await client.heard("room/a/")):
                if frame["payload"] == number:
                    return True
    except TimeoutError:
        return False
    assert frame == CRASHED
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
                assert [await client.heard(stream) for stream in streams] == [CRASHED] * 4
                # Without Redis a stream cannot open.
                await client.tell("room/a/", event="open")
                assert await client.heard("room/a/") == CRASHED
                assert await client.is_alive()
                assert client.nothing_heard(*streams)
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
            await here.tell("room/a/", payload="lost")
            assert await here.heard("room/a/") == CRASHED
            for client in here, there:
                assert await client.is_alive()
            cluster.redis.start()
            await here.reopen("room/a/")
            # The layer joins its groups again by itself, in each process.
            await cluster.wait_for_members("a", channels=4, processes=2)
            await heard_by_all(here, here, there)
            for client in here, there:
                assert "payload" in await client.heard("room/a/#2")
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
            await leaving.tell("room/a/", event="close", code=4321)
            # With queues the stream may have crashed before.
            assert (await leaving.heard("room/a/"))["code"] in {1011, 4321}
            leaving.socket.transport.abort()
            assert await staying.is_alive()
            cluster.redis.start()
            await staying.reopen("room/a/")
            await heard_by_all(staying, staying)
        assert "is cancelled" not in server.log()
