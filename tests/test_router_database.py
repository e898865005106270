"""The ORM in handlers: real serializers, and real connections that grow stale or break."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.contrib.auth.models import User
from django.db import connection, connections
from django.db.backends.sqlite3.base import DatabaseWrapper
from django.shortcuts import get_object_or_404
from django.utils.timezone import localtime
from rest_framework import serializers

from channels_demultiplexer.router import AsyncSocketRouterConsumer, StatusCodes

from .driver import TIMEOUT

pytest_plugins = ["tests.router_fixtures"]
pytestmark = pytest.mark.django_db(transaction=True)


@pytest_asyncio.fixture(autouse=True)
async def no_open_connection() -> AsyncIterator[None]:
    """The thread of sync code begins and ends without a connection."""
    await sync_to_async(connections.close_all)()
    yield
    await sync_to_async(connections.close_all)()


# Serializers.


class UserSerializer(serializers.ModelSerializer):
    """A real serializer of a real model."""

    class Meta:
        model = User
        fields = ["id", "username", "email", "date_joined"]
        read_only_fields = ["date_joined"]


def load(headers: dict[str, Any], payload: dict[str, Any]) -> User:
    return get_object_or_404(User, id=payload["id"])


def create(payload: Any) -> User:
    serializer = UserSerializer(data=payload)
    serializer.is_valid(raise_exception=True)
    return serializer.save()


def change(payload: dict[str, Any]) -> User:
    user = get_object_or_404(User, id=payload["id"])
    serializer = UserSerializer(user, data=payload, partial=True)
    serializer.is_valid(raise_exception=True)
    return serializer.save()


def dump(user: User) -> Any:
    return UserSerializer(user).data


def dump_all(users: Any) -> Any:
    return UserSerializer(users, many=True).data


def users(base: Any) -> Any:
    """Return a consumer that serves users."""

    class Users(base):
        routes = [
            {"route": "list", "dehydrate": dump_all},
            {"route": "get", "hydrate": load, "dehydrate": dump},
            {"route": "create", "hydrate": create, "dehydrate": dump},
            {"route": "update", "hydrate": change, "dehydrate": dump},
            {"route": "delete", "hydrate": load},
            {"route": "raw", "hydrate": load},
        ]

        def on_list(self) -> Any:
            return {"payload": User.objects.order_by("id")}

        def on_get(self, payload: User) -> Any:
            return {"payload": payload}

        def on_create(self, payload: User) -> Any:
            return {"payload": payload, "status": StatusCodes.CREATED}

        async def on_update(self, payload: User) -> Any:
            return {"payload": payload}

        def on_delete(self, payload: User) -> None:
            payload.delete()

        on_raw = on_get

    return Users


async def test_serializers_and_the_orm_just_work(base: Any, serve: Any) -> None:
    """A model is created, read, listed, changed and deleted by hydrate and dehydrate."""
    client = await serve(users(base))
    created = await client.ask("create", {"username": "ann", "email": "ann@example.org"})
    assert created["status"] == 201
    ann = created["payload"]
    stored = await User.objects.aget()
    assert ann == {
        "id": stored.id,
        "username": "ann",
        "email": "ann@example.org",
        "date_joined": localtime(stored.date_joined).isoformat(),
    }
    assert (await client.ask("get", {"id": ann["id"]}))["payload"] == ann
    assert (await client.ask("list"))["payload"] == [ann]
    changed = await client.ask("update", {"id": ann["id"], "email": "a@example.org"})
    assert changed["payload"] == {**ann, "email": "a@example.org"}
    deleted = await client.ask("delete", {"id": ann["id"]})
    assert (deleted["status"], deleted["payload"]) == (204, None)
    assert (await client.ask("list"))["payload"] == []


async def test_what_serializers_and_shortcuts_raise_is_answered(base: Any, serve: Any) -> None:
    """get_object_or_404 is a 404, is_valid(raise_exception=True) a 400 with its messages."""
    client = await serve(users(base))
    missing = await client.ask("get", {"id": 0})
    assert missing["status"] == 404
    assert missing["payload"] == {"error": "No User matches the given query."}
    invalid = await client.ask("create", {"email": "x"})
    assert invalid["status"] == 400
    assert invalid["payload"] == {
        "error": "username: This field is required.; email: Enter a valid email address."
    }
    assert not client.log.records


async def test_a_model_without_dehydrate_is_a_500(base: Any, serve: Any) -> None:
    """The log says what is missing."""
    user = await User.objects.acreate(username="ann")
    client = await serve(users(base))
    assert (await client.ask("raw", {"id": user.id}))["status"] == 500
    client.log.expect("add dehydrate")
    assert (await client.ask("get", {"id": user.id}))["status"] == 200


# Connections.


@pytest.fixture
def checked(monkeypatch: Any) -> None:
    """SQLite's connections know whether they are usable, as those to a server do."""

    def is_usable(self: Any) -> bool:
        try:
            self.connection.execute("SELECT 1")
        except Exception:  # noqa: BLE001
            return False
        return True

    monkeypatch.setattr(DatabaseWrapper, "is_usable", is_usable)


