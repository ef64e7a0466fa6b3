"""Voice conversion without training: WORLD's pitch and envelope of one voice moved to those of another."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from auricle.data.spoof.formant import warp
from auricle.data.spoof.pitch import require_voiced
from auricle.data.spoof.result import Spoof, finish
from auricle.data.spoof.world import Analysis, analyse, resynthesise

# Four seconds give a voice's mean envelope and pitch range; more would only cost.
TARGET_S = 4.0
# Mean envelopes are compared and moved after smoothing to formant width, or one clip's harmonics would leak in.
SMOOTH_HZ = 250.0
WARPS = np.exp(np.linspace(np.log(0.8), np.log(1.25), 19))
# Formants of speech: outside, mean envelopes differ by microphone rather than by vocal tract.
WARP_BAND_HZ = (250.0, 4500.0)
MAX_TILT_DB = 18.0


def map_f0(f0: NDArray[np.float64], target_f0: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map a track's mean and spread of log F0 to those of the target; unvoiced frames stay 0.

    The spread is mapped by at most a factor of two either way: a short target clip gives a poor estimate of it.
    """
    voiced = f0 > 0
    source = np.log(f0[voiced])
    target = np.log(target_f0[target_f0 > 0])
    spread = np.clip(target.std() / max(source.std(), 1e-3), 0.5, 2.0)
    mapped = np.zeros_like(f0)
    mapped[voiced] = np.clip(np.exp((source - source.mean()) * spread + target.mean()), 50.0, 700.0)
    return mapped


def mean_log_envelope(parts: Analysis) -> NDArray[np.float64]:
    """Average the log power envelope over voiced frames and smooth it to formant width, (bins,)."""
    from scipy.ndimage import uniform_filter1d

    mean = np.log(np.maximum(parts.envelope[parts.f0 > 0], 1e-16)).mean(axis=0)
    bins_per_hz = (len(mean) - 1) / (parts.rate_hz / 2)
    smooth: NDArray[np.float64] = uniform_filter1d(mean, max(1, round(SMOOTH_HZ * bins_per_hz)), mode="nearest")
    return smooth


def best_warp(source: NDArray[np.float64], target: NDArray[np.float64], rate_hz: int) -> float:
    """Find the warp under which two mean envelopes agree best, by correlation over the formant band."""
    hz = np.linspace(0, rate_hz / 2, len(source))
    band = (hz >= WARP_BAND_HZ[0]) & (hz <= WARP_BAND_HZ[1])
    scores = [np.corrcoef(warp(source, factor)[band], target[band])[0, 1] for factor in WARPS]
    return float(WARPS[int(np.argmax(scores))])


def convert(
    wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str, target: NDArray[np.float32]
) -> Spoof:
    """Say a clip in the target's pitch range and with its average spectrum.

    Args:
        wave: what is said, (T,).
        rate_hz: rate of both clips.
        rng: draws how much of the spectral difference is applied (0.7 to 1).
        variant: ``mean`` moves the mean log envelope to the target's; ``warp`` warps the frequency axis, as another
            vocal tract length would, and moves only half of what is left.
        target: a clip of the voice to move to, (T',) at the same rate.

    Raises:
        AudioError: one of the clips has less than 0.1 s of voice.
    """
    amount = rng.uniform(0.7, 1.0)
    source = analyse(wave, rate_hz)
    require_voiced(source.f0, "world_conversion")
    voice = analyse(target[: round(TARGET_S * rate_hz)], rate_hz)
    require_voiced(voice.f0, "world_conversion", "the first 4 s of the target")
    source_mean, target_mean = mean_log_envelope(source), mean_log_envelope(voice)
    log_envelope = np.log(np.maximum(source.envelope, 1e-16))
    if variant == "warp":
        factor = best_warp(source_mean, target_mean, source.rate_hz)
        log_envelope, source_mean = warp(log_envelope, factor), warp(source_mean, factor)
        amount *= 0.5
    tilt = amount * (target_mean - source_mean)
    # what differs in level alone is not the voice, and a band the target lacks must not fall into nothing
    limit = MAX_TILT_DB * np.log(10) / 10
    tilt = np.clip(tilt - tilt.mean(), -limit, limit)
    f0 = map_f0(source.f0, voice.f0)
    envelope = np.exp(log_envelope + tilt)
    out = resynthesise(f0, envelope, source.aperiodicity(), source.rate_hz, rate_hz, len(wave))
    return finish(out, rate_hz, f"world_conversion-{variant}", like=wave)
