"""The first layers of a frozen Whisper encoder as the front end of a network that is trained on top of them.

Whisper's weights are not part of the network's checkpoint: they are read where they are installed, and the checkpoint
remembers which ones they were.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from auricle.backbones.whisper import RATE_HZ
from auricle.backbones.whisper_features import WhisperFeatures, weights_key
from auricle.core.errors import CheckpointError, ConfigError

LEVEL = 0.05  # RMS that every clip is brought to: Whisper's log-mel keeps the level, which is no evidence
LEAST = 1e-3  # of a feature's spread


class WhisperFront(nn.Module):
    """Waveforms to frames of features, 50 a second: a learnt mixture of what enters the encoder and its first layers.

    Every feature is standardised by its mean and spread over the training windows before the mixture.

    Args:
        name_or_folder: as `auricle.backbones.whisper.load_whisper_encoder` takes it; not looked at before `fetch`.
        revision: commit of a Hub id, 40 hex digits.
        layers: how many layers from below, beside what enters the first one.
        dim: width D of the encoder.

    Attributes:
        rate_hz: rate of the waveforms it takes.
        cache: folder for features, found by content; None keeps none.

    Raises:
        ConfigError: not a number of layers.
    """

    rate_hz = RATE_HZ
    mean: Tensor
    spread: Tensor
    source: Tensor

    def __init__(self, name_or_folder: str, revision: str | None, layers: int, dim: int) -> None:
        super().__init__()
        if layers < 0:
            raise ConfigError(f"{layers} layers of Whisper; give 0 (what enters the first one) or more")
        self.origin, self.layers, self.dim = (name_or_folder, revision), layers, dim
        self.cache: Path | None = None
        self.mix = nn.Parameter(torch.zeros(layers + 1))
        self.register_buffer("mean", torch.zeros(layers + 1, dim))
        self.register_buffer("spread", torch.ones(layers + 1, dim))
        # which weights the features are of: the 32 bytes of their key; zeros until a network was trained on them
        self.register_buffer("source", torch.zeros(32, dtype=torch.uint8))
        self._features: WhisperFeatures | None = None
        self._fetching = threading.Lock()

    def fetch(self) -> WhisperFeatures:
        """Read Whisper's weights, unless they are here already.

        Raises:
            ConfigError: no such model, or one of another width.
            MissingWeights: the named weights are not installed or not converted; the message has the command.
            CheckpointError: they cannot be read, or are not those that this network was trained on.
            MissingExtra: Transformers is not installed.
        """
        with self._fetching:
            if self._features is None:
                name, revision = self.origin
                # what is drawn while the encoder is built must not move the generators of a run
                with torch.random.fork_rng(devices=[]):
                    found = WhisperFeatures(name, revision, layers=self.layers, cache=self.cache)
                if found.dim != self.dim:
                    raise ConfigError(f"the frames of {name} are {found.dim} wide, not {self.dim}")
                key = torch.frombuffer(bytearray.fromhex(weights_key(name, revision)), dtype=torch.uint8)
                if bool(self.source.any()) and not torch.equal(self.source.cpu(), key):
                    raise CheckpointError(
                        f"the Whisper in {name} is not the one that this network was trained on; its features mean "
                        "something else"
                    )
                self.source.copy_(key)
                self._features = found
            return self._features

    @torch.no_grad()
    def fit_scale(self, waves: Iterable[Tensor]) -> None:
        """Set mean and spread of the features from training windows.

        Args:
            waves: batches (B, N) of valid windows.
        """
        total, squares = (torch.zeros(self.mean.shape, dtype=torch.float64) for _ in range(2))
        count = 0
        for wave in waves:
            for states in self._states(wave, [wave.shape[1]] * len(wave)):
                total += states.sum(1, dtype=torch.float64)
                squares += states.square().sum(1, dtype=torch.float64)
                count += states.shape[1]
        mean = total / max(count, 1)
        self.mean.copy_(mean)
        self.spread.copy_((squares / max(count, 1) - mean.square()).clamp_min(LEAST**2).sqrt())

    def forward(self, wave: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Give features.

        Args:
            wave: (B, N) at 16 kHz; what padded samples hold does not matter.
            lengths: valid samples of each clip, (B,); None when all are.

        Returns:
            Features (B, T, D), zero at padded frames, and their mask (B, T).

        Raises:
            AudioError: a clip of less than 0.1 s or not finite.
            CheckpointError: as `fetch`.
        """
        sizes = [wave.shape[1]] * len(wave) if lengths is None else [int(size) for size in lengths.tolist()]
        states = [part.to(wave.device) for part in self._states(wave, sizes)]
        shares = torch.softmax(self.mix, 0)[:, None, None]
        mixed = [(shares * (part - self.mean[:, None]) / self.spread[:, None]).sum(0) for part in states]
        counts = torch.tensor([len(row) for row in mixed], device=wave.device)
        mask = torch.arange(int(counts.max()), device=wave.device) < counts[:, None]
        return nn.utils.rnn.pad_sequence(mixed, batch_first=True), mask

    def _states(self, wave: Tensor, sizes: list[int]) -> list[Tensor]:
        """Give what the encoder makes of each clip, (L, T, D)."""
        rows = []
        for row, size in zip(wave.detach().cpu().float(), sizes, strict=True):
            part = row[:size].numpy()
            rows.append(part * np.float32(LEVEL / max(float(np.sqrt(np.mean(part**2))), 1e-6)))
        return [torch.from_numpy(part) for part in self.fetch()(rows, [RATE_HZ] * len(rows))]
