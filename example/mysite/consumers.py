"""Two consumers without a database."""

from datetime import UTC, datetime
from typing import Any

from channels.generic.websocket import AsyncJsonWebsocketConsumer, AsyncWebsocketConsumer


class EchoConsumer(AsyncJsonWebsocketConsumer):
    """Answers each message with itself and the time."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        await self.send_json({"echo": content, "at": datetime.now(UTC).isoformat()})


class BytesConsumer(AsyncWebsocketConsumer):
    """Sends bytes back in reverse, and closes when it gets too many or anything else."""

    subprotocol = "reverse.v1"
    limit = 100_000

    async def connect(self) -> None:
        offered = self.subprotocol in self.scope["subprotocols"]
        await self.accept(self.subprotocol if offered else None)

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        if bytes_data is None:
            await self.close(code=1003, reason="bytes only")
        elif len(bytes_data) > self.limit:
            await self.close(code=1009, reason=f"at most {self.limit} bytes")
        else:
            await self.send(bytes_data=bytes_data[::-1])
