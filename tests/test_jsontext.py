"""JSON as text: what is valid, and how it is cut."""

from __future__ import annotations

import json
import math
import sys
from math import inf
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from channels_demultiplexer.jsontext import (
    Members,
    decode,
    encode,
    is_json,
    plain,
    replace_surrogates,
)

DEEP = "[" * 100_000 + "]" * 100_000
HUGE = "1" * 5000
LONE = r"\ud800"

VALID = [
    "null",
    " \t\n\rtrue \t\n\r",
    "false",
    "0",
    "-0",
    "-1.5e-3",
    "1E+400",
    "1" * 3999,
    "1" * 4000,
    HUGE,
    '""',
    '"é"',
    '"\x7f\u2028\ufeff"',
    r'"\"\\\/\b\f\n\r\t\u00e9"',
    r'"\ud83d\ude00"',
    f'"{LONE}"',
    rf'"\uDFFF{LONE}"',
    f'{{"{LONE}":"{LONE}"}}',
    f'["{LONE}",{HUGE}]',
    "[]",
    "[ ]",
    "{}",
    '{"a":1,"a":2}',
    '{"":[{"a":[[]]}]}',
]
INVALID = [
    "",
    " ",
    "a",
    "None",
    "nul",
    "TRUE",
    "NaN",
    "Infinity",
    "-Infinity",
    f'[NaN,"{LONE}"]',
    f'["{LONE}",Infinity]',
    "01",
    "+1",
    "-",
    "1.",
    ".5",
    "1e",
    "0x1",
    "1_000",
    "\u0661",
    "'a'",
    '"',
    '"a',
    '"\n"',
    '"\0"',
    r'"\x"',
    r'"\u12"',
    rf'"{LONE}\ud8"',
    "[1,]",
    "[,]",
    "[1 2]",
    "{,}",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    "{1:1}",
    "1 2",
    "{}{}",
    "\ufeff1",
    "\xa01",
    "1\0",
    "// a\n1",
]


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Nothing here runs a task, so that none need be looked for."""


def short(value: object) -> str | None:
    """Return a test's id for a parameter that may be very long."""
    return ascii(value)[:40] if isinstance(value, str) else None


# Test is_json.


@pytest.mark.parametrize("text", VALID, ids=short)
def test_is_json(text: str) -> None:
    """JSON is what RFC 8259 says, lone surrogate escapes included."""
    assert is_json(text) is True


@pytest.mark.parametrize("text", INVALID, ids=short)
def test_is_not_json(text: str) -> None:
    """What RFC 8259 doesn't say is not JSON."""
    assert is_json(text) is False


@pytest.mark.parametrize("text", [DEEP, f'["{LONE}",{DEEP}]', '{"a":' * 100_000], ids=short)
def test_is_json_too_deep(text: str) -> None:
    """What is nested more deeply than the parser takes is no JSON."""
    assert is_json(text) is False


@pytest.mark.parametrize("text", ["\ud800", '"\udfff"', f'["{LONE}","\ud800"]'])
def test_is_json_lone_surrogate(text: str) -> None:
    """A lone surrogate, not the escape of one, raises."""
    with pytest.raises(UnicodeEncodeError):
        is_json(text)


def refuse(constant: str) -> None:
    """Refuse what Python's json takes and RFC 8259 doesn't."""
    raise ValueError(constant)


def stdlib_takes(text: str) -> bool:
    """Say what the standard library says of `text`, without NaN."""
    try:
        json.loads(text, parse_int=str, parse_constant=refuse)
    except ValueError:
        return False
    return True


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=6,
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """Draw JSON text, and cut, replace or put in something somewhere."""
    text = json.dumps(draw(json_values), ensure_ascii=draw(st.booleans()))
    start = draw(st.integers(0, len(text)))
    end = draw(st.integers(start, min(len(text), start + 2)))
    part = draw(st.sampled_from(["", *'{}[]":,\\/ 01-.eEnN\t\0', LONE, "NaN", "null", "\ufeff"]))
    return text[:start] + part + text[end:]


json_like = st.text('{}[]":, \\u0123dDbce-+.nNaITtrfs\n', max_size=12)


