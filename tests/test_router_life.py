"""A request's life: its steps, what handlers return, and what their exceptions mean."""

from __future__ import annotations

import asyncio
import datetime
import re
import sys
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypedDict

import msgspec
import pytest
from asgiref.sync import async_to_sync, sync_to_async
from channels.exceptions import StopConsumer
from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404
from rest_framework import exceptions as drf

from channels_demultiplexer.router import Response, RouteError, StatusCodes

from .routers import raises, returns

pytestmark = pytest.mark.usefixtures("database_checks")

pytest_plugins = ["tests.router_fixtures"]

GENERAL = {"error": "Internal Server Error"}


def brief(answer: dict[str, Any]) -> tuple[int, Any]:
    """Return status and payload of an answer."""
    return answer["status"], answer["payload"]


# Steps.


@pytest.mark.parametrize("kind", ["plain", "coroutine", "mixed"])
async def test_the_steps_run_in_order_with_their_arguments(
    base: Any, serve: Any, kind: str
) -> None:
    """payload_type, check_data, check_access, hydrate, handler, dehydrate."""
    calls: list[Any] = []

    def step(name: str, result: Any, coroutine: bool) -> Any:
        def plain(scope: Any, headers: Any, payload: Any) -> Any:
            calls.append((name, scope["path"], headers, payload))
            return result

        async def awaited(scope: Any, headers: Any, payload: Any) -> Any:
            await asyncio.sleep(0)
            return plain(scope, headers, payload)

        return awaited if coroutine else plain

    odd, even = {"plain": (0, 0), "coroutine": (1, 1), "mixed": (1, 0)}[kind]

    class App(base):
        routes = [
            {
                "route": "x",
                "payload_type": set[int],
                "check_data": step("check_data", True, odd),
                "check_access": step("check_access", 1, even),
                "hydrate": step("hydrate", "hydrated", odd),
                "dehydrate": step("dehydrate", "dehydrated", even),
            }
        ]
        on_x = staticmethod(step("handler", {"payload": "handled", "status": 201}, odd))

    client = await serve(App, path="/p")
    answer = await client.ask("x", [1, 1], headers={"h": 1})
    assert brief(answer) == (201, "dehydrated")
    assert calls == [
        ("check_data", "/p", {"h": 1}, {1}),
        ("check_access", "/p", {"h": 1}, {1}),
        ("hydrate", "/p", {"h": 1}, {1}),
        ("handler", "/p", {"h": 1}, "hydrated"),
        ("dehydrate", "/p", {"h": 1}, "handled"),
    ]


async def test_steps_are_called_by_position_in_their_own_order(base: Any, serve: Any) -> None:
    """check_data(headers, payload), check_access(scope, payload), hydrate(headers, payload)."""
    calls: list[Any] = []

    def keep(*args: Any) -> bool:
        calls.append(args)
        return True

    class App(base):
        routes = [
            {
                "route": "x",
                "check_data": lambda a, b: keep(a, b),
                "check_access": lambda a, b: keep(a["path"], b),
                "hydrate": lambda a, b: [a, b],
                "dehydrate": lambda a: {"out": a},
            }
        ]

        def on_x(self, a: Any, b: Any) -> Any:
            return {"payload": [a, b]}

    answer = await (await serve(App, path="/p")).ask("x", "P", headers={"h": 1})
    assert calls == [({"h": 1}, "P"), ("/p", "P")]
    assert answer["payload"] == {"out": [[{"h": 1}, "P"], {"h": 1}]}


@pytest.mark.parametrize(
    ("step", "status", "error"),
    [
        ("check_data", 400, "the data of this request are not valid"),
        ("check_access", 403, "access to this route is denied"),
    ],
)
async def test_a_false_check_ends_the_request(
    base: Any, serve: Any, step: str, status: int, error: str
) -> None:
    """What is false is refused, what comes after does not run, and nothing is logged."""
    ran: list[str] = []

    class App(base):
        routes = [{"route": "x", step: lambda payload: payload, "hydrate": lambda: ran.append("h")}]

        def on_x(self) -> None:
            ran.append("x")

    client = await serve(App)
    for false in (False, None, 0, ""):
        assert brief(await client.ask("x", false)) == (status, {"error": error})
    assert not ran
    assert not client.log.records
    assert (await client.ask("x", 1))["status"] == 204
    assert ran == ["h", "x"]


