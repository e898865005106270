"""The system checks: what is told at start-up."""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from channels.generic.websocket import AsyncWebsocketConsumer
from django.apps import apps
from django.core.checks import ERROR, WARNING, CheckMessage, registry
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.test import override_settings

from channels_demultiplexer.checks import (
    CHECKS,
    check_channel_layers,
    check_demultiplexers,
    check_settings,
)
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer
from channels_demultiplexer.router.checks import check_routes


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


# Test that the checks are run.


def test_registered() -> None:
    """The application registers its checks, the route layer's too."""
    own = {check_settings, check_demultiplexers, check_channel_layers, check_routes}
    assert set(CHECKS) == own
    assert set(CHECKS) <= set(registry.registry.get_checks())


def test_application() -> None:
    """The application has a name that people read."""
    config = apps.get_app_config("channels_demultiplexer")
    assert (config.name, config.verbose_name) == (
        "channels_demultiplexer",
        "Channels demultiplexer",
    )


def test_check_command() -> None:
    """`manage.py check` fails where a setting is wrong."""
    with (
        override_settings(CHANNELS_DEMULTIPLEXER_MAX_STREAMS=0),
        pytest.raises(SystemCheckError, match=r"\(channels_demultiplexer\.E005\)"),
    ):
        call_command("check")


# Test check_settings.


def test_settings_right() -> None:
    """Settings that are right are not mentioned."""
    assert check_settings() == []
    assert check_settings(app_configs=None, databases=None) == []


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("LAZY", 1, "E001"),
        ("PAYLOAD_KEY", "", "E002"),
        ("TEXT_KEY", "stream", "E003"),
        ("STREAM_OVERFLOW", "drop", "E004"),
        ("STALL_TIMEOUT", 0, "E005"),
    ],
)
def test_settings_wrong(name: str, value: Any, check: str) -> None:
    """Each setting that is wrong is an error with an id and a hint."""
    with override_settings(**{f"CHANNELS_DEMULTIPLEXER_{name}": value}):
        [error] = check_settings()
    assert (error.id, error.level) == (f"channels_demultiplexer.{check}", ERROR)
    assert error.hint


@override_settings(CHANNELS_DEMULTIPLEXER_LAZY="no")
def test_settings_text() -> None:
    """The error names the setting and its value, and says what would be right."""
    [error] = check_settings()
    assert error.msg == "CHANNELS_DEMULTIPLEXER_LAZY is 'no', a string."
    assert error.hint == "Give True or False."


@override_settings(CHANNELS_DEMULTIPLEXER_LAZY="no", CHANNELS_DEMULTIPLEXER_MAX_STREAMS=0)
def test_settings_all_wrong() -> None:
    """Everything that is wrong is told at once."""
    assert [error.id[-4:] for error in check_settings()] == ["E005", "E001"]


# Test check_demultiplexers.


def of(*classes: type) -> list[CheckMessage]:
    """Return what the check says of `classes`: other tests have classes of their own."""
    return [message for message in check_demultiplexers() if message.obj in classes]


def test_demultiplexer_right() -> None:
    """A class that is right is not mentioned."""

    class Right(WebsocketDemultiplexer):
        consumer_classes = {"a": AsyncWebsocketConsumer}

    assert of(Right) == []


def test_demultiplexer_wrong() -> None:
    """A class that declares its streams wrongly is an error with the class as its object."""

    class Wrong(WebsocketDemultiplexer):
        consumer_classes = {"a": 1}

    [error] = of(Wrong)
    assert (error.id, error.level) == ("channels_demultiplexer.E006", ERROR)
    assert error.msg == (
        "tests.test_checks.test_demultiplexer_wrong.<locals>.Wrong.consumer_classes['a']: "
        "expected a consumer class or an ASGI application, found 1"
    )
    assert error.hint == "See the documentation of consumer_classes, urlpatterns and settings."


@pytest.mark.parametrize(
    "attributes",
    [
        {"consumer_classes": []},
        {"consumer_classes": {"": AsyncWebsocketConsumer}},
        {"urlpatterns": 1},
        {"urlpatterns": [AsyncWebsocketConsumer]},
        {"max_streams": 0},
        {"payload_key": "stream"},
        {"payload_key": 'a"b'},
        {"multiplex_key": []},
    ],
)
def test_demultiplexer_wrong_attribute(attributes: dict[str, Any]) -> None:
    """A wrong declaration or setting of a class is an error."""
    wrong = type("Wrong", (WebsocketDemultiplexer,), attributes)
    assert [error.id for error in of(wrong)] == ["channels_demultiplexer.E006"]


def test_demultiplexer_abstract() -> None:
    """A class with subclasses may be abstract: the last ones are checked."""

    class Abstract(WebsocketDemultiplexer):
        consumer_classes = {"a": None}

    class Right(Abstract):
        consumer_classes = {"a": AsyncWebsocketConsumer}

    class Wrong(Abstract):
        pass

    assert [error.obj for error in of(Abstract, Right, Wrong)] == [Wrong]


