"""The settings that every training has: the class that a system's own recipe inherits from."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from auricle.core.config import Config


class Recipe(Config):
    """Every ability of `auricle.train.loop.fit`, under one name in all systems; a system sets other defaults.

    What a system adds stands in its own class: batch, losses, augmentation.
    """

    lr: float = Field(1e-3, gt=0)  # peak
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = Field(0.05, ge=0)
    warmup_fraction: float = Field(0.1, ge=0, lt=1)
    final_lr_fraction: float = Field(0.1, ge=0, le=1)
    max_steps: int = Field(1000, ge=1)  # updates
    eval_every: int = Field(100, ge=1)
    save_every: int = Field(200, ge=1)
    keep_best: int = Field(1, ge=1)  # best checkpoints
    patience: int | None = Field(None, ge=1)  # evaluations without a gain; null goes on to the end
    accumulate: int = Field(1, ge=1)  # batches an update
    clip_norm: float | None = Field(1.0, gt=0)  # of the gradient; null does not clip
    mixed_precision: Literal["no", "bf16"] = "no"
    tensorboard: bool = False

    def loop(self, max_steps: int | None = None) -> dict[str, Any]:
        """Give the settings as arguments of `auricle.train.loop.fit`.

        Args:
            max_steps: other than the recipe's, for controls.
        """
        steps = max_steps or self.max_steps
        own: dict[str, Any] = {name: getattr(self, name) for name in Recipe.model_fields}
        return {**own, "max_steps": steps, "eval_every": min(self.eval_every, steps)}
