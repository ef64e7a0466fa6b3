"""Sound scenes: recorded sounds one after another over a bed of procedural noise, such as wind or a room."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from auricle.audio import channel, noise

RATE_HZ = 16_000
_BED_SNR_DB = (3.0, 20.0)
_GAP_S = (0.0, 0.25)


def scene(
    sounds: Sequence[npt.NDArray[np.floating]], n_samples: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """Put sounds one after another, in an order that is drawn, over a bed of noise.

    Short sounds alone would leave most of a clip empty, and an artefact there could not be heard.

    Args:
        sounds: recordings at `RATE_HZ`, each (T,).
        n_samples: samples to give.
        rng: draws order, gaps, levels, the stretch of a long sound, and the bed: its colour and its slow swell.

    Returns:
        Samples (n_samples,).
    """
    out = np.zeros(n_samples, np.float32)
    place, turn = 0, list(rng.permutation(len(sounds)))
    while place < n_samples:
        sound = np.asarray(sounds[turn[0]], np.float32)
        turn = turn[1:] + turn[:1]
        if len(sound) > n_samples:
            start = int(rng.integers(len(sound) - n_samples + 1))
            sound = sound[start : start + n_samples]
        length = min(len(sound), n_samples - place)
        power = float(np.sqrt(np.mean(sound.astype(np.float64) ** 2)))
        out[place : place + length] = sound[:length] * (float(rng.uniform(0.5, 1.0)) / max(power, 1e-6))
        place += len(sound) + round(float(rng.uniform(*_GAP_S)) * RATE_HZ)
    swell = 1 + float(rng.uniform(0, 0.6)) * np.sin(
        2 * np.pi * (float(rng.uniform(0.2, 2)) * np.arange(n_samples) / RATE_HZ + rng.random())
    )
    bed = noise.coloured(n_samples, float(rng.uniform(0.0, 1.5)), rng) * swell.astype(np.float32)
    if rng.random() < 0.5:
        low = float(rng.uniform(60, 800))
        bed += channel.band_limit(bed, RATE_HZ, low, low * float(rng.uniform(2, 4)))
    return noise.add_noise(out, bed, float(rng.uniform(*_BED_SNR_DB)))
