"""RawBoost: convolutive, impulsive and stationary noise for raw waveforms, without any recording of noise.

Source: Tak et al., "RawBoost: a raw data boosting and augmentation method applied to automatic speaker verification
anti-spoofing", ICASSP 2022 (arXiv 2111.04433). The eight algorithms have the numbers of the authors' release: 1
linear and nonlinear convolutive noise, 2 impulsive signal-dependent noise, 3 stationary signal-independent noise, 4
all three one after the other, 5 = 1 then 2, 6 = 1 then 3, 7 = 2 then 3, 8 = 1 and 2 side by side, summed.

Filters are centred: nothing is shifted in time. A bank of notches is one frequency response, made for all orders at
once, since designing 25 filters one by one costs more than using them.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from auricle.audio.check import Float, check_rate
from auricle.audio.noise import add_noise
from auricle.core.errors import AudioError, ConfigError

ALGORITHMS = (1, 2, 3, 4, 5, 6, 7, 8)

Range = tuple[float, float]
Array = npt.NDArray[np.float64]
Bank = Callable[[Array], Array]
# Fineness of the frequency grid on which the peak gain of a bank is read.
_GRID = 1024
# Samples of a block in a fast convolution.
_BLOCK = 4096
# Edges of a notch stay this far from 0 Hz and from half the rate.
_EDGE_HZ = 1e-3


def rawboost(
    wave: npt.NDArray[np.floating],
    rate_hz: int,
    algorithm: int,
    rng: np.random.Generator,
    orders: int = 5,
    notches: int = 5,
    centre_hz: Range = (20.0, 8000.0),
    width_hz: Range = (100.0, 1000.0),
    taps: tuple[int, int] = (10, 100),
    gain_db: Range = (0.0, 0.0),
    drop_db: Range = (5.0, 20.0),
    share: Range = (0.0, 0.1),
    strength: float = 2.0,
    snr_db: Range = (10.0, 40.0),
) -> Float:
    """Distort a waveform by one of the eight algorithms; see `convolutive`, `impulsive` and `stationary`.

    Args:
        wave: samples, (T,), within -1 and 1.
        rate_hz: sampling rate in Hz.
        algorithm: 1 to 8.
        rng: the source of all randomness; one of its own for each worker and clip.
        orders: highest power of the signal in the convolutive noise.
        notches: notches in a bank.
        centre_hz: lowest and highest centre of a notch in Hz; cut off at half the rate.
        width_hz: lowest and highest width of a notch in Hz.
        taps: lowest and highest number of filter taps, drawn and then made odd.
        gain_db: lowest and highest peak gain of a bank in dB.
        drop_db: how far the lower and the upper bound of the gain sink from the second order on, in dB.
        share: lowest and highest share of samples that impulses change, in [0, 1].
        strength: of the impulses.
        snr_db: lowest and highest signal-to-noise ratio in dB.

    Returns:
        Samples (T,), float32. Stationary noise may take them above 1.

    Raises:
        ConfigError: an algorithm other than 1 to 8, or a setting out of range.
        AudioError: not a waveform (T,), NaN or Inf, a rate out of range, or stationary noise for a silent one.
    """
    number = _algorithm(algorithm)
    x = _checked(wave, rate_hz)
    _check_bank(rate_hz, notches, centre_hz, width_hz, taps)
    bank = functools.partial(
        notch_banks, rate_hz, rng=rng, notches=notches, centre_hz=centre_hz, width_hz=width_hz, taps=taps
    )
    one = functools.partial(convolutive, bank=bank, rng=rng, orders=orders, gain_db=gain_db, drop_db=drop_db)
    two = functools.partial(impulsive, rng=rng, share=share, strength=strength)
    three = functools.partial(stationary, bank=bank, rng=rng, gain_db=gain_db, snr_db=snr_db)
    if number == 8:
        return _limited(one(x) + two(x)).astype(np.float32)
    chains = {1: (one,), 2: (two,), 3: (three,), 4: (one, two, three), 5: (one, two), 6: (one, three), 7: (two, three)}
    for step in chains[number]:
        x = step(x)
    return x.astype(np.float32)


def convolutive(
    wave: Array, bank: Bank, rng: np.random.Generator, orders: int, gain_db: Range, drop_db: Range
) -> Array:
    """Add what a nonlinear channel does: y = sum over i = 1..orders of b_i * x^i, the mean taken away.

    Each b_i is a bank of notches with a peak gain from `gain_db`; from the second order on both bounds are lower, by
    `drop_db[0]` and `drop_db[1]`. Divided by its peak if that is above 1.

    Args:
        wave: samples, (T,).
        bank: gives kernels (B, K) for peak gains (B,) in dB.
        rng: draws the gains.
        orders: highest power.
        gain_db: lowest and highest peak gain in dB.
        drop_db: how far the lower and the upper bound sink, in dB.

    Returns:
        Samples (T,).

    Raises:
        ConfigError: no order, or bounds out of order.
    """
    if orders < 1:
        raise ConfigError(f"{orders} orders of convolutive noise; give at least 1")
    _check_range("gain_db", gain_db, -np.inf, np.inf)
    bounds = np.asarray([gain_db, (gain_db[0] - drop_db[0], gain_db[1] - drop_db[1])], dtype=np.float64)
    bounds = np.sort(bounds, axis=1)[np.minimum(np.arange(orders), 1)]
    kernels = bank(rng.uniform(bounds[:, 0], bounds[:, 1]))
    powers: Array = np.cumprod(np.broadcast_to(wave, (orders, wave.size)), axis=0, dtype=np.float64)
    y = filtered(powers, kernels)
    return _limited(y - y.mean())


def impulsive(wave: Array, rng: np.random.Generator, share: Range, strength: float) -> Array:
    """Change single samples: x (1 + strength r), r the product of two draws from U(-1, 1).

    Divided by its peak if that is above 1.

    Args:
        wave: samples, (T,).
        rng: draws the share, the positions (without replacement) and r.
        share: lowest and highest share of samples that change, in [0, 1].
        strength: how much.

    Returns:
        Samples (T,).

    Raises:
        ConfigError: a share out of range.
    """
    _check_range("share", share, 0.0, 1.0)
    count = int(wave.size * rng.uniform(*share))
    at = rng.choice(wave.size, size=count, replace=False, shuffle=False)
    ratio = rng.uniform(-1.0, 1.0, count) * rng.uniform(-1.0, 1.0, count)
    y = wave.copy()
    y[at] *= 1 + strength * ratio
    return _limited(y)


def stationary(wave: Array, bank: Bank, rng: np.random.Generator, gain_db: Range, snr_db: Range) -> Array:
    """Add white Gaussian noise that went through a bank of notches, at a ratio over the whole waveform.

    Args:
        wave: samples, (T,).
        bank: gives kernels (B, K) for peak gains (B,) in dB.
        rng: draws the noise and the ratio.
        gain_db: bounds of the bank's gain; without effect on the result, which the ratio scales.
        snr_db: lowest and highest signal-to-noise ratio in dB.

    Returns:
        Samples (T,), not limited.

    Raises:
        ConfigError: bounds out of order.
        AudioError: the waveform is silent.
    """
    _check_range("gain_db", gain_db, -np.inf, np.inf)
    _check_range("snr_db", snr_db, -np.inf, np.inf)
    kernel = bank(rng.uniform(*gain_db, 1))
    noise = filtered(rng.standard_normal((1, wave.size)), kernel)
    return add_noise(wave, noise, float(rng.uniform(*snr_db))).astype(np.float64)


def notch_banks(
    rate_hz: int,
    peak_db: Array,
    rng: np.random.Generator,
    notches: int = 5,
    centre_hz: Range = (20.0, 8000.0),
    width_hz: Range = (100.0, 1000.0),
    taps: tuple[int, int] = (10, 100),
) -> Array:
    """Draw banks of notches: FIR band-stop filters (Hamming window) one after the other, as one filter each.

    Args:
        rate_hz: sampling rate in Hz.
        peak_db: peak gain of each bank in dB, (B,).
        rng: draws centres, widths and lengths.
        notches: filters in a bank.
        centre_hz: lowest and highest centre in Hz; cut off at half the rate.
        width_hz: lowest and highest width in Hz.
        taps: lowest and highest number of taps; an even draw gets one more.

    Returns:
        Kernels (B, K), K odd, symmetric about the middle.
    """
    shape = (len(peak_db), notches)
    centre = rng.uniform(centre_hz[0], min(centre_hz[1], rate_hz / 2), shape)
    width = rng.uniform(*width_hz, shape)
    # the upper bound itself is only drawn when both are the same
    size = rng.integers(taps[0], max(taps[1], taps[0] + 1), shape) | 1
    low = np.maximum(centre - width / 2, _EDGE_HZ)
    high = np.minimum(centre + width / 2, rate_hz / 2 - _EDGE_HZ)
    half = int(size.max()) // 2
    m = np.arange(-half, half + 1, dtype=np.float64)
    # what an ideal band-stop lets through: all, without the band between two low-passes
    ideal = (m == 0).astype(np.float64) - _low_pass(high, m, rate_hz) + _low_pass(low, m, rate_hz)
    reach = size[..., None] // 2
    window = np.where(np.abs(m) <= reach, 0.54 + 0.46 * np.cos(np.pi * m / np.maximum(reach, 1)), 0.0)
    notch = ideal * window
    # positive at 0 Hz; the size does not matter, since the bank is scaled to its peak
    notch *= np.where(notch.sum(axis=-1, keepdims=True) < 0, -1.0, 1.0)
    length = 2 * half * notches + 1
    grid = max(_GRID, 1 << (length - 1).bit_length())
    # centred kernels have real responses, so a bank is a product of real numbers
    centred = np.zeros((*shape, grid))
    centred[..., : half + 1], centred[..., grid - half :] = notch[..., half:], notch[..., :half]
    response = np.fft.rfft(centred, axis=-1).real.prod(axis=1)
    response *= 10 ** (peak_db[:, None] / 20) / np.abs(response).max(axis=-1, keepdims=True)
    kernel = np.fft.irfft(response, grid, axis=-1)
    reach_all = half * notches
    return np.asarray(np.concatenate([kernel[:, grid - reach_all :], kernel[:, : reach_all + 1]], axis=-1))


def filtered(signals: Array, kernels: Array) -> Array:
    """Filter signals (B, T) by centred kernels (B, K), K odd, without delay, and add them up.

    Overlap-add in short blocks, which stay in the cache; the sum is taken before the way back from the frequency
    domain, which so costs once.

    Returns:
        Samples (T,).
    """
    from scipy import fft

    (count, length), taps = signals.shape, kernels.shape[-1]
    size = max(_BLOCK, 4 << (taps - 1).bit_length())
    step = size - taps + 1
    blocks = -(-length // step)
    padded = np.zeros((count, blocks * step))
    padded[:, :length] = signals
    spectrum = fft.rfft(padded.reshape(count, blocks, step), size)
    pieces = fft.irfft(np.einsum("bnf,bf->nf", spectrum, fft.rfft(kernels, size)), size)
    # a piece is longer than its block by taps - 1 samples, which fall into the next block
    out = np.zeros((blocks + 1, step))
    out[:-1] = pieces[:, :step]
    out[1:, : taps - 1] += pieces[:, step:]
    return out.reshape(-1)[taps // 2 : taps // 2 + length]


def _low_pass(edge_hz: Array, m: Array, rate_hz: int) -> Array:
    """Give the ideal low-pass with each edge (...,) at the samples m (K,): (..., K)."""
    share = 2 * edge_hz[..., None] / rate_hz
    return np.asarray(share * np.sinc(share * m))


def _limited(wave: Array) -> Array:
    """Divide by the peak if it is above 1."""
    peak = float(np.abs(wave).max())
    return wave / peak if peak > 1 else wave


def _algorithm(algorithm: int) -> int:
    try:
        number = operator.index(algorithm)
    except TypeError:
        number = 0
    if isinstance(algorithm, bool) or number not in ALGORITHMS:
        raise ConfigError(f"RawBoost has the algorithms 1 to 8, not {algorithm!r}; for none, leave the call out")
    return number


def _checked(wave: npt.NDArray[np.floating], rate_hz: int) -> Array:
    check_rate(rate_hz)
    if wave.ndim != 1 or wave.dtype.kind != "f" or len(wave) == 0:
        raise AudioError(f"a waveform of shape {wave.shape}, type {wave.dtype}; give floats (T,)")
    if not np.isfinite(wave).all():
        raise AudioError("NaN or Inf in the waveform; give finite samples only")
    return wave.astype(np.float64)


def _check_range(name: str, bounds: Range, lowest: float, highest: float) -> None:
    low, high = bounds
    if not (lowest <= low <= high <= highest):
        raise ConfigError(f"{name} is {bounds}; give a lower and an upper bound between {lowest} and {highest}")


def _check_bank(rate_hz: int, notches: int, centre_hz: Range, width_hz: Range, taps: tuple[int, int]) -> None:
    if notches < 1:
        raise ConfigError(f"{notches} notches in a bank; give at least 1")
    _check_range("centre_hz", centre_hz, 0.0, np.inf)
    _check_range("width_hz", width_hz, 10 * _EDGE_HZ, np.inf)
    _check_range("taps", taps, 3, np.inf)
    if centre_hz[0] >= rate_hz / 2:
        raise ConfigError(f"centre_hz is {centre_hz} at {rate_hz} Hz; its lower bound must lie below half the rate")
