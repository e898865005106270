"""
JSON as text: check it and cut it, without decoding what is only passed on.

RFC 8259 is the measure. msgspec is fast and agrees with it but for lone surrogate escapes, which
it refuses and browsers write; what msgspec refuses, the standard library decides.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

__all__ = [
    "Members",
    "decode",
    "encode",
    "is_json",
    "plain",
    "replace_surrogates",
]


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_constant)
# To find where values end: what integers are is of no interest, and len() takes little memory.
_scan: Final = json.JSONDecoder(  # type: ignore[attr-defined]  # missing in typeshed
    parse_constant=_refuse_constant, parse_int=len
).scan_once
# What is looked through piece by piece is looked through by so much.
_LONG: Final = 2048
_BLANKS: Final = frozenset(" \t\n\r")
_BLANK: Final = re.compile(r"[ \t\n\r]*+")
_DIGITS: Final = "0123456789"
# Makes 0 of digits, and x of all else.
_SHAPE: Final = bytes(48 if chr(byte) in _DIGITS else 120 for byte in range(256))
# As many digits int() takes, whatever it is set to.
_FEW_DIGITS: Final = sys.int_info.str_digits_check_threshold
# Before the digits of a fraction or an exponent.
_FRACTION: Final = re.compile(r"(?:[.eE+]|[eE]-)\Z")
_check: Final = msgspec.json.Decoder(msgspec.Raw).decode


def decode(text: str) -> Any:
    """
    Decode one JSON value; lone surrogate escapes become lone surrogates.

    Raises:
        ValueError: if `text` is not JSON.
        RecursionError: if it is nested too deeply for the parser.
    """
    return _DECODER.decode(text if len(text) < _FEW_DIGITS else _shorten(text))


def _shorten(text: str) -> str:
    """Write integers of too many digits for int(), which are valid JSON, as infinite: 1e999."""
    # A function that the decoder called for each integer would cost several times as much.
    most = sys.get_int_max_str_digits() or len(text) + 1
    # None of too many digits is between two of these, and it has more on one side or the other.
    within = [
        index
        for index in range(most - 1, len(text), most)
        if text[index] in _DIGITS
        and (text[index - 99 : index + 1].isdecimal() or text[index : index + 100].isdecimal())
    ]
    if not within:
        return text
    shape = text.encode("ascii", "replace").translate(_SHAPE)
    parts: list[str] = []
    taken = done = quotes = 0
    for index in within:
        if index <= done:
            continue
        start = shape.rfind(b"x", done, index) + 1
        end = shape.find(b"x", index)
        if end < 0:
            end = len(text)
        if end - start <= most:
            continue
        quotes += text.count('"', done, start)
        if text.find("\\", done, start) >= 0:
            quotes -= text[done:start].replace(r"\\", "").count(r"\"")
        if (
            quotes % 2 == 0
            and text[start] != "0"
            and not _FRACTION.search(text[max(done, start - 2) : start])
            and text[end : end + 1] not in (".", "e", "E")
        ):
            parts += text[taken:start], "1e999"
            taken = end
        done = end
    return "".join((*parts, text[taken:])) if parts else text


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
        self._key_set = frozenset(keys)
        names = {f"member_{number}": key for number, key in enumerate(keys)}
        fields = [(name, msgspec.Raw | UnsetType, UNSET) for name in names]
        self._decode = msgspec.json.Decoder(
            msgspec.defstruct("_Members", fields, rename=names)
        ).decode
        self._all_plain = not any(map(_CONCEALABLE.search, keys))

    def find(self, text: str, decoded: dict[str, Any] | None = None) -> list[str | None]:
        """
        Return the text of the last member of each key, None where there is none.

        Args:
            text: the JSON text of an object.
            decoded: gets strings that are decoded on the way, by their keys, and in place of other
                values anything; None if none should be decoded.

        Raises:
            ValueError: if `text` is not JSON.
            TypeError: if it is JSON, but no object.
            RecursionError: if it is nested too deeply for the parser.
        """
        # With so few quotes it has few members, which are decoded faster than they are concealed;
        # many are decoded more slowly (the benchmark `hostile`).
        if self._all_plain and (decoded is None or text.count('"') >= len(text) // _FEW_MEMBERS):
            return self._cut(text)
        return self._walk(text, {} if decoded is None else decoded)

    def _cut(self, text: str) -> list[str | None]:
        data = text.encode()
        buffer = _conceal(data)
        try:
            found = msgspec.structs.astuple(self._decode(buffer))
        except msgspec.ValidationError:
            raise TypeError("not an object") from None
        # What is found are views of the buffer, which now show what is written there.
        buffer[:] = data
        return [None if part is UNSET else str(part, "utf-8") for part in found]

    def _walk(self, text: str, decoded: dict[str, Any]) -> list[str | None]:
        found: dict[str, str] = {}
        index = _skip(text, 0)
        if text[index : index + 1] != "{":
            raise TypeError("not an object")
        try:
            index = _skip(text, index + 1)
            sign = text[index]
            if sign == "}":
                index += 1
            while sign != "}":
                if text[index] != '"':
                    raise ValueError("not JSON")
                name, index = _scan(text, index)
                sign, index = _sign(text, index)
                if sign != ":":
                    raise ValueError("not JSON")
                value, end = _scan(text, index)
                if name in self._key_set:
                    found[name] = text[index:end]
                    decoded[name] = value
                sign, index = _sign(text, end)
                if sign not in ",}":
                    raise ValueError("not JSON")
        except (IndexError, StopIteration):
            raise ValueError("not JSON") from None
        if _skip(text, index) < len(text):
            raise ValueError("not JSON")
        return [found.get(key) for key in self._keys]


def _conceal(data: bytes) -> bytearray:
    """Make escapes of surrogates ones that msgspec takes, lone or not."""
    if data.count(b"\\") >= len(data) // _FEW_ESCAPES:
        return bytearray(data.replace(rb"\ud", rb"\ue").replace(rb"\uD", rb"\uE"))
    # To replace is slow to pass over some bytes, such as "u". In pieces, for the sake of memory.
    buffer = bytearray()
    while len(buffer) < len(data):
        end = data.find(b'"', len(buffer) + _LONG)
        piece = data[len(buffer) : end if end > 0 else None]
        buffer += rb"\ue".join(_SURROGATE.split(piece))
    return buffer


def _sign(text: str, index: int) -> tuple[str, int]:
    """Return the character after white space, and where the white space after it ends."""
    if text[index] in _BLANKS:
        index = _skip(text, index)
    sign = text[index]
    index += 1
    if text[index : index + 1] in _BLANKS:
        index = _skip(text, index)
    return sign, index


def _skip(text: str, index: int) -> int:
    """Return where white space ends that may begin at an index."""
    # Much faster than a pattern.
    while (blank := text[index : index + _LONG].encode("ascii", "replace")).isspace():
        if b"\v" in blank or b"\f" in blank:
            break
        index += len(blank)
    match = _BLANK.match(text, index)
    assert match is not None
    return match.end()


# Names that others could be taken for, or be taken for others, once their escapes are concealed.
# Such is one with a backslash too, but msgspec takes none.
_CONCEALABLE: Final = re.compile(r"[\ud000-\uefff\U00010000-\U0010ffff]")
# At most one quote in so many characters is few.
_FEW_MEMBERS: Final = 256
# And so is one backslash.
_FEW_ESCAPES: Final = 16
_SURROGATE: Final = re.compile(rb"\\u[dD]")


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
    except UnicodeEncodeError as error:
        whole, text = text[: error.start], text[error.start :]
        # Codecs are much faster than a regular expression.
        if "?" in text:
            # In UTF-8 a surrogate has three bytes, all of them errors, and the first is 0xED.
            text = text.encode(errors="surrogatepass").decode(errors="surrogateescape")
            text = text.replace("\udced", "\ufffd").encode(errors="ignore").decode()
        else:
            text = text.encode(errors="replace").decode().replace("?", "\ufffd")
        text = whole + text
    return text
