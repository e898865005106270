"""The socket: frames through it, what a subclass may override, and how it is declared."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
from typing import Any

import pytest
from channels.exceptions import AcceptConnection, DenyConnection
from channels.generic.websocket import AsyncWebsocketConsumer
from channels.layers import InMemoryChannelLayer, channel_layers, get_channel_layer
from channels.routing import URLRouter
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from django.urls import path
from django.utils.safestring import SafeString, mark_safe

from channels_demultiplexer.close_codes import CloseCode
from channels_demultiplexer.conf import SETTINGS
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer
from channels_demultiplexer.exceptions import StreamNotOpen

from .children import (
    Echo,
    Echoing,
    JsonEcho,
    Puppet,
    SyncEcho,
    SyncJsonEcho,
    Tell,
    bye,
    plain_echo,
    returning,
    text,
)
from .driver import Client, binary, connected, demultiplexer, serving, settled, until, within

pytestmark = pytest.mark.usefixtures("database_checks")

ECHOES = pytest.mark.parametrize(
    "echo", [Echo, SyncEcho, plain_echo, Echo.as_asgi(), Echoing(plain_echo)]
)


# Data frames.


@ECHOES
@pytest.mark.parametrize(
    "payload", ['{"a":1}', "null", "0", '""', "[]", "false", " 1 ", r'"é"', '{"a": 1.50, "a":2}']
)
async def test_payload_goes_through_verbatim(echo: Any, payload: str) -> None:
    """A payload reaches the child as it was written, and so does what the child sends."""
    async with connected({"a": echo}) as client:
        client.send_text(f'{{ "payload": {payload}, "stream": "a", "more": 1 }}')
        text = payload.strip()
        await client.expect_text(f'{{"stream":"a","payload":{text}}}')


@ECHOES
@pytest.mark.parametrize("content", ["<div>", "", "NaN", "1 2", "é€😀", '"', "\x00"])
async def test_text_goes_through_as_text(echo: Any, content: str) -> None:
    """Opaque text that is not JSON reaches the child, and comes back, as text."""
    async with connected({"a": echo}) as client:
        client.send(stream="a", text=content)
        await client.expect_frame(stream="a", text=content)


async def test_text_that_is_json_comes_back_as_payload() -> None:
    """What a child sends goes out as payload where it is JSON, whatever it has received."""
    async with connected({"a": Echo}) as client:
        client.send(stream="a", text=' {"a": 1}\n')
        await client.expect_text('{"stream":"a","payload": {"a": 1}\n}')


@ECHOES
@pytest.mark.parametrize("data", [b"", b"\x00\xff", b'{"stream":"b"}'])
async def test_bytes_go_through(echo: Any, data: bytes) -> None:
    """A binary message carries bytes both ways."""
    async with connected({"ä": echo}) as client:
        client.send_bytes(binary("ä", data))
        await client.expect_bytes(binary("ä", data))


async def test_binary_message_is_a_data_frame() -> None:
    """A binary message for an unknown or closed stream is answered as a data frame."""
    async with connected({"a": Echo, "b": Echo}) as client:
        client.send_bytes(binary("x", b""))
        await client.expect_error(404, "x")
        client.close("a")
        await client.expect_ended("a", 1000)
        client.send_bytes(binary("a", b""))
        await client.expect_error(409, "a")


@pytest.mark.parametrize("echo", [JsonEcho, SyncJsonEcho])
async def test_json_consumers(echo: Any) -> None:
    """The JSON consumers of Channels work as streams."""
    async with connected({"a": echo}) as client:
        client.data("a", {"é": [1]})
        await client.expect_frame(stream="a", payload={"é": [1]})


async def test_duplicate_key() -> None:
    """Of duplicate keys the last counts."""
    async with connected({"a": Echo, "b": Echo}) as client:
        client.send_text('{"stream":"b","payload":1,"stream":"a","payload":2}')
        await client.expect_text('{"stream":"a","payload":2}')


async def test_lone_surrogate_escapes() -> None:
    """Lone surrogate escapes are valid JSON both ways, but in `text` become U+FFFD."""
    async with connected({"a": Echo}) as client:
        client.send_text(r'{"stream":"a","payload":"\ud800"}')
        await client.expect_text(r'{"stream":"a","payload":"\ud800"}')
        client.send_text(r'{"stream":"a","text":"<\ud800"}')
        await client.expect_frame(stream="a", text="<\ufffd")


BREAKOUTS = [
    '1},{"stream":"b","payload":2',
    '1,"stream":"b"',
    '"',
    "}",
    '\n{"event":"close"}{',
    '"\\u0022,"stream":"b"',
]


@pytest.mark.parametrize("content", BREAKOUTS)
async def test_child_cannot_break_out_of_its_envelope(content: str) -> None:
    """What a child sends is its own stream's, as text where it is not one JSON value."""
    async with connected({"a": Echo}) as client:
        client.send(stream="a", text=content)
        await client.expect_frame(stream="a", text=content)


async def test_child_that_plays_an_envelope() -> None:
    """A child that sends a whole frame of another stream sends a payload of its own."""
    frame = '{"stream":"b","event":"close","code":1000,"reason":""}'
    async with connected({"a": Echo}) as client:
        client.send(stream="a", text=frame)
        await client.expect_text(f'{{"stream":"a","payload":{frame}}}')


async def test_deep_nesting() -> None:
    """Nesting deeper than the parser takes is 400, and `text` where a child sends it."""
    deep = "[" * 100_000 + "]" * 100_000
    async with connected({"a": Echo}) as client:
        client.send_text(f'{{"stream":"a","payload":{deep}}}')
        await client.expect_error(400)
        client.send(stream="a", text=deep)
        await client.expect_frame(stream="a", text=deep)


async def test_order_within_a_stream() -> None:
    """Texts and bytes of a stream keep their order both ways."""
    async with connected({"a": Echo}) as client:
        for number in range(20):
            client.data("a", number)
            client.send_bytes(binary("a", bytes([number])))
        for number in range(20):
            await client.expect_frame(stream="a", payload=number)
            await client.expect_bytes(binary("a", bytes([number])))


async def test_streams_do_not_wait_for_each_other() -> None:
    """A stream whose child takes nothing holds up no other."""
    async with connected({"stuck": Puppet(), "a": Echo}) as client:
        client.data("stuck", 1)
        client.data("a", 2)
        await client.expect_frame(stream="a", payload=2)


@pytest.mark.parametrize("texts", [("1", "<"), ("x", "{}")])
async def test_without_envelope(texts: tuple[str, str]) -> None:
    """Without `manage_envelope` children get whole messages, and what they send goes verbatim."""
    puppet = Puppet()
    async with connected({"a": puppet}, manage_envelope=False) as client:
        life = await puppet.life()
        await life.accept()
        message = '{"payload": 1, "stream": "a"}'
        client.send_text(message)
        assert await life.receive() == text(message)
        client.send_bytes(binary("a", b"1"))
        assert await life.receive() == {"type": "websocket.receive", "bytes": b"\x01a1"}
        for content in texts:
            await life.send_text(content)
            await client.expect_text(content)
        await life.send({"type": "websocket.send", "bytes": b"2"})
        await client.expect_bytes(b"2")


