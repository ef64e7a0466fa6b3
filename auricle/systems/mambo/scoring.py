"""Scores of clips: every window through the network, and their mean; many windows at once, from whatever inputs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType

import numpy as np
import torch
from torch import nn

from auricle.data.clips import Clips, batched, windows
from auricle.systems.batching import torch_pool
from auricle.systems.mambo.domain import describe_many
from auricle.systems.mambo.model import score


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
    """Score every clip: the mean over its windows.

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
        deliver: is given the results, in the thread that adds windows.
        piece: (N,) at the network's rate.
        start_s: where it begins in its input.
        described: whether its description is wanted.
    """

    deliver: Callable[[Scored], object]
    piece: np.ndarray
    start_s: float
    described: bool


@dataclass(frozen=True)
class Scored:
    """A window with its results: clip score, frame scores (T',), description (41,) or None."""

    window: Window
    score: float
    frames: np.ndarray
    description: np.ndarray | None


class WindowScorer:
    """Scores a stream of windows in batches that mix inputs; results are delivered in the order of the windows.

    With several threads, batches run side by side with one torch thread each.
    """

    def __init__(self, network: nn.Module, rate_hz: int, band_hz: float, batch: int, threads: int) -> None:
        """Set it up; use it as a context.

        Args:
            network: in eval mode, takes (B, N) waves.
            rate_hz: rate of the windows.
            band_hz: of the descriptions.
            batch: windows at once.
            threads: batches at once; 1 scores in the caller's thread, with torch's own threads.
        """
        self.network, self.rate_hz, self.band_hz, self.batch = network, rate_hz, band_hz, batch
        self.threads = threads if device_of(network).type == "cpu" else 1
        self._waiting: list[Window] = []
        self._running: deque[Future[list[Scored]]] = deque()
        self._pool: ThreadPoolExecutor | None = None
        self._open = ExitStack()

    def __enter__(self) -> WindowScorer:
        """Start the threads."""
        if self.threads > 1:
            self._pool = self._open.enter_context(torch_pool(self.threads))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """Stop the threads; batches that have not begun are dropped."""
        self._open.close()

    def add(self, window: Window) -> None:
        """Take a window in, and deliver what is finished."""
        self._waiting.append(window)
        if len(self._waiting) >= self.batch:
            self._start(2 * self.threads)

    def finish(self) -> None:
        """Score what is left, and deliver everything."""
        self._start(0)

    def _start(self, allowed: int) -> None:
        """Send off the waiting windows, then wait until at most `allowed` batches are under way."""
        waiting, self._waiting = self._waiting, []
        if waiting and self._pool is None:
            _deliver(self._score(waiting))
        elif waiting and self._pool is not None:
            self._running.append(self._pool.submit(self._score, waiting))
        while self._running and (len(self._running) > allowed or self._running[0].done()):
            _deliver(self._running.popleft().result())

    def _score(self, chosen: list[Window]) -> list[Scored]:
        scores, frames = score_windows(self.network, [window.piece for window in chosen], self.batch)
        # a stretch of digital silence has a score like any other, but nothing that could be described
        wanted = [index for index, window in enumerate(chosen) if window.described and window.piece.any()]
        described: list[np.ndarray | None] = [None] * len(chosen)
        if wanted:
            rows = describe_many([chosen[index].piece for index in wanted], self.rate_hz, self.band_hz)
            for index, description in zip(wanted, rows, strict=True):
                described[index] = description
        return [
            Scored(window, float(value), row, description)
            for window, value, row, description in zip(chosen, scores, frames, described, strict=True)
        ]


def _deliver(finished: list[Scored]) -> None:
    for scored in finished:
        scored.window.deliver(scored)
