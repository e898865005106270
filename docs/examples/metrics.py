"""Prometheus metrics, fed by the signals. Import this module in an AppConfig's ready()."""

from django.dispatch import receiver
from prometheus_client import Counter, Gauge

from channels_demultiplexer.signals import frame_rejected, stream_closed, stream_opened

OPEN = Gauge("streams_open", "Streams that are open", ["kind"])
OPENED = Counter("streams_opened", "Streams that were accepted", ["kind"])
CLOSED = Counter("streams_closed", "Streams that have ended", ["kind", "code"])
REJECTED = Counter("frames_rejected", "Frames answered with an error", ["status"])

# A client chooses the code of its own close: only these become values of a label.
CODES = {1000, 1001, 1005, 1006, 1011, 1013, 4403}


def kind_of(stream):
    """The declared part of a name: `room` for `room/5/?as=ann#2`."""
    return stream.partition("#")[0].partition("?")[0].lstrip("/").partition("/")[0]


@receiver(stream_opened)
async def count_opened(sender, stream, **kwargs):
    OPENED.labels(kind_of(stream)).inc()
    OPEN.labels(kind_of(stream)).inc()


@receiver(stream_closed)
async def count_closed(sender, stream, code, opened, **kwargs):
    CLOSED.labels(kind_of(stream), str(int(code)) if code in CODES else "other").inc()
    if opened:
        OPEN.labels(kind_of(stream)).dec()


@receiver(frame_rejected)
async def count_rejected(sender, status, **kwargs):
    REJECTED.labels(str(int(status))).inc()
