"""
A client in Python: the streams of one WebSocket, for scripts, devices, workers and tests.

`websockets` does the WebSocket, and this what the protocol adds. It needs the extra `client`, and
imports no Django. `docs/howto/python_client.rst` shows how it is used.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import sys
from collections.abc import AsyncIterator, Generator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as websockets_connect
from websockets.exceptions import ConcurrencyError, ConnectionClosed
from websockets.protocol import State

from .client_errors import FrameRefused, StreamClosed, StreamError, StreamRefused
from .client_stream import MAX_QUEUE, Answer, Stream
from .close_codes import CloseCode
from .exceptions import FrameError, FrameTooLarge
from .frames import CONTROL_FIELDS, SUBPROTOCOL, Codec, Data, Frame

__all__ = [
    "Answer",
    "Connection",
    "FrameRefused",
    "Stream",
    "StreamClosed",
    "StreamError",
    "StreamRefused",
    "connect",
]

logger = logging.getLogger("channels_demultiplexer")

# Turns of the event loop that the reader of a full mailbox has to take a message: one that keeps
# up, by way of tasks and timeouts too, loses nothing, and no other stream feels them.
_TURNS: Final = 10
#: The keys that settings may rename.
_KEYS: Final = ("stream", "payload", "text", "event")
#: What a server's control frame may have, its type and what stands for its absence.
_EVENT_FIELDS: Final = (
    ("event", str),
    ("stream", str | None, None),
    ("subprotocol", str | None, None),
    ("credit", int | None, None),
    ("code", int, CloseCode.NORMAL.value),
    ("reason", str, ""),
    ("status", int, 0),
    ("payload", Any, None),
)


class Connection(ClientConnection):
    """
    A connection of `websockets`, with all that those have, that carries streams.

    From the first stream on a task of its own reads it, until it has closed: `recv` is not for
    others then.

    Attributes:
        max_frame_size: the most bytes of a frame that streams send.
    """

    def __init__(
        self, *args: Any, keys: Mapping[str, str], max_frame_size: int, **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._codec = Codec(
            stream_key=keys["stream"],
            payload_key=keys["payload"],
            text_key=keys["text"],
            event_key=keys["event"],
            manage_envelope=True,
            max_frame_size=sys.maxsize,  # of what comes, `websockets` limits the size
        )
        self._keys = keys
        self.max_frame_size = max_frame_size
        self._event_type = msgspec.defstruct("_Event", _EVENT_FIELDS, rename=dict(keys))
        # By name: what is opening, open or closing, and what came open without being asked for.
        self._streams: dict[str, Stream] = {}
        # Returns why it has ended. None until the first stream opens.
        self._listening: asyncio.Task[Exception] | None = None

    def stream(
        self,
        name: str,
        *,
        subprotocols: Sequence[str] = (),
        query: str | None = None,
        max_queue: int | None = MAX_QUEUE,
        open_timeout: float | None = 10,
    ) -> Stream:
        """
        Return a stream, which opens where it is entered or awaited.

        Args:
            name: such as "room/5/", with a label "room/5/#2": 1 to 255 bytes of UTF-8.
            subprotocols: what the consumer may select from: a list or a tuple, and not of "".
            query: the consumer's query string. With the subprotocols it has at most 8192 bytes.
            max_queue: messages that may wait to be taken, or None for no limit. At one more, the
                stream is closed with 1013: to wait would hold up the other streams.
            open_timeout: seconds to open it, or None.

        Raises:
            MalformedFrame, FrameTooLarge: if name, subprotocols or query cannot be sent.

        Opening it raises:
            StreamRefused: if its consumer refuses, or crashes first.
            FrameRefused: if there is no such stream (404), or too many are open (429).
            ValueError: if it is open on this connection.
            TimeoutError: after `open_timeout`.
            websockets.exceptions.ConnectionClosed: if the socket is closed.
        """
        fields = {} if query is None else {"query": query}
        opening = self._control(name, "open", credit=True, subprotocols=subprotocols, **fields)
        return Stream(self, name, opening, max_queue, open_timeout)

    async def close(self, code: int = CloseCode.NORMAL.value, reason: str = "") -> None:
        """Close the socket, as that of `websockets`: streams end with it. Leaves no task."""
        try:
            await super().close(code, reason)
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        finally:
            if self._listening is not None and self.transport.is_closing():
                await asyncio.wait([self._listening])

    async def _listen(self) -> Exception:
        """Hand on what comes, until the socket has closed; tell the streams, and return why."""
        error: Exception | None = None
        try:
            while True:
                await self._hear(await self.recv())
        except (ConnectionClosed, ConcurrencyError) as ended:
            error = ended
        except Exception:
            logger.exception("the client failed at a message of the server")
        finally:
            if error is None:
                # It failed, or the event loop ends. With nobody to listen, each stream would wait
                # for ever. RFC 6455, section 7.1.7: not close(), which waits for an answer.
                self.protocol.fail(CloseCode.INTERNAL_ERROR.value)
                self.send_data()
                self.transport.abort()
                self.protocol.receive_eof()
                error = self.protocol.close_exc
            for stream in list(self._streams.values()):
                stream._leave()  # where the socket goes on: others receive from it
                stream._end(error, self.close_code, self.close_reason)
        return error

    def _begin(self, stream: Stream) -> None:
        """Say `open` for a stream, and listen."""
        if self._listening is not None and self._listening.done():
            raise self._listening.result().with_traceback(None)
        self._streams[stream.name] = stream
        stream.state = State.CONNECTING
        self._post(stream._opening)
        # Not before: an eager task may have ended already, and have told all streams.
        if self._listening is None:
            self._listening = asyncio.create_task(self._listen())

    def _control(self, name: str, event: str, **fields: Any) -> str:
        """Write a control frame that the server will take, or raise what it would answer."""
        frame = json.dumps({self._keys["stream"]: name, self._keys["event"]: event, **fields})
        self._codec.parse(frame)
        self._check_size(frame)
        return frame

    def _check_size(self, frame: str | bytes) -> None:
        """Raise for a frame that is ASCII, or encoded, if it is larger than the server takes."""
        if len(frame) > self.max_frame_size:
            raise FrameTooLarge(len(frame), self.max_frame_size)

    def _post(self, frame: str) -> None:
        """Write a control frame at once: these are few and small, and none may be held up."""
        # No other state can be told anything, and one that closes ends the streams.
        if self.state is State.OPEN:
            self.protocol.send_text(frame.encode())
            self.send_data()

    async def _hear(self, message: str | bytes) -> None:
        """Hand a message on."""
        try:
            if isinstance(message, bytes):
                frame: Frame | None = self._codec.parse_binary(message)
            else:
                frame = self._codec.parse(message)
        except FrameError:
            frame = None  # perhaps of the kinds that only servers send
        if isinstance(frame, Data):
            stream = self._streams.get(frame.stream) or self._unasked(frame.stream)
            stream._put(frame.message["text" if isinstance(message, str) else "bytes"])
            for _ in range(_TURNS):
                if not stream._full:
                    break
                await asyncio.sleep(0)
        else:
            self._hear_event(message)

    def _hear_event(self, message: str | bytes) -> None:
        try:
            event: Any = msgspec.convert(json.loads(message), self._event_type)
        except (ValueError, RecursionError, msgspec.ValidationError):
            self.logger.warning("ignored a message that is no frame: %.200r", message)
            return
        stream = self._streams.get(event.stream)
        reason = event.payload.get("error", "") if isinstance(event.payload, dict) else ""
        match event.event:
            case "error" if event.stream is None:
                self.logger.warning("a frame was refused with %d %s", event.status, reason)
            case "open" if stream is None and event.stream is not None:
                # The answer to an `open` for which another `close` was taken: see `_close`.
                self._unasked(event.stream)._leave()
            case "open" if stream is not None:
                stream._accept(event.subprotocol, event.credit)
            case "credit" if stream is not None:
                stream._grant(event.credit or 0)
            case "error" if stream is not None:
                stream._refuse(event.status, reason)
            case "close" if stream is not None:
                stream._close(event.code, event.reason)

    def _unasked(self, name: str) -> Stream:
        """Return a stream that nobody here has opened: its messages wait for who will."""
        stream = self._streams[name] = Stream(self, name, "")
        stream.state = State.CONNECTING
        stream._accept(None, None)
        return stream


class connect(websockets_connect):  # noqa: N801 - as that of `websockets` is called
    """
    Connect to a demultiplexer, in each way that `connect` of `websockets` knows.

    `async with connect(...) as socket` closes it at the end, `async for socket in connect(...)`
    connects again and again, `await connect(...)` leaves closing to you.

    Args:
        uri: such as "wss://example.org/ws/".
        keys: the keys that settings have renamed, such as `{"stream": "channel"}`.
        max_frame_size: the most bytes of a frame, as the setting of the server has it.
        options: those of `websockets`; most servers want `origin`. `subprotocols` are by default
            the protocol's own.

    Raises:
        ValueError: if `keys` are none that the protocol can have.
        OSError, TimeoutError, websockets.exceptions.InvalidHandshake: as that of `websockets`.
    """

    def __init__(
        self,
        uri: str,
        *,
        keys: Mapping[str, str] | None = None,
        max_frame_size: int = 16 * 1024 * 1024,
        **options: Any,
    ) -> None:
        keys = {**{key: key for key in _KEYS}, **(keys or {})}
        names = [*keys.values(), *CONTROL_FIELDS]
        if len(keys) > len(_KEYS) or len(set(names)) < len(names):
            raise ValueError(
                f"keys has different names for {', '.join(_KEYS)}, "
                f"and none of {', '.join(CONTROL_FIELDS)}, not {keys!r}"
            )
        options.setdefault("subprotocols", [SUBPROTOCOL])
        connection = functools.partial(Connection, keys=keys, max_frame_size=max_frame_size)
        super().__init__(uri, create_connection=cast(Any, connection), **options)

    if TYPE_CHECKING:

        def __await__(self) -> Generator[Any, None, Connection]: ...

        async def __aenter__(self) -> Connection: ...

        def __aiter__(self) -> AsyncIterator[Connection]: ...
