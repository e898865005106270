"""A child that costs nothing until a client uses it."""

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .consumers import EchoConsumer, SumConsumer


class Demultiplexer(WebsocketDemultiplexer):
    consumer_classes = {"echo": EchoConsumer, "sum": SumConsumer}
    lazy = True
