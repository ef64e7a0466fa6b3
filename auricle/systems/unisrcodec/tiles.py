"""The codec over recordings of any length, in constant memory: overlapping tiles give what the whole would give."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from auricle.audio.tiles import TILE, mel_tiles, windows
from auricle.systems.unisrcodec.model import Codec


@torch.no_grad()
def encode_tiles(codec: Codec, blocks: Iterable[npt.NDArray[np.floating]], tile: int = TILE) -> Iterator[Tensor]:
    """Give the tokens of consecutive blocks of samples, (columns, F') a piece."""
    frames = mel_tiles(codec.mel, blocks, codec.step, tile)
    for window, start, end in windows(frames, codec.step, tile, codec.reach):
        yield codec.encode(window[None])[0, start:end]


@torch.no_grad()
def decode_tiles(codec: Codec, pieces: Iterable[Tensor], tile: int = TILE) -> Iterator[Tensor]:
    """Give the log-mel frames of consecutive tokens (columns, F'), `tile` columns a piece."""
    for window, start, end in windows(pieces, 1, tile, codec.reach):
        yield codec.decode(window[None])[0, start * codec.step : end * codec.step]