async def test_control_frames_without_envelope() -> None:
    """Without `manage_envelope` control frames are still the demultiplexer's."""
    async with connected({"a": Echo}, manage_envelope=False) as client:
        client.open("a")
        await client.expect_opened("a")
        client.close("a", code=3000)
        await client.expect_ended("a", 3000)


# Control frames.


@pytest.mark.parametrize("payload", ["1", "null", '{"a": 1}'])
async def test_ping(payload: str) -> None:
    """A ping is answered by a pong with the same payload."""
    async with connected({"a": Echo}) as client:
        client.send_text(f'{{"event":"ping","payload":{payload}}}')
        await client.expect_text(f'{{"event":"pong","payload":{payload}}}')


@pytest.mark.parametrize("stream", ["a", "", 3, None, "x" * 300])
async def test_ping_ignores_a_stream(stream: Any) -> None:
    """A ping without payload gets a pong without; a stream in it is ignored."""
    async with connected({"a": Echo}) as client:
        client.send(event="ping", stream=stream)
        await client.expect_text('{"event":"pong"}')


async def test_ping_while_children_are_busy() -> None:
    """A ping is answered while no child takes anything."""
    async with connected({"a": Puppet(), "b": Puppet()}) as client:
        client.data("a", 1)
        client.data("b", 1)
        await client.expect_silence()


async def test_open_of_an_open_stream() -> None:
    """An `open` for an open stream asks for the confirmation, each time."""
    async with connected({"a": Echo}) as client:
        for _ in range(2):
            client.open("a")
            await client.expect_text('{"stream":"a","event":"open","subprotocol":null}')


async def test_eager_stream_opens_unasked_and_silently() -> None:
    """An eager stream opens without a frame either way."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        await (await puppet.life()).accept()
        await client.expect_silence()


async def test_eager_streams_wait_for_the_socket() -> None:
    """An eager stream opens when the server has taken the socket's accept, and not before."""
    puppet, taken = Puppet(), asyncio.Event()
    async with Client(demultiplexer({"a": puppet})) as client:
        client.hook = lambda message: taken.wait()
        client.feed({"type": "websocket.connect"})
        await settled()
        assert client.unheard == 1
        assert not puppet.lives
        client.hook = None
        taken.set()
        await puppet.life()
        assert (await client.receive())["type"] == "websocket.accept"


async def test_close() -> None:
    """A `close` is acknowledged with its own code and reason."""
    async with connected({"a": Echo}) as client:
        client.close("a", code=3456, reason="é")
        await client.expect_text('{"stream":"a","event":"close","code":3456,"reason":"é"}')


# Error frames.


@pytest.mark.parametrize(
    ("message", "stream"),
    [
        ("", None),
        ("x", None),
        ("[1]", None),
        ('"a"', None),
        ("{}", None),
        ('{"stream":1,"payload":1}', None),
        ('{"stream":"","payload":1}', None),
        ('{"stream":"a"}', "a"),
        ('{"stream":"a","payload":1,"text":"1"}', "a"),
        ('{"stream":"a","payload":1,"event":"open"}', "a"),
        ('{"stream":"a","text":1}', "a"),
        ('{"stream":"a","text":null}', "a"),
        ('{"stream":"a","event":"reopen"}', "a"),
        ('{"stream":"a","event":null}', "a"),
        ('{"stream":"a","event":"close","code":999}', "a"),
        ('{"stream":"a","event":"close","code":5000}', "a"),
        ('{"stream":"a","event":"close","code":null}', "a"),
        ('{"stream":"a","event":"close","reason":1}', "a"),
        ('{"stream":"a","event":"open","query":null}', "a"),
        (r'{"stream":"a","event":"open","query":"\ud800"}', "a"),
        (r'{"stream":"\ud800","payload":1}', None),
        ('{"stream":"a","event":"open","subprotocols":"x"}', "a"),
        ('{"stream":"unknown","event":"open","subprotocols":[1]}', "unknown"),
        ('{"stream":"unknown","payload":NaN}', None),
    ],
)
async def test_malformed_message(message: str, stream: str | None) -> None:
    """A malformed message is answered with 400, and everything goes on."""
    async with connected({"a": Echo}) as client:
        client.send_text(message)
        await client.expect_error(400, stream)
        client.data("a", 1)
        await client.expect_frame(stream="a", payload=1)


@pytest.mark.parametrize("data", [b"", b"\x00", b"\x02a", b"\x01\xff"])
async def test_malformed_binary_message(data: bytes) -> None:
    """A malformed binary message is answered with 400."""
    async with connected({"a": Echo}) as client:
        client.send_bytes(data)
        await client.expect_error(400)


async def test_error_frame_to_the_letter() -> None:
    """An error frame has the status, the stream and a text."""
    async with connected({"a": Echo}) as client:
        client.data("é", 1)
        await client.expect_text(
            '{"event":"error","status":404,"stream":"é","payload":{"error":"no such stream"}}'
        )


@pytest.mark.parametrize("frame", [{"payload": 1}, {"event": "open"}, {"event": "close"}])
async def test_unknown_stream(frame: dict[str, Any]) -> None:
    """Any frame for a name that nothing matches is answered with 404."""
    async with connected({"a": Echo}) as client:
        client.send(stream="b", **frame)
        await client.expect_error(404, "b")


@pytest.mark.parametrize("frame", [{"payload": 1}, {"event": "close"}])
async def test_closed_stream(frame: dict[str, Any]) -> None:
    """A data frame or a `close` for a stream that has ended is answered with 409."""
    async with connected({"a": Echo, "b": Echo}) as client:
        client.close("a")
        await client.expect_ended("a", 1000)
        client.send(stream="a", **frame)
        await client.expect_error(409, "a")


@pytest.mark.parametrize("overrides", [False, True])
async def test_size_limit(overrides: bool) -> None:
    """A message of more bytes than the limit is answered with 413; one of as many is not."""

    class Overriding(WebsocketDemultiplexer):
        async def receive_json(self, content: Any) -> None:
            await super().receive_json(content)

    base = Overriding if overrides else WebsocketDemultiplexer
    message = '{"stream":"a","text":"é"}'
    size = len(message.encode())
    application = base.as_asgi(consumer_classes={"a": Echo}, max_frame_size=size)
    async with serving(application) as client:
        client.send_text(message)
        await client.expect_frame(stream="a", text="é")
        client.send_text(message + " ")
        await client.expect_error(413)
        client.send_text("é" * size)
        await client.expect_error(413)
        client.send_bytes(binary("a", b"x" * (size - 2)))
        await client.expect_bytes(binary("a", b"x" * (size - 2)))
        client.send_bytes(binary("x", b"x" * (size - 1)))
        await client.expect_error(413)


async def test_malformed_comes_before_unknown() -> None:
    """400 comes before 404."""
    async with connected({"a": Echo}) as client:
        client.send(stream="b", event="close", code=1)
        await client.expect_error(400, "b")


# What a subclass overrides.


