"""
The soak's users: each has a client with many streams, and checks all that comes.

What a stream of a user does is an *action*, over and over: it says what is to be answered, and
waits for exactly that. What no client should do is in `wild.py`, over a socket of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
from collections.abc import Awaitable, Callable
from typing import Any

from websockets.asyncio.client import connect as connect_plainly
from websockets.exceptions import ConnectionClosed

from channels_demultiplexer.client import (
    Connection,
    Stream,
    StreamClosed,
    StreamError,
    StreamRefused,
    connect,
)

from .application import FILLING
from .counts import PATIENCE, Counts, Unexpected
from .wild import WildSocket, WildStream, bad, cycle, slow, stall

#: Seconds that the server takes to answer when its users halve their pace.
BUSY = 0.02


class Tame:
    """A user's stream, which opens and closes as its actions go."""

    def __init__(self, user: User, number: int, role: str) -> None:
        #: The number of each message, and what tells this stream's from all others'.
        self.number = 0
        self.mark = f"{user.number}/{user.lives}/{number}"
        self.user = user
        room = f"room/{user.number // 10}/" if role == "room" else ""
        self.name = f"{room or CHILDREN.get(role, role)}#{number}"
        #: The last number heard of each other in the room.
        self.others: dict[str, int] = {}
        self._stream: Stream | None = None

    def next(self) -> list[Any]:
        """Return a payload like no other."""
        self.number += 1
        return [self.mark, self.number]

    async def open(self) -> Stream:
        """Return the stream, opened if it is not open."""
        if self._stream is None:
            self._stream = await self.socket.stream(self.name, open_timeout=PATIENCE)
            self.others.clear()
        return self._stream

    @property
    def socket(self) -> Connection:
        """The user's client."""
        return self.user.socket

    async def close(self) -> None:
        """Close the stream."""
        stream = await self.open()
        self._stream = None
        await stream.close()
        if stream.close_code != 1000:
            raise Unexpected(f"{self.name}: closed with {stream.close_code}")

    async def say(self, stream: Stream, *messages: Any) -> None:
        """Send values, text that is none, or bytes."""
        for message in messages:
            self.user.counts.sent += 1
            if isinstance(message, str | bytes):
                await stream.send(message)
            else:
                await stream.send_json(message)

    async def heard(self, stream: Stream) -> Any:
        """Return what comes next."""
        try:
            async with asyncio.timeout(PATIENCE):
                message = await stream.recv_json()
        except TimeoutError:
            raise Unexpected(f"{self.name}: no answer in {PATIENCE} s") from None
        self.user.counts.heard += 1
        return message

    async def echoes(self, stream: Stream, *messages: Any) -> None:
        """Take what comes next, which must be these."""
        for message in messages:
            if (heard := await self.heard(stream)) != message:
                raise Unexpected(f"{self.name}: {heard!r:.300} came, not {message!r:.300}")
        self.user.counts.echoes += len(messages)

    async def ends(self, stream: Stream, code: int, reason: str = "") -> None:
        """Wait until the stream ends, which must be with these."""
        try:
            heard = await self.heard(stream)
        except StreamClosed as closed:
            if (closed.code, closed.reason) != (code, reason):
                raise
        else:
            raise Unexpected(f"{self.name}: {heard!r:.300} came, not the close")


# The actions.


async def echo(tame: Tame) -> None:
    """JSON comes back."""
    stream = await tame.open()
    payloads = [tame.next() for _ in range(random.randint(1, 12))]
    await tame.say(stream, *payloads)
    await tame.echoes(stream, *payloads)
    if random.random() < 0.1:
        await tame.close()


async def text(tame: Tame) -> None:
    """Text that is no JSON, and some that breaks out of envelopes, comes back."""
    stream = await tame.open()
    texts = [
        f'{mark}"}}, {{"stream":"echo\u2028é{number}'
        for mark, number in (tame.next() for _ in range(random.randint(1, 8)))
    ]
    await tame.say(stream, *texts)
    await tame.echoes(stream, *texts)


async def binary(tame: Tame) -> None:
    """Bytes come back."""
    stream = await tame.open()
    contents = [random.randbytes(random.choice([0, 10, 1000, 20_000])) for _ in range(4)]
    await tame.say(stream, *contents)
    await tame.echoes(stream, *contents)


async def room(tame: Tame) -> None:
    """What is said in a room is heard by all in it, each speaker's words complete and in order."""
    stream = await tame.open()
    own = tame.next()
    await tame.say(stream, own)
    while (heard := await tame.heard(stream)) != own:
        who, number = heard
        last = tame.others.get(who)
        if last is not None and number != last + 1:
            raise Unexpected(f"{tame.name}: {number} of {who} came after {last}")
        tame.others[who] = number
    tame.user.counts.echoes += 1
    if random.random() < 0.1:
        await tame.close()


