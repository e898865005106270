"""
Connections to the database: what a consumer finds of them as a stream, and on a socket of its own.

Each scenario runs on both, and makes the hop to the thread of sync code change something: a stream
that was spared it once too often would find something else.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import functools
import gc
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import ThreadSensitiveContext, async_to_sync, sync_to_async
from channels.consumer import AsyncConsumer
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.routing import URLRouter
from channels.sessions import CookieMiddleware, SessionMiddleware
from channels.testing.application import no_op
from django.contrib.contenttypes.models import ContentType
from django.db import OperationalError, connections, transaction
from django.db.backends.signals import connection_created
from django.urls import path, re_path

import channels_demultiplexer.database as looks
from channels_demultiplexer.child import child
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer
from channels_demultiplexer.routing import Routes

from .databases import Step, as_stream, connection_of, database, found_by, look, own_socket, query
from .driver import TIMEOUT, Client

ALIAS = "tested"

#: A consumer as a stream, and on a socket of its own: how to make that, and the streams' names.
BOTH: list[tuple[Any, list[str]]] = [(own_socket, []), (as_stream, ["probe"])]


def in_thread(function: Callable[..., Any], *args: Any) -> Step:
    """Return a step that calls a function in the thread of sync code."""
    return lambda: sync_to_async(function)(*args)


async def nothing() -> None:
    """Take a step without anything."""


ask = in_thread(query, ALIAS)


def fail() -> None:
    """Make the database answer with an error."""
    with connections[ALIAS].cursor() as cursor:
        cursor.execute("SELECT * FROM missing")


def expire() -> None:
    """Let the connection have reached its age."""
    connections[ALIAS].close_at = time.monotonic()


def leave_autocommit() -> None:
    """Change autocommit, and don't change it back."""
    connections[ALIAS].set_autocommit(False)


def leave_atomic() -> None:
    """Enter an atomic block, and don't leave it."""
    transaction.atomic(using=ALIAS).__enter__()


def ask_and_commit() -> None:
    """Ask in a transaction."""
    with transaction.atomic(using=ALIAS):
        query(ALIAS)


def create_table() -> None:
    """Create a table for a model."""
    with connections[ALIAS].schema_editor() as editor:
        editor.create_model(ContentType)


@pytest_asyncio.fixture(autouse=True)
async def databases(django_db_blocker: Any) -> AsyncIterator[None]:
    """Let tests use databases, of which the thread of sync code knows none at first."""
    with django_db_blocker.unblock():
        await sync_to_async(connections.close_all)()
        yield
        await sync_to_async(connections.close_all)()


async def same_on_both(steps: list[Step], **settings: Any) -> list[Any]:
    """Return what a consumer finds, which is to be the same as a stream as on its own socket."""
    found = []
    for application, streams in BOTH:
        async with database(ALIAS, **settings):
            found.append(await found_by(application, streams, steps))
    assert found[1] == found[0]
    return found[1]


@pytest.fixture(params=["file", "memory"])
def sqlite(request: Any, tmp_path: Path) -> dict[str, Any]:
    """A SQLite database, of whose connections one in memory is never closed by Django."""
    return {"NAME": str(tmp_path / "db") if request.param == "file" else ":memory:"}


@pytest.mark.parametrize("age", [0, 600, None])
async def test_a_connection_lives_as_long_as_on_a_socket(sqlite: Any, age: Any) -> None:
    """Whether it is open before the next message is up to CONN_MAX_AGE."""
    found = await same_on_both([ask, ask, nothing, ask, nothing], CONN_MAX_AGE=age, **sqlite)
    kept = age != 0 or sqlite["NAME"] == ":memory:"
    assert connection_of(found, ALIAS) == ([None, 0, 0, 0, 0] if kept else [None] * 5)


