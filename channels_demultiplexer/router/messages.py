"""The messages of the route layer: parse a request, write an answer. Pure."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from typing import Any

import msgspec
from django.utils.functional import Promise

from .. import jsontext
from ..status import StatusCodes
from .responses import Response, error_response

__all__ = ["MalformedRequest", "Ping", "Request", "answer", "encode", "parse", "push"]

#: The reserved route of the heartbeat, and the route of its answer.
PING = "PING"
PONG = "PONG"


class Request(msgspec.Struct, frozen=True):
    """A well-formed request."""

    route: str
    uuid: str | int
    headers: dict[str, Any]
    payload: Any


class Ping(msgspec.Struct, frozen=True):
    """A heartbeat; :attr:`pong` is its answer."""

    pong: dict[str, Any]


class MalformedRequest(ValueError):
    """
    A message is no request.

    :attr:`route` and :attr:`uuid` are those of the message where they were usable, else None.
    """

    def __init__(self, reason: str, route: str | None = None, uuid: str | int | None = None):
        super().__init__(reason)
        self.route = route
        self.uuid = uuid


def parse(text: str | None) -> Request | Ping:
    """
    Parse a text message.

    Args:
        text: the message, or None where it was a binary one.

    Raises:
        MalformedRequest: if it is no request.
    """
    if text is None:
        raise MalformedRequest("a request must be a text message, got a binary one")
    try:
        content = _decode(text)
    except (ValueError, RecursionError):
        raise MalformedRequest("a request must be JSON") from None
    if not isinstance(content, dict):
        raise MalformedRequest("a request must be a JSON object")
    route: Any = content.get("route")
    uuid: Any = content.get("uuid")
    if route == PING:
        return Ping({"route": PONG, **({"uuid": uuid} if "uuid" in content else {})})
    # JSON's true is no number, though Python's True is an int.
    good_uuid = isinstance(uuid, str | int) and not isinstance(uuid, bool) and uuid != ""
    good_route = isinstance(route, str) and route != ""
    usable = (route if good_route else None, uuid if good_uuid else None)
    if not good_route:
        raise MalformedRequest("route must be a string that is not empty", *usable)
    if not good_uuid:
        raise MalformedRequest("uuid must be an integer or a string that is not empty", *usable)
    headers = content.get("headers")
    if headers is not None and not isinstance(headers, dict):
        raise MalformedRequest("headers must be an object or null", *usable)
    return Request(route, uuid, headers or {}, content.get("payload"))


def answer(route: str | None, uuid: str | int | None, response: Response) -> dict[str, Any]:
    """Return the answer to a request."""
    return {
        "uuid": uuid,
        "route": route,
        "headers": dict(response.headers or {}),
        "payload": response.payload,
        "status": int(response.status),
    }


def refusal(error: MalformedRequest) -> dict[str, Any]:
    """Return the answer to what is no request."""
    return answer(error.route, error.uuid, error_response(StatusCodes.BAD_REQUEST, str(error)))


def push(route: str, payload: Any, headers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return a message that answers no request."""
    return {"route": route, "headers": dict(headers or {}), "payload": payload}


def encode(content: Any) -> str:
    """
    Return content as JSON text (RFC 8259).

    Raises:
        TypeError: if that can't be done.
    """
    try:
        try:
            text = _encoder.encode(content).decode()
        except UnicodeEncodeError:
            # The standard library escapes lone surrogates, which msgspec can't write.
            builtins = msgspec.to_builtins(content, enc_hook=_encode_other)
            text = json.dumps(builtins, separators=(",", ":"))
    except RecursionError as exc:
        raise TypeError("content nested this deeply cannot be encoded as JSON") from exc
    # msgspec writes NaN and Infinity as null, the standard library as the bare words.
    if _CONSTANT.search(text) and _has_constant(content):
        raise TypeError("NaN and Infinity cannot be encoded as JSON")
    return text


def _has_constant(content: Any) -> bool:
    """Whether there is a NaN or Infinity in what has been encoded or decoded."""
    values = [content]
    while values:
        value = values.pop()
        if isinstance(value, float):
            if not math.isfinite(value):
                return True
        elif isinstance(value, Mapping):
            values += value.values()
        elif isinstance(value, Enum):
            values.append(value.value)
        elif isinstance(value, msgspec.Struct):
            values += msgspec.structs.astuple(value)
        elif is_dataclass(value):
            values += [getattr(value, field.name) for field in fields(value)]
        elif isinstance(value, list | tuple | set | frozenset):
            values += value
    return False


def _encode_other(value: Any) -> Any:
    """Turn a value, or a key of a mapping, that msgspec does not know into one that it does."""
    if isinstance(value, Promise):
        return str(value)
    if value is None or isinstance(value, bool):
        return json.dumps(value)  # only ever a key
    for base in (str, int, float):  # subclasses, such as SafeString
        if isinstance(value, base):
            return base.__str__(value) if base is str else base(value)
    raise TypeError(f"a {type(value).__qualname__} object cannot be encoded as JSON")


def _decode(text: str) -> Any:
    """
    Decode JSON text.

    Raises:
        ValueError: if it is not JSON, or has a number that Python can't hold.
    """
    try:
        return _decoder.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        # msgspec refuses escapes of lone surrogates, which browsers do write.
        content = jsontext.decode(text)
        if _has_constant(content):
            # RFC 8259, section 6, allows to limit the range.
            raise ValueError("a number is out of range") from None
        return content


#: What a NaN or Infinity may have left in a text.
_CONSTANT = re.compile("null|NaN|Infinity")
_decoder = msgspec.json.Decoder()
_encoder = msgspec.json.Encoder(enc_hook=_encode_other)
