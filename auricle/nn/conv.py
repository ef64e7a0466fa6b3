"""Depthwise convolution over time, causal or centred, on (B, T, C) features.

`nn.Conv1d(groups=C)` wants (B, C, T) and, on a CPU, spends most of its time in a slow weight gradient. Here the
features stay (B, T, C), which is the channels-last layout of a 2-D convolution of height one, and the weight gradient
is one product and one sum per tap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from auricle.core.errors import ConfigError


def _as_image(x: Tensor) -> Tensor:
    return x.unsqueeze(1).permute(0, 3, 1, 2)  # (B, T, C) -> (B, C, 1, T), no copy


class _DepthwiseConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, left: int, right: int) -> Tensor:
        padded = F.pad(x, (0, 0, left, right))
        ctx.save_for_backward(padded, weight)
        ctx.left, ctx.frames, ctx.has_bias = left, x.shape[1], bias is not None
        out = F.conv2d(_as_image(padded), weight[:, None, None, :], bias, groups=weight.shape[0])
        return out.permute(0, 2, 3, 1).squeeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        padded, weight = ctx.saved_tensors
        grad = grads[0].contiguous()
        channels, taps = weight.shape
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_padded = torch.ops.aten.convolution_backward(
                _as_image(grad),
                _as_image(padded),
                weight[:, None, None, :],
                None,
                [1, 1],
                [0, 0],
                [1, 1],
                False,
                [0, 0],
                channels,
                [True, False, False],
            )[0]
            grad_x = grad_padded.permute(0, 2, 3, 1).squeeze(1)[:, ctx.left : ctx.left + ctx.frames]
        if ctx.needs_input_grad[1]:
            grad_weight = torch.empty_like(weight)
            product = torch.empty_like(grad)
            for tap in range(taps):
                torch.mul(padded[:, tap : tap + ctx.frames], grad, out=product)
                grad_weight[:, tap] = product.view(-1, channels).sum(0)
        if ctx.has_bias and ctx.needs_input_grad[2]:
            grad_bias = grad.view(-1, channels).sum(0)
        return grad_x, grad_weight, grad_bias, None, None


_depthwise_conv: Callable[..., Tensor] = _DepthwiseConv.apply


class DepthwiseConv(nn.Module):
    """One small filter per channel, sliding over time; the output is as long as the input.

    Args:
        channels: width C.
        taps: filter length k.
        mode: `causal` looks at the k - 1 frames before; `centred` at (k - 1) / 2 on either side (k odd).
        bias: add a bias per channel.

    Raises:
        ConfigError: an unknown mode, fewer than one tap, or an even centred filter.
    """

    def __init__(
        self, channels: int, taps: int, mode: Literal["causal", "centred"] = "causal", bias: bool = True
    ) -> None:
        super().__init__()
        if mode not in ("causal", "centred"):
            raise ConfigError(f"convolution mode is 'causal' or 'centred', got {mode!r}")
        if channels < 1 or taps < 1 or (mode == "centred" and taps % 2 == 0):
            raise ConfigError(
                f"a depthwise convolution needs channels >= 1 and taps >= 1 (odd when centred), "
                f"got channels={channels}, taps={taps}, mode={mode!r}"
            )
        self.left = taps - 1 if mode == "causal" else taps // 2
        self.right = taps - 1 - self.left
        # PyTorch's Conv1d default: uniform within 1 / sqrt(taps), since each filter sees one channel.
        bound = taps**-0.5
        self.weight = nn.Parameter(torch.empty(channels, taps).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Filter along time. Padded frames must already be zero.

        Args:
            x: (B, T, C).

        Returns:
            (B, T, C), in the precision of `x`.
        """
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return _depthwise_conv(x, self.weight.to(x.dtype), bias, self.left, self.right)
