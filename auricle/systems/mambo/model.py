"""The MamBo detector: projection, hybrid backbone of mixers and attention, gated pooling, two logits.

Paper: XLSR-MamBo (arXiv 2601.02944), released code saki-ciallo/XLSR-MamBo for what the paper leaves open.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import ConfigError, DataError
from auricle.nn.attention import MultiHeadAttention
from auricle.nn.feedforward import SwiGLU
from auricle.nn.masking import check_frames, zero_masked
from auricle.nn.norm import RMSNorm
from auricle.nn.pooling import GatedAttentionPooling
from auricle.nn.ssm.bidirectional import Bidirectional
from auricle.nn.ssm.gated_delta import GatedDeltaNet
from auricle.nn.ssm.hydra import Hydra
from auricle.nn.ssm.mamba import Mamba
from auricle.nn.ssm.mamba2 import Mamba2
from auricle.nn.ssm.mixer import Mixer
from auricle.systems.mambo.config import ModelConfig, Topology


@dataclass(frozen=True)
class Output:
    """What the detector returns.

    Attributes:
        logits: (B, 2), columns spoof and bona fide.
        frame_logits: (B, T', 2), the same two per frame.
        frame_mask: (B, T') bool, True where a frame is real.
        embedding: (B, D), the pooled vector under the head.
    """

    logits: Tensor
    frame_logits: Tensor
    frame_mask: Tensor
    embedding: Tensor


def score(output: Output) -> Tensor:
    """Clip score, higher = more bona fide.

    Args:
        output: of the detector.

    Returns:
        (B,) logit of bona fide less logit of spoof.
    """
    bonafide: Tensor = output.logits[:, 1] - output.logits[:, 0]
    return bonafide


def make_mixer(cfg: ModelConfig) -> Mixer:
    """Build a state-space mixer.

    Raises:
        ConfigError: a size that this mixer does not have.
    """
    given = {"d_state": cfg.d_state, "head_dim": cfg.head_dim}
    sizes = {name: size for name, size in given.items() if size is not None}
    kind, _, join = cfg.mixer.partition("_")
    allowed = {"gdn": set(), "mamba": {"d_state"}, "bimamba": {"d_state"}}.get(kind, set(given))
    if extra := sorted(sizes.keys() - allowed):
        raise ConfigError(f"mixer {cfg.mixer!r} has no setting {', '.join(extra)}; leave it at None")
    if kind == "gdn":
        return GatedDeltaNet(cfg.d_model, cfg.heads)
    if kind == "hydra":
        return Hydra(cfg.d_model, **sizes)
    causal = Mamba if kind in ("mamba", "bimamba") else Mamba2
    if join in ("add", "concat"):
        return Bidirectional(cfg.d_model, lambda: causal(cfg.d_model, **sizes), "add" if join == "add" else "concat")
    return causal(cfg.d_model, **sizes)


def unit(topology: Topology, n: int) -> list[str]:
    """Name the blocks in one unit of a topology: ``ssm``, ``ffn`` and ``mha``.

    Args:
        topology: which one.
        n: N, the mixers (or, in a Transformer, the layers) in a row.
    """
    mixers = ["ssm"] * n
    units = {
        "mambo1": [*mixers, "ffn"],
        "mambo2": [*mixers, "mha"],
        "mambo3": [*mixers, "ffn", "mha", "ffn"],
        "mambo4": [*mixers, "ffn", *mixers, "mha"],
        "transformer": ["mha", "ffn"] * n,
    }
    return units[topology]


class Block(nn.Module):
    """RMSNorm and a mixer on a residual stream that stays in float32."""

    def __init__(self, d_model: int, mixer: nn.Module) -> None:
        super().__init__()
        self.norm = RMSNorm(d_model)
        self.mixer = mixer

    def forward(self, residual: Tensor, mask: Tensor | None) -> Tensor:
        """Add the mixer's output to the residual stream (B, T, D)."""
        mixed: Tensor = self.mixer(self.norm(residual), mask)
        return residual + mixed.to(residual.dtype)


class ConvFrontEnd(nn.Module):
    """Two convolutions that bring 10 ms spectral frames to 20 ms frames of width D.

    Normalisation is per frame: a batch norm would let padding and batch mates change a clip's score.
    """

    def __init__(self, in_dim: int, d_model: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(in_dim, d_model, 3, padding=1)
        self.second = nn.Conv1d(d_model, d_model, 3, stride=2, padding=1)
        self.norms = nn.ModuleList([RMSNorm(d_model), RMSNorm(d_model)])

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Halve the frame rate.

        Args:
            x: (B, T, F), zero at padded frames.
            mask: (B, T) bool or None.

        Returns:
            (B, ceil(T / 2), D) and its mask.
        """
        x = F.silu(self.norms[0](self.first(x.transpose(1, 2)).transpose(1, 2)))
        x = zero_masked(x, mask)
        x = F.silu(self.norms[1](self.second(x.transpose(1, 2)).transpose(1, 2)))
        return x, None if mask is None else mask[:, ::2]


class BackEnd(nn.Module):
    """Projection, backbone, pooling and head: all that the paper's parameter counts of a back end include.

    Args:
        in_dim: width of the incoming features.
        cfg: sizes and topology.

    Raises:
        ConfigError: a size that the mixer does not have, or widths that do not fit.
    """

    def __init__(self, in_dim: int, cfg: ModelConfig) -> None:
        super().__init__()
        self.project = nn.Linear(in_dim, cfg.d_model, bias=False)
        self.project_norm = RMSNorm(cfg.d_model)

        def make(kind: str) -> nn.Module:
            if kind == "ssm":
                return make_mixer(cfg)
            if kind == "mha":
                return MultiHeadAttention(cfg.d_model, cfg.heads)
            return SwiGLU(cfg.d_model, cfg.ffn_hidden, cfg.dropout)

        kinds = unit(cfg.topology, cfg.n) * cfg.layers
        self.blocks = nn.ModuleList([Block(cfg.d_model, make(kind)) for kind in kinds])
        self.final_norm = RMSNorm(cfg.d_model)
        self.pool = GatedAttentionPooling(cfg.d_model, cfg.pool_hidden)
        self.dropout = nn.Dropout(cfg.dropout)
        self.head = nn.Linear(cfg.d_model, 2)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Output:
        """Score features (B, T, in_dim) whose padded frames are zero; see `MamBo.forward`."""
        x = F.silu(self.project_norm(self.project(x)))  # float32: the residual stream starts here
        for block in self.blocks:
            x = block(x, mask)
        x = self.final_norm(x)
        embedding = self.pool(x, mask)
        frame_mask = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask
        # Localisation takes no parameters of its own: pooling is a weighted mean and the head is affine, so the clip
        # logits are the same weighted mean of the head applied to each frame.
        frame_logits = zero_masked(self.head(self.dropout(x)).float(), mask)
        return Output(self.head(self.dropout(embedding)).float(), frame_logits, frame_mask, embedding)


class MamBo(nn.Module):
    """Deepfake detector on spectral features or on frames of a self-supervised encoder.

    `lfcc` and `logmel` features pass a small convolutional front end; those of `ssl` and `whisper` go straight to the
    back end.

    Raises:
        ConfigError: as `BackEnd`.
    """

    def __init__(self, cfg: ModelConfig) -> None:
        super().__init__()
        self.frontend_dim = cfg.frontend_dim
        self.front = None if cfg.frontend in ("ssl", "whisper") else ConvFrontEnd(cfg.frontend_dim, cfg.d_model)
        self.back = BackEnd(cfg.frontend_dim if self.front is None else cfg.d_model, cfg)

    def forward(self, features: Tensor, mask: Tensor | None = None) -> Output:
        """Score a batch.

        Args:
            features: (B, T, F); what padded frames hold does not matter.
            mask: (B, T) bool, True where valid; None when all are.

        Returns:
            Logits, frame logits, frame mask and embedding; T' = ceil(T / 2) for spectral features, else T.

        Raises:
            DataError: shapes do not fit, or a clip without a valid frame.
        """
        check_frames(features, self.frontend_dim, mask, "MamBo")
        if mask is not None and not bool(mask.any(dim=1).all()):
            raise DataError("every clip needs at least one valid frame; a row of the mask is all False")
        x = zero_masked(features, mask)
        if self.front is not None:
            x, mask = self.front(x, mask)
        output: Output = self.back(x, mask)
        return output