async def test_a_connection_is_closed_when_its_age_has_passed(tmp_path: Path) -> None:
    """The message after that finds it closed, the one before finds it open."""
    steps = [ask, in_thread(expire), ask, nothing]
    found = await same_on_both(steps, CONN_MAX_AGE=600, NAME=str(tmp_path / "db"))
    assert connection_of(found, ALIAS) == [None, 0, None, 1]


async def test_a_health_check_is_armed_before_each_message(sqlite: Any) -> None:
    """With CONN_HEALTH_CHECKS, each message finds that the connection is to be checked anew."""
    steps = [ask, ask, nothing, ask, nothing]
    found = await same_on_both(steps, CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True, **sqlite)
    assert [look.get(ALIAS) for look, _ in found[1:]] == [(0, False, False)] * 4


async def test_a_connection_is_tried_after_an_error(sqlite: Any) -> None:
    """A connection that still works is kept, and the error forgotten."""
    found = await same_on_both([ask, in_thread(fail), ask], CONN_MAX_AGE=None, **sqlite)
    assert found[1][1] is OperationalError
    assert found[2][0][ALIAS] == (0, False, False)


@pytest.mark.parametrize("leave", [leave_autocommit, leave_atomic])
@pytest.mark.parametrize("age", [600, None])
async def test_an_open_transaction_ends_with_its_message(
    tmp_path: Path, leave: Callable[[], None], age: Any
) -> None:
    """A connection with another autocommit than the settings' is not left to the next message."""
    found = await same_on_both(
        [ask, in_thread(leave), ask, ask, in_thread(ask_and_commit), ask],
        CONN_MAX_AGE=age,
        NAME=str(tmp_path / "db"),
    )
    assert found[2] != found[1]


async def test_a_transaction_that_is_the_settings_own_is_kept(tmp_path: Path) -> None:
    """With AUTOCOMMIT False, a connection without autocommit is as it is to be."""
    settings = {"AUTOCOMMIT": False, "CONN_MAX_AGE": None, "NAME": str(tmp_path / "db")}
    found = await same_on_both([ask, ask, nothing], **settings)
    assert connection_of(found, ALIAS) == [None, 0, 0]
    found = await same_on_both(
        [ask, in_thread(lambda: connections[ALIAS].set_autocommit(True)), ask], **settings
    )
    assert connection_of(found, ALIAS) == [None, 0, None]


async def test_each_database_has_its_own_age(tmp_path: Path) -> None:
    """One connection is closed while others are kept, whichever was opened first."""
    steps = [in_thread(query, "kept"), ask, in_thread(query, "later"), ask, nothing]
    found = []
    for application, streams in BOTH:
        async with (
            database("kept", CONN_MAX_AGE=None, NAME=str(tmp_path / "kept")),
            database(ALIAS, CONN_MAX_AGE=0, NAME=str(tmp_path / "db")),
            database("later", CONN_MAX_AGE=600, NAME=str(tmp_path / "later")),
        ):
            found.append(await found_by(application, streams, steps))
    assert found[1] == found[0]
    assert connection_of(found[1], ALIAS) == [None] * 5
    assert connection_of(found[1], "kept") == [None, 0, 0, 0, 0]
    assert connection_of(found[1], "later") == [None, None, None, 1, 1]


@pytest.mark.parametrize("age", [0, None])
async def test_the_async_orm_is_looked_after(tmp_path: Path, age: Any) -> None:
    """Connections that the async ORM opens are closed and kept alike."""
    count = ContentType.objects.using(ALIAS).acount
    steps = [in_thread(create_table), count, count, nothing]
    async with database(ALIAS, CONN_MAX_AGE=age, NAME=str(tmp_path / "first")):
        first = await found_by(own_socket, [], steps)
    async with database(ALIAS, CONN_MAX_AGE=age, NAME=str(tmp_path / "second")):
        assert await found_by(as_stream, ["probe"], steps) == first
    assert [result for _, result in first] == [None, 0, 0, None]
    assert connection_of(first, ALIAS)[3] is (None if age == 0 else 0)


