"""ECAPA-TDNN: the public names and shapes, written down here apart from the code; the forward pass, written again."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

from auricle.backbones.speaker import Verifier, load_verifier
from auricle.backbones.speaker.ecapa import EcapaFbank, EcapaSizes, EcapaTdnn
from auricle.backbones.speaker.ecapa_weights import Ecapa, load_ecapa, load_public, public_name, save_ecapa
from auricle.core.errors import AudioError, CheckpointError, ConfigError, DataError

SMALL = EcapaSizes(n_mels=20, channels=16, aggregate=24, scale=4, squeeze=6, attention=5, dim=12)


def public_shapes(s):
    """Names and shapes of SpeechBrain's ECAPA_TDNN for given sizes."""
    shapes = {}

    def conv(name, out, into, taps=1):
        shapes[f"{name}.conv.weight"], shapes[f"{name}.conv.bias"] = (out, into, taps), (out,)

    def norm(name, width):
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.norm.{part}"] = (width,)
        shapes[f"{name}.norm.num_batches_tracked"] = ()

    def tdnn(name, out, into, taps=1):
        conv(f"{name}.conv", out, into, taps)
        norm(f"{name}.norm", out)

    tdnn("blocks.0", s.channels, s.n_mels, 5)
    for block in range(1, s.blocks + 1):
        tdnn(f"blocks.{block}.tdnn1", s.channels, s.channels)
        for branch in range(s.scale - 1):
            width = s.channels // s.scale
            tdnn(f"blocks.{block}.res2net_block.blocks.{branch}", width, width, 3)
        tdnn(f"blocks.{block}.tdnn2", s.channels, s.channels)
        conv(f"blocks.{block}.se_block.conv1", s.squeeze, s.channels)
        conv(f"blocks.{block}.se_block.conv2", s.channels, s.squeeze)
    tdnn("mfa", s.aggregate, s.blocks * s.channels)
    tdnn("asp.tdnn", s.attention, 3 * s.aggregate)
    conv("asp.conv", s.aggregate, s.attention)
    norm("asp_bn", 2 * s.aggregate)
    conv("fc", s.dim, 2 * s.aggregate)
    return shapes


def random_weights(sizes, seed=0):
    generator = torch.Generator().manual_seed(seed)
    made = {}
    for name, shape in public_shapes(sizes).items():
        if name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(7)
        elif name.endswith("running_var"):
            made[name] = 0.5 + torch.rand(shape, generator=generator)
        else:
            spread = (3 / max(1, np.prod(shape[1:]))) ** 0.5 if len(shape) > 1 else 0.3
            made[name] = torch.randn(shape, generator=generator) * spread
    return made


def plain(weights, features, s):
    """The published forward pass for one clip, (T, n_mels) -> (D,), straight from the public names."""

    def conv(x, name, dilation=1):
        weight = weights[f"{name}.conv.weight"]
        reach = dilation * (weight.shape[2] - 1) // 2
        return F.conv1d(F.pad(x, (reach, reach), mode="reflect"), weight, weights[f"{name}.conv.bias"], 1, 0, dilation)

    def norm(x, name):
        w = {part: weights[f"{name}.norm.{part}"] for part in ("weight", "bias", "running_mean", "running_var")}
        return F.batch_norm(x, w["running_mean"], w["running_var"], w["weight"], w["bias"])

    def tdnn(x, name, dilation=1):
        return norm(F.relu(conv(x, f"{name}.conv", dilation)), f"{name}.norm")

    def statistics(x, a):
        mean = (a * x).sum(2)
        return mean, ((a * (x - mean[..., None]) ** 2).sum(2)).clamp(1e-12).sqrt()

    x = tdnn(features.T[None], "blocks.0")
    outputs = []
    for i in range(1, s.blocks + 1):
        y = tdnn(x, f"blocks.{i}.tdnn1")
        parts = []
        for j, part in enumerate(y.chunk(s.scale, dim=1)):
            if j == 0:
                parts.append(part)
            else:
                given = part if j == 1 else part + parts[-1]
                parts.append(tdnn(given, f"blocks.{i}.res2net_block.blocks.{j - 1}", i + 1))
        y = tdnn(torch.cat(parts, 1), f"blocks.{i}.tdnn2")
        gate = F.relu(conv(y.mean(2, keepdim=True), f"blocks.{i}.se_block.conv1"))
        x = y * torch.sigmoid(conv(gate, f"blocks.{i}.se_block.conv2")) + x
        outputs.append(x)
    x = tdnn(torch.cat(outputs, 1), "mfa")
    mean, std = statistics(x, torch.full_like(x, 1 / x.shape[2]))
    context = torch.cat([x, mean[..., None].expand_as(x), std[..., None].expand_as(x)], 1)
    attention = torch.softmax(conv(torch.tanh(tdnn(context, "asp.tdnn")), "asp.conv"), 2)
    pooled = norm(torch.cat(statistics(x, attention), 1)[..., None], "asp_bn")
    return conv(pooled, "fc")[0, :, 0]


