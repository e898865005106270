"""
One random connection: a server, a client and children that do what a seed says, in virtual time.

`Scenario.random(seed)` says what happens, `play` lets it happen and returns what was observed, in
order. What of it is right, says `lifecycle_model`.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import gc
import itertools
import json
import logging
import sys
import warnings
from collections import deque
from collections.abc import Coroutine
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, NamedTuple

from channels.layers import InMemoryChannelLayer, channel_layers
from channels.routing import URLRouter
from django.urls import path

from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

from .lifecycle_children import FOREVER, ODD_CODES, Life, child
from .lifecycle_credit import Keeper
from .virtual_time import VirtualLoop

# What is observed.


class Event(NamedTuple):
    """Something that was observed: `life` is the child's that it is about, if any."""

    time: float
    kind: str
    life: Life | None = None
    value: Any = None

    def __str__(self) -> str:
        who = "" if self.life is None else f" {self.life.name}:{self.life.number}"
        return f"{self.time:8.3f}{who} {self.kind} {'' if self.value is None else self.value}"


# What happens.


class Act(NamedTuple):
    """What the client does: `kind` names a method of `World`."""

    kind: str
    args: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Scenario:
    """What happens on one connection. Two plays of it are alike."""

    seed: int
    #: The class's attributes, its fixed streams apart.
    settings: dict[str, Any]
    #: The names of the fixed streams.
    fixed: tuple[str, ...]
    #: Whether there are parametrised and mounted streams too.
    on_demand: bool
    #: plain, hooked (with receive_json) or member (with groups and handlers besides).
    parent: str
    #: The messages that the server takes while the client does not read.
    buffer: int
    #: Whether the server writes a message before it waits for the client, or after.
    writes_first: bool
    #: How often the server's send lets others go first.
    yields: int
    #: Whether the server's send raises when the client has gone.
    raises: bool
    #: Whether the server refuses close codes but 1000 and those of applications, as Daphne does.
    picky: bool
    #: Whether some children are sync consumers, in real threads.
    sync: bool
    #: The streams for which the client keeps to its credit.
    keeps: tuple[str, ...]
    acts: tuple[Act, ...] = field(repr=False)
    #: How it ends: a kind of Act's, too.
    ends: tuple[Act, ...] = field(repr=False)

    @classmethod
    def random(cls, seed: int) -> Scenario:
        """Return the scenario of a seed."""
        random = Random(seed)
        fixed = tuple("abc"[: random.randint(0, 3)])
        on_demand = not fixed or random.random() < 0.6
        sync = random.random() < 0.01
        parent = random.choices(["plain", "hooked", "member"], [7, 2, 1])[0]
        settings = {
            "stream_capacity": random.randint(1, 5),
            "stream_overflow": random.choice(["pause", "reject", "close"]),
            "stall_timeout": random.choice([0.0531, 0.3711]),
            "consumer_close_timeout": random.choice([0.0717, 0.4193]),
            "max_streams": random.choice([1, 2, 3, 4, 100]),
            "max_frame_size": 300,
            "max_waiting_size": random.choice([5, 30, 10**6, 10**6]),
            "lazy": random.random() < 0.3,
            "close_when_empty": random.random() < 0.7,
        }
        if settings["stream_overflow"] == "reject":
            # Else the moment in which a frame is refused, which counts as taken, is not known.
            settings["max_waiting_size"] = 10**6
        names = [*fixed, *fixed, "a#1", "b?q=1"]  # the last may not be declared
        if on_demand:
            names += ["room/5/", "room/5/#2", "chat/x/", "chat/y/?q"]
        # Few names, so that much happens to each.
        names = random.sample(names, min(len(names), random.randint(1, 4)))
        # All, some or none, by the seed itself: what else it stands for stays as it was.
        keeps = [] if parent == "member" or seed % 2 == 0 else list(dict.fromkeys(names))
        acts = _random_acts(random, names, parent)
        return cls(
            seed=seed,
            settings=settings,
            fixed=fixed,
            on_demand=on_demand,
            parent=parent,
            buffer=random.choice([0, 1, 3]),
            writes_first=random.random() < 0.5,
            yields=random.choice([0, 0, 1, 2]),
            raises=random.random() < 0.5,
            picky=random.random() < 0.3,
            sync=sync,
            keeps=tuple(keeps[seed % 3 :]),
            # No more than are handled in one breath: when a frame that has waited for room goes on
            # is seen in the reading of the next message.
            acts=tuple(acts[:60]),
            ends=_random_ends(random),
        )

    def without(self, *numbers: int) -> Scenario:
        """Return the scenario without the acts of these numbers."""
        acts = tuple(act for number, act in enumerate(self.acts) if number not in numbers)
        return replace(self, acts=acts)


