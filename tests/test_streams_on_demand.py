"""Streams that open by a frame: names with converters, mounted URL patterns, lazy names, limits."""

from __future__ import annotations

import gc
import json
import tracemalloc
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.routing import URLRouter
from django.urls import Resolver404, path, re_path, register_converter

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .children import Echo, Echoing, Puppet, SyncEcho, Tell, bye, plain_echo, returning, text
from .driver import Client, binary, connected, demultiplexer, serving, settled

pytestmark = pytest.mark.usefixtures("database_checks")

# Helpers of these tests.


class HexConverter:
    """A custom converter."""

    regex = "[0-9a-f]+"
    #: What has been converted.
    converted: list[str] = []

    def to_python(self, value: str) -> int:
        """Refuse one value, as a converter may."""
        self.converted.append(value)
        if value == "bad":
            raise ValueError
        return int(value, 16)

    def to_url(self, value: int) -> str:
        """Write a value."""
        return f"{value:x}"


register_converter(HexConverter, "hex_of_tests")

PAGE = re_path(r"^page/(?P<name>\w+)/$", Tell.as_asgi())


async def told(client: Client, name: str, **fields: Any) -> dict[str, Any]:
    """Open the stream `name` of a `Tell`, and return what it tells of its scope."""
    client.open(name, **fields)
    await client.expect_opened(name)
    frame = await client.receive_json()
    assert frame["stream"] == name
    telling: dict[str, Any] = frame["payload"]
    assert telling["stream"] == name
    return telling


def mounted(urlpatterns: Any, **attributes: Any) -> Any:
    """Return the application of a demultiplexer of these URL patterns."""
    return WebsocketDemultiplexer.as_asgi(urlpatterns=urlpatterns, **attributes)


# Parametrised streams.


async def test_parametrised_stream() -> None:
    """A name that matches a pattern opens a stream, whose child has the converted values."""
    async with connected({"room/<int:room_id>/": Tell}) as client:
        for number in (5, 6):
            telling = await told(client, f"room/{number}/")
            assert telling["kwargs"] == {"room_id": number}
            assert telling["path"] == "/socket/"
            assert telling["rest"] == ""
            assert telling["args"] == []


async def test_converted_values_go_over_the_sockets_own() -> None:
    """The converters' values are merged over those of the socket's own URL."""
    async with serving(
        demultiplexer({"<int:number>/": Tell}),
        url_route={"args": ("x",), "kwargs": {"team": "red", "number": 1}},
    ) as client:
        telling = await told(client, "5/")
        assert telling["kwargs"] == {"team": "red", "number": 5}
        assert telling["args"] == ["x"]
        assert client.scope["url_route"]["kwargs"] == {"team": "red", "number": 1}


@pytest.mark.parametrize(
    "child", [Echo, SyncEcho, plain_echo, Echo.as_asgi(), Echoing(Echo.as_asgi())]
)
async def test_many_streams_of_one_pattern(child: Any) -> None:
    """Streams of one pattern are separate."""
    async with connected({"room/<int:room_id>/": child}) as client:
        for number in range(3):
            client.open(f"room/{number}/")
            await client.expect_opened(f"room/{number}/")
        for number in range(3):
            client.data(f"room/{number}/", number)
            await client.expect_frame(stream=f"room/{number}/", payload=number)
        client.send_bytes(binary("room/1/", b"x"))
        await client.expect_bytes(binary("room/1/", b"x"))
        client.close("room/1/")
        await client.expect_ended("room/1/", 1000)
        client.data("room/2/", 2)
        await client.expect_frame(stream="room/2/", payload=2)


@pytest.mark.parametrize(
    "name", ["room/x/", "room/5", "room/5/6/", "xroom/5/", "room//", "Room/5/", "?room/5/", "room"]
)
async def test_name_that_misses(name: str) -> None:
    """A name that no pattern matches is unknown."""
    async with connected({"room/<int:room_id>/": Echo}) as client:
        client.open(name)
        await client.expect_error(404, name)


async def test_custom_converter() -> None:
    """Custom converters convert, and may refuse."""
    async with connected({"color/<hex_of_tests:color>": Tell}) as client:
        assert (await told(client, "color/ff"))["kwargs"] == {"color": 255}
        client.open("color/bad")
        await client.expect_error(404, "color/bad")
        client.open("color/x")
        await client.expect_error(404, "color/x")


