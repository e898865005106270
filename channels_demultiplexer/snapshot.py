"""
Whether what `receive_json` passes on is what it was given, so that the client's text stands for it.

Nothing may cost more than to decode the text again (the benchmark `hostile-read`).
"""

from __future__ import annotations

import json
import marshal
import operator
import sys
from collections.abc import Iterator
from itertools import chain
from typing import Any, Final

import msgspec

__all__ = ["Snapshot"]

# At most one part in so many characters is few.
_FEW_PARTS: Final = 256
# At least one escape in so many characters is many.
_MANY_ESCAPES: Final = 10
_pack: Final = msgspec.msgpack.Encoder().encode

_Lists = list[list[Any]]
_Dicts = list[dict[str, Any]]


class Snapshot:
    """
    Tells whether a decoded value is still as it was: 1, 1.0 and true differ, as in JSON.

    Args:
        value: the value.
        text: the JSON text that it was decoded from.

    Raises:
        RecursionError: if it is nested too deeply.
    """

    __slots__ = ("_holders", "_known", "_write", "has_few_parts", "is_packed", "text", "value")

    def __init__(self, value: Any, text: str) -> None:
        #: What it was made of.
        self.text = text
        self.value = value
        # To encode a long string costs more than to decode it, and so does a lone surrogate. Where
        # parts are few, or lone surrogates may be many, they are compared by identity.
        self._holders = _holders(value, len(text) // _FEW_PARTS)
        #: Whether it has few parts for its text. Only `value` itself matches then.
        self.has_few_parts = self._holders is not None
        self._write = _packed
        self._known: Any = None
        if self._holders is None:
            self._known = _packed(value)
            if self._known is None and text.count("\\") >= len(text) // _MANY_ESCAPES:
                self._holders = _holders(value, sys.maxsize)
        #: Whether msgpack can write it, and has, so that there is no lone surrogate in it.
        self.is_packed = self._known is not None
        if self._holders is not None:
            self._known = (_sizes(*self._holders), [*_parts(*self._holders)])
        elif self._known is None:
            self._write = _written
            self._known = _written(value)

    def matches(self, value: Any) -> bool:
        """
        Say whether `value` is the same object with the same content.

        Of another object with equal content it may say either.

        Raises:
            TypeError: perhaps, if the value cannot be written as JSON.
            RecursionError: perhaps, if it is nested too deeply.
        """
        if self._holders is None:
            return bool(self._write(value) == self._known)
        sizes, parts = self._known
        return (
            value is self.value
            and _sizes(*self._holders) == sizes
            and all(map(operator.is_, _parts(*self._holders), parts))
        )


def _holders(value: Any, most: int) -> tuple[_Lists, _Dicts] | None:
    """Return all lists and dicts within a value; None where they have more than `most` parts."""
    lists: _Lists = []
    dicts: _Dicts = []
    parts = [value]
    for part in parts:  # to which more are added
        if type(part) is list:
            lists.append(part)
            parts += part
        elif type(part) is dict:
            dicts.append(part)
            parts += part.values()
        else:
            continue
        if len(parts) > most:
            return None
    return lists, dicts


def _sizes(lists: _Lists, dicts: _Dicts) -> list[int]:
    # Without them, what one list loses to the next would not be seen.
    return [*map(len, lists), *map(len, dicts)]


def _parts(lists: _Lists, dicts: _Dicts) -> Iterator[Any]:
    flat = chain.from_iterable
    return chain(flat(lists), flat(dicts), flat(map(dict.values, dicts)))


def _packed(value: Any) -> bytes | None:
    try:
        return _pack(value)
    except (TypeError, OverflowError, UnicodeEncodeError):
        return None  # subclasses, integers of more than 64 bits, lone surrogates


def _written(value: Any) -> bytes:
    """Return what differs where values would be written differently as JSON."""
    try:
        # Version 2 is the last that writes equal values equally, however their parts are shared.
        return marshal.dumps(value, 2)
    except ValueError:  # of subclasses, and of very deep nesting
        return json.dumps(value).encode()
