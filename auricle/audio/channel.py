"""Channels: what coding, telephony and narrow bands do to a waveform. Never a spoof, only a way it was carried.

Every channel takes (T,) at a rate and gives exactly as many samples back, in time with the input: the delay of a
codec is measured once, by cross-correlation of a noise burst before and after it. The codecs are real ones. All are
deterministic; where `apply` varies a setting, it draws it from the generator it is given.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import soundfile

from auricle.audio.check import CHUNK_FRAMES, Float, check_rate
from auricle.audio.memory import memory_file
from auricle.audio.resample import resample
from auricle.core.errors import AudioError

TELEPHONE_HZ = 8_000
WIDEBAND_HZ = 16_000
OPUS_LOWEST = 1.0  # libsndfile's strongest compression
OPUS_RATES_HZ = (8_000, 12_000, 16_000, 24_000, 48_000)
MP3_RATES_HZ = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)
_MAX_DELAY_S = 0.15
_BURST_S = 0.5

Wave = npt.NDArray[np.floating]


def mu_law(wave: Wave, rate_hz: int) -> Float:
    """Carry a waveform over G.711 mu-law: 8 kHz, 8 bits a sample.

    Args:
        wave: samples, (T,), clipped to -1 and 1.
        rate_hz: sampling rate in Hz.

    Returns:
        Samples (T,) at the same rate.

    Raises:
        AudioError: wrong shape or rate, NaN or Inf. The same holds for all channels.
    """
    return _carried(wave, rate_hz, TELEPHONE_HZ, functools.partial(_in_memory, container="RAW", coding="ULAW"))


def a_law(wave: Wave, rate_hz: int) -> Float:
    """Carry a waveform over G.711 A-law: 8 kHz, 8 bits a sample; see `mu_law`."""
    return _carried(wave, rate_hz, TELEPHONE_HZ, functools.partial(_in_memory, container="RAW", coding="ALAW"))


def gsm(wave: Wave, rate_hz: int) -> Float:
    """Carry a waveform over GSM 06.10 full rate: 8 kHz, 13 kbit/s; see `mu_law`."""
    return _carried(wave, rate_hz, TELEPHONE_HZ, functools.partial(_in_memory, container="RAW", coding="GSM610"))


def g722(wave: Wave, rate_hz: int) -> Float:
    """Carry a waveform over ITU-T G.722: 16 kHz, 64 kbit/s; see `mu_law`."""
    return _carried(wave, rate_hz, WIDEBAND_HZ, _g722_round)


def mp3(wave: Wave, rate_hz: int, level: float = 0.7) -> Float:
    """Carry a waveform over MP3 at the nearest rate that MP3 has; see `mu_law`.

    Args:
        wave: samples, (T,).
        rate_hz: sampling rate in Hz.
        level: compression from 0 (largest) to 1 (smallest), as libsndfile counts.
    """
    coder = functools.partial(_in_memory, container="MP3", coding="MPEG_LAYER_III", level=_checked_level(level))
    return _carried(wave, rate_hz, _carrier(rate_hz, MP3_RATES_HZ), coder)


def opus(wave: Wave, rate_hz: int, level: float = 0.9) -> Float:
    """Carry a waveform over Opus at the nearest rate that Opus has; `level` as in `mp3`, otherwise see `mu_law`."""
    coder = functools.partial(_in_memory, container="OGG", coding="OPUS", level=_checked_level(level))
    return _carried(wave, rate_hz, _carrier(rate_hz, OPUS_RATES_HZ), coder)


def opus_lowest(wave: Wave, rate_hz: int) -> Float:
    """Carry a waveform over Opus at the lowest rate that libsndfile gives; see `mu_law`.

    Args:
        wave: samples, (T,).
        rate_hz: sampling rate in Hz.
    """
    return opus(wave, rate_hz, OPUS_LOWEST)


def opus_bits_per_s(waves: Sequence[Wave], rate_hz: int) -> float:
    """Measure the rate of `opus_lowest` over all waves in one file, so that its headers do not count for much.

    Args:
        waves: samples, (T,) each.
        rate_hz: their sampling rate in Hz.

    Returns:
        Bits a second.
    """
    high_hz = max(OPUS_RATES_HZ)
    joined = resample(np.concatenate(list(waves)), rate_hz, high_hz)
    out = io.BytesIO()
    with soundfile.SoundFile(
        out, "w", high_hz, 1, format="OGG", subtype="OPUS", compression_level=OPUS_LOWEST
    ) as coder:
        for start in range(0, len(joined), high_hz):
            coder.write(joined[start : start + high_hz])
    return 8 * len(out.getvalue()) / (len(joined) / high_hz)


def vorbis(wave: Wave, rate_hz: int, level: float = 0.7) -> Float:
    """Carry a waveform over Ogg Vorbis; `level` as in `mp3`, otherwise see `mu_law`."""
    coder = functools.partial(_in_memory, container="OGG", coding="VORBIS", level=_checked_level(level))
    return _carried(wave, rate_hz, rate_hz, coder)


def band_limit(wave: Wave, rate_hz: int, low_hz: float = 300.0, high_hz: float = 3400.0) -> Float:
    """Keep a band of frequencies, without delay: a linear-phase FIR filter (Hamming) centred on each sample.

    Args:
        wave: samples, (T,).
        rate_hz: sampling rate in Hz.
        low_hz: lower edge (-6 dB) in Hz; 0 keeps everything below.
        high_hz: upper edge (-6 dB) in Hz; half the rate or more keeps everything above.

    Returns:
        Samples (T,).

    Raises:
        AudioError: edges out of order.
    """
    samples = _checked(wave, rate_hz)
    if not 0 <= low_hz < high_hz or low_hz >= rate_hz / 2:
        raise AudioError(f"a band from {low_hz} to {high_hz} Hz at {rate_hz} Hz; the lower edge must come first")
    from scipy import signal

    has_low, has_high = low_hz > 0, high_hz < rate_hz / 2
    if not (has_low or has_high):
        return samples.copy()
    edges = [low_hz] * has_low + [high_hz] * has_high
    # 25 ms: a transition of about 130 Hz at any rate
    taps = 2 * round(0.0125 * rate_hz) + 1
    kernel = signal.firwin(taps, edges, pass_zero=not has_low, fs=rate_hz)
    filtered = signal.oaconvolve(samples.astype(np.float64), kernel, mode="full")
    return filtered[taps // 2 : taps // 2 + len(samples)].astype(np.float32)


Channel = Callable[[Wave, int, np.random.Generator], Float]

# What each name does when the generator chooses the setting.
CHANNELS: dict[str, Channel] = {
    "mu_law": lambda wave, rate_hz, rng: mu_law(wave, rate_hz),
    "a_law": lambda wave, rate_hz, rng: a_law(wave, rate_hz),
    "g722": lambda wave, rate_hz, rng: g722(wave, rate_hz),
    "gsm": lambda wave, rate_hz, rng: gsm(wave, rate_hz),
    "mp3": lambda wave, rate_hz, rng: mp3(wave, rate_hz, _drawn_level(rng)),
    "opus": lambda wave, rate_hz, rng: opus(wave, rate_hz, _drawn_level(rng)),
    "vorbis": lambda wave, rate_hz, rng: vorbis(wave, rate_hz, _drawn_level(rng)),
    "band_limit": lambda wave, rate_hz, rng: band_limit(wave, rate_hz, rng.uniform(50, 400), rng.uniform(3000, 3800)),
}


def apply(name: str, wave: Wave, rate_hz: int, rng: np.random.Generator) -> Float:
    """Carry a waveform over a channel by name.

    Args:
        name: a key of `CHANNELS`.
        wave: samples, (T,).
        rate_hz: sampling rate in Hz.
        rng: draws the setting (compression, band edges), where the channel has one.

    Returns:
        Samples (T,) at the same rate.

    Raises:
        AudioError: unknown name, or a waveform the channel cannot carry.
    """
    if name not in CHANNELS:
        raise AudioError(f"unknown channel {name!r}; it can be {', '.join(CHANNELS)}")
    return CHANNELS[name](wave, rate_hz, rng)


def _drawn_level(rng: np.random.Generator) -> float:
    # steps, so that the delay of each setting is measured once
    return float(rng.choice([0.5, 0.6, 0.7, 0.8, 0.9]))


def _checked_level(level: float) -> float:
    if not 0 <= level <= 1:
        raise AudioError(f"a compression level of {level}; it must lie between 0 and 1")
    return level


def _checked(wave: Wave, rate_hz: int) -> Float:
    check_rate(rate_hz)
    if wave.ndim != 1 or wave.dtype.kind != "f" or len(wave) == 0:
        raise AudioError(f"a waveform of shape {wave.shape}, type {wave.dtype}; give floats (T,)")
    if not np.isfinite(wave).all():
        raise AudioError("NaN or Inf in the waveform; a channel carries finite samples only")
    return wave.astype(np.float32, copy=False)


def _carrier(rate_hz: int, allowed: tuple[int, ...]) -> int:
    return next((rate for rate in allowed if rate >= rate_hz), allowed[-1])


Coder = Callable[[Float, int], Float]


def _carried(wave: Wave, rate_hz: int, carrier_hz: int, coder: Coder) -> Float:
    samples = _checked(wave, rate_hz)
    at_carrier = resample(samples, rate_hz, carrier_hz).astype(np.float32, copy=False)
    coded = coder(np.clip(at_carrier, -1.0, 1.0), carrier_hz)
    aligned = _shifted(coded, _delay(_key(coder), carrier_hz), len(at_carrier))
    back = resample(aligned, carrier_hz, rate_hz).astype(np.float32, copy=False)
    return _shifted(back, 0, len(samples))


def _shifted(wave: Float, delay: int, length: int) -> Float:
    moved = wave[delay:] if delay >= 0 else np.concatenate([np.zeros(-delay, np.float32), wave])
    return np.pad(moved[:length], (0, max(0, length - len(moved))))


def _key(coder: Coder) -> tuple[str, str, float | None]:
    if isinstance(coder, functools.partial):
        return coder.keywords["container"], coder.keywords["coding"], coder.keywords.get("level")
    return "RAW", "G722", None


@functools.lru_cache(maxsize=256)
def _delay(key: tuple[str, str, float | None], rate_hz: int) -> int:
    """Measure by how many samples a codec delays, with a burst of noise: speech is too periodic to be sure."""
    container, coding, level = key
    burst = 0.2 * np.random.default_rng(0).standard_normal(round(_BURST_S * rate_hz)).clip(-4, 4).astype(np.float32)
    if coding == "G722":
        heard = _g722_round(burst, rate_hz)
    else:
        heard = _in_memory(burst, rate_hz, container=container, coding=coding, level=level)
    size = len(burst) + len(heard)
    product = np.fft.rfft(heard, size) * np.conj(np.fft.rfft(burst, size))
    correlation = np.fft.irfft(product, size)
    reach = round(_MAX_DELAY_S * rate_hz)
    lags = np.concatenate([np.arange(reach + 1), np.arange(-reach, 0)])
    return int(lags[np.argmax(correlation[lags])])


def _in_memory(wave: Float, rate_hz: int, container: str, coding: str, level: float | None = None) -> Float:
    import soundfile

    raw = {"samplerate": rate_hz, "channels": 1, "format": "RAW", "subtype": coding} if container == "RAW" else {}
    try:
        # by its descriptor: in a function of ours that libsndfile called, Ctrl-C would be lost
        with memory_file() as buffer:
            with soundfile.SoundFile(
                buffer.fileno(),
                "w",
                rate_hz,
                1,
                format=container,
                subtype=coding,
                compression_level=level,
                closefd=False,
            ) as out:
                # the Vorbis encoder puts a whole call on the stack
                for start in range(0, len(wave), CHUNK_FRAMES):
                    out.write(wave[start : start + CHUNK_FRAMES])
            buffer.seek(0)
            return soundfile.read(buffer.fileno(), dtype="float32", closefd=False, **raw)[0]
    except soundfile.LibsndfileError as error:
        text = f"this libsndfile cannot code {container}/{coding} at {rate_hz} Hz: {error.error_string}"
        raise AudioError(text) from None


def _g722_round(wave: Float, rate_hz: int) -> Float:
    from G722 import G722

    integers = np.round(wave * 32767).astype(np.int16)
    # two samples to a byte
    integers = np.pad(integers, (0, len(integers) % 2))
    coded = G722(rate_hz, 64_000).encode(integers)
    return np.asarray(G722(rate_hz, 64_000).decode(coded), np.int16).astype(np.float32) / np.float32(32768.0)
