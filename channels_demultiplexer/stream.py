"""
One child application: its states, and what its sends mean.

A stream knows nothing of other streams. What it needs of its socket, its connection does.
"""

from __future__ import annotations

import asyncio
import logging
from enum import Enum, auto
from typing import TYPE_CHECKING

from django.urls.exceptions import Resolver404

from .asgi import ASGIApplication, Message, Scope
from .child_task import ChildTask
from .close_codes import CloseCode, disconnect_message
from .conf import Options
from .database import spare
from .envelope import Envelope
from .exceptions import UnknownStream
from .inbox import Inbox
from .signals import announce, stream_closed, stream_opened

if TYPE_CHECKING:
    from .connection import Connection

__all__ = ["Stream", "StreamState"]

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


# A tuple, because a member of an Enum is looked up slowly.
_LIVE = (StreamState.OPENING, StreamState.OPEN)

# After so many messages of a child others get their turn.
_BREATH = 64


class Stream:
    """
    A stream and its child.

    OPENING becomes OPEN when the child accepts. All else that happens to the state is an end:

    =================== ======= ======= ============== =================== ===================
    who ends it         from    to      code           the client gets     the child gets
    =================== ======= ======= ============== =================== ===================
    client's `close`    live    CLOSING the client's   (at the finish)     its time at once
    child closes        live    CLOSED  its own; 1000  a `close`           its time, when the
                                        or 4403                            client was told
    child closes        CLOSING CLOSING the client's   (at the finish)     (has its time)
    child returns       live    CLOSED  1000 or 4403   a `close`           (has finished)
    child raises        live    CLOSED  1011           a `close`           (has finished)
    its router misses   live    CLOSED  4403           an error, 404       (has finished)
    child finishes      CLOSING CLOSED  the client's   a `close`           (has finished)
    stall               live    CLOSED  1013           a `close`           as for its close
    stall before start  OPENING CLOSING                (at the start)      (is not there)
    start after a stall CLOSING CLOSED  1013           a `close`           as for its close
    end of the socket   others  CLOSED  the socket's   nothing             its time at once
    =================== ======= ======= ============== =================== ===================

    Live is OPENING or OPEN; 4403 is for a child that has not accepted. With its time it gets its
    websocket.disconnect. What it sends in CLOSED is dropped, and in CLOSING after its own close
    or a stall.

    The end is told once to each side: answers to the client are posted to the connection's outbox,
    so that whoever caused them, and gives up or is cancelled, owes nobody anything. When the
    child's time is over, it is cancelled, again and again. When it has finished and the client
    has been told, the end is announced, and the next life of the name begins.

    Args:
        name: the stream's name.
        application: the child.
        scope: the child's scope.
        envelope: wraps what the child sends.
        options: the stream's settings.
        connection: the streams of the socket.
    """

    __slots__ = (
        "_answer",
        "_application",
        "_connection",
        "_envelope",
        "_grant",
        "_muted",
        "_opening",
        "_promised",
        "_sent",
        "_wanted",
        "accepted",
        "child",
        "code",
        "inbox",
        "name",
        "options",
        "reason",
        "scope",
        "stalled",
        "state",
        "subprotocol",
        "successor",
    )

    def __init__(
        self,
        name: str,
        application: ASGIApplication,
        scope: Scope,
        envelope: Envelope,
        options: Options,
        connection: Connection,
    ) -> None:
        self.name = name
        self.scope = scope
        self.options = options
        self._application = application
        self._connection = connection
        self._envelope = envelope
        self.state = StreamState.OPENING
        #: Whether the child has accepted; it may do so in CLOSING too.
        self.accepted = False
        #: What the child selected in accepting.
        self.subprotocol: str | None = None
        #: How the stream ended. Set by its end.
        self.code: int = CloseCode.NORMAL.value
        self.reason = ""
        #: Whether it stalled before it could start.
        self.stalled = False
        #: The next life of the name.
        self.successor: Stream | None = None
        #: Runs the child.
        self.child = ChildTask(options.consumer_close_timeout, name, scope.get("path"))
        #: What the child receives. Data is put into it only while the stream is live.
        self.inbox = Inbox(options.stream_capacity, connection.space)
        # Whether an `open` waits for the child, and the credit that its answer tells of.
        self._wanted = False
        self._promised: int | None = None
        # The last grant of credit.
        self._grant: asyncio.Future[None] | None = None
        # Whether what the child sends is dropped.
        self._muted = False
        # What tells the client of the end, and what announces the acceptance.
        self._answer: asyncio.Future[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        # How many messages the child has sent.
        self._sent = 0

    @property
    def live(self) -> bool:
        """Whether the stream is opening or open."""
        return self.state in _LIVE

    # What the connection does to the stream.

    def want(self, credit: bool) -> str | None:
        """
        Note a client's `open`. Only while live.

        Args:
            credit: whether it asks for credit.

        Returns:
            The answer, None where it is to come when the child accepts.
        """
        granted = self.inbox.begin_credit(self._grant_more) if credit else None
        if self.accepted:
            return self.options.codec.opened(self.name, self.subprotocol, granted)
        self._wanted = True
        if credit:
            self._promised = granted
        return None

    def start(self) -> None:
        """Start the child. A predecessor of the same name must have finished."""
        self.child.start(self._run(), self._child_finished)
        if self.stalled:
            self.stall()
        elif not self.live:
            self.child.end()

    def close(self, code: int, reason: str) -> None:
        """Carry out a client's `close`, which is answered when the child has finished."""
        self._end(StreamState.CLOSING, disconnect_message(code, reason), None)

    def stall(self) -> None:
        """End the stream because its inbox stayed full: where it has not started, at its start."""
        self.inbox.clear()
        self._muted = True
        if self.child.running:
            message = disconnect_message(CloseCode.TRY_AGAIN_LATER, "")
            self._end(StreamState.CLOSED, message, self._closed(message))
        else:
            # The end of its predecessor is to be answered first.
            self.stalled = True
            self._set_state(StreamState.CLOSING)

    def disconnect(self, message: Message) -> None:
        """End the stream because the socket has ended with `message`, its websocket.disconnect."""
        if self.state is StreamState.CLOSED:
            self.child.end()
        else:
            self._end(StreamState.CLOSED, {**message}, None)

    # What the child calls.

    async def send(self, message: Message) -> None:
        """
        Take a message of the child. Returns when the server has taken it.

        Raises:
            RuntimeError: if it has not accepted, or accepts twice, or the message has no meaning.
            TypeError, UnicodeEncodeError: if a text, code, reason or subprotocol is of the wrong
                type, or cannot be UTF-8.
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
                wrapped: Message = {"type": "websocket.send", "text": self._envelope.text(text)}
            else:
                data = self._envelope.bytes(message["bytes"])
                wrapped = {"type": "websocket.send", "bytes": data}
            await self._connection.outbox.send(wrapped)
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

    async def _accept(self, subprotocol: str | None) -> None:
        if self.accepted:
            raise RuntimeError(
                f"stream {self.name!r}: websocket.accept, but it has accepted already"
            )
        answer = self.options.codec.opened(self.name, subprotocol, self._promised)
        self.accepted = True
        self.subprotocol = subprotocol
        if self.state is StreamState.OPENING:
            self._set_state(StreamState.OPEN)
        told = self._post(answer) if self._wanted else None
        self.inbox.accept()
        if stream_opened.receivers:
            self._opening = self._connection.run(
                announce(stream_opened, self._connection.sender, stream=self.name, scope=self.scope)
            )
            await asyncio.shield(self._opening)
        if told is not None:
            await asyncio.shield(told)

    async def _child_close(self, code: int | None, reason: str) -> None:
        message = disconnect_message(self._own_code() if code is None else code, reason)
        answer = self._closed(message)
        if self.state is StreamState.CLOSING:
            self._muted = True  # the client's close is answered with the client's code
        else:
            told = self._end(StreamState.CLOSED, message, answer)
            assert told is not None  # there is an answer
            await asyncio.shield(told)

    def _own_code(self) -> CloseCode:
        """The code for an end for which the child gives none."""
        return CloseCode.NORMAL if self.accepted else CloseCode.REFUSED

    def _grant_more(self, credit: int) -> None:
        """Let the client send more; the child takes no data until the server has taken that."""
        self.inbox.hold()
        self._grant = self._post(self.options.codec.credit(self.name, credit))
        self._grant.add_done_callback(lambda _: self.inbox.release())

    # The end.

    def _end(
        self, state: StreamState, disconnect: Message, answer: str | None
    ) -> asyncio.Future[None] | None:
        """
        End the stream: see the table above.

        Args:
            state: CLOSING or CLOSED.
            disconnect: the child's websocket.disconnect, if it has got none.
            answer: what tells the client, None where nothing does, or not yet.

        Returns:
            What is done when the server has taken the answer, None where there is none.
        """
        by_client = self.state is StreamState.CLOSING and not self.stalled
        code = disconnect.get("code")
        self.code = CloseCode.NO_STATUS.value if code is None else code
        self.reason = disconnect.get("reason") or ""
        if state is StreamState.CLOSED:
            self._muted = True
        self._set_state(state)
        if self._grant is not None:
            self._connection.outbox.withdraw(self._grant)
        self.inbox.disconnect(disconnect)
        self._connection.space.wake()
        if answer is None:
            self.child.end()
            return None
        told = self._answer = self._post(answer)
        # Not before: the client may read slowly.
        told.add_done_callback(lambda _: self.child.end())
        if not by_client:
            self._connection.stream_ended(self)
        return told

    def _child_finished(self, error: BaseException | None) -> None:
        """Conclude the stream when the child has finished."""
        self.inbox.finish()
        missed = isinstance(error, Resolver404) and not self.inbox.started
        if error is not None and not missed:
            self._log_crash(error)
        code = self.code
        if self.live:
            code = self._own_code() if error is None or missed else CloseCode.INTERNAL_ERROR
        message = disconnect_message(code, self.reason)
        if self.live and missed:
            unknown = UnknownStream(self.name)
            self._connection.rejected(unknown)
            self._end(StreamState.CLOSED, message, self.options.codec.error(unknown))
        elif self.state is not StreamState.CLOSED:
            self._end(StreamState.CLOSED, message, self._closed(message))
        if self._answer is None or self._answer.done():
            self._announce_end()
        else:
            self._answer.add_done_callback(lambda _: self._announce_end())

    def _announce_end(self) -> None:
        if stream_closed.receivers:
            self._connection.run(self._finish())
        else:
            self._connection.stream_finished(self)

    async def _finish(self) -> None:
        if self._opening is not None:
            await self._opening
        await announce(
            stream_closed,
            self._connection.sender,
            stream=self.name,
            scope=self.scope,
            code=self.code,
            opened=self.accepted,
        )
        self._connection.stream_finished(self)

    def _closed(self, disconnect: Message) -> str:
        return self.options.codec.closed(self.name, disconnect["code"], disconnect["reason"])

    def _post(self, text: str) -> asyncio.Future[None]:
        return self._connection.outbox.post({"type": "websocket.send", "text": text})

    def _set_state(self, state: StreamState) -> None:
        before = self.state
        logger.debug("stream %r: %s -> %s", self.name, before, state)
        self.state = state
        self._connection.stream_changed(self, before)

    async def _run(self) -> None:
        spare(self._connection.options.database_checks)
        await self._application(self.scope, self.inbox.receive, self.send)

    def _log_crash(self, error: BaseException) -> None:
        if self.child.killed and isinstance(error, asyncio.CancelledError):
            return
        logger.error("stream %r of %r crashed", self.name, self.scope.get("path"), exc_info=error)
