"""The short-time Fourier transform and its inverse, in torch, with framing that padding cannot change."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from auricle.core.errors import AudioError


def frame_count(n_samples: int | Tensor, n_fft: int, hop: int, center: bool = True) -> int | Tensor:
    """Count the frames of a clip.

    Args:
        n_samples: length in samples, or a tensor of lengths.
        n_fft: samples in a frame.
        hop: samples between frames.
        center: frame t is centred at sample t * hop (the clip is padded with zeros); else it begins there.

    Returns:
        The number of frames; 0 for a clip without a whole frame.
    """
    if center:
        # an odd frame is padded by one sample less than its length
        return (n_samples - n_fft % 2) // hop + 1
    if isinstance(n_samples, Tensor):
        return torch.clamp((n_samples - n_fft) // hop + 1, min=0)
    return max(0, (n_samples - n_fft) // hop + 1)


def window_of(kind: str, length: int) -> Tensor:
    """Give a periodic analysis window, (length,): ``hann``, ``hamming`` or ``ones``.

    Raises:
        AudioError: unknown kind.
    """
    if kind == "hann":
        return torch.hann_window(length, dtype=torch.float64)
    if kind == "hamming":
        return torch.hamming_window(length, dtype=torch.float64)
    if kind == "ones":
        return torch.ones(length, dtype=torch.float64)
    raise AudioError(f"unknown window {kind!r}; it can be hann, hamming or ones")


def padded_window(kind: str, win: int, n_fft: int, like: Tensor) -> Tensor:
    """Put a window of `win` samples into the middle of `n_fft`, in the type and place of `like`."""
    left = (n_fft - win) // 2
    window = nn.functional.pad(window_of(kind, win), (left, n_fft - win - left))
    return window.to(device=like.device, dtype=like.dtype)


def checked_sizes(n_fft: int, hop: int, win: int | None) -> int:
    """Refuse sizes that do not fit; give the window's length."""
    win = n_fft if win is None else win
    if not (0 < win <= n_fft and hop > 0):
        raise AudioError(f"n_fft {n_fft}, window {win}, hop {hop}; needed: 0 < window <= n_fft and hop > 0")
    return win


def as_batch(wave: Tensor) -> Tensor:
    """Give (B, T) from (B, T) or (B, 1, T); refuse anything else."""
    if wave.ndim == 3 and wave.shape[1] == 1:
        return wave[:, 0]
    if wave.ndim != 2:
        raise AudioError(f"a wave of shape {tuple(wave.shape)}; give (B, T) or (B, 1, T)")
    return wave