class Counter(AsyncSocketRouterConsumer):
    """Counts users, and names the connection that it did that with."""

    routes = [{"route": "count"}, {"route": "thread"}]

    async def on_count(self) -> Any:
        return {"payload": [await User.objects.acount(), await raw_connection()]}

    def on_thread(self) -> Any:
        return {"payload": [User.objects.count(), threading.get_ident()]}


alive: list[Any] = []


@sync_to_async
def raw_connection() -> int:
    """Return the number of the thread's connection to the database, among those of this test."""
    if connection.connection not in alive:
        alive.append(connection.connection)
    return alive.index(connection.connection)


@sync_to_async
def persist(**options: Any) -> None:
    """Set options of the connection of the thread of sync code."""
    connection.settings_dict.update({"CONN_MAX_AGE": None, **options})


@sync_to_async
def cut() -> None:
    """Close the connection behind Django's back."""
    connection.connection.close()


@pytest_asyncio.fixture
async def persistent() -> AsyncIterator[None]:
    """Connections of the thread of sync code have no age limit."""
    alive.clear()
    before = dict(connection.settings_dict)
    await persist()
    yield
    connection.settings_dict.update(before)
    alive.clear()


async def count(client: Any) -> Any:
    """Ask for the number of the connection in use, or the status where that does not work."""
    answer = await client.ask("count")
    return answer["payload"][1] if answer["status"] == 200 else answer["status"]


async def test_a_connection_without_age_is_closed_before_each_request(
    serve: Any, persistent: None
) -> None:
    """With CONN_MAX_AGE 0 each request has a connection of its own, as on Channels' consumers."""
    await persist(CONN_MAX_AGE=0)
    client = await serve(Counter)
    assert [await count(client) for _ in range(3)] == [0, 1, 2]


async def test_a_connection_without_age_limit_is_kept(serve: Any, persistent: None) -> None:
    """Looking at a good connection does not close it."""
    client = await serve(Counter)
    assert [await count(client) for _ in range(3)] == [0, 0, 0]


async def test_an_old_connection_is_replaced(serve: Any, persistent: None) -> None:
    """CONN_MAX_AGE is heeded when the next request comes."""
    await persist(CONN_MAX_AGE=60)
    client = await serve(Counter)
    assert [await count(client) for _ in range(2)] == [0, 0]
    await age()
    assert [await count(client) for _ in range(2)] == [1, 1]


@sync_to_async
def age() -> None:
    """Let the connection's time be up."""
    assert connection.close_at is not None
    connection.close_at -= 60


async def test_a_broken_connection_is_replaced_by_a_health_check(
    serve: Any, persistent: None, checked: None
) -> None:
    """With CONN_HEALTH_CHECKS no request fails."""
    await persist(CONN_HEALTH_CHECKS=True)
    client = await serve(Counter)
    assert await count(client) == 0
    await cut()
    assert await count(client) == 1
    assert not client.log.records


