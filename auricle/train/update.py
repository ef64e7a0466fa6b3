"""One optimiser update over several batches and processes, as if they had been one batch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import signature
from itertools import islice
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from auricle.core.errors import ConfigError, DataError

if TYPE_CHECKING:
    from accelerate import Accelerator

Step = Callable[[nn.Module, Any], Mapping[str, Tensor]]
EpochBatches = Callable[..., Iterable[Any]]


def batches_from(epoch_batches: EpochBatches, epoch: int, done: int) -> Iterator[tuple[int, int, Any]]:
    """Run through the epochs without end, from an exact position.

    Args:
        epoch_batches: gives the batches of an epoch, the same ones at every call. If it has a parameter ``start`` it
            is asked to leave out that many at the front itself; otherwise they are made and dropped.
        epoch: the epoch to begin in.
        done: batches of that epoch already used.

    Yields:
        Epoch, batches of it used once this one is, and the batch.

    Raises:
        DataError: an epoch has no batch at all.
    """
    skips = "start" in signature(epoch_batches).parameters
    while True:
        batches = epoch_batches(epoch, start=done) if skips else islice(iter(epoch_batches(epoch)), done, None)
        position = done
        for batch in batches:
            position += 1
            yield epoch, position, batch
        if position == 0:
            raise DataError(
                f"epoch {epoch} has no batch; check that the training data are not empty and fill at least one batch"
            )
        epoch, done = epoch + 1, 0


class Update:
    """Gradients of a window of batches: the mean over all items of all batches of all processes.

    `step` returns the mean loss of a batch and its number of items (frames, say). Averaging the means would favour
    the items of short batches, so each is weighted by its count and the sum of gradients is divided by the total count
    once that is known. Weights are taken relative to the window's first batch, which keeps gradients at their usual
    size (and makes a window of one batch exact).
    """

    def __init__(self, accelerator: Accelerator, model: nn.Module, step: Step, bf16: bool) -> None:
        """Bind what stays the same from update to update; `model` is the one that Accelerate has wrapped."""
        self.accelerator = accelerator
        self.model = model
        self.step = step
        self.bf16 = bf16

    def gradients(self, batches: Sequence[Any]) -> dict[str, float]:
        """Fill the parameters' gradients from this process's batches of the window.

        Args:
            batches: one batch or more; the other processes work on as many others.

        Returns:
            The weighted mean over all processes of every value that `step` returned, ``loss`` among them.

        Raises:
            ConfigError: `step` returned no scalar ``loss``, or other names than before.
            DataError: the window has no item (total weight 0).
        """
        sums: dict[str, float] = {}
        total, reference = 0.0, 1.0
        for index, batch in enumerate(batches):
            synchronised = index == len(batches) - 1
            with contextlib.nullcontext() if synchronised else self.accelerator.no_sync(self.model):
                loss, values, weight = self._forward(batch)
                if index == 0:
                    reference = self._sum([weight])[0] / self.accelerator.num_processes or 1.0
                self.accelerator.backward(loss * (weight / reference))
            if index and values.keys() != sums.keys():
                raise ConfigError(f"step() returned {sorted(values)} after {sorted(sums)}; names must stay the same")
            for name, value in values.items():
                sums[name] = sums.get(name, 0.0) + value * weight
            total += weight
        *summed, everything = self._sum([*sums.values(), total])
        if everything == 0:
            raise DataError("step() gave a total weight of 0 for an update: its batches have no valid item")
        # DDP has averaged over processes what is to be summed
        self._scale(reference * self.accelerator.num_processes / everything)
        return {name: value / everything for name, value in zip(sums, summed, strict=True)}

    def _forward(self, batch: Any) -> tuple[Tensor, dict[str, float], float]:
        """Run `step` on one batch; read its numbers with one wait for the device."""
        from accelerate.utils import send_to_device

        device = self.accelerator.device
        with torch.autocast(device.type, torch.bfloat16, enabled=self.bf16):
            values = dict(self.step(self.model, send_to_device(batch, device)))
        weight = values.pop("weight", None)
        loss = values.get("loss")
        if loss is None or loss.ndim != 0 or not loss.requires_grad:
            what = "no 'loss'" if loss is None else f"a 'loss' of shape {tuple(loss.shape)}"
            what += " without a gradient" if loss is not None and not loss.requires_grad else ""
            raise ConfigError(f"step() returned {what}; it must return a scalar mean under 'loss', with its gradient")
        dtype = torch.promote_types(loss.dtype, torch.float32)
        count = torch.as_tensor(1.0 if weight is None else weight)
        scalars = [torch.as_tensor(value).detach().to(device, dtype).reshape(()) for value in (*values.values(), count)]
        *numbers, weighed = torch.stack(scalars).tolist()
        if not 0.0 <= weighed < float("inf"):
            raise ConfigError(f"step() returned the weight {weighed}; it must be a count: finite and not negative")
        return loss, dict(zip(values, numbers, strict=True)), weighed

    def _sum(self, values: list[float]) -> list[float]:
        """Add up numbers over the processes."""
        if self.accelerator.num_processes == 1:
            return values
        packed = torch.tensor(values, dtype=torch.float64, device=self.accelerator.device)
        return list(self.accelerator.reduce(packed, "sum").tolist())

    def _scale(self, factor: float) -> None:
        if factor == 1.0:
            return
        for parameter in self.model.parameters():
            if parameter.grad is not None:
                parameter.grad.mul_(factor)