def _random_acts(random: Random, names: list[str], parent: str) -> list[Act]:
    acts = []
    for number in range(random.choice([3, 8, 15, 40])):
        name = random.choice(names)
        kind = random.choices(
            ["data", "binary", "open", "close", "reopen", "ping", "bad", "wait", "spin", "read",
             "burst", "note"],
            [12, 0 if parent == "member" else 3, 8, 5, 2, 1, 1, 9, 6, 2, 2, 1],
        )[0]  # fmt: skip
        if kind == "reopen":
            acts += [
                Act("close", (name, None, None)),
                Act("open", (name, None, None, random.random() < 0.5)),
            ]
            acts += [Act("data", (name, f"[{number}]", True))] * random.randint(0, 2)
        elif kind == "burst":
            acts += [
                Act("data", (name, f"[{number}, {each}]", True))
                for each in range(random.randint(2, 12))
            ]
        else:
            acts.append(Act(kind, _random_args(random, kind, name, number)))
    return acts


def _random_args(random: Random, kind: str, name: str, number: int) -> tuple[Any, ...]:
    if kind == "data":
        if random.random() < 0.3:
            return (name, f'text {number} "}},{{{{', False)
        return (name, random.choice([f"[{number}]", f' {{"n" : {number}}} ', f'"{number}"']), True)
    if kind == "binary":
        return (name, b"bytes %d" % number)
    if kind == "open":
        credit = random.choice([None, None, False, True, True])
        return (name, random.choice([None, ["s1", "s2"]]), random.choice([None, "", "x=1"]), credit)
    if kind == "close":
        return (name, random.choice([None, 4001, 1000]), random.choice([None, "why"]))
    if kind == "ping":
        return (random.choice([None, "1", '{"a": [] }']),)
    if kind == "bad":
        return (*random.choice(_BAD),)
    if kind == "wait":
        return (random.choice([0.01, 0.1, 0.5, 2]) * random.random(),)
    if kind == "spin":
        return (random.randint(1, 12),)
    if kind == "read":
        return (random.random() < 0.4,)
    return ()


#: Messages that are answered with an error: message, status, name of the stream.
_BAD: list[tuple[Any, int, str | None]] = [
    ("", 400, None),
    ("nonsense", 400, None),
    ("[1]", 400, None),
    ("{}", 400, None),
    ('{"stream": 1, "payload": 1}', 400, None),
    ('{"stream": "", "payload": 1}', 400, None),
    ('{"stream": "a"}', 400, "a"),
    ('{"stream": "a", "payload": 1, "text": "1"}', 400, "a"),
    ('{"stream": "a", "text": 1}', 400, "a"),
    ('{"stream": "a", "event": "opened"}', 400, "a"),
    ('{"stream": "a", "event": "close", "code": 999}', 400, "a"),
    ('{"stream": "a", "event": "open", "query": null}', 400, "a"),
    ('{"event": "open"}', 400, None),
    (json.dumps({"stream": "a", "payload": "x" * 300}), 413, None),
    (b"\x01a" + b"x" * 300, 413, None),
    (b"", 400, None),
    (b"\x00a", 400, None),
    (b"\x09a", 400, None),
    ('{"stream": "nope", "payload": 1}', 404, "nope"),
    ('{"stream": "nope", "event": "open"}', 404, "nope"),
    ('{"stream": "room/x/", "event": "close"}', 404, "room/x/"),
    (b"\x04nope!", 404, "nope"),
]


def _random_ends(random: Random) -> tuple[Act, ...]:
    spin = Act("spin", (random.randint(0, 25),))
    pause = random.choice([Act("settle"), spin, spin, Act("wait", (random.random(),))])
    leave = Act("leave", (random.choice([1000, 1001, 1006]),))
    cancels = [Act("cancel"), spin] * random.randint(1, 3)
    end = random.choice(
        [
            [leave],
            [leave],
            [Act("shut", (random.choice([None, 4010, *ODD_CODES]), random.choice([None, "bye"])))],
            [Act("shut", (None, None)), spin, Act("shut", (4011, None))],
            [Act("break")],
            cancels,
            cancels,
            [leave, spin, *cancels],
            [Act("shut", (None, None)), spin, *cancels],
            [Act("break"), spin, *cancels],
        ]
    )
    return (pause, *end)


# The demultiplexer.


