"""Three consumers as people write them: nothing in them knows of streams."""

from channels.generic.websocket import AsyncJsonWebsocketConsumer, JsonWebsocketConsumer


class EchoConsumer(AsyncJsonWebsocketConsumer):
    """Sends back what it gets."""

    async def receive_json(self, content):
        await self.send_json({"echo": content})


class SumConsumer(JsonWebsocketConsumer):
    """A synchronous consumer: adds numbers."""

    def receive_json(self, content):
        self.send_json({"sum": sum(content)})


class RoomConsumer(AsyncJsonWebsocketConsumer):
    """Says to everybody in the room what one of them says."""

    async def connect(self):
        self.room = f"room-{self.scope['url_route']['kwargs']['room_id']}"
        await self.channel_layer.group_add(self.room, self.channel_name)
        await self.accept()

    async def receive_json(self, content):
        await self.channel_layer.group_send(self.room, {"type": "room.said", "said": content})

    async def room_said(self, event):
        await self.send_json({"room": self.room, "said": event["said"]})

    async def disconnect(self, code):
        await self.channel_layer.group_discard(self.room, self.channel_name)
