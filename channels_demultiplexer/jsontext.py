"""
JSON as text: check it and cut it, without decoding what is only passed on.

RFC 8259 is the measure. msgspec is fast and agrees with it but for lone surrogate escapes, which
it refuses and browsers write; what msgspec refuses, the standard library decides.
"""

from __future__ import annotations

import json
import marshal
import operator
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

__all__ = [
    "Members",
    "Snapshot",
    "decode",
    "encode",
    "is_json",
    "plain",
    "replace_surrogates",
]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
# To find where values end: float() takes integers of any length.
_SCANNER: Final = json.JSONDecoder(parse_constant=_refuse_constant, parse_int=float)
# What stands between the members of an object: after the last of them is the end of the text.
_OPENING: Final = re.compile(r"[ \t\n\r]*+\{[ \t\n\r]*+(?:\}(?=[ \t\n\r]*+\Z))?")
_DIGITS: Final = re.compile("[0-9]++")
# Before the digits of a fraction or an exponent.
_FRACTION: Final = re.compile(r"(?:[.eE+]|[eE]-)\Z")
_COLON: Final = re.compile(r"[ \t\n\r]*+:[ \t\n\r]*+")
_COMMA: Final = re.compile(r"[ \t\n\r]*+(?:,[ \t\n\r]*+|\}(?=[ \t\n\r]*+\Z))")
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode
# At most one part in so many characters is few.
_FEW_PARTS: Final = 256
# What stands after the parts of an object or array.
_END: Final = object()
_pack: Final = msgspec.msgpack.Encoder().encode


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
        return _DECODER.decode(_shorten(text))


def _shorten(text: str) -> str:
    """Write integers of too many digits for int(), which are valid JSON, as infinite: 1e999."""
    # A function that the decoder called for each integer would cost several times as much.
    most = sys.get_int_max_str_digits() or len(text)
    parts: list[str] = []
    done = quotes = 0
    for index in range(most - 1, len(text), most):  # none of too many digits is between two
        run = _DIGITS.match(text, index) if index >= done else None
        if run is None:
            continue
        before = text[max(done, index - most) : index]
        start = index - len(before) + len(before.rstrip("0123456789"))
        end = run.end()
        if end - start <= most:
            continue
        between, digits = text[done:start], text[start:end]
        quotes += between.replace(r"\\", "").replace(r"\"", "").count('"')
        is_integer = (
            digits[0] != "0"
            and not _FRACTION.search(between[-2:])
            and text[end : end + 1] not in (".", "e", "E")
        )
        parts += between, "1e999" if is_integer and quotes % 2 == 0 else digits
        done = end
    return "".join((*parts, text[done:]))


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
            name, index = _SCANNER.raw_decode(text, index)
            start = _end(_COLON, text, index)
            _, index = _SCANNER.raw_decode(text, start)
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


class Snapshot:
    """
    Tells whether a decoded value is still as it was: 1, 1.0 and true differ, as in JSON.

    Args:
        value: the value.
        text: the JSON text that it was decoded from.

    Raises:
        RecursionError: if it is nested too deeply.
    """

    __slots__ = ("_known", "_most", "text")

    def __init__(self, value: Any, text: str) -> None:
        self.text = text
        # To encode a long string costs more than to decode it, but where there are few parts they
        # can be compared by identity (the benchmark `hostile-read`).
        self._most = len(text) // _FEW_PARTS
        self._known: Any = _parts_of(value, self._most)
        if self._known is None:
            self._most = 0
            self._known = _written(value)

    def matches(self, value: Any) -> bool:
        """
        Say whether `value` is the same object with the same content.

        Of another object with equal content it may say either.

        Raises:
            TypeError: if the value cannot be written as JSON.
            RecursionError: if it is nested too deeply.
        """
        if self._most == 0:
            return bool(_written(value) == self._known)
        parts = _parts_of(value, self._most)
        return (
            parts is not None
            and len(parts) == len(self._known)
            and all(map(operator.is_, parts, self._known))
        )


def _parts_of(value: Any, most: int) -> list[Any] | None:
    """Return all parts of a value, level by level, or None where there are more than `most`."""
    parts = [value]
    for part in parts:  # to which more are added
        if len(parts) > most:
            return None
        if type(part) is dict:
            parts += part
            parts += part.values()
        elif type(part) is list:
            parts += part
        else:
            continue
        parts.append(_END)
    return parts


def _written(value: Any) -> bytes:
    """Return what differs where values would be written differently as JSON."""
    try:
        return _pack(value)
    except (TypeError, OverflowError, UnicodeEncodeError):
        pass  # subclasses, integers of more than 64 bits, lone surrogates
    try:
        # Version 2 is the last that writes equal values equally, however their parts are shared.
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
