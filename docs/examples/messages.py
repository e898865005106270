"""A parent that looks at each frame before its stream gets it."""

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .consumers import EchoConsumer


class Demultiplexer(WebsocketDemultiplexer):
    consumer_classes = {"echo": EchoConsumer}

    async def receive_json(self, content):
        if isinstance(content, dict) and content.get("stream") == "old-echo":
            content = {**content, "stream": "echo"}
        await super().receive_json(content)
