"""The BigVGAN-v2 generator (Lee et al., 2206.04658; public code NVIDIA/BigVGAN), written anew, weights read strictly.

Published checkpoints keep each convolution as a direction and a gain (weight norm); here a convolution has one weight,
and `from_published` multiplies them out. Every published name must be there in its shape, and nothing else.
"""

from __future__ import annotations

import json
import math
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.audio.vocoder_mel import MelContract
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.files import read_json

TAPS = 12  # of the filters around an activation
CHECKPOINT, CONFIG = "bigvgan_generator.pt", "config.json"


@dataclass(frozen=True)
class BigVGANConfig:
    """Sizes of a generator; the defaults are ``bigvgan_v2_44khz_128band_512x``.

    Attributes:
        n_mels: bands of the mel.
        rates: up-sampling factors; their product is the hop.
        kernels: kernel of each up-sampling.
        width: channels before the first one; halved by each.
        block_kernels: kernels of the blocks after each up-sampling.
        dilations: of the three convolution pairs of a block.
    """

    n_mels: int = 128
    rates: tuple[int, ...] = (8, 4, 2, 2, 2, 2)
    kernels: tuple[int, ...] = (16, 8, 4, 4, 4, 4)
    width: int = 1536
    block_kernels: tuple[int, ...] = (3, 7, 11)
    dilations: tuple[int, ...] = (1, 3, 5)


def low_pass(cutoff: float, half_width: float, taps: int = TAPS) -> Tensor:
    """Design a low-pass filter: a sinc under a Kaiser window, with sum 1 (Kaiser's formulas for beta).

    Args:
        cutoff: as a part of the rate, up to 0.5.
        half_width: of the transition band, in the same unit.
        taps: even number of taps.

    Returns:
        (taps,).
    """
    attenuation = 2.285 * (taps // 2 - 1) * math.pi * 4 * half_width + 7.95
    if attenuation > 50:
        beta = 0.1102 * (attenuation - 8.7)
    elif attenuation >= 21:
        beta = 0.5842 * (attenuation - 21) ** 0.4 + 0.07886 * (attenuation - 21)
    else:
        beta = 0.0
    time = torch.arange(taps, dtype=torch.float64, device="cpu") - (taps - 1) / 2
    window = torch.kaiser_window(taps, periodic=False, beta=beta, dtype=torch.float64, device="cpu")
    shape = window * torch.sinc(2 * cutoff * time)
    return (shape / shape.sum()).float()


class SnakeBeta(nn.Module):
    """x + sin^2(a x) / b, with a and b of each channel kept as logarithms."""

    def __init__(self, channels: int) -> None:
        """Start at a = b = 1."""
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T)."""
        return x + torch.sin(x * self.alpha.exp()[:, None]).square() / (self.beta.exp()[:, None] + 1e-9)


class _Filter(nn.Module):
    """Holds the taps under the published names, ``filter`` or ``lowpass.filter``."""

    filter: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("filter", low_pass(0.25, 0.3).view(1, 1, TAPS))

    def up(self, x: Tensor) -> Tensor:
        """Double the rate of (B, C, T)."""
        channels, margin = x.shape[1], TAPS // 2 - 1
        padded = F.pad(x, (margin, margin), mode="replicate")
        spread = 2 * F.conv_transpose1d(padded, self.filter.expand(channels, -1, -1), stride=2, groups=channels)
        cut = 2 * margin + (TAPS - 2) // 2
        return spread[..., cut:-cut]

    def down(self, x: Tensor) -> Tensor:
        """Halve the rate of (B, C, T)."""
        channels = x.shape[1]
        padded = F.pad(x, (TAPS // 2 - 1, TAPS // 2), mode="replicate")
        return F.conv1d(padded, self.filter.expand(channels, -1, -1), stride=2, groups=channels)


class _Downsample(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lowpass = _Filter()


class FilteredActivation(nn.Module):
    """Snake at twice the rate, between two low-pass filters, so that its overtones do not fold back."""

    def __init__(self, channels: int) -> None:
        """Build for C channels."""
        super().__init__()
        self.act = SnakeBeta(channels)
        self.upsample = _Filter()
        self.downsample = _Downsample()

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T)."""
        return self.downsample.lowpass.down(self.act(self.upsample.up(x)))


