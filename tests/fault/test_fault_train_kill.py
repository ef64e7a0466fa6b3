"""Training killed with SIGKILL at random steps, and inside a write, resumes to identical weights.

The parent starts this file once as a program; that program forks a process per attempt (so torch is imported once),
watches its log and kills it.
"""

import importlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import torch
from torch import nn

from auricle.train import fit, load_model

MAX_STEPS = 60


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 32), nn.Dropout(0.2), nn.ReLU(), nn.Linear(32, 1))


def batches(epoch, start=0):
    generator = torch.Generator().manual_seed(epoch)
    for x in torch.randn(7, 16, 8, generator=generator)[start:]:
        time.sleep(0.003)  # so that a kill lands between two steps too
        yield x


def train(folder):
    fit(
        net(),
        lambda model, x: {"loss": (model(x) - x.sum(1, keepdim=True)).square().mean()},
        batches,
        folder=folder,
        max_steps=MAX_STEPS,
        lr=0.01,
        seed=3,
        evaluate=lambda model, step: {"dev_loss": model(torch.ones(1, 8)).square().item()},
        eval_every=4,
        save_every=3,
        progress=False,
    )


def in_a_child(work):
    """Run `work` in a forked process; give its number."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return child


def killed_at_step(folder, wanted):
    """Train in a child and kill it from outside once its log has `wanted` rows; say whether it died of that."""
    child = in_a_child(lambda: train(folder))
    log = folder / "metrics.jsonl"
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if log.exists() and log.read_bytes().count(b"\n") >= wanted:
            os.kill(child, signal.SIGKILL)
            _, status = os.waitpid(child, 0)
            break
        time.sleep(0.001)
    return os.WIFSIGNALED(status)


def killed_in_call(folder, name, count):
    """Train in a child that kills itself in the `count`-th call of an operation that writes."""
    module = torch if name == "save" else os
    original = getattr(module, name)

    def work():
        calls = 0

        def fatal(*args, **kwargs):
            nonlocal calls
            calls += 1
            if calls == count:
                os.kill(os.getpid(), signal.SIGKILL)
            return original(*args, **kwargs)

        setattr(module, name, fatal)
        train(folder)

    _, status = os.waitpid(in_a_child(work), 0)
    return os.WIFSIGNALED(status)


def main(root, seed):
    torch.set_num_threads(1)
    for slow in ("accelerate", "torch._dynamo"):  # what the loop and the optimiser import at their first use
        importlib.import_module(slow)
    draw = random.Random(seed)
    whole, broken = root / "whole", root / "broken"
    kills = [killed_at_step(broken, step) for step in sorted(draw.sample(range(1, 40), 4))]
    kills += [killed_in_call(broken, name, draw.randint(1, 3)) for name in ("rename", "save", "fsync", "replace")]
    for folder in (whole, broken):
        _, status = os.waitpid(in_a_child(lambda folder=folder: train(folder)), 0)
        if status:
            sys.exit(f"training in {folder} ended with status {status}")
    sys.stdout.write(json.dumps(kills))


def test_a_killed_run_resumes_to_identical_weights(tmp_path):
    seed = int.from_bytes(os.urandom(4), "big")
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, __file__, str(tmp_path), str(seed)]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert run.returncode == 0, f"seed {seed}: {run.stderr}"
    kills = json.loads(run.stdout)
    assert sum(kills) >= 6, f"seed {seed}: too few of the attempts were killed: {kills}"
    models, logs, names = [], [], []
    for folder in (tmp_path / "whole", tmp_path / "broken"):
        models.append(net())
        load_model(folder / "checkpoints" / f"state-{MAX_STEPS:06d}", models[-1])
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        logs.append([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
        names.append(sorted(path.name for path in (folder / "checkpoints").iterdir()))
    for a, b in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(a, b), f"seed {seed}"
    assert logs[0] == logs[1], f"seed {seed}"
    assert len(logs[0]) == MAX_STEPS
    assert names[0] == names[1], f"seed {seed}"


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
