"""
The soak's users: each has a socket with many streams, and checks all that comes.

What a stream of a user does is an *action*, over and over: it says what is to be answered, and
waits for exactly that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from .application import CAPACITY, FILLING, MAX_SIZE, STALL_TIMEOUT

#: Seconds that an answer may take before it counts as missing.
PATIENCE = 60
#: Seconds that the server takes to answer when its users halve their pace.
BUSY = 0.02


class Unexpected(Exception):
    """Something else came than was to come."""


@dataclass
class Counts:
    """What all users have done so far."""

    sent: int = 0
    heard: int = 0
    #: Frames that came back from a child complete and in order.
    echoes: int = 0
    actions: int = 0
    stalls: int = 0
    sockets: int = 0
    connects: int = 0
    #: Seconds that the server last took to answer.
    lag: float = 0
    errors: list[str] = field(default_factory=list)


class Stream:
    """A user's stream."""

    def __init__(self, user: User, number: int, role: str) -> None:
        #: The number of each message, and what tells this stream's from all others'.
        self.number = 0
        self.mark = f"{user.number}/{user.lives}/{number}"
        self.opened = False
        self.user = user
        self.act = ROLES[role]
        room = f"room/{user.number // 10}/" if role == "room" else ""
        self.name = f"{room or CHILDREN.get(role, role)}#{number}"
        #: What came, without the stream's name.
        self.frames: asyncio.Queue[Any] = asyncio.Queue()
        #: The last number heard of each other in the room.
        self.others: dict[str, int] = {}

    def next(self) -> list[Any]:
        """Return a payload like no other."""
        self.number += 1
        return [self.mark, self.number]

    async def tell(self, **fields: Any) -> None:
        """Send a frame of this stream."""
        await self.user.send(json.dumps({"stream": self.name, **fields}))

    async def heard(self) -> Any:
        """Return what comes next."""
        try:
            async with asyncio.timeout(PATIENCE):
                return await self.frames.get()
        except TimeoutError:
            raise Unexpected(f"{self.name}: no answer in {PATIENCE} s") from None

    async def expect(self, *expected: Any) -> None:
        """Take what comes next, which must be these."""
        for one in expected:
            frame = await self.heard()
            if frame != one:
                raise Unexpected(f"{self.name}: {frame!r:.300} came, not {one!r:.300}")

    async def open(self, query: str = "") -> None:
        """Open the stream if it is not open."""
        if not self.opened:
            await self.tell(event="open", query=query)
            await self.expect(OPEN)
            self.opened = True
            self.others.clear()

    async def close(self) -> None:
        """Close the stream."""
        await self.tell(event="close")
        self.opened = False
        while "payload" in (frame := await self.heard()):
            continue  # the room goes on until the end
        if frame != closed(1000):
            raise Unexpected(f"{self.name}: {frame!r} came, not the close")


OPEN = {"event": "open", "subprotocol": None}


def closed(code: int, reason: str = "") -> dict[str, Any]:
    """Return the close frame of a stream."""
    return {"event": "close", "code": code, "reason": reason}


# The actions.


async def echo(stream: Stream) -> None:
    """JSON comes back."""
    await stream.open()
    payloads = [stream.next() for _ in range(random.randint(1, 12))]
    for payload in payloads:
        await stream.tell(payload=payload)
    await stream.expect(*({"payload": payload} for payload in payloads))
    stream.user.counts.echoes += len(payloads)
    if random.random() < 0.1:
        await stream.close()


async def text(stream: Stream) -> None:
    """Text that is no JSON, and some that breaks out of envelopes, comes back."""
    await stream.open()
    texts = [
        f'{mark}"}}, {{"stream":"echo\u2028é{number}'
        for mark, number in (stream.next() for _ in range(random.randint(1, 8)))
    ]
    for content in texts:
        await stream.tell(text=content)
    await stream.expect(*({"text": content} for content in texts))
    stream.user.counts.echoes += len(texts)


