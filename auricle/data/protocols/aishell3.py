"""AISHELL-3: 218 Mandarin speakers, about 85 hours of read speech.

``train/content.txt`` and ``test/content.txt``: the file's name, then characters and their pinyin in turn. The audio is
``<split>/wav/<speaker>/<file>``, where a file's name is the speaker's id and four digits. ``spk-info.txt``: speaker,
age group, gender, accent. ``train/label_train-set.txt``: utterance, pinyin, text with prosodic marks, apart by ``|``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from auricle.core.errors import DataError
from auricle.data import fields
from auricle.data.protocols.lines import Names, locate, one_of, text_lines, words
from auricle.data.protocols.row import ProtocolRow

CORPUS = "aishell3"
SPLITS = ("train", "test")
# The utterances add up to the published 88,035; speakers by split are not published, 218 in all.
SIZES = {"train": {"bonafide": 63_262}, "test": {"bonafide": 24_773}}

_NAME = re.compile(r"(SSB\d{4})\d{4}")
_GENDERS = {"female": "F", "male": "M"}


@dataclass(frozen=True, slots=True)
class Transcript:
    """What an utterance says: characters, one pinyin syllable with tone a character, and prosodic marks if known."""

    text: str
    pinyin: tuple[str, ...]
    marked: str | None = None


def read_aishell3(path: str | Path) -> list[ProtocolRow]:
    """Read the utterances of AISHELL-3, all of them real speech.

    Args:
        path: the corpus's folder, a folder of one split, or a ``content.txt`` in such a folder.

    Returns:
        One row an utterance, train before test. The gender is that of ``spk-info.txt``, where it is there.

    Raises:
        DataError: nothing to read, a line that is not a file and pairs of character and pinyin, a name that is not a
            speaker and four digits, an utterance that is there twice, a speaker that ``spk-info.txt`` does not have,
            or one with a single utterance, who cannot both enrol and be tested; with file and line.
    """
    rows: list[ProtocolRow] = []
    names = Names()
    genders: dict[str, str] | None = None
    homes: dict[str, ProtocolRow] = {}
    counts: dict[str, int] = {}
    for file in _contents(Path(path)):
        lines = _lines(file)
        split = file.parent.name if file.parent.name in SPLITS else None
        if split is None:
            raise DataError(f"{file}: expected it in a folder called {' or '.join(SPLITS)}, which names the split")
        genders = _genders(file) if genders is None else genders
        for line, name, _ in lines:
            row = _row(file, line, names.take(file, line, name), split, genders)
            homes.setdefault(str(row.speaker), row)
            counts[str(row.speaker)] = counts.get(str(row.speaker), 0) + 1
            rows.append(row)
    single = [f"{name} (line {homes[name].line} of {homes[name].subset})" for name, n in counts.items() if n == 1]
    if single:
        raise DataError(
            f"{path}: {len(single)} speakers have one utterance and cannot both enrol and be tested: "
            + ", ".join(single[:20])
        )
    return rows


def read_aishell3_texts(path: str | Path) -> dict[str, Transcript]:
    """Read what the utterances say.

    Args:
        path: as `read_aishell3`.

    Returns:
        For each utterance its transcript; prosodic marks where ``label_train-set.txt`` has them.

    Raises:
        DataError: as `read_aishell3`, or a line of ``label_train-set.txt`` without its three parts.
    """
    texts: dict[str, Transcript] = {}
    for file in _contents(Path(path)):
        labels = file.parent / "label_train-set.txt"
        marked = _marked(labels) if labels.is_file() else {}
        for _, name, said in _lines(file):
            utterance = name.removesuffix(".wav")
            texts[utterance] = Transcript("".join(said[::2]), tuple(said[1::2]), marked.get(utterance))
    return texts


def _contents(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = [path / split / "content.txt" for split in SPLITS if (path / split / "content.txt").is_file()]
    return found or locate(path, ("content.txt",), ("", *SPLITS))


def _lines(file: Path) -> list[tuple[int, str, list[str]]]:
    """Give line, file name and the alternating characters and syllables."""
    found = []
    for line, text in text_lines(file):
        name, *said = words(text)
        if not said or len(said) % 2:
            raise DataError(
                f"{file}, line {line}: expected a file, then pairs of character and pinyin: {text.strip()!r}"
            )
        odd = next((syllable for syllable in said[1::2] if not syllable.isascii()), None)
        if odd is not None:
            raise DataError(f"{file}, line {line}: {odd!r} where pinyin was expected, such as guang3")
        found.append((line, name, said))
    if not found:
        raise DataError(f"{file} is empty; expected a file, then pairs of character and pinyin a line")
    return found


def _row(file: Path, line: int, name: str, split: str, genders: dict[str, str]) -> ProtocolRow:
    utterance = name.removesuffix(".wav")
    known = _NAME.fullmatch(utterance)
    if known is None:
        raise DataError(f"{file}, line {line}: {name!r}; expected a speaker and four digits, such as SSB00570040.wav")
    speaker = known.group(1)
    if genders and speaker not in genders:
        raise DataError(f"{file}, line {line}: speaker {speaker} is not in spk-info.txt")
    return ProtocolRow(
        corpus=CORPUS,
        utterance=utterance,
        path=f"{split}/wav/{speaker}/{utterance}.wav",
        label=fields.BONAFIDE,
        line=line,
        speaker=speaker,
        gender=genders.get(speaker),
        subset=split,
        language="zh",
    )


def _genders(content: Path) -> dict[str, str]:
    """Read ``spk-info.txt`` beside the splits; empty when it is not there."""
    file = content.parent.parent / "spk-info.txt"
    if not file.is_file():
        return {}
    genders: dict[str, str] = {}
    for line, text in text_lines(file):
        values = words(text)
        if not values[0].startswith("SSB"):
            continue  # the lines that explain the columns
        if len(values) != 4:
            raise DataError(f"{file}, line {line}: expected speaker, age group, gender, accent: {text.strip()!r}")
        if values[0] in genders:
            raise DataError(f"{file}, line {line}: {values[0]} is there twice")
        genders[values[0]] = _GENDERS[one_of(file, line, "gender", values[2], tuple(_GENDERS))]
    return genders


def _marked(file: Path) -> dict[str, str]:
    """Read the text with prosodic marks of each utterance."""
    marked: dict[str, str] = {}
    for line, text in text_lines(file):
        if text.startswith("#"):
            continue
        parts = text.strip().split("|")
        if len(parts) != 3:
            raise DataError(f"{file}, line {line}: expected utterance|pinyin|text: {text.strip()!r}")
        marked[parts[0]] = parts[2]
    return marked
