"""The streams of one socket: the table of names, the limits, and the frames that act on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging

from .conf import Options
from .exceptions import FrameError, InboxFull, StreamNotOpen, TooManyStreams
from .frames import Close, Data, Open
from .routing import Match, Message, Routes, Scope, Send
from .signals import announce, frame_rejected
from .stream import Stream, StreamState

__all__ = ["Connection"]

logger = logging.getLogger("channels_demultiplexer")


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
        self._scope = scope
        self._server_send = send
        self._routes = routes
        self._eager = routes.eager(options.lazy)
        on_demand = routes.on_demand or len(self._eager) < len(routes.fixed)
        self._close_when_empty = close_when_empty and not on_demand
        # Sends of several tasks wait for one another: a server whose send blocks may let a later
        # call overtake an earlier one, and a stream's close its data.
        self._turn = asyncio.Lock()
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
        #: Whether the client has left, and nobody is to be answered.
        self.left = False
        # Whether the server has refused to send, because the client has gone.
        self._gone = False

    # What a frame does.

    def deliver(self, frame: Data) -> Stream | None:
        """
        Put a data frame into its stream's inbox.

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
        return None if stream.inbox.put(frame.message) else stream

    async def overflow(self, stream: Stream, frame: Data) -> None:
        """
        Deal with a data frame for a full inbox as the overflow policy says.

        Raises:
            FrameError: if it cannot be delivered.
        """
        policy = stream.options.stream_overflow
        if policy == "reject":
            raise InboxFull(stream.name, stream.options.stream_capacity)
        if policy == "close":
            await stream.stall()
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(stream.options.stall_timeout):
                await stream.room()
        # Also when the time is over: it may have ended, or found room, in the very moment.
        if not stream.live:
            raise StreamNotOpen(stream.name)
        if not stream.inbox.put(frame.message):
            await stream.stall()

    async def open(self, frame: Open) -> None:
        """
        Carry out a client's `open`.

        Raises:
            FrameError: if the stream cannot be opened.
        """
        stream = self._streams.get(frame.stream)
        if stream is None or not stream.live:
            match = self._routes.find(frame.stream)
            predecessor = stream
            stream = self._add(match, frame.subprotocols, frame.query)
            if predecessor is None:
                stream.start()
            else:
                predecessor.successor = stream
        await stream.want()

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
        for match in self._eager.values():
            self._add(match, [], None).start()

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

    async def close_socket(self, code: int, reason: str) -> None:
        """Close the socket, or refuse it where it has not been accepted; not when it has ended."""
        if self.ended:
            return
        self.disconnect({"type": "websocket.disconnect", "code": code, "reason": reason})
        message = {"type": "websocket.close", "code": code}
        await self.send({**message, "reason": reason} if reason else message)

    def disconnect(self, message: Message) -> None:
        """Tell every child that the socket has ended with `message`. Only the first call counts."""
        if self.ended:
            return
        self.ended = True
        for stream in list(self._unfinished):
            stream.disconnect(message)

    async def finish(self, *others: asyncio.Task[None]) -> None:
        """
        Wait until every child, and the tasks `others`, have finished. Call `disconnect` first.

        A cancellation is raised then: it does not shorten the time that each of them has.
        """
        self.left = True
        cancelled = False
        tasks = [*others, *(stream.task for stream in self._unfinished)]
        while waiting := [task for task in tasks if task and not task.done()]:
            try:
                await asyncio.wait(waiting)
            except asyncio.CancelledError:
                cancelled = True
        if cancelled:
            raise asyncio.CancelledError

    # What a stream needs of its socket.

    async def send(self, message: Message) -> None:
        """Send a message to the server, after those that wait already."""
        # Not "async with", which makes two more coroutines: 6 % of what a frame costs.
        await self._turn.acquire()
        try:
            if not self._gone:
                await self._server_send(message)
        except OSError as error:
            # So says the ASGI specification of a client that has gone. The disconnect is on its
            # way: a child that lives to receive it leaves its groups.
            self._gone = True
            logger.debug("%r has gone: %r", self._scope.get("path"), error)
        finally:
            self._turn.release()

    async def reject(self, error: FrameError) -> None:
        """Tell the client of `error`, unless the socket has ended meanwhile."""
        if self.ended:
            return
        await self.send({"type": "websocket.send", "text": self.options.codec.error(error)})
        await announce(
            frame_rejected,
            self.sender,
            stream=error.stream,
            scope=self._scope,
            status=error.status,
        )

    def stream_changed(self, stream: Stream, before: StreamState) -> None:
        """Count a stream that is no longer live; forget the name of one that is closed."""
        if before is not StreamState.CLOSING and not stream.live:
            if stream.name in self._eager:
                self._live_eager -= 1
            else:
                self._live_others -= 1
        if stream.state is StreamState.CLOSED and self._streams.get(stream.name) is stream:
            del self._streams[stream.name]

    async def stream_ended(self, stream: Stream) -> None:
        """Close the socket where the server's side has ended its last stream."""
        empty = not self._live_eager and not self._live_others
        if empty and self._close_when_empty:
            await self.close_socket(stream.code, stream.reason)

    def stream_finished(self, stream: Stream) -> None:
        """Start the next life of the name, if one waits."""
        self._unfinished.discard(stream)
        if stream.successor is not None and not self.ended:
            stream.successor.start()