async def test_connections_of_sync_consumers_are_looked_after(tmp_path: Path) -> None:
    """A connection that `database_sync_to_async` leaves open is closed when its age has passed."""
    steps = [lambda: database_sync_to_async(query)(ALIAS), in_thread(expire), nothing]
    found = await same_on_both(steps, CONN_MAX_AGE=600, NAME=str(tmp_path / "db"))
    assert connection_of(found, ALIAS) == [None, 0, None]


async def test_a_connection_from_before_the_stream_is_looked_after(tmp_path: Path) -> None:
    """What was open before the first message counts too."""
    found = []
    for application, streams in BOTH:
        async with database(ALIAS, CONN_MAX_AGE=0, NAME=str(tmp_path / "db")):
            await ask()
            found.append(await found_by(application, streams, [nothing]))
    assert connection_of(found[0], ALIAS) == connection_of(found[1], ALIAS) == [None]


@pytest.mark.parametrize("age", [0, None])
async def test_connections_of_other_threads_change_nothing(tmp_path: Path, age: Any) -> None:
    """A connection of a thread of its own, due or not, is neither seen nor closed."""
    opened, release = threading.Event(), threading.Event()
    closed = []

    def hold() -> None:
        query(ALIAS)
        opened.set()
        release.wait(TIMEOUT)
        closed.append(connections[ALIAS].connection is None)
        connections[ALIAS].close()

    for application, streams in BOTH:
        opened.clear()
        release.clear()
        async with database(ALIAS, CONN_MAX_AGE=age, NAME=str(tmp_path / "db")):
            holding = asyncio.create_task(asyncio.to_thread(hold))
            await asyncio.to_thread(opened.wait, TIMEOUT)
            found = await found_by(application, streams, [ask, nothing])
            release.set()
            await holding
        assert connection_of(found, ALIAS) == [None, None if age == 0 else 0]
    assert closed == [False, False]


@pytest.mark.parametrize("age", [0, 600, None])
def test_a_thread_of_the_contexts_own_is_looked_after(
    tmp_path: Path, django_db_blocker: Any, age: Any
) -> None:
    """Within a ThreadSensitiveContext the hop goes to its thread, as on a socket."""

    async def run(application: Any, streams: list[str]) -> list[Any]:
        async with (
            ThreadSensitiveContext(),
            database(ALIAS, CONN_MAX_AGE=age, NAME=str(tmp_path / "db")),
        ):
            return await found_by(application, streams, [ask, ask, in_thread(expire), ask, nothing])

    # In a loop of its own: the thread that ends the context's is none that ours knows of.
    with django_db_blocker.unblock():
        first, second = (asyncio.run(run(*each)) for each in BOTH)
    assert second == first
    assert connection_of(first, ALIAS)[3] is None


#: Ways to run a coroutine function so that the thread of its sync code is another than asgiref's.
ELSEWHERE = {
    "from a thread": lambda run, *args: asyncio.run(
        sync_to_async(async_to_sync(run), thread_sensitive=False)(*args)
    ),
    "from no loop": lambda run, *args: async_to_sync(run)(*args),
    "in a new context": lambda run, *args: async_to_sync(in_new_context)(run, *args),
}


async def in_new_context(run: Any, *args: Any) -> Any:
    """Run a coroutine function in a task that inherits no context."""
    return await asyncio.create_task(run(*args), context=contextvars.Context())


@pytest.mark.parametrize("how", ELSEWHERE)
@pytest.mark.parametrize("age", [0, 600, None])
def test_the_thread_under_async_to_sync_is_looked_after(
    tmp_path: Path, django_db_blocker: Any, age: Any, how: str
) -> None:
    """Under async_to_sync the hop goes to the calling thread, as on a socket."""

    async def run(application: Any, streams: list[str]) -> list[Any]:
        async with database(ALIAS, CONN_MAX_AGE=age, NAME=str(tmp_path / "db")):
            return await found_by(application, streams, [ask, ask, in_thread(expire), ask, nothing])

    with django_db_blocker.unblock():
        first = ELSEWHERE[how](run, *BOTH[0])
        assert ELSEWHERE[how](run, *BOTH[1]) == first
    assert connection_of(first, ALIAS)[3] is None


