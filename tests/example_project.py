"""The example project, as the tests run it: with a database of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from .servers import PATIENCE, ROOT

__all__ = ["APPLICATION", "migrated", "run"]

APPLICATION = "mysite.asgi:application"
_EXAMPLE = ROOT / "example"


def migrated(database: Path) -> dict[str, str]:
    """Make the database, and return the environment in which the example uses it."""
    env = {
        "DJANGO_SETTINGS_MODULE": "mysite.settings",
        "EXAMPLE_DATABASE": str(database),
        "PYTHONPATH": os.pathsep.join([str(_EXAMPLE), str(ROOT)]),
    }
    run(["manage.py", "migrate"], env)
    return env


def run(command: list[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script of the example with every warning an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", *command],
        cwd=_EXAMPLE,
        env={**os.environ, **env},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=5 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done