async def test_first_pattern_that_matches() -> None:
    """Of several patterns the first that matches is taken, and fixed names before all."""
    async with connected(
        {
            "<slug:name>": Echoing(Tell.as_asgi(), "slug"),
            "<int:number>": Echoing(Tell.as_asgi(), "int"),
            "fixed": Echoing(Tell.as_asgi(), "fixed"),
        },
        lazy=True,
    ) as client:
        assert (await told(client, "5"))["passed"] == ["slug"]
        assert (await told(client, "fixed"))["passed"] == ["fixed"]


@pytest.mark.parametrize("frame", [{"payload": 1}, {"event": "close"}])
async def test_only_open_opens(frame: dict[str, Any]) -> None:
    """A data frame or `close` for a parametrised or mounted stream that isn't open gets 409."""
    async with connected({"a/<int:n>": Echo}, urlpatterns=[path("b/", Echo.as_asgi())]) as client:
        for name in ("a/1", "b/"):
            client.send(stream=name, **frame)
            await client.expect_error(409, name)


async def test_on_demand_needs_open_under_lazy_too() -> None:
    """`lazy` changes nothing for parametrised and mounted streams."""
    async with connected(
        {"a/<int:n>": Echo, "r": URLRouter([path("", Echo.as_asgi())])},
        urlpatterns=[path("b/", Echo.as_asgi())],
        lazy=True,
    ) as client:
        for name in ("a/1", "r", "b/"):
            client.data(name, 1)
            await client.expect_error(409, name)


async def test_nothing_runs_before_it_is_opened() -> None:
    """Parametrised and mounted children, and routers, do not run before an `open`."""
    puppet = Puppet()
    async with connected(
        {"a/<int:n>": puppet, "r/": URLRouter([path("", puppet)])},
        urlpatterns=[path("b/", puppet)],
    ) as client:
        await settled()
        await client.expect_silence()
    assert not puppet.lives


# Routers and middleware.


