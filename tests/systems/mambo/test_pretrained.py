"""The model that comes in the package answers before anything is trained."""

import json
import os
import shutil

import numpy as np
import pytest
import soundfile

import auricle as package
from auricle.core import extras
from auricle.core.config import parse
from auricle.core.errors import CheckpointError
from auricle.core.files import read_json
from auricle.core.report import Report
from auricle.data import embedded
from auricle.systems import System, system
from auricle.systems.mambo.config import MamboConfig, ModelConfig, laptop, small
from auricle.systems.mambo.infer import Detector

FOLDER = system("mambo").pretrained()


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    file = tmp_path_factory.mktemp("speech") / "call.wav"
    audio = next(clip for clip in embedded.clips(kind="speech") if clip.duration_s > 2).read()
    soundfile.write(file, np.clip(audio.mono(), -1, 1), audio.rate_hz)
    return file


def test_it_is_a_laptop_run_of_today_with_its_report_and_card():
    saved = read_json(FOLDER / "config.json")
    assert (saved["system"], saved["preset"]) == ("mambo", "laptop")
    assert parse(MamboConfig, saved["config"]) == laptop(), "the preset changed: make pretrained"
    report = Report.load(FOLDER / "report.json")
    assert report.toy
    assert not report.leak
    groups = {(row.name, row.group, row.baseline) for row in report.metrics}
    assert {("eer", "seen", None), ("eer", "unseen", None), ("eer", "pooled", "lfcc_gmm")} <= groups
    assert (FOLDER / "README.md").is_file()


def test_small_comes_too_as_a_run_of_today_with_its_report():
    folder = system("mambo").pretrained("small")
    saved = read_json(folder / "config.json")
    assert (saved["system"], saved["preset"]) == ("mambo", "small")
    assert parse(MamboConfig, saved["config"]) == small(), "the preset changed: make pretrained"
    report = Report.load(folder / "report.json")
    assert report.toy
    groups = {(row.name, row.group, row.baseline) for row in report.metrics}
    assert {("eer", "seen", None), ("eer", "unseen", None), ("eer", "pooled", "lfcc_gmm")} <= groups
    assert system("mambo").pretrained("laptop") == system("mambo").pretrained() == FOLDER


def test_they_stay_small():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 5e6


def test_infer_answers_with_it_and_says_so(auricle, speech, tmp_path):
    done = auricle("infer", "mambo", speech, cwd=tmp_path)
    row = json.loads(done.stdout)
    assert row["label"] in ("bonafide", "spoof", "undecided")
    assert any(text.startswith("laptop-model") for text in row["warnings"])
    assert "the small model that comes with Auricle answers" in done.stderr
    wave, rate = soundfile.read(speech, dtype="float32")
    assert package.pretrained("mambo").score(wave, rate) == pytest.approx(row["score"], abs=1e-5)


@pytest.mark.skipif(not extras.weights_ready("whisper-tiny-en"), reason="needs auricle models add whisper-tiny-en")
def test_small_answers_where_whisper_is_installed(auricle, speech, tmp_path):
    done = auricle("infer", "mambo", "--model", "small", speech, cwd=tmp_path)
    row = json.loads(done.stdout)
    assert "error" not in row
    wave, rate = soundfile.read(speech, dtype="float32")
    assert package.pretrained("mambo", "small").score(wave, rate) == pytest.approx(row["score"], abs=1e-3)
    assert package.pretrained("mambo").score(wave, rate) != pytest.approx(row["score"], abs=1e-2)


def test_small_without_whisper_says_what_to_do_and_nothing_else_answers(auricle, speech, tmp_path):
    env = os.environ | {"AURICLE_CACHE": str(tmp_path / "empty")}
    done = auricle("infer", "mambo", "--model", "small", speech, check=False, cwd=tmp_path, env=env)
    assert done.returncode != 0
    assert "auricle models add whisper-tiny-en" in done.stderr
    assert not done.stdout


def test_a_model_that_does_not_come_and_a_run_beside_it_are_refused(auricle, speech, tmp_path):
    done = auricle("infer", "mambo", "--model", "large", speech, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "laptop, small" in done.stderr
    done = auricle("infer", "mambo", "--model", "small", "--run", "runs/mine", speech, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "give one of them" in done.stderr
    assert not done.stdout


def test_a_folder_that_was_named_is_never_replaced_by_it(auricle, speech, tmp_path):
    done = auricle("infer", "mambo", "--run", "runs/mine", speech, check=False, cwd=tmp_path)
    assert done.returncode == 2
    assert "runs/mine" in done.stderr
    assert not done.stdout


def test_of_several_seeds_seed_0_answers_and_infer_says_so(auricle, speech, tmp_path):
    shutil.copytree(FOLDER, tmp_path / "runs" / "mambo" / "seed-0")
    done = auricle("infer", "mambo", speech, cwd=tmp_path)
    assert "seed 0 answers" in done.stderr
    assert "score" in json.loads(done.stdout)


def test_a_system_without_one_says_what_to_do(monkeypatch, tmp_path):
    class Nowhere:
        __file__ = str(tmp_path / "__init__.py")

    monkeypatch.setattr(System, "_file", lambda self, part="": Nowhere)
    with pytest.raises(CheckpointError, match="train one with: auricle run mambo"):
        system("mambo").pretrained()


def detector(preset, **model):
    cfg = MamboConfig(model=ModelConfig.model_validate({"frontend": "lfcc", "frontend_dim": 20, **model}))
    return Detector(network=None, cfg=cfg, preset=preset, calibration=None, domain=None)


def test_only_the_paper_preset_on_a_real_encoder_is_no_toy():
    real = {"name": "a", "revision": None, "hidden_size": 1024, "num_hidden_layers": 24}
    tiny = {**real, "hidden_size": 32, "num_hidden_layers": 2}
    ssl = {"frontend": "ssl", "encoder": "a"}
    assert detector("laptop").toy
    assert detector("paper").toy
    assert detector("paper", **ssl, frontend_dim=32, encoder_config=tiny).toy
    assert not detector("paper", **ssl, frontend_dim=1024, encoder_config=real).toy
