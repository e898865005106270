"""Several receivers with one owner."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest
from channels.utils import await_many_dispatch

from channels_demultiplexer.inbox import Inbox, Space
from channels_demultiplexer.receivers import dispatch_from

from .driver import settled, until, within


class Source:
    """A receiver that a test feeds; an exception is raised when its turn comes."""

    def __init__(self, *messages: Any) -> None:
        self.messages: asyncio.Queue[Any] = asyncio.Queue()
        self.calls = 0
        self.put(*messages)

    def put(self, *messages: Any) -> None:
        for message in messages:
            self.messages.put_nowait(message)

    async def __call__(self) -> Any:
        self.calls += 1
        message = await self.messages.get()
        if isinstance(message, BaseException):
            raise message
        return message


async def forever() -> Any:
    """Receive nothing."""
    await asyncio.Event().wait()


class Stop(Exception):
    """Ends a dispatch."""


@pytest.fixture(params=[await_many_dispatch, dispatch_from], ids=["channels", "ours"])
def dispatcher(request: pytest.FixtureRequest) -> Any:
    """Channels' own function, and the one that replaces it."""
    return request.param


# What both do.


async def test_messages_are_dispatched_in_channels_order(dispatcher: Any) -> None:
    """Ready receivers take turns in their order, and each is called again after its dispatch."""
    first, second = Source("a1", "a2", "a3"), Source("b1", "b2")
    got: list[Any] = []

    async def dispatch(message: Any) -> None:
        got.append((message, first.calls, second.calls))
        if message == "a1":
            # Ready before the pass over the receivers is over.
            await settled()
        if message == "a3":
            raise Stop

    with pytest.raises(Stop):
        await within(dispatcher([first, second], dispatch), "the end")
    assert got == [("a1", 1, 1), ("b1", 1, 1), ("a2", 2, 2), ("b2", 2, 2), ("a3", 3, 3)]


async def test_a_receiver_that_is_ready_during_a_dispatch_has_its_turn_in_the_same_pass(
    dispatcher: Any,
) -> None:
    """What comes to the second receiver while the first one's is dispatched comes next."""
    first, second = Source("a1", "a2"), Source()
    got: list[Any] = []

    async def dispatch(message: Any) -> None:
        got.append(message)
        if message == "a1":
            second.put("b1")
            await settled()
        if message == "a2":
            raise Stop

    with pytest.raises(Stop):
        await within(dispatcher([first, second], dispatch), "the end")
    assert got == ["a1", "b1", "a2"]


async def test_one_message_is_dispatched_at_a_time(dispatcher: Any) -> None:
    """While a dispatch waits no other one begins, and its receiver is not called again."""
    first, second = Source("a1", "a2"), Source("b1")
    gate, log = asyncio.Event(), []

    async def dispatch(message: Any) -> None:
        log.append(message)
        await gate.wait()
        if message == "a2":
            raise Stop

    task = asyncio.create_task(dispatcher([first, second], dispatch))
    await settled()
    assert (log, first.calls) == (["a1"], 1)
    gate.set()
    with pytest.raises(Stop):
        await within(task, "the end")
    assert log == ["a1", "b1", "a2"]


async def test_a_receiver_that_always_has_something_leaves_others_their_time(
    dispatcher: Any,
) -> None:
    """Other tasks run between two messages, though nothing is waited for."""
    ticks: list[int] = []
    dispatched: list[int] = []

    async def receive() -> Any:
        return {}

    async def dispatch(message: Any) -> None:
        dispatched.append(len(ticks))
        if len(dispatched) == 50:
            raise Stop

    async def tick() -> None:
        while True:
            await asyncio.sleep(0)
            ticks.append(0)

    ticker = asyncio.create_task(tick())
    with pytest.raises(Stop):
        await within(dispatcher([receive], dispatch), "the end")
    ticker.cancel()
    assert dispatched == sorted(set(dispatched))
    await asyncio.wait([ticker])


@pytest.mark.parametrize("others", [0, 1])
async def test_what_dispatch_raises_cancels_the_receivers(dispatcher: Any, others: int) -> None:
    """The exception is raised when no receiver runs any more."""

    async def dispatch(message: Any) -> None:
        raise Stop

    source = Source("a1")
    with pytest.raises(Stop):
        await within(dispatcher([source, *[forever] * others], dispatch), "the end")
    assert asyncio.all_tasks() == {asyncio.current_task()}


# What Channels' doesn't.


@pytest.mark.parametrize("position", [0, 1])
async def test_what_a_receiver_raises_leaves_no_other_behind(position: int) -> None:
    """The others are cancelled and awaited, whether before or after it in order."""
    receivers: list[Any] = [forever, forever]
    receivers.insert(position, Source(LookupError("receive")))

    async def dispatch(message: Any) -> None: ...

    with pytest.raises(LookupError, match="receive"):
        await within(dispatch_from(receivers, dispatch), "the end")
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_what_a_receiver_raises_when_called_leaves_no_other_behind() -> None:
    """A receiver that is no coroutine function may raise at once."""

    def bad() -> Any:
        raise LookupError("called")

    async def dispatch(message: Any) -> None: ...

    with pytest.raises(LookupError, match="called"):
        await within(dispatch_from([forever, bad], dispatch), "the end")
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_receivers_are_awaited_when_they_take_their_time_to_end() -> None:
    """A receiver that cleans up has done so before the exception is raised."""
    log: list[str] = []

    async def slow() -> Any:
        try:
            await forever()
        finally:
            await settled()
            log.append("clean")

    async def dispatch(message: Any) -> None:
        raise Stop

    with pytest.raises(Stop):
        await within(dispatch_from([Source("a"), slow, slow], dispatch), "the end")
    assert log == ["clean", "clean"]


