"""The AsyncAPI document."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from django.urls import path
from jsonschema import Draft7Validator

from channels_demultiplexer.asyncapi import document
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer
from channels_demultiplexer.router import AsyncSocketRouterConsumer

SCHEMA = Path(__file__).parent / "data" / "asyncapi-3.0.0.json"


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


@pytest.fixture(scope="module")
def validator() -> Draft7Validator:
    """What accepts AsyncAPI 3.0 documents: the official schema."""
    return Draft7Validator(json.loads(SCHEMA.read_text()))


class Place(msgspec.Struct):
    """Where something is."""

    x: int
    y: int = 0


@dataclass
class Note:
    """A note."""

    text: str
    place: Place | None = None


class Echo(AsyncWebsocketConsumer):
    """A consumer that nobody calls."""


class Notes(AsyncSocketRouterConsumer):
    """A consumer with routes."""

    routes = [
        {"route": "list"},
        {"route": "create", "payload_type": Note},
        {"route": "move", "payload_type": list[Place]},
    ]

    async def on_list(self) -> None:
        """Handle a request."""

    on_create = on_move = on_list


class Demultiplexer(WebsocketDemultiplexer):
    """A demultiplexer with a stream of each kind."""

    consumer_classes = {"echo": Echo, "notes": Notes, "room/<int:n>/": Echo}
    urlpatterns = [path("ws/<str:name>/", Echo.as_asgi())]


class Keys(WebsocketDemultiplexer):
    """A demultiplexer with keys of its own."""

    consumer_classes = {"a": Echo, "A": Echo, "a!": Echo}
    multiplex_key = "s"
    payload_key = "p"


@pytest.fixture
def made() -> dict[str, Any]:
    """A document of demultiplexers that have everything."""
    everything = [("/ws/", Demultiplexer), ("/<int:pk>/x/", Keys), (None, Demultiplexer)]
    return document("mysite", everything)


def messages(made: dict[str, Any], channel: str) -> dict[str, Any]:
    """Return the messages of a channel."""
    found: dict[str, Any] = made["channels"][channel]["messages"]
    return found


def test_valid(made: dict[str, Any], validator: Draft7Validator) -> None:
    """The official schema accepts the document, as JSON."""
    assert list(validator.iter_errors(json.loads(json.dumps(made)))) == []


def test_schema_refuses(made: dict[str, Any], validator: Draft7Validator) -> None:
    """The official schema refuses what is wrong, so that the test above says something."""
    made["channels"]["ws"]["messages"] = 5
    assert list(validator.iter_errors(made))


def test_nothing(validator: Draft7Validator) -> None:
    """A document without demultiplexers is valid too."""
    made = document("mysite", [])
    assert made == {
        "asyncapi": "3.0.0",
        "info": {"title": "mysite", "version": "1"},
        "defaultContentType": "application/json",
        "channels": {},
        "operations": {},
        "components": {},
    }
    assert list(validator.iter_errors(made)) == []


def test_channels(made: dict[str, Any]) -> None:
    """A demultiplexer is a channel with its URL as the address, whose parameters are named."""
    described = {
        name: {key: value for key, value in channel.items() if key != "messages"}
        for name, channel in made["channels"].items()
    }
    assert described == {
        "ws": {"address": "/ws/", "title": f"{__name__}.Demultiplexer"},
        "int_pk_x": {
            "address": "/{pk}/x/",
            "parameters": {"pk": {"description": "int"}},
            "title": f"{__name__}.Keys",
        },
        "any": {"address": None, "title": f"{__name__}.Demultiplexer"},
    }


def test_operations(made: dict[str, Any]) -> None:
    """Each channel has what the server receives and what it sends, each message in one."""
    assert list(made["operations"]) == [
        "receive-ws",
        "send-ws",
        "receive-int_pk_x",
        "send-int_pk_x",
        "receive-any",
        "send-any",
    ]
    for name, operation in made["operations"].items():
        action, _, channel = name.partition("-")
        assert operation["action"] == action
        assert operation["channel"] == {"$ref": f"#/channels/{channel}"}
        assert operation["messages"] == [
            {"$ref": f"#/channels/{channel}/messages/{message}"}
            for message in messages(made, channel)
            if message.startswith(f"{action}-")
        ]


def test_messages(made: dict[str, Any]) -> None:
    """A stream is a message each way; a router's is one for each route, and one for answers."""
    assert list(messages(made, "ws")) == [
        "receive-echo",
        "receive-notes-list",
        "receive-notes-create",
        "receive-notes-move",
        "receive-room_int_n",
        "receive-ws_str_name",
        "send-echo",
        "send-notes",
        "send-room_int_n",
        "send-ws_str_name",
    ]
    assert list(messages(made, "int_pk_x")) == [
        "receive-a",
        "receive-A",
        "receive-a-2",
        "send-a",
        "send-A",
        "send-a-2",
    ]


