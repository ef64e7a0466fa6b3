"""Released weights: a file gives tensors or a clear refusal, and the map of XLSR-MamBo is strict both ways."""

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from auricle.backbones import architecture as arch
from auricle.backbones.released import mambo, read_state
from auricle.core.errors import CheckpointError, ConfigError
from tests.released_mambo import BLOCKS, ENCODER, MIXERS, UNITS, Sizes, random_release

POSITION = f"{ENCODER}encoder.transformer.pos_conv_embed.conv."


class Code:
    """Makes a folder when it is unpickled."""

    def __init__(self, trace):
        self.trace = trace

    def __reduce__(self):
        return os.mkdir, (str(self.trace),)


class Module(torch.nn.Linear):
    pass


def test_names_lose_what_training_put_before_them(tmp_path):
    weights = {"a.weight": torch.ones(2), "b": torch.zeros(1)}
    for wrapped in (
        weights,
        {f"_orig_mod.{name}": value for name, value in weights.items()},
        {f"module._orig_mod.{name}": value for name, value in weights.items()},
        {f"_orig_mod.module.{name}": value for name, value in weights.items()},
        {"model": weights, "epoch": 3},
        {"state_dict": {"model": weights}, "lr": 0.1},
        {"a._orig_mod.weight": weights["a.weight"], "b": weights["b"]},
    ):
        torch.save(wrapped, tmp_path / "x.pth")
        found = read_state(tmp_path / "x.pth")
        assert set(found) == set(weights)
        assert torch.equal(found["a.weight"], weights["a.weight"])
    save_file(weights, tmp_path / "x.safetensors")
    assert set(read_state(tmp_path / "x.safetensors")) == set(weights)


def test_a_name_that_all_share_by_nature_is_no_prefix(tmp_path):
    torch.save({"module.a": torch.ones(1), "b": torch.ones(1)}, tmp_path / "x.pth")
    assert set(read_state(tmp_path / "x.pth")) == {"module.a", "b"}


@pytest.mark.parametrize("how", ["inside", "pickle-2", "pickle-4"])
def test_code_in_a_file_is_named_and_not_run(tmp_path, how):
    trace, file = tmp_path / "trace", tmp_path / "evil.pth"
    if how == "inside":
        torch.save({"a": torch.ones(2), "b": Code(trace)}, file)
    else:
        file.write_bytes(pickle.dumps(Code(trace), protocol=int(how[-1])))
    with pytest.raises(CheckpointError, match=r"evil.pth holds Python code or objects \(.+\), which are never run"):
        read_state(file)
    assert not trace.exists()


def test_what_is_no_state_is_refused_by_name(tmp_path):
    def refused(content, match, name="x.pth"):
        file = tmp_path / name
        if isinstance(content, bytes):
            file.write_bytes(content)
        elif content is not None:
            torch.save(content, file)
        with pytest.raises(CheckpointError, match=match) as caught:
            read_state(file)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)

    refused(None, "is no file; give the released checkpoint", "none.pth")
    refused(b"<html>quota exceeded</html>", r"no checkpoint of torch, or a truncated one \(27 bytes\)")
    refused(b"", "truncated")
    torch.save({"a": torch.zeros(50_000)}, tmp_path / "whole.pth")
    refused((tmp_path / "whole.pth").read_bytes()[:150_000], "truncated one \\(150000 bytes\\); download it again")
    old = tmp_path / "old.pth"
    torch.save({"a": torch.zeros(50_000)}, old, _use_new_zipfile_serialization=False)
    assert set(read_state(old)) == {"a"}
    refused(old.read_bytes()[:150_000], "truncated one \\(150000 bytes\\); download it again")
    refused(b"hello", "no safetensors file, or a truncated one", "x.safetensors")
    refused(Module(2, 2), r"objects \(.*Module\), which are never run here; save the weights alone")
    refused([torch.ones(1)], "holds no weights: it is a list")
    refused({}, "holds no weights: it is an empty table")
    refused({"a": torch.ones(1), "epoch": 3}, r"more than named tensors: epoch \(a int\)")
    refused({"a": torch.ones(1), "_orig_mod.a": torch.ones(1)}, "the same weight with and without")


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("topology", UNITS)
def test_topology_and_sizes_are_read_from_the_names(topology, mixer):
    for n, layers in ((1, 2), (3, 1)):
        sizes = Sizes(topology, mixer, n=n, layers=layers)
        state = random_release(sizes, seed=None)
        found = mambo.read(state)
        settings = {name.removeprefix("model."): value for name, value in found.settings.items()}
        wanted = {"topology": topology, "mixer": mixer, "n": n, "layers": layers, "d_model": 16, "frontend_dim": 128}
        wanted |= {"heads": 4, "pool_hidden": 42}
        wanted |= {} if topology == "mambo2" else {"ffn_hidden": 42}
        wanted |= {} if mixer == "gdn" else {"d_state": 8}
        wanted |= {"head_dim": 8} if mixer in ("mamba2", "hydra", "bimamba2_add") else {}
        assert {name: settings.get(name) for name in wanted} == wanted
        assert settings.keys() - wanted == {"encoder", "encoder_revision", "encoder_config", "data.first_window"}
        # every value is there once, and the mask embedding beside them
        count = sum(tensor.numel() for tensor in state.values())
        assert sum(tensor.numel() for tensor in found.state.values()) == count + sizes.hidden


