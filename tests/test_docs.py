"""The documentation says what is so, and its examples run."""

from __future__ import annotations

import ast
import importlib
import io
import itertools
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree

import docutils.core
import prometheus_client
import pytest
from channels.generic.websocket import AsyncJsonWebsocketConsumer
from channels.testing import WebsocketCommunicator
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.signals import user_logged_out

from channels_demultiplexer import (
    checks,
    client,
    conf,
    exceptions,
    frames,
    names,
    signals,
    status,
    testing,
)
from channels_demultiplexer.close_codes import CloseCode
from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer
from channels_demultiplexer.testing import DemultiplexerCommunicator
from docs import diagrams

from .walkthrough import blocks

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PACKAGE = ROOT / "channels_demultiplexer"

#: A row of a list-table whose first two cells are literals.
ROW = re.compile(r"^   \* - ``(\S+?)``\n     - ``(.+?)``$", re.MULTILINE)


def page(name: str) -> str:
    """Return the source of a page."""
    return (DOCS / f"{name}.rst").read_text()


def example(name: str) -> ModuleType:
    """Import an example."""
    return importlib.import_module(f"docs.examples.{name}")


# What pages list.


def test_the_table_of_settings_is_the_one_of_the_code():
    """The settings page has each setting, in the order of the code, with its default."""
    rows = [(name, ast.literal_eval(default)) for name, default in ROW.findall(page("settings"))]
    expected = [(setting.name, setting.default) for setting in conf.SETTINGS]
    assert sorted(rows) == sorted(expected)
    assert [type(default) for _, default in sorted(rows)] == [
        type(default) for _, default in sorted(expected)
    ]


def test_the_protocol_names_every_code_and_status():
    """The protocol page has each close code that is sent, each error's status, the subprotocol."""
    text = page("protocol")
    errors = [vars(exceptions)[name] for name in exceptions.__all__]
    numbers = {error.status for error in errors} | set(CloseCode)
    missing = [number for number in numbers if f"``{number:d}``" not in text]
    assert not missing
    assert f"``{frames.SUBPROTOCOL}``" in text
    assert f"{names.MAX_NAME_SIZE} bytes" in text


@pytest.mark.parametrize("module", [client, exceptions, signals, status, testing])
def test_the_reference_has_every_public_name(module):
    """What a public module exports is in the reference."""
    text = page("reference")
    names = set(module.__all__) - {"announce"}  # for the library's own use
    described = set(re.findall(r"^\.\. \w+:: (\w+)", text, re.MULTILINE))
    assert names <= described


def test_the_reference_has_every_check():
    """Each id that a check may give is in the reference."""
    text = page("reference")
    ids = set(re.findall(r"\b[EW]\d{3}\b", Path(conf.__file__).read_text()))
    ids |= set(re.findall(r"\{_APP\}\.([EW]\d{3})", Path(checks.__file__).read_text()))
    routes = (PACKAGE / "router" / "checks.py").read_text()
    ids |= set(re.findall(r"channels_demultiplexer\.([EW]\d{3})", routes))
    assert ids
    assert not [id for id in ids if f"``channels_demultiplexer.{id}``" not in text]


def test_the_page_on_logging_has_every_message():
    """Each call of the logger stands in the page's table, with its level."""
    calls = []
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    ast.Attribute(ast.Name("logger"), method), [ast.Constant(message), *_]
                ):
                    level = {"exception": "error"}.get(method, method).upper()
                    calls.append((level, message))
    assert sorted(ROW.findall(page("howto/logging"))) == sorted(calls)


def test_the_tests_that_the_security_page_names_exist():
    """The table of threats names tests that there are."""
    named = set(re.findall(r"``(tests/\w+\.py)::(\w+)``", page("security")))
    assert named
    missing = [
        f"{path}::{test}"
        for path, test in named
        if not re.search(rf"def {test}\(", (ROOT / path).read_text())
    ]
    assert not missing


def test_each_section_of_the_protocol_has_its_tests():
    """The table has every section, and files that there are."""
    table = page("contributing").split("Where each section")[1].split("Where to put")[0]
    sections = re.findall(r"^(\S.*)\n[-~]{4,}$", page("protocol"), re.MULTILINE)
    assert re.findall(r"\* - (.+)", table) == sections
    assert not [
        name
        for name in re.findall(r"``(test_\w+\.py)``", table)
        if not (ROOT / "tests" / name).exists()
    ]


def test_every_example_is_shown():
    """Each file of an example is on a page."""
    pages = "".join(path.read_text() for path in DOCS.rglob("*.rst"))
    assert not [
        path.name
        for path in (DOCS / "examples").iterdir()
        if path.is_file() and f"examples/{path.name}" not in pages
    ]


