"""Settings of `unisrcodec`. FOUND values are the paper's or its reviews'; the others say why they are so."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from auricle.core.config import Config
from auricle.train.recipe import Recipe

STRIDES = {"B": (2, 2, 4), "L": (2, 2, 2)}  # FOUND for B; L's are inferred from its rate


class ModelConfig(Config):
    """Encoder, codebook, decoder. The mel is BigVGAN-v2's 44.1 kHz one and cannot be set."""

    variant: Literal["B", "L"] = "B"
    channels: tuple[int, int, int] = (128, 256, 512)  # FOUND
    blocks: int = Field(2, ge=1)  # residual blocks a level; UNKNOWN, 2 gives about the size that fits the paper
    groups: int = Field(32, ge=1)
    dim: int = Field(8, ge=1)  # of a latent; UNKNOWN
    quantizer: Literal["simvq", "vq", "ema", "fsq", "lfq"] = "simvq"
    codes: int = Field(8192, ge=2)  # inferred from 40 tokens and 0.52 kbit a second
    stages: int = Field(1, ge=1)  # above 1, residual
    beta: float = Field(0.25, ge=0)
    # a linear map of patches beside the convolutions; not in the paper, lets small runs begin sooner
    linear: bool = False
    discriminator: int = Field(32, ge=1)  # channels

    @property
    def strides(self) -> tuple[int, int, int]:
        """Strides of the levels."""
        return STRIDES[self.variant]

    @property
    def step(self) -> int:
        """Frames of a column of tokens, and bands of a token."""
        first, second, third = self.strides
        return first * second * third

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if any(count < 1 or count % self.groups for count in self.channels):
            raise ValueError(f"channels {self.channels} must be multiples of groups {self.groups}, each at least that")
        return self


class DataConfig(Config):
    """Recordings of three kinds, split by source."""

    source: str = "embedded"  # a corpus: embedded or rec
    split: int = Field(0, ge=0)  # which sources train, tune and test; another number is another draw
    longest_s: float = Field(10.0, gt=0.5)  # of a recording
    shortest_s: float = Field(0.1, ge=0.1)
    minutes: float = Field(6.0, gt=0)  # of each kind at most, drawn at random
    band_hz: float = Field(20_000.0, gt=0)  # what reaches it 60 dB under its strongest band passes the screen


class TrainConfig(Recipe):
    """The recipe. UNKNOWN in the paper but for the weights of the halves; the choices of the nearest relatives."""

    lr: float = Field(1e-4, gt=0)
    betas: tuple[float, float] = (0.8, 0.99)
    weight_decay: float = Field(0.01, ge=0)
    warmup_fraction: float = Field(0.005, ge=0, lt=1)
    final_lr_fraction: float = Field(0.01, ge=0, le=1)
    max_steps: int = Field(200_000, ge=1)
    eval_every: int = Field(2000, ge=1)
    save_every: int = Field(2000, ge=1)
    frames: int = Field(128, ge=16)  # of a cut: 65,536 samples, FOUND
    batch: int = Field(32, ge=1)
    low: float = Field(2.0, ge=0)  # FOUND: weight of the bands below the middle
    high: float = Field(1.0, ge=0)  # FOUND: and above
    adversarial: float = Field(0.1, ge=0)  # 0 trains without the discriminator
    feature: float = Field(2.0, ge=0)
    adversarial_after: int = Field(5000, ge=0)  # steps of reconstruction alone before it
    commit: float = Field(1.0, ge=0)  # weight of the quantiser's own losses; beta stands in the model
    average: float = Field(0.999, ge=0, lt=1)  # of the running mean of the weights
    # UNKNOWN. moments: the codebook gets mean and covariance of the fresh encoder's latents; components: the linear
    # paths begin as principal components and the codebook as k-means centres, so that a run begins as PCA + VQ
    begin: Literal["moments", "components"] = "moments"


class EvalConfig(Config):
    """What is measured and how."""

    seconds: float = Field(60.0, gt=0)  # of each kind at most
    griffin_lim: int = Field(32, ge=1)  # iterations
    bootstrap: int = Field(1000, ge=100)
    pca_dims: int = Field(32, ge=1)  # of the PCA + VQ reference
    vocoder: str | None = None  # folder of BigVGAN-v2 or of `auricle codec vocoder`; null: Griffin-Lim
    visqol_files: int = Field(12, ge=0)  # speech recordings that ViSQOL judges at most, a second or two each
    wer_files: int = Field(20, ge=0)  # English speech recordings that Whisper writes down at most, by every codec
    peers: tuple[str, ...] = ()  # other codecs: [NAME=]FOLDER[@CODEBOOKS] of a Transformers codec or of decoded files

    @field_validator("peers", mode="before")
    @classmethod
    def _one_is_a_list_too(cls, value: Any) -> Any:
        return (value,) if isinstance(value, str) else value


class CodecConfig(Config):
    """Everything that decides a run."""

    seed: int = 0
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()

    @model_validator(mode="after")
    def _fits(self) -> CodecConfig:
        if self.train.frames % self.model.step:
            raise ValueError(f"train.frames is {self.train.frames}; it must be a multiple of {self.model.step}")
        if self.train.begin == "components" and not self.model.linear:
            raise ValueError("train.begin=components sets linear paths; give model.linear=true as well")
        return self

    def ignored(self) -> dict[str, str]:
        """Name the settings that decide nothing beside the others, each with the reason."""
        found: dict[str, str] = {}
        if not self.train.adversarial:
            reason = "with train.adversarial=0 there is no discriminator"
            found |= dict.fromkeys(("model.discriminator", "train.feature", "train.adversarial_after"), reason)
        if self.eval.vocoder is not None:
            found["eval.griffin_lim"] = "eval.vocoder stands in the place of Griffin-Lim"
        if self.model.quantizer == "fsq":
            reason = "model.quantizer=fsq has no losses of its own"
            found |= dict.fromkeys(("model.beta", "train.commit"), reason)
        return found


def paper() -> CodecConfig:
    """Variant B at the published sizes; ``model.variant=L`` is the other one."""
    return CodecConfig()


def laptop() -> CodecConfig:
    """The published token grid with a small network, trained in minutes on two cores."""
    return CodecConfig(
        model=ModelConfig(channels=(16, 32, 64), groups=8, codes=1024, dim=32, linear=True, discriminator=8),
        train=TrainConfig(
            lr=2e-3,
            warmup_fraction=0.05,
            max_steps=2500,
            eval_every=500,
            save_every=500,
            frames=64,
            batch=8,
            low=1.5,  # the same sum as the paper's; which ratio is better is a claim, not a given
            high=1.5,
            adversarial=0.0,
            average=0.99,
            begin="components",
        ),
        eval=EvalConfig(seconds=40.0),
    )


def smoke() -> CodecConfig:
    """The same path in seconds, discriminator included."""
    return CodecConfig(
        model=ModelConfig(channels=(4, 4, 8), groups=4, codes=64, linear=True, discriminator=2),
        data=DataConfig(longest_s=1.0, minutes=0.15),
        train=TrainConfig(
            lr=5e-3,
            warmup_fraction=0.05,
            max_steps=16,
            eval_every=8,
            save_every=8,
            frames=32,
            batch=4,
            adversarial_after=8,
            average=0.9,
            begin="components",
        ),
        eval=EvalConfig(seconds=1.5, griffin_lim=2, bootstrap=100, pca_dims=4, visqol_files=1, wer_files=0),
    )


PRESETS = {"smoke": smoke, "laptop": laptop, "paper": paper}