def test_the_published_size_is_the_papers_encoder_and_count():
    sizes = Sizes(
        n=3, layers=5, hidden=1024, inside=4096, encoder_layers=24, channels=512, positions=128, groups=16, d=128,
        state=64, head=64,
    )  # fmt: skip
    state = random_release(sizes, seed=None)
    assert sum(tensor.numel() for tensor in state.values()) == 319_372_299
    assert sum(name.startswith(ENCODER) for name in state) == 421
    assert sum(tensor.numel() for name, tensor in state.items() if name.startswith(ENCODER)) == 315_437_696
    settings = mambo.read(state).settings
    described = {"name": arch.XLS_R_300M_ID, "revision": arch.XLS_R_300M_REVISION, "variance_floor": 1e-5}
    assert settings["model.encoder_config"] == {**arch.XLS_R_300M, **described}
    assert (settings["model.ffn_hidden"], settings["model.pool_hidden"]) == (341, 341)


def test_both_spellings_of_weight_norm_are_one():
    state = random_release(Sizes())
    old = dict(state)
    for number, name in enumerate(("weight_g", "weight_v")):
        old[POSITION + name] = old.pop(f"{POSITION}parametrizations.weight.original{number}")
    one, other = mambo.read(state).state, mambo.read(old).state
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert bool((one["encoder.model.masked_spec_embed"] == 0).all())


def test_what_is_missing_or_left_over_is_named():
    def refused(match, **changes):
        state = random_release(Sizes(), seed=None)
        for name in changes.get("without", ()):
            del state[name]
        state |= {name: torch.zeros(1) for name in changes.get("more", ())}
        with pytest.raises(CheckpointError, match=match):
            mambo.read(state)

    refused("missing: classifier.bias", without=["classifier.bias"])
    refused(f"missing: {BLOCKS}0.mamba.dt_bias", without=[f"{BLOCKS}0.mamba.dt_bias"])
    refused("left over: aux.bias, aux.weight", more=["aux.weight", "aux.bias"])
    refused(f"left over: {BLOCKS}0.linear.weight", more=[f"{BLOCKS}0.linear.weight"])
    refused(r"left over: .*conv_layers.9.conv.weight", more=[f"{ENCODER}feature_extractor.conv_layers.9.conv.weight"])
    refused(r"missing: .*weight.original1", without=[f"{POSITION}parametrizations.weight.original1"])
    refused(f"missing: {BLOCKS}4\\.", more=[f"{BLOCKS}1000000000000.norm.weight"])
    with pytest.raises(CheckpointError, match=r"its names begin with .*, these are conv.weight"):
        mambo.read({"conv.weight": torch.zeros(1)})
    with pytest.raises(CheckpointError, match="a weight without its axes"):
        mambo.read({**random_release(Sizes(), seed=None), "attention_pool.to_score.weight": torch.zeros(42)})


def test_blocks_that_follow_no_topology_are_refused():
    state = random_release(Sizes(layers=1), seed=None)
    last = {name: tensor for name, tensor in state.items() if name.startswith(f"{BLOCKS}3.")}
    more = {name.replace(f"{BLOCKS}3.", f"{BLOCKS}4."): tensor for name, tensor in last.items()}
    with pytest.raises(CheckpointError, match=r"its 5 blocks \(hydra, ffn, mha, ffn, ffn\) are no repeated unit"):
        mambo.read({**state, **more})
    two = random_release(Sizes("mambo1", "hydra"), seed=None)
    other = random_release(Sizes("mambo1", "mamba2"), seed=None)
    moved = {
        name.replace(f"{BLOCKS}{index}.", f"{BLOCKS}{index + 2}."): tensor
        for index in (0, 1)
        for name, tensor in other.items()
        if name.startswith(f"{BLOCKS}{index}.")
    }
    with pytest.raises(CheckpointError, match=r"\(hydra, ffn, mamba2, ffn\) are no repeated unit .* with one mixer"):
        mambo.read({**two, **moved})


def test_the_encoders_heads_are_told_or_known_or_refused():
    assert mambo.read(random_release(Sizes(), seed=None)).settings["model.encoder_config"]["num_attention_heads"] == 2
    odd = random_release(Sizes(hidden=96), seed=None)
    with pytest.raises(CheckpointError, match=r"96 wide .* give --encoder FOLDER"):
        mambo.read(odd)
    given = {**arch.XLS_R_300M, "hidden_size": 96, "num_attention_heads": 3, "intermediate_size": 48}
    given |= {"num_hidden_layers": 2, "conv_dim": [8] * 7, "num_conv_pos_embeddings": 16}
    given |= {"num_conv_pos_embedding_groups": 4, "normalize": False}
    found = mambo.read(odd, given, "enc/").settings
    assert found["model.encoder"] == "enc/"
    assert found["model.encoder_revision"] is None
    assert {**found["model.encoder_config"]} == {
        **given,
        "normalize": True,
        "variance_floor": 1e-5,
        "name": "enc/",
        "revision": None,
    }
    with pytest.raises(CheckpointError, match=r"not that of enc/: num_hidden_layers is 2 and not 3"):
        mambo.read(odd, {**given, "num_hidden_layers": 3}, "enc/")
    with pytest.raises(CheckpointError, match="feat_extract_norm is layer and not group"):
        mambo.read(odd, {**given, "feat_extract_norm": "group"}, "enc/")


@pytest.mark.parametrize("floor", [0, -1e-5, True, "small", float("nan")])
def test_a_variance_floor_is_a_number_above_0(floor):
    arch.check({**arch.XLS_R_300M, "variance_floor": 1e-5}, "here")
    with pytest.raises(ConfigError, match="here: variance_floor is"):
        arch.check({**arch.XLS_R_300M, "variance_floor": floor}, "here")
