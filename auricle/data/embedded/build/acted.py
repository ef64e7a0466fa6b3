"""The acted English voices: dialogue of Flight of the Amazon Queen, with its text."""

from __future__ import annotations

import re
from typing import Any

from auricle.core.errors import DataError
from auricle.core.files import read_json
from auricle.data.embedded.build.amazon_queen import Line, entries, spoken_lines
from auricle.data.embedded.build.deb import Package
from auricle.data.embedded.build.items import Item, measure, order_key
from auricle.data.embedded.build.names import GAME_FILE, MAX_S, MIN_S, VOICES_JSON

_SECONDS = 153.0  # per character
_FEWEST_S = 60.0
AUTHOR = "John Passfield and Steven Stamatiadis"
# Characters per second that speech can have; outside it text and sound do not belong together.
SLOWEST, FASTEST = 4.0, 22.0
# A game of 1995: lines with words that insult a people, or that go for someone's body, are left out.
UNKIND = re.compile(
    r"\b(japs?|natives?|savages?|pygm\w+|babe\w*|sexy|breasts?|nazis?|damn|hell|kill\w*)\b", re.IGNORECASE
)
_PLAIN = re.compile(r"[A-Za-z0-9 .,!?'\"-]+")


def usable(line: Line, duration_s: float) -> bool:
    """Say whether a line is long enough, in plain and decent words, and as long as its text makes likely."""
    words = re.findall(r"[A-Za-z']+", line.text)
    return (
        MIN_S <= duration_s <= MAX_S
        and len(words) >= 2
        and _PLAIN.fullmatch(line.text) is not None
        and UNKIND.search(line.text) is None
        and SLOWEST <= len(line.text) / duration_s <= FASTEST
    )


def speakers_of(groups: dict[str, list[str]]) -> dict[str, tuple[str, str]]:
    """Give speaker id and group of each character; ``en-a`` is a professional voice, so these begin at ``en-b``."""
    ordered = [(character, group) for group in sorted(groups) for character in sorted(groups[group])]
    return {character: (f"en-{chr(ord('b') + index)}", group) for index, (character, group) in enumerate(ordered)}


def acted_items(packages: dict[str, Package]) -> list[Item]:
    """Give the lines of the characters that ``voices.json`` keeps.

    Args:
        packages: the packages by name.

    Raises:
        DataError: a character has too little speech.
    """
    package = packages["flight-of-the-amazon-queen"]
    found = entries(package.read(GAME_FILE))
    voices: dict[str, Any] = read_json(VOICES_JSON)
    speakers = speakers_of(voices["groups"])
    measured = set(voices["used"])
    seconds = dict.fromkeys(speakers, 0.0)
    said: set[tuple[str, str]] = set()
    items: list[Item] = []
    for line in sorted(spoken_lines(found), key=lambda line: order_key(line.entry)):
        if line.character not in speakers:
            continue
        duration_s = measure(found[line.entry], ".mp3")[1]
        fresh = (line.character, line.text) not in said
        room = seconds[line.character] < _SECONDS
        if line.entry in measured and fresh and room and usable(line, duration_s):
            said.add((line.character, line.text))
            seconds[line.character] += duration_s
            items.append(_item(package, line, found[line.entry], speakers[line.character]))
    for character, total_s in seconds.items():
        if total_s < _FEWEST_S:
            raise DataError(f"only {total_s:.0f} s of speech for the character {character}; {_FEWEST_S:.0f} are needed")
    return sorted(items, key=lambda item: item.id)


def _item(package: Package, line: Line, data: bytes, speaker: tuple[str, str]) -> Item:
    name, group = speaker
    return Item(
        id=f"{name}-{line.entry.removesuffix('.SB').lower()}",
        kind="speech",
        suffix=".mp3",
        data=data,
        package=package.name,
        version=package.version,
        source_path=f"{GAME_FILE}!{line.entry}",
        author=AUTHOR,
        licence="LicenseRef-FOTAQ",
        changes="MODIFIED VERSION of the game: one line of dialogue taken out of queen.1c, MP3 bytes unchanged",
        extra={"speaker": name, "speaker_group": group, "language": "en", "text": line.text},
    )
