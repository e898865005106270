"""Fixtures for all tests."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer

from .distribution import Distribution, build
from .virtual_time import VirtualLoop

#: The modules whose tests talk with other processes, which takes time.
_REAL_TIME = {
    f"tests.test_{name}"
    for name in (
        "browser",
        "client",
        "cluster",
        "database_postgresql",
        "example",
        "redis",
        "server_closes",
        "servers",
    )
}


def pytest_asyncio_loop_factories(item: pytest.Function) -> dict[str, Any]:
    """No test depends on how fast the machine is, where it can be avoided."""
    real = item.module.__name__ in _REAL_TIME
    return {"loop": asyncio.new_event_loop if real else VirtualLoop}


@pytest.fixture(scope="session", autouse=True)
def collect_quickly() -> None:
    """What the imports have made is garbage never, and need not be looked at after every test."""
    gc.collect()
    gc.freeze()


@pytest_asyncio.fixture(autouse=True)
async def nothing_left_behind() -> AsyncIterator[None]:
    """After every test no task runs, and no group has a member."""
    channel_layers.backends.clear()
    yield
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    assert not tasks
    layer = get_channel_layer()
    if isinstance(layer, InMemoryChannelLayer):
        assert not layer.groups
    channel_layers.backends.clear()
    gc.collect()  # so that "never retrieved" is reported in the test that it belongs to


# How a loop starts tasks: in its next step, or at once.
_TASK_FACTORIES = [None, *([asyncio.eager_task_factory] if sys.version_info >= (3, 12) else [])]


@pytest_asyncio.fixture(params=_TASK_FACTORIES)
async def task_factory(request: pytest.FixtureRequest) -> None:
    """The test holds however tasks are started."""
    asyncio.get_running_loop().set_task_factory(request.param)


@pytest.fixture(params=["due", "always"])
def database_checks(request: pytest.FixtureRequest, settings: Any) -> None:
    """The test holds whenever the database connections are looked at."""
    settings.CHANNELS_DEMULTIPLEXER_DATABASE_CHECKS = request.param


@pytest.fixture
def layer() -> InMemoryChannelLayer:
    """The channel layer of this test."""
    return get_channel_layer()


@pytest.fixture(scope="session")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Distribution:
    """The distributions, built once for all tests that need them."""
    return build(tmp_path_factory.mktemp("distribution"))