async def binary(stream: Stream) -> None:
    """Bytes come back."""
    await stream.open()
    contents = [random.randbytes(random.choice([0, 10, 1000, 20_000])) for _ in range(4)]
    name = stream.name.encode()
    for content in contents:
        await stream.user.send(bytes([len(name)]) + name + content)
    await stream.expect(*contents)
    stream.user.counts.echoes += len(contents)


async def room(stream: Stream) -> None:
    """What is said in a room is heard by all in it, each speaker's words complete and in order."""
    await stream.open()
    own = stream.next()
    await stream.tell(payload=own)
    while (frame := await stream.heard()) != {"payload": own}:
        who, number = frame["payload"]
        last = stream.others.get(who)
        if last is not None and number != last + 1:
            raise Unexpected(f"{stream.name}: {number} of {who} came after {last}")
        stream.others[who] = number
    stream.user.counts.echoes += 1
    if random.random() < 0.1:
        await stream.close()


async def crash(stream: Stream) -> None:
    """A child that crashes ends its stream with 1011, wherever it does, and can be reopened."""
    where = random.choice(["connect", "accept", "receive", "disconnect"])
    await stream.tell(event="open", query=where)
    if where != "connect":
        await stream.expect(OPEN)
    if where == "receive":
        await stream.tell(payload=stream.next())
    if where == "disconnect":
        await stream.tell(event="close", code=4000, reason="off")
        await stream.expect(closed(4000, "off"))
    else:
        await stream.expect(closed(1011))


async def close(stream: Stream) -> None:
    """A child closes, or refuses."""
    if random.random() < 0.3:
        await stream.tell(event="open", query="refuse")
        await stream.expect(closed(4403))
        return
    await stream.tell(event="open")
    await stream.tell(payload={"code": 4100, "reason": "done"})
    await stream.expect(OPEN, closed(4100, "done"))


async def cycle(stream: Stream) -> None:
    """Lives that follow without waiting are told apart by counting."""
    frames: list[Any] = []
    for code in range(4000, 4000 + random.randint(1, 4)):
        payload = stream.next()
        await stream.tell(event="open")
        await stream.tell(payload=payload)
        await stream.tell(event="close", code=code)
        frames += [OPEN, {"payload": payload}, closed(code)]
    await stream.expect(*frames)


async def flood(stream: Stream) -> None:
    """A child that floods a client, one that does not read at times, loses nothing."""
    await stream.open()
    count = random.choice([10, 100, 300])
    await stream.tell(payload=count)
    if random.random() < 0.2:
        stream.user.reading.clear()
        await asyncio.sleep(0.5)
        stream.user.reading.set()
    await stream.expect(*({"payload": [number, FILLING]} for number in range(count)))
    stream.user.counts.echoes += count


async def stall(stream: Stream) -> None:
    """A child that takes nothing holds up its socket, and ends with 1013 if that takes too long."""
    late = STALL_TIMEOUT + 0.5
    query = random.choice(["0.01", "0.01", str(late), "never"])
    await stream.tell(event="open", query=query)
    await stream.expect(OPEN)
    payloads = [stream.next() for _ in range(CAPACITY + 4)]
    for payload in payloads:
        await stream.tell(payload=payload)
    if query == "0.01":
        await stream.expect(*({"payload": payload} for payload in payloads))
        stream.user.counts.echoes += len(payloads)
        await stream.close()
        return
    # One is being handled, so many wait, one is too many; what comes later finds no stream.
    await stream.expect(closed(1013), *[error(409)] * 2)
    stream.user.counts.stalls += 1


async def bad(stream: Stream) -> None:
    """Bad frames are answered with their status."""
    send = stream.user.send
    await stream.tell(payload=1)
    await stream.tell(event="open", subprotocols=[1])
    await stream.tell(event="nonsense")
    await stream.tell(event="close")
    await send(json.dumps({"stream": f"{stream.name}\ud800", "payload": 1}))
    await send(b"\x00")
    await send("{")
    await send("x" * (MAX_SIZE + 1))
    await stream.expect(error(409), error(400), error(400), error(409))


def error(status: int) -> dict[str, Any]:
    """Return an error frame; the words in it are not compared."""
    return {"event": "error", "status": status}


