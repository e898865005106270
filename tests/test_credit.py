"""Credit, as the client and the children see it: each sentence of the protocol's section."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from channels.routing import URLRouter
from django.urls import path

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .children import Echo, Life, Puppet, SyncEcho, bye, text
from .driver import Client, binary, connected, demultiplexer, serving, settled, until, within

pytestmark = pytest.mark.usefixtures("task_factory", "database_checks")

REFUSED = "too much waits already, for the stream or the connection: send this frame later"


async def credited(client: Client, puppet: Puppet, name: str = "a", credit: int = 4) -> Life:
    """Open a stream with credit, and accept it."""
    client.open(name, credit=True)
    life = await puppet.life()
    await life.accept()
    await expect_credit(client, name, credit)
    return life


async def expect_credit(client: Client, name: str, credit: int) -> None:
    """Expect the answer to an `open` that asked for credit."""
    await client.expect_frame(stream=name, event="open", subprotocol=None, credit=credit)


async def expect_grant(client: Client, name: str, credit: int) -> None:
    """Expect a grant."""
    await client.expect_frame(stream=name, event="credit", credit=credit)


@pytest.mark.parametrize("kind", ["eager", "lazy", "parametrised", "mounted"])
@pytest.mark.parametrize("policy", ["pause", "reject", "close"])
async def test_every_kind_of_stream(kind: str, policy: str) -> None:
    """A stream of any kind gives credit, under every policy, and grants half of it."""
    puppet = Puppet()
    attributes: dict[str, Any] = {"stream_capacity": 4, "stream_overflow": policy}
    if kind == "mounted":
        attributes |= {"urlpatterns": [path("a", puppet)], "consumer_classes": {}}
    else:
        key = "<str:name>" if kind == "parametrised" else "a"
        attributes |= {"consumer_classes": {key: puppet}, "lazy": kind == "lazy"}
    async with serving(WebsocketDemultiplexer.as_asgi(**attributes)) as client:
        life = await credited(client, puppet)
        for number in range(3):
            client.data("a", number)
        client.send_bytes(binary("a", b"3"))
        for number in range(3):
            assert await life.receive() == text(str(number))
            if number == 1:
                await expect_grant(client, "a", 2)
        assert await life.receive() == {"type": "websocket.receive", "bytes": b"3"}
        await expect_grant(client, "a", 2)
        await client.expect_silence()


async def test_behind_a_router() -> None:
    """So does one behind a router."""
    router = URLRouter([path("a", Echo.as_asgi())])
    async with connected({"x/": router}, stream_capacity=1) as client:
        client.open("x/a", credit=True)
        await expect_credit(client, "x/a", 1)
        client.data("x/a", 1)
        await client.expect_frames(
            {"stream": "x/a", "event": "credit", "credit": 1}, {"stream": "x/a", "payload": 1}
        )


@pytest.mark.parametrize("fields", [{}, {"credit": False}])
async def test_who_does_not_ask_sees_nothing(fields: dict[str, Any]) -> None:
    """A client that does not ask is told nothing of credit."""
    async with connected({"a": Echo}, stream_capacity=1) as client:
        client.open("a", **fields)
        await client.expect_opened("a")
        for number in range(3):
            client.data("a", number)
            await client.expect_frame(stream="a", payload=number)


async def test_eager_stream_until_an_open_asks() -> None:
    """An eager stream has no credit until an `open` asks; what waited then is granted later."""
    puppet = Puppet()
    async with connected({"a": puppet}, stream_capacity=4) as client:
        life = await puppet.life()
        await life.accept()
        client.data("a", 0)
        client.data("a", 1)
        client.open("a", credit=True)
        await expect_credit(client, "a", 2)
        assert await life.receive() == text("0")
        await client.expect_silence()
        assert await life.receive() == text("1")
        await expect_grant(client, "a", 2)


async def test_open_that_asks_again_starts_anew() -> None:
    """An `open` that asks again gets the free places of that moment, and the count begins anew."""
    puppet = Puppet()
    async with connected({"a": puppet}, stream_capacity=4) as client:
        life = await credited(client, puppet)
        for number in range(3):
            client.data("a", number)
        await client.expect_silence()
        assert await life.receive() == text("0")
        client.open("a", credit=True)
        await expect_credit(client, "a", 2)
        assert await life.receive() == text("1")
        await client.expect_silence()
        assert await life.receive() == text("2")
        await expect_grant(client, "a", 2)


async def test_open_that_does_not_ask_leaves_the_credit() -> None:
    """An `open` that does not ask changes nothing, and its answer has none."""
    puppet = Puppet()
    async with connected({"a": puppet}, stream_capacity=2) as client:
        life = await credited(client, puppet, credit=2)
        client.data("a", 0)
        client.open("a")
        await client.expect_opened("a")
        assert await life.receive() == text("0")
        await expect_grant(client, "a", 1)


async def test_opens_that_share_an_answer() -> None:
    """Several `open`s that wait for one answer share its credit, that of the last that asked."""
    puppet = Puppet()
    async with connected({"a/<int:n>": puppet}, stream_capacity=4) as client:
        client.open("a/1", credit=True)
        client.data("a/1", 0)
        client.open("a/1", credit=True)
        client.open("a/1")
        client.data("a/1", 1)
        life = await puppet.life()
        await client.expect_silence()
        await life.accept()
        await expect_credit(client, "a/1", 3)
        client.data("a/1", 2)
        client.data("a/1", 3)
        for number in range(2):
            assert await life.receive() == text(str(number))
        await expect_grant(client, "a/1", 2)
        for number in range(2, 4):
            assert await life.receive() == text(str(number))
        await expect_grant(client, "a/1", 2)


async def test_new_life_begins_without() -> None:
    """A stream that is opened again has no credit until that `open` asks."""
    puppet = Puppet()
    async with connected({"a/<int:n>": puppet}, stream_capacity=1) as client:
        life = await credited(client, puppet, "a/1", 1)
        client.close("a/1")
        client.open("a/1")
        life.finish()
        await client.expect_ended("a/1", 1000)
        life = await puppet.life()
        await life.accept()
        await client.expect_opened("a/1")
        client.data("a/1", 0)
        assert await life.receive() == text("0")
        await client.expect_silence()


@pytest.mark.parametrize("policy", ["pause", "reject", "close"])
async def test_more_than_the_credit(policy: str) -> None:
    """Who sends more than its credit meets the policy, as one without credit."""
    puppet = Puppet()
    attributes = {"stream_capacity": 2, "stream_overflow": policy, "stall_timeout": 0.01}
    async with connected({"a": puppet, "b": Echo}, **attributes) as client:
        await credited(client, puppet, credit=2)
        for number in range(3):
            client.data("a", number)
        if policy == "reject":
            await client.expect_error(429, "a")
        else:
            await client.expect_ended("a", 1013)


async def test_frames_under_way_and_grants_are_the_capacity() -> None:
    """A client that uses whatever it gets, and a child that takes at random, never meet a limit."""
    puppet = Puppet()
    attributes = {"stream_capacity": 5, "stream_overflow": "close"}
    async with connected({"a": puppet, "b": Echo}, **attributes) as client:
        life = await credited(client, puppet, credit=5)
        sent = received = 0
        credit = 5
        for turn in range(40):
            while credit:
                client.data("a", sent)
                sent += 1
                credit -= 1
            for _ in range(turn % 6):
                if received < sent:
                    assert await life.receive() == text(str(received))
                    received += 1
            while sent - received <= 2:
                await expect_grant(client, "a", 3)
                credit += 3
                break
        assert received > 50


async def test_stalled_stream_holds_up_nobody() -> None:
    """A client that keeps to its credit never makes another stream wait, whatever a child does."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}, stream_capacity=3) as client:
        await credited(client, puppet, credit=3)
        for number in range(3):
            client.data("a", number)
        for number in range(10):
            client.data("b", number)
            await client.expect_frame(stream="b", payload=number)