async def test_data_are_checked_before_access(base: Any, serve: Any) -> None:
    """A request that fails both checks gets 400."""
    client = await serve(
        returns(base, None, check_data=lambda payload: 0, check_access=lambda payload: 0)
    )
    assert (await client.ask("x"))["status"] == 400


DEHYDRATED = [
    (199, "p", "p"),
    (200, "p", "<p>"),
    (299, "p", "<p>"),
    (300, "p", "p"),
    (404, "p", "p"),
    (200, None, None),
    (200, "", "<>"),
    (200, 0, "<0>"),
]


async def test_dehydrate_runs_for_2xx_with_a_payload(base: Any, serve: Any) -> None:
    """Errors go out as the handler wrote them, and nothing is nothing."""

    class App(base):
        routes = [{"route": "x", "dehydrate": lambda item: f"<{item}>"}]

        def on_x(self, payload: Any) -> Any:
            return {"status": payload[0], "payload": payload[1], "headers": {"a": 1}}

    client = await serve(App)
    for status, payload, expected in DEHYDRATED:
        answer = await client.ask("x", [status, payload])
        assert brief(answer) == (status, expected)
        assert answer["headers"] == {"a": 1}


@dataclass
class Author:
    name: str


class Article(msgspec.Struct):
    id: int
    at: datetime.date
    author: Author | None = None


class Filter(TypedDict, total=False):
    page: int


@pytest.mark.parametrize(
    ("payload_type", "payload", "converted"),
    [
        (Article, {"id": 1, "at": "2024-02-03"}, Article(1, datetime.date(2024, 2, 3))),
        (Author, {"name": "Ann", "other": 1}, Author("Ann")),
        (Filter, {}, {}),
        (dict[int, str], {"1": "a"}, {1: "a"}),
        (int | None, None, None),
    ],
)
async def test_a_payload_type_converts_the_payload(
    base: Any, serve: Any, payload_type: Any, payload: Any, converted: Any
) -> None:
    """Handlers see the converted payload."""
    seen: list[Any] = []

    class App(base):
        routes = [{"route": "x", "payload_type": payload_type}]

        def on_x(self, payload: Any) -> None:
            seen.append(payload)

    assert (await (await serve(App)).ask("x", payload))["status"] == 204
    assert seen == [converted]
    assert type(seen[0]) is type(converted)


@dataclass(frozen=True)
class Options:
    wide: bool = True
    tags: tuple[str, ...] = ()


@dataclass(slots=True)
class Slotted:
    options: Options
    size: int = 3


class Box(msgspec.Struct):
    content: Slotted


async def test_a_converted_dataclass_has_its_default_values(base: Any, serve: Any) -> None:
    """An answer shows them, wherever in the payload the dataclass is."""
    kind = dict[str, list[Box | None]] | None

    class App(base):
        routes = [{"route": "x", "payload_type": kind}]

        def on_x(self, payload: Any) -> Any:
            return {"payload": payload}

    client = await serve(App)
    answer = await client.ask("x", {"a": [{"content": {"options": {}}}, None]})
    options = {"wide": True, "tags": []}
    assert answer["payload"] == {"a": [{"content": {"options": options, "size": 3}}, None]}


@pytest.mark.parametrize("kind", [list, set, frozenset])
async def test_dataclasses_in_a_collection_have_their_default_values(
    base: Any, serve: Any, kind: Any
) -> None:
    """Whatever kind of collection the payload is."""

    class App(base):
        routes = [{"route": "x", "payload_type": kind[Options]}]

        def on_x(self, payload: Any) -> Any:
            return {"payload": payload}

    answer = await (await serve(App)).ask("x", [{}])
    assert answer["payload"] == [{"wide": True, "tags": []}]


@pytest.mark.parametrize(
    ("payload_type", "payload", "error"),
    [
        (Article, {"id": "1", "at": "2024-02-03"}, "Expected `int`, got `str` - at `$.id`"),
        (Article, {"id": 1}, "Object missing required field `at` - at `$`"),
        (
            list[Article],
            [{"id": 1, "at": "2024-02-03", "author": {}}],
            "Object missing required field `name` - at `$[0].author`",
        ),
        (Article, None, "Expected `object`, got `null` - at `$`"),
        (dict[int, int], {"a": 1}, "Expected `int`, got `str` - at `key` in `$`"),
    ],
)
async def test_a_payload_of_another_type_gets_400(
    base: Any, serve: Any, payload_type: Any, payload: Any, error: str
) -> None:
    """The error names the path and what was expected, before any step runs."""
    consumer = returns(base, None, payload_type=payload_type, check_data=lambda payload: 1 / 0)
    client = await serve(consumer)
    assert brief(await client.ask("x", payload)) == (400, {"error": error})
    assert not client.log.records


