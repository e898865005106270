"""
One child application: its task, its states, and what its sends mean.

A stream knows nothing of other streams. What it needs of the socket is a `Socket`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from enum import Enum, auto
from typing import Protocol

from django.urls.exceptions import Resolver404

from .conf import Options
from .exceptions import FrameError, UnknownStream
from .frames import CloseCode, Envelope
from .inbox import Inbox
from .routing import ASGIApplication, Message, Scope
from .signals import announce, stream_closed, stream_opened

__all__ = ["Socket", "Stream", "StreamState"]

logger = logging.getLogger("channels_demultiplexer")


class StreamState(Enum):
    """The life of a stream as the client sees it."""

    #: The child has not accepted yet.
    OPENING = auto()
    #: The child has accepted.
    OPEN = auto()
    #: The end is to come, and the client to be answered then.
    CLOSING = auto()
    #: The stream has ended. Its child may still be cleaning up.
    CLOSED = auto()


# A tuple, because a member of an Enum is looked up slowly: 0.14 us of the 6 us that a frame costs.
_LIVE = (StreamState.OPENING, StreamState.OPEN)

# After so many messages of a child others get their turn.
_BREATH = 64


class Socket(Protocol):
    """What a stream needs of the socket that it is part of."""

    sender: type
    #: Whether the client has left, and nobody is to be answered.
    left: bool

    async def send(self, message: Message) -> None:
        """Send a message to the server, after those that wait already."""

    async def reject(self, error: FrameError) -> None:
        """Tell the client of `error`."""

    def stream_changed(self, stream: Stream, before: StreamState) -> None:
        """Note that the state of a stream is no longer `before`."""

    async def stream_ended(self, stream: Stream) -> None:
        """Act on a stream that the server's side has ended, after the client was told."""

    def stream_finished(self, stream: Stream) -> None:
        """Note that a stream has ended and its child has finished."""


