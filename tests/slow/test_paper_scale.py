"""The paper preset on a small speech encoder from disk: trains, resumes, scores; two processes train like one."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SETTINGS = (
    "model.frontend_dim=32",
    "model.layers=1",
    "model.n=1",
    "data.segment_s=1.0",
    "train.max_steps=4",
    "train.batch=4",
    "train.eval_every=2",
    "train.save_every=2",
)
CURVE = ("loss", "grad_norm", "dev_loss")
pytestmark = pytest.mark.slow


@pytest.fixture
def corpus(tmp_path):
    """Write a manifest of voiced and of noisy clips, and an encoder."""
    from auricle.audio.files import write
    from auricle.backbones.tiny import save_tiny
    from auricle.data import manifest

    draws = np.random.default_rng(0)
    time_s = np.arange(16000) / 16000
    cuts = []
    for split, count in (("train", 8), ("dev", 4), ("test", 4)):
        for index in range(count):
            for label in ("bonafide", "spoof"):
                noise = draws.standard_normal(16000)
                voiced = 0.1 * np.sin(2 * np.pi * (150 + 10 * index) * time_s) + 0.02 * noise
                path = tmp_path / "audio" / f"{split}-{index}-{label}.wav"
                write(path, np.float32(voiced if label == "bonafide" else 0.1 * noise), 16000)
                facts = {"label": label, "split": split, "pair": f"{split}-{index}", "speaker": f"{split}-{index}"}
                cuts.append(manifest.cut(path.stem, path, facts))
    manifest.write(cuts, tmp_path / "corpus.jsonl")
    save_tiny("xls_r", tmp_path / "encoder", seed=1)
    return tmp_path


def config(folder, *more):
    from auricle.systems.pipeline import resolve

    return resolve(
        "mambo", "paper", str(folder / "corpus.jsonl"), [f"model.encoder={folder / 'encoder'}", *SETTINGS, *more]
    )


def fitted(folder, run, *more):
    """Prepare and train with the real data path and loop; give the config and the result."""
    from auricle.core.run import RunFolder
    from auricle.data.clips import load_clips
    from auricle.systems.mambo import data
    from auricle.systems.mambo.train import fit_detector

    cfg = config(folder, "train.mixed_precision=no", *more)
    prepared = RunFolder(run / "data")
    data.prepare(cfg, prepared)
    sets = [load_clips(data.load(prepared, split), cfg.data.rate_hz) for split in ("train", "dev")]
    return cfg, fit_detector(cfg, *sets, run, progress=False)


def log(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_command_trains_scores_and_answers_from_the_run_alone(corpus, auricle):
    run = corpus / "run"
    arguments = ["--preset", "paper", "--data", corpus / "corpus.jsonl", "--run", run]
    settings = [f"model.encoder={corpus / 'encoder'}", *SETTINGS]
    for verb in ("prepare", "train"):
        auricle(verb, "mambo", *arguments, *settings)
    auricle("evaluate", "mambo", "--run", run)
    assert [row["step"] for row in log(run)] == [1, 2, 3, 4]
    assert all(np.isfinite(row["loss"]) for row in log(run))
    report = json.loads((run / "report.json").read_text())
    assert {"eer", "auc"} <= {row["name"] for row in report["metrics"]}
    saved = json.loads((run / "config.json").read_text())["config"]
    assert saved["model"]["encoder_config"]["hidden_size"] == 32
    clip = corpus / "audio" / "test-0-spoof.wav"
    before = auricle("infer", "mambo", "--run", run, clip).stdout
    elsewhere = corpus.parent / f"{corpus.name}-moved"
    shutil.move(run, elsewhere)
    shutil.rmtree(corpus / "encoder")
    after = auricle("infer", "mambo", "--run", elsewhere, clip).stdout
    assert json.loads(before) == json.loads(after)
    assert {"score", "label"} <= json.loads(after).keys()


def test_a_broken_run_goes_on_to_the_same_weights_without_the_folder(corpus, monkeypatch):
    from safetensors.torch import load_file

    from auricle.systems.mambo import train

    _, whole = fitted(corpus, corpus / "whole")
    call, calls = train.Step.__call__, []

    def broken(self, model, batch):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return call(self, model, batch)

    with monkeypatch.context() as patch:
        patch.setattr(train.Step, "__call__", broken)
        with pytest.raises(KeyboardInterrupt):
            fitted(corpus, corpus / "broken")
    monkeypatch.setattr("auricle.backbones.speech.SpeechEncoder.fetch", lambda self: pytest.fail("read again"))
    _, resumed = fitted(corpus, corpus / "broken")
    first, second = (load_file(result.last / "model.safetensors") for result in (whole, resumed))
    assert first.keys() == second.keys()
    assert any(name.startswith("encoder.") for name in first)
    assert all(bool((first[name] == second[name]).all()) for name in first)


def test_training_changes_the_encoder_unless_it_is_frozen(corpus):
    from safetensors.torch import load_file

    start = load_file(corpus / "encoder" / "model.safetensors")
    name = "encoder.layers.0.attention.q_proj.weight"
    for freeze in (False, True):
        _, result = fitted(corpus, corpus / f"frozen-{freeze}", f"model.encoder_freeze={str(freeze).lower()}")
        tuned = load_file(result.last / "model.safetensors")[f"encoder.model.{name}"]
        assert bool((tuned == start[name]).all()) is freeze


def test_two_processes_give_the_loss_curve_of_one(corpus):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "ACCELERATE_USE_CPU": "true"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    runs = [
        subprocess.Popen(
            [sys.executable, __file__, str(corpus)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    for rank, run in enumerate(runs):
        out, err = run.communicate(timeout=300)
        assert run.returncode == 0, err[-3000:]
        assert json.loads(out.splitlines()[-1]) == [rank, 2, 4]
    # dropout draws differ between processes, so it is off in both
    fitted(corpus, corpus / "one", "model.dropout=0", "train.accumulate=2", "train.lr=1e-3")
    one, two = log(corpus / "one"), log(corpus / "two")
    assert len(one) == len(two) == 4
    assert one[0]["loss"] != one[-1]["loss"]
    for a, b in zip(one, two, strict=True):
        assert a.keys() == b.keys()
        for name in CURVE:
            if name in a:
                assert abs(a[name] - b[name]) <= 1e-5 * max(1.0, abs(a[name])), (name, a, b)


if __name__ == "__main__":
    from accelerate import PartialState

    base = Path(sys.argv[1])

    _, outcome = fitted(base, base / "two", "model.dropout=0", "train.lr=1e-3")
    state = PartialState()
    sys.stdout.write(json.dumps([state.process_index, state.num_processes, outcome.step]) + "\n")
