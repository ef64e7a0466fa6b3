"""The schedule against hand-computed values, and who gets weight decay."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from auricle.core.errors import ConfigError
from auricle.train.optim import adamw, learning_rate, optimizer_groups


def test_schedule_by_hand():
    # 10 steps, 2 of warm-up, peak 1, down to 0.2: p = 1/8 .. 1
    rates = [learning_rate(s, max_steps=10, lr=1.0, warmup_fraction=0.2, final_lr_fraction=0.2) for s in range(10)]
    assert rates[:2] == [0.5, 1.0]
    assert rates[5] == pytest.approx(0.2 + 0.8 * 0.5)  # p = 1/2
    assert rates[3] == pytest.approx(0.2 + 0.8 * 0.5 * (1 + 2**-0.5))  # p = 1/4
    assert rates[9] == pytest.approx(0.2, abs=1e-12)
    assert all(a > b for a, b in pairwise(rates[1:]))


def test_schedule_without_warmup_and_beyond_the_end():
    assert learning_rate(0, max_steps=1, lr=3.0, warmup_fraction=0.0, final_lr_fraction=1.0) == 3.0
    assert learning_rate(99, max_steps=10, lr=1.0) == pytest.approx(0.1)


class Mixer(nn.Module):
    def __init__(self):
        super().__init__()
        self.proj = nn.Linear(3, 4)
        self.norm = nn.LayerNorm(4)
        self.a_log = nn.Parameter(torch.zeros(4, 2))
        self.a_log._no_weight_decay = True
        self.frozen = nn.Linear(4, 4).requires_grad_(False)


def test_groups():
    model = Mixer()
    decayed, plain = optimizer_groups(model, 0.3)
    assert [id(p) for p in decayed["params"]] == [id(model.proj.weight)]
    assert {id(p) for p in plain["params"]} == {
        id(p) for p in (model.proj.bias, model.norm.weight, model.norm.bias, model.a_log)
    }
    assert (decayed["weight_decay"], plain["weight_decay"]) == (0.3, 0.0)


def test_decay_shrinks_only_the_decayed():
    model = Mixer()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = adamw(model, lr=0.1, betas=(0.9, 0.95), weight_decay=0.5, device=torch.device("cpu"))
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        factor = 1 - 0.1 * 0.5 if name == "proj.weight" else 1.0
        torch.testing.assert_close(parameter.detach(), before[name] * factor)


def test_nothing_to_train():
    with pytest.raises(ConfigError, match="requires_grad"):
        optimizer_groups(nn.Linear(2, 2).requires_grad_(False), 0.1)
