"""`train`: read top to bottom, this is what happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from auricle.backbones.whisper_front import WhisperFront
from auricle.core.run import FINAL, RunFolder, is_main_process
from auricle.core.seed import derive, rng
from auricle.data import fields
from auricle.data.clips import Clips, batched, load_clips, windows
from auricle.metrics.detection import eer
from auricle.metrics.held_out import calibrate_held_out
from auricle.systems.mambo import data
from auricle.systems.mambo.config import MamboConfig, TrainConfig
from auricle.systems.mambo.domain import fit_domain
from auricle.systems.mambo.network import HOP_S, Network
from auricle.systems.mambo.rows import speakers
from auricle.systems.mambo.scoring import cut_results, score_clips, scores_of
from auricle.train.checkpoint import average, load_weights, save_model
from auricle.train.loop import FitResult, fit
from auricle.train.pairs import Batch, PairedBatches, distorted_clips
from auricle.train.seed import seed_everything
from auricle.train.two_class_loss import focal, weighted_cross_entropy


def train(cfg: MamboConfig, run: RunFolder) -> Path:
    """Train the detector of a run, or go on with it.

    Args:
        cfg: the run's config.
        run: a run folder with prepared manifests.

    Returns:
        The folder of the final checkpoint: the average of the best ones, with its calibration on dev.

    Raises:
        DataError: nothing was prepared, or clips cannot be read.
    """
    clips = load_clips(data.load(run, "train"), cfg.data.rate_hz)
    dev_cuts = data.load(run, "dev")
    dev = load_clips(dev_cuts, cfg.data.rate_hz)
    result = fit_detector(cfg, clips, dev, run.path, cache=run.cache)
    if not is_main_process():
        return run.checkpoints / FINAL
    network = new_network(cfg)
    chosen = [checkpoint.path for checkpoint in result.best[: cfg.eval.average]]
    load_weights(network, average(chosen))
    # thresholds are for the scores that `infer` gives
    scores = scores_of(cut_results(network, cfg.data, dev_cuts))
    meta = {
        "averaged": [path.name for path in chosen],
        "calibration": calibrate_held_out(scores, dev.labels, speakers(dev), dev.values(fields.FAMILY)).to_dict(),
        "domain": fit_domain([clips, dev], cfg.data.band_hz, cfg.data.window, rng(cfg.seed, "domain")).to_dict(),
    }
    return save_model(run.checkpoints / FINAL, network, meta)


def fit_detector(
    cfg: MamboConfig,
    clips: Clips,
    dev: Clips,
    folder: Path,
    *,
    cache: Path | None = None,
    max_steps: int | None = None,
    progress: bool = True,
) -> FitResult:
    """Train one network; the control detectors of `evaluate` come through here too.

    Args:
        cfg: model and recipe.
        clips: training clips.
        dev: clips that decide which checkpoints are kept.
        folder: where checkpoints and metrics go.
        cache: folder for features of a frozen encoder; None keeps none.
        max_steps: other than the config's, for controls.
        progress: show a bar.
    """
    length = cfg.data.window
    network = new_network(cfg, cache)
    first = [windows(clips.wave(index), length)[0] for index in range(len(clips))]
    network.fit_scale(batched(first, cfg.eval.batch))
    batches = PairedBatches(
        clips,
        length=length,
        batch=cfg.train.batch,
        hop=round(HOP_S * cfg.data.rate_hz),
        splice=cfg.train.splice,
        seed=derive(cfg.seed, "batches"),
        boost=cfg.train.rawboost,
        grid=max(1, round(cfg.train.grid_s * cfg.data.rate_hz)),
    )
    if cfg.train.rawboost is not None:
        dev = distorted_clips(dev, cfg.train.rawboost, derive(cfg.seed, "dev"))
    return fit(
        network,
        Step(cfg.train),
        batches,
        folder=folder,
        seed=cfg.seed,
        evaluate=dev_metrics(cfg, dev),
        monitor=cfg.train.monitor,
        meta={"system": "mambo"},
        progress=progress,
        **cfg.train.loop(max_steps),
    )


def new_network(cfg: MamboConfig, cache: Path | None = None) -> Network:
    """Build the network with the weights that the run's seed gives.

    Args:
        cfg: the run's config.
        cache: folder for features of a frozen encoder; None keeps none.
    """
    seed_everything(derive(cfg.seed, "weights"))
    network = Network(cfg)
    if isinstance(network.encoder, WhisperFront) and cache is not None:
        network.encoder.cache = cache / "whisper"
    return network


@dataclass(frozen=True)
class Step:
    """The loss of one batch: clips, and frames where their truth is known."""

    cfg: TrainConfig

    def __call__(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """Give ``loss`` and its parts."""
        output = model(batch.wave)
        clip = self.loss(output.logits, batch.label)
        if self.cfg.frame_weight == 0:
            return {"loss": clip}
        frames = self.loss(output.frame_logits, frame_truth(batch.truth, output.frame_logits.shape[1]))
        return {"loss": clip + self.cfg.frame_weight * frames, "clip_loss": clip, "frame_loss": frames}

    def loss(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Give the loss that the config names."""
        weights = (self.cfg.alpha_spoof, self.cfg.alpha_bonafide)
        if self.cfg.loss == "focal":
            return focal(logits, labels, weights, self.cfg.gamma)
        return weighted_cross_entropy(logits, labels, weights)


def frame_truth(truth: Tensor, frames: int) -> Tensor:
    """Bring the truth of every 10 ms (B, S) to the network's frames (B, T'): what lies at a frame's middle."""
    index = ((torch.arange(frames, device=truth.device) + 0.5) * truth.shape[1] / frames).long()
    return truth[:, index.clamp_max(truth.shape[1] - 1)]


def dev_metrics(cfg: MamboConfig, dev: Clips) -> Callable[[nn.Module, int], dict[str, Any]]:
    """Make the function that measures dev loss and dev EER."""
    truth = torch.from_numpy(dev.labels).long()
    counts = torch.bincount(truth, minlength=2)

    def evaluate(model: nn.Module, step: int) -> dict[str, Any]:
        scores = score_clips(model, dev, cfg.data.window, cfg.eval.batch)
        # the classes count alike, however many fakes there are of each real clip
        logits = torch.stack([torch.zeros(len(scores)), torch.from_numpy(scores).float()], dim=1)
        loss = F.cross_entropy(logits, truth, weight=1.0 / counts.float())
        return {"dev_loss": float(loss), "dev_eer": 100 * eer(scores[dev.labels], scores[~dev.labels]).eer}

    return evaluate
