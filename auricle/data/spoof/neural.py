"""What the small neural vocoders share: their input, their weights in the package, and how a clip goes through."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from auricle.audio.resample import resample
from auricle.audio.spectral import LogMel
from auricle.core.errors import CheckpointError
from auricle.data.spoof.result import Spoof, finish, fit_length, rms_of

RATE_HZ = 16000
LEVEL = 0.06  # RMS at which a vocoder hears every clip, in training and after
FLOOR = 1e-7  # of the mel power
WEIGHTS = Path(__file__).parent / "weights"


class Vocoder(nn.Module):
    """Waveforms to their own mel spectrum and back: the way to the spectrum is fixed, the way back is learnt.

    Args:
        bands: mel bands.
        size: samples of a frame.
        hop: samples between frames.
    """

    def __init__(self, bands: int, size: int, hop: int) -> None:
        super().__init__()
        self.hop = hop
        self.mel = LogMel(RATE_HZ, bands, size, hop, size, floor=FLOOR)

    def forward(self, wave: Tensor) -> Tensor:
        """Say waveforms again.

        Args:
            wave: (B, T) at 16 kHz, of RMS `LEVEL`.

        Returns:
            (B, T).
        """
        # about zero mean and unit spread over speech at this level
        mel = (self.mel(wave).transpose(1, 2) + 7.0) / 4.0
        made = self.wave(mel)
        return nn.functional.pad(made, (0, max(0, wave.shape[1] - made.shape[1])))[:, : wave.shape[1]]

    def wave(self, mel: Tensor) -> Tensor:
        """Make samples (B, hop * frames or nearly so) of frames (B, bands, frames)."""
        raise NotImplementedError


def weights_file(name: str) -> Path:
    """Give the place of a family's weights in the package."""
    return WEIGHTS / f"{name}.safetensors"


def load_vocoder(model: Vocoder, name: str) -> Vocoder:
    """Fill a vocoder with the weights of its family that come in the package.

    Args:
        model: a fresh one.
        name: of the family.

    Raises:
        CheckpointError: the file is missing or damaged, or holds other weights than the vocoder has.
    """
    file = weights_file(name)
    try:
        state = load_file(file)
        model.load_state_dict(state, strict=True)
    except (OSError, SafetensorError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0]
        raise CheckpointError(
            f"the weights of the spoof family {name} cannot be used ({file}): {first}; install Auricle again, or train "
            f"them with: python -m auricle.data.spoof.neural_training {name}"
        ) from error
    return model.eval().requires_grad_(False)


def say_again(model: Vocoder, wave: NDArray[np.float32], rate_hz: int, name: str) -> Spoof:
    """Give what a vocoder makes of a clip.

    Args:
        model: with its weights.
        wave: (T,).
        rate_hz: its rate; the vocoder works at 16 kHz.
        name: of the family, its generator tag.
    """
    heard = resample(wave, rate_hz, RATE_HZ).astype(np.float32, copy=False)
    levelled = heard * np.float32(LEVEL / max(rms_of(heard), 1e-9))
    with torch.inference_mode():
        made = model(torch.from_numpy(levelled)[None])[0].numpy()
    return finish(fit_length(resample(made, RATE_HZ, rate_hz), len(wave)), rate_hz, name, like=wave)


@functools.cache
def shipped(kind: Callable[[], Vocoder], name: str) -> Vocoder:
    """Give a family's vocoder with its weights, read once a process."""
    # `load_vocoder` overwrites every weight, so what is drawn here must not move the caller's generator
    with torch.random.fork_rng(devices=[]):
        return load_vocoder(kind(), name)
