"""What goes to the server: one message at a time, in the order of the calls."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from typing import NamedTuple

from .asgi import Message, Send

__all__ = ["Outbox"]

logger = logging.getLogger("channels_demultiplexer")


class _Posted(NamedTuple):
    """A message that nobody has to wait for."""

    message: Message
    #: What is sent where the server refuses `message`.
    instead: Message | None
    #: Done when the server has taken it, or nobody is there to take it.
    taken: asyncio.Future[None]


class Outbox:
    """
    Sends what several tasks have for one server.

    They take turns, because a server whose `send` blocks may let a later call overtake an earlier
    one. A place in the order is taken in the moment of the call, in two ways: who calls `send`
    waits, and sends in its own task, so that backpressure reaches it; what is given to `post` is
    sent by a task of the outbox, whatever becomes of who posted it. So data is sent, and answers,
    which are owed to the client, are posted.

    Args:
        send: the server's.
        path: the socket's path, for the log.
    """

    __slots__ = ("_busy", "_gone", "_path", "_server_send", "_waiting", "writer")

    def __init__(self, send: Send, path: str | None) -> None:
        self._server_send = send
        self._path = path
        # Whether somebody has the turn.
        self._busy = False
        # Whether the client has gone: what is sent is dropped.
        self._gone = False
        # Who waits for the turn, and what does. None until something has to: most never do.
        self._waiting: deque[asyncio.Future[None] | _Posted] | None = None
        #: Sends what is posted. It is whoever ends the connection who awaits it.
        self.writer: asyncio.Task[None] | None = None

    async def send(self, message: Message) -> None:
        """
        Send a message in its turn. Returns when the server has taken it.

        Cancelled before its turn, it sends nothing. What is sent to a client that has gone is
        dropped: the disconnect is on its way, and a child that lives to receive it leaves its
        groups.

        Raises:
            Exception: what the server raises, but for OSError, which says that the client has
                gone (ASGI's specification, "Disconnected Client").
        """
        if self._busy:
            await self._turn()
        else:
            self._busy = True
        try:
            if not self._gone:
                await self._server_send(message)
        except OSError as error:
            self._note_gone(error)
        finally:
            if self._waiting:
                self._pass_on()
            else:
                self._busy = False

    def post(self, message: Message, instead: Message | None = None) -> asyncio.Future[None]:
        """
        Have a message sent in its turn.

        Args:
            instead: what is sent where the server refuses `message` by raising.

        Returns:
            A future that is done when the server has taken the message, or it was dropped. It has
            the exception that the server raised, which has been logged.
        """
        taken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._gone:
            taken.set_result(None)
            return taken
        self._queue().append(_Posted(message, instead, taken))
        if not self._busy:
            self._busy = True
            self._pass_on()
        return taken

    def withdraw(self, taken: asyncio.Future[None]) -> None:
        """Drop the message for which `post` returned `taken`, if it isn't being sent yet."""
        for each in self._waiting or ():
            if isinstance(each, _Posted) and each.taken is taken:
                self._queue().remove(each)
                taken.set_result(None)
                return

    def shut(self) -> None:
        """Drop whatever is still to be sent: nobody is there to take it."""
        self._gone = True
        if self.writer is not None:
            # Not at once: a writer that has not begun never would, and whoever waits for what it
            # was to send, or for the turn, would wait for ever.
            asyncio.get_running_loop().call_soon(self.writer.cancel)

    def _queue(self) -> deque[asyncio.Future[None] | _Posted]:
        if self._waiting is None:
            self._waiting = deque()
        return self._waiting

    async def _turn(self) -> None:
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue().append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():  # it was given while the cancellation was on its way
                self._pass_on()
            elif turn in self._queue():
                self._queue().remove(turn)
            raise

    def _pass_on(self) -> None:
        """Give the turn to whoever waits first."""
        waiting = self._queue()
        while waiting:
            if isinstance(waiting[0], _Posted):
                writer = asyncio.create_task(self._write())
                # Else it ran at once, and may have started another (asyncio.eager_task_factory).
                self.writer = self.writer if writer.done() else writer
                return
            turn = waiting.popleft()
            assert isinstance(turn, asyncio.Future)
            if not turn.done():  # not cancelled
                turn.set_result(None)
                return
        self._busy = False

    async def _write(self) -> None:
        """Send what is posted, as long as that comes first. Called with the turn."""
        waiting = self._queue()
        try:
            while waiting and isinstance(waiting[0], _Posted):
                posted = waiting.popleft()
                assert isinstance(posted, _Posted)
                try:
                    await self._deliver(posted)
                finally:
                    if not posted.taken.done():
                        posted.taken.set_result(None)
        finally:
            self._pass_on()

    async def _deliver(self, posted: _Posted) -> None:
        for message in (posted.message, posted.instead):
            if message is None or self._gone:
                continue
            try:
                await self._server_send(message)
            except OSError as error:
                self._note_gone(error)
            except Exception as error:
                if message is posted.message and posted.instead is not None:
                    continue
                logger.exception("%r: the server refused an answer", self._path)
                posted.taken.set_exception(error)
                # It has been logged, whether or not somebody waits for it.
                posted.taken.exception()
            return

    def _note_gone(self, error: OSError) -> None:
        self._gone = True
        logger.debug("%r has gone: %r", self._path, error)