async def test_a_broken_connection_is_replaced_after_an_exception(
    serve: Any, persistent: None, checked: None
) -> None:
    """One request fails, and the next one has a new connection."""
    client = await serve(Counter)
    assert await count(client) == 0
    await cut()
    assert [await count(client) for _ in range(3)] == [500, 1, 1]
    client.log.expect("failed")


async def test_requests_that_arrive_together_start_in_order(serve: Any, persistent: None) -> None:
    """One that comes while the connections are looked at for another one starts after that."""
    await persist(CONN_MAX_AGE=0)
    started = []

    class App(Counter):
        max_concurrency = 10
        routes = [{"route": "start"}]

        async def on_start(self, payload: Any) -> Any:
            started.append(payload)

    client = await serve(App)
    expected = list(range(10))
    await User.objects.acount()
    for number in expected:
        client.request("start", number, payload=number)
    for _ in expected:
        await client.receive_json()
    assert started == expected


async def test_channel_layer_handlers_have_fresh_connections_too(
    serve: Any, persistent: None, layer: Any
) -> None:
    """An event makes connections be looked at."""
    await persist(CONN_MAX_AGE=0)

    class App(Counter):
        groups = ["news"]

        async def news(self, event: Any) -> None:
            await self.push("news", await raw_connection())

    client = await serve(App)
    assert await count(client) == 0
    await layer.group_send("news", {"type": "news"})
    got = await client.receive_json()
    assert got["payload"] == 1


@pytest.mark.parametrize("checks", ["due", "always"])
async def test_the_setting_says_when_connections_are_looked_at(
    serve: Any, settings: Any, checks: str
) -> None:
    """A request beside another consumer's blocked thread waits for it with "always" only."""
    settings.CHANNELS_DEMULTIPLEXER_DATABASE_CHECKS = checks
    entered, let_go = threading.Event(), threading.Event()

    def block() -> None:
        entered.set()
        assert let_go.wait(TIMEOUT)

    client = await serve(Idle)
    blocking = asyncio.create_task(sync_to_async(block)())
    assert await asyncio.to_thread(entered.wait, TIMEOUT)
    try:
        client.request("idle")
        if checks == "due":
            await client.receive_json()
        for _ in range(10):
            await client.expect_silence()
    finally:
        let_go.set()
        await blocking
    if checks == "always":
        await client.receive_json()


class Idle(AsyncSocketRouterConsumer):
    """Does nothing."""

    routes = [{"route": "idle"}]

    async def on_idle(self) -> Any:
        return {}


async def test_the_disconnect_closes_old_connections(serve: Any, persistent: None) -> None:
    """No connection that is over age survives its consumer."""
    await persist(CONN_MAX_AGE=0)
    client = await serve(Counter)
    assert await count(client) == 0
    assert await sync_to_async(lambda: connection.connection)() is not None
    client.disconnect()
    await client.ended()
    assert await sync_to_async(lambda: connection.connection)() is None


async def test_plain_functions_close_old_connections_themselves(
    base: Any, serve: Any, persistent: None
) -> None:
    """In either consumer, a plain handler leaves no connection over age behind."""
    await persist(CONN_MAX_AGE=0)

    class App(base):
        routes = [{"route": "thread"}]
        on_thread = Counter.on_thread

    client = await serve(App)
    for _ in range(2):
        status = (await client.ask("thread"))["status"]
        assert status == 200
        assert await sync_to_async(lambda: connection.connection)() is None


async def test_plain_functions_share_one_thread(base: Any, serve: Any) -> None:
    """The thread is that of all sync code, whose connections coroutines use too."""

    class App(base):
        routes = [{"route": "thread"}]
        on_thread = Counter.on_thread

    client = await serve(App)
    ident = await sync_to_async(threading.get_ident)()
    assert (await client.ask("thread"))["payload"] == [0, ident]
    assert ident != threading.get_ident()
