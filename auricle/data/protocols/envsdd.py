"""EnvSDD and the ESDD 2026 challenge on it: environmental sound, recorded or generated from text or from audio.

Two forms, as in the repository ``apple-yinhan/EnvSDD``. The baseline's JSON lists (``dev_track1_train.json`` and so
on) have ``file_path``, ``label`` (real, fake), ``attack_type`` and ``generative_model``, with ``xxx`` for what is
secret. The metadata tables are CSV with a header: development (file, source corpus, ..., ``train`` or
``validation``), where each line stands for one real clip and four fakes of it; development of track 2 (file, label,
usage); evaluation (file, label); test (file, source file, source corpus, ``real``, ``tta`` or ``ata``, generator).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path

from auricle.core.errors import DataError
from auricle.data import fields
from auricle.data.protocols.all_type import LABELS
from auricle.data.protocols.lines import WHOLE, Names, locate, one_of, parse_json, text_lines
from auricle.data.protocols.row import ProtocolRow

CORPUS = "envsdd"
# Every real clip of the development set comes with four fakes: 139,055 and 39,710 files are five times these.
SIZES = {"train": {"bonafide": 27_811, "spoof": 111_244}, "dev": {"bonafide": 7_942, "spoof": 31_768}}
FAKES = (("TTA", "audiogen"), ("TTA", "audioldm1"), ("TTA", "audioldm2"), ("ATA", "audioldm1"))

_FILES = (
    "dev_track1_train.json",
    "dev_track1_valid.json",
    "eval_track1.json",
    "test_track1.json",
    "dev_track1.csv",
    "eval_track1.csv",
    "test_track1.csv",
)
_USAGES = {"train": "train", "validation": "dev"}
_KINDS = ("real", "tta", "ata")
_SECRET = ("xxx", "real", "", None)


def read_envsdd(path: str | Path) -> list[ProtocolRow]:
    """Read one list or table, or all that lie in a folder.

    Args:
        path: a JSON list or a CSV table, or the folder of the metadata.

    Returns:
        One row a clip; the subset is train, dev, eval or test.

    Raises:
        DataError: nothing to read, JSON or columns of another form, an unknown label, a clip that is there twice; with
            file and line (in JSON the place in the list).
    """
    names = Names()
    rows: list[ProtocolRow] = []
    for file in locate(path, _FILES, ("", "metadata")):
        found = _from_json(file) if file.suffix == ".json" else _from_table(file)
        for line, place, word, generator, subset in found:
            kind = LABELS[one_of(file, line, "label", word, tuple(LABELS))]
            rows.append(
                ProtocolRow(
                    corpus=CORPUS,
                    utterance=names.take(file, line, place),
                    path=place,
                    label=kind,
                    line=line,
                    attack=None if kind == fields.BONAFIDE or generator in _SECRET else generator,
                    subset=subset,
                    audio_type="sound",
                )
            )
    return rows


Found = tuple[int, str, str | None, str | None, str]


def _from_json(file: Path) -> Iterator[Found]:
    given = parse_json("\n".join(line for _, line in text_lines(file, WHOLE)) or "null", str(file))
    if not isinstance(given, list) or not given:
        raise DataError(f"{file}: expected a list of clips with file_path, label, attack_type and generative_model")
    for number, one in enumerate(given, 1):
        if not isinstance(one, dict) or not isinstance(one.get("file_path"), str) or "label" not in one:
            raise DataError(f"{file}, line {number}: expected a clip with file_path and label, found {one!r}")
        made_by = one.get("generative_model")
        yield (
            number,
            one["file_path"].lstrip("/"),
            one["label"],
            None if made_by is None else str(made_by),
            _subset(file),
        )


def _subset(file: Path) -> str:
    name = file.stem
    if name.startswith("dev"):
        return "train" if name.endswith("train") else "dev"
    return "eval" if name.startswith("eval") else "test"


def _from_table(file: Path) -> Iterator[Found]:
    lines = list(text_lines(file))
    if len(lines) < 2:
        raise DataError(f"{file} has no row below its header")
    for number, line in lines[1:]:
        values = [value.strip() for value in next(csv.reader([line]))]
        usage = _USAGES.get(values[-1])
        if usage and len(values) == 3 and values[1] in LABELS:
            yield number, values[0], values[1], None, usage
        elif usage and len(values) >= 3:
            yield number, f"real_audio/{values[1]}/{values[0]}", "real", None, usage
            for how, model in FAKES:
                yield number, f"fake_audio/{how}/{model}/{values[1]}/{values[0]}", "fake", model, usage
        elif len(values) == 2:
            yield number, values[0], values[1], None, _subset(file)
        elif len(values) == 5 and values[3] in _KINDS:
            yield number, values[0], "real" if values[3] == "real" else "fake", values[4], _subset(file)
        else:
            raise DataError(
                f"{file}, line {number}: {len(values)} columns, {line.strip()!r}; expected file, corpus, ..., usage "
                "(train or validation), or file, label, usage, or file, label, or file, source file, source corpus, "
                "real, tta or ata, generator"
            )
