"""An AsyncAPI 3.0 document of demultiplexers, from the server's point of view."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from .conf import Options
from .listing import StreamDeclaration, StreamKind, dotted_name

if TYPE_CHECKING:
    from .demultiplexer import WebsocketDemultiplexer
    from .router import Route

__all__ = ["document"]

_VERSION = "3.0.0"
_REFERENCE = "#/components/schemas/{name}"
# A parameter of Django's path(): its converter and its name.
_PARAMETER = re.compile(r"<(?:(?P<converter>\w+):)?(?P<name>\w+)>")
_ANY: Mapping[str, Any] = {}
# What a router consumer sends. A push has no status.
_ANSWER: Mapping[str, Any] = {
    "type": "object",
    "required": ["route", "headers", "payload"],
    "properties": {"headers": {"type": "object"}, "status": {"type": "integer"}},
}


def document(
    title: str, demultiplexers: Iterable[tuple[str | None, type[WebsocketDemultiplexer]]]
) -> dict[str, Any]:
    """
    Return the AsyncAPI document of demultiplexers.

    A demultiplexer is a channel. A stream is a message that it receives and one that it sends; a
    stream of a router consumer is a message for each route, and one for its answers and pushes.
    Control frames, binary messages and frames of opaque text are those of the wire protocol, and
    left out. A name may have a query and a label, which the document does not say.

    Args:
        title: the document's title.
        demultiplexers: URL patterns, None for every URL, and classes.
    """
    writer = _Writer()
    for url, demultiplexer in demultiplexers:
        writer.add(url, demultiplexer)
    schemas = writer.schemas()
    return {
        "asyncapi": _VERSION,
        "info": {"title": title, "version": "1"},
        "defaultContentType": "application/json",
        "channels": writer.channels,
        "operations": writer.operations,
        "components": {"schemas": schemas} if schemas else {},
    }


class _Writer:
    """Collects the channels, their operations, and the types of payloads."""

    def __init__(self) -> None:
        self.channels: dict[str, Any] = {}
        self.operations: dict[str, Any] = {}
        self._types: list[Any] = []

    def add(self, url: str | None, demultiplexer: type[WebsocketDemultiplexer]) -> None:
        """Add a channel and its operations."""
        key = _unique(_key(url or "any"), self.channels)
        messages: dict[str, Any] = {}
        options = demultiplexer.check()
        for action in ("receive", "send"):
            names = []
            for stream in demultiplexer.streams():
                for name, message in self._messages(stream, action, options):
                    name = _unique(_key(f"{action}-{name}"), messages)
                    messages[name] = message
                    names.append(name)
            self.operations[f"{action}-{key}"] = {
                "action": action,
                "channel": {"$ref": f"#/channels/{key}"},
                "messages": [{"$ref": f"#/channels/{key}/messages/{name}"} for name in names],
            }
        self.channels[key] = {
            **_address(url),
            "title": dotted_name(demultiplexer),
            "messages": messages,
        }

    def schemas(self) -> dict[str, Any]:
        """Return the schemas of the types that the messages refer to."""
        return msgspec.json.schema_components(self._types, ref_template=_REFERENCE)[1]

    def _messages(
        self, stream: StreamDeclaration, action: str, options: Options
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield a name and a message for each kind of frame that a stream takes or sends."""
        if not stream.routes:
            yield stream.name, _message(stream, stream.name, _ANY, options)
        elif action == "send":
            yield (
                stream.name,
                _message(stream, f"{stream.name}: answers and pushes", _ANSWER, options),
            )
        else:
            for name, route in stream.routes.items():
                title = f"{stream.name}: {name}"
                payload = _request(name, self._schema(route))
                yield f"{stream.name}-{name}", _message(stream, title, payload, options)

    def _schema(self, route: Route) -> Mapping[str, Any]:
        if route.payload_type is None:
            return _ANY
        # The route layer takes no type that has no schema.
        [schema], _ = msgspec.json.schema_components([route.payload_type], ref_template=_REFERENCE)
        self._types.append(route.payload_type)
        return schema


def _request(route: str, payload: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the schema of a request to a route, as the route layer takes it."""
    properties: dict[str, Any] = {
        "route": {"const": route},
        "uuid": {"type": ["string", "integer"]},
        "headers": {"type": ["object", "null"]},
        "payload": payload,
    }
    return {"type": "object", "required": ["route"], "properties": properties}


def _message(
    stream: StreamDeclaration, title: str, payload: Mapping[str, Any], options: Options
) -> dict[str, Any]:
    """Return a message: a data frame."""
    fixed = stream.kind in (StreamKind.EAGER, StreamKind.LAZY)
    name = {"const": stream.name} if fixed else {"type": "string", "description": stream.name}
    return {
        "title": title,
        "summary": f"{stream.kind} stream of {dotted_name(stream.consumer)}",
        "payload": {
            "type": "object",
            "required": [options.multiplex_key, options.payload_key],
            "properties": {options.multiplex_key: name, options.payload_key: payload},
        },
    }


def _address(url: str | None) -> dict[str, Any]:
    """Return the address of a channel, and its parameters."""
    if url is None:
        return {"address": None}
    parameters = {
        match["name"]: {"description": match["converter"] or "str"}
        for match in _PARAMETER.finditer(url)
    }
    address = _PARAMETER.sub(r"{\g<name>}", url)
    return {"address": address, **({"parameters": parameters} if parameters else {})}


def _key(text: str) -> str:
    """Return a key that AsyncAPI takes."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", text).strip("_") or "root"


def _unique(key: str, taken: Mapping[str, Any]) -> str:
    """Return `key`, numbered where it is taken."""
    number = 1
    unique = key
    while unique in taken:
        number += 1
        unique = f"{key}-{number}"
    return unique
