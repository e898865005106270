"""Communicators for tests of demultiplexers, and of consumers as streams."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from typing import Any
from unittest import mock

try:
    from channels.testing import WebsocketCommunicator
except ImportError as error:
    raise ImportError(
        "channels_demultiplexer.testing needs channels.testing, which needs daphne: "
        "install channels-demultiplexer[daphne]"
    ) from error

from . import jsontext
from .asgi import ASGIApplication, Message
from .conf import Options, options_of
from .demultiplexer import WebsocketDemultiplexer

__all__ = ["DemultiplexerCommunicator", "StreamCommunicator"]


class DemultiplexerCommunicator(WebsocketCommunicator):  # type: ignore[misc]  # untyped base
    """
    A `WebsocketCommunicator` for a socket with streams.

    `stream` returns a communicator for one stream. What the socket sends goes to the communicator
    of its stream, and what belongs to none comes out of this one's methods. Unlike Channels'
    communicator, a wait that times out does not cancel the application.

    Args:
        application: the demultiplexer's ASGI application, or what is around it. Settings that are
            attributes of the class are known only where it is the result of `as_asgi()`.
        path: the path of the socket, with its query.
        headers, subprotocols, spec_version: as Channels has them.
    """

    def __init__(self, application: ASGIApplication, path: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(application, path, *args, **kwargs)
        self.options: Options = options_of(
            getattr(application, "consumer_class", WebsocketDemultiplexer)
        )
        # Whether the socket was connected, and by a stream.
        self._connected = False
        self._connected_by_stream = False
        self._streams: dict[str, StreamCommunicator] = {}
        # What belongs to no stream.
        self._mailbox: deque[Message] = deque()
        # Held by the one who reads what the application sends.
        self._turn = asyncio.Lock()

    def stream(
        self, name: str, subprotocols: list[str] | None = None, query: str | None = None
    ) -> StreamCommunicator:
        """
        Return a communicator for the stream `name`, whose `connect` opens it.

        Args:
            name: the stream's name.
            subprotocols: what the client offers for the stream.
            query: the stream's query string, in place of the name's or the socket's.
        """
        stream = self._streams[name] = StreamCommunicator(self, name, subprotocols, query)
        return stream

    async def connect(self, timeout: float = 1) -> tuple[bool, Any]:
        """Connect the socket: return True and the subprotocol, or False and the close code."""
        self._connected = True
        result: tuple[bool, Any] = await super().connect(timeout)
        return result

    async def receive_output(self, timeout: float = 1) -> Message:
        """Return the next message that belongs to no stream's communicator."""
        return await self._take(self._mailbox, timeout)

    async def receive_nothing(self, timeout: float = 0.1, interval: float = 0.01) -> bool:
        """Say whether nothing that belongs to no stream's communicator comes for a time."""
        return await self._is_silent(self._mailbox, timeout)

    async def connect_for_stream(self, timeout: float) -> tuple[bool, Any]:
        """Connect the socket, if it is not, for a stream that opens."""
        if self._connected:
            return True, None
        self._connected_by_stream = True
        return await self.connect(timeout)

    async def disconnect_for_stream(self, code: int, timeout: float) -> None:
        """Disconnect a socket that a stream connected, if no stream is open any more."""
        if self._connected_by_stream and all(stream.ended for stream in self._streams.values()):
            await self.disconnect(code, timeout)

    async def _take(self, mailbox: deque[Message], timeout: float) -> Message:
        try:
            async with asyncio.timeout(timeout):
                await self._wait_for(mailbox)
        except TimeoutError:
            if self.future.done():
                self.future.result()
            raise
        return mailbox.popleft()

    async def _is_silent(self, mailbox: deque[Message], timeout: float) -> bool:
        try:
            async with asyncio.timeout(timeout):
                await self._wait_for(mailbox)
        except TimeoutError:
            return True
        return False

    async def _wait_for(self, mailbox: deque[Message]) -> None:
        """Read, and give to each what belongs to it, until there is something in `mailbox`."""
        while not mailbox:
            async with self._turn:
                if not mailbox:
                    # As Channels' communicators: connections live as long as the test.
                    with mock.patch("channels.db.close_old_connections"):
                        self._sort(await self.output_queue.get())

    def _sort(self, message: Message) -> None:
        name, frame = self._stream_of(message)
        if name in self._streams:
            self._streams[name].take(frame)
        else:
            self._mailbox.append(message)

    def _stream_of(self, message: Message) -> tuple[Any, dict[str, Any]]:
        """Return the stream that a message belongs to, None where to none, and its frame."""
        options = self.options
        if message["type"] != "websocket.send":
            return None, {}
        data = message.get("bytes")
        if data is not None:
            end = 1 + data[0]
            return data[1:end].decode(), {"bytes": data[end:]}
        text = message["text"]
        try:
            frame = jsontext.decode(text)
        except ValueError:
            return None, {}  # a parent of one's own may send what it likes
        if not isinstance(frame, dict):
            return None, {}
        if options.event_key in frame:
            return frame.get(options.multiplex_key), frame
        if options.payload_key in frame:
            return frame.get(options.multiplex_key), {
                "text": jsontext.Members([options.payload_key]).find(text)[0]
            }
        return frame.get(options.multiplex_key), {"text": frame.get(options.text_key)}