async def test_a_stream_in_a_stream_is_looked_after(tmp_path: Path) -> None:
    """A consumer behind two demultiplexers finds what it finds on a socket of its own."""
    settings = {"CONN_MAX_AGE": 0, "NAME": str(tmp_path / "db")}
    steps = [ask, ask, nothing]
    async with database(ALIAS, **settings):
        first = await found_by(own_socket, [], steps)
    async with database(ALIAS, **settings):
        found = await found_by(lambda probe: as_stream(as_stream(probe)), ["probe"] * 2, steps)
    assert found == first


async def test_a_connection_of_several_threads_is_looked_after(tmp_path: Path) -> None:
    """A connection that another thread has made and shares is closed too."""

    def use(connection: Any) -> None:
        connections[ALIAS] = connection
        query(ALIAS)

    found = []
    for application, streams in BOTH:
        async with database(ALIAS, CONN_MAX_AGE=0, NAME=str(tmp_path / "db")):
            connection = connections[ALIAS]
            connection.inc_thread_sharing()
            found.append(
                await found_by(application, streams, [in_thread(use, connection), nothing])
            )
            del connections[ALIAS]
    assert connection_of(found[0], ALIAS) == connection_of(found[1], ALIAS) == [None, None]


class Asking(AsyncWebsocketConsumer):
    """A consumer that asks the database, come what may."""

    async def receive(self, **kwargs: Any) -> None:
        await ask()


async def test_a_connection_whose_setup_has_failed_is_looked_after(tmp_path: Path) -> None:
    """What Django has not told of, because its setup failed, is closed before the next message."""

    def refuse(connection: Any, **kwargs: Any) -> None:
        if connection.alias == ALIAS:
            raise OperationalError("no")

    async with database(ALIAS, CONN_MAX_AGE=0, NAME=str(tmp_path / "db")):
        receivers = connection_created.receivers
        connection_created.receivers = []
        connection_created.connect(refuse)
        connection_created.receivers += receivers
        try:
            async with Client(as_stream(Asking.as_asgi())) as client:
                await client.connect()
                client.data("probe", None)
                await client.expect_ended("probe", 1011)
                await client.expect_closed(1011)
                client.log.expect("crashed")
        finally:
            connection_created.disconnect(refuse)
        assert (await sync_to_async(look)())[ALIAS][0]
        found = await found_by(*BOTH[1], [nothing])
    assert connection_of(found, ALIAS) == [None]


# The hop that is not made.


class Blocking(WebsocketConsumer):
    """A sync consumer that blocks the thread of sync code at a message, until it is let go."""

    def __init__(self, entered: threading.Event, let_go: threading.Event) -> None:
        super().__init__()
        self.entered = entered
        self.let_go = let_go

    def receive(self, **kwargs: Any) -> None:
        self.entered.set()
        assert self.let_go.wait(TIMEOUT)
        self.send("let go")


class Echo(AsyncWebsocketConsumer):
    """An async consumer that echoes."""

    async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        await self.send(text_data, bytes_data)


@contextlib.asynccontextmanager
async def beside_a_blocked_consumer(late: str = "", **declared: Any) -> AsyncIterator[Client]:
    """
    Have a client of streams, one more of which blocks until the block ends.

    `late` is what the stream echo is to answer after that, if anything.
    """
    entered, let_go = threading.Event(), threading.Event()
    streams = declared.pop("consumer_classes", {})
    streams = {**streams, "sync": Blocking.as_asgi(entered=entered, let_go=let_go)}
    application = WebsocketDemultiplexer.as_asgi(consumer_classes=streams, **declared)
    async with Client(application) as client:
        try:
            await client.connect()
            client.data("sync", None)
            assert await asyncio.to_thread(entered.wait, TIMEOUT)
            yield client
        finally:
            let_go.set()
        await client.expect_frame(stream="sync", text="let go")
        if late:
            await client.expect_frame(stream="echo", text=late)


