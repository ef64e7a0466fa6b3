"""`train`: the detector, then what a login needs: enrolled voices and both thresholds. It reads top to bottom."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.core.config import override
from auricle.core.run import FINAL, RunFolder, is_main_process
from auricle.core.seed import derive
from auricle.data.clips import Clips
from auricle.metrics.calibration import calibrate
from auricle.metrics.detection import eer
from auricle.metrics.verification import OperatingPoint
from auricle.systems.contents import contents
from auricle.systems.voice_auth import data
from auricle.systems.voice_auth.batches import Batch, ClipFeatures, PairedBatches, extract_features
from auricle.systems.voice_auth.clips import of_split
from auricle.systems.voice_auth.config import TrainConfig, VoiceAuthConfig
from auricle.systems.voice_auth.detectors import built, detector_of, scores_of
from auricle.systems.voice_auth.embeddings import Embedder
from auricle.systems.voice_auth.network import Network, score_items
from auricle.systems.voice_auth.trials import make_trials, models, thresholds
from auricle.train.checkpoint import load_model, save_model
from auricle.train.loop import FitResult, fit
from auricle.train.seed import seed_everything


def train(cfg: VoiceAuthConfig, run: RunFolder) -> Path:
    """Train the detector of a run, or take the one it was given, and enrol every voice.

    Args:
        cfg: the run's config.
        run: a run folder with prepared manifests.

    Returns:
        The folder of the final checkpoint: network, calibration on dev, enrolled voices, the verifier's thresholds.

    Raises:
        DataError: nothing was prepared, or clips cannot be read.
        ConfigError: no such verifier or detector.
    """
    clips = data.load(cfg, run)
    dev = clips.where(of_split(clips, "dev"))
    network = new_network(cfg)
    if cfg.detector.run is None and cfg.detector.scores is None:
        train_clips = clips.where(of_split(clips, "train"))
        train_features = extract_features(train_clips, network, cfg.train, derive(cfg.seed, "augment"))
        dev_features = extract_features(dev, network, cfg.train, derive(cfg.seed, "dev"))
        result = fit_detector(cfg, network, train_features, dev_features, run.path)
        if not is_main_process():
            return run.checkpoints / FINAL
        load_model(result.last, network)  # dev is two voices: enough for a threshold, not to pick a checkpoint by
    dev_scores = scores_of(cfg, detector_of(cfg, network), dev)
    embeddings = Embedder(cfg, run).of(clips)
    enrolled = models(clips, embeddings)
    meta = {
        "calibration": calibrate(dev_scores, dev.labels).to_dict(),
        "verifier": cfg.verifier.spec,
        "behind_paths": contents(cfg),
        "enrolled": {name: [round(float(x), 6) for x in model.vector] for name, model in enrolled.items()},
        "points": [point._asdict() for point in dev_points(cfg, clips, embeddings)],
    }
    return save_model(run.checkpoints / FINAL, network, meta)


def dev_points(cfg: VoiceAuthConfig, clips: Clips, embeddings: np.ndarray) -> list[OperatingPoint]:
    """Set the verifier's thresholds on the zero-effort trials of train and dev voices, which the test does not have."""
    chosen = of_split(clips, "train", "dev")
    return thresholds(make_trials(clips.where(chosen), embeddings[chosen]), cfg.eval.fars)


def new_network(cfg: VoiceAuthConfig) -> Network:
    """Build the detector with the weights that the run's seed gives, or those that it starts from."""
    seed_everything(derive(cfg.seed, "weights"))
    return built(cfg)


def with_detector(cfg: VoiceAuthConfig, *settings: str) -> VoiceAuthConfig:
    """Give the config of a control detector, trained here with some settings changed (``detector.kind=cnn``)."""
    return override(cfg, ["detector.run=null", "detector.scores=null", *settings])


def fit_detector(
    cfg: VoiceAuthConfig,
    network: Network,
    train_clips: ClipFeatures,
    dev: ClipFeatures,
    folder: Path,
    *,
    steps: int | None = None,
    progress: bool = True,
) -> FitResult:
    """Train one detector on features; the controls come through here too.

    Args:
        cfg: model and recipe.
        network: fresh.
        train_clips: training clips.
        dev: clips for the log and the best checkpoint.
        folder: where checkpoints and metrics go.
        steps: other than the config's, for controls.
        progress: show a bar.
    """
    network.fit_scale([copy for copies in train_clips.copies for copy in copies])
    return fit(
        network,
        Step(cfg.train),
        PairedBatches(train_clips, steps=network.steps, batch=cfg.train.batch, seed=derive(cfg.seed, "batches")),
        folder=folder,
        seed=cfg.seed,
        evaluate=dev_metrics(dev, cfg.eval.batch),
        meta={"system": "voice_auth"},
        progress=progress,
        **cfg.train.loop(steps),
    )


@dataclass(frozen=True)
class Step:
    """The loss of one batch."""

    cfg: TrainConfig

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Give ``loss``: weighted cross-entropy."""
        weights = torch.tensor([self.cfg.weight_spoof, self.cfg.weight_bonafide], device=batch.label.device)
        return {"loss": F.cross_entropy(model(batch.x), batch.label, weight=weights)}


def dev_metrics(dev: ClipFeatures, batch: int) -> Callable[[nn.Module, int], dict[str, Any]]:
    """Make the function that measures dev loss and dev EER."""
    truth = torch.from_numpy(dev.labels).long()
    counts = torch.bincount(truth, minlength=2).float()

    def evaluate(model: nn.Module, step: int) -> dict[str, Any]:
        scores = score_items(model, dev.first, batch)  # type: ignore[arg-type]
        logits = torch.stack([torch.zeros(len(scores)), torch.from_numpy(scores).float()], dim=1)
        # the classes count alike, however many fakes there are
        loss = F.cross_entropy(logits, truth, weight=1.0 / counts)
        return {"dev_loss": float(loss), "dev_eer": 100 * eer(scores[dev.labels], scores[~dev.labels]).eer}

    return evaluate
