"""
What can be wrong with a client's frame.

* ValueError
   * FrameError
      * MalformedFrame (400)
      * UnknownStream (404)
      * StreamNotOpen (409)
      * FrameTooLarge (413)
      * TooManyStreams (429)
      * InboxFull (429)
"""

from __future__ import annotations

from .status import StatusCodes

__all__ = [
    "FrameError",
    "FrameTooLarge",
    "InboxFull",
    "MalformedFrame",
    "StreamNotOpen",
    "TooManyStreams",
    "UnknownStream",
]


class FrameError(ValueError):
    """
    A frame could not be delivered.

    The client is told by an error frame with `status` and the text of the exception;
    the socket and its streams go on.

    Attributes:
        status: the error frame's status.
        stream: the stream's name, where the frame had a valid one, else None.
        data: whether it was a data frame of the stream, which the client has spent credit on.
    """

    status = StatusCodes.BAD_REQUEST
    data = False

    def __init__(self, stream: str | None = None) -> None:
        super().__init__(stream)
        self.stream = stream

    def __str__(self) -> str:
        return "the frame could not be delivered"


class MalformedFrame(FrameError):
    """The message is no frame of the protocol; `reason` says what would be right."""

    def __init__(self, reason: str, stream: str | None = None, *, data: bool = False) -> None:
        super().__init__(stream)
        self.reason = reason
        self.data = data

    def __str__(self) -> str:
        return self.reason


class UnknownStream(FrameError):
    """No declared stream matches the name."""

    status = StatusCodes.NOT_FOUND

    def __str__(self) -> str:
        return "no such stream"


class StreamNotOpen(FrameError):
    """The stream is declared but not open, and this frame may not open it."""

    status = StatusCodes.CONFLICT

    def __str__(self) -> str:
        return "the stream is not open: send an open event first"


class FrameTooLarge(FrameError):
    """The message has more bytes than `max_frame_size` allows."""

    status = StatusCodes.PAYLOAD_TOO_LARGE

    def __init__(self, size: int, limit: int) -> None:
        super().__init__()
        self.size = size
        self.limit = limit

    def __str__(self) -> str:
        return f"message of {self.size} bytes exceeds the limit of {self.limit} bytes"


class TooManyStreams(FrameError):
    """The connection has as many streams as `max_streams` allows."""

    status = StatusCodes.TOO_MANY_REQUESTS

    def __init__(self, stream: str, limit: int) -> None:
        super().__init__(stream)
        self.limit = limit

    def __str__(self) -> str:
        return (
            f"the connection has its maximum of {self.limit} streams open, "
            "or too many that are closing: close one, or wait"
        )


class InboxFull(FrameError):
    """The stream's inbox is full, or all of them together, and its policy is `reject`."""

    status = StatusCodes.TOO_MANY_REQUESTS
    data = True

    def __str__(self) -> str:
        return "too much waits already, for the stream or the connection: send this frame later"
