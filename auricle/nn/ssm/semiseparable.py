"""Products with semiseparable matrices: what Mamba2 and Hydra compute, chunk by chunk, with a backward pass of its own.

y_i = sum_j M_ij x_j per head, where M is the sum of one or two sides. A side is a triangle of entries

    M_ij = (rows_i . columns_j) exp(row_log_i + column_log_j)

and frames in different chunks meet through a state that decays by exp(total) a chunk (Dao and Gu 2024, arXiv
2405.21060; Hwang et al. 2024, arXiv 2407.09941). One chunk as long as the clip is the dual form.

Where the loops in C run (`auricle.nn.native`), they do all of it, a head of a chunk at a time. Otherwise, here: only
the inputs, y and the states between chunks are kept for the backward pass; the matrices inside the chunks are made
again. Work goes through buffers of a few chunks that stay in the processor's cache: on a CPU, memory that is new
costs more than what is computed in it. The exponents' gradients need no matrix: every entry of M is proportional to
exp(row_log_i), so d row_log_i = sum over the head of y_i dy_i, and likewise d column_log_j = sum of x_j dx_j (of two
sides only their sum is known so, and one is added up from its entries).

Shapes: x, y (B, T, H, P); rows, columns (B, T, N), shared by the heads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from auricle.nn.ssm.semiseparable_native import fits, native_product

# exp of less adds nothing; of more, it can only be of an entry outside the triangle, whose score is zero
_LOW, _HIGH = -80.0, 60.0
# elements of a buffer: a few chunks' matrices
BLOCK = 1 << 18


class Side(NamedTuple):
    """One triangle of the matrix.

    Attributes:
        rows: (B, T, N).
        columns: (B, T, N).
        row_log: decay between a chunk's beginning (its end, if `backward`) and the frame, (B, T, H) float64.
        column_log: log weight of a frame less the decay up to and with it, (B, T, H) float64.
        total: decay of each whole chunk, (B, chunks, H) float64.
    """

    rows: Tensor
    columns: Tensor
    row_log: Tensor
    column_log: Tensor
    total: Tensor


def causal(log_decay: Tensor, delta: Tensor, rows: Tensor, columns: Tensor, chunk: int) -> Side:
    """Make the side of a scan that reads each frame after it was written: S_t = a_t S_{t-1} + delta_t b_t x_t^T.

    Args:
        log_decay: log a, (B, T, H), at most 0; T a multiple of the chunk.
        delta: (B, T, H), at least 0.
        rows: what reads the state, c (B, T, N).
        columns: what writes it, b (B, T, N).
        chunk: frames of a chunk.
    """
    reached = _chunks(log_decay, chunk).cumsum(2)
    return Side(rows, columns, reached.flatten(1, 2), _weight(delta) - reached.flatten(1, 2), reached[:, :, -1])


def causal_before(log_decay: Tensor, delta: Tensor, rows: Tensor, columns: Tensor, chunk: int) -> Side:
    """Make the side of a scan that is read one frame late, so that frame i sees what was written up to i - 1.

    Args:
        log_decay: as of `causal`.
        delta: as of `causal`.
        rows: as of `causal`.
        columns: as of `causal`.
        chunk: as of `causal`.
    """
    side = causal(log_decay, delta, rows, columns, chunk)
    return side._replace(rows=F.pad(rows[:, :-1], (0, 0, 1, 0)), row_log=side.row_log - log_decay)


def anticausal_after(log_decay: Tensor, delta: Tensor, rows: Tensor, columns: Tensor, chunk: int) -> Side:
    """Make the mirror of `causal_before`: a scan from the end, and frame i sees what was written down to i + 1.

    Args:
        log_decay: as of `causal`.
        delta: as of `causal`.
        rows: as of `causal`.
        columns: as of `causal`.
        chunk: as of `causal`.
    """
    steps = _chunks(log_decay, chunk)
    reached = steps.flip(2).cumsum(2).flip(2)
    early = F.pad(rows[:, 1:], (0, 0, 0, 1))
    return Side(
        early, columns, (reached - steps).flatten(1, 2), _weight(delta) - reached.flatten(1, 2), reached[:, :, 0]
    )


def _chunks(log_decay: Tensor, chunk: int) -> Tensor:
    """(B, T, H) -> (B, chunks, Q, H) in float64: differences of long sums must stay exact."""
    return log_decay.double().reshape(log_decay.shape[0], -1, chunk, log_decay.shape[2])


def _weight(delta: Tensor) -> Tensor:
    """Log of the time step; a step of zero, as of a padded frame, weighs nothing and gets no gradient."""
    return delta.double().clamp_min(1e-38).log()


def product(x: Tensor, sides: tuple[Side, ...], chunk: int, diagonal: Tensor | None = None) -> Tensor:
    """Multiply: one side is the lower triangle with its diagonal; of two, the first lies below and the second above.

    Args:
        x: (B, T, H, P), T a multiple of the chunk.
        sides: one or two.
        chunk: frames of a chunk.
        diagonal: what is added to the diagonal, (B, T, H); None adds nothing.

    Returns:
        (B, T, H, P).
    """
    flat = [tensor for side in sides for tensor in side]
    chosen = native_product if fits(x, flat) else _product
    return chosen(x, diagonal, chunk, *flat)


class _Sizes(NamedTuple):
    batch: int
    each: int  # chunks of a clip
    chunk: int
    heads: int
    width: int

    @property
    def chunks(self) -> int:
        return self.batch * self.each

    def blocks(self, elements: int) -> Iterator[slice]:
        """Cut all chunks into stretches whose buffers hold `elements` a chunk."""
        step = max(1, BLOCK // max(1, elements))
        return (slice(start, min(start + step, self.chunks)) for start in range(0, self.chunks, step))


class _Local(NamedTuple):
    """A side by chunks: (M, Q, N), logs (M, H, Q) float64, what enters and leaves (M, Q, H, 1), (B, K, H)."""

    rows: Tensor
    columns: Tensor
    row_log: Tensor
    column_log: Tensor
    enter: Tensor
    leave: Tensor
    through: Tensor


def _local(side: Side, sizes: _Sizes, like: Tensor) -> _Local:
    def cut(x: Tensor) -> Tensor:
        return x.reshape(sizes.chunks, sizes.chunk, x.shape[-1])

    row_log, column_log = cut(side.row_log), cut(side.column_log)
    total = side.total.reshape(sizes.chunks, 1, sizes.heads)
    return _Local(
        cut(side.rows),
        cut(side.columns),
        row_log.transpose(1, 2).contiguous(),
        column_log.transpose(1, 2).contiguous(),
        row_log.exp().to(like.dtype).unsqueeze(-1),
        (total + column_log).clamp(_LOW, _HIGH).exp().to(like.dtype).unsqueeze(-1),
        side.total.exp().to(like.dtype),
    )


class _Matrices:
    """Makes the matrices inside the chunks of a block, in buffers that are used again."""

    def __init__(self, sides: list[_Local], sizes: _Sizes, most: int, like: Tensor) -> None:
        self.sides = sides
        shape = (most, sizes.heads, sizes.chunk, sizes.chunk)
        self.wide = like.new_empty(shape, dtype=torch.float64)
        self.decays = [like.new_empty(shape) for _ in sides]
        self.lower = torch.ones(sizes.chunk, sizes.chunk, dtype=torch.bool, device=like.device).tril_(
            0 if len(sides) == 1 else -1
        )

    def decay(self, block: slice) -> Tensor:
        """Exponentials of the sums of both logs, (m, H, Q, Q); outside the triangles anything finite."""
        size = block.stop - block.start
        for side, out in zip(self.sides, self.decays, strict=True):
            torch.add(side.row_log[block].unsqueeze(-1), side.column_log[block].unsqueeze(-2), out=self.wide[:size])
            out[:size].copy_(self.wide[:size])
        first = self.decays[0][:size]
        if len(self.sides) == 2:
            torch.where(self.lower, first, self.decays[1][:size], out=first)
        return first.clamp_(_LOW, _HIGH).exp_()

    def scores(self, block: slice) -> list[Tensor]:
        """Products of rows and columns (m, Q, Q), each zero outside its triangle."""
        made = [side.rows[block] @ side.columns[block].transpose(1, 2) for side in self.sides]
        return [self.within(place, scores) for place, scores in enumerate(made)]

    def within(self, place: int, x: Tensor) -> Tensor:
        """Keep the triangle of a side."""
        return x.triu(1) if place else x.tril(0 if len(self.sides) == 1 else -1)


def _states(x: Tensor, side: _Local, sizes: _Sizes, backward: bool) -> Tensor:
    """State that each chunk finds, (B, K, N, H, P): what the chunks before it wrote, decayed."""
    states = x.new_empty(sizes.chunks, side.columns.shape[-1], sizes.heads * sizes.width)
    for block in sizes.blocks(sizes.chunk * sizes.heads * sizes.width):
        written = (x[block] * side.leave[block]).flatten(2)
        torch.bmm(side.columns[block].transpose(1, 2), written, out=states[block])
    added = states.view(sizes.batch, sizes.each, -1, sizes.heads, sizes.width)
    # in place: what chunk k adds gives way to what it finds
    state = torch.zeros_like(added[:, 0])
    for k in reversed(range(sizes.each)) if backward else range(sizes.each):
        after = torch.addcmul(added[:, k], state, side.through[:, k, None, :, None])
        added[:, k] = state
        state = after
    return states


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, diagonal: Tensor | None, chunk: int, *flat: Tensor) -> Tensor:
        batch, frames, heads, width = x.shape
        sizes = _Sizes(batch, frames // chunk, chunk, heads, width)
        xs = x.reshape(sizes.chunks, chunk, heads, width)
        sides = [_local(Side(*flat[start : start + 5]), sizes, x) for start in range(0, len(flat), 5)]
        states = [_states(xs, side, sizes, bool(place)) for place, side in enumerate(sides) if sizes.each > 1]
        y = _forward_chunks(xs, sides, states, sizes).view_as(x)
        ctx.save_for_backward(x, y, diagonal, *flat, *states)
        ctx.sizes, ctx.inputs = sizes, len(flat)
        return y if diagonal is None else torch.addcmul(y, x, diagonal.unsqueeze(-1))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, y, diagonal, *rest = ctx.saved_tensors
        flat, states = rest[: ctx.inputs], rest[ctx.inputs :]
        sizes: _Sizes = ctx.sizes
        sides = [_local(Side(*flat[start : start + 5]), sizes, x) for start in range(0, len(flat), 5)]
        shape = (sizes.chunks, sizes.chunk, sizes.heads, sizes.width)
        xs, ys, dy = x.reshape(shape), y.reshape(shape), grads[0].reshape(shape)
        changes = [_Change.of(side, sizes) for side in sides]
        ahead = [
            _backward_states(dy, side, state, change, sizes, bool(place), len(sides) == 2 and not place)
            for place, (side, state, change) in enumerate(zip(sides, states, changes, strict=False))
        ]
        dx = _backward_chunks(xs, dy, sides, changes, sizes)
        _backward_written(xs, dx, sides, changes, ahead, sizes)
        changes[-1].row_log.add_(_dot(ys, dy))
        if len(changes) == 1:
            changes[0].column_log.add_(_dot(xs, dx))
        else:  # the second side has what the first one leaves of the rows
            changes[1].row_log.sub_(changes[0].row_log)
        d_diagonal = None if diagonal is None else torch.linalg.vecdot(xs, dy).view_as(diagonal)
        if diagonal is not None:
            dx.addcmul_(dy, diagonal.reshape(*xs.shape[:3], 1))
        starts = range(0, len(flat), 5)
        given = (change.as_inputs(flat[start : start + 5]) for start, change in zip(starts, changes, strict=True))
        return dx.view_as(x), d_diagonal, None, *(tensor for side in given for tensor in side)


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """Sum over a head's width of the product, (M, Q, H, P) twice -> (M, H, Q)."""
    dots: Tensor = torch.linalg.vecdot(a, b)
    return dots.transpose(1, 2)


