"""ECAPA-TDNN as a verifier: SpeechBrain's public checkpoint by a strict map of names, and folders of our own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from auricle.audio.check import Float
from auricle.backbones.speaker.ecapa import EcapaFbank, EcapaSizes, EcapaTdnn
from auricle.backbones.speaker.state import read_state
from auricle.backbones.speaker.verifier import RATE_HZ, ready, unit_rows
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.files import atomic_path, read_json, write_json

PUBLIC_FILE = "embedding_model.ckpt"  # in the public repository speechbrain/spkrec-ecapa-voxceleb
SIZES, MODEL = "sizes.json", "model.safetensors"
WANTED = f"SpeechBrain's {PUBLIC_FILE}, a folder it lies in, or a folder that Auricle saved"
LONGEST_S = 60  # longer recordings are embedded in equal pieces of at most this
BATCH_FRAMES = 6000  # frames, padding included, that go through the network at once

# our name -> the public one; the first rule that fits the beginning of a name gives the module
_MODULES = (
    (r"stem\.", "blocks.0."),
    (r"layers\.(\d+)\.enter\.", "blocks.{block}.tdnn1."),
    (r"layers\.(\d+)\.branches\.(\d+)\.", "blocks.{block}.res2net_block.blocks.{branch}."),
    (r"layers\.(\d+)\.leave\.", "blocks.{block}.tdnn2."),
    (r"layers\.(\d+)\.squeeze\.down\.", "blocks.{block}.se_block.conv1.conv."),
    (r"layers\.(\d+)\.squeeze\.up\.", "blocks.{block}.se_block.conv2.conv."),
    (r"aggregate\.", "mfa."),
    (r"pool\.hidden\.", "asp.tdnn."),
    (r"pool\.score\.", "asp.conv.conv."),
    (r"pool_norm\.", "asp_bn.norm."),
    (r"embed\.", "fc.conv."),
)


def public_name(name: str) -> str:
    """Give the public name of one of our parameters or buffers.

    Args:
        name: a key of `EcapaTdnn.state_dict`.

    Raises:
        ConfigError: ECAPA has no such parameter.
    """
    for pattern, public in _MODULES:
        if found := re.match(pattern, name):
            numbers = [int(text) for text in found.groups()] + [0, 0]
            rest = re.sub(r"^(conv|norm)\.", r"\1.\1.", name[found.end() :])
            return public.format(block=numbers[0] + 1, branch=numbers[1]) + rest
    raise ConfigError(f"ECAPA has no parameter {name!r}")


def load_public(network: nn.Module, weights: Mapping[str, Tensor], source: str | Path) -> None:
    """Copy a state dict under public names into an `EcapaTdnn`; every name must be used exactly once.

    Args:
        network: changed in place, only when everything fits.
        weights: public name to tensor, such as ``blocks.1.tdnn1.conv.conv.weight``.
        source: what to call them in an error.

    Raises:
        CheckpointError: naming what is missing, what is too much, what has another shape and what is not finite.
    """
    load_named(network, weights, {name: public_name(name) for name in network.state_dict()}, source)


def load_named(network: nn.Module, weights: Mapping[str, Tensor], names: Mapping[str, str], source: str | Path) -> None:
    """Copy tensors into a network by a map from its names to theirs; see `load_public`."""
    own = network.state_dict()
    missing = [theirs for theirs in names.values() if theirs not in weights]
    extra = sorted(set(weights) - set(names.values()))
    present = [(ours, theirs) for ours, theirs in names.items() if theirs in weights]
    shapes = [
        f"{theirs} is {_shape(weights[theirs])}, needed {tuple(own[ours].shape)}"
        for ours, theirs in present
        if _shape(weights[theirs]) != tuple(own[ours].shape)
    ]
    odd = [
        theirs
        for _, theirs in present
        if isinstance(weights[theirs], Tensor) and not bool(torch.isfinite(weights[theirs]).all())
    ]
    faults = [
        f"{what}: {', '.join(some[:5])}{f' and {len(some) - 5} more' if len(some) > 5 else ''}"
        for what, some in (("missing", missing), ("unknown", extra), ("wrong shape", shapes), ("not finite", odd))
        if some
    ]
    if faults:
        raise CheckpointError(
            f"{source} does not fit this ECAPA-TDNN: {'; '.join(faults)}. Expected are the {len(names)} tensors of "
            f"{PUBLIC_FILE} as SpeechBrain publishes it, or a folder that Auricle saved"
        )
    network.load_state_dict({ours: weights[theirs] for ours, theirs in present}, strict=True)


def _shape(value: Any) -> tuple[int, ...] | str:
    return tuple(value.shape) if isinstance(value, Tensor) else f"no tensor but {type(value).__name__}"


def save_ecapa(folder: str | Path, network: EcapaTdnn) -> Path:
    """Write sizes and weights as a folder for ``ecapa:FOLDER``.

    Args:
        folder: made if it is not there.
        network: an ECAPA-TDNN of any sizes.

    Returns:
        The folder.
    """
    folder = Path(folder)
    with atomic_path(folder / MODEL) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in network.state_dict().items()}, temporary)
    write_json(folder / SIZES, asdict(network.sizes))
    return folder


def load_ecapa(path: str | Path) -> EcapaTdnn:
    """Read an ECAPA-TDNN.

    Args:
        path: SpeechBrain's checkpoint (``.ckpt``, ``.pt`` or the same names in ``.safetensors``), a folder with
            `PUBLIC_FILE` in it, or a folder of `save_ecapa`.

    Returns:
        The network in eval mode.

    Raises:
        CheckpointError: missing, damaged, or with names or shapes that do not fit.
    """
    path = Path(path)
    if (path / SIZES).is_file():
        network = EcapaTdnn(_sizes(path / SIZES))
        names = {name: name for name in network.state_dict()}
        load_named(network, read_state(path / MODEL, WANTED), names, path)
        return network.eval()
    file = path / PUBLIC_FILE if path.is_dir() else path
    network = EcapaTdnn()
    load_public(network, read_state(file, WANTED), file)
    return network.eval()


def _sizes(file: Path) -> EcapaSizes:
    try:
        return EcapaSizes(**read_json(file))
    except (TypeError, DataError, ConfigError) as error:
        raise CheckpointError(f"{file} holds no sizes of an ECAPA-TDNN: {error}") from None


class Ecapa:
    """The ECAPA-TDNN verifier; see `Verifier`.

    Args:
        network: an `EcapaTdnn`, as from `load_ecapa`; used in eval mode.
        name: what to call it.
    """

    rate_hz = RATE_HZ

    def __init__(self, network: EcapaTdnn, name: str = "ecapa") -> None:
        self.network = network.eval()
        self.name = name
        self.dim = network.sizes.dim
        self._fbank = EcapaFbank(network.sizes.n_mels)

    @torch.inference_mode()
    def embed(self, waves: Sequence[Float], rates_hz: Sequence[int]) -> Float:
        """Embed recordings, those of similar length together; over 60 s, the mean over equal pieces.

        Args:
            waves: N mono waveforms, (T,) float32.
            rates_hz: their N sampling rates.

        Returns:
            (N, D) float32, rows of unit length.

        Raises:
            AudioError: a waveform is not usable audio.
            DataError: not as many rates as waveforms.
        """
        pieces: list[Tensor] = []
        owners: list[int] = []
        for number, wave in enumerate(ready(waves, rates_hz, self.rate_hz)):
            cuts = -(-len(wave) // (LONGEST_S * self.rate_hz))
            for piece in np.array_split(wave, cuts):
                pieces.append(torch.from_numpy(piece))
                owners.append(number)
        total = np.zeros((len(waves), self.dim))
        for some in _batches([len(piece) // self._fbank.hop + 1 for piece in pieces]):
            lengths = torch.tensor([len(pieces[index]) for index in some])
            batch = nn.utils.rnn.pad_sequence([pieces[index] for index in some], batch_first=True)
            made = self.network(self._fbank(batch, lengths), torch.as_tensor(self._fbank.frames(lengths)))
            np.add.at(total, [owners[index] for index in some], unit_rows(made.numpy()))
        return unit_rows(total)


def _batches(frames: Sequence[int]) -> list[list[int]]:
    """Put pieces of similar length together, at most `BATCH_FRAMES` with padding in a batch."""
    batches: list[list[int]] = []
    for index in sorted(range(len(frames)), key=lambda i: frames[i]):
        if batches and (len(batches[-1]) + 1) * frames[index] <= BATCH_FRAMES:
            batches[-1].append(index)
        else:
            batches.append([index])
    return batches
