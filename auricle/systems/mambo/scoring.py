"""Scores of clips: every window through the network, and their mean; many windows at once, from whatever inputs.

`wave_results` and `cut_results` score what `infer` scores; `score_clips` takes clips as training has them, for what
belongs to training: which checkpoint is kept, and the control detectors.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import nn

from auricle.audio.hearing import Sound, beginning, heard, part, sound_of
from auricle.audio.motion import motion
from auricle.backbones.vad import speech_share
from auricle.core.answers import Segment
from auricle.core.errors import AudioError
from auricle.data.clips import Clips, batched, windows
from auricle.data.cut_audio import mono_cut
from auricle.systems.batching import AHEAD, DECODERS, map_ahead, torch_pool
from auricle.systems.mambo.config import DataConfig
from auricle.systems.mambo.model import score

CELL_S = 0.5  # length of a segment in the answer
BATCH = 32  # windows at once
DESCRIBED = 64  # windows of an input that the domain checks look at


@torch.no_grad()
def score_windows(network: nn.Module, pieces: Sequence[np.ndarray], batch: int) -> tuple[np.ndarray, np.ndarray]:
    """Score windows of one length, on the device that the network is on.

    Args:
        network: takes (B, N) waves.
        pieces: windows (N,).
        batch: windows at once; it does not change a score.

    Returns:
        Scores (W,) and frame scores (W, T'), both higher for bona fide.
    """
    network.eval()
    device = device_of(network)
    scores, frames = [], []
    for waves in batched(pieces, batch):
        output = network(waves.to(device))
        scores.append(score(output).float().cpu().numpy())
        frames.append((output.frame_logits[..., 1] - output.frame_logits[..., 0]).float().cpu().numpy())
    return np.concatenate(scores), np.concatenate(frames)


def device_of(network: nn.Module) -> torch.device:
    """Give the device of a network's weights; the CPU for one without weights."""
    weights = next(network.parameters(), None)
    return torch.device("cpu") if weights is None else weights.device


def score_clips(network: nn.Module, clips: Clips, length: int, batch: int) -> np.ndarray:
    """Score every clip as training has it: the mean over its windows.

    Returns:
        (N,) float64, higher for bona fide.
    """
    cut = [windows(clips.wave(index), length) for index in range(len(clips))]
    scores, _ = score_windows(network, [piece for pieces in cut for piece in pieces], batch)
    ends = np.cumsum([len(pieces) for pieces in cut])
    return np.array([part.mean() for part in np.split(scores.astype(np.float64), ends[:-1])])


@dataclass(frozen=True)
class Window:
    """One window on its way through the network.

    Attributes:
        results: of the input that it is a part of.
        piece: (N,) at the network's rate.
        start_s: where it begins in its input.
        described: whether its description is wanted.
    """

    results: Results
    piece: np.ndarray
    start_s: float
    described: bool


@dataclass
class Results:
    """What is known of an input so far: window scores, scores of half seconds, a few windows' descriptions.

    Attributes:
        segment_s: length of a window.
        rate_hz: of its samples.
        described: whether descriptions are wanted.
        duration_s: of the input.
        tiled_s: length of its sound, which is repeated where it does not fill a window.
        sent: windows made.
        count: windows scored.
        total: sum of their scores.
        cells: sum and number of the frame scores of each half second.
        descriptions: (12,) each, of the first windows.
        speech: share of its frames that are speech.
    """

    segment_s: float
    rate_hz: int
    described: bool = False
    duration_s: float = math.inf
    tiled_s: float = math.inf
    sent: int = 0
    count: int = 0
    total: float = 0.0
    cells: dict[int, list[float]] = field(default_factory=dict)
    descriptions: list[np.ndarray] = field(default_factory=list)
    speech: float = 1.0

    @property
    def described_s(self) -> float:
        """Seconds that the descriptions are of."""
        return min(self.tiled_s, self.segment_s * (len(self.descriptions) + 1) / 2)

    @property
    def score(self) -> float:
        """The mean over the windows, higher for bona fide.

        Raises:
            AudioError: there is none.
        """
        if self.count == 0:
            raise AudioError(f"nothing is to be heard in it at {self.rate_hz} Hz")
        return self.total / self.count

    def windows(self, chunks: Iterable[np.ndarray], sound: Sound) -> Iterator[Window]:
        """Make the windows of this input, to be scored.

        Args:
            chunks: its samples, one after the other.
            sound: what of them is heard.
        """
        self.tiled_s = (sound.end - sound.start) / self.rate_hz
        for start, piece in heard(chunks, sound, round(self.segment_s * self.rate_hz)):
            self.sent += 1
            yield Window(self, piece, start / self.rate_hz, self.described and self.sent <= DESCRIBED)

    def add(self, window: Window, score: float, frames: np.ndarray, description: np.ndarray | None) -> None:
        """Add what the network says of a window; windows come in the order in which they were made.

        Args:
            window: of this input.
            score: of the window.
            frames: scores (T',) over the window.
            description: (12,), or None.
        """
        self.total += score
        self.count += 1
        if description is not None:
            self.descriptions.append(description)
        times = (np.arange(len(frames)) + 0.5) * self.segment_s / len(frames)
        # in a tiled clip later frames say the same seconds again; a sound may begin a little before its recording
        index = np.maximum((window.start_s + times % self.tiled_s) / CELL_S, 0).astype(int)
        first = int(index.min())
        sums, counts = np.bincount(index - first, frames), np.bincount(index - first)
        for cell in np.flatnonzero(counts):
            known = self.cells.setdefault(first + int(cell), [0.0, 0.0])
            known[0] += float(sums[cell])
            known[1] += float(counts[cell])

    def segments(self) -> tuple[Segment, ...]:
        """Give the scores over time."""
        return tuple(
            Segment(cell * CELL_S, min((cell + 1) * CELL_S, self.duration_s), total / count)
            for cell, (total, count) in sorted(self.cells.items())
            if cell * CELL_S < self.duration_s
        )


def score_stream(
    network: nn.Module, windows: Iterable[Window], rate_hz: int, band_hz: float, threads: int
) -> Iterator[Window]:
    """Score windows in batches that mix inputs; with several threads, batches run side by side with one thread each.

    Args:
        network: in eval mode, takes (B, N) waves.
        windows: taken in the caller's thread, as they are needed.
        rate_hz: rate of the windows.
        band_hz: of the descriptions.
        threads: batches at once; 1 scores in the caller's thread, with torch's own threads.

    Yields:
        Every window in order, when its scores have been added to the results of its input.
    """

    def scored(batch: list[Window]) -> list[tuple[Window, float, np.ndarray, np.ndarray | None]]:
        scores, frames = score_windows(network, [window.piece for window in batch], BATCH)
        wanted = [index for index, window in enumerate(batch) if window.described]
        described: dict[int, np.ndarray] = {}
        if wanted:
            rows = motion([batch[index].piece for index in wanted], rate_hz, band_hz)
            described = dict(zip(wanted, rows, strict=True))
        return [
            (window, float(scores[index]), frames[index], described.get(index)) for index, window in enumerate(batch)
        ]

    stream = iter(windows)
    batches = iter(lambda: list(islice(stream, BATCH)), [])
    with ExitStack() as stack:
        if threads > 1 and device_of(network).type == "cpu":
            pool = stack.enter_context(torch_pool(threads))
            finished = map_ahead(pool, scored, batches, 2 * threads)
        else:
            finished = map(scored, batches)
        for batch in finished:
            for window, value, row, description in batch:
                window.results.add(window, value, row, description)
                yield window


def scored_part(cfg: DataConfig, wave: np.ndarray) -> Sound:
    """Give the part of a recording (T,) that is scored: its sound or, where the config says so, its first window."""
    return beginning(len(wave), cfg.window) if cfg.first_window else sound_of(wave, cfg.rate_hz)


def wave_results(
    network: nn.Module, cfg: DataConfig, waves: Iterable[np.ndarray], described: bool = False
) -> list[Results]:
    """Score recordings as `infer` does, whatever their mates.

    Args:
        network: in eval mode, takes (B, N) waves.
        cfg: its window, rate and band.
        waves: (T,) at the network's rate; taken as they are needed.
        described: whether descriptions and the share of speech are wanted.

    Returns:
        What is known of each; its score cannot be had where nothing is to be heard in it.
    """
    inputs: list[Results] = []

    def stream() -> Iterator[Window]:
        for wave in waves:
            sound = scored_part(cfg, wave)
            inputs.append(Results(cfg.segment_s, cfg.rate_hz, described, len(wave) / cfg.rate_hz))
            if described:
                inputs[-1].speech = speech_share(part(wave, sound), cfg.rate_hz)
            yield from inputs[-1].windows([wave], sound)

    deque(score_stream(network, stream(), cfg.rate_hz, cfg.band_hz, 1), maxlen=0)
    return inputs


def cut_results(network: nn.Module, cfg: DataConfig, cuts: Iterable[Any], described: bool = False) -> list[Results]:
    """Score the audio of cuts as `infer` scores files: read at full precision, at its own level.

    Args:
        network: in eval mode, takes (B, N) waves.
        cfg: its window, rate and band.
        cuts: of a manifest.
        described: whether descriptions and the share of speech are wanted.

    Returns:
        As `wave_results`.

    Raises:
        DataError: a cut cannot be read; see `auricle.data.cut_audio.mono_cut`.
    """
    with ThreadPoolExecutor(DECODERS, "decode") as pool:
        read = map_ahead(pool, lambda cut: mono_cut(cut, cfg.rate_hz)[0], cuts, AHEAD)
        return wave_results(network, cfg, read, described)


def scores_of(results: Iterable[Results]) -> np.ndarray:
    """Give the scores of recordings, (N,) float64, higher for bona fide.

    Raises:
        AudioError: nothing is to be heard in one.
    """
    return np.array([one.score for one in results], dtype=np.float64)
