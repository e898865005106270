"""What there is: the streams of a demultiplexer class, the demultiplexers of an application."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from .child import inner_of, is_router, unwrap

if TYPE_CHECKING:
    from .demultiplexer import WebsocketDemultiplexer
    from .router import Route
    from .routing import Routes

__all__ = ["StreamDeclaration", "StreamKind", "dotted_name", "find_demultiplexers", "streams_of"]


class StreamKind(StrEnum):
    """When a stream opens."""

    #: With the socket. It has a fixed name.
    EAGER = "eager"
    #: At its first data frame, or an `open`. It has a fixed name.
    LAZY = "lazy"
    #: By an `open` only. Its name matches a pattern of `consumer_classes`.
    PARAMETRISED = "parametrised"
    #: By an `open` only. Its name matches one of `urlpatterns`.
    MOUNTED = "mounted"


@dataclass(frozen=True, slots=True)
class StreamDeclaration:
    """A stream that a demultiplexer class declares."""

    #: The name, or the pattern, with those of the routers before it.
    name: str
    kind: StreamKind
    #: The consumer class, or the ASGI application where it is made of none; without middleware.
    consumer: Any
    #: The settings of its own, by names in lower case.
    settings: Mapping[str, Any]
    #: The routes of a router consumer by name, else empty.
    routes: Mapping[str, Route]


def streams_of(routes: Routes, lazy: bool) -> list[StreamDeclaration]:
    """
    Return the streams of a class, in the order in which names are looked up.

    Args:
        routes: what the class declares.
        lazy: its setting.
    """
    eager = routes.eager(lazy)
    found = [
        _declaration(
            name,
            StreamKind.EAGER if name in eager else StreamKind.LAZY,
            match.application,
            match.settings,
        )
        for name, match in routes.fixed.items()
    ]
    for kind, router in (
        (StreamKind.PARAMETRISED, routes.declared),
        (StreamKind.MOUNTED, routes.mounted),
    ):
        for name, application, settings in _leaves("", router, {}):
            found.append(_declaration(name or "/", kind, application, settings))
    return found


def find_demultiplexers(
    application: Any, url: str | None = None
) -> Iterator[tuple[str | None, type[WebsocketDemultiplexer]]]:
    """
    Yield the URL pattern and the class of each demultiplexer within an ASGI application.

    It looks through Channels' routers, `child()` and middleware that keeps what it wraps in an
    attribute `inner`, `application` or `app`.

    Args:
        application: the application.
        url: the URL pattern that leads to it, None where it serves every URL.
    """
    from .demultiplexer import WebsocketDemultiplexer

    application = unwrap(application)[0]
    protocols = getattr(application, "application_mapping", None)  # ProtocolTypeRouter's
    cls = getattr(application, "consumer_class", None)
    if isinstance(cls, type) and issubclass(cls, WebsocketDemultiplexer):
        yield url, cls
    elif isinstance(protocols, Mapping):
        for protocol in protocols.values():
            yield from find_demultiplexers(protocol, url)
    elif is_router(application):
        for route in application.routes:
            yield from find_demultiplexers(route.callback, f"{url or '/'}{_text(route)}")
    elif (inner := inner_of(application)) is not None:
        yield from find_demultiplexers(inner, url)


def dotted_name(thing: Any) -> str:
    """Return the name of a class or function, or of the class of anything else."""
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"{named.__module__}.{named.__qualname__}"


def _text(route: Any) -> str:
    """Return the text of a pattern, without the ^ and $ of a `re_path`."""
    return str(route.pattern).removeprefix("^").removesuffix("$")


def _leaves(
    prefix: str, application: Any, settings: Mapping[str, Any]
) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    """Yield the pattern, the application and the settings of each stream below `application`."""
    application, own = unwrap(application)
    settings = {**settings, **own}
    if is_router(application):
        for route in application.routes:
            yield from _leaves(prefix + _text(route), route.callback, settings)
    else:
        yield prefix, application, settings


def _declaration(
    name: str, kind: StreamKind, application: Any, settings: Mapping[str, Any]
) -> StreamDeclaration:
    while (inner := inner_of(application)) is not None and not is_router(application):
        application = inner
    consumer = getattr(application, "consumer_class", application)
    routes = getattr(consumer, "route_table", {})
    return StreamDeclaration(name, kind, consumer, settings, routes)