def test_every_diagram_is_shown(tmp_path):
    """Each diagram is drawn as XML with a title, and is on a page; no page shows another."""
    diagrams.draw_all(tmp_path)
    for path in tmp_path.iterdir():
        assert ElementTree.parse(path).getroot()[0].text
    pages = "".join(path.read_text() for path in DOCS.rglob("*.rst"))
    shown = set(re.findall(r"_static/diagrams/([\w-]+)\.svg", pages))
    assert shown == {path.stem for path in tmp_path.iterdir()}


# What the examples do.


@pytest.fixture
def receivers() -> Iterator[None]:
    """Forget the receivers that an example has connected."""
    used = (signals.stream_opened, signals.stream_closed, signals.frame_rejected, user_logged_out)
    before = [list(signal.receivers) for signal in used]
    yield
    for signal, known in zip(used, before, strict=True):
        signal.receivers[:] = known
        signal.sender_receivers_cache.clear()


async def test_the_conversation_of_the_protocol_page():
    """The frames of the protocol page's conversation are what a client sees."""
    socket = WebsocketCommunicator(example("quickstart").Demultiplexer.as_asgi(), "/ws/")
    await socket.connect()
    for line in (DOCS / "examples" / "conversation.txt").read_text().splitlines():
        side, _, text = line.partition(" ")
        if side == "C->":
            await socket.send_to(text_data=text)
        else:
            assert await socket.receive_from() == text
    await socket.disconnect()


async def test_the_quickstart_answers():
    """The application of the quickstart serves its streams behind its middleware."""
    socket = DemultiplexerCommunicator(example("quickstart").application, "/ws/")
    total = socket.stream("sum")
    assert await total.connect() == (True, None)
    await total.send_json_to([1, 2, 3])
    assert await total.receive_json_from() == {"sum": 6}
    await total.disconnect()


def test_the_quickstart_sets_django_up():
    """A server may import the module of the quickstart first."""
    # In a process of its own, where Django is not set up yet.
    script = "import docs.examples.quickstart"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


async def test_the_quickstart_refuses_other_origins(monkeypatch):
    """A page of another site gets no socket."""
    application = example("quickstart").application
    # The validator has read ALLOWED_HOSTS when it was made.
    validator = application.application_mapping["websocket"]
    monkeypatch.setattr(validator, "allowed_origins", ["example.com"])
    for origin, accepted in ((b"https://example.com", True), (b"https://example.org", False)):
        socket = WebsocketCommunicator(application, "/ws/", headers=[(b"origin", origin)])
        assert (await socket.connect())[0] is accepted
        await socket.disconnect()


async def test_authentication_refuses_the_socket_to_strangers():
    """Who has not logged in gets no socket."""
    socket = WebsocketCommunicator(example("authentication").Demultiplexer.as_asgi(), "/ws/")
    socket.scope["user"] = AnonymousUser()
    accepted, _ = await socket.connect()
    assert not accepted
    await socket.disconnect()


@pytest.mark.parametrize(("is_staff", "answer"), [(True, (True, None)), (False, (False, 4403))])
async def test_authentication_refuses_the_stream_to_those_without_the_right(is_staff, answer):
    """Who may not have the stream still has the socket."""
    socket = DemultiplexerCommunicator(example("authentication").Demultiplexer.as_asgi(), "/ws/")
    socket.scope["user"] = User(pk=1, is_staff=is_staff)
    await socket.connect()
    assert await socket.stream("report").connect() == answer
    await socket.disconnect()


async def test_logging_out_closes_the_socket(receivers):
    """The signal of Django's logout closes the user's socket."""
    user = User(pk=1)
    socket = DemultiplexerCommunicator(example("logout").Demultiplexer.as_asgi(), "/ws/")
    socket.scope["user"] = user
    await socket.connect()
    await user_logged_out.asend(sender=User, request=None, user=user)
    while (message := await socket.receive_output())["type"] != "websocket.close":
        pass
    assert message == {"type": "websocket.close", "code": 4401, "reason": "logged out"}
    await socket.disconnect(4401)


