"""
JSON as text: check it and cut it, without decoding what is only passed on.

RFC 8259 is the measure. msgspec is fast and agrees with it but for lone surrogate escapes, which
it refuses and browsers write; what msgspec refuses, the standard library decides.
"""

from __future__ import annotations

import json
import marshal
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

__all__ = [
    "Members",
    "decode",
    "encode",
    "fingerprint",
    "is_json",
    "plain",
    "replace_surrogates",
]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int | float:
    try:
        return int(digits)
    except ValueError:
        # An integer of thousands of digits is valid JSON, but int() refuses it: infinite, as 1e999.
        return float(digits)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
# Calls a function for each integer.
_PATIENT_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_integer)
# What stands between the members of an object: after the last of them is the end of the text.
_OPENING: Final = re.compile(r"[ \t\n\r]*+\{[ \t\n\r]*+(?:\}(?=[ \t\n\r]*+\Z))?")
_COLON: Final = re.compile(r"[ \t\n\r]*+:[ \t\n\r]*+")
_COMMA: Final = re.compile(r"[ \t\n\r]*+(?:,[ \t\n\r]*+|\}(?=[ \t\n\r]*+\Z))")
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode


def decode(text: str) -> Any:
    """
    Decode one JSON value; lone surrogate escapes become lone surrogates.

    Raises:
        ValueError: if `text` is not JSON.
        RecursionError: if it is nested too deeply for the parser.
    """
    try:
        return _DECODER.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        # A constant, or an integer of too many digits for int().
        return _PATIENT_DECODER.decode(text)


def encode(value: str | None) -> str:
    """
    Encode a string, or None, as JSON.

    Raises:
        UnicodeEncodeError: if the string has a lone surrogate.
        TypeError: if it is neither.
    """
    # msgspec takes no subclass.
    return msgspec.json.encode(value if value is None else plain(value)).decode()


def is_json(text: str) -> bool:
    """
    Say whether `text` is one JSON value, not nested more deeply than the parser takes.

    Raises:
        UnicodeEncodeError: if the text has a lone surrogate.
        TypeError: if it is no string.
    """
    try:
        _check(text)
    except RecursionError:
        return False
    except TypeError:
        # msgspec takes no subclass of str.
        return is_json(plain(text))
    except msgspec.DecodeError:
        try:
            decode(text)
        except (ValueError, RecursionError):
            return False
    return True


class Members:
    """
    Finds members of JSON objects, and returns their JSON text exactly as it is written there.

    Args:
        keys: their names.
    """

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = keys
        names = {f"member_{number}": key for number, key in enumerate(keys)}
        fields = [(name, msgspec.Raw | UnsetType, UNSET) for name in names]
        self._decode = msgspec.json.Decoder(
            msgspec.defstruct("_Members", fields, rename=names)
        ).decode
        # What is concealed of a text could be in these keys too.
        self._all_plain = not any(map(_CONCEALABLE.search, keys))

    def find(self, text: str) -> list[str | None]:
        """
        Return the text of the last member of each key, None where there is none.

        Raises:
            ValueError: if `text` is not JSON.
            TypeError: if it is JSON, but no object.
            RecursionError: if it is nested too deeply for the parser.
        """
        # With so few commas it is mostly strings, which are decoded faster than they are concealed;
        # all else is decoded more slowly (the benchmark `hostile`).
        if not self._all_plain or text.count(",") < len(text) // _MOSTLY_STRINGS:
            return self._walk(text)
        return [part if part is None else _reveal(part).decode() for part in self._cut(text)]

    def _cut(self, text: str) -> list[bytes | None]:
        try:
            found = msgspec.structs.astuple(self._decode(_conceal(text)))
        except msgspec.ValidationError:
            raise TypeError("not an object") from None
        return [None if part is UNSET else bytes(part) for part in found]

    def _walk(self, text: str) -> list[str | None]:
        found: dict[str, str] = {}
        opening = _OPENING.match(text)
        if opening is None:
            raise TypeError("not an object")
        index = opening.end()
        while text[index - 1] != "}":
            if text[index : index + 1] != '"':
                raise ValueError("not JSON")
            name, index = _PATIENT_DECODER.raw_decode(text, index)
            start = _end(_COLON, text, index)
            _, index = _PATIENT_DECODER.raw_decode(text, start)
            if name in self._keys:
                found[name] = text[start:index]
            index = _end(_COMMA, text, index)
        return [found.get(key) for key in self._keys]


# Escapes that may be lone surrogates become ones that msgspec takes, marked by a byte that is in
# no UTF-8; so do escaped backslashes, that no other backslash be taken for an escape.
_CONCEALED: Final = ((b"\\\\", b"\xfe\xfe"), (b"\\ud", b"\xff\\ue"), (b"\\uD", b"\xff\\uE"))
_CONCEALABLE: Final = re.compile("[\ud000-\ud7ff\U00010000-\U0010ffff]")
_MOSTLY_STRINGS: Final = 256


def _conceal(text: str) -> bytes:
    data = text.encode()
    for escape, mark in _CONCEALED:
        data = data.replace(escape, mark)
    return data


def _reveal(data: bytes) -> bytes:
    for escape, mark in reversed(_CONCEALED):
        if mark[:1] in data:  # much faster to find than the whole mark
            data = data.replace(mark, escape)
    return data


def _end(pattern: re.Pattern[str], text: str, index: int) -> int:
    match = pattern.match(text, index)
    if match is None:
        raise ValueError("not JSON")
    return match.end()


def fingerprint(value: Any) -> bytes:
    """
    Return what differs where values would be written differently as JSON, as 1 and 1.0 and true.

    Raises:
        TypeError: if the value cannot be written as JSON.
        RecursionError: if it is nested too deeply.
    """
    try:
        # Several times as fast as json.dumps(). Version 2 is the last that writes equal values
        # equally, however their parts are shared.
        return marshal.dumps(value, 2)
    except ValueError:  # of subclasses, and of very deep nesting
        return json.dumps(value).encode()


def plain(text: str) -> str:
    """
    Return `text` as a plain str, where it is of a subclass such as Django's SafeString.

    Raises:
        TypeError: if it is no string.
    """
    return str.__str__(text)  # unlike str(text), which a subclass overrides


def replace_surrogates(text: str) -> str:
    """Replace lone surrogates by U+FFFD, as a browser does in what it sends."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # The codec replaces by "?", much faster than a regular expression by anything. For that
        # time "!2" stands for "?", and "!1" for "!".
        text = text.replace("!", "!1").replace("?", "!2")
        text = text.encode(errors="replace").decode().replace("?", "\ufffd")
        text = text.replace("!2", "?").replace("!1", "!")
    return text
