"""`infer`: from a run folder to tokens and back, for waves and files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import nn

from auricle.audio.arrays import as_wave
from auricle.audio.files import blocks, scan
from auricle.audio.resample import resample
from auricle.audio.tiles import wave_tiles
from auricle.audio.token_files import Tokens
from auricle.audio.vocoder_mel import GriffinLimVocoder, check_contract
from auricle.core.answers import Refused
from auricle.core.errors import AudioError, CheckpointError, DataError
from auricle.core.files import atomic_path
from auricle.core.request import Request
from auricle.core.run import open_trained
from auricle.metrics.codes import code_use
from auricle.systems.unisrcodec.config import CodecConfig
from auricle.systems.unisrcodec.model import Codec, fingerprint
from auricle.systems.unisrcodec.tiles import decode_tiles, encode_tiles
from auricle.systems.unisrcodec.vocoder.load import is_run
from auricle.systems.unisrcodec.vocoder.load import load as load_vocoder
from auricle.train.checkpoint import load_model

BLOCK_S = 10.0
LAPTOP = "laptop-model: a codec trained in minutes on minutes of audio; it shows the method and sounds like it"


@dataclass(frozen=True)
class Coded:
    """The tokens of one input.

    Attributes:
        input: the path of its audio.
        tokens: the tokens.
        warnings: what to know before using the answer.
    """

    input: str
    tokens: Tokens
    warnings: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Give the answer as plain JSON values."""
        indices, duration_s = self.tokens.indices, self.tokens.duration_s
        use = code_use(indices, 1 << self.tokens.bits)
        return {
            "input": self.input,
            "duration_s": round(duration_s, 3),
            "columns": len(indices),
            "tokens": int(indices.size),
            "tokens_per_s": round(indices.size / duration_s, 2),
            "bits_per_s": round(self.tokens.payload_bits / duration_s, 1),
            "codes_used": use.used,
            "perplexity": round(use.perplexity, 2),
            "indices": indices.tolist(),
            "warnings": list(self.warnings),
        }


