"""The model that comes in the package answers before anything is trained."""

import json
import shutil

import numpy as np
import pytest
import soundfile

import auricle as package
from auricle.core.config import parse
from auricle.core.errors import CheckpointError
from auricle.core.files import read_json
from auricle.core.report import Report
from auricle.data import embedded
from auricle.systems import System, system
from auricle.systems.mambo.config import MamboConfig, ModelConfig, laptop
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


def test_it_stays_small():
    assert sum(file.stat().st_size for file in FOLDER.rglob("*") if file.is_file()) < 3e6


def test_infer_answers_with_it_and_says_so(auricle, speech, tmp_path):
    done = auricle("infer", "mambo", speech, cwd=tmp_path)
    row = json.loads(done.stdout)
    assert row["label"] in ("bonafide", "spoof", "undecided")
    assert any(text.startswith("laptop-model") for text in row["warnings"])
    assert "the small model that comes with Auricle answers" in done.stderr
    wave, rate = soundfile.read(speech, dtype="float32")
    assert package.pretrained("mambo").score(wave, rate) == pytest.approx(row["score"], abs=1e-5)


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
