"""
What the protocol says of a connection that was observed: a model of `docs/protocol.rst`.

It knows nothing of the library's code, only the order in which the server took the client's
messages, the children received and sent, and the server was given messages to send; and the
states that streams log, which tell the moment of a stall.

Where it takes more than one outcome for right:

- What becomes of a frame that waits for room is read from what follows (`Model.fate`), and where
  nothing follows it may have been delivered or not: no event tells of it. Whether there was room
  is checked, and when it was judged, but for the very moment of the judgement.
- Once the server has been told to give up, or has said that the client has gone, what was to be
  said may stay unsaid, frames may be lost, and a disconnect has any code that an end has had:
  several ends race, and the protocol does not say which comes first.
- Since the client has gone, what waits and who has a place is not followed (`Stream.loose`).
- With a group (the parent `member`), the demultiplexer asks for the next message some steps after
  it has handled one: when a frame that has waited went on is not known, and nobody asks for credit.
- Under `reject`, `max_waiting_size` is never reached: what is refused counts as taken, and the
  moment of the refusal shows only in the error.
- A consumer that is no script may take what time it wants to end.
"""

from __future__ import annotations

import json
import re
from asyncio import CancelledError
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from .lifecycle import Event, Outcome, Scenario
from .lifecycle_children import Life

# Seconds by which two moments may differ that are meant to be the same.
_TICK = 1e-6

# Seconds that a child has for its turn before the policies `reject` and `close` judge it.
_TURN = 0.05

OPENING, OPEN, CLOSING, CLOSED = "opening", "open", "closing", "closed"


class Violation(AssertionError):
    """What was observed is not what the protocol says."""


def expect(condition: object, what: str) -> None:
    """Raise a Violation that says `what` unless the condition holds."""
    if not condition:
        raise Violation(what)


@dataclass(eq=False)
class Stream:
    """A life of a stream, from its `open` on."""

    name: str
    subprotocols: list[str]
    query: str
    #: What the stream's child is, once it has begun.
    life: Life | None = None
    state: str = OPENING
    predecessor: Stream | None = None
    accepted: bool = False
    subprotocol: str | None = None
    #: Whether an `open` waits for the child to accept.
    wanted: bool = False
    #: Whether what the child sends is dropped.
    muted: bool = False
    code: int = 1000
    reason: str = ""
    #: The code of the child's websocket.disconnect, and when it was told.
    told: int | None = None
    #: When its time to end began: where it closes itself, when the client was told.
    told_at: float | None = None
    #: What the child has received of connect and disconnect.
    connected: bool = False
    disconnected: bool = False
    #: The data that the child has not received, whether its first was handed over, and whether
    #: a receive of the child's waits.
    inbox: deque[Data] = field(default_factory=deque)
    handed: bool = False
    asking: int = 0
    #: Whether it has taken nothing since it was last waited for.
    idle: bool = False
    #: The client's credit, what its `open` is to be told of it, and whether a grant waits for the
    #: server, and the child for it.
    credit: Credit | None = None
    promised: int | None = None
    grants: int = 0
    given_up: bool = False
    #: Whether its end was told to the client, or needs not be.
    answered: bool = False
    #: Whether its child has ended, and everything about it.
    concluded: bool = False
    finished: bool = False
    #: Whether the socket has ended before its turn came.
    late: bool = False
    #: Whether it began when nothing that was said could be heard any more.
    loose: bool = False
    #: Whether it stalled before it began.
    stalled: bool = False

    @property
    def held(self) -> bool:
        return self.grants > 0

    @property
    def live(self) -> bool:
        return self.state in (OPENING, OPEN)

    @property
    def counts(self) -> bool:
        """Whether the socket isn't empty for it, and it has a place: until its end is told."""
        return self.live or (self.stalled and self.state == CLOSING)

    @property
    def waiting(self) -> int:
        """The data frames that wait, which the one being handled doesn't."""
        return len(self.inbox) - self.handed

    def takes(self) -> bool:
        """Give a receive that waits what it waits for; return whether there is a frame for it."""
        if self.handed or self.held or self.disconnected:
            return False
        self.handed = bool(self.asking and self.accepted and self.inbox)
        self.idle = self.idle and not self.handed
        return self.handed


@dataclass
class Credit:
    """The places of an inbox where nothing waits."""

    #: Those which the client may fill.
    unused: int
    #: Those which the child has emptied since the last grant.
    ungranted: int = 0


@dataclass(eq=False)
class Data:
    """A data frame for a child."""

    message: dict[str, Any]
    #: Whether the child may as well never have got it.
    optional: bool = False

    @property
    def size(self) -> int:
        """The bytes in which the child receives it."""
        text = self.message.get("text")
        return len(self.message["bytes"] if text is None else text.encode())


