"""Run the requests of one connection: calls, failures and the text of the answer."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any

from asgiref.sync import async_to_sync
from channels.consumer import get_handler_name
from channels.db import aclose_old_connections
from channels.exceptions import StopConsumer

from ..database import aclose_due_connections, doubt_after, is_spared
from ..status import StatusCodes
from .conversation import Conversation
from .life import respond
from .messages import Request, answer, encode
from .responses import error_response, from_exception
from .routes import Endpoint
from .signatures import Call

__all__ = ["AsyncRunner", "Runner", "SyncRunner"]

logger = logging.getLogger("channels_demultiplexer")


class Runner:
    """
    Runs the requests of one connection of a consumer.

    Args:
        consumer: the router consumer.
        endpoints: its compiled routes.
        receive, send: the server's.
    """

    def __init__(
        self,
        consumer: Any,
        endpoints: Mapping[str, Endpoint],
        receive: Callable[..., Any],
        send: Callable[..., Any],
    ) -> None:
        self.consumer = consumer
        self.endpoints = endpoints
        self.conversation = Conversation(
            receive,
            send,
            routes=endpoints,
            handle=self.handle,
            max_pending=consumer.max_pending,
            max_concurrency=consumer.max_concurrency,
        )

    async def handle(self, request: Request) -> str:
        """Return the text that answers a request; called by a worker."""
        raise NotImplementedError

    async def call(
        self, function: Callable[..., Any], call: Call, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        """Call a handler or step in the way of this kind of consumer."""
        raise NotImplementedError

    async def encode(self, content: dict[str, Any]) -> str:
        """Encode with the consumer's own `encode_json`."""
        raise NotImplementedError

    async def dispatch(
        self, message: dict[str, Any], dispatch: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        """Pass a message that is no request to its handler, as Channels' `dispatch` does."""
        await dispatch(message)

    async def step(
        self, function: Callable[..., Any], call: Call, values: Mapping[str, Any]
    ) -> Any:
        """Carry out one step of a request's life."""
        args, kwargs = call.bind(values)
        result = await self.call(function, call, args, kwargs)
        if self.conversation.ended:
            # It could not be cancelled, or would not be. Its answer is not wanted any more.
            raise asyncio.CancelledError
        return result

    async def answer(self, request: Request) -> str:
        """Return the text that answers a request, whatever happens in its life."""
        route, uuid = request.route, request.uuid
        endpoint = self.endpoints[route]
        handler = getattr(self.consumer, endpoint.method)
        try:
            response = await respond(endpoint, handler, request, self.consumer.scope, self.step)
        except StopConsumer:
            raise
        except (Exception, asyncio.CancelledError) as exc:
            if self.conversation.ended and isinstance(exc, asyncio.CancelledError):
                raise
            expected = from_exception(exc)
            if expected is None:
                self.log("route %r with uuid %r failed: %r", route, uuid, exc)
            response = expected or error_response(StatusCodes.INTERNAL_SERVER_ERROR)
            doubt_after(exc)
        try:
            return await self.encode(answer(route, uuid, response))
        except Exception as exc:  # noqa: BLE001  # encode_json may be the user's own
            what = "the answer of route %r with uuid %r is not JSON, add dehydrate: %r"
            self.log(what, route, uuid, exc)
        return encode(answer(route, uuid, error_response(StatusCodes.INTERNAL_SERVER_ERROR)))

    def log(self, what: str, route: str, uuid: str | int, exc: BaseException) -> None:
        """Log a failure with its traceback."""
        cls = type(self.consumer)
        name = f"{cls.__module__}.{cls.__qualname__}"
        logger.error(f"%s: {what}", name, route, uuid, exc, exc_info=exc)


class SyncRunner(Runner):
    """
    Runs each request in one hop to the thread of sync code.

    So requests and channel-layer handlers take turns, and steps cost no hop each. The coroutines of
    the base class never suspend here, since all that waits is `async_to_sync`.
    """

    async def handle(self, request: Request) -> str:
        return await self.conversation.in_thread(self.run, request)

    def run(self, request: Request) -> str:
        """Run the life of a request to its end."""
        return _finish(self.answer(request))

    async def call(
        self, function: Callable[..., Any], call: Call, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        result = function(*args, **kwargs)
        if inspect.isawaitable(result):
            return async_to_sync(self.conversation.for_thread)(result)
        return result

    async def encode(self, content: dict[str, Any]) -> str:
        text: str = self.consumer.encode_json(content)
        return text


class AsyncRunner(Runner):
    """Runs coroutine functions in the event loop and plain ones in the thread of sync code."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Closes the database connections that Channels closes before each message.
        self._close_connections = aclose_due_connections if is_spared() else aclose_old_connections
        # Requests that arrive together start in order, after the look.
        self._database_lock = asyncio.Lock()

    async def handle(self, request: Request) -> str:
        await self._look_at_databases()
        return await self.answer(request)

    async def dispatch(
        self, message: dict[str, Any], dispatch: Callable[[dict[str, Any]], Awaitable[None]]
    ) -> None:
        handler = getattr(self.consumer, get_handler_name(message), None)
        if handler is None:
            raise ValueError(f"No handler for message type {message['type']}")
        await self._look_at_databases()
        await handler(message)

    async def _look_at_databases(self) -> None:
        # A plain function of this connection looks at them itself when it ends, before any sync
        # code of what comes now. Waiting for it would keep handlers from running beside it.
        if self.conversation.thread_is_busy:
            return
        async with self._database_lock:
            await self._close_connections()

    async def call(
        self, function: Callable[..., Any], call: Call, args: Sequence[Any], kwargs: dict[str, Any]
    ) -> Any:
        if call.is_coroutine:
            return await function(*args, **kwargs)
        result = await self.conversation.in_thread(_call_plain, function, args, kwargs)
        return await result if inspect.isawaitable(result) else result

    async def encode(self, content: dict[str, Any]) -> str:
        text: str = await self.consumer.encode_json(content)
        return text


def _finish(coroutine: Coroutine[Any, Any, str]) -> str:
    """Run a coroutine that never suspends."""
    text = None
    try:
        coroutine.send(None)
    except StopIteration as exc:
        text = exc.value
    assert isinstance(text, str), "nothing but async_to_sync waits in a sync consumer"
    return text


def _call_plain(function: Callable[..., Any], args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """Call a function in a thread."""
    try:
        return function(*args, **kwargs)
    except StopIteration as exc:
        # A future can't hold it: Python 3.11 would wait for this one for ever.
        raise RuntimeError("a plain function raised StopIteration") from exc