async def crash(tame: Tame) -> None:
    """A child that crashes ends its stream with 1011, wherever it does, and can be reopened."""
    where = random.choice(["connect", "accept", "receive", "disconnect"])
    opening = tame.socket.stream(tame.name, query=where, open_timeout=PATIENCE)
    if where == "connect":
        await refused(opening, 1011)
        return
    async with opening as stream:
        if where == "receive":
            await tame.say(stream, tame.next())
        if where == "disconnect":
            await stream.close(4000, "off")
            await tame.ends(stream, 4000, "off")
        else:
            await tame.ends(stream, 1011)


async def close(tame: Tame) -> None:
    """A child closes, or refuses."""
    if random.random() < 0.3:
        await refused(tame.socket.stream(tame.name, query="refuse", open_timeout=PATIENCE), 4403)
        return
    async with tame.socket.stream(tame.name, open_timeout=PATIENCE) as stream:
        await tame.say(stream, {"code": 4100, "reason": "done"})
        await tame.ends(stream, 4100, "done")


async def refused(stream: Stream, code: int) -> None:
    """Wait until the stream has been refused, which must be with this code."""
    try:
        await stream
    except StreamRefused as error:
        if error.code != code:
            raise
    else:
        raise Unexpected(f"{stream.name} opened")


async def flood(tame: Tame) -> None:
    """A child that floods a client, one that does not read at times, loses nothing."""
    stream = await tame.open()
    count = random.choice([10, 100, 300])
    await tame.say(stream, count)
    if random.random() < 0.2:
        tame.socket.transport.pause_reading()
        await asyncio.sleep(0.5)
        tame.socket.transport.resume_reading()
    await tame.echoes(stream, *([number, FILLING] for number in range(count)))


#: Role to action. Streams take the roles in turn.
TAME: dict[str, Callable[[Tame], Awaitable[None]]] = {
    "echo": echo,
    "room": room,
    "flood": flood,
    "crash": crash,
    "binary": binary,
    "close": close,
    "text": text,
    "sync": echo,
}
WILD: dict[str, Callable[[WildStream], Awaitable[None]]] = {
    "slow": slow,
    "stall": stall,
    "cycle": cycle,
    "bad": bad,
}
_ROLES = [
    "echo",
    "room",
    "flood",
    "crash",
    "stall",
    "slow",
    "binary",
    "cycle",
    "close",
    "text",
    "sync",
    "bad",
]
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
        self._url = url
        self._size = streams
        self._pause = pause
        self._leaving = asyncio.Event()
        #: The client, while the user is there.
        self.socket: Connection

    async def come_and_go(self, deadline: float, stay: float) -> None:
        """Connect for at most `stay` seconds, again and again until the clock says `deadline`."""
        while (left := deadline - asyncio.get_running_loop().time()) > 0:
            try:
                await self._visit(min(left, random.uniform(stay / 6, stay)), last=left < stay)
            except* (
                Unexpected,
                StreamError,
                ConnectionClosed,
                OSError,
                ValueError,
                KeyError,
            ) as group:
                for failure in group.exceptions:
                    self.counts.errors.append(f"user {self.number}: {failure!r}")
                await asyncio.sleep(1)

    async def _visit(self, seconds: float, *, last: bool) -> None:
        """Connect, and leave after so many seconds: in peace, in the middle, or by vanishing."""
        self.lives += 1
        self.counts.connects += 1
        self._leaving.clear()
        how = "peace" if last else random.choice(["peace", "close", "vanish"])
        options: dict[str, Any] = {
            "proxy": None,
            "compression": None,
            "max_size": None,
            "ping_interval": None,
            "open_timeout": PATIENCE,
        }
        async with (
            connect(self._url, **options) as self.socket,
            connect_plainly(self._url, **options) as plain,
        ):
            self.counts.sockets += 2
            try:
                await self._use(WildSocket(plain, self.counts), seconds, how)
            finally:
                self.counts.sockets -= 2
                if how == "vanish":
                    self.socket.transport.abort()
                    plain.transport.abort()

    async def _use(self, wild: WildSocket, seconds: float, how: str) -> None:
        offset = self.number * self._size
        async with asyncio.TaskGroup() as group:
            reading = group.create_task(wild.read())
            acting = []
            for number in range(self._size):
                role = _ROLES[(offset + number) % len(_ROLES)]
                if role in TAME:
                    act = functools.partial(TAME[role], Tame(self, number, role))
                else:
                    name = f"{CHILDREN.get(role, role)}#{number}"
                    act = functools.partial(WILD[role], WildStream(wild, name))
                acting.append(group.create_task(self._repeat(act)))
            await asyncio.sleep(seconds)
            self._leaving.set()
            if how == "peace":
                await asyncio.wait(acting)
            for task in (*acting, reading):
                task.cancel()

    async def _repeat(self, act: Callable[[], Awaitable[None]]) -> None:
        while True:
            # A server is to be busy, not drowned: then timeouts mean nothing.
            slowdown = 1 + self.counts.lag / BUSY
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(random.uniform(0, 2 * self._pause * slowdown)):
                    await self._leaving.wait()
                return
            await act()
            self.counts.actions += 1
