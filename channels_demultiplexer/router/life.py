"""The life of a request, from its payload to its response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..status import StatusCodes
from .messages import Request
from .payloads import PayloadError, convert
from .responses import Response, RouteError, error_response, from_result
from .routes import Endpoint
from .signatures import Call

__all__ = ["respond"]

#: Calls a handler or step with some of the values.
Step = Callable[[Callable[..., Any], Call, Mapping[str, Any]], Awaitable[Any]]


async def respond(
    endpoint: Endpoint, handler: Callable[..., Any], request: Request, scope: Any, step: Step
) -> Response:
    """
    Carry out payload_type, check_data, check_access, hydrate, the handler and dehydrate.

    Raises:
        RouteError: if the request is refused.
        BaseException: whatever a step raises.
    """
    route, steps = endpoint.route, endpoint.steps
    values = {"scope": scope, "headers": request.headers, "payload": request.payload, "store": {}}
    if route.payload_type is not None:
        try:
            values["payload"] = convert(request.payload, route.payload_type)
        except PayloadError as exc:
            raise _refusal(StatusCodes.BAD_REQUEST, str(exc)) from exc
    if (check_data := steps.get("check_data")) and not await step(*check_data, values):
        raise _refusal(StatusCodes.BAD_REQUEST, "the data of this request are not valid")
    if (check_access := steps.get("check_access")) and not await step(*check_access, values):
        raise _refusal(StatusCodes.FORBIDDEN, "access to this route is denied")
    if hydrate := steps.get("hydrate"):
        values["payload"] = await step(*hydrate, values)
    response = from_result(await step(handler, endpoint.handler, values))
    dehydrate = steps.get("dehydrate")
    if not dehydrate or response.payload is None or not 200 <= response.status < 300:
        return response
    values["payload"] = response.payload
    return Response(await step(*dehydrate, values), response.status, response.headers)


def _refusal(status: int, error: str) -> RouteError:
    response = error_response(status, error)
    return RouteError(status, response.payload)
