"""The Django settings that the benchmarks run under."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import django
from channels.layers import InMemoryChannelLayer, channel_layers
from django.conf import settings


def configure(**more: Any) -> None:
    """
    Configure Django: a database that nothing connects to, and no channel layer.

    Args:
        more: further settings, or others.
    """
    if settings.configured:
        return
    settings.configure(
        SECRET_KEY="benchmarks",
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.auth", "django.contrib.contenttypes"],
        **{"CHANNEL_LAYERS": {}, "USE_TZ": True, **more},
    )
    django.setup()


@contextlib.contextmanager
def channel_layer(present: bool) -> Iterator[None]:
    """Have an InMemoryChannelLayer as default layer, or none, for the time of the context."""
    before = dict(channel_layers.backends)
    channel_layers.backends.clear()
    if present:
        channel_layers.backends["default"] = InMemoryChannelLayer()
    try:
        yield
    finally:
        channel_layers.backends.clear()
        channel_layers.backends.update(before)
