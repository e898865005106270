"""The order of what is sent, and what becomes of it where the server does not take it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from channels_demultiplexer.outbox import Outbox

from .driver import settled, until, within

pytestmark = pytest.mark.usefixtures("task_factory")


class Server:
    """A server that takes a message when it is told to."""

    def __init__(self) -> None:
        self.taken: list[Any] = []
        #: The tasks in which it was called.
        self.tasks: list[Any] = []
        self.error: BaseException | None = None
        self.refused: list[Any] = []
        self._go = asyncio.Semaphore(0)

    def go(self, count: int = 1) -> None:
        for _ in range(count):
            self._go.release()

    async def __call__(self, message: Any) -> None:
        self.tasks.append(asyncio.current_task())
        await self._go.acquire()
        if message in self.refused:
            raise ValueError(f"refused {message}")
        if self.error is not None:
            raise self.error
        self.taken.append(message)


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def outbox(server: Server) -> Outbox:
    return Outbox(server, "/socket/")


def sending(outbox: Outbox, message: Any) -> asyncio.Task[None]:
    return asyncio.create_task(outbox.send(message))


async def test_order_of_the_calls(server: Server, outbox: Outbox) -> None:
    """What is sent and what is posted goes out in the order of the calls, one at a time."""
    first = sending(outbox, 1)
    await settled()
    posted = outbox.post(2)
    second = sending(outbox, 3)
    await settled()
    later = [outbox.post(4), outbox.post(5)]
    for number in range(1, 6):
        await settled()
        assert server.taken == list(range(1, number))
        assert len(server.tasks) == number
        server.go()
    await settled()
    assert server.taken == [1, 2, 3, 4, 5]
    assert all(each.done() for each in (first, posted, second, *later))


async def test_who_sends(server: Server, outbox: Outbox) -> None:
    """Who sends does so in its own task; what is posted goes by the writer."""
    server.go(4)
    task = sending(outbox, 1)
    await settled()
    outbox.post(2)
    await settled()
    assert server.tasks[0] is task
    assert server.tasks[1] not in (task, asyncio.current_task())
    await outbox.send(3)
    assert server.tasks[2] is asyncio.current_task()


async def test_posted_is_done_when_taken(server: Server, outbox: Outbox) -> None:
    """What `post` returns is done when the server has taken the message."""
    posted = outbox.post(1)
    await settled()
    assert not posted.done()
    server.go()
    await settled()
    assert posted.done()


async def test_cancelled_before_its_turn(server: Server, outbox: Outbox) -> None:
    """A call that is cancelled while it waits sends nothing, and leaves nothing behind."""
    first, second = sending(outbox, 1), sending(outbox, 2)
    await settled()
    second.cancel()
    await settled()
    assert second.cancelled()
    assert not outbox._waiting
    third = sending(outbox, 3)
    server.go(2)
    await asyncio.wait({first, third})
    assert server.taken == [1, 3]


async def test_cancelled_just_before_its_turn(server: Server, outbox: Outbox) -> None:
    """A call that is cancelled, but has not noticed yet, is passed over."""
    first, second, third = (sending(outbox, number) for number in (1, 2, 3))
    await settled()
    server.go()
    second.cancel()
    await asyncio.wait({first, second})
    assert second.cancelled()
    server.go()
    await asyncio.wait({third})
    assert server.taken == [1, 3]


@pytest.mark.parametrize("posted", [False, True])
async def test_cancelled_with_its_turn(server: Server, outbox: Outbox, posted: bool) -> None:
    """A call that is cancelled in the moment of its turn passes it on."""
    first, second = sending(outbox, 1), sending(outbox, 2)
    await settled()
    last = outbox.post(3) if posted else sending(outbox, 3)
    await settled()
    first.cancel()
    await until(first.done)
    second.cancel()
    server.go(2)
    await settled()
    assert second.cancelled()
    assert last.done()
    assert server.taken == [3]
    await outbox.send(4)
    assert server.taken == [3, 4]


async def test_cancelled_while_the_server_takes_it(server: Server, outbox: Outbox) -> None:
    """A call that is cancelled while the server has it lets the next go on."""
    first, second = sending(outbox, 1), sending(outbox, 2)
    await settled()
    first.cancel()
    server.go()
    await asyncio.wait({first, second})
    assert server.taken == [2]


async def test_cancelled_between_answers(server: Server, outbox: Outbox) -> None:
    """What is posted behind a call that is cancelled is sent by a task that can be ended."""
    first = sending(outbox, 1)
    await settled()
    posted = outbox.post(2)
    second = sending(outbox, 3)
    await settled()
    last = outbox.post(4)
    server.go(2)
    second.cancel()
    await asyncio.wait({first, second, posted})
    await settled()
    assert server.taken == [1, 2]
    assert outbox.writer is server.tasks[-1]
    outbox.shut()
    await within(last, "the last answer")


async def test_withdraw(server: Server, outbox: Outbox) -> None:
    """What is posted can be withdrawn, until it is being sent."""
    first, second, third = outbox.post(1), outbox.post(2), outbox.post(3)
    await settled()
    outbox.withdraw(first)
    outbox.withdraw(second)
    assert second.done()
    outbox.withdraw(second)
    server.go(2)
    await settled()
    assert third.done()
    assert server.taken == [1, 3]


async def test_withdraw_behind_a_call(server: Server, outbox: Outbox) -> None:
    """So can what is posted behind a call that waits for its turn."""
    first, second = sending(outbox, 1), sending(outbox, 2)
    await settled()
    posted = outbox.post(3)
    outbox.withdraw(posted)
    assert posted.done()
    server.go(3)
    await asyncio.wait({first, second})
    await settled()
    assert server.taken == [1, 2]


async def test_withdraw_from_nothing(outbox: Outbox) -> None:
    """Where nothing waits, nothing is withdrawn."""
    outbox.withdraw(asyncio.get_running_loop().create_future())


async def test_client_that_has_gone(
    server: Server, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """An OSError of the server is a client that has gone: what is sent is dropped from then on."""
    caplog.set_level(logging.DEBUG)
    server.error = ConnectionError("gone")
    first, second, posted = sending(outbox, 1), sending(outbox, 2), outbox.post(3)
    server.go()
    await asyncio.wait({first, second, posted})
    assert [first.result(), second.result(), posted.result()] == [None, None, None]
    assert outbox.post(4).done()
    await outbox.send(5)
    assert len(server.tasks) == 1
    assert "'/socket/' has gone: ConnectionError('gone')" in caplog.text


async def test_client_that_goes_while_posting(server: Server, outbox: Outbox) -> None:
    """So is one of which an answer tells, whose alternative is not tried."""
    server.error = ConnectionError()
    posted = outbox.post(1, instead=2)
    server.go()
    await posted
    await outbox.send(3)
    assert len(server.tasks) == 1


async def test_other_error(server: Server, outbox: Outbox) -> None:
    """Anything else raises where it is sent, and the next goes on."""
    server.error = LookupError()
    server.go(2)
    with pytest.raises(LookupError):
        await outbox.send(1)
    server.error = None
    await outbox.send(2)
    assert server.taken == [2]


async def test_other_error_of_an_answer(
    server: Server, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Of an answer it is logged, and told to who waits; the next goes on."""
    server.error = LookupError("why")
    first, second = outbox.post(1), outbox.post(2)
    server.go()
    await asyncio.wait({first})
    assert isinstance(first.exception(), LookupError)
    server.error = None
    server.go()
    await second
    assert server.taken == [2]
    [record] = caplog.records
    assert record.getMessage() == "'/socket/': the server refused an answer"
    assert record.exc_info is not None
    assert record.exc_info[1] is first.exception()


