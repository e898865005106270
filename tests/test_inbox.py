"""What one child receives."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
import pytest_asyncio

from channels_demultiplexer.inbox import Inbox
from channels_demultiplexer.routing import Message

CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000, "reason": ""}


def frame(text: str) -> Message:
    """Return a data frame."""
    return {"type": "websocket.receive", "text": text}


A, B, C = frame("a"), frame("b"), frame("c")


@pytest.fixture
def inbox() -> Inbox:
    """An inbox of two frames whose child has not taken its connect."""
    return Inbox(2)


@pytest_asyncio.fixture
async def accepted(inbox: Inbox) -> Inbox:
    """An inbox of two frames whose child has accepted."""
    await inbox.receive()
    inbox.accept()
    return inbox


@pytest_asyncio.fixture
async def calls() -> AsyncIterator[Any]:
    """Start a call and wait until it waits; what still waits after the test is cancelled."""
    tasks: list[asyncio.Task[Any]] = []

    async def start(call: Awaitable[Any]) -> asyncio.Task[Any]:
        async def run() -> Any:
            return await call

        tasks.append(asyncio.create_task(run()))
        await asyncio.sleep(0)
        return tasks[-1]

    yield start
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def taken(inbox: Inbox) -> list[Message]:
    """Take what can be taken without waiting."""
    messages = []
    while True:
        call = inbox.receive()
        try:
            call.send(None)
        except StopIteration as done:
            messages.append(done.value)
        else:
            with pytest.raises(asyncio.CancelledError):
                call.throw(asyncio.CancelledError())
            return messages


async def ended(call: asyncio.Task[Any]) -> bool:
    """Say whether `call` has ended once the loop has run."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    return call.done()


def futures() -> int:
    """Count the futures in memory."""
    gc.collect()
    return sum(type(thing) is asyncio.Future for thing in gc.get_objects())


def test_small(inbox: Inbox) -> None:
    """An inbox, of which there are many, has no dictionary."""
    assert not hasattr(inbox, "__dict__")


# Test receive.


async def test_connect_comes_first(inbox: Inbox) -> None:
    """The first message is the connect, once."""
    inbox.put(A)
    assert await inbox.receive() == CONNECT
    assert taken(inbox) == []


async def test_started(inbox: Inbox) -> None:
    """An inbox has started once the connect is taken."""
    inbox.put(A)
    assert inbox.started is False
    await inbox.receive()
    assert inbox.started is True


async def test_data_waits_for_accept(inbox: Inbox) -> None:
    """Data waits until the child has accepted, and comes in order."""
    assert await inbox.receive() == CONNECT
    inbox.put(A)
    inbox.put(B)
    assert taken(inbox) == []
    inbox.accept()
    assert taken(inbox) == [A, B]


async def test_data_waits_for_connect(inbox: Inbox) -> None:
    """Data does not overtake the connect, though the child has accepted."""
    inbox.accept()
    inbox.put(A)
    assert taken(inbox) == [CONNECT, A]


async def test_data_after_accept(accepted: Inbox) -> None:
    """Data comes as it is, and in order."""
    accepted.put(A)
    accepted.put(B)
    assert await accepted.receive() is A
    assert await accepted.receive() is B


async def test_receive_waits(accepted: Inbox, calls: Any) -> None:
    """A call waits until there is data."""
    call = await calls(accepted.receive())
    assert not call.done()
    assert accepted.put(A) is True
    assert await call is A
    assert taken(accepted) == []


async def test_receive_waits_for_accept(inbox: Inbox, calls: Any) -> None:
    """A call waits until the child, which may do so elsewhere, accepts."""
    await inbox.receive()
    call = await calls(inbox.receive())
    inbox.put(A)
    assert not await ended(call)
    inbox.accept()
    assert await call is A


async def test_calls_wait_in_order(accepted: Inbox, calls: Any) -> None:
    """Of several calls the first has the first frame."""
    first = await calls(accepted.receive())
    second = await calls(accepted.receive())
    accepted.put(A)
    accepted.put(B)
    assert [await first, await second] == [A, B]


async def test_accept_serves_all_calls(inbox: Inbox, calls: Any) -> None:
    """On accepting each call that waits has a frame, as far as there are some."""
    await inbox.receive()
    waiting = [await calls(inbox.receive()) for _ in range(3)]
    inbox.put(A)
    inbox.put(B)
    inbox.accept()
    assert [await waiting[0], await waiting[1]] == [A, B]
    assert not waiting[2].done()


# Test the disconnect.


