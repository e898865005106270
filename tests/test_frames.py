"""The wire format: what is read, what is refused, what is written."""

from __future__ import annotations

import json
from typing import Any

import pytest

from channels_demultiplexer.close_codes import CloseCode, cut_reason, plain_code, sendable
from channels_demultiplexer.control import Close, Open, Ping
from channels_demultiplexer.exceptions import (
    FrameError,
    FrameTooLarge,
    MalformedFrame,
    StreamNotOpen,
    UnknownStream,
)
from channels_demultiplexer.frames import (
    CONTROL_FIELDS,
    SUBPROTOCOL,
    Codec,
    Data,
)

DEEP = "[" * 100_000 + "]" * 100_000
HUGE = "1" * 5000
LONE = r"\ud800"


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


def short(value: object) -> str | None:
    """Return a test's id for a parameter that may be very long."""
    return ascii(value)[:40] if isinstance(value, str | bytes) else None


def codec(**changes: Any) -> Codec:
    """Return a codec with the default settings, but for `changes`."""
    defaults = {
        "stream_key": "stream",
        "payload_key": "payload",
        "text_key": "text",
        "event_key": "event",
        "manage_envelope": True,
        "max_frame_size": 16777216,
    }
    return Codec(**{**defaults, **changes})


class Shouted(str):
    """Text that is a subclass of str, and becomes another where it is asked for itself."""

    def __str__(self) -> str:
        return Shouted(self.upper())


def control_frame(event: str, **fields: Any) -> str:
    """Return a control frame."""
    return json.dumps({"stream": "a", "event": event, **fields})


def text_of(message: str, **changes: Any) -> str:
    """Return what the child receives for `message`."""
    frame = codec(**changes).parse(message)
    assert isinstance(frame, Data)
    assert frame.message.keys() == {"type", "text"}
    assert frame.message["type"] == "websocket.receive"
    return frame.message["text"]


def refusal(message: str | bytes, **changes: Any) -> tuple[int, str | None]:
    """Return the status and the stream of the error that `message` makes."""
    reader = codec(**changes)
    with pytest.raises(FrameError) as caught:
        reader.parse(message) if isinstance(message, str) else reader.parse_binary(message)
    return caught.value.status, caught.value.stream


# Test data frames with a payload.

PAYLOADS = [
    "null",
    "true",
    "0",
    "-0",
    "1E+2",
    "1.50",
    "1e99999",
    '""',
    '"\\u00e9é\\/"',
    '"\\ud83d\\ude00"',
    "[]",
    '{"b" : 1,  "a":[ ]\n}',
    '{"a":1,"a":2}',
    '{"stream":"b","payload":1,"event":"close"}',
    '"}"',
    HUGE,
    f"-{HUGE}",
    f'"{LONE}"',
    f'["\\uDFFF{LONE}", {{"{LONE}" : 1}} ]',
    "[" * 100 + "]" * 100,
]


@pytest.mark.parametrize("payload", PAYLOADS, ids=short)
def test_payload_verbatim(payload: str) -> None:
    """A payload reaches the child as the client wrote it, byte for byte."""
    assert text_of(f'{{"stream":"a","payload":{payload}}}') == payload


@pytest.mark.parametrize("payload", PAYLOADS, ids=short)
def test_payload_verbatim_slow(payload: str) -> None:
    """A payload is verbatim too where another member has a lone surrogate."""
    message = f'{{"x":"{LONE}","stream":"a","payload":{payload},"y":[{{}}]}}'
    assert text_of(message) == payload


@pytest.mark.parametrize("extra", ["1", f'"{LONE}"'])
def test_payload_without_surrounding_whitespace(extra: str) -> None:
    """Whitespace of the envelope is no part of the payload."""
    message = f' {{\n"x" : {extra}\t,\r"payload" :\n [ 1 ]\t , "stream": "a" }}\r\n'
    assert text_of(message) == "[ 1 ]"


def test_data_frame() -> None:
    """A data frame carries its stream's name and the ASGI message for the child."""
    frame = codec().parse('{"stream":"a","payload":[1]}')
    assert frame == Data("a", {"type": "websocket.receive", "text": "[1]"})


@pytest.mark.parametrize("extra", ["1", f'"{LONE}"'])
def test_key_order(extra: str) -> None:
    """The order of keys means nothing."""
    frame = codec().parse(f'{{"payload":1,"x":{extra},"stream":"a"}}')
    assert frame == Data("a", {"type": "websocket.receive", "text": "1"})


@pytest.mark.parametrize("extra", ["1", f'"{LONE}"'])
def test_escaped_keys(extra: str) -> None:
    """A key may be written with escapes."""
    message = f'{{"x":{extra},"str\\u0065am":"a","\\u0070ayload":{{"a":1}}}}'
    assert codec().parse(message) == Data("a", {"type": "websocket.receive", "text": '{"a":1}'})


@pytest.mark.parametrize("extra", ["1", f'"{LONE}"'])
def test_escaped_name(extra: str) -> None:
    """A name may be written with escapes."""
    frame = codec().parse(f'{{"x":{extra},"stream":"r\\u00f6\\ud83d\\ude00","payload":1}}')
    assert frame == Data("rö😀", {"type": "websocket.receive", "text": "1"})


@pytest.mark.parametrize(
    "extra",
    [
        '"x":null',
        f'"x":"{LONE}"',
        f'"{LONE}":1',
        f'"x":{HUGE}',
        '"x":1e99999',
        '"x":{"stream":"b","payload":2}',
        '"code":"x"',
        '"subprotocols":null',
        '"query":1',
        '"reason":[]',
        '"status":"x"',
        '"Stream":"b"',
        '"":1',
    ],
    ids=short,
)
def test_extra_keys(extra: str) -> None:
    """Extra keys are ignored, and in a data frame so are the fields of control frames."""
    frame = codec().parse(f'{{{extra},"stream":"a","payload":1}}')
    assert frame == Data("a", {"type": "websocket.receive", "text": "1"})


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ('{"stream":"a","payload":1,"payload":2}', "2"),
        ('{"payload":1,"stream":"a","payload": [2 ] }', "[2 ]"),
        (f'{{"stream":"a","payload":"{LONE}","payload":2}}', "2"),
        (f'{{"stream":"a","payload":2,"p\\u0061yload":"{LONE}"}}', f'"{LONE}"'),
        ('{"stream":"a","text":"1","text":"2"}', "2"),
        ('{"stream":"a","text":null,"text":"2"}', "2"),
        ('{"stream":"b","stream":"a","payload":1}', "1"),
        ('{"stream":null,"stream":"a","payload":1}', "1"),
    ],
)
def test_duplicate_key(message: str, text: str) -> None:
    """Of duplicate keys the last counts."""
    assert codec().parse(message) == Data("a", {"type": "websocket.receive", "text": text})