class Passing(BaseMiddleware):
    """A Channels middleware."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> Any:
        return await super().__call__({**scope, "passed": ["channels"]}, receive, send)


async def test_nested_routers() -> None:
    """Routers below routers route on what is left, and their values come together."""
    inner = URLRouter([path("<str:letter>/", Tell.as_asgi())])
    outer = URLRouter([path("<int:second>/", inner), path("", Echoing(Tell.as_asgi(), "empty"))])
    async with connected({"<int:first>/": outer}) as client:
        assert (await told(client, "1/2/x/"))["kwargs"] == {
            "first": 1,
            "second": 2,
            "letter": "x",
        }
        telling = await told(client, "1/")
        assert telling["passed"] == ["empty"]
        for name in ("1/2/", "1/2/x", "1/x/", "1/2/x/y/"):
            client.open(name)
            await client.expect_error(404, name)


async def test_bare_router_under_a_fixed_key() -> None:
    """A fixed key with a bare router is a prefix, whose streams open by `open` only."""
    router = URLRouter([path("users/<int:pk>/", Tell.as_asgi()), path("", Echo.as_asgi())])
    async with connected({"api/": router}) as client:
        await client.expect_silence()
        telling = await told(client, "api/users/7/")
        assert telling["kwargs"] == {"pk": 7}
        assert telling["path"] == "/socket/"
        client.open("api/")
        await client.expect_opened("api/")
        client.open("api/x")
        await client.expect_error(404, "api/x")


@pytest.mark.parametrize("wrap", [Echoing, Passing])
@pytest.mark.parametrize("key", ["api/<path:rest>", "<path:rest>"])
async def test_middleware_around_a_consumer(wrap: Any, key: str) -> None:
    """Middleware around a child sees and changes its scope."""
    async with connected({key: wrap(Tell.as_asgi())}) as client:
        telling = await told(client, "api/x")
        assert telling["passed"] in (["middleware"], ["channels"])


async def test_middleware_around_a_router() -> None:
    """A router behind middleware routes on what the key leaves; its miss is 404."""
    router = Echoing(URLRouter([path("", Tell.as_asgi()), path("<int:pk>", Tell.as_asgi())]))
    async with connected({"one/<int:first>/": router, "plain": Echo}) as client:
        assert (await told(client, "one/1/"))["kwargs"] == {"first": 1}
        client.open("one/1/2")
        await client.expect_error(404, "one/1/2")


@pytest.mark.parametrize("lazy", [False, True])
async def test_router_behind_middleware_under_a_fixed_name(lazy: bool) -> None:
    """A fixed name leaves nothing of the path to a router behind middleware."""
    router = Echoing(URLRouter([path("", Tell.as_asgi())]))
    async with connected({"one": router}, lazy=lazy) as client:
        if lazy:
            telling = await told(client, "one")
        else:
            telling = (await client.receive_json())["payload"]
        assert telling["rest"] == ""


async def test_miss_behind_middleware() -> None:
    """A miss that only shows when the child runs is 404 too, logged nowhere, and opens nothing."""
    missing = Echoing(URLRouter([path("x", Tell.as_asgi())]))
    async with connected({"one/<int:n>": missing, "two": missing}, lazy=True) as client:
        for name in ("one/1", "two"):
            for _ in range(2):
                client.open(name)
                await client.expect_error(404, name)
        client.data("one/1", 1)
        await client.expect_error(409, "one/1")


async def test_close_of_a_stream_that_misses() -> None:
    """A `close` that waits when the miss shows is acknowledged with its own code."""
    missing = Echoing(URLRouter([path("x", Tell.as_asgi())]))
    async with connected({"one/<int:n>": missing}) as client:
        client.open("one/1")
        client.close("one/1", code=3000)
        await client.expect_ended("one/1", 3000)
        await client.expect_silence()


async def test_resolver404_after_the_own_close() -> None:
    """A stream that has ended already is not unknown afterwards."""

    async def closing(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.close", "code": 4000})
        raise Resolver404

    async with connected({"one/<int:n>": closing}) as client:
        client.open("one/1")
        await client.expect_ended("one/1", 4000)
        await client.expect_silence()


async def test_resolver404_of_a_child_that_runs() -> None:
    """A Resolver404 that a child raises in its work is a crash, not a miss."""
    puppet = Puppet()
    async with connected({"one": Echoing(puppet)}, close_when_empty=False) as client:
        life = await puppet.life()
        await life.accept()
        life.crash(Resolver404())
        await client.expect_ended("one", 1011)
        client.log.expect("crashed")


async def test_default_args() -> None:
    """The default arguments of a pattern are among the values."""
    urlpatterns = [path("x/<int:n>/", Tell.as_asgi(), {"color": "blue"})]
    async with serving(mounted(urlpatterns)) as client:
        assert (await told(client, "x/1/"))["kwargs"] == {"n": 1, "color": "blue"}
    async with connected({"y/": URLRouter(urlpatterns)}) as client:
        assert (await told(client, "y/x/1/"))["kwargs"] == {"n": 1, "color": "blue"}


# Mounted URL patterns.


async def test_mounted_pattern() -> None:
    """A URL of the project is a stream without its leading slash, and looks so to its child."""
    async with serving(mounted([path("ws/chat/<str:room>/", Tell.as_asgi())])) as client:
        telling = await told(client, "ws/chat/lobby/")
        assert telling["kwargs"] == {"room": "lobby"}
        assert telling["path"] == "/ws/chat/lobby/"
        assert telling["rest"] == ""
        client.open("ws/chat/")
        await client.expect_error(404, "ws/chat/")


async def test_leading_slash() -> None:
    """A name may have the leading slash of the URL; it is a stream of its own."""
    async with serving(mounted([path("ws/", Tell.as_asgi())])) as client:
        assert (await told(client, "/ws/"))["path"] == "/ws/"
        assert (await told(client, "ws/"))["path"] == "/ws/"


async def test_raw_path_of_a_mounted_child() -> None:
    """scope["raw_path"] of a mounted child is its path's, quoted."""
    puppet = Puppet()
    async with serving(mounted([path("<str:name>/", puppet)])) as client:
        client.open("é b/")
        scope = (await puppet.life()).scope
        assert (scope["path"], scope["raw_path"]) == ("/é b/", b"/%C3%A9%20b/")
        assert client.scope["raw_path"] == b"/socket/"


async def test_server_without_raw_path() -> None:
    """Where the server gives no raw_path, a mounted child has none."""
    puppet = Puppet()
    async with Client(mounted([path("a", puppet)])) as client:
        del client.scope["raw_path"]
        await client.connect()
        client.open("a")
        assert "raw_path" not in (await puppet.life()).scope


