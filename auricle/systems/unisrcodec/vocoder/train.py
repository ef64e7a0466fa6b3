"""Training of the vocoder: pairs of a log-mel and its wave, and multi-scale log-mel L1 of the samples that it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from auricle.audio.distance import MEL_SCALES, mel_distance
from auricle.audio.spectral import LogMel
from auricle.audio.vocoder_mel import VocoderMel
from auricle.core.run import FINAL, RunFolder, is_main_process
from auricle.core.seed import derive
from auricle.systems.unisrcodec.data import Cuts, Recording, load, log_mel
from auricle.systems.unisrcodec.infer import Coder
from auricle.systems.unisrcodec.measures import sound
from auricle.systems.unisrcodec.train import step
from auricle.systems.unisrcodec.vocoder.config import VocoderConfig
from auricle.systems.unisrcodec.vocoder.load import about
from auricle.systems.unisrcodec.vocoder.network import Vocoder
from auricle.train.checkpoint import load_model, save_model
from auricle.train.loop import fit
from auricle.train.seed import seed_everything

REAL, DECODED = "", "decoded "  # begin the names of groups: mels of recordings, and what the codec makes of them


class MultiScaleMelLoss(nn.Module):
    """Mean over scales of the L1 between log-mels of two waves, with gradients: the measure that DAC trains with."""

    def __init__(self, rate_hz: int) -> None:
        """Fix the scales, those of `auricle.audio.distance.mel_distance`, for waves at a rate."""
        super().__init__()
        self.scales = nn.ModuleList(
            LogMel(rate_hz, bands, window, window // 4, None, power=1.0, floor=1e-5) for window, bands in MEL_SCALES
        )

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """Give the distance of waves (B, T), in natural logarithms."""
        return torch.stack([(mel(made) - mel(real)).abs().mean() for mel in self.scales]).mean()


class VocoderTraining(nn.Module):
    """The vocoder and its loss."""

    def __init__(self, cfg: VocoderConfig) -> None:
        """Build with the weights that the run's seed gives."""
        super().__init__()
        seed_everything(derive(cfg.seed, "weights"))
        self.vocoder = Vocoder(cfg.model)
        self.distance = MultiScaleMelLoss(self.vocoder.contract.rate_hz)

    def forward(self, rows: Tensor) -> dict[str, Tensor]:
        """Give the loss of frames (B, T, n_mels + hop): the log-mel of each frame and the samples of its hop."""
        bands = self.vocoder.contract.n_mels
        return {"loss": self.distance(self.vocoder(rows[..., :bands]), rows[..., bands:].flatten(1))}


@dataclass(frozen=True)
class Pair:
    """A mel and the wave that it should become.

    Attributes:
        recording: the original.
        origin: of the mel, `REAL` or `DECODED`.
        mel: (frames, n_mels).
    """

    recording: Recording
    origin: str
    mel: Tensor

    def rows(self, hop: int) -> Tensor:
        """Give each frame's log-mel and samples, (frames, n_mels + hop)."""
        wave = torch.from_numpy(np.pad(self.recording.wave, (0, len(self.mel) * hop - len(self.recording.wave))))
        return torch.cat([self.mel, wave.view(-1, hop)], dim=1)


@torch.no_grad()
def load_pairs(cfg: VocoderConfig, run: RunFolder, coder: Coder | None, part: str, seconds: float | None) -> list[Pair]:
    """Read recordings of a split with their mels, and with a codec once more with the mels it decodes."""
    front_end, pairs = VocoderMel(), []
    for clip in load(cfg.of_codec, run, part, seconds):
        mel = log_mel(front_end, clip.wave, 1 if coder is None else coder.codec.step)
        pairs.append(Pair(clip, REAL, mel))
        if coder is not None:
            pairs.append(Pair(clip, DECODED, coder.codec(mel[None]).mel[0]))
    return pairs


def train(cfg: VocoderConfig, run: RunFolder, coder: Coder | None = None) -> Path:
    """Train the vocoder of a run on its prepared recordings, and on what a codec decodes of them.

    Returns:
        The folder of the final checkpoint: the weights that were best on dev.

    Raises:
        DataError: nothing was prepared, or recordings cannot be read.
    """
    training = VocoderTraining(cfg)
    contract, recipe = training.vocoder.contract, cfg.train
    pairs = load_pairs(cfg, run, coder, "train", None)
    dev = load_pairs(cfg, run, coder, "dev", recipe.dev_seconds)
    rows = [pair.rows(contract.hop) for pair in pairs]
    kinds = [pair.origin + pair.recording.kind for pair in pairs]
    result = fit(
        training,
        step,
        Cuts(rows, kinds, recipe.frames, recipe.batch, derive(cfg.seed, "cuts")),
        folder=run.path,
        seed=cfg.seed,
        evaluate=partial(dev_metrics, dev),
        monitor="dev_mel_distance",
        meta=about(contract),
        **recipe.loop(),
    )
    if is_main_process():
        load_model(result.best[0].path, training)
        save_model(run.checkpoints / FINAL, training.vocoder, about(contract))
    return run.checkpoints / FINAL


def dev_metrics(dev: Sequence[Pair], model: nn.Module, step: int) -> dict[str, float]:
    """Measure the mean mel distance of dev recordings at 44.1 kHz."""
    assert isinstance(model, VocoderTraining)
    rate_hz = model.vocoder.contract.rate_hz
    waves = [(sound(model.vocoder, pair.mel, len(pair.recording.wave)), pair.recording.wave) for pair in dev]
    return {"dev_mel_distance": float(np.mean([mel_distance(made, real, rate_hz) for made, real in waves]))}
