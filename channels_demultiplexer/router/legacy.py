"""
The forms in which routes were declared before: by a setter, by `_routes`, by a class method.

New code declares `routes = [...]`; see :doc:`/migration_router`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

__all__ = ["declarations", "is_legacy", "routes_property"]


def read_routes(consumer: Any) -> Any:
    """Return a consumer's routes: its class's, or those that its setter is about to replace."""
    if "_routes" in vars(consumer):
        return consumer._routes
    return tuple(consumer.route_table.values())


#: The attribute `routes` of the base classes. It is a property so that its `setter` can be used to
#: declare routes, and has no setter itself.
routes_property = property(read_routes)


def is_legacy(declared: object) -> bool:
    """Whether an attribute `routes` is read by `declarations`, or declares nothing."""
    if isinstance(declared, property):
        return declared is routes_property or declared.fset is not None
    return isinstance(declared, classmethod)


def declarations(cls: type, owner: type) -> Iterator[Any]:
    """
    Yield what a class of the MRO of `cls` declares in these forms.

    A setter is called on an instance of `cls` that serves no connection.
    """
    if "_routes" in vars(owner):
        yield vars(owner)["_routes"]
    declared = vars(owner).get("routes")
    if isinstance(declared, classmethod):
        yield declared.__get__(None, cls)()
    elif isinstance(declared, property) and declared.fset is not None:
        consumer = _unconnected(cls)
        consumer._routes = []
        declared.fset(consumer, [])
        yield consumer._routes


def _unconnected(cls: type) -> Any:
    """Return an instance that serves no connection."""
    try:
        inspect.signature(cls).bind()
    except TypeError:
        # Its __init__ wants arguments, which as_asgi() passes on for each connection.
        return object.__new__(cls)
    return cls()
