"""Released weights into run folders: what `auricle models import` does, whatever the system."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor, nn

from auricle.backbones.released import some
from auricle.core.config import C, Config, override
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.run import FINAL, IMPORTED, RunFolder, open_run
from auricle.data import fields, manifest
from auricle.data.labelled import need_both_classes, need_labels
from auricle.metrics.held_out import calibrate_held_out
from auricle.systems import NAMES, system
from auricle.train.checkpoint import save_model

VERB = "imported"


def readers() -> tuple[str, ...]:
    """Name the systems that read released weights."""
    return tuple(name for name in NAMES if system(name).has(VERB))


def import_release(
    name: str,
    checkpoint: str | Path,
    out: str | Path,
    part: str | None = None,
    dev: str | Path | None = None,
    encoder: str | Path | None = None,
) -> tuple[Path, tuple[str, ...]]:
    """Make a run folder of weights that the authors of a paper released.

    Args:
        name: of the system.
        checkpoint: the released file.
        out: where the run is written; a new or empty folder.
        part: which network the weights are of, where a system has several.
        dev: a labelled manifest to calibrate on; None leaves the run without probabilities.
        encoder: folder of the speech encoder under the network, as Transformers saves it, where its sizes are not told
            by the weights.

    Returns:
        The run folder, and what cannot be the same as in the release.

    Raises:
        ConfigError: no such system, one that reads no releases, a folder with something in it, or no such part.
        CheckpointError: a file that is missing, damaged, holds code, or is not the release of this system.
        DataError: a manifest that cannot be used.
    """
    found = system(name)
    if not found.has(VERB):
        raise ConfigError(f"'{name}' reads no released weights; these systems do: {', '.join(readers())}")
    path, place = Path(checkpoint), Path(out)
    if not path.is_file():
        raise CheckpointError(f"{path} is no file; give the released checkpoint, such as model.pth")
    if place.exists() and not (place.is_dir() and not any(place.iterdir())):
        raise ConfigError(f"--out {place} is there and not empty; give the name of a new folder")
    paths = [None if one is None else Path(one) for one in (dev, encoder)]
    folder: Path = found.verb(VERB)(path, place, part, *paths)
    return folder, tuple(RunFolder(folder).facts(IMPORTED).get("notes", ()))


def fill(network: nn.Module, state: Mapping[str, Tensor], checkpoint: Path) -> None:
    """Put released weights into a network, every one in its place.

    Args:
        network: changed in place.
        state: name to tensor, under our names.
        checkpoint: where they are from, for an error.

    Raises:
        CheckpointError: names or shapes that do not fit; nothing was changed then.
    """
    own = network.state_dict()
    shapes = [
        f"{name} is {tuple(state[name].shape)}, needed {tuple(tensor.shape)}"
        for name, tensor in own.items()
        if name in state and state[name].shape != tensor.shape
    ]
    faults = {
        "wrong shape": shapes,
        "missing": sorted(own.keys() - state.keys()),
        "left over": sorted(state.keys() - own.keys()),
    }
    if found := [f"{what}: {some(names)}" for what, names in faults.items() if names]:
        raise CheckpointError(f"{checkpoint} does not fit together: {'; '.join(found)}")
    network.load_state_dict(dict(state))


def configured(base: C, settings: Mapping[str, Any]) -> C:
    """Give a preset with a release's settings (`auricle.backbones.released.Released`)."""
    return override(base, [f"{key}={json.dumps(value)}" for key, value in settings.items()])


def labelled_cuts(path: Path) -> tuple[list[Any], np.ndarray]:
    """Read the clips that a release is calibrated or measured on.

    Args:
        path: a labelled manifest.

    Returns:
        Its cuts, and (N,) booleans, true for bona fide.

    Raises:
        DataError: no manifest, clips without a label or whose audio cannot be had, or only one class.
    """
    cuts = list(manifest.read(path))
    need_labels(cuts, path)
    need_both_classes(path.name, cuts)
    return cuts, np.array([cut.custom[fields.LABEL] == fields.BONAFIDE for cut in cuts])


def calibrated(dev: Path, scores_of: Callable[[list[Any]], np.ndarray]) -> dict[str, Any]:
    """Calibrate a release on labelled clips, for voices and fakes that they do not have.

    Args:
        dev: a labelled manifest.
        scores_of: gives the scores (N,) of its cuts.

    Returns:
        The calibration as plain values; see `auricle.metrics.held_out.calibrate_held_out`.

    Raises:
        DataError: as `labelled_cuts`.
    """
    cuts, real = labelled_cuts(dev)
    voices = [cut.custom.get(fields.SPEAKER_GROUP) or cut.id for cut in cuts]  # a clip without one stands for itself
    families = [cut.custom.get(fields.FAMILY) or "" for cut in cuts]
    return calibrate_held_out(scores_of(cuts), real, voices, families).to_dict()


def write_run(
    out: Path,
    name: str,
    cfg: Config,
    network: nn.Module,
    meta: Mapping[str, Any],
    checkpoint: Path,
    notes: Sequence[str],
) -> Path:
    """Write a run folder that answers, once everything else has passed.

    Args:
        out: a new or empty folder.
        name: of the system.
        cfg: its config, of preset ``paper``.
        network: with the released weights.
        meta: of the final checkpoint, such as its calibration.
        checkpoint: the released file, named in ``stages.json`` with its SHA-256.
        notes: what cannot be the same as in the release.

    Returns:
        The folder.

    Raises:
        CheckpointError: a weight is NaN or infinite, or the disk refused.
    """
    run = open_run(out, name, "paper", cfg)
    save_model(run.checkpoints / FINAL, network, meta)
    with open(checkpoint, "rb") as content:
        summed = hashlib.file_digest(content, "sha256").hexdigest()
    run.mark(IMPORTED, file=checkpoint.name, sha256=summed, notes=list(notes))
    return run.path
