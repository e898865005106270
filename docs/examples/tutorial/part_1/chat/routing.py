from django.urls import path, re_path

from . import consumers, demultiplexers

websocket_urlpatterns = [
    path("ws/", demultiplexers.Demultiplexer.as_asgi()),
    re_path(r"ws/chat/(?P<room_name>\w+)/$", consumers.ChatConsumer.as_asgi()),
]
