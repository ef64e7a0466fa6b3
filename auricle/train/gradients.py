"""Gradients of one domain seen from another: inner products by part of a model, and what a step does to the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from auricle.core.errors import ConfigError, DataError
from auricle.nn.moe.experts import Experts
from auricle.nn.moe.router import Router

FloatArray = npt.NDArray[np.float64]
Part = Callable[[Mapping[str, Tensor]], Iterable[Tensor]]


class Influence(NamedTuple):
    """What a step on one domain does to the others.

    Attributes:
        domains: names in order.
        matrix: I(i -> j) at row i and column j; 1 on the diagonal.
        fall: by how much a step on domain i lowers its own loss, (D,).
    """

    domains: tuple[Any, ...]
    matrix: FloatArray
    fall: FloatArray


def whole(gradients: Mapping[str, Tensor]) -> Iterable[Tensor]:
    """Take all weights: the part of `gradient_products` that every model has.

    Args:
        gradients: by name of the parameter.
    """
    return gradients.values()


def expert_parts(model: nn.Module) -> dict[str, Part]:
    """Give the parts of a model with experts: ``all``, ``router``, ``experts``, ``expert 0`` ..., ``rest``.

    Args:
        model: holds one `auricle.nn.moe.router.Router` and one `auricle.nn.moe.experts.Experts` or more.

    Raises:
        ConfigError: it has none.
    """
    routers, experts = set(), set()
    count = 0
    for path, module in model.named_modules():
        names = {f"{path}.{name}" if path else name for name, _ in module.named_parameters(recurse=False)}
        if isinstance(module, Router):
            routers |= names
        elif isinstance(module, Experts):
            experts |= names
            count = max(count, len(module.into))
    if not routers or not experts:
        raise ConfigError("the model has no router and experts of auricle.nn.moe; give the parts by name instead")

    def among(names: set[str]) -> Part:
        return lambda gradients: [grad for name, grad in gradients.items() if name in names]

    def one(number: int) -> Part:
        return lambda gradients: [
            grad[number] for name, grad in gradients.items() if name in experts and number < len(grad)
        ]

    def rest(gradients: Mapping[str, Tensor]) -> Iterable[Tensor]:
        return [grad for name, grad in gradients.items() if name not in routers | experts]

    return {
        "all": whole,
        "router": among(routers),
        "experts": among(experts),
        **{f"expert {number}": one(number) for number in range(count)},
        "rest": rest,
    }


def gradient_products(
    model: nn.Module,
    loss: Callable[[Any], Tensor],
    batches: Iterable[Any],
    parts: Mapping[str, Part] | None = None,
) -> dict[str, FloatArray]:
    """Give the inner products of the gradients of batches, by part of the model.

    All gradients are held in main memory, B times the trainable weights, a part of them twice. The model's own
    gradients stay as they are, and so does its mode: put it in evaluation mode to leave dropout and noise out.

    Args:
        model: whose trainable weights are looked at: hand the adapter over for its weights only.
        loss: of one batch, a scalar mean over the batch; called once a batch.
        batches: disjoint, of equal size, each of one domain.
        parts: what is taken of the gradients by name; None takes ``all``. See `expert_parts`.

    Returns:
        By part (B, B) float64; a weight that a batch does not reach counts as zero.

    Raises:
        DataError: no batches, or a loss that is not finite or has no gradient.
        ConfigError: a model without trainable weights.
    """
    weights = _trainable(model)
    found = [
        dict(zip(weights, (grad.cpu() for grad in _gradients(loss(batch), list(weights.values()))), strict=True))
        for batch in batches
    ]
    if not found:
        raise DataError("no batches were given to compare the gradients of")
    chosen = {"all": whole} if parts is None else parts
    return {name: _products([_flat(part(gradients)) for gradients in found]) for name, part in chosen.items()}


def influence(model: nn.Module, losses: Mapping[Any, Callable[[], Tensor]], step: float) -> Influence:
    """Give I(i -> j) = (L_j(w) - L_j(w - step g_i)) / (L_i(w) - L_i(w - step g_i)).

    The paper (2601.02967) prints the scores without a formula; this is the natural reading. For small steps it is
    g_i . g_j / |g_i|^2. Negative: a step that helps domain i hurts domain j. The weights come back bit for bit.

    Args:
        model: whose trainable weights are moved.
        losses: of each domain, on batches that stay the same from call to call.
        step: length of the step along the gradient; small enough that the own loss falls.

    Raises:
        DataError: fewer than two domains, a loss that is not finite, or a step that does not lower the own loss.
        ConfigError: a step that is not above 0, or a model without trainable weights.
    """
    if len(losses) < 2:
        raise DataError(f"influence is between two or more domains, got {list(losses)}")
    if not step > 0:
        raise ConfigError(f"a step of {step}; give a length above 0")
    weights = list(_trainable(model).values())
    names = tuple(losses)
    before, falls = _values(losses), np.zeros((len(names), len(names)))
    for row, name in enumerate(names):
        grads = _gradients(losses[name](), weights)
        with _moved(weights, grads, step):
            falls[row] = before - _values(losses)
    own = falls.diagonal().copy()
    if not (own > 0).all():
        worst = names[int(own.argmin())]
        raise DataError(f"a step of {step} does not lower the loss of {worst!r} ({own.min():+.3g}); take a smaller one")
    return Influence(names, falls / own[:, None], own)


def _trainable(model: nn.Module) -> dict[str, Tensor]:
    named: dict[str, Tensor] = {name: one for name, one in model.named_parameters() if one.requires_grad}
    if not named:
        raise ConfigError("the model has no trainable weights to take gradients of")
    return named


def _gradients(loss: Tensor, weights: list[Tensor]) -> list[Tensor]:
    if loss.ndim or not bool(torch.isfinite(loss)) or not loss.requires_grad:
        raise DataError(f"a loss must be one finite number with a gradient, got {loss.detach()}")
    return [grad.detach() for grad in torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True)]


@torch.no_grad()
def _values(losses: Mapping[Any, Callable[[], Tensor]]) -> FloatArray:
    found = np.array([float(loss()) for loss in losses.values()])
    if not np.isfinite(found).all():
        raise DataError(f"losses by domain that are not finite: {dict(zip(losses, found.tolist(), strict=True))}")
    return found


@contextmanager
def _moved(weights: list[Tensor], grads: list[Tensor], step: float) -> Iterator[None]:
    """Go one step down inside the block, and back to the very same weights."""
    kept = [weight.detach().clone() for weight in weights]
    try:
        with torch.no_grad():
            for weight, grad in zip(weights, grads, strict=True):
                weight.sub_(grad, alpha=step)
        yield
    finally:
        with torch.no_grad():
            for weight, old in zip(weights, kept, strict=True):
                weight.copy_(old)


def _flat(pieces: Iterable[Tensor]) -> Tensor:
    return torch.cat([piece.flatten() for piece in pieces] or [torch.zeros(0)])


def _products(rows: list[Tensor]) -> FloatArray:
    """Inner products of rows (P,), summed in float64 a slab at a time."""
    total = np.zeros((len(rows), len(rows)))
    slab = 1 << 20
    for start in range(0, len(rows[0]), slab):
        block = torch.stack([row[start : start + slab] for row in rows]).double()
        total += (block @ block.T).numpy()
    return total
