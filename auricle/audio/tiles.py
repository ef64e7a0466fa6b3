"""Recordings of any length in constant memory: overlapping tiles that give what the whole would give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from auricle.audio.vocoder_mel import VocoderMel

TILE = 64  # columns at once, beside what they reach
FADE = 1  # columns over which the waveforms of two tiles are blended
Item = TypeVar("Item")


def mel_tiles(
    mel: VocoderMel, blocks: Iterable[npt.NDArray[np.floating]], step: int, columns: int = TILE
) -> Iterator[Tensor]:
    """Turn blocks of samples into log-mel frames as if they had come in one piece, filled up with zeros to columns.

    Args:
        mel: the front end.
        blocks: consecutive samples, pieces of any length.
        step: frames of a column.
        columns: columns of a piece.

    Yields:
        (frames, n_mels), `columns` columns each, the last one fewer.
    """
    hop, n_fft, reach = mel.hop, mel.n_fft, mel.reach
    samples = np.zeros(0, np.float32)
    reflected, total = False, 0
    for block, last in _with_last(blocks):
        samples = np.concatenate([samples, block.astype(np.float32, copy=False)])
        total += len(block)
        if last:
            samples = np.concatenate([samples, np.zeros(-total % (step * hop) if total else step * hop, np.float32)])
        if not reflected and len(samples) > reach:
            samples, reflected = np.concatenate([samples[reach:0:-1], samples]), True
        if last:
            samples = np.concatenate([samples, samples[-2 : -reach - 2 : -1]])
        most = columns * step
        while reflected and (ready := (len(samples) - n_fft) // hop + 1) >= (1 if last else most):
            count = min(most, ready)
            yield mel.of_frames(torch.from_numpy(samples[None, : (count - 1) * hop + n_fft]))[0]
            samples = samples[count * hop :]


def windows(pieces: Iterable[Tensor], unit: int, tile: int, reach: int) -> Iterator[tuple[Tensor, int, int]]:
    """Cut a sequence into windows that overlap by `reach` columns to each side.

    Args:
        pieces: consecutive rows, each a multiple of `unit`.
        unit: rows of a column.
        tile: columns that count in a window.
        reach: columns before and after them.

    Yields:
        Window, and the columns of it that count: first, and one past the last.
    """
    rows: Tensor | None = None
    first = done = 0  # column of the first row kept, and columns that have been in a window
    for piece, last in _with_last(pieces):
        rows = piece if rows is None else torch.cat([rows, piece])
        known = first + len(rows) // unit
        while done + tile + reach <= known or (last and done < known):
            end = min(done + tile, known)
            low, high = max(0, done - reach), min(known, end + reach)
            yield rows[(low - first) * unit : (high - first) * unit], done - low, end - low
            done = end
            drop = max(0, done - reach) - first
            rows, first = rows[drop * unit :], first + drop


@torch.no_grad()
def wave_tiles(
    vocoder: nn.Module, mels: Iterable[Tensor], step: int, hop: int, tile: int = TILE
) -> Iterator[npt.NDArray[np.float32]]:
    """Give the samples of consecutive log-mel frames; neighbouring tiles are blended over one column.

    Griffin-Lim finds other phases in each tile, so its samples depend on the tiles, unlike mels.

    Args:
        vocoder: log-mel (1, T, n_mels) to samples (1, T * hop).
        mels: consecutive pieces (frames, n_mels), each of whole columns.
        step: frames of a column.
        hop: samples of a frame.
        tile: columns that the vocoder gets at once, beside what they reach.

    Yields:
        Consecutive samples (T,).
    """
    column = step * hop
    rise = np.square(np.sin(np.linspace(0, np.pi / 2, FADE * column, dtype=np.float32)))
    tail: npt.NDArray[np.float32] | None = None
    for window, start, end in windows(mels, step, tile, 2 * FADE):
        wave = vocoder(window[None])[0].numpy().astype(np.float32)
        piece = wave[start * column : end * column].copy()
        if tail is not None:
            size = min(len(tail), len(piece))
            piece[:size] = piece[:size] * rise[:size] + tail[:size] * rise[::-1][:size]
        after = wave[end * column : (end + FADE) * column]
        tail = after if len(after) == FADE * column else None
        yield piece


def _with_last(items: Iterable[Item]) -> Iterator[tuple[Item, bool]]:
    """Say of each item whether it is the last one."""
    source = iter(items)
    try:
        before = next(source)
    except StopIteration:
        return
    for item in source:
        yield before, False
        before = item
    yield before, True
