"""
The application of the tests with a real Redis.

The environment says which layer: `REDIS_LAYER`, its import path, and `REDIS_URL`.
"""

from __future__ import annotations

import os
from typing import Any

import django
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tests.settings")
settings.CHANNEL_LAYERS = {
    "default": {
        "BACKEND": os.environ["REDIS_LAYER"],
        # With redis-py 8's timeout of 5 seconds, what waits so long for a message would crash.
        "CONFIG": {"hosts": [{"address": os.environ["REDIS_URL"], "socket_timeout": None}]},
    }
}
django.setup()

from channels.generic.websocket import JsonWebsocketConsumer  # noqa: E402

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer  # noqa: E402

from .asgi_app import Echo, Room  # noqa: E402


class Plain(Echo):
    """Sends back what it gets, and has no channel layer."""

    channel_layer_alias = "none"


class SyncRoom(JsonWebsocketConsumer):
    """Is in a group by the attribute `groups`, in a thread, and says what comes there."""

    groups = ["room.sync"]

    def said(self, event: dict[str, Any]) -> None:
        self.send_json(event["said"])


class Main(WebsocketDemultiplexer):
    """Streams with the channel layer and one without."""

    consumer_classes = {"room/<str:room>/": Room, "sync": SyncRoom, "plain": Plain}
    lazy = True
    consumer_close_timeout = 20


application = Main.as_asgi()
