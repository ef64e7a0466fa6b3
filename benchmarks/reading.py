"""Reading ordinary audio files, beside the same reading and judging without a look at the header and without a guard.

python benchmarks/reading.py [--quick] [--json]

Each case reads 100 clips of 3 s, or 5 of 60 s, at 16 kHz. The peer reads blocks of the same size with soundfile from an
open file and gathers the same statistics. Both give the same samples; tests/benchmarks/test_benchmarks.py holds that.
The last case is a format that is decoded in a process of its own; its peer reads it in this one.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
from contract import Case, run

from auricle.audio.check import CHUNK_FRAMES, Statistics
from auricle.audio.files import read

RATE_HZ = 16_000
# container: subtype
KINDS = {"WAV": "PCM_16", "FLAC": "PCM_16", "MP3": "MPEG_LAYER_III", "OGG": "VORBIS", "AIFF": "PCM_16"}


def clips(folder: Path, container: str, count: int, clip_s: float) -> list[Path]:
    """Write clips of noise with a moving level; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    draws = np.random.default_rng(0)
    steps = np.arange(round(clip_s * RATE_HZ)) / RATE_HZ
    paths = [folder / f"{clip_s:g}s-{index}.{container.lower()}" for index in range(count)]
    for path in paths:
        wave = draws.standard_normal(len(steps)) * 0.1 * (0.2 + np.sin(3 * steps) ** 2)
        with soundfile.SoundFile(path, "w", RATE_HZ, 1, KINDS[container], format=container) as out:
            for start in range(0, len(wave), CHUNK_FRAMES):
                out.write(wave[start : start + CHUNK_FRAMES])
    return paths


def ours(paths: list[Path]) -> list[np.ndarray]:
    """Read the files, (C, T) each."""
    return [read(path).wave for path in paths]


def unguarded(paths: list[Path]) -> list[np.ndarray]:
    """Read and judge the files with soundfile alone, (C, T) each."""
    found = []
    for path in paths:
        with open(path, "rb") as handle, soundfile.SoundFile(handle) as file:
            statistics, pieces = Statistics(file.channels, file.samplerate), []
            while sum(piece.shape[1] for piece in pieces) < file.frames:
                buffer = np.full((CHUNK_FRAMES, file.channels), np.nan, np.float32)
                piece = np.ascontiguousarray(file.read(out=buffer).T)
                statistics.add(piece)
                pieces.append(piece)
            statistics.warnings()
        found.append(np.concatenate(pieces, axis=1) if len(pieces) > 1 else pieces[0])
    return found


def cases(quick: bool) -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as folder:
        for container in KINDS:
            for count, clip_s in ((100, 3.0), (5, 60.0)):
                paths = clips(Path(folder, container), container, count, clip_s)
                yield Case(
                    f"{count} {container} files of {clip_s:g} s",
                    lambda paths=paths: ours(paths),
                    lambda paths=paths: unguarded(paths),
                    "soundfile in this process",
                    "ms",
                    items=(count, count),
                )


if __name__ == "__main__":
    run(__doc__ or "", cases, quick_s=5.0)
