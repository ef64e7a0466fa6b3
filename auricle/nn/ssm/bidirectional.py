"""Two causal mixers, one on the frames and one on the reversed frames: the dual-branch baselines."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from auricle.core.errors import ConfigError
from auricle.nn.ssm.mixer import Mixer


class Bidirectional(Mixer):
    """Run two unshared mixers in opposite directions and join their outputs.

    Args:
        d_model: width D.
        make: builds one causal mixer of this width, such as `lambda: Mamba(d_model)`; called twice.
        join: `add` sums the outputs, `concat` joins them and projects back to D.

    Raises:
        ConfigError: unknown join.
    """

    forms: ClassVar[tuple[str, ...]] = ("recurrent", "dual", "chunked")

    def __init__(self, d_model: int, make: Callable[[], Mixer], join: Literal["add", "concat"] = "add") -> None:
        super().__init__(d_model)
        if join not in ("add", "concat"):
            raise ConfigError(f"directions are joined by 'add' or 'concat', got {join!r}")
        self.ahead, self.behind = make(), make()
        # Our choice: no bias, as in the mixers' own projections.
        self.join = nn.Linear(2 * d_model, d_model, bias=False) if join == "concat" else None

    def auto_form(self, frames: int) -> str:
        """Leave it to the mixers."""
        return self.ahead.auto_form(frames)

    def mix(self, u: Tensor, mask: Tensor | None, form: str) -> Tensor:
        """Compute both directions; see `Mixer.forward`."""
        if form not in self.ahead.forms:
            raise ConfigError(f"{type(self.ahead).__name__} has the forms {self.ahead.forms}, got {form!r}")
        # Reversal puts the padding first; the mixers let it pass without a trace.
        ahead = self.ahead.mix(u, mask, form)
        behind = self.behind.mix(u.flip(1), None if mask is None else mask.flip(1), form).flip(1)
        if self.join is None:
            return ahead + behind
        out: Tensor = self.join(torch.cat([ahead, behind], dim=-1))
        return out
