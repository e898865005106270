"""The children of random connections: what they do, a seed says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from random import Random
from typing import TYPE_CHECKING, Any

from channels.generic.websocket import AsyncWebsocketConsumer, WebsocketConsumer

if TYPE_CHECKING:
    from .lifecycle import World

#: Close codes that no socket can close with, or not every one.
ODD_CODES = (0, 1001, 1005, 1006, 1011, 1015, 1500, 2500, 2999, 5000, 2**40, -1)

#: Virtual seconds that are longer than anything takes.
FOREVER = 1000


class Doom(BaseException):
    """What a child raises that no `except Exception` takes."""


class Life:
    """One run of a child, whose habits its seed says."""

    def __init__(self, world: World, number: int, scope: Any, receive: Any, send: Any) -> None:
        self.world = world
        self.scope = scope
        self.name: str = scope["demultiplexer"]["stream"]
        self.number = number
        self.random = Random(f"{world.scenario.seed} {self.name} {number}")
        #: How many cancellations it ignores.
        self.stubborn = self.random.choice([0, 0, 0, 1, 2])
        self.cancelled_itself = False
        #: Whether it follows the script below, whose every step is known.
        self.scripted = self.random.random() < 0.8
        #: Whether and what it raised.
        self.ended = False
        self.error: BaseException | None = None
        self.channel: str | None = None
        #: What it had not received in the end.
        self.unread: list[dict[str, Any]] = []
        self._receive = receive
        self._send = send

    def log(self, kind: str, value: Any = None) -> None:
        self.world.log(kind, self, value)

    async def receive(self) -> dict[str, Any]:
        self.log("asks")
        try:
            message: dict[str, Any] = await self._receive()
        except asyncio.CancelledError:
            self.log("asks no more")
            raise
        self.log("receives", message)
        return message

    async def send(self, message: dict[str, Any]) -> None:
        number = next(self.world.numbers)
        self.log("sends", (number, message))
        try:
            await self._send(message)
        except BaseException as error:
            self.log("failed", (number, error))
            raise
        self.log("done", number)

    def drain(self) -> None:
        """Take what was not received, when all has ended."""
        while True:
            coroutine = self._receive()
            try:
                coroutine.send(None)
            except StopIteration as stop:
                self.unread.append(stop.value)
            else:
                coroutine.close()
                return

    async def run(self) -> None:
        try:
            await self._live()
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.ended = True
            if _is_being_cancelled():
                self.error = asyncio.CancelledError()
            self.log("ends", self.error)
            # The demultiplexer gets to know of it when the task is done, right after this.
            self.world.loop.call_soon(self.log, "concludes")

    async def _live(self) -> None:
        if not self.scripted:
            consumers = [GroupEcho, GroupEcho, BadGoodbye, SlowGoodbye]
            if self.world.scenario.sync:
                consumers = [SyncEcho, SyncEcho, *consumers]
            application = self.random.choice(consumers).as_asgi()
            await application({**self.scope, "life": self}, self.receive, self.send)
            return
        try:
            await self._script()
        except StopLife:
            return
        except asyncio.CancelledError:
            self.log("cancelled", self.cancelled_itself)
            await self._ignore_cancellation()

    async def _ignore_cancellation(self) -> None:
        while self.stubborn:
            self.stubborn -= 1
            try:
                await asyncio.sleep(self.random.choice([0, 0.1, FOREVER / 2]))
                return
            except asyncio.CancelledError:
                self.log("cancelled", False)
        raise asyncio.CancelledError

    async def _script(self) -> None:
        where = self.random.choice([None, None, "start", "connect", "data", "data", "disconnect"])
        if where == "start":
            await self._trouble()
        await self.receive()
        if where == "connect":
            await self._trouble()
        await asyncio.sleep(self.random.choice([0, 0, 0.02, 0.2]))
        accepting = self.send({"type": "websocket.accept", **self._subprotocol()})
        if self.random.random() < 0.85:
            await accepting
        else:
            await self._impatiently(accepting)
        patience = self.random.randint(0, 4) if where == "data" else -1
        slowness = self.random.choice([None, None, None, 0, 0.047, 0.29])
        while (message := await self.receive())["type"] == "websocket.receive":
            if patience == 0:
                await self._trouble()
            patience -= 1
            if slowness is not None:
                await asyncio.sleep(slowness)
            await self.send({**message, "type": "websocket.send"})
        if where == "disconnect":
            await self._trouble()

    async def _impatiently(self, sending: Coroutine[Any, Any, None]) -> None:
        """Send, but not for long."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(sending, self.random.choice([0, 0.013, 0.13]))

    def _subprotocol(self) -> dict[str, Any]:
        offered = self.scope["subprotocols"]
        return {"subprotocol": offered[0]} if offered else {}

    async def _trouble(self) -> None:
        kind = self.random.choice(_TROUBLES)
        await kind(self)

    # Troubles.

    async def crash(self) -> None:
        raise LookupError("crash")

    async def crash_cancelled(self) -> None:
        self.cancelled_itself = True
        raise asyncio.CancelledError

    async def doom(self) -> None:
        raise Doom

    async def cancel_itself(self) -> None:
        self.cancelled_itself = True
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)

    async def hang(self) -> None:
        await asyncio.sleep(FOREVER / 2)

    async def doze(self) -> None:
        await asyncio.sleep(self.random.choice([0.03, 0.3, 3]))

    async def close(self) -> None:
        odd = {"code": self.random.choice(ODD_CODES)}
        code = self.random.choice([{}, {"code": 4002}, {"code": 1000}, {"code": None}, odd])
        reason = self.random.choice(
            [{}, {"reason": "done"}, {"reason": None}, {"reason": "ä" * 70}]
        )
        await self.send({"type": "websocket.close", **code, **reason})

    async def close_twice(self) -> None:
        await self.close()
        await self.send({"type": "websocket.send", "text": "too late"})
        await self.close()

    async def close_and_crash(self) -> None:
        await self.close()
        raise LookupError("crash after close")

    async def accept(self) -> None:
        await self.send({"type": "websocket.accept"})

    async def flood(self) -> None:
        for number in range(self.random.choice([5, 30])):
            await self.send({"type": "websocket.send", "text": f"flood {number}"})

    async def break_out(self) -> None:
        for text in _BREAKING:
            await self.send({"type": "websocket.send", "text": text})

    async def unwritable(self) -> None:
        await self.send({"type": "websocket.send", "text": "\ud800"})

    async def unknown(self) -> None:
        await self.send({"type": "websocket.shout"})

    async def speak_while_ending(self) -> None:
        """A task of the child's goes on sending while the child does other things."""

        async def speak() -> None:
            for number in range(20):
                await self.send({"type": "websocket.send", "text": f"[{number}]"})
                await asyncio.sleep(self.random.choice([0, 0.01, 0.1]))

        task = asyncio.create_task(speak())
        try:
            await asyncio.sleep(self.random.choice([0, 0.053, 1]))
            await self._trouble()
        finally:
            while not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
            if not task.cancelled():
                task.exception()

    async def ask_twice(self) -> None:
        """Cancel a receive, and ask again."""
        for _ in range(3):
            task = asyncio.create_task(self.receive())
            try:
                for _ in range(self.random.randint(0, 3)):
                    await asyncio.sleep(0)
            finally:
                if not task.done():
                    self.log("gives up")
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def give_up(self) -> None:
        raise StopLife

    async def cancel_itself_and_return(self) -> None:
        """A task that is cancelled and returns before it waits again has been cancelled."""
        self.cancelled_itself = True
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        raise StopLife

    async def send_impatiently(self) -> None:
        for number in range(self.random.randint(1, 5)):
            message = {"type": "websocket.send", "text": f"impatient {number}"}
            await self._impatiently(self.send(message))

    async def close_impatiently(self) -> None:
        await self._impatiently(self.close())

    async def cancel_a_send(self) -> None:
        """Cancel a send that may have begun, or be about to end."""
        kind = self.random.choice(["websocket.send", "websocket.send", "websocket.close"])
        text = {"text": "cancelled"} if kind == "websocket.send" else {}
        task = asyncio.create_task(self.send({"type": kind, **text}))
        try:
            for _ in range(self.random.randint(0, 3)):
                await asyncio.sleep(0)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def leave_somebody_behind(self) -> None:
        """A task of the child's goes on sending, and may close, when the child has finished."""

        async def speak() -> None:
            with contextlib.suppress(RuntimeError, OSError):
                for number in range(self.random.randint(0, 4)):
                    await self.send({"type": "websocket.send", "text": f"left {number}"})
                    await asyncio.sleep(self.random.choice([0, 0, 0.01, 0.1]))
                if self.random.random() < 0.5:
                    await self.close()

        self.world.help(speak())
        for _ in range(self.random.randint(0, 3)):
            await asyncio.sleep(0)
        if self.random.random() < 0.5:
            raise StopLife
        await self._trouble()


