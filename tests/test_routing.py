"""Which child a name goes to, and what is wrong with a declaration."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.routing import URLRouter
from django.core.exceptions import ImproperlyConfigured
from django.urls import include, path, re_path
from django.urls.exceptions import Resolver404

from channels_demultiplexer.child import child
from channels_demultiplexer.exceptions import UnknownStream
from channels_demultiplexer.routing import Message, Receive, Routes, Scope, Send


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


class Recorder:
    """An application that keeps the scopes it is called with."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scopes.append(scope)


class Consumer(AsyncWebsocketConsumer):
    """A consumer that nobody calls."""


class SyncConsumer(WebsocketConsumer):
    """A sync consumer that nobody calls."""


class CallsRouter(BaseMiddleware):
    """Middleware, of whose inner application Channels sees nothing."""


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Do nothing."""


def routes(classes: Mapping[str, Any] | None = None, patterns: Sequence[Any] = ()) -> Routes:
    """Return routes of the class `chat.Demultiplexer`."""
    return Routes("chat.Demultiplexer", {} if classes is None else classes, patterns)


async def run(declared: Routes, name: str, socket: Scope | None = None) -> None:
    """Run the child that `name` goes to with the scope that it gets."""
    match = declared.find(name)
    scope = declared.child_scope({"path": "/ws/", **(socket or {})}, match, [], None)
    await match.application(scope, None, None)  # type: ignore[arg-type]


def child_scope(
    declared: Routes,
    socket: Scope,
    name: str,
    subprotocols: Sequence[str] = (),
    query: str | None = None,
) -> Scope:
    """Return the scope that the child gets that `name` goes to."""
    return declared.child_scope(socket, declared.find(name), [*subprotocols], query)


async def scope_of(recorder: Recorder, declared: Routes, name: str, **socket: Any) -> Scope:
    """Return the scope in which `recorder`, the child of `name`, is called."""
    await run(declared, name, socket)
    [scope] = recorder.scopes
    return scope


# Test fixed names.


def test_fixed() -> None:
    """A name without converters goes to its application."""
    assert routes({"a": app}).find("a").application is app


def test_fixed_applications() -> None:
    """The fixed streams are known by name, in the order of their declaration."""
    declared = routes({"b": app, "<int:pk>/": app, "a": Consumer.as_asgi(), "r/": URLRouter([])})
    assert list(declared.fixed) == ["b", "a"]
    assert declared.fixed["b"].application is app


@pytest.mark.parametrize("consumer", [Consumer, SyncConsumer])
def test_fixed_consumer_class(consumer: Any) -> None:
    """A consumer class is made an application."""
    assert routes({"a": consumer}).find("a").application.consumer_class is consumer  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", ["a?", "a?x=1", "a#2", "a?x=1#2", "a#?", "a##"])
def test_fixed_with_query_or_label(name: str) -> None:
    """Routing sees the path of a name alone."""
    assert routes({"a": app}).find(name).application is app


@pytest.mark.parametrize("name", ["b", "A", "a/", "/a", " a", "aa", "?a", "#a", "a\n", ""])
def test_fixed_unknown(name: str) -> None:
    """A fixed name is matched whole."""
    with pytest.raises(UnknownStream) as caught:
        routes({"a": app}).find(name)
    assert caught.value.stream == name


@pytest.mark.parametrize("name", ["a?x=1", "a#2", "?", "#", "/", "a b", "$", "1" * 255])
def test_fixed_any_name(name: str) -> None:
    """Any name may be declared, with a query or a label too."""
    assert routes({name: app}).find(name).application is app


def test_fixed_with_query_declared() -> None:
    """A name that is declared with its query comes before its path."""
    other = functools.partial(app)
    declared = routes({"a": app, "a?x=1": other})
    assert declared.find("a?x=1").application is other
    assert declared.find("a?x=2").application is app


def test_nothing_declared() -> None:
    """Where nothing is declared every name is unknown."""
    with pytest.raises(UnknownStream):
        routes().find("a")


# Test names with converters.


async def test_converter() -> None:
    """A name that matches has the converter's value in its scope."""
    room = Recorder()
    scope = await scope_of(room, routes({"room/<int:pk>/": room}), "room/5/?as=ann#2")
    assert scope["url_route"] == {"args": (), "kwargs": {"pk": 5}}
    assert scope["path_remaining"] == ""
    assert scope["path"] == "/ws/"


