"""The log-mel contract of the BigVGAN-v2 vocoders, and the way back from it without a trained vocoder.

A vocoder that hears another mel than it was trained on fails without an error, so all that codec and vocoder must agree
on stands in `MelContract`, and `check_contract` compares two of them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from auricle.audio.mel_inverse import magnitude_from_mel
from auricle.audio.spectral import MelSpectrogram, Spectrum
from auricle.audio.transform import griffin_lim
from auricle.core.errors import AudioError, ConfigError

_POWER_FLOOR = 1e-9  # inside the root: sqrt(re^2 + im^2 + 1e-9)


@dataclass(frozen=True)
class MelContract:
    """What a mel and its vocoder must agree on; the defaults are those of ``bigvgan_v2_44khz_128band_512x``.

    Attributes:
        rate_hz: sampling rate in Hz.
        n_mels: bands, from 0 Hz to half the rate (Slaney's scale and areas).
        n_fft: samples in a frame and in its Hann window.
        hop: samples between frames.
        floor: smallest band magnitude before the natural logarithm.
    """

    rate_hz: int = 44_100
    n_mels: int = 128
    n_fft: int = 2048
    hop: int = 512
    floor: float = 1e-5


def check_contract(codec: MelContract, vocoder: MelContract) -> None:
    """Refuse a vocoder of another mel.

    Args:
        codec: what the codec writes.
        vocoder: what the vocoder reads.

    Raises:
        ConfigError: naming every difference.
    """
    theirs = asdict(vocoder)
    differ = [f"{key} is {value} there and {theirs[key]} here" for key, value in asdict(codec).items()]
    differ = [text for text, (key, value) in zip(differ, asdict(codec).items(), strict=True) if theirs[key] != value]
    if differ:
        raise ConfigError(f"codec and vocoder speak of different mels (codec, vocoder): {'; '.join(differ)}")


class VocoderMel(MelSpectrogram):
    """Log-mel spectrogram as BigVGAN computes it, (B, T) -> (B, T // hop, n_mels).

    No centring: the clip is reflected by (n_fft - hop) / 2 samples at each end and then cut into frames, so frame t is
    centred on sample t * hop + hop / 2, and T samples give exactly T // hop frames.
    """

    def __init__(self, contract: MelContract | None = None) -> None:
        """Fix frames and filters.

        Args:
            contract: the mel; BigVGAN-v2's 44.1 kHz one by default.

        Raises:
            AudioError: a frame that cannot be laid symmetrically around its hop.
        """
        self_contract = contract or MelContract()
        n_fft, hop = self_contract.n_fft, self_contract.hop
        if (n_fft - hop) % 2 or n_fft < hop:
            raise AudioError(f"n_fft {n_fft} and hop {hop}; n_fft - hop must be even and not negative")
        super().__init__(self_contract.rate_hz, self_contract.n_mels, n_fft, hop, n_fft, center=False)
        self.contract = self_contract
        self.reach = (n_fft - hop) // 2

    def frames(self, n_samples: int | Tensor) -> int | Tensor:
        """Count frames: whole hops.

        Args:
            n_samples: length in samples, or a tensor of lengths.
        """
        return n_samples // self.hop

    def features(self, wave: Tensor, lengths: Tensor | None) -> Tensor:
        """Compute the log-mel of a checked batch, each clip reflected at its own end.

        Args:
            wave: (B, T), zero beyond `lengths`.
            lengths: valid samples of each clip (B,), or None for all.
        """
        count = wave.shape[1]
        shortest = count if lengths is None else int(lengths.min())
        if shortest <= self.reach:
            raise AudioError(f"{shortest} samples cannot be reflected by {self.reach}; pad the clip with zeros first")
        if lengths is None:
            padded = nn.functional.pad(wave[:, None], (self.reach, self.reach), mode="reflect")[:, 0]
        else:
            place = torch.arange(-self.reach, count + self.reach, device=wave.device).abs()
            last = lengths[:, None] - 1
            padded = wave.gather(1, (last - (last - place[None]).abs()).clamp(0, count - 1))
        return self.of_frames(padded)

    def of_frames(self, padded: Tensor) -> Tensor:
        """Compute the log-mel of samples that already hold what the first and last frame reach.

        Args:
            padded: (B, n_fft + (frames - 1) * hop).

        Returns:
            (B, frames, n_mels).
        """
        power = Spectrum.features(self, padded, None)
        return ((power + _POWER_FLOOR).sqrt() @ self.filters).clamp_min(self.contract.floor).log()


class GriffinLimVocoder(nn.Module):
    """From a log-mel of `VocoderMel` to a waveform by mel inversion and Griffin-Lim; nothing to train."""

    filters: Tensor

    def __init__(self, contract: MelContract | None = None, iterations: int = 32, seed: int = 0) -> None:
        """Fix the mel.

        Args:
            contract: the mel; BigVGAN-v2's 44.1 kHz one by default.
            iterations: of Griffin-Lim.
            seed: of its first phases.
        """
        super().__init__()
        mel = VocoderMel(contract)
        self.contract, self.iterations, self.seed = mel.contract, iterations, seed
        bank = nn.functional.pad(mel.filters.T, (0, mel.contract.n_fft // 2 + 1 - mel.bins))
        self.register_buffer("filters", bank, persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        """Make samples of a log-mel.

        Args:
            mel: (B, frames, n_mels).

        Returns:
            (B, frames * hop).
        """
        n_fft, hop = self.contract.n_fft, self.contract.hop
        magnitude = magnitude_from_mel(mel.exp(), self.filters)
        # Griffin-Lim's frames are centred on multiples of the hop, ours half a hop later: with one frame more at each
        # end, the clip begins half a hop into what Griffin-Lim gives
        magnitude = torch.cat([magnitude[:, :1], magnitude, magnitude[:, -1:]], dim=1)
        wave = griffin_lim(magnitude, n_fft, hop, iterations=self.iterations, seed=self.seed)
        return wave[:, hop // 2 : hop // 2 + hop * mel.shape[1]]
