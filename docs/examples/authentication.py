"""Who may have a socket, and who may have which stream."""

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer


class ReportConsumer(AsyncJsonWebsocketConsumer):
    """A stream for staff. It would say the same on a socket of its own."""

    async def connect(self):
        if not self.scope["user"].is_staff:
            await self.close(code=4403, reason="for staff only")
            return
        await self.accept()


class Demultiplexer(WebsocketDemultiplexer):
    """A socket for users who have logged in."""

    consumer_classes = {"report": ReportConsumer}
    close_when_empty = False

    async def connect(self):
        if not self.scope["user"].is_authenticated:
            await self.close()
            return
        await super().connect()
