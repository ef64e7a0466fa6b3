"""Quantisers with a table of vectors: nearest neighbour in a learnt, an averaged or a mapped codebook."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.nn.quantize.quantizer import Quantised, Quantizer, check_size, plain, straight_through

_LINEAR = ("weight", "bias")
# SimVQ's names in the released code, and here
PUBLISHED = {"embedding.weight": "frozen", **{f"embedding_proj.{one}": f"map.{one}" for one in _LINEAR}}
_ROWS = 16_384  # vectors whose distances are held at once


def nearest(z: Tensor, table: Tensor) -> Tensor:
    """Find the nearest code of each vector; of equally near ones the first.

    Args:
        z: (N, D).
        table: (K, D).

    Returns:
        (N,) int64.
    """
    bias = table.square().sum(dim=1)
    parts = [torch.addmm(bias, rows, table.T, alpha=-2).argmin(dim=1) for rows in torch.split(z, _ROWS)]
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.long, device=z.device)


def k_means(points: Tensor, centres: Tensor, rounds: int = 20) -> Tensor:
    """Improve centres by Lloyd's rounds.

    Args:
        points: (N, D).
        centres: where to begin, (K, D).
        rounds: of assigning and averaging; a centre that nobody is near stays where it is.

    Returns:
        (K, D).
    """
    for _ in range(rounds):
        near = nearest(points, centres)
        counts = torch.bincount(near, minlength=len(centres))
        sums = torch.zeros_like(centres).index_add_(0, near, points)
        centres = torch.where(counts[:, None] > 0, sums / counts.clamp_min(1)[:, None], centres)
    return centres


class _Codebook(Quantizer):
    """Nearest neighbour in `table()`, with the losses of VQ-VAE (1711.00937, equation 3)."""

    def __init__(self, dim: int, n_codes: int, beta: float) -> None:
        check_size(dim, n_codes)
        super().__init__()
        self.dim, self.n_codes, self.beta = dim, n_codes, beta

    def table(self) -> Tensor:
        """Give the vectors of all codes, (K, D), as `forward` and `decode` use them."""
        raise NotImplementedError

    def _quantise(self, z: Tensor) -> Quantised:
        """Quantise vectors (..., D); losses ``commit`` (beta included) and ``codebook``."""
        table = self.table()
        flat = z.reshape(-1, self.dim)
        with torch.no_grad():
            indices = nearest(flat.detach(), table)
        code = table[indices]
        # beta belongs to the term that moves the encoder
        losses = {"commit": self.beta * F.mse_loss(flat, code.detach())}
        if table.requires_grad:
            losses["codebook"] = F.mse_loss(code, flat.detach())
        latent = straight_through(flat, code.detach())
        self._seen(flat.detach(), indices)
        return Quantised(latent.reshape(z.shape), indices.reshape(z.shape[:-1]), losses)

    def _look_up(self, indices: Tensor) -> Tensor:
        """Look up (...) -> (..., D)."""
        return self.table()[self._known(indices)]

    def _seen(self, z: Tensor, indices: Tensor) -> None:
        """Learn from a batch without gradients; nothing here."""

    def _first(self, z: Tensor) -> Tensor:
        """Give the vectors (N, D) that a table begins with."""
        flat = self._checked(self._wide(z)).reshape(-1, self.dim)
        if len(flat) < 2:
            raise DataError(f"{len(flat)} vectors to begin a table with; give at least two")
        return flat

    def _start(self, z: Tensor, centres: bool) -> Tensor:
        """Give one vector for each code: a centre of z (N, D), or one drawn from it."""
        flat = self._first(z)
        drawn = torch.randperm(len(flat), device=flat.device).repeat(-(-self.n_codes // len(flat)))[: self.n_codes]
        return k_means(flat, flat[drawn]) if centres else flat[drawn]


class VQ(_Codebook):
    """Vector quantisation with a learnt table (van den Oord et al., 1711.00937)."""

    def __init__(self, dim: int, n_codes: int, beta: float = 0.25) -> None:
        """Draw the table.

        Args:
            dim: width D.
            n_codes: codes K.
            beta: weight of the commitment loss.
        """
        super().__init__(dim, n_codes, beta)
        self.codes = nn.Parameter(torch.randn(n_codes, dim) * dim**-0.5)

    def table(self) -> Tensor:
        """Give the learnt table."""
        return self.codes

    @torch.no_grad()
    def begin_with(self, z: Tensor, centres: bool = False) -> None:
        """Set the table on vectors drawn from z (N, D), or on its centres."""
        with plain(z.device):
            self.codes.copy_(self._start(z, centres))


class SimVQ(_Codebook):
    """A frozen random table C under one learnt linear map: C' = C W^T + b (Zhu et al., 2411.02038).

    A gradient to any code used moves W and so every code, which is why codes do not die. Two traps of released code are
    avoided: beta weighs the encoder's term, and `decode` reads C', not C.
    """

    frozen: Tensor

    def __init__(self, dim: int, n_codes: int, beta: float = 0.25) -> None:
        """Draw the table, which is never trained, and the map.

        Args:
            dim: width D.
            n_codes: codes K.
            beta: weight of the commitment loss.
        """
        super().__init__(dim, n_codes, beta)
        self.register_buffer("frozen", torch.randn(n_codes, dim) * dim**-0.5)
        self.map = nn.Linear(dim, dim)

    @classmethod
    def from_published(cls, state: Mapping[str, Tensor], prefix: str = "", beta: float = 0.25) -> SimVQ:
        """Read the names of the released code (youngsheen/SimVQ).

        Args:
            state: name to tensor: ``embedding.weight`` (K, D), the frozen table, and ``embedding_proj.weight`` (D, D)
                and ``.bias`` (D,), the map.
            prefix: what stands before these names, such as ``quantize.``; other names of the state are not looked at.
            beta: weight of the commitment loss.

        Raises:
            CheckpointError: a missing or unexpected name under the prefix, or shapes that do not fit.
        """
        given = {name.removeprefix(prefix): tensor for name, tensor in state.items() if name.startswith(prefix)}
        faults = [f"missing: {prefix}{name}" for name in PUBLISHED if name not in given]
        faults += [f"unexpected: {prefix}{name}" for name in given if name not in PUBLISHED]
        if not faults:
            table, (weight, bias) = given["embedding.weight"], (given[f"embedding_proj.{one}"] for one in _LINEAR)
            dim = bias.numel()
            shapes = [tuple(tensor.shape) for tensor in (table, weight, bias)]
            if table.ndim != 2 or shapes != [(len(table), dim), (dim, dim), (dim,)]:
                faults = [f"shapes {', '.join(map(str, shapes))} are not (K, D), (D, D), (D,)"]
        if faults:
            more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
            raise CheckpointError(f"not the state of a SimVQ: {'; '.join(faults[:5])}{more}")
        made = cls(dim, len(table), beta)
        made.load_state_dict({ours: given[theirs] for theirs, ours in PUBLISHED.items()})
        return made

    def table(self) -> Tensor:
        """Give the mapped table C'."""
        mapped: Tensor = self.map(self.frozen)
        return mapped

    @torch.no_grad()
    def begin_with(self, z: Tensor, centres: bool = False) -> None:
        """Set the map so that the codes C' have the mean and the covariance of z (N, D); the table stays as it is.

        With `centres` the table is frozen on the centres of z instead, under the identity.
        """
        with plain(z.device):
            self._begin(z, centres)

    def _begin(self, z: Tensor, centres: bool) -> None:
        if centres:
            self.frozen.copy_(self._start(z, centres))
            self.map.weight.copy_(torch.eye(self.dim))
            self.map.bias.zero_()
            return
        flat = self._first(z)
        covariance = (flat - flat.mean(dim=0)).T @ (flat - flat.mean(dim=0)) / len(flat)
        slack = 1e-6 * covariance.diagonal().mean().clamp_min(1e-6) * torch.eye(self.dim, device=flat.device)
        self.map.weight.copy_(torch.linalg.cholesky(covariance + slack) * self.dim**0.5)
        self.map.bias.copy_(flat.mean(dim=0))


