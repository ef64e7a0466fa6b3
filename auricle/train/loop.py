"""The training loop: steps, evaluations, checkpoints and exact resume, on Accelerate."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from auricle.core.errors import AuricleError, CheckpointError, ConfigError
from auricle.core.seed import derive
from auricle.train.checkpoint import discard, load_state, read_meta, save_model, save_state, sweep
from auricle.train.log import MetricsLog, Progress, announce, finite_or_none
from auricle.train.monitor import BEST, BestCheckpoint, Monitor
from auricle.train.optim import adamw, learning_rate
from auricle.train.plan import Plan
from auricle.train.seed import rng_state, seed_everything, set_rng_state
from auricle.train.update import EpochBatches, Step, Update, batches_from

STATES = "state-"
KEEP_STATES = 2  # a kill or a full disk while one is written leaves the other
Evaluate = Callable[[nn.Module, int], Mapping[str, float]]


class TrainingError(AuricleError):
    """The numbers went wrong: a loss, a gradient or a monitored metric is NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class FitResult:
    """How a run ended: updates done, why, the kept checkpoints (best first), the last state folder, the last row."""

    step: int
    stopped: Literal["max_steps", "early_stop"]
    best: list[BestCheckpoint]
    last: Path
    metrics: dict[str, Any]


def fit(
    model: nn.Module,
    step: Step,
    epoch_batches: EpochBatches,
    *,
    folder: Path,
    max_steps: int,
    lr: float,
    seed: int,
    betas: tuple[float, float] = (0.9, 0.95),
    weight_decay: float = 0.05,
    warmup_fraction: float = 0.1,
    final_lr_fraction: float = 0.1,
    accumulate: int = 1,
    clip_norm: float | None = 1.0,
    evaluate: Evaluate | None = None,
    eval_every: int = 100,
    monitor: str = "dev_loss",
    mode: Literal["min", "max"] = "min",
    patience: int | None = None,
    keep_best: int = 1,
    save_every: int = 200,
    meta: Mapping[str, Any] | None = None,
    mixed_precision: Literal["no", "bf16"] = "no",
    tensorboard: bool = False,
    progress: bool = True,
    unused_weights: bool = False,
) -> FitResult:
    """Train a model, or go on with a run that was stopped, to the same numbers as if it never had been.

    In `folder` it writes ``metrics.jsonl`` (a row per update) and ``checkpoints/`` with ``best-<step>`` (the
    `keep_best` best evaluations) and ``state-<step>`` (the newest two resumable states; after the run, the last one).
    A state found there is gone on with; its settings must be these. Under ``accelerate launch`` (or torchrun) each
    of P processes takes every P-th batch, so P processes with `accumulate` A train like one with P * A.

    Args:
        model: trained in place, and at the end as it was after the last update. Its attributes other than parameters
            and buffers are not part of a state.
        step: ``step(model, batch)`` gives a dict with the scalar mean ``loss``, other scalars to be logged, and
            optionally ``weight``, the number of items in that mean. It must call ``model(...)`` itself, not a method.
        epoch_batches: ``epoch_batches(epoch)`` gives the batches, the same at every call with the same epoch (its
            own seeding, not the global generators). With a parameter ``start`` it is told how many to leave out.
        folder: the run folder.
        max_steps: updates to do.
        lr: peak of the schedule `auricle.train.optim.learning_rate`.
        seed: seeds the global generators (dropout) at the start.
        betas: of AdamW.
        weight_decay: of AdamW, for the parameters that `auricle.train.optim.optimizer_groups` names.
        warmup_fraction: part of the run that warms up.
        final_lr_fraction: rate of the last update as a part of the peak.
        accumulate: batches per update and process.
        clip_norm: greatest norm of the gradient; None for no limit.
        evaluate: ``evaluate(model, step)`` gives dev metrics. It runs in the main process, in eval mode, without
            gradients and without a trace in the generators.
        eval_every: updates between evaluations; the last update is always followed by one.
        monitor: the metric of `evaluate` that decides.
        mode: whether its lower ("min") or higher ("max") values are better.
        patience: evaluations without a gain after which training stops; None to go on to the end.
        keep_best: best checkpoints kept.
        save_every: updates between resumable states.
        meta: JSON data to go into every checkpoint, such as the config.
        mixed_precision: "no" or "bf16" (autocast around `step`; weights stay as they are).
        tensorboard: write event files too (extra ``tensorboard``).
        progress: show a bar, or lines where there is no terminal.
        unused_weights: some trained weights may have no part in a loss (auxiliary heads, say). Several processes have
            to be told, at the price of a walk over the graph in each update.

    Returns:
        How the run ended.

    Raises:
        ConfigError: a setting is out of range, not that of the state in `folder`, or `evaluate` lacks `monitor`.
        DataError: an epoch without batches.
        TrainingError: NaN or infinity in the loss, the gradient or the monitored metric.
        CheckpointError: the folder cannot be written, a weight to be saved is not finite, or no state can be read.
        MissingExtra: TensorBoard is not installed.
    """
    schedule = (max_steps, lr, betas, weight_decay, warmup_fraction, final_lr_fraction, accumulate, clip_norm)
    plan = Plan(*schedule, eval_every, monitor, mode, patience, keep_best, save_every, seed, mixed_precision)
    if evaluate is None and patience is not None:
        raise ConfigError(f"patience is {patience} but there is no evaluate(); give one, or patience=None")
    trainer = _Trainer(plan, model, Path(folder), dict(meta or {}), unused_weights)
    try:
        return trainer.run(step, epoch_batches, evaluate, tensorboard, progress)
    finally:
        trainer.close()


