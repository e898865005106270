"""
What `benchmarks.load` has served: at /streams/N, N streams that echo and hear what all are told.

The environment says how: LOAD_LAYER is the JSON of the channel layer, if there is to be one, and
LOAD_CHECKS the setting DATABASE_CHECKS.
"""

from __future__ import annotations

import json
import os
from typing import Any

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from . import settings

_LAYER = json.loads(os.environ.get("LOAD_LAYER", "null"))

settings.configure(
    CHANNEL_LAYERS={} if _LAYER is None else {"default": _LAYER},
    CHANNELS_DEMULTIPLEXER_DATABASE_CHECKS=os.environ.get("LOAD_CHECKS", "due"),
)

from .applications import Echo, ours  # noqa: E402 - consumers need the settings

#: The most streams of a socket.
MOST = 100


class Member(Echo):
    """Sends back what it gets, unless it is `[text]`, which it tells all others."""

    groups = [] if _LAYER is None else ["all"]

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        if isinstance(content, list):
            await self.channel_layer.group_send("all", {"type": "told", "content": content[0]})
        else:
            await super().receive_json(content)

    async def told(self, event: dict[str, Any]) -> None:
        """Tell the client."""
        await self.send_json(event["content"])


application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [path(f"streams/{count}", ours(count, Member)) for count in range(1, MOST + 1)]
        )
    }
)
