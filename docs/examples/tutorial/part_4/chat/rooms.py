from dataclasses import dataclass

from channels_demultiplexer.router import AsyncSocketRouterConsumer, StatusCodes

from .models import Room


@dataclass
class NewRoom:
    name: str


class RoomsConsumer(AsyncSocketRouterConsumer):
    routes = [
        {"route": "rooms.list"},
        {"route": "rooms.create", "payload_type": NewRoom},
    ]

    def on_rooms_list(self):
        return {"payload": list(Room.objects.order_by("pk").values("name"))}

    def on_rooms_create(self, payload):
        room = Room(name=payload.name)
        room.full_clean()  # what is wrong is answered with 400
        room.save()
        return {"payload": {"name": room.name}, "status": StatusCodes.CREATED}
