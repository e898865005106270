"""The URLs of the consumers, as of any project."""

import articles.consumers
import chat.routing
import notes.consumers
from django.urls import path

from . import consumers

websocket_urlpatterns = [
    path("ws/echo/", consumers.EchoConsumer.as_asgi()),
    path("ws/bytes/", consumers.BytesConsumer.as_asgi()),
    path("ws/notes/", notes.consumers.NotesConsumer.as_asgi()),
    path("ws/articles/", articles.consumers.ArticlesConsumer.as_asgi()),
    *chat.routing.websocket_urlpatterns,
]
