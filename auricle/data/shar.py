"""Lhotse Shar: a manifest and its audio in shards, read in sequence from one disk or from many machines.

A shard is a pair ``cuts.000000.jsonl.gz`` and ``recording.000000.tar``. Audio is decoded by `auricle.audio.files`,
which also knows codings that Lhotse does not, and written as WAV (32-bit float, exact) or FLAC (16 bit). Plain Lhotse
reads the result with ``CutSet.from_shar(in_dir=folder)``.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile

from auricle.core.errors import ConfigError, DataError
from auricle.data import fields, manifest
from auricle.data.cut_audio import SHAR, CutAudio, read_cut
from auricle.data.shar_reader import Shards, safe_name

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

FORMATS = ("wav", "flac")
__all__ = ["FORMATS", "SharSummary", "export", "read", "wave"]


@dataclass(frozen=True)
class SharSummary:
    """What an export wrote: cuts, shards, hours of audio, bytes, and ids that were changed to stay inside a folder."""

    cuts: int
    shards: int
    hours: float
    size_bytes: int
    renamed: tuple[str, ...] = ()

    def __str__(self) -> str:
        """Say it in a line, and in another one where ids were changed."""
        text = f"{self.cuts} cuts, {self.hours:.2f} h, in {self.shards} shards, {self.size_bytes / 1e6:.1f} MB"
        if not self.renamed:
            return text
        old, new = self.renamed[0], safe_name(self.renamed[0])
        return f"{text}\n{len(self.renamed)} ids lead out of a folder and were changed: {old!r} is {new!r}"


def export(
    source: str | Path | Iterable[Cut], folder: str | Path, shard_size: int = 1000, form: str = "wav"
) -> SharSummary:
    """Write cuts with their audio as Shar; the folder appears when it is complete.

    Args:
        source: a manifest, or cuts of one recording each; supervisions and custom fields go along.
        folder: where to; new or empty.
        shard_size: cuts in a shard.
        form: coding of the audio: ``wav`` (32-bit float, exact) or ``flac`` (16 bit, a quarter of the size; exact
            for what was 16 bit before).

    Returns:
        Counts.

    Raises:
        ConfigError: an unknown form, a shard size below 1, or a folder with files in it.
        DataError: no cuts, or cuts whose audio cannot be read; the message names the first ones.
    """
    if form not in FORMATS:
        raise ConfigError(f"audio as {form!r}; it can be {' or '.join(FORMATS)}")
    if shard_size < 1:
        raise ConfigError(f"{shard_size} cuts in a shard; at least 1 is needed")
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder} is not empty; give a new folder")
    cuts = manifest.read(source) if isinstance(source, str | Path) else source
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        written = _write(cuts, temporary, shard_size, form)
        temporary.chmod(0o755)
        os.replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return written


def _write(cuts: Iterable[Cut], folder: Path, shard_size: int, form: str) -> SharSummary:
    from lhotse.shar.writers.cut import JsonlShardWriter
    from lhotse.shar.writers.tar import TarWriter

    count, seconds = 0, 0.0
    problems: list[str] = []
    renamed: list[str] = []
    seen: set[str] = set()
    with (
        JsonlShardWriter(f"{folder}/cuts.%06d.jsonl.gz", shard_size) as rows,
        TarWriter(f"{folder}/recording.%06d.tar", shard_size) as audio,
    ):
        for cut in cuts:
            name = safe_name(cut.id)
            if name in seen:
                raise DataError(f"two cuts have the id {name!r}; ids must differ")
            seen.add(name)
            renamed += [cut.id] if name != cut.id else []
            try:
                found = read_cut(cut, judge=False)
            except DataError as error:
                problems.append(str(error))
                continue
            placed = _placed(cut, name, found)
            audio.write(f"{name}.{form}", _coded(found.wave, found.rate_hz, form))
            text = json.dumps(placed.recording.to_dict()) + "\n"
            audio.write(f"{name}.json", io.BytesIO(text.encode()), count=False)
            rows.write(placed)
            count, seconds = count + 1, seconds + placed.duration
        shards = len(rows.output_paths)
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise DataError(f"{len(problems)} cuts cannot be exported: {'; '.join(problems[:5])}{more}")
    if not count:
        raise DataError("there is no cut to export")
    size = sum(file.stat().st_size for file in folder.iterdir())
    return SharSummary(count, shards, seconds / 3600, size, tuple(renamed))


def _coded(samples: np.ndarray, rate_hz: int, form: str) -> io.BytesIO:
    """Give a file in memory. Lhotse's own writer makes 16-bit WAV, which is not what was read."""
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate_hz, format=form.upper(), subtype="FLOAT" if form == "wav" else "PCM_16")
    file.seek(0)
    return file


def wave(cut: Cut) -> np.ndarray:
    """Give the samples of a cut of one recording, from files or from Shar; see `auricle.data.cut_audio.read_cut`.

    Args:
        cut: as from `manifest.read` or `read`.

    Returns:
        (C, T) float32 at the recording's rate.

    Raises:
        DataError: the audio is refused, or cannot be had as the cut says.
    """
    return read_cut(cut, judge=False).wave


def _placed(cut: Any, name: str, found: CutAudio) -> Any:
    """Give the cut as it stands in a shard: it begins at 0 of a recording that holds nothing else."""
    from lhotse import fastcopy
    from lhotse.audio import AudioSource

    channels = cut.channel if isinstance(cut.channel, list) else [cut.channel]
    samples = found.wave.shape[1]
    recording = fastcopy(
        cut.recording,
        sources=[AudioSource(type=SHAR, channels=channels, source="")],
        num_samples=samples,
        sampling_rate=found.rate_hz,
        duration=samples / found.rate_hz,
        channel_ids=channels,
        transforms=None,
    )
    # the audio in a shard is coded anew: it is not the file that the manifest was made of
    custom = {key: value for key, value in (cut.custom or {}).items() if key != fields.FINGERPRINT}
    return fastcopy(cut, id=name, start=0, duration=samples / found.rate_hz, recording=recording, custom=custom or None)


def read(folder: str | Path, split: bool = False, shuffle: bool = False, seed: int = 0) -> CutSet:
    """Read Shar lazily, one shard after the other.

    Args:
        folder: as `export` wrote it.
        split: each process and data-loader worker takes its own shards.
        shuffle: shards in another order at each pass.
        seed: of that order.

    Returns:
        The cuts; `wave` gives their audio. Custom fields are those of the manifest, and ``shard_origin`` and
        ``shar_epoch`` of Lhotse.

    Raises:
        DataError: not a folder of shards, or one with shards missing.
    """
    from lhotse import CutSet

    folder = Path(folder)
    names = [sorted(folder.glob(pattern)) for pattern in ("cuts.*.jsonl.gz", "recording.*.tar")]
    if not names[0]:
        raise DataError(f"{folder} is not a folder of shards: it has no cuts.*.jsonl.gz; export makes one")
    numbers = [[file.name.split(".")[1] for file in group] for group in names]
    if numbers[0] != numbers[1]:
        odd = sorted(set(numbers[0]) ^ set(numbers[1]))
        raise DataError(f"{folder}: shard {odd[0]} has only one of cuts and recording; export it again")
    return CutSet(cuts=Shards(list(zip(*names, strict=True)), split, shuffle, seed))
