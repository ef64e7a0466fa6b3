"""Kills and damage, through the real command."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.finished import one_thread


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "auricle", *map(str, arguments)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=one_thread(),
        start_new_session=True,
    )


def kill_when(process, condition, patience_s=120.0):
    """Send SIGKILL to the process and its workers once `condition` holds; say whether it came to that."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end and process.poll() is None:
        if condition():
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.02)
    process.wait()
    return False


def prepared(smoke_run, folder):
    """Copy a finished run as if only `prepare` had been done."""
    shutil.copytree(smoke_run, folder, ignore=shutil.ignore_patterns("checkpoints", "scores", "report*", "metrics*"))
    stages = json.loads((folder / "stages.json").read_text())
    (folder / "stages.json").write_text(json.dumps({"prepare": stages["prepare"]}))
    return folder


def steps(folder):
    file = folder / "metrics.jsonl"
    return len(file.read_text().splitlines()) if file.exists() else 0


def test_a_killed_training_ends_with_identical_weights(auricle, smoke_run, tmp_path):
    folder = prepared(smoke_run, tmp_path / "run")
    arguments = ("train", "mambo", "--run", folder)
    at = random.randrange(1, 48)  # any step: the numbers must not depend on it
    killed = kill_when(start(*arguments), lambda: steps(folder) >= at)
    assert killed, "the training ended before it could be killed"
    assert not (folder / "checkpoints" / "final").exists()
    auricle(*arguments, env=one_thread())
    ours, theirs = ((path / "checkpoints" / "final" / "model.safetensors").read_bytes() for path in (folder, smoke_run))
    assert ours == theirs, f"killed after step {at}"


def test_a_killed_prepare_goes_on_to_the_same_audio(auricle, smoke_run, tmp_path):
    folder = tmp_path / "run"
    arguments = ("prepare", "mambo", "--preset", "smoke", "--run", folder)
    killed = kill_when(start(*arguments), lambda: len(list(folder.glob("cache/*/*.json"))) >= 20)
    assert killed
    made = {path.name for path in folder.glob("cache/*/*.flac")}
    auricle(*arguments)
    ours = {path.name: path.read_bytes() for path in folder.glob("cache/*/*.flac") if not path.name.startswith(".")}
    theirs = {path.name: path.read_bytes() for path in smoke_run.glob("cache/*/*.flac")}
    assert ours == theirs
    assert made


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-100]), "model.safetensors"),
        (lambda path: path.write_bytes(b"junk"), "model.safetensors"),
        (lambda path: path.unlink(), "model.safetensors"),
    ],
)
def test_a_damaged_checkpoint_is_named(auricle, smoke_run, tmp_path, damage, message):
    folder = tmp_path / "run"
    shutil.copytree(smoke_run, folder, ignore=shutil.ignore_patterns("cache", "scores"))
    damage(folder / "checkpoints" / "final" / "model.safetensors")
    done = auricle("infer", "mambo", "--run", folder, "x.wav", check=False)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_checkpoint_of_other_sizes_is_refused(auricle, smoke_run, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(smoke_run, folder, ignore=shutil.ignore_patterns("cache", "scores"))
    config = json.loads((folder / "config.json").read_text())
    config["config"]["model"]["d_model"] = 48
    del config["checksum"]  # changed knowingly
    (folder / "config.json").write_text(json.dumps(config))
    done = auricle("infer", "mambo", "--run", folder, "x.wav", check=False)
    assert done.returncode == 2
    assert "shape" in done.stderr