#: Role to action. Streams take the roles in turn.
ROLES: dict[str, Callable[[Stream], Awaitable[None]]] = {
    "echo": echo,
    "room": room,
    "flood": flood,
    "crash": crash,
    "stall": stall,
    "binary": binary,
    "cycle": cycle,
    "close": close,
    "text": text,
    "sync": echo,
    "bad": bad,
}
#: Role to child, where that has another name.
CHILDREN = {"text": "echo", "binary": "echo", "cycle": "echo", "bad": "echo"}


class User:
    """
    A user, who comes and goes.

    Args:
        number: which.
        url: the server.
        streams: how many streams.
        pause: mean seconds between two actions of a stream.
        counts: what all users do.
    """

    def __init__(self, number: int, url: str, streams: int, pause: float, counts: Counts) -> None:
        self.number = number
        self.lives = 0
        self.counts = counts
        #: Cleared while the user does not read.
        self.reading = asyncio.Event()
        self._url = url
        self._size = streams
        self._pause = pause
        self._streams: dict[str, Stream] = {}
        self._leaving = asyncio.Event()
        self._socket: ClientConnection

    async def come_and_go(self, deadline: float, stay: float) -> None:
        """Connect for at most `stay` seconds, again and again until the clock says `deadline`."""
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            try:
                await self._visit(min(left, random.uniform(stay / 6, stay)), last=left < stay)
            except* (Unexpected, ConnectionClosed, OSError, ValueError, KeyError) as group:
                for failure in group.exceptions:
                    self.counts.errors.append(f"user {self.number}: {failure!r}")
                await asyncio.sleep(1)

    async def send(self, message: str | bytes) -> None:
        """Send a message."""
        self.counts.sent += 1
        await self._socket.send(message)

    async def _visit(self, seconds: float, *, last: bool) -> None:
        """Connect, and leave after so many seconds: in peace, in the middle, or by vanishing."""
        self.lives += 1
        self.counts.connects += 1
        self._leaving.clear()
        self.reading.set()
        roles = list(ROLES)
        offset = self.number * self._size
        streams = [
            Stream(self, number, roles[(offset + number) % len(roles)])
            for number in range(self._size)
        ]
        self._streams = {stream.name: stream for stream in streams}
        how = "peace" if last else random.choice(["peace", "close", "vanish"])
        async with connect(
            self._url,
            proxy=None,
            compression=None,
            max_size=None,
            ping_interval=None,
            open_timeout=PATIENCE,
        ) as self._socket:
            self.counts.sockets += 1
            try:
                await self._use(streams, seconds, how)
            finally:
                self.counts.sockets -= 1
                if how == "vanish":
                    self._socket.transport.abort()

    async def _use(self, streams: list[Stream], seconds: float, how: str) -> None:
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(self._read())
            acting = [group.create_task(self._repeat(stream)) for stream in streams]
            await asyncio.sleep(seconds)
            self._leaving.set()
            if how == "peace":
                await asyncio.wait(acting)
            for task in (*acting, reading):
                task.cancel()

    async def _repeat(self, stream: Stream) -> None:
        while True:
            # A server is to be busy, not drowned: then timeouts mean nothing.
            slowdown = 1 + self.counts.lag / BUSY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0, 2 * self._pause * slowdown)):
                    await self._leaving.wait()
                return
            await stream.act(stream)
            self.counts.actions += 1

    async def _read(self) -> None:
        """Sort what comes, by streams."""
        while True:
            await self.reading.wait()
            message = await self._socket.recv()
            self.counts.heard += 1
            if isinstance(message, bytes):
                size = 1 + message[0]
                self._streams[message[1:size].decode()].frames.put_nowait(message[size:])
                continue
            frame = json.loads(message)
            name = frame.pop("stream", None)
            if frame.get("event") == "error":
                del frame["payload"]
            if name is not None:
                self._streams[name].frames.put_nowait(frame)
            elif frame.get("status") not in (400, 413):
                raise Unexpected(f"{frame!r} came")
