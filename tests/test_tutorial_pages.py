"""The tutorial, followed word by word after the one of Channels, part after part."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from .chromium import chromium, window
from .distribution import Distribution
from .redis_server import redis_server
from .servers import reserved_port
from .walkthrough import DOCS, Folder, blocks

if TYPE_CHECKING:
    from playwright.sync_api import Page

BEGIN = DOCS / "examples" / "tutorial" / "begin"


@pytest.fixture(scope="module")
def folder(
    distribution: Distribution, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Folder]:
    """A project as after the tutorial of Channels."""
    with redis_server() as redis, reserved_port() as port:
        folder = Folder(tmp_path_factory.mktemp("tutorial"), distribution.wheel, port)
        folder.ports[6379] = redis.port
        folder.run("django-admin startproject mysite")
        folder.run("cd mysite")
        folder.add(BEGIN)
        yield folder


@contextlib.contextmanager
def followed(folder: Folder, part: int) -> Iterator[tuple[str, Any]]:
    """Follow the pages up to a part; yields the address of the last one's server, and a browser."""
    serve = ""
    for page in "index", *(f"part_{number}" for number in range(1, part + 1)):
        for block in blocks(f"tutorial/{page}"):
            if block.caption is not None:
                folder.write(block)
            for command in block.commands:
                if "runserver" in command:
                    serve = command
                elif "makemigrations" not in command or not migrated(folder):
                    folder.run(command)
    with folder.serving(serve) as url, chromium() as browser:
        yield url, browser


def migrated(folder: Folder) -> bool:
    """Tell whether an earlier test has made the migration."""
    return (folder.path / "chat" / "migrations").exists()


def opened(browser: Any, url: str, errors: list[str]) -> Page:
    """Open a page in a window of its own; what goes wrong in it is added to `errors`."""
    page = window(browser)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(url)
    return page


def say(page: Page, room: str, text: str) -> None:
    """Say something in a room of the desk."""
    section = page.locator("section", has=page.get_by_role("heading", name=room, exact=True))
    section.locator("input").fill(text)
    section.get_by_role("button").click()
    section.get_by_role("listitem").filter(has_text=text).wait_for()


def test_part_1(folder: Folder) -> None:
    """Two windows chat over streams, and no page has another socket."""
    with followed(folder, 1) as (url, browser):
        errors: list[str] = []
        pages = [opened(browser, f"{url}chat/lobby/", errors) for _ in range(2)]
        sockets: list[str] = []
        pages[0].on("websocket", lambda socket: sockets.append(socket.url))
        pages[0].reload()
        for page, text in zip(pages, ("hello", "good day"), strict=True):
            page.fill("#chat-message-input", text)
            page.click("#chat-message-submit")
            for each in pages:
                said = "text => document.querySelector('#chat-log').value.includes(text)"
                each.wait_for_function(said, arg=text)
        assert [socket.rsplit("/", 2)[1] for socket in sockets] == ["ws"]
        assert not errors


def test_part_2(folder: Folder) -> None:
    """What is said in one room is heard there only; both come back with the server."""
    with followed(folder, 2) as (url, browser):
        errors: list[str] = []
        page = opened(browser, f"{url}chat/desk/", errors)
        say(page, "lobby", "in the lobby")
        say(page, "kitchen", "in the kitchen")
        assert page.get_by_role("listitem").all_inner_texts() == ["in the lobby", "in the kitchen"]
        folder.stop()
        page.get_by_text("reconnecting").wait_for()
        with folder.serving("python manage.py runserver"):
            say(page, "kitchen", "here again")
            assert page.inner_text("#state") == "open"
        assert not errors


def test_part_3(folder: Folder) -> None:
    """A window is told who comes and goes, while its rooms go on."""
    with followed(folder, 3) as (url, browser):
        errors: list[str] = []
        page = opened(browser, f"{url}chat/desk/", errors)
        other = opened(browser, f"{url}chat/desk/", errors)
        other.locator("#news li").first.wait_for()
        other.close()
        page.locator("#news").get_by_text("Somebody has left.").wait_for()
        say(page, "lobby", "still here")
        assert not errors


def test_part_4(folder: Folder) -> None:
    """A room is created once, and is there after a reload."""
    with followed(folder, 4) as (url, browser):
        errors: list[str] = []
        page = opened(browser, f"{url}chat/desk/", errors)
        for status in "201", "400":
            page.fill("#new-room input", "attic")
            page.click("#new-room button")
            page.locator("#new-room output").get_by_text(status).wait_for()
        say(page, "attic", "under the roof")
        page.reload()
        say(page, "attic", "and again")
        assert not errors


def test_the_consumer_of_the_chat_is_not_touched() -> None:
    """No part writes the consumer that the tutorial of Channels has left."""
    written = {
        block.caption
        for part in range(1, 5)
        for block in blocks(f"tutorial/part_{part}")
        if block.caption is not None
    }
    assert "chat/consumers.py" not in written
    assert Path(BEGIN, "chat", "consumers.py").exists()