def _is_being_cancelled() -> bool:
    """Whether the running task, should it return now, will have been cancelled."""
    return bool(getattr(asyncio.current_task(), "_must_cancel", False))


class StopLife(Exception):
    """Ends a script early, as a return does."""


_BREAKING = (
    '1},"stream":"b"',
    '1,"event":"close"',
    '"}',
    "{}{}",
    "NaN",
    "[1,]",
    "",
    ' { "stream" : "b" , "payload" : [ ] } ',
    "null",
    '"\\ud800"',
)

_TROUBLES = (
    Life.crash,
    Life.crash_cancelled,
    Life.doom,
    Life.cancel_itself,
    Life.hang,
    Life.hang,
    Life.doze,
    Life.doze,
    Life.close,
    Life.close,
    Life.close_twice,
    Life.close_and_crash,
    Life.accept,
    Life.flood,
    Life.break_out,
    Life.unwritable,
    Life.unknown,
    Life.speak_while_ending,
    Life.ask_twice,
    Life.ask_twice,
    Life.give_up,
    Life.cancel_itself_and_return,
    Life.send_impatiently,
    Life.close_impatiently,
    Life.cancel_a_send,
    Life.cancel_a_send,
    Life.leave_somebody_behind,
    Life.leave_somebody_behind,
)


