"""Settings of the fake."""

from __future__ import annotations

from auricle.core.config import Config


class DataConfig(Config):
    """A file of lines."""

    source: str = "embedded"


class EvalConfig(Config):
    """A folder that only evaluation reads."""

    vocoder: str | None = None
    loudness: int = 1


class StepsConfig(Config):
    """Everything that decides a run."""

    seed: int = 0
    encoder: str | None = None
    data: DataConfig = DataConfig()
    eval: EvalConfig = EvalConfig()

    def ignored(self) -> dict[str, str]:
        """Name what decides nothing."""
        return {} if self.eval.vocoder is None else {"eval.loudness": "eval.vocoder has its own"}


PRESETS = {"smoke": StepsConfig, "laptop": StepsConfig}
