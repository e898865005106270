"""Real servers: an ASGI application served by a process of its own, on a free port."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

__all__ = ["HOST", "PATIENCE", "ROOT", "SERVERS", "Server", "reserved_port", "serve"]

ROOT = Path(__file__).resolve().parent.parent
HOST = "127.0.0.1"
#: Seconds that nothing takes, however busy the machine is and however long it stands still: only a
#: failing test waits so long.
PATIENCE = 60

_UVICORN = ["uvicorn", "--host", HOST, "--port", "{port}", "--lifespan", "off", "--no-use-colors"]
#: Server name to the arguments of `python -m`. `{port}` stands for the port.
_COMMANDS = {
    "daphne": ["daphne", "-b", HOST, "-p", "{port}"],
    "uvicorn": [*_UVICORN, "--ws", "websockets-sansio"],
    "uvicorn-wsproto": [*_UVICORN, "--ws", "wsproto"],
    "hypercorn": ["hypercorn", "--bind", f"{HOST}:{{port}}"],
    "granian": ["granian", "--host", HOST, "--port", "{port}", "--interface", "asginl"],
}
SERVERS = tuple(_COMMANDS)


class Server:
    """
    A running server.

    Attributes:
        name: the server's name, one of `SERVERS`.
        port: the port that it listens on.
        url: the address of its root, `ws://host:port`, without a slash at the end.
        process: the process.
    """

    def __init__(
        self,
        name: str,
        application: str,
        *,
        port: int,
        env: Mapping[str, str],
        args: Sequence[str],
        log_path: Path,
    ) -> None:
        self.name = name
        self.port = port
        self.url = f"ws://{HOST}:{self.port}"
        self._log_path = log_path
        command = [argument.format(port=self.port) for argument in _COMMANDS[name]]
        with log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *command, *args, application],
                cwd=ROOT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", "PYTHONPATH": str(ROOT), **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A group of its own, so that its workers can be ended with it.
                start_new_session=True,
            )

    def log(self) -> str:
        """Return what the server and the application have written so far."""
        return self._log_path.read_text(errors="replace")

    def wait_for_log(self, text: str) -> str:
        """Wait until `text` is in the log, and return the log. Fails after `PATIENCE`."""
        deadline = time.monotonic() + PATIENCE
        while text not in (log := self.log()):
            assert time.monotonic() < deadline, f"{text!r} is not in the log:\n{log}"
            time.sleep(0.02)
        return log

    def wait_until_ready(self) -> None:
        """Wait until the server accepts connections. Fails after `PATIENCE`."""
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self.process.poll() is None, f"{self.name} has ended:\n{self.log()}"
            with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1):
                return
            assert time.monotonic() < deadline, f"{self.name} does not listen:\n{self.log()}"
            time.sleep(0.02)

    def terminate(self) -> None:
        """Send SIGTERM, and return at once."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> None:
        """
        Wait until the server has ended. Fails after `PATIENCE`.

        Blocks: in a coroutine, call it through `asyncio.to_thread` where a client of this process
        has to answer meanwhile.
        """
        try:
            self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            raise AssertionError(
                f"{self.name} has not ended {PATIENCE} seconds after SIGTERM:\n{self.log()}"
            ) from None

    def stop(self) -> None:
        """End the server with SIGTERM. See `wait`."""
        self.terminate()
        self.wait()

    def kill(self) -> None:
        """End the server and its workers at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def serve(
    name: str,
    application: str,
    *,
    env: Mapping[str, str] | None = None,
    args: Sequence[str] = (),
) -> Iterator[Server]:
    """
    Serve an ASGI application until the block ends, then end the server with SIGTERM.

    Args:
        name: the server, one of `SERVERS`.
        application: its import path, such as "tests.asgi_app:application", from the
            repository's root.
        env: environment variables added to those of this process.
        args: further command-line arguments of the server.

    Fails if the server does not listen within `PATIENCE`, or does not end within that of the
    signal. A server that has been stopped before is left alone.
    """
    with reserved_port() as port, tempfile.TemporaryDirectory() as directory:
        server = Server(
            name, application, port=port, env=env or {}, args=args, log_path=Path(directory, "log")
        )
        try:
            server.wait_until_ready()
            yield server
            if server.process.poll() is None:
                server.stop()
        finally:
            server.kill()


@contextlib.contextmanager
def reserved_port() -> Iterator[int]:
    """
    Find a free port, which nobody else is given until the block ends.

    A server can listen on it all the same, and again after a restart: all of them set
    `SO_REUSEADDR`, as this does. Only Linux lets them; elsewhere the port is just free.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind((HOST, 0))
        port: int = holder.getsockname()[1]
        if sys.platform != "linux":
            holder.close()
        yield port
