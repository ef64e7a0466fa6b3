"""Waveforms in memory, whatever a user has at hand: one rule for arrays, tensors and lists."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.audio.check import MAX_CHANNELS, Float, Statistics, check
from auricle.core.errors import AudioError

# A 16-bit sample of -32768 is -1.0, as libsndfile reads it.
_INTEGERS = {"int16": 2.0**15, "int32": 2.0**31}
_SCALE = "give floats within -1 and 1, or int16 or int32 at full scale"
_SHAPES = "give one waveform: (T,), (C, T) or (T, C)"


def as_channels(wave: Any, rate_hz: int) -> tuple[Float, tuple[str, ...]]:
    """Bring a waveform to (C, T) float32 and check it as a file would be checked.

    Args:
        wave: an array, a tensor (any device, with or without gradient) or a list; (T,), (C, T) or (T, C). The axis
            with at most 64 entries is that of the channels. Floats are nominally within -1 and 1; int16 and int32
            are divided by their range.
        rate_hz: sampling rate in Hz.

    Returns:
        Samples (C, T) float32 and the warnings, each starting with a code of `check.Warn`.

    Raises:
        AudioError: another type or shape, or the waveform is refused; see the head of `auricle.audio.check`.
    """
    channels = np.ascontiguousarray(_rows(_floats(_array(wave))))
    return channels, check(channels, rate_hz)


def as_wave(wave: Any, rate_hz: int) -> tuple[Float, tuple[str, ...]]:
    """Bring a waveform to (T,) float32: `as_channels`, of which the loudest channel is taken, never the mean.

    Args:
        wave: as in `as_channels`.
        rate_hz: sampling rate in Hz.

    Returns:
        Samples (T,) float32, float32 input bit for bit, and the warnings of all channels.

    Raises:
        AudioError: as `as_channels`.
    """
    channels, warnings = as_channels(wave, rate_hz)
    if len(channels) == 1:
        return channels[0], warnings
    statistics = Statistics(len(channels), rate_hz)
    statistics.add(channels)
    # a copy, or the other channels would stay in memory with it
    return channels[statistics.loudest].copy(), warnings


def _array(wave: Any) -> npt.NDArray:
    if hasattr(wave, "detach"):
        tensor = wave.detach().cpu()
        # NumPy has no bfloat16
        return np.asarray(tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor)
    try:
        return np.asarray(wave)
    except ValueError:
        raise AudioError(f"a list whose rows differ in length is no waveform; {_SHAPES}") from None


def _floats(array: npt.NDArray) -> Float:
    if array.dtype.name in _INTEGERS:
        return array.astype(np.float32) * np.float32(1 / _INTEGERS[array.dtype.name])
    if array.dtype.kind == "f":
        # what float32 cannot hold becomes Inf, which the check refuses
        with np.errstate(over="ignore"):
            return array.astype(np.float32, copy=False)
    if array.dtype == np.uint8:
        raise AudioError("samples of type uint8, whose middle is 128; give (samples - 128.0) / 128")
    if array.dtype.kind in "iu":
        raise AudioError(f"integers of type {array.dtype}, whose full scale is not known; {_SCALE}")
    if array.dtype.kind == "b":
        raise AudioError(f"samples of type bool are a mask, not a waveform; {_SCALE}")
    if array.dtype.kind == "c":
        raise AudioError("complex samples; give the real part if it is the waveform")
    raise AudioError(f"samples of type {array.dtype} are no numbers; {_SCALE}")


def _rows(array: Float) -> Float:
    """Put the channels first."""
    if array.ndim == 1:
        return array[None]
    if array.ndim != 2:
        raise AudioError(f"a waveform of shape {array.shape}; {_SHAPES}")
    if array.shape[0] > MAX_CHANNELS < array.shape[1]:
        raise AudioError(f"a waveform of shape {array.shape} has more than {MAX_CHANNELS} channels; {_SHAPES}")
    return array if array.shape[0] <= array.shape[1] else array.T
