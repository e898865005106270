"""The settings: their defaults, where they come from, what is wrong with them."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings

from channels_demultiplexer import conf
from channels_demultiplexer.conf import PREFIX, SETTINGS, faults, options_of
from channels_demultiplexer.control import Open, Ping

DEFAULTS = {
    "MULTIPLEX_KEY": "stream",
    "PAYLOAD_KEY": "payload",
    "TEXT_KEY": "text",
    "EVENT_KEY": "event",
    "MANAGE_ENVELOPE": True,
    "CONSUMER_CLOSE_TIMEOUT": 5,
    "STREAM_CAPACITY": 100,
    "STREAM_OVERFLOW": "pause",
    "STALL_TIMEOUT": 10,
    "MAX_STREAMS": 100,
    "MAX_FRAME_SIZE": 16777216,
    "MAX_WAITING_SIZE": 67108864,
    "LAZY": False,
    "DATABASE_CHECKS": "due",
}
MEANINGS = {
    "MULTIPLEX_KEY": "key of the stream's name",
    "PAYLOAD_KEY": "key of the JSON payload",
    "TEXT_KEY": "key of opaque text",
    "EVENT_KEY": "key of control events",
    "MANAGE_ENVELOPE": "whether children get payloads, or whole messages",
    "CONSUMER_CLOSE_TIMEOUT": "seconds to finish after a disconnect",
    "STREAM_CAPACITY": "frames that may wait for one child",
    "STREAM_OVERFLOW": "what a frame for a full inbox does",
    "STALL_TIMEOUT": "seconds a full inbox may hold up the socket",
    "MAX_STREAMS": "streams of a connection, eager ones not counted",
    "MAX_FRAME_SIZE": "bytes of one message",
    "MAX_WAITING_SIZE": "bytes that wait in a connection's inboxes",
    "LAZY": "whether fixed streams open at their first use",
    "DATABASE_CHECKS": "when the database connections are looked at",
}
# A value other than the default for each.
OTHERS = {
    "MULTIPLEX_KEY": "s",
    "PAYLOAD_KEY": "p",
    "TEXT_KEY": "t",
    "EVENT_KEY": "e",
    "MANAGE_ENVELOPE": False,
    "CONSUMER_CLOSE_TIMEOUT": 0.5,
    "STREAM_CAPACITY": 1,
    "STREAM_OVERFLOW": "reject",
    "STALL_TIMEOUT": 0.25,
    "MAX_STREAMS": 2,
    "MAX_FRAME_SIZE": 3,
    "MAX_WAITING_SIZE": 4,
    "LAZY": True,
    "DATABASE_CHECKS": "always",
}
KEYS = ["MULTIPLEX_KEY", "PAYLOAD_KEY", "TEXT_KEY", "EVENT_KEY"]
FLAGS = ["MANAGE_ENVELOPE", "LAZY"]
SECONDS = ["CONSUMER_CLOSE_TIMEOUT", "STALL_TIMEOUT"]
COUNTS = ["STREAM_CAPACITY", "MAX_STREAMS", "MAX_FRAME_SIZE", "MAX_WAITING_SIZE"]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


class Plain:
    """A class that overrides nothing."""


def values_of(owner: type) -> dict[str, Any]:
    """Return the options of `owner` by the names of the settings."""
    options = options_of(owner)._asdict()
    del options["codec"]
    return {name.upper(): value for name, value in options.items()}


# Test where the values come from.


def test_table() -> None:
    """The table has every setting of the protocol, with its default."""
    assert {setting.name: setting.default for setting in SETTINGS} == DEFAULTS
    assert PREFIX == "CHANNELS_DEMULTIPLEXER_"


def test_table_meanings() -> None:
    """The table says what each setting means."""
    assert {setting.name: setting.meaning for setting in SETTINGS} == MEANINGS


def test_defaults() -> None:
    """The options are the defaults where nothing is set."""
    values = values_of(Plain)
    assert values == DEFAULTS
    assert [type(value) for value in values.values()] == [type(v) for v in DEFAULTS.values()]


@pytest.mark.parametrize("name", DEFAULTS)
def test_django_setting(name: str) -> None:
    """A Django setting comes before the default, as long as it is set."""
    with override_settings(**{PREFIX + name: OTHERS[name]}):
        assert values_of(Plain) == {**DEFAULTS, name: OTHERS[name]}
    assert values_of(Plain) == DEFAULTS


@pytest.mark.parametrize("name", DEFAULTS)
def test_class_attribute(name: str) -> None:
    """A class attribute in lower case comes before the default."""
    owner = type("Owner", (), {name.lower(): OTHERS[name]})
    assert values_of(owner) == {**DEFAULTS, name: OTHERS[name]}


@pytest.mark.parametrize("name", DEFAULTS)
def test_class_attribute_before_django_setting(name: str) -> None:
    """A class attribute comes before a Django setting, a base class's too."""
    owner = type("Owner", (type("Base", (), {name.lower(): DEFAULTS[name]}),), {})
    with override_settings(**{PREFIX + name: OTHERS[name]}):
        assert values_of(owner) == DEFAULTS