async def test_connect_may_refuse() -> None:
    """A socket that connect() refuses is closed with its code, and starts no child."""

    class Refusing(WebsocketDemultiplexer):
        async def connect(self) -> None:
            await self.close(4401, "who are you")

    puppet = Puppet()
    async with Client(Refusing.as_asgi(consumer_classes={"a": puppet})) as client:
        client.feed({"type": "websocket.connect"})
        await client.expect_closed(4401, "who are you")
    assert not puppet.lives


@pytest.mark.parametrize("decision", [AcceptConnection, DenyConnection])
async def test_connect_may_raise_its_decision(decision: type[Exception]) -> None:
    """AcceptConnection and DenyConnection work in connect() as in any consumer."""

    class Deciding(WebsocketDemultiplexer):
        async def connect(self) -> None:
            raise decision

    async with Client(Deciding.as_asgi(consumer_classes={"a": Echo})) as client:
        client.feed({"type": "websocket.connect"})
        if decision is DenyConnection:
            await client.expect_closed(1000)
        else:
            assert (await client.receive())["type"] == "websocket.accept"
            client.data("a", 1)
            await client.expect_frame(stream="a", payload=1)


async def test_connect_that_refuses_and_then_accepts() -> None:
    """An accept() after a close() starts no child, which nothing would end."""

    class Confused(WebsocketDemultiplexer):
        async def connect(self) -> None:
            await self.close()
            await self.accept()

    puppet = Puppet()
    async with Client(Confused.as_asgi(consumer_classes={"a": puppet})) as client:
        client.feed({"type": "websocket.connect"})
        assert (await client.receive())["type"] == "websocket.close"
        assert (await client.receive())["type"] == "websocket.accept"
    assert not puppet.lives


async def test_children_wait_for_the_socket() -> None:
    """Eager streams open when the socket has been accepted, not before."""
    puppet = Puppet()
    seen = []

    class Slow(WebsocketDemultiplexer):
        async def connect(self) -> None:
            await settled()
            seen.append(puppet.lives)
            await self.accept()

    async with serving(Slow.as_asgi(consumer_classes={"a": puppet})):
        await puppet.life()
    assert seen == [0]


async def test_accept_with_headers_and_subprotocol() -> None:
    """connect() may accept with a subprotocol and headers of its own."""

    class Own(WebsocketDemultiplexer):
        async def connect(self) -> None:
            await self.accept("mine", headers=[(b"a", b"b")])

    async with Client(
        Own.as_asgi(consumer_classes={"a": Echo}),
        subprotocols=["channels-demultiplexer.v1", "mine"],
    ) as client:
        assert await client.connect() == {
            "type": "websocket.accept",
            "subprotocol": "mine",
            "headers": [(b"a", b"b")],
        }


@pytest.mark.parametrize(
    ("offered", "selected"),
    [
        (["x", "channels-demultiplexer.v1"], "channels-demultiplexer.v1"),
        (["channels-demultiplexer.v2", "x"], None),
        ([], None),
    ],
)
async def test_protocol_is_selected(offered: list[str], selected: str | None) -> None:
    """The protocol's own subprotocol is selected where the client offers it."""
    async with Client(demultiplexer({"a": Echo}), subprotocols=offered) as client:
        assert await client.connect() == {"type": "websocket.accept", "subprotocol": selected}


async def test_scope_without_subprotocols() -> None:
    """A server may leave out the scope's subprotocols."""
    async with Client(demultiplexer({"a": Echo})) as client:
        del client.scope["subprotocols"]
        assert (await client.connect())["subprotocol"] is None


async def test_unchanged_class_uses_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A class that overrides nothing connects and disconnects without Channels' dispatch."""
    dispatched = []

    async def dispatch(self: Any, message: dict[str, Any]) -> None:
        dispatched.append(message)

    application = demultiplexer({"a": plain_echo})
    monkeypatch.setattr(WebsocketDemultiplexer, "dispatch", dispatch)
    async with serving(application) as client:
        client.data("a", 1)
        await client.expect_frame(stream="a", payload=1)
    assert not dispatched


@pytest.mark.parametrize(
    "hook", ["connect", "disconnect", "websocket_connect", "websocket_disconnect", "dispatch"]
)
async def test_each_hook_of_channels_is_called(hook: str) -> None:
    """Whatever method of the life of a consumer a subclass overrides is called."""
    called = []

    async def method(self: Any, *args: Any) -> None:
        called.append(hook)
        await getattr(WebsocketDemultiplexer, hook)(self, *args)

    async with serving(demultiplexer({"a": plain_echo}, **{hook: method})) as client:
        client.data("a", 1)
        await client.expect_frame(stream="a", payload=1)
    assert set(called) == {hook}


async def test_accept_of_a_subclass() -> None:
    """A subclass may override accept() to open the socket in its own way."""

    class Own(WebsocketDemultiplexer):
        async def accept(self, subprotocol: Any = None, headers: Any = None) -> None:
            await super().accept("own", headers)

    async with Client(Own.as_asgi(consumer_classes={"a": Echo})) as client:
        assert (await client.connect())["subprotocol"] == "own"
        client.data("a", 1)
        await client.expect_frame(stream="a", payload=1)


@pytest.mark.parametrize("groups", [["x"], []])
async def test_groups_of_an_instance(groups: list[str], layer: InMemoryChannelLayer) -> None:
    """Groups may be set for an instance, as __init__ of Channels allows."""

    class Own(WebsocketDemultiplexer):
        def __init__(self, groups: list[str]) -> None:
            self.groups = groups
            super().__init__()

    async with serving(Own.as_asgi(consumer_classes={"a": Echo}, groups=groups)):
        assert list(layer.groups) == groups
    assert not layer.groups


async def test_disconnect_gets_the_code() -> None:
    """disconnect() of a subclass is called with the socket's code, once."""
    codes = []

    class Leaving(WebsocketDemultiplexer):
        async def disconnect(self, code: int) -> None:
            codes.append(code)

    async with serving(Leaving.as_asgi(consumer_classes={"a": Echo})) as client:
        client.disconnect(1001)
    assert codes == [1001]


class Listening(WebsocketDemultiplexer):
    """Notes what receive_json is called with, and passes it on."""

    consumer_classes = {"a": Echo}

    def __init__(self, seen: list[Any]) -> None:
        super().__init__()
        self.seen = seen

    async def receive_json(self, content: Any) -> None:
        self.seen.append(content)
        await super().receive_json(content)


async def test_receive_json_sees_each_text_frame() -> None:
    """An overridden receive_json gets each decoded text frame, control frames included."""
    seen: list[Any] = []
    async with serving(Listening.as_asgi(seen=seen)) as client:
        client.data("a", [1])
        await client.expect_frame(stream="a", payload=[1])
        client.open("a")
        await client.expect_opened("a")
        client.send_bytes(binary("a", b"1"))
        await client.expect_bytes(binary("a", b"1"))
        client.send_text('{"event":"ping"}')
        await client.expect_frame(event="pong")
    assert seen == [
        {"stream": "a", "payload": [1]},
        {"stream": "a", "event": "open"},
        {"event": "ping"},
    ]


