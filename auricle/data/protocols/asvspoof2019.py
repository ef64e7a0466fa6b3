"""ASVspoof 2019 logical access: the detector's protocols.

Five columns apart by a space: speaker, utterance, ``-``, attack id or ``-``, ``bonafide`` or ``spoof``. Audio lies in
``ASVspoof2019_LA_<part>/flac/<utterance>.flac``, 16 kHz.
"""

from __future__ import annotations

from pathlib import Path

from auricle.data.protocols.lines import Names, attack, columns, label, locate
from auricle.data.protocols.row import ProtocolRow

CORPUS = "asvspoof2019_la"
TRAIN_ATTACKS = tuple(f"A{number:02d}" for number in range(1, 7))
EVAL_ATTACKS = tuple(f"A{number:02d}" for number in range(7, 20))
# An attack has equally many utterances: 22,800 / 6, 22,296 / 6 and 63,882 / 13.
SIZES = {
    "train": {"bonafide": 2_580, "spoof": 22_800, **dict.fromkeys(TRAIN_ATTACKS, 3_800)},
    "dev": {"bonafide": 2_548, "spoof": 22_296, **dict.fromkeys(TRAIN_ATTACKS, 3_716)},
    "eval": {"bonafide": 7_355, "spoof": 63_882, **dict.fromkeys(EVAL_ATTACKS, 4_914)},
}
ATTACKS = {"train": TRAIN_ATTACKS, "dev": TRAIN_ATTACKS, "eval": EVAL_ATTACKS}

_FILES = tuple(
    f"ASVspoof2019.LA.cm.{name}.txt" for name in ("train.trn", "dev.trl", "eval.trl")
)  # the words are the corpus's own
_FOLDERS = ("", "ASVspoof2019_LA_cm_protocols", "LA/ASVspoof2019_LA_cm_protocols")
_SUBSETS = {"LA_T_": "train", "LA_D_": "dev", "LA_E_": "eval"}
_COLUMNS = ("speaker", "utterance", "unused", "attack", "label")


def read_asvspoof2019_la(path: str | Path) -> list[ProtocolRow]:
    """Read one protocol file, or all three that lie in a folder.

    Args:
        path: ``ASVspoof2019.LA.cm.*.txt``, or the folder the corpus is unpacked in.

    Returns:
        One row an utterance; the subset (train, dev, eval) is that of its name.

    Raises:
        DataError: nothing to read, another number of columns, an unknown label, an utterance of another corpus or one
            that is there twice, an attack where none belongs or none where one does; with file and line.
    """
    rows = []
    names = Names(tuple(_SUBSETS))
    for file in locate(path, _FILES, _FOLDERS):
        for line, (speaker, utterance, _, made_by, key) in columns(file, _COLUMNS):
            name = names.take(file, line, utterance)
            kind = label(file, line, key)
            subset = _SUBSETS[name[:5]]
            rows.append(
                ProtocolRow(
                    corpus=CORPUS,
                    utterance=name,
                    path=f"ASVspoof2019_LA_{subset}/flac/{name}.flac",
                    label=kind,
                    line=line,
                    speaker=speaker,
                    attack=attack(file, line, kind, made_by),
                    subset=subset,
                )
            )
    return rows
