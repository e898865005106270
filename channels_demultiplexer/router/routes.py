"""Declared routes: read them from a class, check them, and compile them once per class."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, fields
from types import MappingProxyType
from typing import Any

import msgspec
from django.core.exceptions import ImproperlyConfigured

from . import legacy
from .messages import PING
from .signatures import Call, SignatureError, plan_call

__all__ = [
    "DeclarationError",
    "Endpoint",
    "Route",
    "compile_routes",
    "declared_routes",
    "method_name",
]

#: The steps of a request's life that a route may have, with the order of their own arguments.
STEPS: Mapping[str, tuple[str, ...]] = {
    "check_data": ("headers", "payload"),
    "check_access": ("scope", "payload"),
    "hydrate": ("headers", "payload"),
    "dehydrate": ("payload",),
}
HANDLER = ("payload", "headers")


@dataclass(frozen=True)
class Route:
    """
    A route that a router consumer serves. Its steps run in this order, the handler before the last.

    Args:
        route: the name, as clients write it; not empty.
        payload_type: what the payload must be: a dataclass, ``msgspec.Struct``, ``TypedDict`` or
            other annotation that :func:`msgspec.convert` knows.
        check_data: called with ``(headers, payload)``; false is answered with 400.
        check_access: called with ``(scope, payload)``; false is answered with 403.
        hydrate: called with ``(headers, payload)``; returns the handler's payload.
        dehydrate: called with ``(payload)``, the handler's, where that is not None and the status
            is 2xx; returns what is sent.
    """

    route: str
    _: KW_ONLY
    payload_type: Any = None
    check_data: Callable[..., Any] | None = None
    check_access: Callable[..., Any] | None = None
    hydrate: Callable[..., Any] | None = None
    dehydrate: Callable[..., Any] | None = None

    @property
    def handler_name(self) -> str:
        """The name of the consumer's method that handles it: `on_say_hello` for `sayHello`."""
        return method_name(self.route)


KEYS = tuple(field.name for field in fields(Route))


class DeclarationError(ImproperlyConfigured):
    """
    A class declares a route that cannot work.

    :attr:`problem` names class and route, :attr:`hint` says what to write instead.
    """

    def __init__(self, owner: type, route: object, problem: str, hint: str) -> None:
        where = "" if route is None else f"route {route!r} "
        self.problem = f"{owner.__module__}.{owner.__qualname__}: {where}{problem}"
        self.hint = hint
        super().__init__(f"{self.problem}; {hint}")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A route with the name of its handler, and how to call it and the steps."""

    route: Route
    method: str
    handler: Call
    steps: Mapping[str, tuple[Callable[..., Any], Call]]


def method_name(route: str) -> str:
    """
    Return the name of a route's handler: ``getHTTPStatus`` is handled by ``on_get_http_status``.

    A capital starts a word unless it continues an acronym, digits stay with the word before,
    anything not alphanumeric becomes an underscore, runs of underscores collapse.
    """
    # Python does the same to identifiers, so that a declared name and a method's can meet.
    route = unicodedata.normalize("NFKC", route)
    name = "on_"
    for before, char, after in zip(" " + route, route, route[1:] + " ", strict=False):
        if char.isupper() and before.isalnum() and (after.islower() or not before.isupper()):
            name += "_"
        if char.isalnum() or not name.endswith("_"):
            name += char.lower() if char.isalnum() else "_"
    return name


def declared_routes(cls: type) -> dict[str, Route]:
    """
    Return the routes that a class and its bases declare; an entry replaces a base's of its name.

    Raises:
        DeclarationError: if a declaration is malformed.
    """
    routes: dict[str, Route] = {}
    for declaration in _declarations(cls):
        if not isinstance(declaration, list | tuple):
            raise DeclarationError(
                cls,
                None,
                f"routes must be a list or tuple, got {type(declaration).__name__}",
                'write routes = [{"route": "sayHello"}]',
            )
        names = set()
        for entry in declaration:
            route = _read_entry(cls, entry)
            if route.route in names:
                raise DeclarationError(
                    cls, route.route, "is declared twice", "leave one of the two entries"
                )
            names.add(route.route)
            routes[route.route] = route
    return routes


def _declarations(cls: type) -> Iterator[Any]:
    """Yield what each class of the MRO declares, bases first."""
    for owner in reversed(cls.__mro__):
        yield from legacy.declarations(cls, owner)
        declared = vars(owner).get("routes", legacy.routes_property)
        if not legacy.is_legacy(declared):
            yield declared


def _read_entry(cls: type, entry: Any) -> Route:
    """Return an entry of a declaration as a checked route."""
    if not isinstance(entry, Route):
        if not isinstance(entry, dict) or "route" not in entry:
            raise DeclarationError(
                cls,
                None,
                f"an entry of routes must be a Route or a dict with the key 'route', got {entry!r}",
                'write {"route": "sayHello"}',
            )
        if unknown := [key for key in entry if key not in KEYS]:
            problem = f"has the unknown keys {unknown!r}"
            raise DeclarationError(cls, entry["route"], problem, f"known are {', '.join(KEYS)}")
        entry = Route(**entry)
    route: Route = entry
    name = route.route
    if not isinstance(name, str) or not name:
        raise DeclarationError(
            cls, name, "has no name that is a string", "name it as clients do, not empty"
        )
    if name == PING:
        raise DeclarationError(cls, name, "is the heartbeat's", "choose another name")
    return route


def compile_routes(cls: type) -> dict[str, Endpoint]:
    """
    Check the routes of a class and return what is needed to serve them.

    Raises:
        DeclarationError: if one of them cannot work.
    """
    endpoints: dict[str, Endpoint] = {}
    methods: dict[str, str] = {}
    # Handlers are looked at on an instance: only there are they bound in their own way.
    consumer: Any = object.__new__(cls)
    for name, route in declared_routes(cls).items():
        method = route.handler_name
        if (other := methods.setdefault(method, name)) != name:
            raise DeclarationError(
                cls, name, f"has the handler of route {other!r}, {method}", "rename one of them"
            )
        handler = getattr(consumer, method, None)
        if not callable(handler):
            raise DeclarationError(
                cls, name, "has no handler", f"define {method}(self, payload, headers)"
            )
        _check_payload_type(cls, route)
        steps = {
            step: (function, _plan(cls, route, step, function, order))
            for step, order in STEPS.items()
            if (function := getattr(route, step)) is not None
        }
        call = _plan(cls, route, f"handler {method}", handler, HANDLER)
        endpoints[name] = Endpoint(route, method, call, MappingProxyType(steps))
    return endpoints


def _plan(cls: type, route: Route, what: str, function: Any, order: tuple[str, ...]) -> Call:
    """Plan the call of a handler or step."""
    hint = f"let it take ({', '.join(order)}), fewer of them by name, scope or store"
    if not callable(function):
        problem = f"has a {what} that is not callable: {function!r}"
        raise DeclarationError(cls, route.route, problem, hint)
    try:
        return plan_call(function, order)
    except SignatureError as exc:
        raise DeclarationError(cls, route.route, f"has a bad {what}: {exc}", hint) from exc


def _check_payload_type(cls: type, route: Route) -> None:
    """Check that msgspec can convert to the type and to all that it is made of."""
    if route.payload_type is None:
        return
    try:
        # Writing a schema is what makes msgspec look at every part of a type.
        msgspec.json.schema(route.payload_type)
    except Exception as exc:
        raise DeclarationError(
            cls,
            route.route,
            f"has an unsupported payload_type: {exc}",
            "use a dataclass, msgspec.Struct, TypedDict or another type that msgspec supports",
        ) from exc
