"""Reading ahead, concurrency, and the ends of a connection."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from channels.layers import get_channel_layer

from channels_demultiplexer.router import AsyncSocketRouterConsumer, SocketRouterConsumer

from .children import CONNECT
from .driver import TIMEOUT, Client, settled, until, within
from .routers import RouterClient, returns

pytestmark = pytest.mark.usefixtures("database_checks")

pytest_plugins = ["tests.router_fixtures"]

variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")


class Gate:
    """What a handler of either kind waits at."""

    def __init__(self) -> None:
        self.reached = threading.Event()
        self.open = threading.Event()
        #: Set for the event loop, together with `open`.
        self.opened = asyncio.Event()
        self.log: list[Any] = []

    def block(self) -> None:
        """Wait in a thread."""
        self.reached.set()
        assert self.open.wait(TIMEOUT)

    async def wait(self) -> None:
        """Wait in the event loop."""
        self.reached.set()
        await self.opened.wait()

    async def until_reached(self) -> None:
        """Wait until somebody is at the gate."""
        assert await asyncio.to_thread(self.reached.wait, TIMEOUT)

    def release(self) -> None:
        """Let everybody through."""
        self.open.set()
        self.opened.set()


@pytest.fixture
async def gate() -> Any:
    """A gate that is open when the test is over."""
    gate = Gate()
    yield gate
    gate.release()


def gated(base: Any, gate: Gate, *, coroutine: bool | None = None) -> Any:
    """Return a consumer whose route `wait` waits at the gate, in its kind's own way."""
    if coroutine is None:
        coroutine = not base._sync

    class App(base):
        routes = [{"route": "wait"}, {"route": "echo"}]

        if coroutine:

            async def on_wait(self) -> Any:
                try:
                    await gate.wait()
                except asyncio.CancelledError:
                    await asyncio.sleep(0)  # cleaning up takes its time
                    gate.log.append("cancelled")
                    raise
                gate.log.append("waited")
                return {"payload": "waited"}

        else:

            def on_wait(self) -> Any:
                gate.block()
                gate.log.append("waited")
                return {"payload": "waited"}

        def on_echo(self, payload: Any) -> Any:
            gate.log.append(payload)
            return {"payload": payload}

        if base._sync:

            def disconnect(self, code: int) -> None:
                gate.log.append(("disconnect", code))

        else:

            async def disconnect(self, code: int) -> None:
                gate.log.append(("disconnect", code))

    return App


# Before connect() has returned.


async def test_what_needs_no_handler_is_answered_once_accepted(
    base: Any, serve: Any, gate: Gate
) -> None:
    """PING, 400 and 404 are answered while connect() still runs, requests wait for its end."""
    parent = gated(base, gate)

    class App(parent):
        if base._sync:

            def connect(self) -> None:
                self.accept()
                gate.block()
                gate.log.append("connected")

        else:

            async def connect(self) -> None:
                await self.accept()
                await gate.wait()
                gate.log.append("connected")

    client = await serve(App)
    await gate.until_reached()
    client.request("echo", payload="early")
    await client.expect_silence()
    assert (await client.ask("nope"))["status"] == 404
    client.send_text("3")
    assert (await client.receive_json())["status"] == 400
    assert gate.log == []
    gate.release()
    assert (await client.receive_json())["payload"] == "early"
    assert gate.log == ["connected", "early"]


async def test_handlers_see_the_context_that_connect_left(base: Any, serve: Any) -> None:
    """Context variables that connect() sets are there in handlers, as in Channels."""

    class App(base):
        routes = [{"route": "x"}]

        if base._sync:

            def connect(self) -> None:
                variable.set("set")
                self.accept()

        else:

            async def connect(self) -> None:
                variable.set("set")
                await self.accept()

        async def on_x(self) -> Any:
            return {"payload": variable.get()}

    assert (await (await serve(App)).ask("x"))["payload"] == "set"


async def test_middleware_may_run_sync_code_in_send(base: Any, serve: Any) -> None:
    """What the library answers does not go through the thread that has accepted."""
    types: list[str] = []
    application = returns(base, None).as_asgi()

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        async def logged(message: Any) -> None:
            await sync_to_async(types.append)(message["type"])
            await send(message)

        await application(scope, receive, logged)

    client = await serve(middleware)
    await client.expect_silence()
    assert (await client.ask("x"))["status"] == 204
    assert types == ["websocket.accept", "websocket.send", "websocket.send"]


