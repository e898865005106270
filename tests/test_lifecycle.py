"""
Connections under fire: random ones, which `LIFECYCLE_SEED` and `LIFECYCLE_RUNS` choose, held
against a model of the protocol; and what such runs have found, one by one.

The seed is the same for every run unless it is given: `make explore` gives others.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer

from .children import Echo, SyncEcho, crashing
from .driver import Client, connected, demultiplexer
from .lifecycle import Scenario, play
from .lifecycle_model import Violation, check
from .virtual_time import running_loop

RUNS = int(os.environ.get("LIFECYCLE_RUNS", "2000"))
SEED = int(os.environ.get("LIFECYCLE_SEED", "3265655470"))


def test_random_connections_keep_the_protocol() -> None:
    """
    Whatever the children and the client do, and however it ends: order, answers, codes and
    limits are the protocol's, and nothing is left behind.
    """
    gc.collect()
    gc.freeze()  # so that the collection after every run is quick
    try:
        for seed in range(SEED, SEED + RUNS):
            outcome = play(Scenario.random(seed))
            try:
                check(outcome)
            except Violation as violation:
                events = "\n".join(map(str, outcome.events))
                again = f"LIFECYCLE_SEED={seed} LIFECYCLE_RUNS=1"
                pytest.fail(f"{violation}\n{outcome.scenario}\n{events}\nTo repeat it: {again}")
    finally:
        gc.unfreeze()


def let_time_pass() -> None:
    """Let time pass though there is always something to do."""
    running_loop().turn = 0.001


# One stream's trouble is that stream's alone.


class Stalled(AsyncWebsocketConsumer):
    """Never ends receiving its first message."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await asyncio.Event().wait()


class Flooding(AsyncWebsocketConsumer):
    """Sends as fast as the client reads."""

    async def connect(self) -> None:
        await self.accept()
        self.flood = asyncio.create_task(self.send_on())

    async def send_on(self) -> None:
        while True:
            await self.send("flood")

    async def disconnect(self, code: int) -> None:
        self.flood.cancel()
        await asyncio.gather(self.flood, return_exceptions=True)


@pytest.mark.parametrize("policy", ["pause", "reject", "close"])
async def test_trouble_of_streams_is_not_noticed_by_others(policy: str) -> None:
    """While streams stall, crash again and again, and flood, others echo all, in order."""
    streams = {
        "stalled": Stalled,
        "crashing": crashing("receive")[0],
        "flooding": Flooding,
        "one": Echo,
        "two": SyncEcho,
    }
    settings = {"stall_timeout": 0.02, "consumer_close_timeout": 2, "stream_capacity": 3}
    let_time_pass()
    async with connected(streams, stream_overflow=policy, **settings) as client:
        heard: dict[str, list[int]] = {"one": [], "two": []}
        others: set[str] = set()
        for number in range(40):
            client.open("crashing")
            client.data("crashing", number)
            client.open("stalled")
            client.data("one", number)
            for _ in range(3):
                client.data("stalled", number)
            client.data("two", number)
            while len(heard["one"]) + len(heard["two"]) < 2 * (number + 1):
                frame = await client.receive_json()
                if frame.get("stream") in heard:
                    heard[frame["stream"]].append(frame["payload"])
                else:
                    others.add(f"{frame.get('stream')} {frame.get('code', frame.get('status'))}")
        assert heard == {"one": list(range(40)), "two": list(range(40))}
        trouble = {"reject": "stalled 429"}.get(policy, "stalled 1013")
        assert others >= {"crashing 1011", "flooding None", trouble}
        client.disconnect()
        await client.ended()
        logged = {record.args[0] for record in client.log.records if record.args}
        assert logged <= {"crashing", "stalled"}
        client.log.records.clear()


# What random connections have found.


async def accept_and_wait(scope: Any, receive: Any, send: Any) -> None:
    """Accepts, and takes one message."""
    await receive()
    await send({"type": "websocket.accept"})
    await receive()


async def test_an_open_is_answered_however_slowly_the_client_reads() -> None:
    """A child's time to end does not cut short its accept, which answers an `open`."""
    application = demultiplexer({"room/<int:number>/": accept_and_wait}, consumer_close_timeout=1)
    async with Client(application, capacity=1) as client:
        await client.connect()
        client.send(event="ping")
        client.open("room/5/")
        await asyncio.sleep(10)
        client.close("room/5/", code=4001)
        await asyncio.sleep(10)
        await client.expect_frame(event="pong")
        await client.expect_opened("room/5/")
        await client.expect_ended("room/5/", 4001)
        client.log.expect("'room/5/' .*cancelled")


async def close_and_hang(scope: Any, receive: Any, send: Any) -> None:
    """Closes, and never ends."""
    await send({"type": "websocket.close", "code": 4001})
    await asyncio.Event().wait()


async def test_the_socket_closes_however_slowly_the_client_reads() -> None:
    """The time of the child whose close has closed the socket does not keep it from closing."""
    application = demultiplexer({"only": close_and_hang}, consumer_close_timeout=1)
    async with Client(application, capacity=1) as client:
        await client.connect()
        await asyncio.sleep(10)
        await client.expect_ended("only", 4001)
        await client.expect_closed(4001)
        await client.ended()
        client.log.expect("did not end within 1 seconds")


async def accept_and_crash(scope: Any, receive: Any, send: Any) -> None:
    """Accepts, and crashes."""
    await send({"type": "websocket.accept"})
    raise LookupError("crash")


async def test_the_socket_closes_after_a_crash_however_slowly_the_client_reads() -> None:
    """The stream that has crashed has all the time that it takes to close the socket."""
    application = demultiplexer({"only": accept_and_crash}, consumer_close_timeout=1)
    async with Client(application, capacity=1) as client:
        await client.connect()
        await asyncio.sleep(10)
        await client.expect_ended("only", 1011)
        await client.expect_closed(1011)
        await client.ended()
        client.log.expect("crashed")


async def test_a_child_that_is_held_up_by_a_client_that_has_gone_is_cancelled() -> None:
    """Where nobody is to be answered any more, a child has its time and no more."""
    application = demultiplexer({"only": close_and_hang}, consumer_close_timeout=1)
    async with Client(application, capacity=1) as client:
        await client.connect()
        await asyncio.sleep(10)
        client.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await client.ended()
        client.log.expect("did not end within 1 seconds")


async def flood_for_ever(scope: Any, receive: Any, send: Any) -> None:
    """Sends, and never looks at what it is told."""
    await send({"type": "websocket.accept"})
    while True:
        await send({"type": "websocket.send", "text": "flood"})


async def test_a_flood_does_not_keep_others_from_running() -> None:
    """Where the server's send never waits, a child that does nothing but send is ended in time."""
    let_time_pass()
    application = demultiplexer({"flood": flood_for_ever}, consumer_close_timeout=0.01)
    async with Client(application, capacity=10**6) as client:
        await client.connect()
        client.close("flood", code=4001)
        while "event" not in (text := await client.receive_text()):
            assert text == '{"stream":"flood","text":"flood"}'
        assert json.loads(text) == {
            "stream": "flood",
            "event": "close",
            "code": 4001,
            "reason": "",
        }
        client.log.expect("did not end within 0.01 seconds")


async def test_a_flood_that_is_dropped_does_not_keep_others_from_running() -> None:
    """A child that goes on sending when its stream has ended is ended in time."""
    let_time_pass()
    application = demultiplexer({"flood": flood_for_ever}, consumer_close_timeout=0.01)
    async with Client(application) as client:
        await client.connect()
        client.disconnect()
        await client.ended()
        client.log.expect("did not end within 0.01 seconds")
