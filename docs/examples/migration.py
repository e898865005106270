"""Old shapes of consumers and demultiplexers, and what they become."""

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer


class GreetingConsumer(AsyncJsonWebsocketConsumer):
    """Greets before it accepts, as it could in version 2.2."""

    async def connect(self):
        await self.send_json({"hello": "there"})


class AcceptFirst:
    """Middleware that accepts for a consumer which sends before it does, or never does."""

    def __init__(self, application):
        self.application = application

    async def __call__(self, scope, receive, send):
        async def send_rest(message):
            if message["type"] != "websocket.accept":
                await send(message)

        await send({"type": "websocket.accept"})
        await self.application(scope, receive, send_rest)


class Demultiplexer(WebsocketDemultiplexer):
    consumer_classes = {"greeting": AcceptFirst(GreetingConsumer.as_asgi())}


class EchoConsumer(AsyncJsonWebsocketConsumer):
    """A binding's or a demultiplexed consumer's shape in Channels 1, as it is now."""

    groups = ["echoes"]  # was: def connection_groups(self, **kwargs)

    async def connect(self):  # was: def connect(self, message, multiplexer, **kwargs)
        await self.accept()
        await self.send_json({"status": "connected"})  # was: multiplexer.send(...)

    async def receive_json(self, content):  # was: def receive(self, content, multiplexer, **kwargs)
        await self.send_json({"original_message": content})


class BridgedDemultiplexer(WebsocketDemultiplexer):
    consumer_classes = {"echo": EchoConsumer}  # was: consumers = {"echo": EchoConsumer}
