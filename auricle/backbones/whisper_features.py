"""Features of Whisper's encoder, made once and kept by content: what the waveform and the weights hold decides."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from auricle.audio.check import Float
from auricle.backbones import architecture as arch
from auricle.backbones.speaker.verifier import ready
from auricle.backbones.whisper import WhisperEncoder, load_whisper_encoder, whisper_source
from auricle.core.cache import combined_key, content_key
from auricle.core.files import atomic_path

VERSION = 1  # of how features are made: part of the key of what is cached


class WhisperFeatures:
    """Clips to the frames of every layer, 50 a second.

    Features are rounded to float16 (where all of them fit) whether they come from the cache or not, so both are equal.

    Args:
        name_or_folder: as `load_whisper_encoder` takes it.
        revision: commit of a Hub id, 40 hex digits.
        layers: how many layers to keep from below: 0 for what enters the first one alone; None for all.
        batch: clips that are encoded together.
        cache: folder for features; None keeps none.

    Attributes:
        dim: width D of a frame.
        layers: number of states L that are kept, the input counted.

    Raises:
        ConfigError: no such model or layer.
        MissingWeights: the named weights are not installed or not converted; the message has the command.
        CheckpointError: a model that cannot be read.
        MissingExtra: Transformers is not installed.
    """

    def __init__(
        self,
        name_or_folder: str = "whisper-tiny-en",
        revision: str | None = None,
        *,
        layers: int | None = None,
        batch: int = 16,
        cache: str | Path | None = None,
    ) -> None:
        self.encoder: WhisperEncoder = load_whisper_encoder(name_or_folder, revision, layer=layers)
        self.dim, self.batch = self.encoder.dim, batch
        self.layers = len(self.encoder.model.layers) + 1
        self.folder: Path | None = None
        if cache is not None:
            how = json.dumps({"layers": layers, "version": VERSION})
            self.folder = Path(cache) / combined_key([weights_key(name_or_folder, revision), how])[:32]

    def __call__(self, waves: Sequence[Float], rates_hz: Sequence[int]) -> list[npt.NDArray[np.float32]]:
        """Give the features of recordings of any length from 0.1 s.

        Args:
            waves: N mono waveforms, (T,).
            rates_hz: their N sampling rates.

        Returns:
            N arrays (L, frames, D) float32.

        Raises:
            AudioError: a waveform is not usable audio.
            DataError: not as many rates as waveforms.
        """
        checked = list(ready(waves, rates_hz, self.encoder.rate_hz))
        files = [self._file(wave) for wave in checked]
        found = [None if file is None else _read(file) for file in files]
        # clips of about one length are padded least
        due = sorted((number for number, value in enumerate(found) if value is None), key=lambda n: len(checked[n]))
        for start in range(0, len(due), self.batch):
            some = due[start : start + self.batch]
            for number, value in zip(some, self._made([checked[number] for number in some]), strict=True):
                found[number] = value
                if (file := files[number]) is not None:
                    with atomic_path(file) as temporary, open(temporary, "wb") as out:
                        np.save(out, value, allow_pickle=False)
        return [value.astype(np.float32) for value in found if value is not None]

    @torch.inference_mode()
    def _made(self, waves: Sequence[Float]) -> list[npt.NDArray[np.floating]]:
        sizes = torch.tensor([len(wave) for wave in waves])
        batch = torch.zeros(len(waves), int(sizes.max()))
        for row, wave in zip(batch, waves, strict=True):
            row[: len(wave)] = torch.from_numpy(wave)
        states, mask = self.encoder.states(batch, sizes)
        stacked = torch.stack(states, 1)
        return [_rounded(row[:, : int(size)].numpy()) for row, size in zip(stacked, mask.sum(1), strict=True)]

    def _file(self, wave: Float) -> Path | None:
        if self.folder is None:
            return None
        key = wave_key(wave, self.encoder.rate_hz)
        return self.folder / key[:2] / f"{key[:40]}.npy"


def weights_key(name_or_folder: str, revision: str | None = None) -> str:
    """Name a Whisper model by its content, for what is cached of it: 64 hex digits.

    Args:
        name_or_folder: as `load_whisper_encoder` takes it.
        revision: commit of a Hub id.

    Raises:
        ConfigError: neither a known name nor a folder nor a Hub id with its commit.
        MissingWeights: the named weights are not installed or not converted.
    """
    where = whisper_source(name_or_folder, revision)
    if not arch.is_folder(where, revision):
        return combined_key([where, str(revision)])
    files = sorted(file for file in Path(where).iterdir() if file.suffix in (".safetensors", ".json"))
    return combined_key([f"{file.name} {content_key(file)}" for file in files])


def wave_key(wave: Float, rate_hz: int) -> str:
    """Name a waveform by its samples and rate: 64 hex digits.

    Args:
        wave: (T,).
        rate_hz: its rate.
    """
    return combined_key([np.ascontiguousarray(wave, dtype=np.float32).tobytes(), str(int(rate_hz))])


def _rounded(features: npt.NDArray[np.float32]) -> npt.NDArray[np.floating]:
    with np.errstate(over="ignore"):
        half = features.astype(np.float16)
    return half if np.isfinite(half).all() else features


def _read(file: Path) -> npt.NDArray[np.floating] | None:
    """Read what was kept; a file that is not whole is made again."""
    try:
        found: npt.NDArray[np.floating] = np.load(file, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    return found