@pytest.mark.parametrize("message", ["", "x", "NaN", "[" * 100_000])
async def test_receive_json_sees_no_malformed_text(message: str) -> None:
    """What is not JSON is answered with 400, without receive_json."""
    seen: list[Any] = []
    async with serving(Listening.as_asgi(seen=seen)) as client:
        client.send_text(message)
        await client.expect_error(400)
    assert seen == []


@pytest.mark.parametrize(
    "payload", ['{"a": 1.50,  "a" :1e2}', r'"\ud800é"', "1" * 5000, " 1 ", "1.0"]
)
async def test_receive_json_that_passes_on_delivers_the_original(payload: str) -> None:
    """An unchanged object is delivered as the text that the client wrote."""
    async with serving(Listening.as_asgi(seen=[])) as client:
        client.send_text(f'{{"stream":"a","payload":{payload}}}')
        await client.expect_text(f'{{"stream":"a","payload":{payload.strip()}}}')


@pytest.mark.parametrize(
    ("before", "after"), [("1", True), ("1", 1.0), ("[1]", [1, 2]), ("0", "é")]
)
async def test_receive_json_that_changes_the_frame(before: str, after: Any) -> None:
    """A changed object is encoded anew, also where Python calls the two equal."""

    class Changing(WebsocketDemultiplexer):
        async def receive_json(self, content: Any) -> None:
            content["payload"] = after
            await super().receive_json(content)

    async with serving(Changing.as_asgi(consumer_classes={"a": Echo})) as client:
        client.send_text(f'{{"stream":"a","payload":{before}}}')
        await client.expect_text(f'{{"stream":"a","payload":{json.dumps(after)}}}')


@pytest.mark.parametrize("more", [0, 1000])
async def test_receive_json_that_passes_on_a_copy(more: int) -> None:
    """A copy is delivered as it is, whatever becomes of the object that was decoded."""

    class Copying(WebsocketDemultiplexer):
        async def receive_json(self, content: Any) -> None:
            copied = copy.deepcopy(content)
            content["stream"] = "b"
            await super().receive_json(copied)

    payload = [*[[]] * more, "\ud800"]
    async with serving(Copying.as_asgi(consumer_classes={"a": Echo, "b": Echo})) as client:
        client.data("a", payload)
        await client.expect_frame(stream="a", payload=payload)


@pytest.mark.parametrize("payload", ["1", '""', r'["\ud800"]', f"[{'[],' * 1000}0]"])
async def test_receive_json_that_passes_on_what_is_no_json(payload: str) -> None:
    """What cannot be written as JSON raises in the override that passes it on."""

    class Spoiling(WebsocketDemultiplexer):
        async def receive_json(self, content: Any) -> None:
            content["payload"] = object()
            with pytest.raises(TypeError):
                await super().receive_json(content)
            content["payload"] = "raised"
            await super().receive_json(content)

    async with serving(Spoiling.as_asgi(consumer_classes={"a": Echo})) as client:
        client.send_text(f'{{"stream":"a","payload":{payload}}}')
        await client.expect_frame(stream="a", payload="raised")


async def test_receive_json_that_makes_two_of_one() -> None:
    """An override may deliver other frames than it got, and none."""

    class Doubling(WebsocketDemultiplexer):
        async def receive_json(self, content: Any) -> None:
            for name in content.get("streams", ()):
                await super().receive_json({"stream": name, "payload": content["payload"]})

    async with serving(Doubling.as_asgi(consumer_classes={"a": Echo, "b": Echo})) as client:
        client.send(streams=["a", "b"], payload=1)
        await client.expect_frames({"stream": "a", "payload": 1}, {"stream": "b", "payload": 1})
        client.send_text('{"event":"ping"}')
        client.send(streams=["a"], payload=2)
        await client.expect_frame(stream="a", payload=2)


@pytest.mark.parametrize(
    ("message", "stream"),
    [
        ('{"stream":"a","payload":1}', "a"),
        ('{"payload":1}', None),
        ('{"stream":1}', None),
        ('{"stream":""}', None),
        (r'{"stream":"\ud800"}', None),
        ("[1]", None),
        ("1", None),
    ],
)
async def test_value_error_in_receive_json(
    caplog: pytest.LogCaptureFixture, message: str, stream: str | None
) -> None:
    """A ValueError of an override is answered with 400; its text is for the log only."""
    caplog.set_level(logging.INFO, "channels_demultiplexer")

    class Refusing(WebsocketDemultiplexer):
        async def receive_json(self, content: Any) -> None:
            raise ValueError("secret")

    async with serving(Refusing.as_asgi(consumer_classes={"a": Echo})) as client:
        client.send_text(message)
        assert await client.expect_error(400, stream) == "the frame was refused"
        refusal = f"receive_json refused the frame {message!r}: ValueError('secret')"
        assert refusal in caplog.messages


async def test_frame_error_in_receive_json() -> None:
    """An undeliverable frame is answered with its own status through an override too."""
    async with serving(Listening.as_asgi(seen=[])) as client:
        client.data("b", 1)
        await client.expect_error(404, "b")


async def test_other_frame_after_a_refused_one() -> None:
    """The text of a refused frame is never taken for that of a later one."""

    class Pushing(Listening):
        async def push(self, event: dict[str, Any]) -> None:
            await self.receive_json({"stream": "a", "payload": "pushed"})

        async def receive_json(self, content: Any) -> None:
            if content["payload"] == "bad":
                raise ValueError
            await super().receive_json(content)

        groups = ["pushed"]

    async with serving(Pushing.as_asgi(seen=[])) as client:
        client.data("a", "bad")
        await client.expect_error(400, "a")
        await channel_layers["default"].group_send("pushed", {"type": "push"})
        await client.expect_frame(stream="a", payload="pushed")


@pytest.mark.parametrize("depth", range(930, 990, 3))
async def test_deep_nesting_through_receive_json(depth: int) -> None:
    """Nesting near the limit of the parser is delivered or answered with 400, never fatal."""
    async with serving(Listening.as_asgi(seen=[])) as client:
        deep = "[" * depth + "]" * depth
        client.send_text(f'{{"stream":"a","payload":{deep}}}')
        answer = await client.receive_json()
        assert answer.get("stream") == "a" or answer["status"] == 400
        await client.expect_silence()


async def test_receive_json_that_nests_too_deeply() -> None:
    """What a subclass makes of a frame is answered with 400 where it is too deep to be written."""
    deep: list[Any] = []
    for _ in range(200_000):
        deep = [deep]

    class Deepening(WebsocketDemultiplexer):
        consumer_classes = {"a": Echo}

        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            if content.get("stream") == "a":
                content["payload"] = deep
            await super().receive_json(content)

    async with serving(Deepening.as_asgi()) as client:
        client.data("a", 1)
        await client.expect_error(400)
        await client.expect_silence()


