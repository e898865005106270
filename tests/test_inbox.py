"""What one child receives."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import pytest
import pytest_asyncio

from channels_demultiplexer.inbox import Inbox, Space
from channels_demultiplexer.routing import Message

from .driver import settled

CONNECT = {"type": "websocket.connect"}
DISCONNECT = {"type": "websocket.disconnect", "code": 1000, "reason": ""}


def frame(text: str) -> Message:
    """Return a data frame."""
    return {"type": "websocket.receive", "text": text}


A, B, C = frame("a"), frame("b"), frame("c")


@pytest.fixture
def inbox() -> Inbox:
    """An inbox of two frames whose child has not taken its connect."""
    return Inbox(2, Space(1000))


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
    await settled()
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


async def test_future_with_a_result_of_its_own(accepted: Inbox) -> None:
    """A future that is done otherwise takes nothing, and is forgotten at the next call."""
    before = futures()
    for _ in range(10):
        accepted.receive_future().set_result(CONNECT)
    assert futures() - before == 1
    accepted.put(A)
    assert accepted.receive_future().result() is A


# Test capacity.


@pytest.mark.parametrize("capacity", [1, 2, 100])
async def test_capacity(capacity: int) -> None:
    """As many frames wait as the capacity says; connect does not count."""
    inbox = Inbox(capacity, Space(1000))
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
    """An inbox is full when as many frames wait as may, until one is taken."""
    assert accepted.put(A)
    assert accepted.put(B)
    assert not accepted.put(C)
    assert await accepted.receive() is A
    assert accepted.put(C)
    assert taken(accepted) == [B, C]


async def test_disconnect_does_not_count(accepted: Inbox) -> None:
    """A disconnect takes no room, and finds some in a full inbox."""
    accepted.put(A)
    accepted.disconnect(DISCONNECT)
    assert accepted.put(B)
    assert taken(accepted) == [A, B, DISCONNECT]


async def test_clear(accepted: Inbox) -> None:
    """What waits can be dropped; the disconnect is not."""
    accepted.put(A)
    accepted.put(B)
    accepted.clear()
    accepted.disconnect(DISCONNECT)
    assert taken(accepted) == [DISCONNECT]


async def test_clear_empty(accepted: Inbox) -> None:
    """An empty inbox can be cleared, and used on."""
    accepted.clear()
    accepted.put(A)
    assert taken(accepted) == [A]


# Test the space that inboxes share.


def inboxes(limit: int) -> tuple[Inbox, Inbox, Space]:
    """Return two inboxes that share a space of `limit` bytes, and that space."""
    space = Space(limit)
    return Inbox(10, space), Inbox(10, space), space


async def accept(inbox: Inbox) -> None:
    """Have a child take the connect, and accept."""
    await inbox.receive()
    inbox.accept()


def text(content: str) -> Message:
    return {"type": "websocket.receive", "text": content}


def data(content: bytes) -> Message:
    return {"type": "websocket.receive", "bytes": content}


@pytest.mark.parametrize("make", [lambda size: text("x" * size), lambda size: data(bytes(size))])
async def test_space_is_shared(make: Any) -> None:
    """What waits in one inbox leaves the others less room, in bytes; what is taken, more."""
    first, second, _ = inboxes(10)
    await accept(first)
    assert first.put(make(7))
    assert not second.put(make(4))
    assert second.put(make(3))
    assert not second.put(make(1))
    await first.receive()
    assert second.put(make(7))
    assert not first.put(make(1))


def test_size_of_text_is_in_utf8() -> None:
    """Text counts as UTF-8."""
    first, second, _ = inboxes(4)
    assert first.put(text("\u00e9"))
    assert not second.put(text("\u20ac"))
    assert second.put(text("\u00e9"))


def test_one_frame_always_waits() -> None:
    """One frame is taken, however large, where nothing else waits: not even an empty one."""
    first, second, _ = inboxes(1)
    assert first.put(text("xx"))
    assert not second.put(text(""))
    first.clear()
    assert second.put(text(""))
    assert not first.put(text("xx"))
    assert first.put(text("x"))


async def test_frame_that_does_not_wait_needs_no_space() -> None:
    """A frame for a call that waits needs no space, unless it comes back."""
    first, second, _ = inboxes(1)
    await accept(first)
    call = asyncio.create_task(first.receive())
    await asyncio.sleep(0)
    assert first.put(text("x"))
    assert second.put(text("x"))
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    second.clear()
    assert not second.put(text("x"))
    assert taken(first) == [text("x")]
    assert second.put(text("x"))


async def test_finished_child_takes_no_space(calls: Any) -> None:
    """When a child has finished, neither what waits nor what comes back takes space."""
    first, second, _ = inboxes(1)
    await accept(first)
    call = await calls(first.receive())
    first.put(text("x"))
    first.put(text("y"))
    first.finish()
    call.cancel()
    assert await ended(call)
    assert second.put(text("x"))


async def test_freed(calls: Any) -> None:
    """A call of `freed` waits until a frame is taken from some inbox, each time anew."""
    first, _, space = inboxes(10)
    await accept(first)
    for _ in range(2):
        first.put(A)
        call = await calls(space.freed())
        assert not await ended(call)
        await first.receive()
        assert await ended(call)


async def test_freed_by_accept(inbox: Inbox, calls: Any) -> None:
    """A call of `freed` is woken where accepting lets a call take a frame."""
    first, _, space = inboxes(10)
    await first.receive()
    receiving = await calls(first.receive())
    first.put(A)
    call = await calls(space.freed())
    first.accept()
    assert await ended(call)
    assert await receiving is A


@pytest.mark.parametrize("receive", [Inbox.receive, Inbox.receive_future])
async def test_freed_by_a_call_that_waits(receive: Any, calls: Any) -> None:
    """A call of `freed` is woken where a child waits: what it gets needs no room."""
    first, _, space = inboxes(10)
    await accept(first)
    call = await calls(space.freed())
    receiving = await calls(receive(first))
    assert await ended(call)
    assert not await ended(receiving)


async def test_freed_for_a_call_that_waits(inbox: Inbox, calls: Any) -> None:
    """So it is where a child that waits may take data from now on, though there is none yet."""
    first, _, space = inboxes(10)
    await first.receive()
    receiving = await calls(first.receive())
    call = await calls(space.freed())
    first.accept()
    assert await ended(call)
    assert not await ended(receiving)


async def test_wake(calls: Any) -> None:
    """A call of `freed` can be woken with nothing taken; waking nobody does nothing later."""
    space = Space(1)
    space.wake()
    call = await calls(space.freed())
    assert not await ended(call)
    space.wake()
    assert await ended(call)


async def test_idle(accepted: Inbox, calls: Any) -> None:
    """It is told whether the child has taken data since it was last asked."""
    for take_at_once in (False, True):
        accepted.idle = True
        if take_at_once:
            call = await calls(accepted.receive())
            accepted.put(A)
            assert await call is A
        else:
            accepted.put(A)
            assert accepted.idle
            await accepted.receive()
        assert not accepted.idle


# Test credit.


def grants(inbox: Inbox) -> tuple[int, list[int]]:
    """Begin credit; return the first, and the list of what is granted."""
    granted: list[int] = []
    return inbox.begin_credit(granted.append), granted


@pytest.mark.parametrize(("capacity", "half"), [(1, 1), (2, 1), (3, 2), (100, 50)])
async def test_credit(capacity: int, half: int) -> None:
    """Half of the capacity, rounded up, is granted as soon as so much was taken."""
    inbox = Inbox(capacity, Space(1000))
    await accept(inbox)
    first, granted = grants(inbox)
    assert first == capacity
    for number in range(1, 3 * half + 1):
        assert inbox.put(A)
        await inbox.receive()
        assert granted == [half] * (number // half)


async def test_credit_counts_what_waits() -> None:
    """The first credit is the free places, and what waited before is granted when taken."""
    inbox = Inbox(4, Space(1000))
    await accept(inbox)
    inbox.put(A)
    inbox.put(B)
    inbox.put(C)
    first, granted = grants(inbox)
    assert first == 1
    assert inbox.put(A)
    assert not inbox.put(A)
    await inbox.receive()
    assert granted == []
    await inbox.receive()
    assert granted == [2]


async def test_credit_anew() -> None:
    """An `open` that asks again starts the count anew."""
    inbox = Inbox(4, Space(1000))
    await accept(inbox)
    _, old = grants(inbox)
    inbox.put(A)
    await inbox.receive()
    inbox.put(B)
    first, new = grants(inbox)
    assert first == 3
    await inbox.receive()
    inbox.put(A)
    await inbox.receive()
    assert (old, new) == ([], [2])


async def test_more_than_the_credit() -> None:
    """Who sends more than it may fills places that are not granted yet, and is not granted them."""
    inbox = Inbox(4, Space(1000))
    await accept(inbox)
    _, granted = grants(inbox)
    for _ in range(4):
        inbox.put(A)
    await inbox.receive()  # one place is free, and not granted
    assert inbox.put(B)
    assert not inbox.put(B)
    await inbox.receive()
    assert granted == []
    await inbox.receive()
    assert granted == [2]


async def test_credit_of_a_call_that_waits(calls: Any) -> None:
    """A frame for a call that waits is taken at once; given back, it waits again."""
    inbox = Inbox(1, Space(1000))
    await accept(inbox)
    _, granted = grants(inbox)
    call = await calls(inbox.receive())
    inbox.put(A)
    assert granted == [1]
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert inbox.put(B), "the client has been granted it"
    assert not inbox.put(C)
    assert await inbox.receive() is A
    assert granted == [1]
    assert await inbox.receive() is B
    assert granted == [1, 1]


async def test_credit_where_more_waits_than_has_a_place(calls: Any) -> None:
    """A frame that was given back to a full inbox is no place that could be granted."""
    inbox = Inbox(1, Space(1000))
    await accept(inbox)
    call = await calls(inbox.receive())
    inbox.put(A)
    inbox.put(B)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    first, granted = grants(inbox)
    assert first == 0
    assert await inbox.receive() is A
    assert granted == []
    assert await inbox.receive() is B
    assert granted == [1]


async def test_grant_waits_for_the_one_before(calls: Any) -> None:
    """While a grant is to be sent, what becomes due is granted with the next, all at once."""
    inbox = Inbox(4, Space(1000))
    await accept(inbox)
    _, granted = grants(inbox)
    inbox.hold()
    for _ in range(3):
        inbox.missed()
    assert granted == []
    inbox.release()
    assert granted == [3]


async def test_frame_that_misses() -> None:
    """A frame that does not come here counts as taken, as far as there is credit for it."""
    inbox = Inbox(2, Space(1000))
    inbox.missed()
    await accept(inbox)
    _, granted = grants(inbox)
    inbox.missed()
    assert granted == [1]
    inbox.put(A)
    inbox.put(A)
    inbox.missed()
    assert granted == [1]


async def test_frame_of_others_needs_no_credit() -> None:
    """A frame that the client has not sent here leaves its credit alone."""
    inbox = Inbox(2, Space(1000))
    await accept(inbox)
    _, granted = grants(inbox)
    assert inbox.put(A, own=False)
    assert inbox.put(B)
    assert not inbox.put(C, own=False)
    assert inbox.put(C)
    for _ in range(2):
        await inbox.receive()
    assert granted == [1]


async def test_hold(accepted: Inbox, calls: Any) -> None:
    """A child that is held takes no data, but its disconnect, after the data."""
    accepted.hold()
    accepted.put(A)
    call = await calls(accepted.receive())
    accepted.put(B)
    assert not await ended(call)
    accepted.release()
    assert await call is A
    accepted.hold()
    accepted.disconnect(DISCONNECT)
    assert taken(accepted) == [B, DISCONNECT]


async def test_no_grant_after_the_disconnect(accepted: Inbox) -> None:
    """Who is to end grants nothing more."""
    _, granted = grants(accepted)
    accepted.put(A)
    accepted.put(B)
    accepted.disconnect(DISCONNECT)
    assert taken(accepted) == [A, B, DISCONNECT]
    assert granted == []
