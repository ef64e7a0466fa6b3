"""Settings of the artefact world of `ft_grpo`. The paper trains on four real corpora; all of these are our choice."""

from __future__ import annotations

from pydantic import Field, model_validator

from auricle.core.config import Config

TYPES = ("speech", "singing", "music", "sound")


class DataConfig(Config):
    """Four types of audio, half of the clips with artefacts of known place."""

    source: str = "embedded"  # a corpus (embedded, rec), or the path of a labelled manifest
    types: tuple[str, ...] = TYPES
    split: int = Field(0, ge=0)  # which voices, tracks and sounds train, tune and test; another number, another draw
    seed: int = 0  # draws of the data; kept apart from the run's seed
    train: int = Field(4000, ge=16)  # clips over all types, half of them fake
    dev: int = Field(400, ge=16)
    test: int = Field(1000, ge=16)
    weak: int = Field(400, ge=0)  # of the weak-artefact test set; half real
    hard: int = Field(96, ge=0)  # of the vocoded speech without a place; half real
    share_time: float = Field(0.5, ge=0, le=1)  # of the fakes with one artefact, those with one of time
    both: float = Field(0.3, ge=0, le=1)  # of the fakes, those with one of each domain
    strength: tuple[float, float] = (0.5, 1.0)
    weak_strength: tuple[float, float] = (0.15, 0.4)  # below all that was trained on
    hard_families: tuple[str, ...] = ("world", "griffin_lim", "lpc_pulse")
    codecs: tuple[str, ...] = ("none", "none", "mu_law", "g722")  # one a pair of real and fake; twice none is half
    room_snr_db: tuple[float, float] = (25.0, 40.0)  # pink noise before the artefact: pauses have a floor
    line_snr_db: tuple[float, float] = (50.0, 60.0)  # pink noise after it: no exact zeros
    spoiled: float = Field(0.0, ge=0, lt=1)  # share of training rationales that contradict the label (C5: 0.12)
    segment_s: float = Field(1.5, ge=1.5, le=1.5)  # the bins are eighths of it

    @model_validator(mode="after")
    def _fits(self) -> DataConfig:
        unknown = [name for name in self.types if name not in TYPES]
        if unknown or not self.types or len(set(self.types)) != len(self.types):
            raise ValueError(f"types {', '.join(self.types) or 'none'}; give some of {', '.join(TYPES)}, each once")
        if self.weak_strength[1] > self.strength[0]:
            raise ValueError(f"weak_strength {self.weak_strength} reaches into strength {self.strength}")
        return self
