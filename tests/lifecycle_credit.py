"""What a client keeps of a stream for which it keeps to its credit."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any


class Keeper:
    """
    A stream of such a client: sends its data frames as far as the server has given credit.

    It knows only what it has sent and heard, and sends nothing of which it could not tell what
    the answer is to.

    Args:
        eager: whether the stream opens without having been asked to.
        feed: sends a message, as `World._feed` does.
    """

    def __init__(self, eager: bool, feed: Callable[[dict[str, Any], Any], None]) -> None:
        #: What the server has it for: closed, open, closing, or perhaps open (an eager stream).
        self.state = "perhaps" if eager else "closed"
        #: Whether an `open` waits for its answer.
        self.opening = False
        #: The data frames that may be sent, and those that wait for that.
        self.credit = 0
        self.held: deque[tuple[dict[str, Any], Any]] = deque()
        self._feed = feed

    def open(self) -> bool:
        """Say whether an `open` may be sent, which is done then: one at a time."""
        if self.opening or self.state == "lost":
            return False
        self.opening = True
        self.credit = 0
        return True

    def close(self) -> bool:
        """Say whether a `close` may be sent, which is done then."""
        if self.state != "open" or self.opening:
            return False
        self.state = "closing"
        self._forget()
        return True

    def send(self, message: dict[str, Any], meaning: Any) -> None:
        """Send a data frame once there is credit for it."""
        if self.state != "closing" or self.opening:
            self.held.append((message, meaning))
            self._flush()

    def hear(self, frame: dict[str, Any]) -> None:
        """Take a control frame of the server for the stream."""
        match frame["event"]:
            case "open":
                self.state = "open"
                self.opening = False
                self.credit = frame["credit"]
            case "credit" if not self.opening:
                self.credit += frame["credit"]
            case "close" if self.state == "perhaps" and self.opening:
                # The end of the eager stream, or the refusal of the `open`: there is no telling.
                self.state = "lost"
                self._forget()
            case "close" if self.state == "closed":
                self.opening = False
                self._forget()
            case "close":
                self.state = "closed"
                if not self.opening:
                    self._forget()
        self._flush()

    def _forget(self) -> None:
        self.credit = 0
        self.held.clear()

    def _flush(self) -> None:
        while self.held and self.credit:
            self.credit -= 1
            self._feed(*self.held.popleft())
