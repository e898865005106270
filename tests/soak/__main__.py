"""
The command line `python -m tests.soak`: many users of one server, for minutes.

Their streams echo, speak in groups, crash, close, flood, stall and send nonsense; their sockets
come, go and vanish. Each user checks all that it hears. A line a second says how it goes, and a
verdict at the end whether anything was wrong: exit code 0 or 1.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from ..servers import ROOT, reserved_port
from .counts import PATIENCE, Counts
from .users import User

#: Actions of all streams in a second, if the server answers at once.
_RATE = 300
#: How much more memory the last third may have than the one before, as a part of it.
_GROWTH = 0.02
#: The same for tasks, and how many besides: with few users, their number depends on chance.
_TASK_GROWTH, _TASKS_BY_CHANCE = 0.10, 20
#: How many samples there have to be for that: before, users still come, and memory is still taken.
_ENOUGH = 60
_COMMANDS = {
    "uvicorn": "uvicorn --host 127.0.0.1 --port {port} --lifespan off --log-level warning",
    "daphne": "daphne -b 127.0.0.1 -p {port} -v 0",
}


@dataclass
class Sample:
    """How the server is at a moment."""

    #: Bytes of resident memory.
    rss: int
    #: asyncio's tasks.
    tasks: int
    #: Seconds that it took to answer.
    lag: float


class Server:
    """The server's process, and a socket that asks it how it is."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.url = f"ws://127.0.0.1:{port}/"
        self._process = process
        self._socket: ClientConnection

    async def start(self) -> None:
        """Wait until it listens."""
        async with asyncio.timeout(PATIENCE):
            while True:
                if self._process.returncode is not None:
                    raise RuntimeError("the server has ended")
                with contextlib.suppress(OSError):
                    self._socket = await connect(
                        self.url + "stats", proxy=None, ping_interval=None, open_timeout=PATIENCE
                    )
                    return
                await asyncio.sleep(0.05)

    async def stats(self) -> dict[str, Any]:
        """Return what it says of itself."""
        async with asyncio.timeout(PATIENCE):
            await self._socket.send("")
            figures: dict[str, Any] = json.loads(await self._socket.recv())
            return figures

    async def sample(self) -> Sample:
        """Return how it is."""
        begin = time.perf_counter()
        tasks = (await self.stats())["tasks"]
        return Sample(_rss(self._process.pid), tasks, time.perf_counter() - begin)

    async def close(self) -> None:
        """Close the socket that asks."""
        await self._socket.close()


def _rss(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("the system doesn't say what memory a process has")


@contextlib.asynccontextmanager
async def _serving(kind: str) -> AsyncIterator[Server]:
    with reserved_port() as port:
        command = _COMMANDS[kind].format(port=port).split()
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", *command, "tests.soak.application:application"),
            cwd=ROOT,
        )
        try:
            server = Server(process, port)
            await server.start()
            yield server
            await server.close()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _watch(server: Server, counts: Counts, samples: list[Sample]) -> None:
    """Print a line a second."""
    loop = asyncio.get_running_loop()
    begin = last = loop.time()
    before = (0, 0, 0)
    while True:
        await asyncio.sleep(1 - (loop.time() - begin) % 1)
        sample = await server.sample()
        samples.append(sample)
        counts.lag = sample.lag
        now = loop.time()
        totals = (counts.actions, counts.sent, counts.heard)
        rates = [round((new - old) / (now - last)) for new, old in zip(totals, before, strict=True)]
        last, before = now, totals
        print(
            f"{now - begin:5.0f} s  {rates[0]:5} actions/s  {rates[1]:6} sent/s"
            f"  {rates[2]:6} heard/s"
            f"  {counts.sockets:4} sockets  {counts.connects:6} connects"
            f"  {len(counts.errors)} errors"
            f"  {sample.rss / 1e6:6.1f} MB  {sample.tasks:5} tasks  {sample.lag * 1e3:4.0f} ms",
            flush=True,
        )


