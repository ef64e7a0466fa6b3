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

from auricle.audio.files import read as read_audio
from auricle.core.errors import AudioError, ConfigError, DataError
from auricle.data import manifest

if TYPE_CHECKING:
    from lhotse import CutSet
    from lhotse.cut import Cut

FORMATS = ("wav", "flac")
__all__ = ["FORMATS", "SharSummary", "export", "read", "wave"]


@dataclass(frozen=True)
class SharSummary:
    """What an export wrote: cuts, shards, hours of audio and bytes."""

    cuts: int
    shards: int
    hours: float
    size_bytes: int

    def __str__(self) -> str:
        """Say it in one line."""
        return f"{self.cuts} cuts, {self.hours:.2f} h, in {self.shards} shards, {self.size_bytes / 1e6:.1f} MB"


def export(
    source: str | Path | Iterable[Cut], folder: str | Path, shard_size: int = 1000, form: str = "wav"
) -> SharSummary:
    """Write cuts with their audio as Shar; the folder appears when it is complete.

    Args:
        source: a manifest, or cuts of one audio file each; supervisions and custom fields go along.
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

    count, seconds, problems, seen = 0, 0.0, [], set()
    with (
        JsonlShardWriter(f"{folder}/cuts.%06d.jsonl.gz", shard_size) as rows,
        TarWriter(f"{folder}/recording.%06d.tar", shard_size) as audio,
    ):
        for cut in cuts:
            if cut.id in seen:
                raise DataError(f"two cuts have the id {cut.id!r}; ids must differ")
            seen.add(cut.id)
            try:
                samples = wave(cut)
            except (AudioError, DataError) as error:
                problems.append(f"{cut.id}: {error}")
                continue
            placed = _placed(cut, samples.shape[1])
            audio.write(f"{cut.id}.{form}", _coded(samples, placed.sampling_rate, form))
            text = json.dumps(placed.recording.to_dict()) + "\n"
            audio.write(f"{cut.id}.json", io.BytesIO(text.encode()), count=False)
            rows.write(placed)
            count, seconds = count + 1, seconds + placed.duration
        shards = len(rows.output_paths)
    if problems:
        more = f" and {len(problems) - 5} more" if len(problems) > 5 else ""
        raise DataError(f"{len(problems)} cuts cannot be exported: {'; '.join(problems[:5])}{more}")
    if not count:
        raise DataError("there is no cut to export")
    return SharSummary(count, shards, seconds / 3600, sum(file.stat().st_size for file in folder.iterdir()))


def _coded(samples: np.ndarray, rate_hz: int, form: str) -> io.BytesIO:
    """Give a file in memory. Lhotse's own writer makes 16-bit WAV, which is not what was read."""
    file = io.BytesIO()
    soundfile.write(file, samples.T, rate_hz, format=form.upper(), subtype="FLOAT" if form == "wav" else "PCM_16")
    file.seek(0)
    return file


def wave(cut: Cut) -> np.ndarray:
    """Give the samples of a cut of one recording, from a file or from Shar.

    Args:
        cut: as from `manifest.read` or `read`.

    Returns:
        (C, T) float32 at the recording's rate.

    Raises:
        AudioError: the audio is refused.
        DataError: the cut has no recording, or one of several files.
    """
    recording = getattr(cut, "recording", None)
    if recording is None or len(recording.sources) != 1 or recording.transforms:
        raise DataError(f"{cut.id}: expected a cut of one audio file, without transforms")
    first = recording.sources[0]
    channels = cut.channel if isinstance(cut.channel, list) else [cut.channel]
    chosen = [recording.channel_ids.index(channel) for channel in channels]
    if first.type != "file":
        return np.asarray(cut.load_audio(), np.float32)
    found = read_audio(first.source, cut.start, cut.duration, check=False)
    if found.rate_hz != recording.sampling_rate:
        raise DataError(f"{first.source} is at {found.rate_hz} Hz; the manifest says {recording.sampling_rate} Hz")
    return found.wave[chosen]


def _placed(cut: Any, samples: int) -> Any:
    """Give the cut as it stands in a shard: it begins at 0 of a recording that holds nothing else."""
    from lhotse import fastcopy
    from lhotse.audio import AudioSource

    channels = cut.channel if isinstance(cut.channel, list) else [cut.channel]
    duration_s = samples / cut.sampling_rate
    recording = fastcopy(
        cut.recording,
        sources=[AudioSource(type="shar", channels=channels, source="")],
        num_samples=samples,
        duration=duration_s,
        channel_ids=channels,
    )
    return fastcopy(cut, start=0, duration=duration_s, recording=recording)


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
    paths = {"cuts": [str(file) for file in names[0]], "recording": [str(file) for file in names[1]]}
    return CutSet.from_shar(fields=paths, split_for_dataloading=split, shuffle_shards=shuffle, seed=seed)
