"""A small trainable vocoder in the manner of Vocos (Siuzdak, 2306.00814): frames in, frames of an STFT out.

ConvNeXt blocks work at the rate of the mel's frames; the head gives a log-magnitude and a phase for every bin, and the
inverse STFT gives the samples. Unlike Vocos, the log-magnitude is a correction of what mel inversion gives, so that
minutes of training go into phase and detail.
"""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch import Tensor, nn

from auricle.audio.mel_inverse import magnitude_from_mel
from auricle.audio.transform import istft
from auricle.audio.vocoder_mel import MelContract, VocoderMel
from auricle.core.config import Config, parse
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.run import RunFolder
from auricle.systems.unisrcodec.config import DataConfig
from auricle.train.checkpoint import load_model, read_meta

SYSTEM = "unisrcodec_vocoder"
FINAL = "final"
EMBED = 3  # frames of the first convolution
LOUDEST = 8.0  # greatest log-magnitude; a wave within [-1, 1] has at most ln(n_fft / 2) = 6.9
OFFSET, SCALE = 5.0, 3.0  # log-mels of about -11.5 to 2 become numbers around 0


class VocoderModel(Config):
    """Sizes. Vocos itself has 512 channels, 8 blocks of kernel 7 and factor 3, and 13.5 M weights."""

    dim: int = Field(128, ge=1)
    blocks: int = Field(4, ge=1)
    kernel: int = Field(7, ge=1)  # odd
    expand: int = Field(3, ge=1)  # hidden channels of a block, in `dim`