async def _soak(arguments: argparse.Namespace) -> bool:
    """Run it, and return whether all was right."""
    counts = Counts()
    samples: list[Sample] = []
    seconds = arguments.minutes * 60
    pause = arguments.sockets * arguments.streams / _RATE
    async with _serving(arguments.server) as server:
        idle = await server.sample()
        users = [
            User(number, server.url, arguments.streams, pause, counts)
            for number in range(arguments.sockets)
        ]
        deadline = asyncio.get_running_loop().time() + seconds
        watching = asyncio.create_task(_watch(server, counts, samples))
        # Long enough for most actions, and for many to come and go in a short run too.
        stay = min(30, seconds / 4)
        try:
            # Twice as long as an answer may take, and then it is over.
            async with asyncio.timeout(seconds + 2 * PATIENCE):
                await asyncio.gather(*(user.come_and_go(deadline, stay) for user in users))
        except TimeoutError:
            counts.errors.append("the users have not come to an end")
        finally:
            watching.cancel()
            await asyncio.wait([watching])
        # What comes after the deadline is the end, of which nothing is to be learned.
        samples = samples[: int(seconds)] or [idle]
        return verdict(counts, samples, idle, *await _settled(server, idle))


async def _settled(server: Server, idle: Sample) -> tuple[Sample, dict[str, Any]]:
    """Wait for children that are still ending, for a while."""
    for _ in range(600):
        after = await server.sample()
        if after.tasks <= idle.tasks:
            break
        await asyncio.sleep(0.1)
    return after, await server.stats()


def verdict(
    counts: Counts, samples: list[Sample], idle: Sample, after: Sample, stats: dict[str, Any]
) -> bool:
    """Print the verdict, and return whether all was right."""
    third = max(len(samples) // 3, 1)
    second, last = samples[-2 * third : -third] or samples, samples[-third:]
    rss = [statistics.mean(sample.rss for sample in part) for part in (second, last)]
    tasks = [statistics.mean(sample.tasks for sample in part) for part in (second, last)]
    enough = len(samples) >= _ENOUGH
    verdicts = {
        f"memory: {rss[0] / 1e6:.1f} MB in the second third, {rss[1] / 1e6:.1f} in the last "
        f"({rss[1] / rss[0] - 1:+.2%}, at most {_GROWTH:+.0%}); {idle.rss / 1e6:.1f} before, "
        f"{after.rss / 1e6:.1f} after": not enough or rss[1] <= rss[0] * (1 + _GROWTH),
        f"tasks: {tasks[0]:.0f} in the second third, {tasks[1]:.0f} in the last; "
        f"{idle.tasks} before, {after.tasks} after": (
            (not enough or tasks[1] <= tasks[0] * (1 + _TASK_GROWTH) + _TASKS_BY_CHANCE)
            and after.tasks <= idle.tasks
        ),
        f"groups: {stats['members']} members after": stats["members"] == 0,
        f"answers: {counts.echoes} echoes, all complete and in order; "
        f"{stats['crashes']} crashes, {counts.stalls} streams stalled, {counts.connects} sockets; "
        f"{len(counts.errors)} unexpected": counts.echoes > 0 and not counts.errors,
        f"log: {stats['cancelled']} stalled children cancelled, "
        f"{stats['unexpected']} unexpected": not stats["unexpected"],
    }
    print("\nverdict")
    for line, right in verdicts.items():
        print(f"  {'ok   ' if right else 'WRONG'} {line}")
    for line in (*counts.errors[:10], *stats["examples"]):
        print(f"        {line}")
    return all(verdicts.values())


def main() -> int:
    """Return 0 if all was right, else 1."""
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--sockets", type=int, default=200, help="users, who have two each")
    parser.add_argument("--streams", type=int, default=10, help="of each socket, at most 100")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--server", choices=sorted(_COMMANDS), default="uvicorn")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    print(" ".join(f"--{name} {value}" for name, value in vars(arguments).items()), flush=True)
    return 0 if asyncio.run(_soak(arguments)) else 1


if __name__ == "__main__":
    sys.exit(main())
