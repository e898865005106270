"""The distribution: what is in it, and what it says of itself."""

from __future__ import annotations

import email
import email.message
import os
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from .distribution import DATA, Distribution, install
from .servers import ROOT


@pytest.fixture(scope="module")
def metadata(distribution: Distribution) -> email.message.Message:
    """What the wheel says of itself."""
    with ZipFile(distribution.wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_files(distribution: Distribution) -> None:
    """The wheel has the package with its type marker and static files, and no more."""
    with ZipFile(distribution.wheel) as archive:
        names = set(archive.namelist())
    assert names.issuperset(DATA)
    modules = {str(path.relative_to(ROOT)) for path in ROOT.glob("channels_demultiplexer/**/*.py")}
    assert names.issuperset(modules)
    static = ROOT.glob("channels_demultiplexer/static/channels_demultiplexer/*.js*")
    assert names.issuperset(str(path.relative_to(ROOT)) for path in static)
    assert {name.partition("/")[0] for name in names} == {
        "channels_demultiplexer",
        "channels_demultiplexer-3.1.0.dist-info",
    }


def test_metadata(metadata: email.message.Message) -> None:
    """Name, version, licence and requirements are what users are told."""
    assert metadata["Name"] == "channels-demultiplexer"
    assert metadata["Version"] == "3.1.0"
    assert (metadata["License-Expression"] or metadata["License"]) == "MIT"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/x-rst"
    assert set(metadata.get_all("Provides-Extra")) == {
        "redis",
        "daphne",
        "client",
        "test",
        "docs",
        "typed",
        "dev",
    }
    required = [line for line in metadata.get_all("Requires-Dist") if "extra ==" not in line]
    assert sorted(required) == ["Django>=5.2", "channels>=4.3", "msgspec>=0.19"]


def test_installed(distribution: Distribution, tmp_path: Path) -> None:
    """The wheel installs, and what it installs can be imported."""
    install(distribution.wheel, tmp_path)
    code = "import channels_demultiplexer.demultiplexer as module; print(module.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path)},
    )
    assert Path(done.stdout.strip()).is_relative_to(tmp_path)


def test_the_source_distribution_tests_itself(distribution: Distribution, tmp_path: Path) -> None:
    """What is unpacked from the source distribution has all that its tests need, and they run."""
    # Python's own needs an argument from 3.12 on which the 3.11 of Debian 12 does not know.
    subprocess.run(["tar", "-xzf", distribution.sdist, "-C", tmp_path], check=True)
    [source] = tmp_path.iterdir()
    ignored = {"__pycache__", "_build", "node_modules", ".mypy_cache"}
    for folder in "benchmarks", "docs", "example", "tests":
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and not ignored & set(path.parts) and "sqlite3" not in path.name:
                assert (source / path.relative_to(ROOT)).exists(), path
    # Those that read the most of what is not in the package.
    tests = ["tests/test_docs.py", "tests/test_router_docs.py", "tests/test_frames.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *tests],
        cwd=source,
        env={**os.environ, "PYTHONPATH": str(source)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
