"""A consumer with routes."""

from dataclasses import dataclass

from channels_demultiplexer.router import AsyncSocketRouterConsumer, RouteError, StatusCodes


@dataclass
class NewNote:
    text: str
    pinned: bool = False


def may_write(scope, payload):
    return scope["user"].is_authenticated


class Notes(AsyncSocketRouterConsumer):
    groups = ["notes"]
    routes = [
        {"route": "sayHello"},
        {"route": "createNote", "payload_type": NewNote, "check_access": may_write},
    ]

    async def on_say_hello(self, payload, headers):
        name = (payload or {}).get("name", "World")
        return {"status": StatusCodes.OK, "payload": f"Hello, {name}!"}

    async def on_create_note(self, payload):
        if not payload.text:
            raise RouteError(StatusCodes.CONFLICT, {"error": "an empty note"})
        await self.channel_layer.group_send("notes", {"type": "note.created", "text": payload.text})
        return {"status": StatusCodes.CREATED, "payload": payload}

    async def note_created(self, event):
        await self.push("noteCreated", event["text"])
