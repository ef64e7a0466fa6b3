"""The XLSR-MamBo release (2601.02944, saki-ciallo/XLSR-MamBo, MIT): its names under ours, its sizes from its names.

The encoder in it is torchaudio's XLS-R 300M, fine-tuned; the mixers are mamba-ssm's, hydra's and fla's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from auricle.backbones.architecture import DEFAULTS, XLS_R_300M, XLS_R_300M_ID, XLS_R_300M_REVISION
from auricle.backbones.released import Released, some
from auricle.core.errors import CheckpointError

VARIANCE_FLOOR = 1e-5  # of torchaudio's layer norm over the waveform
HEADS = 4  # of the attention blocks: in every configuration of the release, and in no shape
HEAD_WIDTH = 64  # of the encoder's heads, as in all wav2vec 2.0 models
NOTES = (
    "the release normalises a clip together with its batch mates and scores in bfloat16; here each clip is normalised "
    "alone, in float32: scores of one clip differ, most where the level of the batch mates does",
    "only the first 4.175 s of a file are heard, as in the release (data.first_window)",
    f"the attention blocks are taken to have {HEADS} heads, as in the release's code; the weights do not tell",
)

_CONV = "conv1d.weight", "conv1d.bias"
_MAMBA2 = ("A_log", "D", "dt_bias", "in_proj.weight", "norm.weight", "out_proj.weight", *_CONV)
_MAMBA = ("A_log", "D", "in_proj.weight", "x_proj.weight", "dt_proj.weight", "dt_proj.bias", "out_proj.weight", *_CONV)
_GDN = ("A_log", "dt_bias", "o_norm.weight", "o_proj.weight")
_MHA = ("in_proj.weight", "in_proj.bias", "out_proj.weight", "out_proj.bias", *_CONV)
_RENAMED = {
    "conv1d.weight": "conv.weight",
    "conv1d.bias": "conv.bias",
    "fc_D.weight": "diagonal.weight",
    "o_norm.weight": "norm.weight",
    "o_proj.weight": "out_proj.weight",
}
_TOPOLOGIES = {  # of kinds s (state space), f (feed-forward), a (attention): a unit, repeated
    "mambo1": r"((s+)f)\1*",
    "mambo2": r"((s+)a)\1*",
    "mambo3": r"((s+)faf)\1*",
    "mambo4": r"((s+)f\2a)\1*",
}
_ENCODER, _BLOCKS = "feature_extractor.model.model.", "stacked_mamba2.layers.layers."
_ENDS = {
    "project.weight": "input_proj.input_proj.weight",
    "project_norm.weight": "input_proj.norm.weight",
    "final_norm.weight": "stacked_mamba2.layers.norm.weight",
    "pool.in_proj.weight": "attention_pool.gate_value_proj.weight",
    "pool.score.weight": "attention_pool.to_score.weight",
    "head.weight": "classifier.weight",  # row 1 is bona fide there too
    "head.bias": "classifier.bias",
}
_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "out_proj")

Names = dict[str, tuple[str, ...]]  # our name -> theirs, which are put together along the first axis


def read(state: Mapping[str, Tensor], encoder: Mapping[str, Any] | None = None, folder: str | None = None) -> Released:
    """Read a state of the release.

    Topology, mixer, N, L and every width are read from names and shapes. Two things are in neither: the heads of the
    attention blocks (4, as in its code), and those of the encoder: 16 in XLS-R 300M, whose width is 1024; else
    `encoder` says it; else a head is 64 wide.

    Args:
        state: name to tensor, as from `auricle.backbones.released.read_state`.
        encoder: architecture of the encoder, where it is not XLS-R 300M.
        folder: where that architecture is from.

    Returns:
        Our settings and weights.

    Raises:
        CheckpointError: not this release; names are missing or left over, blocks follow no topology, or the encoder is
            not the one that was given.
    """
    blocks = _blocks(state)
    kinds = [_kind(names) for names in blocks]
    names = _names(state, kinds)
    wanted = [one for theirs in names.values() for one in theirs]
    missing, left = [one for one in wanted if one not in state], sorted(state.keys() - set(wanted))
    if missing or left:
        faults = [f"{what}: {some(found)}" for what, found in (("missing", missing), ("left over", left)) if found]
        raise CheckpointError(f"no whole state of the XLSR-MamBo release; {'; '.join(faults)}")
    try:
        settings = _sizes(state, kinds)
        described = _encoder(state, encoder, folder)
    except (IndexError, ValueError, ZeroDivisionError) as error:
        raise CheckpointError(f"no state of the XLSR-MamBo release: a weight without its axes ({error})") from None
    settings |= {"model.encoder": described["name"], "model.encoder_revision": described["revision"]}
    settings |= {"model.encoder_config": described, "data.first_window": True}
    ours = {name: _together(name, [state[one] for one in theirs]) for name, theirs in names.items()}
    place = state[_ENDS["head.bias"]].device
    ours["encoder.model.masked_spec_embed"] = torch.zeros(described["hidden_size"], device=place)  # torchaudio has none
    return Released(settings, ours, NOTES)


def _blocks(state: Mapping[str, Tensor]) -> list[list[str]]:
    """Give the names in each block, in the order of the blocks."""
    found: dict[int, list[str]] = {}
    for name in state:
        if inside := re.fullmatch(re.escape(_BLOCKS) + r"(\d+)\.(.+)", name):
            found.setdefault(int(inside[1]), []).append(inside[2])
    if not found or not any(name.startswith(_ENCODER) for name in state):
        raise CheckpointError(
            f"no state of the XLSR-MamBo release: its names begin with {_BLOCKS}0 and {_ENCODER}, these are "
            f"{some(sorted(state), 3)}"
        )
    gap = next((index for index in range(len(found)) if index not in found), None)
    if gap is not None:
        raise CheckpointError(f"no whole state of the XLSR-MamBo release; missing: {_BLOCKS}{gap}.*")
    return [found[index] for index in range(len(found))]


def _kind(names: Sequence[str]) -> str:
    """Tell from the names in a block what it is: ``ffn``, ``mha`` or the name of a mixer."""
    modules = {name.partition(".")[0] for name in names}
    for module, kind in (("mlp", "ffn"), ("mha", "mha"), ("gdn", "gdn")):
        if module in modules:
            return kind
    if "mamba2_f" in modules:
        return "bimamba2_add"
    if "mamba_f" in modules:
        return "bimamba_add"
    if "mamba.fc_D.weight" in names:
        return "hydra"
    return "mamba" if "mamba.x_proj.weight" in names else "mamba2"


def _names(state: Mapping[str, Tensor], kinds: Sequence[str]) -> Names:
    """Give every name that our network has, with theirs."""
    names: Names = {f"mambo.back.{ours}": (theirs,) for ours, theirs in _ENDS.items()}
    for index, kind in enumerate(kinds):
        block, ours = f"{_BLOCKS}{index}.", f"mambo.back.blocks.{index}."
        names[f"{ours}norm.weight"] = (f"{block}norm.weight",)
        for name, theirs in _mixer(kind):
            names[f"{ours}mixer.{name}"] = tuple(block + one for one in theirs)
    for name, other in _encoder_names(state):
        names[f"encoder.model.{name}"] = (_ENCODER + other,)
    return names


def _mixer(kind: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Give our names within a block's mixer, with theirs."""
    if kind == "gdn":
        yield "in_proj.weight", tuple(f"gdn.{one}_proj.weight" for one in "qkvgba")
        yield "conv.weight", tuple(f"gdn.{one}_conv1d.weight" for one in "qkv")
    if kind == "ffn":
        yield "in_proj.weight", ("mlp.w1_w3_combined.weight",)
        yield "out_proj.weight", ("mlp.w2_out.weight",)
    parts: dict[str, tuple[tuple[str, str, Sequence[str]], ...]] = {
        "gdn": (("", "gdn.", _GDN),),
        "mha": (("", "mha.", _MHA),),
        "mamba": (("", "mamba.", _MAMBA),),
        "mamba2": (("", "mamba.", _MAMBA2),),
        "hydra": (("", "mamba.", (*_MAMBA2, "fc_D.weight")),),
        "bimamba_add": (("ahead.", "mamba_f.", _MAMBA), ("behind.", "mamba_b.", _MAMBA)),
        "bimamba2_add": (("ahead.", "mamba2_f.", _MAMBA2), ("behind.", "mamba2_b.", _MAMBA2)),
    }
    for ours, theirs, names in parts.get(kind, ()):
        for name in names:
            yield ours + _RENAMED.get(name, name), (theirs + name,)


