"""Full inboxes, clients that do not read, and what keeps its order."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import pytest

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .children import CONNECT, Echo, Life, Puppet, SyncEcho, bye, plain_echo, text
from .driver import Client, binary, connected, demultiplexer, settled, until, within
from .virtual_time import running_loop

pytestmark = pytest.mark.usefixtures("database_checks")

LONG = 60
"""A stall timeout that no test reaches."""


async def full(client: Client, puppet: Puppet, capacity: int, *, name: str = "a") -> Life:
    """Return an accepted life of the eager stream `name`, whose inbox is full."""
    life = await puppet.life()
    await life.accept()
    for number in range(capacity):
        client.data(name, number)
    await client.expect_silence()
    return life


# The bound.


@pytest.mark.parametrize("capacity", [1, 3])
async def test_capacity(capacity: int) -> None:
    """As many frames wait as the capacity says; connect and the frame in work don't count."""
    puppet = Puppet()
    async with connected(
        {"a": puppet}, stream_capacity=capacity, stream_overflow="reject"
    ) as client:
        life = await full(client, puppet, capacity)
        client.data("a", "more")
        await client.expect_error(429, "a")
        assert await life.receive() == text("0")  # being handled from here on
        client.data("a", "now")
        await client.expect_silence()
        client.data("a", "more")
        await client.expect_error(429, "a")


async def test_capacity_before_acceptance() -> None:
    """The bound holds for frames that wait for the acceptance."""
    async with connected({"a": Puppet()}, stream_capacity=2, stream_overflow="reject") as client:
        for _ in range(2):
            client.data("a", 1)
        await client.expect_silence()
        client.send_bytes(binary("a", b""))
        await client.expect_error(429, "a")


async def test_disconnect_does_not_count() -> None:
    """A full inbox takes a disconnect, after the data that waits."""
    puppet = Puppet()
    async with connected({"a": puppet}, stream_capacity=1) as client:
        life = await full(client, puppet, 1)
        client.close("a", code=3000)
        assert await life.receive() == text("0")
        assert await life.receive() == bye(3000)


async def test_each_stream_has_its_own_inbox() -> None:
    """A full inbox of one stream leaves the other's room."""
    first, second = Puppet(), Puppet()
    attributes: dict[str, Any] = {"stream_capacity": 1, "stream_overflow": "reject"}
    async with connected({"a": first, "b": second}, **attributes) as client:
        await full(client, first, 1, name="a")
        await full(client, second, 1, name="b")
        client.data("b", 1)
        await client.expect_error(429, "b")


# The policy `pause`.


async def test_pause_reads_nothing_further() -> None:
    """Under `pause` a full inbox stops the reading, pings included, until there is room."""
    puppet = Puppet()
    attributes = {"stream_capacity": 2, "stall_timeout": LONG}
    async with connected({"a": puppet, "b": Echo}, **attributes) as client:
        life = await full(client, puppet, 2)
        client.data("a", 2)
        client.send(event="ping")
        client.data("b", 1)
        await settled()
        assert client.unread == 2
        assert await life.receive() == text("0")
        await client.expect_frame(event="pong")
        await client.expect_frame(stream="b", payload=1)
        assert await life.receive() == text("1")
        assert await life.receive() == text("2")


