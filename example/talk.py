#!/usr/bin/env python
"""
Talk to every consumer of the example over one WebSocket, and print the messages both ways.

The server must run (`make demo`). Ends with 1 where an answer is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from websockets.exceptions import ConnectionClosed, InvalidStatus

from channels_demultiplexer.client import (
    Connection,
    FrameRefused,
    Stream,
    StreamClosed,
    StreamError,
    connect,
)

SUBPROTOCOL = "channels-demultiplexer.v1"
#: What the streams are called on /ws/streams/ and on /ws/, which mounts the URLs.
NAMES = {"echo": "echo", "bytes": "bytes", "notes": "notes", "articles": "articles"}
MOUNTED = {name: f"ws/{name}/" for name in NAMES}
ROOMS = ("chat/lobby/", "chat/kitchen/")


class MissingAnswer(Exception):
    """An answer has not come, or was another than expected."""


def show(sign: str, stream: str, message: Any) -> None:
    """Print a message of a stream: cut, and bytes as bytes."""
    text = repr(message) if isinstance(message, bytes) else json.dumps(message)
    if len(text) > 240:
        text = f"{text[:200]}... ({len(text)} in all)"
    print(sign, stream, text, flush=True)


def matches(found: Any, expected: Any) -> bool:
    """Say whether `found` has everything in `expected`."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return all(key in found and matches(found[key], expected[key]) for key in expected)
    return bool(found == expected)


@asynccontextmanager
async def opened(socket: Connection, name: str, **options: Any) -> AsyncIterator[Stream]:
    """Open a stream for the time of the block."""
    show("->", name, {"event": "open", **options})
    async with socket.stream(name, **options) as stream:
        show("<-", name, {"event": "open", "subprotocol": stream.subprotocol})
        yield stream


async def say(stream: Stream, message: Any) -> None:
    """Send a message: bytes, or a value as JSON."""
    show("->", stream.name, message)
    if isinstance(message, bytes):
        await stream.send(message)
    else:
        await stream.send_json(message)


async def hear(stream: Stream, expected: Any) -> None:
    """
    Wait for the next message, which has everything in `expected`.

    Raises:
        MissingAnswer: if it has not.
    """
    message = await stream.recv_json()
    show("<-", stream.name, message)
    if not matches(message, expected):
        raise MissingAnswer(f"{message!r} came from {stream.name}, not {expected!r}")


async def hear_close(stream: Stream, code: int, reason: str = "") -> None:
    """
    Wait until a stream has ended, with this code and reason.

    Raises:
        MissingAnswer: if it has another, or says something before.
    """
    try:
        message = await stream.recv_json()
    except StreamClosed as closed:
        show("<-", stream.name, {"event": "close", "code": closed.code, "reason": closed.reason})
        if (closed.code, closed.reason) != (code, reason):
            raise MissingAnswer(f"{closed}, not with {code} {reason}") from closed
    else:
        raise MissingAnswer(f"{message!r} came from {stream.name}, which was to close")


async def echo_and_notes(socket: Connection, names: Mapping[str, str]) -> None:
    """Talk to an async and to a sync JSON consumer at once."""
    async with opened(socket, names["echo"]) as echo, opened(socket, names["notes"]) as notes:
        await say(echo, ["hello", {"ünï": "code"}])
        await say(notes, {"add": "buy milk"})
        await say(notes, {"last": 1})
        await hear(echo, {"echo": ["hello", {"ünï": "code"}]})
        await hear(notes, {"added": "buy milk"})
        await hear(notes, {"notes": ["buy milk"]})
        await say(notes, {"burn": "all"})
        await hear_close(notes, 4400, "add or last")


async def chat(socket: Connection, rooms: tuple[str, str]) -> None:
    """Be in two rooms at once, with the chat consumer of the Channels tutorial."""
    async with opened(socket, rooms[0]) as lobby, opened(socket, rooms[1]) as kitchen:
        for room in lobby, kitchen:
            await say(room, {"message": f"hello {room.name}"})
        for room in lobby, kitchen:
            await hear(room, {"message": f"hello {room.name}"})
        show("->", lobby.name, {"event": "close"})
        await lobby.close()
        await hear_close(lobby, 1000)


