"""`child()`: settings for one stream, on each kind of stream."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.routing import URLRouter
from channels.testing import WebsocketCommunicator
from django.core.exceptions import ImproperlyConfigured
from django.urls import path

from channels_demultiplexer.conf import SETTINGS, options_of
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer, child
from channels_demultiplexer.routing import Routes

from .children import Echo, Life, Puppet, bye, plain_echo, text
from .driver import Client, demultiplexer, serving

SHORT = 0.02
"""A time that is soon over."""


def eager(application: Any) -> tuple[dict[str, Any], str]:
    """Declare an eager stream."""
    return {"consumer_classes": {"a": application}}, "a"


def lazy(application: Any) -> tuple[dict[str, Any], str]:
    """Declare a lazy stream."""
    return {"consumer_classes": {"a": application}, "lazy": True}, "a"


def lazy_by_child(application: Any) -> tuple[dict[str, Any], str]:
    """Declare a stream that is lazy by itself, around what else it is."""
    return {"consumer_classes": {"a": child(application, lazy=True)}}, "a"


def labelled(application: Any) -> tuple[dict[str, Any], str]:
    """Declare a fixed stream, of which one with a query and a label is opened."""
    return {"consumer_classes": {"a": application}, "lazy": True}, "a?x=1#2"


def parametrised(application: Any) -> tuple[dict[str, Any], str]:
    """Declare a parametrised stream."""
    return {"consumer_classes": {"a/<int:n>/": application}}, "a/1/"


def prefixed(application: Any) -> tuple[dict[str, Any], str]:
    """Declare a stream of a router under a prefix."""
    return {"consumer_classes": {"a/": URLRouter([path("<int:n>", application)])}}, "a/1"


def around_router(application: Any) -> tuple[dict[str, Any], str]:
    """Declare a stream of a router that inherits the settings of the router's `child()`."""
    settings = application.settings
    router = child(URLRouter([path("<int:n>", application.application)]), **settings)
    return {"consumer_classes": {"a/": router}}, "a/1"


def mounted(application: Any) -> tuple[dict[str, Any], str]:
    """Declare a stream of a mounted URL pattern."""
    return {"urlpatterns": [path("ws/<int:n>/", application)]}, "ws/1/"


def mounted_in_router(application: Any) -> tuple[dict[str, Any], str]:
    """Declare a stream of a router in a mounted URL pattern."""
    inner = URLRouter([path("b/", URLRouter([path("c", application)]))])
    return {"urlpatterns": [path("ws/", inner)]}, "ws/b/c"


KINDS = [
    eager,
    lazy,
    lazy_by_child,
    labelled,
    parametrised,
    prefixed,
    around_router,
    mounted,
    mounted_in_router,
]
kinds = pytest.mark.parametrize("kind", KINDS)


def declared(kind: Any, puppet: Any, other: Any = Echo, **settings: Any) -> tuple[Any, str]:
    """Return a demultiplexer with a stream of a kind, and one named `z`; and the name."""
    attributes, name = kind(child(puppet, **settings))
    classes = {**attributes.pop("consumer_classes", {}), "z": other}
    return demultiplexer(classes, close_when_empty=False, **attributes), name


async def begun(client: Client, puppet: Puppet, name: str) -> Life:
    """Open a stream and return its life."""
    client.open(name)
    life = await puppet.life()
    await life.accept()
    await client.expect_opened(name)
    return life


# Each setting, on each kind of stream.


@kinds
async def test_stream_capacity(kind: Any) -> None:
    """As many frames wait as the stream's own capacity says; others have the class's."""
    puppet, other = Puppet(), Puppet()
    application, name = declared(kind, puppet, other, stream_capacity=1, stream_overflow="reject")
    async with serving(application) as client:
        await begun(client, puppet, name)
        client.data(name, 1)
        await client.expect_silence()
        client.data(name, 2)
        await client.expect_error(429, name)
        client.open("z")
        for number in range(3):
            client.data("z", number)
        await client.expect_silence()


@kinds
async def test_stream_overflow_close(kind: Any) -> None:
    """The stream's own policy says what a frame for its full inbox does."""
    puppet = Puppet()
    application, name = declared(kind, puppet, stream_capacity=1, stream_overflow="close")
    async with serving(application) as client:
        life = await begun(client, puppet, name)
        client.data(name, 1)
        client.data(name, 2)
        await client.expect_ended(name, 1013)
        assert await life.receive() == bye(1013)


