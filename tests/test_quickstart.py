"""The quickstart, followed word by word in an empty folder with nothing but the wheel."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .chromium import chromium, window
from .distribution import Distribution
from .servers import reserved_port
from .walkthrough import Folder, blocks


@pytest.fixture(scope="module")
def folder(
    distribution: Distribution, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Folder]:
    """An empty folder."""
    with reserved_port() as port:
        yield Folder(tmp_path_factory.mktemp("quickstart"), distribution.wheel, port)


@pytest.fixture(scope="module")
def address(folder: Folder) -> Iterator[str]:
    """Where the project of the page is served, after each of its steps up to there."""
    for block in blocks("quickstart"):
        if block.caption is not None:
            folder.write(block)
        for command in block.commands:
            if "runserver" in command:
                with folder.serving(command) as url:
                    yield url
                return
            folder.run(command)


def expected(*, after: str) -> list[str]:
    """Return the lines that the page promises after a command."""
    found = blocks("quickstart")
    [place] = [index for index, block in enumerate(found) if after in block.commands]
    return next(block for block in found[place:] if block.language == "text").text.splitlines()


def test_the_checks_have_nothing_to_say(folder: Folder, address: str) -> None:
    """Django finds no mistake in what the page has written."""
    assert "no issues" in folder.run("python manage.py check --fail-level INFO")


def test_the_wheel_is_what_runs(folder: Folder, address: str) -> None:
    """The project imports the package from the wheel."""
    where = folder.run('python -c "import channels_demultiplexer as it; print(it.__file__)"')
    assert Path(where.strip()).is_relative_to(folder.path.parent.parent)


def test_the_page_shows_what_each_stream_says(address: str) -> None:
    """In a browser the page shows the lines that are promised."""
    lines = expected(after="python manage.py runserver")
    with chromium() as browser:
        page = window(browser)
        page.goto(address)
        page.wait_for_function(
            "count => document.getElementById('log').textContent.split('\\n').length > count",
            arg=len(lines),
        )
        assert sorted(page.inner_text("#log").splitlines()) == sorted(lines)


def test_what_is_said_in_a_room_is_heard_in_both_windows(address: str) -> None:
    """A second window's hello is heard in the first."""
    with chromium() as browser:
        first, second = window(browser), window(browser)
        said = "document.getElementById('log').textContent.split('said').length - 1 === {}"
        first.goto(address)
        first.wait_for_function(said.format(1))
        second.goto(address)
        first.wait_for_function(said.format(2))


def test_the_conversation_in_python(folder: Folder, address: str) -> None:
    """The script prints what is promised, against the server that the page has started."""
    for block in blocks("quickstart"):
        if block.caption == "talk.py":
            folder.write(block)
    assert folder.run("python talk.py").splitlines() == expected(after="python talk.py")
    silent = folder.path / "talk.py"
    silent.write_text(silent.read_text().replace(", origin=", ", user_agent_header="))
    with pytest.raises(AssertionError, match="HTTP 403"):
        folder.run("python talk.py")
