"""The streams of one socket: the table of names, the limits, and the frames that act on it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Iterator
from typing import Any, Final

from .asgi import Message, Scope, Send
from .close_codes import cut_reason, disconnect_message, sendable
from .conf import Options
from .control import Close, Open
from .exceptions import FrameError, InboxFull, StreamNotOpen, TooManyStreams
from .frames import Data
from .inbox import Space
from .outbox import Outbox
from .receivers import finish
from .routing import Match, Routes
from .signals import announce, frame_rejected
from .stream import Stream, StreamState

__all__ = ["Connection"]

#: Seconds that a child has for its turn before the policies `reject` and `close` judge it.
_TURN: Final = 0.05


class Connection:
    """
    What a socket keeps of its streams. Children see only a copy of its scope.

    Args:
        sender: the demultiplexer class, which signals name as their sender.
        scope: the socket's scope.
        send: the server's send.
        routes: what the class declares.
        options: the settings of this connection.
        close_when_empty: whether the socket closes when the server's side has ended the last
            stream, and none can open later.
    """

    __slots__ = (
        "_close_when_empty",
        "_eager",
        "_live_eager",
        "_live_others",
        "_routes",
        "_scope",
        "_streams",
        "_tasks",
        "_unfinished",
        "_used",
        "ended",
        "options",
        "outbox",
        "sender",
        "space",
    )

    def __init__(
        self,
        sender: type,
        scope: Scope,
        send: Send,
        *,
        routes: Routes,
        options: Options,
        close_when_empty: bool,
    ) -> None:
        self.sender = sender
        self.options = options
        #: What goes to the server.
        self.outbox = Outbox(send, scope.get("path"))
        #: What waits in the inboxes.
        self.space = Space(options.max_waiting_size)
        self._scope = scope
        self._routes = routes
        self._eager = routes.eager(options.lazy)
        on_demand = routes.on_demand or len(self._eager) < len(routes.fixed)
        self._close_when_empty = close_when_empty and not on_demand
        # The latest life of each name, while it is not CLOSED.
        self._streams: dict[str, Stream] = {}
        # The lazy names that have been opened: only an `open` opens them again. A list, because an
        # empty set has 160 bytes more, and most connections have none.
        self._used: list[str] = []
        # All lives that have not finished, those that are cleaning up included; and how many
        # of them are live, eager ones and others.
        self._unfinished: set[Stream] = set()
        self._live_eager = 0
        self._live_others = 0
        #: Whether the socket has ended.
        self.ended = False
        # What announces to slow receivers of signals.
        self._tasks: set[asyncio.Task[None]] = set()

    # What a frame does.

    def deliver(self, frame: Data, own: bool) -> Stream | None:
        """
        Put a data frame into its stream's inbox.

        Args:
            own: whether it is as the client has sent it, and not a subclass's.

        Returns:
            None, or the stream if its inbox is full: `overflow` is to deliver the frame then.

        Raises:
            FrameError: if it cannot be delivered.
        """
        stream = self._streams.get(frame.stream)
        if stream is None:
            stream = self._first_use(frame.stream)
        elif not stream.live:
            raise StreamNotOpen(frame.stream)
        return None if stream.inbox.put(frame.message, own) else stream

    async def overflow(self, stream: Stream, frame: Data, own: bool) -> None:
        """
        Deal with a data frame for a full inbox as the overflow policy says.

        Raises:
            FrameError: if it cannot be delivered.
        """
        inbox, options = stream.inbox, stream.options
        patience: float = _TURN
        if options.stream_overflow == "pause":
            patience = options.stall_timeout
        elif inbox.idle:
            patience = 0
        inbox.idle = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience):
                while stream.live and not inbox.put(frame.message, own):
                    await self.space.freed()
                if stream.live:
                    return
        # Also when the time is over: it may have ended, or found room, in the very moment.
        if not stream.live:
            raise StreamNotOpen(stream.name)
        if inbox.put(frame.message, own):
            return
        if options.stream_overflow == "reject":
            raise InboxFull(stream.name)
        stream.stall()

    def missed(self, name: str) -> None:
        """Count a data frame of the client for the stream `name` that does not reach its inbox."""
        stream = self._streams.get(name)
        if stream is not None:
            stream.inbox.missed()

    async def open(self, frame: Open) -> None:
        """
        Carry out a client's `open`.

        Raises:
            FrameError: if the stream cannot be opened.
        """
        stream = self._streams.get(frame.stream)
        if stream is not None and stream.live:
            answer = stream.want(frame.credit)
            if answer is not None:
                await self.send_text(answer)
            return
        predecessor = stream
        match = self._routes.find(frame.stream)
        stream = self._add(match, frame.subprotocols, frame.query)
        # Before it starts: a child may accept at once.
        stream.want(frame.credit)
        if predecessor is None:
            stream.start()
        else:
            predecessor.successor = stream

    def close(self, frame: Close) -> None:
        """
        Carry out a client's `close`.

        Raises:
            FrameError: if there is no open stream of the name.
        """
        stream = self._streams.get(frame.stream)
        if stream is None or not stream.live:
            self._routes.find(frame.stream)
            raise StreamNotOpen(frame.stream)
        stream.close(frame.code, frame.reason)

    # Opening.

    def open_eager(self) -> None:
        """Open the eager streams, once the socket has been accepted; not when it has ended."""
        if self.ended:
            return
        # All before the first starts: it may end at once (asyncio.eager_task_factory).
        for stream in [self._add(match, [], None) for match in self._eager.values()]:
            stream.start()

    def _first_use(self, name: str) -> Stream:
        match = self._routes.find(name)
        if name not in self._routes.fixed or name in self._eager or name in self._used:
            raise StreamNotOpen(name)
        stream = self._add(match, [], None)
        stream.start()
        return stream

    def _add(self, match: Match, subprotocols: list[str], query: str | None) -> Stream:
        name = match.name
        limit = self.options.max_streams
        eager = name in self._eager
        # As many again may be cleaning up, those of eager names included: a client that opens
        # and closes in a loop costs no more than that.
        bounded = len(self._unfinished) - self._live_eager
        if (self._live_others >= limit and not eager) or bounded >= 2 * limit:
            raise TooManyStreams(name, limit)
        scope = self._routes.child_scope(self._scope, match, subprotocols, query)
        codec = self.options.codec
        declared = name in self._routes.fixed
        envelope = codec.declared_envelope(name) if declared else codec.envelope(name)
        stream = Stream(name, match.application, scope, envelope, match.options(self.options), self)
        self._streams[name] = stream
        self._unfinished.add(stream)
        if eager:
            self._live_eager += 1
        else:
            self._live_others += 1
        if declared and not eager and name not in self._used:
            self._used.append(name)
        return stream

    # The end of the socket.

    def close_socket(self, code: int, reason: str) -> asyncio.Future[None] | None:
        """
        Close the socket, or refuse it where it has not been accepted; not when it has ended.

        Returns:
            What is done when the server has been told, None where the socket has ended.

        Raises:
            TypeError, UnicodeEncodeError: if `code` is no integer, or `reason` no string that can
                be UTF-8.
        """
        if self.ended:
            return None
        message: Message = {"type": "websocket.close", "code": sendable(code)}
        if reason:
            message["reason"] = cut_reason(reason)
        # A server may take fewer codes, as Daphne does, which raises.
        instead = {**message, "code": sendable(code, daphne=True)}
        self.disconnect(disconnect_message(message["code"], reason))
        return self.outbox.post(message, instead)

    def disconnect(self, message: Message) -> None:
        """Tell every child that the socket has ended with `message`. Only the first call counts."""
        self.ended = True
        for stream in self._unfinished:
            stream.disconnect(message)

    async def finish(self, *others: asyncio.Task[None]) -> None:
        """
        Wait until every child, and the tasks `others`, have finished. Call `disconnect` first.

        A cancellation is raised then: it does not shorten the time that each of them has.
        """
        self.outbox.shut()
        await finish(lambda: self._owned(*others))

    def _owned(self, *others: asyncio.Task[None]) -> Iterator[asyncio.Task[None]]:
        children = [stream.child.task for stream in self._unfinished]
        for task in (*others, *children, *self._tasks, self.outbox.writer):
            if task is not None:
                yield task

    # What is told to the client.

    async def send_text(self, text: str) -> None:
        """Send a frame, and wait until the server has taken it."""
        await self.outbox.send({"type": "websocket.send", "text": text})

    async def reject(self, error: FrameError) -> None:
        """Tell the client of `error`, unless the socket has ended meanwhile."""
        if self.ended:
            return
        await self.send_text(self.options.codec.error(error))
        await self._announce_rejected(error)

    # What a stream needs of its connection.

    def run(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run what is not to hold up a stream; `finish` waits for it."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def rejected(self, error: FrameError) -> None:
        """Announce `error`, of which the stream tells the client."""
        if frame_rejected.receivers:
            self.run(self._announce_rejected(error))

    async def _announce_rejected(self, error: FrameError) -> None:
        await announce(
            frame_rejected,
            self.sender,
            stream=error.stream,
            scope=self._scope,
            status=error.status,
        )

    def stream_changed(self, stream: Stream, before: StreamState) -> None:
        """Count a stream that is no longer live; forget the name of one that is closed."""
        # One that stalled before it could start counts until the client is told.
        if not stream.live and (before is StreamState.CLOSING) is stream.stalled:
            if stream.name in self._eager:
                self._live_eager -= 1
            else:
                self._live_others -= 1
        if stream.state is StreamState.CLOSED and self._streams.get(stream.name) is stream:
            del self._streams[stream.name]

    def stream_ended(self, stream: Stream) -> None:
        """Close the socket where the server's side has ended its last stream."""
        empty = not self._live_eager and not self._live_others
        if empty and self._close_when_empty:
            self.close_socket(stream.code, stream.reason)

    def stream_finished(self, stream: Stream) -> None:
        """Start the next life of the name, if one waits."""
        self._unfinished.discard(stream)
        if stream.successor is not None and not self.ended:
            stream.successor.start()
