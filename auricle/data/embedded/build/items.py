"""One clip on its way into the corpus: its bytes, where it comes from, and what its row will say."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass, field
from typing import Any

from auricle.core.errors import DataError

G722_HZ = 16_000
G722_BYTES_PER_S = 8_000  # 64 kbit/s
GSM_HZ = 8_000
GSM_FRAME = 33  # bytes that hold 160 samples


@dataclass
class Item:
    """A clip before it is written; the fields are those of a row of ``clips.jsonl``."""

    id: str
    kind: str
    suffix: str
    data: bytes = field(repr=False)
    package: str
    version: str
    source_path: str
    author: str
    licence: str
    changes: str
    extra: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """Give the clip's row; the path is relative to the corpus folder."""
        rate_hz, duration_s = measure(self.data, self.suffix)
        return {
            "id": self.id,
            "path": self.path(),
            "kind": self.kind,
            **self.extra,
            "rate_hz": rate_hz,
            "duration_s": round(duration_s, 4),
            "package": self.package,
            "version": self.version,
            "source_path": self.source_path,
            "author": self.author,
            "licence": self.licence,
            "changes": self.changes,
            "sha256": hashlib.sha256(self.data).hexdigest(),
        }

    def path(self) -> str:
        """Give the file's place below the corpus folder."""
        folder = self.extra.get("speaker") or self.extra.get("label") or "tracks"
        return f"{self.kind}/{folder}/{self.id}{self.suffix}"


def measure(data: bytes, suffix: str) -> tuple[int, float]:
    """Give the sampling rate in hertz and the length in seconds of coded audio.

    Raises:
        DataError: the suffix is not one that the corpus uses.
    """
    if suffix == ".g722":
        return G722_HZ, len(data) / G722_BYTES_PER_S
    if suffix == ".gsm":
        return GSM_HZ, len(data) // GSM_FRAME * 160 / GSM_HZ
    if suffix in (".mp3", ".ogg", ".flac", ".wav"):
        import soundfile

        info = soundfile.info(io.BytesIO(data))
        return info.samplerate, info.frames / info.samplerate
    raise DataError(f"no way to measure a clip of type {suffix}; the corpus holds .g722, .gsm, .mp3, .ogg and .flac")


def to_flac(data: bytes) -> bytes:
    """Recode a 16-bit WAV file as FLAC, and make sure that no sample changed.

    Raises:
        DataError: the WAV file is not 16-bit PCM, or the round trip is not exact.
    """
    import numpy as np
    import soundfile

    info = soundfile.info(io.BytesIO(data))
    if info.subtype != "PCM_16":
        raise DataError(f"expected 16-bit PCM in a WAV file, found {info.subtype}")
    wave, rate_hz = soundfile.read(io.BytesIO(data), dtype="int16", always_2d=True)
    out = io.BytesIO()
    soundfile.write(out, wave, rate_hz, format="FLAC", subtype="PCM_16")
    again, _ = soundfile.read(io.BytesIO(out.getvalue()), dtype="int16", always_2d=True)
    if not np.array_equal(wave, again):
        raise DataError("FLAC changed the samples of a WAV file: this build of libsndfile cannot be used")
    return out.getvalue()


def order_key(*names: str) -> bytes:
    """Give a sort key that looks random but is the same everywhere, for choosing clips without a bias."""
    return hashlib.sha256("\x1f".join(names).encode()).digest()
