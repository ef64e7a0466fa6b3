"""Small changes to training waveforms, drawn anew each time from the generator given."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from auricle.audio.channel import band_limit, mu_law
from auricle.audio.check import Float
from auricle.audio.noise import add_noise, coloured
from auricle.core.errors import AudioError


def augment(
    wave: npt.NDArray[np.floating],
    rate_hz: int,
    rng: np.random.Generator,
    p_gain: float = 0.5,
    p_noise: float = 0.3,
    p_band: float = 0.2,
    p_mu_law: float = 0.1,
    gain_db: tuple[float, float] = (-10.0, 6.0),
    snr_db: tuple[float, float] = (10.0, 40.0),
) -> Float:
    """Change a waveform at random: band limit, mu-law, coloured noise, gain, each with its own probability.

    All draws happen whatever is applied, so one probability does not change what another one draws.

    Args:
        wave: samples, (T,).
        rate_hz: sampling rate in Hz.
        rng: the source of all randomness.
        p_gain: probability of a gain drawn from `gain_db`.
        p_noise: probability of noise (white to brown) at a ratio drawn from `snr_db`.
        p_band: probability of a band limit: low edge 20-300 Hz, high edge from a quarter to nearly half the rate.
        p_mu_law: probability of 8 kHz mu-law.
        gain_db: lowest and highest gain in dB.
        snr_db: lowest and highest signal-to-noise ratio in dB.

    Returns:
        Samples (T,), scaled down where the peak would exceed 1 and did not before. A silent waveform gets no noise.

    Raises:
        AudioError: a probability outside 0 to 1, or a range that is not in order.
    """
    for name, chance in {"p_gain": p_gain, "p_noise": p_noise, "p_band": p_band, "p_mu_law": p_mu_law}.items():
        if not 0 <= chance <= 1:
            raise AudioError(f"{name}={chance}; a probability lies between 0 and 1")
    if gain_db[0] > gain_db[1] or snr_db[0] > snr_db[1]:
        raise AudioError(f"gain_db={gain_db}, snr_db={snr_db}; give the lower end first")
    chance_of = rng.random(4)
    gain = rng.uniform(*gain_db)
    ratio, exponent = rng.uniform(*snr_db), rng.uniform(0.0, 2.0)
    low, high = rng.uniform(20, 300), rng.uniform(0.25, 0.49) * rate_hz
    noise_rng = np.random.default_rng(rng.integers(2**63))

    limit = max(1.0, float(np.abs(wave).max()))
    out = wave.astype(np.float32)
    if chance_of[2] < p_band:
        out = band_limit(out, rate_hz, low, high)
    if chance_of[3] < p_mu_law:
        out = mu_law(out, rate_hz)
    if chance_of[1] < p_noise and np.any(out):
        out = add_noise(out, coloured(len(out), exponent, noise_rng), ratio)
    if chance_of[0] < p_gain:
        out = out * np.float32(10 ** (gain / 20))
    peak = float(np.abs(out).max())
    return out * np.float32(limit / peak) if peak > limit else out