def _forward_chunks(xs: Tensor, sides: list[_Local], states: list[Tensor], sizes: _Sizes) -> Tensor:
    """Multiply by the matrices inside the chunks, and add what the states carry into them."""
    heads, chunk, width = sizes.heads, sizes.chunk, sizes.width
    y = torch.empty_like(xs)
    blocks = list(sizes.blocks(heads * chunk * chunk))
    most = blocks[0].stop
    matrices = _Matrices(sides, sizes, most, xs)
    buffers = [xs.new_empty(most, heads, chunk, width) for _ in range(2)]
    carried = xs.new_empty(most, chunk, heads * width)
    for block in blocks:
        size = block.stop - block.start
        matrix, scores = matrices.decay(block), matrices.scores(block)
        matrix.mul_((scores[0] if len(scores) == 1 else scores[0] + scores[1]).unsqueeze(1))
        by_head, out = (buffer[:size] for buffer in buffers)
        by_head.copy_(xs[block].transpose(1, 2))
        torch.bmm(matrix.flatten(0, 1), by_head.flatten(0, 1), out=out.flatten(0, 1))
        y[block].copy_(out.transpose(1, 2))
        for side, state in zip(sides, states, strict=False):
            torch.bmm(side.rows[block], state[block], out=carried[:size])
            y[block].addcmul_(carried[:size].view_as(y[block]), side.enter[block])
    return y


