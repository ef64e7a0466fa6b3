"""What every speaker verifier is, and the steps that all of them share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from auricle.audio.check import Float, check
from auricle.audio.resample import resample
from auricle.core.errors import AudioError, DataError

RATE_HZ = 16_000  # of all the verifiers in this room


@runtime_checkable
class Verifier(Protocol):
    """Turns recordings into embeddings whose cosine says how alike two voices are.

    Attributes:
        name: as `load_verifier` was asked for it, without a path.
        dim: width D of an embedding.
        rate_hz: rate of the waveforms it works on; others are resampled to it.
    """

    name: str
    dim: int
    rate_hz: int

    def embed(self, waves: Sequence[Float], rates_hz: Sequence[int]) -> Float:
        """Embed recordings; batch mates do not change an embedding.

        Args:
            waves: N mono waveforms, (T,) float32, of any lengths from 0.1 s.
            rates_hz: their N sampling rates.

        Returns:
            (N, D) float32, rows of unit length.

        Raises:
            AudioError: a waveform is not usable audio.
            DataError: not as many rates as waveforms.
        """
        ...


def ready(waves: Sequence[npt.NDArray[np.floating]], rates_hz: Sequence[int], rate_hz: int) -> Iterator[Float]:
    """Check waveforms and bring them to one rate, one at a time.

    Args:
        waves: mono waveforms, (T,).
        rates_hz: their rates.
        rate_hz: wanted rate.

    Yields:
        The waveforms, (T,) float32.

    Raises:
        AudioError: a waveform is refused by `auricle.audio.check`, or has several channels; its number is named.
        DataError: not as many rates as waveforms.
    """
    if len(waves) != len(rates_hz):
        raise DataError(f"{len(waves)} waveforms and {len(rates_hz)} rates; give one rate for each waveform")
    for number, (wave, from_hz) in enumerate(zip(waves, rates_hz, strict=True), 1):
        array = np.asarray(wave)
        where = f"waveform {number} of {len(waves)}"
        if array.ndim != 1:
            raise AudioError(f"{where} has the shape {array.shape}; a verifier takes one channel, (T,)")
        try:
            check(array, int(from_hz))
        except AudioError as error:
            raise AudioError(f"{where}: {error}") from None
        yield np.ascontiguousarray(resample(array.astype(np.float32), from_hz, rate_hz), dtype=np.float32)


def unit_rows(embeddings: npt.NDArray[np.floating]) -> Float:
    """Scale rows to unit length.

    Args:
        embeddings: (N, D).

    Returns:
        (N, D) float32.

    Raises:
        DataError: a row is zero or not finite: it points nowhere.
    """
    wide = np.asarray(embeddings, dtype=np.float64)
    norms = np.linalg.norm(wide, axis=1, keepdims=True)
    bad = np.flatnonzero(~(np.isfinite(norms[:, 0]) & (norms[:, 0] > 0)))
    if len(bad):
        raise DataError(
            f"the embedding of waveform {bad[0] + 1} of {len(wide)} is zero or not finite, so it points nowhere; "
            "look at the recording, and at the weights if it is an ordinary one"
        )
    unit: Float = (wide / norms).astype(np.float32)
    return unit
