"""The soak script works: a short form of it runs, and what it says at the end can be trusted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from .soak.__main__ import Sample, verdict
from .soak.counts import PATIENCE, Counts

_ROOT = Path(__file__).parent.parent
_RIGHT = {"members": 0, "crashes": 5, "cancelled": 1, "unexpected": 0, "examples": []}


def test_short_form() -> None:
    """A few users of a real server find nothing wrong in some seconds, and the script ends."""
    options = ["--sockets", "5", "--streams", "4", "--minutes", "0.1"]
    ended = subprocess.run(
        [sys.executable, "-m", "tests.soak", *options],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    lines = ended.stdout.splitlines()
    told = [line for line in lines if "actions/s" in line]
    assert told
    assert all("  0 errors" in line for line in told)
    assert len([line for line in lines if line.startswith("  ok ")]) == 5
    assert "WRONG" not in ended.stdout


def _samples(rss: list[int], tasks: list[int]) -> list[Sample]:
    """Return the samples of a minute, of which so many thirds had so much."""
    thirds = zip(rss, tasks, strict=True)
    return [Sample(size, count, 0.001) for size, count in thirds for _ in range(20)]


_FLAT = _samples([50, 100, 100], [2, 100, 130])
_IDLE = Sample(40, 2, 0.001)


def test_verdict_is_right_where_nothing_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    """Memory and tasks may grow in the first third, while users come."""
    assert verdict(Counts(echoes=1), _FLAT, _IDLE, _IDLE, _RIGHT)
    assert "WRONG" not in capsys.readouterr().out


def test_verdict_of_a_short_run(capsys: pytest.CaptureFixture[str]) -> None:
    """What has grown in less than a minute is not yet wrong."""
    samples = _samples([50, 100, 200], [2, 100, 200])[1:]
    assert verdict(Counts(echoes=1), samples, _IDLE, _IDLE, _RIGHT)
    assert "WRONG" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("subject", "changed"),
    [
        ("memory", {"samples": _samples([50, 100, 103], [2, 100, 130])}),
        ("tasks", {"samples": _samples([50, 100, 100], [2, 100, 131])}),
        ("tasks", {"after": Sample(40, 3, 0.001)}),
        ("groups", {"stats": {**_RIGHT, "members": 1}}),
        ("answers", {"counts": Counts()}),
        ("answers", {"counts": Counts(echoes=1, errors=["user 1: Unexpected()"])}),
        ("log", {"stats": {**_RIGHT, "unexpected": 1, "examples": ["never retrieved"]}}),
    ],
)
def test_verdict_names_what_is_wrong(
    capsys: pytest.CaptureFixture[str], subject: str, changed: dict[str, object]
) -> None:
    """Each thing that is wrong makes the verdict wrong, and is named."""
    right = {"counts": Counts(echoes=1), "samples": _FLAT, "after": _IDLE, "stats": _RIGHT}
    assert not verdict(idle=_IDLE, **{**right, **changed})
    assert f"WRONG {subject}" in capsys.readouterr().out
