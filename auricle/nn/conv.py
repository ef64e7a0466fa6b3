"""Depthwise convolution over time, causal or centred, on (B, T, C) features.

`nn.Conv1d(groups=C)` wants (B, C, T) and, on a CPU, spends most of its time in slow gradients. Here the features stay
(B, T, C), which is the channels-last layout of a 2-D convolution of height one; the gradient of the input is a
convolution again, with the filters reversed, and that of a tap is one product and one sum. Where the loops in C run,
the filter and the SiLU that follows it are one pass over memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from auricle.core.errors import ConfigError
from auricle.nn import native

# elements of a product in the gradient of a tap: few enough to stay in the processor's cache
_BLOCK = 1 << 18
# longest filter of the loops in C
_MOST_TAPS = 16


def _slide(x: Tensor, weight: Tensor, bias: Tensor | None, left: int) -> Tensor:
    """Filter (B, T, C), looking at `left` frames before each one; frames that are not there count as zeros."""
    pad = max(left, weight.shape[1] - 1 - left)
    image = x.unsqueeze(1).permute(0, 3, 1, 2)  # (B, C, 1, T), no copy
    out = F.conv2d(image, weight[:, None, None, :], bias, padding=(0, pad), groups=weight.shape[0])
    return out.permute(0, 2, 3, 1).squeeze(1)[:, pad - left : pad - left + x.shape[1]]


class _DepthwiseConv(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, left: int, silu: bool) -> Tensor:
        ctx.native = weight.shape[1] <= _MOST_TAPS and native.usable(x, weight, bias)
        ctx.left, ctx.silu = left, silu
        if ctx.native:
            x, weight = x.contiguous(), weight.contiguous()
            ctx.save_for_backward(x, weight, bias)
            out = torch.empty_like(x)
            native.call("depthwise_forward", out, x, weight, bias, *x.shape, weight.shape[1], left, silu)
            return out
        out = _slide(x, weight, bias, left)
        ctx.save_for_backward(x, weight, bias, out if silu else None)
        return F.silu(out) if silu else out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.native:
            return _native_backward(ctx, grads[0].contiguous())
        x, weight, bias, before = ctx.saved_tensors
        grad, frames, taps = grads[0], x.shape[1], weight.shape[1]
        if before is not None:
            grad = torch.ops.aten.silu_backward(grad, before)
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = _slide(grad, weight.flip(1), None, taps - 1 - ctx.left)
        if ctx.needs_input_grad[1]:
            grad_weight = torch.zeros_like(weight)
            some = max(1, _BLOCK // (frames * weight.shape[0]))
            for clips, grads_of in zip(torch.split(x, some), torch.split(grad, some), strict=True):
                for tap in range(taps):
                    late, early = max(0, ctx.left - tap), max(0, tap - ctx.left)
                    if late + early >= frames:
                        continue  # so short a clip never comes under this tap
                    product = clips[:, early : frames - late] * grads_of[:, late : frames - early]
                    grad_weight[:, tap] += product.sum((0, 1))
        if bias is not None and ctx.needs_input_grad[2]:
            grad_bias = grad.sum((0, 1))
        return grad_x, grad_weight, grad_bias, None, None


def _native_backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    x, weight, bias = ctx.saved_tensors
    grad_x = torch.empty_like(x)
    of_weight, of_bias = x.new_empty(len(x), *weight.shape), x.new_empty(len(x), len(weight))
    given = (grad_x, of_weight, of_bias, grad, x, weight, bias)
    native.call("depthwise_backward", *given, *x.shape, weight.shape[1], ctx.left, ctx.silu)
    return grad_x, of_weight.sum(0), None if bias is None else of_bias.sum(0), None, None


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
        # PyTorch's Conv1d default: uniform within 1 / sqrt(taps), since each filter sees one channel.
        bound = taps**-0.5
        self.weight = nn.Parameter(torch.empty(channels, taps).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(channels).uniform_(-bound, bound)) if bias else None

    def forward(self, x: Tensor, first: int = 0, silu: bool = False) -> Tensor:
        """Filter along time. Padded frames must already be zero.

        Args:
            x: (B, T, C), or fewer channels, of which the filters from `first` on are used.
            first: the first channel.
            silu: put the result through SiLU.

        Returns:
            As `x`, in its precision.
        """
        chosen = slice(first, first + x.shape[-1])
        bias = None if self.bias is None else self.bias[chosen].to(x.dtype)
        return _depthwise_conv(x, self.weight[chosen].to(x.dtype), bias, self.left, silu)

    def step(self, x: Tensor, past: Tensor) -> tuple[Tensor, Tensor]:
        """Filter one more frame, causal filters only.

        Args:
            x: the frame, (B, C).
            past: the frames before it, (B, taps - 1, C); zeros at the beginning.

        Returns:
            The filtered frame (B, C), and the past of the next one.

        Raises:
            ConfigError: a centred filter, which would have to know the future.
        """
        if self.left != self.weight.shape[1] - 1:
            raise ConfigError("a centred filter cannot go frame by frame: it looks at frames to come")
        seen = torch.cat([past, x.unsqueeze(1)], dim=1)
        out = torch.einsum("bkc,ck->bc", seen, self.weight.to(x.dtype))
        return (out if self.bias is None else out + self.bias.to(x.dtype)), seen[:, 1:]