@pytest.mark.parametrize(
    "message",
    [
        '{"stream":"a","payload":1,"stream":1}',
        '{"stream":"a","payload":1,"stream":null}',
        '{"stream":"a","payload":1,"stream":""}',
    ],
)
def test_duplicate_key_bad_last(message: str) -> None:
    """A good value before a bad one of the same key does not count."""
    assert refusal(message) == (400, None)


# Test data frames with opaque text.


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ('""', ""),
        ('"<b>\\n</b>"', "<b>\n</b>"),
        ('"{\\"a\\":1}"', '{"a":1}'),
        ('"\\ud83d\\ude00é"', "😀é"),
        ('"\\u0000"', "\0"),
    ],
)
def test_text(literal: str, text: str) -> None:
    """The child receives the string of `text` itself."""
    assert text_of(f'{{"stream":"a","text":{literal}}}') == text


@pytest.mark.parametrize(
    ("literal", "text"),
    [
        ('"\\ud800"', "\ufffd"),
        ('"\\udfff"', "\ufffd"),
        ('"a\\udc00\\ud800b"', "a\ufffd\ufffdb"),
        ('"\\ud83d\\ude00\\ud83d"', "😀\ufffd"),
    ],
)
def test_text_lone_surrogate(literal: str, text: str) -> None:
    """A lone surrogate in `text` reaches the child as U+FFFD."""
    assert text_of(f'{{"stream":"a","text":{literal}}}') == text


@pytest.mark.parametrize(
    "value", ["null", "1", "true", "[]", '{"a":"b"}', HUGE, f'["{LONE}"]'], ids=short
)
def test_text_not_a_string(value: str) -> None:
    """A `text` that is no string is 400, and names the stream."""
    assert refusal(f'{{"stream":"a","text":{value}}}') == (400, "a")


# Test what is no frame.


@pytest.mark.parametrize(
    "message",
    [
        "",
        " ",
        "{",
        "}",
        "hello",
        '{"stream":"a","payload":1',
        '{"stream":"a","payload":1}}',
        '{"stream":"a","payload":1}{"stream":"a","payload":1}',
        '{"stream":"a","payload":1,}',
        '{"stream":"a" "payload":1}',
        '{"stream":"a","payload"}',
        '{"stream":"a","payload":}',
        '{"stream":"a",payload:1}',
        "{'stream':'a','payload':1}",
        '{"stream":"a","payload":01}',
        '{"stream":"a","payload":1.}',
        '{"stream":"a","payload":.5}',
        '{"stream":"a","payload":+1}',
        '{"stream":"a","payload":"\n"}',
        '{"stream":"a","payload":"\\x"}',
        '{"stream":"a","payload":"\\ud80"}',
        '{"stream":"a","payload":1,"x":"\t"}',
        '\ufeff{"stream":"a","payload":1}',
        '{"stream":"a","payload":1}\0',
        '\xa0{"stream":"a","payload":1}',
    ],
)
def test_not_json(message: str) -> None:
    """What is not JSON is 400."""
    assert refusal(message) == (400, None)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
@pytest.mark.parametrize(
    "template",
    [
        '{"stream":"a","payload":%s}',
        '{"stream":"a","payload":[%s]}',
        '{"stream":"a","payload":1,"x":%s}',
        f'{{"stream":"a","payload":[%s,"{LONE}"]}}',
        f'{{"stream":"a","x":"{LONE}","payload":%s}}',
    ],
)
def test_constants_of_javascript(template: str, constant: str) -> None:
    """`NaN` and `Infinity` are not JSON."""
    assert refusal(template % constant) == (400, None)


@pytest.mark.parametrize(
    "message", ["[]", '"a"', "1", "null", "true", f'["{LONE}"]', HUGE], ids=short
)
def test_not_an_object(message: str) -> None:
    """JSON that is no object is 400."""
    assert refusal(message) == (400, None)


@pytest.mark.parametrize(
    "message",
    [
        f'{{"stream":"a","payload":{DEEP}}}',
        f'{{"stream":"a","payload":1,"x":{DEEP}}}',
        f'{{"x":"{LONE}","stream":"a","payload":{DEEP}}}',
        DEEP,
    ],
    ids=short,
)
def test_nested_too_deeply(message: str) -> None:
    """Nesting deeper than the parser takes is 400."""
    assert refusal(message) == (400, None)


@pytest.mark.parametrize(
    "message",
    ['{"stream":"a","payload":"\ud800"}', '{"stream":"a","text":"\udfff"}', "\ud800", "{}\ud800"],
)
def test_not_utf8(message: str) -> None:
    """A message that has a lone surrogate, not the escape of one, is 400."""
    assert refusal(message) == (400, None)


# Test the stream's name.


@pytest.mark.parametrize("content", ['"payload":1', '"text":"x"', '"event":"open"', '"event":"?"'])
@pytest.mark.parametrize(
    "name",
    [
        "",
        '"stream":null,',
        '"stream":1,',
        '"stream":true,',
        '"stream":["a"],',
        '"stream":{},',
        f'"stream":{HUGE},',
        '"stream":"",',
        f'"stream":"{"a" * 256}",',
        f'"stream":"{"é" * 128}",',
        f'"stream":"{"😀" * 64}",',
        f'"stream":"{LONE}",',
        '"stream":"a\\udc00",',
    ],
    ids=short,
)
def test_bad_name(name: str, content: str) -> None:
    """A name that is missing, no string, empty, too long or no UTF-8 is 400 with no stream."""
    assert refusal(f"{{{name}{content}}}") == (400, None)


