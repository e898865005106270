"""How the socket closes on real servers, whichever way its last stream ends."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from .servers import PATIENCE, SERVERS, Server, serve

#: How the last stream ends: the code and the reason of its `close`, and the socket's code.
ENDS = {
    "crash": (1011, "", 1011),
    "refusal": (4403, "", 4403),
    "return": (1000, "", 1000),
    "close": (1000, "", 1000),
    "1006": (1006, "", 4006),
    "5000": (5000, "", 4000),
    "1008": (1008, "", 1008),
    "reason": (4001, "é" * 100, 4001),
    "stall": (1013, "", 1013),
}


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A server for all tests of this module."""
    with serve(request.param, "tests.asgi_app:application") as server:
        yield server


def connected(server: Server, how: str) -> Any:
    """Connect to a socket whose only stream ends so; it waits for the server to hang up."""
    url = f"{server.url}/last/{how}/"
    # Without pings: the server may have hung up before `websockets` begins to send them, and they
    # would outlive the connection.
    options: dict[str, Any] = {"proxy": None, "ping_interval": None}
    return connect(url, open_timeout=PATIENCE, close_timeout=None, **options)


async def tell(socket: ClientConnection, **frame: Any) -> None:
    """Send a frame, where the socket is still there."""
    with suppress(ConnectionClosed):
        await socket.send(json.dumps(frame))


async def expect_closed(server: Server, socket: ClientConnection, code: int, reason: str) -> None:
    """Expect the server's closing handshake, with the code as this server takes it."""
    if server.name == "daphne":  # takes fewer codes, and sends no reason
        code, reason = code + 3000 if 1000 < code < 2000 else code, ""
    async with asyncio.timeout(PATIENCE):
        # Granian closes when its receive returns.
        while socket.close_code is None:
            await tell(socket, event="ping")
            with suppress(TimeoutError, ConnectionClosed):
                async with asyncio.timeout(0.02):
                    await socket.recv()
        await socket.wait_closed()
    assert (socket.close_code, socket.close_reason) == (code, reason)
    assert socket.protocol.close_rcvd_then_sent


@pytest.mark.parametrize("how", ENDS)
async def test_last_stream(server: Server, how: str) -> None:
    """The socket closes in an orderly way, with a code and a reason that can be sent."""
    code, reason, of_socket = ENDS[how]
    async with connected(server, how) as socket:
        if how == "stall":
            for _ in range(2):
                await tell(socket, stream="a", payload=1)
        async with asyncio.timeout(PATIENCE):
            frame = json.loads(await socket.recv())
        assert frame == {"stream": "a", "event": "close", "code": code, "reason": reason}
        await expect_closed(server, socket, of_socket, reason[:61])


@pytest.mark.parametrize(("code", "sent"), [(1000, 1000), (1011, 1011), (1005, 4005)])
async def test_close_of_the_demultiplexer(server: Server, code: int, sent: int) -> None:
    """So it does where the demultiplexer itself closes it."""
    async with connected(server, "parent") as socket:
        await tell(socket, close=code)
        await expect_closed(server, socket, sent, "")
