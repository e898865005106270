"""
What can be wrong with a stream of the Python client.

* Exception
   * StreamError
      * StreamRefused
      * StreamClosed
      * FrameRefused
"""

from __future__ import annotations

__all__ = ["FrameRefused", "StreamClosed", "StreamError", "StreamRefused"]


class StreamError(Exception):
    """
    Something is wrong with a stream; its socket and every other stream go on.

    Attributes:
        stream: the stream's name.
        code: the close code, or of `FrameRefused` the status.
        reason: what the server says of it, "" where nothing.
    """

    _what = "failed"

    def __init__(self, stream: str, code: int, reason: str) -> None:
        super().__init__(stream, code, reason)
        self.stream = stream
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the stream {self.stream!r} {self._what} with {self.code} {self.reason}".rstrip()


class StreamRefused(StreamError):
    """The stream has not opened: its consumer refused, or crashed before it accepted."""

    _what = "was refused"


class StreamClosed(StreamError):
    """The stream has ended, by either side."""

    _what = "is closed"


class FrameRefused(StreamError):
    """The server has answered a frame of the stream with an error; it doesn't say which frame."""

    _what = "had a frame refused"

    @property
    def status(self) -> int:
        """The error's status, such as 404 where no stream has that name."""
        return self.code
