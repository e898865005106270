"""What a handler may answer with, and which answer an exception stands for."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404

from ..status import StatusCodes

__all__ = ["Response", "RouteError", "error_response", "from_exception", "from_result"]

#: What a mapping that a handler returns may contain.
RESULT_KEYS = frozenset({"payload", "status", "headers"})


@dataclass(frozen=True)
class Response:
    """
    A handler's answer.

    Args:
        payload: what :ref:`can be encoded <router-payloads>`, or what ``dehydrate`` takes.
        status: an HTTP status code, 100 to 599 (RFC 9110, section 15).
        headers: a mapping; ``None`` is sent as ``{}``.

    Raises:
        ValueError: if ``status`` is no HTTP status code.
        TypeError: if ``headers`` is neither a mapping nor ``None``.
    """

    payload: Any = None
    status: int = StatusCodes.OK
    headers: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        status, headers = self.status, self.headers
        if not _is_status(status):
            raise ValueError(f"status must be an HTTP status code, 100 to 599, got {status!r}")
        if headers is not None and not isinstance(headers, Mapping):
            raise TypeError(f"headers must be a mapping or None, got {type(headers).__name__}")


class RouteError(Exception):
    """
    Raise this in a handler or step to answer the request with a status.

    It is an answer like any other: it is not logged as an error, and what follows in the request's
    life, ``dehydrate`` included, is left out.

    Args:
        status: an HTTP status code.
        payload: what can be encoded.
        headers: a mapping or ``None``.

    Raises:
        ValueError, TypeError: as :class:`Response`.
    """

    def __init__(
        self, status: int, payload: Any = None, headers: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(status, payload, headers)
        self.response = Response(payload, status, headers)

    @property
    def status(self) -> int:
        """The HTTP status code."""
        return self.response.status

    @property
    def payload(self) -> Any:
        """The answer's payload."""
        return self.response.payload

    @property
    def headers(self) -> Mapping[str, Any] | None:
        """The answer's headers."""
        return self.response.headers


def error_response(status: int, error: str = "") -> Response:
    """Return the library's own answer to what went wrong; the text defaults to the status's."""
    return Response({"error": error or HTTPStatus(status).phrase}, status)


def from_result(result: Any) -> Response:
    """
    Return the response that a handler's return value stands for.

    Raises:
        ValueError, TypeError: if it stands for none.
    """
    if result is None:
        return Response(status=StatusCodes.NO_CONTENT)
    if isinstance(result, Response):
        return result
    if isinstance(result, Mapping) and result.keys() <= RESULT_KEYS:
        return Response(**result)
    got = f"with the keys {list(result)!r}" if isinstance(result, Mapping) else "object"
    raise TypeError(
        "a handler returns a mapping with any of payload, status and headers, "
        f"a Response, or None; got a {type(result).__name__} {got}"
    )


def from_exception(exc: BaseException) -> Response | None:
    """Return the response that an exception stands for, or None if it is a failure."""
    if isinstance(exc, RouteError):
        return exc.response
    if isinstance(exc, Http404):
        return error_response(StatusCodes.NOT_FOUND, str(exc))
    if isinstance(exc, PermissionDenied):
        return error_response(StatusCodes.FORBIDDEN, str(exc))
    if isinstance(exc, ValidationError):
        detail = exc.message_dict if hasattr(exc, "error_dict") else exc.messages
        return error_response(StatusCodes.BAD_REQUEST, _flatten(detail))
    # An exception of Django REST framework can only come up where that has been imported.
    framework = sys.modules.get("rest_framework.exceptions")
    if framework is None or not isinstance(exc, framework.APIException):
        return None
    status: Any = exc.status_code
    return Response({"error": _flatten(exc.detail)}, status) if _is_status(status) else None


def _is_status(status: Any) -> bool:
    return isinstance(status, int) and 100 <= status <= 599


def _flatten(detail: Any) -> str:
    """Return messages in lists and mappings, however nested, as one string."""
    if isinstance(detail, Mapping):
        return "; ".join(f"{key}: {text}" for key in detail if (text := _flatten(detail[key])))
    if isinstance(detail, list | tuple):
        return " ".join(filter(None, map(_flatten, detail)))
    return str(detail)
