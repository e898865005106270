"""
Which child a stream's name goes to: the declarations of a class, made ready once.

Names with converters and mounted URL patterns are Channels' own routing: `URLRouter` over
Django's `path()`. Fixed names are a dictionary beside it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from channels.routing import URLRouter
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, path
from django.urls.exceptions import Resolver404

from .exceptions import UnknownStream
from .frames import name_fault

__all__ = ["ASGIApplication", "Message", "Receive", "Routes", "Scope", "Send"]

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[Any]]

#: The ASGI extension with which an application answers the handshake itself; a stream has none.
_DENIAL_RESPONSE = "websocket.http.response"


class Routes:
    """
    The streams that a demultiplexer class declares.

    Args:
        owner: the class's dotted name, for errors.
        consumer_classes: stream name, or path pattern, to child.
        urlpatterns: URL patterns whose paths are stream names too.

    Attributes:
        fixed: the streams with fixed names: name to application.
        on_demand: whether there are streams that open by an `open` frame only.

    Raises:
        ImproperlyConfigured: if a declaration cannot work.
    """

    def __init__(
        self, owner: str, consumer_classes: Mapping[str, Any], urlpatterns: Sequence[Any]
    ) -> None:
        if not isinstance(consumer_classes, Mapping):
            raise ImproperlyConfigured(
                f"{owner}.consumer_classes is to be a mapping of stream names to consumers, "
                f"not {consumer_classes!r}"
            )
        self.fixed: dict[str, ASGIApplication] = {}
        declared = []
        for name, child in consumer_classes.items():
            where = f"{owner}.consumer_classes[{name!r}]"
            route = _declared_route(where, name, child)
            if route.pattern.converters or _is_router(route.callback):
                if (name.startswith("/") and name != "/") or not {"?", "#"}.isdisjoint(name):
                    raise ImproperlyConfigured(
                        f"{where}: no name can match; leave out a leading /, and ? and #"
                    )
                declared.append(route)
            else:
                self.fixed[name] = route.callback
        try:
            self._declared = URLRouter(declared)
            self._mounted = URLRouter([_mounted_route(route) for route in urlpatterns])
        except (TypeError, ImproperlyConfigured) as error:
            raise ImproperlyConfigured(f"{owner}.urlpatterns: {error}") from error
        self.on_demand = bool(self._declared.routes or self._mounted.routes)

    def find(self, name: str) -> ASGIApplication:
        """
        Return the application for the stream `name`.

        Raises:
            UnknownStream: if no declaration matches. A router behind middleware is not looked
                into: the application itself raises `Resolver404` then.
        """
        name_path = _split(name)[0]
        fixed = self.fixed.get(name) or self.fixed.get(name_path)
        if fixed is not None:
            return fixed
        declared = _matches(self._declared, name_path)
        mounted = _matches(self._mounted, name_path)
        if declared and mounted:
            return self._run_first
        if declared or mounted:
            return self._declared if declared else self._run_mounted
        raise UnknownStream(name)

    async def _run_first(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the declared pattern, or the mounted one where a router of the former misses."""
        received = False

        async def receive_once_begun() -> Message:
            nonlocal received
            received = True
            return await receive()

        try:
            await self._declared(scope, receive_once_begun, send)
            return
        except Resolver404:
            if received:  # what a child makes of a Resolver404 of its own is its crash
                raise
        # Not while the exception is handled, of which a crash would speak too.
        await self._run_mounted(scope, receive, send)

    async def _run_mounted(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope = {**scope, "path": "/" + scope["path_remaining"].lstrip("/")}
        if "raw_path" in scope:
            scope["raw_path"] = quote(scope["path"]).encode()
        await self._mounted(scope, receive, send)

    def child_scope(
        self, scope: Scope, name: str, subprotocols: list[str], query: str | None
    ) -> Scope:
        """
        Return the scope for a child.

        Args:
            scope: the socket's scope.
            name: the stream's name.
            subprotocols: what the client offers for the stream.
            query: the `open` frame's query, None where it has none.
        """
        name_path, name_query = _split(name)
        if query is None:
            query = name_query
        outer = scope.get("url_route", {})
        child = {
            **scope,
            "url_route": {
                "args": outer.get("args", ()),
                "kwargs": {**outer.get("kwargs", {})},
            },
            "path_remaining": "" if name_path in self.fixed or name in self.fixed else name_path,
            "subprotocols": subprotocols,
            "demultiplexer": {"stream": name},
        }
        if query is not None:
            child["query_string"] = query.encode()
        if scope.get("extensions") is not None:
            child["extensions"] = {**scope["extensions"]}
            child["extensions"].pop(_DENIAL_RESPONSE, None)
        return child


def _split(name: str) -> tuple[str, str | None]:
    """Split a name, which reads like a relative URL, into its path and its query."""
    name = name.partition("#")[0]
    name_path, question_mark, query = name.partition("?")
    return name_path, query if question_mark else None


def _is_router(application: Any) -> bool:
    """Say whether Channels would route on what a pattern before `application` leaves."""
    return getattr(application, "_path_routing", False) is True


def _matches(router: URLRouter, remaining: str) -> bool:
    """Say whether `router`, or one right below it, has a pattern for the path `remaining`."""
    remaining = remaining.lstrip("/")  # as URLRouter does
    for route in router.routes:
        match = route.pattern.match(remaining)
        if match and (not _is_router(route.callback) or _matches(route.callback, match[0])):
            return True
    return False


def _declared_route(where: str, name: Any, child: Any) -> URLPattern:
    fault = name_fault(name) if isinstance(name, str) else "a stream's name is a string"
    if fault is not None:
        raise ImproperlyConfigured(f"{where}: {fault}")
    # A consumer instance has as_asgi too, but is an application already.
    if isinstance(child, type) and hasattr(child, "as_asgi"):
        try:
            child = child.as_asgi()
        except ImproperlyConfigured as error:
            raise ImproperlyConfigured(f"{where}: {error}") from error
    _check_application(where, child)
    try:
        # The name "/" is the empty path, which could not be a name itself.
        route: URLPattern = path("" if name == "/" else name, child)
    except ImproperlyConfigured as error:
        raise ImproperlyConfigured(f"{where}: {error}") from error
    return route


def _mounted_route(route: Any) -> Any:
    if not hasattr(route, "pattern"):
        raise ImproperlyConfigured(f"expected path() or re_path(), found {route!r}")
    if isinstance(route, URLPattern):
        _check_application(repr(str(route.pattern)), route.callback)
    # A copy, because URLRouter replaces the pattern of a route to another router.
    return copy.copy(route)


def _check_application(where: str, child: Any) -> None:
    expected = f"{where}: expected a consumer class or an ASGI application, found {child!r}"
    if isinstance(child, type) or not callable(child):
        raise ImproperlyConfigured(expected)
    try:
        inspect.signature(child, follow_wrapped=False).bind(None, None, None)
    except TypeError:
        raise ImproperlyConfigured(
            f"{expected}, which does not take scope, receive, send"
        ) from None
    except ValueError:
        pass  # a callable that cannot be inspected
