#!/usr/bin/env python
"""
Talk to every consumer of the example over one WebSocket, and print the frames both ways.

The server must run (`make demo`). Ends with 1 where an answer is missing.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import sys
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

SUBPROTOCOL = "channels-demultiplexer.v1"
#: What the streams are called on /ws/streams/ and on /ws/, which mounts the URLs.
NAMES = {"echo": "echo", "bytes": "bytes", "notes": "notes", "articles": "articles"}
MOUNTED = {name: f"ws/{name}/" for name in NAMES}
ROOMS = ("chat/lobby/", "chat/kitchen/")


class MissingAnswer(Exception):
    """An answer has not come, or was another than expected."""


class Talk:
    """A conversation over one socket: `say` sends a frame, `hear` waits for an answer."""

    def __init__(self, socket: ClientConnection, timeout: float) -> None:
        self._socket = socket
        self._timeout = timeout
        # Frames that have come before they were expected: streams don't wait for each other.
        self._early: list[Any] = []

    async def say(self, frame: dict[str, Any] | bytes) -> None:
        """Send a frame."""
        message = frame if isinstance(frame, bytes) else json.dumps(frame)
        print("->", shown(message), flush=True)
        await self._socket.send(message)

    async def hear(self, expected: Any) -> Any:
        """
        Wait for a frame that has everything in `expected`, and return it.

        Raises:
            MissingAnswer: if it doesn't come in time.
        """
        for frame in self._early:
            if matches(frame, expected):
                self._early.remove(frame)
                return frame
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    message = await self._socket.recv()
                    print("<-", shown(message), flush=True)
                    frame = json.loads(message) if isinstance(message, str) else message
                    if matches(frame, expected):
                        return frame
                    self._early.append(frame)
        except (TimeoutError, ConnectionClosed) as error:
            raise MissingAnswer(f"no answer like {expected!r}: {error!r}") from error


def shown(message: str | bytes) -> str:
    """Return a message as it is printed: cut, and bytes as bytes."""
    text = message if isinstance(message, str) else repr(message)
    return text if len(text) <= 240 else f"{text[:200]}... ({len(message)} in all)"


def matches(found: Any, expected: Any) -> bool:
    """Say whether `found` has everything in `expected`."""
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        return all(key in found and matches(found[key], expected[key]) for key in expected)
    return bool(found == expected)


async def echo_and_notes(talk: Talk, names: Mapping[str, str]) -> None:
    """Talk to an async and to a sync JSON consumer."""
    for name in "echo", "notes":
        await talk.say({"stream": names[name], "event": "open"})
        await talk.hear({"stream": names[name], "event": "open"})
    await talk.say({"stream": names["echo"], "payload": ["hello", {"ünï": "code"}]})
    await talk.say({"stream": names["notes"], "payload": {"add": "buy milk"}})
    await talk.say({"stream": names["notes"], "payload": {"last": 1}})
    await talk.hear({"stream": names["echo"], "payload": {"echo": ["hello", {"ünï": "code"}]}})
    await talk.hear({"stream": names["notes"], "payload": {"added": "buy milk"}})
    await talk.hear({"stream": names["notes"], "payload": {"notes": ["buy milk"]}})
    await talk.say({"stream": names["notes"], "payload": {"burn": "all"}})
    await talk.hear(
        {"stream": names["notes"], "event": "close", "code": 4400, "reason": "add or last"}
    )


async def chat(talk: Talk, rooms: tuple[str, str]) -> None:
    """Be in two rooms at once, with the chat consumer of the Channels tutorial."""
    for room in rooms:
        await talk.say({"stream": room, "event": "open"})
        await talk.hear({"stream": room, "event": "open"})
    for room in rooms:
        await talk.say({"stream": room, "payload": {"message": f"hello {room}"}})
    for room in rooms:
        await talk.hear({"stream": room, "payload": {"message": f"hello {room}"}})
    await talk.say({"stream": rooms[0], "event": "close"})
    await talk.hear({"stream": rooms[0], "event": "close", "code": 1000})
    await talk.say({"stream": rooms[0], "payload": {"message": "am I still in?"}})
    await talk.hear({"stream": rooms[0], "event": "error", "status": 409})


async def binary(talk: Talk, name: str) -> None:
    """Send bytes, behind the length of the stream's name and the name."""
    head = bytes([len(name)]) + name.encode()
    # An eager stream is open already, and a subprotocol is offered in opening one.
    await talk.say({"stream": name, "event": "close"})
    await talk.hear({"stream": name, "event": "close"})
    await talk.say({"stream": name, "event": "open", "subprotocols": ["reverse.v1"]})
    await talk.hear({"stream": name, "event": "open", "subprotocol": "reverse.v1"})
    await talk.say(head + b"\x00\x01\x02\xff")
    await talk.hear(head + b"\xff\x02\x01\x00")
    await talk.say(head + bytes(100_001))
    await talk.hear(
        {"stream": name, "event": "close", "code": 1009, "reason": "at most 100000 bytes"}
    )


async def articles(talk: Talk, name: str) -> None:
    """Create, read, change and delete an article, by requests that are answered with a status."""
    await talk.say({"stream": name, "event": "open"})
    await talk.hear({"stream": name, "event": "open"})

    uuids = itertools.count(1)

    async def request(route: str, status: int, **payload: Any) -> Any:
        uuid = next(uuids)
        await talk.say(
            {"stream": name, "payload": {"route": route, "uuid": uuid, "payload": payload}}
        )
        answer = await talk.hear({"stream": name, "payload": {"uuid": uuid, "status": status}})
        return answer["payload"]["payload"]

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
    await talk.say({"stream": name, "payload": {"route": "PING", "uuid": 1}})
    await talk.hear({"stream": name, "payload": {"route": "PONG", "uuid": 1}})


async def wrong(talk: Talk) -> None:
    """Send what cannot be delivered, and ask whether the socket is still there."""
    await talk.say({"stream": "no/such/stream/", "event": "open"})
    await talk.hear({"stream": "no/such/stream/", "event": "error", "status": 404})
    await talk.say({"payload": "for nobody"})
    await talk.hear({"event": "error", "status": 400})
    await talk.say({"event": "ping", "payload": "still there?"})
    await talk.hear({"event": "pong", "payload": "still there?"})


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
    async with connect(url + path, origin=origin, subprotocols=[SUBPROTOCOL], proxy=None) as socket:
        if socket.subprotocol != SUBPROTOCOL:
            raise MissingAnswer(f"the server selected the subprotocol {socket.subprotocol!r}")
        talk = Talk(socket, timeout)
        await echo_and_notes(talk, names)
        await chat(talk, rooms)
        if mounted:
            await talk.say({"stream": names["bytes"], "event": "open"})
            await talk.hear({"stream": names["bytes"], "event": "open"})
        await binary(talk, names["bytes"])
        await articles(talk, names["articles"])
        await wrong(talk)
    await refused(url, origin)
    print("== every answer came ==")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--url", default="ws://127.0.0.1:8000", help="default: %(default)s")
    parser.add_argument(
        "--mounted", action="store_true", help="use the socket that mounts the URLs, /ws/"
    )
    parser.add_argument(
        "--timeout", type=float, default=10, help="seconds for an answer, default: %(default)s"
    )
    arguments = parser.parse_args()
    try:
        asyncio.run(main(arguments.url, mounted=arguments.mounted, timeout=arguments.timeout))
    except MissingAnswer as error:
        sys.exit(f"talk.py: {error}")
    except OSError as error:
        sys.exit(f"talk.py: {arguments.url} is not there ({error}); `make demo` serves it")
