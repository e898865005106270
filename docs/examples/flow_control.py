"""What happens when a client sends faster than a consumer reads."""

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .consumers import EchoConsumer


class Demultiplexer(WebsocketDemultiplexer):
    consumer_classes = {"echo": EchoConsumer}
    stream_capacity = 20  # frames that may wait for one child
    stream_overflow = "reject"  # a frame too many is refused with 429
    max_frame_size = 65536  # bytes
