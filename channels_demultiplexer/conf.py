"""
The settings: one table that the code, the checks and the documentation share.

Each is `CHANNELS_DEMULTIPLEXER_<NAME>` in Django's settings, and an attribute of the same name in
lower case on a demultiplexer class, which comes first.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, get_args

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from .frames import CONTROL_FIELDS, Codec

__all__ = [
    "PREFIX",
    "SETTINGS",
    "Fault",
    "Options",
    "Setting",
    "child_fault",
    "faults",
    "nearest",
    "options_of",
]

PREFIX: Final = "CHANNELS_DEMULTIPLEXER_"

#: The overflow policies.
Policy = Literal["pause", "reject", "close"]

#: When Channels' look at the database connections goes to the thread of sync code.
DatabaseChecks = Literal["due", "always"]


class Fault(NamedTuple):
    """What is wrong with a setting: a check's id, its name, what it is, and what would be right."""

    id: str
    name: str
    is_what: str
    hint: str

    def at(self, where: str) -> str:
        """Say it of the setting where it was found."""
        return f"{where} {self.is_what}: {self.hint}"


def _key(value: Any) -> tuple[str, str] | None:
    hint = "give the name of a key, such as 'stream'"
    if not isinstance(value, str):
        return "E001", hint
    # Not printable are control characters, and lone surrogates, which could not be written.
    # msgspec takes no name that JSON has to escape.
    writable = value.isprintable() and not {'"', "\\"} & set(value)
    return None if value and writable else ("E002", hint)


def _flag(value: Any) -> tuple[str, str] | None:
    return None if isinstance(value, bool) else ("E001", "give True or False")


def _number(value: Any, types: tuple[type, ...], hint: str) -> tuple[str, str] | None:
    if type(value) not in types:
        return "E001", hint
    # This way round, NaN fails too.
    return None if 0 < value < float("inf") else ("E005", hint)


def _seconds(value: Any) -> tuple[str, str] | None:
    return _number(value, (int, float), "give a positive number of seconds")


def _count(value: Any) -> tuple[str, str] | None:
    return _number(value, (int,), "give a positive integer")


def _one_of(literal: Any) -> Callable[[Any], tuple[str, str] | None]:
    values = get_args(literal)
    hint = f"give one of {', '.join(map(repr, values))}"

    def check(value: Any) -> tuple[str, str] | None:
        if not isinstance(value, str):
            return "E001", hint
        return None if value in values else ("E004", hint)

    return check


class Setting(NamedTuple):
    """A row of the table: `check` returns a check's id and a hint for a value that is wrong."""

    name: str
    default: Any
    check: Callable[[Any], tuple[str, str] | None]
    meaning: str


SETTINGS: Final = (
    Setting("MULTIPLEX_KEY", "stream", _key, "key of the stream's name"),
    Setting("PAYLOAD_KEY", "payload", _key, "key of the JSON payload"),
    Setting("TEXT_KEY", "text", _key, "key of opaque text"),
    Setting("EVENT_KEY", "event", _key, "key of control events"),
    Setting("MANAGE_ENVELOPE", True, _flag, "whether children get payloads, or whole messages"),
    Setting("CONSUMER_CLOSE_TIMEOUT", 5, _seconds, "seconds to finish after a disconnect"),
    Setting("STREAM_CAPACITY", 100, _count, "frames that may wait for one child"),
    Setting("STREAM_OVERFLOW", "pause", _one_of(Policy), "what a frame for a full inbox does"),
    Setting("STALL_TIMEOUT", 10, _seconds, "seconds a full inbox may hold up the socket"),
    Setting("MAX_STREAMS", 100, _count, "streams of a connection, eager ones not counted"),
    Setting("MAX_FRAME_SIZE", 16777216, _count, "bytes of one message"),
    Setting("MAX_WAITING_SIZE", 67108864, _count, "bytes that wait in a connection's inboxes"),
    Setting("LAZY", False, _flag, "whether fixed streams open at their first use"),
    Setting(
        "DATABASE_CHECKS",
        "due",
        _one_of(DatabaseChecks),
        "when the database connections are looked at",
    ),
)
# Each name, the attribute and the setting that it is looked up by, and the default.
_LOOKUPS: Final = tuple(
    (row.name, row.name.lower(), PREFIX + row.name, row.default) for row in SETTINGS
)
# How the types are called that people give by mistake.
_KINDS: Final = {
    str: "a string",
    bytes: "bytes",
    bool: "a boolean",
    int: "an integer",
    float: "a float",
    list: "a list",
    tuple: "a tuple",
}
_KEY_NAMES: Final = ("MULTIPLEX_KEY", "PAYLOAD_KEY", "TEXT_KEY", "EVENT_KEY")