class EmaVQ(_Codebook):
    """A table of running means, without gradients (1711.00937, appendix A.1); codes that die are set on live vectors.

    In training mode a batch changes the table after it was quantised, so `decode` repeats `forward` in eval mode only.
    """

    codes: Tensor
    counts: Tensor
    sums: Tensor

    def __init__(
        self, dim: int, n_codes: int, beta: float = 0.25, decay: float = 0.99, dead_below: float = 0.1
    ) -> None:
        """Draw the table.

        Args:
            dim: width D.
            n_codes: codes K.
            beta: weight of the commitment loss.
            decay: of the running means.
            dead_below: running count per batch under which a code is replaced by a vector of the batch; 0 for never.
        """
        super().__init__(dim, n_codes, beta)
        self.decay, self.dead_below = decay, dead_below
        start = torch.randn(n_codes, dim) * dim**-0.5
        self.register_buffer("codes", start)
        self.register_buffer("counts", torch.ones(n_codes))
        self.register_buffer("sums", start.clone())

    def table(self) -> Tensor:
        """Give the running means."""
        return self.codes.clone() if self.training else self.codes

    @torch.no_grad()
    def begin_with(self, z: Tensor, centres: bool = False) -> None:
        """Set the table on vectors drawn from z (N, D), or on its centres, each counted once."""
        with plain(z.device):
            self.codes.copy_(self._start(z, centres))
        self.sums.copy_(self.codes)
        self.counts.fill_(1.0)

    @torch.no_grad()
    def _seen(self, z: Tensor, indices: Tensor) -> None:
        if not self.training or not len(z):
            return
        if self.sums.dtype not in (torch.float32, torch.float64):
            raise ConfigError(
                f"EMA-VQ in {self.sums.dtype}: its running means need float32; keep the weights so and use autocast"
            )
        z = z.to(self.sums.dtype)
        counts = torch.bincount(indices, minlength=self.n_codes).to(z.dtype)
        sums = torch.zeros_like(self.sums).index_add_(0, indices, z)
        self.counts.lerp_(counts, 1 - self.decay)
        self.sums.lerp_(sums, 1 - self.decay)
        dead = self.counts < self.dead_below
        if bool(dead.any()):
            chosen = z[torch.randint(len(z), (int(dead.sum()),), device=z.device)]
            self.counts[dead] = 1.0
            self.sums[dead] = chosen
        self.codes.copy_(self.sums / self.counts.clamp_min(1e-5)[:, None])
