"""The system checks: what is told at start-up."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer, child
from channels_demultiplexer.router.checks import check_routes


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


SOME: dict[str, Any] = {"consumer_classes": {"a": AsyncWebsocketConsumer}}
"""What makes a class one that is not empty."""


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


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("MAX_STREAM", "Write CHANNELS_DEMULTIPLEXER_MAX_STREAMS."),
        ("CAPACITY_STREAM_OF_THE", "See the documentation of the settings."),
    ],
)
def test_settings_unknown(name: str, hint: str) -> None:
    """A setting that begins as ours do and is none is a warning that says which may be meant."""
    with override_settings(**{f"CHANNELS_DEMULTIPLEXER_{name}": 1}):
        [warning] = check_settings()
    assert (warning.id, warning.level) == ("channels_demultiplexer.W004", WARNING)
    assert warning.msg == f"CHANNELS_DEMULTIPLEXER_{name} is no setting."
    assert warning.hint == hint


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
        "tests.test_checks.test_demultiplexer_wrong.<locals>.Wrong.consumer_classes['a']: found 1."
    )
    assert error.hint == "Give a consumer class or an ASGI application."


def test_demultiplexer_wrong_by_django() -> None:
    """What Django or Channels says of a declaration is told as it is."""

    class Wrong(WebsocketDemultiplexer):
        consumer_classes = {"<nope:pk>": AsyncWebsocketConsumer}

    [error] = of(Wrong)
    assert (error.id[-4:], error.hint) == ("E006", None)
    assert error.msg.endswith("URL route '<nope:pk>' uses invalid converter 'nope'.")


@pytest.mark.parametrize(
    ("attributes", "check"),
    [
        ({"consumer_classes": []}, "E006"),
        ({"consumer_classes": {"": AsyncWebsocketConsumer}}, "E006"),
        ({"consumer_classes": {"a": AsyncWebsocketConsumer()}}, "E006"),
        ({"consumer_classes": {"a": child(AsyncWebsocketConsumer, lazy=1)}}, "E006"),
        ({"urlpatterns": 1}, "E006"),
        ({"urlpatterns": [AsyncWebsocketConsumer]}, "E006"),
        ({**SOME, "max_streams": 0}, "E005"),
        ({**SOME, "payload_key": "stream"}, "E003"),
        ({**SOME, "payload_key": 'a"b'}, "E002"),
        ({**SOME, "multiplex_key": []}, "E001"),
        ({**SOME, "multiplex_key": "payload"}, "E003"),
        ({**SOME, "stream_overflow": "drop"}, "E004"),
        ({}, "W002"),
        ({"consumer_classes": {}, "urlpatterns": []}, "W002"),
        ({**SOME, "max_stream": 5}, "W003"),
    ],
)
def test_demultiplexer_wrong_attribute(attributes: dict[str, Any], check: str) -> None:
    """A wrong declaration or setting of a class is told, once."""
    wrong = type("Wrong", (WebsocketDemultiplexer,), attributes)
    assert [error.id for error in of(wrong)] == [f"channels_demultiplexer.{check}"]


def test_demultiplexer_all_wrong() -> None:
    """All that is wrong with a class is told at once."""

    class Wrong(WebsocketDemultiplexer):
        consumer_classes = {"a": 1}
        max_streams = "5"
        lazy = 0
        url_patterns = ()

    assert [(error.id[-4:], error.msg.partition(" ")[0]) for error in of(Wrong)][1:] == [
        ("E001", "max_streams"),
        ("E001", "lazy"),
        ("W003", "url_patterns"),
    ]


def test_demultiplexer_setting_text() -> None:
    """A wrong setting of a class is told with the attribute's name, its value and a hint."""

    class Wrong(WebsocketDemultiplexer):
        consumer_classes = SOME["consumer_classes"]
        stream_capacity = "20"

    [error] = of(Wrong)
    assert (error.msg, error.hint) == (
        "stream_capacity is '20', a string.",
        "Give a positive integer.",
    )


def test_wrong_setting_told_once() -> None:
    """A setting that is wrong for the project is not told for each class."""

    class Right(WebsocketDemultiplexer):
        consumer_classes = SOME["consumer_classes"]

    class Own(Right):
        max_streams = 0

    class Other(Right):
        payload_key = "text"

    with override_settings(CHANNELS_DEMULTIPLEXER_MAX_STREAMS=0, CHANNELS_DEMULTIPLEXER_LAZY="no"):
        told = [(error.obj, error.msg.partition(" ")[0]) for error in of(Right, Own, Other)]
        assert len(check_settings()) == 2
    assert told == [(Own, "max_streams"), (Other, "CHANNELS_DEMULTIPLEXER_TEXT_KEY")]


def test_demultiplexer_empty() -> None:
    """A class without streams is a warning that says what to give."""

    class Empty(WebsocketDemultiplexer):
        pass

    [warning] = of(Empty)
    assert (warning.level, warning.msg, warning.hint) == (
        WARNING,
        "it has no streams.",
        "Give consumer_classes or urlpatterns.",
    )


