"""What is a stream's name, and how it reads."""

from __future__ import annotations

import pytest

from channels_demultiplexer.names import MAX_NAME_SIZE, name_fault, split_name


def test_the_most_bytes() -> None:
    """A length byte of a binary message can say 255."""
    assert MAX_NAME_SIZE == 255


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("a", None),
        ("a" * 255, None),
        ("", "a stream's name has 1 to 255 bytes, not 0"),
        ("é" * 128, "a stream's name has 1 to 255 bytes, not 256"),
        ("a\ud800", "the stream's name has a lone surrogate"),
    ],
)
def test_name_fault(name: str, fault: str | None) -> None:
    """`name_fault` says what is wrong with a name."""
    assert name_fault(name) == fault


@pytest.mark.parametrize(
    ("name", "path", "query"),
    [
        ("a", "a", None),
        ("a/b/", "a/b/", None),
        ("a?q=1", "a", "q=1"),
        ("a?", "a", ""),
        ("a?q?r", "a", "q?r"),
        ("a#2", "a", None),
        ("a?q#2?r", "a", "q"),
        ("a#?q", "a", None),
        ("/", "/", None),
        ("?q", "", "q"),
        ("#2", "", None),
    ],
)
def test_split_name(name: str, path: str, query: str | None) -> None:
    """A name reads like a relative URL: its path, its query, and a label that is for nobody."""
    assert split_name(name) == (path, query)
