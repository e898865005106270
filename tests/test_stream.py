"""The life of one stream: opening, accepting, ending, reopening, and what its child sees."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from channels.exceptions import AcceptConnection, DenyConnection
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from django.template import Context, Engine
from django.utils.safestring import mark_safe

from channels_demultiplexer.stream import Stream

from .children import (
    CONNECT,
    Echo,
    Life,
    Puppet,
    SyncEcho,
    accept_and_return,
    accepting_twice,
    bye,
    crashing,
    hasty,
    plain_echo,
    returning,
    text,
)
from .driver import Client, binary, connected, demultiplexer, serving, settled, until, within
from .virtual_time import running_loop

pytestmark = pytest.mark.usefixtures("task_factory", "database_checks")

# Opening.


async def test_child_sees_a_connect_first() -> None:
    """A child receives its websocket.connect, and nothing more until it has accepted."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        client.data("a", 1)
        await client.expect_silence()
        assert await life.receive() == CONNECT
        second = asyncio.create_task(life.receive())
        await settled()
        assert not second.done()
        await life.send({"type": "websocket.accept"})
        assert await second == text("1")


@pytest.mark.parametrize("lazy", [False, True])
async def test_frames_before_acceptance_wait_in_order(lazy: bool) -> None:
    """Frames that arrive before the child has accepted reach it afterwards, in order."""
    puppet = Puppet()
    async with connected({"a": puppet}, lazy=lazy) as client:
        for number in range(3):
            client.data("a", number)
        client.send_bytes(binary("a", b"3"))
        await client.expect_silence()
        life = await puppet.life()
        await life.accept()
        for number in range(3):
            assert await life.receive() == text(str(number))
        assert await life.receive() == {"type": "websocket.receive", "bytes": b"3"}


@pytest.mark.parametrize("subprotocol", [None, "x"])
async def test_open_is_answered_when_the_child_accepts(subprotocol: str | None) -> None:
    """Several `open`s that wait for the acceptance share one answer, with the subprotocol."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        client.open("a")
        client.open("a")
        await client.expect_silence()
        await (await puppet.life()).accept(subprotocol=subprotocol)
        await client.expect_opened("a", subprotocol)
        await client.expect_silence()
        client.open("a")
        await client.expect_opened("a", subprotocol)
    assert puppet.lives == 1


async def test_confirmation_comes_before_data() -> None:
    """The answer to an `open` goes out before what the child sends."""

    async def eager(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        sends = [{"type": "websocket.accept"}, {"type": "websocket.send", "text": "1"}]
        await asyncio.gather(*map(send, sends))
        await receive()

    async with connected({"a/<int:number>": eager}) as client:
        client.open("a/1")
        await client.expect_opened("a/1")
        await client.expect_frame(stream="a/1", payload=1)


async def test_child_that_does_all_at_once() -> None:
    """What a child sends, even its `close`, comes after the answer to its `open`."""

    async def hurried(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept", "subprotocol": "x"})
        await send({"type": "websocket.send", "text": "1"})
        await send({"type": "websocket.close", "code": 4000})

    async with connected({"a/<int:number>": hurried}) as client:
        for _ in range(2):
            client.open("a/1")
            await client.expect_opened("a/1", "x")
            await client.expect_frame(stream="a/1", payload=1)
            await client.expect_ended("a/1", 4000)
        await client.expect_silence()


@pytest.mark.parametrize("close", [None, 4000])
async def test_first_stream_that_ends_at_once(close: int | None) -> None:
    """An eager stream that ends before the next is opened does not end the socket."""

    async def hurried(scope: Any, receive: Any, send: Any) -> None:
        if close is not None:
            await send({"type": "websocket.close", "code": close})

    async with connected({"a": hurried, "b": plain_echo, "c": hurried}) as client:
        for name in "ac":
            await client.expect_ended(name, close or 4403)
        client.data("b", 1)
        await client.expect_frame(stream="b", payload=1)


# Refusing.


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({}, 4403, ""),
        ({"code": None, "reason": None}, 4403, ""),
        ({"code": 1000}, 1000, ""),
        ({"code": 4001, "reason": "é"}, 4001, "é"),
        ({"code": 1008}, 1008, ""),
    ],
)
async def test_child_that_rejects(fields: dict[str, Any], code: int, reason: str) -> None:
    """A child that closes before it accepts refuses, with 4403 or a code of its own."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}) as client:
        life = await puppet.life()
        assert await life.receive() == CONNECT
        client.open("a")
        client.data("a", 1)
        await client.expect_silence()
        await life.send_close(**fields)
        await client.expect_ended("a", code, reason)
        assert await life.receive() == bye(code, reason)
        await client.expect_silence()


