"""What goes over the wire: requests, answers, heartbeat, pushes and what JSON can hold."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from http import HTTPStatus
from typing import Any
from uuid import UUID

import msgspec
import pytest
from django.contrib.auth.models import User
from django.db.models import TextChoices
from django.utils.safestring import mark_safe
from django.utils.translation import gettext_lazy
from rest_framework.utils.serializer_helpers import ReturnDict, ReturnList

from channels_demultiplexer.router import Response, StatusCodes
from channels_demultiplexer.router.messages import encode

from .driver import TIMEOUT
from .routers import returns

pytest_plugins = ["tests.router_fixtures"]


def echoes(base: Any) -> Any:
    """Return a consumer whose route `echo` answers with what it was given."""

    class Echo(base):
        routes = [{"route": "echo"}]

        def on_echo(self, payload: Any, headers: Any) -> Any:
            return {"payload": payload, "headers": headers}

    return Echo


# Requests and answers.


async def test_an_answer_has_exactly_five_keys(base: Any, serve: Any) -> None:
    """An answer is correlated by uuid, and repeats the route."""
    client = await serve(echoes(base))
    for uuid in ("a", "0", "ü", 0, 7, -1, 2**70):
        assert await client.ask("echo", {"a": [1]}, uuid=uuid, headers={"h": 1}) == {
            "uuid": uuid,
            "route": "echo",
            "headers": {"h": 1},
            "payload": {"a": [1]},
            "status": 200,
        }


async def test_absent_headers_are_empty_and_an_absent_payload_is_none(
    base: Any, serve: Any
) -> None:
    """Handlers and hydrate functions need not look for missing keys."""
    seen: list[Any] = []

    def hydrate(headers: Any, payload: Any) -> Any:
        seen.append((headers, payload))
        return payload

    class App(base):
        routes = [{"route": "x", "hydrate": hydrate}]

        def on_x(self, payload: Any, headers: Any) -> None:
            seen.append((headers, payload))

    client = await serve(App)
    for fields in ({}, {"headers": None}, {"headers": {}, "payload": None}):
        client.request("x", **fields)
        assert (await client.receive_json())["headers"] == {}
    assert seen == [({}, None)] * 6


async def test_unknown_keys_are_ignored_and_the_last_of_duplicates_counts(
    base: Any, serve: Any
) -> None:
    """A request may say more than the protocol knows."""
    client = await serve(echoes(base))
    client.send_text(
        '{"route":"x","route":"echo","uuid":1,"status":500,"x":{},"payload":1,"payload":2}'
    )
    assert await client.receive_json() == {
        "uuid": 1,
        "route": "echo",
        "headers": {},
        "payload": 2,
        "status": 200,
    }


async def test_a_payload_is_any_json(base: Any, serve: Any) -> None:
    """Falsy payloads are payloads."""
    client = await serve(echoes(base))
    for payload in (None, False, 0, 1.5, "", "a\u2028ü\x00", [], {}, [[{}]], 2**70):
        answer = (await client.ask("echo", payload))["payload"]
        assert answer == payload
        assert type(answer) is type(payload)


async def test_lone_surrogates_are_json(base: Any, serve: Any) -> None:
    """What browsers write survives the way in and out, in payload, uuid, headers and route."""
    client = await serve(echoes(base))
    text = r'{"route":"echo","uuid":"\ud800","payload":["\udfff",null,1.5],"headers":{"\ud801":1}}'
    client.send_text(text)
    answer = await client.receive_json()
    assert answer["uuid"] == "\ud800"
    assert answer["payload"] == ["\udfff", None, 1.5]
    assert answer["headers"] == {"\ud801": 1}
    client.send_text(r'{"route":"\ud800","uuid":1}')
    assert (await client.receive_json())["route"] == "\ud800"


ROUTE, UUID_ERROR = "route must be a string", "uuid must be an integer or a string"
MALFORMED = [
    ("", None, None, "a request must be JSON"),
    ("{", None, None, "a request must be JSON"),
    ('{"route":"echo","uuid":1,"payload":NaN}', None, None, "a request must be JSON"),
    ('{"route":"echo","uuid":1,"payload":-Infinity}', None, None, "a request must be JSON"),
    ('{"route":"echo","uuid":1,"payload":"\\ud800",}', None, None, "a request must be JSON"),
    ('{"route":"echo","uuid":1,"payload":1e999}', None, None, "a request must be JSON"),
    ('{"route":"echo","uuid":1,"payload":["\\ud800",1e999]}', None, None, "a request must be JSON"),
    ('{"route":"echo","uuid":1' + "0" * 5000 + "}", None, None, "a request must be JSON"),
    ("[" * 100_000, None, None, "a request must be JSON"),
    ("[]", None, None, "a request must be a JSON object"),
    ("null", None, None, "a request must be a JSON object"),
    ('"echo"', None, None, "a request must be a JSON object"),
    ("{}", None, None, ROUTE),
    ('{"route":"echo"}', "echo", None, UUID_ERROR),
    ('{"uuid":3}', None, 3, ROUTE),
    ('{"route":"","uuid":"a"}', None, "a", ROUTE),
    ('{"route":null,"uuid":"a"}', None, "a", ROUTE),
    ('{"route":["echo"],"uuid":0}', None, 0, ROUTE),
    ('{"route":"echo","uuid":""}', "echo", None, UUID_ERROR),
    ('{"route":"echo","uuid":null}', "echo", None, UUID_ERROR),
    ('{"route":"echo","uuid":true}', "echo", None, UUID_ERROR),
    ('{"route":"echo","uuid":1.0}', "echo", None, UUID_ERROR),
    ('{"route":"echo","uuid":{}}', "echo", None, UUID_ERROR),
    ('{"route":"nope","uuid":[]}', "nope", None, UUID_ERROR),
    ('{"route":"echo","uuid":1,"headers":[]}', "echo", 1, "headers must be an object or null"),
    ('{"route":"echo","uuid":1,"headers":""}', "echo", 1, "headers must be an object or null"),
    ('{"route":"echo","uuid":1,"headers":false}', "echo", 1, "headers must be an object or null"),
]


async def test_a_malformed_request_gets_400(base: Any, serve: Any) -> None:
    """The answer has route and uuid where they were usable, and the connection lives on."""
    client = await serve(echoes(base))
    for text, route, uuid, error in MALFORMED:
        client.send_text(text)
        answer = await client.receive_json()
        assert answer["payload"].pop("error").startswith(error), text[:100]
        expected = {"uuid": uuid, "route": route, "headers": {}, "payload": {}, "status": 400}
        assert answer == expected
    assert (await client.ask("echo", 1))["payload"] == 1


async def test_a_binary_message_gets_400(base: Any, serve: Any) -> None:
    """Requests are text messages."""
    client = await serve(echoes(base))
    client.send_bytes(b'{"route":"echo","uuid":1}')
    assert await client.receive_json() == {
        "uuid": None,
        "route": None,
        "headers": {},
        "payload": {"error": "a request must be a text message, got a binary one"},
        "status": 400,
    }


async def test_an_unknown_route_gets_404(base: Any, serve: Any) -> None:
    """The library's own errors have a string under the key error."""
    client = await serve(echoes(base))
    assert await client.ask("nope", uuid="u", headers={"a": 1}) == {
        "uuid": "u",
        "route": "nope",
        "headers": {},
        "payload": {"error": "there is no such route"},
        "status": 404,
    }


