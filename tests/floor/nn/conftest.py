"""The exactness contract, as one function for all tests of this folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, nn

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


@pytest.fixture(scope="session")
def agree() -> Callable[..., None]:
    """Assert max|a - b| <= tol * max(1, max|b|) for tensors or lists of them."""

    def check(a: Tensor | Sequence[Tensor], b: Tensor | Sequence[Tensor], tol: float | None = None) -> None:
        if isinstance(a, Tensor):
            a, b = [a], [b]
        assert len(a) == len(b)
        for index, (left, right) in enumerate(zip(a, b, strict=True)):
            assert left.shape == right.shape
            limit = (TOLERANCE[right.dtype] if tol is None else tol) * max(1.0, right.abs().max().item())
            worst = (left - right).abs().max().item()
            assert worst <= limit, f"tensor {index}: {worst:.2e} > {limit:.2e}"

    return check


@pytest.fixture
def run() -> Callable[..., list[Tensor]]:
    """Output of a mixer and the gradients of its input and of every parameter, under one fixed upstream gradient."""

    def compute(module: nn.Module, u: Tensor, **options: object) -> list[Tensor]:
        u = u.detach().requires_grad_()
        out = module(u, **options)
        upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(7)).to(out.dtype)
        return [out.detach(), *torch.autograd.grad(out, [u, *module.parameters()], upstream)]

    return compute