@pytest.mark.parametrize(
    "name",
    ["a", "a" * 255, "é" * 127 + "a", "😀" * 63 + "abc", "\0", " ", "/", "#", "?"],
    ids=short,
)
def test_good_name(name: str) -> None:
    """A name is any text of 1 to 255 bytes."""
    frame = codec().parse(json.dumps({"stream": name, "payload": 1}))
    assert frame == Data(name, {"type": "websocket.receive", "text": "1"})


# Test that a frame has one content.


@pytest.mark.parametrize(
    "content",
    [
        "",
        ',"x":1',
        ',"payload":1,"text":"x"',
        ',"payload":1,"text":null',
        ',"payload":null,"text":"x"',
        f',"payload":"{LONE}","text":"x"',
        ',"payload":1,"event":"open"',
        ',"text":"x","event":"open"',
        ',"payload":1,"event":"close"',
        ',"text":"x","event":"close"',
        ',"text":null,"event":"close"',
        ',"payload":null,"event":"close"',
        ',"payload":1,"event":null',
        ',"payload":1,"text":"x","event":"open"',
        ',"text":"x","event":"ping"',
        ',"text":null,"event":"ping"',
        ',"payload":1,"text":"x","event":"ping"',
    ],
)
def test_not_one_content(content: str) -> None:
    """A frame with none or two of `payload`, `text` and `event` is 400, and names the stream."""
    assert refusal(f'{{"stream":"a"{content}}}') == (400, "a")


@pytest.mark.parametrize("name", ["", '"stream":null,', '"stream":"",'])
def test_ping_with_text_without_name(name: str) -> None:
    """A ping with a `text` is 400, and names no stream where it has no valid name."""
    assert refusal(f'{{{name}"event":"ping","text":"x"}}') == (400, None)


# Test what errors say.


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("x", "the message is not JSON"),
        ("[1]", "a frame is a JSON object"),
        (f'{{"x":{DEEP}}}', "the message is nested too deeply"),
        ("{}", "the frame has no 'stream'"),
        ('{"stream":1}', "'stream' is a string, not 1"),
        ('{"stream":null,"event":"open"}', "'stream' is a string, not null"),
        ('{"stream":["é"]}', "'stream' is a string, not [\"é\"]"),
        (f'{{"stream":{"1" * 41}}}', f"'stream' is a string, not {'1' * 40}..."),
        (f'{{"stream":{"1" * 40}}}', f"'stream' is a string, not {'1' * 40}"),
        (f'{{"stream":["{"😀" * 99}"]}}', f"'stream' is a string, not [\"{'😀' * 38}..."),
        ('{"stream":""}', "a stream's name has 1 to 255 bytes, not 0"),
        (
            '{"stream":"a"}',
            "a frame has exactly one of 'payload', 'text' and 'event', this one has none",
        ),
        (
            '{"stream":"a","text":"","payload":1}',
            "a frame has exactly one of 'payload', 'text' and 'event', "
            "this one has 'payload' and 'text'",
        ),
        (
            '{"event":"ping","text":""}',
            "a frame has exactly one of 'payload', 'text' and 'event', "
            "this one has 'text' and 'event'",
        ),
        ('{"stream":"a","text":1}', "'text' is a string, not 1"),
        ('{"stream":"a","event":"x"}', "'event' is 'open', 'close' or 'ping', not 'x'"),
        ('{"stream":"a","event":{}}', "'event' is 'open', 'close' or 'ping', not {}"),
        (
            f'{{"stream":"a","event":"{LONE}"}}',
            "'event' is 'open', 'close' or 'ping', not '\\ud800'",
        ),
        (
            '{"stream":"a","event":"open","subprotocols":"v1"}',
            "'subprotocols' is a list of strings, not \"v1\"",
        ),
        (
            '{"stream":"a","event":"open","subprotocols":[""]}',
            "'subprotocols' has an empty string",
        ),
        (
            control_frame("open", subprotocols=["é" * 4000], query="x" * 193),
            "'subprotocols' and 'query' have 8193 bytes, more than 8192",
        ),
        (
            '{"stream":"a","event":"open","query":1}',
            "'query' is a string without lone surrogates, not 1",
        ),
        ('{"stream":"a","event":"open","credit":1}', "'credit' is true or false, not 1"),
        (
            '{"stream":"a","event":"close","code":999}',
            "'code' is an integer from 1000 to 4999, not 999",
        ),
        ('{"stream":"a","event":"close","reason":[]}', "'reason' is a string, not []"),
    ],
    ids=short,
)
def test_what_errors_say(message: str, text: str) -> None:
    """An error names the key, what would be right, and at most 40 characters of what there is."""
    with pytest.raises(MalformedFrame) as caught:
        codec().parse(message)
    assert str(caught.value) == text


@pytest.mark.parametrize("event", ["x" * 5000, "\ud800" * 5000])
def test_what_errors_say_is_bounded(event: str) -> None:
    """However long a value is, what is said of it is short."""
    with pytest.raises(MalformedFrame) as caught:
        codec().parse(json.dumps({"stream": "a", "event": event}))
    assert len(str(caught.value)) < 100


# Test control frames.


@pytest.mark.parametrize(
    "event",
    ["null", "1", "true", "[]", "{}", '""', '"Open"', '"pong"', '"error"', '"credit"', f'"{LONE}"'],
)
def test_unknown_event(event: str) -> None:
    """An unknown event is 400, and names the stream."""
    assert refusal(f'{{"stream":"a","event":{event}}}') == (400, "a")


def test_open() -> None:
    """An `open` offers no subprotocols and has no query where it names none."""
    assert codec().parse('{"stream":"a","event":"open"}') == Open("a", [], None)


