"""The life of a request, from its payload to its response."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec

from ..status import StatusCodes
from .messages import Request
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
    values = {"scope": scope, "headers": request.headers, "payload": request.payload}
    if route.payload_type is not None:
        values["payload"] = _convert(request.payload, route.payload_type)
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


def _convert(payload: Any, payload_type: Any) -> Any:
    """Validate a payload; a mismatch is refused with its path and what was expected there."""
    try:
        # JSON's keys are strings, whatever the type says of its keys.
        converted = msgspec.convert(payload, payload_type, str_keys=True)
    except msgspec.ValidationError as exc:
        # msgspec names no path where the whole payload is wrong.
        error = str(exc) if "`$" in str(exc) else f"{exc} - at `$`"
        raise _refusal(StatusCodes.BAD_REQUEST, error) from exc
    _fill_in(converted)
    return converted


def _fill_in(value: Any) -> None:
    """
    Give dataclass instances their default values, as their own __init__ does.

    msgspec leaves them to the class, and does not encode what an instance does not have itself.
    """
    children: Iterable[Any]
    if isinstance(value, Mapping):
        children = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        children = value
    elif isinstance(value, msgspec.Struct):
        children = msgspec.structs.astuple(value)
    elif is_dataclass(value):
        attributes = {field.name: getattr(value, field.name) for field in fields(value)}
        if hasattr(value, "__dict__"):  # not where it has slots
            vars(value).update(attributes)
        children = attributes.values()
    else:
        return
    for child in children:
        _fill_in(child)


def _refusal(status: int, error: str) -> RouteError:
    response = error_response(status, error)
    return RouteError(status, response.payload)
