"""The distributions, built as for a package index."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .servers import ROOT

__all__ = ["DATA", "Distribution", "build", "install"]

#: Files that the package carries beside its modules. Those of these tests' own are made for them.
DATA = (
    "channels_demultiplexer/py.typed",
    "channels_demultiplexer/static/channels_demultiplexer/a_test.js",
)
_IGNORED = shutil.ignore_patterns(
    "__pycache__", "*.sqlite3*", "*.egg-info", "build", "dist", "_build", "node_modules", ".*"
)


@dataclass(frozen=True)
class Distribution:
    """The two archives of a release."""

    sdist: Path
    wheel: Path


def build(directory: Path) -> Distribution:
    """Build a source distribution, and a wheel from it, as `python -m build` does."""
    source = directory / "source"
    shutil.copytree(ROOT, source, ignore=_IGNORED)
    for name in DATA:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", source / "dist", source],
        check=True,
        capture_output=True,
    )
    [sdist] = (source / "dist").glob("*.tar.gz")
    [wheel] = (source / "dist").glob("*.whl")
    return Distribution(sdist, wheel)


def install(wheel: Path, directory: Path) -> None:
    """Install a wheel alone into a directory, for `PYTHONPATH`. Needs no network."""
    options = ["--quiet", "--no-deps", "--no-index", "--target", directory]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, wheel], check=True)