@pytest.mark.parametrize("extra", ["1", f'"{LONE}"'])
def test_open_fields(extra: str) -> None:
    """An `open` carries subprotocols and a query."""
    fields = '"event":"open","subprotocols":["v1","é"],"query":"as=\\u00e9"'
    assert codec().parse(f'{{"x":{extra},"stream":"a",{fields}}}') == Open("a", ["v1", "é"], "as=é")


@pytest.mark.parametrize("extra", ["1", f'"{LONE}"'])
@pytest.mark.parametrize(("literal", "credit"), [("true", True), ("false", False)])
def test_open_credit(literal: str, credit: bool, extra: str) -> None:
    """An `open` asks for credit by `true`; `false` is as if it were absent."""
    message = f'{{"x":{extra},"stream":"a","event":"open","credit":{literal}}}'
    assert codec().parse(message) == Open("a", [], None, credit)


def test_open_empty_fields() -> None:
    """An empty query and an empty list of subprotocols are what they are."""
    message = '{"stream":"a","event":"open","subprotocols":[],"query":""}'
    assert codec().parse(message) == Open("a", [], "")


@pytest.mark.parametrize(
    "field",
    [
        '"subprotocols":null',
        '"subprotocols":"v1"',
        '"subprotocols":{"v1":1}',
        '"subprotocols":[1]',
        '"subprotocols":["v1",null]',
        f'"subprotocols":["{LONE}"]',
        '"subprotocols":[""]',
        '"subprotocols":["v1","","v2"]',
        f'"subprotocols":{"[" * 500 + "]" * 500}',
        f'"query":{"[" * 500 + "]" * 500}',
        f'"subprotocols":[{HUGE}]',
        '"query":null',
        '"query":1',
        '"query":["a"]',
        '"query":false',
        f'"query":{HUGE}',
        f'"query":"{LONE}"',
        '"credit":null',
        '"credit":1',
        '"credit":0',
        '"credit":"true"',
        '"credit":[true]',
        f'"credit":{HUGE}',
    ],
    ids=short,
)
def test_open_bad_field(field: str) -> None:
    """A field of an `open` that has the wrong type is 400, and names the stream."""
    assert refusal(f'{{"stream":"a","event":"open",{field}}}') == (400, "a")


@pytest.mark.parametrize(
    ("subprotocols", "query"),
    [
        (["a" * 8192], None),
        ([], "a" * 8192),
        (["é" * 2048] * 2, ""),
        (["a" * 8000, "b" * 92], "é" * 50),
    ],
    ids=short,
)
def test_open_size(subprotocols: list[str], query: str | None) -> None:
    """Subprotocols and query of an `open` have together at most 8192 bytes."""
    fields = {"stream": "a", "event": "open", "subprotocols": subprotocols}
    if query is not None:
        fields["query"] = query
    assert codec().parse(json.dumps(fields)) == Open("a", subprotocols, query)
    message = json.dumps({**fields, "subprotocols": [*subprotocols, "x"]})
    assert refusal(message) == (400, "a")
    message = json.dumps({**fields, "query": (query or "") + "x"}, ensure_ascii=False)
    assert refusal(message) == (400, "a")


def test_open_ignores_fields_of_close() -> None:
    """The fields of a `close` mean nothing in an `open`."""
    message = '{"stream":"a","event":"open","code":"x","reason":1,"subprotocol":1}'
    assert codec().parse(message) == Open("a", [], None)


def test_close() -> None:
    """A `close` has the code 1000 and no reason where it names none."""
    assert codec().parse('{"stream":"a","event":"close"}') == Close("a", 1000, "")


@pytest.mark.parametrize("code", [1000, 1001, 1005, 3000, 4999])
def test_close_code(code: int) -> None:
    """A `close` carries any code from 1000 to 4999."""
    message = f'{{"stream":"a","event":"close","code":{code}}}'
    assert codec().parse(message) == Close("a", code, "")


@pytest.mark.parametrize(
    "code",
    ["999", "5000", "0", "-1000", "null", "true", '"1000"', "1000.0", "1e3", "[]", "9" * 25, HUGE],
    ids=short,
)
@pytest.mark.parametrize("extra", ["1", f'"{LONE}"'])
def test_close_bad_code(code: str, extra: str) -> None:
    """A code that is no integer from 1000 to 4999 is 400, and names the stream."""
    message = f'{{"x":{extra},"stream":"a","event":"close","code":{code}}}'
    assert refusal(message) == (400, "a")


@pytest.mark.parametrize(
    ("literal", "reason"),
    [
        ('""', ""),
        ('"b\\u0079e é"', "bye é"),
        ('"a\\ud800"', "a\ufffd"),
        (f'"{"x" * 999}"', "x" * 999),
    ],
    ids=short,
)
def test_close_reason(literal: str, reason: str) -> None:
    """A `close` carries its reason, lone surrogates as U+FFFD."""
    message = f'{{"stream":"a","event":"close","code":1001,"reason":{literal}}}'
    assert codec().parse(message) == Close("a", 1001, reason)


@pytest.mark.parametrize("reason", ["null", "1", "[]", "{}", "false", HUGE], ids=short)
def test_close_bad_reason(reason: str) -> None:
    """A reason that is no string is 400, and names the stream."""
    assert refusal(f'{{"stream":"a","event":"close","reason":{reason}}}') == (400, "a")


def test_close_ignores_fields_of_open() -> None:
    """The fields of an `open` mean nothing in a `close`."""
    message = '{"stream":"a","event":"close","query":1,"subprotocols":null,"credit":1}'
    assert codec().parse(message) == Close("a", 1000, "")


def test_ping() -> None:
    """A ping needs no payload."""
    assert codec().parse('{"event":"ping"}') == Ping(None)


@pytest.mark.parametrize("payload", ["null", "0", '""', "[ 1, 2 ]", f'"{LONE}"', HUGE], ids=short)
def test_ping_payload(payload: str) -> None:
    """The payload of a ping is any JSON value, kept verbatim."""
    assert codec().parse(f'{{"event":"ping","payload":{payload}}}') == Ping(payload)


