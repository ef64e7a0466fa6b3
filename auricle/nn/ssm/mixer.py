"""What all state-space mixers share: shapes, masks and the choice of a form."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError
from auricle.nn.masking import check_frames, zero_masked

Form = Literal["auto", "recurrent", "dual", "chunked"]


class Mixer(nn.Module):
    """A layer that mixes frames along time, in one of several equal forms.

    Padded frames may stand before or after the valid ones. They contribute nothing and come out as zero.

    Args:
        d_model: width D.

    Raises:
        ConfigError: D below 1.
    """

    forms: ClassVar[tuple[str, ...]] = ()

    def __init__(self, d_model: int) -> None:
        super().__init__()
        if d_model < 1:
            raise ConfigError(f"d_model must be at least 1, got {d_model}")
        self.d_model = d_model

    def auto_form(self, frames: int) -> str:
        """Name the form that is fastest on a CPU for this many frames."""
        raise NotImplementedError

    def mix(self, u: Tensor, mask: Tensor | None, form: str) -> Tensor:
        """Compute the layer on checked input whose padded frames are zero."""
        raise NotImplementedError

    def begin(self, batch: int) -> Stream:
        """Give what the mixer remembers before the first frame of `batch` streams.

        Raises:
            ConfigError: the mixer is not causal.
        """
        raise ConfigError(f"{type(self).__name__} is not causal: it cannot go frame by frame")

    def step(self, u: Tensor, stream: Stream) -> tuple[Tensor, Stream]:
        """Mix one more frame of each stream; frame by frame it gives what `forward` gives for the whole.

        Args:
            u: the frame, (B, D).
            stream: from `begin`, then from the last step.

        Returns:
            The mixed frame (B, D), and what to give to the next step.

        Raises:
            ConfigError: the mixer is not causal.
        """
        raise ConfigError(f"{type(self).__name__} is not causal: it cannot go frame by frame")

    def forward(self, u: Tensor, mask: Tensor | None = None, form: Form = "auto") -> Tensor:
        """Mix frames along time.

        Args:
            u: (B, T, D).
            mask: (B, T) bool, True where valid; None when all are.
            form: which of the equal forms to compute; `auto` chooses by length.

        Returns:
            (B, T, D), zero at padded frames.

        Raises:
            ConfigError: the mixer does not have this form.
            DataError: shapes do not fit.
        """
        name = type(self).__name__
        if form != "auto" and form not in self.forms:
            raise ConfigError(f"{name} has the forms 'auto', {', '.join(map(repr, self.forms))}, got {form!r}")
        check_frames(u, self.d_model, mask, name)
        chosen = self.auto_form(u.shape[1]) if form == "auto" else form
        return zero_masked(self.mix(zero_masked(u, mask), mask, chosen), mask)


class Stream(NamedTuple):
    """What a causal mixer remembers of a stream, of the same size however long the stream is.

    Attributes:
        past: frames that the convolution still sees, (B, taps - 1, channels).
        memory: the scan's state, (B, ...).
    """

    past: Tensor
    memory: Tensor


def undecayed(values: Tensor) -> nn.Parameter:
    """Make a parameter that optimisers must leave out of weight decay (attribute `_no_weight_decay`)."""
    parameter = nn.Parameter(values)
    parameter._no_weight_decay = True  # type: ignore[attr-defined]
    return parameter


def time_step_bias(count: int, shortest: float = 1e-3, longest: float = 1e-1, floor: float = 1e-4) -> Tensor:
    """Draw biases whose softplus is log-uniform (Gu and Dao 2023, section 3.6).

    Args:
        count: how many.
        shortest: lower end of the time step.
        longest: upper end of the time step.
        floor: no step is shorter than this.

    Returns:
        (count,) values b with softplus(b) in [shortest, longest].
    """
    span = math.log(longest) - math.log(shortest)
    step = torch.exp(torch.rand(count) * span + math.log(shortest)).clamp(min=floor)
    # Inverse of softplus without overflow: step + log(1 - exp(-step)).
    return step + torch.log(-torch.expm1(-step))


def split(x: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
    """Cut the last axis into parts of these sizes, without a copy."""
    return torch.split(x, sizes, dim=-1)


def project(linear: nn.Linear, u: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
    """Apply a linear layer without bias part by part, so that every part lies together in memory.

    Cutting the whole product instead would make the backward pass glue its gradient together, at the cost of a copy.

    Args:
        linear: its output rows are the parts.
        u: (B, T, D).
        sizes: widths of the parts.

    Returns:
        (B, T, size) of each part.
    """
    return tuple(F.linear(u, weight) for weight in torch.split(linear.weight, sizes))


def per_head(x: Tensor, heads: int) -> Tensor:
    """View (B, T, H P) as (B, T, H, P)."""
    return x.view(*x.shape[:-1], heads, -1)


def inner_heads(name: str, inner: int, head_dim: int) -> int:
    """Number of heads of `head_dim` in `inner` channels.

    Raises:
        ConfigError: they do not divide.
    """
    if head_dim < 1 or inner % head_dim:
        raise ConfigError(
            f"{name}: the inner width {inner} (expand x d_model) must be a multiple of head_dim, got {head_dim}"
        )
    return inner // head_dim
