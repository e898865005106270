"""What a class may declare as its streams, and what is said of anything else."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Iterator, Mapping
from typing import Any, Final, NoReturn

from channels.routing import URLRouter
from django.core.exceptions import ImproperlyConfigured
from django.urls import URLPattern, path

from .child import Child, inner_of, is_router, unwrap
from .conf import SETTINGS, child_fault, nearest
from .names import name_fault

__all__ = [
    "ATTRIBUTES",
    "DeclarationError",
    "declared_route",
    "mounted_router",
    "wrong_arguments",
]

#: The attributes by which a class declares what it has. `as_asgi()` takes them too.
ATTRIBUTES: Final = {"consumer_classes", "urlpatterns", "close_when_empty"} | {
    setting.name.lower() for setting in SETTINGS
}

_GIVE_CHILD = "give a consumer class or an ASGI application"


class DeclarationError(ImproperlyConfigured):
    """
    A class declares its streams wrongly.

    Args:
        problem: where it is, and what was found.
        hint: what to write instead.
    """

    def __init__(self, problem: str, hint: str) -> None:
        self.problem = problem
        self.hint = hint
        super().__init__(f"{problem}; {hint}")


def declared_route(where: str, name: Any, child: Any) -> tuple[URLPattern, bool]:
    """
    Return the pattern that an item of `consumer_classes` stands for, and whether the name is fixed.

    Args:
        where: what it is called in errors.
        name: the key.
        child: the value.

    Raises:
        ImproperlyConfigured: if it cannot work.
    """
    fault = name_fault(name) if isinstance(name, str) else "a stream's name is a string"
    if fault is not None:
        raise DeclarationError(f"{where}: {fault}", "give a name, such as 'chat'")
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
    fixed = not route.pattern.converters and not is_router(child)
    if not fixed and ((name.startswith("/") and name != "/") or not {"?", "#"}.isdisjoint(name)):
        raise DeclarationError(f"{where}: no name can match", "leave out a leading /, and ? and #")
    _check_settings(where, child, fixed=fixed)
    return route, fixed


def mounted_router(where: str, patterns: Any) -> URLRouter:
    """
    Return a router over the mounted URL patterns.

    Args:
        where: what they are called in errors.
        patterns: `urlpatterns`.

    Raises:
        ImproperlyConfigured: if it cannot work.
    """
    if isinstance(patterns, URLRouter):
        raise DeclarationError(f"{where} is a URLRouter", "give the list of patterns within")
    if isinstance(patterns, str):
        raise DeclarationError(f"{where} is {patterns!r}, a string", "give the list of patterns")
    try:
        return URLRouter([_mounted_route(where, route) for route in patterns])
    except DeclarationError:
        raise
    except (TypeError, ImproperlyConfigured) as error:
        raise ImproperlyConfigured(f"{where}: {error}") from error


def _mounted_route(where: str, route: Any) -> Any:
    if not hasattr(route, "pattern"):
        raise DeclarationError(
            f"{where}: found {route!r}", "give path() or re_path() with a consumer's as_asgi()"
        )
    if isinstance(route, URLPattern):
        at = f"{where}: {str(route.pattern)!r}"
        _check_application(at, route.callback)
        _check_settings(at, route.callback, fixed=False)
    # A copy, because URLRouter replaces the pattern of a route to another router.
    return copy.copy(route)


def _check_application(where: str, child: Any) -> None:
    """Check that what is declared can be called with scope, receive and send."""
    child = unwrap(child)[0]
    if isinstance(child, type):
        hint = f"give {child.__name__}.as_asgi()" if hasattr(child, "as_asgi") else _GIVE_CHILD
        raise DeclarationError(f"{where}: found {child!r}", hint)
    if hasattr(type(child), "as_asgi"):
        _refuse_instance(where, type(child))
    if isinstance(child, str):
        raise DeclarationError(
            f"{where}: found {child!r}, a string", "import the consumer, and give its class"
        )
    if not callable(child):
        raise DeclarationError(f"{where}: found {child!r}", _GIVE_CHILD)
    try:
        inspect.signature(child, follow_wrapped=False).bind(None, None, None)
    except TypeError:
        raise DeclarationError(
            f"{where}: found {child!r}, which does not take scope, receive, send", _GIVE_CHILD
        ) from None
    except ValueError:
        pass  # a callable that cannot be inspected


def _refuse_instance(where: str, cls: type) -> NoReturn:
    raise DeclarationError(
        f"{where}: found an instance of {cls.__name__}, which would serve all sockets at once, "
        "so that one user's messages would go to another",
        f"give the class, or {cls.__name__}.as_asgi(...) for arguments of its own",
    )


def _check_settings(where: str, child: Any, *, fixed: bool) -> None:
    """Check what `child()` gives, and that it is where it can be seen."""
    application, settings = unwrap(child)
    fault = child_fault(settings, fixed=fixed)
    if fault is not None:
        raise DeclarationError(f"{where}: {fault[0]}", fault[1])
    if is_router(application):
        for route in application.routes:
            _check_settings(f"{where}, {str(route.pattern)!r}", route.callback, fixed=False)
    elif any(isinstance(inner, Child) for inner in _behind(application)):
        raise DeclarationError(
            f"{where}: child() within {application!r} has no effect", "put it around that"
        )


def _behind(application: Any) -> Iterator[Any]:
    """Yield what is behind middleware that can be seen through."""
    while (application := inner_of(application)) is not None:
        yield application
        if is_router(application):
            for route in application.routes:
                yield route.callback
                yield from _behind(route.callback)


def wrong_arguments(called: str, initkwargs: Mapping[str, Any]) -> str:
    """Say what as_asgi() does not take, and what to write instead."""
    children = {name: value for name, value in initkwargs.items() if callable(value)}
    if children:  # as channelsmultiplexer takes them
        names = ", ".join(f"{name!r}: ..." for name in children)
        return f"{called} takes streams as consumer_classes={{{names}}}"
    for name in initkwargs:
        right = nearest(name, ATTRIBUTES)
        if right is not None:
            return f"{called} does not take {name}; write {right}"
    return f"{called} takes {', '.join(sorted(ATTRIBUTES))}, not {', '.join(sorted(initkwargs))}"
