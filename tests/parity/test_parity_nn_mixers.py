"""Our mixers against Transformers' torch paths on copied weights: outputs and gradients."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from auricle.nn.ssm.delta_rule import delta_rule_chunked, delta_rule_recurrent
from auricle.nn.ssm.gated_delta import GatedDeltaNet
from auricle.nn.ssm.mamba import Mamba
from auricle.nn.ssm.mamba2 import Mamba2

pytest.importorskip("transformers", reason="parity needs the dev extra")
from transformers import Mamba2Config, MambaConfig, Qwen3NextConfig
from transformers.models.mamba.modeling_mamba import MambaMixer
from transformers.models.mamba2.modeling_mamba2 import Mamba2Mixer
from transformers.models.qwen3_next.modeling_qwen3_next import (
    Qwen3NextGatedDeltaNet,
    torch_chunk_gated_delta_rule,
    torch_recurrent_gated_delta_rule,
)

FRAMES = (1, 7, 100)


def close(ours: Sequence[Tensor], theirs: Sequence[Tensor], tol: float = 1e-5) -> None:
    assert len(ours) == len(theirs)
    for index, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert a.shape == b.shape, index
        limit = tol * max(1.0, b.abs().max().item())
        assert (a - b).abs().max().item() <= limit, f"tensor {index}: {(a - b).abs().max().item():.2e} > {limit:.2e}"


def outputs_and_gradients(module: torch.nn.Module, u: Tensor, names: Sequence[str], **options: str) -> list[Tensor]:
    u = u.detach().requires_grad_()
    out = module(u, **options)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(3))
    parameters = dict(module.named_parameters())
    grads = torch.autograd.grad(out, [u, *(parameters[name] for name in names)], upstream)
    return [
        out.detach(),
        *(g.squeeze(1) if g.dim() == 3 and g.shape[1] == 1 and g is not grads[0] else g for g in grads),
    ]


def copy(ours: torch.nn.Module, theirs: torch.nn.Module, names: dict[str, str]) -> None:
    """Give our parameters the peer's values; every parameter of both must be named."""
    mine, peer = dict(ours.named_parameters()), dict(theirs.named_parameters())
    assert set(names) == set(mine)
    assert set(names.values()) == set(peer)
    with torch.no_grad():
        for name, other in names.items():
            mine[name].copy_(peer[other].view(mine[name].shape))


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("form", Mamba.forms)
def test_mamba(frames, form):
    torch.manual_seed(0)
    config = MambaConfig(hidden_size=32, state_size=16, num_hidden_layers=1, time_step_rank=2, use_bias=False)
    theirs, ours = MambaMixer(config, 0), Mamba(32)
    names = {
        "A_log": "A_log",
        "D": "D",
        "in_proj.weight": "in_proj.weight",
        "conv.weight": "conv1d.weight",
        "conv.bias": "conv1d.bias",
        "x_proj.weight": "x_proj.weight",
        "dt_proj.weight": "dt_proj.weight",
        "dt_proj.bias": "dt_proj.bias",
        "out_proj.weight": "out_proj.weight",
    }
    copy(ours, theirs, names)
    u = torch.randn(2, frames, 32)
    close(
        outputs_and_gradients(ours, u, list(names), form=form), outputs_and_gradients(theirs, u, list(names.values()))
    )


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("form", Mamba2.forms)
def test_mamba2(frames, form):
    torch.manual_seed(0)
    config = Mamba2Config(
        hidden_size=32,
        state_size=16,
        num_heads=4,
        head_dim=16,
        n_groups=1,
        expand=2,
        conv_kernel=4,
        chunk_size=32,
        num_hidden_layers=1,
        use_bias=False,
        layer_norm_epsilon=1e-5,
    )
    theirs, ours = Mamba2Mixer(config, 0), Mamba2(32, d_state=16, head_dim=16, chunk=16)
    names = {
        "dt_bias": "dt_bias",
        "A_log": "A_log",
        "D": "D",
        "in_proj.weight": "in_proj.weight",
        "conv.weight": "conv1d.weight",
        "conv.bias": "conv1d.bias",
        "norm.weight": "norm.weight",
        "out_proj.weight": "out_proj.weight",
    }
    copy(ours, theirs, names)
    u = torch.randn(2, frames, 32)
    close(
        outputs_and_gradients(ours, u, list(names), form=form), outputs_and_gradients(theirs, u, list(names.values()))
    )


@pytest.mark.parametrize("frames", FRAMES)
@pytest.mark.parametrize("peer", [torch_chunk_gated_delta_rule, torch_recurrent_gated_delta_rule])
@pytest.mark.parametrize("ours", [delta_rule_recurrent, delta_rule_chunked])
def test_gated_delta_rule(frames, peer, ours):
    generator = torch.Generator().manual_seed(frames)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    q, k, v = draw(2, frames, 3, 8), draw(2, frames, 3, 8), draw(2, frames, 3, 16)
    beta, log_alpha = torch.sigmoid(draw(2, frames, 3)), -torch.nn.functional.softplus(draw(2, frames, 3))
    k = torch.nn.functional.normalize(k, dim=-1)
    inputs = [t.requires_grad_() for t in (q, k, v, beta, log_alpha)]
    upstream = draw(2, frames, 3, 16)
    # The peer scales the queries itself.
    mine = ours(q * 8**-0.5, k, v, beta, log_alpha)
    theirs = peer(q, k, v, g=log_alpha, beta=beta)[0]
    close(
        [mine, *torch.autograd.grad(mine, inputs, upstream)],
        [theirs, *torch.autograd.grad(theirs, inputs, upstream)],
    )


@pytest.mark.parametrize("frames", FRAMES)
def test_gated_delta_net_layer(frames):
    torch.manual_seed(0)
    config = Qwen3NextConfig(
        hidden_size=32,
        linear_num_value_heads=4,
        linear_num_key_heads=4,
        linear_key_head_dim=8,
        linear_value_head_dim=16,
        linear_conv_kernel_dim=4,
        num_hidden_layers=1,
        layer_types=["linear_attention"],
        rms_norm_eps=1e-5,
    )
    theirs, ours = Qwen3NextGatedDeltaNet(config, 0), GatedDeltaNet(32, heads=4, chunk=16)
    with torch.no_grad():
        # The peer keeps q, k, v and gate together head by head; ours keeps them kind by kind.
        q, k, v, z = theirs.in_proj_qkvz.weight.view(4, 48, 32).split([8, 8, 16, 16], dim=1)
        b, a = theirs.in_proj_ba.weight.view(4, 2, 32).split(1, dim=1)
        ours.in_proj.weight.copy_(torch.cat([t.reshape(-1, 32) for t in (q, k, v, z, b, a)]))
        ours.conv.weight.copy_(theirs.conv1d.weight.squeeze(1))
        ours.A_log.copy_(theirs.A_log)
        ours.dt_bias.copy_(theirs.dt_bias)
        ours.norm.weight.copy_(theirs.norm.weight.normal_())
        ours.out_proj.weight.copy_(theirs.out_proj.weight)
    u = torch.randn(2, frames, 32)
    shared = ["A_log", "dt_bias", "norm.weight", "out_proj.weight"]
    expected = outputs_and_gradients(theirs, u, [*shared, "conv1d.weight"])
    for form in ours.forms:
        close(outputs_and_gradients(ours, u, [*shared, "conv.weight"], form=form), expected)
