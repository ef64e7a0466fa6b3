"""The network: log-mel, one convolution over time, the mean over valid frames, two logits."""

from __future__ import annotations

import numpy as np
import torch
from auricle.systems.dummy.config import DummyConfig
from torch import Tensor, nn

from auricle.audio.spectral import LogMel


class Network(nn.Module):
    """Waveforms (B, N) to logits (B, 2): falling, rising."""

    def __init__(self, cfg: DummyConfig) -> None:
        super().__init__()
        self.mel = LogMel(cfg.data.rate_hz, n_mels=cfg.model.mels, n_fft=256, hop=80, win=200, center=False, floor=1e-4)
        self.conv = nn.Conv1d(cfg.model.mels, cfg.model.width, 9)
        self.head = nn.Linear(cfg.model.width, 2)

    def forward(self, wave: Tensor, lengths: Tensor) -> Tensor:
        """Give logits (B, 2) of waves (B, N) with valid samples (B,)."""
        features = (self.mel(wave, lengths) + 4.0) / 3.0  # (B, T, F); the middle and spread of log-mels of such tones
        hidden = self.conv(features.transpose(1, 2)).relu()  # (B, D, T')
        frames = torch.as_tensor(self.mel.frames(lengths)) - self.conv.kernel_size[0] + 1
        mask = torch.arange(hidden.shape[2]) < frames[:, None]
        mean = (hidden * mask[:, None]).sum(2) / mask.sum(1)[:, None]
        logits: Tensor = self.head(mean)
        return logits


def padded(waves: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Put waves (T,) into one batch; give it with the lengths."""
    return nn.utils.rnn.pad_sequence(waves, batch_first=True), torch.tensor([len(wave) for wave in waves])


@torch.no_grad()
def probabilities(model: nn.Module, waves: list[np.ndarray]) -> np.ndarray:
    """Give the probability of rising for each wave, (N,); one at a time, so that mates cannot matter."""
    logits = [model(torch.from_numpy(wave)[None], torch.tensor([len(wave)]))[0] for wave in waves]
    return np.asarray(torch.stack(logits).softmax(dim=1)[:, 1])
