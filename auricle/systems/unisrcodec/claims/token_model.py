"""The small language model of claim 5: how many bits a token costs in an order, given the tokens before it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.seed import derive, rng
from auricle.train.checkpoint import load_model
from auricle.train.loop import fit
from auricle.train.recipe import Recipe
from auricle.train.seed import seed_everything

Order = Literal["frame", "band"]


class TokenModelConfig(Recipe):
    """Sizes and recipe."""

    renamed: ClassVar[Mapping[str, str]] = {"steps": "max_steps"}

    lr: float = Field(2e-3, gt=0)
    max_steps: int = Field(400, ge=1)
    eval_every: int = Field(50, ge=1)
    save_every: int = Field(400, ge=1)
    width: int = Field(64, ge=1)
    heads: int = Field(4, ge=1)
    layers: int = Field(2, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    columns: int = Field(8, ge=1)  # of a window, the whole context
    batch: int = Field(16, ge=1)


class TokenModel(nn.Module):
    """A causal transformer over the N tokens of a window; each position has its own embedding."""

    def __init__(self, cfg: TokenModelConfig, codes: int, positions: int) -> None:
        """Build.

        Args:
            cfg: its sizes.
            codes: number of codes K.
            positions: tokens of a window N.
        """
        super().__init__()
        self.codes = codes
        self.embed = nn.Embedding(codes + 1, cfg.width)  # the last one begins a window
        self.position = nn.Parameter(torch.randn(positions, cfg.width) * 0.02)
        layer = nn.TransformerEncoderLayer(
            cfg.width, cfg.heads, 4 * cfg.width, cfg.dropout, "gelu", batch_first=True, norm_first=True
        )
        self.layers = nn.TransformerEncoder(layer, cfg.layers, nn.LayerNorm(cfg.width), enable_nested_tensor=False)
        self.out = nn.Linear(cfg.width, codes)
        self.register_buffer("mask", nn.Transformer.generate_square_subsequent_mask(positions), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Give the mean cross entropy in nats of tokens (B, N), each from those before it."""
        before = torch.cat([torch.full_like(tokens[:, :1], self.codes), tokens[:, :-1]], dim=1)
        hidden = self.layers(self.embed(before) + self.position, self.get_buffer("mask"), is_causal=True)
        return F.cross_entropy(self.out(hidden).flatten(0, 1), tokens.flatten())


def ordered(window: Tensor, order: Order) -> Tensor:
    """Lay out windows (B, columns, rows) as sequences (B, columns * rows), column by column or row by row."""
    return (window if order == "frame" else window.transpose(1, 2)).flatten(1)


def windows(files: Sequence[Tensor], columns: int) -> Tensor:
    """Cut recordings' tokens (T', F') into windows side by side, (B, columns, F'); what is left over is left out."""
    whole = [tokens[: len(tokens) // columns * columns] for tokens in files if len(tokens) >= columns]
    return torch.cat([tokens.reshape(-1, columns, tokens.shape[1]) for tokens in whole])


def _batches(files: Sequence[Tensor], cfg: TokenModelConfig, seed: int) -> Callable[[int], Iterable[Tensor]]:
    """Make the function that gives an epoch's windows, which begin anywhere; both orders get the same ones."""
    long_enough = [tokens for tokens in files if len(tokens) >= cfg.columns]
    every = torch.cat([tokens.unfold(0, cfg.columns, 1).transpose(1, 2) for tokens in long_enough])

    def epoch(number: int) -> Iterable[Tensor]:
        order = torch.from_numpy(rng(seed, "windows", number).permutation(len(every)))
        return (every[chosen] for chosen in torch.split(order, cfg.batch))

    return epoch


def bits_per_token(
    cfg: TokenModelConfig,
    codes: int,
    parts: Mapping[str, Sequence[Tensor]],
    order: Order,
    seed: int,
    folder: Path,
) -> dict[str, float]:
    """Train on some recordings' tokens, stop by others', and measure on a third set.

    Args:
        cfg: sizes and recipe.
        codes: number of codes K.
        parts: the tokens (T', F') of the recordings of ``train``, ``dev`` and ``test``.
        order: in which tokens follow each other.
        seed: of weights and windows.
        folder: for checkpoints.

    Returns:
        ``bits`` a token on test; ``bits_unigram`` of the frequencies in train, add-one smoothed; ``tokens`` measured;
        ``parameters`` and ``steps``.
    """
    held = {part: windows(files, cfg.columns) for part, files in parts.items()}
    seed_everything(derive(seed, "token model"))
    model = TokenModel(cfg, codes, held["test"][0].numel())

    def step(model: nn.Module, window: Tensor) -> Mapping[str, Tensor]:
        return {"loss": model(ordered(window, order))}

    def evaluate(model: nn.Module, step: int) -> dict[str, float]:
        return {"dev_loss": _nats(model, held["dev"], order)}

    result = fit(
        model,
        step,
        _batches(parts["train"], cfg, derive(seed, "token model")),
        folder=folder,
        seed=seed,
        evaluate=evaluate,
        progress=False,
        **cfg.loop(),
    )
    load_model(result.best[0].path, model)
    counts = torch.bincount(held["train"].flatten(), minlength=codes).double() + 1
    unigram = -(counts / counts.sum()).log2()[held["test"].flatten()].mean()
    return {
        "bits": _nats(model, held["test"], order) / math.log(2),
        "bits_unigram": float(unigram),
        "tokens": held["test"].numel(),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "steps": result.step,
        "train_s": float(result.metrics["seconds"]),
    }


@torch.no_grad()
def _nats(model: nn.Module, held: Tensor, order: Order) -> float:
    """Give the mean nats a token of windows (B, columns, F')."""
    model.eval()
    parts = torch.split(held, 64)
    return sum(float(model(ordered(part, order))) * len(part) for part in parts) / len(held)