class _Change(NamedTuple):
    """Gradients of a side, shaped as `_Local` has it."""

    rows: Tensor
    columns: Tensor
    row_log: Tensor
    column_log: Tensor
    total: Tensor

    @classmethod
    def of(cls, side: _Local, sizes: _Sizes) -> _Change:
        """Make room for them; what is added to begins at zero."""
        logs = side.rows.new_zeros(sizes.chunks, sizes.heads, sizes.chunk)
        like = torch.zeros_like
        return cls(like(side.rows), like(side.columns), logs, like(logs), like(side.through))

    def as_inputs(self, inputs: list[Tensor]) -> Iterator[Tensor]:
        """Give them the shapes and types of the side that was given."""
        logs = (log.transpose(1, 2) for log in (self.row_log, self.column_log))
        for change, given in zip((self.rows, self.columns, *logs, self.total), inputs, strict=True):
            yield change.reshape(given.shape).to(given.dtype)


def _backward_states(
    dy: Tensor, side: _Local, states: Tensor, change: _Change, sizes: _Sizes, backward: bool, explicit: bool
) -> Tensor:
    """Go back through the states: the gradient of what each chunk leaves, (M, N, H P); adds to the side's gradients.

    `explicit` also adds the states' part of d row_log, which one of two sides needs.
    """
    inside = torch.empty_like(states)  # of the state a chunk finds, from its own frames
    for block in sizes.blocks(sizes.chunk * sizes.heads * sizes.width):
        scaled = dy[block] * side.enter[block]
        wide = scaled.flatten(2)
        torch.bmm(side.rows[block].transpose(1, 2), wide, out=inside[block])
        torch.bmm(wide, states[block].transpose(1, 2), out=change.rows[block])
        if explicit:
            carried = (side.rows[block] @ states[block]).view_as(scaled)
            change.row_log[block] = _dot(carried, scaled)
    shape = (sizes.batch, sizes.each, -1, sizes.heads, sizes.width)
    grads, found = inside.view(shape), states.view(shape)
    ahead = torch.zeros_like(grads[:, 0])  # of the state that the chunk leaves
    order = range(sizes.each) if backward else reversed(range(sizes.each))
    for k in order:
        through = side.through[:, k, None, :, None]
        after = torch.addcmul(grads[:, k], ahead, through)
        grads[:, k] = ahead
        step = -1 if backward else 1
        if 0 <= k + step < sizes.each:
            # every part of the state that is left is proportional to exp(total)
            change.total[:, k] = torch.einsum("bnhp,bnhp->bh", ahead, found[:, k + step])
        ahead = after
    return inside


