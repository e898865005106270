"""What client and router consumer say: who reads, who waits, and how all of it ends."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Container
from typing import Any, TypeVar

from channels.db import database_sync_to_async

from ..receivers import cancel_all, finish
from ..routing import Message, Receive, Send
from ..status import StatusCodes
from .messages import (
    MalformedRequest,
    Ping,
    Request,
    answer,
    encode,
    parse,
    refusal,
)
from .responses import error_response

__all__ = ["Conversation"]

T = TypeVar("T")


class Conversation:
    """
    Stands between the server and Channels' consumer.

    A reader task takes every message from the server from the moment the connection is accepted,
    answers what needs no handler and queues requests for the workers, so that a handler, a blocking
    one included, holds up no heartbeat. All other messages go to the consumer through
    :meth:`receive`, as without a router. Workers start when ``connect()`` has returned. All tasks
    belong to this object, and :meth:`end` awaits them.

    Args:
        receive, send: the server's.
        routes: the declared names.
        handle: returns the text that answers a request.
        max_pending: how many requests may wait; while so many do, nothing is read.
        max_concurrency: how many requests are handled at once.
    """

    def __init__(
        self,
        receive: Receive,
        send: Send,
        *,
        routes: Container[str],
        handle: Callable[[Request], Awaitable[str]],
        max_pending: int,
        max_concurrency: int,
    ) -> None:
        self._receive = receive
        self._send = send
        self._routes = routes
        self._handle = handle
        self._max_pending = max_pending
        self._max_concurrency = max_concurrency
        #: Set when the client has gone or the application ends: no handler may go on.
        self.ended = False
        #: Set when the consumer has closed the connection: nothing more is sent or handled.
        self.closed = False
        # Set when connect() is about to be called.
        self._connected = False
        self._pending: asyncio.Queue[Request] = asyncio.Queue()
        # Set when a request has left the queue.
        self._room = asyncio.Event()
        # None when nobody waits for a message other than requests.
        self._reader: asyncio.Task[Message] | None = None
        # Empty before connect() has returned, and after the end.
        self._workers: list[asyncio.Task[None]] = []
        # Workers that wait for a thread, which can't be cancelled.
        self._in_thread: set[asyncio.Task[Any] | None] = set()
        # Tasks in which async_to_sync runs coroutines for such a thread.
        self._for_thread: set[asyncio.Task[Any]] = set()
        # The reader may start while connect() runs in a thread, in whose context asgiref would send
        # other sync code to that very thread.
        self._context = contextvars.copy_context()

    async def receive(self) -> Message:
        """
        Return the next message that is not a request.

        Raises:
            BaseException: what a worker or the server's receive has raised.
        """
        if self._connected and not self.ended and not self._workers:
            self._workers = [
                asyncio.create_task(self._work()) for _ in range(self._max_concurrency)
            ]
        reader = self._read_on()
        await asyncio.wait([reader, *self._workers], return_when=asyncio.FIRST_COMPLETED)
        for worker in self._workers:
            if worker.done():
                worker.result()
        message = reader.result()
        self._reader = None
        if message["type"] == "websocket.connect":
            self._connected = True
        elif message["type"] == "websocket.disconnect":
            await self.end()
        return message

    async def send(self, message: Message) -> None:
        """Send what the consumer sends."""
        if message["type"] == "websocket.close":
            self.closed = True
            self._drop_pending()
        await self._send(message)
        if message["type"] == "websocket.accept":
            self._read_on()

    async def end(self) -> None:
        """
        Cancel running handlers and wait for all tasks; waiting requests are never handled.

        Handlers that run in a thread are waited for. If cancelled, it cancels the handlers again
        and goes on waiting, then raises CancelledError. May be called twice.
        """
        self.ended = True
        reader = [self._reader] if self._reader is not None else []
        tasks: list[asyncio.Task[Any]] = [*reader, *self._workers]
        try:
            await finish(
                lambda: tasks,
                lambda running: cancel_all((running | self._for_thread) - self._in_thread),
            )
        finally:
            for task in tasks:
                if not task.cancelled():
                    # Too late to raise it, where it has not been: the consumer learns of the end.
                    task.exception()
            self._workers = []

    @property
    def thread_is_busy(self) -> bool:
        """Whether a plain function of this connection runs, or waits to."""
        return bool(self._in_thread)

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:
        """Call a worker's plain function in a thread; the end of the connection waits for it."""
        worker = asyncio.current_task()
        self._in_thread.add(worker)
        try:
            return await database_sync_to_async(function)(*args)  # type: ignore[no-any-return]
        finally:
            self._in_thread.discard(worker)

    async def for_thread(self, awaitable: Awaitable[T]) -> T:
        """Await what a thread waits for; the end of the connection cancels it."""
        task = asyncio.current_task()
        assert task is not None, "a coroutine that runs in an event loop has a task"
        self._for_thread.add(task)
        if self.ended:
            task.cancel()
        try:
            return await awaitable
        finally:
            self._for_thread.discard(task)

    def _read_on(self) -> asyncio.Task[Message]:
        """Have a reader."""
        if self._reader is None:
            self._reader = asyncio.create_task(self._read(), context=self._context)
        return self._reader

    async def _read(self) -> Message:
        """Take messages until one is not from the client's side of the conversation."""
        while True:
            while self._pending.qsize() >= self._max_pending:
                self._room.clear()
                await self._room.wait()
            message = await self._receive()
            if message["type"] != "websocket.receive":
                return message
            if not self.closed:
                await self._take(message.get("text"))

    async def _take(self, text: str | None) -> None:
        """Queue a request, or answer what needs no handler."""
        try:
            request = parse(text)
        except MalformedRequest as exc:
            await self._answer(encode(refusal(exc)))
            return
        if isinstance(request, Ping):
            await self._answer(encode(request.pong))
        elif request.route in self._routes:
            self._pending.put_nowait(request)
        else:
            error = error_response(StatusCodes.NOT_FOUND, "there is no such route")
            await self._answer(encode(answer(request.route, request.uuid, error)))

    async def _work(self) -> None:
        """Handle requests, one after the other."""
        while not self.ended:
            request = await self._pending.get()
            self._room.set()
            await self._answer(await self._handle(request))

    async def _answer(self, text: str) -> None:
        """Send an answer, unless nobody is there to take it."""
        if self.closed or self.ended:
            return
        try:
            await self._send({"type": "websocket.send", "text": text})
        except OSError:
            # The client has gone (ASGI's specification, "Disconnected Client"): the server's
            # websocket.disconnect is on its way, and the consumer shall live to see it.
            self.closed = True
            self._drop_pending()

    def _drop_pending(self) -> None:
        while not self._pending.empty():
            self._pending.get_nowait()
        self._room.set()
