"""Close every socket of a user, and with them all their streams."""

from asgiref.sync import async_to_sync
from channels.layers import get_channel_layer
from django.contrib.auth.signals import user_logged_out
from django.dispatch import receiver

from . import authentication


def group_of(user):
    return f"user-{user.pk}"


class Demultiplexer(authentication.Demultiplexer):
    async def connect(self):
        await self.channel_layer.group_add(group_of(self.scope["user"]), self.channel_name)
        await super().connect()

    async def disconnect(self, code):
        await self.channel_layer.group_discard(group_of(self.scope["user"]), self.channel_name)

    async def user_gone(self, event):
        await self.close(code=4401, reason="logged out")


@receiver(user_logged_out)
def close_sockets(sender, user, **kwargs):
    if user is not None:
        async_to_sync(get_channel_layer().group_send)(group_of(user), {"type": "user.gone"})
