"""PCA and a codebook on patches of log-mels: the baseline of a codec that codes such patches, at its own rate."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from auricle.core.seed import rng
from auricle.nn.quantize.codebook import k_means, nearest

PATCHES = 60_000  # most patches that the codebook is made of


class PcaVq:
    """Patches of `step` bands and frames, PCA, k-means: one token a patch, the codec's own rate without a network."""

    def __init__(
        self,
        mels: Sequence[Tensor],
        step: int,
        codes: int,
        dims: int,
        seed: int,
        *,
        offset: float = 0.0,
        scale: float = 1.0,
    ) -> None:
        """Learn from log-mels (frames, n_mels) of whole columns.

        Args:
            mels: of the training recordings.
            step: frames of a column.
            codes: size of the codebook.
            dims: principal components kept.
            seed: of the drawn patches and first centres.
            offset: added to every log-mel first.
            scale: by which the sum is divided.
        """
        self.step, self.offset, self.scale = step, offset, scale
        draws = rng(seed, "pca-vq")
        patches = torch.cat([self._patches(mel)[0] for mel in mels])
        # as the codec's cuts begin anywhere, so may the patches
        patches = torch.cat([patches, *[self._patches(mel[step // 2 :])[0] for mel in mels if len(mel) > 2 * step]])
        if len(patches) > PATCHES:
            patches = patches[torch.from_numpy(draws.permutation(len(patches))[:PATCHES])]
        self.mean = patches.mean(dim=0)
        centred = patches - self.mean
        _, vectors = torch.linalg.eigh(centred.T @ centred)
        self.basis = vectors[:, -dims:]
        points = centred @ self.basis
        start = torch.from_numpy(draws.permutation(len(points))[:codes])
        self.codes = k_means(points, points[start])

    def points(self, mel: Tensor) -> Tensor:
        """Give the codebook's points (columns, bands of a column, dims) that a log-mel (frames, n_mels) is coded as."""
        patches, (columns, rows) = self._patches(mel)
        near = nearest((patches - self.mean) @ self.basis, self.codes)
        return self.codes[near].view(columns, rows, -1)

    def rebuild(self, mel: Tensor) -> Tensor:
        """Code and decode a log-mel (frames, n_mels) of whole columns."""
        made = self.points(mel) @ self.basis.T + self.mean
        columns, rows = made.shape[:2]
        picture = made.view(columns, rows, self.step, self.step).permute(0, 2, 1, 3)
        whole: Tensor = picture.reshape(columns * self.step, rows * self.step) * self.scale - self.offset
        return whole

    def _patches(self, mel: Tensor) -> tuple[Tensor, tuple[int, int]]:
        columns, rows = len(mel) // self.step, mel.shape[1] // self.step
        scaled = (mel[: columns * self.step] + self.offset) / self.scale
        cells = scaled.reshape(columns, self.step, rows, self.step).permute(0, 2, 1, 3)
        return cells.reshape(columns * rows, -1), (columns, rows)
