"""What one child receives: its connect, a bounded queue of data frames, its disconnect."""

from __future__ import annotations

import asyncio
from collections import deque

from .routing import Message

__all__ = ["Inbox"]


class Inbox:
    """
    The messages for one child, which takes them by `receive`, its ASGI `receive`.

    Args:
        capacity: the most data frames that wait; connect and disconnect don't count.
    """

    __slots__ = (
        "_capacity",
        "_disconnect",
        "_frames",
        "_open",
        "_room",
        "_told",
        "_waiters",
        "started",
    )

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        # The data that waits. None until some had to: an empty deque has 760 bytes.
        self._frames: deque[Message] | None = None
        #: Whether the child has taken its websocket.connect.
        self.started = False
        # Whether data may be taken: not before the child has accepted.
        self._open = False
        # The child's websocket.disconnect, once it is to end, and whether it has taken it.
        self._disconnect: Message | None = None
        self._told = False
        # The calls of receive() that wait; more than one only where the child calls it twice.
        self._waiters: list[asyncio.Future[Message]] = []
        # Set when there may be room again. None until the inbox was full once.
        self._room: asyncio.Event | None = None

    @property
    def full(self) -> bool:
        """Whether as many frames wait as may."""
        return self._frames is not None and len(self._frames) >= self._capacity

    def put(self, message: Message) -> bool:
        """Put a data frame; return False where the inbox is full."""
        while self._waiters and self._open:
            # Nothing is ahead of it: straight to the call that waits.
            waiter = self._waiters.pop(0)
            if not waiter.done():  # cancelled
                waiter.set_result(message)
                return True
        if self._frames is None:
            self._frames = deque()
        if len(self._frames) >= self._capacity:
            return False
        self._frames.append(message)
        return True

    def accept(self) -> None:
        """Let the child take data."""
        self._open = True
        self._hand_over()

    def disconnect(self, message: Message) -> None:
        """Give the child `message`, its websocket.disconnect, after what waits. Only once."""
        self._disconnect = message
        self._hand_over()

    def clear(self) -> None:
        """Drop the data that waits."""
        self._frames = None

    async def room(self) -> None:
        """Wait until there is room, or a `wake`. To be called where the inbox is full."""
        if self._room is None:
            self._room = asyncio.Event()
        self._room.clear()
        await self._room.wait()

    def wake(self) -> None:
        """Wake the call of room() that waits."""
        if self._room is not None:
            self._room.set()

    async def receive(self) -> Message:
        """
        Return the child's next message: the connect, data once it has accepted, the disconnect.

        After the disconnect nothing comes any more. A call that is cancelled loses no message.
        """
        message = self._next()
        if message is not None:
            return message
        waiter: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.cancelled():
                # Handed over while the cancellation was on its way.
                self._take_back(waiter.result())
            raise

    def _next(self) -> Message | None:
        """Take the next message, None where the child has to wait."""
        if not self.started:
            self.started = True
            return {"type": "websocket.connect"}
        if self._frames and self._open and not self._told:
            self.wake()
            return self._frames.popleft()
        if self._disconnect is not None and not self._told:
            self._told = True
            return self._disconnect
        return None

    def _hand_over(self) -> None:
        """Give what there is to the calls of receive() that wait."""
        while self._waiters:
            if self._waiters[0].done():  # cancelled
                del self._waiters[0]
                continue
            message = self._next()
            if message is None:
                return
            self._waiters.pop(0).set_result(message)

    def _take_back(self, message: Message) -> None:
        if message is self._disconnect:
            self._told = False
        else:
            if self._frames is None:
                self._frames = deque()
            self._frames.appendleft(message)
        self._hand_over()
