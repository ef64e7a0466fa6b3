"""Few-shot voice conversion without training: each frame's envelope is borrowed from the most alike target frames."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from auricle.data.spoof.pitch import require_voiced
from auricle.data.spoof.result import Spoof, finish
from auricle.data.spoof.world import Analysis, analyse, resynthesise
from auricle.data.spoof.world_conversion import map_f0

BANDS = 40
# Enough to tell vowels apart, few enough that one voice's harmonics do not decide.
CEPSTRA = 16
# Frames over which the borrowed envelopes are averaged: 30 ms, or neighbours that jump would be heard as roughness.
SMOOTH = 3


@lru_cache(maxsize=8)
def _bands(bins: int, rate_hz: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give the mel filters (bins, BANDS), each summing to 1, and the cosine basis (BANDS, CEPSTRA) without level."""
    from scipy import fft

    from auricle.audio.filterbank import mel_filterbank

    filters = np.asarray(mel_filterbank(BANDS, 2 * (bins - 1), rate_hz, 60.0, None), np.float64)
    filters = filters if filters.shape[0] == bins else filters.T
    basis = fft.dct(np.eye(BANDS), axis=1, norm="ortho")[:, 1 : CEPSTRA + 1]
    return filters / np.maximum(filters.sum(axis=0), 1e-12), basis


def cepstra(log_envelope: NDArray[np.float64], voiced: NDArray[np.bool_], rate_hz: int) -> NDArray[np.float64]:
    """Describe what is said, not who says it: mel cepstra less the voice's own mean over voiced or unvoiced frames.

    Args:
        log_envelope: (F, bins).
        voiced: (F,).
        rate_hz: of the analysis.

    Returns:
        (F, CEPSTRA), each coefficient with spread 1 over the clip.
    """
    filters, basis = _bands(log_envelope.shape[1], rate_hz)
    found = (log_envelope @ filters) @ basis
    for part in (voiced, ~voiced):
        if part.any():
            found[part] -= found[part].mean(axis=0)
    scaled: NDArray[np.float64] = found / np.maximum(found.std(axis=0), 1e-6)
    return scaled


@lru_cache(maxsize=1)
def _voice(content: bytes, rate_hz: int) -> Analysis:
    """Analyse the target's material; many clips are converted to one voice in a row."""
    return analyse(np.frombuffer(content, np.float32), rate_hz)


def _level(log_envelope: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give the log power of each frame, (F, 1)."""
    level: NDArray[np.float64] = np.log(np.exp(log_envelope).mean(axis=1, keepdims=True))
    return level


def convert(
    wave: NDArray[np.float32], rate_hz: int, rng: np.random.Generator, variant: str, target: NDArray[np.float32]
) -> Spoof:
    """Say a clip with spectral envelopes taken from the target, frame by frame, and in its pitch range.

    Both voices are analysed with WORLD. For each frame the nearest target frames are found among the voiced ones or
    the unvoiced ones, by mel cepstra from which each voice's mean is taken out, and their log envelopes are averaged;
    the frame keeps its own level and its own aperiodicity. After Sundermann et al. (2006), "Text-independent voice
    conversion based on unit selection", with a plain nearest-neighbour rule.

    Args:
        wave: what is said, (T,).
        rate_hz: rate of both clips.
        rng: nothing is drawn from it.
        variant: ``k1`` or ``k4``, the number of neighbours.
        target: material of the voice to move to, (T',), seconds to minutes; all of it is used.

    Raises:
        AudioError: one of the two has less than 0.1 s of voice.
    """
    from scipy.ndimage import uniform_filter1d
    from scipy.spatial import cKDTree

    count = int(variant.removeprefix("k"))
    source, voice = analyse(wave, rate_hz), _voice(target.tobytes(), rate_hz)
    require_voiced(source.f0, "neighbour")
    require_voiced(voice.f0, "neighbour", "the target's material")
    log_source, log_voice = (np.log(np.maximum(part.envelope, 1e-16)) for part in (source, voice))
    asked, known = source.f0 > 0, voice.f0 > 0
    wanted, offered = cepstra(log_source, asked, source.rate_hz), cepstra(log_voice, known, source.rate_hz)
    shapes = log_voice - _level(log_voice)
    borrowed = log_source - _level(log_source)
    for here, there in ((asked, known), (~asked, ~known)):
        if not here.any() or not there.any():
            continue  # material without unvoiced frames leaves the source's as they are
        k = min(count, int(there.sum()))
        _, index = cKDTree(offered[there]).query(wanted[here], k=k)
        borrowed[here] = shapes[there][index.reshape(-1, k)].mean(axis=1)
    borrowed = uniform_filter1d(borrowed, SMOOTH, axis=0, mode="nearest")
    # the level of a frame is what is said, its shape is who says it
    envelope = np.exp(borrowed - _level(borrowed) + _level(log_source))
    f0 = map_f0(source.f0, voice.f0)
    out = resynthesise(f0, envelope, source.aperiodicity(), source.rate_hz, rate_hz, len(wave))
    return finish(out, rate_hz, f"neighbour-{variant}", like=wave)
