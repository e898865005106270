"""Drawing: line charts and icicles as SVG that is readable on light and on dark."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

#: Series name to points.
Lines = dict[str, list[tuple[float, float]]]

_WIDTH, _HEIGHT = 720, 400
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 40, 70, 50

# Told apart by people with any colour vision, on white and on black.
_LIGHT = ("#0b62a4", "#c44601", "#2e7d32", "#8e44ad")
_DARK = ("#5aa9e6", "#ff9f5a", "#7bc67e", "#c89be0")
_DASHES = ("", "6 4", "2 3", "10 3 2 3")


def _style() -> str:
    def rules(ink: str, grid: str, colours: Sequence[str]) -> str:
        series = " ".join(
            f".l{n}{{stroke:{colour}}} .d{n}{{fill:{colour}}}" for n, colour in enumerate(colours)
        )
        return f"text{{fill:{ink}}} .grid{{stroke:{grid}}} {series}"

    lines = " ".join(f".l{n}{{stroke-dasharray:{dash}}}" for n, dash in enumerate(_DASHES) if dash)
    return (
        "<style>text{font:13px system-ui,sans-serif} .title{font-weight:600;font-size:15px} "
        ".grid{stroke-width:1} polyline{fill:none;stroke-width:2.5} .small{font-size:11px} "
        f".bar text{{fill:#111}} {lines} {rules('#222', '#ddd', _LIGHT)} "
        f"@media (prefers-color-scheme:dark){{{rules('#ddd', '#444', _DARK)}}}</style>"
    )


def _document(height: int, title: str, parts: list[str]) -> str:
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
            f"<title>{escape(title)}</title>",
            _style(),
            _text(_LEFT, 22, title, "title"),
            *parts,
            "</svg>\n",
        ]
    )


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}" text-anchor="{anchor}">{escape(text)}</text>'
    )


def _scale(
    low: float, high: float, start: float, end: float, log: bool
) -> Callable[[float], float]:
    if log:
        low, high = math.log(low), math.log(high)

    def place(value: float) -> float:
        value = math.log(value) if log else value
        return start + (end - start) * (value - low) / (high - low)

    return place


def _ticks(high: float, log_from: float | None) -> list[float]:
    """Return round numbers up to at least `high`: from 0, or powers of ten from `log_from`."""
    if log_from is not None:
        first = math.floor(math.log10(log_from))
        return [10.0**power for power in range(first, math.ceil(math.log10(high)) + 1)]
    rough = high / 5
    magnitude = 10.0 ** math.floor(math.log10(rough))
    step = next(step * magnitude for step in (1, 2, 5, 10) if step * magnitude >= rough)
    return [step * number for number in range(math.ceil(high / step) + 1)]


def chart(title: str, x_label: str, y_label: str, lines: Lines, *, log: str = "") -> str:
    """
    Draw a line chart; the points' own x are the ticks.

    Args:
        log: which axes are logarithmic: "", "x" or "xy".
    """
    xs = sorted({x for points in lines.values() for x, _ in points})
    ys = [y for points in lines.values() for _, y in points]
    y_ticks = _ticks(max(ys), min(ys) if "y" in log else None)
    place_x = _scale(xs[0] if log else 0, xs[-1], _LEFT, _WIDTH - _RIGHT, "x" in log)
    place_y = _scale(y_ticks[0], y_ticks[-1], _HEIGHT - _BOTTOM, _TOP, "y" in log)
    parts = []
    for tick in y_ticks:
        y = place_y(tick)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        )
        parts.append(_text(_LEFT - 8, y + 4, f"{tick:,.12g}", anchor="end"))
    for x in xs:
        parts.append(_text(place_x(x), _HEIGHT - _BOTTOM + 18, f"{x:,.12g}", anchor="middle"))
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 10, x_label, anchor="middle"))
    parts.append(_text(_LEFT, _TOP - 12, y_label, "small"))
    legend = float(_LEFT)
    for number, (name, points) in enumerate(lines.items()):
        places = [(place_x(x), place_y(y)) for x, y in points]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline class="l{number}" points="{path}"/>')
        parts += [f'<circle class="d{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>' for x, y in places]
        parts.append(f'<circle class="d{number}" cx="{legend + 5:.1f}" cy="38" r="5"/>')
        parts.append(_text(legend + 15, 42, name))
        legend += 35 + 7.2 * len(name)
    return _document(_HEIGHT, title, parts)


#: A call: its name, its colour's number, its share of the whole, and the calls in it.
Call = tuple[str, int, float, list["Call"]]


def icicle(title: str, calls: list[Call], legend: dict[str, str]) -> str:
    """
    Draw calls from the top down, as wide as the time they take.

    Args:
        calls: the outermost calls; their shares add up to 1 at most.
        legend: what each number stands for, and its colour, in order.
    """
    row, left, width = 19, 10, _WIDTH - 20
    parts = []
    colours = list(legend.values())
    x = float(_LEFT)
    for name, colour in legend.items():
        parts.append(f'<rect x="{x:.1f}" y="34" width="10" height="10" fill="{colour}"/>')
        parts.append(_text(x + 14, 43, name, "small"))
        x += 30 + 6 * len(name)
    depth = 0

    def draw(calls: list[Call], start: float, level: int) -> None:
        nonlocal depth
        depth = max(depth, level + 1)
        for name, colour, share, inner in calls:
            x, wide = left + start * width, share * width
            y = 56 + level * row
            fits = int((wide - 4) / 6.3)
            label = name if len(name) <= fits else name[: fits - 1] + "…" if fits > 3 else ""
            parts.append(
                f'<g class="bar"><title>{escape(name)}: {share:.1%}</title>'
                f'<rect x="{x:.1f}" y="{y}" width="{max(wide - 0.5, 0.3):.1f}" '
                f'height="{row - 1}" fill="{colours[colour]}"/>'
                f"{_text(x + 3, y + 13, label, 'small') if label else ''}</g>"
            )
            draw(inner, start, level + 1)
            start += share

    draw(calls, 0.0, 0)
    return _document(70 + depth * row, title, parts)
