"""Rows of a protocol become a manifest: a Lhotse cut a trial, with what the protocol says in its custom fields."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, NamedTuple

from auricle.core.errors import AudioError, DataError
from auricle.data import fields, manifest
from auricle.data.manifest import ManifestSummary
from auricle.data.protocols.row import ProtocolRow
from auricle.metrics.subsets import choose

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

_SHOWN = 20
# Releases of one corpus differ in the container (DFADD before and after April 2025).
_OTHER_SUFFIX = {".flac": ".wav", ".wav": ".flac"}
_SPLITS = {"train": "train", "dev": "dev", "valid": "dev"}
_FIELDS = {
    "subset": fields.SUBSET,
    "speaker": fields.SPEAKER,
    "gender": fields.GENDER,
    "attack": fields.GENERATOR,
    "attack_tag": fields.ATTACK_TAG,
    "codec": fields.CHANNEL,
    "codec_quality": fields.CODEC_QUALITY,
    "codec_seed": fields.CODEC_SEED,
    "transmission": fields.TRANSMISSION,
    "trim": fields.TRIM,
    "vocoder": fields.VOCODER,
    "task": fields.TASK,
    "team": fields.TEAM,
    "gender_pair": fields.GENDER_PAIR,
    "language": fields.LANGUAGE,
    "audio_type": fields.AUDIO_TYPE,
}


class Manifest(NamedTuple):
    """A manifest that was written, and what it holds; rows left out are in the summary's `dropped`."""

    cuts: CutSet
    summary: ManifestSummary


def custom(row: ProtocolRow) -> dict[str, Any]:
    """Give the custom fields of a row, named as in `auricle.data.fields`.

    The split is train or dev where the corpus says so (valid is dev), and test for all that was made for evaluation:
    eval, progress, hidden and test.
    """
    found: dict[str, Any] = {
        name: getattr(row, attribute) for attribute, name in _FIELDS.items() if getattr(row, attribute) is not None
    }
    found[fields.SOURCE] = row.source or row.corpus
    if row.label is not None:
        found[fields.LABEL] = row.label
        found[fields.SYNTHETIC] = row.label == fields.SPOOF
    found[fields.SPLIT] = _SPLITS.get(row.subset or "", "test")
    return found


def audio_path(row: ProtocolRow, audio_root: str | Path) -> Path | None:
    """Find the audio of a row below a folder.

    Args:
        row: a row of a protocol.
        audio_root: the folder the corpus is unpacked in, or one between it and the files: of
            ``ASVspoof2019_LA_train/flac/x.flac`` also ``flac/x.flac`` and ``x.flac`` are looked for, in this order,
            each also as WAV for FLAC and FLAC for WAV.

    Returns:
        The file, or None when none of them is there.
    """
    return next((place for place in _places(row, Path(audio_root)) if place.is_file()), None)


def _places(row: ProtocolRow, audio_root: Path) -> Iterator[Path]:
    if row.path is None:
        return
    parts = PurePosixPath(row.path).parts
    for start in range(len(parts)):
        place = audio_root.joinpath(*parts[start:])
        yield place
        if place.suffix in _OTHER_SUFFIX:
            yield place.with_suffix(_OTHER_SUFFIX[place.suffix])


def missing_audio(rows: Iterable[ProtocolRow], audio_root: str | Path) -> list[ProtocolRow]:
    """Give the rows whose audio is not below a folder, as `audio_path` looks for it."""
    return [row for row in rows if audio_path(row, audio_root) is None]


def to_manifest(
    rows: Sequence[ProtocolRow],
    audio_root: str | Path,
    out: str | Path,
    missing_ok: bool = False,
    subset: str | None = None,
) -> Manifest:
    """Write a manifest of the trials of a protocol.

    Args:
        rows: rows of a protocol.
        audio_root: the folder the corpus is unpacked in, or that of the audio; see `audio_path`.
        out: the manifest to write, ``.jsonl``.
        missing_ok: leave out rows whose audio is not there or cannot be read, and name them in the summary, instead
            of refusing all.
        subset: keep the rows of this subset; None for ``eval`` of ASVspoof 2021, as its scorer has it, else all;
            ``all`` for all in any case. What is left out stands in the summary's notes.

    Returns:
        The cuts, in the order of the rows, each with the utterance for an id; and what they hold.

    Raises:
        ConfigError: no such subset.
        DataError: no rows, an audio root that is not a folder, or audio that is missing or unreadable: one message
            with the first 20 and how many there are. Also with `missing_ok` when nothing is left.
    """
    from lhotse import CutSet

    root = Path(audio_root)
    if not rows:
        raise DataError("there are no rows to make a manifest of; read a protocol that has some")
    if not root.is_dir():
        raise DataError(f"{root} is not a folder; give the folder the corpus is unpacked in")
    taken, note = choose((row.subset for row in rows), subset, rows[0].corpus)
    rows = [row for row in rows if taken in (None, row.subset)]
    cuts: list[Cut] = []
    problems: list[str] = []
    for row in rows:
        file = audio_path(row, root)
        if file is None:
            problems.append(f"line {row.line}, {row.utterance}: {row.path or 'no audio file'} is not there")
            continue
        try:
            cuts.append(manifest.cut(row.utterance, file, custom(row)))
        except AudioError as error:
            problems.append(f"line {row.line}, {row.utterance}: {error}")
    if problems and (not missing_ok or not cuts):
        more = f"\n... and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise DataError(
            f"{len(problems)} of {len(rows)} audio files of {rows[0].corpus} below {root} cannot be used:\n"
            + "\n".join(problems[:_SHOWN])
            + more
        )
    manifest.write(cuts, out)
    held = CutSet.from_cuts(cuts)
    found = dataclasses.replace(manifest.summary(held), dropped=tuple(problems), notes=(note,) if note else ())
    return Manifest(held, found)
