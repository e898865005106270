"""What can be wrong with a frame: its status, its stream, its text."""

from __future__ import annotations

import pytest

from channels_demultiplexer.exceptions import (
    FrameError,
    FrameTooLarge,
    InboxFull,
    MalformedFrame,
    StreamNotOpen,
    TooManyStreams,
    UnknownStream,
)
from channels_demultiplexer.frames import Codec
from channels_demultiplexer.status import StatusCodes

CODEC = Codec(
    stream_key="stream",
    payload_key="payload",
    text_key="text",
    event_key="event",
    manage_envelope=True,
    max_frame_size=1_000_000,
)
OWN_KEYS = Codec(
    stream_key="ströam",
    payload_key="p",
    text_key="t",
    event_key="e'",
    manage_envelope=True,
    max_frame_size=1_000_000,
)
DEEP = "[" * 100_000 + "]" * 100_000

ERRORS = [
    (MalformedFrame("because"), 400, None, "because"),
    (MalformedFrame("because", "a"), 400, "a", "because"),
    (UnknownStream("a"), 404, "a", "no such stream"),
    (StreamNotOpen("a"), 409, "a", "the stream is not open: send an open event first"),
    (StreamNotOpen(), 409, None, "the stream is not open: send an open event first"),
    (FrameTooLarge(4, 3), 413, None, "message of 4 bytes exceeds the limit of 3 bytes"),
    (
        TooManyStreams("a", 100),
        429,
        "a",
        "the connection has its maximum of 100 streams open, or too many that are closing: "
        "close one, or wait",
    ),
    (
        InboxFull("a"),
        429,
        "a",
        "too much waits already, for the stream or the connection: send this frame later",
    ),
]

NOT_JSON = "the message is not JSON"
NOT_AN_OBJECT = "a frame is a JSON object"
NO_NAME = "the frame has no 'stream'"
ONE_OF = "a frame has exactly one of 'payload', 'text' and 'event', this one has"
CODE = "'code' is an integer from 1000 to 4999, not"
QUERY = "'query' is a string without lone surrogates, not"
BINARY = (
    "a binary message is one byte with the length of the stream's name, 1 to 255, the name, "
    "and the bytes for the stream"
)

MALFORMED = [
    ("hello", NOT_JSON),
    ('{"stream":"a","payload":NaN}', NOT_JSON),
    (f'{{"x":{DEEP}}}', "the message is nested too deeply"),
    (rf'{{"x":"\ud800","y":{DEEP}}}', NOT_JSON),
    ("\ud800", "the message is not UTF-8"),
    ("[]", NOT_AN_OBJECT),
    (rf'["\ud800",{DEEP}]', NOT_AN_OBJECT),
    ("{}", NO_NAME),
    ('{"event":"open"}', NO_NAME),
    ('{"stream":1,"payload":1}', "'stream' is a string, not 1"),
    ('{"stream":"","payload":1}', "a stream's name has 1 to 255 bytes, not 0"),
    (f'{{"stream":"{"é" * 128}","event":"x"}}', "a stream's name has 1 to 255 bytes, not 256"),
    (r'{"stream":"\ud800","text":"x"}', "the stream's name has a lone surrogate"),
    ('{"stream":"a"}', f"{ONE_OF} none"),
    ('{"stream":"a","payload":1,"text":"x"}', f"{ONE_OF} 'payload' and 'text'"),
    ('{"stream":"a","payload":1,"event":"open"}', f"{ONE_OF} 'payload' and 'event'"),
    ('{"event":"ping","text":"x"}', f"{ONE_OF} 'text' and 'event'"),
    ('{"stream":"a","text":1}', "'text' is a string, not 1"),
    ('{"stream":"a","event":"pong"}', "'event' is 'open', 'close' or 'ping', not 'pong'"),
    (
        '{"stream":"a","event":"open","subprotocols":1}',
        "'subprotocols' is a list of strings, not 1",
    ),
    ('{"stream":"a","event":"open","query":1}', f"{QUERY} 1"),
    (r'{"stream":"a","event":"open","query":"\ud800"}', rf'{QUERY} "\ud800"'),
    ('{"stream":"a","event":"close","code":999}', f"{CODE} 999"),
    ('{"stream":"a","event":"close","code":null}', f"{CODE} null"),
    ('{"stream":"a","event":"close","reason":1}', "'reason' is a string, not 1"),
]
MALFORMED_WITH_OWN_KEYS = [
    ("{}", r"the frame has no 'str\xf6am'"),
    ('{"ströam":"a"}', "a frame has exactly one of 'p', 't' and \"e'\", this one has none"),
    ('{"ströam":"a","t":1}', "'t' is a string, not 1"),
    ('{"ströam":"a","e\'":1}', "\"e'\" is 'open', 'close' or 'ping', not 1"),
]
MALFORMED_BINARY = [
    (b"", BINARY),
    (b"\0a", BINARY),
    (b"\x02a", BINARY),
    (b"\x01\xff", "the stream's name is not UTF-8"),
]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


@pytest.mark.parametrize(("error", "status", "stream", "text"), ERRORS)
def test_error(error: FrameError, status: int, stream: str | None, text: str) -> None:
    """An error has a status, a stream where there is one, and a text."""
    assert (error.status, error.stream, str(error)) == (status, stream, text)


@pytest.mark.parametrize("error", [error for error, *_ in ERRORS])
def test_error_is_a_value_error(error: FrameError) -> None:
    """Every error is a FrameError, and that a ValueError, with one of the status codes."""
    assert isinstance(error, FrameError)
    assert isinstance(error, ValueError)
    assert isinstance(error.status, StatusCodes)


def test_frame_error() -> None:
    """An error of a subclass's own is 400 if it says nothing else."""
    error = FrameError("a")
    assert (error.status, error.stream) == (400, "a")
    assert FrameError().stream is None
    assert str(FrameError()) == "the frame could not be delivered"


def test_error_facts() -> None:
    """The errors about limits have the numbers."""
    assert TooManyStreams("a", 5).limit == 5
    assert (FrameTooLarge(4, 3).size, FrameTooLarge(4, 3).limit) == (4, 3)
    assert MalformedFrame("because").reason == "because"


def reason(codec: Codec, message: str | bytes) -> str:
    """Return the text of the error that `message` makes."""
    with pytest.raises(MalformedFrame) as caught:
        codec.parse(message) if isinstance(message, str) else codec.parse_binary(message)
    return str(caught.value)


@pytest.mark.parametrize(
    ("message", "text"),
    [*MALFORMED, *MALFORMED_BINARY],
    ids=lambda value: ascii(value)[:40],
)
def test_malformed(message: str | bytes, text: str) -> None:
    """What is wrong with a message is told by what would be right."""
    assert reason(CODEC, message) == text


@pytest.mark.parametrize(("message", "text"), MALFORMED_WITH_OWN_KEYS)
def test_malformed_with_own_keys(message: str, text: str) -> None:
    """What is wrong is told with the keys that are set."""
    assert reason(OWN_KEYS, message) == text


def test_decode() -> None:
    """A message that cannot be decoded whole is told so."""
    with pytest.raises(MalformedFrame, match=r"^the message is not JSON$"):
        CODEC.decode("hello")