def test_demultiplexer_with_two_bases() -> None:
    """A class that has two demultiplexers as its bases is told once."""

    class Left(WebsocketDemultiplexer):
        pass

    class Right(WebsocketDemultiplexer):
        pass

    class Both(Left, Right):
        consumer_classes = {"a": 1}

    assert [error.obj for error in of(Left, Right, Both)] == [Both]


# Test check_channel_layers.

ADDRESS = "redis://localhost:6379"
WAITING = {"address": ADDRESS, "socket_timeout": None}


def layer(*hosts: Any, backend: str = "channels_redis.core.RedisChannelLayer") -> dict[str, Any]:
    """Return a channel layer's configuration."""
    return {"BACKEND": backend, "CONFIG": {"hosts": list(hosts)}}


def warned(**layers: Any) -> list[str]:
    """Return the aliases of the layers that are warned of."""
    with override_settings(CHANNEL_LAYERS=layers):
        return [alias for alias in layers for w in check_channel_layers() if repr(alias) in w.msg]


@pytest.fixture
def redis_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Install a redis-py of a version, or none."""

    def install(number: str | None) -> None:
        if number is not None:
            metadata = tmp_path / f"redis-{number}.dist-info"
            metadata.mkdir()
            (metadata / "METADATA").write_text(f"Name: redis\nVersion: {number}\n")
        monkeypatch.setattr(sys, "path", [str(tmp_path)])
        if number is not None:
            assert version("redis") == number

    return install


@pytest.mark.parametrize("number", ["8.0.0", "8.1.2", "8.0.0b1", "10.0"])
def test_redis_with_timeout(redis_version: Any, number: str) -> None:
    """Under redis-py 8 or later a host without `socket_timeout` is warned of."""
    redis_version(number)
    assert warned(default=layer(ADDRESS)) == ["default"]


@pytest.mark.parametrize("number", ["7.9.9", "5.0.1", None])
def test_redis_without_timeout(redis_version: Any, number: str | None) -> None:
    """Under an earlier redis-py, or none, there is nothing to warn of."""
    redis_version(number)
    assert warned(default=layer(ADDRESS)) == []


@pytest.fixture
def redis_8(redis_version: Any) -> None:
    """Install redis-py 8."""
    redis_version("8.0.0")


@pytest.mark.usefixtures("redis_8")
@pytest.mark.parametrize(
    "hosts",
    [
        [ADDRESS],
        [("localhost", 6379)],
        [{"address": ADDRESS}],
        [{"address": ADDRESS, "socket_timeout": 5}],
        [{"address": ADDRESS, "socket_timeout": 0}],
        [WAITING, ADDRESS],
        [ADDRESS, WAITING],
        [],
    ],
)
def test_host_with_timeout(hosts: list[Any]) -> None:
    """A host whose `socket_timeout` is not None is warned of, among others too."""
    assert warned(default=layer(*hosts)) == ["default"]


@pytest.mark.usefixtures("redis_8")
@pytest.mark.parametrize("hosts", [[WAITING], [WAITING, WAITING], (WAITING,), WAITING])
def test_host_without_timeout(hosts: Any) -> None:
    """Hosts whose `socket_timeout` is None are right."""
    assert warned(default={**layer(), "CONFIG": {"hosts": hosts}}) == []


@pytest.mark.usefixtures("redis_8")
@pytest.mark.parametrize("config", [{}, {"CONFIG": {}}, {"CONFIG": {"hosts": None}}])
def test_no_hosts(config: dict[str, Any]) -> None:
    """A layer without hosts has one of redis-py's making, and is warned of."""
    backend = "channels_redis.core.RedisChannelLayer"
    assert warned(default={"BACKEND": backend, **config}) == ["default"]


@pytest.mark.usefixtures("redis_8")
@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("channels_redis.core.RedisChannelLayer", ["default"]),
        ("channels_redis.pubsub.RedisPubSubChannelLayer", ["default"]),
        ("channels.layers.InMemoryChannelLayer", []),
        ("my_channels_redis.Layer", []),
    ],
)
def test_backend(backend: str, expected: list[str]) -> None:
    """Only the layers of channels_redis are looked at."""
    assert warned(default=layer(ADDRESS, backend=backend)) == expected


@pytest.mark.usefixtures("redis_8")
def test_every_layer() -> None:
    """Every layer is looked at, one without a backend too."""
    assert warned(a=layer(ADDRESS), b=layer(WAITING), c={}, d=layer(ADDRESS)) == ["a", "d"]


@pytest.mark.usefixtures("redis_8")
def test_no_layers(settings: Any) -> None:
    """A project without channel layers is right."""
    del settings.CHANNEL_LAYERS
    assert check_channel_layers() == []


@pytest.mark.usefixtures("redis_8")
@override_settings(CHANNEL_LAYERS={"chat": layer(ADDRESS)})
def test_layer_text() -> None:
    """The warning names the layer, what will happen, and the remedy."""
    [warning] = check_channel_layers()
    assert (warning.id, warning.level) == ("channels_demultiplexer.W001", WARNING)
    assert warning.msg == (
        "CHANNEL_LAYERS['chat']: under redis-py 8 or later, a consumer that gets no message for "
        "five seconds crashes."
    )
    assert warning.hint == 'Give each host as {"address": "redis://…", "socket_timeout": None}.'