@pytest.mark.parametrize("name", ["/", "/?a=b", "/#1"])
async def test_root(name: str) -> None:
    """The name `/` is the pattern `path("")`."""
    async with serving(mounted([path("", Tell.as_asgi())])) as client:
        assert (await told(client, name))["path"] == "/"


async def test_root_of_declared_router() -> None:
    """The key `/` is the empty prefix, and the name `/` an empty pattern below it."""
    router = URLRouter([path("", Tell.as_asgi()), path("x/<int:n>/", Tell.as_asgi())])
    async with connected({"/": router}) as client:
        assert (await told(client, "/"))["kwargs"] == {}
        assert (await told(client, "x/1/"))["kwargs"] == {"n": 1}


@pytest.mark.parametrize("name", ["?a=b", "#1", "?"])
async def test_empty_path(name: str) -> None:
    """A name with an empty path, too, is the pattern `path("")`."""
    async with serving(mounted([path("", Tell.as_asgi())])) as client:
        assert (await told(client, name))["path"] == "/"


async def test_re_path() -> None:
    """re_path patterns work, with named groups and without, and without an end."""
    urlpatterns = [
        PAGE,
        re_path(r"^number/(\d+)/$", Tell.as_asgi()),
        re_path(r"^open", Tell.as_asgi()),
    ]
    async with serving(mounted(urlpatterns)) as client:
        assert (await told(client, "page/one/"))["kwargs"] == {"name": "one"}
        assert (await told(client, "number/12/"))["args"] == ["12"]
        assert (await told(client, "open/more"))["rest"] == "/more"
        client.open("page/one/x")
        await client.expect_error(404, "page/one/x")


async def test_mounted_routers() -> None:
    """Routers among the URL patterns route on, re_path prefixes included."""
    inner = URLRouter([path("<int:n>/", Tell.as_asgi()), PAGE])
    urlpatterns = [path("api/", inner), re_path(r"^re/", inner)]
    async with serving(mounted(urlpatterns)) as client:
        telling = await told(client, "api/5/")
        assert telling["kwargs"] == {"n": 5}
        assert telling["path"] == "/api/5/"
        assert (await told(client, "re/page/x/"))["kwargs"] == {"name": "x"}
        client.open("api/x/")
        await client.expect_error(404, "api/x/")


async def test_router_that_misses_lets_the_search_go_on() -> None:
    """A pattern whose router misses lets the search go on, as in Django."""
    urlpatterns = [
        path("a/", URLRouter([path("x/", Echoing(Tell.as_asgi(), "first"))])),
        path("a/", URLRouter([path("y/", Echoing(Tell.as_asgi(), "second"))])),
        path("a/<str:z>/", Echoing(Tell.as_asgi(), "third")),
    ]
    async with serving(mounted(urlpatterns)) as client:
        assert (await told(client, "a/x/"))["passed"] == ["first"]
        assert (await told(client, "a/y/"))["passed"] == ["second"]
        assert (await told(client, "a/z/"))["passed"] == ["third"]


async def test_search_goes_on_from_declared_to_mounted() -> None:
    """A declared router that misses leaves the name to the URL patterns, as it was."""
    router = URLRouter([path("x/", Echoing(Tell.as_asgi(), "declared"))])
    urlpatterns = [path("a/<str:m>/y/", Echoing(Tell.as_asgi(), "mounted"))]
    async with connected({"a/<int:n>/": router}, urlpatterns=urlpatterns) as client:
        telling = await told(client, "a/1/x/")
        assert telling["passed"] == ["declared"]
        assert telling["path"] == "/socket/"
        telling = await told(client, "a/1/y/")
        assert telling["passed"] == ["mounted"]
        assert telling["kwargs"] == {"m": "1"}
        assert telling["path"] == "/a/1/y/"
        client.open("a/1/z/")
        await client.expect_error(404, "a/1/z/")


async def test_search_goes_on_from_a_miss_behind_middleware() -> None:
    """A declared router behind middleware that misses leaves the name to the URL patterns."""
    missing = Echoing(URLRouter([path("x/", Tell.as_asgi())]), "declared")
    urlpatterns = [path("a/<str:m>/", Tell.as_asgi())]
    async with connected({"a/<int:n>/": missing}, urlpatterns=urlpatterns) as client:
        telling = await told(client, "a/1/")
        assert telling["passed"] == []
        assert telling["kwargs"] == {"m": "1"}
        assert telling["path"] == "/a/1/"