async def expect_echo(client: Client, text: str, stream: str = "echo") -> None:
    """Expect that the stream answers."""
    client.send(stream=stream, text=text)
    await client.expect_frame(stream=stream, text=text)


ROUTER = URLRouter([re_path("^b$", Echo.as_asgi())])
STACK = CookieMiddleware(SessionMiddleware(BaseMiddleware(Echo.as_asgi())))
WHERE: dict[str, tuple[dict[str, Any], str]] = {
    "class": ({"consumer_classes": {"echo": Echo}}, "echo"),
    "application": ({"consumer_classes": {"echo": Echo.as_asgi()}}, "echo"),
    "pattern": ({"consumer_classes": {"a/<b>": Echo}}, "a/b"),
    "router": ({"consumer_classes": {"a/": ROUTER}}, "a/b"),
    "router in a router": ({"consumer_classes": {"a/": URLRouter([path("", ROUTER)])}}, "a/b"),
    "child": ({"consumer_classes": {"echo": child(Echo)}}, "echo"),
    "child in a router": ({"consumer_classes": {"a/": URLRouter([path("b", child(Echo))])}}, "a/b"),
    "middleware": ({"consumer_classes": {"echo": STACK}}, "echo"),
    "mounted": ({"urlpatterns": [path("a/b", Echo.as_asgi())]}, "a/b"),
    "mounted router": ({"urlpatterns": [path("a/", ROUTER)]}, "a/b"),
    "mounted middleware": ({"urlpatterns": [path("a/b", STACK)]}, "a/b"),
}


@pytest.mark.parametrize("where", WHERE)
async def test_an_async_stream_answers_beside_a_blocked_one(where: str) -> None:
    """A stream of an async consumer does not wait for a sync one, wherever it is declared."""
    declared, name = WHERE[where]
    async with beside_a_blocked_consumer(**declared) as client:
        client.open(name)
        await client.expect_opened(name)
        await expect_echo(client, "one", name)
        await expect_echo(client, "two", name)


async def test_a_connection_of_another_thread_holds_up_nobody(tmp_path: Path) -> None:
    """Nor does a stream wait where a connection is due that the hop would not come to."""
    opened, let_go = threading.Event(), threading.Event()

    def hold() -> None:
        query(ALIAS)
        opened.set()
        assert let_go.wait(TIMEOUT)
        connections[ALIAS].close()

    async with database(ALIAS, CONN_MAX_AGE=0, NAME=str(tmp_path / "db")):
        holding = asyncio.create_task(asyncio.to_thread(hold))
        assert await asyncio.to_thread(opened.wait, TIMEOUT)
        async with beside_a_blocked_consumer(consumer_classes={"echo": Echo}) as client:
            await expect_echo(client, "at once")
        let_go.set()
        await holding


class Patched(Echo):
    """A consumer whose class has a dispatch of its own."""

    async def dispatch(self, message: Any) -> None:
        await super().dispatch(message)


class Given(Echo):
    """A consumer whose instance has a dispatch of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.dispatch = functools.partial(AsyncConsumer.dispatch, self)


@functools.wraps(Echo.as_asgi())
async def wrapped(scope: Any, receive: Any, send: Any) -> None:
    """An application that reads as Channels', and is not."""
    await Given.as_asgi()(scope, receive, send)


class Middleware(BaseMiddleware):
    """Middleware that might keep anything."""


async def expect_waiting(child: Any, **options: Any) -> None:
    """Expect that a stream answers after the blocked one is let go, and no earlier."""
    declared = {"consumer_classes": {"echo": child}, **options}
    async with beside_a_blocked_consumer("late", **declared) as client:
        client.send(stream="echo", text="late")
        for _ in range(10):
            await client.expect_silence()


