"""What cannot work is refused before anything is built."""

from __future__ import annotations

import torch

from auricle.systems.unisrcodec.config import CodecConfig
from auricle.systems.unisrcodec.infer import vocoder_for
from auricle.systems.unisrcodec.model import Codec, Discriminator
from auricle.systems.unisrcodec.peers import check_peers


def check_parts(cfg: CodecConfig) -> None:
    """Build the networks without memory, and load what the config names; nothing of it is kept.

    Raises:
        ConfigError: sizes that do not fit, a vocoder of another mel, or an entry of `eval.peers` that says nothing.
        CheckpointError: a vocoder or a peer that is not there or cannot be read.
        DataError: no folder of a peer.
        MissingExtra: a peer needs Transformers.
    """
    with torch.device("meta"):
        codec = Codec(cfg.model)
        Discriminator(cfg.model.discriminator)
    if cfg.eval.vocoder is not None:
        vocoder_for(cfg, codec)
    check_peers(cfg.eval.peers)