def _encoder_names(state: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Give the encoder's names in Transformers and in torchaudio, without their beginnings."""
    both = [f"feature_projection.{part}.{kind}" for part in ("layer_norm", "projection") for kind in ("weight", "bias")]
    both += [f"layer_norm.{kind}" for kind in ("weight", "bias")]
    parts = [f"attention.{one}" for one in _PROJECTIONS] + ["layer_norm", "final_layer_norm"]
    parts += ["feed_forward.intermediate_dense", "feed_forward.output_dense"]
    for layer in range(_count(state, _ENCODER + "encoder.transformer.layers.")):
        both += [f"layers.{layer}.{part}.{kind}" for part in parts for kind in ("weight", "bias")]
    for name in both:
        if name.startswith("feature_projection"):
            yield name, f"encoder.{name}"
        else:
            yield f"encoder.{name}", f"encoder.transformer.{name}"
    for layer in range(_count(state, _ENCODER + "feature_extractor.conv_layers.")):
        for part in ("conv.weight", "conv.bias", "layer_norm.weight", "layer_norm.bias"):
            yield (f"feature_extractor.conv_layers.{layer}.{part}",) * 2
    position = "pos_conv_embed.conv."
    yield f"encoder.{position}bias", f"encoder.transformer.{position}bias"
    old = f"{_ENCODER}encoder.transformer.{position}weight_g" in state  # before torch 2.0's weight norm
    for number, name in enumerate(("weight_g", "weight_v")):
        new = f"parametrizations.weight.original{number}"
        yield f"encoder.{position}{new}", f"encoder.transformer.{position}{name if old else new}"


def _count(state: Mapping[str, Tensor], beginning: str) -> int:
    """Count the layers whose names begin so, at least one; those after a gap are left over."""
    numbers = {name.removeprefix(beginning).partition(".")[0] for name in state if name.startswith(beginning)}
    return max(len(numbers), 1)


def _sizes(state: Mapping[str, Tensor], kinds: Sequence[str]) -> dict[str, Any]:
    """Read the settings of the back end."""
    mixers = sorted(set(kinds) - {"ffn", "mha"})
    letters = "".join({"ffn": "f", "mha": "a"}.get(kind, "s") for kind in kinds)
    found = {name: unit for name, shape in _TOPOLOGIES.items() if (unit := re.fullmatch(shape, letters))}
    if len(mixers) != 1 or not found:
        raise CheckpointError(
            f"no state of the XLSR-MamBo release: its {len(kinds)} blocks ({some(list(kinds), 12)}) are no repeated "
            "unit of MamBo-1 to MamBo-4 with one mixer"
        )
    (topology, unit), mixer = next(iter(found.items())), mixers[0]
    d_model, width = state[_ENDS["project.weight"]].shape
    settings: dict[str, Any] = {
        "model.topology": topology,
        "model.mixer": mixer,
        "model.n": len(unit[2]),
        "model.layers": len(kinds) // len(unit[1]),
        "model.d_model": d_model,
        "model.frontend_dim": width,
        "model.heads": HEADS,
        "model.pool_hidden": state[_ENDS["pool.score.weight"]].shape[1],
    }
    if "ffn" in kinds:
        settings["model.ffn_hidden"] = state[f"{_BLOCKS}{kinds.index('ffn')}.mlp.w2_out.weight"].shape[1]
    if mixer != "gdn":
        inside = {"bimamba_add": "mamba_f", "bimamba2_add": "mamba2_f"}.get(mixer, "mamba")
        block = f"{_BLOCKS}{kinds.index(mixer)}.{inside}."
        inner, decays = state[f"{block}out_proj.weight"].shape[1], state[f"{block}A_log"].shape
        if mixer.startswith(("mamba2", "bimamba2", "hydra")):
            groups = 4 if mixer == "hydra" else 2  # B and C, of each direction
            settings["model.d_state"] = (state[f"{block}conv1d.weight"].shape[0] - inner) // groups
            settings["model.head_dim"] = inner // decays[0]
        else:
            settings["model.d_state"] = decays[1]
    return settings


def _encoder(state: Mapping[str, Tensor], given: Mapping[str, Any] | None, folder: str | None) -> dict[str, Any]:
    """Describe the encoder inside the release."""
    layer, convs = "encoder.transformer.layers.", "feature_extractor.conv_layers."
    counts = [_count(state, _ENCODER + one) for one in (layer, convs)]
    position = next(name for name in state if re.search(r"pos_conv_embed\.conv\..*(weight_v|original1)$", name))
    kernels = [state[f"{_ENCODER}{convs}{index}.conv.weight"].shape for index in range(counts[1])]
    hidden = state[f"{_ENCODER}encoder.feature_projection.projection.weight"].shape[0]
    seen: dict[str, Any] = {
        "model_type": "wav2vec2",
        "hidden_size": hidden,
        "num_hidden_layers": counts[0],
        "intermediate_size": state[f"{_ENCODER}{layer}0.feed_forward.intermediate_dense.weight"].shape[0],
        "conv_dim": [shape[0] for shape in kernels],
        "conv_kernel": [shape[2] for shape in kernels],
        "num_conv_pos_embeddings": state[position].shape[2],
        "num_conv_pos_embedding_groups": hidden // state[position].shape[1],
        **{key: XLS_R_300M[key] for key in ("feat_extract_norm", "conv_bias", "do_stable_layer_norm")},
    }
    if given is not None:
        other = [key for key, value in seen.items() if given.get(key) != value]
        if other:
            raise CheckpointError(
                f"the encoder in this release is not that of {folder}: "
                + ", ".join(f"{key} is {seen[key]} and not {given.get(key)}" for key in other[:3])
            )
        return {**given, "normalize": True, "variance_floor": VARIANCE_FLOOR, "name": folder, "revision": None}
    usual = seen["conv_kernel"] == DEFAULTS["conv_kernel"] and hidden % HEAD_WIDTH == 0
    if not usual:
        raise CheckpointError(
            f"the encoder in this release is {hidden} wide with kernels {seen['conv_kernel']}: its heads and strides "
            "are not in the weights; give --encoder FOLDER with its config.json"
        )
    heads = XLS_R_300M["num_attention_heads"] if hidden == XLS_R_300M["hidden_size"] else hidden // HEAD_WIDTH
    values = {**XLS_R_300M, **seen, "num_attention_heads": heads, "variance_floor": VARIANCE_FLOOR}
    return {**values, "name": XLS_R_300M_ID, "revision": XLS_R_300M_REVISION}


def _together(name: str, tensors: Sequence[Tensor]) -> Tensor:
    """Join what is one weight here; depthwise filters lose their middle axis."""
    joined = torch.cat(list(tensors)) if len(tensors) > 1 else tensors[0]
    depthwise = name.startswith("mambo.back.blocks.") and name.endswith("conv.weight") and joined.ndim == 3
    return joined.squeeze(1) if depthwise else joined
