"""Declaring routes: names, forms, inheritance, and what is refused."""

from __future__ import annotations

import enum
from dataclasses import FrozenInstanceError, dataclass
from types import MappingProxyType
from typing import Any, TypedDict

import msgspec
import pytest
from django.core.exceptions import ImproperlyConfigured

import channels_demultiplexer.router as router
from channels_demultiplexer.router import (
    AsyncSocketRouterConsumer,
    Route,
    SocketRouterConsumer,
    StatusCodes,
)
from channels_demultiplexer.router.checks import check_routes
from channels_demultiplexer.router.routes import method_name

pytest_plugins = ["tests.router_fixtures"]


def test_the_package_exports_its_public_names() -> None:
    """Exactly the documented names are public."""
    assert sorted(router.__all__) == [
        "AsyncSocketRouterConsumer",
        "Response",
        "Route",
        "RouteError",
        "SocketRouterConsumer",
        "StatusCodes",
    ]
    assert all(hasattr(router, name) for name in router.__all__)


# Names.


@pytest.mark.parametrize(
    ("route", "method"),
    [
        ("sayHello", "on_say_hello"),
        ("getHTTPStatus", "on_get_http_status"),
        ("articles.create", "on_articles_create"),
        ("Hello", "on_hello"),
        ("HTTP", "on_http"),
        ("HTTPServer", "on_http_server"),
        ("getX", "on_get_x"),
        ("getXY", "on_get_xy"),
        ("aBTest", "on_a_b_test"),
        ("article2Comments", "on_article2_comments"),
        ("article2comments", "on_article2comments"),
        ("HTTP2Server", "on_http2_server"),
        ("get2FA", "on_get2_fa"),
        ("get_article", "on_get_article"),
        ("get__article", "on_get_article"),
        ("get_Article", "on_get_article"),
        ("articles/:create-Now", "on_articles_create_now"),
        (".hidden", "on_hidden"),
        ("sure?", "on_sure_"),
        ("getÉtat", "on_get_état"),
        ("e\u0301tat", "on_état"),
        ("2fast", "on_2fast"),
    ],
)
def test_a_handlers_name_follows_from_its_routes(route: str, method: str) -> None:
    """Capitals start words unless they continue an acronym, all that is not alphanumeric is _."""
    assert method_name(route) == method


# Forms.


def hydrate(headers: Any, payload: Any) -> Any:
    return payload


class Handlers:
    """Handlers for the declarations below."""

    def on_say_hello(self) -> dict[str, Any]:
        return {"payload": f"hello from {type(self).__name__}"}

    def on_get_article(self, payload: Any) -> dict[str, Any]:
        return {"payload": payload}


ENTRIES: list[Any] = [{"route": "sayHello"}, {"route": "getArticle", "hydrate": hydrate}]


def attribute(base: Any) -> Any:
    class App(Handlers, base):
        routes = ENTRIES

    return App


def attribute_tuple(base: Any) -> Any:
    class App(Handlers, base):
        routes = (ENTRIES[0], Route("getArticle", hydrate=hydrate))

    return App


def private_list(base: Any) -> Any:
    class App(Handlers, base):
        _routes = ENTRIES

    return App


def private_tuple(base: Any) -> Any:
    class App(Handlers, base):
        _routes = tuple(ENTRIES)

    return App


def class_method(base: Any) -> Any:
    class App(Handlers, base):
        @classmethod
        def routes(cls) -> Any:
            assert cls is App
            return ENTRIES

    return App


def setter(base: Any) -> Any:
    class App(Handlers, base):
        @base.routes.setter
        def routes(self, _: Any) -> None:
            self._routes = ENTRIES

    return App


FORMS = [attribute, attribute_tuple, private_list, private_tuple, class_method, setter]


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_of_declaration_works(form: Any, base: Any, serve: Any) -> None:
    """However routes are declared, they are served."""
    app = form(base)
    assert list(app.route_table.items()) == [
        ("sayHello", Route("sayHello")),
        ("getArticle", Route("getArticle", hydrate=hydrate)),
    ]
    client = await serve(app)
    assert (await client.ask("sayHello"))["payload"] == "hello from App"
    assert (await client.ask("getArticle", 3))["payload"] == 3