class VocoderTrain(Config):
    """The recipe: multi-scale log-mel L1 alone. Vocos adds discriminators, which minutes on two cores cannot feed."""

    frames: int = Field(64, ge=8)  # of a cut; 11.6 ms each
    batch: int = Field(4, ge=1)
    max_steps: int = Field(1500, ge=1)
    eval_every: int = Field(150, ge=1)
    save_every: int = Field(150, ge=1)
    lr: float = Field(3e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(0.01, ge=0)
    warmup_fraction: float = Field(0.05, ge=0, lt=1)
    dev_seconds: float = Field(20.0, gt=0)  # of each kind at most


class VocoderEval(Config):
    """What it is measured on, and beside what."""

    seconds: float = Field(40.0, gt=0)  # of each kind at most
    griffin_lim: int = Field(32, ge=1)  # iterations of the other vocoder
    bootstrap: int = Field(1000, ge=100)


class VocoderConfig(Config):
    """Everything that decides a run of `auricle codec vocoder`."""

    seed: int = 0
    codec: str | None = None  # run folder of a codec: half of the training is then on mels that it has decoded
    data: DataConfig = DataConfig()
    model: VocoderModel = VocoderModel()
    train: VocoderTrain = VocoderTrain()
    eval: VocoderEval = VocoderEval()


def laptop() -> VocoderConfig:
    """Minutes on two cores."""
    return VocoderConfig()


def smoke() -> VocoderConfig:
    """The same path in seconds."""
    return VocoderConfig(
        data=DataConfig(longest_s=1.0, minutes=0.15),
        model=VocoderModel(dim=16, blocks=1),
        train=VocoderTrain(frames=16, batch=2, max_steps=8, eval_every=4, save_every=4, dev_seconds=1.0),
        eval=VocoderEval(seconds=1.5, griffin_lim=2, bootstrap=100),
    )


PRESETS = {"smoke": smoke, "laptop": laptop}


class Block(nn.Module):
    """A ConvNeXt block over time: depth-wise convolution, norm over channels, two linear maps, a scaled residual."""

    def __init__(self, dim: int, kernel: int, expand: int, scale: float) -> None:
        """Build.

        Args:
            dim: channels.
            kernel: frames of the convolution, odd.
            expand: hidden channels, in `dim`.
            scale: of the residual at the start.
        """
        super().__init__()
        self.mix = nn.Conv1d(dim, dim, kernel, padding=kernel // 2, groups=dim)
        self.norm = nn.LayerNorm(dim)
        self.up, self.down = nn.Linear(dim, expand * dim), nn.Linear(expand * dim, dim)
        self.gain = nn.Parameter(torch.full((dim,), scale))

    def forward(self, x: Tensor) -> Tensor:
        """Give (B, T, D) for (B, T, D)."""
        hidden = self.norm(self.mix(x.transpose(1, 2)).transpose(1, 2))
        out: Tensor = x + self.gain * self.down(nn.functional.gelu(self.up(hidden)))
        return out


class Vocoder(nn.Module):
    """Log-mels of `VocoderMel` to samples. Nothing is pooled over time: a frame depends on `reach` frames a side."""

    filters: Tensor

    def __init__(self, config: VocoderModel | None = None, contract: MelContract | None = None) -> None:
        """Build with fresh weights.

        Args:
            config: sizes.
            contract: the mel; BigVGAN-v2's 44.1 kHz one by default.

        Raises:
            ConfigError: an even kernel.
        """
        super().__init__()
        config = config or VocoderModel()
        if config.kernel % 2 == 0:
            raise ConfigError(f"model.kernel is {config.kernel}; it must be odd, so that a frame stays in its place")
        mel = VocoderMel(contract)
        self.contract, self.cut = mel.contract, mel.reach
        bins = mel.contract.n_fft // 2 + 1
        bank = nn.functional.pad(mel.filters.T, (0, bins - mel.bins))
        self.register_buffer("filters", bank, persistent=False)
        self.embed = nn.Conv1d(mel.contract.n_mels, config.dim, EMBED, padding=EMBED // 2)
        self.first = nn.LayerNorm(config.dim)
        sizes = (config.dim, config.kernel, config.expand, 1 / config.blocks)
        self.blocks = nn.ModuleList(Block(*sizes) for _ in range(config.blocks))
        self.last = nn.LayerNorm(config.dim)
        self.loudness, self.phase = nn.Linear(config.dim, bins), nn.Linear(config.dim, bins)
        nn.init.zeros_(self.loudness.weight)  # begin with the magnitudes of mel inversion
        nn.init.zeros_(self.loudness.bias)
        nn.init.uniform_(self.phase.bias, -torch.pi, torch.pi)  # and no click where all bins agree
        # frames that a sample depends on: convolutions, and frames of the STFT that overlap it
        overlap = -(-mel.contract.n_fft // (2 * mel.contract.hop))
        self.reach = EMBED // 2 + config.blocks * (config.kernel // 2) + overlap

    def spectrum(self, mel: Tensor) -> Tensor:
        """Give the complex STFT, (B, T, n_fft // 2 + 1), of log-mels (B, T, n_mels)."""
        x = self.first(self.embed(((mel + OFFSET) / SCALE).transpose(1, 2)).transpose(1, 2))
        for block in self.blocks:
            x = block(x)
        x = self.last(x)
        with torch.no_grad():
            prior = magnitude_from_mel(mel.exp(), self.filters).clamp_min(1e-7).log()
        magnitude = (prior + self.loudness(x)).clamp_max(LOUDEST).exp()
        angle = self.phase(x)
        return torch.complex(magnitude * angle.cos(), magnitude * angle.sin())

    def forward(self, mel: Tensor) -> Tensor:
        """Make samples of a log-mel.

        Args:
            mel: (B, frames, n_mels).

        Returns:
            (B, frames * hop).
        """
        n_fft, hop = self.contract.n_fft, self.contract.hop
        # frame t is centred on t * hop + hop / 2, so without centring the clip begins (n_fft - hop) / 2 samples in
        wave = istft(self.spectrum(mel), n_fft, hop, center=False)
        return wave[:, self.cut : self.cut + hop * mel.shape[1]]


def is_run(folder: str | Path) -> bool:
    """Say whether a folder is a run of `auricle codec vocoder`."""
    try:
        return bool(RunFolder(Path(folder)).saved_config()["system"] == SYSTEM)
    except CheckpointError:
        return False


def about(contract: MelContract) -> dict[str, Any]:
    """Give what stands beside a vocoder's weights: whose they are and the mel that they read."""
    return {"system": SYSTEM, "contract": asdict(contract)}


def load(folder: str | Path) -> tuple[Vocoder, MelContract]:
    """Load the vocoder of a run of `auricle codec vocoder`.

    Returns:
        The vocoder, and the mel it reads.

    Raises:
        CheckpointError: not such a run, an untrained or a damaged one.
    """
    run = RunFolder(Path(folder))
    saved = run.saved_config()
    if saved["system"] != SYSTEM:
        raise CheckpointError(f"{folder} is a run of '{saved['system']}', not of `auricle codec vocoder`")
    final = run.checkpoints / FINAL
    if not final.is_dir():
        raise CheckpointError(
            f"{folder} is not trained: there is no {final}; go on: auricle codec vocoder --run {folder}"
        )
    try:
        contract = MelContract(**read_meta(final)["contract"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{final} does not say which mel it reads ({error}); train it again") from None
    vocoder = Vocoder(parse(VocoderConfig, saved["config"]).model, contract)
    load_model(final, vocoder)
    return vocoder.eval(), contract
