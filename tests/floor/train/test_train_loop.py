"""The loop on tiny models: accumulation, clipping, faults in the numbers, stopping, what is kept and what is logged."""

import json
import math

import pytest
import torch
from torch import nn

from auricle.core.errors import AuricleError, CheckpointError, ConfigError, DataError
from auricle.train import TrainingError, best_checkpoints, fit, load_model
from auricle.train.optim import learning_rate


def data(epoch, size=8, batches=4, dtype=torch.float64):
    """Rows of different lengths: inputs (B, T, 3), targets (B, T), mask (B, T)."""
    random = torch.Generator().manual_seed(100 + epoch)
    for _ in range(batches):
        x = torch.randn(size, 5, 3, generator=random, dtype=dtype)
        lengths = torch.randint(1, 6, (size,), generator=random)
        yield x, x.sum(-1).tanh(), torch.arange(5)[None] < lengths[:, None]


def split(epoch, parts):
    """The same rows in smaller batches."""
    for x, y, mask in data(epoch):
        yield from zip(x.chunk(parts), y.chunk(parts), mask.chunk(parts), strict=True)


def step(model, batch):
    x, y, mask = batch
    error = (model(x).squeeze(-1) - y).square()
    return {"loss": error[mask].mean(), "worst": error[mask].max().detach(), "weight": mask.sum()}


def net(dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1)).to(dtype)


def train(folder, model=None, step=step, batches=data, **changes):
    model = net() if model is None else model
    arguments = {"max_steps": 8, "lr": 0.01, "seed": 1, "progress": False} | changes
    return model, fit(model, step, batches, folder=folder, **arguments)


def rows(folder):
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("parts", [2, 4, 8])
def test_accumulation_equals_one_large_batch(tmp_path, parts):
    whole, _ = train(tmp_path / "whole")
    pieces, _ = train(tmp_path / "pieces", batches=lambda epoch: split(epoch, parts), accumulate=parts)
    for a, b in zip(whole.parameters(), pieces.parameters(), strict=True):
        assert (a - b).abs().max() <= 1e-10
    for a, b in zip(rows(tmp_path / "whole"), rows(tmp_path / "pieces"), strict=True):
        assert a["loss"] == pytest.approx(b["loss"], abs=1e-10)
        assert a["grad_norm"] == pytest.approx(b["grad_norm"], abs=1e-10)
    # the lengths differ, so the unweighted mean of means is something else
    unweighted = lambda model, batch: {"loss": step(model, batch)["loss"]}  # noqa: E731
    other, _ = train(tmp_path / "other", step=unweighted, batches=lambda epoch: split(epoch, parts), accumulate=parts)
    assert (other[0].weight - whole[0].weight).abs().max() > 1e-6


def test_equals_a_plain_torch_loop(tmp_path):
    ours, _ = train(tmp_path, max_steps=6, clip_norm=0.05)
    model = net()
    matrices, vectors = [model[0].weight, model[2].weight], [model[0].bias, model[2].bias]
    groups = [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, betas=(0.9, 0.95))
    stream = [batch for epoch in range(2) for batch in data(epoch)]
    logged = rows(tmp_path)
    for index in range(6):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(index, max_steps=6, lr=0.01)
        optimizer.zero_grad()
        loss = step(model, stream[index])["loss"]
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 0.05)
        optimizer.step()
        assert logged[index]["loss"] == pytest.approx(loss.item(), rel=1e-10)
        assert logged[index]["grad_norm"] == pytest.approx(norm.item(), rel=1e-9)
        assert logged[index]["lr"] == learning_rate(index, max_steps=6, lr=0.01)
        assert logged[index]["epoch"] == index // 4
    for a, b in zip(ours.parameters(), model.parameters(), strict=True):
        assert (a - b).abs().max() <= 1e-10