async def test_converter_over_socket() -> None:
    """A converter's value is merged over the socket's own."""
    room = Recorder()
    outer = {"args": ("x",), "kwargs": {"pk": "old", "user": "ann"}}
    scope = await scope_of(room, routes({"<int:pk>": room}), "5", url_route=outer)
    assert scope["url_route"] == {"args": ("x",), "kwargs": {"pk": 5, "user": "ann"}}
    assert outer == {"args": ("x",), "kwargs": {"pk": "old", "user": "ann"}}


@pytest.mark.parametrize("name", ["room/x/", "room/5", "room/5/6/", "xroom/5/", "room//", "5"])
def test_converter_unknown(name: str) -> None:
    """A name that a converter does not take is unknown."""
    with pytest.raises(UnknownStream):
        routes({"room/<int:pk>/": app}).find(name)


async def test_converter_leading_slash() -> None:
    """A leading slash of the name means nothing, as in Channels."""
    room = Recorder()
    scope = await scope_of(room, routes({"room/<int:pk>/": room}), "/room/5/")
    assert scope["url_route"]["kwargs"] == {"pk": 5}


async def test_converter_order() -> None:
    """The first pattern that matches counts."""
    first, second = Recorder(), Recorder()
    declared = routes({"<int:pk>": first, "<str:name>": second})
    await run(declared, "5")
    await run(declared, "x")
    assert [len(first.scopes), len(second.scopes)] == [1, 1]


def test_fixed_before_converter() -> None:
    """A fixed name comes before patterns, wherever it is declared."""
    assert routes({"<str:name>": Consumer, "a": app}).find("a").application is app


async def test_router() -> None:
    """A router's key is a prefix, and the router sees the rest of the name."""
    inner = Recorder()
    router = URLRouter([path("list/<int:page>", inner)])
    scope = await scope_of(inner, routes({"api/<str:version>/": router}), "api/v1/list/3?x")
    assert scope["url_route"]["kwargs"] == {"version": "v1", "page": 3}
    assert scope["path"] == "/ws/"


async def test_router_under_fixed_key() -> None:
    """A router under a key without converters is no fixed stream."""
    inner = Recorder()
    declared = routes({"api/": URLRouter([path("", inner)])})
    assert declared.fixed == {}
    scope = await scope_of(inner, declared, "api/")
    assert scope["path_remaining"] == ""


async def test_router_in_router() -> None:
    """Routers nest."""
    inner = Recorder()
    router = URLRouter([path("b/", URLRouter([re_path(r"^c/(\d+)$", inner)]))])
    scope = await scope_of(inner, routes({"a/": router}), "a/b/c/7")
    assert scope["url_route"]["args"] == ("7",)


@pytest.mark.parametrize("name", ["a/", "a/b/", "a/b/x", "a/x", "a/b/c/d", "b/c"])
def test_router_unknown(name: str) -> None:
    """What a nested router misses is unknown."""
    router = URLRouter([path("b/", URLRouter([path("c", app)]))])
    with pytest.raises(UnknownStream):
        routes({"a/": router}).find(name)


async def test_router_missed_goes_on() -> None:
    """A pattern whose router misses lets the search go on."""
    second = Recorder()
    declared = routes({"a/": URLRouter([path("x", app)]), "<str:s>/<str:t>": second})
    await run(declared, "a/y")
    assert len(second.scopes) == 1


async def test_middleware_under_fixed_key() -> None:
    """A router behind middleware gets what its key leaves: nothing, under a fixed one."""
    inner = Recorder()
    declared = routes({"a": CallsRouter(URLRouter([path("", inner)]))})
    scope = await scope_of(inner, declared, "a#2")
    assert scope["path_remaining"] == ""


async def test_middleware_misses() -> None:
    """A router behind middleware that misses raises when it is called."""
    declared = routes({"<int:pk>/": CallsRouter(URLRouter([path("x", app)]))})
    with pytest.raises(Resolver404):
        await run(declared, "5/")


# Test mounted URL patterns.


async def test_mounted() -> None:
    """A name is looked up among the URL patterns, and is the path of the child's scope."""
    chat = Recorder()
    patterns = [path("ws/chat/<str:room>/", chat, {"extra": 1})]
    scope = await scope_of(chat, routes(None, patterns), "ws/chat/lobby/?x=1#2")
    assert scope["url_route"]["kwargs"] == {"room": "lobby", "extra": 1}
    assert scope["path"] == "/ws/chat/lobby/"
    assert "raw_path" not in scope


