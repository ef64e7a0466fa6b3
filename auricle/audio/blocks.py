"""Long files in constant memory: one pass to judge the file, one to hand it out in blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from auricle.audio.check import Float, Statistics, check_rate
from auricle.audio.decoders import Source
from auricle.audio.resample import QUALITY
from auricle.audio.sources import naming, open_source
from auricle.core.errors import AudioError


@dataclass(frozen=True)
class Scan:
    """What one pass over a whole file found.

    Attributes:
        rate_hz: sampling rate of the file in Hz.
        frames: samples per channel that could be decoded.
        channel: the loudest channel, which a mono system takes.
        warnings: the same warnings as `read` gives.
    """

    rate_hz: int
    frames: int
    channel: int
    warnings: tuple[str, ...]

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.rate_hz


def scan(path: str | Path) -> Scan:
    """Judge a whole file in constant memory.

    Args:
        path: an audio file.

    Raises:
        AudioError: the file is refused.
    """
    with naming(path), open_source(path) as source:
        statistics = Statistics(source.channels, source.rate_hz)
        for piece in source.pieces():
            statistics.add(piece)
        if not statistics.frames:
            raise AudioError("no samples could be decoded; the file is damaged")
        found = statistics.warnings()
        return Scan(source.rate_hz, statistics.frames, statistics.loudest, (*source.warnings, *found))


def blocks(
    path: str | Path, block_s: float, hop_s: float, rate_hz: int | None = None, judged: Scan | None = None
) -> Iterator[tuple[float, Float]]:
    """Hand out a mono file in blocks, in constant memory, at any rate.

    The file is judged as a whole first (see `scan`, which also gives the warnings): the loudest channel of the whole
    file is taken for all blocks, and a bad file raises here and not halfway. The blocks hold the same samples as
    `read_mono(path, rate_hz)`.

    Args:
        path: an audio file.
        block_s: length of a block in seconds.
        hop_s: distance of block starts in seconds.
        rate_hz: wanted rate in Hz; the file's own by default.
        judged: what `scan` found, where the file was judged before; it is not judged again.

    Returns:
        An iterator of (start in seconds, samples (T,)). Block k starts at sample k * round(hop_s * rate_hz). The
        block that reaches the end of the file is the last one and may be shorter.

    Raises:
        AudioError: the file is refused, or a length is not positive.
    """
    if not (block_s > 0 and hop_s > 0):
        raise AudioError(f"blocks of {block_s} s every {hop_s} s; both lengths must be positive")
    if rate_hz is not None:
        check_rate(rate_hz)
    found = scan(path) if judged is None else judged
    target_hz = found.rate_hz if rate_hz is None else rate_hz
    block, hop = max(1, round(block_s * target_hz)), max(1, round(hop_s * target_hz))
    return _cut(path, found.channel, target_hz, block, hop)


def _cut(path: str | Path, channel: int, rate_hz: int, block: int, hop: int) -> Iterator[tuple[float, Float]]:
    kept = np.zeros(0, np.float32)
    kept_from = next_start = last_end = 0
    with open_source(path) as source:
        for piece in _resampled(source, channel, rate_hz):
            kept = np.concatenate([kept, piece])
            while next_start + block <= kept_from + len(kept):
                at = next_start - kept_from
                yield next_start / rate_hz, kept[at : at + block].copy()
                last_end, next_start = next_start + block, next_start + hop
            drop = min(next_start - kept_from, len(kept))
            kept, kept_from = kept[drop:], kept_from + drop
    total = kept_from + len(kept)
    if last_end < total and next_start < total:
        yield next_start / rate_hz, kept[next_start - kept_from :].copy()


def _resampled(source: Source, channel: int, rate_hz: int) -> Iterator[Float]:
    if rate_hz == source.rate_hz:
        for piece in source.pieces():
            yield piece[channel]
        return
    import soxr

    stream = soxr.ResampleStream(source.rate_hz, rate_hz, 1, dtype="float32", quality=QUALITY)
    for piece in source.pieces():
        yield stream.resample_chunk(piece[channel])
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)