# Heartbeat.


async def test_ping_is_answered_with_its_uuid(base: Any, serve: Any) -> None:
    """A PONG has whatever JSON the PING had for a uuid."""
    client = await serve(echoes(base))
    for uuid in ("a", "", 1, 0, 1.5, None, True, [], {"a": [None]}, 2**70, "\ud800"):
        client.send(route="PING", uuid=uuid, headers=3, payload={})
        assert await client.receive_json() == {"route": "PONG", "uuid": uuid}


async def test_a_ping_without_a_uuid_gets_a_pong_without_one(base: Any, serve: Any) -> None:
    """No uuid comes back where none came."""
    client = await serve(echoes(base))
    client.send_text('{"route":"PING"}')
    assert await client.receive_json() == {"route": "PONG"}


async def test_what_needs_no_handler_is_answered_while_one_runs(base: Any, serve: Any) -> None:
    """PONG, 400 and 404 go out at once, while a plain handler blocks its thread."""
    running, release = threading.Event(), threading.Event()

    class App(base):
        routes = [{"route": "block"}]

        def on_block(self) -> None:
            running.set()
            assert release.wait(TIMEOUT)

    client = await serve(App)
    client.request("block", uuid="blocked")
    assert await asyncio.to_thread(running.wait, TIMEOUT)
    try:
        await client.expect_silence()
        assert (await client.ask("nope"))["status"] == 404
        client.send_text("x")
        assert (await client.receive_json())["status"] == 400
    finally:
        release.set()
    assert (await client.receive_json())["uuid"] == "blocked"


# What JSON can hold.


class Level(IntEnum):
    LOW = 1


class Colour(Enum):
    RED = "red"


class Odd(Enum):
    NAN = float("nan")


class Word(TextChoices):
    YES = "y", "Yes"


@dataclass
class Point:
    x: int
    at: date


class Pair(msgspec.Struct):
    left: Any
    right: Any = None


class Number(int):
    pass


class Real(float):
    pass


