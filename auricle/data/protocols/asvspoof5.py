"""ASVspoof 5, track 1 (detection without a verifier).

Known from the files as others describe and count them: ten columns without a header, named ``.tsv`` but apart by
spaces (any white space is read here): speaker, file, gender, codec, codec quality, codec seed, attack tag, attack
label, key, and one that is always ``-``. Train and dev have no codec; in eval the uncoded trials have codec ``-`` with
quality ``0``, the coded ones ``C01`` to ``C11``, and the seed names the uncoded utterance they were made from. Bona
fide rows have ``bonafide`` for an attack label. Audio: ``flac_T``, ``flac_D`` and ``flac_E_eval``, 16 kHz. The list
of codec settings that comes with the corpus (``ASVspoof5.codec.config.csv``) and the verification trials of track 2
are not read.
"""

from __future__ import annotations

from pathlib import Path

from auricle.data.protocols.lines import Names, attack, columns, label, locate, one_of
from auricle.data.protocols.row import ProtocolRow

CORPUS = "asvspoof5"
ATTACKS = {
    "train": tuple(f"A{number:02d}" for number in range(1, 9)),
    "dev": tuple(f"A{number:02d}" for number in range(9, 17)),
    "eval": tuple(f"A{number:02d}" for number in range(17, 33)),
}
CODECS = ("-", *(f"C{number:02d}" for number in range(1, 12)))
SIZES = {
    "train": {"bonafide": 18_797, "spoof": 163_560, "speakers": 400},
    "dev": {"bonafide": 31_334, "spoof": 109_616, "speakers": 785},
    "eval": {"bonafide": 138_688, "spoof": 542_086, "speakers": 737},
}

_FILES = ("ASVspoof5.train.tsv", "ASVspoof5.dev.track_1.tsv", "ASVspoof5.eval.track_1.tsv")
_FOLDERS = ("", "ASVspoof5_protocols", "protocols")
_PARTS = {"T_": ("train", "flac_T"), "D_": ("dev", "flac_D"), "E_": ("eval", "flac_E_eval")}
_COLUMNS = (
    "speaker",
    "file",
    "gender",
    "codec",
    "codec quality",
    "codec seed",
    "attack tag",
    "attack label",
    "key",
    "unused",
)


def read_asvspoof5(path: str | Path) -> list[ProtocolRow]:
    """Read one protocol file of track 1, or all that lie in a folder.

    Args:
        path: ``ASVspoof5.train.tsv`` and so on, or the folder the corpus is unpacked in.

    Returns:
        One row an utterance; the subset (train, dev, eval) is that of its name.

    Raises:
        DataError: nothing to read, other than ten columns, an unknown label or gender, an utterance of another corpus
            or one that is there twice, an attack where none belongs or none where one does; with file and line.
    """
    rows = []
    names = Names(tuple(_PARTS))
    for file in locate(path, _FILES, _FOLDERS):
        for line, values in columns(file, _COLUMNS):
            speaker, utterance, gender, codec, quality, seed, tag, made_by, key, _ = values
            name = names.take(file, line, utterance)
            kind = label(file, line, key)
            subset, folder = _PARTS[name[:2]]
            rows.append(
                ProtocolRow(
                    corpus=CORPUS,
                    utterance=name,
                    path=f"{folder}/{name}.flac",
                    label=kind,
                    line=line,
                    speaker=speaker,
                    gender=None if gender is None else one_of(file, line, "gender", gender, ("F", "M")),
                    attack=attack(file, line, kind, made_by),
                    attack_tag=tag,
                    codec=codec,
                    codec_quality=quality,
                    codec_seed=seed,
                    subset=subset,
                )
            )
    return rows