class _Trainer:
    """What one call of `fit` carries from step to step."""

    def __init__(self, plan: Plan, model: nn.Module, folder: Path, meta: dict[str, Any], unused: bool) -> None:
        # slow to import, and not needed to load a checkpoint
        from accelerate import Accelerator, DistributedDataParallelKwargs

        # explicit, as `accelerate launch` would otherwise bring a precision of its own; autocast is ours (see Update)
        self.accelerator = Accelerator(
            mixed_precision="no", kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=unused)]
        )
        self.main: bool = self.accelerator.is_main_process
        self.plan, self.folder, self.meta = plan, folder, meta
        self.checkpoints = folder / "checkpoints"
        self.settings = plan.settings(self.accelerator.num_processes)
        self.model = model.to(self.accelerator.device)
        self.optimizer = adamw(
            model, lr=plan.lr, betas=plan.betas, weight_decay=plan.weight_decay, device=self.accelerator.device
        )
        owned = {id(parameter) for group in self.optimizer.param_groups for parameter in group["params"]}
        # in the model's order, which decides the last digit of the norm
        self.trained = [parameter for parameter in model.parameters() if id(parameter) in owned]
        self.monitor = Monitor(self.checkpoints, plan.mode, plan.keep_best, plan.patience)
        self.step = self.epoch = self.done = 0
        self.stopped: str | None = None
        self.before_s = 0.0
        self.started = time.perf_counter()
        self.log: MetricsLog | None = None
        self.progress: Progress | None = None

    def run(
        self, step: Step, epoch_batches: EpochBatches, evaluate: Evaluate | None, tensorboard: bool, shown: bool
    ) -> FitResult:
        """Train from wherever the folder stands."""
        self._resume()
        # what an earlier training left on parts that are frozen now is nobody's: no optimiser would clear it
        self.model.zero_grad(set_to_none=True)
        if self.main:
            self.log = MetricsLog(self.folder / "metrics.jsonl", self.step, tensorboard)
            self.progress = Progress(self.step, self.plan.max_steps, shown)
        stream = batches_from(epoch_batches, self.epoch, self.done)
        wrapped = self.accelerator.prepare(self.model)
        update = Update(self.accelerator, wrapped, step, self.plan.mixed_precision == "bf16")
        while self.stopped is None:
            row = self._update(update, stream)
            last = self.step == self.plan.max_steps
            if evaluate is not None and (last or self.step % self.plan.eval_every == 0):
                row = _merged(row, self._evaluate(evaluate), "evaluate()")
            if last:
                self.stopped = "max_steps"
            elif self.monitor.exhausted:
                self.stopped = "early_stop"
            if self.log is not None and self.progress is not None:
                self.log.write(row)
                self.progress.advance(row)
            if self.stopped or self.step % self.plan.save_every == 0:
                self._save()
        self.accelerator.wait_for_everyone()
        return FitResult(
            step=self.step,
            stopped="max_steps" if self.stopped == "max_steps" else "early_stop",
            best=self.monitor.best,
            last=self._state_folder(self.step),
            metrics=self.log.last if self.log is not None else {},
        )

    def _update(self, update: Update, stream: Any) -> dict[str, Any]:
        """Do one optimiser update; give the row for the log."""
        rank, processes = self.accelerator.process_index, self.accelerator.num_processes
        window = list(islice(stream, self.plan.accumulate * processes))
        epoch, done, _ = window[-1]
        rate = learning_rate(
            self.step,
            max_steps=self.plan.max_steps,
            lr=self.plan.lr,
            warmup_fraction=self.plan.warmup_fraction,
            final_lr_fraction=self.plan.final_lr_fraction,
        )
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        parts = update.gradients([batch for _, _, batch in window[rank::processes]])
        self._must_be_finite("loss", parts["loss"])
        limit = float("inf") if self.plan.clip_norm is None else self.plan.clip_norm
        norm = float(self.accelerator.clip_grad_norm_(self.trained, limit))
        self._must_be_finite("norm of the gradient", norm)
        self.optimizer.step()
        self.step, self.epoch, self.done = self.step + 1, epoch, done
        numbers = {name: finite_or_none(value) for name, value in parts.items()}
        own = {"step": self.step, "epoch": epoch, "lr": rate, "grad_norm": norm, "seconds": round(self._seconds(), 3)}
        return _merged(own, numbers, "step()")

    def _evaluate(self, evaluate: Evaluate) -> dict[str, float | None]:
        """Evaluate in the main process, tell the others, and keep the checkpoint if it is among the best."""
        metrics: dict[str, float] = {}
        if self.main:
            before = rng_state()
            self.model.eval()
            with torch.no_grad():
                metrics = {name: float(value) for name, value in evaluate(self.model, self.step).items()}
            self.model.train()
            set_rng_state(before)
        if self.accelerator.num_processes > 1:
            from accelerate.utils import broadcast_object_list

            metrics = broadcast_object_list([metrics])[0]
        if self.plan.monitor not in metrics:
            raise ConfigError(
                f"evaluate() returned {sorted(metrics)}, without the monitored {self.plan.monitor!r}; "
                "return it or set monitor to one of these"
            )
        value = metrics[self.plan.monitor]
        self._must_be_finite(self.plan.monitor, value)
        entry = self.monitor.update(self.step, value)
        if self.main and entry is not None:
            kind = {"kind": "best", "monitor": self.plan.monitor, "mode": self.plan.mode, "value": value}
            save_model(entry.path, self.model, self._about() | kind | {"metrics": _jsonable(metrics)})
            self._prune_best()
        return _jsonable(metrics)

    def _save(self) -> None:
        """Write a resumable state, then let go of what it makes superfluous."""
        states = [rng_state()]
        if self.accelerator.num_processes > 1:
            from accelerate.utils import gather_object

            states = gather_object(states)
        if not self.main or self.log is None:
            return
        self.log.sync()
        progress = {
            "step": self.step,
            "epoch": self.epoch,
            "done": self.done,
            "stopped": self.stopped,
            "seconds": self._seconds(),
            "monitor": self.monitor.state(),
            "rng": states,
        }
        best = [one.path.name for one in self.monitor.best]
        about = self._about() | {"kind": "state", "settings": self.settings, "best": best}
        newest = save_state(self._state_folder(self.step), self.model, self.optimizer, progress, about)
        keep = [newest] if self.stopped else self._states()[:KEEP_STATES]
        for old in set(self._states()) - set(keep):
            discard(old)
        self._prune_best()

    def _prune_best(self) -> None:
        """Delete best checkpoints that neither the run nor a state on disk counts among the best any more."""
        wanted = {one.path.name for one in self.monitor.best}
        for state in self._states():
            with contextlib.suppress(CheckpointError):  # one that cannot be read cannot be gone on with either
                wanted.update(read_meta(state).get("best", []))
        for path in self.checkpoints.glob(f"{BEST}*"):
            if path.name not in wanted:
                discard(path)

    def _resume(self) -> None:
        """Take up the newest readable state, or begin."""
        if self.main:
            sweep(self.checkpoints)
        self.accelerator.wait_for_everyone()
        states = self._states()
        failures: list[CheckpointError] = []
        for path in states:
            try:
                self._must_be_ours(read_meta(path))
                self._take_up(load_state(path, self.model, self.optimizer))
            except CheckpointError as error:
                failures.append(error)
                continue
            break
        else:
            if failures:
                raise CheckpointError(
                    f"no state in {self.checkpoints} can be gone on with: {failures[0]}. "
                    "Delete the folder to begin again"
                ) from failures[0]
            seed_everything(derive(self.plan.seed, "fit", self.accelerator.process_index))
        self.accelerator.wait_for_everyone()
        if failures and self.main:
            announce(f"warning: going on from step {self.step}, as {failures[0]}")
            for path in states[: len(failures)]:
                discard(path)

    def _must_be_ours(self, meta: Mapping[str, Any]) -> None:
        """Refuse to go on with a run of other settings: the numbers would be neither run's."""
        saved = meta.get("settings")
        theirs = saved if isinstance(saved, dict) else {}
        differ = [
            f"{name} is {value}, was {theirs.get(name)}"
            for name, value in self.settings.items()
            if name not in theirs or theirs[name] != value
        ]
        if differ:
            raise ConfigError(
                f"the run in {self.folder} was started with other settings: {'; '.join(differ)}. "
                "Use the same ones, or another folder"
            )

    def _take_up(self, progress: Mapping[str, Any]) -> None:
        """Put this run where a state was."""
        self.step, self.epoch, self.done = progress["step"], progress["epoch"], progress["done"]
        self.stopped, self.before_s = progress["stopped"], progress["seconds"]
        self.monitor.restore(progress["monitor"])
        rank, states = self.accelerator.process_index, progress["rng"]
        if len(states) == self.accelerator.num_processes:
            set_rng_state(states[rank])
        else:  # other processes than before cannot draw the same numbers; draw repeatable ones
            seed_everything(derive(self.plan.seed, "fit", rank, self.step))

    def _must_be_finite(self, what: str, value: float) -> None:
        if finite_or_none(value) is None:
            states = self._states()
            last = f"the last state is {states[0]}" if states else "no state was saved before it"
            raise TrainingError(
                f"{what} is {value} at step {self.step + 1}; {last}. Nothing was written after the fault: "
                "lower lr or clip_norm, or look for bad values in the data"
            )

    def _about(self) -> dict[str, Any]:
        """Describe the moment, for meta.json."""
        about = {"step": self.step, "seed": self.plan.seed, "torch": torch.__version__}
        return self.meta | about | {"tf32": torch.backends.cuda.matmul.allow_tf32}

    def _seconds(self) -> float:
        return self.before_s + time.perf_counter() - self.started

    def _states(self) -> list[Path]:
        """List the resumable states on disk, newest first."""
        return sorted(self.checkpoints.glob(f"{STATES}*"), key=_step_of, reverse=True)

    def _state_folder(self, step: int) -> Path:
        return self.checkpoints / f"{STATES}{step:06d}"

    def close(self) -> None:
        """Close files and leave the model without Accelerate's mark, so that it can be trained again."""
        self.model.__dict__.pop("_is_accelerate_prepared", None)
        if self.progress is not None:
            self.progress.close()
        if self.log is not None:
            self.log.close()


def _step_of(path: Path) -> int:
    return int(path.name.rpartition("-")[2])


def _jsonable(metrics: Mapping[str, float]) -> dict[str, float | None]:
    return {name: finite_or_none(value) for name, value in metrics.items()}


def _merged(row: Mapping[str, Any], more: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Join the columns of a row; one name must not mean two things."""
    taken = sorted(row.keys() & more.keys())
    if taken:
        raise ConfigError(f"{source} returned {', '.join(taken)}, which the log already has; choose other names")
    return {**row, **more}
