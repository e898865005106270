"""
Frames that are made to cost much: each against `json.loads` of it.

A client may send what it likes. What it sends is worth an error frame at most, so that its cost
must stay in proportion: to what any consumer pays that decodes its messages.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import django.conf

from .measure import Effort, Figure, Skipped, in_turns

# Between the counts of two works; Python calls it for nothing else.
_MARK = "getppid"

_LONE = r"\ud800"
_PAIR = r"\ud83d\ude00"
_ESCAPE = r"\u0416"
_BACKSLASH = r"\\"
_QUOTE = r"\""
_STRING = f'"{_LONE}",'
_EMPTY = '"",'
_SHORT_STRING = '"u",'
_LONG_STRING = f'"{"u" * 200}",'
_MIXED_STRING = f'"{("u" * 14 + _LONE) * 10}",'
_LONG = "1" * 4301
_NAME = '"stream":1,'
_PAYLOAD = '"payload":1,'


def frames(size: int) -> dict[str, str]:
    """Return text messages of about `size` characters, by what they are made of."""

    def many(part: str) -> str:
        return part * (size // len(part))

    def data(payload: str, before: str = "") -> str:
        return f'{{{before}"stream":"a","payload":{payload}}}'

    def control(event: str, fields: str) -> str:
        return f'{{"stream":"a","event":"{event}",{fields}}}'

    lists, objects, keys, ones = (many(part) for part in ("[],", '{"":0},', '"":0,', "1,"))
    members = "".join(f'"{number}":0,' for number in range(size // 10))
    text, lone, cyrillic = many("x"), many(_LONE), many("ж")
    deep = many("[" * 200 + "]" * 200 + ",")
    # Over what looks a little like an escape a search is slow.
    runs, fives = (many(part * 199 + ",") for part in "u5")
    return {
        # Names and contents that are none.
        "empty name": f'{{"stream":"","payload":1,{keys}"":0}}',
        "no name": f'{{{keys}"payload":1}}',
        "many names": f'{{{many(_NAME)}"payload":1}}',
        "many payloads": f'{{"stream":"",{many(_PAYLOAD)}"":0}}',
        "name of lists": f'{{"payload":1,"stream":[{lists}0]}}',
        "text of lists": f'{{"stream":"a","text":[{lists}0]}}',
        "event of objects": f'{{"stream":"a","event":[{objects}0]}}',
        "long name": f'{{"payload":1,"stream":"{text}"}}',
        "long name of lone surrogates": f'{{"payload":1,"stream":"{lone}"}}',
        "two contents": f'{{"stream":"a","text":[{lists}0],"payload":[{lists}0]}}',
        "long event": f'{{"stream":"a","event":"{text}"}}',
        # Members that have no meaning where they stand.
        "ignored code": data("1", f'"code":[{lists}0],'),
        "ignored query": data("1", f'"query":[{objects}0],'),
        "ignored subprotocols": data("1", f'"subprotocols":[{ones}0],'),
        "ignored nesting": data("1", f'"x":[{deep}0],'),
        "ignored members": data("1", members),
        "ignored members and a lone surrogate": data(f'"{_LONE}"', members),
        "escaped keys and a lone surrogate": data(f'"{_LONE}"', many(r'"\n":0,')),
        "long key": data("1", f'"{text}":1,'),
        "long key and a lone surrogate": data(f'"{_LONE}"', f'"{text}":1,'),
        # Control frames.
        "query of lists": control("open", f'"query":[{lists}0]'),
        "long query": control("open", f'"query":"{text}"'),
        "many subprotocols": control("open", f'"subprotocols":[{many(_EMPTY)}""]'),
        "subprotocols of lists": control("open", f'"subprotocols":["",{lists}0]'),
        "credit of lists": control("open", f'"credit":[{lists}0]'),
        "code of lists": control("close", f'"code":[{lists}0]'),
        "long reason": control("close", f'"reason":"{text}"'),
        "reason of lone surrogates": control("close", f'"reason":"{lone}"'),
        "ping": f'{{"event":"ping","payload":[{lists}0],"stream":[{lists}0]}}',
        # Payloads of and beside lone surrogates.
        "lists and a lone surrogate": data(f'[{lists}"{_LONE}"]'),
        "objects and a lone surrogate": data(f'[{objects}"{_LONE}"]'),
        "numbers and a lone surrogate": data(f'[{ones}"{_LONE}"]'),
        "nesting and a lone surrogate": data(f'[{deep}"{_LONE}"]'),
        "strings of a lone surrogate": data(f"[{many(_STRING)}0]"),
        "text and a lone surrogate": data(f'"{text}{_LONE}"'),
        "opaque text of lone surrogates": f'{{"stream":"a","text":"{lone}"}}',
        "lone surrogates": data(f'"{lone}"'),
        "pairs and a lone surrogate": data(f'"{many(_PAIR)}{_LONE}"'),
        "backslashes and a lone surrogate": data(f'"{many(_BACKSLASH)}{_LONE}"'),
        "Cyrillic and a lone surrogate": data(f'"{cyrillic}{_LONE}"'),
        "commas between lone surrogates": data(f'"{many(_LONE + ",")}"'),
        "members and commas between lone surrogates": data(
            f'"{many(_LONE + ",")}"', "".join(f'"{number}":0,' for number in range(size // 640))
        ),
        "spaces and a lone surrogate": data(f'{many(" ")}"{_LONE}"'),
        "tabs and spaces and a lone surrogate": data(f'{many(" " + chr(9))}"{_LONE}"'),
        "large pairs and a lone surrogate": data(
            f'"{many(_PAIR.upper().replace("U", "u"))}{_LONE}"'
        ),
        "escapes and a lone surrogate": data(f'"{many(_ESCAPE)}{_LONE}"'),
        "quotes and a lone surrogate": data(f'"{many(_QUOTE)}{_LONE}"'),
        "one nesting and a lone surrogate": data(f'{"[" * 900}"{text}{_LONE}"{"]" * 900}'),
        "commas between reasons": control("close", f'"reason":"{many(_LONE + ",")}"'),
        "commas between opaque text": f'{{"stream":"a","text":"{many(_LONE + ",")}"}}',
        "lists of a lone surrogate": data(f"[{many(f'[{_STRING[:-1]}],')}0]"),
        "runs of u and a lone surrogate": data(f'"{runs}{_LONE}"'),
        "a lone surrogate and runs of 5": data(f'"{_LONE}{fives}"'),
        "strings of u and a lone surrogate": data(f"[{many(_LONG_STRING)}{_STRING}0]"),
        "strings of u and lone surrogates": data(f"[{many(_MIXED_STRING)}0]"),
        "members of u and a lone surrogate": data(f'"{_LONE}"', many(f'"":{_LONG_STRING}')),
        "opaque u and a lone surrogate": f'{{"stream":"a","text":"é{runs}{_LONE}"}}',
        "opaque ? and a lone surrogate": f'{{"stream":"a","text":"{many("?!")}{_LONE}"}}',
        "a lone surrogate and reasons of ?": control("close", f'"reason":"{_LONE}{many("?")}"'),
        "nulls and a lone surrogate": data(f'[{many("null,")}"{_LONE}"]'),
        "short strings and a lone surrogate": data(f'[{many(_SHORT_STRING)}"{_LONE}"]'),
        "spaces before commas and a lone surrogate": data(
            f"[{many('0' + ' ' * 199 + ',')}{_STRING}0]"
        ),
        "keys of a lone surrogate": data(f'{{{many(f"{_STRING[:-1]}:0,")}"":0}}'),
        # Integers of more digits than int() takes.
        "numbers and a long one": data(f"[{ones}{_LONG}]"),
        "numbers, a long one and a lone surrogate": data(f'[{ones}{_LONG},"{_LONE}"]'),
        "strings and a long number": data(f"[{many(_EMPTY)}{_LONG}]"),
        "digits and a long number": data(f'["{many("1")}",{_LONG}]'),
        "backslashes and a long number": data(f'["{many(_BACKSLASH)}",{_LONG}]'),
        "text and a long number": data(f'["{text}",{_LONG}]'),
        "digits": data(f'"{many("1")}"'),
        # Payloads.
        "text": data(f'"{text}"'),
        "Cyrillic": data(f'"{cyrillic}"'),
        "Latin": data(f'"{many("é")}"'),
        "Korean": data(f'"{many("한")}"'),
        "beyond the BMP": data(f'"{many("😀")}"'),
        "escapes": data(f'"{many(_ESCAPE)}"'),
        "numbers": data(f"[{ones}0]"),
        "lists": data(f"[{lists}0]"),
        "objects": data(f"[{objects}0]"),
        "nesting": data(f"[{deep}0]"),
        "spaces": data(f"{many(' ')}1"),
        # What is no frame, as turns out at the end.
        "an array": f"[{objects}0]",
        "not JSON": f'{{"stream":"a","payload":[{objects}0]',
        "not JSON, and a lone surrogate": f'{{"stream":"{_LONE}","payload":[{objects}0]',
    }


def handlers() -> dict[str, Callable[[bytes], Any]]:
    """Return what takes a message as it comes from the wire, by name; `json.loads` is the last."""
    from channels_demultiplexer.connection import Connection
    from channels_demultiplexer.demultiplexer import WebsocketDemultiplexer

    class Reader(WebsocketDemultiplexer):
        async def receive_json(self, content: Any, **kwargs: Any) -> None:
            await super().receive_json(content, **kwargs)

    async def send(message: Any) -> None:
        pass

    reader = Reader()
    options = reader._options
    reader._served = Connection(
        Reader, {}, send, routes=Reader._routes(), options=options, close_when_empty=True
    )
    codec = options.codec

    def frame(message: bytes) -> None:
        codec.parse(message.decode())

    def read(message: bytes) -> None:
        reader._offer_json(message.decode()).send(None)

    return {"frame": _safe(frame), "read": _safe(read), "json.loads": _safe(json.loads)}


def _safe(handle: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    def handled(message: bytes) -> None:
        # Refused, as many are; a coroutine that waits for nothing ends at once.
        with contextlib.suppress(ValueError, StopIteration):
            handle(message)

    return handled


async def worst(effort: Effort, handler: str) -> Figure:
    """Return the figure of the frame that costs most of what `json.loads` costs."""
    known = handlers()
    short = Effort(max(2, effort.rounds // 20), effort.seconds, effort.divisor)
    figures = []
    for name, text in frames(effort.size(1_000_000)).items():
        message = text.encode()
        works = {side: _repeated(known[side], message) for side in (handler, "json.loads")}
        measured = await in_turns(works, short)
        measured.note = name
        figures.append(measured)
    return max(figures, key=lambda measured: measured.median)


def _repeated(handle: Callable[[bytes], Any], message: bytes) -> Callable[[int], Awaitable[int]]:
    async def work(count: int) -> int:
        for _ in range(count):
            handle(message)
        return count

    return work


def instructions(size: int) -> dict[str, dict[str, int]]:
    """
    Return the instructions that each handler needs for each frame, by the frame's name.

    Raises:
        Skipped: if valgrind is not installed.
    """
    if not shutil.which("valgrind"):
        raise Skipped("valgrind is not there")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [
                "valgrind",
                "--tool=callgrind",
                f"--dump-before={_MARK}",
                f"--callgrind-out-file={folder}/out",
                *(sys.executable, "-m", __name__, str(size)),
            ],
            cwd=Path(__file__).parent.parent,
            env={**os.environ, "PYTHONHASHSEED": "0"},
            capture_output=True,
            check=True,
        )
        dumps = {int(path.suffix[1:]): path for path in Path(folder).glob("out.*")}
        counts = [_total(dumps[number]) for number in sorted(dumps)]
    # Before each work there is a mark, and one after the last.
    works = [(name, side) for name in frames(1) for side in ("frame", "read", "json.loads")]
    counted: dict[str, dict[str, int]] = {}
    for (name, side), count in zip(works, counts[1:], strict=True):
        counted.setdefault(name, {})[side] = count
    return counted


def _total(dump: Path) -> int:
    found = re.search(r"^(?:summary|totals): (\d+)", dump.read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


def _handle_all(size: int) -> None:
    known = handlers()
    for handle in known.values():
        handle(b'{"stream":"a","payload":"\\ud800"}')  # whatever is done once
    messages = [text.encode() for text in frames(size).values()]
    gc.collect()
    gc.freeze()  # lest a collection look through all that has been imported
    for message in messages:
        for handle in known.values():
            gc.collect()
            os.getppid()
            handle(message)
    os.getppid()


if __name__ == "__main__":
    # Not all that `settings` has: what is imported is imported under valgrind.
    django.conf.settings.configure(CHANNEL_LAYERS={})
    _handle_all(int(sys.argv[1]))
