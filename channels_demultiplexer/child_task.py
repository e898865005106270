"""The task of one child: it runs, is given time to end, and is cancelled when that is over."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

__all__ = ["ChildTask", "Owner"]


class Owner(Protocol):
    """What a child's task belongs to."""

    def child_expired(self) -> None:
        """Note that the child's time is over, and that it will be cancelled."""

    def child_finished(self, error: BaseException | None) -> None:
        """Note that the child has finished, and what it raised."""


class ChildTask:
    """
    Runs a child.

    Args:
        timeout: seconds that the child has to end once it is to.
        owner: what is told of it.
    """

    __slots__ = ("_deadline", "_owner", "_timeout", "killed", "running", "task")

    def __init__(self, timeout: float, owner: Owner) -> None:
        self._timeout = timeout
        self._owner = owner
        #: Whether the child has been started and has not finished.
        self.running = False
        #: Whether it was cancelled because its time was over.
        self.killed = False
        #: None until `start`.
        self.task: asyncio.Task[None] | None = None
        # Runs out when the child has had its time to end. None until it is to end.
        self._deadline: asyncio.TimerHandle | None = None

    def start(self, child: Coroutine[Any, Any, None]) -> None:
        """Start the child."""
        # Before the task, which may run at once (asyncio.eager_task_factory).
        self.running = True
        self.task = asyncio.create_task(child)
        self.task.add_done_callback(self._finish)

    def end(self) -> None:
        """Let the child's time to end begin, where it runs and that has not begun."""
        if self._deadline is None and self.running:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._timeout, self._expire)

    def _expire(self) -> None:
        """Cancel a child that has not ended in time, again and again if it goes on."""
        assert self.task is not None  # the loop has run since it was started
        self._deadline = None
        self.end()
        self._owner.child_expired()
        self.killed = True
        self.task.cancel()

    def _finish(self, task: asyncio.Task[None]) -> None:
        self.running = False
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        error: BaseException | None
        try:
            error = task.exception()
        except asyncio.CancelledError as cancelled:
            error = cancelled
        self._owner.child_finished(error)
