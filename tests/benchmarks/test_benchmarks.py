"""The benchmarks keep their contract, and both sides of a case do the same job. No times are asserted."""

import importlib.util
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
SCRIPTS = sorted(path.name for path in FOLDER.glob("*.py") if path.name not in ("__main__.py", "contract.py"))
KEYS = ["case", "ours", "peer", "peer_name", "unit", "ratio", "ratio_min", "ratio_max", "n"]


@pytest.fixture
def bench(monkeypatch):
    """Load a script as a module."""
    monkeypatch.syspath_prepend(str(FOLDER))
    for name in ("contract", *(script.removesuffix(".py") for script in SCRIPTS)):
        monkeypatch.delitem(sys.modules, name, raising=False)

    def load(name):
        spec = importlib.util.spec_from_file_location(f"bench_{name}", FOLDER / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        return module

    return load


def test_a_row_sums_up_its_pairs(bench):
    contract = bench("contract")
    case = contract.Case("job", list, list, "them", "ms")
    row = contract.row_of(case, [(1.0, 2.0), (2.0, 12.0), (4.0, 4.0)])
    assert list(row) == KEYS
    assert (row["ours"], row["peer"], row["ratio"], row["ratio_min"], row["ratio_max"]) == (2e3, 4e3, 2.0, 1.0, 6.0)
    assert (row["case"], row["peer_name"], row["unit"], row["n"]) == ("job", "them", "ms", 3)


@pytest.mark.parametrize(("repeats", "budget_s", "pairs"), [(4, 60.0, 4), (4, 0.0, 2), (1, 60.0, 2)])
def test_both_sides_run_in_turn_within_the_budget(bench, repeats, budget_s, pairs):
    contract = bench("contract")
    calls = []
    case = contract.Case("job", lambda: calls.append("ours"), lambda: calls.append("peer"), "them")
    assert contract.measure(case, repeats, budget_s)["n"] == pairs
    assert calls == ["ours", "peer"] * (pairs + 1)  # the first of each is the warm-up


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_takes_the_arguments(script):
    done = subprocess.run([sys.executable, FOLDER / script, "--help"], capture_output=True, text=True, check=True)
    assert "--quick" in done.stdout
    assert "--json" in done.stdout


def test_json_is_one_object_a_case():
    command = [sys.executable, FOLDER / "ssm.py", "--quick", "--json", "--only", "mamba2-T256"]
    rows = [json.loads(line) for line in subprocess.run(command, capture_output=True, check=True).stdout.splitlines()]
    assert [row["peer_name"] for row in rows] == [
        "scaled-dot-product attention",
        "transformers torch path",
        "matmul floor",
    ]
    for row in rows:
        assert list(row) == KEYS
        assert row["case"] == "mamba2-T256-D256-fwdbwd"
        assert row["ratio_min"] <= row["ratio"] <= row["ratio_max"]


def test_features_are_those_of_librosa(bench):
    features = bench("features")
    waves = features.hour(3, 1.0)
    log_mel = features.LogMel(features.RATE_HZ, features.MELS, features.N_FFT, features.HOP, features.WIN)
    lfcc = features.LFCC(features.RATE_HZ, features.FILTERS, features.FILTERS, features.N_FFT)
    for module, theirs in ((log_mel, features.librosa_log_mel), (lfcc, features.librosa_lfcc)):
        for one, other in zip(features.ours(module, waves), theirs(waves), strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one, other, atol=2e-3)


@pytest.mark.parametrize("container", ["WAV", "FLAC", "MP3", "OGG", "AIFF"])
def test_samples_read_are_those_of_soundfile(bench, tmp_path, container):
    reading = bench("reading")
    paths = reading.clips(tmp_path, container, 2, 3.0)
    for one, other in zip(reading.ours(paths), reading.unguarded(paths), strict=True):
        np.testing.assert_array_equal(one, other)


def test_scores_are_those_of_the_plain_loop(bench, tmp_path):
    scoring = bench("scoring")
    model = scoring.detector(tmp_path / "run")
    files = scoring.recordings(tmp_path / "clips", 6, 3.0)
    files += scoring.joined(tmp_path / "long", files, 4.0)
    assert len(files) > 6
    rows = list(scoring.infer(model, scoring.asked(files)))
    np.testing.assert_allclose([row.score for row in rows], scoring.plain_loop(model, files), atol=1e-5)


def test_both_sides_of_a_group_do_the_same(bench, monkeypatch):
    pytest.importorskip("peft")
    alm = bench("alm")
    for name, size in {"PROMPTS": 3, "SAMPLES": 2, "TOKENS": 4, "FRAMES": 30, "CALLS": 2}.items():
        monkeypatch.setattr(alm, name, size)
    job = alm.Job()
    ids = job.ours()
    assert ids.shape == job.batched().shape == (6, 4)
    assert job.one_by_one().shape == (2, 4)
    for encoded in (False, True):
        once, repeated = (job.step(ids, times, encoded) for times in (1, 2))
        assert once.keys() == repeated.keys()
        assert any(grad.abs().max() > 1e-4 for grad in once.values())
        for name, grad in once.items():
            np.testing.assert_allclose(grad, repeated[name], atol=1e-5 * max(1.0, float(repeated[name].abs().max())))


def test_mixtures_are_the_same_on_all_sides(bench):
    moe = bench("moe")
    torch = moe.torch
    size = moe.Size(40, 12, 24, 96)
    ours, peers = moe.sides(size)
    x = torch.randn(50, 40, generator=torch.Generator().manual_seed(2))
    found = {}
    for name, side in {"ours": ours, **peers}.items():
        given = x.clone().requires_grad_()
        made = side(given)
        made.square().sum().backward()
        found[name] = (made.detach(), given.grad)
    assert len(found) == 3
    for made, grad in found.values():
        np.testing.assert_allclose(made, found["ours"][0], atol=1e-5)
        np.testing.assert_allclose(grad, found["ours"][1], atol=1e-4)
    routed, dense = moe.adapters(size)
    assert moe.dense_like(routed).shared.into.weight.shape == dense.shared.into.weight.shape
    assert sum(p.numel() for p in dense.parameters()) == pytest.approx(
        sum(p.numel() for p in routed.parameters()), rel=1e-2
    )


def test_times_are_those_of_one_item(bench):
    contract = bench("contract")
    case = contract.Case("job", lambda: time.sleep(0.04), lambda: time.sleep(0.02), "them", items=(4, 1))
    row = contract.measure(case, 2, 10.0)
    assert row["ours"] == pytest.approx(0.01, abs=0.008)
    assert row["ratio"] > 1.0
