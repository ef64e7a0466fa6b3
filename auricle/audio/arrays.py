"""Waveforms in memory, whatever a user has at hand: one rule for arrays, tensors and lists."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.audio.check import MAX_CHANNELS, Float, Statistics, check
from auricle.core.errors import AudioError, ConfigError

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


def as_waves(waves: Iterable[Any], rates_hz: Iterable[int]) -> tuple[list[Float], list[int]]:
    """Bring several waveforms to (T,) as `as_wave` does, and see that there is a whole rate for each.

    Args:
        waves: each as in `as_wave`.
        rates_hz: their rates in Hz.

    Returns:
        The waveforms and their rates.

    Raises:
        ConfigError: not one rate for each waveform.
        AudioError: as `as_channels`, or a rate that is no whole number.
    """
    if isinstance(rates_hz, str | bytes) or not isinstance(rates_hz, Iterable):
        raise ConfigError(f"rates_hz is {rates_hz!r}; give one rate for each waveform, such as [16000, 16000]")
    held, rates = list(waves), list(rates_hz)
    if len(held) != len(rates):
        raise ConfigError(f"{len(held)} waveforms and {len(rates)} rates; give one rate for each waveform")
    for rate_hz in rates:
        if isinstance(rate_hz, bool) or not isinstance(rate_hz, Real) or not float(rate_hz).is_integer():
            raise AudioError(f"a rate of {rate_hz!r}; give a whole number of Hz, such as 16000")
    whole = [int(rate_hz) for rate_hz in rates]
    return [as_wave(wave, rate_hz)[0] for wave, rate_hz in zip(held, whole, strict=True)], whole


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