@pytest.mark.parametrize(
    ("attributes", "right"),
    [
        ({"applications": {}}, "consumer_classes"),
        ({"consumers": {"a": 1}}, "consumer_classes"),
        ({"children": {}}, "consumer_classes"),
        ({"streams": {}}, "consumer_classes"),
        ({"consumer_class": {}}, "consumer_classes"),
        ({"consumers_classes": {}}, "consumer_classes"),
        ({"url_patterns": []}, "urlpatterns"),
        ({"closes_when_empty": False}, "close_when_empty"),
        ({"max_framesize": 5}, "max_frame_size"),
        ({"stall_time_out": 5}, "stall_timeout"),
    ],
)
def test_misspelt_attribute(attributes: dict[str, Any], right: str) -> None:
    """An attribute that is nearly a known one is a warning that says what to write."""
    wrong = type("Wrong", (WebsocketDemultiplexer,), {**SOME, **attributes})
    [name] = attributes
    [warning] = of(wrong)
    assert (warning.id, warning.level) == ("channels_demultiplexer.W003", WARNING)
    assert (warning.msg, warning.hint) == (f"{name} has no meaning.", f"Write {right}.")


def test_misspelt_attribute_of_a_base() -> None:
    """An attribute of a base class counts, whatever kind of class that is."""
    base = type("Mixin", (), {"max_stream": 1})
    wrong = type("Wrong", (base, WebsocketDemultiplexer), SOME)
    assert [warning.id[-4:] for warning in of(wrong)] == ["W003"]


@pytest.mark.parametrize(
    "attributes",
    [
        {"_max_stream": 1},
        {"max_stream": lambda self: 1},
        {"applications": 1},
        {"applications": lambda self: {}},
        {"greeting": "hello"},
        {"groups": ["a"]},
        {"channel_layer_alias": "other"},
        {"max_streams": 1, "lazy": True},
    ],
)
def test_other_attribute(attributes: dict[str, Any]) -> None:
    """What a class has besides is its own matter."""
    right = type("Right", (WebsocketDemultiplexer,), {**SOME, **attributes})
    assert of(right) == []


# Test the import of ASGI_APPLICATION.


@pytest.fixture
def asgi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Let the project have a module with an ASGI application."""

    def write(code: str) -> Any:
        (tmp_path / "project_asgi.py").write_text(code)
        monkeypatch.syspath_prepend(str(tmp_path))
        return override_settings(ASGI_APPLICATION="project_asgi.application")

    yield write
    sys.modules.pop("project_asgi", None)


DECLARED = """
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

class {name}(WebsocketDemultiplexer):
    consumer_classes = {{"a": {child}}}
    max_streams = {streams}

application = {name}{served}
"""


@pytest.mark.parametrize(
    ("child", "streams", "served", "check"),
    [
        (1, 1, "", "E006"),
        (1, 1, ".as_asgi()", "E006"),
        ("print", 0, "", "E005"),
        ("print", 0, ".as_asgi()", "E005"),
    ],
)
def test_declared_in_asgi(asgi: Any, child: Any, streams: int, served: str, check: str) -> None:
    """What is declared in asgi.py is found, and told once though it makes the import fail."""
    name = f"DeclaredInAsgi{check}{len(served)}"
    with asgi(DECLARED.format(name=name, child=child, streams=streams, served=served)):
        found = [
            error
            for error in check_demultiplexers()
            if error.id[-4:] == "E007" or error.obj.__name__ == name
        ]
    assert [error.id[-4:] for error in found] == [check]


def test_wrong_setting_in_asgi(asgi: Any) -> None:
    """A setting that is wrong for the project makes the import fail too, and is told once."""
    code = DECLARED.format(name="Fine", child="print", streams=1, served=".as_asgi()")
    with asgi(code), override_settings(CHANNELS_DEMULTIPLEXER_LAZY="no"):
        assert [error for error in check_demultiplexers() if error.id[-4:] == "E007"] == []


@pytest.mark.parametrize(
    ("code", "raised"),
    [
        ("1 / 0", "ZeroDivisionError('division by zero')"),
        (
            "from django.core.exceptions import ImproperlyConfigured as I\nraise I('mine')",
            "ImproperlyConfigured('mine')",
        ),
        ("", "ImportError('Module "),
    ],
)
def test_asgi_application_fails(asgi: Any, code: str, raised: str) -> None:
    """An ASGI application that cannot be imported is an error that says what was raised."""
    with asgi(code):
        [error] = [error for error in check_demultiplexers() if error.id[-4:] == "E007"]
    expected = "ASGI_APPLICATION is 'project_asgi.application', whose import raised " + raised
    assert error.msg.startswith(expected)
    assert error.hint == "Give the dotted path of an ASGI application."


# Test what other classes may be.


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
        max_streams = 1

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
