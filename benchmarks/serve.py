"""
What the servers serve.

The bare consumer at /bare, N streams of it at /streams/N, and one beside a stalled one at /stalled.
"""

from __future__ import annotations

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from . import settings

settings.configure()

from .applications import Echo, Stalled, ours  # noqa: E402 - consumers need the settings
from .servers import COUNTS  # noqa: E402

application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                path("bare", Echo.as_asgi()),
                path(
                    "stalled",
                    WebsocketDemultiplexer.as_asgi(
                        consumer_classes={"echo": Echo, "stalled": Stalled}
                    ),
                ),
                *(path(f"streams/{count}", ours(count)) for count in COUNTS),
            ]
        )
    }
)
