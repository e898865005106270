"""What there is: the streams of a class, the demultiplexers of an application."""

from __future__ import annotations

import functools
from typing import Any

import pytest
from channels.auth import AuthMiddlewareStack
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.middleware import BaseMiddleware
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.urls import path, re_path

from channels_demultiplexer.child import child
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer
from channels_demultiplexer.listing import StreamDeclaration, dotted_name, find_demultiplexers
from channels_demultiplexer.router import AsyncSocketRouterConsumer


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


class One(AsyncWebsocketConsumer):
    """A consumer that nobody calls."""


class Two(AsyncWebsocketConsumer):
    """Another."""


class Routed(AsyncSocketRouterConsumer):
    """A consumer with routes."""

    routes = [{"route": "b"}, {"route": "a", "payload_type": int}]

    async def on_b(self) -> None:
        """Handle a request."""

    async def on_a(self) -> None:
        """Handle a request."""


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """Do nothing."""


def listed(**attributes: Any) -> list[tuple[str, str, Any, dict[str, Any]]]:
    """Return the streams of a class, without routes."""
    cls = type("Listed", (WebsocketDemultiplexer,), attributes)
    return [
        (stream.name, str(stream.kind), stream.consumer, dict(stream.settings))
        for stream in cls.streams()  # type: ignore[attr-defined]
    ]


# Test streams().


def test_fixed() -> None:
    """Fixed streams are eager or lazy, as the class or they themselves say."""
    classes = {"a": One, "b": child(Two, lazy=True), "c": child(One, lazy=False)}
    own = [{}, {"lazy": True}, {"lazy": False}]
    for lazy, kinds in [(False, "eager lazy eager"), (True, "lazy lazy eager")]:
        found = listed(consumer_classes=classes, lazy=lazy)
        assert found == list(
            zip("abc", kinds.split(), [One, Two, One], own, strict=True),
        )


@override_settings(CHANNELS_DEMULTIPLEXER_LAZY=True)
def test_lazy_project() -> None:
    """The project's setting counts too."""
    assert listed(consumer_classes={"a": One}) == [("a", "lazy", One, {})]


def test_order() -> None:
    """Streams stand in the order in which names are looked up."""
    classes = {"<int:n>": One, "b/": URLRouter([path("", One.as_asgi())]), "a": Two}
    found = listed(consumer_classes=classes, urlpatterns=[path("c", Two.as_asgi())])
    assert [(name, kind) for name, kind, *_ in found] == [
        ("a", "eager"),
        ("<int:n>", "parametrised"),
        ("b/", "parametrised"),
        ("c", "mounted"),
    ]


def test_routers() -> None:
    """A stream of a router has the patterns before it in its name, and the settings around it."""
    inner = URLRouter([re_path(r"^x/(\d+)$", child(One.as_asgi(), stream_capacity=2))])
    router = child(
        URLRouter([path("<int:n>/", inner), path("y", Two.as_asgi())]),
        stream_capacity=1,
        stall_timeout=3,
    )
    assert listed(consumer_classes={"r/": router}, urlpatterns=[path("m/", inner)]) == [
        (r"r/<int:n>/x/(\d+)", "parametrised", One, {"stream_capacity": 2, "stall_timeout": 3}),
        ("r/y", "parametrised", Two, {"stream_capacity": 1, "stall_timeout": 3}),
        (r"m/x/(\d+)", "mounted", One, {"stream_capacity": 2}),
    ]


def test_root() -> None:
    """The name of the empty pattern is /."""
    assert listed(urlpatterns=[path("", One.as_asgi())]) == [("/", "mounted", One, {})]


def test_consumers() -> None:
    """A consumer is found behind middleware; what is none is the application."""
    router = URLRouter([path("", One.as_asgi())])
    classes = {
        "a": One.as_asgi(),
        "b": AuthMiddlewareStack(One.as_asgi()),
        "c": child(BaseMiddleware(plain), stream_capacity=1),
        "d": plain,
        "e": BaseMiddleware(router),
    }
    *consumers, last = [consumer for _, _, consumer, _ in listed(consumer_classes=classes)]
    assert consumers == [One, One, plain, plain]
    # Or a copy, whose consumers are run with less in the way.
    assert isinstance(last, URLRouter)
    assert [str(route.pattern) for route in last.routes] == [""]


def test_routes() -> None:
    """A router consumer has its route table, anything else none."""

    class Two(WebsocketDemultiplexer):
        consumer_classes = {"a": Routed, "b": One}

    routed, other = Two.streams()
    assert isinstance(routed, StreamDeclaration)
    assert list(routed.routes) == ["b", "a"]
    assert routed.routes["a"].payload_type is int
    assert other.routes == {}


def test_nothing() -> None:
    """A class without streams has none."""
    assert listed() == []


@pytest.mark.parametrize("attributes", [{"consumer_classes": {"a": 1}}, {"max_streams": 0}])
def test_wrong(attributes: dict[str, Any]) -> None:
    """A class that declares something wrongly raises."""
    with pytest.raises(ImproperlyConfigured):
        listed(**attributes)


# Test find_demultiplexers().


class First(WebsocketDemultiplexer):
    """A demultiplexer."""

    consumer_classes = {"a": One}


class Second(First):
    """Another."""


def test_find() -> None:
    """Demultiplexers are found through routers and middleware, in order, with their URLs."""
    application = ProtocolTypeRouter(
        {
            "http": plain,
            "websocket": AllowedHostsOriginValidator(
                AuthMiddlewareStack(
                    URLRouter(
                        [
                            path("a/", First.as_asgi()),
                            path("b/", One.as_asgi()),
                            path(
                                "<int:n>/",
                                BaseMiddleware(URLRouter([re_path(r"^c$", Second.as_asgi())])),
                            ),
                            path("", child(First.as_asgi())),
                        ]
                    )
                )
            ),
        }
    )
    assert list(find_demultiplexers(application)) == [
        ("/a/", First),
        ("/<int:n>/c", Second),
        ("/", First),
    ]


def test_find_without_router() -> None:
    """A demultiplexer before which there is no router serves every URL."""
    application = BaseMiddleware(First.as_asgi())
    assert list(find_demultiplexers(application)) == [(None, First)]


def test_find_declared_in_place() -> None:
    """What as_asgi() declares is found."""
    [(url, cls)] = find_demultiplexers(First.as_asgi(consumer_classes={"z": Two}))
    assert (url, dotted_name(cls)) == (None, f"{__name__}.First")
    assert [stream.name for stream in cls.streams()] == ["z"]


@pytest.mark.parametrize("application", [plain, One.as_asgi(), BaseMiddleware(plain), print, 1])
def test_find_nothing(application: Any) -> None:
    """Where there is no demultiplexer none is found."""
    assert list(find_demultiplexers(application)) == []


def test_dotted_name() -> None:
    """Classes and functions have names, other things that of their class."""
    assert dotted_name(One) == f"{__name__}.One"
    assert dotted_name(plain) == f"{__name__}.plain"
    assert dotted_name(functools.partial(plain)) == "functools.partial"
