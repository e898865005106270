"""Children that are Channels' consumers: what is done for them, and what is left as it is."""

from __future__ import annotations

import asyncio
from typing import Any

import channels.db
import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.routing import URLRouter
from django.urls import path

from channels_demultiplexer.shortcuts import spared, spared_route

from .databases import as_stream
from .driver import Client

MEMORY = "channels.layers.InMemoryChannelLayer"


class Echo(AsyncWebsocketConsumer):
    """A consumer that answers."""

    async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
        await self.send(text_data, bytes_data)


class Called(Echo):
    """A consumer that has something to say to being called."""

    calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        type(self).calls += 1
        return await super().__call__(scope, receive, send)


async def tasks_with(child: Any, **options: Any) -> int:
    """Return how many tasks there are while an `Echo` waits in `child`, the test's included."""
    async with Client(as_stream(child, **options)) as client:
        await client.connect()
        client.data("probe", None)
        await client.expect_frame(stream="probe", payload=None)
        await client.expect_silence()
        return len(asyncio.all_tasks())


@pytest.mark.parametrize("layers", [{}, {"default": {"BACKEND": MEMORY}}])
async def test_a_stream_costs_no_task_for_its_messages(settings: Any, layers: Any) -> None:
    """One task less waits for messages than with Channels' own pump."""
    settings.CHANNEL_LAYERS = layers
    by_channels = await tasks_with(Echo, database_checks="always")
    assert await tasks_with(Echo) == by_channels - 1


async def test_a_consumer_with_a_call_of_its_own_pumps_as_ever() -> None:
    """A class with a `__call__` of its own is called by it, and pumps as Channels does."""
    Called.calls = 0
    by_channels = await tasks_with(Called, database_checks="always")
    assert await tasks_with(Called) == by_channels
    assert Called.calls == 2


async def test_a_receive_of_middleware_is_called(settings: Any) -> None:
    """What middleware puts in the place of `receive` is what the consumer gets its messages of."""
    received = []

    class Middleware(BaseMiddleware):
        async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
            async def receive_and_tell() -> Any:
                message = await receive()
                received.append(message["type"])
                return message

            return await self.inner(scope, receive_and_tell, send)

    # Channels' own middleware is seen through, and here has the other one around it.
    child = Middleware(spared(BaseMiddleware(Echo.as_asgi())))
    await tasks_with(child)
    assert received[:2] == ["websocket.connect", "websocket.receive"]


async def test_a_replaced_pump_is_called(monkeypatch: Any) -> None:
    """What has been put in the place of Channels' await_many_dispatch is what pumps."""
    pumped = []

    async def pump(receivers: Any, dispatch: Any) -> None:
        pumped.append(len(receivers))
        while True:
            await dispatch(await receivers[0]())

    monkeypatch.setattr("channels.consumer.await_many_dispatch", pump)
    await tasks_with(Echo)
    assert pumped == [2]


@pytest.mark.parametrize("known", [True, False])
def test_only_what_changes_is_copied(known: bool) -> None:
    """A router, a route and middleware are themselves, or where a consumer is in them, copies."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        raise NotImplementedError

    child = Echo.as_asgi() if known else application
    router = URLRouter([path("a", child)])
    nested = URLRouter([path("b/", router), path("c", application)])
    middleware = BaseMiddleware(nested)
    route = path("d", middleware)
    copied = spared_route(route)
    assert (copied is not route) is known
    assert (copied.callback is not middleware) is known
    assert (copied.callback.inner is not nested) is known
    assert copied.callback.inner.routes[1] is nested.routes[1]
    assert (copied.callback.inner.routes[0] is not nested.routes[0]) is known
    assert nested.routes[0].callback is router
    assert router.routes[0].callback is child
    assert route.callback is middleware
    assert middleware.inner is nested


@pytest.mark.parametrize("layers", [{}, {"default": {"BACKEND": MEMORY}}])
async def test_a_stream_with_much_to_do_lets_others_have_their_turn(
    settings: Any, layers: Any
) -> None:
    """A handler that waits for nothing does not get all that waits at once."""
    settings.CHANNEL_LAYERS = layers
    turns = []
    fed = asyncio.Event()

    class Busy(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            await self.accept()
            await fed.wait()

        async def receive(self, **kwargs: Any) -> None:
            turns.append("busy")

    async with Client(as_stream(Busy)) as client:
        await client.connect()
        for _ in range(20):
            client.data("probe", None)
        await client.expect_silence()
        fed.set()
        while turns.count("busy") < 20:
            turns.append("other")
            await asyncio.sleep(0)
    assert "busybusybusy" not in "".join(turns)


@pytest.mark.parametrize("groups", [[], ["members"]])
@pytest.mark.parametrize("checks", ["due", "always"])
async def test_the_end_of_a_generic_consumer(
    settings: Any, monkeypatch: pytest.MonkeyPatch, groups: list[str], checks: str
) -> None:
    """It leaves its groups, is told once, and goes to the thread only where that is due."""
    settings.CHANNEL_LAYERS = {"default": {"BACKEND": MEMORY}}
    codes, hops = [], []
    original = channels.db.aclose_old_connections

    class Ending(AsyncWebsocketConsumer):
        async def disconnect(self, code: int) -> None:
            codes.append(code)

    Ending.groups = groups
    async with Client(as_stream(Ending, database_checks=checks)) as client:
        await client.connect()
        client.open("probe")
        await client.expect_opened("probe")
        executor = asyncio.get_running_loop().run_in_executor
        monkeypatch.setattr(
            asyncio.get_running_loop(),
            "run_in_executor",
            lambda *args: hops.append(args) or executor(*args),
        )
        client.close("probe", code=3000)
        await client.expect_ended("probe", 3000)
    assert codes == [3000]
    assert channels.db.aclose_old_connections is original
    assert len(hops) == (2 if checks == "always" else bool(groups))


async def test_a_disconnect_of_ones_own_is_called() -> None:
    """A class with a `websocket_disconnect` of its own is told by it."""
    told = []

    class Own(AsyncWebsocketConsumer):
        async def websocket_disconnect(self, message: Any) -> None:
            told.append(message["code"])
            await super().websocket_disconnect(message)

    async with Client(as_stream(Own)) as client:
        await client.connect()
        client.close("probe", code=3000)
        await client.expect_ended("probe", 3000)
    assert told == [3000]


async def test_a_replaced_look_at_the_end_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody has replaced Channels' look at the end, it goes on being called."""
    called = []

    async def look() -> None:
        called.append(True)

    monkeypatch.setattr("channels.generic.websocket.aclose_old_connections", look)
    async with Client(as_stream(Echo)) as client:
        await client.connect()
        client.close("probe")
        await client.expect_ended("probe", 1000)
    assert called