@pytest.mark.parametrize("base", [AsyncWebsocketConsumer, WebsocketConsumer])
@pytest.mark.parametrize("denies", [False, True])
async def test_consumers_that_raise_their_decision(base: Any, denies: bool) -> None:
    """AcceptConnection and DenyConnection work in a stream as on a socket."""
    decision = DenyConnection if denies else AcceptConnection

    async def connect_async(self: Any) -> None:
        raise decision

    def connect(self: Any) -> None:
        raise decision

    method = connect if base is WebsocketConsumer else connect_async
    child = type("Deciding", (base,), {"connect": method})
    async with connected({"a/<int:number>": child}) as client:
        client.open("a/1")
        if denies:
            await client.expect_ended("a/1", 4403)
        else:
            await client.expect_opened("a/1")


# The child's end.


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [
        ({}, 1000, ""),
        ({"code": None, "reason": None}, 1000, ""),
        ({"code": 4321}, 4321, ""),
        ({"code": 3000, "reason": "<é>"}, 3000, "<é>"),
    ],
)
async def test_child_that_closes(fields: dict[str, Any], code: int, reason: str) -> None:
    """A child's close goes to the client as it is, and comes back as its disconnect."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}) as client:
        life = await puppet.life()
        await life.accept()
        await life.send_close(**fields)
        await client.expect_ended("a", code, reason)
        assert await life.receive() == bye(code, reason)


@pytest.mark.parametrize("kind", ["websocket.send", "websocket.close", "websocket.accept", "x"])
async def test_what_a_child_sends_after_its_close(kind: str) -> None:
    """Whatever a child sends after its close is dropped."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}) as client:
        life = await puppet.life()
        await life.accept()
        await life.send_close()
        await client.expect_ended("a", 1000)
        await life.send({"type": kind, "text": "late"})
        await client.expect_silence()


async def test_frames_that_waited_when_the_child_closed() -> None:
    """A child that closes receives what waited for it, and then its disconnect, and no more."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}) as client:
        life = await puppet.life()
        await life.accept()
        client.data("a", 1)
        await client.expect_silence()
        await life.send_close()
        await client.expect_ended("a", 1000)
        client.data("a", 2)
        await client.expect_error(409, "a")
        assert await life.receive() == text("1")
        assert await life.receive() == bye()
        nothing = asyncio.create_task(life._receive())
        await settled()
        assert not nothing.done()
        nothing.cancel()


@pytest.mark.parametrize(
    ("child", "code"), [(returning, 4403), (accept_and_return, 1000)], ids=["refused", "accepted"]
)
async def test_child_that_returns(child: Any, code: int) -> None:
    """A child that returns ends its stream with 1000, or 4403 where it had never accepted."""
    async with connected({"a/<int:number>": child}) as client:
        client.open("a/1")
        if code == 1000:
            await client.expect_opened("a/1")
        await client.expect_ended("a/1", code)
        client.open("a/1")
        if code == 1000:
            await client.expect_opened("a/1")
        await client.expect_ended("a/1", code)


CRASHES = [
    pytest.param(child, where, id=f"{where}-{child.__name__}")
    for where in ("connect", "receive", "disconnect")
    for child in crashing(where)
]


@pytest.mark.parametrize(("child", "where"), CRASHES)
async def test_child_that_crashes(child: Any, where: str) -> None:
    """A crash ends its own stream only, is logged, and tells the client nothing but 1011."""
    async with connected({"a": child, "b": Echo}) as client:
        if where == "receive":
            client.data("a", 1)
        if where == "disconnect":
            client.close("a", code=3000)
            await client.expect_ended("a", 3000)
        else:
            await client.expect_ended("a", 1011)
        record = client.log.expect(r"stream 'a' of '/socket/' crashed")
        assert record.exc_info is not None
        assert str(record.exc_info[1]) == f"crash in {where}"
        assert record.levelname == "ERROR"
        client.data("b", 1)
        await client.expect_frame(stream="b", payload=1)


@pytest.mark.parametrize(
    "error", [LookupError("own"), asyncio.CancelledError("own"), GeneratorExit("own")]
)
@pytest.mark.parametrize("accepts", [False, True])
async def test_whatever_a_child_raises(error: BaseException, accepts: bool) -> None:
    """Whatever a child raises, a CancelledError of its own included, ends its stream with 1011."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}) as client:
        life = await puppet.life()
        if accepts:
            await life.accept()
        life.crash(error)
        await client.expect_ended("a", 1011)
        record = client.log.expect("'a'.*crashed")
        assert record.exc_info is not None
        assert type(record.exc_info[1]) is type(error)
        client.data("b", 1)
        await client.expect_frame(stream="b", payload=1)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("ending", [False, True])