async def test_pause_is_the_default() -> None:
    """Without a policy the socket pauses, and nothing is lost."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await full(client, puppet, 100)
        for number in range(100, 250):
            client.data("a", number)
        await settled()
        assert client.unread == 149
        for number in range(250):
            assert await life.receive() == text(str(number))


@pytest.mark.parametrize("echo", [Echo, SyncEcho, plain_echo])
async def test_pause_keeps_the_order(echo: Any) -> None:
    """Many frames through a small inbox come out all, in order."""
    async with connected({"a": echo}, stream_capacity=1, stall_timeout=LONG) as client:
        for number in range(50):
            client.data("a", number)
        for number in range(50):
            await client.expect_frame(stream="a", payload=number)


async def test_pause_again_and_again() -> None:
    """The socket pauses each time that the inbox is full."""
    puppet = Puppet()
    async with connected({"a": puppet}, stream_capacity=1, stall_timeout=LONG) as client:
        life = await full(client, puppet, 1)
        for number in range(1, 4):
            client.data("a", number)
            await settled()
            client.send(event="ping")
            await settled()
            assert client.unread == 1
            assert await life.receive() == text(str(number - 1))
            await client.expect_frame(event="pong")


async def test_stall() -> None:
    """Without room in time the stream ends with 1013, and the socket goes on."""
    puppet = Puppet()
    attributes = {"stream_capacity": 2, "stall_timeout": 0.01}
    async with connected({"a": puppet, "b": Echo}, **attributes) as client:
        life = await full(client, puppet, 2)
        client.data("a", 2)
        client.data("b", 1)
        await client.expect_ended("a", 1013)
        await client.expect_frame(stream="b", payload=1)
        assert await life.receive() == bye(1013)


async def test_room_in_time() -> None:
    """A child that makes room in time does not stall, however often."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}, stream_capacity=1, stall_timeout=LONG) as client:
        life = await full(client, puppet, 1)
        for number in range(1, 5):
            client.data("a", number)
            await settled()
            assert await life.receive() == text(str(number - 1))
            await client.expect_silence()


@pytest.mark.parametrize("how", ["close", "crash", "return"])
async def test_stream_that_ends_during_a_pause(how: str) -> None:
    """When the stream ends, the reading goes on at once, and the frame is answered with 409."""
    puppet = Puppet()
    attributes = {"stream_capacity": 1, "stall_timeout": LONG}
    async with connected({"a": puppet, "b": Echo}, **attributes) as client:
        life = await full(client, puppet, 1)
        client.data("a", 1)
        client.data("b", 1)
        await settled()
        if how == "close":
            await life.send_close()
        elif how == "crash":
            life.crash(LookupError())
        else:
            life.finish()
        await client.expect_ended("a", 1011 if how == "crash" else 1000)
        await client.expect_error(409, "a")
        await client.expect_frame(stream="b", payload=1)
        if how == "crash":
            client.log.expect("crashed")


async def test_last_stream_that_closes_during_a_pause() -> None:
    """When the stream's end has closed the socket, the frame is answered no more."""
    puppet = Puppet()
    attributes = {"stream_capacity": 1, "stall_timeout": LONG}
    async with connected({"a": puppet}, **attributes) as client:
        life = await full(client, puppet, 1)
        client.data("a", 1)
        await settled()
        await life.send_close()
        await client.expect_ended("a", 1000)
        await client.expect_closed(1000)
        await settled()
        life.finish()
        await client.ended()
        assert not client.unheard


async def test_room_in_the_very_moment_of_a_stall() -> None:
    """A child that takes a frame in the moment in which the time is over has not stalled."""
    puppet = Puppet()
    async with connected({"a": puppet}, stall_timeout=5, stream_capacity=1) as client:
        life = await full(client, puppet, 1)

        async def take() -> Any:
            await asyncio.sleep(5)
            return await life.receive()

        taking = asyncio.create_task(take())
        client.data("a", 1)
        assert await taking == text("0")
        assert await life.receive() == text("1")
        await client.expect_silence()


async def test_pause_before_acceptance() -> None:
    """A child that does not accept can hold up the socket, and stalls too."""
    puppet = Puppet()
    attributes = {"stream_capacity": 1, "stall_timeout": 0.01}
    async with connected({"a": puppet, "b": Echo}, **attributes) as client:
        client.open("a")
        client.data("a", 0)
        client.data("a", 1)
        await client.expect_ended("a", 1013)
        await client.expect_silence()
        life = await puppet.life()
        await life.receive()
        assert await life.receive() == bye(1013)


async def test_polling_children_do_not_stop_a_pause() -> None:
    """A wake-up that makes no room does not end the pause."""
    puppet = Puppet()
    attributes = {"stream_capacity": 1, "stall_timeout": LONG}
    async with connected({"a": puppet}, **attributes) as client:
        life = await puppet.life()
        await life.accept()
        call = asyncio.create_task(life._receive())
        await settled()
        client.data("a", 0)
        client.data("a", 1)
        client.data("a", 2)
        await until(lambda: not client.unread)
        call.cancel()  # gives its frame back
        with pytest.raises(asyncio.CancelledError):
            await call
        for number in range(3):
            assert await life.receive() == text(str(number))


