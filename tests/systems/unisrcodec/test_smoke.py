"""The real command, end to end, on the embedded corpus: train, report, encode to a file, decode, screen."""

from __future__ import annotations

import json

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from auricle.cli.codec import app
from auricle.core.report import Report
from auricle.data import embedded


@pytest.fixture(scope="module")
def run(finished):
    """The finished smoke run; never write into it."""
    return finished("unisrcodec")


def test_the_report_has_rates_distances_and_what_stands_beside(run):
    report = Report.load(run / "report.json")
    assert report.toy
    rows = {(row.name, row.group, row.baseline): row for row in report.metrics}
    for group in ("speech", "sound", "music", "all"):
        for name in ("mel_distance_44", "mel_distance_16", "stft_distance_44", "stft_distance_16", "si_sdr"):
            for whose in (None, "vocoder_ceiling", "opus", "pca_vq"):
                assert rows[name, group, whose].value is not None
        assert rows["tokens_of_1s_clip_as_quoted", group, None].value == 40
        assert rows["codes_used", group, None].value <= rows["codes_used", group, None].n
        assert rows["kbit_per_s", group, "opus"].value > 10 * rows["kbit_per_s", group, None].value
    for name in ("stoi", "probe_kind_accuracy"):
        group = "speech" if name == "stoi" else "probe: kind"
        for whose in (None, "pca_vq"):
            assert rows[name, group, whose].value is not None
    assert rows["stoi", "speech", "vocoder_ceiling"].value > rows["stoi", "speech", None].value
    assert ("stoi", "all", None) not in rows
    assert any("stoi is of pystoi" in warning for warning in report.warnings)
    # the original's own mel must come out of the vocoder nearer than what an untrained codec makes of it
    assert rows["mel_distance_44", "all", "vocoder_ceiling"].value < rows["mel_distance_44", "all", None].value
    losses = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert losses[-1]["dev_mel_l1"] < losses[7]["dev_mel_l1"] < 6.0
    assert losses[-1]["fool"] > 0
    page = (run / "report.html").read_text()
    for word in ("vocoder ceiling", "PCA + VQ", "audio controls", "Spectrogram"):
        assert word in page


def test_a_file_goes_to_tokens_and_back(run, auricle, tmp_path):
    clip = embedded.clips("music")[0]
    bad = tmp_path / "bad.wav"
    bad.write_text("this is not audio")
    done = auricle("codec", "encode", clip.file(), bad, "--out", tmp_path / "t", "--numpy", "--run", run, check=False)
    assert done.returncode == 1
    assert "bad.wav" in done.stderr
    made = tmp_path / "t" / f"{clip.file().name}.ausr"
    indices = np.load(made.with_suffix(".npy"))
    assert indices.shape == (-(-round(clip.duration_s * 44_100) // 8192), 8)
    auricle("codec", "decode", made, "--out", tmp_path / "d", "--run", run)
    wave, rate = soundfile.read(tmp_path / "d" / f"{clip.file().name}.wav")
    assert rate == 44_100
    assert abs(len(wave) / rate - clip.duration_s) < 0.001
    made.write_bytes(made.read_bytes()[:-3])
    done = CliRunner().invoke(app, ["decode", str(made), "--out", str(tmp_path / "d"), "--run", str(run)])
    assert done.exit_code == 1
    assert "cut short" in done.output


def test_infer_gives_one_line_an_input(run, auricle, tmp_path):
    clip = embedded.clips("sound")[0]
    done = auricle("infer", "unisrcodec", "--run", run, clip.file(), tmp_path, check=False)
    assert done.returncode == 1
    first, second = (json.loads(line) for line in done.stdout.splitlines())
    assert first["tokens"] == 8 * first["columns"] == np.size(first["indices"])
    assert first["warnings"]
    assert set(second) == {"input", "error"}


def test_the_screen_reports_a_folder(tmp_path):
    folder = embedded.folder() / "sound" / "cymbal"
    done = CliRunner().invoke(app, ["screen", str(folder), "--plot", str(tmp_path / "b.svg")])
    assert done.exit_code == 0
    assert "of 4 files reach 20 kHz" in done.output
    assert "<svg" in (tmp_path / "b.svg").read_text()
