"""The Django check of router consumers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from django.core.checks import CheckMessage, Error

from .consumers import AsyncSocketRouterConsumer, SocketRouterConsumer
from .routes import DeclarationError

__all__ = ["check_routes", "leaves"]

T = TypeVar("T")


def check_routes(app_configs: Any = None, **kwargs: Any) -> list[CheckMessage]:
    """
    Report the router consumers that as_asgi() would refuse.

    Classes that have subclasses may be abstract and are left out.
    """
    found: list[CheckMessage] = []
    classes = dict.fromkeys([*leaves(SocketRouterConsumer), *leaves(AsyncSocketRouterConsumer)])
    for cls in classes:
        try:
            cls.route_table  # noqa: B018
        except DeclarationError as exc:
            found.append(
                Error(exc.problem, hint=exc.hint, obj=cls, id="channels_demultiplexer.E101")
            )
    return found


def leaves(cls: type[T]) -> Iterator[type[T]]:
    """Yield the classes below `cls` that have no subclasses."""
    for subclass in cls.__subclasses__():
        if subclass.__subclasses__():
            yield from leaves(subclass)
        else:
            yield subclass