async def test_a_handlers_own_validation_error_of_msgspec_is_a_failure(
    base: Any, serve: Any
) -> None:
    """Only the payload's conversion is the client's fault."""
    client = await serve(raises(base, msgspec.ValidationError("Expected `int`")))
    assert brief(await client.ask("x")) == (500, GENERAL)
    client.log.expect("failed")


# Plain and coroutine functions.


async def test_decorated_handlers_run(base: Any, serve: Any) -> None:
    """Handlers may be decorated by asgiref, static, or return what has to be awaited."""

    async def lookup(payload: Any) -> Any:
        await asyncio.sleep(0)
        return payload * 2

    class App(base):
        routes = [
            {"route": "thread"},
            {"route": "static"},
            {"route": "lambda", "hydrate": lambda headers, payload: lookup(payload)},
        ]

        @sync_to_async
        def on_thread(self, headers: Any) -> Any:
            return {"payload": [type(self).__name__, headers]}

        @staticmethod
        async def on_static(payload: Any) -> Any:
            return {"payload": payload}

        async def on_lambda(self, payload: Any) -> Any:
            return {"payload": payload}

    client = await serve(App)
    assert (await client.ask("thread"))["payload"] == ["App", {}]
    assert (await client.ask("static", 1))["payload"] == 1
    assert (await client.ask("lambda", 2))["payload"] == 4


async def test_plain_functions_run_in_a_thread_and_coroutines_in_the_loop(
    base: Any, serve: Any
) -> None:
    """Plain functions may block and use async_to_sync, coroutines have the running loop."""

    class App(base):
        routes = [{"route": "plain"}, {"route": "coroutine"}]

        def on_plain(self) -> Any:
            with pytest.raises(RuntimeError):
                asyncio.get_running_loop()
            return {"payload": async_to_sync(self.on_coroutine)()["payload"]}

        async def on_coroutine(self) -> Any:
            return {"payload": asyncio.get_running_loop() is loop}

    loop = asyncio.get_running_loop()
    client = await serve(App)
    assert (await client.ask("plain"))["payload"] is True
    assert (await client.ask("coroutine"))["payload"] is True


# Results.


def chooses(base: Any, results: list[Any]) -> Any:
    """Return a consumer whose route `x` returns the result of a number."""

    class App(base):
        routes = [{"route": "x"}]

        def on_x(self, payload: int) -> Any:
            return results[payload]

    return App


GOOD = [
    (None, (204, None, {})),
    ({}, (200, None, {})),
    ({"payload": 1}, (200, 1, {})),
    ({"status": StatusCodes.CREATED}, (201, None, {})),
    ({"status": HTTPStatus.ACCEPTED, "headers": None}, (202, None, {})),
    ({"status": 100, "headers": {"a": 1}}, (100, None, {"a": 1})),
    ({"status": 599, "payload": {}}, (599, {}, {})),
    (Response(), (200, None, {})),
    (Response("p", 418, {"a": 1}), (418, "p", {"a": 1})),
]


async def test_a_handler_returns_a_mapping_a_response_or_none(base: Any, serve: Any) -> None:
    """The status is 200 where none is given, 204 for None; headers are {} where there are none."""
    client = await serve(chooses(base, [result for result, _ in GOOD]))
    for number, (_, expected) in enumerate(GOOD):
        answer = await client.ask("x", number)
        assert (answer["status"], answer["payload"], answer["headers"]) == expected


BAD = [
    ("text", "got a str object"),
    (1, "got a int object"),
    ([], "got a list object"),
    ((200, {}), "got a tuple object"),
    ({"payload": 1, "code": 200}, "got a dict with the keys ['payload', 'code']"),
    ({"status": "200"}, "status must be an HTTP status code, 100 to 599, got '200'"),
    ({"status": None}, "status must be an HTTP status code, 100 to 599, got None"),
    ({"status": 99}, "status must be an HTTP status code, 100 to 599, got 99"),
    ({"status": 600}, "status must be an HTTP status code, 100 to 599, got 600"),
    ({"status": True}, "status must be an HTTP status code, 100 to 599, got True"),
    ({"status": 200.0}, "status must be an HTTP status code, 100 to 599, got 200.0"),
    ({"headers": [("a", 1)]}, "headers must be a mapping or None, got list"),
]


