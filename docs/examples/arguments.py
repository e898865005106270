"""Streams with arguments: in the path, in the query, and told apart by a label."""

from urllib.parse import parse_qs

from channels.generic.websocket import AsyncJsonWebsocketConsumer

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .consumers import RoomConsumer


class DocumentConsumer(AsyncJsonWebsocketConsumer):
    async def connect(self):
        query = parse_qs(self.scope["query_string"].decode())
        await self.accept()
        await self.send_json(
            {
                "document": str(self.scope["url_route"]["kwargs"]["document_id"]),
                "version": query.get("version", ["latest"])[0],
            }
        )


class Demultiplexer(WebsocketDemultiplexer):
    consumer_classes = {
        "room/<int:room_id>/": RoomConsumer,
        "document/<uuid:document_id>/": DocumentConsumer,
    }