async def test_connect_may_refuse(base: Any, gate: Gate) -> None:
    """A refused connection is closed, and its disconnect arrives."""
    parent = gated(base, gate)

    class App(parent):
        if base._sync:

            def connect(self) -> None:
                self.close(4001)

        else:

            async def connect(self) -> None:
                await self.close(4001)

    async with Client(App.as_asgi()) as client:
        client.feed(CONNECT)
        await client.expect_closed(4001)
    assert gate.log == [("disconnect", 4001)]


async def test_a_consumer_may_accept_later(base: Any, layer: Any) -> None:
    """connect() need not accept: a channel-layer handler may."""

    class App(base):
        groups = ["late"]
        routes = [{"route": "x"}]

        if base._sync:

            def connect(self) -> None:
                pass

            def late(self, event: Any) -> None:
                self.accept()

        else:

            async def connect(self) -> None:
                pass

            async def late(self, event: Any) -> None:
                await self.accept()

        def on_x(self) -> None: ...

    async with RouterClient(App.as_asgi()) as client:
        client.feed(CONNECT)
        await until(lambda: layer.groups)
        await layer.group_send("late", {"type": "late"})
        assert (await client.receive())["type"] == "websocket.accept"
        assert (await client.ask("x"))["status"] == 204


async def test_an_exception_of_connect_ends_the_application(base: Any, serve_bare: Any) -> None:
    """What connect() raises reaches the server, though the connection has been accepted."""

    class App(base):
        if base._sync:

            def connect(self) -> None:
                self.accept()
                raise LookupError("connect")

        else:

            async def connect(self) -> None:
                await self.accept()
                raise LookupError("connect")

    client = await serve_bare(App)
    with pytest.raises(LookupError, match="connect"):
        await client.ended()


# Reading ahead.


async def test_up_to_max_pending_requests_wait(base: Any, serve_bare: Any, gate: Gate) -> None:
    """While max_pending requests wait nothing is read, and nothing is lost."""

    class App(gated(base, gate)):  # type: ignore[misc]
        max_pending = 3

    client = await serve_bare(App)
    client.request("wait")
    await gate.until_reached()
    for number in range(2):
        client.request("echo", payload=number)
    await client.expect_silence()
    client.request("echo", payload=2)
    client.send(route="PING", uuid="late")
    client.request("echo", payload=3)
    await settled()
    # After connect, wait, two, PING and one more three wait: the last two are not read.
    assert client.unread == 2
    assert not client.unheard
    gate.release()
    got = [await client.receive_json() for _ in range(6)]
    assert {"route": "PONG", "uuid": "late"} in got
    assert [each["payload"] for each in got if "payload" in each] == ["waited", 0, 1, 2, 3]


async def test_as_a_stream_ping_waits_behind_max_pending_requests_too(
    base: Any, serve: Any, gate: Gate
) -> None:
    """Beyond max_pending requests PING waits, as in any consumer whose handler is busy."""

    class App(gated(base, gate)):  # type: ignore[misc]
        max_pending = 1

    client = await serve(App)
    client.request("wait")
    await gate.until_reached()
    for number in range(2):
        client.request("echo", payload=number)
    client.send(route="PING", uuid="late")
    await settled()
    assert not client.unheard
    gate.release()
    got = [await client.receive_json() for _ in range(4)]
    assert {"route": "PONG", "uuid": "late"} in got


def test_a_hundred_requests_may_wait_by_default(base: Any) -> None:
    """The limits have documented defaults."""
    assert (base.max_pending, base.max_concurrency) == (100, 1)


# Concurrency.


async def test_requests_of_a_connection_are_handled_in_order(
    base: Any, serve: Any, gate: Gate
) -> None:
    """A request is begun when the one before it has been answered."""
    client = await serve(gated(base, gate))
    client.request("wait")
    client.request("echo", payload="next")
    await gate.until_reached()
    await client.expect_silence()
    assert gate.log == []
    gate.release()
    assert [(await client.receive_json())["payload"] for _ in range(2)] == ["waited", "next"]
    assert gate.log == ["waited", "next"]