async def test_declared_comes_before_mounted() -> None:
    """consumer_classes is looked up before urlpatterns."""
    urlpatterns = [
        path("fixed", Echoing(Tell.as_asgi(), "mounted")),
        path("<int:n>", Echoing(Tell.as_asgi(), "mounted")),
    ]
    declared = {
        "fixed": Echoing(Tell.as_asgi(), "declared"),
        "<int:n>": Echoing(Tell.as_asgi(), "declared"),
    }
    async with connected(declared, urlpatterns=urlpatterns, lazy=True) as client:
        assert (await told(client, "fixed"))["passed"] == ["declared"]
        assert (await told(client, "5"))["passed"] == ["declared"]


async def test_mounting_leaves_the_patterns_alone() -> None:
    """The same list goes on to serve direct sockets: mounting does not change it."""
    inner = URLRouter([path("<int:n>/", Tell.as_asgi())])
    urlpatterns = [path("api/", inner), re_path(r"^re/$", inner), PAGE]
    patterns = [route.pattern for route in urlpatterns]
    length = len(urlpatterns)
    async with serving(mounted(urlpatterns)) as client:
        await told(client, "api/1/")
    assert len(urlpatterns) == length
    assert all(
        route.pattern is pattern for route, pattern in zip(urlpatterns, patterns, strict=True)
    )
    application = URLRouter(urlpatterns)
    async with serving(application, path="/api/2/") as client:
        assert (await client.receive_json())["kwargs"] == {"n": 2}
    async with serving(mounted(urlpatterns)) as client:
        await told(client, "api/1/")


async def test_demultiplexer_among_its_own_patterns() -> None:
    """A list may mount itself: the demultiplexer's own URL is a stream too."""
    urlpatterns: list[Any] = [path("echo/", Echo.as_asgi())]
    urlpatterns.append(path("ws/", mounted(tuple(urlpatterns))))
    async with serving(mounted(urlpatterns)) as client:
        client.open("ws/")
        await client.expect_opened("ws/")
        client.data("ws/", {"stream": "echo/", "event": "open"})
        await client.expect_frame(
            stream="ws/", payload={"stream": "echo/", "event": "open", "subprotocol": None}
        )
        client.data("ws/", {"stream": "echo/", "payload": 1})
        await client.expect_frame(stream="ws/", payload={"stream": "echo/", "payload": 1})


async def test_root_path() -> None:
    """A socket below a root path has its streams as anywhere."""
    async with serving(
        mounted([path("a/", Tell.as_asgi())]), root_path="/app", path="/app/socket/"
    ) as client:
        assert (await told(client, "a/"))["path"] == "/a/"


async def test_urlpatterns_as_class_attribute() -> None:
    """URL patterns may be a class attribute, also a tuple."""

    class Mounting(WebsocketDemultiplexer):
        urlpatterns = (path("a/", Tell.as_asgi()),)

    async with serving(Mounting.as_asgi()) as client:
        assert (await told(client, "a/"))["path"] == "/a/"


# Queries and labels.


QUERIES = [
    ("a/1", {}, "of=socket"),
    ("a/1?", {}, ""),
    ("a/1?as=ann", {}, "as=ann"),
    ("a/1?as=ann&b=?", {}, "as=ann&b=?"),
    ("a/1?as=ann#2", {}, "as=ann"),
    ("a/1#2?x=y", {}, "of=socket"),
    ("a/1?é", {}, "é"),
    ("a/1", {"query": "t=1"}, "t=1"),
    ("a/1", {"query": ""}, ""),
    ("a/1?as=ann", {"query": "t=1"}, "t=1"),
    ("a/1?as=ann", {"query": ""}, ""),
    ("a/1", {"query": "#?"}, "#?"),
]


@pytest.mark.parametrize(("name", "fields", "query"), QUERIES)
async def test_query(name: str, fields: dict[str, str], query: str) -> None:
    """The query is the `open` frame's, else the name's, else the socket's own."""
    async with connected({"a/<int:n>": Tell}) as client:
        assert (await told(client, name, **fields))["query"] == query