async def test_receive_json_of_an_instance_that_serves_nothing() -> None:
    """Without a connection no stream is open, and there is nobody to send a pong."""
    instance = Listening([])
    for frame in ({"stream": "a", "payload": 1}, {"event": "ping"}):
        with pytest.raises(StreamNotOpen):
            await instance.receive_json(frame)
    with pytest.raises(RuntimeError, match="Listening has no connection yet"):
        await instance.close()


async def test_receive_json_after_the_end() -> None:
    """When the socket has been closed, nothing can be delivered or opened any more."""
    errors = []

    class Late(WebsocketDemultiplexer):
        async def disconnect(self, code: int) -> None:
            try:
                await self.receive_json({"stream": "a", "event": "open"})
            except StreamNotOpen as error:
                errors.append(error.stream)

    puppet = Puppet()
    async with serving(Late.as_asgi(consumer_classes={"a": puppet}, lazy=True)):
        pass
    assert errors == ["a"]
    assert not puppet.lives


# Groups and the channel layer.


class Grouped(WebsocketDemultiplexer):
    """Is in a group, and tells its client what comes from there."""

    groups = ["everybody"]

    async def news(self, event: dict[str, Any]) -> None:
        await self.send_json({"news": event["content"]})


async def test_groups_of_the_parent(layer: InMemoryChannelLayer) -> None:
    """A demultiplexer may have groups and handlers, and leaves its groups."""
    async with serving(Grouped.as_asgi(consumer_classes={"a": Echo})) as client:
        assert list(layer.groups) == ["everybody"]
        await layer.group_send("everybody", {"type": "news", "content": 1})
        await client.expect_frame(news=1)
        client.data("a", 1)
        await client.expect_frame(stream="a", payload=1)
    assert not layer.groups


async def test_handler_without_groups(layer: InMemoryChannelLayer) -> None:
    """A handler gets what is sent to the socket's own channel."""

    class Handling(WebsocketDemultiplexer):
        async def connect(self) -> None:
            await self.accept()
            await self.send_json({"channel": self.channel_name})

        async def news(self, event: dict[str, Any]) -> None:
            await self.send_json({"news": event["content"]})

    async with serving(Handling.as_asgi(consumer_classes={"a": Echo})) as client:
        channel = (await client.receive_json())["channel"]
        await layer.send(channel, {"type": "news", "content": 2})
        await client.expect_frame(news=2)


async def test_close_from_a_handler(layer: InMemoryChannelLayer) -> None:
    """A handler of the parent may close the socket, and every stream with it."""

    class Closing(Grouped):
        async def news(self, event: dict[str, Any]) -> None:
            await self.close(4000, "enough")

    puppet = Puppet()
    async with serving(Closing.as_asgi(consumer_classes={"a": puppet})) as client:
        life = await puppet.life()
        await life.accept()
        await layer.group_send("everybody", {"type": "news"})
        await client.expect_closed(4000, "enough")
        assert await life.receive() == bye(4000, "enough")


async def test_groups_of_children(layer: InMemoryChannelLayer) -> None:
    """Two children have channels of their own, and leave their groups with their stream."""

    class Member(AsyncWebsocketConsumer):
        groups = ["members"]

        async def news(self, event: dict[str, Any]) -> None:
            await self.send('"news"')

    async with connected({"a": Member, "b": Member}) as client:
        client.open("a")
        await client.expect_opened("a")
        client.open("b")
        await client.expect_opened("b")
        assert len(layer.groups["members"]) == 2
        await layer.group_send("members", {"type": "news"})
        await client.expect_frames(
            {"stream": "a", "payload": "news"}, {"stream": "b", "payload": "news"}
        )
        client.close("a")
        await client.expect_ended("a", 1000)
        assert len(layer.groups["members"]) == 1


async def test_client_comes_before_the_layer(layer: InMemoryChannelLayer) -> None:
    """Of what comes in one moment the client's is first, as in any consumer."""
    async with serving(Grouped.as_asgi(consumer_classes={"a": Echo})) as client:
        await settled()
        [channel] = layer.groups["everybody"]
        await layer.send(channel, {"type": "news", "content": 1})
        client.send(event="ping")
        await client.expect_frame(event="pong")
        await client.expect_frame(news=1)


async def test_layer_of_the_parent() -> None:
    """A demultiplexer may name its channel layer, as any consumer."""
    layers = {"other": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    with override_settings(CHANNEL_LAYERS=layers):

        class Elsewhere(Grouped):
            channel_layer_alias = "other"

        async with serving(Elsewhere.as_asgi(consumer_classes={"a": plain_echo})) as client:
            layer = get_channel_layer("other")
            await layer.group_send("everybody", {"type": "news", "content": 1})
            await client.expect_frame(news=1)
    assert not layer.groups


async def test_handler_without_a_layer() -> None:
    """Where the project has no channel layer, a handler is no reason to need one."""

    class Handling(WebsocketDemultiplexer):
        async def news(self, event: dict[str, Any]) -> None:
            """Handle what never comes."""

    with override_settings(CHANNEL_LAYERS={}):
        async with serving(Handling.as_asgi(consumer_classes={"a": plain_echo})) as client:
            client.data("a", 1)
            await client.expect_frame(stream="a", payload=1)


class BrokenLayer(InMemoryChannelLayer):
    """A channel layer that fails to receive."""

    async def receive(self, channel: str) -> dict[str, Any]:
        raise ConnectionError("the layer is down")


@pytest.mark.parametrize("layers", [{}, {"default": {"BACKEND": f"{__name__}.BrokenLayer"}}])
async def test_socket_that_needs_no_layer(layers: dict[str, Any]) -> None:
    """Without groups and handlers a socket needs no channel layer."""
    with override_settings(CHANNEL_LAYERS=layers):
        async with connected({"a": plain_echo}) as client:
            client.data("a", 1)
            await client.expect_frame(stream="a", payload=1)


async def test_socket_that_needs_its_layer() -> None:
    """With groups, a layer that fails ends the socket, as that of any consumer."""
    layers = {"default": {"BACKEND": f"{__name__}.BrokenLayer"}}
    with override_settings(CHANNEL_LAYERS=layers):
        client = Client(Grouped.as_asgi(consumer_classes={"a": Echo}))
        with pytest.raises(ConnectionError):
            async with client:
                await client.ended()


# The parent's close().


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        ((), 1000, ""),
        ((True,), 1000, ""),
        ((0,), 4000, ""),
        ((4001,), 4001, ""),
        ((4001, "é"), 4001, "é"),
        ((CloseCode.REFUSED, SafeString("why")), 4403, "why"),
    ],
)
async def test_close_of_the_socket(arguments: tuple[Any, ...], code: int, reason: str) -> None:
    """close() closes the socket, and tells every child with its code and reason."""

    class Closing(WebsocketDemultiplexer):
        async def receive_json(self, content: Any) -> None:
            await self.close(*arguments)

    puppet = Puppet()
    async with serving(Closing.as_asgi(consumer_classes={"a": puppet, "b": Echo})) as client:
        life = await puppet.life()
        await life.accept()
        client.send()
        await client.expect_closed(code, reason)
        told = await life.receive()
        assert told == bye(code, reason)
        assert {type(told["code"]), type(told["reason"])} == {int, str}
        await life.send_text("dropped")


