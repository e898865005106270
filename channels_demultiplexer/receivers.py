"""Own several receivers: the server's `receive` and the channel layer's, for one consumer."""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, NoReturn, TypeVar

from .asgi import Message, Receive

__all__ = ["cancel_all", "dispatch_from", "finish", "open_channel"]

F = TypeVar("F", bound="asyncio.Future[Any]")

logger = logging.getLogger("channels_demultiplexer")


async def open_channel(consumer: Any) -> Receive:
    """
    Give a consumer a channel of its `channel_layer`, as Channels' `__call__` does.

    Returns:
        its `channel_receive`.
    """
    consumer.channel_name = await consumer.channel_layer.new_channel()
    consumer.channel_receive = functools.partial(
        consumer.channel_layer.receive, consumer.channel_name
    )
    receive: Receive = consumer.channel_receive
    return receive


async def dispatch_from(
    receivers: Sequence[Receive],
    dispatch: Callable[[Message], Awaitable[None]],
    first: Callable[[], asyncio.Future[Any]] | None = None,
) -> NoReturn:
    """
    Dispatch what the receivers return, one message after another, until something raises.

    What is dispatched and when is as with Channels' `await_many_dispatch`: every receiver is
    called at once, and again when its message has been dispatched; of several messages that are
    there, the one of the earlier receiver comes first; what raises ends it. What differs is the
    end: every receiver is cancelled and awaited, whoever has raised, and a second cancellation
    does not leave one behind. A message that a receiver has returned, but whose turn had not come,
    is lost with the consumer in both; an exception of which the same is true is logged.

    Args:
        receivers: each is called without arguments.
        dispatch: awaited with each message.
        first: a receiver before the others that costs no task, as it returns a future. That is
            done by None where another receiver has something, and cancelled at the end.

    Raises:
        BaseException: what a receiver or `dispatch` raises.
        asyncio.CancelledError: if cancelled, at the end too: it goes on waiting until then.
    """
    # Each receiver sets it when done: asyncio.wait() would ask all of them at every message. No
    # Event, whose empty queue is much of what a stream costs in memory (`memory-one-layer`). It is
    # the first receiver's own future where there is one: another would cost a turn of the loop.
    wait = first or asyncio.get_running_loop().create_future
    ready = wait()
    calls: list[asyncio.Future[Message]] = []

    def wake(_: object) -> None:
        if not ready.done():
            ready.set_result(None)

    try:
        for receive in receivers:
            calls.append(_call(receive, wake))
        while True:
            if ready.done():
                # Others get their turn, however many messages wait.
                await asyncio.sleep(0)
            message = await ready
            if message is not None:
                await dispatch(message)
            ready = wait()
            for index, receive in enumerate(receivers):
                if calls[index].done():
                    await dispatch(calls[index].result())
                    calls[index] = _call(receive, wake)
    except BaseException as exc:
        ready.cancel()
        try:
            await finish(lambda: calls, cancel_all)
        finally:
            _log_others(calls, exc)
        raise


def _call(receive: Receive, done: Callable[[object], None]) -> asyncio.Future[Message]:
    future = asyncio.ensure_future(receive())
    future.add_done_callback(done)
    return future


def _log_others(calls: Iterable[asyncio.Future[Message]], ending: BaseException) -> None:
    """Log what receivers have raised beside the exception that is raised."""
    for each in calls:
        error = None if each.cancelled() else each.exception()
        if error is not None and error is not ending:
            logger.error("a receiver failed at the end: %r", error, exc_info=error)


def cancel_all(futures: Iterable[asyncio.Future[Any]]) -> None:
    """Cancel each of `futures`."""
    for each in futures:
        each.cancel()


async def finish(
    futures: Callable[[], Iterable[F]], cancel: Callable[[set[F]], None] | None = None
) -> None:
    """
    Wait until futures are done, however often it is cancelled.

    Args:
        futures: returns them; called again when they are done, as there may be others by then.
        cancel: called with those that are not done, at first and at each cancellation.

    Raises:
        asyncio.CancelledError: if it was cancelled, when they are done.
    """
    cancelled: asyncio.CancelledError | None = None
    while running := {each for each in futures() if not each.done()}:
        if cancel is not None:
            cancel(running)
        try:
            await asyncio.wait(running)
        except asyncio.CancelledError as exc:
            cancelled = exc
    if cancelled is not None:
        raise cancelled