def test_child_that_ends_the_process(error: type[BaseException], ending: bool) -> None:
    """KeyboardInterrupt and SystemExit in a child are not its stream's affair."""

    async def exiting(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        if not ending:
            raise error

    async def main() -> None:
        client = Client(demultiplexer({"a": exiting}))

        async def exit_in_send(message: Any) -> None:
            if ending and "close" in message.get("text", ""):
                raise error

        client.hook = exit_in_send
        async with client:
            await client.connect()
            client.close("a")
            await client.ended()

    with pytest.raises(error):
        asyncio.run(main())


async def test_crash_after_the_own_close() -> None:
    """A child that crashes when it has closed is logged; the client has its code already."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}) as client:
        life = await puppet.life()
        await life.accept()
        await life.send_close(code=4000)
        await client.expect_ended("a", 4000)
        life.crash(LookupError())
        await settled()
        client.log.expect("crashed")
        await client.expect_silence()


@pytest.mark.parametrize(
    ("child", "accepted"), [(hasty, False), (accepting_twice, True)], ids=["hasty", "twice"]
)
async def test_child_that_breaks_the_protocol(child: Any, accepted: bool) -> None:
    """A child that sends before it accepts, or accepts twice, crashes as under a server."""
    async with connected({"a/<int:number>": child}) as client:
        client.open("a/1")
        if accepted:
            await client.expect_opened("a/1")
        await client.expect_ended("a/1", 1011)
        record = client.log.expect("crashed")
        assert record.exc_info is not None
        assert isinstance(record.exc_info[1], RuntimeError)
        assert "'a/1'" in str(record.exc_info[1])


@pytest.mark.parametrize("message", [{"text": "1"}, {"bytes": b"1"}])
async def test_send_before_accept_can_be_survived(message: dict[str, Any]) -> None:
    """The RuntimeError is the child's to handle."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        with pytest.raises(RuntimeError, match=r"websocket\.send before websocket\.accept"):
            await life.send({"type": "websocket.send", **message})
        await life.accept()
        with pytest.raises(RuntimeError, match="accepted already"):
            await life.send({"type": "websocket.accept"})
        await life.send_text("1")
        await client.expect_frame(stream="a", payload=1)


@pytest.mark.parametrize("kind", ["websocket.receive", "http.response.start", "x"])
async def test_message_without_a_meaning(kind: str) -> None:
    """A message that no child may send raises in the child."""
    puppet = Puppet()
    async with connected({"a": puppet}):
        life = await puppet.life()
        await life.accept()
        with pytest.raises(RuntimeError, match=f"'a'.*'{kind}'"):
            await life.send({"type": kind})


@pytest.mark.parametrize(
    "message",
    [
        {"type": "websocket.send", "text": "\ud800"},
        {"type": "websocket.close", "reason": "\ud800"},
    ],
)
async def test_what_cannot_be_encoded_raises_in_the_child(message: dict[str, Any]) -> None:
    """Text of a child that is not UTF-8 raises in the child, and the stream goes on."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        await life.accept()
        with pytest.raises(UnicodeEncodeError):
            await life.send(message)
        await life.send_text("1")
        await client.expect_frame(stream="a", payload=1)


async def test_subprotocol_that_cannot_be_encoded() -> None:
    """A subprotocol that is not UTF-8 raises in the child, which may accept better then."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        client.open("a")
        await client.expect_silence()
        with pytest.raises(UnicodeEncodeError):
            await life.accept(subprotocol="\ud800")
        await life.send({"type": "websocket.accept"})
        await client.expect_opened("a")


@pytest.mark.parametrize("message", [{}, {"bytes": None, "text": "1"}, {"text": None}])
async def test_send_of_text_or_bytes(message: dict[str, Any]) -> None:
    """A send has text or bytes; one that has neither raises in the child."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        await life.accept()
        if message.get("text") is None:
            with pytest.raises(KeyError):
                await life.send({"type": "websocket.send", **message})
        else:
            await life.send({"type": "websocket.send", **message})
            await client.expect_frame(stream="a", payload=1)


# The client's end.


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [({}, 1000, ""), ({"code": 1001}, 1001, ""), ({"code": 4999, "reason": "é"}, 4999, "é")],
)
@pytest.mark.parametrize("accepts", [False, True])
async def test_close_by_the_client(
    fields: dict[str, Any], code: int, reason: str, accepts: bool
) -> None:
    """The child gets the client's code and its time; the answer comes when it has finished."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        if accepts:
            await life.accept()
        else:
            assert await life.receive() == CONNECT
        client.close("a", **fields)
        assert await life.receive() == bye(code, reason)
        await client.expect_silence()
        life.finish()
        await client.expect_ended("a", code, reason)


async def test_child_may_send_while_it_is_told_to_leave() -> None:
    """What a child sends in cleaning up reaches the client before the acknowledgement."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        await life.accept()
        client.close("a")
        assert await life.receive() == bye()
        await life.send_text('"last words"')
        await client.expect_frame(stream="a", payload="last words")
        life.finish()
        await client.expect_ended("a", 1000)


async def test_child_that_closes_while_it_is_told_to_leave() -> None:
    """The acknowledgement carries the client's code though the child gives another."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        await life.accept()
        client.close("a", code=3000)
        assert await life.receive() == bye(3000)
        await life.send_close(code=4000)
        await life.send_text("dropped")
        await client.expect_silence()
        life.finish()
        await client.expect_ended("a", 3000)
        await client.expect_silence()


async def test_frames_before_a_close_reach_the_child() -> None:
    """A `close` comes after the data frames before it."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        client.data("a", 1)
        client.close("a")
        await client.expect_silence()
        await life.accept()
        assert await life.receive() == text("1")
        assert await life.receive() == bye()


@pytest.mark.parametrize("frame", [{"payload": 1}, {"event": "close"}])
async def test_frames_while_a_stream_is_being_closed(frame: dict[str, Any]) -> None:
    """Data frames and another `close` are answered at once with 409."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        await life.accept()
        client.close("a")
        client.send(stream="a", **frame)
        await client.expect_error(409, "a")
        life.finish()
        await client.expect_ended("a", 1000)


async def test_close_before_acceptance_answers_the_open_too() -> None:
    """Where the child does not accept, one `close` answers the `open` and the `close`."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        client.open("a")
        client.close("a", code=3000)
        life = await puppet.life()
        assert await life.receive() == CONNECT
        assert await life.receive() == bye(3000)
        life.finish()
        await client.expect_ended("a", 3000)
        await client.expect_silence()


async def test_acceptance_after_the_close() -> None:
    """A child that accepts though a `close` waits answers the `open` first."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        client.open("a")
        client.close("a", code=3000)
        await client.expect_silence()
        life = await puppet.life()
        await life.accept()
        await client.expect_opened("a")
        assert await life.receive() == bye(3000)
        life.finish()
        await client.expect_ended("a", 3000)


async def test_nothing_comes_after_the_disconnect() -> None:
    """A child that takes its disconnect before it accepts gets no data afterwards."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        client.data("a", 1)
        client.close("a")
        life = await puppet.life()
        assert await life.receive() == CONNECT
        assert await life.receive() == bye()
        await life.send({"type": "websocket.accept"})
        nothing = asyncio.create_task(life._receive())
        await settled()
        assert not nothing.done()
        nothing.cancel()


async def test_rejection_after_the_close() -> None:
    """A child that rejects though a `close` waits: the client gets its own code."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        client.open("a")
        client.close("a", code=3000)
        await client.expect_silence()
        life = await puppet.life()
        await life.send_close(code=4001)
        life.finish()
        await client.expect_ended("a", 3000)
        await client.expect_silence()


async def test_crash_in_cleaning_up() -> None:
    """The acknowledgement carries the client's code though the child crashes."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        await life.accept()
        client.close("a", code=3000)
        assert await life.receive() == bye(3000)
        life.crash(LookupError())
        await client.expect_ended("a", 3000)
        client.log.expect("crashed")


# Reopening.


@pytest.mark.parametrize("child", [Echo, SyncEcho, plain_echo])
async def test_reopening(child: Any) -> None:
    """A stream that has ended opens again, with a new child."""
    async with connected({"a": child}) as client:
        for number in range(3):
            client.open("a")
            await client.expect_opened("a")
            client.data("a", number)
            await client.expect_frame(stream="a", payload=number)
            client.close("a")
            await client.expect_ended("a", 1000)


async def test_pipelined_reopening() -> None:
    """An `open` during the end is carried out after it; data after it is for the new life."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        first = await puppet.life()
        await first.accept()
        client.close("a", code=3000)
        client.open("a")
        client.data("a", "new")
        await client.expect_silence()
        assert await first.receive() == bye(3000)
        assert puppet.lives == 1
        first.finish()
        await client.expect_ended("a", 3000)
        second = await puppet.life()
        await second.accept()
        await client.expect_opened("a")
        assert await second.receive() == text('"new"')


async def test_pipelined_lives_are_answered_in_order() -> None:
    """Many lives without waiting are answered each, in the order of the frames."""
    async with connected({"a": Echo}) as client:
        for number in range(5):
            client.open("a")
            client.data("a", number)
            client.close("a", code=3000 + number)
        for number in range(5):
            await client.expect_opened("a")
            await client.expect_frame(stream="a", payload=number)
            await client.expect_ended("a", 3000 + number)


async def test_close_of_a_life_that_waits() -> None:
    """A life that is closed before it has started is answered after the one before it."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        first = await puppet.life()
        client.close("a", code=3001)
        client.open("a")
        client.close("a", code=3002)
        client.close("a", code=3003)
        await client.expect_error(409, "a")
        client.open("a")
        await client.expect_silence()
        first.finish()
        await client.expect_ended("a", 3001)
        second = await puppet.life()
        assert await second.receive() == CONNECT
        assert await second.receive() == bye(3002)
        second.finish()
        await client.expect_ended("a", 3002)
        await (await puppet.life()).accept()
        await client.expect_opened("a")


async def test_reopening_while_the_child_cleans_up() -> None:
    """After a `close` frame of the server an `open` is carried out at once."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}) as client:
        first = await puppet.life()
        await first.accept()
        await first.send_close()
        await client.expect_ended("a", 1000)
        client.open("a")
        await (await puppet.life()).accept()
        await client.expect_opened("a")
        first.finish()
        await client.expect_silence()
        client.open("a")
        await client.expect_opened("a")


async def test_close_for_a_stream_that_the_child_has_closed() -> None:
    """A `close` that crosses the child's own is answered with 409."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}) as client:
        life = await puppet.life()
        await life.accept()
        await life.send_close(code=4000)
        client.close("a", code=3000)
        await client.expect_ended("a", 4000)
        await client.expect_error(409, "a")


async def test_reopening_after_a_crash() -> None:
    """A stream whose child has crashed opens again by `open` only."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}) as client:
        (await puppet.life()).crash(LookupError())
        await client.expect_ended("a", 1011)
        client.log.expect("crashed")
        client.data("a", 1)
        await client.expect_error(409, "a")
        client.open("a")
        await (await puppet.life()).accept()
        await client.expect_opened("a")


# Time.


def unemptied(consumer_classes: dict[str, Any], timeout: float) -> Any:
    """Connect to streams with this time to close, on a socket that stays."""
    return connected(consumer_classes, consumer_close_timeout=timeout, close_when_empty=False)


@pytest.mark.parametrize("timeout", [0.01, 60])
async def test_child_that_does_not_leave(timeout: float) -> None:
    """A child that ignores its disconnect is cancelled in time, with a warning that names it."""
    puppet = Puppet()
    async with unemptied({"a": puppet}, timeout) as client:
        life = await puppet.life()
        await life.accept()
        client.close("a", code=3000)
        if timeout == 60:  # it has its time
            assert await life.receive() == bye(3000)
            await client.expect_silence()
            life.finish()
            await client.expect_ended("a", 3000)
            assert not life.cancellations
        else:
            await client.expect_ended("a", 3000)
            await life.cancelled()
            record = client.log.expect(
                "stream 'a' of '/socket/' did not end within 0.01 seconds and is cancelled"
            )
            assert record.levelname == "WARNING"


async def test_child_that_closes_and_does_not_leave() -> None:
    """A child that has closed itself has as much time, and is cancelled too."""
    puppet = Puppet()
    async with unemptied({"a": puppet}, 0.01) as client:
        life = await puppet.life()
        await life.accept()
        await life.send_close(code=4000)
        await client.expect_ended("a", 4000)
        await life.cancelled()
        client.log.expect("'a'.*cancelled")
        await client.expect_silence()


async def test_child_that_swallows_cancellations() -> None:
    """A child that goes on when it is cancelled is cancelled again, with a warning each time."""
    puppet = Puppet(swallowed=2)
    async with unemptied({"a": puppet}, 0.01) as client:
        life = await puppet.life()
        client.close("a", code=3000)
        await client.expect_ended("a", 3000)
        assert life.cancellations == 3
        for _ in range(3):
            client.log.expect("'a'.*cancelled")


async def test_child_that_crashes_when_it_is_cancelled() -> None:
    """What a cancelled child raises but the cancellation is logged as a crash."""

    async def stubborn(scope: Any, receive: Any, send: Any) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise LookupError from None

    async with unemptied({"a": stubborn}, 0.01) as client:
        client.close("a")
        await client.expect_ended("a", 1000)
        client.log.expect("cancelled")
        client.log.expect("crashed")


async def test_child_that_returns_when_it_is_cancelled() -> None:
    """A child that swallows its cancellation and returns ends as one that raises it."""

    async def yielding(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    async with unemptied({"a": yielding}, 0.01) as client:
        client.close("a", code=3000)
        await client.expect_ended("a", 3000)
        client.log.expect("cancelled")


async def test_child_that_ends_as_its_time_is_over() -> None:
    """A child that has ended in the very moment in which its time is over is not cancelled."""
    loop = running_loop()
    go = loop.create_future()

    async def leaving(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await receive()
        await go

    async with unemptied({"a": leaving}, 5) as client:
        client.close("a", code=3000)
        await settled()
        go.set_result(None)
        loop.now += 5
        await client.expect_ended("a", 3000)


async def test_life_that_waited_has_its_own_time() -> None:
    """A life that was closed while it waited has its time from its start."""
    puppet = Puppet()
    async with unemptied({"a": puppet}, 0.05) as client:
        await puppet.life()
        client.close("a", code=3001)
        client.open("a")
        client.close("a", code=3002)
        await client.expect_ended("a", 3001)
        client.log.expect("cancelled")
        second = await puppet.life()
        assert await second.receive() == CONNECT
        await client.expect_ended("a", 3002)
        await second.cancelled()
        client.log.expect("cancelled")


@pytest.mark.parametrize("how", ["close", "return", "crash"])
async def test_answer_waits_for_a_slow_client(how: str) -> None:
    """The time of a child does not run while its end waits for a client that reads slowly."""
    puppet, other = Puppet(), Puppet()
    application = demultiplexer({"a": puppet, "b": other}, consumer_close_timeout=0.2)
    async with Client(application, capacity=1) as client:
        await client.connect()
        life, talking = await puppet.life(), await other.life()
        await life.accept()
        await talking.accept()
        await talking.send_text("1")  # now nothing more can be sent
        if how == "close":
            client.close("a")
            assert await life.receive() == bye()
            life.finish()
        elif how == "crash":
            life.crash(LookupError())
        else:
            life.finish()
        await asyncio.sleep(0.3)  # longer than its time
        await client.expect_frame(stream="b", payload=1)
        await client.expect_ended("a", 1011 if how == "crash" else 1000)
        if how == "crash":
            client.log.expect("crashed")


async def test_acceptance_waits_for_a_slow_client() -> None:
    """A child that accepts is not cancelled before the client has its answer to the `open`."""

    async def accepting(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await asyncio.Event().wait()

    talking = Puppet()
    application = demultiplexer(
        {"a": accepting, "b": talking}, lazy=True, consumer_close_timeout=0.01
    )
    async with Client(application, capacity=1) as client:
        await client.connect()
        client.open("b")
        life = await talking.life()
        await life.accept()  # now nothing more can be sent
        client.open("a")
        client.close("a", code=3000)
        await asyncio.sleep(0.03)  # longer than its time
        await client.expect_opened("b")
        await client.expect_opened("a")
        await client.expect_ended("a", 3000)
        client.log.expect("'a'.*cancelled")


async def test_own_close_waits_for_a_slow_client() -> None:
    """A child that closes has its time from when the client has been told."""
    after = []

    async def closing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.send", "text": "1"})
        await send({"type": "websocket.close", "code": 4000})
        after.append(await receive())
        await asyncio.Event().wait()

    application = demultiplexer({"a": closing, "b": Puppet()}, consumer_close_timeout=0.01)
    async with Client(application, capacity=1) as client:
        await client.connect()
        await asyncio.sleep(0.03)  # longer than its time
        await client.expect_frame(stream="a", payload=1)
        await client.expect_ended("a", 4000)
        await asyncio.sleep(1)
        client.log.expect("cancelled")
    assert after == [bye(4000)]


# What receive() does.


async def test_two_receives_at_once() -> None:
    """A child that calls receive() twice at once gets the messages in order."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        await life.accept()
        calls = [asyncio.create_task(life.receive()) for _ in range(3)]
        await settled()
        client.data("a", 1)
        client.data("a", 2)
        client.close("a")
        assert await asyncio.gather(*calls) == [text("1"), text("2"), bye()]


@pytest.mark.parametrize("message", ["data", "close"])
async def test_receive_that_is_cancelled_loses_nothing(message: str) -> None:
    """A receive() that is cancelled before a message leaves it to the next."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        await life.accept()
        call = asyncio.create_task(life.receive())
        await settled()
        call.cancel()
        if message == "data":
            client.data("a", 1)
        else:
            client.close("a")
        await client.expect_silence()
        assert await life.receive() == (text("1") if message == "data" else bye())


@pytest.mark.parametrize("ending", [False, True])
async def test_receive_that_is_cancelled_just_before_its_message(ending: bool) -> None:
    """A receive() that is cancelled, but does not know it yet, is given no message."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        await life.accept()
        call = asyncio.create_task(life._receive())
        await settled()
        # The application will run before the call does.
        if ending:
            client.close("a")
        else:
            client.data("a", 1)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        assert await life.receive() == (bye() if ending else text("1"))


async def test_receive_that_waits_while_the_child_accepts() -> None:
    """A receive() that waits for data waits on when the child accepts."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        assert await life.receive() == CONNECT
        call = asyncio.create_task(life.receive())
        await settled()
        await life.send({"type": "websocket.accept"})
        client.data("a", 1)
        assert await call == text("1")


class Handover:
    """Cancels calls of receive() in the very moment in which a message is handed to them."""

    def __init__(self, life: Life, client: Client) -> None:
        self.life = life
        self.client = client

    async def __call__(self, *give: Any) -> None:
        call = asyncio.create_task(self.life._receive())
        await settled()
        for function in give:
            function()
        # The application reads the frames, and wakes the call, in this turn of the loop; the
        # call would run in the next.
        await until(lambda: not self.client.unread)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


@pytest.mark.parametrize("ending", [False, True])
async def test_receive_that_is_cancelled_with_its_message(ending: bool) -> None:
    """A receive() that is cancelled as its message arrives gives it back, in its place."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        await life.accept()
        handover = Handover(life, client)
        if ending:
            await handover(lambda: client.close("a"))
        else:
            await handover(lambda: client.data("a", 1), lambda: client.data("a", 2))
            assert await life.receive() == text("1")
            assert await life.receive() == text("2")
            client.close("a")
        assert await life.receive() == bye()


async def test_message_given_back_goes_to_the_next_call() -> None:
    """A message that a cancelled receive() gives back wakes the call that waits behind it."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        await life.accept()
        handover = Handover(life, client)
        second: list[asyncio.Task[Any]] = []

        def give() -> None:
            second.append(asyncio.create_task(life.receive()))
            client.data("a", 1)

        await handover(give)
        assert await within(second[0], "the second call") == text("1")


async def test_polling_child() -> None:
    """A child that gives up each receive() that does not return at once misses nothing."""

    async def polling(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            call = asyncio.ensure_future(receive())
            await asyncio.sleep(0)
            call.cancel()
            try:
                message = await call
            except asyncio.CancelledError:
                continue
            if message["type"] == "websocket.disconnect":
                return
            await send({"type": "websocket.send", "text": message["text"]})

    async with connected({"a": polling}) as client:
        for number in range(10):
            client.data("a", number)
        for number in range(10):
            await client.expect_frame(stream="a", payload=number)


# What the child is given.


async def test_scope_of_a_child() -> None:
    """A child's scope is the socket's with its own parts new and the other values shared."""
    user = object()
    puppet = Puppet()
    extensions = {"websocket.http.response": {}, "tls": {"version": 1}}
    async with serving(
        demultiplexer({"a": puppet}),
        user=user,
        extensions=extensions,
        url_route={"args": (1,), "kwargs": {"team": "red"}},
        subprotocols=["x"],
    ) as client:
        scope = (await puppet.life()).scope
        assert scope == {
            **client.scope,
            "url_route": {"args": (1,), "kwargs": {"team": "red"}},
            "path_remaining": "",
            "subprotocols": [],
            "extensions": {"tls": {"version": 1}},
            "demultiplexer": {"stream": "a"},
        }
        assert scope["user"] is user
        assert client.scope["extensions"] == extensions
        assert client.scope["extensions"] is extensions


async def test_child_changes_its_scope_alone() -> None:
    """What a child changes in its scope, no other child and no later life sees."""
    puppet = Puppet()
    async with serving(
        demultiplexer({"a": puppet, "b": puppet}),
        extensions={"x": {}},
        url_route={"args": (), "kwargs": {"team": "red"}},
    ) as client:
        one, two = await puppet.life(), await puppet.life()
        one.scope["mine"] = 1
        one.scope["url_route"]["kwargs"]["mine"] = 1
        one.scope["url_route"]["mine"] = 1
        one.scope["subprotocols"].append("mine")
        one.scope["extensions"]["mine"] = {}
        one.scope["demultiplexer"]["mine"] = 1
        name = one.scope["demultiplexer"]["stream"]
        one.finish()
        await client.expect_ended(name, 4403)
        client.open(name)
        assert "mine" not in str(two.scope)
        assert "mine" not in str((await puppet.life()).scope)
        assert "mine" not in str(client.scope)


@pytest.mark.parametrize("extensions", [None, {}])
async def test_socket_without_extensions(extensions: Any) -> None:
    """A server may give no extensions."""
    puppet = Puppet()
    async with serving(demultiplexer({"a": puppet}), extensions=extensions):
        assert (await puppet.life()).scope["extensions"] == extensions


async def test_subprotocols_of_an_open() -> None:
    """The subprotocols of an `open` are the child's, who may select one."""
    puppet = Puppet()
    async with connected({"a": puppet}, lazy=True) as client:
        client.open("a", subprotocols=["x", "y"])
        life = await puppet.life()
        assert life.scope["subprotocols"] == ["x", "y"]
        await life.accept(subprotocol="y")
        await client.expect_opened("a", "y")


async def test_disconnect_message_is_a_childs_own() -> None:
    """What a child does to its websocket.disconnect, no other child sees."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": puppet}) as client:
        lives = [await puppet.life(), await puppet.life()]
        for life in lives:
            await life.accept()
        client.disconnect(1001)
        for life in lives:
            message = await life.receive()
            assert message == bye(1001)
            message.clear()


@pytest.mark.parametrize("how", ["left", "closed", "crashed", "cancelled"])
async def test_stream_that_has_ended_is_freed_at_once(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of a stream that has ended waits for the garbage collector."""

    async def child(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] != "websocket.disconnect":
            if message.get("text") == '"closed"':
                await send({"type": "websocket.close"})
            if message.get("text") == '"crashed"':
                raise LookupError
            if message.get("text") == '"cancelled"':
                raise asyncio.CancelledError

    def streams() -> set[int]:
        return {id(each) for each in gc.get_objects() if type(each) is Stream}

    # pytest would keep the tracebacks.
    monkeypatch.setattr(logging.getLogger("channels_demultiplexer"), "propagate", False)
    async with connected({"a/<int:number>/": child}) as client:
        gc.disable()
        try:
            before = streams()
            client.open("a/1/", credit=True)
            await client.receive()
            assert streams() > before
            client.data("a/1/", how)
            if how == "left":
                client.close("a/1/")
            await client.expect_ended("a/1/", 1000 if how in ("left", "closed") else 1011)
            await settled()
            client.log.records.clear()
            assert streams() <= before
        finally:
            gc.enable()


# Subclasses of str, and what is none.


RENDERED = Engine().from_string("<i>{{ text }}</i>").render(Context({"text": "<"}))


class Markup(AsyncWebsocketConsumer):
    """Sends what templates render."""

    async def connect(self) -> None:
        await self.accept(mark_safe("html"))

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(mark_safe(text_data))
        await self.send(RENDERED)
        await self.close(4000, mark_safe("<done>"))


class SyncMarkup(WebsocketConsumer):
    """The same, in a thread."""

    def connect(self) -> None:
        self.accept(mark_safe("html"))

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(mark_safe(text_data))
        self.send(RENDERED)
        self.close(4000, mark_safe("<done>"))


@pytest.mark.parametrize("consumer", [Markup, SyncMarkup])
@pytest.mark.parametrize(
    ("manage", "frame", "sent"),
    [
        (True, '{"stream":"a","payload":[ 1]}', '{"stream":"a","payload":[ 1]}'),
        (True, '{"stream":"a","text":"<b>"}', '{"stream":"a","text":"<b>"}'),
        (False, '{"stream":"a","payload":1}', '{"stream":"a","payload":1}'),
    ],
)
async def test_safe_strings(consumer: Any, manage: bool, frame: str, sent: str) -> None:
    """A child may send, select and close with what Django's templates make: it goes out plain."""
    async with connected({"a": consumer, "b": Echo}, manage_envelope=manage) as client:
        client.open("a")
        await client.expect_opened("a", "html")
        client.send_text(frame)
        rendered = '{"stream":"a","text":"<i>&lt;</i>"}' if manage else "<i>&lt;</i>"
        for expected in (sent, rendered):
            message = await client.receive()
            assert message == {"type": "websocket.send", "text": expected}
            assert type(message["text"]) is str
        await client.expect_ended("a", 4000, "<done>")


@pytest.mark.parametrize("subprotocol", [1, 0, False, b"x", ["x"], {}])
async def test_subprotocol_that_is_no_string(subprotocol: Any) -> None:
    """It raises in the child, which may accept again."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        client.open("a")
        life = await puppet.life()
        assert await life.receive() == CONNECT
        with pytest.raises(TypeError, match="a subprotocol is a string or None, not"):
            await life.send({"type": "websocket.accept", "subprotocol": subprotocol})
        await client.expect_silence()
        await life.send({"type": "websocket.accept", "subprotocol": "x"})
        await client.expect_opened("a", "x")
