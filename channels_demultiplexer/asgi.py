"""The types of ASGI applications, and of what they are called with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

__all__ = ["ASGIApplication", "ASGIView", "Message", "Receive", "Scope", "Send"]

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApplication = Callable[[Scope, Receive, Send], Awaitable[Any]]
#: An application as we make them: to type checkers, `path()` takes no other as its view.
ASGIView = Callable[[Scope, Receive, Send], Coroutine[Any, Any, Any]]
