"""One recording has one score: as an array of any form, as a file, as a clip of a manifest."""

import numpy as np
import pytest
import soundfile
import torch

import auricle
from auricle.core.errors import AudioError, ConfigError
from auricle.core.request import Request
from auricle.data import embedded, manifest
from auricle.systems.mambo.infer import infer


@pytest.fixture(scope="module")
def detector():
    return auricle.pretrained("mambo")


@pytest.fixture(scope="module")
def wave():
    audio = next(clip for clip in embedded.clips(kind="speech") if clip.duration_s > 2 and clip.rate_hz == 16000).read()
    return np.round(audio.mono() * 32768).clip(-32768, 32767).astype(np.int16).astype(np.float32) / 32768


FORMS = {
    "(T,)": lambda wave: wave,
    "(1, T)": lambda wave: wave[None],
    "(T, 1)": lambda wave: wave[:, None],
    "(C, T)": lambda wave: np.stack([0.5 * wave, wave]),
    "(T, C)": lambda wave: np.stack([wave, 0.5 * wave], axis=1),
    "int16": lambda wave: (wave * 32768).astype(np.int16),
    "int16 (T, C)": lambda wave: (np.stack([wave, 0 * wave], axis=1) * 32768).astype(np.int16),
    "float64": lambda wave: wave.astype(np.float64),
    "tensor": torch.from_numpy,
    "tensor (1, T)": lambda wave: torch.from_numpy(wave)[None],
    "tensor with gradient": lambda wave: torch.from_numpy(wave).requires_grad_(),
    "list": lambda wave: wave.tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_waveform_has_the_same_score(detector, wave, form):
    expected = detector.score(wave, 16000)
    given = FORMS[form](wave)
    assert detector.score(given, 16000) == pytest.approx(expected, abs=1e-5)
    assert detector.scores([given], [16000]) == pytest.approx([expected], abs=1e-5)
    assert detector.scores(iter([given, given]), iter([16000, 16000])) == pytest.approx([expected] * 2, abs=1e-5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.full(16000, 128, np.uint8), "uint8"),
        (np.ones(16000, bool), "bool"),
        (np.zeros((1, 2, 16000), np.float32), r"shape \(1, 2, 16000\)"),
        (np.full(16000, np.nan, np.float32), "NaN"),
        (np.zeros(16000, np.float32), "silence"),
        (np.ones(100, np.float32), "0.1 s is needed"),
        ([[0.1, 0.2], [0.1]], "rows differ"),
    ],
)
def test_what_is_no_waveform_is_refused(detector, given, message):
    with pytest.raises(AudioError, match=message):
        detector.score(given, 16000)


def test_a_rate_that_is_no_number_is_refused(detector, wave):
    for rate in ("16000", None, True, [16000]):
        with pytest.raises(AudioError, match="rate"):
            detector.score(wave, rate)
    for rate in (100, float("nan")):
        with pytest.raises(AudioError, match="rate"):
            detector.score(wave, rate)


def test_one_rate_is_needed_for_each_waveform(detector, wave):
    with pytest.raises(ConfigError, match=r"rates_hz is 16000; give one rate in Hz for each waveform"):
        detector.scores([wave], 16000)
    for rates in ([], [16000, 16000]):
        with pytest.raises(ConfigError, match="as many in rates_hz as in waves"):
            detector.scores([wave], rates)


def test_a_detector_is_one_line_to_look_at(detector):
    assert "\n" not in repr(detector)
    assert repr(detector).startswith("Detector(mambo3 hydra on lfcc, 213188 parameters, preset laptop")


def test_infer_score_and_evaluate_give_one_score(detector, tmp_path):
    """Recordings of several rates, levels and lengths, as files, as arrays and as the clips of a manifest."""
    chosen = [clip for clip in embedded.clips(kind="speech") if clip.duration_s >= 0.5][::60]
    assert len({clip.rate_hz for clip in chosen}) > 1
    files, waves = [], []
    for number, clip in enumerate(chosen):
        audio = clip.read()
        files.append(tmp_path / f"{number:02d}.wav")
        waves.append((audio.mono() * 10 ** (-(number % 4) / 2)).astype(np.float32))
        soundfile.write(files[-1], waves[-1], audio.rate_hz, subtype="FLOAT")
    by_file = [found.score for found in infer(detector, [Request(audio=file) for file in files])]
    by_wave = detector.scores(waves, [clip.rate_hz for clip in chosen])
    cuts = [manifest.cut(file.stem, file, {"label": "bonafide"}) for file in files]
    by_cut = detector.cut_scores(cuts)
    np.testing.assert_allclose(by_wave, by_file, atol=1e-5)
    np.testing.assert_allclose(by_cut, by_file, atol=1e-5)
