"""VoiceBench's multiple choice (arXiv 2410.17196): MMSU, spoken items of MMLU-Pro, and OpenBookQA.

Rows have ``audio``, ``prompt`` (what is spoken, options included) and ``reference`` (a letter); MMSU's also
``question_id`` and ``category``. As released they are Parquet files with the audio inside, ``mmsu/law-*.parquet`` and
``openbookqa/test-*.parquet``. Another benchmark is called MMSU too, with 47 tasks of spoken language understanding.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from auricle.core.errors import ConfigError, DataError
from auricle.data.choices import LETTERS, ChoiceItem
from auricle.data.protocols.choice_rows import Gathered, Row, audio_of, files_of, rows_of, text_of

SIZES = {"mmsu": 3074, "openbookqa": 455}
CHOICES = 4
_MARK = re.compile(r"(?:^|(?<=[\s(]))([A-D])\s*[.):]\s*")


def read_voicebench(
    path: str | Path, subset: str, audio_root: str | Path | None = None, unpack_to: str | Path | None = None
) -> list[ChoiceItem]:
    """Read MMSU or OpenBookQA.

    Args:
        path: the folder of the dataset or of the subset, or one row file (Parquet, JSON or JSON lines).
        subset: ``mmsu`` or ``openbookqa``.
        audio_root: folder of audio files that rows name; beside the rows if not given.
        unpack_to: where audio that lies inside the rows is written.

    Returns:
        One item a row. The clip speaks the whole prompt, which is the item's evidence; question and options are read
        from it, and where it has no options A to D in turn, they are the letters. What a model answered in a file of
        results stands in the facts as ``output``.

    Raises:
        ConfigError: another subset.
        DataError: missing audio, an id that is there twice, a reference that is no letter; one message with all.
        MissingExtra: Parquet without pyarrow.
    """
    if subset not in SIZES:
        raise ConfigError(f"VoiceBench has no multiple choice {subset!r}; use {' or '.join(SIZES)}")
    found = Gathered(f"VoiceBench {subset}")
    for file in files_of(Path(path), (subset,)):
        for row in rows_of(file):
            with found.row(row):
                found.add(row, _item(row, subset, Path(audio_root or file.parent), unpack_to))
    return found.done()


def _item(row: Row, subset: str, root: Path, unpack_to: str | Path | None) -> ChoiceItem:
    values = row.values
    prompt, reference = text_of(values, "prompt"), text_of(values, "reference")
    letter = reference.rstrip(".)").upper()
    if letter not in tuple(LETTERS[:CHOICES]):
        raise DataError(f"the reference {reference!r} is no choice; expected one of {', '.join(LETTERS[:CHOICES])}")
    part = re.sub(r"-\d+-of-\d+$", "", row.file.stem)
    name = f"{subset}-{values.get('question_id', f'{part}-{row.number}')}"
    question, options = spoken_options(prompt)
    category = str(values.get("category") or part)
    facts: dict[str, Any] = {"category": category, "options_in_text": options is not None}
    if "response" in values:
        facts["output"] = str(values["response"])
    return ChoiceItem(
        id=name,
        domain="speech",
        task=subset,
        question=question,
        options=options or tuple(LETTERS[:CHOICES]),
        answer=LETTERS.index(letter),
        evidence=prompt,
        clip=str(audio_of(values.get("audio"), name, root, None if unpack_to is None else Path(unpack_to))),
        group=name,
        subset=category,
        facts=facts,
    )


def spoken_options(prompt: str) -> tuple[str, tuple[str, ...] | None]:
    """Split a spoken prompt into question and options.

    Args:
        prompt: the question, then ``A. ... B. ... C. ... D. ...`` with a point, colon or bracket, on lines or not.

    Returns:
        The question, and the four options; the whole prompt and None where the last A has no B, C and D after it.
    """
    marks = list(_MARK.finditer(prompt))
    letters = "".join(mark.group(1) for mark in marks)
    start = letters.rfind(LETTERS[:CHOICES])
    if start < 0 or len(letters) != start + CHOICES:
        return prompt, None
    own = marks[start:]
    ends = [mark.start() for mark in own[1:]] + [len(prompt)]
    options = tuple(prompt[mark.end() : end].strip(" \t\n(,;") for mark, end in zip(own, ends, strict=True))
    return (prompt[: own[0].start()].strip(" \t\n("), options) if all(options) else (prompt, None)