async def test_disconnect_during_a_pause() -> None:
    """A socket that has ended while it paused ends its streams when it reads on."""
    puppet = Puppet()
    async with connected({"a": puppet}, stream_capacity=1, stall_timeout=LONG) as client:
        life = await full(client, puppet, 1)
        client.data("a", 1)
        client.disconnect(1001)
        await settled()
        assert await life.receive() == text("0")
        assert await life.receive() == text("1")
        assert await life.receive() == bye(1001)


# The policy `reject`.


async def test_reject() -> None:
    """Under `reject` the frame is refused with 429, and everything goes on at once."""
    puppet = Puppet()
    attributes: dict[str, Any] = {"stream_capacity": 1, "stream_overflow": "reject"}
    async with connected({"a": puppet, "b": Echo}, **attributes) as client:
        life = await full(client, puppet, 1)
        client.data("a", "refused")
        assert "send this frame later" in await client.expect_error(429, "a")
        client.data("b", 1)
        await client.expect_frame(stream="b", payload=1)
        assert await life.receive() == text("0")
        client.data("a", "taken")
        assert await life.receive() == text('"taken"')


# The policy `close`.


@pytest.mark.parametrize("binary_message", [False, True])
async def test_close_policy(binary_message: bool) -> None:
    """Under `close` the stream ends with 1013 at once, and the socket goes on."""
    puppet = Puppet()
    attributes: dict[str, Any] = {"stream_capacity": 1, "stream_overflow": "close"}
    async with connected({"a": puppet, "b": Echo}, stall_timeout=LONG, **attributes) as client:
        life = await full(client, puppet, 1)
        if binary_message:
            client.send_bytes(binary("a", b"1"))
        else:
            client.data("a", 1)
        client.data("b", 1)
        await client.expect_ended("a", 1013)
        await client.expect_frame(stream="b", payload=1)
        client.data("a", 2)
        await client.expect_error(409, "a")
        assert await life.receive() == bye(1013)


# The end with 1013.


async def test_stalled_child_is_told_and_unheard() -> None:
    """A stalled child gets its disconnect without what waited; what it sends is dropped."""
    puppet = Puppet()
    attributes: dict[str, Any] = {"stream_capacity": 1, "stream_overflow": "close"}
    async with connected({"a": puppet, "b": Echo}, **attributes) as client:
        life = await full(client, puppet, 1)
        client.data("a", 1)
        await client.expect_ended("a", 1013)
        await life.send_text("dropped")
        await life.send_close(code=4000)
        assert await life.receive() == bye(1013)
        await client.expect_silence()
        client.open("a")
        await (await puppet.life()).accept()
        await client.expect_opened("a")


async def test_stalled_child_has_its_time() -> None:
    """A stalled child that does not leave is cancelled in time, with a warning."""
    puppet = Puppet()
    attributes: dict[str, Any] = {
        "stream_capacity": 1,
        "stream_overflow": "close",
        "consumer_close_timeout": 0.01,
        "close_when_empty": False,
    }
    async with connected({"a": puppet}, **attributes) as client:
        life = await full(client, puppet, 1)
        client.data("a", 1)
        await client.expect_ended("a", 1013)
        await life.cancelled()
        client.log.expect("'a'.*cancelled")


async def test_stall_answers_an_open() -> None:
    """The `close` of a stream that stalls before it has accepted answers its `open`."""
    attributes: dict[str, Any] = {"stream_capacity": 1, "stream_overflow": "close"}
    async with connected({"a/<int:n>": Puppet()}, **attributes) as client:
        client.open("a/1")
        client.data("a/1", 0)
        client.data("a/1", 1)
        await client.expect_ended("a/1", 1013)
        await client.expect_silence()


