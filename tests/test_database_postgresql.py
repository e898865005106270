"""Connections to a real PostgreSQL, as they age and break: on a stream as on a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.db import DatabaseError, connections, transaction

from .databases import Step, as_stream, connection_of, database, found_by, own_socket, query
from .postgresql_server import PostgreSQL, postgresql

ALIAS = "postgresql"

BOTH: list[tuple[Any, list[str]]] = [(own_socket, []), (as_stream, ["probe"])]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgreSQL]:
    """The server of this module's tests."""
    with postgresql() as running:
        yield running


@pytest_asyncio.fixture(autouse=True)
async def databases(django_db_blocker: Any) -> AsyncIterator[None]:
    """Let tests use databases."""
    with django_db_blocker.unblock():
        yield


async def ask() -> int:
    """Ask the database something."""
    return await sync_to_async(query)(ALIAS)


async def nothing() -> None:
    """Take a step without anything."""


async def same_on_both(server: PostgreSQL, steps: list[Step], **settings: Any) -> list[Any]:
    """Return what a consumer finds, which is to be the same as a stream as on its own socket."""
    found = []
    for application, streams in BOTH:
        async with database(ALIAS, **{**server.settings, **settings}):
            found.append(await found_by(application, streams, steps))
    assert found[1] == found[0]
    return found[1]


@pytest.mark.parametrize("age", [0, 600, None])
async def test_a_connection_lives_as_long_as_on_a_socket(server: PostgreSQL, age: Any) -> None:
    """Whether it is open before the next message is up to CONN_MAX_AGE."""
    found = await same_on_both(server, [ask, ask, nothing, ask], CONN_MAX_AGE=age)
    assert connection_of(found, ALIAS) == ([None] * 4 if age == 0 else [None, 0, 0, 0])


@pytest.mark.parametrize("age", [0, 600, None])
async def test_a_broken_connection_heals_at_the_same_message(server: PostgreSQL, age: Any) -> None:
    """After a restart of the server the error comes, and goes, at the same messages."""

    async def restart() -> None:
        await sync_to_async(server.restart, thread_sensitive=False)()

    found = await same_on_both(server, [ask, restart, ask, ask, ask], CONN_MAX_AGE=age)
    results = [result for _, result in found]
    assert results[0] == results[3] == results[4] == 1
    assert (results[2] == 1) is (age == 0)
    assert age == 0 or issubclass(results[2], DatabaseError)


async def test_a_checked_connection_heals_without_an_error(server: PostgreSQL) -> None:
    """With CONN_HEALTH_CHECKS no message meets the broken connection."""

    async def restart() -> None:
        await sync_to_async(server.restart, thread_sensitive=False)()

    steps = [ask, ask, restart, ask, ask]
    found = await same_on_both(server, steps, CONN_MAX_AGE=None, CONN_HEALTH_CHECKS=True)
    assert [result for _, result in found] == [1, 1, None, 1, 1]
    assert connection_of(found, ALIAS) == [None, 0, 0, 0, 1]


async def test_an_open_transaction_ends_with_its_message(server: PostgreSQL) -> None:
    """A transaction that a handler leaves open is not left to the next message."""

    def leave() -> None:
        connections[ALIAS].set_autocommit(False)
        query(ALIAS)

    def finish() -> int:
        with transaction.atomic(using=ALIAS):
            return query(ALIAS)

    steps = [ask, lambda: sync_to_async(leave)(), lambda: sync_to_async(finish)(), ask]
    found = await same_on_both(server, steps, CONN_MAX_AGE=None)
    assert connection_of(found, ALIAS) == [None, 0, None, 1]


async def test_a_pools_connection_is_given_back_before_the_next_message(server: PostgreSQL) -> None:
    """A connection of psycopg's pool is kept by the thread no longer than on a socket."""
    options = {"pool": {"min_size": 1, "max_size": 2}}
    found = await same_on_both(server, [ask, ask, nothing], CONN_MAX_AGE=0, OPTIONS=options)
    assert [result for _, result in found] == [1, 1, None]
    assert connection_of(found, ALIAS) == [None, None, None]
