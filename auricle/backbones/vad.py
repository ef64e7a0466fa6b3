"""Is there speech? Silero VAD (MIT), the ONNX file inside the package ``silero-vad`` 6.2.3 and later.

The code of that package is never imported (it would set torch's threads for the whole process): the file is read from
where the package lies, by onnxruntime, with the recurrent state carried on here. Each frame is 32 ms at 16 kHz.
"""

from __future__ import annotations

import functools
import importlib.util
import threading
from pathlib import Path
from typing import Any

import numpy as np

from auricle.audio.check import Float
from auricle.audio.resample import resample
from auricle.core.errors import CheckpointError, MissingExtra
from auricle.core.extras import require

RATE_HZ = 16_000
FRAME = 512  # samples of one probability
CONTEXT = 64  # samples of the frame before that the model sees again
STATE = (1, 1, 128)
AT_ONCE = 512  # frames of one call
SPEECH = 0.5  # a frame above it is speech; Silero's own default
PACKAGE, FILE = "silero_vad", "data/silero_vad_16k_sequence.onnx"
_PURPOSE = "The check for speech"
_opening = threading.Lock()


class Vad:
    """Speech probabilities of one recording that arrives in pieces; any number of them may run side by side.

    Raises:
        MissingExtra: silero-vad or onnxruntime is not installed.
        CheckpointError: the model's file is missing in the package, or cannot be read.
    """

    def __init__(self) -> None:
        # the library must not be loaded in two threads at once, and files are decoded in several
        with _opening:
            self._session = _session(_file())
        self._hidden = self._cell = np.zeros(STATE, np.float32)
        self._waiting = np.zeros(CONTEXT, np.float32)  # the context, then samples that do not fill a frame yet

    def add(self, wave: Float) -> Float:
        """Take in the next samples.

        Args:
            wave: (T,) float32 at 16 kHz, at any level.

        Returns:
            The probabilities of the frames that are full now, (N,); N may be 0.
        """
        samples = np.concatenate([self._waiting, wave.astype(np.float32, copy=False)])
        count = (len(samples) - CONTEXT) // FRAME
        self._waiting = samples[count * FRAME :].copy()
        if count == 0:
            return np.zeros(0, np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(samples, CONTEXT + FRAME)[::FRAME][:count]
        found = []
        for start in range(0, count, AT_ONCE):
            inputs = {"input": frames[start : start + AT_ONCE], "h": self._hidden, "c": self._cell}
            probabilities, self._hidden, self._cell = self._session.run(["speech_probs", "hn", "cn"], inputs)
            found.append(np.asarray(probabilities, np.float32).reshape(-1))
        return np.concatenate(found)

    def finish(self) -> Float:
        """Give the probability of the last, unfilled frame, (1,), or (0,) where there is none; nothing comes after."""
        rest = len(self._waiting) - CONTEXT
        return self.add(np.zeros(FRAME - rest, np.float32)) if rest else np.zeros(0, np.float32)


def speech_share(wave: Float, rate_hz: int) -> float:
    """Give the share of 32 ms frames that are speech, from 0 to 1.

    Args:
        wave: (T,), T at least 1.
        rate_hz: its rate in Hz.

    Raises:
        MissingExtra: as `Vad`.
        CheckpointError: as `Vad`.
    """
    vad = Vad()
    at_rate = wave if rate_hz == RATE_HZ else np.asarray(resample(wave, rate_hz, RATE_HZ), np.float32)
    probabilities = np.concatenate([vad.add(at_rate), vad.finish()])
    return float(np.mean(probabilities > SPEECH))


def _file() -> Path:
    """Give the place of the model; its package is found, not imported."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise MissingExtra("silero-vad", "onnx", _PURPOSE)
    path = Path(found.submodule_search_locations[0]) / FILE
    if not path.is_file():
        raise CheckpointError(f"{path} does not exist; install silero-vad 6.2.3: pip install 'silero-vad==6.2.3'")
    return path


@functools.cache
def _session(path: Path) -> Any:
    """Open the model once a process, with one thread: many recordings are judged side by side."""
    # `require` turns telemetry off before the library is loaded
    runtime = require("onnxruntime", "onnx", _PURPOSE)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own classes share no base of their own
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"{path} cannot be opened as an ONNX model: {reason}") from error