class AMPBlock(nn.Module):
    """Pairs of convolutions, the first of each dilated, each behind its filtered activation, added to the input."""

    def __init__(self, channels: int, kernel: int, dilations: tuple[int, ...]) -> None:
        """Build the pairs.

        Args:
            channels: C.
            kernel: of all convolutions.
            dilations: one a pair.
        """
        super().__init__()
        self.convs1 = nn.ModuleList(
            nn.Conv1d(channels, channels, kernel, dilation=d, padding=d * (kernel - 1) // 2) for d in dilations
        )
        self.convs2 = nn.ModuleList(nn.Conv1d(channels, channels, kernel, padding=(kernel - 1) // 2) for _ in dilations)
        self.activations = nn.ModuleList(FilteredActivation(channels) for _ in range(2 * len(dilations)))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, T)."""
        pairs = zip(self.convs1, self.convs2, self.activations[::2], self.activations[1::2], strict=True)
        for first, second, before, between in pairs:
            x = x + second(between(first(before(x))))
        return x


class BigVGAN(nn.Module):
    """The generator: (B, frames, n_mels) -> samples (B, frames * hop)."""

    def __init__(self, config: BigVGANConfig | None = None) -> None:
        """Build a generator.

        Args:
            config: its sizes; the 44.1 kHz model's by default.

        Raises:
            ConfigError: rates and kernels that do not fit.
        """
        config = config or BigVGANConfig()
        if len(config.rates) != len(config.kernels) or config.width >> len(config.rates) < 1:
            raise ConfigError(f"{config}: one kernel a rate is needed, and a width that can be halved at each")
        super().__init__()
        self.config = config
        self.conv_pre = nn.Conv1d(config.n_mels, config.width, 7, padding=3)
        self.ups = nn.ModuleList()
        self.resblocks = nn.ModuleList()
        channels = config.width
        for rate, kernel in zip(config.rates, config.kernels, strict=True):
            up = nn.ConvTranspose1d(channels, channels // 2, kernel, rate, padding=(kernel - rate) // 2)
            self.ups.append(nn.ModuleList([up]))
            channels //= 2
            for size in config.block_kernels:
                self.resblocks.append(AMPBlock(channels, size, config.dilations))
        self.activation_post = FilteredActivation(channels)
        self.conv_post = nn.Conv1d(channels, 1, 7, padding=3, bias=False)

    @property
    def hop(self) -> int:
        """Samples a frame."""
        return math.prod(self.config.rates)

    def forward(self, mel: Tensor) -> Tensor:
        """Make a waveform within -1 and 1 of a log-mel."""
        x = self.conv_pre(mel.transpose(1, 2))
        blocks = len(self.config.block_kernels)
        for level, (up,) in enumerate(self.ups):  # type: ignore[misc]
            x = up(x)  # type: ignore[has-type]
            x = sum(block(x) for block in self.resblocks[level * blocks : (level + 1) * blocks]) / blocks
        wave: Tensor = self.conv_post(self.activation_post(x))
        return wave.clamp(-1, 1)[:, 0]


def published_shapes(config: BigVGANConfig | None = None) -> dict[str, tuple[int, ...]]:
    """Give the names and shapes that a published checkpoint of these sizes has.

    Args:
        config: sizes; the 44.1 kHz model's by default.
    """
    with torch.device("meta"):
        model = BigVGAN(config)
    found: dict[str, tuple[int, ...]] = {}
    for name, tensor in model.state_dict().items():
        shape = tuple(tensor.shape)
        if _is_weight(name):
            found[f"{name}_g"] = (shape[0], 1, 1)
            found[f"{name}_v"] = shape
        else:
            found[name] = shape
    return found


def _is_weight(name: str) -> bool:
    return name.endswith(".weight")


def from_published(state: Mapping[str, Tensor], config: BigVGANConfig | None = None) -> BigVGAN:
    """Build a generator from a checkpoint's tensors.

    Args:
        state: name to tensor, as published (under the key ``generator``).
        config: its sizes; the 44.1 kHz model's by default.

    Raises:
        CheckpointError: a state without weight norm; or a missing, unexpected or differently shaped tensor, by name.
    """
    wanted = published_shapes(config)
    plain = [name for name in state if _is_weight(name) and f"{name}_g" in wanted]
    if plain and not any(name.endswith(("weight_g", "weight_v")) for name in state):
        raise CheckpointError(
            f"a BigVGAN state that was saved after remove_weight_norm(): it has {plain[0]} and not {plain[0]}_g and "
            f"{plain[0]}_v; give {CHECKPOINT} as it was published, or save the state before the norms are removed"
        )
    faults = [f"missing: {name}" for name in wanted if name not in state]
    faults += [f"unexpected: {name}" for name in state if name not in wanted]
    faults += [
        f"{name} is {tuple(state[name].shape)}, needed {shape}"
        for name, shape in wanted.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    if faults:
        more = f" and {len(faults) - 5} more" if len(faults) > 5 else ""
        raise CheckpointError(f"not a BigVGAN-v2 generator of these sizes: {'; '.join(faults[:5])}{more}")
    with torch.device("meta"):
        model = BigVGAN(config)
    model.load_state_dict(dict(_plain(state, wanted)), assign=True)
    return model.eval()


def _plain(state: Mapping[str, Tensor], names: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    """Multiply gains and directions out: w = g v / |v|, the norm over all axes but the first."""
    for name in names:
        if name.endswith("weight_g"):
            direction = state[name[:-1] + "v"].float()
            norm = direction.flatten(1).norm(dim=1).view(-1, 1, 1)
            yield name[:-2], nn.Parameter(state[name].float() * direction / norm)
        elif not name.endswith("weight_v"):
            tensor = state[name].float()
            yield name, tensor if name.endswith(".filter") else nn.Parameter(tensor)


def load(folder: str | Path) -> tuple[BigVGAN, MelContract]:
    """Load a published generator from its folder (``config.json`` and ``bigvgan_generator.pt``), without a network.

    Returns:
        The generator, and the mel it reads.

    Raises:
        CheckpointError: a missing or damaged file, another kind of generator, or tensors that do not fit.
    """
    folder = Path(folder)
    for name in (CONFIG, CHECKPOINT):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder} has no {name}; give the folder of a published BigVGAN-v2 generator")
    config, contract = _described(folder / CONFIG)
    try:
        content = torch.load(folder / CHECKPOINT, map_location="cpu", weights_only=True)
        state = content["generator"]
    except (OSError, RuntimeError, EOFError, KeyError, TypeError, ValueError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{folder / CHECKPOINT} is no generator: {type(error).__name__}") from None
    return from_published(state, config), contract


def _described(path: Path) -> tuple[BigVGANConfig, MelContract]:
    """Read the published ``config.json``; refuse what the code here does not do."""
    values = read_json(path)
    try:
        dilations = {tuple(row) for row in values["resblock_dilation_sizes"]}
        config = BigVGANConfig(
            int(values["num_mels"]),
            tuple(values["upsample_rates"]),
            tuple(values["upsample_kernel_sizes"]),
            int(values["upsample_initial_channel"]),
            tuple(values["resblock_kernel_sizes"]),
            dilations.pop(),
        )
        contract = MelContract(
            int(values["sampling_rate"]), config.n_mels, int(values["n_fft"]), int(values["hop_size"])
        )
        same = {
            "activation": "snakebeta",
            "snake_logscale": True,
            "resblock": "1",
            "use_tanh_at_final": False,
            "use_bias_at_final": False,
            "fmin": 0,
            "win_size": contract.n_fft,
        }
        wrong = [
            f"{key}={values.get(key)!r} instead of {value!r}" for key, value in same.items() if values[key] != value
        ]
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CheckpointError(f"{path} is not the config of a BigVGAN-v2 generator: {json.dumps(str(error))}") from None
    if values.get("fmax") not in (None, contract.rate_hz / 2):
        wrong.append(f"fmax={values['fmax']!r} instead of half the rate")
    if dilations or math.prod(config.rates) != contract.hop:
        wrong.append("blocks of different dilations, or rates whose product is not the hop")
    if wrong:
        raise CheckpointError(f"{path}: a generator of another kind: {'; '.join(wrong)}")
    return config, contract
