"""What happens when a client sends faster than a consumer reads."""

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer, child

from .consumers import EchoConsumer


class Demultiplexer(WebsocketDemultiplexer):
    stream_capacity = 20  # frames that may wait for one child
    max_frame_size = 65536  # bytes
    consumer_classes = {
        "echo": EchoConsumer,
        # A frame too many is refused with 429.
        "positions": child(EchoConsumer, stream_overflow="reject", stream_capacity=5),
        "document/<int:document_id>/": child(EchoConsumer, stream_overflow="close"),
    }
