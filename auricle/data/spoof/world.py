"""Copy synthesis with the WORLD vocoder: analysed into pitch, envelope and aperiodicity, then put together again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from auricle.audio.resample import resample
from auricle.data.spoof.result import Spoof, finish, fit_length

# D4C looks at bands up to 7.9 kHz whatever the rate: below 16 kHz it reads outside its spectrum and calls
# everything aperiodic, and at 4 kHz it corrupts the heap. Above 48 kHz there is only cost.
LOWEST_HZ = 16000
HIGHEST_HZ = 48000
# 5 ms is WORLD's default; 10 ms halves the cost of envelope and aperiodicity, the two dearest steps.
PERIOD_MS = 10.0
FLOOR_HZ = 71.0


@dataclass(frozen=True)
class Analysis:
    """A clip's pitch and envelope: `f0` (F,) in hertz, `envelope` (F, bins) in power, at the working rate."""

    samples: NDArray[np.float64]
    times: NDArray[np.float64]
    f0: NDArray[np.float64]
    envelope: NDArray[np.float64]
    rate_hz: int

    def aperiodicity(self) -> NDArray[np.float64]:
        """Measure the share of noise in every bin with D4C, (F, bins): the dearest step, so only when wanted."""
        import pyworld

        return pyworld.d4c(self.samples, self.f0, self.times, self.rate_hz, fft_size=2 * (self.envelope.shape[1] - 1))


def analyse(wave: NDArray[np.floating], rate_hz: int, harvest: bool = False) -> Analysis:
    """Analyse a clip with DIO and StoneMask (or Harvest) and CheapTrick.

    Morise, Yokomori and Ozawa (2016), "WORLD: a vocoder-based high-quality speech synthesis system".

    Args:
        wave: (T,).
        rate_hz: its rate; the analysis runs at that rate held between 16 and 48 kHz.
        harvest: track pitch with Harvest, steadier and some twenty times slower.
    """
    import pyworld

    rate = min(max(rate_hz, LOWEST_HZ), HIGHEST_HZ)
    samples = np.ascontiguousarray(resample(np.asarray(wave, np.float32), rate_hz, rate), dtype=np.float64)
    if harvest:
        f0, times = pyworld.harvest(samples, rate, f0_floor=FLOOR_HZ, frame_period=PERIOD_MS)
    else:
        f0, times = pyworld.dio(samples, rate, f0_floor=FLOOR_HZ, frame_period=PERIOD_MS, speed=2)
        f0 = pyworld.stonemask(samples, f0, times, rate)
    return Analysis(samples, times, f0, pyworld.cheaptrick(samples, f0, times, rate, f0_floor=FLOOR_HZ), rate)


def resynthesise(
    f0: NDArray[np.float64],
    envelope: NDArray[np.float64],
    aperiodicity: NDArray[np.float64],
    rate_hz: int,
    out_hz: int,
    n_samples: int,
) -> NDArray[np.floating]:
    """Put WORLD's parameters at `rate_hz` together into a waveform of `n_samples` at `out_hz`."""
    import pyworld

    # the C code takes contiguous memory only, and warped or scaled parameters need not be
    wave = pyworld.synthesize(
        np.ascontiguousarray(f0),
        np.ascontiguousarray(envelope),
        np.ascontiguousarray(aperiodicity),
        rate_hz,
        PERIOD_MS,
    )
    return fit_length(resample(wave.astype(np.float32), rate_hz, out_hz), n_samples)


def copy(wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str) -> Spoof:
    """Re-synthesise a clip; `variant` is the pitch tracker, ``dio`` or ``harvest``. Nothing is drawn from `rng`."""
    parts = analyse(wave, rate_hz, harvest=variant == "harvest")
    out = resynthesise(parts.f0, parts.envelope, parts.aperiodicity(), parts.rate_hz, rate_hz, len(wave))
    return finish(out, rate_hz, f"world-{variant}", like=wave)
