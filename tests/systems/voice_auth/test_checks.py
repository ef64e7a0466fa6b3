"""What cannot work or would decide nothing is refused by `prepare`, in one line and before anything is made."""

from __future__ import annotations

import pytest

from auricle.backbones.tiny import save_tiny, tiny_architecture
from auricle.core.config import override
from auricle.core.errors import AuricleError, CheckpointError, ConfigError, MissingExtra
from auricle.core.run import open_run
from auricle.systems.voice_auth import checks, data
from auricle.systems.voice_auth.config import PRESETS, smoke


def refused(tmp_path, preset, *settings):
    """The sentence with which `prepare` refuses; nothing was made."""
    cfg = override(PRESETS[preset](), list(settings))
    run = open_run(tmp_path / "run", "voice_auth", preset, cfg)
    with pytest.raises(AuricleError) as found:
        data.prepare(cfg, run)
    assert not run.cache.exists()
    assert not run.manifests.exists()
    assert "\n" not in str(found.value)
    return found.value


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (["detector.hop_s=0.01", "detector.frontend=ssl"], "detector.hop_s=0.01 would decide nothing"),
        (["detector.kind=cnn", "detector.width=24"], "width=24 would decide nothing: it needs detector.kind=aasist"),
        (["train.rawboost=5"], "train.rawboost=5 would decide nothing: it needs train.augment=rawboost"),
        (["train.copies=2"], "train.copies=2 would decide nothing"),
        (["train.augment=white", "train.rawboost=4"], "train.rawboost=4 would decide nothing"),
        (["detector.run=runs/x", "eval.controls=false", "train.lr=0.1"], "train.lr=0.1 would decide nothing"),
        (["detector.scores=x.txt", "eval.controls=false", "detector.kind=cnn"], "kind=cnn would decide nothing"),
        (['eval.codecs=["telex"]'], "eval.codecs: no channel telex; mu_law"),
        (['data.channels=["none", "telex"]'], "data.channels: no channel telex"),
        (["data.channels=[]"], "data.channels is empty"),
        (["eval.fars=[]"], "eval.fars is empty"),
        (["eval.fars=[0.05, 1.5]"], "1.5"),
        (["verifier.as_norm=1000"], "verifier.as_norm=1000: some trials have "),
        (['data.seen=["parrot"]'], "no spoof family parrot"),
        (["detector.hop_s=0.1", "detector.segment_s=0.5"], "AASIST takes (B, T, 20) with T of 6 or more"),
        (["detector.kind=cnn", "detector.hop_s=0.1", "detector.segment_s=0.5"], "sizes do not fit each other: "),
        (["detector.channels=[0, 8]"], "sizes do not fit each other: "),
        (["data.band_hz=20000"], "20000"),
    ],
)
def test_what_cannot_work_or_would_be_ignored_is_said(tmp_path, verifier, settings, says):
    assert says in str(refused(tmp_path, "smoke", *settings))


def test_an_encoder_without_its_front_end_is_refused_and_one_without_weights(tmp_path, verifier):
    pytest.importorskip("transformers")
    save_tiny("xls_r", tmp_path / "tiny", seed=3)
    own = [f"detector.encoder={tmp_path / 'tiny'}"]
    assert "encoder=" in str(refused(tmp_path / "a", "smoke", *own))
    assert "it needs detector.frontend=ssl" in str(refused(tmp_path / "a", "smoke", *own))
    width = f"detector.frontend_dim={tiny_architecture('xls_r')['hidden_size']}"
    ssl = [*own, "detector.frontend=ssl", width, "detector.width=24"]
    checks.need_workable(override(smoke(), ssl), "smoke")  # with its weights it is taken
    for file in (tmp_path / "tiny").glob("*.safetensors"):
        file.unlink()
    error = refused(tmp_path / "b", "smoke", *ssl)
    assert isinstance(error, CheckpointError)
    assert "weights" in str(error)


def test_paper_needs_a_corpus_and_its_weights(tmp_path):
    assert "--preset paper needs more voices than the embedded corpus has" in str(refused(tmp_path / "a", "paper"))
    error = refused(tmp_path / "b", "paper", "data.source=rec")
    assert isinstance(error, CheckpointError)
    assert "spkrec-ecapa-voxceleb" in str(error)


def test_missing_files_packages_and_runs_are_said(tmp_path, verifier, monkeypatch):
    assert "x.txt" in str(refused(tmp_path / "a", "smoke", "detector.scores=x.txt"))
    assert "nowhere" in str(refused(tmp_path / "b", "smoke", f"detector.run={tmp_path / 'nowhere'}"))
    monkeypatch.setattr(checks, "available", lambda package: False)
    error = refused(tmp_path / "c", "smoke", 'data.unseen=["espeak"]')
    assert isinstance(error, MissingExtra)
    assert "espeak" in str(error)


@pytest.mark.parametrize("preset", ["smoke", "laptop"])
def test_a_preset_as_it_is_and_with_settings_that_count_is_taken(preset, verifier):
    for settings in (
        [],
        ["train.augment=rawboost", "train.rawboost=5", "train.copies=2"],
        ["detector.kind=cnn"],
        ["detector.frontend=logmel"],
        ["eval.controls=false"],
    ):
        checks.need_workable(override(PRESETS[preset](), settings), preset)


def test_sizes_that_fail_deep_inside_are_a_sentence(monkeypatch):
    def broken(*args):
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied\nTraceback")

    monkeypatch.setattr(checks, "score_items", broken)
    with pytest.raises(ConfigError, match=r"sizes do not fit each other: mat1 and mat2 .* multiplied; see detector"):
        checks._need_network(smoke())
