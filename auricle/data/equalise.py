"""The channel that real and fake speech both go through, so that what differs is the synthesis and nothing else.

Sources differ in bandwidth, codec noise, level and silence, and a vocoder erases the codec noise of what it
re-synthesises. Without this chain ten plain numbers of level and silence tell most fakes apart.
"""

from __future__ import annotations

import numpy as np

from auricle.audio import channel, level, noise
from auricle.audio.resample import resample
from auricle.core.errors import AudioError

LEVEL_DBFS = (-30.0, -22.0)
SHORTEST_S = 0.5  # speech left after the silence at both ends is cut


def draw_channel(names: tuple[str, ...], rng: np.random.Generator) -> str:
    """Draw the name of a channel; ``none`` is one of them where a config lists it."""
    return names[int(rng.integers(len(names)))]


def through(name: str, wave: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
    """Send a waveform (T,) through a channel by name; ``none`` gives it back."""
    return wave if name == "none" else channel.apply(name, wave, rate_hz, rng)


def excerpt(wave: np.ndarray, rate_hz: int, longest_s: float, rng: np.random.Generator) -> np.ndarray:
    """Cut the silence at both ends and, from what is longer than `longest_s`, a random stretch.

    Raises:
        AudioError: less than half a second of sound is left.
    """
    wave = level.trim_silence(wave, rate_hz)[0]
    if len(wave) < SHORTEST_S * rate_hz:
        raise AudioError(f"only {len(wave) / rate_hz:.2f} s of sound between the silences, {SHORTEST_S} s are needed")
    longest = round(longest_s * rate_hz)
    if len(wave) <= longest:
        return wave
    start = int(rng.integers(len(wave) - longest + 1))
    return wave[start : start + longest]


def equalise(
    wave: np.ndarray,
    rate_hz: int,
    *,
    out_hz: int,
    longest_s: float,
    band_hz: float,
    codec: str,
    snr_db: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Bring one clip, real or fake, to the common channel.

    Args:
        wave: (T,) float32 at `rate_hz`.
        rate_hz: rate of `wave`.
        out_hz: rate of the result.
        longest_s: the result is a stretch of at most this.
        band_hz: low-pass edge, below the narrowest source's.
        codec: channel that the whole pair of real and fakes goes through.
        snr_db: range of the noise that is added to every clip.
        rng: draws of this clip: stretch, noise, level.

    Returns:
        (T',) float32 at `out_hz`.

    Raises:
        AudioError: nothing but silence is left.
    """
    wave = excerpt(resample(wave, rate_hz, out_hz), out_hz, longest_s, rng)
    wave = channel.band_limit(wave, out_hz, 60.0, band_hz)
    wave = through(codec, wave, out_hz, rng)
    wave = noise.add_noise(wave, noise.pink(len(wave), rng), float(rng.uniform(*snr_db)))
    wave = channel.band_limit(wave, out_hz, 60.0, band_hz)
    wave = wave - wave.mean()
    return level.set_level(wave, float(rng.uniform(*LEVEL_DBFS)))