async def test_mounted_re_path() -> None:
    """A `re_path` is a URL pattern too."""
    chat = Recorder()
    patterns = [re_path(r"^ws/chat/(?P<room>\w+)/$", chat)]
    scope = await scope_of(chat, routes(None, patterns), "ws/chat/lobby/")
    assert scope["url_route"]["kwargs"] == {"room": "lobby"}


async def test_mounted_raw_path() -> None:
    """Where the socket has a raw path, the child has one of its own."""
    chat = Recorder()
    scope = await scope_of(chat, routes(None, [path("<str:s>", chat)]), "é b", raw_path=b"/ws/")
    assert (scope["path"], scope["raw_path"]) == ("/é b", b"/%C3%A9%20b")


@pytest.mark.parametrize("name", ["/", "//", "/?x=1", "/#2", "?x=1"])
async def test_mounted_root(name: str) -> None:
    """The name `/` is the pattern of the empty path."""
    root = Recorder()
    scope = await scope_of(root, routes(None, [path("", root)]), name)
    assert scope["path"] == "/"


@pytest.mark.parametrize("name", ["a", "/a"])
async def test_mounted_path_has_one_slash(name: str) -> None:
    """The path of the child's scope begins with one slash."""
    child = Recorder()
    scope = await scope_of(child, routes(None, [path("a", child)]), name)
    assert scope["path"] == "/a"


async def test_mounted_root_path() -> None:
    """The socket's root path is no part of a name."""
    child = Recorder()
    scope = await scope_of(child, routes(None, [path("a", child)]), "a", root_path="/app")
    assert scope["root_path"] == "/app"


@pytest.mark.parametrize("name", ["b", "a/", "/", "r/", "r/y"])
def test_mounted_unknown(name: str) -> None:
    """A name that matches no URL pattern is unknown."""
    with pytest.raises(UnknownStream):
        routes(None, [path("a", app), path("r/", URLRouter([path("x", app)]))]).find(name)


async def test_mounted_after_declared() -> None:
    """`consumer_classes` is looked up before `urlpatterns`."""
    first, second = Recorder(), Recorder()
    declared = routes({"<int:pk>": first}, [path("<str:s>", second)])
    await run(declared, "5")
    await run(declared, "x")
    assert [len(first.scopes), len(second.scopes)] == [1, 1]
    assert routes({"a": app}, [path("a", second)]).find("a").application is app


async def test_mounted_after_router_missed() -> None:
    """A router of `consumer_classes` that misses lets the search go on in `urlpatterns`."""
    mounted = Recorder()
    declared = routes({"a/": URLRouter([path("x", app)])}, [path("a/y", mounted)])
    scope = await scope_of(mounted, declared, "a/y")
    assert scope["path"] == "/a/y"


async def test_mounted_after_middleware_missed() -> None:
    """A router behind middleware that misses lets the search go on in `urlpatterns`."""
    mounted = Recorder()
    behind = CallsRouter(URLRouter([path("x", app)]))
    declared = routes({"a/<int:pk>": behind}, [path("a/<str:s>", mounted)])
    scope = await scope_of(mounted, declared, "a/5")
    assert scope["path"] == "/a/5"
    assert scope["url_route"]["kwargs"] == {"s": "5"}


async def test_mounted_not_after_middleware_matched() -> None:
    """A router behind middleware that matches is served, and nothing else."""
    inner, mounted = Recorder(), Recorder()
    behind = CallsRouter(URLRouter([path("", inner)]))
    await run(routes({"<int:pk>": behind}, [path("<str:s>", mounted)]), "5")
    assert [len(inner.scopes), len(mounted.scopes)] == [1, 0]


async def test_mounted_not_after_child_began() -> None:
    """A child that has begun and raises Resolver404 has crashed: the search is over."""
    mounted = Recorder()

    async def child(scope: Scope, receive: Receive, send: Send) -> None:
        assert await receive() == {"type": "websocket.connect"}
        raise Resolver404("mine")

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    declared = routes({"<int:pk>": child}, [path("<str:s>", mounted)])
    scope = child_scope(declared, {}, "5")
    with pytest.raises(Resolver404):
        await declared.find("5").application(scope, receive, None)  # type: ignore[arg-type]
    assert mounted.scopes == []


async def test_mounted_crash_alone() -> None:
    """The crash of a mounted child does not speak of what missed before it."""

    async def crash(scope: Scope, receive: Receive, send: Send) -> None:
        raise KeyError("mine")

    behind = CallsRouter(URLRouter([path("x", app)]))
    with pytest.raises(KeyError) as caught:
        await run(routes({"<int:pk>": behind}, [path("<str:s>", crash)]), "5")
    assert caught.value.__context__ is None