def _backward_chunks(xs: Tensor, dy: Tensor, sides: list[_Local], changes: list[_Change], sizes: _Sizes) -> Tensor:
    """Go back through the matrices inside the chunks; gives dx."""
    heads, chunk, width = sizes.heads, sizes.chunk, sizes.width
    dx = torch.empty_like(xs)
    blocks = list(sizes.blocks(heads * chunk * chunk))
    most = blocks[0].stop
    matrices = _Matrices(sides, sizes, most, xs)
    buffers = [xs.new_empty(most, heads, chunk, width) for _ in range(3)]
    squares = [xs.new_empty(most, heads, chunk, chunk) for _ in range(2)]
    for block in blocks:
        size = block.stop - block.start
        x_head, dy_head, dx_head = (buffer[:size] for buffer in buffers)
        matrix, d_matrix = (square[:size] for square in squares)
        x_head.copy_(xs[block].transpose(1, 2))
        dy_head.copy_(dy[block].transpose(1, 2))
        decay, scores = matrices.decay(block), matrices.scores(block)
        both = (scores[0] if len(scores) == 1 else scores[0] + scores[1]).unsqueeze(1)
        torch.bmm(dy_head.flatten(0, 1), x_head.flatten(0, 1).transpose(1, 2), out=d_matrix.flatten(0, 1))
        torch.mul(decay, both, out=matrix)
        torch.bmm(matrix.flatten(0, 1).transpose(1, 2), dy_head.flatten(0, 1), out=dx_head.flatten(0, 1))
        dx[block].copy_(dx_head.transpose(1, 2))
        d_scores = d_matrix.mul_(decay).sum(1)  # (m, Q, Q)
        if len(sides) == 2:
            below = torch.mul(d_matrix, scores[0].unsqueeze(1), out=matrix)
            changes[0].row_log[block] += below.sum(-1)
            changes[0].column_log[block] += below.sum(-2)
            changes[1].column_log[block] += d_matrix.mul_(scores[1].unsqueeze(1)).sum(-2)
        for place, (side, change) in enumerate(zip(sides, changes, strict=True)):
            mine = matrices.within(place, d_scores)
            change.rows[block].baddbmm_(mine, side.columns[block])
            change.columns[block].baddbmm_(mine.transpose(1, 2), side.rows[block])
    return dx


def _backward_written(
    xs: Tensor, dx: Tensor, sides: list[_Local], changes: list[_Change], ahead: list[Tensor], sizes: _Sizes
) -> None:
    """Go back through what the chunks write to the states; adds to dx and to the sides' gradients."""
    for block in sizes.blocks(sizes.chunk * sizes.heads * sizes.width):
        for side, change, left in zip(sides, changes, ahead, strict=False):
            written = (xs[block] * side.leave[block]).flatten(2)
            change.columns[block].baddbmm_(written, left[block].transpose(1, 2))
            back = (side.columns[block] @ left[block]).view_as(xs[block]).mul_(side.leave[block])
            dx[block] += back
            if len(sides) == 2:
                change.column_log[block] += _dot(xs[block], back)


_product: Callable[..., Tensor] = _Product.apply
