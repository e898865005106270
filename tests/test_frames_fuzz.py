"""The wire format against arbitrary input, judged by the standard library's json."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from channels_demultiplexer.control import Close, Open, Ping
from channels_demultiplexer.exceptions import FrameError, MalformedFrame
from channels_demultiplexer.frames import Codec, Data, Frame

CODEC = Codec(
    stream_key="stream",
    payload_key="payload",
    text_key="text",
    event_key="event",
    manage_envelope=True,
    max_frame_size=16777216,
)
KEYS = ["stream", "payload", "text", "event", "subprotocols", "query", "credit", "code", "reason"]

often = settings(deadline=None, max_examples=100)


# What the tests draw: JSON text, written in every way that JSON allows.

spaces = st.text(" \t\n\r", max_size=2)
# All characters that UTF-8 can encode.
characters = st.characters(exclude_categories=["Cs"])
surrogates = st.characters(categories=["Cs"])
anything = st.text(characters | surrogates, max_size=20)
names = st.text(characters, min_size=1, max_size=20).filter(lambda name: len(name.encode()) <= 255)
numbers = st.from_regex(
    r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,4})?", fullmatch=True
)
lone_surrogates = st.sampled_from([r"\ud800", r"\uDfff", r"\udc00\ud800"])
escapes = lone_surrogates | st.sampled_from(
    [r"\"", r"\\", r"\/", r"\b", r"\f", r"\n", r"\r", r"\t", r"\u0000", r"\u00e9", r"\uD83D\uDE00"]
)
string_parts = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\') | escapes
strings = st.lists(string_parts, max_size=6).map(lambda parts: '"' + "".join(parts) + '"')
scalars = st.sampled_from(["null", "true", "false", "9" * 5000]) | numbers | strings


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


def escaped(character: str) -> str:
    """Write a character by its escape."""
    units = character.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2))


@st.composite
def literals(draw: st.DrawFn, text: str) -> str:
    """Write `text` as JSON, some of its characters by escapes."""
    must = {'"', "\\", *map(chr, range(32))}
    written = [
        escaped(character) if character in must or draw(st.integers(0, 9)) == 0 else character
        for character in text
    ]
    return '"' + "".join(written) + '"'


@st.composite
def objects(draw: st.DrawFn, members: list[tuple[str, str]]) -> str:
    """Write an object of keys and values that are JSON text already."""
    space = draw(spaces)
    written = [f"{space}{key}{draw(spaces)}:{draw(spaces)}{value}{space}" for key, value in members]
    return f"{{{','.join(written) or space}}}"


@st.composite
def arrays(draw: st.DrawFn, items: list[str]) -> str:
    """Write an array of items that are JSON text already."""
    space = draw(spaces)
    return f"[{','.join(f'{space}{item}{draw(spaces)}' for item in items) or space}]"


values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3).flatmap(arrays)
        | st.lists(st.tuples(strings, inner), max_size=3).flatmap(objects)
    ),
    max_leaves=8,
)
extra_keys = strings.filter(lambda key: json.loads(key) not in KEYS)
extras = st.lists(st.tuples(extra_keys, values), max_size=3)


@st.composite
def frames(draw: st.DrawFn, fields: dict[str, str]) -> str:
    """Write a frame of `fields`, with extra keys and with duplicates, of which the last counts."""
    members = [(draw(literals(key)), value) for key, value in fields.items()]
    members = draw(st.permutations(members + draw(extras)))
    duplicates = st.tuples(st.sampled_from(sorted(fields)).flatmap(literals), values)
    written = draw(objects(draw(st.lists(duplicates, max_size=2)) + members))
    return draw(spaces) + written + draw(spaces)


def refuse(constant: str) -> None:
    """Refuse what Python's json takes and RFC 8259 doesn't."""
    raise ValueError(constant)


def stdlib(text: str, **options: Any) -> Any:
    """Decode JSON as RFC 8259 has it; integers stay text."""
    return json.loads(text, parse_int=_Digits, parse_constant=refuse, **options)


class _Digits:
    """An integer of any length."""

    def __init__(self, digits: str) -> None:
        self.digits = digits

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Digits) and other.digits == self.digits

    __hash__ = None  # type: ignore[assignment]


# Test that every input gives a frame or an error.


def parsed(message: str | bytes) -> Frame | FrameError:
    """Return the frame or the error that `message` gives."""
    try:
        return CODEC.parse(message) if isinstance(message, str) else CODEC.parse_binary(message)
    except FrameError as error:
        return error


@often
@given(anything)
def test_any_text(message: str) -> None:
    """Any text gives a frame or an error that can be written."""
    result = parsed(message)
    if isinstance(result, FrameError):
        assert result.status == 400
        assert json.loads(CODEC.error(result))["status"] == 400
    else:
        assert isinstance(result, Frame)


@st.composite
def mutated(draw: st.DrawFn, texts: st.SearchStrategy[str]) -> str:
    """Draw a text, and cut, replace or put in something somewhere."""
    text = draw(texts)
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 3)))
    part = st.sampled_from(
        [*'{}[]":,\\ 01-.eEnNtf', "null", "NaN", '"stream":"b"', "},{", "\ud800"]
    )
    return text[:start] + draw(st.just("") | part | anything) + text[end:]


loose_fields = {
    "stream": st.sampled_from(['"a"', '"é"', '""', r'"\ud800"', '"' + "a" * 256 + '"']) | values,
    "payload": values,
    "text": strings | values,
    "event": st.sampled_from(['"open"', '"close"', '"ping"', '"pong"']) | values,
    "subprotocols": st.lists(strings, max_size=2).flatmap(arrays) | values,
    "query": strings | values,
    "credit": st.booleans().map(json.dumps) | values,
    "code": st.sampled_from(["999", "1000", "4999", "5000", "1000.0"]) | values,
    "reason": strings | values,
}
loose_members = st.sampled_from(KEYS).flatmap(
    lambda key: st.tuples(literals(key), loose_fields[key])
)
# Members that make a valid frame by themselves; one more often makes it another, or none.
starts = st.sampled_from(
    [
        [],
        [("event", '"ping"')],
        [("stream", '"a"'), ("payload", '[1,"]"]')],
        [("stream", '"a"'), ("text", r'"\ud800"')],
        [("stream", '"a"'), ("event", '"open"')],
        [("stream", '"a"'), ("event", '"close"')],
    ]
)


@st.composite
def loose_frames(draw: st.DrawFn) -> str:
    """Draw an object that may be a frame."""
    members = [(draw(literals(key)), value) for key, value in draw(starts)]
    more = st.lists(loose_members | st.tuples(strings, values), max_size=2)
    return draw(objects(draw(st.permutations(members + draw(more)))))


def model(message: str) -> Frame | int:
    """Read a frame as the protocol's document says, slowly; return 400 for what is none."""
    try:
        pairs = stdlib(message, object_pairs_hook=tuple)
    except ValueError:
        return 400
    if not message.strip(" \t\n\r").startswith("{"):
        return 400
    fields = dict(pairs)
    contents = [key for key in ("payload", "text", "event") if key in fields]
    if fields.get("event") == "ping" and "text" not in fields:
        return Ping(source(message, "payload") if "payload" in fields else None)
    stream = fields.get("stream")
    if not encodable(stream) or not 1 <= len(stream.encode()) <= 255 or len(contents) != 1:
        return 400
    if contents == ["payload"]:
        return data(stream, source(message, "payload"))
    if contents == ["text"]:
        text = fields["text"]
        return data(stream, replaced(text)) if isinstance(text, str) else 400
    if fields["event"] == "open":
        return model_open(stream, fields, message)
    if fields["event"] == "close":
        return model_close(stream, fields)
    return 400


