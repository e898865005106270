"""The diagrams of these pages, drawn when the documentation is built: this is their source."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

#: Readable on a light page and on a dark one.
_STYLE = """\
text{font:14px system-ui,sans-serif;fill:#222}text.small{font-size:12px;fill:#555}
text.code{font:12px ui-monospace,monospace}.middle{text-anchor:middle}
.box{fill:#f4f6fa;stroke:#5b6b86;stroke-width:1.5}
.line{fill:none;stroke:#2a62b8;stroke-width:1.6}.head{fill:#2a62b8}.dashed{stroke-dasharray:4 4}
.axis{stroke:#9aa5b8}
@media(prefers-color-scheme:dark){text{fill:#e6e6e6}text.small{fill:#b0b0b0}
.box{fill:#232830;stroke:#8fa0bd}.line{stroke:#7fb0ff}.head{fill:#7fb0ff}}
"""


@dataclass
class Drawing:
    """An SVG in the making: boxes that are named by their text, and arrows between them."""

    width: int
    height: int
    title: str
    _parts: list[str] = field(default_factory=list)
    _boxes: dict[str, tuple[float, float, float, float]] = field(default_factory=dict)

    def text(self, x: float, y: float, text: str, kind: str = "") -> None:
        """Write at a point."""
        self._parts.append(f'<text x="{x:.0f}" y="{y:.0f}" class="{kind}">{escape(text)}</text>')

    def box(self, name: str, x: float, y: float, *, width: float = 150, note: str = "") -> None:
        """Draw a box whose upper left corner is at a point."""
        height = 52 if note else 36
        self._boxes[name] = (x, y, width, height)
        self._parts.append(
            f'<rect class="box" rx="7" x="{x}" y="{y}" width="{width}" height="{height}"/>'
        )
        self.text(x + width / 2, y + 23, name, "middle")
        if note:
            self.text(x + width / 2, y + 42, note, "middle small")

    def arrow(self, start: str, end: str, *, shift: float = 0, both: bool = False) -> None:
        """Draw an arrow from box to box, `shift` pixels to the left of its direction."""
        (x1, y1), (x2, y2) = self._middle(start), self._middle(end)
        length = math.hypot(x2 - x1, y2 - y1)
        dx, dy = (x2 - x1) / length, (y2 - y1) / length
        first, last = self._edge(start, dx, dy), self._edge(end, dx, dy)
        x1, y1 = x1 + dx * first + dy * shift, y1 + dy * first - dx * shift
        x2, y2 = x2 - dx * last + dy * shift, y2 - dy * last - dx * shift
        self.line(x1, y1, x2, y2, both=both)

    def axis(self, x: float, y1: float, y2: float) -> None:
        """Draw the time of a participant, downwards."""
        self._parts.append(f'<line class="axis" x1="{x}" y1="{y1}" x2="{x}" y2="{y2}"/>')

    def drop(self, start: str, y: float, *, dashed: bool) -> None:
        """Draw an arrow straight down from a box."""
        x, top, width, height = self._boxes[start]
        self.line(x + width / 2, top + height + 3, x + width / 2, y - 3, dashed=dashed)

    def line(
        self,
        x1: float,
        y1: float,
        x2: float,
        y2: float,
        *,
        both: bool = False,
        dashed: bool = False,
    ) -> None:
        """Draw an arrow from point to point."""
        kind = "line dashed" if dashed else "line"
        self._parts.append(
            f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'
        )
        length = math.hypot(x2 - x1, y2 - y1)
        dx, dy = (x2 - x1) / length, (y2 - y1) / length
        self._head(x2, y2, dx, dy)
        if both:
            self._head(x1, y1, -dx, -dy)

    def __str__(self) -> str:
        """Return the SVG."""
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
            f'width="{self.width}" height="{self.height}" role="img">'
            f"<title>{escape(self.title)}</title><style>{_STYLE}</style>"
            + "".join(self._parts)
            + "</svg>\n"
        )

    def _middle(self, name: str) -> tuple[float, float]:
        x, y, width, height = self._boxes[name]
        return x + width / 2, y + height / 2

    def _edge(self, name: str, dx: float, dy: float) -> float:
        """Return how far a box reaches from its middle in a direction, with some air."""
        _, _, width, height = self._boxes[name]
        sides = [width / 2 / abs(dx) if dx else math.inf, height / 2 / abs(dy) if dy else math.inf]
        return min(sides) + 3

    def _head(self, x: float, y: float, dx: float, dy: float) -> None:
        left = (x - dx * 9 + dy * 4, y - dy * 9 - dx * 4)
        right = (x - dx * 9 - dy * 4, y - dy * 9 + dx * 4)
        points = " ".join(f"{a:.1f},{b:.1f}" for a, b in ((x, y), left, right))
        self._parts.append(f'<polygon class="head" points="{points}"/>')


def overview() -> Drawing:
    """One socket, and what a consumer's trouble does to the others: nothing."""
    drawing = Drawing(760, 250, "One socket in the place of three")
    drawing.box("browser", 20, 100, width=110, note="or script")
    drawing.box("Demultiplexer", 270, 100, note="a consumer itself")
    drawing.arrow("browser", "Demultiplexer", both=True)
    drawing.text(200, 116, "one WebSocket", "middle small")
    for number, (name, stream) in enumerate(
        (
            ("NotificationConsumer", "notifications"),
            ("RoomConsumer", "room/5/"),
            ("ArticlesConsumer", "articles"),
        )
    ):
        drawing.box(name, 560, 20 + 80 * number, width=180, note="its scope, its task")
        drawing.arrow("Demultiplexer", name, both=True)
        drawing.text(490, (58, 118, 200)[number], stream, "middle code")
    return drawing


def stream_states() -> Drawing:
    """The life of a stream as its client sees it: what it sends (C) and gets (S)."""
    drawing = Drawing(760, 370, "The states of a stream")
    drawing.box("closed", 20, 160, width=110)
    drawing.box("opening", 320, 20, width=110)
    drawing.box("open", 630, 160, width=110, note="eager begin here")
    drawing.box("closing", 320, 310, width=110)
    drawing.arrow("closed", "opening", shift=8)
    drawing.text(120, 90, "C: open", "code")
    drawing.arrow("opening", "closed", shift=8)
    drawing.text(232, 136, "S: close (refused)", "code")
    drawing.text(232, 151, "or error 404, 429", "code")
    drawing.arrow("opening", "open")
    drawing.text(530, 90, "S: open", "code")
    drawing.arrow("open", "closed")
    drawing.text(440, 174, "S: close (the child ended)", "code")
    drawing.arrow("opening", "closing")
    drawing.text(383, 250, "C: close", "code")
    drawing.arrow("open", "closing")
    drawing.text(545, 275, "C: close", "code")
    drawing.arrow("closing", "closed")
    drawing.text(130, 275, "S: close", "code")
    return drawing


def tutorial(part: int) -> Drawing:
    """What the browser and the server hold after a part of the tutorial."""
    children = [
        ("ChatConsumer", "chat/lobby/"),
        ("ChatConsumer ", "chat/kitchen/"),
        ("NotificationConsumer", "notifications"),
        ("RoomsConsumer", "rooms"),
    ][:part]
    height = 40 + 64 * len(children)
    drawing = Drawing(760, height, f"One socket after part {part}")
    drawing.box("the page", 20, height / 2 - 26, width=130, note="browser client")
    drawing.box("Demultiplexer", 290, height / 2 - 26, note="/ws/")
    drawing.arrow("the page", "Demultiplexer", both=True)
    drawing.text(220, height / 2 - 10, "one WebSocket", "middle small")
    for number, (name, stream) in enumerate(children):
        drawing.box(name, 560, 26 + 64 * number, width=180, note=stream)
        drawing.arrow("Demultiplexer", name, both=True)
    return drawing


def credit() -> Drawing:
    """A client that keeps to credit, with an inbox of four places."""
    drawing = Drawing(760, 400, "A stream with credit, and another that goes on meanwhile")
    client, inbox, consumer, another = 75, 335, 520, 680
    for name, x in (
        ("client", client),
        ("inbox, 4 places", inbox),
        ("consumer", consumer),
        ("another", another),
    ):
        drawing.box(name, x - 65, 10, width=130)
        drawing.axis(x, 46, 390)
    steps = (
        (client, inbox, "open, credit: true", False),
        (inbox, client, "open, credit: 4", False),
        (client, inbox, "frames 1, 2, 3, 4; holds 5 and 6", False),
        (client, another, "a frame of another stream", True),
        (another, client, "its consumer's answer, at once", True),
        (inbox, consumer, "takes 1 and 2", False),
        (inbox, client, "credit: 2", False),
        (client, inbox, "frames 5 and 6", False),
    )
    for number, (start, end, label, other) in enumerate(steps):
        y = 88 + 40 * number
        way = 4 if end > start else -4
        drawing.line(start + way, y, end - way, y, dashed=other)
        drawing.text((start + end) / 2, y - 7, label, "middle small")
    return drawing


def authentication() -> Drawing:
    """Who decides about a socket, and who about a stream."""
    drawing = Drawing(760, 210, "Who decides about a socket, and who about a stream")
    steps = (
        ("Origin validator", "from which site?", "HTTP 403"),
        ("AuthMiddleware", "who is it?", ""),
        ("Demultiplexer", "may they connect?", "HTTP 403"),
        ("consumer", "may they do this?", "close, 4403"),
    )
    for number, (name, question, refusal) in enumerate(steps):
        drawing.box(name, 20 + 190 * number, 40, note=question)
        if number:
            drawing.arrow(steps[number - 1][0], name)
        if refusal:
            drawing.box(refusal, 40 + 190 * number, 150, width=110)
            drawing.arrow(name, refusal)
    drawing.text(285, 24, "once for the socket", "middle small")
    drawing.text(665, 24, "for each stream", "middle small")
    return drawing


def router_steps() -> Drawing:
    """The way of a request through the steps of its route."""
    drawing = Drawing(760, 240, "The steps of a route")
    steps = (
        ("payload_type", "400"),
        ("check_data", "400"),
        ("check_access", "403"),
        ("hydrate", "404, 400"),
        ("handler", "its status"),
        ("dehydrate", ""),
    )
    for number, (name, status) in enumerate(steps):
        drawing.box(name, 12 + 126 * number, 40, width=104)
        if number:
            drawing.arrow(steps[number - 1][0], name)
        if status:
            drawing.text(72 + 126 * number, 130, status, "code")
    drawing.box("the answer", 12, 180, width=734, note="with the request's uuid and a status")
    for number, (name, _) in enumerate(steps):
        drawing.drop(name, 180, dashed=number < 4)
    return drawing


def deployment() -> Drawing:
    """The processes of a production."""
    drawing = Drawing(720, 220, "Browsers, nginx, several servers, Redis and the database")
    drawing.box("browsers", 20, 100, width=100)
    drawing.box("nginx", 180, 92, width=120, note="TLS, least_conn")
    drawing.box("Uvicorn 8001", 370, 30, width=130, note="sockets of its own")
    drawing.box("Uvicorn 8002", 370, 150, width=130, note="sockets of its own")
    drawing.box("Redis", 590, 30, width=110, note="groups")
    drawing.box("database", 590, 150, width=110, note="sessions")
    drawing.arrow("browsers", "nginx", both=True)
    for server in "Uvicorn 8001", "Uvicorn 8002":
        drawing.arrow("nginx", server, both=True)
        drawing.arrow(server, "Redis", both=True)
        drawing.arrow(server, "database", both=True)
    return drawing


#: The diagrams, by the names of their files.
DIAGRAMS = {
    "overview": overview,
    "stream-states": stream_states,
    "tutorial-1": lambda: tutorial(1),
    "tutorial-2": lambda: tutorial(2),
    "tutorial-3": lambda: tutorial(3),
    "tutorial-4": lambda: tutorial(4),
    "credit": credit,
    "authentication": authentication,
    "router-steps": router_steps,
    "deployment": deployment,
}


def draw_all(directory: Path) -> None:
    """Draw all diagrams into a directory."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, draw in DIAGRAMS.items():
        (directory / f"{name}.svg").write_text(str(draw()))