async def test_an_async_consumer_may_handle_several_at_once(serve: Any) -> None:
    """Up to max_concurrency handlers run, and answers go out as they are ready."""
    running: list[int] = []
    gates = {number: asyncio.Event() for number in range(4)}

    class App(AsyncSocketRouterConsumer):
        max_concurrency = 3
        routes = [{"route": "wait"}]

        async def on_wait(self, payload: int) -> Any:
            running.append(payload)
            await gates[payload].wait()
            return {"payload": payload}

    client = await serve(App)
    for number in range(4):
        client.request("wait", payload=number)
    await client.expect_silence()
    await until(lambda: len(running) >= 3)
    await settled()
    assert running == [0, 1, 2]
    gates[1].set()
    assert (await client.receive_json())["payload"] == 1
    await until(lambda: len(running) >= 4)
    assert running == [0, 1, 2, 3]
    for number in (3, 0, 2):
        gates[number].set()
        assert (await client.receive_json())["payload"] == number


def hears(base: Any, gate: Gate, *, coroutine: bool | None = None) -> Any:
    """Return a gated consumer that logs what it hears of the group `news`."""

    class App(gated(base, gate, coroutine=coroutine)):  # type: ignore[misc]
        groups = ["news"]

        if base._sync:

            def news(self, event: Any) -> None:
                gate.log.append("news")
                self.push("news", None)

        else:

            async def news(self, event: Any) -> None:
                gate.log.append("news")
                await self.push("news", None)

    return App


@pytest.mark.parametrize("coroutine", [False, True])
async def test_async_channel_layer_handlers_run_beside_a_request(
    serve: Any, gate: Gate, layer: Any, coroutine: bool, settings: Any
) -> None:
    """In the async consumer an event is handled while a request is, blocking or not."""
    # A look at the database connections is always due: it must not wait for the blocked thread.
    settings.CHANNELS_DEMULTIPLEXER_DATABASE_CHECKS = "always"
    client = await serve(hears(AsyncSocketRouterConsumer, gate, coroutine=coroutine))
    client.request("wait")
    await gate.until_reached()
    await layer.group_send("news", {"type": "news"})
    assert (await client.receive_json())["route"] == "news"
    assert gate.log == ["news"]
    gate.release()
    assert (await client.receive_json())["payload"] == "waited"


@pytest.mark.parametrize("coroutine", [False, True])
async def test_sync_channel_layer_handlers_take_turns_with_requests(
    serve: Any, gate: Gate, layer: Any, coroutine: bool
) -> None:
    """In the sync consumer an event waits for the request that is being handled."""
    parent = hears(SocketRouterConsumer, gate)

    class App(parent):
        if coroutine:

            async def on_wait(self) -> Any:
                await gate.wait()
                gate.log.append("waited")
                return {"payload": "waited"}

    client = await serve(App)
    client.request("wait")
    await gate.until_reached()
    await layer.group_send("news", {"type": "news"})
    await settled()
    await client.expect_silence()
    assert gate.log == []
    gate.release()
    got = [await client.receive_json() for _ in range(2)]
    assert {each["route"] for each in got} == {"wait", "news"}
    assert gate.log == ["waited", "news"]


# Disconnect.


@pytest.mark.parametrize("coroutine", [False, True])
async def test_disconnect_ends_running_handlers_and_drops_waiting_requests(
    base: Any, serve: Any, gate: Gate, coroutine: bool
) -> None:
    """Coroutines are cancelled, plain functions waited for; then disconnect(code) is called."""
    client = await serve(gated(base, gate, coroutine=coroutine))
    client.request("wait")
    client.request("echo", payload="dropped")
    await gate.until_reached()
    await client.expect_silence()
    client.disconnect(1001)
    if coroutine:
        await client.ended()
        assert gate.log == ["cancelled", ("disconnect", 1001)]
    else:
        await settled()
        assert gate.log == []
        gate.release()
        await client.ended()
        assert gate.log == ["waited", ("disconnect", 1001)]
    assert not client.unheard
    # A client that leaves is no failure of the handler.
    assert not client.log.records


async def test_disconnect_ends_an_idle_connection(base: Any, serve: Any, gate: Gate) -> None:
    """A consumer that was never asked anything learns of the end."""
    client = await serve(gated(base, gate))
    client.disconnect(3000)
    await client.ended()
    assert gate.log == [("disconnect", 3000)]


async def test_steps_after_the_end_do_not_run(base: Any, serve: Any, gate: Gate) -> None:
    """What follows a step that could not be cancelled in time is left out."""

    class App(gated(base, gate)):  # type: ignore[misc]
        routes = [{"route": "echo", "hydrate": lambda: gate.block()}]

    client = await serve(App)
    client.request("echo", payload="dropped")
    await gate.until_reached()
    client.disconnect(1001)
    await settled()
    gate.release()
    await client.ended()
    assert gate.log == [("disconnect", 1001)]