class Options(NamedTuple):
    """The settings of one connection, and the codec they make."""

    multiplex_key: str
    payload_key: str
    text_key: str
    event_key: str
    manage_envelope: bool
    consumer_close_timeout: float
    stream_capacity: int
    stream_overflow: str
    stall_timeout: float
    max_streams: int
    max_frame_size: int
    max_waiting_size: int
    lazy: bool
    database_checks: str
    codec: Codec


def _fault(setting: Setting, value: Any) -> Fault | None:
    wrong = setting.check(value)
    if wrong is None:
        return None
    identifier, hint = wrong
    is_what = f"is {value!r}"
    if identifier == "E001" and value is not None:
        is_what += f", {_KINDS.get(type(value)) or 'of the type ' + type(value).__name__}"
    return Fault(identifier, setting.name, is_what, hint)


def faults(values: dict[str, Any]) -> list[Fault]:
    """Return what is wrong with `values`, a value for each name in the table."""
    found = []
    for setting in SETTINGS:
        wrong = _fault(setting, values[setting.name])
        if wrong is not None:
            found.append(wrong)
    taken: dict[Any, str] = dict.fromkeys(CONTROL_FIELDS, "a field of control frames")
    for name in _KEY_NAMES:
        key = values[name]
        if isinstance(key, str) and key in taken:
            is_what = f"is {key!r}, the name of {taken[key]} too"
            found.append(Fault("E003", name, is_what, "give each key a name of its own"))
        elif isinstance(key, str):
            taken[key] = name
    return found


def child_fault(settings: Mapping[str, Any], *, fixed: bool) -> tuple[str, str] | None:
    """
    Return what is wrong with the settings of a `child()` and what to do, None if nothing is.

    Args:
        settings: names in lower case to values.
        fixed: whether the stream has a fixed name.
    """
    for setting in SETTINGS:
        name = setting.name.lower()
        if name in settings:
            wrong = _fault(setting, settings[name])
            if wrong is not None:
                return f"{name} {wrong.is_what}", wrong.hint
    if "lazy" in settings and not fixed:
        return "a stream without a fixed name opens by an open frame only", "leave out lazy"
    return None


def nearest(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that `name` may be a slip for, None if there is none."""
    found = difflib.get_close_matches(name, list(names), n=1, cutoff=0.8)
    return found[0] if found else None


def read(owner: type | None = None) -> dict[str, Any]:
    """Return the value of each setting: `owner`'s attribute, else Django's, else the default."""
    return {
        name: getattr(owner, attribute)
        if hasattr(owner, attribute)
        else getattr(settings, key, default)
        for name, attribute, key, default in _LOOKUPS
    }


def options_of(owner: type) -> Options:
    """
    Return the options of a connection that begins now.

    Args:
        owner: the demultiplexer class, whose attributes come before Django's settings.

    Raises:
        ImproperlyConfigured: if a value is wrong.
    """
    values = read(owner)
    try:
        return _options(*values.values())
    except (ValueError, TypeError):  # TypeError: a value that cannot be hashed is wrong too
        wrong = faults(values)[0]
        attribute = wrong.name.lower()
        own = f"{owner.__module__}.{owner.__qualname__}.{attribute}"
        where = own if hasattr(owner, attribute) else PREFIX + wrong.name
        raise ImproperlyConfigured(wrong.at(where)) from None


@lru_cache(maxsize=128, typed=True)  # typed: to tell True from 1
def _options(*values: Any) -> Options:
    by_name = {setting.name: value for setting, value in zip(SETTINGS, values, strict=True)}
    if faults(by_name):
        raise ValueError("wrong settings")
    codec = Codec(
        stream_key=by_name["MULTIPLEX_KEY"],
        payload_key=by_name["PAYLOAD_KEY"],
        text_key=by_name["TEXT_KEY"],
        event_key=by_name["EVENT_KEY"],
        manage_envelope=by_name["MANAGE_ENVELOPE"],
        max_frame_size=by_name["MAX_FRAME_SIZE"],
    )
    return Options(**{name.lower(): value for name, value in by_name.items()}, codec=codec)