class Parent(WebsocketDemultiplexer):
    """Lets the world find the instance."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        scope["world"].parent = self
        await super().__call__(scope, receive, send)


class Hooked(Parent):
    """Sees every text frame."""

    async def receive_json(self, content: Any, **kwargs: Any) -> None:
        world = self.scope["world"]
        for _ in range(world.scenario.yields):
            await asyncio.sleep(0)
        world.log("handles")
        await super().receive_json(content, **kwargs)


class Member(Hooked):
    """Is a member of a group, too."""

    groups = ["everyone"]

    async def disconnect(self, code: int) -> None:
        await asyncio.sleep(0.01)

    async def note(self, message: dict[str, Any]) -> None:
        """Ignore the notes to the group."""


def application(scenario: Scenario) -> Any:
    """Return the ASGI application of a scenario."""
    base = {"plain": Parent, "hooked": Hooked, "member": Member}[scenario.parent]
    classes: dict[str, Any] = dict.fromkeys(scenario.fixed, child)
    patterns: list[Any] = []
    if scenario.on_demand:
        classes["room/<int:number>/"] = child
        patterns = [path("chat/", URLRouter([path("<slug:name>/", child)]))]
    attributes = {**scenario.settings, "consumer_classes": classes, "urlpatterns": patterns}
    return type("Demultiplexer", (base,), attributes).as_asgi()


# The server and the client.


class World:
    """The server of one connection, its client, and what is observed."""

    def __init__(self, scenario: Scenario, loop: VirtualLoop) -> None:
        self.scenario = scenario
        self.loop = loop
        self.events: list[Event] = []
        self.lives: list[Life] = []
        self.numbers = itertools.count()
        self.layer = InMemoryChannelLayer()
        self.parent: WebsocketDemultiplexer | None = None
        self.task: asyncio.Task[None]
        self._helpers: set[asyncio.Task[None]] = set()
        self._input: deque[tuple[dict[str, Any], Any]] = deque()
        # Is replaced whenever something has changed that a send or receive may wait for.
        self._change: asyncio.Future[None] = loop.create_future()
        self._unread = 0
        self._reading = True
        self._gone = False
        self._broken = False
        self._shut = False
        eager = () if scenario.settings["lazy"] else scenario.fixed
        self._keepers = {name: Keeper(name in eager, self._feed) for name in scenario.keeps}
        self._unheard: list[dict[str, Any]] = []

    def log(self, kind: str, life: Life | None = None, value: Any = None) -> None:
        self.events.append(Event(self.loop.now, kind, life, value))

    def begin(self, scope: Any, receive: Any, send: Any) -> Life:
        """Note a life that begins."""
        name = scope["demultiplexer"]["stream"]
        number = sum(life.name == name for life in self.lives)
        life = Life(self, number, scope, receive, send)
        self.lives.append(life)
        life.log("begins")
        return life

    def help(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a task beside the application, which may end after it."""
        task = asyncio.create_task(coroutine)
        self._helpers.add(task)
        task.add_done_callback(self._helpers.discard)

    async def run(self) -> None:
        """Play the scenario; return when the application has ended."""
        scope = {
            "type": "websocket",
            "path": "/",
            "query_string": b"of=socket",
            "headers": [],
            "subprotocols": [],
            "world": self,
        }
        serve = application(self.scenario)
        self._feed({"type": "websocket.connect"}, ("connect",))
        self.task = asyncio.create_task(serve(scope, self._receive, self._send))
        for act in (*self.scenario.acts, *self.scenario.ends):
            if self.task.done():
                break
            await getattr(self, act.kind)(*act.args)
        await asyncio.wait({self.task}, timeout=FOREVER / 10)
        if not self.task.done():
            self.log("hangs")
            return
        error = None if self.task.cancelled() else self.task.exception()
        self.log("returns", value=asyncio.CancelledError() if self.task.cancelled() else error)
        while self._helpers:
            await asyncio.wait(self._helpers)
        for life in self.lives:
            life.drain()

    # The server.

    async def _receive(self) -> dict[str, Any]:
        self.log("asks")
        while not self._input:
            await asyncio.shield(self._change)
        message, meaning = self._input.popleft()
        self.log("takes", value=meaning)
        return message

    async def _send(self, message: dict[str, Any]) -> None:
        pump = asyncio.current_task() is self.task
        if '"event":"credit"' in message.get("text", ""):
            self.log("grants", value=json.loads(message["text"])["stream"])
        for _ in range(self.scenario.yields):
            await asyncio.sleep(0)
        if self.scenario.picky and message["type"] == "websocket.close":
            code = message.get("code", 1000)
            if code != 1000 and not 3000 <= code <= 4999:
                raise ValueError(f"{code} is no close code")
        lost = self._gone or self._broken
        if lost or self.scenario.writes_first:
            self._write(message)
        try:
            while not (self._reading or self._unread < self.scenario.buffer or self._lost):
                await asyncio.shield(self._change)
        except asyncio.CancelledError:
            if lost or self.scenario.writes_first:
                self.log("unsure", value=pump)
            raise
        if not (lost or self.scenario.writes_first):
            self._write(message)
        if self._broken or (self._gone and self.scenario.raises):
            error = OSError("the client has gone")
            self.log("raises", value=(pump, error))
            raise error
        self.log("sent", value=pump)
        if not pump:
            # Whoever waits for an answer to be taken gets to know of it right after this.
            self.loop.call_soon(self.log, "told")

    @property
    def _lost(self) -> bool:
        return self._gone or self._broken

    def _write(self, message: dict[str, Any]) -> None:
        self.log("writes", value=message)
        self._unread += not self._reading
        self._unheard.append(message)
        self._hear()
        if message["type"] == "websocket.close" and not self._shut:
            # As a server does when the client has answered.
            self._shut = True
            code = message.get("code", 1000)
            self.loop.call_later(0.01, self._disconnect, code)

    def _hear(self) -> None:
        """Let the client keep account of what it has read."""
        while self._reading and self._unheard:
            frame = json.loads(self._unheard.pop(0).get("text") or "{}")
            keeper = self._keepers.get(frame.get("stream"))
            if keeper is not None and "event" in frame and frame["event"] != "error":
                keeper.hear(frame)

    def _changed(self) -> None:
        change, self._change = self._change, self.loop.create_future()
        change.set_result(None)

    def _feed(self, message: dict[str, Any], meaning: Any) -> None:
        self._input.append((message, meaning))
        self._changed()

    def _disconnect(self, code: int) -> None:
        if not self._gone:
            self._gone = True
            self._feed({"type": "websocket.disconnect", "code": code}, ("disconnect", code))

    # The client.

    def _text(self, text: str, *meaning: Any) -> None:
        self._feed({"type": "websocket.receive", "text": text}, meaning)

    def _data(self, name: str, message: dict[str, Any], meaning: Any) -> None:
        """Send a data frame, when the stream's credit allows it where the client keeps to that."""
        keeper = self._keepers.get(name)
        (self._feed if keeper is None else keeper.send)(message, meaning)

    async def data(self, name: str, content: str, is_json: bool) -> None:
        key, value = ("payload", content) if is_json else ("text", json.dumps(content))
        # The space around a value is none of it.
        wanted = content.strip() if is_json else content
        text = f'{{"{key}": {value},"stream":{json.dumps(name)}}}'
        self._data(name, {"type": "websocket.receive", "text": text}, ("data", name, wanted))

    async def binary(self, name: str, content: bytes) -> None:
        data = bytes([len(name.encode())]) + name.encode() + content
        message = {"type": "websocket.receive", "bytes": data}
        self._data(name, message, ("binary", name, content))

    async def open(
        self, name: str, subprotocols: list[str] | None, query: str | None, credit: bool | None
    ) -> None:
        if name in self._keepers:
            if not self._keepers[name].open():
                return
            credit = True
        fields = {"subprotocols": subprotocols, "query": query, "credit": credit}
        if self.scenario.parent == "member":
            # With a channel, the moment in which a frame that has waited goes on is not known.
            credit = fields["credit"] = None
        self._control(name, "open", fields, subprotocols or [], query, bool(credit))

    async def close(self, name: str, code: int | None, reason: str | None) -> None:
        if name in self._keepers and not self._keepers[name].close():
            return
        self._control(name, "close", {"code": code, "reason": reason}, code or 1000, reason or "")

    def _control(self, name: str, event: str, fields: dict[str, Any], *meaning: Any) -> None:
        given = {key: value for key, value in fields.items() if value is not None}
        self._text(json.dumps({"stream": name, "event": event, **given}), event, name, *meaning)

    async def ping(self, payload: str | None) -> None:
        part = "" if payload is None else f', "payload": {payload}'
        self._text(f'{{"event": "ping"{part}}}', "ping", payload)

    async def bad(self, message: str | bytes, status: int, name: str | None) -> None:
        key = "text" if isinstance(message, str) else "bytes"
        # Whether it has spent credit.
        is_data = name is not None and status == 400 and "event" not in str(message)
        meaning = ("bad", status, name, is_data)
        send = functools.partial(self._data, name) if is_data and name else self._feed
        send({"type": "websocket.receive", key: message}, meaning)

    async def wait(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def spin(self, times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0)

    async def read(self, reading: bool) -> None:
        self._reading = reading
        self._unread = 0
        self._hear()
        self._changed()

    async def note(self) -> None:
        """Somebody sends a note to the group."""
        await self.layer.group_send("everyone", {"type": "note", "number": next(self.numbers)})

    # The ends.

    async def settle(self) -> None:
        """Read all there is, and wait until nothing happens any more."""
        await self.read(True)
        seen = -1
        while seen != len(self.events) and not self.task.done():
            seen = len(self.events)
            await asyncio.sleep(FOREVER / 50)
        if not self._gone and not self.task.done():
            self.log("settles", value=len(self._input))

    async def leave(self, code: int) -> None:
        self._disconnect(code)

    async def shut(self, code: int | None, reason: str | None) -> None:
        """The class closes the socket."""
        if self.parent is None or not any(event.kind == "sent" for event in self.events):
            self._disconnect(1006)
            return
        self.help(self._shut_parent(self.parent, code, reason))
        self.loop.call_later(1, self._disconnect, 1006)

    async def _shut_parent(self, parent: Any, code: int | None, reason: str | None) -> None:
        self.log("shuts", value=(1000 if code is None else code, reason or ""))
        with contextlib.suppress(OSError):
            await parent.close(code, reason)

    # `break` is a word of Python's.
    async def _break(self) -> None:
        self._broken = True
        self._changed()
        self.loop.call_later(0.05, self._disconnect, 1006)

    async def cancel(self) -> None:
        """The server gives the application up."""
        self.log("cancels")
        self._gone = True
        self._changed()
        self.task.cancel()


setattr(World, "break", World._break)


# The run.


class Records(logging.Handler):
    """What was logged, and to the world the changes of streams' states."""

    def __init__(self, world: World) -> None:
        super().__init__(logging.DEBUG)
        self.world = world
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.records.append(record)
        elif record.msg.startswith("stream ") and isinstance(record.args, tuple):
            name, before, after = record.args
            self.world.log("changes", value=(name, before.name, after.name))


@dataclass
class Outcome:
    """What was observed of a scenario."""

    scenario: Scenario
    events: list[Event]
    lives: list[Life]
    #: The library's warnings and errors.
    records: list[logging.LogRecord]
    #: What the loop, the garbage collector and asyncio's logger complained of.
    complaints: list[str]
    #: The tasks that were left.
    tasks: list[str]
    layer: InMemoryChannelLayer


def play(scenario: Scenario) -> Outcome:
    """Play a scenario."""
    complaints: list[str] = []
    loop = VirtualLoop(real_threads=scenario.sync)
    # Where the loop's time passes, the socket waits for room, and that is no work.
    loop.monotonic = lambda: 0.0
    loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
    world = World(scenario, loop)
    library, asyncios = Records(world), Records(world)
    channel_layers.set("default", world.layer)
    loggers = {"channels_demultiplexer": library, "asyncio": asyncios}
    for name, handler in loggers.items():
        logging.getLogger(name).addHandler(handler)
        logging.getLogger(name).propagate = False
    logging.getLogger("channels_demultiplexer").setLevel(logging.DEBUG)
    hook, sys.unraisablehook = sys.unraisablehook, lambda what: complaints.append(str(what))
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            tasks = _run(loop, world.run())
            gc.collect(1)
    finally:
        sys.unraisablehook = hook
        for name, handler in loggers.items():
            logging.getLogger(name).removeHandler(handler)
            logging.getLogger(name).propagate = True
        logging.getLogger("channels_demultiplexer").setLevel(logging.NOTSET)
        channel_layers.backends.clear()
    complaints += [str(warning.message) for warning in caught]
    complaints += [record.getMessage() for record in asyncios.records]
    return Outcome(
        scenario, world.events, world.lives, library.records, complaints, tasks, world.layer
    )


def _run(loop: VirtualLoop, coroutine: Coroutine[Any, Any, None]) -> list[str]:
    """Run the coroutine; return the tasks that it leaves, which are ended then."""
    try:
        loop.run_until_complete(coroutine)
        left = asyncio.all_tasks(loop)
        names = [str(task) for task in left]
        for _ in range(10):
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.wait(left, timeout=1))
        return names
    finally:
        loop.close()