async def test_a_handler_that_swallows_its_cancellation_is_not_answered(
    base: Any, serve: Any, gate: Gate
) -> None:
    """It is awaited all the same, and no other step runs."""

    class App(gated(base, gate)):  # type: ignore[misc]
        routes = [{"route": "stubborn", "dehydrate": lambda payload: gate.log.append("no")}]

        async def on_stubborn(self) -> Any:
            try:
                await gate.wait()
            except asyncio.CancelledError:
                gate.log.append("swallowed")
            return {"payload": 1}

    client = await serve(App)
    client.request("stubborn")
    client.request("stubborn")
    await gate.until_reached()
    client.disconnect(1001)
    await client.ended()
    assert gate.log == ["swallowed", ("disconnect", 1001)]
    assert not client.unheard


async def test_a_handler_that_fails_while_it_is_cancelled_is_logged(
    base: Any, serve: Any, gate: Gate
) -> None:
    """An exception in cleaning up is not lost, though nobody is there to be answered."""

    class App(gated(base, gate)):  # type: ignore[misc]
        async def on_wait(self) -> Any:
            try:
                await gate.wait()
            finally:
                raise LookupError("cleaning up")

    client = await serve(App)
    client.request("wait")
    await gate.until_reached()
    client.disconnect(1001)
    await client.ended()
    assert gate.log == [("disconnect", 1001)]
    assert "LookupError: cleaning up" in client.log.format(client.log.expect("failed"))
    assert not client.unheard


async def test_a_coroutine_made_after_the_end_does_not_run_on(serve: Any, gate: Gate) -> None:
    """A plain handler of a sync consumer may return a coroutine when it is too late for that."""

    async def forever() -> None:
        await asyncio.Event().wait()

    class App(gated(SocketRouterConsumer, gate)):  # type: ignore[misc]
        def on_wait(self) -> Any:
            gate.block()
            return forever()

    client = await serve(App)
    client.request("wait")
    await gate.until_reached()
    client.disconnect(1001)
    await settled()
    gate.release()
    await client.ended()
    assert gate.log == [("disconnect", 1001)]


async def test_disconnect_ends_an_answer_that_nobody_reads(
    base: Any, serve_bare: Any, gate: Gate
) -> None:
    """A server that takes nothing does not hold up the end."""
    client = await serve_bare(gated(base, gate))
    client.hook = lambda message: asyncio.Event().wait()
    client.request("echo", payload="unread")
    await until(lambda: client.unheard)
    client.disconnect(1001)
    await client.ended()
    assert gate.log == ["unread", ("disconnect", 1001)]
    assert client.unheard == 1


async def test_groups_are_joined_and_left(base: Any, serve: Any, layer: Any) -> None:
    """The attribute groups works as in Channels."""

    class App(base):
        groups = ["a", "b"]

    client = await serve(App)
    assert set(layer.groups) == {"a", "b"}
    client.disconnect()
    await client.ended()
    assert not layer.groups


# Closing.


async def test_a_handler_that_closes_gets_no_answer_sent(base: Any, serve: Any, gate: Gate) -> None:
    """Nothing is sent or handled after a close, and the disconnect ends it."""

    class App(gated(base, gate)):  # type: ignore[misc]
        routes = [{"route": "close"}]

        if base._sync:

            def on_close(self) -> Any:
                gate.block()
                self.close(4000)
                return {"payload": "unheard"}

        else:

            async def on_close(self) -> Any:
                await gate.wait()
                await self.close(4000)
                return {"payload": "unheard"}

    client = await serve(App)
    client.request("close")
    await gate.until_reached()
    client.request("echo", payload="waiting")
    await client.expect_silence()
    gate.release()
    message = await client.receive()
    assert (message["type"], message["code"]) == ("websocket.close", 4000)
    client.request("echo", payload="too late")
    client.send(route="PING")
    await settled()
    client.disconnect(4000)
    await client.ended()
    assert gate.log == [("disconnect", 4000)]
    assert not client.unheard


async def test_a_handler_may_wait_after_its_close(base: Any, serve_bare: Any, gate: Gate) -> None:
    """Though max_pending requests waited and nothing was read, the disconnect is."""
    parent = gated(base, gate)

    class App(parent):
        max_pending = 1

        if base._sync:

            def on_wait(self) -> Any:
                gate.block()
                self.close(4000)
                return self.forever()

        else:

            async def on_wait(self) -> Any:
                await gate.wait()
                await self.close(4000)
                await self.forever()

        async def forever(self) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                gate.log.append("cancelled")
                raise

    client = await serve_bare(App)
    client.request("wait")
    await gate.until_reached()
    client.request("echo", payload="dropped")
    client.request("echo", payload="unread")
    await settled()
    gate.release()
    await client.expect_closed(4000)
    await client.ended()
    assert gate.log == ["cancelled", ("disconnect", 4000)]
    assert not client.unheard