def model_open(stream: str, fields: dict[str, Any], message: str) -> Frame | int:
    """Read an `open`."""
    subprotocols = fields.get("subprotocols", [])
    query = fields.get("query", "")
    # An object is decoded to a tuple here, an array to a list.
    valid = isinstance(subprotocols, list) and all(map(encodable, subprotocols))
    if not valid or not encodable(query):
        return 400
    credit = fields.get("credit", False)
    if not isinstance(credit, bool) or "" in subprotocols:
        return 400
    return Open(stream, subprotocols, fields.get("query"), credit)


def model_close(stream: str, fields: dict[str, Any]) -> Frame | int:
    """Read a `close`."""
    code = fields.get("code", _Digits("1000"))
    reason = fields.get("reason", "")
    if not isinstance(code, _Digits) or len(code.digits) != 4 or not isinstance(reason, str):
        return 400
    number = int(code.digits)
    return Close(stream, number, replaced(reason)) if 1000 <= number <= 4999 else 400


def data(stream: str, text: str) -> Data:
    """Return the data frame with `text`."""
    return Data(stream, {"type": "websocket.receive", "text": text})


def encodable(value: object) -> bool:
    """Say whether `value` is a string that UTF-8 can encode."""
    return isinstance(value, str) and not any(
        "\ud800" <= character <= "\udfff" for character in value
    )


