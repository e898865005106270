"""A guard against slow growth: the instructions that a stream adds to a message."""

from __future__ import annotations

import pytest

from benchmarks import instructions
from benchmarks.measure import Skipped

#: CPython 3.11 counts 49,800 by callgrind; other versions and processors differ by some percent.
_BOUND = 60_000


def test_a_message_costs_few_instructions_more_than_its_child() -> None:
    """What a stream adds to a trivial child's round trip of 100 B stays within the bound."""
    try:
        instructions.tool()
    except Skipped as reason:
        pytest.skip(str(reason))
    count = instructions.added(100)
    # Fewer than a few thousand would mean that the messages took no stream.
    assert 5_000 < count < _BOUND
