"""Two processes on one machine (DDP over gloo) train like one process."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn

from auricle.train import fit, load_model


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1)).double()


def batches(epoch):
    generator = torch.Generator().manual_seed(epoch)
    for index in range(5):
        # different sizes: the mean over items is not the mean over processes
        yield torch.randn(2 + 3 * (index % 3), 3, generator=generator, dtype=torch.float64)


def step(model, x):
    return {"loss": (model(x) - x.sum(1, keepdim=True)).square().mean(), "weight": len(x)}


def train(folder, accumulate, max_steps=12):
    model = net()
    result = fit(
        model,
        step,
        batches,
        folder=folder,
        max_steps=max_steps,
        lr=0.02,
        seed=2,
        accumulate=accumulate,
        evaluate=lambda model, step: {"dev_loss": model(torch.ones(1, 3).double()).square().item()},
        eval_every=3,
        save_every=5,
        progress=False,
    )
    return model, result


def test_two_processes_equal_one(tmp_path):
    # what `accelerate launch` and torchrun set in each process they start
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "ACCELERATE_USE_CPU": "true"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    command = [sys.executable, __file__, str(tmp_path / "two")]
    runs = [
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    for rank, run in enumerate(runs):
        out, err = run.communicate(timeout=120)
        assert run.returncode == 0, err[-3000:]
        assert json.loads(out) == [rank, 2, 12]
    one, result = train(tmp_path / "one", accumulate=4)
    two = net()
    load_model(tmp_path / "two" / "checkpoints" / result.last.name, two)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert (a - b).abs().max() <= 1e-10
    logs = []
    for name in ("one", "two"):
        rows = [json.loads(line) for line in (tmp_path / name / "metrics.jsonl").read_text().splitlines()]
        logs.append([{k: v for k, v in row.items() if k != "seconds"} for row in rows])
    assert len(logs[0]) == len(logs[1]) == 12
    for a, b in zip(*logs, strict=True):
        assert a.keys() == b.keys()
        assert all(abs(a[name] - b[name]) <= 1e-10 for name in a)


if __name__ == "__main__":
    from accelerate import PartialState

    _, outcome = train(Path(sys.argv[1]), accumulate=2)
    state = PartialState()
    sys.stdout.write(json.dumps([state.process_index, state.num_processes, outcome.step]) + "\n")