@pytest.mark.parametrize(("name", "query"), [("f#1", "of=socket"), ("f?x=1", "x=1"), ("f?", "")])
async def test_fixed_name_with_query_or_label(name: str, query: str) -> None:
    """A fixed name with a query or label is a stream of its own, opened by `open` only."""
    async with connected({"f": Tell}, lazy=True) as client:
        client.data(name, 1)
        await client.expect_error(409, name)
        telling = await told(client, name)
        assert telling["query"] == query
        assert telling["rest"] == ""
        assert (await told(client, "f"))["query"] == "of=socket"


async def test_labels_tell_streams_to_one_place_apart() -> None:
    """Names that differ in their label are different streams with the same route."""
    async with connected({"a/<int:n>": Tell}) as client:
        for name in ("a/1", "a/1#", "a/1#x", "a/1#y"):
            assert (await told(client, name))["kwargs"] == {"n": 1}
        client.close("a/1#x")
        await client.expect_ended("a/1#x", 1000)
        client.open("a/1#y")
        await client.expect_opened("a/1#y")


async def test_declared_name_with_a_label() -> None:
    """A fixed name is what it was declared as, even where it reads as a query or label."""
    async with connected({"a#b": Tell}) as client:
        assert (await client.receive_json())["payload"]["stream"] == "a#b"
        client.open("a#c")
        await client.expect_error(404, "a#c")


async def test_label_of_the_default_query_is_the_sockets() -> None:
    """An eager stream has the socket's own query."""
    async with connected({"a": Tell}) as client:
        assert (await client.receive_json())["payload"]["query"] == "of=socket"


# Opening and closing.


async def test_open_is_idempotent() -> None:
    """An `open` for an open stream makes no second child, whatever it asks for."""
    puppet = Puppet()
    async with connected({"a/<int:n>": puppet}) as client:
        client.open("a/1")
        life = await puppet.life()
        client.open("a/1", subprotocols=["x"], query="x")
        await client.expect_silence()
        await life.accept(subprotocol="y")
        await client.expect_opened("a/1", "y")
        client.open("a/1", query="z")
        await client.expect_opened("a/1", "y")
    assert puppet.lives == 1
    assert life.scope["query_string"] == b"of=socket"


async def test_reopening_has_its_own_subprotocols_and_query() -> None:
    """Each life has the fields of the `open` that began it, also where it had to wait."""
    puppet = Puppet()
    async with connected({"a/<int:n>": puppet}) as client:
        client.open("a/1", subprotocols=["x"], query="1")
        first = await puppet.life()
        client.close("a/1")
        client.open("a/1", subprotocols=["y"], query="2")
        client.open("a/1", subprotocols=["z"], query="3")
        await client.expect_silence()
        first.finish()
        await client.expect_ended("a/1", 1000)
        second = await puppet.life()
        assert (first.scope["subprotocols"], first.scope["query_string"]) == (["x"], b"1")
        assert (second.scope["subprotocols"], second.scope["query_string"]) == (["y"], b"2")


async def test_refusal() -> None:
    """A child that refuses answers each `open` with a `close`."""
    async with connected({"a/<int:n>": returning}) as client:
        for _ in range(3):
            client.open("a/1")
            await client.expect_ended("a/1", 4403)


# Lazy fixed streams.


@pytest.mark.parametrize("child", [Echo, SyncEcho, plain_echo])
async def test_lazy_stream_opens_at_its_first_data_frame(child: Any) -> None:
    """A lazy stream opens at its first data frame, text or binary, without a confirmation."""
    async with connected({"a": child, "b": child}, lazy=True) as client:
        client.data("a", 1)
        await client.expect_frame(stream="a", payload=1)
        client.send_bytes(binary("b", b"1"))
        await client.expect_bytes(binary("b", b"1"))


async def test_lazy_stream_opens_by_open() -> None:
    """A lazy stream opens by an `open` too, which is answered."""
    async with connected({"a": Echo}, lazy=True) as client:
        client.open("a")
        await client.expect_opened("a")


async def test_lazy_stream_costs_nothing_before() -> None:
    """Nothing of a lazy child runs before its first frame, other streams' frames included."""
    puppet = Puppet()
    async with connected({"a": puppet, "b": Echo}, lazy=True) as client:
        client.data("b", 1)
        await client.expect_frame(stream="b", payload=1)
        client.close("a")
        await client.expect_error(409, "a")
        await settled()
        assert not puppet.lives
        client.data("a", 1)
        life = await puppet.life()
        await life.accept()
        assert await life.receive() == text("1")