async def binary(socket: Connection, name: str) -> None:
    """Send bytes, over a stream with a subprotocol."""
    # An eager stream is open already, and a subprotocol is offered in opening one.
    await (await socket.stream(name)).close()
    async with opened(socket, name, subprotocols=["reverse.v1"]) as stream:
        await say(stream, b"\x00\x01\x02\xff")
        await hear(stream, b"\xff\x02\x01\x00")
        await say(stream, bytes(100_001))
        await hear_close(stream, 1009, "at most 100000 bytes")


async def articles(socket: Connection, name: str) -> None:
    """Create, read, change and delete an article, by requests that are answered with a status."""
    async with opened(socket, name) as stream:

        async def request(route: str, status: int, **payload: Any) -> Any:
            show("->", name, {"route": route, "payload": payload})
            answer = await stream.request(route, payload)
            show("<-", name, answer._asdict())
            if answer.status != status:
                raise MissingAnswer(f"{route} is answered with {answer.status}, not {status}")
            return answer.payload

        title = f"Article of {time.time_ns()}"
        created = await request("articles.create", 201, title=title, text="One socket.")
        number = created["id"]
        await request("articles.create", 400, title=title)
        await request("articles.get", 200, id=number)
        await request("articles.update", 200, id=number, text="Any number of streams.")
        await request("articles.list", 200)
        await request("articles.delete", 204, id=number)
        await request("articles.get", 404, id=number)
        await request("articles.get", 400, id="one")
        await request("articles.burn", 404)
        await say(stream, {"route": "PING", "uuid": 1})
        await hear(stream, {"route": "PONG", "uuid": 1})


async def wrong(socket: Connection, name: str) -> None:
    """Ask for what there is not, and see that the socket is still there."""
    show("->", "no/such/stream/", {"event": "open"})
    try:
        async with socket.stream("no/such/stream/"):
            raise MissingAnswer("a stream opened that there is not")
    except FrameRefused as refused:
        show("<-", refused.stream, {"event": "error", "status": refused.status})
        if refused.status != 404:
            raise MissingAnswer(f"refused with {refused.status}, not with 404") from refused
    async with opened(socket, name) as echo:
        await say(echo, "still there?")
        await hear(echo, {"echo": "still there?"})


async def refused(url: str, origin: str) -> None:
    """Be refused by a socket that lets in members only."""
    print(f"== {url}/ws/members/ ==", flush=True)
    try:
        async with connect(f"{url}/ws/members/", origin=origin, proxy=None):
            raise MissingAnswer("the socket for members let a stranger in")
    except InvalidStatus as error:
        status = error.response.status_code
        print("<- HTTP", status, flush=True)
        if status != 403:
            raise MissingAnswer(f"refused with {status}, not with 403") from error


async def main(url: str, *, mounted: bool, timeout: float) -> None:
    """Hold the conversation."""
    origin = f"http://{urlsplit(url).netloc}"
    path = "/ws/" if mounted else "/ws/streams/"
    names, rooms = NAMES, ROOMS
    if mounted:
        names, rooms = MOUNTED, (f"ws/{ROOMS[0]}", f"ws/{ROOMS[1]}")
    print(f"== {url}{path} ==", flush=True)
    async with asyncio.timeout(timeout), connect(url + path, origin=origin, proxy=None) as socket:
        if socket.subprotocol != SUBPROTOCOL:
            raise MissingAnswer(f"the server selected the subprotocol {socket.subprotocol!r}")
        await echo_and_notes(socket, names)
        await chat(socket, rooms)
        await binary(socket, names["bytes"])
        await articles(socket, names["articles"])
        await wrong(socket, names["echo"])
    await refused(url, origin)
    print("== every answer came ==")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--url", default="ws://127.0.0.1:8000", help="default: %(default)s")
    parser.add_argument(
        "--mounted", action="store_true", help="use the socket that mounts the URLs, /ws/"
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=30,
        help="seconds for the conversation, default: %(default)s",
    )
    arguments = parser.parse_args()
    try:
        asyncio.run(main(arguments.url, mounted=arguments.mounted, timeout=arguments.timeout))
    except (MissingAnswer, StreamError, ConnectionClosed) as error:
        sys.exit(f"talk.py: {error}")
    except TimeoutError:
        sys.exit(f"talk.py: no answer within {arguments.timeout} seconds")
    except OSError as error:
        sys.exit(f"talk.py: {arguments.url} is not there ({error}); `make demo` serves it")
