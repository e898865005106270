"""Databases for single tests, and consumers that tell what they find of their connections."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.db import connections

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .driver import Client, within

#: What a consumer does with a message.
Step = Callable[[], Awaitable[Any]]


class Probe(AsyncWebsocketConsumer):
    """
    A consumer that answers each message with a step, and notes what it found before.

    Args:
        steps: what it does, message by message.
        done: is put what each step finds: for each database whether the thread of sync code has a
            connection to it, whether that is checked, and whether it is one that an earlier
            step found.
    """

    def __init__(self, steps: Iterator[Step], done: asyncio.Queue[Any]) -> None:
        super().__init__()
        self.steps = steps
        self.done = done

    async def websocket_connect(self, message: Any) -> None:
        """Accept."""
        await self.accept()

    async def websocket_receive(self, message: Any) -> None:
        """Look at the connections, and take the next step."""
        found: Any = None
        try:
            found = await sync_to_async(look)()
            found = (found, await next(self.steps)())
        except Exception as error:  # noqa: BLE001 - it is what is found
            found = (found, type(error))
        self.done.put_nowait(found)


def look() -> dict[str, Any]:
    """Return what the connections of this thread are like."""
    return {
        connection.alias: (
            connection.connection,
            connection.health_check_enabled and connection.health_check_done,
            connection.errors_occurred,
        )
        for connection in connections.all(initialized_only=True)
    }


async def found_by(application: Any, path: list[str], steps: list[Step]) -> list[Any]:
    """
    Return what a consumer finds before each of `steps`, and what they return or raise.

    Args:
        application: makes an application of one that is to be its child, or is the socket's.
        path: the names of the streams on the way to it, none where it is the socket's own.
        steps: what the consumer does, one for each message.
    """
    done: asyncio.Queue[Any] = asyncio.Queue()
    probe = Probe.as_asgi(steps=iter(steps), done=done)
    seen: list[Any] = []
    async with Client(application(probe)) as client:
        await client.connect()
        for _ in steps:
            text = "null"
            for name in reversed(path):
                text = f'{{"stream":"{name}","payload":{text}}}'
            client.send_text(text)
            seen.append(await within(done.get(), "a step"))
    return _told(seen)


def _told(seen: list[Any]) -> list[Any]:
    """Say which connection is which by numbers, in the order in which they are first seen."""
    known: list[Any] = []  # also keeps them, so that no two have the same address

    def number(connection: Any) -> Any:
        if connection is None:
            return None
        if not any(connection is other for other in known):
            known.append(connection)
        return next(at for at, other in enumerate(known) if connection is other)

    return [
        (
            {alias: (number(connection), *rest) for alias, (connection, *rest) in look.items()},
            result,
        )
        for look, result in seen
    ]


def connection_of(found: list[Any], alias: str) -> list[Any]:
    """Return before which step the thread has which connection to a database."""
    return [look.get(alias, (None,))[0] for look, _ in found]


def own_socket(probe: Any) -> Any:
    """Return the application as it is."""
    return probe


def as_stream(probe: Any, **options: Any) -> Any:
    """Return a demultiplexer with the application as a stream."""
    return WebsocketDemultiplexer.as_asgi(consumer_classes={"probe": probe}, **options)


@contextlib.asynccontextmanager
async def database(alias: str, **settings: Any) -> AsyncIterator[None]:
    """Have a database of this alias, while the block lasts."""
    before = connections.settings.get(alias)
    connections.settings[alias] = {**connections.settings["default"], "OPTIONS": {}, **settings}
    try:
        yield
    finally:
        await sync_to_async(forget)(alias)
        if before is None:
            del connections.settings[alias]
        else:
            connections.settings[alias] = before


def forget(alias: str) -> None:
    """Close this thread's connection of the alias, whatever its state, and its wrapper with it."""
    connection = connections[alias]
    connection.in_atomic_block = False
    connection.closed_in_transaction = False
    connection.close()
    if connection.connection is not None:
        connection.connection.close()  # Django keeps SQLite's that are in memory
    if pool := getattr(connection, "pool", None):
        connection.close_pool()
        del pool
    del connections[alias]


def query(alias: str) -> int:
    """Ask a database something."""
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT 1")
        [value] = cursor.fetchone()
    return int(value)