@pytest.mark.parametrize(
    "stream", ['"a"', '""', "null", "1", "[]", f'"{LONE}"', f'"{"a" * 256}"', HUGE], ids=short
)
def test_ping_ignores_stream(stream: str) -> None:
    """A stream in a ping is ignored, valid or not."""
    assert codec().parse(f'{{"stream":{stream},"event":"ping","payload":1}}') == Ping("1")


def test_duplicate_event() -> None:
    """Of duplicate events the last counts."""
    message = '{"stream":"a","event":1,"event":"close","event":"open"}'
    assert codec().parse(message) == Open("a", [], None)


@pytest.mark.parametrize(
    ("frame", "attribute"),
    [
        (Data("a", {}), "message"),
        (Open("a", [], None), "query"),
        (Close("a", 1000, ""), "code"),
        (Ping(None), "payload"),
    ],
)
def test_frozen(frame: Any, attribute: str) -> None:
    """A frame does not change."""
    with pytest.raises(AttributeError):
        setattr(frame, attribute, None)


# Test binary messages.


@pytest.mark.parametrize("content", [b"", b"\0", b"\xff\xfe", bytes(range(256))], ids=short)
def test_binary(content: bytes) -> None:
    """A binary message carries its stream's name and the child's bytes."""
    frame = codec().parse_binary(b"\x01a" + content)
    assert frame == Data("a", {"type": "websocket.receive", "bytes": content})


@pytest.mark.parametrize("name", ["é", "a" * 255, "é" * 127 + "a"], ids=short)
def test_binary_name_length(name: str) -> None:
    """The first byte counts the bytes of the name."""
    encoded = name.encode()
    frame = codec().parse_binary(bytes([len(encoded)]) + encoded + b"x")
    assert frame == Data(name, {"type": "websocket.receive", "bytes": b"x"})


@pytest.mark.parametrize(
    "message",
    [b"", b"\0", b"\0a", b"\x01", b"\x02a", b"\xff" + b"a" * 254, b"\x01\xff", b"\x03\xed\xa0\x80"],
    ids=short,
)
def test_binary_malformed(message: bytes) -> None:
    """A binary message without a valid name is 400."""
    assert refusal(message) == (400, None)


# Test the limit.


@pytest.mark.parametrize("text", ["x", "é", "€", "😀"])
def test_size_in_bytes(text: str) -> None:
    """A text message is measured in bytes of UTF-8, and may have as many as the limit."""
    message = f'{{"stream":"a","payload":"{text}"}}'
    size = len(message.encode())
    assert text_of(message, max_frame_size=size) == f'"{text}"'
    assert refusal(message, max_frame_size=size - 1) == (413, None)


def test_size_of_longest_characters() -> None:
    """A message of nothing but characters of four bytes is measured as any."""
    assert refusal("😀" * 26, max_frame_size=103) == (413, None)
    assert refusal("😀" * 26, max_frame_size=104) == (400, None)


def test_size_of_binary() -> None:
    """A binary message may have as many bytes as the limit, its head included."""
    message = b"\x01axyz"
    assert codec(max_frame_size=5).parse_binary(message).message["bytes"] == b"xyz"
    assert refusal(message, max_frame_size=4) == (413, None)


@pytest.mark.parametrize("message", ["hello", "[1,2]", "ééé", "\ud800\ud800\ud800", b"\0\0\0\0\0"])
def test_size_comes_first(message: str | bytes) -> None:
    """A message that is both too large and malformed is 413."""
    assert refusal(message, max_frame_size=2) == (413, None)


def test_size_of_decode() -> None:
    """Decoding a message whole has the same limit."""
    assert codec(max_frame_size=4).decode('"é"')[0] == "é"
    with pytest.raises(FrameTooLarge) as caught:
        codec(max_frame_size=3).decode('"é"')
    assert (caught.value.size, caught.value.limit) == (4, 3)


def test_size_of_decode_lone_surrogates() -> None:
    """A message that cannot be encoded is measured too."""
    with pytest.raises(FrameTooLarge):
        codec(max_frame_size=2).decode("\ud800\ud800\ud800")


@pytest.mark.parametrize(
    ("message", "size"), [('"' + "x" * 20 + '"', 22), ("é" * 11, 22), (b"\x01" * 22, 22)]
)
def test_size_in_the_error(message: str | bytes, size: int) -> None:
    """The error has the message's size and the limit."""
    reader = codec(max_frame_size=21)
    with pytest.raises(FrameTooLarge) as caught:
        reader.parse(message) if isinstance(message, str) else reader.parse_binary(message)
    assert (caught.value.size, caught.value.limit) == (size, 21)


# Test decoding whole.


@pytest.mark.parametrize("value", [None, 1, "é", [1.5, True], {"stream": "a", "x": {}}])
def test_decode(value: Any) -> None:
    """A message is decoded whole, whatever it is."""
    assert codec().decode(json.dumps(value))[0] == value


def test_decode_lone_surrogate() -> None:
    """A lone surrogate escape is decoded to a lone surrogate."""
    assert codec().decode(f'["{LONE}"]')[0] == ["\ud800"]


@pytest.mark.parametrize("message", ["", "hello", "NaN", "[1,]", DEEP], ids=short)
def test_decode_not_json(message: str) -> None:
    """A message that cannot be decoded is 400."""
    with pytest.raises(MalformedFrame) as caught:
        codec().decode(message)
    assert (caught.value.status, caught.value.stream) == (400, None)


# Test what is written.


def test_opened() -> None:
    """The answer to an `open` has the subprotocol or null."""
    assert codec().opened("a", None) == '{"stream":"a","event":"open","subprotocol":null}'
    assert codec().opened("a", "v1") == '{"stream":"a","event":"open","subprotocol":"v1"}'


def test_closed() -> None:
    """A server's `close` has the code and the reason."""
    text = codec().closed("a", 1000, "")
    assert text == '{"stream":"a","event":"close","code":1000,"reason":""}'


def test_closed_code_as_number() -> None:
    """A close code of the enumeration is written as a number."""
    text = codec().closed("a", CloseCode.REFUSED, 'b"ye')
    assert text == '{"stream":"a","event":"close","code":4403,"reason":"b\\"ye"}'