def replaced(text: str) -> str:
    """Replace lone surrogates by U+FFFD."""
    return "".join("\ufffd" if "\ud800" <= char <= "\udfff" else char for char in text)


def source(message: str, key: str) -> str:
    """Return the text of the last member `key`: what its value was decoded from."""
    decoder = json.JSONDecoder(parse_int=_Digits, parse_constant=refuse)
    found, index, space = "", message.index("{") + 1, " \t\n\r,:"
    while True:
        while message[index] in space:
            index += 1
        if message[index] == "}":
            return found
        name, index = decoder.raw_decode(message, index)
        while message[index] in space:
            index += 1
        start = index
        _, index = decoder.raw_decode(message, start)
        if name == key:
            found = message[start:index]


@settings(deadline=None, max_examples=400)
@given(loose_frames() | loose_frames() | mutated(loose_frames()))
@example('{"stream":"a","text":' + "9" * 5000 + "}")
@example('{"stream":"a","event":"close","reason":' + "9" * 5000 + "}")
@example('{"stream":"a","event":"open","query":' + "9" * 5000 + "}")
def test_like_the_model(message: str) -> None:
    """A message near a frame is read as a literal reading of the protocol has it."""
    result = parsed(message)
    expected = model(message) if encodable(message) else 400
    assert (result.status if isinstance(result, FrameError) else result) == expected


@often
@given(st.binary(max_size=30))
def test_any_bytes(message: bytes) -> None:
    """Any bytes give a data frame whose parts they are, or an error."""
    result = parsed(message)
    if isinstance(result, Data):
        name = result.stream.encode()
        assert bytes([len(name)]) + name + result.message["bytes"] == message
    else:
        assert isinstance(result, MalformedFrame)


# Test that every valid frame is read.


@often
@given(st.data(), names, values)
def test_payload(draw: st.DataObject, name: str, payload: str) -> None:
    """A payload comes out byte for byte, in whatever envelope."""
    fields = {"stream": draw.draw(literals(name)), "payload": payload}
    assert parsed(draw.draw(frames(fields))) == data(name, payload)


@often
@given(st.data(), names, anything)
def test_text(draw: st.DataObject, name: str, text: str) -> None:
    """Opaque text comes out as it was, but for lone surrogates."""
    literal = json.dumps(text)
    fields = {"stream": draw.draw(literals(name)), "text": literal}
    assert parsed(draw.draw(frames(fields))) == data(name, replaced(json.loads(literal)))


@often
@given(st.data(), names, st.lists(names, max_size=3), st.none() | st.text(characters, max_size=9))
def test_open(draw: st.DataObject, name: str, subprotocols: list[str], query: str | None) -> None:
    """An `open` comes out as it was, in whatever envelope."""
    fields = {
        "stream": draw.draw(literals(name)),
        "event": draw.draw(literals("open")),
        "subprotocols": json.dumps(subprotocols),
    }
    if query is not None:
        fields["query"] = draw.draw(literals(query))
    assert parsed(draw.draw(frames(fields))) == Open(name, subprotocols, query)