@pytest.mark.parametrize("first", ["data", "open"])
@pytest.mark.parametrize("ends", ["client", "child"])
async def test_lazy_stream_that_has_ended(first: str, ends: str) -> None:
    """A lazy stream that has ended opens again by `open` only."""
    puppet = Puppet()
    async with connected({"a": puppet}, lazy=True) as client:
        if first == "data":
            client.data("a", 1)
        else:
            client.open("a")
        life = await puppet.life()
        if ends == "client":
            client.close("a")
        life.finish()
        await client.expect_ended("a", 1000 if ends == "client" else 4403)
        client.data("a", 1)
        await client.expect_error(409, "a")
        client.open("a")
        await (await puppet.life()).accept()
        await client.expect_opened("a")


async def test_lazy_stream_beyond_the_limit_stays_unused() -> None:
    """A lazy stream that found no place opens at a later data frame."""
    async with connected({"a": Echo, "b": Echo}, lazy=True, max_streams=1) as client:
        client.open("a")
        await client.expect_opened("a")
        client.data("b", 1)
        await client.expect_error(429, "b")
        client.close("a")
        await client.expect_ended("a", 1000)
        client.data("b", 2)
        await client.expect_frame(stream="b", payload=2)


# The limit of streams.


async def test_limit_of_streams() -> None:
    """One stream more than allowed is 429; the others go on, and one that ends makes room."""
    async with connected({"a/<int:n>": Echo}, max_streams=2) as client:
        for number in (1, 2):
            client.open(f"a/{number}")
            await client.expect_opened(f"a/{number}")
        client.open("a/3")
        assert "2 streams" in await client.expect_error(429, "a/3")
        client.open("a/2")
        await client.expect_opened("a/2")
        client.data("a/1", 1)
        await client.expect_frame(stream="a/1", payload=1)
        client.close("a/1")
        await client.expect_ended("a/1", 1000)
        client.open("a/3")
        await client.expect_opened("a/3")


async def test_opening_streams_count() -> None:
    """A stream that has not accepted yet counts."""
    async with connected({"a/<int:n>": Puppet()}, max_streams=1) as client:
        client.open("a/1")
        client.open("a/2")
        await client.expect_error(429, "a/2")


async def test_eager_streams_do_not_count() -> None:
    """Eager streams have their place beside the limit, also when they are reopened."""
    async with connected({"e": Echo, "f": Echo, "a/<int:n>": Echo}, max_streams=1) as client:
        client.open("a/1")
        await client.expect_opened("a/1")
        client.close("e")
        await client.expect_ended("e", 1000)
        client.open("e")
        await client.expect_opened("e")
        client.open("a/2")
        await client.expect_error(429, "a/2")
        client.open("f#2")
        await client.expect_error(429, "f#2")


@pytest.mark.parametrize("eager", [False, True])
async def test_limit_counts_each_end_once(eager: bool) -> None:
    """However streams have ended, as many can be opened afterwards."""
    puppet = Puppet()
    declared: dict[str, Any] = {"a/<int:n>": puppet}
    if eager:
        declared["e"] = Echo
    async with connected(declared, max_streams=1) as client:
        for _ in range(3):
            client.open("a/1")
            life = await puppet.life()
            client.close("a/1")
            life.finish()
            await client.expect_ended("a/1", 1000)
            client.open("a/1")
            life = await puppet.life()
            await life.send_close()
            await client.expect_ended("a/1", 4403)
            life.finish()
            await settled()
        client.open("a/1")
        await puppet.life()
        client.open("a/2")
        await client.expect_error(429, "a/2")


@pytest.mark.parametrize("ends", ["client", "child"])
async def test_as_many_again_may_be_cleaning_up(ends: str) -> None:
    """Streams whose child is cleaning up leave their place, until as many again do so."""
    puppet = Puppet()
    async with connected({"a/<int:n>": puppet}, max_streams=2) as client:
        lives = []
        for number in range(4):
            client.open(f"a/{number}")
            life = await puppet.life()
            await life.accept()
            await client.expect_opened(f"a/{number}")
            lives.append(life)
            if number < 2:
                if ends == "client":
                    client.close(f"a/{number}")
                    await client.expect_silence()
                else:
                    await life.send_close()
                    await client.expect_ended(f"a/{number}", 1000)
        client.close("a/3")
        client.open("a/4")
        await client.expect_error(429, "a/4")
        lives[0].finish()
        if ends == "client":
            await client.expect_ended("a/0", 1000)
        await settled()
        client.open("a/4")
        await (await puppet.life()).accept()
        await client.expect_opened("a/4")


