"""The data file of the game Flight of the Amazon Queen: recorded lines (MP3) and the dialogue text.

The container ``queen.1c`` starts with a table: the mark ``QTBL``, a version of six bytes, three bytes
of flags, the number of entries (16 bit, big-endian), then per entry a name of twelve bytes, a bundle
number and two 32-bit numbers, offset and size. A ``.DOG`` entry holds one conversation behind a
header of twenty bytes. A line of talk key ``K``, sentence ``S`` and part ``N`` is the entry
``KKSSSSPN.SB``, or ``KKSSSSJN.SB`` when the hero says it (K decimal, S and N hexadecimal); a star and
two characters in the text end a part. Layout as ScummVM's engine reads it (engines/queen).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from auricle.core.errors import DataError

_TABLE = 15  # first byte of the table
_ENTRY = 21  # bytes per entry
_DOG_HEADER = 20
_LEVEL = 96  # bytes of one level of the dialogue tree
# A star, then a pause, a turn of the head, a gesture, a walk to a point, or the number of an animation.
_COMMAND = re.compile(r"\*(?:XY\d\d\(\d+,\d+\)|[A-Z]{2}|\d\d)")
_SILENT_COMMANDS = ("*GD", "*GM")  # carried out on the spot: they number a part but no sound file is asked for


@dataclass(frozen=True)
class Line:
    """One part of a spoken sentence: the sound entry, who says it, and its words."""

    entry: str
    character: str
    text: str


def entries(data: bytes) -> dict[str, bytes]:
    """Read every entry of ``queen.1c``.

    Raises:
        DataError: not such a file, or cut short.
    """
    if data[:4] != b"QTBL":
        raise DataError("queen.1c: expected the mark 'QTBL' at the start")
    (count,) = struct.unpack_from(">H", data, 13)
    if len(data) < _TABLE + count * _ENTRY:
        raise DataError(f"queen.1c is cut short: the table of {count} entries does not fit")
    found = {}
    for index in range(count):
        name, _, offset, size = struct.unpack_from(">12sBII", data, _TABLE + index * _ENTRY)
        if offset + size > len(data):
            raise DataError(f"queen.1c is cut short: entry {name!r} ends behind the file")
        found[name.rstrip(b"\0").decode("ascii")] = data[offset : offset + size]
    return found


def _string(data: bytes, offset: int, align: int) -> tuple[str, int]:
    length = data[offset]
    offset += 1
    if not length:
        return "", offset
    text = data[offset : offset + length].decode("cp437")
    end = offset + length
    return text, (end + align - 1) & ~(align - 1)


def _sentences(data: bytes, offset: int, count: int) -> list[tuple[int, str]]:
    found = []
    for _ in range(count):
        (number,) = struct.unpack_from(">h", data, offset + 2)
        text, offset = _string(data, offset + 4, 4)
        found.append((number, text))
    return found


def parts(sentence: str) -> list[str]:
    """Split a sentence at its star commands; the list index plus one is the part's number."""
    pieces = []
    start = 0
    for match in _COMMAND.finditer(sentence):
        pieces.append("" if match.group() in _SILENT_COMMANDS else sentence[start : match.start()])
        start = match.end()
    if start < len(sentence):
        pieces.append(sentence[start:])
    return [re.sub(r"\s+", " ", piece).strip() for piece in pieces]


def dialogue(name: str, raw: bytes) -> list[Line]:
    """Read one ``.DOG`` entry.

    Args:
        name: the entry's name, such as ``BOB1.DOG``; its letters name the character.
        raw: its content.

    Returns:
        The parts with words, of both the character and the hero ("JOE").
    """
    data = raw[_DOG_HEADER:]
    levels, _, key, joe_count, person_count = struct.unpack_from(">5h", data, 0)
    (person_offset,) = struct.unpack_from(">H", data, 22)
    character = re.sub(r"\d*\.DOG$", "", name)
    found = []
    groups = (
        ("J", "JOE", _sentences(data, 32 + abs(levels) * _LEVEL, joe_count)),
        ("P", character, _sentences(data, person_offset, person_count)),
    )
    for letter, speaker, sentences in groups:
        for number, sentence in sentences:
            if number < 0:
                continue
            for index, text in enumerate(parts(sentence), 1):
                if text and index < 16:
                    found.append(Line(f"{key:02d}{number:04X}{letter}{index:X}.SB", speaker, text))
    return found


def spoken_lines(found: dict[str, bytes]) -> list[Line]:
    """Give every dialogue part that has both words and a recording, each entry once, in file order.

    An entry that two conversations give different words to is left out: its text is not certain.
    """
    lines: dict[str, Line] = {}
    doubtful: set[str] = set()
    for name in sorted(entry for entry in found if entry.endswith(".DOG")):
        for line in dialogue(name, found[name]):
            if line.entry not in found:
                continue
            if lines.setdefault(line.entry, line) != line:
                doubtful.add(line.entry)
    return [line for entry, line in lines.items() if entry not in doubtful]
