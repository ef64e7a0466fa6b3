"""The baselines beside the result: whatever the clips are, they give a number, or cost their own row."""

import json
import shutil

import numpy as np
import pytest
import soundfile

from auricle.backbones.classical import lfcc_gmm, metadata
from auricle.core.config import parse
from auricle.core.errors import DataError, MissingExtra
from auricle.core.run import RunFolder
from auricle.data.clips import Clips, as_int16
from auricle.metrics.rows import percent
from auricle.systems import pipeline, system
from auricle.systems.mambo import controls, evaluate
from auricle.systems.mambo.config import MamboConfig
from auricle.systems.mambo.evaluate import told_apart


def clips(waves, labels, rate_hz=16000):
    facts = [{"label": "bonafide" if label else "spoof"} for label in labels]
    return Clips([as_int16(wave) for wave in waves], facts, rate_hz)


def noise(seed, seconds=1.0, rate_hz=16000):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * rate_hz)).astype(np.float32)


def gated(seed):
    """A recording with a stretch of digital silence: its frames are all the same."""
    wave = noise(seed)
    wave[4000:14000] = 0.0
    return wave


def test_digital_silence_in_every_real_clip_does_not_stop_lfcc_gmm():
    """Thousands of equal frames with numbers of about a hundred: their variance in float32 is negative."""
    train = clips([gated(i) for i in range(30)] + [noise(100 + i) for i in range(30)], [1] * 30 + [0] * 30)
    test = clips([gated(500), noise(501)], [1, 0])
    (scores,) = lfcc_gmm(train, [test], 3800.0, 0)
    assert np.isfinite(scores).all()
    assert scores[0] > scores[1]


def test_fewer_frames_than_components_are_fitted_all_the_same():
    train = clips([noise(0, 0.1), noise(1, 0.1)], [1, 0])
    assert np.isfinite(lfcc_gmm(train, [train], 3800.0, 0)[0]).all()


def test_lfcc_gmm_needs_both_classes():
    with pytest.raises(DataError, match="both bona fide and spoof"):
        lfcc_gmm(clips([noise(0)], [1]), [], 3800.0, 0)


@pytest.fixture(scope="module")
def copied(smoke_run, tmp_path_factory):
    """A finished run to evaluate again; the shared one is never written to."""
    folder = tmp_path_factory.mktemp("copied") / "run"
    shutil.copytree(smoke_run, folder, ignore=shutil.ignore_patterns("controls"))
    return RunFolder(folder)


def raising(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def test_what_fails_beside_the_result_costs_its_own_rows_and_is_named(copied, monkeypatch):
    monkeypatch.setattr(evaluate, "lfcc_gmm", raising(np.linalg.LinAlgError("singular")))
    monkeypatch.setattr(evaluate, "metadata", raising(ValueError("no variance\nsecond line")))
    monkeypatch.setattr(evaluate, "page", raising(ZeroDivisionError("nothing to draw")))
    monkeypatch.setattr(evaluate, "speech_share", raising(MissingExtra("silero-vad", "onnx", "The check for speech")))
    monkeypatch.setattr(controls, "_trained", raising(FloatingPointError("overflow")))
    cfg = parse(MamboConfig, copied.saved_config()["config"])
    report = pipeline.evaluate(system("mambo"), cfg, copied)
    rows = {(row.name, row.group, row.baseline) for row in report.metrics}
    assert {("eer", "seen", None), ("eer", "pooled", None)} <= rows
    assert {row.baseline for row in report.metrics} == {None, "constant"}
    assert not {row.name for row in report.metrics} & {"leak_eer", "speech_check", "eer minus lfcc_gmm"}
    for what, reason in (
        ("the baseline lfcc_gmm", "LinAlgError: singular"),
        ("the baseline metadata", "ValueError: no variance"),
        ("the leak check through the same chain", "FloatingPointError: overflow"),
        ("the leak check through other codecs", "FloatingPointError: overflow"),
        ("the speech check", "The check for speech needs the package 'silero-vad'"),
        ("the page's plots", "ZeroDivisionError: nothing to draw"),
    ):
        said = f"{what} failed and has no rows in this report: {reason}"
        assert [text for text in report.warnings if text.startswith(said)], (said, report.warnings)
    assert not report.leak
    assert (copied.path / "report.html").is_file()
    scored = [json.loads(line) for line in (copied.path / "scores" / "test.jsonl").read_text().splitlines()]
    assert "lfcc_gmm" not in scored[0]


def test_labels_that_can_be_told_without_listening_are_said_first(copied, monkeypatch):
    monkeypatch.setattr(evaluate, "metadata", lambda train, tests, seed: [tests[0].labels.astype(float)])
    monkeypatch.setattr(evaluate, "lfcc_gmm", lambda train, tests, band_hz, seed: [tests[0].labels * 0.1])
    monkeypatch.setattr(controls, "_trained", raising(ValueError("not wanted")))
    cfg = parse(MamboConfig, copied.saved_config()["config"])
    found = evaluate.evaluate(cfg, copied)
    assert found.warnings[0].startswith("your labels can be told without listening")
    assert "EER of 0.0 %" in found.warnings[0]


def test_metadata_finds_what_differs_without_being_heard(tmp_path):
    """Real clips at one level, fakes at another: nothing that a detector should be praised for."""
    paths = []
    for number in range(60):
        paths.append(tmp_path / f"{number}.wav")
        soundfile.write(paths[-1], noise(number) * (1.0 if number % 2 else 0.1), 16000)
    facts = [{"label": "spoof" if number % 2 else "bonafide", "path": str(path)} for number, path in enumerate(paths)]
    data = Clips([as_int16(noise(number)) for number in range(60)], facts, 16000)
    (scores,) = metadata(data.where(np.arange(60) < 40), [data.where(np.arange(60) >= 40)], 0)
    assert np.array_equal(scores > 0, data.labels[40:])


def test_no_warning_where_metadata_is_near_chance_or_absent():
    assert told_apart([percent("eer", 0.44, 100, group="pooled", baseline="metadata")]) == []
    assert told_apart([percent("eer", 0.01, 100, group="pooled", baseline="lfcc_gmm")]) == []
    assert told_apart([]) == []