@kinds
async def test_stall_timeout(kind: Any) -> None:
    """The stream's own full inbox holds up the socket for its own time."""
    puppet = Puppet()
    application, name = declared(kind, puppet, stream_capacity=1, stall_timeout=SHORT)
    async with serving(application) as client:
        life = await begun(client, puppet, name)
        client.data(name, 1)
        client.data(name, 2)
        await client.expect_ended(name, 1013)
        assert await life.receive() == bye(1013)


@kinds
async def test_consumer_close_timeout(kind: Any) -> None:
    """The stream's own child is cancelled after its own time, and the warning names that."""
    puppet = Puppet()
    application, name = declared(kind, puppet, consumer_close_timeout=SHORT)
    async with serving(application) as client:
        life = await begun(client, puppet, name)
        client.close(name)
        await life.cancelled()
        client.log.expect(f"did not end within {SHORT} seconds")
        await client.expect_ended(name, 1000)


async def test_class_settings_count_for_others() -> None:
    """A stream without a setting of its own has the class's, which `child()` outdoes."""
    puppet, other = Puppet(), Puppet()
    classes = {"a": child(puppet, stream_overflow="close"), "b": other}
    application = demultiplexer(classes, stream_capacity=1, stream_overflow="reject")
    async with serving(application) as client:
        await (await puppet.life()).accept()
        await (await other.life()).accept()
        client.data("b", 1)
        client.data("b", 2)
        await client.expect_error(429, "b")
        client.data("a", 1)
        client.data("a", 2)
        await client.expect_ended("a", 1013)


async def test_lazy() -> None:
    """A stream that is lazy by itself opens at its first use, others with the socket."""
    puppet, other = Puppet(), Puppet()
    application = demultiplexer({"a": child(puppet, lazy=True), "b": other})
    async with serving(application) as client:
        await other.life()
        await client.expect_silence()
        assert puppet.lives == 0
        client.data("a", 1)
        life = await puppet.life()
        await life.accept()
        assert await life.receive() == text("1")


async def test_lazy_reopened_by_open_only() -> None:
    """A lazy stream that has ended is not opened by data, as where the class says so."""
    puppet = Puppet()
    application = demultiplexer({"a": child(puppet, lazy=True)})
    async with serving(application) as client:
        life = await begun(client, puppet, "a")
        await life.send_close(code=3000)
        await client.expect_ended("a", 3000)
        life.finish()
        client.data("a", 1)
        await client.expect_error(409, "a")


async def test_not_lazy() -> None:
    """A stream may be eager where the class is lazy, and is opened by `open` only then."""
    puppet, other = Puppet(), Puppet()
    application = demultiplexer({"a": child(puppet, lazy=False), "b": other}, lazy=True)
    async with serving(application) as client:
        life = await puppet.life()
        await life.accept()
        await client.expect_silence()
        assert other.lives == 0
        await life.send_close(code=3000)
        await client.expect_ended("a", 3000)
        life.finish()
        client.data("a", 1)
        await client.expect_error(409, "a")


@pytest.mark.parametrize(("second", "closes"), [(True, False), (False, True)])
async def test_lazy_keeps_the_socket(second: bool, closes: bool) -> None:
    """The socket closes when its last stream has ended, unless one is lazy by itself."""
    puppet, other = Puppet(), Puppet()
    classes = {"a": puppet, "b": child(other, lazy=second)}
    application = demultiplexer(classes)
    async with Client(application) as client:
        await client.connect()
        life = await puppet.life()
        await life.accept()
        if closes:
            twin = await other.life()
            await twin.accept()
            await twin.send_close(code=3001)
            await client.expect_ended("b", 3001)
        await life.send_close(code=3000)
        await client.expect_ended("a", 3000)
        if closes:
            await client.expect_closed(3000)
        else:
            await client.expect_silence()


async def test_lazy_counts_in_max_streams() -> None:
    """A stream that is lazy by itself counts, an eager one doesn't."""
    classes = {"a": Puppet(), "b": child(Puppet(), lazy=True), "c": child(Puppet(), lazy=True)}
    async with serving(demultiplexer(classes, max_streams=1)) as client:
        client.data("b", 1)
        client.data("c", 1)
        await client.expect_error(429, "c")


