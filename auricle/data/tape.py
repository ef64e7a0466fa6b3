"""Clips of one length end to end in one FLAC file, and the manifest whose cuts are stretches of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from auricle.audio.files import read_mono
from auricle.core.errors import AudioError, DataError
from auricle.core.files import atomic_path
from auricle.data import fields, manifest
from auricle.data.cut_audio import fingerprint

if TYPE_CHECKING:
    from lhotse.cut import Cut

_AGAIN = "delete it with its manifests, and run auricle prepare again"


def write_tape(path: Path, waves: npt.NDArray[np.int16], rows: Sequence[dict[str, Any]], rate_hz: int) -> list[Cut]:
    """Write clips into one file, atomically.

    Args:
        path: the file, ``.flac``; its folder is made.
        waves: (C, N).
        rows: custom fields of each clip, and its ``id``.
        rate_hz: sampling rate in Hz.

    Returns:
        One cut a clip, in order.

    Raises:
        DataError: no clips, or another number of rows.
    """
    import soundfile
    from lhotse import MonoCut, SupervisionSegment

    if not len(waves) or len(waves) != len(rows):
        raise DataError(f"{len(waves)} clips and {len(rows)} rows; give one row for each of at least one clip")
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as part:
        soundfile.write(part, waves.reshape(-1), rate_hz, format="FLAC", subtype="PCM_16", compression_level=0.0)
    whole = manifest.cut(path.stem, path, {})
    length_s = waves.shape[1] / rate_hz
    cuts: list[Cut] = []
    for index, row in enumerate(rows):
        custom = {**row, fields.FINGERPRINT: whole.custom[fields.FINGERPRINT]}
        name = str(custom.pop("id"))
        spoken = {"speaker": row.get(fields.SPEAKER), "language": row.get(fields.LANGUAGE)}
        supervision = SupervisionSegment(name, whole.recording.id, 0.0, length_s, **spoken)
        recording = whole.recording
        cuts.append(MonoCut(name, index * length_s, length_s, 0, [supervision], recording=recording, custom=custom))
    return cuts


def read_tape(cuts: Sequence[Cut], rate_hz: int) -> npt.NDArray[np.int16]:
    """Read the clips of a tape's cuts.

    Args:
        cuts: from `write_tape`, or from the manifest they were written to; all of one file and one length.
        rate_hz: sampling rate in Hz.

    Returns:
        (C, N).

    Raises:
        DataError: no cuts, cuts of several files, or a file that is gone, damaged or changed.
    """
    paths = {str(cut.recording.sources[0].source) for cut in cuts}
    if len(paths) != 1:
        raise DataError(f"the cuts are of {len(paths)} files; those of a tape are of one")
    path = paths.pop()
    try:
        if fingerprint(path) != cuts[0].custom.get(fields.FINGERPRINT):
            raise DataError(f"{path} has changed since its manifest was made; {_AGAIN}")
        wave = read_mono(path, rate_hz)[0]
    except AudioError as error:
        raise DataError(f"{error}; {_AGAIN}") from None
    length = round(cuts[0].duration * rate_hz)
    starts = [round(cut.start * rate_hz) for cut in cuts]
    if max(starts) + length > len(wave):
        raise DataError(f"{path} is shorter than its manifest says; {_AGAIN}")
    return np.stack([np.round(wave[start : start + length] * 32768.0).astype(np.int16) for start in starts])