async def test_any_other_result_is_a_logged_500(base: Any, serve: Any) -> None:
    """The log has the reason, the client a general message."""
    client = await serve(chooses(base, [result for result, _ in BAD]))
    for number, (_, reason) in enumerate(BAD):
        assert brief(await client.ask("x", number, uuid="u\n")) == (500, GENERAL)
        record = client.log.expect(r"App: route 'x' with uuid 'u\\n' failed: ")
        assert (record.name, record.levelname) == ("channels_demultiplexer", "ERROR")
        assert reason in str(record.exc_info[1])
        assert type(record.exc_info[1]).__name__ in record.getMessage()


def test_a_response_or_route_error_checks_itself() -> None:
    """What could not be sent raises where it is made."""
    for make in (lambda status: Response(status=status), RouteError):
        with pytest.raises(
            ValueError, match=r"^status must be an HTTP status code, 100 to 599, go"
        ):
            make(1000)
    with pytest.raises(TypeError, match=r"^headers must be a mapping or None, got int$"):
        Response(headers=3)  # type: ignore[arg-type]
    error = RouteError(404, {"a": 1}, {"b": 2})
    assert (error.status, error.payload, error.headers) == (404, {"a": 1}, {"b": 2})


# Exceptions.


class Teapot(drf.APIException):
    status_code = 418
    default_detail = "short and stout"


class Odd(drf.APIException):
    status_code = 1000


EXPECTED = [
    (RouteError(409, {"why": "taken"}, {"a": 1}), 409, {"why": "taken"}),
    (RouteError(StatusCodes.NO_CONTENT), 204, None),
    (Http404("No Article matches the given query."), 404, "No Article matches the given query."),
    (Http404(), 404, "Not Found"),
    (PermissionDenied("staff only"), 403, "staff only"),
    (PermissionDenied(), 403, "Forbidden"),
    (ValidationError("too long"), 400, "too long"),
    (ValidationError(["too long.", "too dull."]), 400, "too long. too dull."),
    (ValidationError("%(n)s is odd", params={"n": 3}), 400, "3 is odd"),
    (
        ValidationError({"title": ["too long."], "body": ["a.", "b."]}),
        400,
        "title: too long.; body: a. b.",
    ),
    (drf.ValidationError({"title": ["too long."]}), 400, "title: too long."),
    (
        drf.ValidationError({"items": [{}, {"id": ["not a number."]}], "empty": []}),
        400,
        "items: id: not a number.",
    ),
    (drf.ValidationError("wrong"), 400, "wrong"),
    (drf.NotAuthenticated(), 401, "Authentication credentials were not provided."),
    (drf.NotFound(), 404, "Not found."),
    (drf.Throttled(wait=3), 429, "Request was throttled. Expected available in 3 seconds."),
    (Teapot(), 418, "short and stout"),
    (drf.APIException("broken"), 500, "broken"),
]


async def test_an_expected_exception_is_an_answer(base: Any, serve: Any) -> None:
    """Exceptions with a meaning in HTTP are answered with it, and not logged as errors."""

    class App(base):
        routes = [{"route": "x"}]

        def on_x(self, payload: int) -> None:
            raise EXPECTED[payload][0]

    client = await serve(App)
    for number, (exc, status, payload) in enumerate(EXPECTED):
        answer = await client.ask("x", number)
        expected, headers = {"error": payload}, {}
        if isinstance(exc, RouteError):
            expected, headers = payload, exc.headers or {}
        assert brief(answer) == (status, expected)
        assert answer["headers"] == headers
    assert not client.log.records


@pytest.mark.parametrize("step", ["check_data", "check_access", "hydrate", "dehydrate"])
async def test_an_exception_of_any_step_counts(base: Any, serve: Any, step: str) -> None:
    """Steps raise as handlers do."""

    def refuse(payload: Any) -> Any:
        raise RouteError(418, "teapot")

    client = await serve(returns(base, {"payload": 1}, **{step: refuse}))
    assert brief(await client.ask("x")) == (418, "teapot")