# What it is.


def test_names_of_the_table() -> None:
    """The arguments are rows of the table of settings."""
    arguments = list(inspect.signature(child).parameters.values())[1:]
    rows = {setting.name.lower() for setting in SETTINGS}
    assert [argument.kind for argument in arguments] == [inspect.Parameter.KEYWORD_ONLY] * 5
    assert {argument.name for argument in arguments} < rows


@pytest.mark.parametrize("application", [Echo, Echo.as_asgi(), plain_echo])
async def test_on_a_socket_of_its_own(application: Any) -> None:
    """On a socket of its own it is just the consumer."""
    communicator = WebsocketCommunicator(child(application, stream_capacity=1), "/")
    assert await communicator.connect() == (True, None)
    await communicator.send_to("hello")
    assert await communicator.receive_from() == "hello"
    await communicator.disconnect()


async def test_router_on_a_socket_of_its_own() -> None:
    """A router in a `child()` is a router to Channels, below a pattern too."""
    router = child(child(URLRouter([path("b", Echo.as_asgi())]), lazy=False), stream_capacity=1)
    communicator = WebsocketCommunicator(URLRouter([path("a/", router)]), "/a/b")
    assert await communicator.connect() == (True, None)
    await communicator.disconnect()


def test_consumer_is_visible() -> None:
    """It tells what Channels' `as_asgi` tells, and of what is not a consumer, nothing."""
    made: Any = child(child(Echo.as_asgi(groups=["x"])), lazy=True)
    assert (made.consumer_class, made.consumer_initkwargs) == (Echo, {"groups": ["x"]})
    assert not hasattr(child(plain_echo), "consumer_class")


def test_repr() -> None:
    """In errors it reads as it was written."""
    assert repr(child(1, stream_capacity=0, stall_timeout=None)) == "child(1, stream_capacity=0)"


# Which settings count.


def settings_of(name: str, classes: Any = (), patterns: Any = ()) -> dict[str, Any]:
    """Return the settings of the stream `name`."""
    return dict(Routes("chat.D", dict(classes), patterns).find(name).settings)


def test_innermost_counts() -> None:
    """Of several settings the innermost counts; others come from further out."""
    inner = child(child(Echo, stream_capacity=1), stream_capacity=2, stall_timeout=3)
    router = child(
        URLRouter([path("b", inner), path("c", Echo.as_asgi())]),
        stream_capacity=4,
        stall_timeout=5,
        stream_overflow="close",
    )
    expected = {"stream_capacity": 1, "stall_timeout": 3, "stream_overflow": "close"}
    outer = {"stream_capacity": 4, "stall_timeout": 5, "stream_overflow": "close"}
    assert settings_of("a/b", {"a/": router}) == expected
    assert settings_of("a/c", {"a/": router}) == outer
    assert settings_of("x/b", (), [path("x/", router)]) == expected
    assert settings_of("f", {"f": inner}) == {"stream_capacity": 1, "stall_timeout": 3}


def test_first_router_that_matches_counts() -> None:
    """A pattern whose router misses says nothing of the stream."""
    missing = child(URLRouter([path("x", Echo.as_asgi())]), stream_capacity=1)
    taken = child(URLRouter([path("y", Echo.as_asgi())]), stream_capacity=2)
    assert settings_of("a/y", {"a/": missing}, [path("a/", taken)]) == {"stream_capacity": 2}


def test_declared_before_mounted() -> None:
    """Where a declared pattern and a mounted one match, the former's settings count."""
    classes = {"<str:s>": child(Echo, stream_capacity=1)}
    patterns = [path("<str:s>", child(Echo, stream_capacity=2))]
    assert settings_of("a", classes, patterns) == {"stream_capacity": 1}


def test_around_middleware() -> None:
    """Around middleware it is seen, though it needn't look into it."""
    router = BaseMiddleware(URLRouter([path("b", Echo.as_asgi())]))
    assert settings_of("1/b", {"<path:p>": child(router, stream_capacity=1)}) == {
        "stream_capacity": 1
    }


