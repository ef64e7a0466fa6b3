"""`infer`: from a run folder to tokens and back, for waves, files and folders."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile
import torch
from torch import nn

from auricle.audio.ahead import Decoded, found
from auricle.audio.check import check
from auricle.audio.files import blocks, scan
from auricle.audio.resample import resample
from auricle.audio.vocoder_mel import GriffinLimVocoder, check_contract
from auricle.core.config import parse
from auricle.core.errors import AudioError, CheckpointError, DataError
from auricle.core.files import atomic_path
from auricle.core.run import RunFolder
from auricle.metrics.codes import code_use
from auricle.systems.unisrcodec import tokens as token_files
from auricle.systems.unisrcodec import vocoder as trained
from auricle.systems.unisrcodec.config import CodecConfig
from auricle.systems.unisrcodec.model import Codec
from auricle.systems.unisrcodec.tiles import decode_tiles, encode_tiles, wave_tiles
from auricle.systems.unisrcodec.tokens import Tokens
from auricle.systems.unisrcodec.train import FINAL, fingerprint
from auricle.train.checkpoint import load_model

BLOCK_S = 10.0
LAPTOP = "laptop-model: a codec trained in minutes on minutes of audio; it shows the method and sounds like it"


@dataclass(frozen=True)
class Coded:
    """What coding one input gave: either `error`, or everything else.

    Attributes:
        input: the path as given or found.
        tokens: the tokens.
        duration_s: length in seconds.
        warnings: what to know before using the answer.
        error: why there is no answer.
    """

    input: str
    tokens: Tokens | None = None
    duration_s: float = 0.0
    warnings: tuple[str, ...] = ()
    error: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Give the result as plain JSON values; a refused input has only ``input`` and ``error``."""
        if self.error is not None or self.tokens is None:
            return {"input": self.input, "error": self.error}
        flat = self.tokens.indices
        use = code_use(flat, 1 << self.tokens.bits)
        return {
            "input": self.input,
            "duration_s": round(self.duration_s, 3),
            "columns": len(flat),
            "tokens": int(flat.size),
            "tokens_per_s": round(flat.size / self.duration_s, 2),
            "bits_per_s": round(self.tokens.payload_bits / self.duration_s, 1),
            "codes_used": use.used,
            "perplexity": round(use.perplexity, 2),
            "indices": flat.tolist(),
            "warnings": list(self.warnings),
        }


@dataclass
class Coder:
    """A trained codec with a vocoder.

    Attributes:
        codec: the network.
        cfg: the run's config.
        preset: the run's preset.
        vocoder: log-mel (1, T, n_mels) to samples (1, T * hop).
        model: fingerprint that token files carry.
    """

    codec: Codec
    cfg: CodecConfig
    preset: str
    vocoder: nn.Module
    model: str = field(default="")

    def encode(self, wave: npt.NDArray[np.floating], rate_hz: int) -> Tokens:
        """Code one waveform (T,), at its own level.

        Raises:
            AudioError: not usable audio.
        """
        check(wave, rate_hz)
        return self.encode_blocks([resample(np.asarray(wave, np.float32), rate_hz, self.codec.contract.rate_hz)])

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
        contract = self.codec.contract
        return Tokens(
            torch.cat(parts).numpy(),
            count,
            contract.rate_hz,
            contract.hop,
            self.codec.step,
            self.codec.bits,
            self.model,
        )

    def encode_file(self, path: str | Path) -> tuple[Tokens, tuple[str, ...]]:
        """Code a file in constant memory; give the tokens and the warnings about the audio.

        Raises:
            AudioError: the file is refused.
        """
        warnings = scan(path).warnings
        return self.encode_blocks(
            piece for _, piece in blocks(path, BLOCK_S, BLOCK_S, self.codec.contract.rate_hz)
        ), warnings

    def decode_pieces(self, tokens: Tokens) -> Iterator[npt.NDArray[np.float32]]:
        """Give the samples of tokens piece by piece, at 44.1 kHz, as many as were coded.

        Raises:
            DataError: tokens of another codec.
        """
        if tokens.model != self.model:
            raise DataError(
                f"these tokens are of the codec {tokens.model} and this one is {self.model}; decode with the run that "
                "made them"
            )
        indices = torch.from_numpy(np.ascontiguousarray(tokens.indices))
        left = tokens.samples
        mels = decode_tiles(self.codec, torch.split(indices, 256))
        for piece in wave_tiles(self.vocoder, mels, self.codec.step, self.codec.contract.hop):
            yield piece[:left]
            left -= len(piece[:left])

    def decode(self, tokens: Tokens) -> npt.NDArray[np.float32]:
        """Give the samples (T,) of tokens at 44.1 kHz.

        Raises:
            DataError: tokens of another codec.
        """
        return np.concatenate(list(self.decode_pieces(tokens)))

    def decode_to(self, tokens: Tokens, path: str | Path) -> None:
        """Write the samples of tokens as a 16-bit WAV file, atomically and in constant memory.

        Raises:
            DataError: tokens of another codec.
        """
        with (
            atomic_path(path) as part,
            soundfile.SoundFile(part, "w", tokens.rate_hz, 1, format="WAV", subtype="PCM_16") as out,
        ):
            for piece in self.decode_pieces(tokens):
                out.write(np.clip(piece, -1, 1))


