"""The BigVGAN-v2 generator: published names and shapes, weight norm multiplied out, filters, strictness."""

import json

import pytest
import torch
from torch import nn

from auricle.audio.vocoder_mel import MelContract
from auricle.backbones.vocoder.bigvgan import (
    BigVGAN,
    BigVGANConfig,
    FilteredActivation,
    from_published,
    load,
    low_pass,
    published_shapes,
)
from auricle.core.errors import CheckpointError

TINY = BigVGANConfig(n_mels=8, rates=(4, 2), kernels=(8, 4), width=16, block_kernels=(3, 5), dilations=(1, 3))


def random_state(config=TINY, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return {name: 0.3 * torch.randn(shape, generator=generator) for name, shape in published_shapes(config).items()}


def test_the_paper_size_has_the_published_names_shapes_and_count():
    shapes = published_shapes()
    assert shapes["conv_pre.weight_v"] == (1536, 128, 7)
    assert shapes["ups.0.0.weight_g"] == (1536, 1, 1)  # a transposed convolution's first axis is its input
    assert shapes["ups.0.0.weight_v"] == (1536, 768, 16)
    assert shapes["resblocks.17.convs2.2.weight_v"] == (24, 24, 11)
    assert shapes["resblocks.0.activations.5.act.beta"] == (768,)
    assert shapes["resblocks.0.activations.0.upsample.filter"] == (1, 1, 12)
    assert shapes["activation_post.downsample.lowpass.filter"] == (1, 1, 12)
    assert shapes["conv_post.weight_v"] == (1, 24, 7)
    assert "conv_post.bias" not in shapes
    with torch.device("meta"):
        model = BigVGAN()
    assert model.hop == 512
    count = sum(parameter.numel() for parameter in model.parameters())
    assert round(count / 1e6) == 122  # as published
    assert model(torch.zeros(1, 4, 128, device="meta")).shape == (1, 2048)


def test_a_published_state_gives_what_weight_norm_gives():
    state = random_state()
    model = from_published(state, TINY)
    normed = nn.utils.weight_norm(nn.Conv1d(8, 16, 7, padding=3))
    normed.load_state_dict({name: state[f"conv_pre.{name}"] for name in ("weight_g", "weight_v", "bias")})
    x = torch.randn(2, 8, 9)
    assert torch.allclose(model.conv_pre(x), normed(x), atol=1e-5)
    up = nn.utils.weight_norm(nn.ConvTranspose1d(16, 8, 8, 4, padding=2))
    up.load_state_dict({name: state[f"ups.0.0.{name}"] for name in ("weight_g", "weight_v", "bias")})
    x = torch.randn(2, 16, 9)
    assert torch.allclose(model.ups[0][0](x), up(x), atol=1e-5)
    wave = model(torch.randn(2, 10, 8))
    assert wave.shape == (2, 80)
    assert wave.abs().max() <= 1


def test_a_state_that_does_not_fit_is_refused_by_name():
    for change, told in (
        (lambda s: s.pop("conv_post.weight_g"), "missing: conv_post.weight_g"),
        (lambda s: s.update({"conv_post.bias": torch.zeros(1)}), "unexpected: conv_post.bias"),
        (lambda s: s.update({"conv_pre.bias": torch.zeros(3)}), r"conv_pre.bias is \(3,\), needed \(16,\)"),
    ):
        state = random_state()
        change(state)
        with pytest.raises(CheckpointError, match=told):
            from_published(state, TINY)


def test_a_state_without_weight_norm_is_called_so():
    state = {}
    for name, tensor in random_state().items():
        if not name.endswith("weight_g"):
            state[name[:-2] if name.endswith("weight_v") else name] = tensor
    with pytest.raises(
        CheckpointError, match=r"after remove_weight_norm\(\): it has \S+\.weight and not \S+\.weight_g"
    ):
        from_published(state, TINY)
    state["conv_pre.weight_g"] = torch.ones(16, 1, 1)  # a mixture is no such state
    with pytest.raises(CheckpointError, match=r"missing: conv_pre\.weight_v"):
        from_published(state, TINY)


def test_the_filters_keep_low_tones_and_take_high_ones():
    taps = low_pass(0.25, 0.3)
    assert taps.sum() == pytest.approx(1.0, abs=1e-6)
    assert torch.allclose(taps, taps.flip(0))
    response = torch.fft.rfft(taps, 512).abs()
    assert response[10] > 0.95
    assert response[250] < 0.05
    around = FilteredActivation(1)
    constant = torch.full((1, 1, 40), 0.4)  # a constant comes through as the activation of it
    wanted = 0.4 + torch.sin(torch.tensor(0.4)).square()
    assert torch.allclose(around(constant), wanted.expand(1, 1, 40), atol=1e-4)


def test_a_folder_is_read_and_another_kind_of_generator_is_refused(tmp_path):
    config = {
        "num_mels": 8,
        "upsample_rates": [4, 2],
        "upsample_kernel_sizes": [8, 4],
        "upsample_initial_channel": 16,
        "resblock_kernel_sizes": [3, 5],
        "resblock_dilation_sizes": [[1, 3], [1, 3]],
        "sampling_rate": 16_000,
        "n_fft": 32,
        "hop_size": 8,
        "win_size": 32,
        "fmin": 0,
        "fmax": None,
        "activation": "snakebeta",
        "snake_logscale": True,
        "resblock": "1",
        "use_tanh_at_final": False,
        "use_bias_at_final": False,
    }
    state = random_state()
    torch.save({"generator": state}, tmp_path / "bigvgan_generator.pt")
    (tmp_path / "config.json").write_text(json.dumps(config))
    model, contract = load(tmp_path)
    assert contract == MelContract(16_000, 8, 32, 8)
    mel = torch.randn(1, 6, 8)
    assert torch.equal(model(mel), from_published(state, TINY)(mel))
    (tmp_path / "config.json").write_text(json.dumps(config | {"activation": "snake", "fmax": 8000.5}))
    with pytest.raises(CheckpointError, match=r"activation='snake'.*fmax"):
        load(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="not the config"):
        load(tmp_path)
    (tmp_path / "bigvgan_generator.pt").write_bytes(b"no")
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="no generator"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="has no"):
        load(tmp_path / "nowhere")
