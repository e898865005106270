"""The example project: its consumers, and the whole of it on real servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from .example_project import APPLICATION, migrated, run
from .redis_server import redis_server
from .servers import PATIENCE, Server, serve

#: Of each connection.
OPTIONS: dict[str, Any] = {"proxy": None, "open_timeout": PATIENCE}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of the example, with a migrated database of its own."""
    return migrated(tmp_path_factory.mktemp("example") / "db.sqlite3")


@pytest.fixture(scope="module", params=["daphne", "uvicorn"])
def server(request: pytest.FixtureRequest, environment: dict[str, str]) -> Iterator[Server]:
    """The example, served."""
    with serve(request.param, APPLICATION, env=environment) as server:
        yield server


def test_checks_and_migrations(environment: dict[str, str]) -> None:
    """The system checks have nothing to say, and no migration is missing."""
    assert "no issues" in run(["manage.py", "check", "--fail-level", "INFO"], environment).stdout
    done = run(["manage.py", "makemigrations", "--check", "--dry-run"], environment)
    assert "No changes detected" in done.stdout


def test_tests_of_the_example(environment: dict[str, str], tmp_path: Path) -> None:
    """The tests that the example has of its own pass, as a user would run them."""
    env = {**environment, "EXAMPLE_DATABASE": str(tmp_path / "db.sqlite3")}
    assert "\nOK" in run(["manage.py", "test"], env).stdout


@pytest.mark.parametrize("options", [[], ["--mounted"]], ids=["streams", "mounted"])
def test_talk(server: Server, environment: dict[str, str], options: list[str]) -> None:
    """The script gets every answer, and prints the messages both ways."""
    options = ["--url", server.url, "--timeout", f"{4 * PATIENCE}", *options]
    lines = run(["talk.py", *options], environment).stdout.splitlines()
    assert lines[-1] == "== every answer came =="
    assert lines[-2] == "<- HTTP 403"
    sent = [line for line in lines if line.startswith("-> ")]
    received = [line for line in lines if line.startswith("<- ")]
    assert len(sent) >= 28
    # Each message has one answer, and the refused handshake another.
    assert len(received) == len(sent) + 1


def test_talk_without_server(environment: dict[str, str]) -> None:
    """The script fails, and says what to do, where no server runs."""
    with pytest.raises(AssertionError, match="make demo"):
        run(["talk.py", "--url", "ws://127.0.0.1:9"], environment)


def test_page(server: Server) -> None:
    """The page says what to try."""
    with urlopen(server.url.replace("ws:", "http:") + "/") as response:
        page = response.read().decode()
    assert "chat/&lt;str:room_name&gt;/" in page
    assert f"talk.py --url {server.url}" in page


async def test_processes_share_redis(environment: dict[str, str]) -> None:
    """With REDIS_URL, what is said in a room of one process is heard in that of another."""
    with redis_server() as redis:
        env = {**environment, "REDIS_URL": redis.url}
        with (
            serve("daphne", APPLICATION, env=env) as first,
            serve("uvicorn", APPLICATION, env=env) as second,
        ):
            async with contextlib.AsyncExitStack() as stack:
                sockets = []
                for server in first, second:
                    origin = server.url.replace("ws:", "http:")
                    opening = connect(server.url + "/ws/demo/", origin=origin, **OPTIONS)
                    socket = await stack.enter_async_context(opening)
                    await socket.send(json.dumps({"stream": "chat/lobby/", "event": "open"}))
                    await socket.recv()
                    sockets.append(socket)
                said = {"stream": "chat/lobby/", "payload": {"message": "hello"}}
                await sockets[0].send(json.dumps(said))
                for socket in sockets:
                    async with asyncio.timeout(PATIENCE):
                        assert json.loads(await socket.recv()) == said


async def test_foreign_origin(server: Server) -> None:
    """A page of another site cannot open the socket."""
    with pytest.raises(InvalidStatus) as caught:
        async with connect(server.url + "/ws/", origin="http://example.org", **OPTIONS):
            pass
    assert caught.value.response.status_code == 403


@pytest.mark.parametrize(("name", "code"), [("daphne", 1006), ("uvicorn", 1012)])
async def test_shutdown(environment: dict[str, str], name: str, code: int) -> None:
    """The server ends when it is told to, with streams open."""
    with serve(name, APPLICATION, env=environment) as server:
        origin = server.url.replace("ws:", "http:")
        async with connect(server.url + "/ws/streams/", origin=origin, **OPTIONS) as socket:
            await socket.send(json.dumps({"stream": "chat/lobby/", "event": "open"}))
            await socket.recv()
            await asyncio.to_thread(server.stop)
            with pytest.raises(ConnectionClosed):
                await socket.recv()
            assert socket.close_code == code
        assert "Traceback" not in server.log()
