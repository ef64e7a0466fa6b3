"""Audio players for a page: clips as inline FLAC, and the choice of the hardest errors."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from auricle.core.errors import AudioError, ConfigError
from auricle.metrics.trials import check_labels, check_scores

# what a page plays of one clip
MAX_PLAYED_S = 10.0


@dataclass(frozen=True)
class Player:
    """One clip to listen to.

    Attributes:
        title: name of the clip.
        wave: waveform in [-1, 1], shape (T,) or (1, T).
        rate_hz: sampling rate.
        caption: what is to be heard, such as the score and the generator.
        group: heading it stands under, such as ``False accepts``.
    """

    title: str
    wave: npt.NDArray[Any]
    rate_hz: int
    caption: str
    group: str = ""


def encode(player: Player) -> tuple[str, str]:
    """Give a clip as a data address and a remark when only its start is played.

    Args:
        player: the clip; its first 10 s are kept.

    Returns:
        (``data:audio/flac;base64,...``, remark or an empty text).

    Raises:
        AudioError: no sample, several channels, NaN or Inf, or a rate that is not positive.
    """
    import soundfile

    wave = np.asarray(player.wave, dtype=np.float32)
    wave = wave[0] if wave.ndim == 2 and wave.shape[0] == 1 else wave
    if wave.ndim != 1 or wave.size == 0 or not np.isfinite(wave).all() or player.rate_hz <= 0:
        raise AudioError(
            f"the player {player.title!r} was given shape {wave.shape} at {player.rate_hz} Hz; it needs one channel "
            "of finite samples and a positive rate"
        )
    limit = int(MAX_PLAYED_S * player.rate_hz)
    remark = f"first {MAX_PLAYED_S:.0f} s of {wave.size / player.rate_hz:.1f} s" if wave.size > limit else ""
    out = io.BytesIO()
    soundfile.write(out, np.clip(wave[:limit], -1, 1), int(player.rate_hz), format="FLAC", subtype="PCM_16")
    return "data:audio/flac;base64," + base64.b64encode(out.getvalue()).decode("ascii"), remark


def hardest_errors(
    scores: npt.ArrayLike, labels: npt.ArrayLike, threshold: float, k: int = 5
) -> tuple[list[int], list[int]]:
    """Choose the errors furthest on the wrong side of the threshold.

    Args:
        scores: shape (N,), higher is more bona fide.
        labels: booleans or 0 (spoof) and 1 (bona fide), shape (N,).
        threshold: scores above it are accepted.
        k: at most how many of each.

    Returns:
        (indices of false accepts, highest score first; of false rejects, lowest score first). Equal scores keep
        their order.

    Raises:
        DataError: a class is missing, scores are not finite, or lengths differ.
        ConfigError: k is negative.
    """
    if k < 0:
        raise ConfigError(f"k is the number of errors to show, at least 0; got {k}")
    values = check_scores(scores, "given")
    truth = check_labels(labels, values.size)
    accepts = np.flatnonzero(~truth & (values > threshold))
    rejects = np.flatnonzero(truth & (values <= threshold))
    accepts = accepts[np.argsort(-values[accepts], kind="stable")]
    rejects = rejects[np.argsort(values[rejects], kind="stable")]
    return accepts[:k].tolist(), rejects[:k].tolist()
