"""What a detector hears of a recording, that comes whole or in pieces.

Silence at the ends is cut off as in training, and one quiet noise lies under every clip: what cannot be heard (zeros
before and after, dither, a noise of 70 dB below the speech) must not move a score. Nothing else is changed; the level
is the network's own business. Training clips went through the chain of `auricle.data.equalise` instead.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from auricle.audio import noise
from auricle.audio.level import tile
from auricle.core.seed import rng

STEP_S = 0.001  # a recording that is moved by this or more is cut at the same sounds
FRAME_STEPS = 20  # 20 ms frames and 40 dB, as `auricle.audio.level.trim_silence` has them
BELOW_DB = 40.0
# what stays before and after; with the 20 ms by which a frame reaches beyond a sound, as much as training keeps
LEAD_S = 0.04
# of the noise, under the clip's level: within the 35 to 60 dB of the chain, and well above what nobody hears
FLOOR_DB = 50.0


@dataclass(frozen=True)
class Sound:
    """The part of a recording that is heard.

    Attributes:
        start: its first sample; below 0, zeros stand before a recording that begins in the middle of a sound.
        end: the one after its last; beyond the recording likewise.
        noise: RMS of the noise under it.
    """

    start: int
    end: int
    noise: float


class Envelope:
    """The power of a recording over time, from which its `Sound` follows; it may come in pieces.

    Args:
        rate_hz: its rate in Hz.
    """

    def __init__(self, rate_hz: int) -> None:
        self.rate_hz = rate_hz
        self.step = max(1, round(STEP_S * rate_hz))
        self._before = np.zeros(FRAME_STEPS - 1)  # the steps that the next frame reaches back to
        self._frames: list[np.ndarray] = []  # power of the frame that ends with each step
        self._rest = np.zeros(0, np.float32)

    def add(self, wave: np.ndarray) -> None:
        """Take in the next samples.

        Args:
            wave: (T,).
        """
        wave = np.concatenate([self._rest, wave])
        count = len(wave) // self.step
        steps = wave[: count * self.step].reshape(count, self.step)
        self._rest = wave[count * self.step :].copy()
        powers = np.concatenate([self._before, np.einsum("ns,ns->n", steps, steps, dtype=np.float64) / self.step])
        self._before = powers[len(powers) - len(self._before) :].copy()
        sums = np.concatenate([[0.0], np.cumsum(powers)])
        self._frames.append(((sums[FRAME_STEPS:] - sums[:-FRAME_STEPS]) / FRAME_STEPS).astype(np.float32))

    def sound(self) -> Sound:
        """Find the sound: a recording has endless zeros on both sides, so those that it has itself change nothing.

        Returns:
            Where it is, with the level of its noise. A recording without any power is taken whole.
        """
        behind = FRAME_STEPS - 1
        self.add(np.zeros(-len(self._rest) % self.step + behind * self.step, np.float32))
        frames = np.concatenate(self._frames)
        peak = float(frames.max())
        if peak <= 0:
            return Sound(0, (len(frames) - behind) * self.step, 0.0)
        loud = np.flatnonzero(frames >= peak * 10 ** (-BELOW_DB / 10))
        lead = round(LEAD_S * self.rate_hz)
        start, end = (int(loud[0]) - behind) * self.step - lead, (int(loud[-1]) + 1) * self.step + lead
        # each step is in as many frames as a frame has steps: the mean of frames is that of samples
        energy = float(frames[loud[0] : loud[-1] + 1].sum(dtype=np.float64)) * self.step
        return Sound(start, end, float(np.sqrt(energy / (end - start))) * 10 ** (-FLOOR_DB / 20))


def sound_of(wave: np.ndarray, rate_hz: int) -> Sound:
    """Find the sound of a whole recording.

    Args:
        wave: (T,).
        rate_hz: its rate in Hz.
    """
    envelope = Envelope(rate_hz)
    envelope.add(wave)
    return envelope.sound()


def beginning(samples: int, window: int) -> Sound:
    """Take the first window of a recording as it is, as the released XLSR-MamBo was trained and measured.

    Args:
        samples: of the recording.
        window: samples of a window; a shorter recording is tiled to it.
    """
    return Sound(0, min(samples, window), 0.0)


def part(wave: np.ndarray, sound: Sound) -> np.ndarray:
    """Give the samples of a recording that are heard, without zeros and noise.

    Args:
        wave: (T,).
        sound: what of it is heard.
    """
    return wave[max(0, sound.start) : max(0, sound.end)]


def heard(chunks: Iterable[np.ndarray], sound: Sound, length: int) -> Iterator[tuple[int, np.ndarray]]:
    """Give the windows of a sound: they overlap by half, the last ends where the sound ends, a short one is tiled.

    A window that holds nothing but digital silence is left out: there is no evidence in it.

    Args:
        chunks: the recording's samples, one after the other.
        sound: what of it is heard.
        length: samples of a window.

    Yields:
        The sample of the recording at which a window begins, and the window (length,), with its noise.
    """
    for start, window in _windows(_sounding(chunks, sound), sound.end - sound.start, length):
        if window.any():
            yield sound.start + start, window + np.float32(sound.noise) * _pattern(length)


def _sounding(chunks: Iterable[np.ndarray], sound: Sound) -> Iterator[np.ndarray]:
    """Give the samples of a sound, and the zeros on its sides."""
    yield np.zeros(max(0, -sound.start), np.float32)
    at = 0
    for chunk in chunks:
        yield chunk[max(0, sound.start - at) : max(0, sound.end - at)]
        at += len(chunk)
        if at >= sound.end:
            break
    yield np.zeros(max(0, sound.end - at), np.float32)


def _windows(parts: Iterable[np.ndarray], total: int, length: int) -> Iterator[tuple[int, np.ndarray]]:
    """Cut `total` samples that come in parts into windows."""
    kept, kept_from, last = np.zeros(0, np.float32), 0, 0
    starts = iter(range(0, total - length + 1, max(1, length // 2)))
    start = next(starts, None)
    for piece in parts:
        kept = np.concatenate([kept, piece])
        while start is not None and start + length <= kept_from + len(kept):
            yield start, kept[start - kept_from :][:length]
            last, start = start, next(starts, None)
        # the last window begins before the next one of the row would
        unneeded = len(kept) - length if start is None else min(start - kept_from, len(kept) - length)
        kept, kept_from = kept[max(0, unneeded) :], kept_from + max(0, unneeded)
    if total < length:
        yield 0, tile(kept, length)
    elif last + length < total:
        yield total - length, kept[-length:]


@functools.cache
def _pattern(length: int) -> np.ndarray:
    """Give the noise, of RMS 1: the same for every window of every clip, so that it can be no reason for a score."""
    return noise.pink(length, rng(0, "mambo", "floor"))
