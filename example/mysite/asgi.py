"""The ASGI application of the example."""

import os

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.urls import path

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "mysite.settings")
# Before the consumers are imported, since that needs the models.
django_asgi_app = get_asgi_application()

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer  # noqa: E402

from .demultiplexers import (  # noqa: E402
    DemoDemultiplexer,
    Demultiplexer,
    MembersDemultiplexer,
)
from .routing import websocket_urlpatterns  # noqa: E402

application = ProtocolTypeRouter(
    {
        "http": ASGIStaticFilesHandler(django_asgi_app),
        "websocket": AllowedHostsOriginValidator(
            AuthMiddlewareStack(
                URLRouter(
                    [
                        # Each URL below is a stream of this socket.
                        path(
                            "ws/",
                            WebsocketDemultiplexer.as_asgi(urlpatterns=websocket_urlpatterns),
                        ),
                        path("ws/streams/", Demultiplexer.as_asgi()),
                        path("ws/members/", MembersDemultiplexer.as_asgi()),
                        path("ws/demo/", DemoDemultiplexer.as_asgi()),
                        *websocket_urlpatterns,
                    ]
                )
            )
        ),
    }
)
