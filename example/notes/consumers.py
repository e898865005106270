"""A sync consumer, which uses the ORM as a view does."""

from typing import Any

from channels.generic.websocket import JsonWebsocketConsumer

from .models import Note


class NotesConsumer(JsonWebsocketConsumer):
    """Keeps notes: `{"add": text}` adds one, `{"last": number}` returns the latest."""

    def receive_json(self, content: Any, **kwargs: Any) -> None:
        if "add" in content:
            note = Note.objects.create(text=content["add"][:200])
            self.send_json({"added": note.text, "count": Note.objects.count()})
        elif "last" in content:
            latest = Note.objects.order_by("-pk").values_list("text", flat=True)
            self.send_json({"notes": list(latest[: int(content["last"])])})
        else:
            self.close(code=4400, reason="add or last")
