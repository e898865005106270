"""The command line: `python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from . import settings


def main() -> int:
    """Measure the rows that were asked for, and print the table."""
    settings.configure()
    from . import plots, table
    from .measure import FULL, QUICK, Skipped, pin
    from .rows import ROWS

    arguments = _parse(sorted(row.name for row in ROWS))
    effort = QUICK if arguments.quick else FULL
    rows = [row for row in ROWS if row.in_process or not arguments.quick]
    if arguments.only:
        rows = [row for row in ROWS if row.name in arguments.only]
    about = table.circumstances()
    print(table.heading(about))
    pin()
    print(table.COLUMNS)
    results: list[dict[str, Any]] = []
    for row in rows:
        try:
            measured = table.result(row, row.measure(effort))
        except Skipped as reason:
            measured = table.skipped(row, str(reason))
        results.append(measured)
        print(table.line(measured), flush=True)
    report = {**about, "rows": results}
    if arguments.docs:
        arguments.docs.mkdir(parents=True, exist_ok=True)
        report["plots"] = plots.draw(arguments.docs, effort)
        table.publish(arguments.docs, report)
    if arguments.json:
        table.write(arguments.json, report)
    return 0


def _parse(names: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=names, metavar="ROW", help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="a few seconds; figures mean nothing")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results to FILE too")
    parser.add_argument(
        "--docs", type=Path, metavar="DIR", help="write what the documentation shows to DIR"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
