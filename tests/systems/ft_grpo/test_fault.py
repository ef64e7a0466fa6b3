"""Kills and damage, through the real command."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

pytest.importorskip("peft")

from auricle.core.files import read_json, write_json
from auricle.core.run import SUM
from tests.finished import one_thread


@pytest.fixture(scope="module")
def run(finished):
    """The finished smoke run; never write into it."""
    return finished("ft_grpo")


def killed_when(arguments, condition, patience_s=240.0) -> bool:
    """Start the real command and send it SIGKILL once `condition` holds; say whether it came to that."""
    process = subprocess.Popen(
        [sys.executable, "-m", "auricle", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=one_thread(),
        start_new_session=True,
    )
    end = time.monotonic() + patience_s
    while time.monotonic() < end and process.poll() is None:
        if condition():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.02)
    process.wait()
    return False


def steps(folder, stage) -> int:
    file = folder / "checkpoints" / "stages" / stage / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_training_killed_after_the_heads_ends_with_identical_weights(run, auricle, tmp_path) -> None:
    """The frozen encoder must not carry its last gradients into the next stage of a run that was never stopped."""
    folder = tmp_path / "run"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("checkpoints", "scores", "report*", "metrics*"))
    stages = json.loads((folder / "stages.json").read_text())
    (folder / "stages.json").write_text(json.dumps({"prepare": stages["prepare"]}))
    arguments = ("train", "ft_grpo", "--run", folder)
    at = random.randrange(1, 100)  # any step of SFT: the numbers must not depend on it
    assert killed_when(arguments, lambda: steps(folder, "sft") >= at), "it ended before it could be killed"
    assert steps(folder, "heads") == 30
    assert not (folder / "checkpoints" / "sft").exists()
    auricle(*arguments, env=one_thread())
    for name in ("sft", "more_sft", "final"):
        ours, theirs = (path / "checkpoints" / name / "model.safetensors" for path in (folder, run))
        assert ours.read_bytes() == theirs.read_bytes(), f"{name}, killed after step {at} of SFT"
    logs = [(path / "metrics.jsonl").read_text().splitlines() for path in (folder, run)]
    rows = [
        [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in log] for log in logs
    ]
    assert rows[0] == rows[1]


def test_a_received_run_that_names_a_model_with_code_runs_none_of_it(run, auricle, tmp_path) -> None:
    """A `y` waits on standard input, where Transformers would ask."""
    folder, model, mark = tmp_path / "run", tmp_path / "model", tmp_path / "ran"
    shutil.copytree(run, folder, ignore=shutil.ignore_patterns("cache", "scores"))
    model.mkdir()
    (model / "evil.py").write_text(f"open({str(mark)!r}, 'w').close()\n")
    code = {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M", "AutoTokenizer": ["evil.T", "evil.T"]}
    for name in ("config.json", "tokenizer_config.json"):
        (model / name).write_text(json.dumps({"model_type": "evil", "auto_map": code}))
    for key in ("decoder", "backbone"):
        saved = read_json(run / "config.json")
        saved.pop(SUM, None)
        saved["config"]["model"] |= {"decoder": None, "backbone": None, key: str(model)}
        if key == "backbone":
            saved["config"]["train"] |= {"heads": None, "freeze": False, "head_weight": 0.0}
        write_json(folder / "config.json", saved)
        done = auricle("infer", "ft_grpo", "--run", folder, __file__, check=False, input="y\n" * 20)
        assert done.returncode != 0
        assert done.stdout == ""
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert "[y/N]" not in done.stderr
        assert not mark.exists()
