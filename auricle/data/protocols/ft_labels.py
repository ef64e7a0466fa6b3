"""The released labels of FT-GRPO (arXiv 2601.02983): rows in the chat form of ms-swift, JSON or JSON lines.

A row has ``messages``, ``audios`` with one path (anonymised in the release), and for GRPO a ``solution``. The label is
what the solution's answer tag says, else that of the assistant's last message, else that message as a bare word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from auricle.core.errors import DataError
from auricle.data.protocols.all_type import LABELS
from auricle.data.protocols.lines import WHOLE, Names, parse_json, text_lines
from auricle.data.protocols.row import ProtocolRow

CORPUS = "ft_grpo_labels"
_ANSWER = re.compile(r"<answer>\s*(.*?)\s*</answer>", re.DOTALL)


def read_ft_labels(path: str | Path) -> list[ProtocolRow]:
    """Read a released file, or all ``.json`` and ``.jsonl`` files below a folder.

    Args:
        path: the file or folder.

    Returns:
        One row a clip, named by its audio path.

    Raises:
        DataError: nothing to read, rows of another form, a label other than real and fake, a clip that is there twice
            in a file; with file and line (in a JSON list the place in it).
    """
    given = Path(path)
    if not given.exists():
        raise DataError(f"{given} does not exist; give a released JSON file, or the folder of them")
    files = sorted([*given.rglob("*.json"), *given.rglob("*.jsonl")]) if given.is_dir() else [given]
    if not files:
        raise DataError(f"{given} has no labels; looked for .json and .jsonl files below it")
    rows: list[ProtocolRow] = []
    for file in files:
        names = Names()
        for line, value in _values(file):
            place, word = _clip(file, line, value)
            rows.append(
                ProtocolRow(
                    corpus=CORPUS,
                    utterance=names.take(file, line, place),
                    path=place.lstrip("/"),
                    label=LABELS[word],
                    line=line,
                )
            )
    return rows


def _values(file: Path) -> Iterator[tuple[int, Any]]:
    lines = list(text_lines(file, WHOLE))
    if not lines:
        raise DataError(f"{file} is empty; expected rows with messages and audios")
    if lines[0][1].lstrip().startswith("["):
        yield from enumerate(parse_json("\n".join(line for _, line in lines), str(file)), 1)
    else:
        for number, line in lines:
            yield number, parse_json(line, f"{file}, line {number}")


def _clip(file: Path, line: int, value: Any) -> tuple[str, str]:
    """Give a row's audio path and its label."""
    audios = value.get("audios") if isinstance(value, dict) else None
    if isinstance(audios, str):
        audios = [audios]
    if not isinstance(audios, list) or len(audios) != 1 or not isinstance(audios[0], str):
        raise DataError(f"{file}, line {line}: expected a row with one path in audios")
    messages = value.get("messages")
    said = [
        one.get("content")
        for one in (messages if isinstance(messages, list) else [])
        if isinstance(one, dict) and one.get("role") == "assistant"
    ]
    text = str(value.get("solution") or (said[-1] if said else ""))
    found = _ANSWER.search(text)
    word = (found[1] if found else text).strip().lower()
    if word not in LABELS:
        raise DataError(
            f"{file}, line {line}: answer {word[:40]!r}; expected real or fake in the solution or the answer"
        )
    return audios[0], word
