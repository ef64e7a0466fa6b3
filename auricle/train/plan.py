"""The settings of a training run: checked, and compared with those of a run to be resumed."""

from __future__ import annotations

import dataclasses
from typing import Any

from auricle.core.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Plan:
    """The arguments of `fit` that are numbers or names."""

    max_steps: int
    lr: float
    betas: tuple[float, float]
    weight_decay: float
    warmup_fraction: float
    final_lr_fraction: float
    accumulate: int
    clip_norm: float | None
    eval_every: int
    monitor: str
    mode: str
    patience: int | None
    keep_best: int
    save_every: int
    seed: int
    mixed_precision: str

    def __post_init__(self) -> None:
        """Refuse what cannot be meant."""
        for name in ("max_steps", "accumulate", "eval_every", "keep_best", "save_every"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.patience is not None and self.patience < 1:
            raise ConfigError(f"patience is {self.patience}; give at least 1 evaluation, or None for no early stop")
        if not 0 <= self.warmup_fraction < 1 or not 0 <= self.final_lr_fraction <= 1:
            raise ConfigError(
                f"warmup_fraction is {self.warmup_fraction} and final_lr_fraction {self.final_lr_fraction}; "
                "the first must be in [0, 1), the second in [0, 1]"
            )
        if self.lr <= 0 or (self.clip_norm is not None and self.clip_norm <= 0):
            raise ConfigError(
                f"lr is {self.lr} and clip_norm {self.clip_norm}; both must be above 0 (clip_norm or None)"
            )
        if self.mode not in {"min", "max"}:
            raise ConfigError(f"mode is {self.mode!r}; use 'min' or 'max'")
        if self.mixed_precision not in {"no", "bf16"}:
            # float16 would need loss scaling, and bfloat16 runs wherever Auricle does
            raise ConfigError(f"mixed_precision is {self.mixed_precision!r}; use 'no' or 'bf16'")

    def settings(self, processes: int) -> dict[str, Any]:
        """Give what a resumed run must share with the run it goes on with, to come to the same numbers."""
        values = dataclasses.asdict(self)
        del values["save_every"]
        values["betas"] = list(self.betas)
        values["accumulate"] = self.accumulate * processes
        return values