async def test_close_of_a_closed_socket() -> None:
    """A close() after another, or after the client has left, does nothing."""

    class Closing(WebsocketDemultiplexer):
        async def receive_json(self, content: Any) -> None:
            await self.close(4000)
            await self.close(4001)

        async def disconnect(self, code: int) -> None:
            await self.close(4002)

    async with serving(Closing.as_asgi(consumer_classes={"a": Echo})) as client:
        client.send()
        await client.expect_closed(4000)
        await client.ended()
        assert not client.unheard


async def test_frames_after_close() -> None:
    """Frames that arrive when the parent has closed the socket are dropped."""
    seen = []

    class Closing(WebsocketDemultiplexer):
        async def receive_json(self, content: Any) -> None:
            seen.append(content)
            await self.close()

    async with serving(Closing.as_asgi(consumer_classes={"a": Echo})) as client:
        client.send(first=1)
        client.send(second=2)
        client.send_bytes(b"")
        await client.expect_closed(1000)
    assert seen == [{"first": 1}]


# The end of the last stream.


@pytest.mark.parametrize(
    ("fields", "code", "reason"),
    [({}, 1000, ""), ({"code": 4321, "reason": "done"}, 4321, "done")],
)
async def test_last_stream_closes_the_socket(
    fields: dict[str, Any], code: int, reason: str
) -> None:
    """When a child has ended the last stream, the socket closes with that stream's code."""
    first, second = Puppet(), Puppet()
    async with connected({"a": first, "b": second}) as client:
        one, two = await first.life(), await second.life()
        await one.accept()
        await two.accept()
        await one.send_close(code=4000)
        await client.expect_ended("a", 4000)
        await client.expect_silence()
        await two.send_close(**fields)
        await client.expect_ended("b", code, reason)
        await client.expect_closed(code, reason)


async def test_last_stream_that_crashes_closes_the_socket() -> None:
    """A crash of the last stream closes the socket with 1011."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        (await puppet.life()).crash(LookupError())
        await client.expect_ended("a", 1011)
        await client.expect_closed(1011)
        client.log.expect("crashed")


async def test_last_stream_that_stalls_closes_the_socket() -> None:
    """A stall of the last stream closes the socket with 1013."""
    async with connected({"a": Puppet()}, stream_overflow="close", stream_capacity=1) as client:
        client.data("a", 1)
        client.data("a", 2)
        await client.expect_ended("a", 1013)
        await client.expect_closed(1013)


async def test_last_stream_that_the_client_closes() -> None:
    """When the client's `close` has ended the last stream, the socket stays open."""
    async with connected({"a": Echo}) as client:
        client.close("a")
        await client.expect_ended("a", 1000)
        await client.expect_silence()
        client.open("a")
        await client.expect_opened("a")


async def test_stream_that_opens_keeps_the_socket() -> None:
    """A stream that has not accepted yet counts as open."""
    async with connected({"a": returning, "b": Puppet()}) as client:
        await client.expect_ended("a", 4403)
        await client.expect_silence()


async def test_stream_with_a_label_keeps_the_socket() -> None:
    """So does a stream that the client has opened, to a fixed name with a label."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        one = await puppet.life()
        client.open("a#2")
        two = await puppet.life()
        await one.send_close(code=4000)
        await client.expect_ended("a", 4000)
        await client.expect_silence()
        await two.send_close(code=4001)
        await client.expect_ended("a#2", 4001)
        await client.expect_closed(4001)


ON_DEMAND: list[dict[str, Any]] = [
    {"close_when_empty": False},
    {"lazy": True},
    {"consumer_classes": {"a": returning, "room/<int:number>/": Echo}},
    {"urlpatterns": [path("room/", Echo.as_asgi())]},
]


@pytest.mark.parametrize("attributes", ON_DEMAND)
async def test_socket_whose_streams_may_open_later_stays(attributes: dict[str, Any]) -> None:
    """The socket stays where a stream could still open, or the class says so."""
    async with serving(
        WebsocketDemultiplexer.as_asgi(**{"consumer_classes": {"a": returning}, **attributes})
    ) as client:
        if not attributes.get("lazy"):
            await client.expect_ended("a", 4403)
        client.open("a")
        await client.expect_ended("a", 4403)
        await client.expect_silence()


async def test_lazy_without_fixed_streams_stays() -> None:
    """With parametrised streams only, the socket stays when the last has ended."""
    async with connected({"r/<int:number>": returning}, lazy=True) as client:
        client.open("r/1")
        await client.expect_ended("r/1", 4403)
        await client.expect_silence()


async def test_without_streams() -> None:
    """A class without streams serves a socket on which nothing opens, and which stays."""
    async with connected({}) as client:
        client.open("a")
        await client.expect_error(404, "a")


# Declaring.


async def test_as_asgi_with_streams() -> None:
    """as_asgi() takes streams and URL patterns, and leaves the class as it is."""
    application = WebsocketDemultiplexer.as_asgi(
        consumer_classes={"a": Echo}, urlpatterns=[path("b/", Tell.as_asgi())]
    )
    async with serving(application) as client:
        client.data("a", 1)
        await client.expect_frame(stream="a", payload=1)
        client.open("b/")
        await client.expect_opened("b/")
        assert (await client.receive_json())["payload"]["stream"] == "b/"
    assert WebsocketDemultiplexer.consumer_classes == {}


@pytest.mark.parametrize("attributes", [{"payload_key": "x"}, {"close_when_empty": False}])
async def test_as_asgi_with_settings_makes_a_class_of_the_same_name(
    attributes: dict[str, Any],
) -> None:
    """as_asgi() with settings serves a class that looks like the one it was called on."""
    application: Any = Listening.as_asgi(seen=[], **attributes)
    assert application.consumer_class.__name__ == "Listening"
    assert application.consumer_class.__module__ == __name__
    assert application.consumer_initkwargs == {"seen": []}
    assert issubclass(application.consumer_class, Listening)


async def test_as_asgi_without_settings_serves_the_class_itself() -> None:
    """as_asgi() makes a class only where there is something to put into it."""
    application: Any = Listening.as_asgi(seen=[])
    assert application.consumer_class is Listening


async def test_key_names_are_settings() -> None:
    """The names of the keys can be overridden."""
    keys = {"multiplex_key": "s", "payload_key": "p", "text_key": "t", "event_key": "e"}
    async with connected({"a": Echo}, **keys) as client:
        client.send(s="a", p=1)
        await client.expect_text('{"s":"a","p":1}')
        client.send(s="a", t="<")
        await client.expect_text('{"s":"a","t":"<"}')
        client.send(s="a", e="open")
        await client.expect_frame(s="a", e="open", subprotocol=None)
        client.send(e="ping", p=1)
        await client.expect_frame(e="pong", p=1)
        client.send(stream="a", payload=1)
        assert (await client.receive_json())["e"] == "error"


async def test_settings_are_read_when_a_connection_begins() -> None:
    """Django's settings hold for connections that begin under them."""
    application = demultiplexer({"a": Echo})
    with override_settings(CHANNELS_DEMULTIPLEXER_PAYLOAD_KEY="p"):
        async with serving(application) as client:
            client.send(stream="a", p=1)
            await client.expect_frame(stream="a", p=1)
    async with serving(application) as client:
        with override_settings(CHANNELS_DEMULTIPLEXER_PAYLOAD_KEY="p"):
            client.data("a", 1)
            await client.expect_frame(stream="a", payload=1)


