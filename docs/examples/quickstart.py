"""The whole of a first demultiplexer: a project's asgi.py."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.core.asgi import get_asgi_application
from django.urls import path

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
django_application = get_asgi_application()

from .consumers import EchoConsumer, RoomConsumer, SumConsumer  # noqa: E402 - after Django's set-up


class Demultiplexer(WebsocketDemultiplexer):
    consumer_classes = {
        "echo": EchoConsumer,
        "sum": SumConsumer,
        "room/<int:room_id>/": RoomConsumer,
    }


application = ProtocolTypeRouter(
    {
        "http": django_application,
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(URLRouter([path("ws/", Demultiplexer.as_asgi())]))
        ),
    }
)
