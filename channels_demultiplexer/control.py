"""A client's control frames, and how their fields are read. Pure functions."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import UNSET, Raw, UnsetType

from . import jsontext
from .close_codes import CloseCode
from .exceptions import MalformedFrame

__all__ = [
    "FIELDS",
    "MAX_OPEN_SIZE",
    "Close",
    "Open",
    "Ping",
    "read_close",
    "read_open",
    "shown",
    "string_of",
    "wrong",
]

#: The fields of a client's control frames.
FIELDS: Final = ("subprotocols", "query", "credit", "code", "reason")

#: The most UTF-8 bytes that the subprotocols and the query of an `open` may have together.
MAX_OPEN_SIZE: Final = 8192

# How many characters of a value an error's text shows.
_SHOWN: Final = 40

_STRINGS: Final = msgspec.json.Decoder(list[str]).decode
_STRING: Final = msgspec.json.Decoder(str).decode
_BOOLEAN: Final = msgspec.json.Decoder(bool).decode

#: The close codes that a client may give.
_CLIENT_CLOSE_CODES: Final = range(1000, 5000)


class Open(msgspec.Struct, frozen=True):
    """A client's `open`: `query` is None where the frame has none; `credit` is whether it asks."""

    stream: str
    subprotocols: list[str]
    query: str | None
    credit: bool = False


class Close(msgspec.Struct, frozen=True):
    """A client's `close`."""

    stream: str
    code: int
    reason: str


class Ping(msgspec.Struct, frozen=True):
    """A client's `ping`: `payload` is JSON text, None where the frame has none."""

    payload: str | None


def read_open(stream: str, envelope: Any) -> Open:
    """
    Read the fields of an `open`.

    Args:
        stream: the stream's name.
        envelope: has the JSON text of each of `FIELDS` as an attribute, UNSET where there is none.

    Raises:
        MalformedFrame: if a field is not what the protocol says.
    """
    subprotocols, query, credit = [], None, False
    if envelope.subprotocols is not UNSET:
        subprotocols = _field(_STRINGS, "subprotocols", "a list of strings", envelope)
    if envelope.query is not UNSET:
        query = _field(_STRING, "query", "a string without lone surrogates", envelope)
    if envelope.credit is not UNSET:
        credit = _field(_BOOLEAN, "credit", "true or false", envelope)
    if "" in subprotocols:
        raise MalformedFrame("'subprotocols' has an empty string", stream)
    size = len("".join((*subprotocols, query or "")).encode())
    if size > MAX_OPEN_SIZE:
        raise MalformedFrame(
            f"'subprotocols' and 'query' have {size} bytes, more than {MAX_OPEN_SIZE}", stream
        )
    return Open(stream, subprotocols, query, credit)


def _field(decode: Any, field: str, expected: str, envelope: Any) -> Any:
    value = getattr(envelope, field)
    try:
        return decode(value)
    except msgspec.DecodeError:
        raise wrong(field, expected, value, envelope.stream) from None


def read_close(stream: str, envelope: Any) -> Close:
    """Read the fields of a `close`, as `read_open` does those of an `open`."""
    code, reason = envelope.code, envelope.reason
    number = CloseCode.NORMAL.value
    if code is not UNSET:
        # A close code has four digits; 1000.0 is no integer of JSON's.
        digits = shown(code)
        number = int(digits) if len(digits) == 4 and digits.isdecimal() else 0
        if number not in _CLIENT_CLOSE_CODES:
            raise wrong("code", "an integer from 1000 to 4999", code, stream)
    text = "" if reason is UNSET else string_of(reason)
    if not isinstance(text, str):
        raise wrong("reason", "a string", reason, stream)
    return Close(stream, number, jsontext.replace_surrogates(text))


def wrong(
    key: str, expected: str, value: Any, stream: str, *, data: bool = False
) -> MalformedFrame:
    """Return the error that tells of a value of the wrong type."""
    return MalformedFrame(f"{key!a} is {expected}, not {shown(value)}", stream, data=data)


def string_of(value: Raw | str | UnsetType) -> Any:
    """Return the string that `value` is the text of; `value` itself where it is none or is one."""
    if not isinstance(value, Raw) or bytes(memoryview(value)[:1]) != b'"':
        return value
    try:
        return _STRING(value)
    except msgspec.DecodeError:  # a lone surrogate
        return jsontext.decode(str(value, "utf-8"))


def shown(value: Any) -> str:
    """Return a value of a frame for people: its JSON text, cut off where it is long."""
    text = (
        bytes(memoryview(value)[: 4 * _SHOWN]).decode(errors="ignore")
        if isinstance(value, Raw)
        else ascii(value[:_SHOWN])
    )
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
