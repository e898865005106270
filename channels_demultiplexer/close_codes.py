"""The close codes, and what of them and of a reason a WebSocket can carry. Pure functions."""

from __future__ import annotations

import operator
from enum import IntEnum
from typing import Any, Final

from . import jsontext

__all__ = [
    "CloseCode",
    "cut_reason",
    "disconnect_message",
    "plain_code",
    "plain_disconnect",
    "sendable",
]

# The close codes that a WebSocket can carry (RFC 6455, section 7.4, and its registry): those of
# protocols, some of which stand only for what has not been sent, and those of applications.
_PROTOCOL_CLOSE_CODES: Final = frozenset((*range(1000, 1004), *range(1007, 1015)))
_APPLICATION_CLOSE_CODES: Final = range(3000, 5000)

#: The most UTF-8 bytes of a WebSocket's close reason (RFC 6455, section 5.5).
_MAX_REASON_SIZE: Final = 123


class CloseCode(IntEnum):
    """The close codes that the demultiplexer knows (RFC 6455, section 7.4, and its registry)."""

    #: The stream's purpose is fulfilled.
    NORMAL = 1000
    #: A closing handshake gave no code. Never sent.
    NO_STATUS = 1005
    #: The server's task ended without a closing handshake. Never sent.
    ABNORMAL = 1006
    #: The child crashed.
    INTERNAL_ERROR = 1011
    #: The stream stalled.
    TRY_AGAIN_LATER = 1013
    #: The child refused the connection and gave no code of its own.
    REFUSED = 4403


def plain_code(code: int) -> int:
    """
    Return a close code as a plain int, which is what servers take.

    Raises:
        TypeError: if it is no integer.
    """
    try:
        return operator.index(code)
    except TypeError:
        raise TypeError(f"a close code is an integer, not {code!r}") from None


def sendable(code: int, *, daphne: bool = False) -> int:
    """
    Return the code that a socket closes with for `code`: itself where it can be sent.

    Args:
        code: a stream's close code, or one of the demultiplexer's own.
        daphne: whether the server is Daphne, which sends 1000 and those of applications only.

    Raises:
        TypeError: if it is no integer.
    """
    code = plain_code(code)
    protocols = {1000} if daphne else _PROTOCOL_CLOSE_CODES
    if code in protocols or code in _APPLICATION_CLOSE_CODES:
        return code
    return code + 3000 if 1000 < code < 2000 else 4000


def cut_reason(reason: str) -> str:
    """
    Return what a socket's close can carry of `reason`, a plain str: 123 bytes of UTF-8.

    Raises:
        UnicodeEncodeError: if it has a lone surrogate.
        TypeError: if it is no string.
    """
    return jsontext.plain(reason).encode()[:_MAX_REASON_SIZE].decode(errors="ignore")


def disconnect_message(code: int, reason: str) -> dict[str, Any]:
    """
    Return the ASGI `websocket.disconnect` of a code and a reason, of a plain int and str.

    Raises:
        TypeError: if `code` is no integer, or `reason` no string.
    """
    code, reason = plain_code(code), jsontext.plain(reason)
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def plain_disconnect(message: dict[str, Any]) -> dict[str, Any]:
    """Return a server's `websocket.disconnect` with a plain code: that of wsproto is an enum's."""
    code = message.get("code")
    return message if code is None else {**message, "code": plain_code(code)}
