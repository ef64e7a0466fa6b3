"""The corpora by name: who reads each, and the sizes that were published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from auricle.core.errors import ConfigError
from auricle.data.protocols import (
    aishell3,
    all_type,
    asvspoof5,
    asvspoof2019,
    asvspoof2021,
    ctrsvdd,
    dfadd,
    envsdd,
    ft_labels,
    in_the_wild,
)
from auricle.data.protocols.row import ProtocolRow


@dataclass(frozen=True)
class Protocol:
    """A corpus.

    Attributes:
        name: key of `PROTOCOLS`.
        title: as its readers call it.
        read: reads a protocol file or the corpus's folder.
        give: what to hand to `read`, for help texts.
        sizes: published counts by subset: ``bonafide``, ``spoof``, ``speakers``, or an attack.
        attacks: attacks that a subset may have; empty where they are not listed.
        source: where the sizes were published.
    """

    name: str
    title: str
    read: Callable[[Path], list[ProtocolRow]]
    give: str
    sizes: Mapping[str, Mapping[str, int]]
    source: str
    attacks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


PROTOCOLS: dict[str, Protocol] = {
    row.name: row
    for row in (
        Protocol(
            asvspoof2019.CORPUS,
            "ASVspoof 2019 LA",
            asvspoof2019.read_asvspoof2019_la,
            "ASVspoof2019.LA.cm.*.txt, or the folder with ASVspoof2019_LA_cm_protocols",
            asvspoof2019.SIZES,
            "Wang et al., Computer Speech & Language 64 (2020); attacks by division",
            asvspoof2019.ATTACKS,
        ),
        Protocol(
            asvspoof2021.LA,
            "ASVspoof 2021 LA",
            asvspoof2021.read_asvspoof2021_la,
            "trial_metadata.txt of keys/LA/CM, or the folder with keys",
            asvspoof2021.LA_SIZES,
            "Liu et al., IEEE/ACM TASLP 31 (2023)",
            dict.fromkeys(asvspoof2021.SUBSETS, asvspoof2021.LA_ATTACKS),
        ),
        Protocol(
            asvspoof2021.DF,
            "ASVspoof 2021 DF",
            asvspoof2021.read_asvspoof2021_df,
            "trial_metadata.txt of keys/DF/CM, or the folder with keys",
            asvspoof2021.DF_SIZES,
            "Liu et al., IEEE/ACM TASLP 31 (2023)",
        ),
        Protocol(
            asvspoof5.CORPUS,
            "ASVspoof 5, track 1",
            asvspoof5.read_asvspoof5,
            "ASVspoof5.*.tsv, or the folder with ASVspoof5_protocols",
            asvspoof5.SIZES,
            "counts of the released protocol files",
            asvspoof5.ATTACKS,
        ),
        Protocol(
            in_the_wild.CORPUS,
            "In-the-Wild",
            in_the_wild.read_in_the_wild,
            "meta.csv, or its folder",
            in_the_wild.SIZES,
            "Müller et al., Interspeech 2022",
        ),
        Protocol(
            dfadd.CORPUS,
            "DFADD",
            dfadd.read_dfadd,
            "DATASET_<system>/<split>.txt, or the folder of the DATASET_* folders",
            dfadd.SIZES,
            "counts of the released test lists",
            dfadd.ATTACKS,
        ),
        Protocol(
            aishell3.CORPUS,
            "AISHELL-3",
            aishell3.read_aishell3,
            "content.txt of a split, or the folder with train and test",
            aishell3.SIZES,
            "Shi et al., arXiv 2010.11567",
        ),
        Protocol(
            ctrsvdd.CORPUS,
            "CtrSVDD",
            ctrsvdd.read_ctrsvdd,
            "train.txt, dev.txt or eval.txt, or their folder",
            ctrsvdd.SIZES,
            "Zang et al., Interspeech 2024",
        ),
        Protocol(
            all_type.MUSIC,
            "FakeMusicCaps, labels of All-Type-ADD",
            all_type.read_fakemusiccaps,
            "train.txt, dev.txt or eval.txt, or the folder Fakemusiccaps",
            all_type.MUSIC_SIZES,
            "counts of the released label files",
            dict.fromkeys(("train", "dev"), all_type.GENERATORS[1:6]) | {"eval": all_type.GENERATORS[1:]},
        ),
        Protocol(
            all_type.SOUND,
            "Codecfake-A3, labels of All-Type-ADD",
            all_type.read_codecfake_a3,
            "train.txt, dev.txt or eval.txt, or the folder Codecfake_A3",
            {},
            "no published sizes",
        ),
        Protocol(
            envsdd.CORPUS,
            "EnvSDD and ESDD 2026",
            envsdd.read_envsdd,
            "a JSON list or metadata table, or the folder of the metadata",
            envsdd.SIZES,
            "total sizes of the development set; five files a real clip",
        ),
        Protocol(
            ft_labels.CORPUS,
            "FT-GRPO's released labels",
            ft_labels.read_ft_labels,
            "a JSON or JSONL file of the release, or its folder",
            {},
            "no published sizes",
        ),
    )
}


def protocol(name: str) -> Protocol:
    """Look a corpus up by name.

    Raises:
        ConfigError: no such corpus; the message lists them.
    """
    if name not in PROTOCOLS:
        raise ConfigError(f"there is no protocol {name!r}; protocols: {', '.join(PROTOCOLS)}")
    return PROTOCOLS[name]


def read(corpus: str, path: str | Path) -> list[ProtocolRow]:
    """Read a corpus's protocol by the corpus's name.

    Args:
        corpus: a key of `PROTOCOLS`.
        path: a protocol file, or the folder the corpus is unpacked in.

    Raises:
        ConfigError: no such corpus.
        DataError: the file cannot be read as that corpus's.
    """
    return protocol(corpus).read(Path(path))
