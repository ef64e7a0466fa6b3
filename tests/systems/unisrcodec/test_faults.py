"""What stands beside the codec fails, or changes behind its path: it costs its own rows, or is noticed."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile
import torch

from auricle.core.config import override
from auricle.core.errors import DataError
from auricle.core.files import read_json, write_json
from auricle.core.run import FINAL, open_run
from auricle.report import speech_measures
from auricle.report.spared import Spared, unspared
from auricle.systems import pipeline, system
from auricle.systems.unisrcodec import evaluate as evaluation
from auricle.systems.unisrcodec import measures, probes
from auricle.systems.unisrcodec.infer import load
from auricle.systems.unisrcodec.vocoder import SPEC
from auricle.systems.unisrcodec.vocoder.config import smoke as vocoder_smoke
from auricle.systems.unisrcodec.vocoder.load import about
from auricle.systems.unisrcodec.vocoder.network import Vocoder
from auricle.train.checkpoint import save_model


@pytest.fixture
def run(finished, tmp_path):
    """A copy of the finished smoke run, to be measured again."""
    return shutil.copytree(finished("unisrcodec"), tmp_path / "run")


def failing(error):
    def fail(*arguments, **more):
        raise error

    return fail


def measured(run):
    cfg, folder = pipeline.open_existing("unisrcodec", run)
    return pipeline.evaluate(system("unisrcodec"), cfg, folder)


def baselines(report):
    return {row.baseline for row in report.metrics}


# --- what fails -------------------------------------------------------------------------------------------------------


def test_everything_beside_the_codec_may_fail_and_the_report_is_written(run, monkeypatch):
    monkeypatch.setattr(evaluation, "PcaVq", failing(np.linalg.LinAlgError("Eigenvalues did not converge")))
    monkeypatch.setattr(measures, "opus_lowest", failing(soundfile.LibsndfileError(1)))
    monkeypatch.setattr(probes, "probe", failing(FloatingPointError("overflow")))
    monkeypatch.setattr(evaluation, "page_of", failing(ValueError("no sound")))
    monkeypatch.setattr(speech_measures.SpeechMeasures, "_judge", failing(ZeroDivisionError("division by zero")))
    whole = json.loads((run / "report.json").read_text())
    report = measured(run)
    rows = {(row.name, row.group, row.baseline): row.value for row in report.metrics}
    kept = [
        row
        for row in whole["metrics"]
        if row["baseline"] in (None, "vocoder_ceiling")
        and not row["name"].startswith(("probe_", "stoi", "visqol", "mel_l1_gain"))
    ]
    for row in kept:  # the codec's own numbers are those of the undisturbed run
        assert rows[row["name"], row["group"], row["baseline"]] == pytest.approx(row["value"], rel=1e-5)
    assert baselines(report) == {None, "vocoder_ceiling"}
    said = "\n".join(report.warnings)
    for words in (
        "pca_vq failed and has no rows in this report: LinAlgError: Eigenvalues did not converge",
        "opus failed and has no rows in this report: LibsndfileError",
        "the kind probe failed and has no rows in this report: FloatingPointError: overflow",
        "the page's players and spectrograms failed and has no rows in this report: ValueError: no sound",
        "stoi failed after 0 recordings: ZeroDivisionError",
    ):
        assert words in said
    assert report.extra["verdict"] == ["The codec takes 0.26 kbit/s in the long run."]
    assert json.loads((run / "report.json").read_text())["warnings"] == list(report.warnings)
    assert "Every mel goes through the same vocoder" in (run / "report.html").read_text()


def test_a_peer_that_fails_on_one_recording_is_left_out_of_all(run, tmp_path):
    peer = tmp_path / "mine"
    peer.mkdir()
    cfg = read_json(run / "config.json")
    del cfg["checksum"]
    cfg["config"]["eval"]["peers"] = [f"mine={peer}"]
    write_json(run / "config.json", cfg)
    names = [json.loads(line)["id"] for line in (run / "scores" / "test.jsonl").read_text().splitlines()]
    for name in names:
        soundfile.write(peer / f"{name}.wav", 0.1 * np.sin(np.arange(60_000) * 0.1), 44_100)
    (peer / f"{names[-1]}.wav").write_text("no audio")
    report = measured(run)
    assert "mine" not in baselines(report)
    assert baselines(report) >= {"opus", "pca_vq"}
    assert any("mine failed and has no rows in this report: the peer 'mine'" in text for text in report.warnings)


def test_a_page_that_cannot_be_drawn_costs_the_page(run, monkeypatch):
    from auricle.report import evaluation as publishing

    monkeypatch.setattr(publishing, "render", failing(np.linalg.LinAlgError("singular")))
    monkeypatch.setattr(pipeline.System, "verb", lambda self, name: lambda cfg, folder: found)
    from auricle.core.report import MetricRow

    row = MetricRow(name="mel_l1", value=1.0, n=1)
    found = publishing.Evaluation([row], "embedded", page=publishing.Page())
    report = measured(run)
    assert [row.value for row in report.metrics] == [1.0]
    assert any("the page could not be drawn: LinAlgError: singular" in text for text in report.warnings)
    assert not (run / "report.html").exists()
    assert read_json(run / "stages.json")["evaluate"]


def test_an_error_that_is_a_full_disk_is_raised():
    spared = Spared()
    with pytest.raises(OSError, match="full"):
        spared("x", failing(OSError(28, "full")))
    assert spared("x", failing(DataError("no such thing\nmore"))) is None
    assert spared("x", lambda: 1) is None  # not tried again
    assert spared.notes() == ["x failed and has no rows in this report: no such thing"]
    with pytest.raises(DataError):
        unspared("x", failing(DataError("as it is")))


# --- what changes -----------------------------------------------------------------------------------------------------


def trained_vocoder(folder, seed):
    cfg = vocoder_smoke()
    found = open_run(folder, SPEC.name, "smoke", cfg)
    torch.manual_seed(seed)
    vocoder = Vocoder(cfg.model)
    save_model(found.checkpoints / FINAL, vocoder, about(vocoder.contract))


def test_another_vocoder_behind_the_same_path_is_measured_again(run, tmp_path, monkeypatch, capsys):
    trained_vocoder(tmp_path / "vocoder", 0)
    saved = read_json(run / "config.json")
    del saved["checksum"]
    saved["config"]["eval"]["vocoder"] = str(tmp_path / "vocoder")
    write_json(run / "config.json", saved)
    counted = []
    whole = pipeline.System.verb

    def verb(self, name):
        counted.append(name)
        return whole(self, name)

    monkeypatch.setattr(pipeline.System, "verb", verb)
    first = measured(run)
    cfg, folder = pipeline.open_existing("unisrcodec", run)
    assert pipeline._one(system("unisrcodec"), cfg, folder) == first
    assert counted == ["evaluate"]
    assert "nothing to do: this run is complete" in capsys.readouterr().err
    trained_vocoder(tmp_path / "vocoder", 1)
    again = pipeline._one(system("unisrcodec"), cfg, folder)
    assert counted == ["evaluate", "evaluate"]
    assert "eval.vocoder: the content has changed since" in capsys.readouterr().err
    rows = [{(row.name, row.group): row.value for row in one.metrics if row.baseline is None} for one in (first, again)]
    assert rows[0]["mel_l1", "all"] == rows[1]["mel_l1", "all"]
    assert rows[0]["mel_distance_44", "all"] != rows[1]["mel_distance_44", "all"]
    assert isinstance(load(run).vocoder, Vocoder)


def test_a_vocoder_run_that_is_refused_leaves_no_folder(tmp_path):
    from auricle.core.errors import ConfigError
    from auricle.systems.unisrcodec.vocoder.run import run_all

    with pytest.raises(ConfigError, match=r"model\.kernel is 4; it must be odd"):
        run_all(tmp_path / "run", "smoke", settings=["model.kernel=4"])
    assert not (tmp_path / "run").exists()
    assert override(vocoder_smoke(), ["model.kernel=5"]).model.kernel == 5