@pytest.fixture(scope="module")
def small():
    network = EcapaTdnn(SMALL).eval()
    load_public(network, random_weights(SMALL), "random")
    return network


def test_names_shapes_and_parameters_are_those_of_the_published_model():
    with torch.device("meta"):
        network = EcapaTdnn()
    ours = {public_name(name): tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert ours == public_shapes(EcapaSizes())
    assert len(network.state_dict()) == 231
    assert sum(parameter.numel() for parameter in network.parameters()) == 20_767_552
    for name in ("blocks.0.conv.conv.weight", "blocks.1.tdnn1.conv.conv.weight", "asp_bn.norm.weight"):
        assert name in ours


def test_the_forward_pass_is_the_published_one(small):
    features = torch.randn(61, SMALL.n_mels, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(
            small(features[None])[0], plain(random_weights(SMALL), features, SMALL), rtol=1e-5, atol=1e-5
        )


def test_padding_and_batch_mates_do_not_matter(small):
    generator = torch.Generator().manual_seed(2)
    lengths = [SMALL.least_frames, 9, 40, 57]
    clips = [torch.randn(length, SMALL.n_mels, generator=generator) for length in lengths]
    batch = torch.full((4, 70, SMALL.n_mels), torch.nan)
    for row, clip in zip(batch, clips, strict=True):
        row[: len(clip)] = clip
    with torch.no_grad():
        together = small(batch, torch.tensor(lengths))
        alone = torch.cat([small(clip[None]) for clip in clips])
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


def test_it_trains():
    torch.manual_seed(0)
    network = EcapaTdnn(SMALL).train()
    network(torch.randn(4, 30, SMALL.n_mels)).square().sum().backward()
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in network.parameters())
    assert float(network.stem.conv.weight.grad.abs().sum()) > 0


def broken(change):
    weights = random_weights(SMALL)
    change(weights)
    return weights


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: w.pop("blocks.2.tdnn2.norm.norm.bias"), "missing: blocks.2.tdnn2.norm.norm.bias"),
        (lambda w: w.update({"module.fc.conv.weight": torch.zeros(1)}), "unknown: module.fc.conv.weight"),
        (lambda w: w.update({"fc.conv.bias": torch.zeros(3)}), r"wrong shape: fc.conv.bias is \(3,\), needed \(12,\)"),
        (lambda w: w.update({"fc.conv.bias": 3}), "fc.conv.bias is no tensor but int"),
        (lambda w: w["fc.conv.bias"].fill_(torch.nan), "not finite: fc.conv.bias"),
        (lambda w: w.clear(), "missing: .* and 142 more"),
    ],
)
def test_the_key_map_is_strict(change, message):
    network = EcapaTdnn(SMALL)
    weights = broken(change)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        load_public(network, weights, "given")
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_several_faults_stand_in_one_error():
    weights = random_weights(SMALL) | {"x": torch.zeros(1), "fc.conv.bias": torch.ones(1)}
    del weights["mfa.norm.norm.bias"]
    with pytest.raises(CheckpointError, match=r"missing: mfa\.norm.*unknown: x; wrong shape: fc\.conv\.bias"):
        load_public(EcapaTdnn(SMALL), weights, "given")


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    folder = tmp_path_factory.mktemp("public")
    torch.save(random_weights(EcapaSizes()), folder / "embedding_model.ckpt")
    return folder


def test_the_public_checkpoint_is_read_from_folder_and_file(public, tmp_path):
    verifier = load_verifier(f"ecapa:{public}")
    assert isinstance(verifier, Verifier)
    assert (verifier.dim, verifier.rate_hz) == (192, 16_000)
    save_file(random_weights(EcapaSizes()), tmp_path / "same.safetensors")
    wave = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)
    made = verifier.embed([wave], [16_000])
    again = load_verifier(f"ecapa:{tmp_path / 'same.safetensors'}").embed([wave], [16_000])
    np.testing.assert_array_equal(made, again)
    wanted = plain(random_weights(EcapaSizes()), EcapaFbank()(torch.from_numpy(wave)[None])[0], EcapaSizes()).numpy()
    np.testing.assert_allclose(made[0], wanted / np.linalg.norm(wanted), rtol=0, atol=1e-5)