async def test_class_attribute_comes_before_setting() -> None:
    """A class attribute comes before Django's setting."""
    with override_settings(CHANNELS_DEMULTIPLEXER_PAYLOAD_KEY="p"):
        async with connected({"a": Echo}, payload_key="q") as client:
            client.send(stream="a", q=1)
            await client.expect_frame(stream="a", q=1)


@pytest.mark.parametrize(
    "attributes",
    [{"consumer_classes": {"": Echo}}, {"consumer_classes": {"a": 3}}, {"stream_capacity": 0}],
)
def test_wrong_declaration(attributes: dict[str, Any]) -> None:
    """A wrong declaration raises when the class is first used, not at some frame."""
    with pytest.raises(ImproperlyConfigured):
        WebsocketDemultiplexer.as_asgi(**attributes)
    with pytest.raises(ImproperlyConfigured):
        type("Wrong", (WebsocketDemultiplexer,), attributes)()


async def test_declarations_may_be_replaced() -> None:
    """Streams that are assigned to a class later are served from then on."""

    class Changing(WebsocketDemultiplexer):
        consumer_classes: Any = {"a": Echo}

    application = Changing.as_asgi()
    Changing.consumer_classes = {"b": Echo}
    async with serving(application) as client:
        client.data("a", 1)
        await client.expect_error(404, "a")
        client.data("b", 1)
        await client.expect_frame(stream="b", payload=1)
    Changing.urlpatterns = [path("c", Echo.as_asgi())]
    async with serving(application) as client:
        client.open("c")
        await client.expect_opened("c")


async def test_declarations_are_worked_out_once() -> None:
    """However many connections there are, a class's streams are read once."""

    class Read(dict[str, Any]):
        times = 0

        def items(self) -> Any:
            self.times += 1
            return super().items()

    streams = Read(a=Echo)
    application = demultiplexer(streams, max_streams=5)
    for _ in range(2):
        async with serving(application) as client:
            client.data("a", 1)
            await client.expect_frame(stream="a", payload=1)
    assert streams.times == 1


async def test_subclass_has_its_own_streams() -> None:
    """A subclass inherits the streams, or has others; its base doesn't notice."""

    class Base(WebsocketDemultiplexer):
        consumer_classes: Any = {"a": Echo}

    class Heir(Base):
        pass

    class Other(Base):
        consumer_classes = {"b": Echo}

    async with serving(Base.as_asgi()) as one, serving(Heir.as_asgi()) as two:
        for client in (one, two):
            client.data("a", 1)
            await client.expect_frame(stream="a", payload=1)
    async with serving(Other.as_asgi()) as client:
        client.data("a", 1)
        await client.expect_error(404, "a")


async def test_routing_to_the_socket_itself() -> None:
    """A socket that was routed to by URL passes its values on to its children."""
    application = URLRouter([path("<slug:team>/", demultiplexer({"a": Tell}))])
    async with serving(application, path="/red/") as client:
        told = (await client.receive_json())["payload"]
        assert told["kwargs"] == {"team": "red"}
        assert told["path"] == "/red/"
        assert told["rest"] == ""


# What the socket does with what the server gives it.


async def test_unknown_event_of_the_server() -> None:
    """An ASGI message of an unknown type raises, as in any consumer."""
    async with connected({"a": Echo}) as client:
        client.feed({"type": "websocket.surprise"})
        with pytest.raises(ValueError, match=r"websocket\.surprise"):
            await client.ended()


@pytest.mark.parametrize("missing", [{"bytes": None}, {}])
async def test_text_message_with_or_without_bytes(missing: dict[str, Any]) -> None:
    """A server may give the other key as None or leave it out."""
    async with connected({"a": Echo}) as client:
        message = '{"stream":"a","payload":1}'
        client.feed({"type": "websocket.receive", "text": message, **missing})
        await client.expect_text(message)
        extra = {"text": None} if missing else {}
        client.feed({"type": "websocket.receive", "bytes": b"\x01a", **extra})
        await client.expect_bytes(b"\x01a")


async def test_frames_cost_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame is not dispatched through Channels, which costs a thread's turn each time."""
    dispatched = []

    class Counting(WebsocketDemultiplexer):
        async def dispatch(self, message: dict[str, Any]) -> None:
            dispatched.append(message["type"])
            await super().dispatch(message)

    async with serving(Counting.as_asgi(consumer_classes={"a": plain_echo})) as client:
        client.data("a", 1)
        await client.expect_frame(stream="a", payload=1)
    assert dispatched == ["websocket.connect", "websocket.disconnect"]


async def test_unfinished_send_of_the_parent_keeps_order() -> None:
    """What the parent sends waits for what a child sends already."""
    puppet = Puppet()

    class Talking(WebsocketDemultiplexer):
        async def receive_json(self, content: Any) -> None:
            await self.send_json({"parent": content["number"]})

    async with Client(Talking.as_asgi(consumer_classes={"a": puppet}), capacity=1) as client:
        await client.connect()
        life = await puppet.life()
        await life.accept()
        sends = [asyncio.create_task(life.send_text(str(number))) for number in range(3)]
        await settled()
        client.send(number=3)
        for number in range(3):
            await client.expect_frame(stream="a", payload=number)
        await client.expect_frame(parent=3)
        await within(asyncio.gather(*sends), "the sends")


def test_as_asgi_takes_no_unknown_argument() -> None:
    """A mistyped argument is refused, unless the class has an __init__ that may take it."""
    with pytest.raises(TypeError, match=r"as_asgi\(\) takes .*stream_capacity.*, not capacity"):
        WebsocketDemultiplexer.as_asgi(capacity=5)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            {"chat": Echo, "log": Tell.as_asgi()},
            "takes streams as consumer_classes={'chat': ..., 'log': ...}",
        ),
        ({"consumer_clases": {"a": Echo}}, "does not take consumer_clases; write consumer_classes"),
        ({"max_stream": 1, "other": 1}, "does not take max_stream; write max_streams"),
        ({"other": 1, "max_stream": 1}, "does not take max_stream; write max_streams"),
    ],
)
def test_as_asgi_says_what_to_write(arguments: dict[str, Any], text: str) -> None:
    """as_asgi() says what to write instead: of streams by name, and of slips."""
    with pytest.raises(TypeError) as caught:
        WebsocketDemultiplexer.as_asgi(**arguments)
    assert str(caught.value) == f"WebsocketDemultiplexer.as_asgi() {text}"


def test_settings_are_annotations() -> None:
    """The class has the settings as annotations in the order of the table, without values."""
    annotated = [name.upper() for name in WebsocketDemultiplexer.__annotations__]
    names = [setting.name for setting in SETTINGS]
    assert [name for name in annotated if name in names] == names
    assert not any(hasattr(WebsocketDemultiplexer, name.lower()) for name in names)