def test_clipping_bounds_what_the_optimiser_sees(tmp_path, monkeypatch):
    seen = []
    original = torch.optim.AdamW.step

    def spy(self, *args, **kwargs):
        grads = [p.grad.flatten() for group in self.param_groups for p in group["params"]]
        seen.append(torch.cat(grads).norm().item())
        return original(self, *args, **kwargs)

    monkeypatch.setattr(torch.optim.AdamW, "step", spy)
    train(tmp_path / "clipped", clip_norm=1e-3)
    assert len(seen) == 8
    assert all(norm == pytest.approx(1e-3, rel=1e-2) for norm in seen)
    assert all(row["grad_norm"] > 1e-2 for row in rows(tmp_path / "clipped"))
    seen.clear()
    train(tmp_path / "free", clip_norm=None)
    assert seen == pytest.approx([row["grad_norm"] for row in rows(tmp_path / "free")])


def test_non_finite_loss_stops_before_anything_is_poisoned(tmp_path):
    def broken(epoch):
        for index, (x, y, mask) in enumerate(data(epoch)):
            yield (x * float("nan") if epoch == 1 and index == 2 else x), y, mask

    with pytest.raises(TrainingError, match=r"loss is nan at step 7.*state-000006") as caught:
        train(tmp_path, batches=broken, save_every=2)
    assert isinstance(caught.value, AuricleError)
    assert [row["step"] for row in rows(tmp_path)] == [1, 2, 3, 4, 5, 6]
    states = sorted(p.name for p in (tmp_path / "checkpoints").iterdir())
    assert states == ["state-000004", "state-000006"]
    model = net()
    load_model(tmp_path / "checkpoints" / "state-000006", model)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    # mended data go on from there
    mended, result = train(tmp_path)
    assert result.step == 8
    unbroken, _ = train(tmp_path / "unbroken")
    assert all(torch.equal(a, b) for a, b in zip(mended.parameters(), unbroken.parameters(), strict=True))


def test_non_finite_gradient_with_a_finite_loss(tmp_path):
    def root(model, batch):
        x, _, _ = batch
        return {"loss": (model(x) * 0).square().sum().sqrt()}  # 0, with the gradient 0/0

    with pytest.raises(TrainingError, match="norm of the gradient is nan at step 1; no state was saved"):
        train(tmp_path, step=root)
    assert rows(tmp_path) == []


def evaluations(values, name="dev_loss"):
    iterator = iter(values)
    return lambda model, step: {name: next(iterator), "other": math.nan}


def test_early_stop_and_best(tmp_path):
    values = [5.0, 3.0, 4.0, 3.0, 9.0, 1.0]
    _, result = train(tmp_path, evaluate=evaluations(values), eval_every=1, patience=3, keep_best=2)
    # 3.0 at step 2 is the last gain (equal is none), so three evaluations later it stops and never sees 1.0
    assert (result.step, result.stopped) == (5, "early_stop")
    assert [(b.step, b.value) for b in result.best] == [(2, 3.0), (4, 3.0)]
    assert best_checkpoints(tmp_path) == result.best
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [
        "best-000002",
        "best-000004",
        "state-000005",
    ]
    assert result.metrics["dev_loss"] == 9.0
    assert result.metrics["other"] is None
    _, repeated = train(tmp_path, evaluate=evaluations([]), eval_every=1, patience=3, keep_best=2)
    assert repeated == result
    load_model(result.last, net())


def test_best_holds_the_weights_of_its_step(tmp_path):
    seen = {}

    def evaluate(model, step):
        assert not model.training
        assert not torch.is_grad_enabled()
        seen[step] = model[0].weight.clone()
        return {"auc": {2: 0.7, 4: 0.9, 6: 0.8, 8: 0.1}[step]}

    model, result = train(tmp_path, evaluate=evaluate, eval_every=2, monitor="auc", mode="max", meta={"who": "me"})
    assert model.training
    assert [(b.step, b.value) for b in result.best] == [(4, 0.9)]
    best = net()
    meta = load_model(result.best[0].path, best)
    assert torch.equal(best[0].weight, seen[4])
    assert not torch.equal(best[0].weight, model[0].weight)
    assert (meta["who"], meta["step"], meta["value"], meta["metrics"]) == ("me", 4, 0.9, {"auc": 0.9})