@dataclass(eq=False)
class Expected:
    """A message that the server is to be given, and what follows from it."""

    frame: dict[str, Any] | bytes
    #: The number of the child's send, None for control frames.
    number: int | None = None
    #: The text that is to be in it, verbatim.
    payload: str | None = None
    #: The stream whose end it tells.
    ends: Stream | None = None
    #: The stream of whose credit it tells, and whether the server was given it.
    grants: Stream | None = None
    given: bool = False

    def matches(self, message: dict[str, Any]) -> bool:
        if isinstance(self.frame, bytes):
            return message.get("bytes") == self.frame
        text = message.get("text")
        if text is None or json.loads(text) != self.frame:
            return False
        head = json.dumps({"stream": self.frame["stream"]}, separators=(",", ":"))[:-1]
        if self.payload is not None:
            return bool(text == f'{head},"payload":{self.payload}}}')
        return bool(text.startswith(head))


class Model:
    """Follows the events of a connection."""

    def __init__(self, scenario: Scenario, events: list[Event]) -> None:
        self.scenario = scenario
        self.events = events
        self.position = 0
        self.now = 0.0
        settings = scenario.settings
        self.lazy: bool = settings["lazy"]
        self.capacity: int = settings["stream_capacity"]
        self.policy: str = settings["stream_overflow"]
        self.stall_timeout: float = settings["stall_timeout"]
        self.close_timeout: float = settings["consumer_close_timeout"]
        self.max_streams: int = settings["max_streams"]
        self.eager = () if self.lazy else scenario.fixed
        on_demand = scenario.on_demand or (self.lazy and scenario.fixed)
        self.close_when_empty = settings["close_when_empty"] and not on_demand
        #: The latest life of each name that has not ended.
        self.streams: dict[str, Stream] = {}
        self.used: set[str] = set()
        self.all: list[Stream] = []
        self.by_life: dict[Life, Stream] = {}
        self.to_begin: dict[str, deque[Stream]] = defaultdict(deque)
        #: What is to be sent, by stream.
        self.expected: dict[str, deque[Expected]] = defaultdict(deque)
        #: What is to be answered to the message that was taken last: a pong or an error.
        self.answer: tuple[Any, ...] | None = None
        #: The message that a hooked class has yet to handle.
        self.pending: tuple[Any, ...] | None = None
        #: The stream for which it has a malformed data frame.
        self.malformed: str | None = None
        #: The data frame that waits for room: stream, message, when the policy judges.
        self.blocked: tuple[Stream, Data, float] | None = None
        #: What becomes of it: delivered, refused (409), rejected (429), stalled or unknown.
        self.blocked_fate = ""
        self.unrefused = False
        #: When there was room for it.
        self.resumed_at: float | None = None
        #: Whether the client reads all the time.
        self.fluent = all(act.args != (False,) for act in scenario.acts)
        #: What the server is sending, and what it has taken, which is not known yet.
        self.sending: Expected | str | None = None
        self.taken: deque[Expected | str | None] = deque()
        self.accepted = False
        self.ended = False
        #: From here on, the end may have come, and the child's codes may be one of these.
        self.relaxed = False
        self.end_codes: set[int] = set()
        #: The websocket.close that is to be sent.
        self.closing: tuple[int, str] | None = None
        self.closed = False
        #: Whether the server has refused to send.
        self.gone = False
        self.cancelled = False

    def run(self) -> None:
        for position, event in enumerate(self.events):
            self.position = position
            self.now = event.time
            self.advance(event.time)
            kind = event.kind.replace(" ", "_")
            if event.life is None:
                getattr(self, f"on_{kind}")(event)
            else:
                getattr(self, f"child_{kind}")(event, self.stream_of(event))
            self.check_credit()

    def stream_of(self, event: Event) -> Stream:
        assert event.life is not None
        if event.kind == "begins":
            return self.begin(event.life)
        return self.by_life[event.life]

    def check_credit(self) -> None:
        """What waits, what the client may send and what is not granted are the capacity."""
        for stream in () if self.relaxed else self.streams.values():
            if stream.credit is not None:
                parts = (stream.waiting, stream.credit.unused, stream.credit.ungranted)
                expect(sum(parts) == self.capacity, f"{parts} are not the capacity")

    # Time.

    def advance(self, now: float) -> None:
        """A frame waits for room until the policy judges, and no longer."""
        if self.blocked is None or self.relaxed or self.ended:
            return
        stream, _, deadline = self.blocked
        if now < deadline + _TICK or self.blocked_fate == "refused":
            return
        if self.policy == "reject" and self.blocked_fate in ("rejected", "unknown"):
            self.blocked = None
            return
        expect(False, f"the inbox of {stream.name} is full for longer than it may be")

    def on_asks(self, event: Event) -> None:
        """The socket is read on as soon as a full inbox has room."""
        self.go_on()
        unrefused, self.unrefused = self.unrefused, False
        if unrefused and not (self.ended or self.relaxed):
            raise Violation("a frame for a stream that has ended was not refused")
        resumed, self.resumed_at = self.resumed_at, None
        if resumed is not None and not (self.ended or self.relaxed):
            expect(event.time < resumed + _TICK, "the socket is not read though there is room")

    def on_changes(self, event: Event) -> None:
        """A stream that ends though nobody has ended it has stalled."""
        if self.blocked is None or self.blocked[0].name != event.value[0]:
            return
        stream, _, deadline = self.blocked
        _, before, after = event.value
        if before in ("OPENING", "OPEN") and after in ("CLOSING", "CLOSED"):
            if event.time < deadline - _TICK:
                # Where the end may have come, that was it.
                expect(self.relaxed, f"{stream.name} stalls before its time")
                return
            self.blocked = None
            self.stall(stream, event.time)

    def go_on(self) -> None:
        """Deliver what has waited for room."""
        if self.blocked is None or self.blocked_fate not in ("delivered", "unknown"):
            return
        stream, data, _ = self.blocked
        put = self.put(stream, data)
        if not put and self.scenario.parent == "member" and self.resumed_at is not None:
            # It went straight to a call that waited, and was given back since.
            stream.inbox.append(data)
            put = True
        if put:
            data.optional = self.blocked_fate == "unknown"
            self.blocked = None

    # The client's messages.

    def on_takes(self, event: Event) -> None:
        meaning = event.value
        if not (self.ended or self.relaxed):
            expect(self.answer is None, f"the next message is read, but {self.answer} is not sent")
            expect(self.pending is None, f"{self.pending} was never handled")
            expect(self.blocked is None, "the socket is read though an inbox is full")
        kind = meaning[0]
        if kind == "connect":
            return
        if kind == "disconnect":
            self.end_codes.add(meaning[1])
            if self.scenario.parent == "member":
                self.relaxed = True
            elif not self.relaxed:
                self.end(meaning[1], event.time)
            return
        if self.scenario.parent == "plain" or kind == "binary":
            self.act(meaning, event.time)
        elif kind == "bad":
            self.act((*meaning[:3], False), event.time)
            self.malformed = meaning[2] if meaning[3] else None
        else:
            self.pending = meaning

    def on_handles(self, event: Event) -> None:
        meaning, self.pending = self.pending, None
        malformed, self.malformed = self.malformed, None
        if malformed is not None and not self.ended:
            self.missed(malformed)
        if meaning is not None:  # what is refused after the hook was answered for when taken
            self.act(meaning, event.time)

    def act(self, meaning: tuple[Any, ...], now: float) -> None:
        if self.ended:
            return
        kind, *args = meaning
        if kind == "bad":
            self.answer = ("error", *args[:2])
            if args[2]:
                self.missed(args[1])
        elif kind == "ping":
            self.answer = ("pong", *args)
        else:
            status = getattr(self, f"client_{kind}")(*args, now) if self.declares(args[0]) else 404
            if status is not None:
                self.answer = ("error", status, args[0])

    def declares(self, name: str) -> bool:
        path = re.split("[?#]", name)[0]
        return path in self.scenario.fixed or (
            self.scenario.on_demand and path.startswith(("room/", "chat/"))
        )

    def client_data(self, name: str, content: str, now: float) -> int | None:
        return self.deliver(name, {"type": "websocket.receive", "text": content}, now)

    def client_binary(self, name: str, content: bytes, now: float) -> int | None:
        return self.deliver(name, {"type": "websocket.receive", "bytes": content}, now)

    def deliver(self, name: str, message: dict[str, Any], now: float) -> int | None:
        stream = self.streams.get(name)
        if stream is None:
            if not (self.lazy and name in self.scenario.fixed and name not in self.used):
                return 409
            if self.too_many(name):
                return 429
            stream = self.add(name, [], None, now)
        if not stream.live:
            return 409
        data = Data(message, optional=self.gone)
        if self.gone:
            # What waits on the connection is not known any more.
            stream.inbox.append(data)
            stream.takes()
            return None
        if self.put(stream, data):
            return None
        kept = name in self.scenario.keeps and self.scenario.settings["max_waiting_size"] == 10**6
        expect(not kept, f"the inbox of {name} is full though the client keeps to its credit")
        patience = self.stall_timeout if self.policy == "pause" else 0 if stream.idle else _TURN
        stream.idle = True
        self.blocked = (stream, data, now + patience)
        self.blocked_fate = self.fate()
        return {"refused": 409, "rejected": 429}.get(self.blocked_fate)

    def put(self, stream: Stream, data: Data) -> bool:
        straight = stream.asking and stream.accepted and not (stream.inbox or stream.held)
        if not straight and not self.has_room(stream, data):
            return False
        stream.inbox.append(data)
        self.spend(stream)
        self.hand_over(stream)
        return True

    def has_room(self, stream: Stream, data: Data) -> bool:
        """Whether a frame may wait for the child."""
        credited = stream.credit is not None and stream.credit.unused > 0
        room = stream.waiting < self.capacity
        return (room or credited) and self.fits(data)

    def spend(self, stream: Stream) -> None:
        """Count a frame of the client."""
        if stream.credit is not None:
            if stream.credit.unused:
                stream.credit.unused -= 1
            else:
                stream.credit.ungranted -= 1

    def hand_over(self, stream: Stream) -> None:
        """Give a receive that waits what it waits for."""
        if stream.takes():
            self.count_taken(stream)

    def count_taken(self, stream: Stream) -> None:
        """Grant the client more, once that is half of the capacity."""
        credit = stream.credit
        if credit is None:
            return
        credit.ungranted += 1
        self.grant(stream)

    def grant(self, stream: Stream) -> None:
        """Grant what is due: not before the answer to the `open`, nor beside another grant."""
        credit = stream.credit
        if credit is None or not stream.accepted or stream.held:
            return
        if credit.ungranted >= (self.capacity + 1) // 2:
            granted, credit.ungranted = credit.ungranted, 0
            credit.unused += granted
            stream.grants += not self.gone
            frame = {"stream": stream.name, "event": "credit", "credit": granted}
            self.expected[stream.name].append(Expected(frame, grants=stream))

    def missed(self, name: str) -> None:
        """Count a data frame of the client that does not reach the inbox as taken."""
        stream = self.streams.get(name)
        if stream and stream.live and stream.credit is not None and stream.credit.unused:
            self.spend(stream)
            self.count_taken(stream)

    def fits(self, data: Data) -> bool:
        """Whether all that waits on the connection leaves room for a frame."""
        waiting = [each for stream in self.all for each in list(stream.inbox)[stream.handed :]]
        size = sum(each.size for each in waiting)
        return not waiting or size + data.size <= self.scenario.settings["max_waiting_size"]

    def fate(self) -> str:
        """What becomes of the frame that waits for room: what was sent next will tell."""
        ending = False
        for event in self.events[self.position + 1 :]:
            if event.kind == "takes":
                ending = ending or event.value[0] == "disconnect"
                return "unknown" if ending else "delivered"
            if event.kind == "writes" and '"event":"error"' in event.value.get("text", ""):
                return "rejected" if '"status":429' in event.value["text"] else "refused"
            ending = ending or event.kind in ("shuts", "cancels", "raises")
            ending = ending or (event.kind == "writes" and event.value["type"] != "websocket.send")
        return "unknown"

    def client_open(
        self, name: str, subprotocols: list[str], query: str | None, credit: bool, now: float
    ) -> int | None:
        stream = self.streams.get(name)
        if stream is None or not stream.live:
            if self.too_many(name):
                return 429
            stream = self.add(name, subprotocols, query, now)
        free = None
        if credit:
            places = self.capacity - stream.waiting
            free = max(0, places)
            # Where a frame was given back, more may wait than has a place.
            stream.credit = Credit(free, min(0, places))
        if stream.accepted:
            self.expect_opened(stream, free)
        else:
            stream.wanted = True
            stream.promised = free if credit else stream.promised
        return None

    def client_close(self, name: str, code: int, reason: str, now: float) -> int | None:
        stream = self.streams.get(name)
        if stream is None or not stream.live:
            return 409
        self.leave(stream, CLOSING, code, reason)
        self.tell(stream, code, now)
        return None

    # Streams.

    def too_many(self, name: str) -> bool:
        cleaning = sum(not stream.counts and not stream.finished for stream in self.all)
        live = sum(stream.counts and stream.name not in self.eager for stream in self.all)
        if name not in self.eager and live >= self.max_streams:
            return True
        return live + cleaning >= 2 * self.max_streams

    def add(self, name: str, subprotocols: list[str], query: str | None, now: float) -> Stream:
        self.used.add(name)
        if query is None:
            query = name.partition("#")[0].partition("?")[2] if "?" in name else "of=socket"
        stream = Stream(name, subprotocols, query, predecessor=self.streams.get(name))
        self.streams[name] = stream
        self.all.append(stream)
        self.to_begin[name].append(stream)
        return stream

    def begin(self, life: Life) -> Stream:
        if self.gone:
            # Who has got a place of the few that there are, nobody can tell.
            stream = Stream(life.name, [], "", life=life)
            stream.loose = True
            self.all.append(stream)
            self.by_life[life] = stream
            return stream
        expect(self.to_begin[life.name], f"a child of {life.name} begins that nobody opened")
        stream = self.by_life[life] = self.to_begin[life.name].popleft()
        expect(not stream.late, f"a child of {life.name} begins though the socket has ended")
        before = stream.predecessor
        expect(before is None or before.finished, "a life begins before the one before is over")
        stream.life = life
        if stream.told is not None and not stream.stalled:
            stream.told_at = self.events[self.position].time
        expect(life.scope["subprotocols"] == stream.subprotocols, "wrong subprotocols")
        expect(life.scope["query_string"] == stream.query.encode(), "wrong query_string")
        return stream

    def leave(self, stream: Stream, state: str, code: int, reason: str) -> None:
        stream.state, stream.code, stream.reason = state, code, reason
        # No credit after a close of either side.
        queue = self.expected[stream.name]
        self.expected[stream.name] = deque(
            each for each in queue if each.grants is not stream or each.given
        )
        stream.credit, stream.grants = None, 0
        stream.takes()
        if state == CLOSED and self.streams.get(stream.name) is stream:
            del self.streams[stream.name]
        if self.blocked is not None and self.blocked[0] is stream:
            # Unless this closes the socket, the frame is refused.
            late = self.blocked_fate == "delivered" and self.resumed_at is not None
            self.unrefused = self.blocked_fate == "delivered" and not late
            self.blocked[1].optional = True
            if self.blocked_fate == "unknown" or late:
                stream.inbox.append(self.blocked[1])
            self.blocked = None
            if self.fluent:
                self.resumed_at = self.events[self.position].time

    def tell(self, stream: Stream, code: int, now: float | None) -> None:
        if stream.told is None:
            stream.told = code
        if stream.told_at is None:
            stream.told_at = now

    def finish_by_server(
        self, stream: Stream, code: int, reason: str, now: float | None = None
    ) -> None:
        """End a stream from the server's side."""
        stream.muted = True
        self.leave(stream, CLOSED, code, reason)
        self.tell(stream, code, now)
        self.expect_closed(stream)
        self.empty(stream)

    def empty(self, stream: Stream) -> None:
        """Close the socket where the server's side has ended the last stream."""
        if self.close_when_empty and not any(each.counts for each in self.all):
            self.close_socket(stream.code, stream.reason, self.now)

    def stall(self, stream: Stream, now: float) -> None:
        for data in list(stream.inbox)[stream.handed :]:
            # Where the end may have come, the stream may not have stalled.
            data.optional = True
        if not self.relaxed:
            stream.inbox = deque(list(stream.inbox)[: stream.handed])
        if stream.life is None and stream.predecessor and not stream.predecessor.finished:
            self.leave(stream, CLOSING, 1013, "")
            stream.stalled = True
        else:
            self.finish_by_server(stream, 1013, "")

    def over(self, stream: Stream) -> None:
        """Tell the end of the next life of a name, where that has stalled."""
        for each in self.all if stream.finished else ():
            if each.predecessor is stream and each.stalled and each.state == CLOSING:
                self.finish_by_server(each, 1013, "")

    def expect_opened(self, stream: Stream, credit: int | None) -> None:
        frame: dict[str, Any] = {
            "stream": stream.name,
            "event": "open",
            "subprotocol": stream.subprotocol,
        }
        if credit is not None:
            frame["credit"] = credit
        self.expected[stream.name].append(Expected(frame))

    def expect_closed(self, stream: Stream) -> None:
        frame = {
            "stream": stream.name,
            "event": "close",
            "code": stream.code,
            "reason": stream.reason,
        }
        self.expected[stream.name].append(Expected(frame, ends=stream))

    # The end of the socket.

    def end(self, code: int, now: float) -> None:
        if self.ended:
            return
        self.ended = True
        self.end_codes.add(code)
        for stream in self.all:
            if stream.finished:
                continue
            stream.muted = True
            before = stream.predecessor
            stream.late = before is not None and not before.finished
            if stream.state != CLOSED:
                self.leave(stream, CLOSED, code, "")
                stream.answered = True
            self.tell(stream, code, now)

    def close_socket(self, code: int, reason: str, now: float) -> None:
        if self.ended:
            return
        if self.relaxed:
            # The end may have come before.
            self.end_codes.add(self.closes_with(code, reason, picky=False)[0])
            self.closing = self.closing or (code, reason)
            return
        self.end(self.closes_with(code, reason, picky=False)[0], now)
        self.closing = (code, reason)

    def closes_with(self, code: int, reason: str, picky: bool | None = None) -> tuple[int, str]:
        """Return what a socket closes with, which a server that is picky takes."""
        if picky is None:
            picky = self.scenario.picky
        protocols = {1000} if picky else {*range(1000, 1004), *range(1007, 1015)}
        if code not in protocols and not 3000 <= code <= 4999:
            code = code + 3000 if 1001 <= code <= 1999 else 4000
        return code, reason.encode()[:123].decode(errors="ignore")

    def on_shuts(self, event: Event) -> None:
        self.close_socket(*event.value, event.time)

    def on_cancels(self, event: Event) -> None:
        self.relaxed = self.cancelled = True
        self.end_codes.add(1006)

    # What the server is given to send.

    def on_writes(self, event: Event) -> None:
        message = event.value
        expect(self.sending is None, "a message is sent before the one before was taken")
        expect(not self.closed, f"{message} is sent after websocket.close")
        kind = message["type"]
        if kind == "websocket.accept":
            expect(not self.accepted, "the socket is accepted twice")
            self.accepted = True
            self.sending = kind
        elif kind == "websocket.close":
            self.closed = True
            sent = (message.get("code", 1000), message.get("reason", ""))
            wanted = self.closing and self.closes_with(*self.closing)
            expect(sent == wanted, f"the socket is closed with {sent}, not {wanted}")
            self.sending = kind
        else:
            expect(kind == "websocket.send" and self.accepted, f"{message} is no message to send")
            self.sending = self.written(message)

    def written(self, message: dict[str, Any]) -> Expected | str:
        if message.get("text") is None:
            data = message["bytes"]
            return self.written_of(data[1 : 1 + data[0]].decode(), message)
        frame = json.loads(message["text"], parse_constant=lambda what: expect(False, what))
        if frame.get("event") in ("error", "pong"):
            expect(self.answer is not None, f"{frame} answers nothing")
            assert self.answer is not None
            kind, *args = self.answer
            self.answer = None
            if kind == "pong":
                payload = {} if args[0] is None else {"payload": json.loads(args[0])}
                expect(frame == {"event": "pong", **payload}, f"{frame} is not the pong")
            else:
                status, name = args
                if status == 429:
                    self.blocked = None
                named = {} if name is None else {"stream": name}
                text = frame.pop("payload")
                expect(list(text) == ["error"] and isinstance(text["error"], str), str(text))
                wanted = {"event": "error", "status": status, **named}
                expect(frame == wanted, f"{frame} is sent, not {wanted}")
            return str(frame["event"])
        return self.written_of(frame["stream"], message)

    def written_of(self, name: str, message: dict[str, Any]) -> Expected:
        queue = self.expected[name]
        while queue:
            expected = queue.popleft()
            if expected.matches(message):
                return expected
            # Where the end may have come, what was to be said is not said any more.
            if not (self.relaxed or self.ended):
                raise Violation(f"{message} is sent, not {expected.frame!r}")
        raise Violation(f"{message} is sent, which nothing asks for")

    def on_grants(self, event: Event) -> None:
        """The server is given a grant, which it has not written yet."""
        for expected in self.expected[event.value]:
            if expected.grants is not None and not expected.given:
                expected.given = True
                return
        expect(self.gone or self.ended or self.relaxed, f"credit of {event.value} was withdrawn")

    def on_sent(self, event: Event) -> None:
        sending, self.sending = self.sending, None
        if event.value:
            self.after(sending, event.time)
        else:
            self.taken.append(sending)

    def on_told(self, event: Event) -> None:
        self.after(self.taken.popleft(), event.time)

    def on_raises(self, event: Event) -> None:
        """The client has gone: nobody is told anything from here on."""
        sending, self.sending = self.sending, None
        self.relaxed = self.gone = True
        self.end_codes.add(1013)  # what stalls is not known any more
        self.after(sending, event.time)
        for stream in self.all:
            stream.finished = stream.finished or stream.concluded

    def on_unsure(self, event: Event) -> None:
        sending, self.sending = self.sending, None
        self.after(sending, event.time)

    def after(self, sending: Expected | str | None, now: float) -> None:
        if sending == "websocket.accept" and not self.ended:
            for name in self.eager:
                self.add(name, [], None, now)
        if not isinstance(sending, Expected):
            return
        if sending.grants is not None and sending.grants.grants:
            sending.grants.grants -= 1
            self.grant(sending.grants)
            self.hand_over(sending.grants)
            self.room()
        if sending.ends is not None:
            self.tell(sending.ends, sending.ends.code, now)
            sending.ends.answered = True
            sending.ends.finished = sending.ends.concluded
            self.over(sending.ends)

    # The children.

    def child_begins(self, event: Event, stream: Stream) -> None:
        """It has been checked by `begin`."""

    def child_asks(self, event: Event, stream: Stream) -> None:
        stream.asking += 1
        if stream.connected:
            self.hand_over(stream)
            self.room()

    def child_asks_no_more(self, event: Event, stream: Stream) -> None:
        if stream.handed and stream.credit is not None:
            stream.credit.ungranted -= 1  # it gives a frame back
        stream.asking -= not stream.given_up
        stream.given_up = stream.handed = False

    def child_gives_up(self, event: Event, stream: Stream) -> None:
        """A receive that is being cancelled waits for nothing any more."""
        if stream.asking and not stream.handed:
            stream.asking -= 1
            stream.given_up = True
            # What waits for room was to go straight to it.
            self.resumed_at = None
            self.room()

    def room(self) -> None:
        """Deliver the frame that waits for room, where there is some."""
        if self.blocked is None or self.blocked_fate == "refused":
            return
        stream, data, deadline = self.blocked
        if self.blocked_fate == "rejected":
            # In the very moment of the judgement only.
            room = stream.waiting < self.capacity and self.fits(data)
            expect(not room or self.now > deadline - _TICK, "a frame is rejected for which is room")
            return
        straight = stream.asking and stream.accepted and not (stream.inbox or stream.held)
        if self.resumed_at is None and stream.live and (straight or self.has_room(stream, data)):
            self.resumed_at = self.events[self.position].time

    def child_receives(self, event: Event, stream: Stream) -> None:
        waited = self.blocked is not None and self.blocked[1].message == event.value
        if waited and not stream.inbox:
            self.go_on()
        stream.asking -= 1
        self.received(stream, event.value)
        self.room()

    def received(self, stream: Stream, message: dict[str, Any]) -> None:
        """Check what the child of a stream receives."""
        where = f"the child of {stream.name}"
        kind = message["type"]
        expect(not stream.disconnected, f"{where} receives {message} after its disconnect")
        if kind == "websocket.connect":
            expect(not stream.connected, f"{where} receives a second connect")
            stream.connected = True
            return
        expect(stream.connected, f"{where} receives {message} before its connect")
        if stream.loose:
            stream.disconnected = kind == "websocket.disconnect"
            return
        if kind == "websocket.receive":
            expect(stream.accepted, f"{where} receives {message} before it accepted")
            stream.handed = False
            while stream.inbox and stream.inbox[0].optional:
                if stream.inbox[0].message == message:
                    break
                stream.inbox.popleft()
            expect(stream.inbox, f"{where} receives {message}, which nobody sent")
            data = stream.inbox.popleft()
            expect(data.message == message, f"{where} receives {message}, not {data.message}")
            return
        expect(kind == "websocket.disconnect", f"{where} receives {message}")
        stream.disconnected = True
        left = [data.message for data in stream.inbox if not data.optional]
        lost = left and stream.accepted and not self.relaxed
        expect(not lost, f"{where} never receives {left}")
        codes = self.end_codes if self.relaxed else set()
        expect(
            message["code"] in {stream.told, *codes},
            f"{where} receives {message}, not {stream.told}",
        )

    def child_sends(self, event: Event, stream: Stream) -> None:
        if stream.loose:
            return
        number, message = event.value
        if stream.muted:
            return
        kind = message["type"]
        if kind == "websocket.accept":
            if not stream.accepted:
                self.accept(stream, message.get("subprotocol"))
        elif kind == "websocket.close":
            if stream.state == CLOSING:
                stream.muted = True
            else:
                code = message.get("code")
                if code is None:
                    code = 1000 if stream.accepted else 4403
                reason = message.get("reason") or ""
                self.finish_by_server(stream, code, reason)
        elif kind == "websocket.send" and stream.accepted:
            expected = self.data_frame(stream.name, message)
            if expected is not None:
                expected.number = number
                self.expected[stream.name].append(expected)

    def accept(self, stream: Stream, subprotocol: str | None) -> None:
        stream.accepted = True
        stream.subprotocol = subprotocol
        if stream.state == OPENING:
            stream.state = OPEN
        if stream.wanted:
            stream.wanted = False
            self.expect_opened(stream, stream.promised)
        self.grant(stream)
        self.hand_over(stream)
        self.room()

    def data_frame(self, name: str, message: dict[str, Any]) -> Expected | None:
        text = message.get("text")
        if text is None:
            return Expected(bytes([len(name)]) + name.encode() + message["bytes"])
        if re.search("[\ud800-\udfff]", text):
            return None
        try:
            payload = json.loads(text, parse_constant=lambda what: expect(False, what))
        except (ValueError, Violation):
            return Expected({"stream": name, "text": text})
        return Expected({"stream": name, "payload": payload}, payload=text)

    def child_failed(self, event: Event, stream: Stream) -> None:
        number = event.value[0]
        queue = self.expected[stream.name]
        for expected in queue:
            if expected.number == number:
                queue.remove(expected)
                break

    def child_done(self, event: Event, stream: Stream) -> None:
        """The server has taken what the child sent, as `on_sent` has seen."""

    def child_cancelled(self, event: Event, stream: Stream) -> None:
        if event.value or self.relaxed:
            return  # it cancelled itself, or the time of its end is not known
        expect(stream.told_at is not None, f"the child of {stream.name} is cancelled for nothing")
        assert stream.told_at is not None
        times = (event.time - stream.told_at) / self.close_timeout
        expect(
            times > 0.99 and abs(times - round(times)) < 0.001,
            f"the child of {stream.name} is cancelled after {times} of its time",
        )

    def child_ends(self, event: Event, stream: Stream) -> None:
        life = event.life
        assert life is not None
        if stream.told_at is not None and not self.relaxed and life.scripted:
            limit = stream.told_at + 4 * self.close_timeout
            expect(event.time < limit, f"the child of {stream.name} is not cancelled in time")

    def child_concludes(self, event: Event, stream: Stream) -> None:
        stream.concluded = stream.muted = True
        stream.finished = self.gone
        if stream.state == CLOSING:
            stream.state = CLOSED
            if self.streams.get(stream.name) is stream:
                del self.streams[stream.name]
            self.expect_closed(stream)
        elif stream.live:
            assert event.life is not None
            code = 1011
            if event.life.error is None:
                code = 1000 if stream.accepted else 4403
            self.finish_by_server(stream, code, "", event.time)
        else:
            stream.finished = stream.answered or self.gone
        self.over(stream)
        # Nobody is there to take what still waits.
        stream.inbox.clear()
        self.room()

    # The ends of the play.

    def on_settles(self, event: Event) -> None:
        """Nothing happens any more, though the client reads: everything was answered."""
        if self.relaxed:
            return
        expect(self.closing is None or self.closed, "the socket was never closed")
        if self.ended:
            return
        for name, queue in self.expected.items():
            expect(not queue, f"{name} was never told {[expected.frame for expected in queue]}")
        expect(self.answer is None, f"the client was never told {self.answer}")
        expect(self.blocked is None, "the socket is not read any more")
        expect(event.value == 0, f"{event.value} messages were never read")
        for stream in self.all:
            waits = stream.predecessor and not stream.predecessor.finished
            expect(stream.life or waits, f"no child was begun for {stream.name}")
            over = not stream.concluded or stream.finished
            expect(over, f"{stream.name} was never finished")

    def on_hangs(self, event: Event) -> None:
        raise Violation("the application does not end")

    def on_returns(self, event: Event) -> None:
        error = event.value
        cancelled = self.cancelled and isinstance(error, CancelledError)
        expect(error is None or cancelled, f"the application raised {error!r}")
        for stream in self.all:
            if stream.life is not None:
                expect(stream.life.ended, f"the child of {stream.name} was left alone")