@pytest.mark.parametrize(
    ("name", "sent", "received"),
    [
        ("echo", "1", ['{"echo": 1}']),
        ("log", None, ["line 0", "line 1"]),
        ("greeted", None, ["hello"]),
        ("hello", None, [b"hello"]),
        ("room/7/", '"hi"', ['{"room": "room-7", "said": "hi"}']),
        ("api/echo/", "1", ['{"echo": 1}']),
        ("api/room/7/", '"hi"', ['{"room": "room-7", "said": "hi"}']),
    ],
)
async def test_composition_serves_every_kind_of_child(name, sent, received):
    """Each entry of the example is a stream that answers."""
    socket = DemultiplexerCommunicator(example("composition").Demultiplexer.as_asgi(), "/ws/")
    stream = socket.stream(name)
    assert await stream.connect() == (True, None)
    if sent is not None:
        await stream.send_to(text_data=sent)
    assert [await stream.receive_from() for _ in received] == received
    await stream.disconnect()


async def test_one_socket_serves_what_the_urls_serve():
    """A room's direct socket and its stream hear each other."""
    application = example("one_socket").application
    direct = WebsocketCommunicator(application, "/ws/room/3/")
    stream = DemultiplexerCommunicator(application, "/ws/").stream("ws/room/3/")
    for communicator in (direct, stream):
        assert await communicator.connect() == (True, None)
    await direct.send_json_to("hello")
    said = {"room": "room-3", "said": "hello"}
    assert [await direct.receive_json_from(), await stream.receive_json_from()] == [said, said]
    await stream.disconnect()
    await direct.disconnect()


DOCUMENT = "document/6fa459ea-ee8a-3ca4-894e-db77e160355e/"


@pytest.mark.parametrize(
    ("name", "query", "version"),
    [
        (DOCUMENT, None, "latest"),
        (f"{DOCUMENT}?version=3", None, "3"),
        (f"{DOCUMENT}?version=3#left", None, "3"),
        (DOCUMENT, "version=4", "4"),
    ],
)
async def test_arguments_reach_the_consumer(name, query, version):
    """Arguments come from the path, from the name's query or from the field of `open`."""
    socket = DemultiplexerCommunicator(example("arguments").Demultiplexer.as_asgi(), "/ws/")
    stream = socket.stream(name, query=query)
    await stream.connect()
    content = await stream.receive_json_from()
    assert content == {"document": content["document"], "version": version}
    assert str(content["document"]) in DOCUMENT
    await stream.disconnect()


async def test_a_lazy_stream_opens_at_its_first_frame():
    """A client needs no `open` for a lazy stream."""
    socket = WebsocketCommunicator(example("lazy").Demultiplexer.as_asgi(), "/ws/")
    await socket.connect()
    await socket.send_json_to({"stream": "sum", "payload": [1, 2]})
    assert await socket.receive_json_from() == {"stream": "sum", "payload": {"sum": 3}}
    await socket.disconnect()


def test_flow_control_is_set_by_attributes_and_for_a_stream():
    """The attributes of the example are the connection's options, and `child` has its own."""
    demultiplexer = example("flow_control").Demultiplexer
    options = demultiplexer.check()
    assert options.stream_capacity == 20
    assert options.max_frame_size == 65536
    own = {stream.name: stream.settings for stream in demultiplexer.streams()}
    assert own == {
        "echo": {},
        "positions": {"stream_overflow": "reject", "stream_capacity": 5},
        "document/<int:document_id>/": {"stream_overflow": "close"},
    }


async def test_messages_can_be_changed_on_their_way():
    """What the parent makes of a frame is what is delivered."""
    socket = WebsocketCommunicator(example("messages").Demultiplexer.as_asgi(), "/ws/")
    await socket.connect()
    await socket.send_json_to({"stream": "old-echo", "payload": 1})
    assert await socket.receive_json_from() == {"stream": "echo", "payload": {"echo": 1}}
    await socket.disconnect()


async def hold_a_conversation() -> None:
    """Open a stream, have a frame rejected, and close the stream."""
    socket = DemultiplexerCommunicator(example("arguments").Demultiplexer.as_asgi(), "/ws/")
    await socket.connect()
    room = socket.stream("room/1/?as=ann#2")
    await room.connect()
    await socket.send_json_to({"stream": "nobody", "payload": 1})
    await socket.receive_json_from()
    await room.disconnect(4999)
    await socket.disconnect()


async def test_metrics_are_counted(receivers):
    """The signals feed the counters, whose labels a client cannot invent."""
    example("metrics")
    await hold_a_conversation()
    value = prometheus_client.REGISTRY.get_sample_value
    assert value("streams_opened_total", {"kind": "room"}) == 1
    assert value("streams_open", {"kind": "room"}) == 0
    assert value("streams_closed_total", {"kind": "room", "code": "other"}) == 1
    assert value("frames_rejected_total", {"status": "404"}) == 1


