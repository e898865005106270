"""
The browser client: its own tests, in Node.

Each file of `tests/js` is a test here. What they need is installed by `npm ci`, once.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .servers import PATIENCE, ROOT, serve

FOLDER = ROOT / "tests" / "js"
#: Those that need Node only; those that need packages too; and those that need a server too.
PLAIN = ("inspector", "random", "request", "socket", "stream", "values")
PACKAGES = ("package",)
SERVED = ("libraries", "model")


def lacking(what: str) -> None:
    """Skip a test that lacks something; under CI, fail."""
    if os.environ.get("CI"):
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="session")
def node() -> str:
    """The path of Node."""
    path = shutil.which("node")
    if path is None:
        lacking("there is no node: `apt-get install nodejs npm` gets it")
    version = subprocess.run([str(path), "--version"], check=True, capture_output=True, text=True)
    if int(version.stdout.lstrip("v").partition(".")[0]) < 18:
        lacking(f"the tests need Node 18 or newer, not {version.stdout.strip()}")
    return str(path)


@pytest.fixture(scope="session")
def packages(node: str) -> None:
    """What `package-lock.json` says is installed."""
    lock = FOLDER / "package-lock.json"
    stamp = FOLDER / "node_modules" / ".package-lock.json"
    if stamp.exists() and stamp.stat().st_mtime >= lock.stat().st_mtime:
        return
    npm = shutil.which("npm")
    if npm is None:
        lacking("there is no npm: `apt-get install npm` gets it")
    command = [str(npm), "ci", "--no-audit", "--no-fund"]
    done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True)
    if done.returncode:
        lacking(f"`npm ci` in {FOLDER} has failed:\n{done.stderr}")
    os.utime(stamp)


def run(node: str, name: str, **env: str) -> str:
    """Run a file of tests; return what it printed."""
    done = subprocess.run(
        [node, "--test", "--test-reporter=tap", f"{name}.test.js"],
        cwd=FOLDER,
        env={**os.environ, **env},
        capture_output=True,
        text=True,
        timeout=15 * PATIENCE,
    )
    failures = re.split(r"^(?= *not ok)", done.stdout, flags=re.MULTILINE)[1:]
    assert done.returncode == 0, "\n".join(failures) or done.stdout + done.stderr
    passed = re.search(r"^# pass (\d+)$", done.stdout, re.MULTILINE)
    assert passed
    assert int(passed[1]) > 0
    return done.stdout


def test_files() -> None:
    """Every file of tests is run."""
    found = {path.name.removesuffix(".test.js") for path in FOLDER.glob("*.test.js")}
    assert found == {*PLAIN, *PACKAGES, *SERVED}


@pytest.mark.parametrize("name", PLAIN)
def test_client(name: str, node: str) -> None:
    """The client does what it says, on a fake network and clock."""
    run(node, name)


@pytest.mark.usefixtures("packages")
def test_package(node: str) -> None:
    """The package is small, and its types are sound."""
    output = run(node, "package")
    size = re.search(r"the client: .*", output)
    assert size
    print(size[0])


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("server", ["daphne", "uvicorn"])
def test_libraries(server: str, node: str) -> None:
    """Libraries that know nothing of streams run over them, on real servers."""
    with serve(server, "tests.js_app:application") as serving:
        run(node, "libraries", SERVER=serving.url)


@pytest.mark.usefixtures("packages")
def test_model(node: str) -> None:
    """Random scripts end in the state that the server has."""
    with serve("uvicorn", "tests.js_app:application") as serving:
        run(node, "model", SERVER=serving.url)


def test_modules_import_relatively() -> None:
    """A page loads the modules as they are: every import names a file beside it."""
    folder = ROOT / "channels_demultiplexer" / "static" / "channels_demultiplexer"
    modules = sorted(folder.glob("*.js"))
    assert folder / "demultiplexer.js" in modules
    for module in modules:
        text = module.read_text()
        for name in re.findall(r'from "([^"]+)"', text) + re.findall(r'import\("([^"]+)"\)', text):
            assert name.startswith("./"), (module.name, name)
            assert name.endswith(".js"), (module.name, name)
            assert Path(folder, name).exists(), (module.name, name)
        assert len(text.splitlines()) <= 400, module.name