def test_message_of_fixed(made: dict[str, Any]) -> None:
    """A message is a data frame, with the keys that are set; a fixed name is a constant."""
    assert messages(made, "int_pk_x")["send-a-2"] == {
        "title": "a!",
        "summary": f"eager stream of {__name__}.Echo",
        "payload": {
            "type": "object",
            "required": ["s", "p"],
            "properties": {"s": {"const": "a!"}, "p": {}},
        },
    }


@pytest.mark.parametrize(
    ("message", "name", "kind"),
    [
        ("receive-room_int_n", "room/<int:n>/", "parametrised"),
        ("send-ws_str_name", "ws/<str:name>/", "mounted"),
    ],
)
def test_message_of_pattern(made: dict[str, Any], message: str, name: str, kind: str) -> None:
    """Another name is a string, which the pattern describes."""
    found = messages(made, "ws")[message]
    assert (found["title"], found["summary"]) == (name, f"{kind} stream of {__name__}.Echo")
    assert found["payload"]["properties"]["stream"] == {"type": "string", "description": name}


def test_message_of_lazy() -> None:
    """The name of a lazy stream is a constant too."""
    lazy = type("Lazy", (Keys,), {"lazy": True})
    found = messages(document("x", [("/", lazy)]), "root")["send-a"]
    assert found["summary"].startswith("lazy ")
    assert found["payload"]["properties"]["s"] == {"const": "a"}


def payload(message: dict[str, Any]) -> dict[str, Any]:
    """Return the schema of the payload of a stream's frame."""
    found: dict[str, Any] = message["payload"]["properties"]["payload"]
    return found


@pytest.mark.parametrize(
    ("route", "schema"),
    [
        ("list", {}),
        ("create", {"$ref": "#/components/schemas/Note"}),
        ("move", {"type": "array", "items": {"$ref": "#/components/schemas/Place"}}),
    ],
)
def test_request(made: dict[str, Any], route: str, schema: dict[str, Any]) -> None:
    """A request names its route, and has the schema of its payload's type where there is one."""
    message = messages(made, "ws")[f"receive-notes-{route}"]
    assert message["title"] == f"notes: {route}"
    assert payload(message) == {
        "type": "object",
        "required": ["route"],
        "properties": {
            "route": {"const": route},
            "uuid": {"type": ["string", "integer"]},
            "headers": {"type": ["object", "null"]},
            "payload": schema,
        },
    }


def test_answer(made: dict[str, Any]) -> None:
    """What a router sends has the keys that answers and pushes share."""
    message = messages(made, "ws")["send-notes"]
    assert message["title"] == "notes: answers and pushes"
    assert payload(message) == {
        "type": "object",
        "required": ["route", "headers", "payload"],
        "properties": {"headers": {"type": "object"}, "status": {"type": "integer"}},
    }


def test_schemas(made: dict[str, Any]) -> None:
    """The components are the types that are referred to, each once."""
    schemas = made["components"]["schemas"]
    assert list(schemas) == ["Note", "Place"]
    assert schemas["Note"]["required"] == ["text"]
