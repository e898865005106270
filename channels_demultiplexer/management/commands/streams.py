"""`manage.py streams`: what can be reached from ASGI_APPLICATION, and how."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from ...asyncapi import document
from ...demultiplexer import WebsocketDemultiplexer
from ...listing import StreamDeclaration, dotted_name, find_demultiplexers

_HEADINGS = ("STREAM", "KIND", "CONSUMER", "SETTINGS OF ITS OWN")


class Command(BaseCommand):
    """Lists the demultiplexers and their streams."""

    help = "Lists the demultiplexers that ASGI_APPLICATION leads to, and their streams."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare the options."""
        parser.add_argument(
            "--format", choices=["table", "json"], default="table", help="table by default"
        )
        parser.add_argument(
            "--asyncapi", action="store_true", help="write an AsyncAPI 3.0 document instead"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """
        Write what there is.

        Raises:
            CommandError: if the project has no ASGI_APPLICATION.
        """
        name = getattr(settings, "ASGI_APPLICATION", None)
        if name is None:
            raise CommandError("ASGI_APPLICATION is not set: give the dotted path of yours")
        found = list(find_demultiplexers(import_string(name)))
        if options["asyncapi"]:
            self._write_json(document(name.partition(".")[0], found))
        elif options["format"] == "json":
            self._write_json([_described(url, cls) for url, cls in found])
        elif found:
            self.stdout.write("\n".join(line for each in found for line in _table(*each)))
        else:
            self.stdout.write(f"No demultiplexer can be reached from {name}.")

    def _write_json(self, content: Any) -> None:
        self.stdout.write(json.dumps(content, indent=2))


def _described(url: str | None, demultiplexer: type[WebsocketDemultiplexer]) -> dict[str, Any]:
    return {
        "url": url,
        "demultiplexer": dotted_name(demultiplexer),
        "streams": [
            {
                "name": stream.name,
                "kind": stream.kind,
                "consumer": dotted_name(stream.consumer),
                "settings": dict(stream.settings),
                "routes": {
                    name: {"payload_type": _type_name(route.payload_type)}
                    for name, route in stream.routes.items()
                },
            }
            for stream in demultiplexer.streams()
        ],
    }


def _table(url: str | None, demultiplexer: type[WebsocketDemultiplexer]) -> Iterator[str]:
    streams = demultiplexer.streams()
    rows = [_HEADINGS, *map(_row, streams)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    details = [[], *map(_routes, streams)]
    yield f"{url or 'every URL'}  {dotted_name(demultiplexer)}"
    for row, below in zip(rows, details, strict=True):
        cells = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield f"  {cells}".rstrip()
        yield from (f"    {line}" for line in below)
    yield ""


def _row(stream: StreamDeclaration) -> tuple[str, ...]:
    own = ", ".join(f"{name}={value!r}" for name, value in stream.settings.items())
    return stream.name, stream.kind, dotted_name(stream.consumer), own


def _routes(stream: StreamDeclaration) -> list[str]:
    return [
        name if route.payload_type is None else f"{name} ({_type_name(route.payload_type)})"
        for name, route in stream.routes.items()
    ]


def _type_name(payload_type: Any) -> str | None:
    if payload_type is None:
        return None
    return payload_type.__name__ if isinstance(payload_type, type) else str(payload_type)