@pytest.mark.parametrize("payload", ["null", "[ 1 ]", f'"{LONE}"'])
def test_pong(payload: str) -> None:
    """A pong has the payload of its ping, verbatim."""
    assert codec().pong(Ping(payload)) == f'{{"event":"pong","payload":{payload}}}'


def test_pong_without_payload() -> None:
    """A pong has no payload where its ping had none."""
    assert codec().pong(Ping(None)) == '{"event":"pong"}'


def test_error() -> None:
    """An error frame has a status, the stream and a text."""
    assert codec().error(UnknownStream("a")) == (
        '{"event":"error","status":404,"stream":"a","payload":{"error":"no such stream"}}'
    )


def test_error_without_stream() -> None:
    """An error frame has no stream where the message had no valid one."""
    assert codec().error(MalformedFrame('no "x"')) == (
        '{"event":"error","status":400,"payload":{"error":"no \\"x\\""}}'
    )


NAMES = ["a", 'a"b', "a\\", "a\n", "é", "😀", '","payload":1,"stream":"b']


@pytest.mark.parametrize("name", NAMES)
def test_written_name(name: str) -> None:
    """A name is escaped wherever it is written."""
    writer = codec()
    texts = [
        writer.opened(name, None),
        writer.closed(name, 1000, ""),
        writer.error(StreamNotOpen(name)),
        writer.envelope(name).text("1"),
        writer.envelope(name).text("x"),
    ]
    assert [json.loads(text)["stream"] for text in texts] == [name] * 5


@pytest.mark.parametrize("text", ['","stream":"b', "\\", "\n", "é"])
def test_written_values(text: str) -> None:
    """A subprotocol, a reason and an error's text are escaped."""
    writer = codec()
    assert json.loads(writer.opened("a", text))["subprotocol"] == text
    assert json.loads(writer.closed("a", 1000, text))["reason"] == text
    assert json.loads(writer.error(MalformedFrame(text)))["payload"] == {"error": text}


@pytest.mark.parametrize("value", ["\ud800", "a\udfff"])
def test_written_lone_surrogate(value: str) -> None:
    """A child's subprotocol or reason that cannot be UTF-8 raises in the child."""
    with pytest.raises(UnicodeEncodeError):
        codec().opened("a", value)
    with pytest.raises(UnicodeEncodeError):
        codec().closed("a", 1000, value)


def test_opened_with_credit() -> None:
    """The answer to an `open` has the credit where it is given, none included."""
    head = '{"stream":"a","event":"open","subprotocol":'
    assert codec().opened("a", None, 100) == head + 'null,"credit":100}'
    assert codec().opened("a", "v1", 0) == head + '"v1","credit":0}'


def test_credit() -> None:
    """A grant has the stream and the number of data frames."""
    assert codec().credit('a"', 50) == '{"stream":"a\\"","event":"credit","credit":50}'


@pytest.mark.parametrize("subprotocol", [1, b"v1", True, ["v1"], False, 0])
def test_opened_bad_subprotocol(subprotocol: Any) -> None:
    """A child's subprotocol that is no string raises in the child."""
    with pytest.raises(TypeError, match=r"^a subprotocol is a string or None, not .") as caught:
        codec().opened("a", subprotocol)
    assert str(caught.value).endswith(f", not {subprotocol!r}")


@pytest.mark.parametrize("code", ["1000", 1000.0, None, [1000]])
def test_closed_bad_code(code: Any) -> None:
    """A child's close code that is no integer raises in the child."""
    with pytest.raises(TypeError) as caught:
        codec().closed("a", code, "")
    assert str(caught.value) == f"a close code is an integer, not {code!r}"


@pytest.mark.parametrize("reason", [b"bye", 1, None])
def test_closed_bad_reason(reason: Any) -> None:
    """A child's reason that is no string raises in the child."""
    with pytest.raises(TypeError) as caught:
        codec().closed("a", 1000, reason)
    assert str(caught.value) == f"a close reason is a string, not {reason!r}"


def test_written_subclasses() -> None:
    """Subclasses of str and int, as a SafeString and an IntEnum are, go out as plain ones."""
    writer = codec()
    texts = [
        writer.opened(Shouted("a"), Shouted("v1")),
        writer.closed("a", CloseCode.REFUSED, Shouted("bye")),
        writer.envelope(Shouted("a")).text(Shouted("[1]")),
        writer.envelope("a").text(Shouted('<b class="x">')),
        codec(manage_envelope=False).envelope("a").text(Shouted("<b>")),
    ]
    assert texts == [
        '{"stream":"a","event":"open","subprotocol":"v1"}',
        '{"stream":"a","event":"close","code":4403,"reason":"bye"}',
        '{"stream":"a","payload":[1]}',
        '{"stream":"a","text":"<b class=\\"x\\">"}',
        "<b>",
    ]
    assert {type(text) for text in texts} == {str}


# Test what a socket closes with.


@pytest.mark.parametrize(
    "codes", [range(1000, 1004), range(1007, 1015), range(3000, 5000)], ids=str
)
def test_sendable(codes: range) -> None:
    """A code of the registry, or of an application, is sent as it is."""
    assert [sendable(code) for code in codes] == list(codes)


@pytest.mark.parametrize("daphne", [False, True])
@pytest.mark.parametrize(
    ("code", "sent"),
    [
        (1000, 1000),
        (1004, 4004),
        (1005, 4005),
        (1006, 4006),
        (1015, 4015),
        (1999, 4999),
        (999, 4000),
        (2000, 4000),
        (2999, 4000),
        (3000, 3000),
        (4999, 4999),
        (5000, 4000),
        (0, 4000),
        (-1, 4000),
        (10**30, 4000),
    ],
)
def test_not_sendable(code: int, sent: int, daphne: bool) -> None:
    """Of other codes, those of protocols are sent plus 3000, and the rest as 4000."""
    assert sendable(code, daphne=daphne) == sent


