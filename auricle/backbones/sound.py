"""Sounds to embeddings and class scores: the encoder of aiSFX, whose weights come in a package.

The weights are those of aisfx 0.1.2 (Ma and Lerch, ISMIR 2022; CC-BY-4.0), trained on nine libraries of sound effects;
network and features are our own. Features follow the package's own ones on librosa, with frames of time as rows (the
package hands them on transposed there); the paper's come from Essentia and differ in level and window.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.audio.check import Float
from auricle.audio.filterbank import mel_filterbank
from auricle.audio.spectral import Spectrum
from auricle.backbones.speaker.verifier import ready
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.extras import require_weights

RATE_HZ = 44_100
N_MELS, WIN, HOP = 96, 2048, 1024
BLOCK, STEP = 100, 50  # frames: 2.3 s and half of it
GREATEST = 9.457798957824707  # value of the features that becomes 1
WIDTHS = (64, 128, 256, 512)
# Libraries with a classifier of their own, and its number of classes; the names of classes are not in the package.
LIBRARIES = {
    "prosfx": 78,
    "soundlyTrain": 79,
    "ucsMixed": 69,
    "soundstormBalanced": 81,
    "productionelementsBalanced": 10,
    "cartoonexpressBalanced": 27,
    "hpxdigitalBalanced": 3,
    "series6000Balanced": 23,
    "series9000Balanced": 8,
}
HINT = "the file that comes with: auricle models add aisfx"


class _Block(nn.Module):
    """Twice convolution, batch norm and ReLU; then a maximum over 2 x 2 places, if asked for."""

    def __init__(self, into: int, out: int, halves: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(into, out, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.halves = halves

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(x)))
        x = F.relu(self.bn2(self.conv2(x)))
        return F.max_pool2d(x, 2) if self.halves else x


class AisfxNetwork(nn.Module):
    """Eight convolutions; the mean over bands, the maximum over time; a classifier for each library."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (1, *WIDTHS)
        self.embedding_net = nn.Module()
        for number in range(4):
            block = _Block(sizes[number], sizes[number + 1], halves=number < 3)
            self.embedding_net.add_module(f"conv_block{number + 1}", block)
        last = WIDTHS[-1]
        self.fc = nn.ModuleList(
            nn.Sequential(
                nn.Linear(last, last // 2),
                nn.ReLU(),
                nn.Linear(last // 2, last // 4),
                nn.ReLU(),
                nn.Linear(last // 4, classes),
            )
            for classes in LIBRARIES.values()
        )

    def forward(self, frames: Tensor) -> Tensor:
        """Embed blocks of frames (B, 100, 96) as (B, 512), no component negative."""
        x = frames[:, None]
        for block in self.embedding_net.children():
            x = block(x)
        return x.mean(3).amax(2)


class SoundEncoder:
    """Sounds to embeddings.

    Args:
        weights: file of weights; the installed package's by default.

    Attributes:
        dim: width D of an embedding.
        rate_hz: rate of the waveforms it works on; others are resampled to it.

    Raises:
        MissingWeights: the package is not installed.
        CheckpointError: a file that cannot be read or does not fit.
    """

    dim = WIDTHS[-1]
    rate_hz = RATE_HZ

    def __init__(self, weights: str | Path | None = None) -> None:
        path = require_weights("aisfx", "The sound encoder") if weights is None else Path(weights)
        self.network = AisfxNetwork().eval().requires_grad_(False)
        try:
            self.network.load_state_dict(_state(path), strict=True)
        except (RuntimeError, TypeError, AttributeError) as error:
            lines = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{path} holds no weights of aiSFX: {lines}; give {HINT}") from error
        self._spectrum = Spectrum(WIN, HOP, center=True)
        bank = mel_filterbank(N_MELS, WIN, RATE_HZ, scale="htk", norm=None)
        self._bank = (bank / bank.sum(1, keepdim=True).clamp_min(1e-12)).T

    def embed(self, waves: Sequence[Float], rates_hz: Sequence[int]) -> npt.NDArray[np.float32]:
        """Embed recordings: the mean over blocks of 2.3 s, half a block apart; batch mates do not change an embedding.

        Args:
            waves: N mono waveforms, (T,), of any lengths from 0.1 s.
            rates_hz: their N sampling rates.

        Returns:
            (N, 512) float32.

        Raises:
            AudioError: a waveform is not usable audio.
            DataError: not as many rates as waveforms.
        """
        made = [self._blocks(wave).mean(0) for wave in ready(waves, rates_hz, RATE_HZ)]
        return np.stack(made) if made else np.zeros((0, self.dim), np.float32)

    def scores(self, waves: Sequence[Float], rates_hz: Sequence[int], library: str) -> npt.NDArray[np.float32]:
        """Give the probabilities of one library's classes, the mean over blocks; their names are not in the package.

        Args:
            waves: as `embed`.
            rates_hz: as `embed`.
            library: one of `LIBRARIES`.

        Returns:
            (N, K) float32, rows sum to 1.

        Raises:
            ConfigError: no such library.
            AudioError: as `embed`.
            DataError: as `embed`.
        """
        if library not in LIBRARIES:
            raise ConfigError(f"there is no library {library!r}; there are {', '.join(LIBRARIES)}")
        head = self.network.fc[list(LIBRARIES).index(library)]
        with torch.inference_mode():
            made = [
                head(torch.from_numpy(self._blocks(wave))).softmax(-1).mean(0).numpy()
                for wave in ready(waves, rates_hz, RATE_HZ)
            ]
        return np.stack(made) if made else np.zeros((0, LIBRARIES[library]), np.float32)

    @torch.inference_mode()
    def _blocks(self, wave: Float) -> npt.NDArray[np.float32]:
        """Embed the blocks of one waveform, (B, 512)."""
        parts = torch.split(blocks(self.frames(wave)), 16)
        found: npt.NDArray[np.float32] = torch.cat([self.network(part) for part in parts]).numpy()
        return found

    def frames(self, wave: Float) -> Tensor:
        """Give the features of a waveform at 44.1 kHz, (frames, 96): mel powers of the wave at full scale, compressed.

        Args:
            wave: (T,).
        """
        peak = float(np.abs(wave).max()) or 1.0
        power: Tensor = self._spectrum(torch.from_numpy(wave / np.float32(peak))[None])[0]
        return (power @ self._bank * 10_000 + 1).log10() / GREATEST


def blocks(frames: Tensor) -> Tensor:
    """Cut features into blocks of 100 frames, 50 apart; what is left at the end goes, one short clip is padded.

    Args:
        frames: (T, M).

    Returns:
        (B, 100, M).
    """
    if len(frames) < BLOCK:
        return F.pad(frames, (0, 0, 0, BLOCK - len(frames)))[None]
    return frames.unfold(0, BLOCK, STEP).transpose(1, 2)


def _state(path: Path) -> dict[str, Any]:
    """Read the weights; beside them the file holds the table of libraries, whose numbers are NumPy's."""
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give {HINT}")
    scalar = np.zeros(1, np.int64)[0].__reduce__()[0]
    # one function under its old name, which is in the file, and its new one
    allowed: list[Any] = [(scalar, "numpy.core.multiarray.scalar"), scalar, np.dtype, np.dtypes.Int64DType]
    try:
        with torch.serialization.safe_globals(allowed):
            state, libraries = torch.load(path, map_location="cpu", weights_only=True)
        counts = {str(name): (int(row[0]), int(row[1])) for name, row in libraries.items()}
        found = dict(state)
    except Exception as error:  # what is no pickle makes the reader fail in any way, IndexError included
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be read as weights of aiSFX: {first}; give {HINT}") from error
    if counts != {name: (place, size) for place, (name, size) in enumerate(LIBRARIES.items())}:
        raise CheckpointError(f"{path} holds other libraries than aisfx 0.1.2: {', '.join(counts)}; give {HINT}")
    return found
