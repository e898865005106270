"""What the servers serve: the bare consumer at /bare, N streams of it at /streams/N."""

from __future__ import annotations

from channels.routing import ProtocolTypeRouter, URLRouter
from django.urls import path

from . import settings

settings.configure()

from .applications import Echo, ours  # noqa: E402 - consumers need the settings
from .servers import COUNTS  # noqa: E402

application = ProtocolTypeRouter(
    {
        "websocket": URLRouter(
            [
                path("bare", Echo.as_asgi()),
                *(path(f"streams/{count}", ours(count)) for count in COUNTS),
            ]
        )
    }
)
