"""Consumers that behave like HTTP endpoints: requests with a route, answers with a status."""

from ..status import StatusCodes
from .consumers import AsyncSocketRouterConsumer, SocketRouterConsumer
from .responses import Response, RouteError
from .routes import Route

__all__ = [
    "AsyncSocketRouterConsumer",
    "Response",
    "Route",
    "RouteError",
    "SocketRouterConsumer",
    "StatusCodes",
]
