"""The label files of the all-type benchmark of Xie et al. (2025) for music and sound: FakeMusicCaps and Codecfake-A3.

``train.txt``, ``dev.txt``, ``eval.txt`` in ``label/<corpus>``. FakeMusicCaps has three columns: ``<id>.wav``, ``real``
or ``fake``, and the generator's number (0 for real music; 6, an unknown one, only in eval). Codecfake-A3 has two.
"""

from __future__ import annotations

from pathlib import Path

from auricle.core.errors import DataError
from auricle.data import fields
from auricle.data.protocols.lines import Names, columns, locate, one_of
from auricle.data.protocols.row import ProtocolRow

MUSIC, SOUND = "fakemusiccaps", "codecfake_a3"
MUSIC_SIZES = {
    "train": {"bonafide": 4_298, "spoof": 16_563},
    "dev": {"bonafide": 537, "spoof": 5_521},
    "eval": {"bonafide": 538, "spoof": 5_584},
}
# by number; the names are those that the files of each begin with
GENERATORS = ("", "TTM01", "TTM02", "TTM03", "TTM04", "TTM05", "UNKWN")
LABELS = {"real": fields.BONAFIDE, "fake": fields.SPOOF}

_SPLITS = ("train", "dev", "eval")
_FILES = tuple(f"{name}.txt" for name in _SPLITS)


def read_fakemusiccaps(path: str | Path) -> list[ProtocolRow]:
    """Read one list of FakeMusicCaps, or all that lie in a folder.

    Args:
        path: ``train.txt``, ``dev.txt`` or ``eval.txt``, or the folder ``Fakemusiccaps``.

    Returns:
        One row a clip; the subset is the name of its file.

    Raises:
        DataError: nothing to read, another number of columns, an unknown label, a clip that is there twice, a generator
            that does not fit the label; with file and line.
    """
    rows = []
    names = Names()
    for file in locate(path, _FILES, ("", "Fakemusiccaps", "label/Fakemusiccaps")):
        for line, (clip, word, number) in columns(file, ("file", "label", "generator")):
            kind = LABELS[one_of(file, line, "label", word, tuple(LABELS))]
            index = int(one_of(file, line, "generator", number, tuple(str(one) for one in range(len(GENERATORS)))))
            if (index == 0) != (kind == fields.BONAFIDE):
                raise DataError(f"{file}, line {line}: {word} with generator {index}; 0 is real, the others are fake")
            rows.append(_row(MUSIC, file, line, names.take(file, line, clip), kind, "music", GENERATORS[index] or None))
    return rows


def read_codecfake_a3(path: str | Path) -> list[ProtocolRow]:
    """Read one list of Codecfake-A3, or all that lie in a folder; see `read_fakemusiccaps`.

    Args:
        path: ``train.txt``, ``dev.txt`` or ``eval.txt``, or the folder ``Codecfake_A3``.

    Raises:
        DataError: nothing to read, another number of columns, an unknown label, a clip that is there twice; with file
            and line.
    """
    rows = []
    names = Names()
    for file in locate(path, _FILES, ("", "Codecfake_A3", "label/Codecfake_A3")):
        for line, (clip, word) in columns(file, ("file", "label")):
            kind = LABELS[one_of(file, line, "label", word, tuple(LABELS))]
            rows.append(_row(SOUND, file, line, names.take(file, line, clip), kind, "sound", None))
    return rows


def _row(corpus: str, file: Path, line: int, name: str, kind: str, audio_type: str, attack: str | None) -> ProtocolRow:
    subset = file.stem if file.stem in _SPLITS else None
    return ProtocolRow(
        corpus=corpus,
        utterance=name,
        path=f"{subset}/{name}" if subset else name,
        label=kind,
        line=line,
        attack=attack,
        subset=subset,
        audio_type=audio_type,
    )