def test_read_without_owner() -> None:
    """Without a class the values are Django's."""
    with override_settings(CHANNELS_DEMULTIPLEXER_MAX_STREAMS=7):
        assert conf.read() == {**DEFAULTS, "MAX_STREAMS": 7}


def test_codec_keys() -> None:
    """The codec has the keys that are set."""
    attributes = {name.lower(): OTHERS[name] for name in KEYS}
    codec = options_of(type("Owner", (), attributes)).codec
    assert codec.parse('{"s":"a","e":"open"}') == Open("a", [], None)
    assert codec.pong(Ping("1")) == '{"e":"pong","p":1}'
    assert codec.envelope("a").text("x") == '{"s":"a","t":"x"}'


def test_codec_envelope() -> None:
    """The codec manages the envelope or not, as is set."""
    owner = type("Owner", (), {"manage_envelope": False})
    assert options_of(owner).codec.envelope("a").text("1") == "1"
    assert options_of(Plain).codec.envelope("a").text("1") == '{"stream":"a","payload":1}'


def test_codec_size() -> None:
    """The codec has the limit that is set."""
    owner = type("Owner", (), {"max_frame_size": 4})
    with pytest.raises(ValueError, match=r"^message of 5 bytes exceeds the limit of 4 bytes$"):
        options_of(owner).codec.check_size(5)


def test_codec_made_once() -> None:
    """Connections with the same settings share one codec."""
    assert options_of(Plain) is options_of(type("Other", (), {}))


# Test what is wrong.


def ids_of(**changes: Any) -> list[tuple[str, str]]:
    """Return the check's id and the setting's name of each fault of the defaults with `changes`."""
    return [(fault.id, fault.name) for fault in faults({**DEFAULTS, **changes})]


def test_no_faults() -> None:
    """Nothing is wrong with the defaults, or with other values that are right."""
    assert faults(DEFAULTS) == []
    assert faults(OTHERS) == []


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("value", [None, 1, True, b"a", ["a"], ()])
def test_key_wrong_type(name: str, value: Any) -> None:
    """The name of a key is a string."""
    assert ids_of(**{name: value}) == [("E001", name)]


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("value", ["", "a\n", "\0", "\ud800", 'a"b', "a\\b"])
def test_key_cannot_be_used(name: str, value: str) -> None:
    """The name of a key is not empty, and is written in JSON without escapes."""
    assert ids_of(**{name: value}) == [("E002", name)]


@pytest.mark.parametrize("value", ["a", "a b", " ", "é", "'", "$type", "__x", "error", "a" * 300])
def test_key(value: str) -> None:
    """Any other name can be used, and makes a codec."""
    codec = options_of(type("Owner", (), {"payload_key": value})).codec
    assert codec.pong(Ping("1")) == f'{{"event":"pong","{value}":1}}'


