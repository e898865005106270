"""
An event loop in which neither waiting nor work takes time.

A test in it finds the same on a slow machine, or one that stops for a while, as on a fast one; and
what is to happen after a minute happens at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import selectors
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

#: Real seconds in which a thread goes on, however slow the machine: only a failing test waits so
#: long.
_PATIENCE = 60


class _Selector(selectors.DefaultSelector):  # type: ignore[misc,valid-type]
    """Waits for nothing but threads: where nothing is to be done, the clock goes on."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> Any:
        idle = timeout is None or timeout > 0
        ready = super().select(_PATIENCE if idle and self.loop.working else 0)
        if not idle:
            self.loop.now += self.loop.turn
        if ready or not idle:
            return ready
        if self.loop.working:
            raise RuntimeError("a thread waits for what does not happen")
        if len(self.get_map()) > 1:  # the loop has one of its own, for threads
            raise RuntimeError("a socket is waited for, which takes real time: see conftest.py")
        if timeout is None:
            raise RuntimeError("nothing is left that could happen")
        self.loop.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """
    An event loop whose clock goes on only while nothing can be done, and then jumps.

    It waits for threads, except for those that wait for it, in asgiref's `async_to_sync`. While it
    runs, `time.monotonic` tells its time too: the demultiplexer lets others run when it has worked
    for long, which on a busy machine would be at any time.

    Args:
        real_threads: whether what is handed to a thread runs in one. Else it runs in the loop's, in
            a step of its own, and always in the same order.
    """

    def __init__(self, *, real_threads: bool = True) -> None:
        self.now = 0.0
        #: What `time.monotonic` is meanwhile.
        self.monotonic: Callable[[], float] = self.time
        #: Seconds that each turn takes, for tests in which there is always something to do.
        self.turn = 0.0
        #: How many threads are at work for the loop, and do not wait for it.
        self.working = 0
        self._real_threads = real_threads
        self._pool: ThreadPoolExecutor | None = None
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now

    def run_forever(self) -> None:
        with _clock(self.monotonic):
            super().run_forever()

    def run_in_executor(self, executor: Any, function: Any, *args: Any) -> Any:
        if not self._real_threads:
            future = self.create_future()
            self.call_soon(self._run_here, future, functools.partial(function, *args))
            return future
        running = (executor or self._own_pool()).submit(function, *args)
        self._count(1)
        future = asyncio.wrap_future(running, loop=self)
        # After the callback by which `future` gets its result, so that no time passes between.
        running.add_done_callback(self._done)
        return future

    def _own_pool(self) -> ThreadPoolExecutor:
        if self._pool is None:
            self._pool = ThreadPoolExecutor()
            self.set_default_executor(self._pool)
        return self._pool

    def _done(self, _: object) -> None:
        if not self.is_closed():
            self.call_soon_threadsafe(self._count, -1)

    def _count(self, more: int) -> None:
        self.working += more

    def _run_here(self, future: asyncio.Future[Any], function: Callable[[], Any]) -> None:
        if future.cancelled():
            return
        try:
            future.set_result(function())
        except Exception as error:  # noqa: BLE001 - as an executor does
            future.set_exception(error)

    def call_soon_threadsafe(
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Any:
        if callback == self.create_task:
            callback = self._run_for_thread
        return super().call_soon_threadsafe(callback, *args, context=context)

    def _run_for_thread(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run what a thread waits for: async_to_sync asks for nothing but a task."""
        self._count(-1)
        self.create_task(coroutine).add_done_callback(lambda _: self._count(1))

    async def shutdown_default_executor(self, *args: Any) -> None:
        self._count(1)  # a thread, too
        await super().shutdown_default_executor(*args)
        self._count(-1)


def running_loop() -> VirtualLoop:
    """Return the loop of a test, to let its time pass."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


@contextlib.contextmanager
def _clock(read: Callable[[], float]) -> Iterator[None]:
    """Have `read` for `time.monotonic`."""
    clock, time.monotonic = time.monotonic, read
    try:
        yield
    finally:
        time.monotonic = clock
