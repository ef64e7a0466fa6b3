"""XLS-R + AASIST (2202.12233, TakHemlata/SSL_Anti-spoofing, MIT): its names under ours, its sizes from the shapes.

The encoder in it is fairseq's XLS-R 300M, fine-tuned; what only its pre-training used is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from auricle.backbones.architecture import DEFAULTS, XLS_R_300M, XLS_R_300M_ID, XLS_R_300M_REVISION
from auricle.backbones.released import Released, aasist
from auricle.core.errors import CheckpointError

NAME = "the XLS-R + AASIST release"
ENCODER, OURS = "ssl_model.model.", "encoder.model."
PRETRAINING = ("quantizer.", "project_q.", "final_proj.")  # parts of fairseq's model that give no frames
HEAD_WIDTH = 64  # of the encoder's heads, as in all wav2vec 2.0 models; it is in no shape
NOTES = (
    *aasist.NOTES,
    "XLS-R hears the waveform as it is, as in the release (detector.normalize), although it was trained on normalised "
    "ones",
)

_ATTENTION = ("q_proj", "k_proj", "v_proj", "out_proj")
_LAYER = {
    **{f"self_attn.{one}": f"attention.{one}" for one in _ATTENTION},
    "self_attn_layer_norm": "layer_norm",
    "fc1": "feed_forward.intermediate_dense",
    "fc2": "feed_forward.output_dense",
    "final_layer_norm": "final_layer_norm",
}


def read(state: Mapping[str, Tensor]) -> Released:
    """Read a state of the release; the widths of both halves and the encoder's depth are read from names and shapes.

    Args:
        state: name to tensor, as from `auricle.backbones.released.read_state`.

    Returns:
        Settings and weights of a detector of ``voice_auth``.

    Raises:
        CheckpointError: not this release; names are missing or left over, or an encoder whose heads are not known.
    """
    kept = {
        name: tensor for name, tensor in state.items() if not name.startswith(tuple(map(ENCODER.__add__, PRETRAINING)))
    }
    body = aasist.names() | {"LL": "project", "first_bn1": "encoder_norm"}
    body |= {f"attention.{index}": f"attention.{index}" for index in (0, 2, 3)}
    wanted = {theirs: f"body.{ours}" for theirs, ours in body.items()} | dict(_encoder_names(kept))
    weights = aasist.renamed(kept, wanted, NAME)
    encoder, (width, dim) = _encoder(kept), aasist.axes(state, "LL.weight", 2, NAME)
    settings = aasist.back_end(kept, NAME) | {
        "detector.frontend": "ssl",
        "detector.frontend_dim": dim,
        "detector.width": width,
        "detector.normalize": False,
        "detector.encoder": XLS_R_300M_ID,
        "detector.encoder_revision": XLS_R_300M_REVISION,
        "detector.encoder_config": {**encoder, "name": XLS_R_300M_ID, "revision": XLS_R_300M_REVISION},
    }
    return Released(settings, weights | {"scale": torch.ones(dim)}, NOTES)


def _encoder_names(state: Mapping[str, Tensor]) -> Iterator[tuple[str, str]]:
    """Give the encoder's parts in fairseq and in Transformers."""
    pairs = {
        "mask_emb": "masked_spec_embed",
        "post_extract_proj": "feature_projection.projection",
        "layer_norm": "feature_projection.layer_norm",
        "encoder.layer_norm": "encoder.layer_norm",
        "encoder.pos_conv.0.bias": "encoder.pos_conv_embed.conv.bias",
        # fairseq's weight norm is the older one of torch
        "encoder.pos_conv.0.weight_g": "encoder.pos_conv_embed.conv.parametrizations.weight.original0",
        "encoder.pos_conv.0.weight_v": "encoder.pos_conv_embed.conv.parametrizations.weight.original1",
    }
    for index in range(_count(state, "feature_extractor.conv_layers.")):
        layer = f"feature_extractor.conv_layers.{index}."
        pairs |= {f"{layer}0": f"{layer}conv", f"{layer}2.1": f"{layer}layer_norm"}
    for index in range(_count(state, "encoder.layers.")):
        layer = f"encoder.layers.{index}."
        pairs |= {layer + theirs: layer + ours for theirs, ours in _LAYER.items()}
    for theirs, ours in pairs.items():
        yield ENCODER + theirs, OURS + ours


def _count(state: Mapping[str, Tensor], beginning: str) -> int:
    """Count the layers whose names begin so, at least one; those after a gap are left over."""
    beginning = ENCODER + beginning
    numbers = {name.removeprefix(beginning).partition(".")[0] for name in state if name.startswith(beginning)}
    return max(len(numbers), 1)


def _encoder(state: Mapping[str, Tensor]) -> dict[str, Any]:
    """Describe the encoder inside the release."""

    def shape(name: str, count: int) -> tuple[int, ...]:
        return aasist.axes(state, ENCODER + name, count, NAME)

    layers, convs = _count(state, "encoder.layers."), _count(state, "feature_extractor.conv_layers.")
    kernels = [shape(f"feature_extractor.conv_layers.{index}.0.weight", 3) for index in range(convs)]
    hidden, position = shape("post_extract_proj.weight", 2)[0], shape("encoder.pos_conv.0.weight_v", 3)
    if [kernel[2] for kernel in kernels] != DEFAULTS["conv_kernel"] or hidden % HEAD_WIDTH:
        raise CheckpointError(
            f"the encoder in this release is {hidden} wide with kernels {[kernel[2] for kernel in kernels]}, and no "
            "wav2vec 2.0: its heads and strides are not in the weights"
        )
    return {
        **XLS_R_300M,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": hidden // HEAD_WIDTH,
        "intermediate_size": shape("encoder.layers.0.fc1.weight", 2)[0],
        "conv_dim": [kernel[0] for kernel in kernels],
        "num_conv_pos_embeddings": position[2],
        "num_conv_pos_embedding_groups": hidden // position[1],
    }
