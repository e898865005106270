"""`manage.py streams`."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.routing import URLRouter
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.urls import path

from channels_demultiplexer.asyncapi import document
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer, child
from channels_demultiplexer.router import AsyncSocketRouterConsumer

ROOT = Path(__file__).parent.parent
PRINTED = ROOT / "docs" / "examples" / "streams.txt"


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


class Echo(AsyncWebsocketConsumer):
    """A consumer that nobody calls."""


class Routed(AsyncSocketRouterConsumer):
    """A consumer with routes."""

    routes = [
        {"route": "list"},
        {"route": "get", "payload_type": int},
        {"route": "set", "payload_type": list[int]},
    ]

    async def on_list(self) -> None:
        """Handle a request."""

    on_get = on_set = on_list


class Demultiplexer(WebsocketDemultiplexer):
    """A demultiplexer."""

    consumer_classes = {
        "echo": child(Echo, stream_capacity=5, lazy=False),
        "notes": Routed,
        "room/<int:n>/": Echo,
    }


class Plain(WebsocketDemultiplexer):
    """Another."""

    urlpatterns = [path("", Echo.as_asgi())]


application = URLRouter([path("a/", Demultiplexer.as_asgi()), path("b/", Plain.as_asgi())])
alone = Plain.as_asgi()
nothing = Echo.as_asgi()


TABLE = """\
/a/  tests.test_streams_command.Demultiplexer
  STREAM         KIND          CONSUMER                           SETTINGS OF ITS OWN
  echo           eager         tests.test_streams_command.Echo    stream_capacity=5, lazy=False
  notes          eager         tests.test_streams_command.Routed
    list
    get (int)
    set (list[int])
  room/<int:n>/  parametrised  tests.test_streams_command.Echo

/b/  tests.test_streams_command.Plain
  STREAM  KIND     CONSUMER                         SETTINGS OF ITS OWN
  /       mounted  tests.test_streams_command.Echo
"""


def printed(name: str = "application", **options: object) -> str:
    """Return what the command prints for an ASGI application of this module."""
    output = io.StringIO()
    with override_settings(ASGI_APPLICATION=f"{__name__}.{name}"):
        call_command("streams", stdout=output, skip_checks=True, **options)
    return output.getvalue()


def test_table() -> None:
    """The table has each demultiplexer with its URL, and each stream with what is its own."""
    assert printed() == TABLE


def test_every_url() -> None:
    """A demultiplexer without a router before it is said to serve every URL."""
    assert printed("alone").startswith(f"every URL  {__name__}.Plain\n")


def test_none() -> None:
    """Where there is none, the table says so, and JSON is an empty list."""
    assert printed("nothing") == f"No demultiplexer can be reached from {__name__}.nothing.\n"
    assert json.loads(printed("nothing", format="json")) == []


def test_json() -> None:
    """`--format json` has the same for programs."""
    first, second = json.loads(printed(format="json"))
    assert second == {
        "url": "/b/",
        "demultiplexer": f"{__name__}.Plain",
        "streams": [
            {
                "name": "/",
                "kind": "mounted",
                "consumer": f"{__name__}.Echo",
                "settings": {},
                "routes": {},
            }
        ],
    }
    echo, notes, _ = first["streams"]
    assert echo["settings"] == {"stream_capacity": 5, "lazy": False}
    assert notes["routes"] == {
        "list": {"payload_type": None},
        "get": {"payload_type": "int"},
        "set": {"payload_type": "list[int]"},
    }
    assert json.loads(printed("alone", format="json"))[0]["url"] is None


def test_asyncapi() -> None:
    """`--asyncapi` writes the AsyncAPI document, whose title is the project's package."""
    written = json.loads(printed(asyncapi=True))
    assert written == document("tests", [("/a/", Demultiplexer), ("/b/", Plain)])


def test_without_application() -> None:
    """A project without ASGI_APPLICATION is told so."""
    with pytest.raises(CommandError, match=r"^ASGI_APPLICATION is not set: give the dotted path"):
        call_command("streams", skip_checks=True)


def test_example() -> None:
    """The documentation shows what the command prints for the example."""
    done = subprocess.run(
        [sys.executable, "example/manage.py", "streams"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "DJANGO_SETTINGS_MODULE": "mysite.settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    told = "write anew: python example/manage.py streams > docs/examples/streams.txt"
    assert done.stdout == PRINTED.read_text(), told