@pytest.mark.parametrize("name", FLAGS)
@pytest.mark.parametrize("value", [None, 0, 1, "True", "", []])
def test_flag_wrong_type(name: str, value: Any) -> None:
    """A flag is True or False."""
    assert ids_of(**{name: value}) == [("E001", name)]


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [None, True, "5", Decimal(5), [5]])
def test_seconds_wrong_type(name: str, value: Any) -> None:
    """Seconds are an int or a float."""
    assert ids_of(**{name: value}) == [("E001", name)]


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [0, 0.0, -1, -0.5, math.inf, -math.inf, math.nan])
def test_seconds_not_positive(name: str, value: float) -> None:
    """Seconds are positive and finite."""
    assert ids_of(**{name: value}) == [("E005", name)]


@pytest.mark.parametrize("name", SECONDS)
@pytest.mark.parametrize("value", [1, 0.001, 86400])
def test_seconds(name: str, value: float) -> None:
    """Any positive number of seconds will do."""
    assert ids_of(**{name: value}) == []


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [None, True, "5", 5.0, math.inf, [5]])
def test_count_wrong_type(name: str, value: Any) -> None:
    """A count is an int."""
    assert ids_of(**{name: value}) == [("E001", name)]


@pytest.mark.parametrize("name", COUNTS)
@pytest.mark.parametrize("value", [0, -1])
def test_count_not_positive(name: str, value: int) -> None:
    """A count is positive."""
    assert ids_of(**{name: value}) == [("E005", name)]


@pytest.mark.parametrize("value", ["pause", "reject", "close"])
def test_policy(value: str) -> None:
    """There are three overflow policies."""
    assert ids_of(STREAM_OVERFLOW=value) == []


@pytest.mark.parametrize(
    ("value", "check"),
    [("", "E004"), ("Pause", "E004"), ("drop", "E004"), (None, "E001"), (["pause"], "E001")],
)
def test_policy_unknown(value: Any, check: str) -> None:
    """A policy is one of the three, a string."""
    assert ids_of(STREAM_OVERFLOW=value) == [(check, "STREAM_OVERFLOW")]


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"PAYLOAD_KEY": "stream"}, "PAYLOAD_KEY"),
        ({"TEXT_KEY": "stream"}, "TEXT_KEY"),
        ({"EVENT_KEY": "stream"}, "EVENT_KEY"),
        ({"TEXT_KEY": "payload"}, "TEXT_KEY"),
        ({"EVENT_KEY": "payload"}, "EVENT_KEY"),
        ({"EVENT_KEY": "text"}, "EVENT_KEY"),
        ({"MULTIPLEX_KEY": "event"}, "EVENT_KEY"),
        ({"MULTIPLEX_KEY": "status"}, "MULTIPLEX_KEY"),
        ({"PAYLOAD_KEY": "code"}, "PAYLOAD_KEY"),
        ({"TEXT_KEY": "reason"}, "TEXT_KEY"),
        ({"TEXT_KEY": "query"}, "TEXT_KEY"),
        ({"EVENT_KEY": "subprotocol"}, "EVENT_KEY"),
        ({"EVENT_KEY": "subprotocols"}, "EVENT_KEY"),
    ],
)
def test_keys_clash(changes: dict[str, str], name: str) -> None:
    """No key has the name of another, or of a field of control frames."""
    assert ids_of(**changes) == [("E003", name)]


def test_keys_exchanged() -> None:
    """A key may have the default of another that has a name of its own."""
    assert ids_of(MULTIPLEX_KEY="payload", PAYLOAD_KEY="stream") == []


