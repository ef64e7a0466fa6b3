"""DFADD: VCTK sentences spoken again by five diffusion and flow-matching systems.

``DATASET_<system>/{train,valid,test}.txt``: five columns, speaker, key, two that are not used, ``bonafide`` or
``spoof``. Bona fide audio is ``DATASET_VCTK_BONAFIDE/<split>/<key>.wav`` and shared by the five lists; a spoof is
``DATASET_<system>/<split>/<key>.flac``. In April 2025 the authors mended Matcha-TTS and unified the formats; results
before and after do not compare, and a detector can tell the older WAV from FLAC.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from auricle.core.errors import ConfigError, DataError
from auricle.data import fields
from auricle.data.protocols.lines import Names, columns, label
from auricle.data.protocols.row import ProtocolRow

CORPUS = "dfadd"
SYSTEMS = {
    "GradTTS": "D1",
    "NaturalSpeech2": "D2",
    "StyleTTS2": "D3",
    "MatchaTTS": "F1",
    "PflowTTS": "F2",
}
SPLITS = ("train", "valid", "test")
# Only the test lists have published sizes; the five share their bona fide trials.
SIZES = {"test": {"bonafide": 755, "spoof": 3_000, **dict.fromkeys(SYSTEMS, 600)}}
ATTACKS = dict.fromkeys(SPLITS, tuple(SYSTEMS))

_COLUMNS = ("speaker", "key", "unused", "unused", "label")


def read_dfadd(
    path: str | Path, systems: Sequence[str] = tuple(SYSTEMS), splits: Sequence[str] = SPLITS
) -> list[ProtocolRow]:
    """Read one list, or all that lie in a folder.

    Args:
        path: a list such as ``DATASET_GradTTS/test.txt``, or the folder of the ``DATASET_*`` folders.
        systems: which of GradTTS, NaturalSpeech2, StyleTTS2, MatchaTTS, PflowTTS to read from a folder.
        splits: which of train, valid, test.

    Returns:
        One row an utterance; a bona fide one that several lists share stands once.

    Raises:
        DataError: nothing to read, another number of columns, an unknown label, a key that is there twice in a list,
            a spoof in two lists or a bona fide key in two splits; with file and line.
        ConfigError: an unknown system or split.
    """
    for given, allowed, what in ((systems, SYSTEMS, "system"), (splits, SPLITS, "split")):
        wrong = [name for name in given if name not in allowed]
        if wrong:
            raise ConfigError(f"DFADD has no {what} {wrong[0]!r}; it has {', '.join(allowed)}")
    shared: dict[str, ProtocolRow] = {}
    spoofs = Names()
    rows: list[ProtocolRow] = []
    for file, system, split in _lists(Path(path), systems, splits):
        names = Names()
        for line, (speaker, key, _, _, kind) in columns(file, _COLUMNS):
            name = names.take(file, line, key)
            row = _row(file, line, speaker, name, label(file, line, kind), system, split)
            if row.label == fields.SPOOF:
                spoofs.take(file, line, name)
            elif name in shared:
                if shared[name].subset != split:
                    raise DataError(f"{file}, line {line}: bona fide {name} is in the split {shared[name].subset} too")
                continue
            else:
                shared[name] = row
            rows.append(row)
    return rows


def _row(file: Path, line: int, speaker: str | None, name: str, kind: str, system: str, split: str) -> ProtocolRow:
    spoof = kind == fields.SPOOF
    return ProtocolRow(
        corpus=CORPUS,
        utterance=name,
        path=f"DATASET_{system}/{split}/{name}.flac" if spoof else f"DATASET_VCTK_BONAFIDE/{split}/{name}.wav",
        label=kind,
        line=line,
        speaker=speaker,
        attack=system if spoof else None,
        subset=split,
    )


def _lists(path: Path, systems: Sequence[str], splits: Sequence[str]) -> list[tuple[Path, str, str]]:
    """Find the lists: file, system and split of each."""
    if path.is_file():
        system = path.parent.name.removeprefix("DATASET_")
        if system not in SYSTEMS or path.stem not in SPLITS:
            raise DataError(
                f"{path}: a list of DFADD is DATASET_<system>/<split>.txt with one of {', '.join(SYSTEMS)} and one of "
                f"{', '.join(SPLITS)}"
            )
        return [(path, system, path.stem)]
    found = [
        (path / f"DATASET_{system}" / f"{split}.txt", system, split)
        for system in systems
        for split in splits
        if (path / f"DATASET_{system}" / f"{split}.txt").is_file()
    ]
    if not found:
        raise DataError(
            f"{path} has no list of DFADD; looked for DATASET_<system>/<split>.txt with {', '.join(systems)} and "
            f"{', '.join(splits)}"
        )
    return found