@settings(deadline=None, max_examples=600)
@given(st.text() | json_like | mutated())
@example('"\\ud800"')
@example("[1e999]")
def test_is_json_as_stdlib(text: str) -> None:
    """The standard library agrees on what is JSON."""
    assert is_json(text) is stdlib_takes(text)


# Test decode and encode.


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (' {"a" : [1, 2.5, null, true, "é"]} ', {"a": [1, 2.5, None, True, "é"]}),
        (r'"\ud83d\ude00"', "😀"),
        (f'"{LONE}"', "\ud800"),
        ('{"a":1,"a":2}', {"a": 2}),
        ("1" * 4300, int("1" * 4300)),
        (f"[{HUGE},{'1' * 4300},2]", [math.inf, int("1" * 4300), 2]),
    ],
    ids=short,
)
def test_decode(text: str, value: Any) -> None:
    """JSON is decoded as by the standard library."""
    assert decode(text) == value


@pytest.mark.parametrize("text", ["1" * 4301, HUGE, "1e999"], ids=short)
def test_decode_huge_number(text: str) -> None:
    """A number beyond all bounds is infinite, whatever its form: a number, not a string."""
    assert decode(text) == math.inf
    assert decode(f"-{text}") == -math.inf


@pytest.mark.parametrize("text", INVALID, ids=short)
def test_decode_not_json(text: str) -> None:
    """What is not JSON is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        decode(text)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_decode_constant(constant: str) -> None:
    """A constant of JavaScript is refused by its name."""
    with pytest.raises(ValueError, match=f"^{constant} is not JSON$"):
        decode(f"[{constant}]")


def test_decode_too_deep() -> None:
    """What is nested too deeply is a RecursionError."""
    with pytest.raises(RecursionError):
        decode(DEEP)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "null"), ("", '""'), ("é", '"é"'), ('a"\\\n\0', '"a\\"\\\\\\n\\u0000"')],
)
def test_encode(value: str | None, text: str) -> None:
    """A string or None is encoded."""
    assert encode(value) == text


def test_encode_lone_surrogate() -> None:
    """A lone surrogate cannot be encoded."""
    with pytest.raises(UnicodeEncodeError):
        encode("a\ud800")


@settings(deadline=None, max_examples=100)
@given(st.text())
def test_encode_as_stdlib(text: str) -> None:
    """What is encoded, the standard library decodes."""
    assert json.loads(encode(text)) == text


# Test Members.


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"a":1}', "1"),
        ('{"a":1,"b":2}', "1"),
        ('{"b":2,"a":1}', "1"),
        (' \t\n\r{ \t\n\r"b" \t\n\r: \t\n\r2 \t\n\r, "a" \t\n\r: \t\n\r[ 1 ] \t\n\r} ', "[ 1 ]"),
        ('{"a":1,"b":3,"a":{"a" : 2}}', '{"a" : 2}'),
        ('{"b":{"a":2},"a":1}', "1"),
        ('{"b":"\\"a\\":2}","a":"}:,"}', '"}:,"'),
        ('{"a:":2,":a":3,"a":1}', "1"),
        ('{"\\u0061":1}', "1"),
        (f'{{"{LONE}":"{LONE}","a":"{LONE}"}}', f'"{LONE}"'),
        (f'{{"b":{HUGE},"a":{HUGE}}}', HUGE),
        ('{"a":-1.50e+3}', "-1.50e+3"),
        ('{"a":""}', '""'),
        ('{"b":{},"c":[],"a":null}', "null"),
    ],
    ids=short,
)
def test_members(text: str, found: str) -> None:
    """The last member of the name is found, exactly as it is written, in both ways."""
    assert Members(["a"]).find(text) == [found]
    # A key that may be written with surrogates is looked for in another way.
    assert Members(["a", "😀"]).find(text) == [found, None]


@pytest.mark.parametrize("keys", [["a", "c"], ["a", "c", "😀"]])
@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{}", [None, None]),
        (" { } ", [None, None]),
        ('{"b":1}', [None, None]),
        ('{"c":1,"a":2}', ["2", "1"]),
        (r'{"b":"\\ud800","a":"\\ud800\ud800\uD800\\\ud800","c":"\ue800\uE800"}', None),
        ('{"a":"\\ud83d\\ude00","c":"ÿþ\\\\"}', None),
    ],
)
def test_members_of_several_keys(
    text: str, found: list[str | None] | None, keys: list[str]
) -> None:
    """Each key has its text, or None."""
    if found is None:
        found = [
            text[text.index('"a":') + 4 : text.index(',"c"')],
            text[text.index('"c":') + 4 : -1],
        ]
    assert Members(keys).find(text)[:2] == found


@pytest.mark.parametrize("key", ["한", "😀", "\ue800", "ÿ", "a"])
@pytest.mark.parametrize("ensure_ascii", [False, True])
def test_members_of_any_name(key: str, ensure_ascii: bool) -> None:
    """A key is found however it is written, beside whatever other."""
    others = {"\\ue800": 1, "\ue800": 1, "\ud800": 1, "\ue83d\uee00": 1}
    others.pop(key, None)
    text = json.dumps({**others, key: 2}, ensure_ascii=ensure_ascii).replace("\ud800", LONE)
    assert Members([key]).find(text) == ["2"]


@pytest.mark.parametrize("text", [text for text in INVALID if "{" in text])
@pytest.mark.parametrize("keys", [["a"], ["a", "😀"]])
def test_members_not_json(text: str, keys: list[str]) -> None:
    """What is not JSON is a ValueError."""
    with pytest.raises(ValueError, match=r"."):
        Members(keys).find(text)


@pytest.mark.parametrize("text", ["[]", "1", '"{}"', "null"])
@pytest.mark.parametrize("keys", [["a"], ["a", "😀"]])
def test_members_not_an_object(text: str, keys: list[str]) -> None:
    """What is no object is a TypeError."""
    with pytest.raises(TypeError):
        Members(keys).find(text)


@pytest.mark.parametrize("end", ["", "}", "}}", "},", ",}", ":1}", '"a":1}', "} 1", "]"])
@pytest.mark.parametrize("keys", [["a"], ["a", "😀"]])
def test_members_as_stdlib(end: str, keys: list[str]) -> None:
    """What follows the members decides whether it is JSON."""
    for text in (f'{{"a":1{end}', f'{{"a":1,"b":2 {end}', f"{{{end}"):
        if stdlib_takes(text):
            Members(keys).find(text)
        else:
            with pytest.raises(ValueError, match=r"."):
                Members(keys).find(text)


@settings(deadline=None, max_examples=300)
@given(mutated().map(lambda text: f'{{"b":{text},"a":1}}'))
def test_both_ways_agree(text: str) -> None:
    """Whether a text is concealed or walked through makes no difference."""
    results: list[Any] = []
    for keys in (["a", "b"], ["a", "b", "😀"]):
        try:
            results.append(Members(keys).find(text)[:2])
        except (ValueError, UnicodeEncodeError):
            results.append(ValueError)
    assert results[0] == results[1]


def test_members_mostly_strings() -> None:
    """Where there are few commas a text is walked through, to the same end."""
    text = f'{{"b":"{"x" * 9999}","a":"{LONE}"}}'
    assert Members(["a"]).find(text) == [f'"{LONE}"']


@pytest.mark.parametrize("space", [" ", "\t", " \r\n"])
def test_members_much_space(space: str) -> None:
    """White space, however long, is passed over where a text is walked through."""
    text = f'{{"a":{space * 9999}1 }}'
    assert Members(["a"]).find(text, {}) == ["1"]
    for wrong in "\v\f\xa0":
        with pytest.raises(ValueError, match="JSON"):
            Members(["a"]).find(text.replace("1", f"{wrong}{space * 9999}1"), {})


def test_members_that_are_decoded() -> None:
    """What is decoded on the way is handed out; of several members the last counts."""
    decoded: dict[str, Any] = {}
    text = f'{{"a":1,"b":2,"c":"{"x" * 9999}","a":"{LONE}"}}'
    assert Members(["a", "c"]).find(text, decoded) == [f'"{LONE}"', f'"{"x" * 9999}"']
    assert decoded == {"a": "\ud800", "c": "x" * 9999}
    # Names that may be written with surrogates are decoded however many commas there are.
    decoded = {}
    assert Members(["😀"]).find('{"😀":"x"}', decoded) == ['"x"']
    assert decoded == {"😀": "x"}


# Test integers of too many digits.

LONG = "1" * 4301
JUST = "1" * 4300


@pytest.mark.parametrize("before", ["", " " * 4000, "0," * 3000, f"{JUST},", '"1",'])
@pytest.mark.parametrize(
    ("number", "value"),
    [
        (LONG, inf),
        (f"-{LONG}", -inf),
        ("2" * 20_000, inf),
        (JUST, int(JUST)),
        (f"-{JUST}", -int(JUST)),
        (f'"{LONG}"', LONG),
        (f'"-{LONG}"', f"-{LONG}"),
        (rf'"\"{LONG}"', f'"{LONG}'),
        (rf'"\\",{LONG}', inf),
        (rf'"\\\"{LONG}"', rf"\"{LONG}"),
        (f"0.{LONG}", float(f"0.{LONG}")),
        (f"1e-{LONG}", 0.0),
        (f"1E-{LONG}", 0.0),
        (f"1e+{LONG}", inf),
        (f"1e{LONG}", inf),
        (f"{LONG}.5", inf),
        (f"{LONG}e-1", inf),
        (f"{LONG}E1", inf),
    ],
    ids=lambda value: ascii(value)[:10],
)
def test_decode_long_integers(before: str, number: str, value: Any) -> None:
    """An integer of more digits than int() takes is infinite; all else stays as it is."""
    decoded = decode(f"[{before}{number},{LONG},1]".replace("[,", "["))
    assert decoded[-3:] == [value, inf, 1]
    assert list(map(type, decoded[-3:])) == [type(value), float, int]


@pytest.mark.parametrize(
    "text",
    [
        f"0{LONG}",
        f"-0{LONG}",
        f"{LONG}a",
        f"+{LONG}",
        f".{LONG}",
        f"1E+{LONG}.",
        f"[{LONG}",
        f"[{LONG},NaN]",
    ],
    ids=lambda value: ascii(value)[:10],
)
def test_decode_refuses_what_is_no_integer(text: str) -> None:
    """Digits, however many, make no JSON of what is none."""
    with pytest.raises(ValueError, match=r"."):
        decode(text)
    with pytest.raises(ValueError, match=r"."):
        decode(f"[{LONG},{text}]")


def test_decode_without_a_limit_of_digits() -> None:
    """Where int() has no limit, integers are what they are, and constants refused."""
    limit = sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    try:
        assert decode(LONG) == int(LONG)
        with pytest.raises(ValueError, match="NaN"):
            decode(f"[{LONG},NaN]")
    finally:
        sys.set_int_max_str_digits(limit)


def test_decode_many_long_integers() -> None:
    """Each of several integers is looked at for itself, and each string."""
    items = [LONG, f'"{LONG}"', JUST, f"1.{LONG}", '"\\\\"', f"-{LONG}", "0"] * 3
    expected = [inf, LONG, int(JUST), float(f"1.{LONG}"), "\\", -inf, 0] * 3
    assert decode(f"[{','.join(items)}]") == expected


# Test plain.


def test_plain() -> None:
    """A plain str is itself, and another is refused."""
    text = "aé"
    assert plain(text) is text
    with pytest.raises(TypeError):
        plain(b"a")  # type: ignore[arg-type]


# Test surrogates.


@pytest.mark.parametrize(
    ("text", "replaced"),
    [
        ("", ""),
        ("é😀", "é😀"),
        ("\ud7ff\ue000", "\ud7ff\ue000"),
        ("a\ud800b\udfff", "a\ufffdb\ufffd"),
        ("\udc00\ud800", "\ufffd\ufffd"),
        ("?!1!2\ud800!?", "?!1!2\ufffd!?"),
        ("?\ud800\udced?\udcff\udc80\ufffd", "?\ufffd\ufffd?\ufffd\ufffd\ufffd"),
        ("\udfff\ud7ff\ue000😀?한é\ud800", "\ufffd\ud7ff\ue000😀?한é\ufffd"),
    ],
)
def test_replace_surrogates(text: str, replaced: str) -> None:
    """Each lone surrogate is replaced by U+FFFD."""
    assert replace_surrogates(text) == replaced
