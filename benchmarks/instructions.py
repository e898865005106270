"""
Instructions that the demultiplexer adds to a message: a figure that no noise touches.

`count` runs this module twice under `perf stat`, or else under valgrind's callgrind: in one run
the messages go through a stream to a trivial child, in the other straight to the child. Both runs
open both connections, so that what is left of the difference is the messages alone.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path

from . import settings

_MESSAGES = 1000


def added(size: int = 100) -> float:
    """
    Return the instructions that a stream adds to a round trip of `size` bytes of payload.

    Raises:
        Skipped: if there is no tool to count them.
    """
    # So that neither run has modules to compile.
    _start([], 0, 0, size).communicate()
    with_stream = _start(tool(), _MESSAGES, 0, size)
    alone = _start(tool(), 0, _MESSAGES, size)
    return (_finish(with_stream) - _finish(alone)) / _MESSAGES


@cache
def tool() -> list[str]:
    """
    Return the command that counts the instructions of a command.

    Raises:
        Skipped: if there is none that works.
    """
    from .measure import Skipped

    perf = ["perf", "stat", "-x", ",", "-e", "instructions:u"]
    if shutil.which("perf"):
        # Many virtual machines have no counter for it.
        tried = subprocess.run([*perf, "true"], capture_output=True, text=True, check=False)
        if tried.returncode == 0 and tried.stderr[:1].isdigit():
            return perf
    if shutil.which("valgrind"):
        return ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
    raise Skipped("neither perf with a counter of instructions nor valgrind is there")


def _start(command: list[str], streamed: int, alone: int, size: int) -> subprocess.Popen[str]:
    numbers = map(str, (streamed, alone, size))
    return subprocess.Popen(
        [*command, sys.executable, "-m", __name__, *numbers],
        cwd=Path(__file__).parent.parent,
        # The order of sets and dicts is to be the same in both runs.
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stderr=subprocess.PIPE,
        text=True,
    )


def _finish(process: subprocess.Popen[str]) -> int:
    _, said = process.communicate()
    if process.returncode:
        raise RuntimeError(f"counting failed: {said}")
    # perf: "123,,instructions:u,..."; callgrind: "==1== Collected : 123".
    found = re.search(r"^(\d+),.*instructions|Collected : (\d+)", said, re.MULTILINE)
    if found is None:
        raise RuntimeError(f"no count in {said!r}")
    return int(found[1] or found[2])


async def _exchange(streamed: int, alone: int, size: int) -> None:
    from .applications import ours, trivial
    from .messages import echoing
    from .payloads import frame, payload

    content = payload(size)
    async with AsyncExitStack() as stack:
        stream = await echoing(stack, [ours(1, trivial)], [frame("stream-0", content)])
        child = await echoing(stack, [trivial], [content.encode()])
        # At least one each, so that no first time falls into one run only.
        await stream(1 + streamed)
        await child(1 + alone)


if __name__ == "__main__":
    settings.configure()
    asyncio.run(_exchange(*map(int, sys.argv[1:])))
