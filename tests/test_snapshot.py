"""Whether a decoded value is as it was."""

from __future__ import annotations

from math import inf
from typing import Any

import pytest

from channels_demultiplexer.snapshot import Snapshot


@pytest.mark.parametrize("size", [0, 10_000])
@pytest.mark.parametrize(
    ("value", "other"),
    [
        (1, 1.0),
        (1, True),
        (0.0, -0.0),
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        ({"a": 1}, {"b": 1}),
        ({}, []),
        ([1], [1, 1]),
        ([[1], [2, 3]], [[1, 2], [3]]),
        ("\ud800", "\ufffd"),
        (None, "null"),
        ([[]], [{}]),
        (2**70, 2.0**70),
        (inf, None),
    ],
)
def test_snapshot(value: Any, other: Any, size: int) -> None:
    """What would be written differently is no match; what has not been touched is one."""
    content = [value, "\ud800", [value]]
    snapshot = Snapshot(content, " " * size)
    assert snapshot.matches(content)
    content[2][0] = other
    assert not snapshot.matches(content)
    content[2][0] = value
    assert snapshot.matches(content)
    content.append(1)
    assert not snapshot.matches(content)
    content[3:] = []
    content[2] = [value, value]
    assert not snapshot.matches(content)
    assert not snapshot.matches([other])
    assert not snapshot.matches(other)


@pytest.mark.parametrize("size", [0, 10_000])
def test_snapshot_of_structure(size: int) -> None:
    """The same parts in other lists are no match."""
    one, two = [1], [2, 3]
    content = [one, two]
    snapshot = Snapshot(content, " " * size)
    one.append(two.pop(0))
    assert not snapshot.matches(content)


@pytest.mark.parametrize("size", [0, 10_000])
def test_snapshot_of_keys(size: int) -> None:
    """A key that is renamed in its place is a change."""
    content = {"a": 1}
    snapshot = Snapshot(content, " " * size)
    content["b"] = content.pop("a")
    assert not snapshot.matches(content)


def test_snapshot_of_many_parts() -> None:
    """Of many parts too each counts, however long the text."""
    content = {"a": [[number] for number in range(1000)]}
    snapshot = Snapshot(content, " " * 10_000)
    assert snapshot.matches(content)
    assert snapshot.matches({"a": [[number] for number in range(1000)]})
    content["a"][999][0] = 999.0
    assert not snapshot.matches(content)


@pytest.mark.parametrize("size", [0, 10_000])
def test_snapshot_of_what_a_subclass_puts_in(size: int) -> None:
    """What is of a subclass is a change like any other; what grows too large is one too."""

    class Text(str):
        pass

    content: list[Any] = ["a"]
    snapshot = Snapshot(content, " " * size)
    content[0] = Text("b")
    assert not snapshot.matches(content)
    content[0] = list(range(1000))
    assert not snapshot.matches(content)


def test_snapshot_of_few_lists() -> None:
    """Lone surrogates in few lists are compared each by itself."""
    content = {"a": ["\ud800" * number for number in range(1000)]}
    snapshot = Snapshot(content, "")
    assert snapshot.matches(content)
    content["a"][999] = "\ud800" * 998
    assert not snapshot.matches(content)


def test_snapshot_of_many_lists() -> None:
    """Lone surrogates in many lists are compared all together, and a subclass is a change."""

    class Text(str):
        pass

    content = [["\ud800" * number] for number in range(1000)]
    snapshot = Snapshot(content, "")
    assert snapshot.matches(content)
    content[999][0] = Text("b")
    assert not snapshot.matches(content)


def test_snapshot_of_what_is_no_json() -> None:
    """What cannot be written as JSON is no match."""
    for size in (0, 10_000):
        assert not Snapshot([1], " " * size).matches([object()])