@pytest.mark.parametrize("policy", ["pause", "close"])
async def test_stall_of_a_life_that_waits(policy: str) -> None:
    """A life that stalls before it could begin is answered right after the one before it."""
    puppet = Puppet()
    attributes: dict[str, Any] = {
        "stream_capacity": 1,
        "stream_overflow": policy,
        "stall_timeout": 0.01,
    }
    async with connected({"a": puppet, "b": Echo}, **attributes) as client:
        first = await puppet.life()
        client.close("a", code=3000)
        client.open("a")
        client.data("a", 0)
        client.data("a", 1)
        client.data("b", 1)
        await client.expect_frame(stream="b", payload=1)
        client.data("a", 2)
        await client.expect_error(409, "a")
        client.open("a")
        await client.expect_silence()
        first.finish()
        await client.expect_ended("a", 3000)
        await client.expect_ended("a", 1013)
        second = await puppet.life()
        assert await second.receive() == CONNECT
        assert await second.receive() == bye(1013)
        await client.expect_silence()
        second.finish()
        await (await puppet.life()).accept()
        await client.expect_opened("a")


# What waits in all inboxes together.


@pytest.mark.parametrize("how", ["crash", "return"])
async def test_child_that_has_finished_takes_no_room(how: str) -> None:
    """What a child has left in its inbox takes no room from other streams."""
    puppets = Puppet(), Puppet()
    attributes: dict[str, Any] = {"max_waiting_size": 3, "stream_overflow": "reject"}
    async with connected({"a": puppets[0], "b": puppets[1]}, **attributes) as client:
        life = await full(client, puppets[0], 3)
        if how == "crash":
            life.crash(LookupError())
        else:
            life.finish()
        await client.expect_ended("a", 1011 if how == "crash" else 1000)
        for _ in range(3):
            client.data("b", 1)
        await client.expect_silence()
        if how == "crash":
            client.log.expect("crashed")


async def test_child_that_waits_gets_what_has_no_room() -> None:
    """Where others fill the room, a child that has waited for nothing else is not held up."""
    puppets = Puppet(), Puppet()
    attributes = {"max_waiting_size": 3, "stall_timeout": LONG}
    async with connected({"a": puppets[0], "b": puppets[1]}, **attributes) as client:
        await full(client, puppets[0], 3)
        life = await puppets[1].life()
        await life.accept()
        client.data("b", 1)
        client.send(event="ping")
        await until(lambda: client.unread == 1)
        assert await life.receive() == text("1")
        await client.expect_frame(event="pong")


# Clients that do not read.


async def test_sends_wait_for_the_client() -> None:
    """What a child sends is awaited to the server: a client that takes nothing holds it up."""
    puppet = Puppet()
    async with Client(demultiplexer({"a": puppet}), capacity=1) as client:
        await client.connect()
        life = await puppet.life()
        await life.accept()
        await life.send_text("0")
        sending = asyncio.create_task(life.send_text("1"))
        await settled()
        assert not sending.done()
        await client.expect_frame(stream="a", payload=0)
        await within(sending, "the send")
        await client.expect_frame(stream="a", payload=1)


@pytest.mark.parametrize("what", ["bytes", "accept", "close"])
async def test_other_sends_wait_for_the_client(what: str) -> None:
    """So do bytes, an accept that is to be confirmed, and a close."""
    puppet, other = Puppet(), Puppet()
    async with Client(demultiplexer({"a": puppet, "b": other}), capacity=1) as client:
        await client.connect()
        life, blocking = await puppet.life(), await other.life()
        await blocking.accept()
        if what == "accept":
            client.open("a")
        else:
            await life.accept()
        await client.expect_silence()
        await blocking.send_text("0")
        message = {"type": "websocket.send" if what == "bytes" else f"websocket.{what}"}
        sending = asyncio.create_task(life.send({**message, "bytes": b""}))
        await settled()
        assert not sending.done()
        await client.expect_frame(stream="b", payload=0)
        await within(sending, "the send")
        await client.receive()


async def test_slow_client_keeps_the_order() -> None:
    """What several children send through a full socket comes in the order of their sends."""
    puppets = {name: Puppet() for name in "abc"}
    async with Client(demultiplexer(puppets), capacity=1) as client:
        await client.connect()
        lives = {name: await puppet.life() for name, puppet in puppets.items()}
        for life in lives.values():
            await life.accept()
        order = list("abccbaabc")
        sends = []
        for number, name in enumerate(order):
            sends.append(asyncio.create_task(lives[name].send_text(str(number))))
            await settled()
        for number, name in enumerate(order):
            await client.expect_frame(stream=name, payload=number)
        await within(asyncio.gather(*sends), "the sends")