async def test_instead(server: Server, outbox: Outbox, caplog: pytest.LogCaptureFixture) -> None:
    """Where the server refuses a message, the other is sent, and nothing is logged."""
    server.refused = [1]
    posted = outbox.post(1, instead=2)
    server.go(2)
    await posted
    assert server.taken == [2]
    assert not caplog.records


async def test_instead_refused_too(
    server: Server, outbox: Outbox, caplog: pytest.LogCaptureFixture
) -> None:
    """Where it refuses both, that is logged."""
    server.refused = [1, 2]
    posted = outbox.post(1, instead=2)
    server.go(2)
    with pytest.raises(ValueError, match="refused 2"):
        await posted
    assert "the server refused an answer" in caplog.text


async def test_instead_not_needed(server: Server, outbox: Outbox) -> None:
    """Where the server takes a message, the other is not sent."""
    posted = outbox.post(1, instead=2)
    server.go(2)
    await posted
    await settled()
    assert server.taken == [1]


async def test_shut(server: Server, outbox: Outbox) -> None:
    """When nobody is there to take it, what waits is dropped, and the writer is cancelled."""
    posted = [outbox.post(1), outbox.post(2)]
    await settled()
    writer = outbox.writer
    assert writer is not None
    outbox.shut()
    await asyncio.wait({*posted, writer})
    await settled()
    assert writer.cancelled()
    assert outbox.writer is not None
    assert outbox.writer.done()
    await outbox.send(3)
    assert outbox.post(4).done()
    assert server.taken == []


async def test_shut_before_the_writer_has_begun(server: Server, outbox: Outbox) -> None:
    """Nobody waits for what is dropped, or for the turn, where the writer had not begun."""
    posted = outbox.post(1)
    waiting = sending(outbox, 2)
    outbox.shut()
    await within(asyncio.wait({posted, waiting}), "those who wait")
    assert server.taken == []


async def test_shut_while_one_sends(server: Server, outbox: Outbox) -> None:
    """What a task is sending is that task's; what it sends next is dropped."""
    first = sending(outbox, 1)
    await settled()
    posted = outbox.post(2)
    outbox.shut()
    server.go()
    await asyncio.wait({first, posted})
    await settled()
    assert server.taken == [1]
