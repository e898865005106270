"""The task of one child: it runs, is given time to end, and is cancelled when that is over."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["ChildTask"]

logger = logging.getLogger("channels_demultiplexer")


class ChildTask:
    """
    Runs a child.

    Args:
        timeout: seconds that the child has to end once it is to.
        name: its stream's name, for the log.
        path: the socket's path, for the log.
    """

    __slots__ = (
        "_deadline",
        "_finished",
        "_name",
        "_path",
        "_timeout",
        "killed",
        "task",
    )

    def __init__(self, timeout: float, name: str, path: str | None) -> None:
        self._timeout = timeout
        self._name = name
        self._path = path
        #: Whether it was cancelled because its time was over.
        self.killed = False
        #: None until `start`, and when the child has finished.
        self.task: asyncio.Task[None] | None = None
        # Called when the child has finished. None before the start, and after that.
        self._finished: Callable[[BaseException | None], None] | None = None
        # Runs out when the child has had its time to end. None until it is to end.
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def running(self) -> bool:
        """Whether the child has been started and has not finished."""
        return self._finished is not None

    def start(
        self,
        child: Coroutine[Any, Any, None],
        finished: Callable[[BaseException | None], None],
    ) -> None:
        """
        Start the child.

        Args:
            child: the child.
            finished: called when it has finished, with what it raised or None.
        """
        # Before the task, which may run at once (asyncio.eager_task_factory).
        self._finished = finished
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
        if not self.task.cancel():
            return  # it has ended in this very moment
        self.killed = True
        self.end()
        logger.warning(
            "stream %r of %r did not end within %s seconds and is cancelled",
            self._name,
            self._path,
            self._timeout,
        )

    def _finish(self, task: asyncio.Task[None]) -> None:
        # What it raised refers to the stream, by its traceback.
        self.task = None
        if self._deadline is not None:
            self._deadline.cancel()
        error: BaseException | None
        try:
            error = task.exception()
        except asyncio.CancelledError as cancelled:
            error = cancelled
        assert self._finished is not None  # start() has set it
        finished, self._finished = self._finished, None
        finished(error)
        del error  # the traceback of a cancellation refers to this frame
