"""A project's whole WebSocket routing behind one socket."""

from channels.routing import URLRouter
from django.urls import path, re_path

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .consumers import EchoConsumer, RoomConsumer

websocket_urlpatterns = [
    path("ws/echo/", EchoConsumer.as_asgi()),
    re_path(r"^ws/room/(?P<room_id>\d+)/$", RoomConsumer.as_asgi()),
]

application = URLRouter(
    [
        path("ws/", WebsocketDemultiplexer.as_asgi(urlpatterns=websocket_urlpatterns)),
        *websocket_urlpatterns,
    ]
)
