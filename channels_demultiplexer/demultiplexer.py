"""The socket: `WebsocketDemultiplexer` reads frames and hands them to the streams."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final

from channels.exceptions import AcceptConnection, DenyConnection, StopConsumer
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.layers import get_channel_layer

from .asgi import ASGIView, Message, Receive, Scope, Send
from .child import child
from .close_codes import CloseCode, plain_disconnect
from .conf import DatabaseChecks, Options, Policy, options_of
from .connection import Connection
from .control import Close, Open, Ping
from .declarations import ATTRIBUTES, wrong_arguments
from .exceptions import FrameError, MalformedFrame, StreamNotOpen
from .frames import SUBPROTOCOL, Data, Frame
from .listing import StreamDeclaration, streams_of
from .names import name_fault
from .receivers import dispatch_from, open_channel
from .routing import Routes
from .snapshot import Snapshot

__all__ = ["WebsocketDemultiplexer", "child"]

#: What Channels calls when a socket connects and disconnects.
_HOOKS = ("connect", "disconnect", "dispatch", "websocket_connect", "websocket_disconnect")

# After so many messages of a client, or so many seconds of work on them, others get their turn.
_BREATH: Final = 64
_LONG_BREATH: Final = 0.003

logger = logging.getLogger("channels_demultiplexer")


class WebsocketDemultiplexer(AsyncJsonWebsocketConsumer):  # type: ignore[misc]  # untyped base
    """
    A consumer that puts any number of consumers behind its socket, as streams.

    Any setting can be overridden for a class by an attribute of its name in lower case, such as
    `stream_overflow = "reject"`. A subclass may override `connect`, `disconnect` and
    `receive_json`, and have `groups` and handlers for channel-layer messages, as any consumer.
    """

    #: Stream name, or Django path pattern, to consumer class or ASGI application.
    consumer_classes: ClassVar[Mapping[str, Any]] = {}
    #: URL patterns, each of whose paths is a stream's name.
    urlpatterns: ClassVar[Sequence[Any]] = ()
    #: Whether the socket closes when the server's side has ended the last stream, and the class
    #: declares none that could open later.
    close_when_empty: ClassVar[bool] = True

    # The settings, for type checkers: without a value, a class has those of the project.
    multiplex_key: ClassVar[str]
    payload_key: ClassVar[str]
    text_key: ClassVar[str]
    event_key: ClassVar[str]
    manage_envelope: ClassVar[bool]
    consumer_close_timeout: ClassVar[float]
    stream_capacity: ClassVar[int]
    stream_overflow: ClassVar[Policy]
    stall_timeout: ClassVar[float]
    max_streams: ClassVar[int]
    max_frame_size: ClassVar[int]
    max_waiting_size: ClassVar[int]
    lazy: ClassVar[bool]
    database_checks: ClassVar[DatabaseChecks]

    # Whether a subclass has what could handle a message of the channel layer. Where not, and
    # without groups, the socket doesn't listen to the layer: children have channels of their
    # own, and a layer that fails is their trouble alone.
    _has_handlers: ClassVar[bool] = False
    # Whether a subclass overrides receive_json.
    _reads_frames: ClassVar[bool] = False
    # Whether no code of a subclass runs when the socket connects and disconnects. Channels'
    # dispatch goes to a thread then, for the sake of such code's database connections.
    _is_plain: ClassVar[bool] = True

    # The declarations that were worked out last, and what has come of it.
    _known_routes: ClassVar[tuple[Any, Any, Routes] | None] = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = set(dir(cls)).difference(dir(WebsocketDemultiplexer))
        cls._has_handlers = any(
            callable(getattr(cls, name)) for name in own if not name.startswith("_")
        )
        cls._reads_frames = cls.receive_json is not WebsocketDemultiplexer.receive_json
        cls._is_plain = all(
            getattr(cls, name) is getattr(WebsocketDemultiplexer, name) for name in _HOOKS
        )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """
        Raises:
            ImproperlyConfigured: if the class declares its streams or settings wrongly.
        """
        super().__init__(*args, **kwargs)
        self._options = self.check()
        # None until the application is called.
        self._served: Connection | None = None
        # The text message that receive_json has been given, and its stream, where it is a data
        # frame that has not been delivered.
        self._given: Snapshot | None = None
        self._undelivered: str | None = None
        # Whether it has been told of the connect, and of the disconnect.
        self._connected = False
        self._disconnected = False

    @classmethod
    def as_asgi(cls, **initkwargs: Any) -> ASGIView:
        """
        Return an ASGI application that makes a demultiplexer for each connection.

        Args:
            initkwargs: `consumer_classes`, `urlpatterns`, `close_when_empty` and settings in
                lower case stand for class attributes; what else there is goes to `__init__`.

        Raises:
            ImproperlyConfigured: if the streams or settings are declared wrongly.
            TypeError: if there is nothing that takes an argument.
        """
        attributes = {name: initkwargs.pop(name) for name in ATTRIBUTES & initkwargs.keys()}
        if initkwargs and cls.__init__ is WebsocketDemultiplexer.__init__:
            raise TypeError(wrong_arguments(f"{cls.__name__}.as_asgi()", initkwargs))
        if attributes:
            attributes |= {"__module__": cls.__module__, "_sender": cls}
            cls = type(cls.__name__, (cls,), attributes)
        cls.check()
        application: ASGIView = super().as_asgi(**initkwargs)
        return application

    @classmethod
    def check(cls) -> Options:
        """
        Check the declarations, and return the options of a connection that begins now.

        Raises:
            ImproperlyConfigured: if the streams or settings are declared wrongly.
        """
        cls._routes()
        return options_of(cls)

    @classmethod
    def streams(cls) -> list[StreamDeclaration]:
        """
        Return what the class declares, in the order in which names are looked up.

        Raises:
            ImproperlyConfigured: if the streams or settings are declared wrongly.
        """
        return streams_of(cls._routes(), options_of(cls).lazy)

    @classmethod
    def _routes(cls) -> Routes:
        """Return what the class declares: worked out once, unless the declarations are replaced."""
        declared = (cls.consumer_classes, cls.urlpatterns)
        known = cls._known_routes
        if known is None or known[0] is not declared[0] or known[1] is not declared[1]:
            routes = Routes(f"{cls.__module__}.{cls.__qualname__}", *declared)
            known = cls._known_routes = (*declared, routes)
        return known[2]

    # The life of the socket.

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._served = Connection(
            type(self).__dict__.get("_sender", type(self)),
            scope,
            send,
            routes=self._routes(),
            options=self._options,
            close_when_empty=self.close_when_empty,
        )
        self.base_send = self._served.outbox.send
        self.channel_layer = get_channel_layer(self.channel_layer_alias)
        code = CloseCode.INTERNAL_ERROR
        try:
            if self.channel_layer is not None and (self.groups or self._has_handlers):
                await dispatch_from([receive, await open_channel(self)], self._handle)
            await self._pump(receive)
        except StopConsumer:
            code = CloseCode.NORMAL
        except asyncio.CancelledError:
            code = CloseCode.ABNORMAL
            raise
        finally:
            await self._end(code)

    async def _pump(self, receive: Receive) -> None:
        """Handle one message after another, and let others run where there is always one."""
        handled, worked = 0, 0.0
        while True:
            message = await receive()
            began = time.monotonic()
            await self._handle(message)
            handled += 1
            worked += time.monotonic() - began
            if handled >= _BREATH or worked >= _LONG_BREATH:
                handled, worked = 0, 0.0
                await asyncio.sleep(0)

    async def _handle(self, message: Message) -> None:
        """Handle a message of the server or the channel layer."""
        if message["type"] != "websocket.receive":
            await self._handle_other(message)
            return
        # Not through dispatch(), which goes to a thread and back for every message.
        connection = self._connection
        if connection.ended:
            return
        try:
            text = message.get("text")
            if text is None:
                await self._take(self._options.codec.parse_binary(message["bytes"]))
            elif self._reads_frames:
                await self._offer_json(text)
            else:
                await self._take(self._options.codec.parse(text))
        except FrameError as error:
            if error.data and error.stream is not None:
                connection.missed(error.stream)
            await connection.reject(error)

    async def _handle_other(self, message: Message) -> None:
        if message["type"] == "websocket.disconnect":
            message = plain_disconnect(message)
            self._connection.disconnect(message)
            await self._leave(message)
        elif message["type"] == "websocket.connect" and self._is_plain and not self.groups:
            await self.accept()
        else:
            await self.dispatch(message)

    async def websocket_connect(self, message: Message) -> None:
        """Join the groups and connect, as Channels' own does, and note how far that has come."""
        for group in self.groups:
            await self.channel_layer.group_add(group, self.channel_name)
        self._connected = True
        try:
            await self.connect()
        except AcceptConnection:
            await self.accept()
        except DenyConnection:
            await self.close()

    async def _leave(self, message: Message) -> None:
        """Tell the class of the disconnect, as it leaves its groups then."""
        self._disconnected = True
        if self._is_plain and not self.groups:
            raise StopConsumer
        try:
            await self.dispatch(message)
        except asyncio.CancelledError:
            self._disconnected = False
            raise

    async def _end(self, code: CloseCode) -> None:
        """Leave nothing behind, however the connection has ended."""
        message = {"type": "websocket.disconnect", "code": code.value}
        self._connection.disconnect(message)
        if not self._disconnected:
            # A task, so that another cancellation does not keep the class from leaving its groups.
            await self._connection.finish(asyncio.create_task(self._leave_late(message)))
        else:
            await self._connection.finish()

    async def _leave_late(self, message: Message) -> None:
        """Tell the class of an end that the server has not told of."""
        try:
            async with asyncio.timeout(self._options.consumer_close_timeout):
                if self._connected:
                    await self._leave(message)
                else:
                    for group in self.groups:
                        await self.channel_layer.group_discard(group, self.channel_name)
        except StopConsumer:
            pass
        except Exception:
            # What ended the connection is more telling than what this makes of it.
            logger.exception("the disconnect of %r failed", self.scope.get("path"))

    @property
    def _connection(self) -> Connection:
        if self._served is None:
            raise RuntimeError(f"{type(self).__name__} has no connection yet")
        return self._served

    # What a subclass may call and override.

    async def accept(
        self, subprotocol: str | None = None, headers: Iterable[tuple[bytes, bytes]] | None = None
    ) -> None:
        """
        Accept the socket, and open the eager streams.

        Args:
            subprotocol: the subprotocol to select; by default the demultiplexer's own, where the
                client offers it.
            headers: headers of the handshake's response.
        """
        if subprotocol is None and SUBPROTOCOL in self.scope.get("subprotocols", ()):
            subprotocol = SUBPROTOCOL
        await super().accept(subprotocol, headers)
        self._connection.open_eager()

    async def close(self, code: int | bool | None = None, reason: str | None = None) -> None:
        """
        Close the socket and every stream; before `accept`, refuse it.

        Args:
            code: the close code, 1000 by default. One that cannot be sent (RFC 6455, section 7.4)
                or that the server refuses is sent as another, see :doc:`/protocol`.
            reason: the close reason, cut to 123 UTF-8 bytes.

        Raises:
            TypeError, UnicodeEncodeError: if `code` is no integer, or `reason` no string that can
                be UTF-8.
        """
        if code is None or code is True:  # as Channels, whose send(close=True) comes here
            code = CloseCode.NORMAL.value
        told = self._connection.close_socket(code, reason or "")
        if told is not None:
            await asyncio.shield(told)

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        """
        Deliver a decoded frame. Called for each text frame where a subclass overrides it.

        The text that the client wrote is delivered where `content` is the object that it was
        decoded to, unchanged; otherwise `content` is encoded anew.

        Raises:
            FrameError: if it cannot be delivered; the client gets an error frame if it goes on
                to the caller. So it does, with 400, for any other ValueError of a subclass.
        """
        given = self._given
        try:
            if given is not None and given.matches(content):
                frame = self._options.codec.parse(given.text, given)
            else:
                frame = self._options.codec.parse(json.dumps(content))
        except RecursionError:
            raise MalformedFrame("the message is nested too deeply") from None
        await self._take(frame, isinstance(frame, Data) and frame.stream == self._undelivered)

    # Frames.

    async def _offer_json(self, text: str) -> None:
        """Give a subclass the decoded frame."""
        content, given = self._options.codec.decode(text)
        name = content.get(self._options.multiplex_key) if isinstance(content, dict) else None
        if not isinstance(name, str) or name_fault(name) is not None:
            name = None
        self._given = given
        if name is not None and self._options.event_key not in content:
            self._undelivered = name
        try:
            await self.receive_json(content)
        except FrameError as error:
            error.data = False  # which is counted here
            raise
        except ValueError as error:
            logger.info("receive_json refused the frame %.200r: %.200r", text, error)
            raise MalformedFrame("the frame was refused", name) from error
        finally:
            if self._undelivered is not None:
                self._connection.missed(self._undelivered)
            self._given = self._undelivered = None

    async def _take(self, frame: Frame, own: bool = True) -> None:
        """Carry out a frame, which the client has sent as it is (`own`), or a subclass has."""
        connection = self._served
        if connection is None or connection.ended:
            # An instance that serves nothing has no open streams, nor a socket that has ended.
            raise StreamNotOpen(None if isinstance(frame, Ping) else frame.stream)
        if isinstance(frame, Data):
            full = connection.deliver(frame, own)
            if full is not None:
                await connection.overflow(full, frame, own)
            if own:
                self._undelivered = None
        elif isinstance(frame, Open):
            await connection.open(frame)
        elif isinstance(frame, Close):
            connection.close(frame)
        else:
            await connection.send_text(self._options.codec.pong(frame))