def test_all_faults() -> None:
    """Everything that is wrong is told at once, wrong values first."""
    assert ids_of(LAZY=1, MAX_STREAMS=0, TEXT_KEY="code", STREAM_OVERFLOW="?") == [
        ("E004", "STREAM_OVERFLOW"),
        ("E005", "MAX_STREAMS"),
        ("E001", "LAZY"),
        ("E003", "TEXT_KEY"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("MULTIPLEX_KEY", "", "X is '': give the name of a key, such as 'stream'"),
        ("PAYLOAD_KEY", 1, "X is 1, an integer: give the name of a key, such as 'stream'"),
        ("PAYLOAD_KEY", b"p", "X is b'p', bytes: give the name of a key, such as 'stream'"),
        ("LAZY", 0.5, "X is 0.5, a float: give True or False"),
        ("LAZY", None, "X is None: give True or False"),
        ("STALL_TIMEOUT", "x", "X is 'x', a string: give a positive number of seconds"),
        ("STREAM_CAPACITY", "20", "X is '20', a string: give a positive integer"),
        ("STREAM_CAPACITY", True, "X is True, a boolean: give a positive integer"),
        ("STREAM_CAPACITY", [1], "X is [1], a list: give a positive integer"),
        ("STREAM_CAPACITY", (1,), "X is (1,), a tuple: give a positive integer"),
        ("STREAM_CAPACITY", {1}, "X is {1}, of the type set: give a positive integer"),
        ("MAX_STREAMS", -1, "X is -1: give a positive integer"),
        ("STREAM_OVERFLOW", "drop", "X is 'drop': give one of 'pause', 'reject', 'close'"),
        (
            "TEXT_KEY",
            "payload",
            "X is 'payload', the name of PAYLOAD_KEY too: give each key a name of its own",
        ),
        (
            "TEXT_KEY",
            "code",
            "X is 'code', the name of a field of control frames too: "
            "give each key a name of its own",
        ),
    ],
)
def test_fault_text(name: str, value: Any, text: str) -> None:
    """A fault says what the setting is, of what type if that is wrong, and what would be right."""
    [fault] = faults({**DEFAULTS, name: value})
    assert (fault.name, fault.at("X")) == (name, text)
    assert f"X {fault.is_what}: {fault.hint}" == text


# Test options that cannot be had.


def test_options_wrong_attribute() -> None:
    """A wrong class attribute is told with the class and its name."""
    owner = type("Owner", (), {"max_streams": 0})
    with pytest.raises(ImproperlyConfigured) as caught:
        options_of(owner)
    assert str(caught.value) == ("tests.test_conf.Owner.max_streams is 0: give a positive integer")


@override_settings(CHANNELS_DEMULTIPLEXER_LAZY="no")
def test_options_wrong_setting() -> None:
    """A wrong Django setting is told too."""
    with pytest.raises(ImproperlyConfigured, match="CHANNELS_DEMULTIPLEXER_LAZY is 'no', a"):
        options_of(Plain)


def test_options_first_fault() -> None:
    """Where several values are wrong the first of the table is told."""
    owner = type("Owner", (), {"lazy": 1, "max_streams": 0})
    with pytest.raises(ImproperlyConfigured, match="max_streams is 0"):
        options_of(owner)


@pytest.mark.parametrize("value", [[], {}, set()])
def test_options_unhashable(value: Any) -> None:
    """A value that cannot be hashed is wrong as any other."""
    owner = type("Owner", (), {"multiplex_key": value})
    with pytest.raises(ImproperlyConfigured, match="multiplex_key is "):
        options_of(owner)


@pytest.mark.parametrize(
    "attributes", [{"lazy": 0}, {"manage_envelope": 1}, {"max_streams": 100.0}]
)
def test_options_wrong_type_but_equal(attributes: dict[str, Any]) -> None:
    """A value of the wrong type is wrong, though it equals the one that was right before."""
    options_of(Plain)
    with pytest.raises(ImproperlyConfigured):
        options_of(type("Owner", (), attributes))


@pytest.mark.parametrize("key", ['a"b', "a\\b"])
def test_options_key_with_escapes(key: str) -> None:
    """A key that JSON would have to escape is told, and does not fail in the codec."""
    with pytest.raises(ImproperlyConfigured, match="payload_key is "):
        options_of(type("Owner", (), {"payload_key": key}))
