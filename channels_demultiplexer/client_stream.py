"""
A stream of the Python client: from its `open` to its `close`, with its mailbox and its requests.

`client.py` is the socket that carries it, and the module to import from.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from collections import deque
from collections.abc import AsyncIterator, Generator, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self
from uuid import uuid4

from websockets.exceptions import ConcurrencyError, ConnectionClosedOK
from websockets.protocol import State

from . import jsontext
from .client_errors import FrameRefused, StreamClosed, StreamRefused
from .close_codes import CloseCode
from .status import StatusCodes

if TYPE_CHECKING:
    from .client import Connection

__all__ = ["MAX_QUEUE", "Answer", "Stream"]

#: Messages that may wait to be taken.
MAX_QUEUE: Final = 1000


class Answer(NamedTuple):
    """What a router consumer answers to a request."""

    status: int
    payload: Any
    headers: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether the status is below 400."""
        return self.status < 400


class Stream:
    """
    A stream, from its opening to its end. Made by `Connection.stream`.

    Enter it with `async with`, which closes it at the end of the block, or open it with `await`
    and call `close`. For another life of it, make another.

    Attributes:
        name: the name.
        state: `websockets.protocol.State`, CLOSED before it is opened.
        subprotocol: the one that the consumer selected, or None.
        close_code, close_reason: how it ended, None before; the socket's where that has closed.
    """

    def __init__(
        self,
        socket: Connection,
        name: str,
        opening: str,
        max_queue: int | None = MAX_QUEUE,
        open_timeout: float | None = None,
    ) -> None:
        self.name = name
        self.state = State.CLOSED
        self.subprotocol: str | None = None
        self.close_code: int | None = None
        self.close_reason: str | None = None
        self._socket = socket
        # The `open`; "" where the server has opened it unasked.
        self._opening = opening
        self._max_queue = max_queue
        self._open_timeout = open_timeout
        self._envelope = socket._codec.envelope(name)
        # Done when the server has confirmed the `open`.
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Done when the stream has ended.
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        # Why nothing can be sent, and where it is closed why nothing comes.
        self._error: Exception | None = RuntimeError(
            "the stream is not open: use `async with` or `await` first"
        )
        # The mailbox: what has come and was not taken, and who waits for more.
        self._messages: deque[str | bytes | FrameRefused] = deque()
        self._reader: asyncio.Future[None] | None = None
        # What ends it where it was full: nothing more is taken then.
        self._overflow: StreamClosed | None = None
        # A permit for each data frame that may be sent, enough for ever where there is no credit.
        self._credit = asyncio.Semaphore(sys.maxsize)
        # By uuid. All begin with the stream's own: so an answer is known for one, whose request may
        # have been given up.
        self._requests: dict[str, asyncio.Future[Any]] = {}
        self._uuid = uuid4().hex
        self._numbers = itertools.count()

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._open_timeout):
                await self._claim()
                try:
                    await asyncio.wait(
                        [self._opened, self._ended], return_when=asyncio.FIRST_COMPLETED
                    )
                except asyncio.CancelledError:
                    self._leave()
                    raise
        except TimeoutError:
            raise TimeoutError(f"timed out opening the stream {self.name!r}") from None
        if not self._opened.done():
            self._check()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def __aiter__(self) -> AsyncIterator[Any]:
        """
        Iterate over what `recv_json` returns, until the stream ends with 1000 or 1001.

        Raises:
            FrameRefused: see `recv`.
            StreamClosed: if it ended otherwise, whichever side closed it, or its mailbox was full.
            websockets.exceptions.ConnectionClosedError: if the connection failed.
        """
        try:
            while True:
                yield await self.recv_json()
        except StreamClosed as closed:
            if closed.code not in (1000, 1001):
                raise
        except ConnectionClosedOK:
            return

    async def recv(self) -> str | bytes:
        """
        Return the next message, exactly as the consumer sent it: text as str, or bytes.

        What came before the end can still be taken after it. A cancelled call loses nothing.

        Raises:
            FrameRefused: if a frame sent before was refused.
            StreamClosed: if the stream has ended and all has been taken.
            websockets.exceptions.ConnectionClosed: the same, where the whole socket has closed.
            websockets.exceptions.ConcurrencyError: if another task waits for a message.
        """
        while not self._messages:
            if self.state is not State.CLOSING:
                self._check()
            if self._reader is not None:
                raise ConcurrencyError(f"another task already waits for {self.name!r}")
            self._reader = asyncio.get_running_loop().create_future()
            try:
                await self._reader
            finally:
                self._reader = None
        message = self._messages.popleft()
        if isinstance(message, FrameRefused):
            raise message
        return message

    async def recv_json(self) -> Any:
        """Return the next message as a value: JSON decoded, other text and bytes as they are."""
        return _value(await self.recv())

    async def send(self, message: str | bytes) -> None:
        """
        Send text or bytes. Waits for credit, where the server gives it, and for the transport.

        Raises:
            FrameTooLarge: if the frame would have more bytes than `max_frame_size`.
            StreamClosed: if the stream has ended or is closing.
            websockets.exceptions.ConnectionClosed: if the socket has closed.
        """
        if isinstance(message, str):
            frame = self._envelope.text(message).encode()
        else:
            frame = self._envelope.bytes(message)
        self._socket._check_size(frame)
        await self._credit.acquire()
        if self.state is not State.OPEN:
            self._credit.release()  # the next in line is to learn of the end too
        self._check()
        await self._socket.send(frame, text=isinstance(message, str))

    async def send_json(self, value: Any) -> None:
        """
        Send a value as JSON. Raises what `send` does, and ValueError for NaN and infinity.
        """
        await self.send(json.dumps(value, allow_nan=False, separators=(",", ":")))

    async def send_bytes(self, data: bytes) -> None:
        """Send bytes. Raises what `send` does."""
        await self.send(data)

    async def request(
        self,
        route: str,
        payload: Any = None,
        *,
        headers: Mapping[str, Any] | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """
        Send a request to a router consumer, and return its answer, whatever its status.

        Args:
            timeout: seconds for both, None for no limit.

        Raises:
            TimeoutError: if there is no answer in time. One that comes later is dropped.
            FrameRefused: if a frame was refused since, perhaps this one.
            StreamClosed, websockets.exceptions.ConnectionClosed: if the stream ends before.
        """
        uuid = f"{self._uuid}-{next(self._numbers)}"
        answer = self._requests[uuid] = asyncio.get_running_loop().create_future()
        request = {"route": route, "uuid": uuid, "headers": headers, "payload": payload}
        try:
            async with asyncio.timeout(timeout):
                await self.send_json(request)
                result = await answer
        finally:
            del self._requests[uuid]
        if isinstance(result, Exception):
            raise result
        return Answer(result["status"], result.get("payload"), result.get("headers") or {})

    async def close(self, code: int = CloseCode.NORMAL.value, reason: str = "") -> None:
        """
        Leave the stream, and wait for the acknowledgement. Does nothing where it is closed.

        What the consumer sends until then can still be taken. Where the call is cancelled the
        stream closes all the same, and whoever opens it anew waits for that.

        Raises:
            MalformedFrame: if `code` is not from 1000 to 4999, or `reason` no string.
            FrameTooLarge: if the reason is too long for the server.
            TimeoutError: if it takes longer than the `close_timeout` of `connect`.
        """
        if self.state is State.CLOSED:
            return
        self._leave(code, reason)
        await asyncio.wait([self._ended], timeout=self._socket.close_timeout)
        if not self._ended.done():
            raise TimeoutError(f"timed out closing the stream {self.name!r}")

    async def _claim(self) -> None:
        """Take the name, once its last life has ended, and say `open`."""
        streams = self._socket._streams
        # Lives of one name don't overlap here: else a 429 could be the answer to either.
        while (earlier := streams.get(self.name)) and earlier.state is State.CLOSING:
            await asyncio.wait([earlier._ended])
        if self._ended.done():
            raise RuntimeError("a stream is opened once: call stream() for another life of it")
        if earlier is not None:
            if earlier._opening:
                raise ValueError(
                    f"{self.name!r} is open already: with another label it is another stream"
                )
            self._messages = earlier._messages
        self._socket._begin(self)

    def _check(self) -> None:
        """Raise what has ended the stream, if it has."""
        if self._error is not None:
            raise self._error.with_traceback(None)  # to which each raising would add

    def _leave(self, code: int = CloseCode.NORMAL.value, reason: str = "") -> None:
        """Say `close` without waiting: who is cancelled could not, nor the one who listens."""
        if self.state in (State.CONNECTING, State.OPEN):
            self._socket._post(self._socket._control(self.name, "close", code=code, reason=reason))
            self.state = State.CLOSING
            self._error = StreamClosed(self.name, code, reason)
            self._grant(1)

    # What the connection has heard. None of it waits.

    def _accept(self, subprotocol: str | None, credit: int | None) -> None:
        if self.state is State.CONNECTING:
            self.state, self._error = State.OPEN, None
            self.subprotocol = subprotocol
            if credit is not None:
                self._credit = asyncio.Semaphore(credit)
        if not self._opened.done():
            self._opened.set_result(None)

    def _grant(self, credit: int) -> None:
        for _ in range(credit):
            self._credit.release()

    def _put(self, message: str | bytes | FrameRefused) -> None:
        if isinstance(message, str) and self._uuid in message:
            value = _value(message)
            uuid = value.get("uuid") if isinstance(value, dict) and "status" in value else None
            if isinstance(uuid, str) and uuid.startswith(self._uuid):
                answer = self._requests.get(uuid)
                if answer is not None and not answer.done():
                    answer.set_result(value)
                return
        if self._full:
            # To stop reading would hold up every stream, and nothing may be missing in between.
            reason = f"{self._max_queue} messages wait unread"
            self._overflow = StreamClosed(self.name, CloseCode.TRY_AGAIN_LATER.value, reason)
            self._leave(self._overflow.code, reason)
        elif self._overflow is None:
            self._messages.append(message)
            self._wake()

    @property
    def _full(self) -> bool:
        limit = self._max_queue
        return self._overflow is None and limit is not None and len(self._messages) >= limit

    def _refuse(self, status: int, reason: str) -> None:
        """Take an error frame. A 409 says nothing: the stream's `close` tells of the end."""
        if status == StatusCodes.CONFLICT:
            return
        error = FrameRefused(self.name, status, reason)
        if not self._opened.done():
            self._end(error)
        elif not self._fail_requests(error):
            self._put(error)

    def _close(self, code: int, reason: str) -> None:
        if self._messages and not self._opened.done():
            # Of an eager stream: its end has crossed with our `open`, which is yet to be answered.
            self._messages.clear()
            return
        error = (StreamClosed if self._opened.done() else StreamRefused)(self.name, code, reason)
        self._end(error, code, reason)

    def _end(self, error: Exception, code: int | None = None, reason: str | None = None) -> None:
        self.state = State.CLOSED
        self.close_code, self.close_reason = code, reason
        self._error = self._overflow or error
        del self._socket._streams[self.name]
        self._ended.set_result(None)
        self._wake()
        self._grant(1)
        self._fail_requests(error)

    def _fail_requests(self, error: Exception) -> bool:
        """Tell the requests that wait of an error, and say whether there are any."""
        # One that has its answer, or was given up, may still be there.
        waiting = [answer for answer in self._requests.values() if not answer.done()]
        for answer in waiting:
            answer.set_result(error)
        return bool(waiting)

    def _wake(self) -> None:
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)


def _value(message: str | bytes) -> Any:
    """Return what is meant by a message: the server sends as JSON what is JSON."""
    if isinstance(message, bytes):
        return message
    try:
        return jsontext.decode(message)
    except (ValueError, RecursionError):
        return message