def test_the_route_table_is_read_only(base: Any) -> None:
    """route_table is a mapping of names to routes that nobody can change."""
    app = private_list(base)
    assert type(app.route_table) is MappingProxyType
    assert app().route_table == app.route_table
    assert app().routes == tuple(app.route_table.values())
    assert dict(base.route_table) == {}


def test_a_route_is_frozen_with_one_positional_field() -> None:
    """Only the name may be given by position, and nothing can be set later."""
    with pytest.raises(TypeError):
        Route("x", int)  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        Route("x").route = "y"  # type: ignore[misc]


async def test_a_setter_is_called_once_per_class_on_an_unconnected_instance(
    base: Any, serve: Any
) -> None:
    """Connections do not call the setter again, and it sees an initialised instance."""
    seen = []

    class App(Handlers, base):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.loader = hydrate

        @base.routes.setter
        def routes(self, value: Any) -> None:
            seen.append((type(self), value, self.routes, hasattr(self, "scope")))
            self._routes += [{"route": "getArticle", "hydrate": self.loader}]

    for _ in range(2):
        client = await serve(App)
        assert (await client.ask("getArticle", 4))["payload"] == 4
    assert seen == [(App, [], [{"route": "getArticle", "hydrate": hydrate}], False)]


async def test_a_setter_works_where_init_wants_arguments(base: Any, serve: Any) -> None:
    """initkwargs belong to connections: the routes are read without them."""

    class App(base):
        def __init__(self, greeting: str) -> None:
            super().__init__()
            self.greeting = greeting

        @base.routes.setter
        def routes(self, _: Any) -> None:
            self._routes = [{"route": "greet"}]

        def on_greet(self) -> dict[str, Any]:
            return {"payload": self.greeting}

    client = await serve(App.as_asgi(greeting="hi"))
    assert (await client.ask("greet"))["payload"] == "hi"


async def test_a_setter_that_sets_nothing_declares_nothing(base: Any) -> None:
    """The setter idiom starts from no routes."""

    class App(base):
        @base.routes.setter
        def routes(self, _: Any) -> None:
            pass

    assert dict(App.route_table) == {}


# Inheritance.


@pytest.mark.parametrize("form", FORMS)
async def test_a_subclass_extends_its_bases(form: Any, base: Any, serve: Any) -> None:
    """A subclass adds routes, and an entry of the same name replaces its base's in its place."""
    parent = form(base) if form is not class_method else attribute(base)

    class App(parent):
        routes = [{"route": "more"}, {"route": "sayHello", "check_data": lambda payload: True}]

        def on_more(self) -> None: ...

    assert list(App.route_table) == ["sayHello", "getArticle", "more"]
    assert App.route_table["sayHello"].check_data is not None
    assert App.route_table["getArticle"].hydrate is hydrate
    assert list(parent.route_table) == ["sayHello", "getArticle"]
    assert (await (await serve(App)).ask("more"))["status"] == 204


def test_forms_mix_along_the_bases(base: Any) -> None:
    """Mixins that are no consumers, class methods and setters all add to what is inherited."""

    class Mixin:
        _routes = [{"route": "a"}]

        def on_a(self) -> None: ...

    class Parent(Mixin, base):
        @classmethod
        def routes(cls) -> Any:
            return [{"route": "b"}]

        def on_b(self) -> None: ...

    class Child(Parent):
        @base.routes.setter
        def routes(self, _: Any) -> None:
            self._routes = [*self.routes, {"route": "c"}]

        def on_c(self) -> None: ...

    assert list(Child.route_table) == ["a", "b", "c"]


def test_a_class_method_may_return_what_the_class_has_in_private(base: Any) -> None:
    """`_routes` and an accessor for it are no contradiction."""

    class App(Handlers, base):
        _routes = ENTRIES

        @classmethod
        def routes(cls) -> Any:
            return cls._routes

    assert list(App.route_table) == ["sayHello", "getArticle"]


