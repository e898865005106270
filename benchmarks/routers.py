"""The cost of a route request: our router consumer against django-observable-socket's."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from .driver import Application
from .measure import Effort, Figure, Skipped, in_turns
from .messages import echoing

_REQUEST = b'{"uuid":"b1946ac9","route":"sayHello","headers":null,"payload":{"name":"World"}}'


def _ours() -> Application:
    try:
        from channels_demultiplexer.router import AsyncSocketRouterConsumer
    except ImportError as error:
        raise Skipped(f"there is no router: {error}") from None

    class Ours(AsyncSocketRouterConsumer):  # type: ignore[misc,unused-ignore]
        routes = [{"route": "sayHello"}]

        async def on_say_hello(self, payload: Any, headers: Any) -> dict[str, Any]:
            return {"status": 200, "payload": f"Hello, {payload['name']}!"}

    application: Application = Ours.as_asgi()
    return application


def _theirs() -> Application:
    try:
        from django_observable_socket import AsyncSocketRouterConsumer
    except ImportError as error:
        raise Skipped(f"django-observable-socket or pydantic is not installed: {error}") from None

    class Theirs(AsyncSocketRouterConsumer):  # type: ignore[misc,unused-ignore]
        _routes = [{"route": "sayHello"}]
        # Its connect() would take the user from middleware, which there is none of.
        _user = "nobody"

        async def on_say_hello(self, request: Any) -> dict[str, Any]:
            return {"status": 200, "payload": f"Hello, {request.payload['name']}!"}

    application: Application = Theirs.as_asgi()
    return application


async def route_request(effort: Effort) -> Figure:
    """A request to a coroutine handler, answered."""
    async with AsyncExitStack() as stack:
        return await in_turns(
            {
                "ours": await echoing(stack, [_ours()], [_REQUEST]),
                "django-observable-socket": await echoing(stack, [_theirs()], [_REQUEST]),
            },
            effort,
        )
