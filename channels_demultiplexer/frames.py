"""
The wire format: parse a message into a frame, write one.

Pure functions of their arguments: nothing here waits, logs or looks up a setting.
`docs/protocol.rst` is the specification.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from . import jsontext
from .close_codes import plain_code
from .control import FIELDS, Close, Open, Ping, read_close, read_open, shown, string_of, wrong
from .envelope import Envelope, NoEnvelope
from .exceptions import FrameError, FrameTooLarge, MalformedFrame
from .names import MAX_NAME_SIZE, name_fault
from .snapshot import Snapshot

__all__ = ["CONTROL_FIELDS", "SUBPROTOCOL", "Codec", "Data", "Frame"]

#: The WebSocket subprotocol that stands for version 1 of the protocol.
SUBPROTOCOL: Final = "channels-demultiplexer.v1"

# The characters that cannot be too many bytes for a name.
_SURELY_SHORT: Final = MAX_NAME_SIZE // 4

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


class Data(msgspec.Struct, frozen=True, gc=False):
    """A data frame: `message` is the ASGI `websocket.receive` for the child."""

    stream: str
    message: dict[str, Any]


Frame = Data | Open | Close | Ping


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
        # Only the keys that say what a frame is are typed, and nothing is decoded that may have no
        # meaning: the fields of control frames have none in a data frame.
        keys: list[Any] = [
            ("stream", Annotated[str, Meta(min_length=1)] | UnsetType, UNSET),
            ("payload", Raw | UnsetType, UNSET),
            ("text", str | UnsetType, UNSET),
            ("event", str | UnsetType, UNSET),
        ]
        fields = [(field, Raw | UnsetType, UNSET) for field in FIELDS]
        names = {
            "stream": stream_key,
            "payload": payload_key,
            "text": text_key,
            "event": event_key,
        }
        envelope = msgspec.defstruct("_Envelope", keys, rename=names)
        self._decode = msgspec.json.Decoder(envelope).decode
        self._envelope: Any = msgspec.defstruct("_Control", [*keys, *fields], rename=names)
        self._decode_control = msgspec.json.Decoder(self._envelope).decode
        # The members beside the payload, and those that may be strings to be decoded.
        self._keys = (stream_key, text_key, event_key, *FIELDS)
        self._strings = {stream_key, text_key, event_key, "reason"}
        self._members = jsontext.Members((payload_key, *self._keys))
        self._envelopes: dict[str, Envelope] = {}
        # The parts of the frames that are written, between which names and values are spliced.
        self._stream_part = f"{{{jsontext.encode(stream_key)}:"
        self._payload_part = f",{jsontext.encode(payload_key)}:"
        self._text_part = f",{jsontext.encode(text_key)}:"
        self._event_part = f"{jsontext.encode(event_key)}:"

    def parse(self, text: str, given: Snapshot | None = None) -> Frame:
        """
        Parse a text message.

        Args:
            text: the message.
            given: what `decode` has returned for it, if that is as it was.

        Raises:
            FrameTooLarge: if the message has more bytes than allowed.
            MalformedFrame: if it is no frame of the protocol.
        """
        message: str | bytes = text
        if given is None:
            if len(text) > self._surely_small:
                message = self._encoded(text)
        elif not given.is_packed and ("\\" in text or not text.isascii()):
            # What msgspec may refuse at its end, or would encode first.
            return self._frame(self._decode_slowly(text, given), text)
        try:
            envelope: Any = self._decode(message)
        except UnicodeEncodeError:
            raise MalformedFrame("the message is not UTF-8") from None
        except RecursionError:
            raise MalformedFrame("the message is nested too deeply") from None
        except msgspec.DecodeError:
            return self._frame(self._decode_slowly(text, given), text)
        stream, payload = envelope.stream, envelope.payload
        if (
            payload is not UNSET
            and envelope.text is UNSET
            and envelope.event is UNSET
            and stream is not UNSET
            and len(stream) <= _SURELY_SHORT
            and self._manage_envelope
        ):
            # Nearly every message. What _frame() would do too, but faster (the benchmark `hops`).
            return Data(stream, {"type": "websocket.receive", "text": str(payload, "utf-8")})
        if envelope.event is not UNSET:
            envelope = self._decode_control(message)
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

    def decode(self, text: str) -> tuple[Any, Snapshot]:
        """
        Decode a text message whole; return its content, and what tells whether that is changed.

        Raises:
            FrameTooLarge: if the message has more bytes than allowed.
            MalformedFrame: if it is not JSON.
        """
        self._encoded(text)
        try:
            content = jsontext.decode(text)
            return content, Snapshot(content, text)
        except (ValueError, RecursionError):
            raise MalformedFrame("the message is not JSON") from None

    def _encoded(self, text: str) -> str | bytes:
        """Return a message, encoded where it is not ASCII, if it is UTF-8 and not too large."""
        try:
            message = text if text.isascii() else text.encode()
        except UnicodeEncodeError:
            self.check_size(len(text.encode(errors="replace")))
            raise MalformedFrame("the message is not UTF-8") from None
        self.check_size(len(message))
        return message

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
            return NoEnvelope("", "", b"")
        head = f"{self._stream_part}{jsontext.encode(stream)}"
        name = stream.encode()
        return Envelope(
            f"{head}{self._payload_part}", f"{head}{self._text_part}", bytes([len(name)]) + name
        )

    def _event(self, stream: str, event: str, fields: str) -> str:
        return (
            f'{self._stream_part}{jsontext.encode(stream)},{self._event_part}"{event}",{fields}}}'
        )

    def _decode_slowly(self, text: str, given: Snapshot | None) -> Any:
        """
        Find what there is in a message that msgspec refused as an envelope, or that is decoded.

        It refuses lone surrogate escapes, and a field of the wrong type even where a duplicate
        key replaces it, or where it has no meaning, as the stream of a ping.
        """
        known: dict[str, Any] = {}
        decoded: dict[str, Any] | None = known
        if given is not None:
            if given.has_few_parts:
                known = given.value
            else:
                # An object equal to its value may have been passed on, and that be changed.
                decoded = None
        try:
            found = self._members.find(text, decoded)
        except TypeError:
            raise MalformedFrame("a frame is a JSON object") from None
        except (ValueError, RecursionError):
            raise MalformedFrame("the message is not JSON") from None
        payload = found.pop(0)
        values: list[Any] = []
        for key, part in zip(self._keys, found, strict=True):
            value = known.get(key) if key in self._strings else None
            if isinstance(value, str):
                # To decode a long string once more, or to encode its text, costs too much.
                values.append(value)
            else:
                raw = UNSET if part is None else Raw(part)
                values.append(string_of(raw) if key in self._strings else raw)
        stream, opaque, event, *fields = values
        if isinstance(opaque, str):
            opaque = jsontext.replace_surrogates(opaque)
        return self._envelope(stream, UNSET if payload is None else payload, opaque, event, *fields)

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
            raise self._not_one_content(envelope, stream, data=True)
        if opaque is UNSET:
            content = _text(payload)
        elif isinstance(opaque, str):
            content = opaque
        else:
            raise wrong(self._text_key, "a string", opaque, stream, data=True)
        if not self._manage_envelope:
            content = text
        return Data(stream, {"type": "websocket.receive", "text": content})

    def _control(self, envelope: Any) -> Frame:
        event = envelope.event
        if event == "ping" and envelope.text is UNSET:
            payload = envelope.payload
            return Ping(None if payload is UNSET else _text(payload))
        stream = envelope.stream
        fault = self._stream_fault(stream)
        if event == "ping":
            raise self._not_one_content(envelope, None if fault else stream)
        if fault is not None:
            raise MalformedFrame(fault)
        if envelope.payload is not UNSET or envelope.text is not UNSET:
            raise self._not_one_content(envelope, stream)
        if event == "open":
            return read_open(stream, envelope)
        if event == "close":
            return read_close(stream, envelope)
        raise wrong(self._event_key, "'open', 'close' or 'ping'", event, stream)

    def _stream_fault(self, stream: Any) -> str | None:
        if isinstance(stream, str):
            return name_fault(stream)
        if stream is UNSET:
            return f"the frame has no {self._stream_key!a}"
        return f"{self._stream_key!a} is a string, not {shown(stream)}"

    def _not_one_content(
        self, envelope: Any, stream: str | None, *, data: bool = False
    ) -> MalformedFrame:
        keys = {
            self._payload_key: envelope.payload,
            self._text_key: envelope.text,
            self._event_key: envelope.event,
        }
        there = " and ".join(ascii(key) for key, value in keys.items() if value is not UNSET)
        one_of = "{!a}, {!a} and {!a}".format(*keys)
        return MalformedFrame(
            f"a frame has exactly one of {one_of}, this one has {there or 'none'}",
            stream,
            data=data,
        )


def _text(payload: Raw | str) -> str:
    """Return the JSON text of a payload, which is a str where msgspec refused the envelope."""
    return payload if isinstance(payload, str) else str(payload, "utf-8")
