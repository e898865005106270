"""
The wire format: parse a message into a frame, write one.

Pure functions of their arguments: nothing here waits, logs or looks up a setting.
`docs/protocol.rst` is the specification.
"""

from __future__ import annotations

import operator
from enum import IntEnum
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from . import jsontext
from .exceptions import FrameError, FrameTooLarge, MalformedFrame

__all__ = [
    "CONTROL_FIELDS",
    "MAX_NAME_SIZE",
    "SUBPROTOCOL",
    "Close",
    "CloseCode",
    "Codec",
    "Data",
    "Envelope",
    "Frame",
    "Open",
    "Ping",
    "cut_reason",
    "name_fault",
    "plain_code",
    "sendable",
]

#: The WebSocket subprotocol that stands for version 1 of the protocol.
SUBPROTOCOL: Final = "channels-demultiplexer.v1"

#: The most UTF-8 bytes that a stream's name may have: what one length byte can say.
MAX_NAME_SIZE: Final = 255

# The characters that cannot be too many bytes for a name.
_SURELY_SHORT: Final = MAX_NAME_SIZE // 4

# The fields of a client's control frames.
_FIELDS: Final = ("subprotocols", "query", "credit", "code", "reason")

#: The keys of control and error frames that no setting renames.
CONTROL_FIELDS: Final = (
    "subprotocols",
    "subprotocol",
    "query",
    "credit",
    "code",
    "reason",
    "status",
)

#: The close codes that a client may give.
_CLIENT_CLOSE_CODES: Final = range(1000, 5000)

# The close codes that a WebSocket can carry (RFC 6455, section 7.4, and its registry): those of
# protocols, some of which stand only for what has not been sent, and those of applications.
_PROTOCOL_CLOSE_CODES: Final = frozenset((*range(1000, 1004), *range(1007, 1015)))
_APPLICATION_CLOSE_CODES: Final = range(3000, 5000)

#: The most UTF-8 bytes of a WebSocket's close reason (RFC 6455, section 5.5).
_MAX_REASON_SIZE: Final = 123


class CloseCode(IntEnum):
    """The close codes that the demultiplexer knows (RFC 6455, section 7.4, and its registry)."""

    #: The stream's purpose is fulfilled.
    NORMAL = 1000
    #: A closing handshake gave no code. Never sent.
    NO_STATUS = 1005
    #: The server's task ended without a closing handshake. Never sent.
    ABNORMAL = 1006
    #: The child crashed.
    INTERNAL_ERROR = 1011
    #: The stream stalled.
    TRY_AGAIN_LATER = 1013
    #: The child refused the connection and gave no code of its own.
    REFUSED = 4403


class Data(msgspec.Struct, frozen=True, gc=False):
    """A data frame: `message` is the ASGI `websocket.receive` for the child."""

    stream: str
    message: dict[str, Any]


class Open(msgspec.Struct, frozen=True):
    """A client's `open`: `query` is None where the frame has none; `credit` is whether it asks."""

    stream: str
    subprotocols: list[str]
    query: str | None
    credit: bool = False


class Close(msgspec.Struct, frozen=True):
    """A client's `close`."""

    stream: str
    code: int
    reason: str


class Ping(msgspec.Struct, frozen=True):
    """A client's `ping`: `payload` is JSON text, None where the frame has none."""

    payload: str | None


Frame = Data | Open | Close | Ping


def name_fault(name: str) -> str | None:
    """Return what makes `name` no stream's name, or None where it is one."""
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        return "the stream's name has a lone surrogate"
    if not 0 < size <= MAX_NAME_SIZE:
        return f"a stream's name has 1 to {MAX_NAME_SIZE} bytes, not {size}"
    return None


def plain_code(code: int) -> int:
    """
    Return a close code as a plain int, which is what servers take.

    Raises:
        TypeError: if it is no integer.
    """
    try:
        return operator.index(code)
    except TypeError:
        raise TypeError(f"a close code is an integer, not {code!r}") from None


def sendable(code: int, *, daphne: bool = False) -> int:
    """
    Return the code that a socket closes with for `code`: itself where it can be sent.

    Args:
        code: a stream's close code, or one of the demultiplexer's own.
        daphne: whether the server is Daphne, which sends 1000 and those of applications only.

    Raises:
        TypeError: if it is no integer.
    """
    code = plain_code(code)
    protocols = {1000} if daphne else _PROTOCOL_CLOSE_CODES
    if code in protocols or code in _APPLICATION_CLOSE_CODES:
        return code
    return code + 3000 if 1000 < code < 2000 else 4000