def test_the_last_update_is_always_evaluated(tmp_path):
    _, result = train(tmp_path, evaluate=evaluations([2.0, 1.0]), eval_every=5)
    assert [row["step"] for row in rows(tmp_path) if "dev_loss" in row] == [5, 8]
    assert result.best[0].step == 8


def test_evaluation_leaves_no_trace_in_the_generators(tmp_path):
    def greedy(model, step):
        return {"dev_loss": torch.rand(100).sum().item()}

    def model():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 6), nn.Dropout(0.5), nn.Linear(6, 1)).double()

    with_it, _ = train(tmp_path / "with", model(), evaluate=greedy, eval_every=1)
    without, _ = train(tmp_path / "without", model())
    assert all(torch.equal(a, b) for a, b in zip(with_it.parameters(), without.parameters(), strict=True))


def test_non_finite_monitor(tmp_path):
    with pytest.raises(TrainingError, match="dev_loss is nan at step"):
        train(tmp_path, evaluate=lambda model, step: {"dev_loss": math.nan}, eval_every=1)
    assert not list((tmp_path / "checkpoints").glob("best-*"))


def test_bfloat16_trains_close_to_float32(tmp_path):
    batches = lambda epoch: data(epoch, dtype=torch.float32)  # noqa: E731
    kinds = []

    def half(model, batch):
        kinds.append(model(batch[0]).dtype)
        return step(model, batch)

    half_model, _ = train(tmp_path / "half", net(torch.float32), half, batches, mixed_precision="bf16")
    full, _ = train(tmp_path / "full", net(torch.float32), batches=batches)  # another precision in the same process
    assert set(kinds) == {torch.bfloat16}
    assert half_model[0].weight.dtype == torch.float32
    difference = (half_model[0].weight - full[0].weight).abs().max()
    assert 0 < difference < 2e-2


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"max_steps": 0}, "max_steps is 0"),
        ({"accumulate": 0}, "accumulate is 0"),
        ({"lr": -1.0}, "lr is -1"),
        ({"clip_norm": 0.0}, "clip_norm 0"),
        ({"mode": "best"}, "mode is 'best'"),
        ({"mixed_precision": "fp16"}, "use 'no' or 'bf16'"),
        ({"warmup_fraction": 1.0}, "warmup_fraction is 1"),
        ({"patience": 2}, "no evaluate"),
        ({"evaluate": lambda model, step: {"eer": 0.1}, "patience": 0}, "patience is 0"),
        ({"evaluate": lambda model, step: {"eer": 0.1}, "eval_every": 1}, "without the monitored 'dev_loss'"),
        ({"evaluate": lambda model, step: {"dev_loss": 1.0, "loss": 0.1}, "eval_every": 1}, "returned loss"),
        ({"step": lambda model, batch: {"cost": model(batch[0]).sum()}}, "no 'loss'"),
        ({"step": lambda model, batch: {"loss": model(batch[0])}}, "of shape"),
        ({"step": lambda model, batch: {"loss": model(batch[0]).sum().detach()}}, "without a gradient"),
        ({"step": lambda model, batch: {"loss": model(batch[0]).sum(), "lr": torch.ones(())}}, "returned lr"),
        ({"step": lambda model, batch: {"loss": model(batch[0]).sum(), "weight": -1}}, "the weight -1"),
    ],
)
def test_wrong_use(tmp_path, changes, text):
    with pytest.raises(ConfigError, match=text):
        train(tmp_path, **changes)


def test_no_batches_and_no_items(tmp_path):
    with pytest.raises(DataError, match="epoch 0 has no batch"):
        train(tmp_path / "a", batches=lambda epoch: [])
    with pytest.raises(DataError, match="total weight of 0"):
        train(tmp_path / "b", step=lambda model, batch: {"loss": model(batch[0]).sum(), "weight": 0})


