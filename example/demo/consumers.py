"""The consumers of the demo page that the project has no other use for."""

import asyncio
import math
import time
from typing import Any

from articles.consumers import ArticlesConsumer
from articles.models import Article
from asgiref.sync import async_to_sync
from channels.generic.websocket import (
    AsyncJsonWebsocketConsumer,
    AsyncWebsocketConsumer,
    JsonWebsocketConsumer,
)
from channels.layers import get_channel_layer
from django.db.models.signals import post_delete, post_save
from django.dispatch import receiver
from django.template.loader import render_to_string
from notes.models import Note


class TickerConsumer(AsyncJsonWebsocketConsumer):
    """Pushes a value five times a second, and how late the event loop was with it."""

    interval = 0.2

    async def connect(self) -> None:
        await self.accept()
        self.ticking = asyncio.create_task(self.tick())

    async def disconnect(self, code: int) -> None:
        self.ticking.cancel()
        await asyncio.wait([self.ticking])

    async def tick(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + self.interval
            await asyncio.sleep(self.interval)
            now = time.time()
            await self.send_json(
                {
                    "at": round(now, 3),
                    # Made from the time alone, so that every window sees the same.
                    "value": round(sum(math.sin(now / period) for period in (0.9, 2.3, 7.1)), 3),
                    "late": round((loop.time() - due) * 1000, 1),
                }
            )


class LiveArticlesConsumer(ArticlesConsumer):
    """The articles, and a push to every window when one has changed."""

    groups = ["articles"]

    async def articles_changed(self, event: dict[str, Any]) -> None:
        await self.push("articles.changed", None)


@receiver([post_save, post_delete], sender=Article)
def announce(**kwargs: Any) -> None:
    """Tell the consumers that an article has changed, whoever has changed it."""
    async_to_sync(get_channel_layer().group_send)("articles", {"type": "articles.changed"})


class WallConsumer(JsonWebsocketConsumer):
    """A wall of notes for htmx: it gets a form's fields, and answers with HTML."""

    groups = ["wall"]

    def connect(self) -> None:
        self.accept()
        self.show()

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        Note.objects.create(text=content["note"][:200])
        async_to_sync(self.channel_layer.group_send)("wall", {"type": "wall.changed"})

    def wall_changed(self, event: dict[str, Any]) -> None:
        self.show()

    def show(self) -> None:
        notes = Note.objects.order_by("-pk")[:6]
        self.send(render_to_string("demo/wall.html", {"notes": notes}))


class BoardConsumer(AsyncWebsocketConsumer):
    """A drawing board: the strokes of one window, as bytes, go to all."""

    groups = ["board"]

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        await self.channel_layer.group_send("board", {"type": "board.stroke", "bytes": bytes_data})

    async def board_stroke(self, event: dict[str, Any]) -> None:
        await self.send(bytes_data=event["bytes"])


# What goes wrong.


class CrashConsumer(AsyncWebsocketConsumer):
    """Crashes when it gets a message."""

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        raise RuntimeError("a button of the demo page was pressed")


class StallConsumer(AsyncJsonWebsocketConsumer):
    """Sleeps when told to, and takes none of its frames meanwhile."""

    taken = 0

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.taken += 1
        if "sleep" in content:
            await asyncio.sleep(min(content["sleep"], 30))
        if "count" in content:
            await self.send_json({"taken": self.taken})


class BlockConsumer(JsonWebsocketConsumer):
    """Blocks the thread that all sync code of the process shares."""

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        self.send_json({"blocked": True})
        time.sleep(min(content["seconds"], 10))
        self.send_json({"blocked": False})


class RefuseConsumer(AsyncWebsocketConsumer):
    """Lets nobody in."""

    async def connect(self) -> None:
        await self.close(code=4401, reason="members only")
