"""What a hostile frame costs stays in proportion to what decoding it would cost."""

from __future__ import annotations

import gc
import json
import tracemalloc

import pytest

from benchmarks import hostile
from benchmarks.measure import Skipped

#: How many times what `json.loads` costs, by who handles the frame.
_BOUNDS = {"frame": 3, "read": 3}
#: From one Python and processor to another counts differ by some percent.
_SCATTER = 1.05
#: What costs more than that.
_DEAREST = {
    # Where lone surrogates are few beside much else, marshal compares, and it encodes each string.
    ("short strings and a lone surrogate", "read"): 4.9,
    ("strings of u and lone surrogates", "read"): 4.5,
    ("strings of u and a lone surrogate", "read"): 4.1,
    ("lists of a lone surrogate", "read"): 3.5,
    ("nulls and a lone surrogate", "read"): 3.3,
    ("members of u and a lone surrogate", "read"): 3.4,
    # Backslashes are counted twice, to say how to compare and how to conceal.
    ("strings of a lone surrogate", "read"): 3.4,
    # Lone surrogates are replaced by way of other encodings: more ways where there is a "?".
    ("a lone surrogate and reasons of ?", "frame"): 4.6,
    ("a lone surrogate and reasons of ?", "read"): 5.9,
    ("opaque ? and a lone surrogate", "frame"): 3.3,
    ("opaque ? and a lone surrogate", "read"): 4.3,
    ("opaque u and a lone surrogate", "frame"): 4.3,
    ("opaque u and a lone surrogate", "read"): 5.2,
    # White space is looked through three times.
    ("spaces and a lone surrogate", "read"): 3.8,
    ("tabs and spaces and a lone surrogate", "read"): 3.8,
    ("spaces before commas and a lone surrogate", "read"): 4.0,
    # Quotes are counted, to tell an integer from the digits of a string.
    ("backslashes and a long number", "read"): 4.5,
    ("a lone surrogate and runs of 5", "read"): 4.2,
}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


def test_instructions() -> None:
    """No frame needs more than 3 times what json.loads needs, but for those that are named."""
    try:
        counted = hostile.instructions(12_000)
    except Skipped as reason:
        pytest.skip(str(reason))
    ratios = {
        (name, side): counts[side] / counts["json.loads"]
        for name, counts in counted.items()
        for side in _BOUNDS
    }
    assert len(ratios) > 120
    dear = {
        key: ratio
        for key, ratio in ratios.items()
        if ratio > _SCATTER * _DEAREST.get(key, _BOUNDS[key[1]])
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
    message = hostile.frames(100_000)[name].encode()
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
