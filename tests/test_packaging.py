"""The distribution: what is in it, and what it says of itself."""

from __future__ import annotations

import email
import email.message
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from .servers import ROOT

#: Files that the package carries beside its modules.
DATA = (
    "channels_demultiplexer/py.typed",
    "channels_demultiplexer/static/channels_demultiplexer/a_test.js",
)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a source distribution, as `python -m build` does."""
    source = tmp_path_factory.mktemp("build") / "source"
    source.mkdir()
    for name in "LICENSE", "README.rst", "pyproject.toml", "setup.cfg", "setup.py", "MANIFEST.in":
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, source)
    for name in "channels_demultiplexer", "tests", "example":
        ignored = shutil.ignore_patterns("__pycache__", "node_modules", "*.sqlite3*")
        shutil.copytree(ROOT / name, source / name, ignore=ignored)
    for name in DATA:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", source / "dist", source],
        check=True,
        capture_output=True,
    )
    [built] = (source / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> email.message.Message:
    """What the wheel says of itself."""
    with ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_files(wheel: Path) -> None:
    """The wheel has the package with its type marker and static files, and no more."""
    with ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert names.issuperset(DATA)
    modules = {str(path.relative_to(ROOT)) for path in ROOT.glob("channels_demultiplexer/**/*.py")}
    assert names.issuperset(modules)
    static = ROOT.glob("channels_demultiplexer/static/channels_demultiplexer/*.js*")
    assert names.issuperset(str(path.relative_to(ROOT)) for path in static)
    assert {name.partition("/")[0] for name in names} == {
        "channels_demultiplexer",
        "channels_demultiplexer-3.0.0.dist-info",
    }


def test_metadata(metadata: email.message.Message) -> None:
    """Name, version, licence and requirements are what users are told."""
    assert metadata["Name"] == "channels-demultiplexer"
    assert metadata["Version"] == "3.0.0"
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


def test_installed(wheel: Path, tmp_path: Path) -> None:
    """The wheel installs, and what it installs can be imported."""
    install = ["pip", "install", "--quiet", "--no-deps", "--no-index", "--target", tmp_path, wheel]
    subprocess.run([sys.executable, "-m", *install], check=True)
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