async def test_mounted_not_mutated() -> None:
    """Mounting leaves the URL patterns as they were, for direct sockets."""
    inner = Recorder()
    patterns = [path("a/", URLRouter([path("b", inner)]))]
    before = [(route, route.pattern) for route in patterns]
    await run(routes(None, patterns), "a/b")
    assert [(route, route.pattern) for route in patterns] == before
    await URLRouter(patterns)({"type": "websocket", "path": "/a/b"}, None, None)
    assert len(inner.scopes) == 2


# Test on_demand.


@pytest.mark.parametrize(
    ("classes", "patterns", "expected"),
    [
        ({}, [], False),
        ({"a": app}, [], False),
        ({"<int:pk>": app}, [], True),
        ({"a/": URLRouter([])}, [], True),
        ({"a": app}, [path("b", app)], True),
    ],
)
def test_on_demand(classes: dict[str, Any], patterns: list[Any], expected: bool) -> None:
    """Patterns, routers and URL patterns open on demand; fixed names don't."""
    assert routes(classes, patterns).on_demand is expected


# Test the scope of a child.


def test_scope_of_fixed() -> None:
    """A fixed stream's scope is the socket's, with what is the stream's own."""
    socket = {"type": "websocket", "path": "/ws/", "query_string": b"x=1", "subprotocols": ["v"]}
    assert child_scope(routes({"a": app}), socket, "a", ["v1"]) == {
        "type": "websocket",
        "path": "/ws/",
        "query_string": b"x=1",
        "subprotocols": ["v1"],
        "url_route": {"args": (), "kwargs": {}},
        "path_remaining": "",
        "demultiplexer": {"stream": "a"},
    }


def test_scope_is_a_copy() -> None:
    """A child's scope, its route and its extensions are its own; other values are shared."""
    user = object()
    socket = {
        "user": user,
        "url_route": {"args": (1,), "kwargs": {"a": 1}},
        "subprotocols": [],
        "extensions": {"x": {}},
    }
    child = child_scope(routes({"a": app}), socket, "a")
    child["new"] = child["url_route"]["kwargs"]["b"] = child["extensions"]["y"] = 1
    child["subprotocols"].append("v")
    assert child["user"] is user
    assert socket == {
        "user": user,
        "url_route": {"args": (1,), "kwargs": {"a": 1}},
        "subprotocols": [],
        "extensions": {"x": {}},
    }


@pytest.mark.parametrize("name", ["a#2", "a?q", "a?q#2"])
def test_scope_name(name: str) -> None:
    """The full name is the stream's name in the scope; a fixed one leaves no path."""
    child = child_scope(routes({"a": app}), {}, name)
    assert child["demultiplexer"] == {"stream": name}
    assert child["path_remaining"] == ""


@pytest.mark.parametrize("name", ["a?q#2", "a#2"])
def test_scope_of_fixed_with_query_declared(name: str) -> None:
    """A fixed name that is declared with its query or label leaves no path either."""
    assert child_scope(routes({name: app}), {}, name)["path_remaining"] == ""


def test_scope_path_remaining() -> None:
    """What routing sees of another name is the path that remains."""
    child = child_scope(routes({"<int:pk>/": app}), {}, "5/?q#2")
    assert child["path_remaining"] == "5/"


@pytest.mark.parametrize(
    ("name", "query", "expected"),
    [
        ("a", None, b"socket"),
        ("a#x?y", None, b"socket"),
        ("a?", None, b""),
        ("a?x=1", None, b"x=1"),
        ("a?x=1?y=2#3", None, b"x=1?y=2"),
        ("a?é", None, b"\xc3\xa9"),
        ("a", "open", b"open"),
        ("a?x=1", "open", b"open"),
        ("a?x=1", "", b""),
        ("a", "é", b"\xc3\xa9"),
    ],
)
def test_scope_query(name: str, query: str | None, expected: bytes) -> None:
    """The query is the `open` frame's if given, else the name's, else the socket's own."""
    child = child_scope(routes({"a": app}), {"query_string": b"socket"}, name, query=query)
    assert child["query_string"] == expected


def test_scope_denial_response() -> None:
    """The denial-response extension is taken out, others stay."""
    extensions = {"websocket.http.response": {}, "x": {"y": 1}}
    child = child_scope(routes({"a": app}), {"extensions": extensions}, "a")
    assert child["extensions"] == {"x": {"y": 1}}
    assert list(extensions) == ["websocket.http.response", "x"]


