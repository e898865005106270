"""What a client is told of a payload that is not of the declared type."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec
import pytest

from channels_demultiplexer.router.payloads import PayloadError, convert

from .routers import returns

pytest_plugins = ["tests.router_fixtures"]


class Colour(enum.Enum):
    RED = "red"
    GREEN = "green"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Circle(msgspec.Struct, tag="circle"):
    colour: Colour
    size: int = 0


class Square(msgspec.Struct, tag="square"):
    level: Level


class Row(msgspec.Struct, array_like=True, tag=True):
    number: int
    colour: Colour


class Pair(NamedTuple):
    level: Level
    colour: Colour


class Typed(TypedDict, total=False):
    colour: Colour


@dataclass
class Drawing:
    shapes: list[Circle | Square]
    parent: Drawing | None = None
    by_name: dict[str, Colour | None] = field(default_factory=dict)
    by_colour: dict[Colour, list[int]] = field(default_factory=dict)


RED_OR_GREEN = 'expected "red" or "green"'


@pytest.mark.parametrize(
    ("payload_type", "payload", "error"),
    [
        (Colour, "blue", f"Invalid enum value 'blue' - at `$`, {RED_OR_GREEN}"),
        (Level, 3, "Invalid enum value 3 - at `$`, expected 1 or 2"),
        (Level, "x", "Expected `int`, got `str` - at `$`"),
        (Literal["a"], "b", "Invalid enum value 'b' - at `$`, expected \"a\""),
        (
            Literal["a", 2, None],
            "b",
            "Invalid enum value 'b' - at `$`, expected null, 2 or \"a\"",
        ),
        (Annotated[Colour, msgspec.Meta(title="x")], "b", RED_OR_GREEN),
        (Colour | None, "b", RED_OR_GREEN),
        (list[Colour], ["red", "b"], f"Invalid enum value 'b' - at `$[1]`, {RED_OR_GREEN}"),
        (set[Colour], ["b"], RED_OR_GREEN),
        (tuple[Colour, ...], ["b"], RED_OR_GREEN),
        (tuple[int, Level, Colour], [1, 1, "b"], f"at `$[2]`, {RED_OR_GREEN}"),
        (tuple[int, Level] | dict[str, Colour], {"a": "b"}, f"at `$[...]`, {RED_OR_GREEN}"),
        (tuple[int, Level] | dict[str, Colour], [1, 3], "at `$[1]`, expected 1 or 2"),
        (Pair, [1, "b"], f"at `$[1]`, {RED_OR_GREEN}"),
        (Row, ["Row", 1, "b"], f"at `$[2]`, {RED_OR_GREEN}"),
        (Typed, {"colour": "b"}, f"at `$.colour`, {RED_OR_GREEN}"),
        (
            Drawing,
            {"shapes": [{"type": "star"}]},
            'at `$.shapes[0].type`, expected "circle" or "square"',
        ),
        (
            Drawing,
            {"shapes": [{"type": "square", "level": 3}]},
            "`$.shapes[0].level`, expected 1 or 2",
        ),
        (
            Drawing,
            {"shapes": [], "parent": {"shapes": [], "by_name": {"a.b": "c"}}},
            f"at `$.parent.by_name[...]`, {RED_OR_GREEN}",
        ),
        (
            Drawing,
            {"shapes": [], "by_colour": {"blue": []}},
            f"Invalid enum value 'blue' - at `key` in `$.by_colour`, {RED_OR_GREEN}",
        ),
    ],
)  # fmt: skip
def test_the_allowed_values_are_told(payload_type: Any, payload: Any, error: str) -> None:
    """Of an enum, a Literal and a tag, wherever in the payload it stands."""
    with pytest.raises(PayloadError) as caught:
        convert(payload, payload_type)
    assert str(caught.value).endswith(error)


def test_a_message_has_room_for_so_many_values() -> None:
    """Of many allowed values some are told, and how many there are beside."""
    many = enum.Enum("many", {f"name{number}": f"value{number:04}" for number in range(500)})
    with pytest.raises(PayloadError) as caught:
        convert("x", many)
    told = str(caught.value).partition("expected ")[2]
    assert told.startswith('"value0000", "value0001", ')
    assert told.endswith('"value0017" or 482 more')  # 18 of 11 characters
    with pytest.raises(PayloadError, match=rf'expected "{"y" * 198}" or 1 more$'):
        convert("x", Literal["y" * 198, "z"])
    with pytest.raises(PayloadError, match=r"expected 2 more$"):
        convert("x", Literal["y" * 500, "z" * 500])


@pytest.mark.parametrize("size", [200, 201])
def test_a_clients_own_value_is_cut(size: int) -> None:
    """However long the wrong value is, the answer is not."""
    value = "x" * (size - len("Invalid enum value ''"))
    with pytest.raises(PayloadError) as caught:
        convert(value, Colour)
    wrong = f"Invalid enum value '{value}'"
    cut = wrong if size == 200 else wrong[:200] + "..."
    assert str(caught.value) == f"{cut} - at `$`, {RED_OR_GREEN}"


def test_a_value_that_looks_like_a_place_is_none() -> None:
    """The place is what msgspec has written, not what the client has."""
    with pytest.raises(PayloadError) as caught:
        convert({"colour": "b' - at `$.other`"}, Typed)
    assert str(caught.value).endswith(f" - at `$.colour`, {RED_OR_GREEN}")
    with pytest.raises(PayloadError) as caught:
        convert("b - at `$.other`", Colour)
    assert str(caught.value).endswith(f" - at `$`, {RED_OR_GREEN}")


async def test_the_answer_tells_the_allowed_values(base: Any, serve: Any) -> None:
    """A client learns what it may send from the 400."""
    client = await serve(returns(base, None, payload_type=Typed))
    answer = await client.ask("x", {"colour": "blue"})
    assert (answer["status"], answer["payload"]) == (
        400,
        {"error": f"Invalid enum value 'blue' - at `$.colour`, {RED_OR_GREEN}"},
    )
