"""Neural codecs of others, as peers: DAC, EnCodec and Mimi through Transformers, from a local folder alone."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from torch import Tensor
from torch.nn import functional as F

from auricle.audio.resample import resample
from auricle.backbones.speech import quiet
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.extras import require
from auricle.core.files import read_json

PURPOSE = "A neural codec as a peer"
CLASSES = {"dac": "DacModel", "encodec": "EncodecModel", "mimi": "MimiModel"}
SCALE_BITS = 32  # of the level that EnCodec sends with a chunk where it normalises


@dataclass(frozen=True)
class PretrainedCodec:
    """A codec with its weights.

    Attributes:
        kind: ``dac``, ``encodec`` or ``mimi``.
        model: the Transformers model, on the CPU in float32.
        stages: codebooks a frame that are used.
        rate_hz: rate of the waves it takes.
        channels: of the waves it takes.
    """

    kind: str
    model: Any
    stages: int
    rate_hz: int
    channels: int = 1

    @torch.no_grad()
    def code(self, wave: npt.NDArray[np.floating], rate_hz: int) -> tuple[npt.NDArray[np.float32], int]:
        """Code a wave and decode it from its codes alone.

        Args:
            wave: samples (T,).
            rate_hz: their rate in Hz.

        Returns:
            As many samples (T,) at the same rate, and the bits of the codes, an index at log2 of its codebook's size.

        Raises:
            DataError: no samples.
        """
        if wave.ndim != 1 or not wave.size:
            raise DataError(f"a wave of shape {wave.shape}; give one (T,) of at least one sample")
        own = resample(np.asarray(wave, np.float32), rate_hz, self.rate_hz)
        x = torch.from_numpy(np.ascontiguousarray(own))[None, None].expand(1, self.channels, -1)
        made, bits = {"dac": self._dac, "encodec": self._encodec, "mimi": self._mimi}[self.kind](x)
        back = resample(made.reshape(-1, made.shape[-1]).mean(dim=0).numpy(), self.rate_hz, rate_hz)[: len(wave)]
        return np.pad(back, (0, len(wave) - len(back))).astype(np.float32, copy=False), bits

    def _dac(self, x: Tensor) -> tuple[Tensor, int]:
        hop = int(self.model.config.hop_length)
        codes = self.model.encode(F.pad(x, (0, -x.shape[-1] % hop)), n_quantizers=self.stages).audio_codes
        return self.model.decode(audio_codes=codes).audio_values, self._bits(codes.numel())

    def _mimi(self, x: Tensor) -> tuple[Tensor, int]:
        codes = self.model.encode(x, num_quantizers=self.stages).audio_codes
        return self.model.decode(codes).audio_values, self._bits(codes.numel())

    def _encodec(self, x: Tensor) -> tuple[Tensor, int]:
        sent = self.model.encode(x, bandwidth=_bandwidths(self.model)[self.stages])
        made = self.model.decode(
            sent.audio_codes, sent.audio_scales, last_frame_pad_length=sent.last_frame_pad_length
        ).audio_values
        scales = sum(scale is not None for scale in sent.audio_scales)
        # what fills up the last chunk is not sent
        indices = sent.audio_codes.numel() - self.stages * int(sent.last_frame_pad_length)
        return made, self._bits(indices) + SCALE_BITS * scales

    def _bits(self, indices: int) -> int:
        return indices * (int(self.model.config.codebook_size) - 1).bit_length()


def load_codec(folder: str | Path, stages: int | None = None) -> PretrainedCodec:
    """Load a codec from a folder as Transformers' ``save_pretrained`` writes it; nothing opens a socket.

    Args:
        folder: holds ``config.json`` and ``model.safetensors``.
        stages: codebooks a frame; by default what Transformers takes: all of DAC's and Mimi's, EnCodec's lowest rate.

    Raises:
        CheckpointError: no such folder, another kind of model, or weights that are missing, damaged or too many.
        ConfigError: a count of codebooks that the codec does not have.
        MissingExtra: Transformers is not installed.
    """
    folder = Path(folder)
    kind = kind_of(folder)
    model = _read(folder, kind)
    config = model.config
    choices: list[int]
    if kind == "encodec":
        choices = sorted(_bandwidths(model))
    elif kind == "mimi":
        choices = list(range(config.num_semantic_quantizers, config.num_quantizers + 1))
    else:
        choices = list(range(1, config.n_codebooks + 1))
    chosen = (choices[0] if kind == "encodec" else choices[-1]) if stages is None else stages
    if chosen not in choices:
        allowed = ", ".join(map(str, choices))
        raise ConfigError(f"{folder}: this {kind} cannot code with {chosen} codebooks a frame; it can with {allowed}")
    channels = int(getattr(config, "audio_channels", 1))
    return PretrainedCodec(kind, model, chosen, int(config.sampling_rate), channels)


def kind_of(folder: str | Path) -> str:
    """Read which codec a folder holds; its weights are not touched.

    Raises:
        CheckpointError: no readable ``config.json``, or another kind of model.
    """
    path = Path(folder) / "config.json"
    try:
        content = read_json(path)
    except DataError as error:
        raise CheckpointError(
            f"{error}; the folder of a codec holds config.json and model.safetensors as Transformers writes them"
        ) from None
    kind = content.get("model_type") if isinstance(content, dict) else None
    if kind not in CLASSES:
        raise CheckpointError(f"{path}: a model of type {kind!r}; codecs that are read: {', '.join(CLASSES)}")
    return str(kind)


def _read(folder: Path, kind: str) -> Any:
    """Read the model; every weight must be there and none be left over."""
    model_class = getattr(require("transformers", "hf", PURPOSE), CLASSES[kind])
    try:
        with torch.random.fork_rng(devices=[]), quiet():
            model, found = model_class.from_pretrained(
                str(folder),
                local_files_only=True,
                trust_remote_code=False,
                use_safetensors=True,
                dtype=torch.float32,
                output_loading_info=True,
            )
    except (OSError, ValueError, TypeError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"the {kind} in {folder} cannot be read: {reason}") from None
    for key, fault in (("missing_keys", "lacks weights"), ("unexpected_keys", "has weights that do not belong")):
        if found[key]:
            names = ", ".join(sorted(found[key])[:5])
            raise CheckpointError(f"the {kind} in {folder} {fault}, such as {names}")
    return model.eval()


def _bandwidths(model: Any) -> dict[int, float]:
    """Give EnCodec's bandwidths in kbit/s by their codebooks a frame."""
    count = model.quantizer.get_num_quantizers_for_bandwidth
    return {int(count(bandwidth)): float(bandwidth) for bandwidth in model.config.target_bandwidths}
