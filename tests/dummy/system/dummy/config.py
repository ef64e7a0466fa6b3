"""Settings of `dummy`; all of them are our choice."""

from __future__ import annotations

from pydantic import Field

from auricle.core.config import Config
from auricle.train.recipe import Recipe


class DataConfig(Config):
    """Tones that sweep up or down, in noise."""

    source: str = "sweeps"  # a world; there is no other
    rate_hz: int = Field(8000, ge=4000)
    seconds: float = Field(0.5, gt=0.1)
    train: int = Field(64, ge=4)
    dev: int = Field(16, ge=4)
    test: int = Field(40, ge=4)
    snr_db: float = 10.0
    workers: int = Field(1, ge=0)


class ModelConfig(Config):
    """A convolution over log-mel frames."""

    mels: int = Field(20, ge=4)
    width: int = Field(16, ge=4)


class TrainConfig(Recipe):
    """The recipe."""

    batch: int = Field(16, ge=2)


class EvalConfig(Config):
    """What is measured and how."""

    bootstrap: int = Field(200, ge=100)


class DummyConfig(Config):
    """Everything that decides a run."""

    seed: int = 0
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig(max_steps=60, eval_every=20, save_every=20, lr=1e-2)
    eval: EvalConfig = EvalConfig()


def paper() -> DummyConfig:
    """There is no paper: a wider network."""
    return DummyConfig(model=ModelConfig(mels=80, width=256))


def laptop() -> DummyConfig:
    """A second of training."""
    return DummyConfig()


def smoke() -> DummyConfig:
    """The same path with fewer tones."""
    return DummyConfig(
        data=DataConfig(train=32, test=24), train=TrainConfig(max_steps=40, eval_every=20, save_every=20, lr=1e-2)
    )


PRESETS = {"smoke": smoke, "laptop": laptop, "paper": paper}
