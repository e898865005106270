"""An audit trail: who opened which stream, and what was refused."""

import logging

from django.dispatch import receiver

from channels_demultiplexer.signals import frame_rejected, stream_closed, stream_opened

logger = logging.getLogger("audit")


def user_of(scope):
    return getattr(scope.get("user"), "pk", None)


@receiver(stream_opened)
async def opened(sender, stream, scope, **kwargs):
    logger.info("user %r opened %r", user_of(scope), stream)


@receiver(stream_closed)
async def closed(sender, stream, scope, code, **kwargs):
    logger.info("user %r: %r ended with %d", user_of(scope), stream, code)


@receiver(frame_rejected)
async def rejected(sender, stream, scope, status, **kwargs):
    logger.warning("user %r: a frame for %r was answered with %d", user_of(scope), stream, status)
