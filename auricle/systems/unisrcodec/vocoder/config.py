"""Settings of the vocoder."""

from __future__ import annotations

from pydantic import Field

from auricle.core.config import Config
from auricle.systems.unisrcodec.config import CodecConfig, DataConfig
from auricle.train.recipe import Recipe


class VocoderModel(Config):
    """Sizes. Vocos itself has 512 channels, 8 blocks of kernel 7 and factor 3, and 13.5 M weights."""

    dim: int = Field(128, ge=1)
    blocks: int = Field(4, ge=1)
    kernel: int = Field(7, ge=1)  # odd
    expand: int = Field(3, ge=1)  # hidden channels of a block, in `dim`


class VocoderTrain(Recipe):
    """The recipe: multi-scale log-mel L1 alone. Vocos adds discriminators, which minutes on two cores cannot feed."""

    lr: float = Field(3e-3, gt=0)
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = Field(0.01, ge=0)
    warmup_fraction: float = Field(0.05, ge=0, lt=1)
    final_lr_fraction: float = Field(0.01, ge=0, le=1)
    max_steps: int = Field(1500, ge=1)
    eval_every: int = Field(150, ge=1)
    save_every: int = Field(150, ge=1)
    frames: int = Field(64, ge=8)  # of a cut; 11.6 ms each
    batch: int = Field(4, ge=1)
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

    @property
    def of_codec(self) -> CodecConfig:
        """The config of a codec on the same recordings."""
        return CodecConfig(seed=self.seed, data=self.data)


def laptop() -> VocoderConfig:
    """Minutes on two cores."""
    return VocoderConfig()


def smoke() -> VocoderConfig:
    """The same path in seconds."""
    return VocoderConfig(
        data=DataConfig(longest_s=1.0, minutes=0.15),
        model=VocoderModel(dim=16, blocks=1),
        train=VocoderTrain(max_steps=8, eval_every=4, save_every=4, frames=16, batch=2, dev_seconds=1.0),
        eval=VocoderEval(seconds=1.5, griffin_lim=2, bootstrap=100),
    )


PRESETS = {"smoke": smoke, "laptop": laptop}