# Other ends.


@pytest.mark.parametrize("coroutine", [False, True])
async def test_cancelling_the_application_leaves_nothing(
    base: Any, serve_bare: Any, gate: Gate, coroutine: bool
) -> None:
    """A server that cancels its task waits for the handlers; disconnect() is not called."""
    client = await serve_bare(gated(base, gate, coroutine=coroutine))
    client.request("wait")
    await gate.until_reached()
    client.task.cancel()
    await settled()
    if not coroutine:
        assert not client.task.done()
        gate.release()
    with pytest.raises(asyncio.CancelledError):
        await client.ended()
    assert gate.log == ["waited" if not coroutine else "cancelled"]


async def test_cancelling_twice_cancels_handlers_again(serve_bare: Any, gate: Gate) -> None:
    """A handler that did not obey the disconnect is cancelled with the application."""

    class App(gated(AsyncSocketRouterConsumer, gate)):  # type: ignore[misc]
        async def on_wait(self) -> None:
            for _ in range(2):
                try:
                    await gate.wait()
                except asyncio.CancelledError:
                    gate.log.append("cancelled")

    client = await serve_bare(App)
    client.request("wait")
    await gate.until_reached()
    client.disconnect(1001)
    await until(lambda: gate.log)
    assert gate.log == ["cancelled"]
    client.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await client.ended()
    assert gate.log == ["cancelled", "cancelled"]


async def test_an_exception_of_a_channel_layer_handler_ends_the_application(
    base: Any, serve_bare: Any, gate: Gate, layer: Any
) -> None:
    """It reaches the server as in Channels, and running handlers are cancelled."""

    class App(gated(base, gate, coroutine=not base._sync)):  # type: ignore[misc]
        if base._sync:

            def bad(self, event: Any) -> None:
                raise LookupError("bad")

        else:

            async def bad(self, event: Any) -> None:
                raise LookupError("bad")

        async def on_where(self) -> Any:
            return {"payload": self.channel_name}

        routes = [{"route": "where"}]

    client = await serve_bare(App)
    channel = (await client.ask("where"))["payload"]
    if not base._sync:
        client.request("wait")
        await gate.until_reached()
    await layer.send(channel, {"type": "bad"})
    with pytest.raises(LookupError, match="bad"):
        await client.ended()
    assert gate.log == ([] if base._sync else ["cancelled"])


async def test_a_cancellation_during_the_end_is_not_lost(
    serve_bare: Any, gate: Gate, layer: Any
) -> None:
    """The end goes on waiting for a thread, and the server's cancellation wins then."""

    class App(gated(AsyncSocketRouterConsumer, gate, coroutine=False)):  # type: ignore[misc]
        routes = [{"route": "where"}]

        async def on_where(self) -> Any:
            return {"payload": self.channel_name}

        async def bad(self, event: Any) -> None:
            gate.log.append("bad")
            raise LookupError("bad")

    client = await serve_bare(App)
    channel = (await client.ask("where"))["payload"]
    client.request("wait")
    await gate.until_reached()
    await layer.send(channel, {"type": "bad"})
    await until(lambda: gate.log == ["bad"])
    await settled()
    client.task.cancel()
    await settled()
    assert not client.task.done()
    gate.release()
    with pytest.raises(asyncio.CancelledError):
        await client.ended()


async def test_a_client_that_has_gone_is_no_failure(base: Any, serve_bare: Any, gate: Gate) -> None:
    """A server's send raises OSError then; the consumer lives to see its disconnect."""
    client = await serve_bare(gated(base, gate))
    client.request("wait")
    client.request("echo", payload="dropped")
    await gate.until_reached()
    await client.expect_silence()
    client.send_error = ConnectionResetError()
    gate.release()
    await until(lambda: client.unheard)
    await settled()
    client.request("echo", payload="too late")
    client.disconnect(1006)
    await client.ended()
    assert gate.log == ["waited", ("disconnect", 1006)]
    assert not client.log.records


