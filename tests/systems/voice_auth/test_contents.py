"""What lies behind a path of the config is named by its content: a change is noticed, and never mixed with the old."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from auricle.backbones.speaker.ecapa import EcapaSizes, EcapaTdnn
from auricle.backbones.speaker.ecapa_weights import save_ecapa
from auricle.core.config import override
from auricle.core.errors import CheckpointError
from auricle.core.files import read_json
from auricle.core.request import Request
from auricle.core.run import RunFolder, open_run
from auricle.data import manifest
from auricle.systems import pipeline
from auricle.systems import system as find
from auricle.systems.voice_auth import controls, data, evaluate, infer
from auricle.systems.voice_auth.batches import ClipFeatures
from auricle.systems.voice_auth.config import smoke
from auricle.systems.voice_auth.embeddings import Embedder

QUICK = ["eval.controls=false", "eval.sweep_clips=0", "data.workers=1"]


def ecapa(folder, seed):
    torch.manual_seed(seed)
    sizes = EcapaSizes(channels=16, dim=8)
    return save_ecapa(folder, EcapaTdnn(sizes))


def prepared(finished, folder, settings):
    """A run of its own with the clips of the finished smoke run."""
    cfg = override(smoke(), [*QUICK, *settings])
    run = open_run(folder, "voice_auth", "smoke", cfg)
    for file in RunFolder(finished("voice_auth")).manifests.glob("*.jsonl"):
        manifest.write(manifest.read(file), run.manifests / file.name)
    run.mark("prepare")
    return cfg, run


def test_new_weights_behind_the_same_path_are_another_verifier(finished, tmp_path):
    spec = f"verifier.spec=ecapa:{ecapa(tmp_path / 'ecapa', 0)}"
    cfg, run = prepared(finished, tmp_path / "run", [spec])
    pipeline.train(find("voice_auth"), cfg, run)
    login, file = infer.load(run.path), Embedder(cfg, run).file
    assert file.exists()
    assert set(login.contents) == {"verifier.spec"}
    cut = next(iter(manifest.read(run.manifests / "clips.jsonl")))
    (answer,) = infer.infer(login, [Request(audio=cut.recording.sources[0].source)])
    assert answer.best_match
    ecapa(tmp_path / "ecapa", 1)
    assert Embedder(cfg, run).file != file  # nothing of the old verifier is taken for the new one's
    says = r"verifier\.spec=ecapa:.*no longer what this run was trained with"
    with pytest.raises(CheckpointError, match=says):
        next(infer.infer(infer.load(run.path), [Request(audio=cut.recording.sources[0].source)]))
    with pytest.raises(CheckpointError, match=says):
        evaluate.evaluate(cfg, run)
    ecapa(tmp_path / "ecapa", 0)
    (again,) = infer.infer(infer.load(run.path), [Request(audio=cut.recording.sources[0].source)])
    assert again == answer


def test_a_changed_file_of_scores_is_not_measured_against_the_old_threshold(finished, tmp_path, verifier):
    ids = [cut.id for cut in manifest.read(finished("voice_auth") / "manifests" / "clips.jsonl")]
    draws = np.random.default_rng(0)
    scores = tmp_path / "scores.txt"
    scores.write_text("".join(f"{name} {draws.normal():.6f}\n" for name in ids))
    cfg, run = prepared(finished, tmp_path / "run", [f"detector.scores={scores}"])
    pipeline.train(find("voice_auth"), cfg, run)
    assert "detector.scores" in read_json(run.checkpoints / "final" / "meta.json")["behind_paths"]
    report = pipeline.evaluate(find("voice_auth"), cfg, run)
    assert not [text for text in report.extra["verdict"] if "never heard" in text]  # nobody knows what those heard
    scores.write_text(scores.read_text().replace("0", "1"))
    with pytest.raises(CheckpointError, match=r"detector\.scores=.*put it back, or train again"):
        pipeline.evaluate(find("voice_auth"), cfg, run)


def test_a_detector_run_that_was_trained_again_is_noticed(finished, tmp_path, verifier, monkeypatch):
    class Loud:
        def scores(self, waves, rates_hz):
            return [float(np.mean(np.abs(wave))) for wave in waves]

    monkeypatch.setattr("auricle.systems.voice_auth.detectors.external_detector", lambda folder: Loud())
    other = tmp_path / "mambo"
    (other / "checkpoints" / "final").mkdir(parents=True)
    (other / "config.json").write_text("{}")
    (other / "checkpoints" / "final" / "model.safetensors").write_bytes(b"first")
    cfg, run = prepared(finished, tmp_path / "run", [f"detector.run={other}"])
    pipeline.train(find("voice_auth"), cfg, run)
    wave = 0.1 * np.random.default_rng(0).standard_normal(16000)
    assert infer.load(run.path).score(wave, 16000) > 0
    (other / "checkpoints" / "final" / "model.safetensors").write_bytes(b"other")
    with pytest.raises(CheckpointError, match=r"detector\.run=.*no longer what this run was trained with"):
        infer.load(run.path).score(wave, 16000)


def test_a_training_on_other_sounds_of_the_same_names_is_another(tmp_path):
    cfg = override(smoke(), ["train.max_steps=1"])

    def features(gain):
        labels, pairs, groups = np.arange(8) % 2 == 0, np.array([str(n) for n in range(8)]), np.array(["g"] * 8)
        frames = np.random.default_rng(1).standard_normal((8, 50, 20)).astype(np.float32)
        return ClipFeatures([[gain * one] for one in frames], labels, np.array(["", "x"] * 4), groups, pairs)

    for gain in (1.0, 2.0):
        controls.trained_scores(cfg, features(gain), features(1.0), [features(1.0)], tmp_path)
    assert len(list(tmp_path.glob("*/scores.json"))) == 2
    controls.trained_scores(cfg, features(2.0), features(1.0), [features(1.0)], tmp_path)
    assert len(list(tmp_path.glob("*/scores.json"))) == 2
    assert json.loads(next(tmp_path.glob("*/scores.json")).read_text())["steps"] == 1


def test_a_corpus_that_was_built_again_is_prepared_again(tmp_path, monkeypatch):
    monkeypatch.setattr(data.rec, "folder", lambda: tmp_path)
    (tmp_path / "clips.jsonl").write_text('{"id": "a", "sha256": "1"}\n')
    built = override(smoke().data, ["source=rec"])
    first = data._deciding(built)
    (tmp_path / "clips.jsonl").write_text('{"id": "a", "sha256": "2"}\n')
    assert data._deciding(built) != first
    # what comes in the package keeps the name that it had
    assert data._deciding(smoke().data) == smoke().data.model_dump(mode="json")
