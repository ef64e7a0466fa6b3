"""Artefacts with a known place: what was done to a clip, in which band or in which stretch of time.

Six bands lie between 100 and 3,800 Hz, where every recording of the embedded corpus has energy (telephone prompts and
the game's voices end at 4 kHz), equally wide on the mel scale. Eight bins share the 1.5 s of a clip. An artefact that
a clip cannot carry, such as a notch where there was nothing, is refused: `inject` measures how far the spectrogram
moved inside the artefact's place, so the truth can always be heard.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from auricle.core.errors import AudioError, ConfigError, DataError
from auricle.data.spoof.framing import frame, hann, overlap_add

RATE_HZ = 16_000
CLIP_S = 1.5
BANDS = 6
BINS = 8
BAND_EDGES_HZ = (100.0, 460.0, 820.0, 1220.0, 1780.0, 2600.0, 3800.0)
BIN_S = CLIP_S / BINS
FREQUENCY_KINDS = ("notch", "cutoff", "mirror", "smooth")
TIME_KINDS = ("silence", "repeat", "click", "gain")
KINDS = FREQUENCY_KINDS + TIME_KINDS

# A cut-off in the highest band would be a notch, in the lowest it would leave no sound; an image needs a band below it.
BANDS_OF = {"notch": range(BANDS), "cutoff": range(1, BANDS - 1), "mirror": range(1, BANDS), "smooth": range(BANDS)}
AUDIBLE_DB = 3.0  # mean change of level inside the place, over what the noise floor leaves to be heard
_FLOOR_DB = 45.0  # below the clip's mean power; the noise that a clip gets later lies there
_SIZE, _HOP = 1024, 256  # of the transform that changes a band: 64 ms, 15.6 Hz a step
_LOOK_SIZE, _LOOK_HOP = 256, 64  # of the one that measures: 16 ms, so that a click is seen
_SMOOTHED_S = 0.4

Wave = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Artefact:
    """One thing that was done to a clip.

    Attributes:
        kind: one of `FREQUENCY_KINDS` or `TIME_KINDS`.
        domain: ``frequency`` or ``time``.
        place: band (0 to 5) or bin (0 to 7) in which it lies; for a cut-off the band in which it begins.
        strength: 0 to 1.
        low_hz: lower edge of what is affected.
        high_hz: upper edge of it.
        start_s: beginning of what is affected, from the clip's beginning.
        end_s: end of it.
    """

    kind: str
    domain: Literal["frequency", "time"]
    place: int
    strength: float
    low_hz: float
    high_hz: float
    start_s: float
    end_s: float

    def as_dict(self) -> dict[str, Any]:
        """Give it as JSON has it."""
        return asdict(self)


def from_dict(value: dict[str, Any]) -> Artefact:
    """Read an artefact as `Artefact.as_dict` writes it.

    Raises:
        DataError: fields are missing or unknown, or the kind is.
    """
    try:
        found = Artefact(**value)
    except TypeError as error:
        raise DataError(f"{value!r} is not an artefact: {error}") from None
    if found.kind not in KINDS:
        raise DataError(f"artefact of kind {found.kind!r}; kinds are {', '.join(KINDS)}")
    return found


def artefact(kind: str, place: int, strength: float, rng: np.random.Generator) -> Artefact:
    """Make an artefact at a place; where exactly within its band or bin it begins and ends is drawn.

    Args:
        kind: one of `KINDS`.
        place: band or bin.
        strength: 0 to 1.
        rng: the source of what is drawn.

    Raises:
        ConfigError: an unknown kind, a place that it cannot have, or a strength outside 0 to 1.
    """
    places = places_of(kind)
    if place not in places or not 0 <= strength <= 1:
        raise ConfigError(
            f"{kind} at place {place} with strength {strength}; allowed are places {places.start} to {places.stop - 1} "
            "and strengths from 0 to 1"
        )
    if kind in FREQUENCY_KINDS:
        low, high = BAND_EDGES_HZ[place], BAND_EDGES_HZ[place + 1]
        if kind == "cutoff":
            low, high = low + float(rng.uniform(0, 0.4)) * (high - low), BAND_EDGES_HZ[-1]
        return Artefact(kind, "frequency", place, strength, round(low, 1), round(high, 1), 0.0, CLIP_S)
    # a click is short; the others fill more of the bin the stronger they are
    length = float(rng.uniform(0.001, 0.003)) if kind == "click" else BIN_S * (0.35 + 0.5 * strength)
    start = place * BIN_S + float(rng.uniform(0.1, 0.9)) * (BIN_S - length)
    edges = BAND_EDGES_HZ[0], BAND_EDGES_HZ[-1]
    return Artefact(kind, "time", place, strength, *edges, round(start, 4), round(start + length, 4))


def places_of(kind: str) -> range:
    """Give the bands or bins that a kind can have.

    Raises:
        ConfigError: an unknown kind.
    """
    if kind not in KINDS:
        raise ConfigError(f"no artefact is called {kind!r}; kinds are {', '.join(KINDS)}")
    return BANDS_OF[kind] if kind in BANDS_OF else range(BINS)


def plan(
    rng: np.random.Generator,
    share_time: float = 0.5,
    both: float = 0.3,
    strength: tuple[float, float] = (0.5, 1.0),
) -> tuple[Artefact, ...]:
    """Draw what is done to one clip: an artefact of one domain, or one of each.

    Args:
        rng: the source of all that is drawn.
        share_time: of the clips with one artefact, the share in which it is one of time.
        both: share of clips that have one of each domain.
        strength: lowest and highest.

    Returns:
        One or two artefacts, that of frequency first.
    """
    two = rng.random() < both
    in_time = rng.random() < share_time
    kinds = [names for names, wanted in ((FREQUENCY_KINDS, two or not in_time), (TIME_KINDS, two or in_time)) if wanted]
    return tuple(_drawn(str(rng.choice(names)), rng, strength) for names in kinds)


def _drawn(kind: str, rng: np.random.Generator, strength: tuple[float, float]) -> Artefact:
    places = places_of(kind)
    return artefact(kind, int(rng.integers(places.start, places.stop)), float(rng.uniform(*strength)), rng)


def inject(wave: npt.NDArray[np.floating], artefacts: Sequence[Artefact], rng: np.random.Generator) -> Wave:
    """Put artefacts into a clip, those of frequency first.

    Args:
        wave: samples (T,) at `RATE_HZ`, `CLIP_S` long.
        artefacts: what to put in.
        rng: draws what an artefact leaves open: a click's noise, a loop's length.

    Returns:
        The changed samples, (T,).

    Raises:
        AudioError: another length, silence, or an artefact that this clip cannot carry: the spectrogram moves by less
            than `AUDIBLE_DB` inside its place.
    """
    if wave.shape != (round(CLIP_S * RATE_HZ),):
        raise AudioError(f"a clip of shape {wave.shape}; artefacts go into {round(CLIP_S * RATE_HZ)} samples")
    if not np.any(wave):
        raise AudioError("a silent clip can carry no artefact")
    done = wave.astype(np.float32)
    for one in sorted(artefacts, key=lambda item: item.domain):
        before = done
        done = (_FREQUENCY if one.domain == "frequency" else _TIME)[one.kind](before, one, rng)
        moved = change_db(before, done, one)
        if moved < AUDIBLE_DB:
            what = f"{one.kind} in {'band' if one.domain == 'frequency' else 'bin'} {one.place}"
            raise AudioError(f"the clip cannot carry a {what}: its level moves by {moved:.1f} dB, not {AUDIBLE_DB}")
    return done


def change_db(before: Wave, after: Wave, where: Artefact) -> float:
    """Measure how far a clip's spectrogram moved inside an artefact's place, in dB, mean of absolute values.

    Levels are held above a floor under the clip's mean level, so what is inaudible in both counts as no change.

    Args:
        before: samples (T,).
        after: samples (T,).
        where: the artefact; its edges and times are looked at.
    """
    one, other = (
        np.abs(np.fft.rfft(frame(wave, _LOOK_SIZE, _LOOK_HOP) * hann(_LOOK_SIZE), axis=1)) ** 2
        for wave in (before, after)
    )
    floor = float(one.mean()) * 10 ** (-_FLOOR_DB / 10)
    step = RATE_HZ / _LOOK_SIZE
    bins = slice(
        int(np.ceil(where.low_hz / step)), max(int(where.high_hz / step), int(np.ceil(where.low_hz / step)) + 1)
    )
    first = round(where.start_s * RATE_HZ / _LOOK_HOP)
    frames = slice(first, max(round(where.end_s * RATE_HZ / _LOOK_HOP), first + 1))
    return float(np.mean(np.abs(10 * np.log10((other[frames, bins] + floor) / (one[frames, bins] + floor)))))


def _spectra(wave: Wave) -> tuple[npt.NDArray[np.complex64], npt.NDArray[np.float32]]:
    """Give the short-time spectra (F, bins) and the window (size,) whose square adds up to 1.5 with itself."""
    window = hann(_SIZE)
    padded = np.pad(wave, _SIZE)  # else the ends lie under fewer windows than the rest
    return np.fft.rfft(frame(padded, _SIZE, _HOP) * window, axis=1).astype(np.complex64), window


def _rebuilt(spectra: npt.NDArray[np.complex64], window: npt.NDArray[np.float32], length: int) -> Wave:
    frames = (np.fft.irfft(spectra, _SIZE, axis=1) * (window / 1.5)).astype(np.float32)
    return overlap_add(frames, _HOP, length + 2 * _SIZE)[_SIZE:-_SIZE]


def _bins(one: Artefact) -> tuple[int, int]:
    step = RATE_HZ / _SIZE
    return round(one.low_hz / step), round(one.high_hz / step)


def _notch(wave: Wave, one: Artefact, rng: np.random.Generator) -> Wave:
    """Lower a band by 6 to 42 dB; a cut-off lowers all above its edge, to half the rate."""
    spectra, window = _spectra(wave)
    low, high = _bins(one)
    spectra[:, low : None if one.kind == "cutoff" else high] *= 10 ** (-(6 + 36 * one.strength) / 20)
    return _rebuilt(spectra, window, len(wave))


def _mirror(wave: Wave, one: Artefact, rng: np.random.Generator) -> Wave:
    """Put the image of what lies below a band's lower edge into the band, as a missing filter after upsampling does."""
    spectra, window = _spectra(wave)
    low, high = _bins(one)
    spectra[:, low:high] = 10 ** ((18 * one.strength - 9) / 20) * np.conj(spectra[:, low - np.arange(high - low)])
    return _rebuilt(spectra, window, len(wave))


