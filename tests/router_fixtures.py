"""Fixtures for the tests of router consumers."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import pytest_asyncio

from channels_demultiplexer.router import AsyncSocketRouterConsumer, SocketRouterConsumer

from .routers import RouterClient, StreamClient


@pytest.fixture(params=[SocketRouterConsumer, AsyncSocketRouterConsumer], ids=["sync", "async"])
def base(request: pytest.FixtureRequest) -> Any:
    """Each of the two router consumers."""
    return request.param


@contextlib.asynccontextmanager
async def servers(kind: type[RouterClient]) -> AsyncIterator[Callable[..., Any]]:
    """A function that serves a consumer, and returns a connected client of this kind."""
    async with contextlib.AsyncExitStack() as stack:

        async def serve(consumer: Any, **scope: Any) -> Any:
            application = consumer.as_asgi() if isinstance(consumer, type) else consumer
            client = await stack.enter_async_context(kind(application, **scope))
            assert (await client.connect())["type"] == "websocket.accept"
            return client

        yield serve


@pytest_asyncio.fixture(params=[RouterClient, StreamClient], ids=["socket", "stream"])
async def serve(request: pytest.FixtureRequest) -> AsyncIterator[Callable[..., Any]]:
    """Serve a consumer on a socket of its own, or as a stream, and return a connected client."""
    async with servers(request.param) as serve:
        yield serve


@pytest_asyncio.fixture
async def serve_bare() -> AsyncIterator[Callable[..., Any]]:
    """Serve a consumer on a socket of its own, for what only a server can do or see."""
    async with servers(RouterClient) as serve:
        yield serve
