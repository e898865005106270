"""System checks: what is configured or declared wrongly is told at start-up."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

from django.apps import AppConfig
from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from . import conf
from .declarations import ATTRIBUTES, DeclarationError
from .demultiplexer import WebsocketDemultiplexer
from .router.checks import check_routes, leaves

__all__ = ["CHECKS", "check_channel_layers", "check_demultiplexers", "check_settings"]

_APP: Final = "channels_demultiplexer"

#: What packages of other names for `consumer_classes` call it, or people do.
_OTHERS_NAMES: Final = ("applications", "consumers", "children", "streams")

#: The first redis-py whose connections time out by default.
_REDIS_WITH_TIMEOUT: Final = 8


def check_settings(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """Check the settings (E001 to E005, W004)."""
    wrong = conf.faults(conf.read())
    return [
        *(_setting_error(conf.PREFIX + fault.name, fault) for fault in wrong),
        *_unknown_settings(),
    ]


def _setting_error(where: str, fault: conf.Fault, obj: Any = None) -> CheckMessage:
    return _error(fault.id, f"{where} {fault.is_what}", fault.hint, obj)


def _error(number: str, problem: str, hint: str | None, obj: Any = None) -> CheckMessage:
    return Error(f"{problem}.", hint=_sentence(hint), obj=obj, id=f"{_APP}.{number}")


def _warning(number: str, problem: str, hint: str, obj: Any = None) -> CheckMessage:
    return Warning(f"{problem}.", hint=_sentence(hint), obj=obj, id=f"{_APP}.{number}")


def _sentence(hint: str | None) -> str | None:
    return None if hint is None else f"{hint[0].upper()}{hint[1:]}."


def _unknown_settings() -> Iterator[CheckMessage]:
    known = {conf.PREFIX + setting.name for setting in conf.SETTINGS}
    for name in dir(settings):
        if name.startswith(conf.PREFIX) and name not in known:
            right = conf.nearest(name, known)
            hint = "see the documentation of the settings" if right is None else f"write {right}"
            yield _warning("W004", f"{name} is no setting", hint)


def check_demultiplexers(
    app_configs: Sequence[AppConfig] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """
    Check what demultiplexer classes declare (E001 to E007, W002, W003).

    ASGI_APPLICATION is imported first, for the sake of those that are declared beside it.
    A class with subclasses may be abstract.
    """
    failure = _import_application()
    # What is wrong in the settings is told as that.
    known = conf.faults(conf.read())
    found: list[CheckMessage] = []
    for demultiplexer in dict.fromkeys(leaves(WebsocketDemultiplexer)):
        found += _declared(demultiplexer)
        for fault in conf.faults(conf.read(demultiplexer)):
            attribute = fault.name.lower()
            if hasattr(demultiplexer, attribute):
                found.append(_setting_error(attribute, fault, demultiplexer))
            elif fault not in known:
                found.append(_setting_error(conf.PREFIX + fault.name, fault, demultiplexer))
        found += _misspelt(demultiplexer)
    # What a class declares wrongly makes the import fail too, and is told by now.
    told = [message.msg for message in found]
    told += [f"{conf.PREFIX}{fault.name} {fault.is_what}." for fault in known]
    if failure is not None and not any(text[:-1] in str(failure) for text in told):
        found.append(
            _error(
                "E007",
                f"ASGI_APPLICATION is {settings.ASGI_APPLICATION!r}, "
                f"whose import raised {failure!r}",
                "give the dotted path of an ASGI application",
            )
        )
    return found


def _import_application() -> Exception | None:
    """Import ASGI_APPLICATION, and return what is raised."""
    name = getattr(settings, "ASGI_APPLICATION", None)
    if name is not None:
        try:
            import_string(name)
        except Exception as error:  # noqa: BLE001 - the code of a project: whatever it raises is told
            return error
    return None


def _declared(demultiplexer: type[WebsocketDemultiplexer]) -> Iterator[CheckMessage]:
    try:
        routes = demultiplexer._routes()
    except DeclarationError as error:
        yield _error("E006", error.problem, error.hint, demultiplexer)
    except ImproperlyConfigured as error:
        yield _error("E006", str(error).removesuffix("."), None, demultiplexer)
    else:
        if not routes.fixed and not routes.on_demand:
            yield _warning(
                "W002", "it has no streams", "give consumer_classes or urlpatterns", demultiplexer
            )


def _misspelt(demultiplexer: type[WebsocketDemultiplexer]) -> Iterator[CheckMessage]:
    """Look for attributes that may be slips for what is declared."""
    own = demultiplexer.__mro__[: demultiplexer.__mro__.index(WebsocketDemultiplexer)]
    for name, value in {name: value for cls in own for name, value in vars(cls).items()}.items():
        if name in _OTHERS_NAMES and isinstance(value, Mapping):
            right: str | None = "consumer_classes"
        elif name.startswith("_") or hasattr(WebsocketDemultiplexer, name) or callable(value):
            continue
        else:
            right = None if name in ATTRIBUTES else conf.nearest(name, ATTRIBUTES)
        if right is not None:
            yield _warning("W003", f"{name} has no meaning", f"write {right}", demultiplexer)


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
