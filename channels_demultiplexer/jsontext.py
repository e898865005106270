"""
JSON as text: check it and cut it, without decoding what is only passed on.

RFC 8259 is the measure. msgspec is fast and agrees with it but for lone surrogate escapes, which
it refuses and browsers write; what msgspec refuses, the standard library decides.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import msgspec

__all__ = ["decode", "encode", "is_json", "is_utf8", "member", "plain", "replace_surrogates"]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _integer(digits: str) -> int | float:
    # An integer of thousands of digits is valid JSON, but int() refuses it: infinite, as 1e999.
    return int(digits) if len(digits) < 4000 else float(digits)


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=_integer)
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_SPACE_OR_COMMA: Final = re.compile(r"[ \t\n\r,]*")
_LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode


def decode(text: str) -> Any:
    """
    Decode one JSON value; lone surrogate escapes become lone surrogates.

    Raises:
        ValueError: if `text` is not JSON.
        RecursionError: if it is nested too deeply for the parser.
    """
    return _DECODER.decode(text)


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


def member(text: str, key: str) -> str:
    """
    Return the JSON text of the last member `key` of `text`, exactly as it is written there.

    Args:
        text: a valid JSON object that has the member.
    """
    found = ""
    index = _skip(_SPACE_OR_COMMA, text, text.index("{") + 1)
    while text[index] != "}":
        name, index = _DECODER.raw_decode(text, index)
        start = _skip(_SPACE, text, text.index(":", index) + 1)
        _, index = _DECODER.raw_decode(text, start)
        if name == key:
            found = text[start:index]
        index = _skip(_SPACE_OR_COMMA, text, index)
    return found


def _skip(pattern: re.Pattern[str], text: str, index: int) -> int:
    match = pattern.match(text, index)
    assert match is not None  # the patterns match the empty string
    return match.end()


def is_utf8(value: object) -> bool:
    """Say whether `value` is a string that UTF-8 can encode."""
    return isinstance(value, str) and _LONE_SURROGATE.search(value) is None


def plain(text: str) -> str:
    """
    Return `text` as a plain str, where it is of a subclass such as Django's SafeString.

    Raises:
        TypeError: if it is no string.
    """
    return str.__str__(text)  # unlike str(text), which a subclass overrides


def replace_surrogates(text: str) -> str:
    """Replace lone surrogates by U+FFFD, as a browser does in what it sends."""
    return _LONE_SURROGATE.sub("\ufffd", text)
