"""AASIST: the shape table of the released model, every rule of its graphs by hand, and gradients."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from auricle.core.errors import ConfigError, DataError
from auricle.nn.aasist import AASIST, ResidualBlock
from auricle.nn.graph import GraphAttention, GraphPool, HeteroGraphAttention


@pytest.fixture(scope="module")
def full():
    torch.manual_seed(0)
    return AASIST().eval()


def shapes_of(model, features):
    """Record what every named part gives."""
    seen = {}

    def note(name):
        def hook(module, inputs, output):
            seen[name] = [tuple(part.shape) for part in (output if isinstance(output, tuple) else (output,))]

        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in model.named_modules() if name]
    with torch.no_grad():
        seen["logits"] = [tuple(model(features).shape)]
    for hook in hooks:
        hook.remove()
    return seen


def test_the_shape_table_of_the_release(full):
    features = torch.randn(2, 201, 1024)
    seen = shapes_of(full, features)
    assert seen["project"] == [(2, 201, 128)]
    assert seen["norm"] == [(2, 1, 42, 67)]
    widths = [32, 32, 64, 64, 64, 64]
    assert [seen[f"encoder.{i}"] for i in range(6)] == [[(2, width, 42, 67)] for width in widths]
    assert seen["attention.0"] == [(2, 128, 42, 67)]
    assert seen["attention"] == [(2, 64, 42, 67)]
    bands, time = full.nodes(full.encode(features))
    assert (tuple(bands.shape), tuple(time.shape)) == ((2, 42, 64), (2, 67, 64))
    assert tuple(full.position.shape) == (1, 42, 64)
    assert (seen["pool_bands"], seen["pool_time"]) == ([(2, 21, 64)], [(2, 33, 64)])
    for branch in (0, 1):
        assert seen[f"branches.{branch}.first"] == [(2, 33, 32), (2, 21, 32), (2, 1, 32)]
        assert seen[f"branches.{branch}"] == [(2, 16, 32), (2, 10, 32), (2, 1, 32)]
    assert full.embed(features).shape == (2, 160)
    assert seen["logits"] == [(2, 2)]


def test_the_size_of_the_release(full):
    assert sum(parameter.numel() for parameter in full.parameters()) == 447_242


def test_attention_by_hand():
    torch.manual_seed(1)
    layer = GraphAttention(3, 5, temperature=2.0).eval()
    x = torch.randn(1, 4, 3)
    out = layer(x)[0]
    for i in range(4):
        scores = torch.stack([layer.score[:, 0] @ torch.tanh(layer.pair(x[0, i] * x[0, j])) for j in range(4)])
        mixed = torch.softmax(scores / 2.0, dim=0) @ x[0]
        plain = layer.with_attention(mixed) + layer.without_attention(x[0, i])
        # a fresh batch norm in eval mode divides by sqrt(1 + eps)
        assert out[i].tolist() == pytest.approx(F.selu(plain / (1 + 1e-5) ** 0.5).tolist(), abs=1e-6)


def test_heterogeneous_attention_by_hand():
    torch.manual_seed(2)
    layer = HeteroGraphAttention(3, 4, temperature=1.5).eval()
    first, second, master = torch.randn(1, 2, 3), torch.randn(1, 3, 3), torch.randn(1, 1, 3)
    out = torch.cat(layer(first, second, master)[:2], dim=1)[0]
    x = torch.cat([layer.kinds[0](first), layer.kinds[1](second)], dim=1)[0]
    kind = [0, 0, 1, 1, 1]
    for i in range(5):
        scores = []
        for j in range(5):
            own = (layer.score_first, layer.score_second)[kind[i]]
            weight = own if kind[i] == kind[j] else layer.score_across
            scores.append(weight[:, 0] @ torch.tanh(layer.pair(x[i] * x[j])))
        mixed = torch.softmax(torch.stack(scores) / 1.5, dim=0) @ x
        plain = layer.with_attention(mixed) + layer.without_attention(x[i])
        assert out[i].tolist() == pytest.approx(F.selu(plain / (1 + 1e-5) ** 0.5).tolist(), abs=1e-6)
    heard = torch.stack(
        [layer.score_master[:, 0] @ torch.tanh(layer.pair_master(x[i] * master[0, 0])) for i in range(5)]
    )
    share = torch.softmax(heard / 1.5, dim=0)
    wanted = layer.master_with(share @ x) + layer.master_without(master[0, 0])
    assert layer(first, second, master)[2][0, 0].tolist() == pytest.approx(wanted.tolist(), abs=1e-6)


def test_pooling_keeps_the_best_half_weighted_by_their_scores():
    pool = GraphPool(1, 0.5).eval()
    with torch.no_grad():
        pool.score.weight.fill_(1.0)
        pool.score.bias.fill_(0.0)
    x = torch.tensor([[[0.1], [3.0], [-2.0], [1.0], [2.0]]])
    kept = pool(x)[0, :, 0]
    assert kept.tolist() == pytest.approx([3.0 / (1 + math.exp(-3)), 2.0 / (1 + math.exp(-2))])
    assert GraphPool(1, 0.1).eval()(x).shape == (1, 1, 1)
    with pytest.raises(ConfigError, match=r"0\.0"):
        GraphPool(1, 0.0)


def test_a_residual_block_keeps_height_and_width():
    x = torch.randn(1, 3, 7, 11)
    assert ResidualBlock(3, 5)(x).shape == (1, 5, 7, 11)
    assert ResidualBlock(3, 3, first=True)(x).shape == x.shape


def test_a_dead_norm_is_computed_by_nobody_and_learns_nothing():
    torch.manual_seed(5)
    live, dead = ResidualBlock(3, 5).eval(), ResidualBlock(3, 5, dead_norm=True).eval()
    dead.load_state_dict(live.state_dict())  # the same names
    x = torch.randn(2, 3, 7, 11)
    y = F.pad(x, (1, 1, 1, 1))  # the release's block, written out: the norm before the first convolution is left out
    y = F.conv2d(y, dead.first.weight, dead.first.bias)
    y = F.selu(y / (1 + 1e-5) ** 0.5)
    y = F.conv2d(F.pad(y, (1, 1)), dead.second.weight, dead.second.bias)
    wanted = y + F.conv2d(F.pad(x, (1, 1)), dead.beside.weight, dead.beside.bias)
    assert torch.allclose(dead(x), wanted, atol=1e-6)
    assert not torch.allclose(live(x), wanted, atol=1e-2)
    dead.train()(x).sum().backward()
    trained = {name for name, parameter in dead.named_parameters() if parameter.requires_grad}
    assert {name for name, parameter in dead.named_parameters() if parameter.grad is not None} == trained
    assert {name for name, _ in dead.named_parameters()} - trained == {"before.0.weight", "before.0.bias"}
    assert ResidualBlock(3, 5, dead_norm=True, pool=3)(x).shape == (2, 5, 7, 3)


@pytest.mark.parametrize(
    ("channels", "graph", "keep", "parameters"),
    [((32, 64), (64, 32), (0.5, 0.7, 0.5), 297_866), ((32, 24), (24, 32), (0.4, 0.5, 0.7), 85_306)],
)
def test_the_sizes_of_the_raw_releases(channels, graph, keep, parameters):
    model = AASIST(70, None, channels, graph, keep=keep, dead_norm=True, maxima=True).eval()
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters
    seen = shapes_of(model, torch.rand(1, 64_472, 70))  # 64,600 samples through 129 taps
    assert seen["norm"] == [(1, 1, 23, 21_490)]
    columns = [7163, 2387, 795, 265, 88, 29]
    widths = [channels[0], channels[0], *[channels[1]] * 4]
    assert [seen[f"encoder.{i}"] for i in range(6)] == [[(1, w, 23, t)] for w, t in zip(widths, columns, strict=True)]
    assert seen["pool_bands"] == [(1, int(23 * keep[0]), graph[0])]
    assert seen["pool_time"] == [(1, int(29 * keep[1]), graph[0])]
    assert seen["branches.0.pool_time"] == [(1, int(int(29 * keep[1]) * keep[2]), graph[1])]


def test_nodes_of_maxima_are_the_largest_magnitudes():
    model = AASIST(9, None, (4, 8), (8, 4), maxima=True).eval()
    encoded = torch.randn(2, 8, 3, 5)
    bands, time = model.nodes(encoded)
    assert torch.equal(bands, encoded.abs().amax(3).transpose(1, 2) + model.position)
    assert torch.equal(time, encoded.abs().amax(2).transpose(1, 2))
    assert not hasattr(model, "attention")
    with pytest.raises(DataError, match="T of 2187 or more"):
        model(torch.zeros(1, 2000, 9))


def test_the_node_order_over_frequency_counts_and_over_time_alone_does_not_hide_it():
    torch.manual_seed(3)
    model = AASIST(20, 24, (4, 8), (8, 4)).eval()
    encoded = torch.randn(1, 8, 8, 9)
    bands, _ = model.nodes(encoded)
    flipped, _ = model.nodes(encoded.flip(2))
    assert not torch.allclose(bands.flip(1), flipped)  # the learned positions tell bands apart
    assert torch.allclose((bands - model.position).flip(1), flipped - model.position, atol=1e-6)


def test_batch_mates_change_nothing_in_eval_mode(full):
    features = torch.randn(3, 40, 1024)
    with torch.no_grad():
        assert torch.allclose(full(features)[1:2], full(features[1:2]), atol=1e-5)


def test_every_parameter_gets_a_finite_gradient():
    torch.manual_seed(4)
    model = AASIST(16, 24, (4, 8), (8, 4))
    F.cross_entropy(model(torch.randn(6, 30, 16)), torch.tensor([0, 1, 0, 1, 0, 1])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name


def test_wrong_input_is_named(full):
    with pytest.raises(DataError, match="1024"):
        full(torch.zeros(1, 201, 80))
    with pytest.raises(ConfigError, match="got 4"):
        AASIST(16, 4)
