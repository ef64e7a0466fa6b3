"""Log-mels, of recordings and as a codec decodes them, beside the waves that they should become."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from auricle.audio.vocoder_mel import VocoderMel
from auricle.core.run import RunFolder
from auricle.systems.unisrcodec.data import Recording, load, log_mel
from auricle.systems.unisrcodec.infer import Coder
from auricle.systems.unisrcodec.vocoder.config import VocoderConfig

REAL, DECODED = "", "decoded "  # begin the names of groups: mels of recordings, and what the codec makes of them


@dataclass(frozen=True)
class Pair:
    """A mel and the wave that it should become.

    Attributes:
        recording: the original.
        origin: of the mel, `REAL` or `DECODED`.
        mel: (frames, n_mels).
    """

    recording: Recording
    origin: str
    mel: Tensor

    def rows(self, hop: int) -> Tensor:
        """Give each frame's log-mel and samples, (frames, n_mels + hop)."""
        wave = torch.from_numpy(np.pad(self.recording.wave, (0, len(self.mel) * hop - len(self.recording.wave))))
        return torch.cat([self.mel, wave.view(-1, hop)], dim=1)


@torch.no_grad()
def load_pairs(cfg: VocoderConfig, run: RunFolder, coder: Coder | None, part: str, seconds: float | None) -> list[Pair]:
    """Read recordings of a split with their mels, and with a codec once more with the mels it decodes.

    Args:
        cfg: the run's config.
        run: a prepared run.
        coder: the codec; None for none.
        part: ``train``, ``dev`` or ``test``.
        seconds: of each kind at most; None for all.

    Raises:
        DataError: nothing was prepared, or a file cannot be read.
    """
    front_end, pairs = VocoderMel(), []
    for clip in load(cfg.of_codec, run, part, seconds=seconds):
        mel = log_mel(front_end, clip.wave, 1 if coder is None else coder.codec.step)
        pairs.append(Pair(clip, REAL, mel))
        if coder is not None:
            pairs.append(Pair(clip, DECODED, coder.codec(mel[None]).mel[0]))
    return pairs
