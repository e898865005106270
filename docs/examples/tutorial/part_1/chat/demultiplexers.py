from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .consumers import ChatConsumer


class Demultiplexer(WebsocketDemultiplexer):
    consumer_classes = {
        "chat/<str:room_name>/": ChatConsumer,
    }
