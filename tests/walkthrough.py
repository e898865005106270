"""The blocks of a page that a reader follows step by step, and a folder to follow it in."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .distribution import install
from .servers import PATIENCE, ROOT

__all__ = ["Block", "Folder", "blocks"]

DOCS = ROOT / "docs"
#: A block of code, or the inclusion of one: the directive, its argument, what is indented below it.
_BLOCK = re.compile(r"^\.\. (code-block|literalinclude):: *(\S*)\n((?:(?:   .*)?\n)*)", re.M)


@dataclass(frozen=True)
class Block:
    """
    A block of a page.

    Attributes:
        language: what is named in the directive, "" for Python.
        caption: the name of the file that it belongs to, or None.
        text: what stands in it.
        literal: whether it stands on the page, rather than in a file that the page includes.
    """

    language: str
    caption: str | None
    text: str
    literal: bool = True

    @property
    def commands(self) -> list[str]:
        """What is typed where this is a block of the terminal."""
        return [line[2:] for line in self.text.splitlines() if line.startswith("$ ")]


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page, in their order, with what they include."""
    found = []
    path = DOCS / f"{page}.rst"
    for kind, argument, body in _BLOCK.findall(path.read_text()):
        options = dict(re.findall(r"^   :([\w-]+): *(.*)$", body, re.MULTILINE))
        if kind == "literalinclude":
            text, language = (path.parent / argument).read_text(), options.get("language", "")
        else:
            text = "".join(line for line in body.splitlines(True) if not line.startswith("   :"))
            text, language = textwrap.dedent(text).strip("\n") + "\n", argument
        found.append(Block(language, options.get("caption"), text, kind == "code-block"))
    return found


class Folder:
    """
    An empty folder, in which the package is installed from a wheel and nothing else is.

    Args:
        port: where the pages' server is to listen.

    Attributes:
        path: where commands run; `cd` changes it.
        ports: what stands for each port that the pages name, in all that is written.
    """

    def __init__(self, path: Path, wheel: Path, port: int) -> None:
        self.path = path / "empty"
        self.path.mkdir()
        self.ports: dict[int, int] = {8000: port}
        self._site = path / "site"
        self._wheel = wheel
        self._server: subprocess.Popen[bytes] | None = None
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("DJANGO")},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(self._site),
            "PYTHONUNBUFFERED": "1",
        }

    def here(self, text: str) -> str:
        """Return `text` with this folder's ports."""
        for shown, port in self.ports.items():
            text = text.replace(f"localhost:{shown}", f"localhost:{port}")
        return text

    def add(self, directory: Path) -> None:
        """Copy what a reader has from elsewhere; the settings among it are added to."""
        for path in directory.rglob("*.*"):
            if path.is_file() and "__pycache__" not in path.parts:
                self.write(Block("", str(path.relative_to(directory)), path.read_text()))

    def write(self, block: Block) -> None:
        """Make the file of a block. Settings are added to once, as the pages say."""
        assert block.caption is not None
        path = self.path / block.caption
        path.parent.mkdir(parents=True, exist_ok=True)
        text, before = self.here(block.text), ""
        if block.caption.endswith("settings.py"):
            before = path.read_text().removesuffix(text)
        path.write_text(before + text)

    def run(self, command: str) -> str:
        """Run a command of a page, and return what it prints. Fails where the command does."""
        if command.startswith("python -m pip install"):
            install(self._wheel, self._site)  # what else the command names is there already
            return ""
        if command.startswith("cd "):
            self.path /= command[3:]
            return ""
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.path,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=5 * PATIENCE,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    @contextlib.contextmanager
    def serving(self, command: str) -> Iterator[str]:
        """Run the command that starts the server, until the block ends. Yields its address."""
        log_path = self.path.parent / "log"
        with log_path.open("wb") as log:
            process = self._server = subprocess.Popen(
                f"{command} {self.ports[8000]}",
                shell=True,
                cwd=self.path,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # runserver's reloader has a child
            )
        url = self.here("http://localhost:8000/")
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                address = ("localhost", self.ports[8000])
                with contextlib.suppress(OSError), socket.create_connection(address, 1):
                    break
                said = log_path.read_text()
                assert process.poll() is None, said
                assert time.monotonic() < deadline, said
                time.sleep(0.05)
            yield url
        finally:
            self.stop()

    def stop(self) -> None:
        """End the server, as Ctrl-C does, and wait until it has gone."""
        if self._server is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            self._server = None
