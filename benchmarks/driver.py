"""
A server in the process of the application: what a server's loop does for a message, and no more.

A round trip costs the driver two futures and three turns of the loop, the same for every
application: the side "alone" of the row `hops` is that and a trivial application.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Application = Callable[..., Awaitable[Any]]


# What a browser sends with a handshake.
_HEADERS = b"""\
host: www.example.com
connection: Upgrade
pragma: no-cache
cache-control: no-cache
user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0
upgrade: websocket
origin: https://www.example.com
sec-websocket-version: 13
accept-encoding: gzip, deflate, br, zstd
accept-language: en-US,en;q=0.5
cookie: csrftoken=0123456789abcdefghijklmnopqrstuv; sessionid=0123456789abcdefghijklmnopqrstuv
sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==
sec-websocket-extensions: permessage-deflate
"""


def scope_of(path: str = "/") -> dict[str, Any]:
    """Return a new scope, as a server makes one for a browser's handshake."""
    return {
        "type": "websocket",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "scheme": "ws",
        "server": ("127.0.0.1", 8000),
        "client": ("127.0.0.1", 50000),
        "root_path": "",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [tuple(line.split(b": ", 1)) for line in _HEADERS.splitlines()],
        "subprotocols": [],
        "state": {},
        "extensions": {"websocket.http.response": {}},
    }


class Replies:
    """Counts what applications send, and wakes who waits for so many."""

    __slots__ = ("_left", "_reached")

    def __init__(self) -> None:
        self._left = 0
        self._reached: asyncio.Future[None] | None = None

    def count(self) -> None:
        """
        Note one.

        Who waits is told a turn of the loop later: over a network too, the application waits for
        its next message by the time the client answers.
        """
        self._left -= 1
        if not self._left and self._reached is not None:
            asyncio.get_running_loop().call_soon(self._reached.set_result, None)

    def expect(self, count: int) -> asyncio.Future[None]:
        """Return a future that is done when `count` more have come."""
        self._left = count
        self._reached = asyncio.get_running_loop().create_future()
        return self._reached


class Socket:
    """
    The server's side of a connection.

    Args:
        application: what runs on it.
        replies: counts what the application sends, its accept and close included.
    """

    __slots__ = ("_application", "_messages", "_receiver", "_replies", "task")

    def __init__(self, application: Application, replies: Replies) -> None:
        self._application = application
        self._replies = replies
        self._messages: deque[Message] = deque()
        self._receiver: asyncio.Future[Message] | None = None
        self.task: asyncio.Future[Any] | None = None

    def start(self) -> None:
        """Begin the connection; the application's accept is its first reply."""
        self.put({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(self._application(scope_of(), self.receive, self.send))

    def put(self, message: Message) -> None:
        """Let the application receive `message`."""
        receiver = self._receiver
        if receiver is not None and not receiver.done():
            receiver.set_result(message)
        else:
            self._messages.append(message)

    def put_text(self, data: bytes) -> None:
        """Let the application receive a text message that came as `data`, decoded as it comes."""
        self.put({"type": "websocket.receive", "text": data.decode()})

    async def receive(self) -> Message:
        """Return the next message: ASGI's receive."""
        if self._messages:
            return self._messages.popleft()
        self._receiver = asyncio.get_running_loop().create_future()
        return await self._receiver

    async def send(self, message: Message) -> None:
        """Take a message: ASGI's send."""
        self._replies.count()

    async def end(self) -> None:
        """End the connection, and wait until the application has ended."""
        self.put({"type": "websocket.disconnect", "code": 1000})
        if self.task is not None:
            await self.task


@contextlib.asynccontextmanager
async def connected(
    applications: list[Application], replies: Replies
) -> AsyncIterator[list[Socket]]:
    """Connect a socket to each application, wait until all have accepted; end them at last."""
    sockets = [Socket(application, replies) for application in applications]
    accepted = replies.expect(len(sockets))
    for socket in sockets:
        socket.start()
    await accepted
    try:
        yield sockets
    finally:
        await asyncio.gather(*(socket.end() for socket in sockets))