class Stream:
    """
    A stream and its child.

    ======== ======== =====================================================
    from     to       when
    ======== ======== =====================================================
    OPENING  OPEN     the child accepts
    OPENING, CLOSING  the client's `close` arrives (`close`), or it stalled
    OPEN              before it started (`stall`)
    OPENING, CLOSED   the child closes, crashes or returns, or it stalled
    OPEN              (`stall`), or the socket has ended (`disconnect`)
    CLOSING  CLOSED   the child has finished, or the socket has ended
    ======== ======== =====================================================

    Args:
        name: the stream's name.
        application: the child.
        scope: the child's scope.
        envelope: wraps what the child sends.
        options: the stream's settings.
        socket: the socket.
    """

    __slots__ = (
        "_answers",
        "_application",
        "_deadline",
        "_envelope",
        "_killed",
        "_muted",
        "_sent",
        "_socket",
        "_told",
        "accepted",
        "code",
        "inbox",
        "name",
        "options",
        "reason",
        "scope",
        "state",
        "subprotocol",
        "successor",
        "task",
        "wanted",
    )

    def __init__(
        self,
        name: str,
        application: ASGIApplication,
        scope: Scope,
        envelope: Envelope,
        options: Options,
        socket: Socket,
    ) -> None:
        self.name = name
        self.scope = scope
        self.options = options
        self._application = application
        self._socket = socket
        self._envelope = envelope
        self.state = StreamState.OPENING
        #: Whether the child has accepted; it may do so in CLOSING too.
        self.accepted = False
        #: What the child selected in accepting.
        self.subprotocol: str | None = None
        #: Whether a client's `open` waits for the child to accept.
        self.wanted = False
        #: How the stream ended. Set in CLOSING and CLOSED.
        self.code: int = CloseCode.NORMAL
        self.reason = ""
        #: The next life of the name, which starts when this one has finished.
        self.successor: Stream | None = None
        #: Runs the child. None until `start`.
        self.task: asyncio.Task[None] | None = None
        #: What the child receives. Data is put into it only while the stream is live.
        self.inbox = Inbox(options.stream_capacity)
        # Whether the child has been told to end.
        self._told = False
        # Whether what the child sends is dropped.
        self._muted = False
        # Runs out when the child has had its time to end. None until it is to end.
        self._deadline: asyncio.TimerHandle | None = None
        # How many messages the child has sent.
        self._sent = 0
        # How many answers to the client the child's own calls are sending.
        self._answers = 0
        self._killed = False

    @property
    def live(self) -> bool:
        """Whether the stream is opening or open."""
        return self.state in _LIVE

    # What the socket does to the stream.

    def start(self) -> None:
        """Start the child. A predecessor of the same name must have finished."""
        self.task = asyncio.create_task(self._run())
        if self._told:
            self._set_deadline()

    async def room(self) -> None:
        """Wait until the inbox has room, or the stream is no longer live."""
        while self.live and self.inbox.full:
            await self.inbox.room()

    async def want(self) -> None:
        """Answer a client's `open`, now or when the child accepts. Only while live."""
        if self.accepted:
            await self._send_text(self.options.codec.opened(self.name, self.subprotocol))
        else:
            self.wanted = True

    def close(self, code: int, reason: str) -> None:
        """Carry out a client's `close`, which is answered when the child has finished."""
        self._leave(StreamState.CLOSING, code, reason)
        self._tell({"type": "websocket.disconnect", "code": code, "reason": reason})
        self._set_deadline()

    async def stall(self) -> None:
        """End the stream because its inbox stayed full. Only while live."""
        self.inbox.clear()
        if self.task is None:
            # The end of its predecessor is to be answered first.
            self.close(CloseCode.TRY_AGAIN_LATER, "")
        else:
            self._set_deadline()
            await self._end(CloseCode.TRY_AGAIN_LATER, "")

    def disconnect(self, message: Message) -> None:
        """End the stream because the socket has ended with `message`, its websocket.disconnect."""
        self._muted = True
        if self.state is not StreamState.CLOSED:
            self._leave(StreamState.CLOSED, message.get("code", CloseCode.NO_STATUS), "")
        self._tell({**message})
        self._set_deadline()

    # What the child calls.

    async def send(self, message: Message) -> None:
        """
        Take a message of the child. Returns when the server has taken it.

        Raises:
            RuntimeError: if it has not accepted, or accepts twice, or the message has no meaning.
        """
        if self._muted:
            # Else a child that goes on sending would keep all others from running.
            await asyncio.sleep(0)
            return
        kind = message["type"]
        if kind == "websocket.send":
            if not self.accepted:
                raise RuntimeError(f"stream {self.name!r}: websocket.send before websocket.accept")
            text = message.get("text")
            if text is not None:
                await self._socket.send(
                    {"type": "websocket.send", "text": self._envelope.text(text)}
                )
            else:
                data = self._envelope.bytes(message["bytes"])
                await self._socket.send({"type": "websocket.send", "bytes": data})
            self._sent += 1
            if not self._sent % _BREATH:
                # A server's send need not wait: a flood would keep all others from running.
                await asyncio.sleep(0)
        elif kind == "websocket.accept":
            await self._accept(message.get("subprotocol"))
        elif kind == "websocket.close":
            await self._child_close(message.get("code"), message.get("reason") or "")
        else:
            raise RuntimeError(f"stream {self.name!r}: no message of the type {kind!r} is expected")

    # What the child's messages mean.

    async def _accept(self, subprotocol: str | None) -> None:
        if self.accepted:
            raise RuntimeError(
                f"stream {self.name!r}: websocket.accept, but it has accepted already"
            )
        answer = self.options.codec.opened(self.name, subprotocol)
        self.accepted = True
        self.subprotocol = subprotocol
        if self.state is StreamState.OPENING:
            self._set_state(StreamState.OPEN)
        self.inbox.accept()
        if self.wanted:
            self.wanted = False
            with self._answering():
                await self._send_text(answer)
        await announce(stream_opened, self._socket.sender, stream=self.name, scope=self.scope)

    async def _child_close(self, code: int | None, reason: str) -> None:
        if self.state is StreamState.CLOSING:
            self._muted = True  # the client's close is answered with the client's code
        else:
            with self._answering():
                await self._end(self._own_code() if code is None else code, reason)
            # Not before: the client may read slowly, and is to get its `close` in any case.
            self._set_deadline()

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Within, the child is not cancelled: a client that reads slowly gets its answer too."""
        self._answers += 1
        try:
            yield
        finally:
            self._answers -= 1

    def _own_code(self) -> CloseCode:
        """The code for an end for which the child gives none."""
        return CloseCode.NORMAL if self.accepted else CloseCode.REFUSED

    # The ends.

    async def _end(self, code: int, reason: str) -> None:
        """End the stream from the server's side: tell the client, and the child."""
        answer = self.options.codec.closed(self.name, code, reason)
        self._muted = True
        self._leave(StreamState.CLOSED, code, reason)
        self._tell({"type": "websocket.disconnect", "code": code, "reason": reason})
        await self._send_text(answer)
        await self._socket.stream_ended(self)

    def _tell(self, message: Message) -> None:
        """Give the child its websocket.disconnect, if it has none."""
        if not self._told:
            self._told = True
            self.inbox.disconnect(message)

    def _leave(self, state: StreamState, code: int, reason: str) -> None:
        self.code = code
        self.reason = reason
        self._set_state(state)
        self.inbox.wake()

    def _set_state(self, state: StreamState) -> None:
        before = self.state
        logger.debug("stream %r: %s -> %s", self.name, before, state)
        self.state = state
        self._socket.stream_changed(self, before)

    def _set_deadline(self) -> None:
        if self._deadline is None and self.task is not None and not self.task.done():
            timeout = self.options.consumer_close_timeout
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(timeout, self._expire)

    def _clear_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        """Cancel a child that has not ended in time, again and again if it goes on."""
        assert self.task is not None  # start() sets the deadline
        self._deadline = None
        self._set_deadline()
        if self._answers and not self._socket.left:
            return
        logger.warning(
            "stream %r of %r did not end within %s seconds and is cancelled",
            self.name,
            self.scope.get("path"),
            self.options.consumer_close_timeout,
        )
        self._killed = True
        self.task.cancel()

    async def _run(self) -> None:
        """Run the child, and conclude the stream when it has finished."""
        code: int = CloseCode.INTERNAL_ERROR
        missed = False
        try:
            await self._application(self.scope, self.inbox.receive, self.send)
            code = self._own_code()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it raises ends its stream alone
            missed = isinstance(error, Resolver404) and not self.inbox.started
            if not missed:
                self._log_crash(error)
        try:
            await self._conclude(code, missed)
        finally:
            self._clear_deadline()
            self._socket.stream_finished(self)

    async def _conclude(self, code: int, missed: bool) -> None:
        """Tell the client what it has not been told of the end."""
        self._muted = True
        # From here on only the client's leaving limits the time: it may read slowly.
        self._clear_deadline()
        self._answers += 1
        if self.task is not None and self.task.cancelling():
            # A cancellation that the child did not live to see is not for what follows.
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0)
        try:
            if self.state is StreamState.CLOSING:
                self._set_state(StreamState.CLOSED)
                codec = self.options.codec
                await self._send_text(codec.closed(self.name, self.code, self.reason))
            elif missed and self.live:
                self._leave(StreamState.CLOSED, CloseCode.REFUSED, "")
                await self._socket.reject(UnknownStream(self.name))
                await self._socket.stream_ended(self)
            elif self.live:
                await self._end(code, "")
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as error:  # noqa: BLE001 - the task ends here in any case
            self._log_crash(error)
        await announce(
            stream_closed,
            self._socket.sender,
            stream=self.name,
            scope=self.scope,
            code=self.code,
            opened=self.accepted,
        )

    def _log_crash(self, error: BaseException) -> None:
        if self._killed and isinstance(error, asyncio.CancelledError):
            return
        logger.error("stream %r of %r crashed", self.name, self.scope.get("path"), exc_info=error)

    async def _send_text(self, text: str) -> None:
        await self._socket.send({"type": "websocket.send", "text": text})
