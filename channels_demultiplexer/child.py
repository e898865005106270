"""`child`: an application and the settings of its own streams."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .asgi import ASGIView, Receive, Scope, Send
    from .conf import Policy

__all__ = ["Child", "child", "inner_of", "is_router", "unwrap"]

# What Channels' as_asgi() tells of the consumer. Others look for it.
_TOLD = ("consumer_class", "consumer_initkwargs")

# Where middleware keeps what it wraps: Channels', its OriginValidator, Starlette's.
_INNER = ("inner", "application", "app")


class Child:
    """
    An ASGI application that does what `application` does, and says what its streams are to have.

    Args:
        application: an ASGI application; what else it is, the demultiplexer refuses.
        settings: names of settings in lower case, and values that nobody has checked.
    """

    def __init__(self, application: Any, settings: Mapping[str, Any]) -> None:
        self.application = application
        self.settings = settings
        # So Channels' router sees that the child routes on what a pattern before it leaves.
        self._path_routing = is_router(application)
        for name in _TOLD:
            if hasattr(application, name):
                setattr(self, name, getattr(application, name))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> Any:
        return await self.application(scope, receive, send)

    def __repr__(self) -> str:
        given = "".join(f", {name}={value!r}" for name, value in self.settings.items())
        return f"child({self.application!r}{given})"


def child(
    application: Any,
    *,
    consumer_close_timeout: float | None = None,
    stream_capacity: int | None = None,
    stream_overflow: Policy | None = None,
    stall_timeout: float | None = None,
    lazy: bool | None = None,
) -> ASGIView:
    """
    Return an ASGI application whose streams have settings of their own.

    It is a value of `consumer_classes`, or the view of a `path()` that is mounted or in a router.
    On a socket of its own it is just `application`. Where one is around another, the innermost
    counts. What is not given, or None, is as on the demultiplexer class.

    Args:
        application: a consumer class or an ASGI application. Middleware and routers are
            applications too, but `child` within middleware is refused, as it could not be seen.
        consumer_close_timeout: seconds to finish after a disconnect.
        stream_capacity: frames that may wait for the child.
        stream_overflow: "pause", "reject" or "close".
        stall_timeout: seconds a full inbox may hold up the socket.
        lazy: whether the stream opens at its first use. For fixed names only.

    Wrong values raise ImproperlyConfigured where the demultiplexer class is checked.
    """
    settings = {
        "consumer_close_timeout": consumer_close_timeout,
        "stream_capacity": stream_capacity,
        "stream_overflow": stream_overflow,
        "stall_timeout": stall_timeout,
        "lazy": lazy,
    }
    if isinstance(application, type) and hasattr(application, "as_asgi"):
        application = application.as_asgi()
    given = {name: value for name, value in settings.items() if value is not None}
    return Child(application, given)


def is_router(application: Any) -> bool:
    """Say whether Channels would route on what a pattern before `application` leaves."""
    return getattr(application, "_path_routing", False) is True


def unwrap(application: Any) -> tuple[Any, Mapping[str, Any]]:
    """Return what is within `child`s, and their settings, of which the innermost count."""
    settings: Mapping[str, Any] = {}
    while isinstance(application, Child):
        settings = {**settings, **application.settings}
        application = application.application
    return application, settings


def inner_of(application: Any) -> Any:
    """Return what `application` wraps, where it is middleware that can be seen through."""
    attributes = getattr(application, "__dict__", {})
    kept = (attributes.get(name) for name in _INNER)
    return next((inner for inner in kept if callable(inner)), None)
