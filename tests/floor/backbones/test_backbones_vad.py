"""Silero VAD without its package's code: pieces, levels and rates; speech and other sounds; what is missing is said."""

import importlib.util
import subprocess
import sys

import numpy as np
import pytest

from auricle.audio.resample import resample
from auricle.backbones import vad as module
from auricle.backbones.vad import FRAME, RATE_HZ, Vad, speech_share
from auricle.core.errors import CheckpointError, MissingExtra
from auricle.data import embedded


def at_16k(clip):
    audio = clip.read()
    return np.asarray(resample(audio.mono()[: 10 * audio.rate_hz], audio.rate_hz, RATE_HZ), np.float32)


@pytest.fixture(scope="module")
def speech():
    return at_16k(next(clip for clip in embedded.clips(kind="speech") if clip.duration_s > 2))


def test_speech_is_speech_and_other_sounds_are_not(speech):
    assert speech_share(speech, RATE_HZ) > 0.5
    time = np.arange(3 * RATE_HZ) / RATE_HZ
    draws = np.random.default_rng(0)
    for wave in (np.sin(2 * np.pi * 440 * time), draws.normal(0, 0.1, time.size), np.zeros(time.size)):
        assert speech_share(wave.astype(np.float32), RATE_HZ) < 0.15
    for clip in embedded.clips(kind="music")[:3]:
        assert speech_share(at_16k(clip), RATE_HZ) < 0.15


def test_a_recording_in_pieces_is_the_recording(speech):
    whole = Vad()
    expected = np.concatenate([whole.add(speech), whole.finish()])
    assert len(expected) == -(-len(speech) // FRAME)
    pieces = Vad()
    found = [pieces.add(part) for part in np.array_split(speech, [1, 100, 511, 513, 9000, 9001, 20_000])]
    np.testing.assert_allclose(np.concatenate([*found, pieces.finish()]), expected, atol=1e-6)


def test_it_is_the_model_that_the_package_runs(speech):
    """Frame by frame through the package's own streaming model: the file for sequences gives the same numbers."""
    runtime = pytest.importorskip("onnxruntime")
    path = module._file().with_name("silero_vad.onnx")
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    state, context, expected = np.zeros((2, 1, 128), np.float32), np.zeros(64, np.float32), []
    for start in range(0, len(speech) - FRAME, FRAME):
        frame = speech[start : start + FRAME]
        inputs = {"input": np.concatenate([context, frame])[None], "state": state, "sr": np.array(RATE_HZ)}
        (probability,), state = session.run(None, inputs)
        context = frame[-64:]
        expected.append(float(probability[0]))
    np.testing.assert_allclose(Vad().add(speech)[: len(expected)], expected, atol=1e-4)


def test_other_rates_are_brought_to_16_khz(speech):
    slow = np.asarray(resample(speech, RATE_HZ, 8000), np.float32)
    assert speech_share(slow, 8000) > 0.5


def test_the_code_of_the_package_is_never_loaded(speech):
    code = (
        "import sys, numpy as np\n"
        "from auricle.backbones.vad import speech_share\n"
        "import torch; before = torch.get_num_threads()\n"
        "speech_share(np.ones(16000, np.float32), 16000)\n"
        "import os\n"
        "print('silero_vad' in sys.modules, 'torchaudio' in sys.modules, torch.get_num_threads() == before,\n"
        "      os.environ['ORT_DISABLE_TELEMETRY'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "True", "1"]


def test_the_first_use_may_be_in_several_threads_at_once():
    code = (
        "import numpy as np\n"
        "from concurrent.futures import ThreadPoolExecutor\n"
        "from auricle.backbones.vad import speech_share\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    print(set(pool.map(lambda _: speech_share(np.zeros(16000, np.float32), 16000), range(16))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "{0.0}"


def test_a_missing_package_is_named_with_the_line_that_installs_it(monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "silero_vad" else find(name))
    with pytest.raises(MissingExtra, match=r"The check for speech needs the package 'silero-vad'.*auricle\[onnx\]"):
        Vad()


def test_an_older_package_without_the_file_is_named(monkeypatch):
    monkeypatch.setattr(module, "FILE", "data/nothing.onnx")
    with pytest.raises(CheckpointError, match=r"nothing.onnx does not exist; install silero-vad 6\.2\.3"):
        Vad()


def test_a_damaged_file_is_named(tmp_path):
    (tmp_path / "x.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match=r"x.onnx cannot be opened as an ONNX model"):
        module._session(tmp_path / "x.onnx")