async def test_disconnect(accepted: Inbox) -> None:
    """The disconnect comes as it is, after what waits, and once."""
    accepted.put(A)
    accepted.disconnect(DISCONNECT)
    assert await accepted.receive() is A
    assert await accepted.receive() is DISCONNECT
    assert taken(accepted) == []


async def test_disconnect_before_connect(inbox: Inbox) -> None:
    """A child that is told to end before it begins has its connect all the same."""
    inbox.disconnect(DISCONNECT)
    assert taken(inbox) == [CONNECT, DISCONNECT]


async def test_disconnect_before_accept(inbox: Inbox) -> None:
    """The disconnect does not wait for data that the child may not have yet."""
    inbox.put(A)
    await inbox.receive()
    inbox.disconnect(DISCONNECT)
    assert taken(inbox) == [DISCONNECT]


async def test_accept_before_disconnect_is_taken(inbox: Inbox) -> None:
    """A child that accepts before it takes the disconnect has its data first."""
    inbox.put(A)
    await inbox.receive()
    inbox.disconnect(DISCONNECT)
    inbox.accept()
    assert taken(inbox) == [A, DISCONNECT]


async def test_nothing_after_disconnect(inbox: Inbox) -> None:
    """Nothing comes after the disconnect, though the child should accept then."""
    inbox.put(A)
    await inbox.receive()
    inbox.disconnect(DISCONNECT)
    assert await inbox.receive() is DISCONNECT
    inbox.accept()
    assert taken(inbox) == []


async def test_disconnect_wakes(accepted: Inbox, calls: Any) -> None:
    """A call that waits has the disconnect, and a second one waits on."""
    first = await calls(accepted.receive())
    second = await calls(accepted.receive())
    accepted.disconnect(DISCONNECT)
    assert await first is DISCONNECT
    assert not await ended(second)


# Test cancelled calls.


async def test_cancelled_call(accepted: Inbox, calls: Any) -> None:
    """A call that is cancelled takes nothing."""
    call = await calls(accepted.receive())
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    accepted.put(A)
    assert taken(accepted) == [A]


async def test_cancelled_before_it_runs(accepted: Inbox, calls: Any) -> None:
    """A frame that comes while a cancellation is on its way goes to the next call."""
    first = await calls(accepted.receive())
    second = await calls(accepted.receive())
    first.cancel()
    accepted.put(A)
    assert await second is A
    assert first.cancelled()


async def test_cancelled_while_full(accepted: Inbox, calls: Any) -> None:
    """A frame that finds only a cancelled call waits in the inbox."""
    call = await calls(accepted.receive())
    call.cancel()
    assert [accepted.put(message) for message in (A, B, C)] == [True, True, False]
    assert await ended(call)
    assert taken(accepted) == [A, B]


async def test_cancelled_before_disconnect(accepted: Inbox, calls: Any) -> None:
    """A disconnect that comes while a cancellation is on its way goes to the next call."""
    first = await calls(accepted.receive())
    second = await calls(accepted.receive())
    first.cancel()
    accepted.disconnect(DISCONNECT)
    assert await second is DISCONNECT


@pytest.mark.parametrize("count", [1, 2])
async def test_all_cancelled_before_disconnect(accepted: Inbox, calls: Any, count: int) -> None:
    """A disconnect that finds only cancelled calls waits in the inbox."""
    for call in [await calls(accepted.receive()) for _ in range(count)]:
        call.cancel()
    accepted.disconnect(DISCONNECT)
    assert taken(accepted) == [DISCONNECT]


async def test_cancelled_with_frame(accepted: Inbox, calls: Any) -> None:
    """A frame that a cancelled call had been given is the next one again."""
    call = await calls(accepted.receive())
    accepted.put(A)
    accepted.put(B)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert taken(accepted) == [A, B]


async def test_cancelled_with_only_frame(accepted: Inbox, calls: Any) -> None:
    """A frame that a cancelled call had been given is not lost where no other waits."""
    call = await calls(accepted.receive())
    accepted.put(A)
    call.cancel()
    assert await ended(call)
    assert taken(accepted) == [A]


async def test_cancelled_with_frame_while_other_waits(accepted: Inbox, calls: Any) -> None:
    """A frame that a cancelled call had been given goes to a call that waits."""
    first = await calls(accepted.receive())
    second = await calls(accepted.receive())
    accepted.put(A)
    first.cancel()
    assert await second is A


async def test_cancelled_with_disconnect(accepted: Inbox, calls: Any) -> None:
    """A disconnect that a cancelled call had been given comes again."""
    call = await calls(accepted.receive())
    accepted.disconnect(DISCONNECT)
    call.cancel()
    assert await ended(call)
    assert taken(accepted) == [DISCONNECT]