# What the socket closes with.

CODES = [
    (1000, 1000),
    (CloseCode.INTERNAL_ERROR, 1011),
    (1003, 1003),
    (1005, 4005),
    (1006, 4006),
    (2500, 4000),
    (4999, 4999),
    (5000, 4000),
    (-1, 4000),
]


def closing(*arguments: Any) -> Any:
    """Return a demultiplexer that closes the socket at any frame."""

    class Closing(WebsocketDemultiplexer):
        consumer_classes: Any = {"a": plain_echo}

        async def receive_json(self, content: Any) -> None:
            await self.close(*arguments)

    return Closing.as_asgi()


@pytest.mark.parametrize(("code", "sent"), CODES)
async def test_code_of_the_sockets_close(code: int, sent: int) -> None:
    """The socket closes with a plain code that can be sent, and children are told of that."""
    puppet = Puppet()
    application = closing(code)
    application.consumer_class.consumer_classes = {"a": puppet}
    async with serving(application) as client:
        life = await puppet.life()
        await life.accept()
        client.send()
        message = await client.receive()
        assert message == {"type": "websocket.close", "code": sent}
        assert type(message["code"]) is int
        assert await life.receive() == bye(sent)
        client.disconnect(sent)


@pytest.mark.parametrize(("code", "sent"), CODES)
async def test_code_of_the_last_stream(code: int, sent: int) -> None:
    """So it does with that of its last stream, whose client and child see the child's own."""
    puppet = Puppet()
    async with connected({"a": puppet}) as client:
        life = await puppet.life()
        await life.accept()
        await life.send_close(code=code)
        await client.expect_ended("a", code)
        message = await client.receive()
        assert message == {"type": "websocket.close", "code": sent}
        assert type(message["code"]) is int
        told = await life.receive()
        assert told == bye(code)
        assert type(told["code"]) is int
        client.disconnect(sent)


@pytest.mark.parametrize("by", ["child", "parent"])
@pytest.mark.parametrize(
    ("reason", "sent"),
    [
        (mark_safe("<b>"), "<b>"),
        ("x" * 124, "x" * 123),
        ("é" * 62, "é" * 61),
        ("x" + "\U0001f600" * 40, "x" + "\U0001f600" * 30),
    ],
)
async def test_reason_of_the_sockets_close(by: str, reason: str, sent: str) -> None:
    """Its reason is plain, and cut to 123 bytes; children are told all of it."""
    puppet = Puppet()
    application = closing(4000, reason)
    application.consumer_class.consumer_classes = {"a": puppet}
    async with serving(application) as client:
        life = await puppet.life()
        await life.accept()
        if by == "parent":
            client.send()
        else:
            await life.send_close(code=4000, reason=reason)
            await client.expect_ended("a", 4000, reason)
        message = await client.receive()
        assert message == {"type": "websocket.close", "code": 4000, "reason": sent}
        assert type(message["reason"]) is str
        told = await life.receive()
        assert told == bye(4000, reason)
        assert type(told["reason"]) is str
        client.disconnect(4000)


async def refuse_as_daphne(message: dict[str, Any]) -> None:
    """Raise as Daphne does where it cannot send a close code."""
    if message["type"] == "websocket.close":
        code = message["code"]
        if code != 1000 and not 3000 <= code <= 4999:
            raise ValueError(f"invalid close code {code}")


@pytest.mark.parametrize(("code", "sent"), [(1011, 4011), (1001, 4001), (1013, 4013)])
@pytest.mark.parametrize("by", ["child", "parent"])
async def test_server_that_refuses_the_code(by: str, code: int, sent: int) -> None:
    """Where the server refuses a code of protocols, the socket closes with one that it takes."""
    puppet = Puppet()
    application = closing(code, "why")
    application.consumer_class.consumer_classes = {"a": puppet}
    async with serving(application) as client:
        client.hook = refuse_as_daphne
        life = await puppet.life()
        await life.accept()
        if by == "parent":
            client.send()
        else:
            await life.send_close(code=code, reason="why")
            await client.expect_ended("a", code, "why")
        await client.expect_closed(sent, "why")


async def test_server_that_refuses_to_close() -> None:
    """Where the server refuses to close at all, that raises in the parent."""

    class Closing(WebsocketDemultiplexer):
        consumer_classes = {"a": Echo}

        async def receive_json(self, content: Any) -> None:
            with pytest.raises(LookupError, match="broken"):
                await self.close()

    async with serving(Closing.as_asgi()) as client:
        client.send_error = LookupError("broken")
        client.send()
        await until(lambda: client.log.records)
        client.log.expect("'/socket/': the server refused an answer")
        client.disconnect(1001)
        await client.ended()


@pytest.mark.parametrize("policy", ["pause", "close"])
async def test_stall_of_the_only_life_that_waits(policy: str) -> None:
    """A life that stalls before it begins closes an otherwise empty socket, after its answer."""
    puppet = Puppet()
    attributes: dict[str, Any] = {"stream_overflow": policy, "stall_timeout": 0.01}
    async with connected({"a": puppet}, stream_capacity=1, **attributes) as client:
        life = await puppet.life()
        client.close("a", code=3000)
        client.open("a")
        client.data("a", 1)
        client.data("a", 2)
        client.data("a", 3)
        await client.expect_error(409, "a")
        await client.expect_silence()
        life.finish()
        await client.expect_ended("a", 3000)
        await client.expect_ended("a", 1013)
        await client.expect_closed(1013)
        second = await puppet.life()
        await second.receive()
        assert await second.receive() == bye(1013)


@pytest.mark.parametrize("policy", ["pause", "close"])
async def test_last_stream_ends_while_a_stall_is_to_be_answered(policy: str) -> None:
    """A life that has stalled before it begins keeps the socket open until it is answered."""
    first, last = Puppet(), Puppet()
    attributes: dict[str, Any] = {"stream_overflow": policy, "stall_timeout": 0.01}
    async with connected({"a": first, "b": last}, stream_capacity=1, **attributes) as client:
        life = await first.life()
        client.close("a", code=3000)
        for _ in range(2):
            client.open("a")
            client.data("a", 1)
            client.data("a", 2)
        client.data("a", 3)
        await client.expect_error(409, "a")
        (await last.life()).finish()
        await client.expect_ended("b", 4403)
        await client.expect_silence()
        life.finish()
        await client.expect_ended("a", 3000)
        await client.expect_ended("a", 1013)
        await client.expect_silence()
        (await first.life()).finish()
        await client.expect_ended("a", 1013)
        await client.expect_closed(1013)


async def test_keywords_of_a_class() -> None:
    """Keywords of a class go to the next base, a mixin that takes them."""

    class Labelled:
        label = ""

        def __init_subclass__(cls, label: str, **kwargs: Any) -> None:
            super().__init_subclass__(**kwargs)
            cls.label = label

    class Mixed(WebsocketDemultiplexer, Labelled, label="x"):
        consumer_classes = {"a": Echo}

    assert Mixed.label == "x"