@pytest.mark.parametrize("message", [{"route": "PING"}, {"route": "echo", "uuid": 1}])
async def test_another_error_of_the_server_ends_the_application(
    base: Any, serve_bare: Any, gate: Gate, message: Any
) -> None:
    """What the server's send raises reaches the server, wherever it was called."""
    client = await serve_bare(gated(base, gate))
    client.send_error = LookupError("send")
    client.send(**message)
    with pytest.raises(LookupError, match="send"):
        await client.ended()


async def test_an_error_of_the_servers_receive_ends_the_application(base: Any) -> None:
    """What the server's receive raises reaches the server."""

    async def receive() -> Any:
        raise LookupError("receive")

    async def send(message: Any) -> None: ...

    application = returns(base, None).as_asgi()
    with pytest.raises(LookupError, match="receive"):
        await application({"type": "websocket"}, receive, send)


async def test_an_error_of_the_servers_receive_at_the_end_is_too_late(
    base: Any, caplog: Any, layer: Any
) -> None:
    """What ended the application is raised, and no task is left with an unheard exception."""
    messages = [{"type": "websocket.connect"}]

    class App(base):
        groups = ["news"]

        if base._sync:

            def news(self, event: Any) -> None:
                raise LookupError("news")

        else:

            async def news(self, event: Any) -> None:
                raise LookupError("news")

    async def receive() -> Any:
        if messages:
            return messages.pop()
        try:
            return await asyncio.Event().wait()
        finally:
            raise KeyError("receive")

    async def send(message: Any) -> None:
        await layer.group_send("news", {"type": "news"})

    with pytest.raises(LookupError, match="news"):
        await within(App.as_asgi()({"type": "websocket"}, receive, send), "the end")
    layer.groups.clear()  # as in Channels, which leaves them at a disconnect only
    gc.collect()
    assert not caplog.records


async def test_a_consumer_may_outlive_its_disconnect(base: Any, serve_bare: Any) -> None:
    """Without StopConsumer the application goes on, as in Channels, but handles no requests."""
    codes: list[int] = []

    class App(base):
        routes = [{"route": "x"}]

        def on_x(self) -> None:
            codes.append(0)

        if base._sync:

            def websocket_disconnect(self, message: Any) -> None:
                codes.append(message["code"])
                if len(codes) == 2:
                    super().websocket_disconnect(message)

        else:

            async def websocket_disconnect(self, message: Any) -> None:
                codes.append(message["code"])
                if len(codes) == 2:
                    await super().websocket_disconnect(message)

    client = await serve_bare(App)
    client.disconnect(1001)
    await until(lambda: codes)
    await settled()
    client.request("x")
    client.disconnect(1002)
    await client.ended()
    assert codes == [1001, 1002]


async def test_other_messages_reach_their_handlers(base: Any, serve_bare: Any) -> None:
    """Whatever else a server sends is dispatched, and reading goes on."""

    class App(base):
        if base._sync:

            def app_event(self, message: Any) -> None:
                self.push("event", message["what"])

        else:

            async def app_event(self, message: Any) -> None:
                await self.push("event", message["what"])

    client = await serve_bare(App)
    for number in range(2):
        client.feed({"type": "app.event", "what": number})
        assert (await client.receive_json())["payload"] == number
    await client.expect_silence()


async def test_a_message_without_a_handler_ends_the_application(base: Any, serve_bare: Any) -> None:
    """It raises what Channels raises."""
    client = await serve_bare(base)
    client.feed({"type": "app.event"})
    with pytest.raises(ValueError, match=r"^No handler for message type app\.event$"):
        await client.ended()


async def test_a_connection_works_without_a_channel_layer(
    base: Any, serve: Any, settings: Any
) -> None:
    """A channel layer is needed for groups only."""
    settings.CHANNEL_LAYERS = {}
    client = await serve(returns(base, {"payload": 1}))
    assert (await client.ask("x"))["payload"] == 1


async def test_a_consumer_may_have_another_channel_layer(
    base: Any, serve: Any, settings: Any
) -> None:
    """channel_layer_alias works as in Channels."""
    settings.CHANNEL_LAYERS = {
        "other": {"BACKEND": "channels.layers.InMemoryChannelLayer"},
    }

    class App(base):
        channel_layer_alias = "other"
        groups = ["news"]

        if base._sync:

            def news(self, event: Any) -> None:
                self.push("news", None)

        else:

            async def news(self, event: Any) -> None:
                await self.push("news", None)

    client = await serve(App)
    await get_channel_layer("other").group_send("news", {"type": "news"})
    assert (await client.receive_json())["route"] == "news"
