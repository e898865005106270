"""What wraps the messages that one child sends."""

from __future__ import annotations

from . import jsontext

__all__ = ["Envelope", "NoEnvelope"]


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


class NoEnvelope(Envelope):
    """What a trusted child sends goes out as it is."""

    __slots__ = ()

    def text(self, text: str) -> str:
        text = jsontext.plain(text)
        if not text.isascii():
            text.encode()  # which raises here, whatever the server makes of it
        return text

    def bytes(self, data: bytes) -> bytes:
        return b"".join((data,))
