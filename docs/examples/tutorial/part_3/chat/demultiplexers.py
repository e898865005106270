from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .consumers import ChatConsumer
from .notifications import NotificationConsumer


class Demultiplexer(WebsocketDemultiplexer):
    consumer_classes = {
        "chat/<str:room_name>/": ChatConsumer,
        "notifications": NotificationConsumer,
    }
