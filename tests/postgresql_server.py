"""A real PostgreSQL: a cluster of the tests' own, on a free port, to be stopped and restarted."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from .servers import HOST, PATIENCE, reserved_port

__all__ = ["PostgreSQL", "postgresql"]

#: Where Debian keeps the programs, which are not on PATH.
_DEBIAN = Path("/usr/lib/postgresql")


class PostgreSQL:
    """
    A PostgreSQL server, whose superuser `tests` needs no password.

    Attributes:
        settings: what Django needs to know of it, for `DATABASES`.
    """

    def __init__(self, programs: Path, directory: str, port: int) -> None:
        self._data = f"{directory}/data"
        self._programs = programs
        self.settings = {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": "postgres",
            "USER": "tests",
            "HOST": HOST,
            "PORT": str(port),
        }
        # The server refuses to run as root.
        self._user: dict[str, Any] = {}
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(directory, nobody.pw_uid, nobody.pw_gid)
            self._user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        self._run("initdb", "-D", self._data, "-U", "tests", "-A", "trust", "-N")
        self._command = [
            *(programs / "postgres", "-D", self._data, "-h", HOST, "-p", str(port)),
            *("-c", "unix_socket_directories=", "-c", "fsync=off"),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and wait until it answers. Fails if it does not in time."""
        assert self._process is None, "PostgreSQL runs already"
        self._process = subprocess.Popen(
            self._command,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # a Ctrl-C is for the tests, which stop it then
            **self._user,
        )
        deadline = time.monotonic() + PATIENCE
        while not self._answers():
            assert self._process.poll() is None, "PostgreSQL has ended"
            assert time.monotonic() < deadline, "PostgreSQL does not answer"
            time.sleep(0.02)

    def stop(self) -> None:
        """Stop it at once, connections and all, and wait until it has ended."""
        assert self._process is not None, "PostgreSQL does not run"
        process, self._process = self._process, None
        process.send_signal(signal.SIGINT)  # its "fast shutdown"
        try:
            process.wait(PATIENCE)
        finally:
            process.kill()
            process.wait()

    @property
    def running(self) -> bool:
        """Whether it has been started and not been stopped since."""
        return self._process is not None

    def restart(self) -> None:
        """Stop it, so that its connections break, and start it anew."""
        self.stop()
        self.start()

    def _run(self, program: str, *args: str) -> None:
        done = subprocess.run(
            [self._programs / program, *args],
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
            **self._user,
        )
        assert done.returncode == 0, done.stderr

    def _answers(self) -> bool:
        ready = [self._programs / "pg_isready", "-q", "-h", HOST, "-p", self.settings["PORT"]]
        return subprocess.run(ready, check=False).returncode == 0


@contextlib.contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """
    Run a PostgreSQL until the block ends, of `initdb` on PATH or of Debian's package.

    Skips the test where there is none, or no psycopg; under CI (`CI=true`) it fails instead.
    """
    programs = _programs()
    try:
        import psycopg_pool
    except ImportError:
        psycopg_pool = None
    if programs is None or psycopg_pool is None:
        reason = "needs PostgreSQL (apt install postgresql) and psycopg[binary,pool]"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with reserved_port() as port, tempfile.TemporaryDirectory() as directory:
        server = PostgreSQL(programs, directory, port)
        try:
            server.start()
            yield server
        finally:
            if server.running:
                server.stop()


def _programs() -> Path | None:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    versions = sorted(_DEBIAN.glob("*/bin/initdb"), key=lambda path: float(path.parts[-3]))
    return versions[-1].parent if versions else None
