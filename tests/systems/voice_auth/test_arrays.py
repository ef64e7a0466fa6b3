"""Waveforms from Python: one rule for every shape and type, and a rate for each, or the sentence that says so."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from auricle.core.errors import AudioError, ConfigError
from auricle.systems.voice_auth import infer

RATE = 16000


@pytest.fixture(scope="module")
def login(finished):
    return infer.load(finished("voice_auth"))


@pytest.fixture(scope="module")
def wave():
    draws = np.random.default_rng(0)
    envelope = 0.2 * np.abs(np.sin(np.arange(24000) / 1500))
    return np.round(32768 * envelope * draws.standard_normal(24000).clip(-3, 3) / 3).astype(np.int16)


SHAPES = {
    "int16": lambda wave: wave,
    "float32": lambda wave: wave.astype(np.float32) / 32768,
    "float64": lambda wave: wave / 32768,
    "(1, T)": lambda wave: wave[None] / 32768,
    "(T, 1)": lambda wave: wave[:, None] / 32768,
    "(C, T)": lambda wave: np.stack([wave / 32768, wave / 65536]),
    "(T, C)": lambda wave: np.stack([wave / 65536, wave / 32768], axis=1),
    "int16 (C, T)": lambda wave: np.stack([wave // 2, wave]),
    "tensor": lambda wave: torch.from_numpy(wave / 32768),
    "tensor with gradient (1, T)": lambda wave: torch.from_numpy(wave[None] / 32768).float().requires_grad_(),
    "list": lambda wave: (wave / 32768).tolist(),
    "list of lists": lambda wave: [(wave / 32768).tolist()],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_and_type_gives_the_same_score_and_the_same_voice(login, wave, shape):
    given = SHAPES[shape](wave)
    plain = wave.astype(np.float32) / 32768
    assert login.score(given, RATE) == login.score(plain, RATE)
    assert login.scores([given, plain], [RATE, np.int64(RATE)])[0] == pytest.approx(login.score(plain, RATE), abs=1e-6)
    (name, cosine), (own, other) = login.match([given, plain], [RATE, float(RATE)])
    assert (name, cosine) == (own, pytest.approx(other, abs=1e-6))


REFUSED = {
    "uint8": (lambda wave: (wave // 256 + 128).astype(np.uint8), "uint8"),
    "bool": (lambda wave: wave > 0, "mask"),
    "(1, 1, T)": (lambda wave: wave[None, None] / 32768, "shape"),
    "NaN": (lambda wave: np.where(np.arange(len(wave)) == 7, np.nan, wave / 32768), "NaN or Inf"),
    "ragged": (lambda wave: [[0.1, 0.2], [0.1]], "rows differ in length"),
    "text": (lambda wave: "a.wav", "no numbers"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_waveform_is_refused_with_its_sentence(login, wave, kind):
    make, says = REFUSED[kind]
    for ask in (login.score, lambda one, rate_hz: login.match([one], [rate_hz])):
        with pytest.raises(AudioError, match=says):
            ask(make(wave), RATE)


@pytest.mark.parametrize("rate_hz", ["16000", 16000.5, True, None, float("nan"), float("inf")])
def test_a_rate_is_a_whole_number(login, wave, rate_hz):
    with pytest.raises(AudioError, match="whole number of Hz"):
        login.score(wave, rate_hz)


@pytest.mark.parametrize(("rates", "says"), [(16000, "one rate for each"), ("16000", "one rate"), ([16000], "2 wavef")])
def test_there_is_a_rate_for_each_waveform(login, wave, rates, says):
    for ask in (login.scores, login.match):
        with pytest.raises(ConfigError, match=says):
            ask([wave, wave], rates)


def test_a_login_is_one_line(login):
    for said in (repr(login), repr(login.detector)):
        assert "\n" not in said
        assert len(said) < 120
    assert repr(login) == "VoiceLogin(smoke, verifier 'ge2e', detector 'aasist', 22 enrolled voices)"
