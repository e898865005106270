"""System checks: what is configured or declared wrongly is told at start-up."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured

from . import conf
from .demultiplexer import WebsocketDemultiplexer
from .router.checks import check_routes, leaves

__all__ = ["CHECKS", "check_channel_layers", "check_demultiplexers", "check_settings"]

_APP: Final = "channels_demultiplexer"

#: The first redis-py whose connections time out by default.
_REDIS_WITH_TIMEOUT: Final = 8


def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check the settings (E001 to E005)."""
    return [
        Error(
            f"{conf.PREFIX}{fault.name} {fault.is_what}.",
            hint=fault.hint,
            id=f"{_APP}.{fault.id}",
        )
        for fault in conf.faults(conf.read())
    ]


def check_demultiplexers(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check what demultiplexer classes declare (E006). A class with subclasses may be abstract."""
    found: list[CheckMessage] = []
    for demultiplexer in dict.fromkeys(leaves(WebsocketDemultiplexer)):
        try:
            demultiplexer.check()
        except ImproperlyConfigured as error:
            found.append(
                Error(
                    str(error),
                    hint="See the documentation of consumer_classes, urlpatterns and settings.",
                    obj=demultiplexer,
                    id=f"{_APP}.E006",
                )
            )
    return found


def check_channel_layers(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check that a Redis channel layer waits without a time-out (W001)."""
    if not _redis_has_timeout():
        return []
    layers = getattr(settings, "CHANNEL_LAYERS", {})
    return [
        Warning(
            f"CHANNEL_LAYERS[{alias!r}]: under redis-py {_REDIS_WITH_TIMEOUT} or later, a consumer "
            "that gets no message for five seconds crashes.",
            hint='Give each host as {"address": "redis://…", "socket_timeout": None}.',
            id=f"{_APP}.W001",
        )
        for alias, layer in layers.items()
        if layer.get("BACKEND", "").startswith("channels_redis.")
        and not all(map(_waits, _hosts(layer)))
    ]


def _redis_has_timeout() -> bool:
    try:
        return int(version("redis").partition(".")[0]) >= _REDIS_WITH_TIMEOUT
    except PackageNotFoundError:
        return False


def _hosts(layer: dict[str, Any]) -> list[Any]:
    # Without hosts, channels_redis makes one of its own, whose time-out is redis-py's.
    hosts = layer.get("CONFIG", {}).get("hosts") or [None]
    return list(hosts) if isinstance(hosts, (list, tuple)) else [hosts]


def _waits(host: Any) -> bool:
    return isinstance(host, dict) and host.get("socket_timeout", 5) is None


CHECKS: Final = (check_settings, check_demultiplexers, check_channel_layers, check_routes)
