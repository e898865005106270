"""Redis, two servers and nginx: a conversation survives the end of each server."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from .chromium import chromium, window
from .servers import PATIENCE, ROOT

_spec = importlib.util.spec_from_file_location("cluster", ROOT / "example" / "cluster.py")
assert _spec is not None
assert _spec.loader is not None
cluster = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(cluster)

ROOM = "chat/lobby/"


@pytest.fixture(scope="module")
def running() -> Iterator[Any]:
    """The cluster."""
    if (reason := cluster.missing_programs()) is not None:
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with cluster.cluster() as running:
        yield running


class Guest:
    """A client in a room, who comes back when the socket ends."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._socket: ClientConnection | None = None
        self.endings: list[int] = []

    async def enter(self) -> None:
        """Connect and open the room, as often as it takes."""
        while True:
            try:
                socket = await connect(
                    self._url.replace("http", "ws") + "/ws/streams/",
                    origin=self._url,
                    proxy=None,
                    open_timeout=PATIENCE,
                )
                await socket.send(json.dumps({"stream": ROOM, "event": "open"}))
                while json.loads(await socket.recv()).get("event") != "open":
                    pass
            except (OSError, InvalidHandshake, ConnectionClosed):
                await asyncio.sleep(0.1)  # as any client that backs off
            else:
                self._socket = socket
                return

    async def say(self, message: str) -> None:
        """Say something in the room."""
        await self._send({"stream": ROOM, "payload": {"message": message}})

    async def hear(self) -> str:
        """Return the next message of the room."""
        while (frame := await self._receive()).get("stream") != ROOM:
            pass
        message: str = frame["payload"]["message"]
        return message

    async def come_back(self) -> bool:
        """Enter again if the socket has ended, and tell whether it had."""
        try:
            await self._send({"event": "ping"})
            while (await self._receive()).get("event") != "pong":
                pass
        except ConnectionClosed as ended:
            self.endings.append(ended.rcvd.code if ended.rcvd else 1006)
            await self.enter()
            return True
        return False

    async def leave(self) -> None:
        """Close the socket."""
        assert self._socket is not None
        await self._socket.close()

    async def _send(self, frame: dict[str, Any]) -> None:
        assert self._socket is not None
        await self._socket.send(json.dumps(frame))

    async def _receive(self) -> dict[str, Any]:
        assert self._socket is not None
        frame: dict[str, Any] = json.loads(await self._socket.recv())
        return frame


@pytest.mark.parametrize(
    ("how", "code"),
    [
        pytest.param(signal.SIGKILL, 1006, id="killed"),
        pytest.param(signal.SIGTERM, 1012, id="shut-down"),
    ],
)
async def test_a_conversation_survives_the_end_of_each_server(
    running: Any, how: signal.Signals, code: int
) -> None:
    """Each server ends and comes back in turn; who was on it comes back to the same room."""
    async with asyncio.timeout(3 * PATIENCE):
        guests = [Guest(running.url), Guest(running.url)]
        for guest in guests:
            await guest.enter()
        for number in range(2):
            await asyncio.to_thread(running.end_server, number, how)
            came_back = [await guest.come_back() for guest in guests]
            # The first was on the server that ended first, and then both on the other.
            assert came_back.count(True) == number + 1
            for speaker in guests:
                await speaker.say(f"server {number} has gone")
                heard = [await guest.hear() for guest in guests]
                assert heard == [f"server {number} has gone"] * 2
            await asyncio.to_thread(running.start_server, number)
        assert {ending for guest in guests for ending in guest.endings} == {code}
        for guest in guests:
            await guest.leave()


def test_two_windows_go_on_while_servers_are_killed(running: Any) -> None:
    """On the page that nginx serves, a chat goes on though each server is killed in turn."""
    with chromium() as browser:
        windows = [window(browser) for _ in range(2)]
        for page in windows:
            page.goto(running.url)
        for number in range(2):
            running.end_server(number, signal.SIGKILL)
            for page in windows:
                # Enough frames for every stream to be open again, and for the chart to go on.
                shown = "document.getElementById('{}').textContent"
                frames = f"Number({shown.format('frames')}.replace(',', ''))"
                page.wait_for_function(
                    f"before => {frames} > before + 20 && {shown.format('streams')} === '6'",
                    arg=page.evaluate(frames),
                )
            for speaker, text in zip(windows, ("one", "two"), strict=True):
                speaker.get_by_label("Message to the lobby").fill(f"{text} after {number}")
                speaker.get_by_label("Message to the lobby").press("Enter")
                for page in windows:
                    page.get_by_text(f"{text} after {number}").first.wait_for()
            running.start_server(number)