async def test_the_audit_trail_is_written(receivers, caplog):
    """The signals feed the log."""
    example("audit")
    with caplog.at_level("INFO", "audit"):
        await hold_a_conversation()
    assert [record.getMessage() for record in caplog.records if record.name == "audit"] == [
        "user None opened 'room/1/?as=ann#2'",
        "user None: a frame for 'nobody' was answered with 404",
        "user None: 'room/1/?as=ann#2' ended with 4999",
    ]


async def test_the_tests_of_the_page_on_testing_pass():
    """Each test that the page shows passes."""
    tests = [
        test for name, test in vars(example("consumer_tests")).items() if name.startswith("test_")
    ]
    assert len(tests) == 4
    for test in tests:
        await test()


def test_the_logging_settings_show_what_is_logged():
    """Under the settings of the example, INFO of the demultiplexer's logger is printed."""
    script = (
        "import logging.config\n"
        "from docs.examples.logging_settings import LOGGING\n"
        "logging.config.dictConfig(LOGGING)\n"
        "logging.getLogger('channels_demultiplexer').info('seen')\n"
        "logging.getLogger('channels_demultiplexer').debug('unseen')\n"
    )
    # In a process of its own, whose logging may be configured.
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr.endswith(" INFO channels_demultiplexer: seen\n")


# What the page on security says.


async def test_a_stream_name_cannot_forge_a_line_of_the_log(caplog):
    """A line break in a stream's name does not begin a line in the log."""

    class Crasher(AsyncJsonWebsocketConsumer):
        async def connect(self):
            raise RuntimeError("asked to")

    demultiplexer = WebsocketDemultiplexer.as_asgi(consumer_classes={"<int:number>/": Crasher})
    socket = DemultiplexerCommunicator(demultiplexer, "/ws/")
    assert await socket.stream("1/#\nERROR forged").connect() == (False, 1011)
    await socket.disconnect()
    [record] = caplog.records
    assert record.getMessage() == r"stream '1/#\nERROR forged' of '/ws/' crashed"


# What a forge and a package index show.


def test_the_readme_renders_without_sphinx():
    """The README is plain reStructuredText, and links to nothing that is only in a clone."""
    stream = io.StringIO()
    settings = {"warning_stream": stream, "syntax_highlight": "none"}
    text = (ROOT / "README.rst").read_text()
    html = docutils.core.publish_string(text, writer="html5", settings_overrides=settings).decode()
    assert not stream.getvalue()
    links = re.findall(r'<a [^>]*class="reference external"[^>]*href="([^"]+)"', html)
    assert links
    assert all(link.startswith("https://") for link in links)


def test_the_readme_names_the_commands_of_the_makefile():
    """Each `make` command of the README is a target."""
    targets = set(re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake (\w+)", (ROOT / "README.rst").read_text()))
    assert named - {"python3"} <= targets
    assert {"demo", "test"} <= named


def blocks_of(language: str) -> list[object]:
    """Return the blocks of the pages in a language, each with its place."""
    found: list[object] = []
    for path in sorted(DOCS.rglob("*.rst")):
        name = str(path.relative_to(DOCS).with_suffix(""))
        for number, block in enumerate(blocks(name)):
            if block.language == language and block.literal:
                found.append(pytest.param(block.text, id=f"{name}-{number}"))
    return found


@pytest.mark.parametrize("text", blocks_of(""))
def test_a_block_of_python_is_python(text):
    """What a page shows as Python compiles."""
    compile(text, "block", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("text", blocks_of("json"))
def test_a_block_of_json_is_json(text):
    """What a page shows as JSON is one value or several."""
    while text.strip():
        _, end = json.JSONDecoder().raw_decode(text.strip())
        text = text.strip()[end:]


@pytest.mark.parametrize("text", blocks_of("console"))
def test_a_block_of_the_terminal_names_what_there_is(text):
    """What is typed runs a command, and each `make` command is a target."""
    commands = [line[2:] for line in text.splitlines() if line.startswith("$ ")]
    assert commands
    makefile = (ROOT / "Makefile").read_text()
    for words in (command.split() for command in commands if command.startswith("make ")):
        for target in itertools.takewhile(lambda word: word != "#", words[1:]):
            assert "=" in target or re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_every_inventory_is_read_by_sphinx():
    """The names that pages link to in others' documentation are in the inventories."""
    known = {
        line.split()[0]
        for path in (DOCS / "inventories").iterdir()
        for line in path.read_text().splitlines()
        if not line.startswith("#")
    }
    role = re.compile(r":(?:class|exc|func|meth|mod):`~?((?:channels|django|asyncio)\.[\w.]+)`")
    named = {name for path in DOCS.rglob("*.rst") for name in role.findall(path.read_text())}
    assert named
    assert named <= known