class GroupEcho(AsyncWebsocketConsumer):
    """Echoes, and is a member of a group whose notes it sends."""

    groups = ["everyone"]

    async def websocket_connect(self, message: Any) -> None:
        self.scope["life"].channel = self.channel_name
        await super().websocket_connect(message)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.send(text_data, bytes_data)

    async def note(self, message: dict[str, Any]) -> None:
        await self.send(f"note {message['number']}")


class BadGoodbye(GroupEcho):
    """Raises in its disconnect."""

    async def disconnect(self, code: int) -> None:
        raise LookupError("crash in disconnect")


class SlowGoodbye(GroupEcho):
    """Takes its time to disconnect."""

    async def disconnect(self, code: int) -> None:
        await asyncio.sleep(self.scope["life"].random.choice([0.03, 1]))


class SyncEcho(WebsocketConsumer):
    """Echoes in a thread."""

    groups = ["everyone"]

    def websocket_connect(self, message: Any) -> None:
        self.scope["life"].channel = self.channel_name
        super().websocket_connect(message)

    def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.send(text_data, bytes_data)

    def note(self, message: dict[str, Any]) -> None:
        self.send(f"note {message['number']}")


async def child(scope: Any, receive: Any, send: Any) -> None:
    """The application of every stream."""
    await scope["world"].begin(scope, receive, send).run()
