"""Fixtures for the tests of router consumers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from channels_demultiplexer.router import AsyncSocketRouterConsumer, SocketRouterConsumer

from .router_helpers import Client, StreamClient


@pytest.fixture(params=[SocketRouterConsumer, AsyncSocketRouterConsumer], ids=["sync", "async"])
def base(request: pytest.FixtureRequest) -> Any:
    """Each of the two router consumers."""
    return request.param


@pytest_asyncio.fixture(params=[Client, StreamClient], ids=["socket", "stream"])
async def serve(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Any]]:
    """Serve a consumer on a socket of its own, or as a stream, and return a connected client."""
    clients: list[Client] = []

    async def serve(consumer: Any, *, connect: bool = True, **scope: Any) -> Client:
        application = consumer.as_asgi() if isinstance(consumer, type) else consumer
        client = request.param(application, **scope)
        clients.append(client)
        if connect:
            await client.connect()
        else:
            client.start()
        return client

    yield serve
    for client in clients:
        await client.finish()


@pytest_asyncio.fixture
async def serve_bare() -> AsyncIterator[Callable[..., Any]]:
    """Serve a consumer on a socket of its own, for what only a server can do or see."""
    clients: list[Client] = []

    async def serve(consumer: Any, *, connect: bool = True, **scope: Any) -> Client:
        client = Client(consumer.as_asgi(), **scope)
        clients.append(client)
        if connect:
            await client.connect()
        else:
            client.start()
        return client

    yield serve
    for client in clients:
        await client.finish()
