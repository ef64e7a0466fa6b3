"""A recording as every codec gives it back, and how near each comes to the original."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from auricle.audio.channel import opus_lowest
from auricle.audio.distance import mel_distance, stft_distance
from auricle.audio.resample import resample
from auricle.metrics.waveform import si_sdr
from auricle.nn.quantize.pca_vq import PcaVq
from auricle.report.spared import Attempts, Spared, unspared
from auricle.report.speech_measures import SpeechMeasures
from auricle.systems.unisrcodec.data import Recording, log_mel
from auricle.systems.unisrcodec.infer import Coder
from auricle.systems.unisrcodec.peers import CEILING, OPUS, OURS, PCA, Peer

T = TypeVar("T")
NARROW_HZ = 16_000
SPEECH = "speech"  # the kind that measures of speech judge


@dataclass(frozen=True)
class CodedRecording:
    """One test recording, decoded by every codec.

    Attributes:
        recording: the original.
        tokens: (T', F') of our codec.
        values: metric -> codec -> number; our codec is `OURS`.
        waves: codec -> samples (T,).
        bits: codec -> bits used; codecs that do not report bits are absent.
    """

    recording: Recording
    tokens: np.ndarray
    values: dict[str, dict[str, float]]
    waves: dict[str, np.ndarray]
    bits: dict[str, int] = field(default_factory=dict)


def by_kind(items: Sequence[T], kind: Callable[[T], str]) -> Iterator[tuple[str, list[T]]]:
    """Group items by kind, in the order in which kinds appear; then ``all``."""
    for name in dict.fromkeys(map(kind, items)):
        yield name, [item for item in items if kind(item) == name]
    yield "all", list(items)


def code_recordings(
    coder: Coder,
    reference: PcaVq | None,
    clips: Sequence[Recording],
    peers: Sequence[Peer],
    speech: SpeechMeasures,
    spared: Spared,
) -> list[CodedRecording]:
    """Code, decode and measure recordings; what fails on one of them is left out of all, so that all are alike.

    Args:
        coder: the codec.
        reference: PCA + VQ; None where it could not be had.
        clips: the recordings.
        peers: other codecs.
        speech: measures of speech.
        spared: tries what stands beside the codec, and remembers what failed.
    """
    coded = [code_all(coder, reference, clip, peers, speech, spared) for clip in clips]
    return [without(item, spared.failed) for item in coded]


def without(item: CodedRecording, names: Collection[str]) -> CodedRecording:
    """Leave codecs out of a recording's numbers and waves."""
    values = {
        metric: {codec: value for codec, value in by_codec.items() if codec not in names}
        for metric, by_codec in item.values.items()
    }
    waves = {codec: wave for codec, wave in item.waves.items() if codec not in names}
    bits = {codec: count for codec, count in item.bits.items() if codec not in names}
    return replace(item, values=values, waves=waves, bits=bits)


@dataclass(frozen=True)
class Decoded:
    """What every codec makes of a recording.

    Attributes:
        tokens: (T', F') of our codec.
        mel: the recording's own log-mel (frames, n_mels).
        mels: codec -> log-mel, of those that go through one.
        waves: codec -> samples (T,).
        bits: codec -> bits used; codecs that do not report bits are absent.
    """

    tokens: np.ndarray
    mel: Tensor
    mels: dict[str, Tensor]
    waves: dict[str, np.ndarray]
    bits: dict[str, int]


def code_all(
    coder: Coder,
    reference: PcaVq | None,
    clip: Recording,
    peers: Sequence[Peer] = (),
    speech: SpeechMeasures | None = None,
    spared: Attempts = unspared,
) -> CodedRecording:
    """Code and decode one recording by every codec, and measure.

    Args:
        coder: the codec.
        reference: PCA + VQ; None where it could not be had.
        clip: the recording.
        peers: other codecs.
        speech: measures of speech.
        spared: tries what stands beside the codec; with `Spared` codecs that fail are left out.
    """
    found, rate_hz = decode_all(coder, reference, clip, peers, spared), coder.codec.contract.rate_hz
    values = {
        **by_metric({name: mel_measures(made, found.mel) for name, made in found.mels.items()}),
        **by_metric({name: wave_measures(wave, clip.wave, rate_hz) for name, wave in found.waves.items()}),
        **(speech(clip.wave, found.waves, rate_hz) if speech is not None and clip.kind == SPEECH else {}),
    }
    return CodedRecording(clip, found.tokens, values, found.waves, found.bits)


@torch.no_grad()
def decode_all(
    coder: Coder, reference: PcaVq | None, clip: Recording, peers: Sequence[Peer], spared: Attempts
) -> Decoded:
    """Code and decode one recording by every codec; our vocoder makes sound of every mel. Arguments as `code_all`."""
    codec, rate_hz, length = coder.codec, coder.codec.contract.rate_hz, len(clip.wave)
    mel = log_mel(codec.mel, clip.wave, codec.step)
    indices = codec.encode(mel[None])
    mels = {OURS: codec.decode(indices)[0]}
    if reference is not None and (rebuilt := spared(PCA, partial(reference.rebuild, mel))) is not None:
        mels[PCA] = rebuilt
    waves = {name: sound(coder.vocoder, made, length) for name, made in {**mels, CEILING: mel}.items()}
    if (carried := spared(OPUS, partial(opus_lowest, clip.wave, rate_hz))) is not None:
        waves[OPUS] = carried
    bits: dict[str, int] = {}
    for peer in peers:
        found = spared(peer.name, partial(peer.code, clip, rate_hz))
        if found is not None:
            waves[peer.name], count = found
            if count is not None:
                bits[peer.name] = count
    return Decoded(indices[0].numpy(), mel, mels, waves, bits)


def by_metric(by_codec: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Turn codec -> metric -> number into metric -> codec -> number."""
    first = next(iter(by_codec.values()))
    return {metric: {codec: values[metric] for codec, values in by_codec.items()} for metric in first}


@torch.no_grad()
def sound(vocoder: nn.Module, mel: Tensor, samples: int) -> np.ndarray:
    """Give the first samples (T,) that a vocoder makes of a log-mel (frames, n_mels)."""
    wave: np.ndarray = vocoder(mel[None])[0].numpy()
    return wave[:samples].astype(np.float32)


def mel_measures(made: Tensor, real: Tensor) -> dict[str, float]:
    """Compare two log-mels (T, n_mels): L1 of all, lower and upper bands, and how much fine structure is left."""
    gap = (made - real).abs()
    middle = real.shape[1] // 2
    fine = float(real.diff(dim=1).abs().mean())
    return {
        "mel_l1": float(gap.mean()),
        "mel_l1_low": float(gap[:, :middle].mean()),
        "mel_l1_high": float(gap[:, middle:].mean()),
        "sharpness": float(made.diff(dim=1).abs().mean()) / max(fine, 1e-6),
    }


def wave_measures(made: np.ndarray, real: np.ndarray, rate_hz: int) -> dict[str, float]:
    """Compare two waves (T,) at 44.1 and at 16 kHz."""
    narrow, narrow_real = (resample(wave, rate_hz, NARROW_HZ) for wave in (made, real))
    return {
        "mel_distance_44": mel_distance(made, real, rate_hz),
        "mel_distance_16": mel_distance(narrow, narrow_real, NARROW_HZ),
        "stft_distance_44": stft_distance(made, real),
        "stft_distance_16": stft_distance(narrow, narrow_real),
        "si_sdr": si_sdr(made, real),
    }
