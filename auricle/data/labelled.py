"""A labelled manifest of the user's as the data of a detection system: checked, and split."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.errors import ConfigError, DataError
from auricle.data import corpora, fields, manifest
from auricle.data.cut_audio import check_cut, fingerprint
from auricle.data.splits import split_classes

if TYPE_CHECKING:
    from lhotse.cut import Cut


def split_manifest(source: str, draw: int) -> tuple[dict[str, list[Cut]], str]:
    """Split a labelled manifest: by its own split column, else by voice, else by clip, with both classes in each split.

    Args:
        source: path of the manifest.
        draw: number of the draw of voices or clips.

    Returns:
        The cuts of ``train``, ``dev`` and ``test``, each with its split in its custom fields; and how they were split.

    Raises:
        ConfigError: no such file.
        DataError: clips without a label or whose audio cannot be had, or a class in too few voices to split.
    """
    path = Path(source)
    if not path.is_file():
        raise ConfigError(
            f"--data {source} is neither a corpus ({', '.join(corpora.NAMES)}) nor a manifest; "
            "make one with auricle manifest"
        )
    cuts = list(manifest.read(path))
    need_labels(cuts, path)
    for cut in cuts:
        _remember(cut)
    own = {cut.custom.get(fields.SPLIT) for cut in cuts}
    how = "by its split column"
    if not own <= set(fields.SPLITS):
        groups = {cut.id: group_of(cut) for cut in cuts}
        voiced = any(cut.custom.get(fields.SPEAKER_GROUP) or cut.custom.get(fields.SPEAKER) for cut in cuts)
        how = "by voice" if voiced else "by clip"
        classes: dict[str, set[str]] = {}
        for cut in cuts:
            classes.setdefault(groups[cut.id], set()).add(cut.custom[fields.LABEL])
        assigned = split_classes(classes, draw)
        for cut in cuts:
            cut.custom[fields.SPLIT] = assigned[groups[cut.id]]
    return {name: [cut for cut in cuts if cut.custom[fields.SPLIT] == name] for name in fields.SPLITS}, how


def _remember(cut: Any) -> None:
    """Note what a cut's file holds, as `auricle manifest` does, so that a later stage notices when it has changed."""
    sources = cut.recording.sources
    if len(sources) == 1 and fields.FINGERPRINT not in cut.custom:
        with contextlib.suppress(DataError):  # who reads the file says what is wrong with it
            cut.custom[fields.FINGERPRINT] = fingerprint(sources[0].source)


def group_of(cut: Any) -> str:
    """Give what must not be in two splits: the voice, else the utterance that real and fake share, else the clip."""
    custom = cut.custom
    return str(custom.get(fields.SPEAKER_GROUP) or custom.get(fields.SPEAKER) or custom.get(fields.PAIR) or cut.id)


def need_labels(cuts: Iterable[Any], path: str | Path) -> None:
    """Refuse a manifest with clips that have no label, or whose audio cannot be had as they say.

    Raises:
        DataError: there is one.
    """
    cuts = list(cuts)
    for cut in cuts:
        check_cut(cut)
    unlabelled = [cut.id for cut in cuts if (cut.custom or {}).get(fields.LABEL) not in fields.LABELS]
    if unlabelled:
        raise DataError(
            f"{path}: {len(unlabelled)} clip(s) without a label, such as {unlabelled[0]}; labels: bonafide, spoof"
        )


def need_both_classes(name: str, cuts: Iterable[Any]) -> None:
    """Refuse a set with one class only.

    Raises:
        DataError: a class is missing.
    """
    labels = {cut.custom[fields.LABEL] for cut in cuts}
    if labels != set(fields.LABELS):
        raise DataError(
            f"the {name} split holds {', '.join(sorted(labels)) or 'nothing'}; bonafide and spoof are both needed: "
            f"give more voices, or a split column with train, dev and test"
        )