OTHERS = [Patched, Given, wrapped, Middleware(Echo.as_asgi())]


@pytest.mark.parametrize("child", OTHERS, ids=["class", "instance", "function", "middleware"])
async def test_what_is_not_channels_own_is_left_alone(child: Any) -> None:
    """A child that might not run Channels' own code at each message waits for the thread."""
    await expect_waiting(child)


async def test_with_always_each_message_goes_to_the_thread() -> None:
    """With the setting DATABASE_CHECKS "always", an async stream waits for the thread."""
    await expect_waiting(Echo, database_checks="always")


@pytest.mark.parametrize("name", ["consumer.aclose_old_connections", "db.close_old_connections"])
async def test_a_replaced_function_is_called(monkeypatch: Any, name: str) -> None:
    """What has been put in the place of Channels' functions is called before each message."""
    calls = []

    async def aclose() -> None:
        calls.append("aclose")

    function = aclose if "aclose" in name else functools.partial(calls.append, "close")
    async with Client(as_stream(Echo)) as client:
        await client.connect()
        await expect_echo(client, "before", "probe")
        monkeypatch.setattr(f"channels.{name}", function)
        await expect_echo(client, "one", "probe")
        await expect_echo(client, "two", "probe")
        assert len(calls) == 2
        monkeypatch.undo()
        await expect_echo(client, "after", "probe")
        assert len(calls) == 2


async def test_what_channels_testing_puts_there_is_not_waited_for(monkeypatch: Any) -> None:
    """Where Channels' communicators make the hop do nothing, there is none."""
    declared = {"consumer_classes": {"echo": Echo}}
    async with beside_a_blocked_consumer(**declared) as client:
        with monkeypatch.context() as patch:
            patch.setattr("channels.db.close_old_connections", no_op)
            await expect_echo(client, "at once")


async def test_a_consumer_of_a_backend_of_its_own_is_looked_after(
    tmp_path: Path, monkeypatch: Any
) -> None:
    """A connection whose backend has other rules than Django's is asked before each message."""
    asked = []

    def close_if_unusable_or_obsolete(self: Any) -> None:
        asked.append(self.alias)

    async with database(ALIAS, CONN_MAX_AGE=None, NAME=str(tmp_path / "db")):
        await ask()
        backend = type(connections[ALIAS])
        monkeypatch.setattr(backend, "close_if_unusable_or_obsolete", close_if_unusable_or_obsolete)
        await found_by(*BOTH[1], [nothing, nothing])
    assert len(asked) >= 3


async def test_a_consumer_is_as_it_was() -> None:
    """Its class is its own while it runs, and nothing is left of it when it has ended."""
    seen = []

    class Known(Echo):
        async def receive(self, **kwargs: Any) -> None:
            seen.append((type(self), weakref.ref(self)))
            await super().receive(**kwargs)

    application = Known.as_asgi()
    routes = Routes("tests", {"probe": application}, [])
    assert routes.fixed["probe"].application.consumer_class is Known
    async with Client(as_stream(application)) as client:
        await client.connect()
        gc.disable()
        try:
            await expect_echo(client, "hello", "probe")
            client.close("probe")
            await client.expect_ended("probe", 1000)
            [(cls, reference)] = seen
            assert cls is Known
            assert reference() is None
        finally:
            gc.enable()


async def test_an_unknown_message_and_a_failure_are_told_as_ever() -> None:
    """A message that no handler is for crashes the stream as Channels' own dispatch does."""
    async with Client(as_stream(AsyncConsumer)) as client:
        await client.connect()
        await client.expect_ended("probe", 1011)
        await client.expect_closed(1011)
        record = client.log.expect("crashed")
        assert str(record.exc_info[1]) == "No handler for message type websocket.connect"


def test_without_connections_nothing_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no connection was ever opened, the hop could do nothing."""
    monkeypatch.setattr(looks, "_known", set())
    monkeypatch.setattr(looks, "_doubtful", False)
    assert not looks.is_due()