@pytest.mark.parametrize("how", ["client", "child", "crash"])
async def test_no_grant_after_a_close(how: str) -> None:
    """After a `close` of either side nothing is granted, though the child takes what waits."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}, stream_capacity=2) as client:
        life = await credited(client, puppet, credit=2)
        client.data("a", 0)
        client.data("a", 1)
        await client.expect_silence()
        if how == "client":
            client.close("a", code=3000)
            await until(lambda: not client.unread)
            await settled()
            assert await life.receive() == text("0")
            assert await life.receive() == text("1")
            assert await life.receive() == bye(3000)
            await client.expect_silence()
            life.finish()
            await client.expect_ended("a", 3000)
        elif how == "child":
            await life.send_close(code=4000)
            await client.expect_ended("a", 4000)
            assert await life.receive() == text("0")
        else:
            life.crash(LookupError())
            await client.expect_ended("a", 1011)
            client.log.expect("crashed")
        await client.expect_silence()


async def test_grant_that_waits_is_withdrawn_by_a_close() -> None:
    """A grant that the client has not been sent when the stream ends is not sent at all."""
    puppet, other = Puppet(), Puppet()
    application = demultiplexer({"a": puppet, "b": other}, stream_capacity=2)
    async with Client(application, capacity=1) as client:
        await client.connect()
        life, blocking = await credited(client, puppet, credit=2), await other.life()
        await blocking.accept()
        await blocking.send_text("0")
        sending = asyncio.create_task(blocking.send_text("1"))
        client.data("a", 0)
        client.data("a", 1)
        await settled()
        assert await life.receive() == text("0")  # what this grants has to wait
        client.close("a")
        await settled()
        assert await life.receive() == text("1")
        assert await life.receive() == bye()
        life.finish()
        await client.expect_frame(stream="b", payload=0)
        await client.expect_frame(stream="b", payload=1)
        await within(sending, "the send")
        await client.expect_ended("a", 1000)


async def test_grant_that_waits_holds_up_its_own_stream_only() -> None:
    """A child takes no more data while a client that reads slowly is to take its grant."""
    puppet, other = Puppet(), Puppet()
    application = demultiplexer({"a": puppet, "b": other}, stream_capacity=2)
    async with Client(application, capacity=1) as client:
        await client.connect()
        life, blocking = await credited(client, puppet, credit=2), await other.life()
        await blocking.accept()
        await blocking.send_text("0")
        sending = asyncio.create_task(blocking.send_text("1"))
        client.data("a", 0)
        client.data("a", 1)
        client.data("b", 2)
        await settled()
        assert await life.receive() == text("0")
        call = asyncio.create_task(life.receive())
        assert await blocking.receive() == text("2")
        await settled()
        assert not call.done()
        await client.expect_frame(stream="b", payload=0)
        await client.expect_frame(stream="b", payload=1)
        await within(sending, "the send")
        await expect_grant(client, "a", 1)
        assert await within(call, "the data") == text("1")
        await expect_grant(client, "a", 1)


async def test_frame_that_is_refused_counts_as_taken() -> None:
    """A data frame that is answered with an error that names the stream counts as taken."""
    puppet = Puppet()
    attributes: dict[str, Any] = {
        "stream_capacity": 2,
        "stream_overflow": "reject",
        "max_waiting_size": 10,
    }
    async with connected({"a": puppet, "b": Puppet()}, **attributes) as client:
        await credited(client, puppet, credit=2)
        client.data("b", "x" * 8)
        client.data("a", "x" * 8)
        await client.expect_frames(
            {"stream": "a", "event": "credit", "credit": 1},
            {
                "event": "error",
                "status": 429,
                "stream": "a",
                "payload": {"error": REFUSED},
            },
        )


@pytest.mark.parametrize("frame", [{"payload": 1, "text": "1"}, {"text": 1}, {}])
async def test_malformed_data_frame_counts_as_taken(frame: dict[str, Any]) -> None:
    """So does a malformed data frame that names the stream."""
    puppet = Puppet()
    async with connected({"a": puppet}, stream_capacity=1) as client:
        await credited(client, puppet, credit=1)
        client.send(stream="a", **frame)
        found = [await client.receive_text() for _ in range(2)]
        assert any('"event":"error","status":400,"stream":"a"' in each for each in found)
        assert '{"stream":"a","event":"credit","credit":1}' in found


@pytest.mark.parametrize(
    "frame", [{"event": "close", "code": 1}, {"event": "open", "credit": 1}, {"event": "x"}]
)
async def test_malformed_control_frame_needs_no_credit(frame: dict[str, Any]) -> None:
    """A control frame needs no credit, so a malformed one counts for nothing."""
    puppet = Puppet()
    async with connected({"a": puppet}, stream_capacity=1) as client:
        await credited(client, puppet, credit=1)
        client.send(stream="a", **frame)
        await client.expect_error(400, "a")
        await client.expect_silence()


class Keeping(WebsocketDemultiplexer):
    """Keeps frames, passes them on, or sends them elsewhere, as their payloads say."""

    stream_capacity = 1

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        payload = content.get("payload")
        if payload == "keep":
            return
        if payload == "refuse":
            raise ValueError
        if payload == "elsewhere":
            content = {**content, "stream": "b"}
        await super().receive_json(content)


@pytest.mark.parametrize("what", ["keep", "elsewhere", "refuse"])
async def test_frame_that_a_subclass_keeps_counts_as_taken(what: str) -> None:
    """What a subclass's receive_json keeps, refuses or sends elsewhere counts as taken."""
    puppet, other = Puppet(), Puppet()
    async with serving(Keeping.as_asgi(consumer_classes={"a": puppet, "b": other})) as client:
        life = await credited(client, puppet, credit=1)
        client.data("a", what)
        if what == "refuse":
            found = [await client.receive_text() for _ in range(2)]
            assert '{"stream":"a","event":"credit","credit":1}' in found
        else:
            await expect_grant(client, "a", 1)
        client.data("a", "here")
        assert await life.receive() == text('"here"')
        await expect_grant(client, "a", 1)
        client.send_bytes(binary("a", b"too"))
        assert await life.receive() == {"type": "websocket.receive", "bytes": b"too"}
        await expect_grant(client, "a", 1)


