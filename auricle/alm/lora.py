"""Low-rank adaptation through PEFT: wrap, switch off for the reference, merge."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from auricle.core.errors import ConfigError
from auricle.core.extras import require

PURPOSE = "LoRA"


def add_lora(
    model: Any,
    *,
    rank: int = 64,
    alpha: float = 16.0,
    seed: int = 0,
    targets: Sequence[str] | None = None,
    whole: Sequence[str] = (),
) -> Any:
    """Put LoRA on the linear layers of a model; all else is frozen.

    There is no LoRA dropout: the policy that samples and the one that is trained would otherwise differ.

    Args:
        model: of Transformers; its layers are changed in place.
        rank: r; the released FT-GRPO scripts have 64.
        alpha: the update is scaled by ``alpha / rank``; 16 there.
        seed: of the fresh weights; the global generator is left as it was.
        targets: ends of the names of the linear layers; None takes all but the output layer.
        whole: parts that are trained as they are, without LoRA, such as a fresh ``encoder`` and ``projector`` under a
            language model that can speak. `reference` does not undo their training, and PEFT's own save_pretrained
            leaves them out: `merge` first.

    Returns:
        The model inside PEFT; only its LoRA weights and the whole parts are trainable, and it gives what the model
        gave.

    Raises:
        ConfigError: no linear layer has such a name, or the model has no such part.
        MissingExtra: PEFT is not installed.
    """
    peft = require("peft", "hf", PURPOSE)
    head = model.get_output_embeddings()
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear) and module is not head]
    if lacking := [part for part in whole if part not in dict(model.named_children())]:
        raise ConfigError(f"{type(model).__name__} has no part {lacking[0]!r} to be trained whole")
    linear = [name for name in linear if name.split(".")[0] not in whole]
    if targets is not None:
        linear = [name for name in linear if name.endswith(tuple(targets))]
    if not linear:
        raise ConfigError(f"no linear layer of {type(model).__name__} has a name that ends in {targets}")
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=linear, bias="none")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        wrapped = peft.get_peft_model(model, config)
    for part in whole:
        getattr(wrapped.get_base_model(), part).requires_grad_(True)
    return wrapped


@contextlib.contextmanager
def reference(model: Any) -> Iterator[None]:
    """Switch LoRA off for a while, without gradients: the model is then the one it was put on.

    Raises:
        ConfigError: the model has no LoRA.
    """
    if not hasattr(model, "disable_adapter"):
        raise ConfigError(
            "the reference is the model with LoRA off, and this one has none; wrap it with add_lora, set beta to 0, or "
            "give the log-probabilities of a frozen copy"
        )
    with model.disable_adapter(), torch.no_grad():
        yield


def merge(model: Any) -> Any:
    """Write LoRA into the weights and give the bare model, as save_pretrained stores it.

    Raises:
        ConfigError: the model has no LoRA.
    """
    if not hasattr(model, "merge_and_unload"):
        raise ConfigError(f"{type(model).__name__} has no LoRA to merge")
    return model.merge_and_unload()
