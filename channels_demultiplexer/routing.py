"""
Which child a stream's name goes to: the declarations of a class, made ready once.

Names with converters and mounted URL patterns are Channels' own routing: `URLRouter` over
Django's `path()`. Fixed names are a dictionary beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from urllib.parse import quote

from channels.routing import URLRouter
from django.urls.exceptions import Resolver404

from .asgi import ASGIApplication, ASGIView, Message, Receive, Scope, Send
from .child import is_router, unwrap
from .conf import Options
from .declarations import DeclarationError, declared_route, mounted_router
from .exceptions import UnknownStream
from .names import split_name
from .shortcuts import spared, spared_route

__all__ = ["ASGIApplication", "ASGIView", "Match", "Message", "Receive", "Routes", "Scope", "Send"]

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
        declared: a router over the patterns of `consumer_classes`.
        mounted: a router over `urlpatterns`.
        on_demand: whether there are streams that open by an `open` frame only.

    Raises:
        DeclarationError: if a declaration cannot work.
    """

    def __init__(
        self, owner: str, consumer_classes: Mapping[str, Any], urlpatterns: Sequence[Any]
    ) -> None:
        if not isinstance(consumer_classes, Mapping):
            raise DeclarationError(
                f"{owner}.consumer_classes is {consumer_classes!r}",
                "give a mapping of stream names to consumers",
            )
        self.fixed: dict[str, Match] = {}
        declared = []
        for name, child in consumer_classes.items():
            where = f"{owner}.consumer_classes[{name!r}]"
            route, fixed = declared_route(where, name, child)
            if not fixed:
                declared.append(spared_route(route))
            else:
                application, settings = unwrap(route.callback)
                name_path, query = split_name(name)
                self.fixed[name] = Match(
                    name, spared(application), True, name_path, query, settings
                )
        self.declared = URLRouter(declared)
        self.mounted = spared(mounted_router(f"{owner}.urlpatterns", urlpatterns))
        self.on_demand = bool(self.declared.routes or self.mounted.routes)
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
        name_path, query = split_name(name)
        fixed = self.fixed.get(name_path)
        if fixed is not None:
            return fixed._replace(name=name, path=name_path, query=query)
        declared = _resolve(self.declared, name_path)
        mounted = _resolve(self.mounted, name_path)
        if declared is not None:
            application = self.declared if mounted is None else self._run_first
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
            await self.declared(scope, receive_once_begun, send)
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
        await self.mounted(scope, receive, send)

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