@often
@given(st.data(), names, st.integers(1000, 4999), st.text(characters, max_size=9))
def test_close(draw: st.DataObject, name: str, code: int, reason: str) -> None:
    """A `close` comes out as it was, in whatever envelope."""
    fields = {
        "stream": draw.draw(literals(name)),
        "event": draw.draw(literals("close")),
        "code": str(code),
        "reason": draw.draw(literals(reason)),
    }
    assert parsed(draw.draw(frames(fields))) == Close(name, code, reason)


@often
@given(st.data(), values)
def test_ping(draw: st.DataObject, payload: str) -> None:
    """A ping's payload comes out byte for byte, and goes back so."""
    fields = {"event": draw.draw(literals("ping")), "payload": payload}
    ping = parsed(draw.draw(frames(fields)))
    assert ping == Ping(payload)
    assert CODEC.pong(ping) == '{"event":"pong","payload":' + payload + "}"


@often
@given(names, st.binary(max_size=30))
def test_binary(name: str, content: bytes) -> None:
    """A child's bytes, wrapped, are read as the bytes for that stream."""
    message = CODEC.envelope(name).bytes(content)
    assert parsed(message) == Data(name, {"type": "websocket.receive", "bytes": content})


# Test that a child cannot break out of its envelope.

splices = st.lists(
    st.sampled_from(
        [
            *'"\\{}[],1 \n\0\u2028',
            '1},{"stream":"b"',
            ',"stream":"b"',
            ',"payload":2',
            '{"stream":"b","payload":1}',
            "NaN",
            r"\ud800",
        ]
    ),
    max_size=8,
).map("".join)


def is_json(text: str) -> bool:
    """Say what the standard library says of `text`."""
    try:
        stdlib(text)
    except ValueError:
        return False
    return True


@settings(deadline=None, max_examples=400)
@given(names, splices | values | mutated(values).filter(encodable) | st.text(characters))
@example("a", '1},{"stream":"b"')
def test_envelope(name: str, text: str) -> None:
    """Whatever a child sends is the payload or the text of its own stream, and nothing more."""
    wrapped = CODEC.envelope(name).text(text)
    pairs = stdlib(wrapped, object_pairs_hook=list)
    if is_json(text):
        assert pairs == [("stream", name), ("payload", stdlib(text, object_pairs_hook=list))]
        assert wrapped.endswith(f',"payload":{text}}}')
    else:
        assert pairs == [("stream", name), ("text", text)]


@often
@given(names, splices | values | st.text(characters))
def test_envelope_there_and_back(name: str, text: str) -> None:
    """What a child sends is read back as what a child receives."""
    frame = parsed(CODEC.envelope(name).text(text))
    assert isinstance(frame, Data)
    assert frame.stream == name
    assert frame.message["text"] == (text.strip(" \t\n\r") if is_json(text) else text)


@often
@given(splices | values, surrogates, splices | values)
def test_envelope_lone_surrogates(before: str, surrogate: str, after: str) -> None:
    """Text with a lone surrogate raises in the child, whatever else is in it."""
    with pytest.raises(UnicodeEncodeError):
        CODEC.envelope("a").text(before + surrogate + after)


@often
@given(names, anything)
def test_control_frames_cannot_be_broken(name: str, text: str) -> None:
    """A subprotocol and a reason stay in their fields."""
    if encodable(text):
        opened = json.loads(CODEC.opened(name, text), object_pairs_hook=list)
        closed = json.loads(CODEC.closed(name, 4000, text), object_pairs_hook=list)
        assert opened == [("stream", name), ("event", "open"), ("subprotocol", text)]
        assert closed == [("stream", name), ("event", "close"), ("code", 4000), ("reason", text)]
    else:
        with pytest.raises(UnicodeEncodeError):
            CODEC.opened(name, text)