@pytest.mark.parametrize("code", [*range(1001, 1004), *range(1007, 1015)])
def test_sendable_by_daphne(code: int) -> None:
    """Daphne sends no code of a protocol but 1000."""
    assert sendable(code, daphne=True) == code + 3000


@pytest.mark.parametrize("daphne", [False, True])
@pytest.mark.parametrize("code", CloseCode)
def test_sendable_is_plain(code: CloseCode, daphne: bool) -> None:
    """What is sent is a plain integer, which is all that Daphne takes."""
    assert type(plain_code(code)) is int
    assert plain_code(code) == code
    assert type(sendable(code, daphne=daphne)) is int


@pytest.mark.parametrize("code", ["1000", 1000.0, None])
def test_sendable_bad_code(code: Any) -> None:
    """A code that is no integer can't be sent."""
    with pytest.raises(TypeError, match=r"^a close code is an integer, not "):
        sendable(code)


@pytest.mark.parametrize(
    ("reason", "cut"),
    [
        ("", ""),
        ("x" * 123, "x" * 123),
        ("x" * 124, "x" * 123),
        ("é" * 61 + "x", "é" * 61 + "x"),
        ("é" * 62, "é" * 61),
        ("€" * 42, "€" * 41),
        ("x" + "😀" * 31, "x" + "😀" * 30),
        ("xx" + "😀" * 31, "xx" + "😀" * 30),
    ],
)
def test_cut_reason(reason: str, cut: str) -> None:
    """A reason is cut between characters to the 123 bytes that a close frame can carry."""
    assert cut_reason(reason) == cut
    assert cut_reason(Shouted(reason)) == cut
    assert type(cut_reason(Shouted(reason))) is str


def test_cut_reason_bad() -> None:
    """A reason that is no string, or can't be UTF-8, can't be sent."""
    with pytest.raises(TypeError):
        cut_reason(b"bye")  # type: ignore[arg-type]
    with pytest.raises(UnicodeEncodeError):
        cut_reason("\ud800")


# Test the envelope around what a child sends.


@pytest.mark.parametrize("payload", [*PAYLOADS, " 1\n", "\t[ 1 ] "], ids=short)
def test_envelope_payload(payload: str) -> None:
    """A child's JSON goes out as `payload`, verbatim, in an envelope without spaces."""
    assert codec().envelope("a").text(payload) == f'{{"stream":"a","payload":{payload}}}'


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "hello",
        "<b>é</b>",
        "1 2",
        "1,",
        '"',
        "'a'",
        "\\",
        "NaN",
        "-Infinity",
        f'[NaN,"{LONE}"]',
        '"\n"',
        '1},{"stream":"b","payload":2',
        '1,"stream":"b"',
        '"x","stream":"b"',
        '1}\n{"stream":"b","payload":1',
        '"}',
        "{}{}",
        '{"stream":"b","payload":1}}',
        "\ufeff1",
        "\0",
        DEEP,
        f'["{LONE}",{DEEP}]',
    ],
    ids=short,
)
def test_envelope_text(text: str) -> None:
    """What is not JSON goes out as `text`, and cannot break out of its envelope."""
    wrapped = codec().envelope("a").text(text)
    assert wrapped.startswith('{"stream":"a","text":"')
    pairs = json.JSONDecoder(object_pairs_hook=list).decode(wrapped)
    assert pairs == [("stream", "a"), ("text", text)]


@pytest.mark.parametrize("manage_envelope", [True, False])
@pytest.mark.parametrize("text", ["\ud800", '"\udfff"', f'"{LONE}\ud800"', "[\udc00"])
def test_envelope_lone_surrogate(text: str, manage_envelope: bool) -> None:
    """Text that cannot be UTF-8 raises in the child."""
    with pytest.raises(UnicodeEncodeError):
        codec(manage_envelope=manage_envelope).envelope("a").text(text)


@pytest.mark.parametrize("data", [b"", b"\0", b"1", bytes(range(256))], ids=short)
def test_envelope_bytes(data: bytes) -> None:
    """A child's bytes go out behind the length of the name and the name."""
    assert codec().envelope("é").bytes(data) == b"\x02\xc3\xa9" + data


def test_envelope_bytes_longest_name() -> None:
    """The longest name has the length byte 255."""
    assert codec().envelope("a" * 255).bytes(b"x") == b"\xff" + b"a" * 255 + b"x"


@pytest.mark.parametrize("manage_envelope", [True, False])
@pytest.mark.parametrize("name", ["a", 'é"'])
def test_declared_envelope(name: str, manage_envelope: bool) -> None:
    """The envelope of a declared stream wraps as that of any, and is made once."""
    own = codec(manage_envelope=manage_envelope)
    declared, made = own.declared_envelope(name), own.envelope(name)
    assert own.declared_envelope(name) is declared
    assert [declared.text("1"), declared.text("x")] == [made.text("1"), made.text("x")]
    assert declared.bytes(b"x") == made.bytes(b"x")


def test_declared_envelope_of_each() -> None:
    """Each declared stream has an envelope of its own."""
    own = codec()
    texts = [own.declared_envelope(name).text("1") for name in ("a", "b", "a")]
    assert [json.loads(text)["stream"] for text in texts] == ["a", "b", "a"]


@pytest.mark.parametrize("manage_envelope", [True, False])
def test_envelope_is_small(manage_envelope: bool) -> None:
    """An envelope, of which each stream has one, has no dictionary."""
    assert not hasattr(codec(manage_envelope=manage_envelope).envelope("a"), "__dict__")


# Test other key names.

KEYS = {"stream_key": "s é", "payload_key": "p'", "text_key": "t", "event_key": "e"}


def test_keys_payload() -> None:
    """A data frame is read and written with the keys that are set."""
    assert text_of('{"s é":"a","p\'":[1]}', **KEYS) == "[1]"
    assert codec(**KEYS).envelope("a").text("[1]") == '{"s é":"a","p\'":[1]}'


