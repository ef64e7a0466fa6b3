"""The maps of AASIST, AASIST-L and XLS-R + AASIST: strict both ways, sizes from shapes, nothing guessed in silence."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from auricle.backbones.released import aasist, xlsr_aasist
from auricle.core.errors import CheckpointError
from auricle.nn.aasist import AASIST
from tests import released_aasist as release


def raw_state(sizes):
    return release.random_state(release.shapes(sizes))


def ssl_state(sizes=release.SMALL, encoder=None, width=24):
    encoder = encoder or release.Encoder()
    return release.random_state({**release.shapes(sizes, width), **release.encoder_shapes(encoder, width)})


@pytest.mark.parametrize(
    ("sizes", "parameters"), [(release.FULL, 297_866), (release.LIGHT, 85_306), (release.SMALL, None)]
)
def test_every_released_name_has_one_of_ours(sizes, parameters):
    state = raw_state(sizes)
    learned = [tensor for name, tensor in state.items() if "running_" not in name and "num_batches" not in name]
    assert parameters in (None, sum(tensor.numel() for tensor in learned))
    found = aasist.read(state)
    assert found.settings["detector.frontend_dim"] == sizes.filters
    assert found.settings["detector.channels"] == [sizes.narrow, sizes.wide]
    assert found.settings["detector.graph"] == [sizes.plain, sizes.hetero]
    assert found.settings["detector.keep"] == list(sizes.keep)
    assert (aasist.UNKNOWN_KEEP in found.notes) == (parameters is None)
    graph = (sizes.plain, sizes.hetero)
    network = AASIST(sizes.filters, None, (sizes.narrow, sizes.wide), graph, dead_norm=True, maxima=True)
    body = {name.removeprefix("body."): tensor for name, tensor in found.state.items() if name.startswith("body.")}
    network.load_state_dict(body)  # strict
    assert found.state.keys() - {f"body.{name}" for name in body} == {"scale"}
    assert len(body) == len(state)


def test_an_encoder_is_read_with_its_sizes_and_without_what_only_trained_it():
    encoder = release.Encoder(hidden=128, inside=40, layers=3, channels=12, positions=8, groups=8)
    state = ssl_state(encoder=encoder)
    found = xlsr_aasist.read(state)
    config = found.settings["detector.encoder_config"]
    kept = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_conv_pos_embeddings")
    assert [config[key] for key in kept] == [128, 40, 3, 2, 8]
    assert (config["conv_dim"], config["num_conv_pos_embedding_groups"]) == ([12] * 7, 8)
    assert (found.settings["detector.width"], found.settings["detector.frontend_dim"]) == (24, 128)
    assert found.settings["detector.normalize"] is False
    skipped = [name for name in state if any(part in name for part in ("quantizer", "project_q", "final_proj"))]
    assert len(skipped) == 5
    assert len(found.state) == len(state) - len(skipped) + 1  # and the scale, which it does not have


@pytest.mark.parametrize("kind", ["raw", "ssl"])
def test_what_is_missing_or_left_over_is_named(kind):
    state, read = (raw_state(release.SMALL), aasist.read) if kind == "raw" else (ssl_state(), xlsr_aasist.read)
    with pytest.raises(CheckpointError, match=r"no whole state of .*; missing: encoder\.2\.0\.conv_downsample$"):
        read({name: tensor for name, tensor in state.items() if "2.0.conv_downsample" not in name})
    with pytest.raises(CheckpointError, match=r"missing: encoder\.0\.0\.conv1\.weight$"):
        read({name: tensor for name, tensor in state.items() if name != "encoder.0.0.conv1.weight"})
    with pytest.raises(CheckpointError, match=r"left over: encoder\.6\.0\.conv1\.weight, surplus$"):
        read({**state, "surplus": torch.zeros(1), "encoder.6.0.conv1.weight": torch.zeros(1)})
    with pytest.raises(
        CheckpointError, match=r"pos_S has the shape \(8,\), needed are 3 axes|conv1.weight has the shape"
    ):
        read({**state, "pos_S": torch.zeros(8), "encoder.0.0.conv1.weight": torch.zeros(4, 1)})
    with pytest.raises(
        CheckpointError, match=r"missing: GAT_layer_S\.att_proj, .* and \d+ more; left over: classifier"
    ):
        read({"classifier.weight": torch.zeros(2, 2)})


def test_layers_of_an_encoder_after_a_gap_and_unknown_encoders_are_refused():
    state = ssl_state()
    layer = f"{release.ENCODER}encoder.layers."
    gap = {name.replace(f"{layer}1.", f"{layer}4."): tensor for name, tensor in state.items()}
    with pytest.raises(CheckpointError, match=r"missing: ssl_model.model.encoder.layers.1\..*left over: .*layers.4\."):
        xlsr_aasist.read(gap)
    with pytest.raises(CheckpointError, match=r"48 wide .* its heads and strides are not in the weights"):
        xlsr_aasist.read(ssl_state(encoder=replace(release.Encoder(), hidden=48)))