def test_options_are_shared() -> None:
    """A stream without settings of its own makes no options of its own."""

    class Plain(WebsocketDemultiplexer):
        consumer_classes = {"a": Echo, "b": child(Echo), "c": child(Echo, stream_capacity=7)}

    options = options_of(Plain)
    routes = Routes("chat.D", Plain.consumer_classes, ())
    assert routes.find("a").options(options) is options
    assert routes.find("b").options(options) is options
    assert routes.find("c").options(options) == options._replace(stream_capacity=7)


# What is wrong.


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"stream_capacity": "20"}, "stream_capacity is '20', a string; give a positive integer"),
        ({"stream_capacity": 0}, "stream_capacity is 0; give a positive integer"),
        ({"stall_timeout": -1}, "stall_timeout is -1; give a positive number of seconds"),
        (
            {"consumer_close_timeout": "x"},
            "consumer_close_timeout is 'x', a string; give a positive number of seconds",
        ),
        (
            {"stream_overflow": "drop"},
            "stream_overflow is 'drop'; give one of 'pause', 'reject', 'close'",
        ),
        ({"lazy": 1}, "lazy is 1, an integer; give True or False"),
    ],
)
def test_wrong_value(settings: dict[str, Any], text: str) -> None:
    """A wrong value is told with the class and the stream, wherever it is."""
    wrong = child(Echo, **settings)
    for classes, patterns, where in [
        ({"a": wrong}, [], "chat.D.consumer_classes['a']"),
        ({"<int:n>": wrong}, [], "chat.D.consumer_classes['<int:n>']"),
        ({"a": child(wrong)}, [], "chat.D.consumer_classes['a']"),
        ({"r/": URLRouter([path("b", wrong)])}, [], "chat.D.consumer_classes['r/'], 'b'"),
        ({}, [path("b", wrong)], "chat.D.urlpatterns: 'b'"),
    ]:
        with pytest.raises(ImproperlyConfigured) as caught:
            Routes("chat.D", classes, patterns)
        assert str(caught.value) == f"{where}: {text}"


LAZY = "a stream without a fixed name opens by an open frame only; leave out lazy"


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("kind", [parametrised, prefixed, around_router, mounted_in_router])
def test_lazy_pattern(kind: Any, value: bool) -> None:
    """`lazy` is refused where the name is not fixed, whatever it is."""
    attributes, _ = kind(child(Echo, lazy=value))
    with pytest.raises(ImproperlyConfigured, match=f": {LAZY}$"):
        demultiplexer(attributes.pop("consumer_classes", {}), **attributes)


@pytest.mark.parametrize(
    "behind",
    [
        child(Echo),
        BaseMiddleware(child(Echo)),
        URLRouter([path("a", child(Echo))]),
        URLRouter([path("a", BaseMiddleware(child(Echo)))]),
    ],
)
def test_within_middleware(behind: Any) -> None:
    """`child()` within middleware is refused, since nobody would see it."""
    middleware = BaseMiddleware(behind)
    expected = (
        f"chat.D.consumer_classes['a']: child() within {middleware!r} has no effect; "
        "put it around that"
    )
    with pytest.raises(ImproperlyConfigured) as caught:
        Routes("chat.D", {"a": middleware}, ())
    assert str(caught.value) == expected


@pytest.mark.parametrize("attribute", ["inner", "application", "app"])
def test_within_middleware_of_others(attribute: str) -> None:
    """Middleware is seen through that keeps what it wraps as others do."""

    class Middleware:
        async def __call__(self, scope: Any, receive: Any, send: Any) -> None: ...

    middleware = Middleware()
    setattr(middleware, attribute, child(Echo))
    with pytest.raises(ImproperlyConfigured, match=r"child\(\) within .* has no effect; put it "):
        Routes("chat.D", {"a": middleware}, ())
    setattr(middleware, attribute, 5)
    Routes("chat.D", {"a": middleware}, ())


def test_not_a_consumer() -> None:
    """What is no application is told as it would be without `child()`."""
    with pytest.raises(ImproperlyConfigured, match=r"consumer_classes\['a'\]: found 1; give a"):
        Routes("chat.D", {"a": child(1)}, ())


def test_unknown_setting() -> None:
    """A setting of connections is no argument."""
    with pytest.raises(TypeError, match="max_streams"):
        child(AsyncWebsocketConsumer, max_streams=1)  # type: ignore[call-arg]