@pytest.mark.parametrize(
    "frame", [{"stream": "a", "payload": "keep"}, {"stream": "a", "payload": 1, "text": "1"}]
)
async def test_frame_that_does_not_reach_a_stream_counts_once(frame: dict[str, Any]) -> None:
    """Kept by a subclass or malformed, it is one place, whatever frame comes next."""
    puppet = Puppet()
    application = Keeping.as_asgi(consumer_classes={"a": puppet}, stream_capacity=4)
    async with serving(application) as client:
        await credited(client, puppet, credit=4)
        client.send(**frame)
        if "text" in frame:
            await client.expect_error(400, "a")
        for _ in range(2):  # the second shows what the first has made it send
            await client.expect_silence()
        client.data("a", "keep")
        await expect_grant(client, "a", 2)


async def test_frame_that_a_subclass_passes_on_counts_once() -> None:
    """It has reached its stream, and does not count as kept beside that."""
    puppet = Puppet()
    application = Keeping.as_asgi(consumer_classes={"a": puppet}, stream_capacity=4)
    async with serving(application) as client:
        life = await credited(client, puppet, credit=4)
        client.data("a", 1)
        assert await life.receive() == text("1")
        await client.expect_silence()
        client.data("a", 2)
        assert await life.receive() == text("2")
        await expect_grant(client, "a", 2)


