"""The benchmarks' harness works; what it measures is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from benchmarks.measure import Figure, Side, added, figure, quotient
from benchmarks.payloads import frame, payload
from benchmarks.rows import ROWS
from benchmarks.svg import chart, icicle
from benchmarks.table import line, result

_ROOT = Path(__file__).parent.parent


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", "--quick", *arguments]
    return subprocess.run(
        command, cwd=_ROOT, capture_output=True, text=True, timeout=300, check=True
    )


def test_short_form_measures_every_row_that_needs_no_server(tmp_path: Path) -> None:
    """The short form prints and writes every in-process row, with numbers in it."""
    written = tmp_path / "bench.json"
    printed = _run("--json", str(written)).stdout
    report = json.loads(written.read_text())
    assert {"date", "machine", "python", "versions", "command"} < report.keys()
    assert [row["name"] for row in report["rows"]] == [row.name for row in ROWS if row.in_process]
    for row in report["rows"]:
        assert row["title"] in printed
        if "skipped" in row:
            assert row["name"] in {"rival", "router"}  # whose rivals may not be installed
            continue
        assert 0 < row["min"] <= row["median"] <= row["max"]
        assert all(side["median"] > 0 for side in row["sides"].values())


def test_documentation_gets_plots_table_and_report(tmp_path: Path) -> None:
    """With --docs the command leaves all that the page on performance includes."""
    _run("--only", "hops", "memory-lazy", "--docs", str(tmp_path))
    plots = {
        "bench-payload",
        "bench-streams",
        "bench-memory",
        "bench-flame-always",
        "bench-flame-due",
    }
    assert {path.stem for path in tmp_path.glob("*.svg")} == plots
    for path in tmp_path.glob("*.svg"):
        assert ElementTree.parse(path).getroot().tag.endswith("svg")
    report = json.loads((tmp_path / "bench.json").read_text())
    assert set(report["plots"]) == {"payload", "streams", "memory"}
    assert report["machine"] in (tmp_path / "bench.txt").read_text()
    assert len((tmp_path / "bench.csv").read_text().splitlines()) == 2


def test_server_row_measures_a_real_server() -> None:
    """A row that needs a server starts one, and prints what both sides cost it."""
    printed = _run("--only", "uvicorn-cpu").stdout
    assert "one socket " in printed
    assert "ten sockets " in printed


@pytest.mark.parametrize("layer", ["none", "memory"])
def test_load_opens_holds_and_ends_streams(layer: str) -> None:
    """The command for load opens as many streams as asked, and says how all of that went."""
    command = [sys.executable, "-m", "benchmarks.load", "--sockets", "3", "--streams", "2"]
    ended = subprocess.run(
        [*command, "--layer", layer], cwd=_ROOT, capture_output=True, text=True, timeout=300
    )
    assert ended.returncode == 0, ended.stderr
    assert "streams opened: 6 on 3 sockets" in ended.stdout
    assert ("a broadcast to every stream" in ended.stdout) is (layer == "memory")
    assert "close code 1012 for 3\n" in ended.stdout


def test_unknown_row_is_refused() -> None:
    """A row that there is not ends the command with the names that there are."""
    command = [sys.executable, "-m", "benchmarks", "--only", "nonsense"]
    ended = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert "one-100B" in ended.stderr


def test_row_names_are_unique() -> None:
    """No two rows share a name."""
    names = [row.name for row in ROWS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("size", [100, 1000, 10_000])
@pytest.mark.parametrize("ascii_only", [True, False])
def test_payload_has_the_size_it_was_asked_for(size: int, ascii_only: bool) -> None:
    """A payload is JSON of exactly so many bytes, and fits a frame as it is."""
    content = payload(size, ascii_only=ascii_only)
    assert len(content.encode()) == size
    assert json.loads(frame("s", content)) == {"stream": "s", "payload": json.loads(content)}


def _sides() -> list[Side]:
    return [
        Side("a", "us", [3.0, 4.0, 9.0], [6.0, 6.0, 6.0]),
        Side("b", "us", [2.0] * 3, [3.0] * 3),
    ]


def test_figure_is_the_median_of_the_ratios_of_rounds() -> None:
    """Each round gives a ratio, and the figure is their median; wall time is kept apart."""
    measured = figure(_sides(), quotient)
    assert measured.ratios == [1.5, 2.0, 4.5]
    assert measured.median == 2.0
    assert measured.wall == [2.0, 2.0, 2.0]


def test_added_is_the_difference_in_units_of_the_third() -> None:
    """What is added is the first less the second, over the third."""
    assert added([9.0, 5.0, 2.0]) == 2.0


@pytest.mark.parametrize(("ratio", "verdict"), [(0.14, "ok"), (0.15, "SHORT")])
def test_verdict_compares_with_the_reach(ratio: float, verdict: str) -> None:
    """A row is ok up to its reach, and short beyond."""
    row = ROWS[0]
    measured = result(row, Figure([ratio] * 3, _sides()))
    assert measured["reached"] is (verdict == "ok")
    assert f" {verdict} " in line(measured)


def test_row_that_is_to_be_large_is_short_below_its_reach() -> None:
    """Where a ratio is to be at least its reach, less is short."""
    [rival] = [row for row in ROWS if row.name == "rival"]
    assert rival.reached(15.0)
    assert not rival.reached(2.9)


def test_chart_is_svg_for_light_and_dark() -> None:
    """A chart is well-formed, draws every point, and knows both colour schemes."""
    drawn = chart("T < 1", "x", "y", {"a": [(1, 5), (10, 7)], "b": [(1, 2), (10, 90)]}, log="xy")
    root = ElementTree.fromstring(drawn)
    namespace = "{http://www.w3.org/2000/svg}"
    assert len(root.findall(f"{namespace}polyline")) == 2
    # A point each, and one for each name in the legend.
    assert len(root.findall(f"{namespace}circle")) == 6
    assert "prefers-color-scheme:dark" in drawn


def test_icicle_is_as_wide_as_the_time() -> None:
    """A call is drawn as wide as its share, and below what called it."""
    drawn = icicle("T", [("outer", 0, 1.0, [("inner", 0, 0.25, [])])], {"kind": "#fff"})
    boxes = ElementTree.fromstring(drawn).findall(".//{http://www.w3.org/2000/svg}g/*[@y][@width]")
    outer, inner = boxes
    assert float(inner.attrib["width"]) == pytest.approx(float(outer.attrib["width"]) / 4, abs=1)
    assert float(inner.attrib["y"]) > float(outer.attrib["y"])
