"""MMAU (arXiv 2410.19168): sound, music and speech; test-mini (1,000) and test (9,000, answers withheld).

Two versions of the same ids are about: the first, and v05.15.25, which rewrote about a quarter of the questions; the
files do not say which they are, so the caller does. The JSON lists have ``id``, ``audio_id`` (a path), ``question``,
``choices``, ``answer`` and ``task``; the released Parquet files call them ``context`` (audio inside), ``instruction``,
``choices``, ``answer`` and ``other_attributes`` (JSON), and begin each choice with ``(A) ``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from auricle.core.errors import ConfigError, DataError
from auricle.core.lines import parse_json
from auricle.data.choices import LETTERS, ChoiceItem
from auricle.data.protocols.choice_rows import Gathered, Row, audio_of, files_of, rows_of, text_of

SIZES = {"test-mini": 1000, "test": 9000}
VERSIONS = ("old", "v05.15.25")
TASKS = ("sound", "music", "speech")
_LETTERED = re.compile(r"^\(?[A-Z][.)]\s+")
_KEPT = ("dataset", "split", "category", "sub-category", "difficulty")
_OUTPUTS = ("model_output", "model_prediction")  # the scorer's key of today, and of before


def read_mmau(
    path: str | Path, version: str, audio_root: str | Path | None = None, unpack_to: str | Path | None = None
) -> list[ChoiceItem]:
    """Read test-mini or test.

    Args:
        path: ``mmau-test-mini.json``, ``mmau-test.json``, a Parquet file, or a folder with one.
        version: ``old`` or ``v05.15.25``; kept in the facts, for scores of the two are not comparable.
        audio_root: folder that the paths of the rows begin in; that of the file if not given.
        unpack_to: where audio that lies inside the rows is written.

    Returns:
        One item a row; the answer is None where it is withheld. The facts hold ``choices`` and ``answer`` as the file
        has them, which MMAU's own scorer takes, and under ``output`` what a model answered in a file of results.

    Raises:
        ConfigError: another version.
        DataError: missing audio, an id that is there twice, an answer that is no choice, a task that is not sound,
            music or speech; one message with all.
        MissingExtra: Parquet without pyarrow.
    """
    if version not in VERSIONS:
        raise ConfigError(f"MMAU has no version {version!r}; use {' or '.join(VERSIONS)}")
    found = Gathered("MMAU")
    for file in files_of(Path(path)):
        for row in rows_of(file):
            with found.row(row):
                found.add(row, _item(row, version, Path(audio_root or file.parent), unpack_to))
    return found.done()


def _item(row: Row, version: str, root: Path, unpack_to: str | Path | None) -> ChoiceItem:
    values = dict(row.values)
    packed = values.get("other_attributes")
    values |= parse_json(packed, row.where) if isinstance(packed, str) else packed or {}
    name, task = text_of(values, "id"), text_of(values, "task").lower()
    if task not in TASKS:
        raise DataError(f"task {task!r}; expected one of {', '.join(TASKS)}")
    choices = _choices(values.get("choices"), row.where)
    answer = values.get("answer")
    place = None if answer in (None, "") else _place(str(answer), choices)
    facts: dict[str, Any] = {key: _single(values[key]) for key in _KEPT if values.get(key) not in (None, "")}
    facts |= {"version": version, "choices": choices, "answer": None if place is None else choices[place]}
    output = next((values[key] for key in _OUTPUTS if values.get(key) is not None), None)
    if output is not None:
        facts["output"] = str(output)
    lettered = all(re.match(rf"\(?{letter}[.)]\s+", choice) for letter, choice in zip(LETTERS, choices, strict=False))
    audio = next((values[key] for key in ("audio_id", "audio_path", "context", "audio") if values.get(key)), None)
    return ChoiceItem(
        id=name,
        domain=task,
        task="mmau",
        question=text_of(values, "question", "instruction"),
        options=tuple(_LETTERED.sub("", choice) if lettered else choice for choice in choices),
        answer=place,
        clip=str(audio_of(audio, name, root, None if unpack_to is None else Path(unpack_to))),
        group=name,
        subset=str(facts.get("sub-category", "")),
        facts=facts,
    )


def _choices(value: Any, where: str) -> list[str]:
    """Read the choices: a list, or the JSON of one."""
    value = parse_json(value, where) if isinstance(value, str) else value
    if not isinstance(value, list) or len(value) < 2:
        raise DataError("it has no list of at least 2 choices")
    return [str(choice) for choice in value]


def _place(answer: str, choices: list[str]) -> int:
    """Find the answer among the choices: as it is, else without regard to case, spaces and the letter before it."""
    if answer in choices:
        return choices.index(answer)
    plain = [_LETTERED.sub("", choice.strip()).casefold() for choice in choices]
    own = _LETTERED.sub("", answer.strip()).casefold()
    if plain.count(own) != 1:
        raise DataError(f"the answer {answer!r} is none of the choices {', '.join(choices)}")
    return plain.index(own)


def _single(value: Any) -> Any:
    """Take a word out of a list of one, as some rows have it."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value