AT = datetime(2024, 2, 3, 4, 5, 6, 7, tzinfo=UTC)
ENCODED = [
    (AT, "2024-02-03T04:05:06.000007Z"),
    (AT.replace(tzinfo=None), "2024-02-03T04:05:06.000007"),
    (date(2024, 2, 3), "2024-02-03"),
    (time(4, 5), "04:05:00"),
    (timedelta(days=1, seconds=2), "P1DT2S"),
    (Decimal("1.50"), "1.50"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (gettext_lazy("Yes"), "Yes"),
    (mark_safe("<b>"), "<b>"),
    (Level.LOW, 1),
    (Colour.RED, "red"),
    (Word.YES, "y"),
    (Point(1, date(2024, 2, 3)), {"x": 1, "at": "2024-02-03"}),
    (Pair(Pair(1), [Level.LOW]), {"left": {"left": 1, "right": None}, "right": [1]}),
    (ReturnDict({"a": mark_safe("b")}, serializer=None), {"a": "b"}),
    (ReturnList([{"a": 1}], serializer=None), [{"a": 1}]),
    (OrderedDict(b=1, a=(2, 3)), {"b": 1, "a": [2, 3]}),
    ({gettext_lazy("Yes"): 1, mark_safe("b"): 2, 3: 4}, {"Yes": 1, "b": 2, "3": 4}),
    ({True: 1, None: 2}, {"true": 1, "null": 2}),
    ([Number(3), Real(1.5), 2**70], [3, 1.5, 2**70]),
    (["\ud800", AT, mark_safe("b")], ["\ud800", "2024-02-03T04:05:06.000007Z", "b"]),
    (["\ud800", gettext_lazy("Yes"), {3: 4}], ["\ud800", "Yes", {"3": 4}]),
    (["\ud800", {None: 1, True: 2}], ["\ud800", {"null": 1, "true": 2}]),
]  # fmt: skip


async def test_payloads_may_contain_what_django_projects_have(base: Any, serve: Any) -> None:
    """Dates are ISO 8601, decimals strings, lazy and safe strings strings."""

    class App(base):
        routes = [{"route": "x"}]

        def on_x(self, payload: int) -> Any:
            return {"payload": {"value": ENCODED[payload][0], "none": None}}

    client = await serve(App)
    for number, (_, expected) in enumerate(ENCODED):
        answer = await client.ask("x", number)
        assert answer["payload"] == {"value": expected, "none": None}


def deep() -> list[Any]:
    """Return a list that no parser or encoder follows to its end."""
    content: list[Any] = []
    for _ in range(100_000):
        content = [content]
    return content


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (User(username="ann"), "a User object cannot be encoded as JSON"),
        ([object()], "a object object cannot be encoded as JSON"),
        ({(1, 2): 3}, "cannot be encoded|Only dicts with"),
        (float("nan"), "NaN and Infinity cannot be encoded as JSON"),
        ([{"a": float("inf")}], "NaN and Infinity cannot be encoded as JSON"),
        (["\ud800", float("nan")], "NaN and Infinity cannot be encoded as JSON"),
        ([{AT: Real("nan")}], "NaN and Infinity cannot be encoded as JSON"),
        (Pair(Colour.RED, (Pair(Odd.NAN), {1})), "NaN and Infinity cannot be encoded as JSON"),
        (Point(float("nan"), AT), "NaN and Infinity cannot be encoded as JSON"),
        (["null", Real("nan")], "NaN and Infinity cannot be encoded as JSON"),
    ],
)
async def test_what_cannot_be_encoded_is_a_500_for_that_request(
    base: Any, serve: Any, value: Any, reason: str
) -> None:
    """The log says what to do, the client gets a general message, the connection lives on."""
    client = await serve(returns(base, {"payload": value, "status": 201}))
    assert await client.ask("x", uuid="u\n") == {
        "uuid": "u\n",
        "route": "x",
        "headers": {},
        "payload": {"error": "Internal Server Error"},
        "status": 500,
    }
    record = client.log.expect(
        r"the answer of route 'x' with uuid 'u\\n' is not JSON, add dehydrate"
    )
    assert record.name == "channels_demultiplexer"
    with pytest.raises(TypeError, match=reason):
        encode(value)
    await client.expect_silence()


async def test_what_is_nested_too_deeply_is_a_500(base: Any, serve: Any) -> None:
    """No answer can exhaust the stack."""
    client = await serve(returns(base, {"payload": deep()}))
    assert (await client.ask("x"))["status"] == 500
    client.log.expect("nested this deeply cannot be encoded")


def test_encoded_text_is_compact_json() -> None:
    """The fast and the slow way write the same text."""
    assert encode({"a": [None, 1.5, "ü"]}) == '{"a":[null,1.5,"ü"]}'
    assert encode({"a": ["\ud800", 1]}) == r'{"a":["\ud800",1]}'