async def test_a_route_error_is_not_dehydrated(base: Any, serve: Any) -> None:
    """dehydrate is for what the handler returns."""
    client = await serve(raises(base, RouteError(200, "p"), dehydrate=lambda payload: "no"))
    assert brief(await client.ask("x")) == (200, "p")


FAILURES = [
    ValueError("secret"),
    AttributeError("secret"),
    KeyError("secret"),
    asyncio.CancelledError("secret"),
    StopIteration("secret"),
    StopAsyncIteration("secret"),
    RecursionError("secret"),
    Odd("secret"),
]


@pytest.mark.parametrize("coroutine", [False, True])
async def test_any_other_exception_is_a_logged_500(base: Any, serve: Any, coroutine: bool) -> None:
    """The log has traceback, route and uuid, the client a general message; all goes on."""

    class App(base):
        routes = [{"route": "x"}]

        if coroutine:

            async def on_x(self, payload: int) -> None:
                raise FAILURES[payload]

        else:

            def on_x(self, payload: int) -> None:
                raise FAILURES[payload]

    client = await serve(App)
    start = f"{App.__module__}.{App.__qualname__}: route 'x' with uuid 'u\\n' failed: "
    for number in range(len(FAILURES)):
        assert brief(await client.ask("x", number, uuid="u\n")) == (500, GENERAL)
        record = client.log.expect(f"^{re.escape(start)}")
        assert (record.name, record.levelname) == ("channels_demultiplexer", "ERROR")
        assert "secret" in client.log.format(record)
        assert "Traceback" in client.log.format(record)


async def test_rest_framework_need_not_be_there(base: Any, serve: Any, monkeypatch: Any) -> None:
    """Exceptions are understood without Django REST framework, which is never imported."""
    monkeypatch.delitem(sys.modules, "rest_framework.exceptions")
    client = await serve(raises(base, drf.NotFound()))
    assert brief(await client.ask("x")) == (500, GENERAL)
    assert "rest_framework.exceptions" not in sys.modules
    client.log.expect("failed")


async def test_stop_consumer_ends_the_application(base: Any, serve_bare: Any) -> None:
    """StopConsumer means in a handler what it means in Channels."""
    client = await serve_bare(raises(base, StopConsumer()))
    client.request("x")
    await client.ended()
    assert not client.unheard


# The user.


async def test_user_is_the_scopes(base: Any, serve: Any) -> None:
    """self.user follows the scope, and is None where that has no user."""

    class App(base):
        routes = [{"route": "x"}]

        def on_x(self) -> Any:
            return {"payload": self.user}

    assert (await (await serve(App, user="ann")).ask("x"))["payload"] == "ann"
    assert (await (await serve(App)).ask("x"))["payload"] is None
    assert type(App.user).__name__ == "_User"


async def test_connect_may_assign_the_user(base: Any, serve: Any) -> None:
    """The habit of `self.user = ...` in connect() does no harm."""

    class App(base):
        routes = [{"route": "x"}]

        if base._sync:

            def connect(self) -> None:
                self.user = "bob"
                self.accept()

        else:

            async def connect(self) -> None:
                self.user = "bob"
                await self.accept()

        def on_x(self) -> Any:
            return {"payload": self.user}

    assert (await (await serve(App, user="ann")).ask("x"))["payload"] == "bob"


# What a request keeps.


async def test_a_request_has_a_store_of_its_own(base: Any, serve: Any) -> None:
    """What check_data finds the later steps and the handler find in `store`; no other request."""

    def find(payload: Any, store: Any) -> bool:
        store.setdefault("found", payload)
        return True

    def may(scope: Any, store: Any) -> bool:
        return store["found"] != "secret"

    class App(base):
        routes = [
            {
                "route": "x",
                "check_data": find,
                "check_access": may,
                "hydrate": lambda store: store["found"] * 2,
                "dehydrate": lambda payload, store: [payload, store],
            }
        ]

        def on_x(self, payload: Any, store: Any) -> Any:
            return {"payload": [payload, store["found"]]}

    client = await serve(App)
    answer = await client.ask("x", "a")
    assert brief(answer) == (200, [["aa", "a"], {"found": "a"}])
    assert (await client.ask("x", "secret"))["status"] == 403
    assert brief(await client.ask("x", "b")) == (200, [["bb", "b"], {"found": "b"}])