def stft(
    wave: Tensor, n_fft: int, hop: int, win: int | None = None, window: str | Tensor = "hann", center: bool = True
) -> Tensor:
    """Short-time Fourier transform.

    Args:
        wave: samples, (B, T) or (B, 1, T).
        n_fft: samples in a frame.
        hop: samples between frames.
        win: length of the window, in the middle of the frame; `n_fft` by default.
        window: ``hann``, ``hamming``, ``ones``, or a window of `n_fft` samples.
        center: see `frame_count`.

    Returns:
        Complex spectra, (B, frames, n_fft // 2 + 1).

    Raises:
        AudioError: sizes that do not fit, or a clip without a whole frame.
    """
    win = checked_sizes(n_fft, hop, win)
    wave = as_batch(wave)
    if center:
        wave = nn.functional.pad(wave, (n_fft // 2, n_fft // 2))
    if wave.shape[-1] < n_fft:
        raise AudioError(f"{wave.shape[-1]} samples hold no frame of {n_fft}; use center=True or a longer clip")
    shape = padded_window(window, win, n_fft, wave) if isinstance(window, str) else window
    # torch.stft gives (B, F, frames)
    return torch.stft(wave, n_fft, hop, n_fft, shape, center=False, return_complex=True).transpose(1, 2)


def istft(
    spectrum: Tensor,
    n_fft: int,
    hop: int,
    win: int | None = None,
    window: str | Tensor = "hann",
    center: bool = True,
    length: int | None = None,
) -> Tensor:
    """Inverse of `stft`: the least-squares overlap-add of Griffin and Lim (1984), equation 6.

    Args:
        spectrum: complex, (B, frames, n_fft // 2 + 1).
        n_fft: as in `stft`.
        hop: as in `stft`.
        win: as in `stft`.
        window: as in `stft`.
        center: as in `stft`.
        length: samples to return; as many as the frames cover by default.

    Returns:
        Samples, (B, length). Samples that no window reaches are 0.
    """
    win = checked_sizes(n_fft, hop, win)
    pieces = torch.fft.irfft(spectrum, n_fft, dim=-1)
    shape = padded_window(window, win, n_fft, pieces) if isinstance(window, str) else window.to(pieces.dtype)
    count = spectrum.shape[1]
    total = n_fft + hop * (count - 1)
    wave = _overlap_add(pieces * shape, hop, total)
    weight = _overlap_add((shape**2).expand(1, count, n_fft), hop, total)
    wave = torch.where(weight > 1e-8, wave / weight.clamp_min(1e-8), torch.zeros_like(wave))
    if center:
        wave = wave[:, n_fft // 2 : total - n_fft // 2 if length is None else None]
    if length is None:
        return wave
    return nn.functional.pad(wave, (0, max(0, length - wave.shape[1])))[:, :length]


def _overlap_add(pieces: Tensor, hop: int, total: int) -> Tensor:
    # frames cut into columns of one hop: as many shifted sums as hops in a frame, instead of one per frame
    batch, count, size = pieces.shape
    columns = -(-size // hop)
    padded = nn.functional.pad(pieces, (0, columns * hop - size))
    out = pieces.new_zeros(batch, count + columns - 1, hop)
    for k in range(columns):
        out[:, k : k + count] += padded[:, :, k * hop : (k + 1) * hop]
    return out.reshape(batch, -1)[:, :total]


def griffin_lim(
    magnitude: Tensor,
    n_fft: int,
    hop: int,
    win: int | None = None,
    window: str = "hann",
    iterations: int = 32,
    momentum: float = 0.99,
    seed: int = 0,
    length: int | None = None,
) -> Tensor:
    """Find a waveform for STFT magnitudes by the fast Griffin-Lim algorithm (Perraudin et al. 2013).

    Args:
        magnitude: centred STFT magnitudes, (B, frames, n_fft // 2 + 1).
        n_fft: as in `stft`.
        hop: as in `stft`.
        win: as in `stft`.
        window: as in `stft`.
        iterations: projections; at least 1.
        momentum: 0 is the algorithm of Griffin and Lim (1984).
        seed: of the random first phases, the same for every item of the batch.
        length: samples to return.

    Returns:
        Samples, (B, length).

    Raises:
        AudioError: `iterations` or `momentum` out of range.
    """
    if iterations < 1 or not 0 <= momentum < 1:
        raise AudioError(f"{iterations} iterations, momentum {momentum}; needed: at least 1, and 0 <= momentum < 1")
    generator = torch.Generator().manual_seed(seed)
    angles = 2 * torch.pi * torch.rand(magnitude.shape[1:], generator=generator, dtype=torch.float64)
    phase = torch.polar(torch.ones_like(angles), angles).to(magnitude.device)
    # in the magnitude's precision; the same start for all batch mates, so that none depends on the others
    spectrum = magnitude * phase.to(torch.complex64 if magnitude.dtype == torch.float32 else torch.complex128)
    before = torch.zeros_like(spectrum)
    samples = hop * (magnitude.shape[1] - 1)
    for _ in range(iterations):
        wave = istft(spectrum, n_fft, hop, win, window, length=samples)
        rebuilt = stft(wave, n_fft, hop, win, window)
        step = rebuilt - before * (momentum / (1 + momentum))
        spectrum = magnitude * step / step.abs().clamp_min(1e-16)
        before = rebuilt
    return istft(spectrum, n_fft, hop, win, window, length=samples if length is None else length)