def _smooth(wave: Wave, one: Artefact, rng: np.random.Generator) -> Wave:
    """Replace a band's magnitudes by their mean over the band and 0.4 s, as an over-smoothed model's output has it."""
    from scipy.ndimage import uniform_filter1d

    spectra, window = _spectra(wave)
    low, high = _bins(one)
    band = spectra[:, low:high]
    level = np.sqrt(uniform_filter1d(np.mean(np.abs(band) ** 2, axis=1), round(_SMOOTHED_S * RATE_HZ / _HOP)))
    share = 0.4 + 0.6 * one.strength
    phase = np.exp(2j * np.pi * rng.random(band.shape))
    spectra[:, low:high] = (1 - share) * band + share * level[:, None] * phase
    return _rebuilt(spectra, window, len(wave))


def _stretch(one: Artefact, wave: Wave) -> slice:
    return slice(round(one.start_s * RATE_HZ), min(round(one.end_s * RATE_HZ), len(wave)))


def _silence(wave: Wave, one: Artefact, rng: np.random.Generator) -> Wave:
    """Set a stretch to digital zero."""
    out = wave.copy()
    out[_stretch(one, wave)] = 0
    return out


def _repeat(wave: Wave, one: Artefact, rng: np.random.Generator) -> Wave:
    """Loop the first 30 to 50 ms of a stretch through the whole of it, joints and all."""
    out = wave.copy()
    where = _stretch(one, wave)
    loop = wave[where.start : where.start + round(float(rng.uniform(0.03, 0.05)) * RATE_HZ)]
    out[where] = np.resize(loop, where.stop - where.start)
    return out


def _click(wave: Wave, one: Artefact, rng: np.random.Generator) -> Wave:
    """Add a burst of 1 to 3 ms at 0.4 to 1.2 times the clip's peak, with random signs."""
    out = wave.copy()
    where = _stretch(one, wave)
    height = (0.4 + 0.8 * one.strength) * float(np.abs(wave).max())
    out[where] += (
        height * rng.uniform(0.5, 1.0, where.stop - where.start) * rng.choice([-1, 1], where.stop - where.start)
    ).astype(np.float32)
    return out


def _gain(wave: Wave, one: Artefact, rng: np.random.Generator) -> Wave:
    """Raise a stretch by 4 to 15 dB, with steps at both ends."""
    out = wave.copy()
    out[_stretch(one, wave)] *= 10 ** ((4 + 11 * one.strength) / 20)
    return out


_FREQUENCY = {"notch": _notch, "cutoff": _notch, "mirror": _mirror, "smooth": _smooth}
_TIME = {"silence": _silence, "repeat": _repeat, "click": _click, "gain": _gain}
