"""The results, as a table to read and as JSON."""

from __future__ import annotations

import csv
import datetime
import json
import os
import platform
import statistics
import sys
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .measure import Figure

if TYPE_CHECKING:
    from .rows import Row

_PACKAGES = (
    "channels-demultiplexer",
    "Django",
    "channels",
    "asgiref",
    "msgspec",
    "channelsmultiplexer",
    "django-observable-socket",
    "pydantic",
    "uvicorn",
    "websockets",
    "daphne",
)


def circumstances(module: str = "benchmarks") -> dict[str, Any]:
    """Return the machine, the versions, the date and the command line of `module`."""
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": f"{_processor()}, {_cores()} cores, {platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "versions": {name: _version(name) for name in _PACKAGES},
        "command": " ".join(["python -m", module, *sys.argv[1:]]),
    }


def result(row: Row, figure: Figure) -> dict[str, Any]:
    """Return what JSON says of a measured row: `low` and `high` are the quartiles."""
    quarters = statistics.quantiles(figure.ratios, n=4, method="inclusive")
    return {
        "name": row.name,
        "title": row.title,
        "reach": row.reach,
        "at_least": row.at_least,
        "median": figure.median,
        "min": min(figure.ratios),
        "max": max(figure.ratios),
        "low": quarters[0],
        "high": quarters[2],
        "wall": statistics.median(figure.wall) if figure.wall else None,
        "rounds": len(figure.ratios),
        "reached": row.reached(figure.median),
        "note": figure.note,
        "sides": {
            side.name: {
                "unit": side.unit,
                "median": statistics.median(side.values),
                "min": min(side.values),
                "max": max(side.values),
                "wall": statistics.median(side.wall) if side.wall else None,
            }
            for side in figure.sides
        },
    }


def skipped(row: Row, reason: str) -> dict[str, Any]:
    """Return what JSON says of a row that could not be measured."""
    return {"name": row.name, "title": row.title, "reach": row.reach, "skipped": reason}


def heading(about: dict[str, Any]) -> str:
    """Return the line that says what `circumstances` returned."""
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return f"{about['date']}; {about['machine']}; {about['python']}; {versions}"


COLUMNS = (
    f"{'row':<17} {'figure':<59} {'reach':>8} {'median':>7} {'low':>7} {'high':>7} {'min':>7} "
    f"{'max':>7} {'wall':>7}  verdict"
)


def line(measured: dict[str, Any]) -> str:
    """Return the table's line for what `result` or `skipped` returned."""
    head = f"{measured['name']:<17} {measured['title']:<59}"
    if "skipped" in measured:
        return f"{head} skipped: {measured['skipped']}"
    sign = ">=" if measured["at_least"] else "<="
    reach = "" if measured["reach"] is None else f"{sign} {measured['reach']:.3g}"
    ratios = " ".join(f"{measured[key]:7.3f}" for key in ("median", "low", "high", "min", "max"))
    wall = " " * 7 if measured["wall"] is None else f"{measured['wall']:7.3f}"
    verdict = "" if measured["reach"] is None else "ok" if measured["reached"] else "SHORT"
    sides = ", ".join(
        f"{name} {side['median']:.4g} {side['unit']}" for name, side in measured["sides"].items()
    )
    note = f" ({measured['note']})" if measured["note"] else ""
    return f"{head} {reach:>8} {ratios} {wall}  {verdict:<5}  {sides}{note}"


def write(path: Path, report: dict[str, Any]) -> None:
    """Write a report as JSON."""
    path.write_text(json.dumps(report, indent=1) + "\n")


def publish(folder: Path, report: dict[str, Any]) -> None:
    """Write what `docs/performance.rst` includes: the report, its heading, and the table."""
    write(folder / "bench.json", report)
    about = heading(report).replace("; ", "\n")
    (folder / "bench.txt").write_text(f"{about}\n{report['command']}\n")
    with (folder / "bench.csv").open("w", newline="") as file:
        lines = csv.writer(file, lineterminator="\n")
        for measured in report["rows"]:
            if "skipped" not in measured:
                lines.writerow(_cells(measured))


def _cells(measured: dict[str, Any]) -> list[str]:
    sign = "≥" if measured["at_least"] else "≤"
    reach = "" if measured["reach"] is None else f"{sign} {measured['reach']:.3g}"
    low, high = measured["low"], measured["high"]
    sides = "; ".join(
        f"{name} {side['median']:,.4g} {side['unit'].replace('us', 'µs')}"
        for name, side in measured["sides"].items()
    )
    return [
        measured["title"],
        reach,
        f"{measured['median']:.2f}" if measured["reached"] else f"**{measured['median']:.2f}**",
        f"{low:.2f} to {high:.2f}",
        "" if measured["wall"] is None else f"{measured['wall']:.2f}",
        sides,
    ]


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        for text in Path("/proc/cpuinfo").read_text().splitlines():
            if text.startswith("model name"):
                return text.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _cores() -> int:

    return os.cpu_count() or 1