async def test_eager_streams_that_clean_up_are_bounded() -> None:
    """An eager stream that opens and closes in a loop is bounded as any other."""
    puppet = Puppet()
    async with connected({"e": puppet, "f": Puppet()}, max_streams=2) as client:
        await puppet.life()
        for _ in range(3):
            client.close("e")
            client.open("e")
            await client.expect_silence()
        client.close("e")
        await client.expect_silence()
        client.open("e")
        await client.expect_error(429, "e")


async def test_order_of_checks() -> None:
    """404 comes before 429, and an unknown name is unknown at the limit too."""
    async with connected({"a/<int:n>": Echo}, max_streams=1) as client:
        client.open("a/1")
        await client.expect_opened("a/1")
        client.open("b")
        await client.expect_error(404, "b")
        client.data("a/2", 1)
        await client.expect_error(409, "a/2")


async def test_opening_in_a_loop_costs_no_memory() -> None:
    """Opening and closing, or inventing names, leaves nothing behind on the server."""
    attributes = {"lazy": True, "max_streams": 3}
    async with connected({"f": returning, "a/<str:n>": returning}, **attributes) as client:

        async def loop(names: range) -> None:
            for number in names:
                name = f"a/{number}-{'x' * 200}"
                client.open(name)
                await client.expect_ended(name, 4403)
                client.data(name, 1)
                await client.expect_error(409, name)
                client.open(f"b/{name}")
                await client.receive()
                client.open(f"f#{number}")
                await client.expect_ended(f"f#{number}", 4403)

        await loop(range(20))
        gc.collect()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            await loop(range(20, 320))
            gc.collect()
            growth = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
    assert growth < 300 * 100


# What a frame costs.


async def test_resolving_happens_when_a_stream_opens() -> None:
    """No frame of an open stream is resolved."""
    converted = HexConverter.converted
    async with connected({"a/<hex_of_tests:n>": Echo}) as client:
        converted.clear()
        client.open("a/f")
        await client.expect_opened("a/f")
        count = len(converted)
        assert count
        for _ in range(3):
            client.data("a/f", 1)
            await client.expect_frame(stream="a/f", payload=1)
            client.open("a/f")
            await client.expect_opened("a/f")
        client.close("a/f")
        await client.expect_ended("a/f", 1000)
        assert len(converted) == count


async def test_thousand_streams() -> None:
    """A thousand streams on a socket are served each."""
    async with connected({"a/<int:n>": plain_echo}, max_streams=1000) as client:
        for number in range(1000):
            client.open(f"a/{number}")
            await client.expect_opened(f"a/{number}")
        client.open("a/1000")
        await client.expect_error(429, "a/1000")
        for number in (0, 500, 999):
            client.data(f"a/{number}", number)
            await client.expect_frame(stream=f"a/{number}", payload=number)


# What a child is told.


async def test_child_of_a_pattern_is_an_ordinary_consumer() -> None:
    """A consumer of the usual kind finds its URL's values where it looks for them."""

    class Room(AsyncWebsocketConsumer):
        async def connect(self) -> None:
            self.room = self.scope["url_route"]["kwargs"]["room_id"]
            await self.accept()

        async def receive(self, text_data: Any = None, bytes_data: Any = None) -> None:
            await self.send(json.dumps([self.room, text_data]))

    async with connected({"room/<int:room_id>/": Room}) as client:
        for number in (1, 2):
            client.open(f"room/{number}/")
            await client.expect_opened(f"room/{number}/")
            client.data(f"room/{number}/", "x")
            await client.expect_frame(stream=f"room/{number}/", payload=[number, '"x"'])


async def test_socket_end_reaches_streams_on_demand() -> None:
    """The socket's end reaches the streams that were opened on demand."""
    puppet = Puppet()
    async with connected({"a/<int:n>": puppet}) as client:
        client.open("a/1")
        life = await puppet.life()
        await life.accept()
        await client.expect_opened("a/1")
        client.disconnect(1001)
        assert await life.receive() == bye(1001)
