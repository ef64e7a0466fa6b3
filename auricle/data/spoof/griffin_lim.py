"""Griffin-Lim: a mel spectrogram without phase, and a phase found for it by iteration."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auricle.data.spoof.framing import fft_size
from auricle.data.spoof.result import Spoof, finish

# With momentum, 16 rounds are where the log-mel distance stops falling by much; each costs the same.
ITERATIONS = 16


def copy(wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str) -> Spoof:
    """Reduce a clip to a mel magnitude spectrogram and rebuild it.

    Args:
        wave: (T,).
        rate_hz: its rate.
        rng: draws the first phases.
        variant: ``mel80`` or ``mel128``, the number of bands.
    """
    import torch

    from auricle.audio.mel_inverse import magnitude_from_mel
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
