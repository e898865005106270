"""Validate payloads: convert one to its declared type, or say what would have been right."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

import msgspec
from msgspec import inspect

from .messages import encode

__all__ = ["PayloadError", "convert"]

#: The most characters of allowed values, and of a client's own value, that a message has.
ROOM = 200

# The end of msgspec's messages: a path, `$.rooms[0].kind`, or `$[...]` for a mapping's values.
_PLACE = re.compile(r" - at (`key` in )?`\$([^`]*)`$")
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")


class PayloadError(ValueError):
    """A payload is not of its declared type; the message says where, and what is right there."""


def convert(payload: Any, payload_type: Any) -> Any:
    """
    Convert a payload to the type that a route declares.

    Raises:
        PayloadError: if it does not match.
    """
    try:
        # JSON's keys are strings, whatever the type says of its keys.
        converted = msgspec.convert(payload, payload_type, str_keys=True)
    except msgspec.ValidationError as exc:
        raise PayloadError(_describe(str(exc), payload_type)) from exc
    _fill_in(converted)
    return converted


def _describe(error: str, payload_type: Any) -> str:
    """Return msgspec's message with the path and the allowed values that it leaves out."""
    # It names no path where the whole payload is wrong.
    place = _PLACE.search(error) or _PLACE.search(error := f"{error} - at `$`")
    assert place is not None, "the pattern matches what has just been added"
    wrong = error[: place.start()]
    if len(wrong) > ROOM:
        wrong = wrong[:ROOM] + "..."
    # "Expected ..." says so itself.
    invalid = wrong.startswith("Invalid")
    allowed = _allowed(payload_type, place[2], is_key=bool(place[1])) if invalid else []
    return wrong + place[0] + (f", expected {_one_of(allowed)}" if allowed else "")


def _allowed(payload_type: Any, path: str, *, is_key: bool) -> list[Any]:
    """Return the values of the enums, literals and tags that may stand at a path."""
    found = list(_alternatives(inspect.type_info(payload_type)))
    for name, index in _STEP.findall(path):
        found = [each for outer in found for each in _inside(outer, name, index)]
    if is_key:
        found = [each.key_type for each in found if isinstance(each, inspect.DictType)]
    values: list[Any] = []
    for each in found:
        if isinstance(each, inspect.EnumType):
            values += [member.value for member in each.cls]
        elif isinstance(each, inspect.LiteralType):
            values += each.values
    return values


def _alternatives(type_: inspect.Type) -> Iterator[inspect.Type]:
    """Yield the types of a union, or the type itself."""
    if isinstance(type_, inspect.UnionType):
        for each in type_.types:
            yield from _alternatives(each)
    elif isinstance(type_, inspect.Metadata):
        yield from _alternatives(type_.type)
    else:
        yield type_


def _inside(outer: inspect.Type, name: str, index: str) -> Iterator[inspect.Type]:
    """Yield what a step of a path, a name or an index, leads to."""
    members = [(each.encode_name, each.type) for each in getattr(outer, "fields", ())]
    if isinstance(outer, inspect.StructType) and outer.tag_field is not None:
        # First, as in a struct that is written as an array.
        members.insert(0, (outer.tag_field, inspect.LiteralType((outer.tag,))))
    for position, (member, type_) in enumerate(members):
        if name == member or index == str(position):
            yield from _alternatives(type_)
    if index == "...":
        if isinstance(outer, inspect.DictType):
            yield from _alternatives(outer.value_type)
    elif index and isinstance(outer, inspect.TupleType):
        yield from _alternatives(outer.item_types[int(index)])
    elif index and hasattr(outer, "item_type"):
        yield from _alternatives(outer.item_type)


def _one_of(values: list[Any]) -> str:
    """Return values as JSON, no more than there is room for."""
    shown: list[str] = []
    room = ROOM
    for value in values:
        text = encode(value)
        room -= len(text)
        if room < 0:
            shown.append(f"{len(values) - len(shown)} more")
            break
        shown.append(text)
    return " or ".join(filter(None, [", ".join(shown[:-1]), shown[-1]]))


def _fill_in(value: Any) -> None:
    """
    Give dataclass instances their default values, as their own __init__ does.

    msgspec leaves them to the class, and does not encode what an instance does not have itself.
    """
    children: Iterable[Any]
    if isinstance(value, Mapping):
        children = value.values()
    elif isinstance(value, list | tuple | set | frozenset):
        children = value
    elif isinstance(value, msgspec.Struct):
        children = msgspec.structs.astuple(value)
    elif is_dataclass(value):
        attributes = {field.name: getattr(value, field.name) for field in fields(value)}
        if hasattr(value, "__dict__"):  # not where it has slots
            vars(value).update(attributes)
        children = attributes.values()
    else:
        return
    for child in children:
        _fill_in(child)