def test_a_folder_of_ours_has_its_sizes(small, tmp_path):
    again = load_ecapa(save_ecapa(tmp_path / "mini", small))
    assert again.sizes == SMALL
    assert not again.training
    for name, tensor in small.state_dict().items():
        assert torch.equal(tensor, again.state_dict()[name])


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, "embedding_model.ckpt does not exist"),
        ({"embedding_model.ckpt": b"no"}, "cannot be read as weights"),
        ({"sizes.json": b'{"chanels": 3}', "model.safetensors": b""}, "no sizes of an ECAPA-TDNN"),
        ({"sizes.json": b'{"channels": 12}', "model.safetensors": b""}, "multiple of scale"),
        ({"sizes.json": b"{}", "model.safetensors": b"no"}, "cannot be read as weights"),
        ({"sizes.json": b"{}"}, "does not exist"),
    ],
)
def test_a_wrong_folder_is_refused(tmp_path, files, message):
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=message):
        load_verifier(f"ecapa:{tmp_path}")


def test_nothing_in_a_checkpoint_is_executed(tmp_path):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "sprung"), "w"))

    torch.save({"blocks.0.conv.conv.weight": Trap()}, tmp_path / "embedding_model.ckpt")
    with pytest.raises(CheckpointError, match="cannot be read as weights"):
        load_ecapa(tmp_path)
    assert not (tmp_path / "sprung").exists()


def test_features_are_those_of_the_recipe():
    """Once more in float64: frames by hand, triangles by their definition, decibels, floor, mean."""
    wave = np.random.default_rng(3).normal(0, 0.2, 4000)
    wave[1000:] *= 1e-6  # far below the floor of 80 dB
    padded = np.pad(wave, 200)
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(400) / 400)
    frames = np.stack([padded[t * 160 : t * 160 + 400] * window for t in range(4000 // 160 + 1)])
    power = np.abs(np.fft.rfft(frames)) ** 2
    mels = np.linspace(0, 2595 * np.log10(1 + 8000 / 700), 82)
    hz = 700 * (10 ** (mels / 2595) - 1)
    bins = np.arange(201) * 40.0
    bank = np.stack([np.maximum(0, 1 - np.abs(bins - hz[k + 1]) / (hz[k + 1] - hz[k])) for k in range(80)])
    level = 10 * np.log10(np.maximum(power @ bank.T, 1e-10))
    level = np.maximum(level, level.max() - 80)
    wanted = level - level.mean(0)
    made = EcapaFbank()(torch.from_numpy(wave).float()[None])[0]
    np.testing.assert_allclose(made.numpy(), wanted, rtol=0, atol=5e-3)
    assert made.shape == (26, 80)


def test_features_do_not_see_padding():
    waves = torch.randn(2, 6000, generator=torch.Generator().manual_seed(4))
    waves[0, 3000:] = 100.0
    made = EcapaFbank()(waves, torch.tensor([3000, 6000]))
    alone = EcapaFbank()(waves[:1, :3000])
    torch.testing.assert_close(made[:1, : alone.shape[1]], alone, rtol=1e-5, atol=1e-4)
    assert not made[0, alone.shape[1] :].any()


def test_embeddings_do_not_see_batch_mates_and_long_clips_go_in_pieces(monkeypatch):
    import auricle.backbones.speaker.ecapa_weights as module

    sizes = EcapaSizes(channels=16, aggregate=24, scale=4, squeeze=6, attention=5, dim=12)
    network = EcapaTdnn(sizes)
    load_public(network, random_weights(sizes), "random")
    verifier = Ecapa(network, "mini")
    generator = np.random.default_rng(0)
    waves = [generator.normal(0, 0.1, n).astype(np.float32) for n in (1600, 40_000, 9000, 24_000, 100_000)]
    rates = [16_000, 16_000, 16_000, 8000, 16_000]
    together = verifier.embed(waves, rates)
    alone = np.concatenate([verifier.embed([wave], [rate]) for wave, rate in zip(waves, rates, strict=True)])
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    monkeypatch.setattr(module, "LONGEST_S", 4)
    halves = verifier.embed([waves[4][:50_000], waves[4][50_000:]], [16_000] * 2)
    mean = halves.sum(0) / np.linalg.norm(halves.sum(0))
    np.testing.assert_allclose(verifier.embed([waves[4]], [16_000])[0], mean, rtol=0, atol=1e-5)


def test_wrong_sizes_and_inputs_are_named(small):
    with pytest.raises(ConfigError, match="multiple of scale"):
        EcapaSizes(channels=12)
    with pytest.raises(ConfigError, match="dim is 0"):
        EcapaSizes(dim=0)
    with pytest.raises(ConfigError, match="no parameter 'decoder'"):
        public_name("decoder")
    with pytest.raises(DataError, match=r"\(B, T, 20\)"):
        small(torch.zeros(1, 30, 80))
    with pytest.raises(DataError, match="a clip of 2 frames"):
        small(torch.zeros(2, 30, 20), torch.tensor([30, 2]))
    with pytest.raises(AudioError, match="waveform 2 of 2"):
        Ecapa(small).embed([np.sin(np.arange(16_000) / 9), np.zeros(16_000)], [16_000] * 2)
