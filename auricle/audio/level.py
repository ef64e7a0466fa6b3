"""Level, length, silence and bandwidth of a waveform."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.audio.check import Float
from auricle.core.errors import AudioError


def rms_db(wave: npt.NDArray[np.floating]) -> float:
    """Give the RMS level in dB relative to 1.0; minus infinity for silence.

    Args:
        wave: samples of any shape; all of them count.
    """
    power = float(np.mean(np.square(wave, dtype=np.float64))) if wave.size else 0.0
    return float(10 * np.log10(power)) if power > 0 else -np.inf


def peak_db(wave: npt.NDArray[np.floating]) -> float:
    """Give the level of the largest sample in dB relative to 1.0; minus infinity for silence."""
    peak = float(np.abs(wave).max()) if wave.size else 0.0
    return float(20 * np.log10(peak)) if peak > 0 else -np.inf


def set_level(wave: npt.NDArray[np.floating], level_db: float = -26.0, peak: float | None = 0.99) -> Float:
    """Scale a waveform to an RMS level.

    Args:
        wave: samples of any shape.
        level_db: wanted RMS in dB relative to 1.0.
        peak: the largest sample allowed. Where the wanted level would exceed it, the level stays lower: nothing is
            clipped. None allows any.

    Returns:
        The scaled samples, float32.

    Raises:
        AudioError: the waveform is silent.
    """
    present_db = rms_db(wave)
    if not np.isfinite(present_db):
        raise AudioError("a silent (or non-finite) waveform has no level to set")
    gain = 10 ** ((level_db - present_db) / 20)
    if peak is not None:
        gain = min(gain, peak / float(np.abs(wave).max()))
    return (wave * gain).astype(np.float32)


def tile(wave: npt.NDArray[Any], length: int) -> npt.NDArray[Any]:
    """Repeat a waveform along its last axis until it has at least `length` samples, then cut it to `length`.

    Raises:
        AudioError: the waveform is empty or `length` is negative.
    """
    if wave.shape[-1] == 0 or length < 0:
        raise AudioError(f"cannot tile {wave.shape[-1]} samples to {length}")
    repeats = -(-length // wave.shape[-1])
    return np.concatenate([wave] * max(repeats, 1), axis=-1)[..., :length]


def crop(
    wave: npt.NDArray[np.floating], length: int, rng: np.random.Generator | None = None
) -> npt.NDArray[np.floating]:
    """Cut a stretch of at most `length` samples out of the last axis.

    Args:
        wave: samples, (..., T).
        length: samples to keep; a shorter waveform stays as it is.
        rng: draws where to begin; without it the beginning is kept.

    Raises:
        AudioError: `length` is not positive.
    """
    if length <= 0:
        raise AudioError(f"cannot crop to {length} samples")
    spare = wave.shape[-1] - length
    start = int(rng.integers(spare + 1)) if rng is not None and spare > 0 else 0
    return wave[..., start : start + length]


def trim_silence(
    wave: npt.NDArray[np.floating], rate_hz: int, below_db: float = 40.0, keep_s: float = 0.05, frame_s: float = 0.02
) -> tuple[npt.NDArray[np.floating], int, int]:
    """Cut off the silence before and after the sound.

    A frame is silent when its RMS lies more than `below_db` under that of the loudest frame.

    Args:
        wave: samples, (T,).
        rate_hz: sampling rate in Hz.
        below_db: the threshold in dB under the loudest frame.
        keep_s: silence to leave at both ends, in seconds.
        frame_s: length of a frame in seconds.

    Returns:
        The sounding part (a view), its first sample and the one after its last. A silent waveform stays whole.
    """
    frame = max(1, round(frame_s * rate_hz))
    power = np.add.reduceat(np.square(wave, dtype=np.float64), np.arange(0, len(wave), frame)) if len(wave) else None
    if power is None or power.max() == 0:
        return wave, 0, len(wave)
    # the last frame may be shorter
    power /= np.minimum(frame, len(wave) - np.arange(0, len(wave), frame))
    loud = np.flatnonzero(power >= power.max() * 10 ** (-below_db / 10))
    keep = round(keep_s * rate_hz)
    start, end = max(0, int(loud[0]) * frame - keep), min(len(wave), (int(loud[-1]) + 1) * frame + keep)
    return wave[start:end], start, end


def sounding(
    wave: npt.NDArray[np.floating], rate_hz: int, below_db: float = 40.0, frame_s: float = 0.02
) -> npt.NDArray[np.floating]:
    """Cut off what comes before the first and after the last sound, to the sample.

    `trim_silence` goes by frames and leaves some silence, so the same speech between longer silences begins elsewhere;
    here it does not.

    Args:
        wave: samples, (T,).
        rate_hz: sampling rate in Hz.
        below_db: a frame is silent so many dB under the loudest one.
        frame_s: length of a frame in seconds.

    Returns:
        The sounding part (a view).
    """
    frame = round(frame_s * rate_hz)
    if len(wave) <= frame:
        return wave
    total = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
    power = (total[frame:] - total[:-frame]) / frame  # of the frame that begins at each sample
    least = power.max() * 10 ** (-below_db / 10)
    loud = np.flatnonzero(power >= least)
    part = wave[loud[0] : loud[-1] + frame]
    heard = np.flatnonzero(np.square(part, dtype=np.float64) >= least * (1 - 1e-6))  # rounding must leave one
    return part[heard[0] : heard[-1] + 1]


def bandwidth_hz(
    wave: npt.NDArray[np.floating], rate_hz: int, below_db: float = 60.0, width_hz: float = 100.0
) -> float:
    """Estimate up to which frequency a recording has content.

    The mean power spectrum (Welch: Hann windows of 2048, half overlapped) is averaged over bands of `width_hz`; the
    answer is the upper edge of the highest band within `below_db` of the strongest.

    Args:
        wave: samples, (T,).
        rate_hz: sampling rate in Hz.
        below_db: how far under the strongest band still counts, in dB.
        width_hz: width of a band in Hz.

    Returns:
        The frequency in Hz, at most half the rate; 0 for silence.
    """
    size = 2048
    padded = np.pad(wave.astype(np.float64), (0, max(0, size - len(wave))))
    pieces = np.lib.stride_tricks.sliding_window_view(padded, size)[:: size // 2]
    power = np.zeros(size // 2 + 1)
    for start in range(0, len(pieces), 256):
        spectrum = np.fft.rfft(pieces[start : start + 256] * np.hanning(size))
        power += np.square(np.abs(spectrum)).sum(axis=0)
    # the lowest bins hold DC and its leakage
    power[:3] = 0
    frequencies = np.fft.rfftfreq(size, 1 / rate_hz)
    bands = (frequencies / max(width_hz, frequencies[1])).astype(int)
    means = np.bincount(bands, power) / np.bincount(bands)
    if means.max() == 0:
        return 0.0
    highest = int(np.flatnonzero(means >= means.max() * 10 ** (-below_db / 10))[-1])
    return float(min((highest + 1) * max(width_hz, frequencies[1]), rate_hz / 2))