def vocoder_for(cfg: CodecConfig, codec: Codec) -> nn.Module:
    """Give the vocoder that the config names, held to the codec's mel.

    Raises:
        CheckpointError: `eval.vocoder` is no folder of a published generator and no run of `auricle codec vocoder`.
        ConfigError: it reads another mel.
    """
    if cfg.eval.vocoder is None:
        return GriffinLimVocoder(codec.contract, cfg.eval.griffin_lim)
    from auricle.backbones.vocoder import bigvgan

    folder = Path(cfg.eval.vocoder)
    if not (folder / bigvgan.CHECKPOINT).is_file() and not trained.is_run(folder):
        raise CheckpointError(
            f"eval.vocoder={folder} has no {bigvgan.CHECKPOINT} and is no run of `auricle codec vocoder`; give "
            "the folder of a published BigVGAN-v2 generator or such a run"
        )
    generator, contract = trained.load(folder) if trained.is_run(folder) else bigvgan.load(folder)
    check_contract(codec.contract, contract)
    return generator


def load(folder: str | Path) -> Coder:
    """Load the codec of a run.

    Raises:
        CheckpointError: not a run folder, an untrained or a damaged one.
    """
    run = RunFolder(Path(folder))
    saved = run.saved_config()
    final = run.checkpoints / FINAL
    if saved["system"] != "unisrcodec":
        raise CheckpointError(f"{folder} is a run of '{saved['system']}', not of 'unisrcodec'")
    if not final.is_dir():
        raise CheckpointError(f"{folder} is not trained: there is no {final}; go on with: auricle run unisrcodec")
    cfg = parse(CodecConfig, saved["config"])
    codec = Codec(cfg.model)
    load_model(final, codec)
    codec.eval()
    return Coder(codec, cfg, str(saved["preset"]), vocoder_for(cfg, codec), fingerprint(codec))


def infer(model: Coder, inputs: Iterable[str | Path]) -> Iterator[Coded]:
    """Code files and folders, in order; a bad one gives an answer with `error` and the rest goes on.

    Args:
        model: from `load`.
        inputs: files, or folders whose audio files are taken in sorted order.
    """
    for path in found(inputs):
        if isinstance(path, Decoded):
            yield Coded(path.path, error=path.error)
            continue
        try:
            coded, warnings = model.encode_file(path)
        except AudioError as error:
            yield Coded(str(path), error=str(error))
            continue
        own = () if model.preset == "paper" else (LAPTOP,)
        yield Coded(str(path), coded, coded.samples / coded.rate_hz, (*own, *warnings))


read_tokens, write_tokens = token_files.read, token_files.write