def test_keys_slow() -> None:
    """A frame with a lone surrogate is read with the keys that are set."""
    assert text_of(f'{{"s é":"a","p\'":"{LONE}"}}', **KEYS) == f'"{LONE}"'
    assert text_of(f'{{"s é":"a","t":"{LONE}"}}', **KEYS) == "\ufffd"
    message = f'{{"s é":"a","e":"close","x":"{LONE}"}}'
    assert codec(**KEYS).parse(message) == Close("a", 1000, "")


def test_keys_text() -> None:
    """Opaque text is read and written with the keys that are set."""
    assert text_of('{"s é":"a","t":"x"}', **KEYS) == "x"
    assert codec(**KEYS).envelope("a").text("x") == '{"s é":"a","t":"x"}'


def test_keys_control() -> None:
    """Control frames have the keys that are set; their other fields keep their names."""
    own = codec(**KEYS)
    message = '{"s é":"a","e":"open","subprotocols":["v"],"query":"q"}'
    assert own.parse(message) == Open("a", ["v"], "q")
    assert own.parse('{"s é":"a","e":"close","code":4000,"reason":"r"}') == Close("a", 4000, "r")
    assert own.opened("a", None) == '{"s é":"a","e":"open","subprotocol":null}'
    assert own.closed("a", 4000, "r") == '{"s é":"a","e":"close","code":4000,"reason":"r"}'


def test_keys_ping() -> None:
    """A ping and its pong have the keys that are set."""
    own = codec(**KEYS)
    assert own.parse('{"e":"ping","p\'":1}') == Ping("1")
    assert own.pong(Ping("1")) == '{"e":"pong","p\'":1}'


def test_keys_error() -> None:
    """An error frame has the keys that are set; "status" and "error" keep their names."""
    assert codec(**KEYS).error(UnknownStream("a")) == (
        '{"e":"error","status":404,"s é":"a","p\'":{"error":"no such stream"}}'
    )


@pytest.mark.parametrize(
    ("message", "stream"),
    [('{"stream":"a","payload":1}', None), ('{"s é":"a","payload":1}', "a")],
)
def test_keys_replaced(message: str, stream: str | None) -> None:
    """A default key means nothing where another is set."""
    assert refusal(message, **KEYS) == (400, stream)


# Test MANAGE_ENVELOPE = False.


@pytest.mark.parametrize(
    "message",
    [
        '{"stream":"a","payload":1}',
        ' { "x":1, "payload" : [ 1 ], "stream":"a" }\n',
        '{"stream":"a","text":"x"}',
        f'{{"stream":"a","text":"{LONE}"}}',
        f'{{"stream":"a","payload":"{LONE}"}}',
    ],
)
def test_unmanaged_text(message: str) -> None:
    """A child receives the whole text message verbatim."""
    frame = codec(manage_envelope=False).parse(message)
    assert frame == Data("a", {"type": "websocket.receive", "text": message})


def test_unmanaged_binary() -> None:
    """A child receives the whole binary message verbatim."""
    frame = codec(manage_envelope=False).parse_binary(b"\x01axyz")
    assert frame == Data("a", {"type": "websocket.receive", "bytes": b"\x01axyz"})


@pytest.mark.parametrize("text", ["", "hello", "é", '{"stream":"b","payload":1}'])
def test_unmanaged_child_text(text: str) -> None:
    """What a child sends as text goes out verbatim."""
    assert codec(manage_envelope=False).envelope("a").text(text) == text


@pytest.mark.parametrize("data", [b"", b"\x01bxyz"])
def test_unmanaged_child_bytes(data: bytes) -> None:
    """What a child sends as bytes goes out verbatim."""
    assert codec(manage_envelope=False).envelope("a").bytes(data) == data


def test_unmanaged_control() -> None:
    """Control frames stay the demultiplexer's."""
    own = codec(manage_envelope=False)
    assert own.parse('{"stream":"a","event":"open"}') == Open("a", [], None)
    assert own.parse('{"event":"ping","payload":1}') == Ping("1")
    assert own.closed("a", 1000, "") == codec().closed("a", 1000, "")


@pytest.mark.parametrize("content", ['"x":1', '"payload":1,"text":"x"', '"text":1', '"event":"x"'])
def test_unmanaged_malformed(content: str) -> None:
    """A message that is no frame is 400 there too."""
    assert refusal(f'{{"stream":"a",{content}}}', manage_envelope=False) == (400, "a")


# Test the constants.


def test_constants() -> None:
    """The constants of the protocol are those of its document."""
    assert SUBPROTOCOL == "channels-demultiplexer.v1"
    fields = ("subprotocols", "subprotocol", "query", "credit", "code", "reason", "status")
    assert fields == CONTROL_FIELDS


def test_close_codes() -> None:
    """The close codes are those of the protocol and of RFC 6455."""
    assert {code.name: code.value for code in CloseCode} == {
        "NORMAL": 1000,
        "NO_STATUS": 1005,
        "ABNORMAL": 1006,
        "INTERNAL_ERROR": 1011,
        "TRY_AGAIN_LATER": 1013,
        "REFUSED": 4403,
    }


def test_bytes_are_no_text_of_a_child():
    """Bytes that a child sends as text raise in the child, as a server would."""
    with pytest.raises(TypeError):
        codec().envelope("a").text(b"1")


# Test what has been decoded.


@pytest.mark.parametrize("payload", [r'"\ud800"', '"é"', r'"\n"', "[1, 1e0]"])
@pytest.mark.parametrize("more", ["", "x" * 9999])
def test_parse_what_is_decoded(payload: str, more: str) -> None:
    """A message that has been decoded is parsed as any other."""
    reader = codec()
    texts = [
        f'{{"x":"{more}","stream":"a","payload":{payload}}}',
        rf'{{"x":"{more}","stream":"a","text":"\ud800é"}}',
        rf'{{"x":"{more}","stream":"a","event":"close","reason":"\ud800é"}}',
    ]
    for text in texts:
        _, given = reader.decode(text)
        assert reader.parse(text, given) == reader.parse(text)


def test_decode_no_utf8() -> None:
    """A lone surrogate, not the escape of one, is refused before anything is decoded."""
    with pytest.raises(MalformedFrame, match="UTF-8"):
        codec().decode('"\ud800"')
