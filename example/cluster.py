"""
The example as in production: Redis, two Uvicorn processes, and nginx in front of them.

`make cluster` runs it until Ctrl-C, and lets you end each server while a conversation goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

HOST = "127.0.0.1"
EXAMPLE = Path(__file__).resolve().parent
ROOT = EXAMPLE.parent
#: What the page on deployment shows is what runs here.
NGINX_CONF = ROOT / "docs" / "examples" / "deployment" / "nginx.conf"

#: The parts that have to be on PATH, with the packages that bring them.
PROGRAMS = {"redis-server": "redis-server", "nginx": "nginx"}

#: What nginx needs where it is not the system's own: no path outside `{directory}`.
_NGINX_MAIN = """\
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr warn;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    proxy_max_temp_file_size 0;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    {site}
}}
"""


class Cluster:
    """
    The processes of a small production.

    Attributes:
        url: where nginx listens, `http://host:port`.
        ports: the ports of the two servers, in the order of their numbers 0 and 1.
    """

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self._directory = directory
        self._redis_port = free_port()
        self.ports = (free_port(), free_port())
        self._port = port or free_port()
        self.url = f"http://{HOST}:{self._port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._env = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "mysite.settings",
            "EXAMPLE_DATABASE": str(directory / "db.sqlite3"),
            "PYTHONPATH": os.pathsep.join([str(EXAMPLE), str(ROOT)]),
            "REDIS_URL": f"redis://{HOST}:{self._redis_port}/0",
        }

    def start(self) -> None:
        """Start everything, and wait until all of it listens. Raises `RuntimeError` if one ends."""
        redis = ["redis-server", "--bind", HOST, "--port", str(self._redis_port), "--save", ""]
        self._start("redis", [*redis, "--dir", str(self._directory)], self._redis_port)
        migrate = [sys.executable, str(EXAMPLE / "manage.py"), "migrate", "--verbosity", "0"]
        subprocess.run(migrate, env=self._env, check=True)
        for number in range(len(self.ports)):
            self.start_server(number)
        conf = self._directory / "nginx.conf"
        conf.write_text(self._nginx_conf())
        nginx = ["nginx", "-p", str(self._directory), "-e", "stderr", "-c", str(conf)]
        self._start("nginx", nginx, self._port)

    def start_server(self, number: int) -> None:
        """Start a server, and wait until it listens."""
        port = self.ports[number]
        uvicorn = [sys.executable, "-m", "uvicorn", "--host", HOST, "--port", str(port)]
        options = ["--lifespan", "off", "--log-level", "warning", "mysite.asgi:application"]
        self._start(f"server {number}", [*uvicorn, *options], port)

    def end_server(self, number: int, how: signal.Signals) -> None:
        """End a server with a signal, and wait until it has ended."""
        process = self._processes.pop(f"server {number}")
        process.send_signal(how)
        process.wait(30)

    def runs(self, number: int) -> bool:
        """Tell whether a server runs."""
        return f"server {number}" in self._processes

    def stop(self) -> None:
        """End everything that runs."""
        while self._processes:
            _, process = self._processes.popitem()  # nginx first
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def log(self, name: str) -> str:
        """Return what a part has written: "redis", "nginx", "server 0" or "server 1"."""
        return (self._directory / f"{name}.log").read_text()

    def _start(self, name: str, command: list[str], port: int) -> None:
        with (self._directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command,
                cwd=EXAMPLE,
                env=self._env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C is for this script, which ends them in order
            )
        self._processes[name] = process
        deadline = time.monotonic() + 30
        while True:
            with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                return
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{name} does not listen:\n{self.log(name)}")
            time.sleep(0.05)

    def _nginx_conf(self) -> str:
        """Return the configuration of the documentation, for these ports and without TLS."""
        site = NGINX_CONF.read_text()
        for shown, port in zip((8001, 8002), self.ports, strict=True):
            site = site.replace(f"{HOST}:{shown}", f"{HOST}:{port}")
        site = site.replace("listen 443 ssl;", f"listen {HOST}:{self._port};")
        lines = [line for line in site.splitlines() if not line.strip().startswith("ssl_")]
        return _NGINX_MAIN.format(directory=self._directory, site="\n    ".join(lines))


def free_port() -> int:
    """Return a port that is free now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def missing_programs() -> str | None:
    """Return what has to be installed first, or None."""
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    return f"this needs `apt install {' '.join(missing)}`" if missing else None


@contextlib.contextmanager
def cluster(port: int | None = None) -> Iterator[Cluster]:
    """Run a cluster until the block ends."""
    with tempfile.TemporaryDirectory() as directory:
        running = Cluster(Path(directory), port)
        try:
            running.start()
            yield running
        finally:
            running.stop()


def main(port: int) -> None:
    """Run a cluster, and end or start its servers as it is told."""
    with cluster(port) as running:
        print(f"\n  The example is at {running.url}/, from two servers behind nginx.")
        print("  1 or 2 and Enter ends that server, or starts it again. Ctrl-C ends all.\n")
        for line in sys.stdin:
            if line.strip() in {"1", "2"}:
                number = int(line) - 1
                if running.runs(number):
                    running.end_server(number, signal.SIGKILL)
                    print(f"  Server {number + 1} has been killed.")
                else:
                    running.start_server(number)
                    print(f"  Server {number + 1} runs again.")
        signal.pause()  # without a terminal


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000, help="default: %(default)s")
    if (reason := missing_programs()) is not None:
        sys.exit(reason)
    with contextlib.suppress(KeyboardInterrupt):
        main(parser.parse_args().port)