async def test_close_waits_behind_data() -> None:
    """A stream's `close` does not overtake the data that waits to be sent."""
    puppet = Puppet()
    async with Client(demultiplexer({"a": puppet, "b": Echo}), capacity=1) as client:
        await client.connect()
        life = await puppet.life()
        await life.accept()
        sends = [asyncio.create_task(life.send_text(str(number))) for number in range(3)]
        await settled()
        closing = asyncio.create_task(life.send_close(code=4000))
        for number in range(3):
            await client.expect_frame(stream="a", payload=number)
        await client.expect_ended("a", 4000)
        await within(asyncio.gather(closing, *sends), "the sends")


async def test_client_that_does_not_read_is_not_read() -> None:
    """Answers wait too: a client that reads none is read no further."""
    async with Client(demultiplexer({"a": Echo}), capacity=1) as client:
        await client.connect()
        for number in range(10):
            client.send(event="ping", payload=number)
            client.data("unknown", number)
        await settled()
        assert client.unread == 18
        for number in range(10):
            await client.expect_frame(event="pong", payload=number)
            await client.expect_error(404, "unknown")


async def test_killed_sender_leaves_the_turn_to_others() -> None:
    """A child that is cancelled in a send that waits holds up nobody afterwards."""

    async def sending(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        while True:
            await send({"type": "websocket.send", "text": "0"})

    application = demultiplexer({"a": sending, "b": plain_echo}, consumer_close_timeout=0.01)
    async with Client(application, capacity=1) as client:
        await client.connect()
        client.close("a", code=3000)
        client.data("b", 1)
        await asyncio.sleep(1)
        client.log.expect("cancelled")
        frames = []
        while not frames or "close" not in frames[-1]:
            frames.append(await client.receive_text())
        frames = [frame for frame in frames if "b" in frame] or [await client.receive_text()]
        assert frames == ['{"stream":"b","payload":1}']
        await client.expect_silence()


async def test_stall_timeout_is_only_for_the_inbox() -> None:
    """A child that waits for a slow client has not stalled while its inbox has room."""
    application = demultiplexer({"a": Echo}, stall_timeout=0.01, stream_capacity=3)
    async with Client(application, capacity=1) as client:
        await client.connect()
        for number in range(3):
            client.data("a", number)
        await settled()
        await asyncio.sleep(0.03)
        for number in range(3):
            await client.expect_frame(stream="a", payload=number)
        await client.expect_silence()


# The bound of what waits in all inboxes.


@pytest.mark.parametrize("policy", ["pause", "reject", "close"])
async def test_size_of_what_waits(policy: str) -> None:
    """A frame for which a connection has no space meets its own stream's policy."""
    first, second = Puppet(), Puppet()
    attributes: dict[str, Any] = {"max_waiting_size": 10, "stream_overflow": policy}
    async with connected({"a": first, "b": second}, stall_timeout=LONG, **attributes) as client:
        one, two = await first.life(), await second.life()
        await one.accept()
        await two.accept()
        client.data("a", "12345678")
        client.data("b", 1)
        client.send(event="ping")
        if policy == "pause":
            await settled()
            assert client.unread == 1
            assert await one.receive() == text('"12345678"')
        elif policy == "reject":
            await client.expect_error(429, "b")
        else:
            await client.expect_ended("b", 1013)
        await client.expect_frame(event="pong")
        if policy == "close":
            assert await two.receive() == bye(1013)
            client.data("a", 1)
            await client.expect_ended("a", 1013)
            await client.expect_closed(1013)
            return
        if policy == "reject":
            client.data("a", 1)
            await client.expect_error(429, "a")
            assert await one.receive() == text('"12345678"')
            client.data("b", 1)
        assert await two.receive() == text("1")


async def test_stall_for_want_of_space() -> None:
    """Under `pause` a stream for which there is no space in time stalls, and leaves the others."""
    first, second = Puppet(), Puppet()
    attributes: dict[str, Any] = {"max_waiting_size": 10, "stall_timeout": 1}
    async with connected({"a": first, "b": second}, **attributes) as client:
        one, two = await first.life(), await second.life()
        await one.accept()
        await two.accept()
        client.data("a", "12345678")
        client.send_bytes(binary("b", b"1"))
        await client.expect_ended("b", 1013)
        assert await two.receive() == bye(1013)
        assert await one.receive() == text('"12345678"')
        client.send_bytes(binary("a", bytes(20)))  # nothing else waits
        assert await one.receive() == {"type": "websocket.receive", "bytes": bytes(20)}


async def test_space_of_a_stream_that_stalls() -> None:
    """A stream that stalls leaves its space to the others."""
    first, second = Puppet(), Puppet()
    attributes: dict[str, Any] = {"max_waiting_size": 10, "stream_overflow": "close"}
    async with connected({"a": first, "b": second}, **attributes) as client:
        two = await second.life()
        await two.accept()
        client.data("a", "12345678")
        client.data("a", 1)
        await client.expect_ended("a", 1013)
        client.data("b", "12345678")
        assert await two.receive() == text('"12345678"')


@pytest.mark.parametrize("how", ["close", "return", "crash"])
async def test_space_of_a_stream_that_ends(how: str) -> None:
    """What a child leaves in its inbox takes no space when it has finished."""
    first, second = Puppet(), Puppet()
    attributes: dict[str, Any] = {"max_waiting_size": 10, "stream_overflow": "reject"}
    async with connected({"a": first, "b": second}, **attributes) as client:
        one, two = await first.life(), await second.life()
        await one.accept()
        await two.accept()
        client.data("a", "12345678")
        await client.expect_silence()
        if how == "close":
            client.close("a")
            await client.expect_silence()
        if how == "crash":
            one.crash(LookupError())
        else:
            one.finish()
        await client.expect_ended("a", 1011 if how == "crash" else 1000)
        client.data("b", "12345678")
        client.data("b", 1)
        await client.expect_error(429, "b")
        assert await two.receive() == text('"12345678"')
        if how == "crash":
            client.log.expect("crashed")


# The child's turn.


@pytest.mark.parametrize("policy", ["reject", "close"])
async def test_child_that_takes_in_time(policy: str) -> None:
    """The policy waits for a child that takes a frame within 50 ms, each time anew."""
    puppet = Puppet()
    async with connected({"a": puppet}, stream_capacity=1, stream_overflow=policy) as client:
        life = await full(client, puppet, 1)
        for number in range(1, 5):
            client.data("a", number)
            await asyncio.sleep(0.04)
            assert await life.receive() == text(str(number - 1))
            await client.expect_silence()


async def test_child_that_takes_nothing() -> None:
    """It waits 50 ms, and not again until the child has taken something."""
    puppet = Puppet()
    loop = asyncio.get_running_loop()
    async with connected({"a": puppet}, stream_capacity=1, stream_overflow="reject") as client:
        life = await full(client, puppet, 1)
        for _ in range(2):
            for waited in (0.05, 0, 0):
                began = loop.time()
                client.data("a", "refused")
                await client.expect_error(429, "a")
                assert loop.time() - began == pytest.approx(waited)
            await life.receive()
            client.data("a", 1)
            await client.expect_silence()


async def test_child_that_takes_nothing_is_closed_after_its_turn() -> None:
    """Under `close` too it has 50 ms."""
    puppet = Puppet()
    loop = asyncio.get_running_loop()
    async with connected({"a": puppet}, stream_capacity=1, stream_overflow="close") as client:
        await full(client, puppet, 1)
        began = loop.time()
        client.data("a", 1)
        await client.expect_ended("a", 1013)
        assert loop.time() - began == pytest.approx(0.05)
        await client.expect_closed(1013)


@pytest.mark.parametrize("policy", ["reject", "close"])
@pytest.mark.parametrize("echo", [Echo, SyncEcho, plain_echo])
async def test_burst(echo: Any, policy: str) -> None:
    """An idle child that keeps up loses nothing of a burst that is larger than its inbox."""
    async with Client(demultiplexer({"a": echo}, stream_overflow=policy)) as client:
        await client.connect()
        client.open("a")
        await client.expect_opened("a")
        for number in range(150):
            client.data("a", number)
        for number in range(150):
            await client.expect_frame(stream="a", payload=number)
        await client.expect_silence()


# The turn of others.


class Turns:
    """Counts, at each turn of a task of its own, what the application has read since the last."""

    def __init__(self, client: Client) -> None:
        self.read: list[int] = []
        self._client = client

    async def __aenter__(self) -> Turns:
        self._task = asyncio.create_task(self._count())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.wait({self._task})

    async def _count(self) -> None:
        unread = self._client.unread
        while True:
            await asyncio.sleep(0)
            self.read.append(unread - self._client.unread)
            unread = self._client.unread


class Grouped(WebsocketDemultiplexer):
    """Listens to the channel layer, too."""

    groups = ["everybody"]


BUSY: dict[str, Any] = {
    "ping": {"event": "ping"},
    "400": {"stream": "a"},
    "404": {"stream": "b", "payload": 1},
    "409": {"stream": "r/1", "payload": 1},
    "open": {"stream": "a", "event": "open"},
    "miss": {"stream": "c", "event": "close"},
}


@pytest.mark.parametrize("parent", [WebsocketDemultiplexer, Grouped])
@pytest.mark.parametrize("frame", BUSY.values(), ids=BUSY)
async def test_client_that_always_has_another_frame(frame: dict[str, Any], parent: Any) -> None:
    """Others get their turn at least after 64 messages."""
    application = parent.as_asgi(consumer_classes={"a": Echo, "r/<int:number>": Echo})
    async with Client(application, capacity=10_000) as client:
        await client.connect()
        client.open("a")
        await client.expect_opened("a")
        async with Turns(client) as turns:
            for _ in range(1000):
                client.send(**frame)
            await until(lambda: not client.unread)
            await settled()
        assert sum(turns.read) == 1000
        assert max(turns.read) <= 64
        if parent is WebsocketDemultiplexer:
            assert max(turns.read) == 64, "no oftener, which would cost"


async def test_frames_that_take_long() -> None:
    """Where each message takes long, others get their turn sooner, and not after the first."""
    loop = running_loop()

    class Slow(WebsocketDemultiplexer):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            loop.now += 0.0012

    async with Client(Slow.as_asgi(consumer_classes={"a": Echo})) as client:
        await client.connect()
        async with Turns(client) as turns:
            for _ in range(50):
                client.send(event="ping")
            await until(lambda: not client.unread)
            await settled()
        assert [read for read in turns.read if read] == [3] * 16 + [2]


async def test_turns_cost_no_time() -> None:
    """Neither a client's nor a child's messages are held up for the turn of others."""
    puppet = Puppet()
    loop = asyncio.get_running_loop()
    async with Client(demultiplexer({"a": puppet, "b": Puppet()}), capacity=1000) as client:
        await client.connect()
        life = await puppet.life()
        await life.accept()
        began = loop.time()
        for number in range(200):
            await life.send_text(str(number))
            client.send(event="ping")
        await life.send_close()
        for _ in range(200):
            await life.send_text("dropped")
        for _ in range(401):
            await client.receive()
        assert loop.time() == began


@pytest.mark.parametrize("closes", [False, True])
async def test_child_that_sends_without_pause(closes: bool) -> None:
    """Others get their turn at least after 64 messages of a child, dropped ones included."""
    puppet, sent = Puppet(), 0
    async with Client(demultiplexer({"a": puppet, "b": Puppet()}), capacity=1000) as client:
        await client.connect()
        life = await puppet.life()
        await life.accept()
        if closes:
            await life.send_close()
        turns: list[int] = []

        async def count() -> None:
            while True:
                turns.append(sent)
                await asyncio.sleep(0)

        counting = asyncio.create_task(count())
        for _ in range(500):
            await life.send_text("1")
            sent += 1
        counting.cancel()
        await asyncio.wait({counting})
        gaps = [later - earlier for earlier, later in pairwise(turns)]
        assert max(gaps) == (1 if closes else 64)