@pytest.mark.parametrize("socket", [{}, {"extensions": None}, {"extensions": {}}])
def test_scope_without_extensions(socket: Scope) -> None:
    """A socket without extensions has children without them."""
    child = child_scope(routes({"a": app}), socket, "a")
    assert child.get("extensions") == socket.get("extensions")
    assert ("extensions" in child) is ("extensions" in socket)


@pytest.mark.parametrize("outer", [{}, {"args": (1,)}, {"kwargs": {"a": 1}}])
def test_scope_route(outer: dict[str, Any]) -> None:
    """The route is the socket's own, as far as there is one."""
    child = child_scope(routes({"a": app}), {"url_route": outer}, "a")
    assert child["url_route"] == {"args": (), "kwargs": {}, **outer}


# Test declarations that cannot work.


def not_this(x: Any) -> None:
    """Take one argument."""


@functools.wraps(not_this)
def wraps_not_this(scope: Scope, receive: Receive, send: Send) -> None:
    """Look like what takes one argument, but take three."""


@functools.wraps(app)
def wraps_app(x: Any) -> None:
    """Look like an application, but take one argument."""


GIVE = "; give a consumer class or an ASGI application"
PATTERN = "; give path() or re_path() with a consumer's as_asgi()"
THREE = ", which does not take scope, receive, send"
NAME = "; give a name, such as 'chat'"
WHERE = "chat.Demultiplexer.consumer_classes"


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        ([], f"{WHERE} is []; give a mapping of stream names to consumers"),
        (None, f"{WHERE} is None; give a mapping of stream names to consumers"),
        ({"": app}, f"{WHERE}['']: a stream's name has 1 to 255 bytes, not 0{NAME}"),
        (
            {"é" * 128: app},
            f"{WHERE}['{'é' * 128}']: a stream's name has 1 to 255 bytes, not 256{NAME}",
        ),
        ({"\ud800": app}, f"{WHERE}['\\ud800']: the stream's name has a lone surrogate{NAME}"),
        ({1: app}, f"{WHERE}[1]: a stream's name is a string{NAME}"),
        ({None: app}, f"{WHERE}[None]: a stream's name is a string{NAME}"),
        ({"a": None}, f"{WHERE}['a']: found None{GIVE}"),
        (
            {"a": "app"},
            f"{WHERE}['a']: found 'app', a string; import the consumer, and give its class",
        ),
        ({"a": int}, f"{WHERE}['a']: found <class 'int'>{GIVE}"),
        ({"a": Recorder}, f"{WHERE}['a']: found {Recorder!r}{GIVE}"),
        ({"b": app, "a/<int:pk>": []}, f"{WHERE}['a/<int:pk>']: found []{GIVE}"),
        (
            {"a": not_this},
            f"{WHERE}['a']: found {not_this!r}{THREE}{GIVE}",
        ),
        (
            {"a": wraps_app},
            f"{WHERE}['a']: found {wraps_app!r}{THREE}{GIVE}",
        ),
        (
            {"<nope:pk>": app},
            f"{WHERE}['<nope:pk>']: URL route '<nope:pk>' uses invalid converter 'nope'.",
        ),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_wrong_consumer_classes(classes: Any, text: str) -> None:
    """What is wrong is told with the class, the stream and what was found."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Routes("chat.Demultiplexer", classes, ())
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("patterns", "text"),
    [
        (None, "'NoneType' object is not iterable"),
        ([Consumer], f"found {Consumer!r}{PATTERN}"),
        ([app], f"found {app!r}{PATTERN}"),
        (["a"], f"found 'a'{PATTERN}"),
        ([path("a", Consumer)], f"'a': found {Consumer!r}; give Consumer.as_asgi()"),
        ([path("", app), re_path("^b$", int)], f"'^b$': found <class 'int'>{GIVE}"),
        (
            [path("a", not_this)],
            f"'a': found {not_this!r}{THREE}{GIVE}",
        ),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_wrong_urlpatterns(patterns: Any, text: str) -> None:
    """What is wrong with URL patterns is told with the class, the pattern and what was found."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Routes("chat.Demultiplexer", {}, patterns)
    assert str(caught.value) == f"chat.Demultiplexer.urlpatterns: {text}"