@pytest.mark.parametrize("steps", range(12))
async def test_a_cancellation_at_any_point_leaves_nothing_behind(steps: int) -> None:
    """It is raised after all receivers have ended, wherever it comes."""
    log: list[str] = []

    async def slow() -> Any:
        log.append("begun")
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            return "b"
        finally:
            log.append("ended")

    async def dispatch(message: Any) -> None:
        log.append("begun")
        try:
            await asyncio.sleep(0)
        finally:
            log.append("ended")

    task = asyncio.create_task(dispatch_from([Source("a1", "a2"), slow], dispatch))
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(task, "the end")
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert log.count("begun") == log.count("ended")


async def test_a_second_cancellation_cancels_receivers_again() -> None:
    """A receiver that did not obey is told again; neither is forgotten."""
    log: list[str] = []

    async def stubborn() -> Any:
        for _ in range(2):
            try:
                await forever()
            except asyncio.CancelledError:
                log.append("cancelled")

    async def dispatch(message: Any) -> None:
        raise Stop

    source = Source()
    task = asyncio.create_task(dispatch_from([source, stubborn], dispatch))
    await settled()
    source.put("a")
    await until(lambda: log)
    await settled()
    assert not task.done()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await within(task, "the end")
    assert log == ["cancelled", "cancelled"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_second_exception_is_logged(caplog: Any) -> None:
    """Of two receivers that raise one is heard, and the other's traceback is in the log."""

    async def fails_at_the_end() -> Any:
        try:
            await forever()
        finally:
            raise OSError("too late")

    async def dispatch(message: Any) -> None: ...

    receivers = [Source(LookupError("first")), Source(KeyError("second")), fails_at_the_end]
    with pytest.raises(LookupError, match="first"):
        await within(dispatch_from(receivers, dispatch), "the end")
    records = [(each.name, each.getMessage()) for each in caplog.records]
    assert records == [
        ("channels_demultiplexer", "a receiver failed at the end: KeyError('second')"),
        ("channels_demultiplexer", "a receiver failed at the end: OSError('too late')"),
    ]
    assert "fails_at_the_end" in caplog.text


# The first receiver, where it returns futures.


class Futures:
    """A first receiver, and what it has returned."""

    def __init__(self) -> None:
        self.made: list[asyncio.Future[Any]] = []

    def __call__(self) -> asyncio.Future[Any]:
        self.made.append(asyncio.get_running_loop().create_future())
        return self.made[-1]


async def test_a_first_receiver_costs_neither_task_nor_turn() -> None:
    """What it has is dispatched at the next turn of the loop, and only others have tasks."""
    first, source = Futures(), Source()
    got: list[Any] = []

    async def dispatch(message: Any) -> None:
        got.append((message, len(asyncio.all_tasks())))
        if message == "a2":
            raise Stop

    task = asyncio.create_task(dispatch_from([source], dispatch, first))
    await settled()
    first.made[0].set_result("a1")
    await asyncio.sleep(0)
    assert got == [("a1", 3)]  # the test's, the one that dispatches, and the source's
    first.made[1].set_result("a2")
    with pytest.raises(Stop):
        await within(task, "the end")


async def test_a_first_receiver_gives_way_to_another() -> None:
    """Its future is done by None where another receiver has something, or is cancelled."""
    first, source = Futures(), Source()
    got: list[Any] = []

    async def dispatch(message: Any) -> None:
        got.append(message)
        if message == "b2":
            raise Stop

    task = asyncio.create_task(dispatch_from([source], dispatch, first))
    await settled()
    source.put("b1")
    await settled()
    assert first.made[0].result() is None
    source.put("b2")
    with pytest.raises(Stop):
        await within(task, "the end")
    assert got == ["b1", "b2"]
    assert [each.cancelled() for each in first.made] == [False, False, True]


@pytest.mark.parametrize("steps", range(6))
async def test_no_message_of_an_inbox_is_lost_to_another_receiver(steps: int) -> None:
    """Whenever it comes beside another receiver's, it is dispatched, and in its order."""
    inbox, source = Inbox(10, Space(1000)), Source()
    inbox.accept()
    got: list[Any] = []

    async def dispatch(message: Any) -> None:
        got.append(message.get("text", message["type"]))
        if "websocket.disconnect" in got:
            raise Stop

    task = asyncio.create_task(dispatch_from([source], dispatch, inbox.receive_future))
    await settled()
    source.put({"type": "b", "text": "b"})
    for _ in range(steps):
        await asyncio.sleep(0)
    for text in ("a1", "a2"):
        inbox.put({"type": "websocket.receive", "text": text})
    await settled()
    inbox.disconnect({"type": "websocket.disconnect"})
    with pytest.raises(Stop):
        await within(task, "the end")
    assert [text for text in got if text != "b"] == [
        "websocket.connect",
        "a1",
        "a2",
        "websocket.disconnect",
    ]
    assert got.count("b") == 1


async def test_a_first_receiver_that_always_has_something_leaves_others_their_time() -> None:
    """Other tasks run, and other receivers have their turn, between two of its messages."""
    log: list[str] = []

    def first() -> asyncio.Future[Any]:
        future = asyncio.get_running_loop().create_future()
        future.set_result("a")
        return future

    async def dispatch(message: Any) -> None:
        log.append(message)
        if log.count("a") == 4:
            raise Stop

    async def tick() -> None:
        while True:
            log.append("tick")
            await asyncio.sleep(0)

    ticker = asyncio.create_task(tick())
    with pytest.raises(Stop):
        await within(dispatch_from([Source("b")], dispatch, first), "the end")
    ticker.cancel()
    assert log.count("b") == 1
    assert ("a", "a") not in pairwise(each for each in log if each != "b")
    await asyncio.wait([ticker])