def test_an_inherited_class_method_is_called_on_the_class_that_is_asked(base: Any) -> None:
    """It may build its routes from what a subclass has."""

    class Parent(base):
        names = ()

        @classmethod
        def routes(cls) -> Any:
            return [{"route": name} for name in cls.names]

    class Child(Parent):
        names = ("a",)

        def on_a(self) -> None: ...

    assert list(Child.route_table) == ["a"]


async def test_only_declared_names_are_routes(base: Any, serve: Any) -> None:
    """A method that looks like a handler is no route unless it is declared."""

    class App(Handlers, base):
        routes = [{"route": "sayHello"}]

    client = await serve(App)
    for name in ("getArticle", "say_hello", "on_say_hello", "SayHello"):
        assert (await client.ask(name))["status"] == StatusCodes.NOT_FOUND


async def test_steps_that_are_none_count_as_absent(base: Any, serve: Any) -> None:
    """None in an entry means that there is no such step."""
    steps = ("payload_type", "check_data", "check_access", "hydrate", "dehydrate")

    class App(Handlers, base):
        routes = [{"route": "getArticle", **dict.fromkeys(steps)}]

    assert App.route_table["getArticle"] == Route("getArticle")
    assert (await (await serve(App)).ask("getArticle", 1))["payload"] == 1


# What is refused.


class Model:
    """A type that msgspec cannot convert to."""


@dataclass
class Nested:
    model: Model


def declares(*entries: Any, **attributes: Any) -> dict[str, Any]:
    """Return the body of a class."""

    def on_x(self: Any) -> None: ...

    return {"routes": list(entries), "on_x": on_x, **attributes}


def taking_data(self: Any, data: Any) -> None: ...


BAD: list[tuple[dict[str, Any], str]] = [
    (declares({"route": "y"}), r"route 'y' has no handler; define on_y\(self, payload, headers\)"),
    (declares({"route": "x"}, on_x=None), "route 'x' has no handler"),
    (declares({"route": "x"}, Route("x")), "route 'x' is declared twice"),
    (declares({"route": "x"}, {"route": "X"}), "route 'X' has the handler of route 'x', on_x"),
    (declares({"route": "x", "dehidrate": hydrate}), r"route 'x' has the unknown keys \['dehid"),
    (declares({"route": "PING"}, on_ping=taking_data), "route 'PING' is the heartbeat's"),
    (declares({"route": "x"}, on_x=taking_data), r"route 'x' has a bad handler on_x: .*'data'"),
    (declares({"route": "x", "hydrate": lambda data: data}), "route 'x' has a bad hydrate"),
    (declares({"route": "x", "check_data": lambda a, b, c: 1}), "route 'x' has a bad check_data"),
    (declares({"route": "x", "check_access": lambda user: 1}), "route 'x' has a bad check_access"),
    (declares({"route": "x", "dehydrate": lambda a, b: 1}), "route 'x' has a bad dehydrate"),
    (declares({"route": "x", "hydrate": 3}), "route 'x' has a hydrate that is not callable: 3"),
    (declares({"route": "x", "payload_type": Model}), "route 'x' has an unsupported payload_type"),
    (declares({"route": "x", "payload_type": Nested}), "route 'x' has an unsupported payload"),
    (declares({"route": "x", "payload_type": "int"}), "route 'x' has an unsupported payload_type"),
    (declares({"route": ""}), "route '' has no name that is a string"),
    (declares({"route": 3}), "route 3 has no name that is a string"),
    (declares({}), "an entry of routes must be a Route or a dict with the key 'route', got {}"),
    (declares("x"), "an entry of routes must be .*, got 'x'"),
    ({"routes": {"route": "x"}}, "routes must be a list or tuple, got dict"),
    ({"_routes": "x"}, "routes must be a list or tuple, got str"),
    ({"routes": property(lambda self: [])}, "routes must be a list or tuple, got property"),
    ({"max_pending": 0}, "has max_pending = 0; make it a positive integer"),
    ({"max_pending": 2.5}, "has max_pending = 2.5; make it"),
    ({"max_concurrency": 0}, "has max_concurrency = 0"),
    ({"max_concurrency": True}, "has max_concurrency = True"),
    ({"max_concurrency": None}, "has max_concurrency = None"),
]


