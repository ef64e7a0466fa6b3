"""CtrSVDD: singing voices, converted or synthesised, of the SVDD Challenge 2024.

``train.txt``, ``dev.txt`` and the key of the evaluation set: six columns apart by a space: source corpus, singer, file,
``-``, attack id or ``-``, ``bonafide`` or ``deepfake``. Audio is ``<split>/<file>.flac``. Part of the bona fide audio
has to be cut out of its own corpora by the user, so a manifest is usually made with what is there.
"""

from __future__ import annotations

from pathlib import Path

from auricle.data import fields
from auricle.data.protocols.lines import Names, attack, columns, locate, one_of
from auricle.data.protocols.row import ProtocolRow

CORPUS = "ctrsvdd"
SIZES = {
    "train": {"bonafide": 12_169, "spoof": 72_235},
    "dev": {"bonafide": 6_547, "spoof": 37_078},
    "eval": {"bonafide": 13_596, "spoof": 79_173},
}

_FILES = ("train.txt", "dev.txt", "eval.txt")
_FOLDERS = ("", "label/CtrSVDD", "CtrSVDD")
_SUBSETS = {"T": "train", "D": "dev", "E": "eval"}
_COLUMNS = ("source corpus", "singer", "file", "unused", "attack", "label")
_LABELS = {"bonafide": fields.BONAFIDE, "deepfake": fields.SPOOF}


def read_ctrsvdd(path: str | Path) -> list[ProtocolRow]:
    """Read one list, or all that lie in a folder.

    Args:
        path: ``train.txt``, ``dev.txt`` or ``eval.txt``, or their folder.

    Returns:
        One row a clip; the subset (train, dev, eval) is that of its name.

    Raises:
        DataError: nothing to read, another number of columns, an unknown label, a name of another corpus or one that is
            there twice, an attack where none belongs or none where one does; with file and line.
    """
    rows = []
    names = Names(("CtrSVDD_",))
    for file in locate(path, _FILES, _FOLDERS):
        for line, (source, singer, clip, _, made_by, key) in columns(file, _COLUMNS):
            name = names.take(file, line, clip)
            kind = _LABELS[one_of(file, line, "label", key, tuple(_LABELS))]
            # CtrSVDD_<singer>_<T, D or E>_<number>
            letter = one_of(file, line, "the split in the name", ([*name.split("_"), "", ""])[2], tuple(_SUBSETS))
            rows.append(
                ProtocolRow(
                    corpus=CORPUS,
                    utterance=name,
                    path=f"{_SUBSETS[letter]}/{name}.flac",
                    label=kind,
                    line=line,
                    speaker=singer,
                    attack=attack(file, line, kind, made_by),
                    source=source,
                    subset=_SUBSETS[letter],
                    audio_type="singing",
                )
            )
    return rows
