"""Norms, feed-forward, convolution, attention, pooling and masks."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from auricle.core.errors import ConfigError, DataError
from auricle.nn.attention import MultiHeadAttention
from auricle.nn.conv import DepthwiseConv
from auricle.nn.feedforward import SwiGLU
from auricle.nn.masking import mask_from_lengths, zero_masked
from auricle.nn.norm import GatedRMSNorm, RMSNorm
from auricle.nn.pooling import GatedAttentionPooling


def silu(x: float) -> float:
    return x / (1 + math.exp(-x))


def test_rms_norm_by_hand():
    norm = RMSNorm(2, eps=0.0)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0]))
    # Root mean square of (3, 4) is sqrt(12.5).
    expected = torch.tensor([3 / math.sqrt(12.5), 8 / math.sqrt(12.5)])
    torch.testing.assert_close(norm(torch.tensor([3.0, 4.0])), expected)


def test_rms_norm_promotes_half_precision():
    assert RMSNorm(4)(torch.ones(2, 4, dtype=torch.bfloat16)).dtype == torch.float32


def test_gated_norm_orders_by_hand():
    x, gate = torch.tensor([3.0, 4.0]), torch.tensor([1.0, -2.0])
    gated = [3 * silu(1.0), 4 * silu(-2.0)]
    root = math.sqrt((gated[0] ** 2 + gated[1] ** 2) / 2)
    first = GatedRMSNorm(2, "gate_first", eps=0.0)(x, gate)
    torch.testing.assert_close(first, torch.tensor([gated[0] / root, gated[1] / root]))
    then = GatedRMSNorm(2, "norm_first", eps=0.0)(x, gate)
    torch.testing.assert_close(then, torch.tensor(gated) / math.sqrt(12.5))


def test_gated_norm_refuses_unknown_order():
    with pytest.raises(ConfigError, match="gate_first"):
        GatedRMSNorm(2, "both")  # type: ignore[arg-type]


def test_swiglu_by_hand():
    layer = SwiGLU(1, hidden=1)
    with torch.no_grad():
        layer.in_proj.weight.copy_(torch.tensor([[2.0], [3.0]]))  # gate, up
        layer.out_proj.weight.fill_(0.5)
    assert layer(torch.tensor([[[1.5]]])).item() == pytest.approx(0.5 * silu(3.0) * 4.5)


def test_swiglu_published_size():
    layer = SwiGLU(128)
    assert layer.out_proj.in_features == 341
    assert sum(p.numel() for p in layer.parameters()) == 130_944


@settings(max_examples=25, deadline=None)
@given(
    batch=st.integers(1, 3),
    frames=st.integers(1, 12),
    channels=st.integers(1, 5),
    taps=st.integers(1, 7),
    centred=st.booleans(),
    bias=st.booleans(),
)
def test_depthwise_conv_equals_conv1d(batch, frames, channels, taps, centred, bias):
    taps += centred and taps % 2 == 0
    torch.manual_seed(0)
    conv = DepthwiseConv(channels, taps, "centred" if centred else "causal", bias).double()
    x = torch.randn(batch, frames, channels, dtype=torch.float64, requires_grad=True)
    left = taps // 2 if centred else taps - 1
    padded = F.pad(x.transpose(1, 2), (left, taps - 1 - left))
    expected = F.conv1d(padded, conv.weight.unsqueeze(1), conv.bias, groups=channels).transpose(1, 2)
    upstream = torch.randn_like(expected)
    inputs = [x, *conv.parameters()]
    got = conv(x)
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-12)
    for a, b in zip(
        torch.autograd.grad(got, inputs, upstream), torch.autograd.grad(expected, inputs, upstream), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)


def test_depthwise_conv_gradients_and_frozen_weights():
    torch.manual_seed(0)
    conv = DepthwiseConv(3, 3, "centred").double()
    x = torch.randn(2, 4, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(conv, (x,))
    conv.requires_grad_(False)
    (grad,) = torch.autograd.grad(conv(x).sum(), x)
    assert torch.isfinite(grad).all()


@pytest.mark.parametrize(("taps", "mode"), [(0, "causal"), (4, "centred"), (3, "acausal")])
def test_depthwise_conv_refuses(taps, mode):
    with pytest.raises(ConfigError):
        DepthwiseConv(4, taps, mode)


def test_attention_equals_torch_multihead(agree):
    torch.manual_seed(0)
    ours = MultiHeadAttention(16, heads=4, conv=0)
    peer = torch.nn.MultiheadAttention(16, 4, batch_first=True)
    with torch.no_grad():
        peer.in_proj_weight.copy_(ours.in_proj.weight)
        peer.in_proj_bias.copy_(ours.in_proj.bias)
        peer.out_proj.weight.copy_(ours.out_proj.weight)
        peer.out_proj.bias.copy_(ours.out_proj.bias)
    x, mask = torch.randn(3, 9, 16), mask_from_lengths(torch.tensor([9, 4, 1]), 9)
    expected = peer(x, x, x, key_padding_mask=~mask, need_weights=False)[0]
    agree(ours(x, mask), zero_masked(expected, mask))


def test_attention_convolution_is_causal_and_attention_is_not():
    torch.manual_seed(0)
    layer = MultiHeadAttention(8, heads=2, conv=4)
    assert sum(p.numel() for p in MultiHeadAttention(128).parameters()) == 67_968
    qkv = torch.randn(1, 10, 24)
    later = qkv.clone()
    later[:, 6:] += 1
    assert torch.equal(layer.conv(qkv)[:, :6], layer.conv(later)[:, :6])
    x = torch.randn(1, 10, 8)
    changed = x.clone()
    changed[:, 9] += 1
    assert (layer(x)[:, :9] - layer(changed)[:, :9]).abs().amax(-1).min() > 1e-6


def test_attention_refuses_heads_that_do_not_divide():
    with pytest.raises(ConfigError, match="heads=3"):
        MultiHeadAttention(8, heads=3)


def test_pooling_by_hand(agree):
    pool = GatedAttentionPooling(1, hidden=1)
    with torch.no_grad():
        pool.in_proj.weight.fill_(1.0)
        pool.score.weight.fill_(1.0)
    x = torch.tensor([[[0.0], [1.0]]])
    # Scores are x SiLU(x): 0 and SiLU(1).
    weight = 1 / (1 + math.exp(-silu(1.0)))
    agree(pool(x), torch.tensor([[weight]]))
    agree(pool.weights(x), torch.tensor([[1 - weight, weight]]))


def test_pooling_ignores_padding(agree):
    torch.manual_seed(0)
    pool = GatedAttentionPooling(6)
    x = torch.randn(2, 5, 6)
    padded = torch.cat([x, torch.full((2, 3, 6), float("nan"))], dim=1)
    agree(pool(padded, mask_from_lengths(torch.tensor([5, 5]), 8)), pool(x))
    assert sum(p.numel() for p in GatedAttentionPooling(128).parameters()) == 87_637


@pytest.mark.parametrize("layer", [MultiHeadAttention(8), GatedAttentionPooling(8)], ids=["attention", "pooling"])
def test_wrong_shapes_are_refused(layer):
    with pytest.raises(DataError, match="8"):
        layer(torch.zeros(2, 5, 7))
    with pytest.raises(DataError, match="mask"):
        layer(torch.zeros(2, 5, 8), torch.ones(2, 4, dtype=torch.bool))
    with pytest.raises(DataError, match="mask"):
        layer(torch.zeros(2, 5, 8), torch.ones(2, 5))


def test_mask_from_lengths():
    expected = torch.tensor([[True, True, False], [False, False, False], [True, True, True]])
    assert torch.equal(mask_from_lengths(torch.tensor([2, 0, 3]), 3), expected)
    with pytest.raises(DataError, match="between 0 and 3"):
        mask_from_lengths(torch.tensor([4]), 3)
