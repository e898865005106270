"""The payloads: JSON text of a given size, as a browser's JSON.stringify writes it."""

from __future__ import annotations

import json
from typing import Any

_ASCII = "the quick brown fox jumps over the lazy dog"
_OTHER = "съешь ещё этих мягких французских булок, да выпей чаю"


def payload(size: int, *, ascii_only: bool = True) -> str:
    """
    Return JSON text of exactly `size` UTF-8 bytes, at least 50: a record, or a list of records.

    Args:
        size: bytes.
        ascii_only: whether the texts in it are ASCII; otherwise they are Cyrillic, unescaped.
    """
    text = _ASCII if ascii_only else _OTHER
    value: dict[str, Any] = {"kind": "update", "pad": "", "items": []}
    number = 0
    while True:
        number += 1
        items: list[Any] = value["items"]
        items.append({"id": number, "name": text[:20], "price": 19.99, "tags": ["a", "b"]})
        if _size(value) > size:
            items.pop()
            break
    value["pad"] = "x" * (size - _size(value))
    return _write(value)


def frame(stream: str, content: str) -> bytes:
    """Return the data frame for `content`, JSON text."""
    return f'{{"stream":{json.dumps(stream)},"payload":{content}}}'.encode()


def _write(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _size(value: Any) -> int:
    return len(_write(value).encode())
