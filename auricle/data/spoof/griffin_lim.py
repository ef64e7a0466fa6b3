"""Griffin-Lim: a mel spectrogram without phase, and a phase found for it by iteration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from auricle.data.spoof.framing import fft_size
from auricle.data.spoof.result import Spoof, finish

if TYPE_CHECKING:
    from torch import Tensor

INVERSE_STEPS = 10
# With momentum, 16 rounds are where the log-mel distance stops falling by much; each costs the same.
ITERATIONS = 16


def magnitude_from_mel(mel: Tensor, filters: Tensor) -> Tensor:
    """Find a non-negative spectrum whose mel bands are the given ones.

    The multiplicative update of Lee and Seung (2001) for non-negative least squares. Bins that no filter reaches
    stay 0.

    Args:
        mel: magnitudes, (frames, n_mels).
        filters: the filters, (n_mels, bins).

    Returns:
        (frames, bins).
    """
    import torch

    wanted = mel @ filters
    # a start of the right size: filters that overlap would otherwise count a bin twice
    magnitude = wanted / (filters.sum(dim=0) * filters.sum(dim=1).mean()).clamp_min(1e-8)
    for _ in range(INVERSE_STEPS):
        magnitude = magnitude * wanted / ((magnitude @ filters.T) @ filters).clamp_min(1e-10)
    return torch.where(filters.sum(dim=0) > 0, magnitude, torch.zeros_like(magnitude))


def copy(wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str) -> Spoof:
    """Reduce a clip to a mel magnitude spectrogram and rebuild it.

    Args:
        wave: (T,).
        rate_hz: its rate.
        rng: draws the first phases.
        variant: ``mel80`` or ``mel128``, the number of bands.
    """
    import torch

    from auricle.audio.spectral import griffin_lim, mel_filterbank, stft

    size = fft_size(rate_hz)
    hop = size // 4
    filters = mel_filterbank(int(variant.removeprefix("mel")), size, rate_hz, norm=None)
    with torch.no_grad():
        mel = stft(torch.from_numpy(wave)[None], size, hop)[0].abs() @ filters.T
        magnitude = magnitude_from_mel(mel, filters)
        seed = int(rng.integers(2**31))
        out = griffin_lim(magnitude[None], size, hop, iterations=ITERATIONS, seed=seed, length=len(wave))[0].numpy()
    return finish(out, rate_hz, f"griffin_lim-{variant}", like=wave)
