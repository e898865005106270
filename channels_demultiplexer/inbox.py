"""What one child receives: its connect, a bounded queue of data frames, its disconnect."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from .asgi import Message
from .credit import Credit

__all__ = ["Inbox", "Space"]


def _size(message: Message) -> int:
    """Return the bytes of a data frame as the child will receive it, text as UTF-8."""
    text: str | None = message.get("text")
    if text is None:
        return len(message["bytes"])
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


class Space:
    """
    What waits in all inboxes of a connection together.

    Args:
        limit: the bytes that may wait; one frame may where no other does.
    """

    __slots__ = ("_frames", "_freed", "_limit", "_size")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._frames = 0
        self._size = 0
        # Set when there may be room again. None until somebody had to wait for it.
        self._freed: asyncio.Event | None = None

    def fits(self, size: int) -> bool:
        """Whether a frame of `size` bytes may wait."""
        return self._size + size <= self._limit or not self._frames

    def fill(self, size: int) -> None:
        """Count a frame that waits."""
        self._frames += 1
        self._size += size

    def free(self, size: int) -> None:
        """Count a frame that waits no more."""
        self._frames -= 1
        self._size -= size
        self.wake()

    async def freed(self) -> None:
        """Wait until there may be room again."""
        if self._freed is None:
            self._freed = asyncio.Event()
        self._freed.clear()
        await self._freed.wait()

    def wake(self) -> None:
        """Wake the call of freed() that waits."""
        if self._freed is not None:
            self._freed.set()


class Inbox:
    """
    The messages for one child, which takes them by `receive`, its ASGI `receive`.

    It hands a message to the call that waits for it, by a future for each call. An `asyncio.Queue`
    in its place would cost a message more, and lose one where the call is cancelled in the moment
    in which it gets it.

    Args:
        capacity: the most data frames that wait; connect and disconnect don't count.
        space: what waits in this inbox and others.
    """

    __slots__ = (
        "_capacity",
        "_credit",
        "_disconnect",
        "_disconnect_taken",
        "_frames",
        "_held",
        "_open",
        "_space",
        "_waiters",
        "idle",
        "started",
    )

    def __init__(self, capacity: int, space: Space) -> None:
        self._capacity = capacity
        self._space = space
        # The data that waits. None until some had to: an empty deque has 760 bytes.
        self._frames: deque[Message] | None = None
        #: Whether the child has taken its websocket.connect.
        self.started = False
        #: Whether the child has taken no data since this was set.
        self.idle = False
        # Whether data may be taken: not before the child has accepted, nor while it is held.
        self._open = False
        self._held = False
        # The child's websocket.disconnect, once it is to end, and whether it has taken it.
        self._disconnect: Message | None = None
        self._disconnect_taken = False
        # The calls of receive() that wait; more than one only where the child calls it twice.
        self._waiters: list[asyncio.Future[Message]] = []
        # None where no `open` has asked for it.
        self._credit: Credit | None = None

    def put(self, message: Message, own: bool = True) -> bool:
        """
        Put a data frame; return False where the inbox is full.

        Args:
            own: whether the client has sent it for this inbox, and so needs credit for it.
        """
        credit = self._credit
        while self._waiters and self._open and not self._held:
            # Nothing is ahead of it: straight to the call that waits.
            waiter = self._waiters.pop(0)
            if not waiter.done():  # cancelled
                waiter.set_result(message)
                self.idle = False
                if credit is not None:
                    credit.put(own)
                    credit.taken()
                    credit.grant()
                return True
        size = _size(message)
        if not self._has_room(own) or not self._space.fits(size):
            return False
        self._queue().append(message)
        self._space.fill(size)
        if credit is not None:
            credit.put(own)
        return True

    def accept(self) -> None:
        """Let the child take data."""
        self._open = True
        self._go_on()

    def disconnect(self, message: Message) -> None:
        """Give the child its websocket.disconnect, after what waits. The first call counts."""
        if self._disconnect is None:
            self._disconnect = message
            self._credit = None
            self.release()

    def clear(self) -> None:
        """Drop the data that waits."""
        while self._frames:
            self._space.free(_size(self._frames.popleft()))

    def finish(self) -> None:
        """Drop the data that waits, and what is given back later, as nobody takes it any more."""
        self.clear()
        self._space = Space(0)

    # Credit.

    def begin_credit(self, grant: Callable[[int], None]) -> int:
        """
        Count anew what the client may send.

        Args:
            grant: called with what it may send in addition.

        Returns:
            What it may send now: as many data frames as places are free.
        """
        free = self._capacity - len(self._frames or ())
        self._credit = Credit(free, self._capacity, grant)
        return self._credit.unused

    def missed(self) -> None:
        """Count a data frame of the client that does not come here as one that was taken."""
        if self._credit is not None:
            self._credit.missed()
            self._grant()

    def hold(self) -> None:
        """Keep the child from taking data until `release`."""
        self._held = True

    def release(self) -> None:
        """Let the child go on taking data."""
        self._held = False
        self._go_on()

    # What the child calls.

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
        # What found the connection full may go straight to this call.
        self._space.wake()
        try:
            return await waiter
        except asyncio.CancelledError:
            if waiter in self._waiters:
                self._waiters.remove(waiter)
            elif not waiter.cancelled():
                # Handed over while the cancellation was on its way.
                self._take_back(waiter.result())
            raise

    def receive_future(self) -> asyncio.Future[Message]:
        """
        Return a future of what `receive` returns, which costs its caller no task.

        Cancelled, or given a result, before it is done, it loses no message.
        """
        future: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        message = self._next()
        if message is None:
            while self._waiters and self._waiters[0].done():
                del self._waiters[0]
            self._waiters.append(future)
            self._space.wake()  # as in receive()
        else:
            future.set_result(message)
        return future

    def _has_room(self, own: bool) -> bool:
        """Whether another frame may wait here; each may for which the client has credit."""
        if self._frames is None or len(self._frames) < self._capacity:
            return True
        return own and self._credit is not None and self._credit.unused > 0

    def _queue(self) -> deque[Message]:
        if self._frames is None:
            self._frames = deque()
        return self._frames

    def _next(self) -> Message | None:
        """Take the next message, None where the child has to wait."""
        if not self.started:
            self.started = True
            return {"type": "websocket.connect"}
        if self._frames and self._open and not self._held and not self._disconnect_taken:
            message = self._frames.popleft()
            self._space.free(_size(message))
            self.idle = False
            if self._credit is not None:
                self._credit.taken()
                self._credit.grant()
            return message
        if self._disconnect is not None and not self._disconnect_taken:
            self._disconnect_taken = True
            return self._disconnect
        return None

    def _grant(self) -> None:
        """Grant what is due: not before the `open` is answered, nor while a grant is to be sent."""
        if self._credit is not None and self._open and not self._held:
            self._credit.grant()

    def _go_on(self) -> None:
        self._grant()
        self._hand_over()

    def _hand_over(self) -> None:
        """Give what there is to the calls of receive() that wait."""
        while self._waiters:
            if self._waiters[0].done():  # cancelled
                del self._waiters[0]
                continue
            message = self._next()
            if message is None:
                self._space.wake()  # as in receive()
                return
            self._waiters.pop(0).set_result(message)

    def _take_back(self, message: Message) -> None:
        if message is self._disconnect:
            self._disconnect_taken = False
        else:
            self._queue().appendleft(message)
            self._space.fill(_size(message))
            if self._credit is not None:
                self._credit.given_back()
        self._hand_over()