@pytest.mark.parametrize(("body", "problem"), BAD)
def test_what_cannot_work_is_refused(base: Any, body: dict[str, Any], problem: str) -> None:
    """as_asgi, route_table and the Django check name the class, the route and the remedy."""
    app = type("App", (base,), {"__module__": "shop.sockets", **body})
    for read in (app.as_asgi, lambda: app.route_table, app.as_asgi):
        with pytest.raises(ImproperlyConfigured, match=rf"^shop\.sockets\.App: {problem}"):
            read()
    [error] = [error for error in check_routes() if error.obj is app]
    assert error.id == "channels_demultiplexer.E101"
    assert error.is_serious()
    assert error.msg.startswith("shop.sockets.App: ")
    assert error.hint
    with pytest.raises(ImproperlyConfigured) as caught:
        app.as_asgi()
    assert str(caught.value) == f"{error.msg}; {error.hint}"


def test_more_than_one_request_at_once_is_refused_in_a_sync_consumer() -> None:
    """max_concurrency above 1 is for async consumers."""

    class App(SocketRouterConsumer):
        max_concurrency = 2

    with pytest.raises(ImproperlyConfigured, match="App: has max_concurrency = 2, but is sync"):
        App.as_asgi()

    class AsyncApp(AsyncSocketRouterConsumer):
        max_concurrency = 2

    assert callable(AsyncApp.as_asgi())


class Struct(msgspec.Struct):
    id: int


class Typed(TypedDict):
    id: int


class Color(enum.Enum):
    RED = "red"


@pytest.mark.parametrize("payload_type", [Struct, Typed, Color, list[int], int | None, dict, Any])
def test_what_msgspec_converts_to_is_a_payload_type(base: Any, payload_type: Any) -> None:
    """Dataclasses, Structs, TypedDicts and other annotations are supported."""

    class App(base):
        routes = [Route("x", payload_type=payload_type)]

        def on_x(self) -> None: ...

    assert App.route_table["x"].payload_type is payload_type


def test_a_class_is_refused_when_it_is_used_not_when_it_is_defined(base: Any) -> None:
    """An abstract base may declare routes whose handlers its subclasses bring."""

    class Abstract(base):
        routes = [{"route": "x"}]

    class Good(Abstract):
        def on_x(self) -> None: ...

    class Other(Abstract):
        pass

    assert callable(Good.as_asgi())
    with pytest.raises(ImproperlyConfigured):
        Abstract.as_asgi()
    assert [error.obj for error in check_routes() if error.obj in (Abstract, Good, Other)] == [
        Other
    ]


def test_the_check_reports_a_class_once() -> None:
    """A class below two bases is one class."""

    class Left(SocketRouterConsumer):
        routes = [{"route": "x"}]

    class Right(SocketRouterConsumer):
        pass

    class App(Left, Right):
        pass

    assert [error.obj for error in check_routes(app_configs=None)].count(App) == 1


@pytest.mark.parametrize("name", ["websocket_receive", "receive", "receive_json", "decode_json"])
def test_a_method_that_would_never_be_called_is_refused(base: Any, name: str) -> None:
    """A check in receive_json, say of the user, must not be lost: requests don't go through it."""
    mixin = type("Mixin", (), {name: lambda self, content: None})
    app = type("App", (mixin, base), {"routes": []})
    with pytest.raises(ImproperlyConfigured, match=f"App: has a {name} of its own, which is never"):
        app.as_asgi()
    below = type("Below", (base,), {name: lambda self, content: None})
    [error] = [error for error in check_routes() if error.obj is below]
    assert error.hint == "declare steps, such as check_access"


def test_a_route_knows_its_handler(base: Any) -> None:
    """From the table one gets the name, the type and the documentation of every route."""

    class App(base):
        routes = [{"route": "getHTTPStatus", "payload_type": int}, Route("other")]

        def on_get_http_status(self) -> None:
            """Return the status."""

        def on_other(self) -> None: ...

    told = [
        (name, route.payload_type, route.handler_name, getattr(App, route.handler_name).__doc__)
        for name, route in App.route_table.items()
    ]
    assert told == [
        ("getHTTPStatus", int, "on_get_http_status", "Return the status."),
        ("other", None, "on_other", None),
    ]