async def test_cancelled_with_disconnect_while_other_waits(accepted: Inbox, calls: Any) -> None:
    """A disconnect that a cancelled call had been given goes to a call that waits."""
    first = await calls(accepted.receive())
    second = await calls(accepted.receive())
    accepted.disconnect(DISCONNECT)
    first.cancel()
    assert await second is DISCONNECT


async def test_polling_leaves_nothing(accepted: Inbox) -> None:
    """A child that polls, and gives up each time, keeps nothing of its calls in memory."""
    before = futures()
    for _ in range(20):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await accepted.receive()
    assert futures() <= before + 1


# Test capacity.


@pytest.mark.parametrize("capacity", [1, 2, 100])
async def test_capacity(capacity: int) -> None:
    """As many frames wait as the capacity says; connect does not count."""
    inbox = Inbox(capacity)
    assert [inbox.put(A) for _ in range(capacity)] == [True] * capacity
    assert inbox.put(B) is False
    await inbox.receive()
    assert inbox.put(B) is False
    inbox.accept()
    assert taken(inbox) == [A] * capacity


async def test_frame_being_handled_does_not_count(accepted: Inbox) -> None:
    """A frame that is taken makes room."""
    accepted.put(A)
    accepted.put(B)
    await accepted.receive()
    assert accepted.put(C) is True
    assert taken(accepted) == [B, C]


async def test_frame_for_a_waiting_call_does_not_count(accepted: Inbox, calls: Any) -> None:
    """A frame that a call waits for takes no room."""
    call = await calls(accepted.receive())
    assert [accepted.put(message) for message in (A, B, C)] == [True] * 3
    assert await call is A


async def test_full(accepted: Inbox) -> None:
    """An inbox is full when as many frames wait as may."""
    assert accepted.full is False
    accepted.put(A)
    assert accepted.full is False
    accepted.put(B)
    assert accepted.full is True
    await accepted.receive()
    assert accepted.full is False


async def test_disconnect_does_not_count(accepted: Inbox) -> None:
    """A disconnect takes no room, and finds some in a full inbox."""
    accepted.put(A)
    accepted.disconnect(DISCONNECT)
    assert accepted.full is False
    accepted.put(B)
    assert taken(accepted) == [A, B, DISCONNECT]


async def test_clear(accepted: Inbox) -> None:
    """What waits can be dropped; the disconnect is not."""
    accepted.put(A)
    accepted.put(B)
    accepted.clear()
    assert accepted.full is False
    accepted.disconnect(DISCONNECT)
    assert taken(accepted) == [DISCONNECT]


async def test_clear_empty(accepted: Inbox) -> None:
    """An empty inbox can be cleared, and used on."""
    accepted.clear()
    accepted.put(A)
    assert taken(accepted) == [A]


# Test room.


async def test_room(accepted: Inbox, calls: Any) -> None:
    """A call of `room` waits until a frame is taken."""
    accepted.put(A)
    accepted.put(B)
    call = await calls(accepted.room())
    assert not await ended(call)
    await accepted.receive()
    assert await ended(call)


async def test_room_by_accept(inbox: Inbox, calls: Any) -> None:
    """A call of `room` is woken where accepting lets a call take a frame."""
    await inbox.receive()
    receiving = await calls(inbox.receive())
    inbox.put(A)
    inbox.put(B)
    call = await calls(inbox.room())
    inbox.accept()
    assert await ended(call)
    assert await receiving is A


async def test_room_again(accepted: Inbox, calls: Any) -> None:
    """A call of `room` waits anew, though an earlier one was woken."""
    accepted.put(A)
    accepted.put(B)
    first = await calls(accepted.room())
    await accepted.receive()
    assert await ended(first)
    accepted.put(C)
    second = await calls(accepted.room())
    assert not await ended(second)
    await accepted.receive()
    assert await ended(second)


async def test_wake(accepted: Inbox, calls: Any) -> None:
    """A call of `room` can be woken with no room made."""
    accepted.put(A)
    accepted.put(B)
    call = await calls(accepted.room())
    accepted.wake()
    assert await ended(call)
    assert accepted.full is True


async def test_wake_nobody(accepted: Inbox, calls: Any) -> None:
    """Waking nobody does nothing, and nothing later."""
    accepted.wake()
    accepted.put(A)
    accepted.put(B)
    call = await calls(accepted.room())
    assert not await ended(call)
