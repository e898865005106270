"""What the package promises to have: its names, its types, its version."""

from __future__ import annotations

import configparser
import importlib
import pkgutil
import subprocess
import sys
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

import pytest

import channels_demultiplexer

ROOT = Path(__file__).parent.parent

EXPORTS = {
    "apps": ["ChannelsDemultiplexerConfig"],
    "asgi": ["ASGIApplication", "ASGIView", "Message", "Receive", "Scope", "Send"],
    "asyncapi": ["document"],
    "checks": ["CHECKS", "check_channel_layers", "check_demultiplexers", "check_settings"],
    "child": ["Child", "child", "inner_of", "is_router", "unwrap"],
    "child_task": ["ChildTask"],
    "client": [
        "Answer",
        "Connection",
        "FrameRefused",
        "Stream",
        "StreamClosed",
        "StreamError",
        "StreamRefused",
        "connect",
    ],
    "client_errors": ["FrameRefused", "StreamClosed", "StreamError", "StreamRefused"],
    "client_stream": ["Answer", "MAX_QUEUE", "Stream"],
    "close_codes": [
        "CloseCode",
        "cut_reason",
        "disconnect_message",
        "plain_code",
        "plain_disconnect",
        "sendable",
    ],
    "conf": [
        "Fault",
        "Options",
        "PREFIX",
        "SETTINGS",
        "Setting",
        "child_fault",
        "faults",
        "nearest",
        "options_of",
    ],
    "connection": ["Connection"],
    "control": [
        "Close",
        "FIELDS",
        "MAX_OPEN_SIZE",
        "Open",
        "Ping",
        "read_close",
        "read_open",
        "shown",
        "string_of",
        "wrong",
    ],
    "credit": ["Credit"],
    "database": [
        "aclose_due_connections",
        "are_pristine",
        "doubt_after",
        "is_due",
        "is_spared",
        "resolve_doubt",
        "spare",
    ],
    "declarations": [
        "ATTRIBUTES",
        "DeclarationError",
        "declared_route",
        "mounted_router",
        "wrong_arguments",
    ],
    "demultiplexer": ["WebsocketDemultiplexer", "child"],
    "envelope": ["Envelope", "NoEnvelope"],
    "exceptions": [
        "FrameError",
        "FrameTooLarge",
        "InboxFull",
        "MalformedFrame",
        "StreamNotOpen",
        "TooManyStreams",
        "UnknownStream",
    ],
    "frames": [
        "CONTROL_FIELDS",
        "Codec",
        "Data",
        "Frame",
        "SUBPROTOCOL",
    ],
    "inbox": ["Inbox", "Space"],
    "jsontext": [
        "Members",
        "decode",
        "encode",
        "is_json",
        "plain",
        "replace_surrogates",
    ],
    "listing": [
        "StreamDeclaration",
        "StreamKind",
        "dotted_name",
        "find_demultiplexers",
        "streams_of",
    ],
    "names": ["MAX_NAME_SIZE", "name_fault", "split_name"],
    "outbox": ["Outbox"],
    "receivers": ["cancel_all", "dispatch_from", "finish", "open_channel"],
    "routing": [
        "ASGIApplication",
        "ASGIView",
        "Match",
        "Message",
        "Receive",
        "Routes",
        "Scope",
        "Send",
    ],
    "shortcuts": ["spared", "spared_route"],
    "signals": ["announce", "frame_rejected", "stream_closed", "stream_opened"],
    "snapshot": ["Snapshot"],
    "status": ["StatusCodes"],
    "stream": ["Stream", "StreamState"],
    "testing": ["DemultiplexerCommunicator", "StreamCommunicator"],
}


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


@pytest.mark.parametrize("module", EXPORTS)
def test_exports(module: str) -> None:
    """A module has exactly these public names, and has them all."""
    loaded = importlib.import_module(f"channels_demultiplexer.{module}")
    assert sorted(loaded.__all__) == sorted(EXPORTS[module])
    assert all(hasattr(loaded, name) for name in EXPORTS[module])


def test_every_module() -> None:
    """Every module of the package itself is in the table."""
    found = {module.name for module in pkgutil.iter_modules(channels_demultiplexer.__path__)}
    assert found - {"management", "router"} == set(EXPORTS)


@pytest.mark.parametrize("error", [name for name in EXPORTS["exceptions"] if name != "FrameError"])
def test_tree_of_exceptions(error: str) -> None:
    """Each exception stands in the tree at the top of its module."""
    module = importlib.import_module("channels_demultiplexer.exceptions")
    assert f" * {error} ({getattr(module, error).status})\n" in module.__doc__


def test_typed() -> None:
    """The package says that it is typed."""
    assert files("channels_demultiplexer").joinpath("py.typed").is_file()


def test_version() -> None:
    """The version of the distribution is the one in setup.cfg."""
    metadata = configparser.ConfigParser()
    metadata.read(ROOT / "setup.cfg", encoding="utf-8")
    assert version("channels-demultiplexer") == metadata["metadata"]["version"] == "3.1.0"


def run(code: str) -> str:
    """Run `code` in a Python of its own, and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.mark.parametrize(
    "module",
    ["close_codes", "control", "envelope", "exceptions", "frames", "jsontext", "status"],
)
def test_wire_format_without_django(module: str) -> None:
    """A program that has no Django can read and write the wire format."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(['django', 'channels', 'asgiref'])); "
        f"import channels_demultiplexer.{module}; print('imported')"
    )
    assert run(code) == "imported"


def test_frames_import_nothing() -> None:
    """The wire format needs neither Django nor Channels nor anything that can wait."""
    code = (
        "import sys; before = set(sys.modules); import channels_demultiplexer.frames; "
        "print({name.partition('.')[0] for name in set(sys.modules) - before} "
        "& {'django', 'channels', 'asgiref', 'asyncio', 'logging'})"
    )
    assert run(code) == "set()"


def test_not_installed() -> None:
    """A demultiplexer works where the package is not in INSTALLED_APPS."""
    code = (
        "from django.conf import settings; settings.configure(); import django; django.setup(); "
        "from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer as D; "
        "print(D.as_asgi(max_streams=3).consumer_class.check().max_streams)"
    )
    assert run(code) == "3"