def check(outcome: Outcome) -> None:
    """
    Check what was observed.

    Raises:
        Violation: if it is not what the protocol says.
    """
    model = Model(outcome.scenario, outcome.events)
    try:
        model.run()
    except Violation as violation:
        event = outcome.events[model.position]
        raise Violation(f"{violation}\nat {model.position}: {event}") from None
    expect(not outcome.complaints, f"complaints: {outcome.complaints}")
    expect(not outcome.tasks, f"tasks are left: {outcome.tasks}")
    _check_leftovers(model, outcome)
    _check_groups(outcome)
    _check_records(model, outcome)


def _check_leftovers(model: Model, outcome: Outcome) -> None:
    """What a child did not receive was waiting for it, up to its disconnect."""
    for life, stream in model.by_life.items():
        for message in life.unread:
            model.received(stream, message)
        expect(stream.disconnected, f"the child of {life.name} never got a disconnect")


def _check_groups(outcome: Outcome) -> None:
    # As on a socket of its own, a consumer that crashes leaves its groups to expire.
    excused = {life.channel for life in outcome.lives if life.error is not None}
    members = {channel for group in outcome.layer.groups.values() for channel in group}
    expect(members <= excused, f"{members - excused} are still members of groups")
    unread = {name for name, queue in outcome.layer.channels.items() if queue.empty()}
    expect(not unread, f"{unread} are still channels")


def _check_records(model: Model, outcome: Outcome) -> None:
    """Every crash is logged, once."""
    logged = Counter(record.args[0] for record in outcome.records if "crashed" in record.msg)
    killed = {record.args[0] for record in outcome.records if "cancelled" in record.msg}
    # What is cancelled because its time is over has not crashed.
    crashed = Counter(
        life.name
        for life in outcome.lives
        if life.error is not None
        and (life.cancelled_itself or not isinstance(life.error, CancelledError))
    )
    excused = Counter(
        life.name
        for life in outcome.lives
        if isinstance(life.error, CancelledError) and life.cancelled_itself and life.name in killed
    )
    for name in crashed:
        number = logged.pop(name, 0)
        wanted = range(crashed[name] - excused[name], crashed[name] + 1)
        expect(number in wanted, f"{name} crashed {wanted} times, which was logged {number} times")
    expect(not logged, f"{logged} were logged as crashed")
