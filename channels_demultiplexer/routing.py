"""
Which child a stream's name goes to: the declarations of a class, made ready once.

Names with converters and mounted URL patterns are Channels' own routing: `URLRouter` over
Django's `path()`. Fixed names are a dictionary beside it.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from channels.routing import URLRouter
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, path
from django.urls.exceptions import Resolver404

from .child import Child, is_router, unwrap
from .conf import Options, child_fault
from .exceptions import UnknownStream
from .frames import name_fault

__all__ = ["ASGIApplication", "Match", "Message", "Receive", "Routes", "Scope", "Send"]

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[Any]]

#: The ASGI extension with which an application answers the handshake itself; a stream has none.
_DENIAL_RESPONSE = "websocket.http.response"


class Match(NamedTuple):
    """What a stream's name matched."""

    #: The full name.
    name: str
    #: Runs the child: the child itself, or the router that goes to it.
    application: ASGIApplication
    #: Whether the declaration is a fixed name; the name may add a query and a label to it.
    fixed: bool
    #: The name's path, which routing sees.
    path: str
    #: The name's query, None where it has no `?`.
    query: str | None
    #: The settings of `child()`, by names in lower case.
    settings: Mapping[str, Any] = {}

    def options(self, options: Options) -> Options:
        """Return the options of the stream, given its connection's."""
        return options._replace(**self.settings) if self.settings else options


class Routes:
    """
    The streams that a demultiplexer class declares.

    Args:
        owner: the class's dotted name, for errors.
        consumer_classes: stream name, or path pattern, to child.
        urlpatterns: URL patterns whose paths are stream names too.

    Attributes:
        fixed: the streams with fixed names: name to what it matches.
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
        self.fixed: dict[str, Match] = {}
        declared = []
        for name, child in consumer_classes.items():
            where = f"{owner}.consumer_classes[{name!r}]"
            route = _declared_route(where, name, child)
            fixed = not route.pattern.converters and not is_router(route.callback)
            _check_settings(where, route.callback, fixed=fixed)
            if not fixed:
                if (name.startswith("/") and name != "/") or not {"?", "#"}.isdisjoint(name):
                    raise ImproperlyConfigured(
                        f"{where}: no name can match; leave out a leading /, and ? and #"
                    )
                declared.append(route)
            else:
                application, settings = unwrap(route.callback)
                name_path, query = _split(name)
                self.fixed[name] = Match(name, application, True, name_path, query, settings)
        try:
            self._declared = URLRouter(declared)
            self._mounted = URLRouter([_mounted_route(route) for route in urlpatterns])
        except (TypeError, ImproperlyConfigured) as error:
            raise ImproperlyConfigured(f"{owner}.urlpatterns: {error}") from error
        self.on_demand = bool(self._declared.routes or self._mounted.routes)
        self._eager = {
            lazy: {
                name: match
                for name, match in self.fixed.items()
                if not match.settings.get("lazy", lazy)
            }
            for lazy in (False, True)
        }

    def eager(self, lazy: bool) -> Mapping[str, Match]:
        """Return the streams that open with the socket, where `lazy` is the class's setting."""
        return self._eager[lazy]

    def find(self, name: str) -> Match:
        """
        Return what the stream `name` matches.

        Where a pattern of `consumer_classes` and a mounted one match, the settings are those of the
        former, though it should turn out, behind middleware, to lead nowhere.

        Raises:
            UnknownStream: if no declaration matches. A router behind middleware is not looked
                into: the application itself raises `Resolver404` then.
        """
        exact = self.fixed.get(name)
        if exact is not None:
            return exact
        name_path, query = _split(name)
        fixed = self.fixed.get(name_path)
        if fixed is not None:
            return fixed._replace(name=name, path=name_path, query=query)
        declared = _resolve(self._declared, name_path)
        mounted = _resolve(self._mounted, name_path)
        if declared is not None:
            application = self._declared if mounted is None else self._run_first
            return Match(name, application, False, name_path, query, declared)
        if mounted is not None:
            return Match(name, self._run_mounted, False, name_path, query, mounted)
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
        self, scope: Scope, match: Match, subprotocols: list[str], query: str | None
    ) -> Scope:
        """
        Return the scope for a child.

        Args:
            scope: the socket's scope.
            match: what the stream's name matched.
            subprotocols: what the client offers for the stream.
            query: the `open` frame's query, None where it has none.
        """
        if query is None:
            query = match.query
        outer = scope.get("url_route", {})
        child = {
            **scope,
            "url_route": {
                "args": outer.get("args", ()),
                "kwargs": {**outer.get("kwargs", {})},
            },
            "path_remaining": "" if match.fixed else match.path,
            "subprotocols": subprotocols,
            "demultiplexer": {"stream": match.name},
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


def _resolve(router: Any, remaining: str) -> Mapping[str, Any] | None:
    """
    Look for a pattern of `router`, or of one right below it, for the path `remaining`.

    Returns:
        None if there is none, else the settings of `child()` on the way there.
    """
    remaining = remaining.lstrip("/")  # as URLRouter does
    for route in router.routes:
        match = route.pattern.match(remaining)
        if match is None:
            continue
        application, settings = unwrap(route.callback)
        below = _resolve(application, match[0]) if is_router(application) else {}
        if below is not None:
            return {**settings, **below} if settings else below
    return None


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
        where = repr(str(route.pattern))
        _check_application(where, route.callback)
        _check_settings(where, route.callback, fixed=False)
    # A copy, because URLRouter replaces the pattern of a route to another router.
    return copy.copy(route)


def _check_application(where: str, child: Any) -> None:
    child = unwrap(child)[0]
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


def _check_settings(where: str, child: Any, *, fixed: bool) -> None:
    """Check what `child()` gives, and that it is where it can be seen."""
    application, settings = unwrap(child)
    fault = child_fault(settings, fixed=fixed)
    if fault is not None:
        raise ImproperlyConfigured(f"{where}: {fault}")
    if is_router(application):
        for route in application.routes:
            _check_settings(f"{where}, {str(route.pattern)!r}", route.callback, fixed=False)
    elif any(isinstance(inner, Child) for inner in _behind(application)):
        raise ImproperlyConfigured(
            f"{where}: child() within {application!r} has no effect; put it around that"
        )


def _behind(application: Any) -> Iterator[Any]:
    """Yield what is behind middleware that keeps it, as Channels' does, in `inner`."""
    while (application := getattr(application, "__dict__", {}).get("inner")) is not None:
        yield application
        if is_router(application):
            for route in application.routes:
                yield route.callback
                yield from _behind(route.callback)