def cut_reason(reason: str) -> str:
    """
    Return what a socket's close can carry of `reason`, a plain str: 123 bytes of UTF-8.

    Raises:
        UnicodeEncodeError: if it has a lone surrogate.
        TypeError: if it is no string.
    """
    return jsontext.plain(reason).encode()[:_MAX_REASON_SIZE].decode(errors="ignore")


class Codec:
    """
    Reads and writes the frames of one set of key names.

    Args:
        stream_key, payload_key, text_key, event_key: the key names.
        manage_envelope: whether children get payloads (True) or whole data messages (False).
        max_frame_size: the most bytes that a message may have.
    """

    def __init__(
        self,
        *,
        stream_key: str,
        payload_key: str,
        text_key: str,
        event_key: str,
        manage_envelope: bool,
        max_frame_size: int,
    ) -> None:
        self._stream_key = stream_key
        self._payload_key = payload_key
        self._text_key = text_key
        self._event_key = event_key
        self._manage_envelope = manage_envelope
        self._max_frame_size = max_frame_size
        # The characters that cannot be too many bytes: UTF-8 takes four at most.
        self._surely_small = max_frame_size // 4
        # Only the keys that say what a frame is are typed: the other fields mean nothing in a
        # data frame, where any value of theirs is to be ignored.
        self._envelope: Any = msgspec.defstruct(
            "_Envelope",
            [
                ("stream", Annotated[str, Meta(min_length=1)] | UnsetType, UNSET),
                ("payload", Raw | UnsetType, UNSET),
                ("text", str | UnsetType, UNSET),
                ("event", str | UnsetType, UNSET),
                *((field, Any, UNSET) for field in _FIELDS),
            ],
            rename={
                "stream": stream_key,
                "payload": payload_key,
                "text": text_key,
                "event": event_key,
            },
        )
        self._decode = msgspec.json.Decoder(self._envelope).decode
        self._envelopes: dict[str, Envelope] = {}
        # The parts of the frames that are written, between which names and values are spliced.
        self._stream_part = f"{{{jsontext.encode(stream_key)}:"
        self._payload_part = f",{jsontext.encode(payload_key)}:"
        self._text_part = f",{jsontext.encode(text_key)}:"
        self._event_part = f"{jsontext.encode(event_key)}:"

    def parse(self, text: str) -> Frame:
        """
        Parse a text message.

        Raises:
            FrameTooLarge: if the message has more bytes than allowed.
            MalformedFrame: if it is no frame of the protocol.
        """
        if len(text) > self._surely_small:
            self.check_size(len(text.encode(errors="replace")))
        try:
            envelope: Any = self._decode(text)
        except UnicodeEncodeError:
            raise MalformedFrame("the message is not UTF-8") from None
        except RecursionError:
            raise MalformedFrame("the message is nested too deeply") from None
        except msgspec.DecodeError:
            return self._frame(self._decode_slowly(text), text)
        stream, payload = envelope.stream, envelope.payload
        if (
            payload is not UNSET
            and envelope.text is UNSET
            and envelope.event is UNSET
            and stream is not UNSET
            and len(stream) <= _SURELY_SHORT
            and self._manage_envelope
        ):
            # Nearly every message. What _frame() would do too, in a third of its time.
            return Data(stream, {"type": "websocket.receive", "text": str(payload, "utf-8")})
        return self._frame(envelope, text)

    def parse_binary(self, data: bytes) -> Data:
        """
        Parse a binary message: one byte with the name's length, the name, the child's bytes.

        Raises:
            FrameTooLarge: if the message has more bytes than allowed.
            MalformedFrame: if there is no stream's name in it.
        """
        self.check_size(len(data))
        end = 1 + data[0] if data else 0
        if not 1 < end <= len(data):
            raise MalformedFrame(
                "a binary message is one byte with the length of the stream's name, "
                "1 to 255, the name, and the bytes for the stream"
            )
        try:
            stream = data[1:end].decode()
        except UnicodeDecodeError:
            raise MalformedFrame("the stream's name is not UTF-8") from None
        content = data[end:] if self._manage_envelope else data
        return Data(stream, {"type": "websocket.receive", "bytes": content})

    def decode(self, text: str) -> Any:
        """
        Decode a text message whole.

        Raises:
            FrameTooLarge: if the message has more bytes than allowed.
            MalformedFrame: if it is not JSON.
        """
        self.check_size(len(text.encode(errors="replace")))
        try:
            return jsontext.decode(text)
        except (ValueError, RecursionError):
            raise MalformedFrame("the message is not JSON") from None

    def check_size(self, size: int) -> None:
        """
        Raises:
            FrameTooLarge: if a message of `size` bytes is too large.
        """
        if size > self._max_frame_size:
            raise FrameTooLarge(size, self._max_frame_size)

    def opened(self, stream: str, subprotocol: str | None, credit: int | None = None) -> str:
        """
        Write the answer to an `open`.

        Args:
            stream: the stream's name.
            subprotocol: the subprotocol that the child has selected.
            credit: the data frames that the client may send, where the `open` asked.

        Raises:
            TypeError: if `subprotocol` is neither a string nor None.
            UnicodeEncodeError: if it has a lone surrogate.
        """
        if subprotocol is not None and not isinstance(subprotocol, str):
            raise TypeError(f"a subprotocol is a string or None, not {subprotocol!r}")
        fields = f'"subprotocol":{jsontext.encode(subprotocol)}'
        if credit is not None:
            fields = f'{fields},"credit":{credit:d}'
        return self._event(stream, "open", fields)

    def credit(self, stream: str, credit: int) -> str:
        """Write a grant: the client may send `credit` data frames more."""
        return self._event(stream, "credit", f'"credit":{credit:d}')

    def closed(self, stream: str, code: int, reason: str) -> str:
        """
        Write a server's `close`.

        Raises:
            TypeError: if `code` is no integer, or `reason` no string.
            UnicodeEncodeError: if `reason` has a lone surrogate.
        """
        if not isinstance(reason, str):
            raise TypeError(f"a close reason is a string, not {reason!r}")
        fields = f'"code":{plain_code(code):d},"reason":{jsontext.encode(reason)}'
        return self._event(stream, "close", fields)

    def pong(self, ping: Ping) -> str:
        """Write the answer to a `ping`."""
        payload = "" if ping.payload is None else f"{self._payload_part}{ping.payload}"
        return f'{{{self._event_part}"pong"{payload}}}'

    def error(self, error: FrameError) -> str:
        """Write the error frame that tells a client of `error`."""
        stream = (
            ""
            if error.stream is None
            else f",{self._stream_part[1:]}{jsontext.encode(error.stream)}"
        )
        return (
            f'{{{self._event_part}"error","status":{error.status:d}{stream}'
            f'{self._payload_part}{{"error":{jsontext.encode(str(error))}}}}}'
        )

    def declared_envelope(self, stream: str) -> Envelope:
        """Return `envelope(stream)`, kept for all connections. Not for names of clients."""
        envelope = self._envelopes.get(stream)
        if envelope is None:
            envelope = self._envelopes[stream] = self.envelope(stream)
        return envelope

    def envelope(self, stream: str) -> Envelope:
        """Return what wraps the messages that the child of `stream` sends."""
        if not self._manage_envelope:
            return _NoEnvelope("", "", b"")
        head = f"{self._stream_part}{jsontext.encode(stream)}"
        name = stream.encode()
        return Envelope(
            f"{head}{self._payload_part}", f"{head}{self._text_part}", bytes([len(name)]) + name
        )

    def _event(self, stream: str, event: str, fields: str) -> str:
        return (
            f'{self._stream_part}{jsontext.encode(stream)},{self._event_part}"{event}",{fields}}}'
        )

    def _decode_slowly(self, text: str) -> Any:
        """
        Let the standard library decide what msgspec refused.

        It refuses lone surrogate escapes, and a field of the wrong type even where a duplicate
        key replaces it, or where it has no meaning, as the stream of a ping.
        """
        try:
            fields = jsontext.decode(text)
        except (ValueError, RecursionError):
            raise MalformedFrame("the message is not JSON") from None
        if not isinstance(fields, dict):
            raise MalformedFrame("a frame is a JSON object")
        payload = (
            Raw(jsontext.member(text, self._payload_key)) if self._payload_key in fields else UNSET
        )
        opaque = fields.get(self._text_key, UNSET)
        if isinstance(opaque, str):
            opaque = jsontext.replace_surrogates(opaque)
        return self._envelope(
            fields.get(self._stream_key, UNSET),
            payload,
            opaque,
            fields.get(self._event_key, UNSET),
            *(fields.get(key, UNSET) for key in _FIELDS),
        )

    def _frame(self, envelope: Any, text: str) -> Frame:
        """Make a frame of an envelope, and say what is wrong with it."""
        stream = envelope.stream
        if envelope.event is not UNSET:
            return self._control(envelope)
        fault = self._stream_fault(stream)
        if fault is not None:
            raise MalformedFrame(fault)
        payload, opaque = envelope.payload, envelope.text
        if (payload is UNSET) is (opaque is UNSET):
            raise self._not_one_content(stream)
        if opaque is UNSET:
            content = str(payload, "utf-8")
        elif isinstance(opaque, str):
            content = opaque
        else:
            raise MalformedFrame(f"{self._text_key!a} is a string", stream)
        if not self._manage_envelope:
            content = text
        return Data(stream, {"type": "websocket.receive", "text": content})

    def _control(self, envelope: Any) -> Frame:
        event = envelope.event
        if event == "ping" and envelope.text is UNSET:
            payload = envelope.payload
            return Ping(None if payload is UNSET else str(payload, "utf-8"))
        stream = envelope.stream
        fault = self._stream_fault(stream)
        if event == "ping":
            raise self._not_one_content(None if fault else stream)
        if fault is not None:
            raise MalformedFrame(fault)
        if envelope.payload is not UNSET or envelope.text is not UNSET:
            raise self._not_one_content(stream)
        if event == "open":
            return self._open(stream, envelope)
        if event == "close":
            return self._close(stream, envelope.code, envelope.reason)
        raise MalformedFrame(f"a client's {self._event_key!a} is open, close or ping", stream)

    def _open(self, stream: str, envelope: Any) -> Open:
        subprotocols, query, credit = envelope.subprotocols, envelope.query, envelope.credit
        if subprotocols is UNSET:
            subprotocols = []
        if not isinstance(subprotocols, list) or not all(map(jsontext.is_utf8, subprotocols)):
            raise MalformedFrame("'subprotocols' is a list of strings", stream)
        if query is UNSET:
            query = None
        elif not jsontext.is_utf8(query):
            raise MalformedFrame("'query' is a string without lone surrogates", stream)
        if credit is UNSET:
            credit = False
        elif not isinstance(credit, bool):
            raise MalformedFrame("'credit' is true or false", stream)
        return Open(stream, subprotocols, query, credit)

    def _close(self, stream: str, code: Any, reason: Any) -> Close:
        if code is UNSET:
            code = CloseCode.NORMAL.value
        # A bool is an int to Python, but not to JSON.
        if type(code) is not int or code not in _CLIENT_CLOSE_CODES:
            raise MalformedFrame("'code' is an integer from 1000 to 4999", stream)
        if reason is UNSET:
            reason = ""
        if not isinstance(reason, str):
            raise MalformedFrame("'reason' is a string", stream)
        return Close(stream, code, jsontext.replace_surrogates(reason))

    def _stream_fault(self, stream: Any) -> str | None:
        if isinstance(stream, str):
            return name_fault(stream)
        return f"{self._stream_key!a} is the stream's name, a string"

    def _not_one_content(self, stream: str | None) -> MalformedFrame:
        keys = f"{self._payload_key!a}, {self._text_key!a} and {self._event_key!a}"
        return MalformedFrame(f"a frame has exactly one of {keys}", stream)


class Envelope:
    """Wraps what one child sends. Made by `Codec.envelope`."""

    __slots__ = ("_binary_head", "_payload_head", "_text_head")

    def __init__(self, payload_head: str, text_head: str, binary_head: bytes) -> None:
        self._payload_head = payload_head
        self._text_head = text_head
        self._binary_head = binary_head

    def text(self, text: str) -> str:
        """
        Wrap a child's text: as `payload`, verbatim, where it is JSON, otherwise as `text`.

        It may be of a subclass of str, such as Django's SafeString.

        Raises:
            UnicodeEncodeError, TypeError: if it cannot be UTF-8 or is no text, as a server would.
        """
        if jsontext.is_json(text):
            return "".join((self._payload_head, text, "}"))  # which takes no bytes
        return f"{self._text_head}{jsontext.encode(text)}}}"

    def bytes(self, data: bytes) -> bytes:
        """Wrap a child's bytes."""
        return b"".join((self._binary_head, data))


class _NoEnvelope(Envelope):
    """What a trusted child sends goes out as it is."""

    __slots__ = ()

    def text(self, text: str) -> str:
        return jsontext.plain(text)

    def bytes(self, data: bytes) -> bytes:
        return b"".join((data,))
