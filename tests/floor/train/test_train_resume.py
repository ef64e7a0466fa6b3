"""A stopped run goes on to the same numbers, bit for bit, with the same log."""

import json
import random
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from auricle.core.errors import CheckpointError, ConfigError
from auricle.train import fit
from auricle.train.checkpoint import META, STATE


class Stop(Exception):
    pass


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.ReLU(), nn.Linear(16, 1))


def batches(epoch):
    generator = torch.Generator().manual_seed(epoch)
    for _ in range(5):
        yield torch.randn(6, 4, generator=generator)


def step(model, batch):
    noise = random.random() + np.random.standard_normal() + torch.randn(()).item()  # all three generators
    loss = (model(batch) - batch.sum(1, keepdim=True) - 0.1 * noise).square().mean()
    return {"loss": loss, "noise": torch.tensor(noise)}


def evaluate(model, step):
    return {"dev_loss": (model(torch.ones(2, 4)).sum() - 3).square().item() + (step % 4)}


def train(folder, stop_after=None, epoch_batches=batches, **changes):
    """Train 23 steps of 2 batches; with `stop_after`, fall over in that update."""
    calls = 0

    def counted(model, batch):
        nonlocal calls
        calls += 1
        if stop_after is not None and calls > 2 * stop_after:
            raise Stop
        return step(model, batch)

    model = net()
    arguments = {"max_steps": 23, "lr": 0.01, "seed": 5, "accumulate": 2, "save_every": 4, "eval_every": 3}
    arguments |= {"keep_best": 2, "evaluate": evaluate, "progress": False} | changes
    return model, fit(model, counted, epoch_batches, folder=folder, **arguments)


def rows(folder):
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in found]


def same(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("unbroken")
    return folder, *train(folder)


@pytest.mark.parametrize("stops", [(2,), (4,), (5, 1, 7), (11, 11), (22,)])
def test_resume_equals_unbroken(tmp_path, unbroken, stops):
    folder, model, result = unbroken
    for stop in stops:
        with pytest.raises(Stop):
            train(tmp_path, stop_after=stop)
    resumed, ours = train(tmp_path)
    assert same(resumed, model)
    assert rows(tmp_path) == rows(folder)
    assert [(b.path.name, b.value) for b in ours.best] == [(b.path.name, b.value) for b in result.best]
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == sorted(
        p.name for p in (folder / "checkpoints").iterdir()
    )


def test_same_seed_same_bits_and_another_seed_not(tmp_path, unbroken):
    model, _ = train(tmp_path / "same")
    assert same(model, unbroken[1])
    other, _ = train(tmp_path / "other", seed=6)
    assert not same(other, unbroken[1])


def test_start_protocol(tmp_path, unbroken):
    asked = []

    def skipping(epoch, start=0):
        asked.append((epoch, start))
        yield from list(batches(epoch))[start:]

    with pytest.raises(Stop):
        train(tmp_path, stop_after=10, epoch_batches=skipping)
    asked.clear()
    model, _ = train(tmp_path, epoch_batches=skipping)
    assert asked[0] == (3, 1)  # step 8 of 2 batches: 16 = 3 epochs of 5 and 1
    assert same(model, unbroken[1])


def test_rows_of_a_dead_run_are_cut(tmp_path):
    with pytest.raises(Stop):
        train(tmp_path, stop_after=10)
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 11))
    with open(tmp_path / "metrics.jsonl", "a") as log:
        log.write('{"step": 11, "lo')
    with pytest.raises(Stop):
        train(tmp_path, stop_after=1)  # goes on from step 8
    assert [row["step"] for row in rows(tmp_path)] == list(range(1, 10))


@pytest.mark.parametrize("name", [STATE, META, "model.safetensors"])
def test_a_damaged_state_falls_back_to_the_one_before(tmp_path, unbroken, name, capsys):
    with pytest.raises(Stop):
        train(tmp_path, stop_after=10)
    path = tmp_path / "checkpoints" / "state-000008" / name
    path.write_bytes(path.read_bytes()[:-20])
    model, _ = train(tmp_path)
    assert "going on from step 4" in capsys.readouterr().err
    assert same(model, unbroken[1])
    assert rows(tmp_path) == rows(unbroken[0])


def test_nothing_but_damaged_states_is_an_error(tmp_path):
    with pytest.raises(Stop):
        train(tmp_path, stop_after=5)
    state = tmp_path / "checkpoints" / "state-000004" / STATE
    state.write_bytes(b"")
    before = (tmp_path / "metrics.jsonl").read_bytes()
    with pytest.raises(CheckpointError, match=r"no state in .* can be gone on with.*Delete the folder"):
        train(tmp_path)
    assert (tmp_path / "metrics.jsonl").read_bytes() == before


def test_other_settings_are_refused(tmp_path):
    with pytest.raises(Stop):
        train(tmp_path, stop_after=5)
    with pytest.raises(ConfigError, match=r"lr is 0\.02, was 0\.01"):
        train(tmp_path, lr=0.02)
    train(tmp_path, save_every=7)  # does not change the numbers


def test_best_of_the_resumed_step_is_never_gone(tmp_path, unbroken):
    """The state of step 4 counts step 3 among the best; a better one must not delete it before the next state."""
    falling = lambda model, step: {"dev_loss": float(-step)}  # noqa: E731
    with pytest.raises(Stop):
        train(tmp_path, stop_after=7, evaluate=falling, keep_best=1, save_every=4)
    assert sorted(p.name for p in (tmp_path / "checkpoints").glob("best-*")) == ["best-000003", "best-000006"]
    moved = tmp_path.parent / (tmp_path.name + "-moved")
    shutil.move(tmp_path, moved)
    _, result = train(moved, evaluate=falling, keep_best=1, save_every=4)
    assert [b.path for b in result.best] == [moved / "checkpoints" / "best-000023"]
    assert sorted(p.name for p in (moved / "checkpoints").iterdir()) == ["best-000023", "state-000023"]


def test_patience_is_not_forgotten(tmp_path):
    """The gain is at step 2; patience 4 ends the run at step 6, also when it was stopped at 3 and 5."""
    values = lambda model, step: {"dev_loss": float(abs(step - 2))}  # noqa: E731
    changes = {"evaluate": values, "eval_every": 1, "save_every": 1, "patience": 4}
    for more in (3, 2):
        with pytest.raises(Stop):
            train(tmp_path, stop_after=more, **changes)
    _, result = train(tmp_path, **changes)
    assert (result.step, result.stopped, result.best[0].step) == (6, "early_stop", 2)
