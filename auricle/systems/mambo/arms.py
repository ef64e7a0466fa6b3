"""Arms of claims: small models of equal size, and the detectors trained of them on data that all claims share."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from auricle.claims.claim import Budget
from auricle.core.errors import DataError
from auricle.core.files import read_json, write_json
from auricle.core.run import open_run
from auricle.data import fields
from auricle.data.clips import Clips, load_clips
from auricle.metrics.detection import eer
from auricle.systems.mambo import data
from auricle.systems.mambo.config import DataConfig, EvalConfig, MamboConfig, ModelConfig, laptop
from auricle.systems.mambo.controls import localisation
from auricle.systems.mambo.model import build
from auricle.systems.mambo.scoring import score_clips
from auricle.systems.mambo.train import fit_detector, new_network, window_length
from auricle.train.checkpoint import load_model

FULL_DATA = DataConfig(
    segment_s=1.5,
    max_clip_s=2.0,
    clips_per_voice=12,
    seen=("world", "griffin_lim", "lpc_pulse", "psola"),  # four mechanisms, so that leaving one out leaves it out
    unseen=("phase_vocoder", "hibari"),
    test_share=0.5,
)
QUICK_DATA = DataConfig(
    segment_s=1.0,
    max_clip_s=1.2,
    clips_per_voice=2,
    seen=("griffin_lim", "lpc_pulse"),
    unseen=("lpc_noise",),
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
    return ModelConfig.model_validate({**laptop().model.model_dump(), **values})


def count(model: ModelConfig) -> int:
    """Count the parameters of a model without making them."""
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build(model).parameters())


@cache
def matched(model: ModelConfig, target: int) -> ModelConfig:
    """Bring a model to a number of parameters: the nearest width in steps of 8, then the inner width of its FFN.

    Args:
        model: what to bring there.
        target: parameters.

    Returns:
        The model, within half the parameters of one hidden unit per FFN.
    """
    widths = [model.model_copy(update={"d_model": width, "ffn_hidden": None}) for width in range(8, 137, 8)]
    near = min(widths, key=lambda candidate: abs(count(candidate) - target))
    hidden = 8 * near.d_model // 3
    at, one_more = (count(near.model_copy(update={"ffn_hidden": hidden + more})) for more in (0, 1))
    return near.model_copy(update={"ffn_hidden": max(1, hidden + round((target - at) / (one_more - at)))})


def config(budget: Budget, seed: int, model: ModelConfig, steps: int) -> MamboConfig:
    """Give the config of one training; `steps` holds for the full budget."""
    recipe = laptop().train.model_dump()
    if budget == "full":
        recipe |= {"batch": 16, "max_steps": steps, "eval_every": 50, "save_every": 100, "keep_best": 3}
    else:
        recipe |= {"batch": 4, "max_steps": 6, "eval_every": 2, "save_every": 6, "keep_best": 3}
    settings = {"seed": seed, "model": model, "train": recipe, "eval": EvalConfig(controls=False)}
    return MamboConfig.model_validate({**settings, "data": FULL_DATA if budget == "full" else QUICK_DATA})


@cache
def _clips(folder: Path, settings: DataConfig) -> tuple[Clips, Clips, Clips]:
    """Prepare the shared data once, and keep train, dev and test in memory."""
    cfg = laptop().model_copy(update={"data": settings})
    run = open_run(folder, "mambo", "laptop", cfg)
    if not run.done("prepare"):
        run.mark("prepare", **data.prepare(cfg, run))
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
    if (folder / "measured.json").exists():
        return dict(read_json(folder / "measured.json"))
    train, dev, test = _clips(shared / "data", cfg.data)
    train, dev = (part.where(part.values(fields.FAMILY) != without) if without else part for part in (train, dev))
    result = fit_detector(cfg, train, dev, folder, progress=False)
    network = new_network(cfg)
    scored = []
    for one in result.best:
        load_model(one.path, network)
        scored.append(score_clips(network, test, window_length(cfg), cfg.eval.batch))
    load_model(result.best[0].path, network)
    spliced = localisation(cfg.model_copy(update={"seed": 0}), network, test, "embedded")  # the same splices for all
    if not spliced.n or spliced.value is None:
        raise DataError("no test clip is long enough for a spliced segment; give clips of at least segment_s")
    measured = {
        "scores": scored[0].tolist(),
        "labels": test.labels.tolist(),
        "groups": test.values(fields.SPEAKER_GROUP).tolist(),
        "families": test.values(fields.FAMILY).tolist(),
        "eer": eer_percent(scored[0], test.labels),
        "frame_eer": spliced.value,
        "checkpoint_sd": float(np.std([eer_percent(scores, test.labels) for scores in scored])),
        "parameters": sum(parameter.numel() for parameter in network.mambo.parameters()),
        "steps": result.step,
        "train_s": result.metrics["seconds"],
    }
    write_json(folder / "measured.json", measured)
    shutil.rmtree(folder / "checkpoints")
    return measured


def eer_percent(scores: np.ndarray, labels: np.ndarray) -> float:
    """Give the EER in percent; labels are true for bona fide."""
    return 100 * eer(scores[labels], scores[~labels]).eer


def trained(
    shared: Path, models: Callable[[Budget], Mapping[str, ModelConfig]], steps: int
) -> tuple[Callable[..., dict[str, Any]], Callable[..., dict[str, Any]]]:
    """Make the `run` and `settings` of a claim whose arms are models.

    Args:
        shared: see `detector`.
        models: the arms' models at a budget.
        steps: training steps of the full budget.
    """

    def run(arm: str, seed: int, budget: Budget, folder: Path) -> dict[str, Any]:
        return detector(config(budget, seed, models(budget)[arm], steps), shared)

    def settings(arm: str, seed: int, budget: Budget) -> dict[str, Any]:
        return config(budget, seed, models(budget)[arm], steps).model_dump(mode="json")

    return run, settings