async def test_headers_are_encoded_as_payloads_are(base: Any, serve: Any) -> None:
    """Headers may be any mapping."""
    result = Response(headers=ReturnDict({"at": AT, "who": gettext_lazy("Yes")}, serializer=None))
    answer = await (await serve(returns(base, result))).ask("x")
    assert answer["headers"] == {"at": "2024-02-03T04:05:06.000007Z", "who": "Yes"}


async def test_answers_go_through_the_consumers_own_encoder(serve: Any, base: Any) -> None:
    """Overriding encode_json changes answers and pushes, as it does in Channels."""
    parent: Any = returns(base, {"payload": 1})

    class App(parent):
        if base._sync:

            @classmethod
            def encode_json(cls, content: Any) -> str:
                return json.dumps({**content, "by": "me"})

        else:

            @classmethod
            async def encode_json(cls, content: Any) -> str:
                return json.dumps({**content, "by": "me"})

    answer = await (await serve(App)).ask("x")
    assert answer == {
        "uuid": 1, "route": "x", "headers": {}, "payload": 1, "status": 200, "by": "me"
    }  # fmt: skip


# Pushing.


async def test_a_push_has_exactly_three_keys(base: Any, serve: Any, layer: Any) -> None:
    """push sends route, headers and payload from a channel-layer handler."""

    class App(base):
        groups = ["news"]

        if base._sync:

            def news(self, event: Any) -> None:
                self.push("news", event["what"], event["headers"])

        else:

            async def news(self, event: Any) -> None:
                await self.push("news", event["what"], event["headers"])

    client = await serve(App)
    await layer.group_send("news", {"type": "news", "what": {"at": AT}, "headers": None})
    assert await client.receive_json() == {
        "route": "news",
        "headers": {},
        "payload": {"at": "2024-02-03T04:05:06.000007Z"},
    }
    await layer.group_send("news", {"type": "news", "what": None, "headers": {"a": 1}})
    assert await client.receive_json() == {"route": "news", "headers": {"a": 1}, "payload": None}


def contains_itself(*others: Any) -> list[Any]:
    """Return a list of which one element is the list."""
    content = [*others]
    content.append(content)
    return content


@pytest.mark.parametrize(
    "value",
    [object(), float("nan"), User(), contains_itself(), contains_itself("\ud800")],
    ids=["object", "nan", "model", "endless", "endless with a lone surrogate"],
)
async def test_a_push_that_cannot_be_encoded_raises_in_its_caller(
    base: Any, serve: Any, value: Any
) -> None:
    """The handler that pushes gets a TypeError, and the client nothing."""

    class App(base):
        routes = [{"route": "x"}]

        if base._sync:

            def on_x(self) -> Any:
                with pytest.raises(TypeError):
                    self.push("x", value)
                return {"payload": "raised"}

        else:

            async def on_x(self) -> Any:
                with pytest.raises(TypeError):
                    await self.push("x", value)
                return {"payload": "raised"}

    assert (await (await serve(App)).ask("x"))["payload"] == "raised"


# Status.


def test_the_status_codes_are_http_codes_with_their_names() -> None:
    """The four of the original table come first; all names mean what HTTP means by them."""
    assert [(code.name, int(code)) for code in StatusCodes][:4] == [
        ("OK", 200),
        ("BAD_REQUEST", 400),
        ("NOT_FOUND", 404),
        ("INTERNAL_SERVER_ERROR", 500),
    ]
    assert issubclass(StatusCodes, IntEnum)
    assert {int(code) for code in StatusCodes} <= {int(code) for code in HTTPStatus}
    names = """OK CREATED ACCEPTED NO_CONTENT BAD_REQUEST UNAUTHORIZED PENDING FORBIDDEN NOT_FOUND
        METHOD_NOT_ALLOWED NOT_ACCEPTABLE REQUEST_TIMEOUT CONFLICT GONE LENGTH_REQUIRED
        PRECONDITION_FAILED PAYLOAD_TOO_LARGE URI_TOO_LONG UNSUPPORTED_MEDIA_TYPE
        RANGE_NOT_SATISFIABLE EXPECTATION_FAILED TOO_MANY_REQUESTS INTERNAL_SERVER_ERROR
        NOT_IMPLEMENTED BAD_GATEWAY SERVICE_UNAVAILABLE GATEWAY_TIMEOUT
        HTTP_VERSION_NOT_SUPPORTED"""
    assert set(names.split()) <= set(StatusCodes.__members__)
    assert StatusCodes.PENDING == 402


@pytest.mark.parametrize("status", [StatusCodes.CREATED, HTTPStatus.CREATED, 201])
async def test_a_status_goes_out_as_a_number(base: Any, serve: Any, status: int) -> None:
    """A status is written as a plain integer."""
    client = await serve(returns(base, {"status": status}))
    client.request("x")
    assert (await client.receive_text()).endswith('"status":201}')
