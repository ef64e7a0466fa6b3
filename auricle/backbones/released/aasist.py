"""AASIST and AASIST-L (2110.01200, clovaai/aasist, MIT): their names under ours, their sizes from the shapes.

The fixed filters of the front end are in no file. `renamed` and `sizes` serve every release with this back end.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from auricle.backbones.released import Released, some
from auricle.core.errors import CheckpointError

NAME = "the AASIST release"
FILTERS = 70  # of the front end; the file holds only the third of it that pooling leaves
SAMPLES, RATE_HZ = 64_600, 16_000
# Shares of nodes that the poolings keep, by the widths of the nodes: in the release's configurations, and in no weight.
KEEP = {(64, 64): (0.5, 0.7, 0.5), (24, 24): (0.4, 0.5, 0.7)}
NOTES = (
    f"a file is heard as in the release (detector.hearing): its first {SAMPLES / RATE_HZ:.4g} s, silence and level as "
    "they are, tiled where it is shorter; its score is the logit of bona fide alone",
    "the release reads files of 16 kHz; others are resampled here",
)
UNKNOWN_KEEP = "the shares of nodes that poolings keep are not in the weights; those of AASIST were taken"

_NODES = {  # of a layer of graph attention
    "att_proj": "pair",
    "att_projM": "pair_master",
    "att_weight": "score",
    "att_weight11": "score_first",
    "att_weight22": "score_second",
    "att_weight12": "score_across",
    "att_weightM": "score_master",
    "proj_type1": "kinds.0",  # time in both
    "proj_type2": "kinds.1",
    "proj_with_att": "with_attention",
    "proj_without_att": "without_attention",
    "proj_with_attM": "master_with",
    "proj_without_attM": "master_without",
    "bn": "norm",
}
_PLAIN = ("att_proj", "att_weight", "proj_with_att", "proj_without_att", "bn")
_BLOCK = {"bn1": "before.0", "conv1": "first", "bn2": "norm", "conv2": "second", "conv_downsample": "beside"}
_AXES = {"S": "bands", "T": "time"}
_BLOCKS = 6  # of the residual encoder
_WIDER = (0, 2)  # those of them whose channels change


def names() -> dict[str, str]:
    """Give the released name of every part after the front end, with ours; a part is a parameter, or a module."""
    found = {"first_bn": "norm", "pos_S": "position", "out_layer": "head"}
    for index in range(_BLOCKS):
        parts = {key for key in _BLOCK if (key != "bn1" or index) and (key != "conv_downsample" or index in _WIDER)}
        found |= {f"encoder.{index}.0.{key}": f"encoder.{index}.{_BLOCK[key]}" for key in sorted(parts)}
    for axis, ours in _AXES.items():
        found |= {f"GAT_layer_{axis}.{key}": f"graph_{ours}.{_NODES[key]}" for key in _PLAIN}
        found[f"pool_{axis}.proj"] = f"pool_{ours}.score"
        found |= {f"pool_h{axis}{way}.proj": f"branches.{way - 1}.pool_{ours}.score" for way in (1, 2)}
    for way in (1, 2):
        found[f"master{way}"] = f"branches.{way - 1}.master"
        for layer, ours in ((1, "first"), (2, "second")):
            parts = _NODES.keys() - {"att_weight"}
            found |= {
                f"HtrgGAT_layer_ST{way}{layer}.{key}": f"branches.{way - 1}.{ours}.{_NODES[key]}"
                for key in sorted(parts)
            }
    return found


def renamed(state: Mapping[str, Tensor], wanted: Mapping[str, str], release: str) -> dict[str, Tensor]:
    """Give a state under our names, strict both ways.

    Args:
        state: name to tensor, as released.
        wanted: released parts, each with ours, as from `names`.
        release: what to call it in an error.

    Raises:
        CheckpointError: parts that are missing, names that belong to none, or a norm that is not whole.
    """
    ours: dict[str, Tensor] = {}
    left = []
    for name, tensor in state.items():
        part, _, leaf = name.rpartition(".")
        if name in wanted:
            ours[wanted[name]] = tensor
        elif part in wanted:
            ours[f"{wanted[part]}.{leaf}"] = tensor
        else:
            left.append(name)
    missing = [part for part in wanted if not _there(part, state)]
    if missing or left:
        faults = [
            f"{what}: {some(sorted(found))}" for what, found in (("missing", missing), ("left over", left)) if found
        ]
        raise CheckpointError(f"no whole state of {release}; {'; '.join(faults)}")
    return ours


def _there(part: str, state: Mapping[str, Tensor]) -> bool:
    return part in state or any(name in state for name in (f"{part}.weight", f"{part}.bias"))


def axes(state: Mapping[str, Tensor], name: str, count: int, release: str) -> tuple[int, ...]:
    """Give the shape of a weight that must have so many axes.

    Raises:
        CheckpointError: it has others, or is not there.
    """
    if name not in state:
        raise CheckpointError(f"no whole state of {release}; missing: {name}")
    shape = tuple(state[name].shape)
    if len(shape) != count:
        raise CheckpointError(f"no state of {release}: {name} has the shape {shape}, needed are {count} axes")
    return shape


def back_end(state: Mapping[str, Tensor], release: str) -> dict[str, Any]:
    """Read the sizes of the residual encoder and of the graphs, as settings of a detector.

    Raises:
        CheckpointError: a weight is missing or has too few axes.
    """
    layers = ("GAT_layer_S", "HtrgGAT_layer_ST11")
    channels = [axes(state, f"encoder.{index}.0.conv1.weight", 4, release)[0] for index in (0, _BLOCKS - 1)]
    graph = [axes(state, f"{layer}.proj_with_att.weight", 2, release)[0] for layer in layers]
    return {
        "detector.segment_s": SAMPLES / RATE_HZ,
        "detector.channels": channels,
        "detector.graph": graph,
        "detector.dead_norm": True,
        "detector.hearing": "released",
    }


def read(state: Mapping[str, Tensor]) -> Released:
    """Read a state of the release; every width is read from shapes, and the poolings' shares follow from the widths.

    Args:
        state: name to tensor, as from `auricle.backbones.released.read_state`.

    Returns:
        Settings and weights of a detector of ``voice_auth``.

    Raises:
        CheckpointError: not this release; names are missing or left over.
    """
    ours = renamed(state, names(), NAME)
    settings = back_end(state, NAME)
    widths = (settings["detector.channels"][1], settings["detector.graph"][0])
    bands = axes(state, "pos_S", 3, NAME)[1]
    filters = FILTERS if bands == FILTERS // 3 else 3 * bands
    settings |= {
        "detector.frontend": "raw",
        "detector.frontend_dim": filters,
        "detector.width": None,
        "detector.keep": list(KEEP.get(widths, KEEP[64, 64])),
        "detector.normalize": None,
        **dict.fromkeys(("detector.encoder", "detector.encoder_revision", "detector.encoder_config")),
    }
    weights = {f"body.{name}": tensor for name, tensor in ours.items()} | {"scale": torch.ones(filters)}
    return Released(settings, weights, NOTES if widths in KEEP else (*NOTES, UNKNOWN_KEEP))