@dataclass(repr=False)
class Coder:
    """A trained codec with a vocoder.

    Attributes:
        codec: the network.
        cfg: the run's config.
        preset: the run's preset.
        vocoder: log-mel (1, T, n_mels) to samples (1, T * hop).
        fingerprint: of the codec; token files carry it.
    """

    codec: Codec
    cfg: CodecConfig
    preset: str
    vocoder: nn.Module
    fingerprint: str

    def __repr__(self) -> str:
        """Name the codec in one line."""
        codec = self.codec
        kbit = codec.rows * codec.quantizer.stages * codec.bits * codec.contract.rate_hz / codec.column / 1000
        return (
            f"<codec of unisrcodec, {self.preset} preset, {codec.quantizer.n_codes} codes, {kbit:.2f} kbit/s, "
            f"{type(self.vocoder).__name__}, {self.fingerprint[:12]}>"
        )

    @property
    def toy(self) -> bool:
        """Whether the codec only shows the method: every preset but ``paper`` trains for minutes."""
        return self.preset != "paper"

    def encode(self, wave: Any, rate_hz: int) -> Tokens:
        """Code one waveform, at its own level.

        Args:
            wave: an array, a tensor or a list, (T,), (C, T) or (T, C), of which the loudest channel is taken; see
                `auricle.audio.arrays.as_wave`.
            rate_hz: its sampling rate in Hz.

        Raises:
            AudioError: not usable audio, or a rate that is no number.
        """
        samples, _ = as_wave(wave, rate_hz)
        return self.encode_blocks([resample(samples, rate_hz, self.codec.contract.rate_hz)])

    def encode_blocks(self, pieces: Iterable[npt.NDArray[np.floating]]) -> Tokens:
        """Code consecutive samples at 44.1 kHz, of any number and any length together.

        Raises:
            AudioError: no sample.
        """
        count = 0

        def counted() -> Iterator[npt.NDArray[np.floating]]:
            nonlocal count
            for piece in pieces:
                count += len(piece)
                yield piece

        parts = list(encode_tiles(self.codec, counted()))
        if not count:
            raise AudioError("no samples to encode")
        codec, contract = self.codec, self.codec.contract
        shape = (contract.rate_hz, contract.hop, codec.step, codec.bits)
        return Tokens(torch.cat(parts).numpy(), count, *shape, self.fingerprint)

    def encode_file(self, path: str | Path) -> tuple[Tokens, tuple[str, ...]]:
        """Code a file in constant memory; give the tokens and the warnings about the audio.

        Raises:
            AudioError: the file is refused.
        """
        warnings = scan(path).warnings
        pieces = blocks(path, BLOCK_S, BLOCK_S, self.codec.contract.rate_hz)
        return self.encode_blocks(piece for _, piece in pieces), warnings

    def decode_pieces(self, tokens: Tokens) -> Iterator[npt.NDArray[np.float32]]:
        """Give the samples of tokens piece by piece, at 44.1 kHz, as many as were coded.

        Raises:
            DataError: no `Tokens`, tokens of another codec, or such as this codec cannot have made.
        """
        self._can_decode(tokens)
        indices = torch.from_numpy(np.ascontiguousarray(tokens.indices))
        left = tokens.samples
        mels = decode_tiles(self.codec, torch.split(indices, 256))
        for piece in wave_tiles(self.vocoder, mels, self.codec.step, self.codec.contract.hop):
            yield piece[:left]
            left -= len(piece[:left])

    def _can_decode(self, tokens: Tokens) -> None:
        """Refuse what this codec has not made."""
        if not isinstance(tokens, Tokens):
            raise DataError(
                f"decode takes the Tokens that encode gives, and was given {type(tokens).__name__}: indices alone do "
                "not say how long the sound is and whose they are; put them into the tokens of a recording with "
                "dataclasses.replace(tokens, indices=...)"
            )
        if tokens.model != self.fingerprint:
            raise DataError(
                f"these tokens are of the codec {tokens.model} and this one is {self.fingerprint}; decode with the run "
                "that made them"
            )
        codec, indices = self.codec, tokens.indices
        column = (codec.rows,) if codec.quantizer.stages == 1 else (codec.rows, codec.quantizer.stages)
        form = (tokens.rate_hz, tokens.hop, tokens.step, tokens.bits)
        if form != (codec.contract.rate_hz, codec.contract.hop, codec.step, codec.bits) or indices.shape[1:] != column:
            raise DataError(f"tokens of shape {indices.shape}; this codec has (columns, {', '.join(map(str, column))})")
        if tokens.samples < 1 or len(indices) != -(-tokens.samples // codec.column) or indices.dtype.kind not in "iu":
            raise DataError(
                f"{len(indices)} columns of {indices.dtype} cannot be the tokens of {tokens.samples} samples; a column "
                f"of integers has {codec.column} samples"
            )

    def decode(self, tokens: Tokens) -> npt.NDArray[np.float32]:
        """Give the samples (T,) of tokens at 44.1 kHz; see `decode_pieces`."""
        return np.concatenate(list(self.decode_pieces(tokens)))

    def decode_to(self, tokens: Tokens, path: str | Path) -> None:
        """Write the samples of tokens as a 16-bit WAV file, atomically, in constant memory; see `decode_pieces`."""
        with (
            atomic_path(path) as part,
            soundfile.SoundFile(part, "w", tokens.rate_hz, 1, format="WAV", subtype="PCM_16") as out,
        ):
            for piece in self.decode_pieces(tokens):
                out.write(np.clip(piece, -1, 1))


def vocoder_for(cfg: CodecConfig, codec: Codec) -> nn.Module:
    """Give the vocoder that the config names, held to the codec's mel.

    Args:
        cfg: the config.
        codec: the codec, whose weights do not matter.

    Raises:
        CheckpointError: `eval.vocoder` is no folder of a published generator and no run of `auricle codec vocoder`.
        ConfigError: it reads another mel.
    """
    if cfg.eval.vocoder is None:
        return GriffinLimVocoder(codec.contract, cfg.eval.griffin_lim)
    from auricle.backbones.vocoder import bigvgan

    folder = Path(cfg.eval.vocoder)
    trained_here = is_run(folder)
    if not trained_here and not (folder / bigvgan.CHECKPOINT).is_file():
        raise CheckpointError(
            f"eval.vocoder={folder} has no {bigvgan.CHECKPOINT} and is no run of `auricle codec vocoder`; give "
            "the folder of a published BigVGAN-v2 generator or such a run"
        )
    generator, contract = load_vocoder(folder) if trained_here else bigvgan.load(folder)
    check_contract(codec.contract, contract)
    return generator


def coder_of(codec: Codec, cfg: CodecConfig, preset: str) -> Coder:
    """Put a codec together with the vocoder that its config names; see `vocoder_for`."""
    return Coder(codec, cfg, preset, vocoder_for(cfg, codec), fingerprint(codec))


def load(folder: str | Path) -> Coder:
    """Load the codec of a run.

    Raises:
        CheckpointError: not a run folder, another system's, an untrained or a damaged one.
    """
    trained = open_trained(folder, "unisrcodec", CodecConfig)
    codec = Codec(trained.cfg.model)
    load_model(trained.final, codec)
    return coder_of(codec.eval(), trained.cfg, trained.preset)


def infer(model: Coder, requests: Iterable[Request]) -> Iterator[Coded | Refused]:
    """Code the audio of requests, in order; what is no usable audio is refused and the rest goes on."""
    for request in requests:
        try:
            tokens, warnings = model.encode_file(request.input)
        except AudioError as error:
            yield Refused(request.input, str(error))
        else:
            yield Coded(request.input, tokens, (*((LAPTOP,) if model.toy else ()), *warnings))
