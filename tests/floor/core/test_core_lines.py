"""The one reader of text files: encodings, line ends, gzip, what is no text and what has no end."""

from __future__ import annotations

import gzip
import math
import os

import pytest

from auricle.core.errors import DataError
from auricle.core.files import read_jsonl
from auricle.core.lines import Limits, lines, parse_json, parse_number, rows, text_lines, words


@pytest.fixture
def write(tmp_path):
    def make(content, name="a.txt"):
        path = tmp_path / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return make


@pytest.mark.parametrize(
    "content",
    [
        b"a 1\nb 2\n",
        b"\xef\xbb\xbfa 1\r\nb 2",
        b"a 1\rb 2\r",
        gzip.compress(b"a 1\nb 2\n", mtime=0),
        gzip.compress(b"\xef\xbb\xbfa 1\r\n", mtime=0) + gzip.compress(b"b 2\r\n", mtime=0),
    ],
)
def test_line_ends_byte_order_marks_and_gzip_are_no_matter(write, content):
    assert list(lines(write(content))) == ["a 1", "b 2"]
    assert list(lines(write(content, "a.csv.gz"))) == ["a 1", "b 2"]


def test_blank_lines_count_and_are_left_out(write):
    assert list(text_lines(write("\n\na\r\n \t\nb\n"))) == [(3, "a"), (5, "b")]


def test_a_line_separator_is_a_character(write):
    path = write('{"text": "one\u2028two\u0085three"}\n{"text": "\u2029"}\n', "a.jsonl")
    assert [row["text"] for row in read_jsonl(path)] == ["one\u2028two\u0085three", "\u2029"]
    assert words("a\u2028b\u00a0c \t 1.0") == ["a\u2028b\u00a0c", "1.0"]


def test_json_lines_take_gzip_and_a_byte_order_mark(write):
    path = write(gzip.compress(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": 2}\r\n', mtime=0), "a.jsonl.gz")
    assert list(read_jsonl(path)) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    ("text", "delimited"),
    [
        ("a  b c\nd\te \t f\n", [["a", "b", "c"], ["d", "e", "f"]]),
        ("a\t\t1\nb\t2\n", [["a", "1"], ["b", "2"]]),
        ("a \t 1\nb  2\n", [["a", "1"], ["b", "2"]]),
        ("a, b ,c d\n", [["a", "b", "c d"]]),
        ('a;"b;c";d\n', [["a", "b;c", "d"]]),
        ("a\tb c\td\n", [["a", "b c", "d"]]),
    ],
)
def test_the_first_line_says_what_is_between_columns(write, text, delimited):
    assert [row for _, row in rows(write(text))] == delimited


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a\0b\n", "line 1: not text in UTF-8: a NUL"),
        (b"ok\n\xff\n", "line 2: not text in UTF-8"),
        ("a 1\n".encode("utf-16"), "UTF-16"),
        (gzip.compress(b"a 1\n" * 1000, mtime=0)[:-9], "damaged or cut off"),
        (b"\x1f\x8bno gzip at all", "damaged or cut off|cannot be read"),
    ],
)
def test_what_is_no_text_is_refused_by_name(write, content, message):
    path = write(content)
    with pytest.raises(DataError, match=message) as error:
        list(lines(path))
    assert str(path) in str(error.value)


def test_lengths_are_bounded(write):
    few = Limits(line_bytes=8, lines=3, total_bytes=16)
    assert list(lines(write("12345678\n1\n2"), few)) == ["12345678", "1", "2"]
    for text, message in (
        ("123456789\n", "longer than 8"),
        ("1\n2\n3\n4\n", "more than 3 lines"),
        ("\n1\r2\r3\r4", "more than 3 lines"),
        ("1234567\n" * 3, "more than 0 MiB"),
    ):
        with pytest.raises(DataError, match=message):
            list(lines(write(text), few))


def test_a_gzip_bomb_is_read_no_further_than_allowed(write):
    path = write(gzip.compress(b"x" * 50_000_000, mtime=0))
    with pytest.raises(DataError, match="longer than 1000 bytes"):
        list(lines(path, Limits(line_bytes=1000)))


def test_pipes_devices_loops_and_folders_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, message in (
        (tmp_path / "pipe", "a pipe"),
        ("/dev/zero", "a device"),
        (tmp_path, "a folder"),
        (tmp_path / "loop", "cannot be opened"),
        (tmp_path / ("x" * 300), "cannot be opened"),
        (tmp_path / "none", "does not exist"),
        ("a\0b", "cannot be opened"),
    ):
        with pytest.raises(DataError, match=message):
            list(lines(path))
        with pytest.raises(DataError, match=message):
            list(read_jsonl(path))


@pytest.mark.parametrize(
    ("text", "value"), [("1.5", 1.5), ("-2e-3", -0.002), ("+7", 7.0), (".5", 0.5), ("inf", math.inf)]
)
def test_numbers(text, value):
    assert parse_number(text) == value


@pytest.mark.parametrize("text", ["1_0", "\u0661\u0662", "\uff11", " 1", "1\u2028", "", "-", "0x1", "1,5", "nan"])
def test_what_only_python_takes_for_a_number_is_none(text):
    assert math.isnan(parse_number(text))


def test_json_that_is_nested_too_deeply_is_refused():
    with pytest.raises(DataError, match=r"a\.jsonl, line 3: not JSON that can be read"):
        parse_json("[" * 100_000 + "]" * 100_000, "a.jsonl, line 3")