def test_a_folder_that_cannot_be(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot write to"):
        train(tmp_path / "file")


def test_lines_every_tenth_without_a_terminal(tmp_path, capsys):
    train(tmp_path, max_steps=40, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 10
    assert lines[0].startswith("step 4/40  ")
    assert "loss" in lines[-1]
    train(tmp_path / "quiet")
    assert capsys.readouterr().err == ""


def test_tensorboard_holds_the_same_numbers(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    train(tmp_path, tensorboard=True)
    reader = events.EventAccumulator(str(tmp_path / "tensorboard"))
    reader.Reload()
    values = [(event.step, event.value) for event in reader.Scalars("loss")]
    assert values == [(row["step"], pytest.approx(row["loss"], rel=1e-6)) for row in rows(tmp_path)]


def test_tensorboard_missing(tmp_path, monkeypatch):
    from auricle.core.errors import MissingExtra

    monkeypatch.setattr("auricle.core.extras.available", lambda package: False)
    with pytest.raises(MissingExtra, match=r"auricle\[tensorboard\]"):
        train(tmp_path, tensorboard=True)


class Frozen(nn.Module):
    """An encoder that a later stage freezes, and a head."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.encoder = nn.Linear(3, 6).double()
        self.head = nn.Linear(6, 1).double()

    def forward(self, x):
        return self.head(self.encoder(x).tanh())


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def test_a_part_that_a_later_stage_freezes_has_no_say_in_its_clipping(tmp_path):
    """The gradients that the last step before left on a frozen part are in no optimiser, and yet counted."""
    one, _ = train(tmp_path / "first", Frozen(), lr=0.001)
    other = Frozen()
    other.load_state_dict(weights(one))  # as a stage that was resumed from a checkpoint begins
    for name, model in (("goes on", one), ("begins anew", other)):
        model.encoder.requires_grad_(False)
        train(tmp_path / name, model, clip_norm=0.01)
    assert all(torch.equal(a, b) for a, b in zip(weights(one).values(), weights(other).values(), strict=True))
    norms = [[row["grad_norm"] for row in rows(tmp_path / name)] for name in ("goes on", "begins anew")]
    assert norms[0] == norms[1]


def test_a_resumed_stage_with_a_frozen_part_comes_to_the_same_numbers(tmp_path):
    def stages(folder, stop=None):
        model = Frozen()
        train(folder / "first", model, lr=0.001)
        model.encoder.requires_grad_(False)
        train(folder / "second", model, clip_norm=0.01, batches=stop or data, save_every=1)
        return model

    def broken(epoch):
        for number, batch in enumerate(data(epoch)):
            if number == 1:  # clipping makes the old gradients small, so only the first steps tell
                raise InterruptedError
            yield batch

    whole = stages(tmp_path / "whole")
    with pytest.raises(InterruptedError):
        stages(tmp_path / "broken", broken)
    resumed = stages(tmp_path / "broken")
    assert all(torch.equal(a, b) for a, b in zip(weights(whole).values(), weights(resumed).values(), strict=True))


def test_clipping_sees_what_the_optimiser_has_and_nothing_else(tmp_path):
    """Somebody's hook may leave gradients elsewhere in every step."""

    def meddling(model, batch):
        model.encoder.weight.grad = torch.full_like(model.encoder.weight, 1e6)
        return step(model, batch)

    folders = {"clean": step, "meddled": meddling}
    models = []
    for name, what in folders.items():
        model = Frozen()
        model.encoder.requires_grad_(False)
        models.append(train(tmp_path / name, model, step=what, clip_norm=0.01)[0])
    assert torch.equal(models[0].head.weight, models[1].head.weight)
    assert rows(tmp_path / "clean")[-1]["grad_norm"] == rows(tmp_path / "meddled")[-1]["grad_norm"]
    own = models[0].head.weight.grad.square().sum() + models[0].head.bias.grad.square().sum()
    assert own.sqrt().item() == pytest.approx(0.01, rel=1e-3)  # clipped to the limit, no further


def test_no_gradient_of_before_is_left_when_training_begins(tmp_path):
    model = Frozen()
    model(torch.ones(1, 3, dtype=torch.float64)).sum().backward()
    model.encoder.requires_grad_(False)
    train(tmp_path, model, max_steps=1)
    assert model.encoder.weight.grad is None
