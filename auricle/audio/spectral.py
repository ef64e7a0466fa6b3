"""Spectra in torch: STFT, mel and linear filterbanks, log-mel, LFCC, and the way back.

Framing never looks past a clip's end: a centred frame pads with zeros and not with a reflection, so zeros to the right
of a clip in a batch change nothing in its own frames. `frames(n_samples)` of each module says how many those are.
Features are (B, frames, D).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auricle.audio.filterbank import dct_matrix, hz_to_mel, linear_filterbank, mel_filterbank, mel_to_hz
from auricle.audio.transform import as_batch, checked_sizes, frame_count, griffin_lim, istft, padded_window, stft
from auricle.core.errors import AudioError

__all__ = [
    "LFCC",
    "LogMel",
    "MelSpectrogram",
    "Spectrum",
    "dct_matrix",
    "delta",
    "frame_count",
    "griffin_lim",
    "hz_to_mel",
    "istft",
    "linear_filterbank",
    "mel_filterbank",
    "mel_to_hz",
    "stft",
]

_TINY_POWER = 1e-20


def delta(features: Tensor, reach: int = 2, frames: Tensor | None = None) -> Tensor:
    """Take the slope over time by regression over 2 * reach + 1 frames, with the ends repeated.

    d[t] = sum_n n (x[t + n] - x[t - n]) / (2 sum_n n^2), n = 1..reach (The HTK Book, equation 5.16).

    Args:
        features: (B, T, D).
        reach: frames to each side.
        frames: valid frames of each clip, (B,); the last valid one is repeated past the end.

    Returns:
        Slopes, (B, T, D).
    """
    batch, time, _ = features.shape
    steps = torch.arange(time, device=features.device)
    if frames is None:
        last = torch.full((batch, 1), time - 1, device=features.device)
    else:
        last = (frames.to(features.device)[:, None] - 1).clamp_min(0)
    rows = torch.arange(batch, device=features.device)[:, None]
    slope = torch.zeros_like(features)
    for n in range(1, reach + 1):
        ahead = torch.minimum(steps + n, last)
        behind = torch.minimum((steps - n).clamp_min(0), last)
        slope = slope + n * (features[rows, ahead] - features[rows, behind])
    return slope / (2 * sum(n * n for n in range(1, reach + 1)))


class Spectrum(nn.Module):
    """Magnitudes or powers of the STFT, (B, T) -> (B, frames, n_fft // 2 + 1)."""

    window: Tensor

    def __init__(
        self,
        n_fft: int,
        hop: int,
        win: int | None = None,
        window: str = "hann",
        power: float = 2.0,
        center: bool = True,
    ) -> None:
        """Fix the frames.

        Args:
            n_fft: samples in a frame.
            hop: samples between frames.
            win: length of the window; `n_fft` by default.
            window: ``hann``, ``hamming`` or ``ones``.
            power: 1 for magnitudes, 2 for powers.
            center: see `frame_count`.

        Raises:
            AudioError: sizes that do not fit.
        """
        super().__init__()
        self.n_fft, self.hop, self.power, self.center = n_fft, hop, power, center
        self.bins = n_fft // 2 + 1  # of these `features` gives the power
        win = checked_sizes(n_fft, hop, win)
        self.register_buffer("window", padded_window(window, win, n_fft, torch.zeros(0)), persistent=False)

    def _keep(self, bank: Tensor) -> Tensor:
        """Turn filters (D, bins) into (bins, D), without the bins above all of them, whose power is then not taken."""
        used = torch.nonzero(bank.sum(dim=0))
        self.bins = int(used[-1]) + 1 if len(used) else 1
        return bank[:, : self.bins].T.contiguous()

    def frames(self, n_samples: int | Tensor) -> int | Tensor:
        """Count the frames that a clip of `n_samples` has."""
        return frame_count(n_samples, self.n_fft, self.hop, self.center)

    def forward(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Transform a batch.

        Args:
            wave: samples, (B, T) or (B, 1, T).
            lengths: valid samples of each clip, (B,). Then what lies beyond them is taken as zeros, and frames beyond
                a clip's own are 0.

        Returns:
            Features, (B, frames, D).
        """
        wave = as_batch(wave)
        if lengths is not None:
            lengths = lengths.to(wave.device)
            wave = wave * (torch.arange(wave.shape[1], device=wave.device) < lengths[:, None])
        return _masked(self.features(wave, lengths), None if lengths is None else self.frames(lengths))

    def features(self, wave: Tensor, lengths: Tensor | None) -> Tensor:
        """Compute the features of a checked batch; subclasses go on from here."""
        spectrum = stft(wave, self.n_fft, self.hop, window=self.window, center=self.center)[..., : self.bins]
        power = spectrum.real.square() + spectrum.imag.square()
        if self.power == 2.0:
            return power
        # a root has no gradient at 0
        return power.clamp_min(_TINY_POWER) ** (self.power / 2)


def _masked(features: Tensor, frames: int | Tensor | None) -> Tensor:
    if not isinstance(frames, Tensor):
        return features
    valid = torch.arange(features.shape[1], device=features.device) < frames[:, None]
    return torch.where(valid[..., None], features, torch.zeros_like(features))


class MelSpectrogram(Spectrum):
    """Mel spectrogram, equal to librosa's, (B, T) -> (B, frames, n_mels)."""

    filters: Tensor

    def __init__(
        self,
        rate_hz: int = 16_000,
        n_mels: int = 80,
        n_fft: int = 512,
        hop: int = 160,
        win: int | None = 400,
        low_hz: float = 0.0,
        high_hz: float | None = None,
        scale: str = "slaney",
        norm: str | None = "slaney",
        power: float = 2.0,
        window: str = "hann",
        center: bool = True,
    ) -> None:
        """Fix frames and filters; see `Spectrum` and `mel_filterbank` for the arguments."""
        super().__init__(n_fft, hop, win, window, power, center)
        bank = mel_filterbank(n_mels, n_fft, rate_hz, low_hz, high_hz, scale, norm)
        self.register_buffer("filters", self._keep(bank), persistent=False)

    def features(self, wave: Tensor, lengths: Tensor | None) -> Tensor:
        """Compute the mel spectrogram of a checked batch."""
        return super().features(wave, lengths) @ self.filters


class LogMel(MelSpectrogram):
    """Natural logarithm of the mel spectrogram, never below log(`floor`), (B, T) -> (B, frames, n_mels)."""

    def __init__(
        self,
        rate_hz: int = 16_000,
        n_mels: int = 80,
        n_fft: int = 512,
        hop: int = 160,
        win: int | None = 400,
        low_hz: float = 0.0,
        high_hz: float | None = None,
        scale: str = "slaney",
        norm: str | None = "slaney",
        power: float = 2.0,
        window: str = "hann",
        center: bool = True,
        floor: float = 1e-10,
    ) -> None:
        """Fix frames, filters and floor; see `MelSpectrogram`."""
        super().__init__(rate_hz, n_mels, n_fft, hop, win, low_hz, high_hz, scale, norm, power, window, center)
        self.floor = floor

    def features(self, wave: Tensor, lengths: Tensor | None) -> Tensor:
        """Compute the log-mel spectrogram of a checked batch."""
        return super().features(wave, lengths).clamp_min(self.floor).log()


class LFCC(Spectrum):
    """Linear-frequency cepstral coefficients, (B, T) -> (B, frames, n_coefficients x (1 + deltas)).

    The front end of the ASVspoof baselines (Sahidullah et al., Interspeech 2015): pre-emphasis, Hamming windows of
    20 ms every 10 ms, power spectrum, triangular filters equally spaced in Hz, natural logarithm, orthonormal DCT-II,
    then the slopes and their slopes. Slopes look ahead: give `lengths` with a padded batch.
    """

    filters: Tensor
    dct: Tensor

    def __init__(
        self,
        rate_hz: int = 16_000,
        n_filters: int = 20,
        n_coefficients: int = 20,
        n_fft: int = 512,
        win_s: float = 0.02,
        hop_s: float = 0.01,
        low_hz: float = 0.0,
        high_hz: float | None = None,
        deltas: int = 2,
        delta_reach: int = 2,
        pre_emphasis: float = 0.97,
        window: str = "hamming",
        center: bool = True,
        floor: float = 1e-10,
    ) -> None:
        """Fix frames and filters.

        Args:
            rate_hz: sampling rate in Hz.
            n_filters: number of linear filters.
            n_coefficients: coefficients kept, the first (the level) among them.
            n_fft: samples in a frame; at least the window.
            win_s: length of the window in seconds.
            hop_s: distance of frames in seconds.
            low_hz: lower edge of the first filter in Hz.
            high_hz: upper edge of the last one in Hz; half the rate by default.
            deltas: 0 for none, 1 for the slopes, 2 for the slopes' slopes as well.
            delta_reach: frames to each side in a slope.
            pre_emphasis: a in y[n] = x[n] - a x[n - 1]; 0 for none.
            window: ``hamming``, ``hann`` or ``ones``.
            center: see `spectral.frame_count`.
            floor: smallest filter output before the logarithm.

        Raises:
            AudioError: numbers that do not fit together.
        """
        if not (0 < n_coefficients <= n_filters and deltas in (0, 1, 2)):
            raise AudioError(
                f"{n_coefficients} coefficients of {n_filters} filters with deltas={deltas}; "
                "needed: 0 < coefficients <= filters and deltas 0, 1 or 2"
            )
        super().__init__(n_fft, round(hop_s * rate_hz), round(win_s * rate_hz), window, 2.0, center)
        self.deltas, self.delta_reach, self.pre_emphasis, self.floor = deltas, delta_reach, pre_emphasis, floor
        bank = linear_filterbank(n_filters, n_fft, rate_hz, low_hz, high_hz)
        self.register_buffer("filters", self._keep(bank), persistent=False)
        self.register_buffer("dct", dct_matrix(n_coefficients, n_filters), persistent=False)

    def features(self, wave: Tensor, lengths: Tensor | None) -> Tensor:
        """Compute the coefficients of a checked batch."""
        count = int(frame_count(wave.shape[1], self.n_fft, self.hop, self.center))
        if self.pre_emphasis:
            # one zero more, so that the filter's tail after the last sample is there with and without padding
            wave = nn.functional.pad(wave, (1, 1))
            wave = wave[:, 1:] - self.pre_emphasis * wave[:, :-1]
        power = super().features(wave, lengths)[:, :count]
        parts = [(power @ self.filters).clamp_min(self.floor).log() @ self.dct]
        frames = None if lengths is None else self.frames(lengths)
        for _ in range(self.deltas):
            parts.append(delta(parts[-1], self.delta_reach, frames if isinstance(frames, Tensor) else None))
        return torch.cat(parts, dim=-1)
