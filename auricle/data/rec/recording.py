"""One recording on its way into the corpus: where it comes from, and what becomes of it on disk."""

from __future__ import annotations

import hashlib
import io
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auricle.core.errors import AudioError

MODEL_HZ = 16_000
"""Rate of the corpus in Hz; a recording below it keeps its own rate, since resampling adds nothing to it."""


@dataclass(frozen=True)
class Recording:
    """A recording inside a package.

    Attributes:
        id: unique in the corpus.
        kind: ``speech``, ``sound`` or ``music``.
        source_path: file inside the package; after ``!`` the entry of an archive.
        suffix: of the coded file, such as ``.g722``.
        load: gives its bytes.
        author: who made it.
        licence: SPDX expression.
        extra: further fields of its row: speaker, speaker_group, language, text, prompt, label, detail.
    """

    id: str
    kind: str
    source_path: str
    suffix: str
    load: Callable[[], bytes] = field(repr=False, compare=False)
    author: str
    licence: str
    extra: dict[str, str] = field(default_factory=dict)


def slug(*parts: str) -> str:
    """Make an id of file names: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(parts).lower()).strip("-")


def store(path: Path, data: bytes) -> None:
    """Write a file whole or not at all; no flush to disk, since twenty thousand of them would take minutes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".part-", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(data)
        os.replace(name, path)
    finally:
        Path(name).unlink(missing_ok=True)


def convert(recording: Recording, package: str, version: str, folder: Path) -> dict[str, Any]:
    """Write a recording as mono FLAC, beside it the untouched file where that has a higher rate, and give its row.

    Args:
        recording: what to write.
        package: name of its Debian package.
        version: version of the package.
        folder: the corpus folder.

    Raises:
        AudioError: it is not usable audio (too short, silent, damaged).
        OSError: the disk is full or cannot be written.
    """
    import numpy as np
    import soundfile

    from auricle.audio.files import decode
    from auricle.audio.resample import resample

    data = recording.load()
    audio = decode(data, recording.suffix)
    wave, rate_hz = audio.mono(), min(audio.rate_hz, MODEL_HZ)
    changes = ["recoded as 16-bit FLAC"]
    if len(audio.wave) > 1:
        changes.insert(0, "the louder channel taken")
    if rate_hz != audio.rate_hz:
        wave = resample(wave, audio.rate_hz, rate_hz)
        changes.insert(-1, f"resampled from {audio.rate_hz} to {rate_hz} Hz")
    samples = np.round(np.clip(wave, -1.0, 32767 / 32768) * 32768).astype(np.int16)
    out = io.BytesIO()
    try:
        soundfile.write(out, samples, rate_hz, format="FLAC", subtype="PCM_16")
    except soundfile.LibsndfileError as error:
        raise AudioError(f"{recording.source_path}: cannot be written as FLAC: {error.error_string}") from None
    path = f"{recording.kind}/{package}/{recording.id}.flac"
    store(folder / path, out.getvalue())
    original = ""
    if audio.rate_hz > MODEL_HZ:
        original = f"original/{package}/{recording.id}{recording.suffix}"
        store(folder / original, data)
    return {
        "id": recording.id,
        "path": path,
        "kind": recording.kind,
        **{name: value for name, value in recording.extra.items() if value},
        "rate_hz": rate_hz,
        "duration_s": round(len(samples) / rate_hz, 4),
        "source_rate_hz": audio.rate_hz,
        "original": original,
        "package": package,
        "version": version,
        "source_path": recording.source_path,
        "author": recording.author,
        "licence": recording.licence,
        "changes": ", ".join(changes),
        "sha256": hashlib.sha256(out.getvalue()).hexdigest(),
        "original_sha256": hashlib.sha256(data).hexdigest() if original else "",
    }