async def test_frame_of_another_stream_leaves_the_credit_alone() -> None:
    """What a subclass sends to a stream in the client's place takes nothing of its credit there."""
    puppet, other = Puppet(), Puppet()
    application = Keeping.as_asgi(
        consumer_classes={"a": puppet, "b": other}, stream_capacity=2, stream_overflow="close"
    )
    async with serving(application) as client:
        life = await credited(client, other, "b", 2)
        client.data("a", "elsewhere")
        client.data("b", 1)
        client.data("b", 2)
        await client.expect_silence()
        assert await life.receive() == text('"elsewhere"')
        assert await life.receive() == text("1")
        assert await life.receive() == text("2")
        await expect_grant(client, "b", 1)
        await expect_grant(client, "b", 1)


async def test_frame_of_another_stream_that_waits_for_room_leaves_the_credit_alone() -> None:
    """Nor does it where it had to wait: what is granted meanwhile is the client's own."""
    puppet, other = Puppet(), Puppet()
    application = Keeping.as_asgi(consumer_classes={"a": puppet, "b": other}, stream_capacity=2)
    async with serving(application) as client:
        life = await credited(client, other, "b", 2)
        client.data("b", 1)
        client.data("b", 2)
        client.data("a", "elsewhere")
        await settled()
        assert await life.receive() == text("1")
        await expect_grant(client, "b", 1)
        client.data("b", 3)
        client.send(event="ping")
        await client.expect_frame(event="pong")
        for payload in "2", '"elsewhere"', "3":
            assert await life.receive() == text(payload)


@pytest.mark.parametrize("echo", [Echo, SyncEcho])
async def test_consumers(echo: Any) -> None:
    """An ordinary consumer answers a long conversation of a client that keeps to its credit."""
    async with connected({"a": echo}, stream_capacity=4, stream_overflow="close") as client:
        client.open("a", credit=True)
        await expect_credit(client, "a", 4)
        credit, answers, sent = 4, 0, 0
        while answers < 100:
            while credit and sent < 100:
                client.data("a", sent)
                credit, sent = credit - 1, sent + 1
            frame = await client.receive_text()
            if '"event":"credit"' in frame:
                credit += int(frame.rpartition(":")[2][:-1])
            else:
                assert frame == f'{{"stream":"a","payload":{answers}}}'
                answers += 1


async def test_no_grant_before_the_answer() -> None:
    """What is due before the `open` is answered is granted after that: not to be void by it."""
    puppet = Puppet()
    async with connected({"a": puppet}, stream_capacity=2) as client:
        client.open("a", credit=True)
        for _ in range(2):
            client.send(stream="a", text=1)
            await client.expect_error(400, "a")
        await client.expect_silence()
        await (await puppet.life()).accept()
        await expect_credit(client, "a", 2)
        await expect_grant(client, "a", 2)