@pytest.mark.parametrize(
    ("patterns", "text"),
    [
        (URLRouter([path("a", app)]), " is a URLRouter; give the list of patterns within"),
        ("chat.urls", " is 'chat.urls', a string; give the list of patterns"),
    ],
)
def test_urlpatterns_are_a_list(patterns: Any, text: str) -> None:
    """A router, or a module's name, is told to be none."""
    with pytest.raises(ImproperlyConfigured) as caught:
        Routes("chat.Demultiplexer", {}, patterns)
    assert str(caught.value) == f"chat.Demultiplexer.urlpatterns{text}"


@pytest.mark.parametrize("instance", [Consumer(), SyncConsumer(), child(Consumer())])
@pytest.mark.parametrize("name", ["a", "<int:pk>", None])
def test_consumer_instance(name: str | None, instance: Any) -> None:
    """A consumer instance is refused: it would serve all sockets."""
    classes, patterns = ({name: instance}, []) if name else ({}, [path("a", instance)])
    cls = "SyncConsumer" if isinstance(instance, SyncConsumer) else "Consumer"
    where = f"consumer_classes[{name!r}]" if name else "urlpatterns: 'a'"
    with pytest.raises(ImproperlyConfigured) as caught:
        routes(classes, patterns)
    assert str(caught.value) == (
        f"chat.Demultiplexer.{where}: found an instance of {cls}, which would serve all sockets at "
        "once, so that one user's messages would go to another; "
        f"give the class, or {cls}.as_asgi(...) for arguments of its own"
    )


def test_included_urlpatterns() -> None:
    """`include()` among URL patterns is refused, as by Channels."""
    expected = r"^chat\.Demultiplexer\.urlpatterns: .* include\(\) is not supported in URLRouter"
    with pytest.raises(ImproperlyConfigured, match=expected):
        routes(None, [path("a/", include(([path("b", app)], "x")))])


@pytest.mark.parametrize(
    "child",
    [
        app,
        Consumer,
        Consumer.as_asgi(),
        URLRouter([path("", app)]),
        CallsRouter(app),
        Recorder(),
        functools.partial(app),
        lambda *arguments: app(*arguments),
        wraps_not_this,
        max,  # has no signature
    ],
)
@pytest.mark.parametrize("name", ["a", "<int:pk>"])
def test_right_consumer_classes(child: Any, name: str) -> None:
    """Whatever can be called with scope, receive and send is an application."""
    assert routes({name: child}).find("a" if name == "a" else "5")


def test_any_mapping() -> None:
    """The consumer classes are any mapping, the URL patterns anything that has some."""
    declared = Routes("x", MappingProxyType({"a": app}), (path("b", app),))
    assert declared.find("a").application is app
    assert declared.find("b")


def test_cause() -> None:
    """What Django says is the cause of what is raised."""
    with pytest.raises(ImproperlyConfigured) as caught:
        routes({"<nope:pk>": app})
    assert isinstance(caught.value.__cause__, ImproperlyConfigured)
    assert re.search("nope", str(caught.value.__cause__))


def test_as_asgi_of_a_consumer_with_an_init_of_its_own():
    """What as_asgi() returns names the consumer in __wrapped__, whose signature isn't its own."""

    class Log(AsyncWebsocketConsumer):
        def __init__(self, lines):
            super().__init__()

    assert Routes("a.B", {"log": Log.as_asgi(lines=50)}, ()).fixed.keys() == {"log"}


@pytest.mark.parametrize("name", ["/room/<int:n>/", "room/<int:n>/?a", "room/<int:n>#a"])
def test_pattern_that_no_name_can_match(name: str):
    """A leading slash, a query or a label in a pattern is refused: routing never sees them."""
    with pytest.raises(ImproperlyConfigured, match="no name can match"):
        Routes("a.B", {name: AsyncWebsocketConsumer}, ())


def test_prefix_that_no_name_can_match():
    """A prefix with a leading slash is refused too; a fixed name may have one."""
    with pytest.raises(ImproperlyConfigured, match=r"a\.B\.consumer_classes\['/api/'\]: no name"):
        Routes("a.B", {"/api/": URLRouter([])}, ())
    assert "/api#1" in Routes("a.B", {"/api#1": AsyncWebsocketConsumer}, ()).fixed


def test_child_that_is_declared_wrongly_itself():
    """The error of a child's own as_asgi() says which stream it is of."""

    class Broken(AsyncWebsocketConsumer):
        @classmethod
        def as_asgi(cls):
            raise ImproperlyConfigured("inner")

    with pytest.raises(ImproperlyConfigured, match=r"a\.B\.consumer_classes\['x'\]: inner"):
        Routes("a.B", {"x": Broken}, ())
