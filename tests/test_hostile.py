"""What a hostile frame costs stays in proportion to what decoding it would cost."""

from __future__ import annotations

import gc
import json
import tracemalloc

import pytest

from benchmarks import hostile
from benchmarks.measure import Skipped

#: How many times what `json.loads` costs, by who handles the frame.
_BOUNDS = {"frame": 3, "read": 4.5}
#: Strings that a server encodes more slowly than it decodes them.
_DEAREST = {("strings of a lone surrogate", "read"): 5.5}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


def test_instructions() -> None:
    """No frame needs more than 3 times what json.loads needs; with receive_json it is 4.5."""
    try:
        counted = hostile.instructions(12_000)
    except Skipped as reason:
        pytest.skip(str(reason))
    ratios = {
        (name, side): counts[side] / counts["json.loads"]
        for name, counts in counted.items()
        for side in _BOUNDS
    }
    assert len(ratios) > 90
    dear = {
        key: ratio for key, ratio in ratios.items() if ratio > _DEAREST.get(key, _BOUNDS[key[1]])
    }
    assert dear == {}
    # Less would mean that the frames were not read at all.
    assert all(ratio > 0.01 for ratio in ratios.values())


def _peak(handler: str, message: bytes) -> int:
    """Return the most memory that handling `message` takes, the message included."""
    handle = hostile.handlers()[handler]
    gc.collect()
    tracemalloc.start()
    try:
        handle(message)
        return len(message) + tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("handler", _BOUNDS)
@pytest.mark.parametrize("name", hostile.frames(1))
def test_memory(name: str, handler: str) -> None:
    """No frame takes more than 3 times the memory that json.loads takes."""
    message = hostile.frames(200_000)[name].encode()
    assert _peak(handler, message) <= 3 * _peak("json.loads", message) + 20_000


@pytest.mark.parametrize("name", hostile.frames(1))
def test_frames_are_as_large_as_was_asked_for(name: str) -> None:
    """Each frame of the corpus has about the size that it is to have."""
    assert 80_000 < len(hostile.frames(100_000)[name]) < 310_000


def test_frames_are_json() -> None:
    """All frames but those that say otherwise are JSON."""
    for name, text in hostile.frames(1000).items():
        if name.startswith("not JSON"):
            with pytest.raises(ValueError, match="Expecting"):
                json.loads(text)
        else:
            json.loads(text, parse_int=float)  # however many digits
