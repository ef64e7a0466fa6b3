"""Arms of claims: small models of equal size, and the detectors trained of them on data that all claims share."""

from __future__ import annotations

import hashlib
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auricle.claims.claim import Budget, Cell
from auricle.claims.shared import once, prepared
from auricle.core.config import override, parse
from auricle.core.errors import DataError
from auricle.data import fields
from auricle.data.clips import Clips, load_clips
from auricle.metrics.detection import eer
from auricle.systems.mambo import data
from auricle.systems.mambo.config import DataConfig, EvalConfig, MamboConfig, ModelConfig, TrainConfig, laptop
from auricle.systems.mambo.controls import localisation
from auricle.systems.mambo.model import MamBo
from auricle.systems.mambo.scoring import score_clips
from auricle.systems.mambo.train import fit_detector, new_network
from auricle.train.checkpoint import load_model

FULL_DATA = DataConfig(
    segment_s=1.5,
    max_clip_s=2.0,
    clips_per_voice=12,
    seen=("world", "griffin_lim", "lpc_pulse", "psola"),  # four mechanisms, so that leaving one out leaves it out
    unseen=("phase_vocoder", "hibari"),
    held_out=(),
    spoofs_per_clip=2,
    dev_share=0.12,
    test_share=0.5,
)
QUICK_DATA = DataConfig(
    segment_s=1.0,
    max_clip_s=1.2,
    clips_per_voice=2,
    seen=("griffin_lim", "lpc_pulse"),
    unseen=("lpc_noise",),
    held_out=(),
    dev_share=0.12,
    spoofs_per_clip=2,
    test_share=1.0,
    channels=("none", "mu_law"),
)


def small(budget: Budget, mixer: str, **changes: Any) -> ModelConfig:
    """Give a small MamBo-1 of one mixer; a Gated DeltaNet takes its sizes from the width.

    Args:
        budget: the quick one is smaller still.
        mixer: its name.
        **changes: other fields of the model.
    """
    width, states = (48, 16) if budget == "full" else (16, 8)
    sizes = {"d_state": None, "head_dim": None} if mixer == "gdn" else {"d_state": states, "head_dim": 16}
    values = {"topology": "mambo1", "mixer": mixer, "n": 1, "layers": 2, "d_model": width, **sizes, **changes}
    return parse(ModelConfig, {**laptop().model.model_dump(), **values})


def count(model: ModelConfig) -> int:
    """Count the parameters of a model without making them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in MamBo(model).parameters())


@cache
def matched(model: ModelConfig, target: int) -> ModelConfig:
    """Bring a model to a number of parameters: the nearest width in steps of 8, then the inner width of its FFN.

    Args:
        model: what to bring there.
        target: parameters.

    Returns:
        The model, within half the parameters of one hidden unit per FFN.
    """
    widths = [override(model, [f"d_model={width}", "ffn_hidden=null"]) for width in range(8, 137, 8)]
    near = min(widths, key=lambda candidate: abs(count(candidate) - target))
    hidden = 8 * near.d_model // 3
    at, one_more = (count(_with_hidden(near, size)) for size in (hidden, hidden + 1))
    return _with_hidden(near, max(1, hidden + round((target - at) / (one_more - at))))


def _with_hidden(model: ModelConfig, size: int) -> ModelConfig:
    return override(model, [f"ffn_hidden={size}"])


def config(cell: Cell, model: ModelConfig, steps: int) -> MamboConfig:
    """Give the config of one training; `steps` holds for the full budget."""
    full = cell.budget == "full"
    recipe = laptop().train.model_dump() | {"keep_best": 3}
    if full:
        recipe |= {"batch": 16, "max_steps": steps, "eval_every": 50, "save_every": 100}
    else:
        recipe |= {"batch": 4, "max_steps": 6, "eval_every": 2, "save_every": 6}
    return MamboConfig(
        seed=cell.seed,
        model=model,
        data=FULL_DATA if full else QUICK_DATA,
        train=parse(TrainConfig, recipe),
        eval=EvalConfig(controls=False),
    )


@cache
def _clips(folder: Path, settings: DataConfig) -> tuple[Clips, Clips, Clips]:
    """Prepare the shared data once, and keep train, dev and test in memory."""
    run = prepared(folder, "mambo", "laptop", MamboConfig(**{**dict(laptop()), "data": settings}), data.prepare)
    train, dev, test = (load_clips(data.load(run, name), settings.rate_hz) for name in fields.SPLITS)
    return train, dev, test


def detector(cfg: MamboConfig, shared: Path, without: str = "") -> dict[str, Any]:
    """Train a detector on the shared data and score the test clips; what was trained before is read back.

    Args:
        cfg: everything that decides it.
        shared: folder of the prepared data and of the detectors that two claims train alike.
        without: spoof family that is left out of training and dev.

    Returns:
        Scores and facts of the test clips, EERs in percent, parameters, steps and seconds.

    Raises:
        DataError: no test clip is long enough for a splice.
    """
    text = json.dumps([cfg.model_dump(mode="json"), without], sort_keys=True)
    folder = shared / "detectors" / hashlib.sha256(text.encode()).hexdigest()[:24]
    measured = once(folder / "measured.json", lambda: _measure(cfg, shared, without, folder))
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return measured


def _measure(cfg: MamboConfig, shared: Path, without: str, folder: Path) -> dict[str, Any]:
    train, dev, test = _clips(shared / "data", cfg.data)
    if without:
        train, dev = (part.where(part.values(fields.FAMILY) != without) for part in (train, dev))
    result = fit_detector(cfg, train, dev, folder, progress=False)
    network = new_network(cfg)
    scores = []
    for checkpoint in result.best:
        load_model(checkpoint.path, network)
        scores.append(score_clips(network, test, cfg.data.window, cfg.eval.batch))
    load_model(result.best[0].path, network)
    spliced = localisation(override(cfg, ["seed=0"]), network, test)  # the same splices for all
    if not spliced.n or spliced.value is None:
        raise DataError("no test clip is long enough for a spliced segment; give clips of at least segment_s")
    return {
        "scores": scores[0].tolist(),
        "labels": test.labels.tolist(),
        "groups": test.values(fields.SPEAKER_GROUP).tolist(),
        "families": test.values(fields.FAMILY).tolist(),
        "eer": eer_percent(scores[0], test.labels),
        "frame_eer": spliced.value,
        "checkpoint_sd": float(np.std([eer_percent(values, test.labels) for values in scores])),
        "parameters": sum(parameter.numel() for parameter in network.mambo.parameters()),
        "steps": result.step,
        "train_s": result.metrics["seconds"],
    }


def eer_percent(scores: np.ndarray, labels: np.ndarray) -> float:
    """Give the EER in percent; labels are true for bona fide."""
    return 100 * eer(scores[labels], scores[~labels]).eer
