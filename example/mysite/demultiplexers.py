"""The consumers behind one socket, by names of its own."""

from articles.consumers import ArticlesConsumer
from chat.consumers import ChatConsumer
from demo import consumers as demo
from notes.consumers import NotesConsumer

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .consumers import BytesConsumer, EchoConsumer


class Demultiplexer(WebsocketDemultiplexer):
    """Every consumer of the project as a stream."""

    consumer_classes = {
        "echo": EchoConsumer,
        "bytes": BytesConsumer,
        "notes": NotesConsumer,
        "articles": ArticlesConsumer,
        "chat/<str:room_name>/": ChatConsumer,
    }


class MembersDemultiplexer(Demultiplexer):
    """The same for users who are logged in: any other is refused in the handshake."""

    async def connect(self) -> None:
        if self.scope["user"].is_authenticated:
            await self.accept()
        else:
            await self.close()


class DemoDemultiplexer(WebsocketDemultiplexer):
    """What the demo page shows. Each stream opens when the page asks for it."""

    lazy = True
    consumer_classes = {
        "chat/<slug:room_name>/": ChatConsumer,
        "ticker": demo.TickerConsumer,
        "articles": demo.LiveArticlesConsumer,
        "wall": demo.WallConsumer,
        "board": demo.BoardConsumer,
        "crash": demo.CrashConsumer,
        "stall": demo.StallConsumer,
        "block": demo.BlockConsumer,
        "refuse": demo.RefuseConsumer,
    }
