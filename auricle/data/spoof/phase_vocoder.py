"""The phase vocoder: longer or shorter at the same pitch, or another pitch at the same length."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auricle.data.spoof.framing import fft_size, hann
from auricle.data.spoof.result import Spoof, finish, fit_length


def stretch(wave: NDArray[np.float32], rate_hz: int, factor: float) -> NDArray[np.float32]:
    """Make a clip `factor` times as long at the same pitch, exactly ``round(factor * T)`` samples.

    Flanagan and Golden (1966), in the form that needs no phase unwrapping (Puckette 1995): the spectrum is taken
    twice, one synthesis hop apart, and the phase moves on by the difference of the two.

    Args:
        wave: (T,).
        rate_hz: its rate.
        factor: above 1 is slower.
    """
    import torch
    from scipy import fft

    from auricle.audio.spectral import istft

    size = fft_size(rate_hz)
    hop = size // 4
    n_out = round(factor * len(wave))
    n_frames = 1 + n_out // hop
    at = np.minimum(np.round(np.arange(n_frames) * hop / factor).astype(np.int64), len(wave))
    # one hop of room before the first frame for its earlier twin
    padded = np.pad(wave, (size // 2 + hop, size // 2))
    window = hann(size)
    index = at[:, None] + np.arange(size)
    now = fft.rfft(padded[index + hop] * window, axis=1)
    earlier = fft.rfft(padded[index] * window, axis=1)
    advance = np.angle(now * np.conj(earlier))
    # the first frame keeps its own phase; in double, since it adds up over the whole clip
    advance[0] = np.angle(now[0])
    phase = np.cumsum(advance.astype(np.float64), axis=0)
    spectra = (np.abs(now) * np.exp(1j * phase)).astype(np.complex64)
    return istft(torch.from_numpy(spectra)[None], size, hop, length=n_out)[0].numpy()


def change_pitch(wave: NDArray[np.float32], rate_hz: int, factor: float) -> NDArray[np.float32]:
    """Multiply pitch and formants by `factor` at the same duration: stretched, then resampled back."""
    import soxr

    longer = stretch(wave, rate_hz, factor)
    # not a change of rate but of speed, by a factor that is no ratio of two rates
    return fit_length(soxr.resample(longer, factor, 1.0, quality="HQ"), len(wave)).astype(np.float32)


def modify(wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str) -> Spoof:
    """Change speed or pitch as `variant` says, ``stretch-1.10`` or ``pitch-0.90``; nothing is drawn from `rng`."""
    what, factor = variant.split("-")
    change = stretch if what == "stretch" else change_pitch
    return finish(change(wave, rate_hz, float(factor)), rate_hz, f"phase_vocoder-{variant}", like=wave)
