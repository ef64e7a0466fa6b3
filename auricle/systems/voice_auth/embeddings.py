"""Embeddings of a run's clips: made once with the verifier, kept in the run's cache, gone on with after a kill."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from auricle.backbones.speaker import Verifier, load_verifier
from auricle.core.cache import combined_key
from auricle.core.errors import DataError
from auricle.core.files import atomic_path, digest
from auricle.core.run import RunFolder
from auricle.data.clips import Clips
from auricle.systems.contents import contents
from auricle.systems.voice_auth.config import VoiceAuthConfig

PART = 256  # clips between two writes


class Embedder:
    """The verifier of a run, and the embeddings that it made before.

    Args:
        cfg: names the verifier; what was made is found by the content of its weights and of the clips.
        run: whose cache is used.
    """

    def __init__(self, cfg: VoiceAuthConfig, run: RunFolder) -> None:
        self.cfg = cfg.verifier
        decides = {"verifier": cfg.verifier.spec, "content": contents(cfg, ["verifier.spec"])}
        self.file = run.cache / f"embeddings-{digest(decides)}.npz"
        self._known: dict[str, np.ndarray] = _read(self.file) if self.file.exists() else {}

    @cached_property
    def verifier(self) -> Verifier:
        """The verifier, loaded when it is first needed.

        Raises:
            ConfigError: no such verifier.
            MissingExtra: its weights are not installed.
        """
        return load_verifier(self.cfg.spec)

    def of(self, clips: Clips) -> np.ndarray:
        """Give the embeddings of clips, (N, D), by their samples; what is not known is made and kept."""
        names = np.array([combined_key([str(clips.rate_hz), wave.tobytes()]) for wave in clips.waves])
        missing = [index for index, name in enumerate(names) if name not in self._known]
        for start in range(0, len(missing), PART):
            part = missing[start : start + PART]
            embeddings = self.embed([clips.wave(index) for index in part], clips.rate_hz)
            self._known.update(zip(names[part], embeddings, strict=True))
            self._write()
        return np.stack([self._known[name] for name in names])

    def embed(self, waves: Sequence[np.ndarray], rate_hz: int) -> np.ndarray:
        """Embed waveforms that are not kept, (N, D)."""
        batches = [waves[start : start + self.cfg.batch] for start in range(0, len(waves), self.cfg.batch)]
        return np.concatenate([self.verifier.embed(batch, [rate_hz] * len(batch)) for batch in batches])

    def _write(self) -> None:
        names = np.array(list(self._known))
        with atomic_path(self.file) as temporary, open(temporary, "wb") as file:
            np.savez(file, names=names, embeddings=np.stack(list(self._known.values())))


def _read(file: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(file, allow_pickle=False) as held:
            return dict(zip(held["names"].tolist(), held["embeddings"], strict=True))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} is damaged ({error}); delete it, and the embeddings are made again") from None
