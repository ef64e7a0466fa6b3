"""A disk that is full while a checkpoint or the log is written: a clear error, and what was there stays good."""

import errno
import os
import resource
import signal
import subprocess
import sys

import pytest
import torch
from torch import nn

import auricle.train.checkpoint as checkpoint
from auricle.core.errors import CheckpointError
from auricle.train import fit, load_model, save_model


def net():
    torch.manual_seed(0)
    return nn.Linear(4, 1)


def train(folder, max_steps=12, width=None):
    model = net() if width is None else nn.Linear(4, width)
    fit(
        model,
        lambda model, x: {"loss": model(x).square().mean()},
        lambda epoch: torch.randn(3, 5, 4, generator=torch.Generator().manual_seed(epoch)),
        folder=folder,
        max_steps=max_steps,
        lr=0.01,
        seed=0,
        save_every=3,
        progress=False,
    )
    return model


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("operation", ["save_file", "write_json", "_fsync", "_swap"])
def test_full_disk_while_a_model_is_written(tmp_path, monkeypatch, operation):
    old, loaded = net(), net()
    save_model(tmp_path / "c", old, {"step": 1})
    monkeypatch.setattr(checkpoint, operation, full)
    with pytest.raises(CheckpointError, match=r"cannot write .*No space left on device.*untouched"):
        save_model(tmp_path / "c", nn.Linear(4, 1), {"step": 2})
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    assert load_model(tmp_path / "c", loaded)["step"] == 1
    assert torch.equal(old.weight, loaded.weight)


def test_the_old_folder_comes_back_if_the_last_rename_fails(tmp_path, monkeypatch):
    save_model(tmp_path / "c", net(), {"step": 1})
    original, calls = os.rename, []

    def second_fails(source, target):
        calls.append(source)
        if len(calls) == 2:
            full()
        original(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(CheckpointError, match="No space left"):
        save_model(tmp_path / "c", net(), {"step": 2})
    assert load_model(tmp_path / "c", net())["step"] == 1


def test_full_disk_in_training_then_room_again(tmp_path, monkeypatch):
    saves = []

    def later_full(*args, **kwargs):
        saves.append(args)
        if len(saves) == 3:
            full()
        return original(*args, **kwargs)

    original = torch.save
    monkeypatch.setattr(torch, "save", later_full)
    with pytest.raises(CheckpointError, match=r"state-000009.*No space left"):
        train(tmp_path)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["state-000003", "state-000006"]
    resumed = train(tmp_path)
    assert torch.equal(resumed.weight, train(tmp_path / "unbroken").weight)


def test_full_disk_for_the_log(tmp_path, monkeypatch):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    monkeypatch.setattr("auricle.train.log.MetricsLog._cut", lambda self, step: None)
    with pytest.raises(CheckpointError, match=r"metrics\.jsonl: No space left"):
        train(tmp_path)


def test_a_real_limit_on_file_size(tmp_path):
    """The kernel refuses files above 64 kB: the errors that torch and safetensors really give."""
    run = subprocess.run(
        [sys.executable, __file__, str(tmp_path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["model", "state"]


def main(folder):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    small = nn.Linear(4, 2)
    save_model(f"{folder}/c", small, {"step": 1})
    # AdamW holds twice the model: 48 kB of weights fit, the state does not
    for width, what in ((8000, "model"), (2400, "state")):
        model = nn.Linear(4, width)
        optimizer = torch.optim.AdamW(model.parameters())
        model(torch.ones(1, 4)).sum().backward()
        optimizer.step()
        resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))
        try:
            checkpoint.save_state(f"{folder}/c", model, optimizer, {"step": 2}, {"step": 2})
        except CheckpointError as error:
            if "cannot write" not in str(error):
                raise
            sys.stdout.write(what + "\n")
        if load_model(f"{folder}/c", nn.Linear(4, 2))["step"] != 1 or len(os.listdir(folder)) != 1:
            sys.exit("the old checkpoint was touched")


if __name__ == "__main__":
    main(sys.argv[1])