class StreamCommunicator(WebsocketCommunicator):  # type: ignore[misc]  # untyped base
    """
    A `WebsocketCommunicator` for one stream: a consumer's test needs to change one line.

    Made by `DemultiplexerCommunicator.stream`. `connect` connects the socket too where that was
    not done, and a socket connected so is disconnected with its last stream.
    """

    def __init__(
        self,
        communicator: DemultiplexerCommunicator,
        name: str,
        subprotocols: list[str] | None,
        query: str | None,
    ) -> None:
        # Not super().__init__(), which makes an application of its own.
        self.name = name
        self.scope = communicator.scope
        self.response_headers = None
        #: Whether the stream is not open: not yet, or no more.
        self.ended = True
        self._communicator = communicator
        self._subprotocols = subprotocols
        self._query = query
        # Whether the answer to `open` is awaited, and the answer. What an eager stream has sent
        # before waits in the mailbox, behind it as on a socket of its own.
        self._opening = False
        self._answer: deque[Message] = deque()
        self._mailbox: deque[Message] = deque()

    def __del__(self) -> None:
        """Leave the application to the socket's communicator."""

    async def connect(self, timeout: float = 1) -> tuple[bool, Any]:
        """
        Open the stream, and connect the socket if it is not connected.

        Returns:
            True and the subprotocol, or False and the code, which is the close code, or the
            status of the error frame.
        """
        connected, code = await self._communicator.connect_for_stream(timeout)
        if not connected:
            return False, code
        result: tuple[bool, Any] = await super().connect(timeout)
        return result

    async def send_to(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        """Send a text or bytes, which may be empty, to the stream."""
        assert (text_data is None) != (bytes_data is None), (
            "You must supply exactly one of text_data or bytes_data"
        )
        if text_data is None:
            await self.send_input({"type": "websocket.receive", "bytes": bytes_data})
        else:
            await self.send_input({"type": "websocket.receive", "text": text_data})

    async def disconnect(self, code: int = 1000, timeout: float = 1) -> None:
        """
        Close the stream and wait until its child has finished.

        Raises:
            TimeoutError: if it has not within `timeout` seconds.
        """
        if not self.ended:
            await self.send_input({"type": "websocket.disconnect", "code": code})
            await self.wait(timeout)
        await self._communicator.disconnect_for_stream(code, timeout)

    async def send_input(self, message: Message) -> None:
        """Send the frame that stands for an ASGI message to the child."""
        options = self._communicator.options
        frame: dict[str, Any] = {options.multiplex_key: self.name}
        kind = message["type"]
        if kind == "websocket.connect":
            self._opening = True
            frame[options.event_key] = "open"
            if self._subprotocols is not None:
                frame["subprotocols"] = self._subprotocols
            if self._query is not None:
                frame["query"] = self._query
        elif kind == "websocket.disconnect":
            frame[options.event_key] = "close"
            frame["code"] = message["code"]
        elif message.get("bytes") is not None:
            name = self.name.encode()
            await self._send({"bytes": bytes([len(name)]) + name + message["bytes"]})
            return
        elif jsontext.is_json(message["text"]):
            key = json.dumps(options.payload_key)
            head = json.dumps(frame)[:-1]
            await self._send({"text": f"{head}, {key}: {message['text']}}}"})
            return
        else:
            frame[options.text_key] = message["text"]
        await self._send({"text": json.dumps(frame)})

    async def receive_output(self, timeout: float = 1) -> Message:
        """
        Return the child's next message, as it would send it to a server.

        Raises:
            AssertionError: if an error frame came instead.
            TimeoutError: if nothing came within `timeout` seconds.
        """
        mailbox = self._answer if self._opening else self._mailbox
        message = await self._communicator._take(mailbox, timeout)
        self._opening = False
        assert message["type"] != "error", (
            f"stream {self.name!r}: error {message['status']}: {message['error']}"
        )
        return message

    async def receive_nothing(self, timeout: float = 0.1, interval: float = 0.01) -> bool:
        """Say whether the child sends nothing for `timeout` seconds."""
        return await self._communicator._is_silent(self._mailbox, timeout)

    async def wait(self, timeout: float = 1) -> None:
        """Wait until the stream has ended; what it sends until then is dropped."""
        while not self.ended:
            await self._communicator._take(self._mailbox, timeout)

    def take(self, frame: dict[str, Any]) -> None:
        """Take a frame of the stream."""
        event = frame.get(self._communicator.options.event_key)
        if event == "open":
            self.ended = False
            message = {"type": "websocket.accept", "subprotocol": frame["subprotocol"]}
        elif event == "close":
            self.ended = True
            message = {
                "type": "websocket.close",
                "code": frame["code"],
                "reason": frame["reason"],
            }
        elif event == "error":
            error = frame[self._communicator.options.payload_key]["error"]
            if self._opening:
                message = {"type": "websocket.close", "code": frame["status"], "reason": error}
            else:
                message = {"type": "error", "status": frame["status"], "error": error}
        else:
            self.ended = False  # an eager stream is open without an `open`
            self._mailbox.append({"type": "websocket.send", **frame})
            return
        (self._answer if self._opening else self._mailbox).append(message)

    async def _send(self, content: Message) -> None:
        await self._communicator.send_input({"type": "websocket.receive", **content})
