from channels.generic.websocket import AsyncJsonWebsocketConsumer


class NotificationConsumer(AsyncJsonWebsocketConsumer):
    groups = ["notifications"]

    async def connect(self):
        await self.accept()
        await self.tell("Somebody has come.")

    async def disconnect(self, code):
        await self.tell("Somebody has left.")

    async def tell(self, text):
        await self.channel_layer.group_send("notifications", {"type": "news", "text": text})

    async def news(self, event):
        await self.send_json({"text": event["text"]})
