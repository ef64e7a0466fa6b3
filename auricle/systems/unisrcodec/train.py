"""`train`: reconstruction, codebook, and if wanted the discriminator; the running mean of the weights is kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from auricle.core.run import FINAL, RunFolder, is_main_process
from auricle.core.seed import derive
from auricle.nn.image import begin_with_components
from auricle.systems.unisrcodec.config import CodecConfig
from auricle.systems.unisrcodec.data import Cuts, load, load_mels
from auricle.systems.unisrcodec.model import (
    Codec,
    Discriminator,
    feature_matching,
    fingerprint,
    picture,
    sub_band_loss,
)
from auricle.systems.unisrcodec.peers import load_peers
from auricle.train.checkpoint import load_model, load_weights, save_model
from auricle.train.loop import fit
from auricle.train.seed import seed_everything
from auricle.train.update import EpochBatches

FIRST_CUTS = 1024  # at most, whose latents the codebook begins with


class Training(nn.Module):
    """What is trained: codec, discriminator, and the running mean of the codec's weights as buffers."""

    updates: Tensor

    def __init__(self, cfg: CodecConfig) -> None:
        """Build all three with the weights that the run's seed gives."""
        super().__init__()
        seed_everything(derive(cfg.seed, "weights"))
        self.recipe = cfg.train
        self.codec = Codec(cfg.model)
        self.discriminator = Discriminator(cfg.model.discriminator) if cfg.train.adversarial else None
        self.register_buffer("updates", torch.zeros((), dtype=torch.long))
        self.mean = nn.Module()
        for name, tensor in self.codec.state_dict().items():
            self.mean.register_buffer(_flat(name), tensor.detach().clone())

    def averaged(self) -> dict[str, Tensor]:
        """Give the codec's state with averaged weights, by name."""
        return {name: getattr(self.mean, _flat(name)) for name in self.codec.state_dict()}

    @torch.no_grad()
    def begin_with(self, mel: Tensor) -> None:
        """Set the linear paths, if there are some, and the codebook by what log-mels (B, T, n_mels) look like."""
        components = self.recipe.begin == "components"
        if components:
            begin_with_components(self.codec.encoder, self.codec.decoder, picture(mel))
        latents = self.codec.latents(mel).reshape(-1, self.codec.quantizer.dim)
        self.codec.quantizer.begin_with(latents, centres=components)
        self.begin_from(self.codec.state_dict())

    @torch.no_grad()
    def begin_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take the codec's weights from a state, and begin the running mean there."""
        self.codec.load_state_dict(weights)
        for name, mean in self.averaged().items():
            mean.copy_(weights[name])

    @torch.no_grad()
    def _average(self) -> None:
        """Move the mean towards the weights; quickly at first, when they are far from where they will be."""
        done = int(self.updates)
        decay = min(self.recipe.average, (1 + done) / (10 + done))
        weights = self.codec.state_dict()
        for name, mean in self.averaged().items():
            if mean.is_floating_point():
                mean.lerp_(weights[name], 1 - decay)
            else:
                mean.copy_(weights[name])
        self.updates += 1

    def forward(self, mel: Tensor) -> dict[str, Tensor]:
        """Give the losses of log-mels (B, T, n_mels); ``loss`` is their sum, for codec and discriminator alike.

        The discriminator's weights stand still in the codec's losses and the codec in the discriminator's, so one
        backward pass serves both.
        """
        recipe = self.recipe
        if self.training:
            self._average()
        out = self.codec(mel)
        losses = {"sub_band": sub_band_loss(out.mel, mel, recipe.low, recipe.high)}
        total = losses["sub_band"]
        for name, value in out.quantised.losses.items():
            losses[name] = value
            total = total + recipe.commit * value
        if self.discriminator is not None:
            losses |= _adversarial(self.discriminator, out.mel, mel)
            on = float(int(self.updates) > recipe.adversarial_after)
            total = total + on * (recipe.adversarial * losses["fool"] + recipe.feature * losses["feature"])
            total = total + losses["discriminator"]
        return {"loss": total, **losses}


def _adversarial(discriminator: Discriminator, made: Tensor, real: Tensor) -> dict[str, Tensor]:
    discriminator.requires_grad_(False)
    made_map, made_features = discriminator(made)
    with torch.no_grad():
        _, real_features = discriminator(real)
    discriminator.requires_grad_(True)
    real_map, detached_map = discriminator(real)[0], discriminator(made.detach())[0]
    return {
        "fool": (1 - made_map).square().mean(),
        "feature": feature_matching(made_features, real_features),
        "discriminator": (1 - real_map).square().mean() + detached_map.square().mean(),
    }


def _flat(name: str) -> str:
    return name.replace(".", "__")


def step(model: nn.Module, batch: Tensor) -> Mapping[str, Tensor]:
    """Give the losses of one batch (B, T, n_mels)."""
    losses: Mapping[str, Tensor] = model(batch)
    return losses


def train(cfg: CodecConfig, run: RunFolder) -> Path:
    """Train the codec of a run on its prepared recordings.

    Returns:
        The folder of the final checkpoint: the codec with averaged weights.

    Raises:
        DataError: nothing was prepared, recordings cannot be read, or a peer of the evaluation is not there.
    """
    if cfg.eval.peers:  # what evaluation will need is looked for before hours of training, not after
        load_peers(cfg.eval.peers, [clip.name for clip in load(cfg, run, "test", cfg.eval.seconds)])
    training = Training(cfg)
    clips, mels = load_mels(cfg, run, "train")
    _, dev = load_mels(cfg, run, "dev")
    kinds = [clip.kind for clip in clips]
    cuts = Cuts(mels, kinds, cfg.train.frames, cfg.train.batch, derive(cfg.seed, "cuts"))
    training.begin_with(end_to_end(mels, cfg.train.frames))
    codec = fit_codec(cfg, training, cuts, run.path, dev)
    if is_main_process():
        save_model(run.checkpoints / FINAL, codec, {"system": "unisrcodec", "fingerprint": fingerprint(codec)})
    return run.checkpoints / FINAL


def end_to_end(mels: Sequence[Tensor], frames: int) -> Tensor:
    """Lay log-mels (T, n_mels) end to end and cut them into rows (N, frames, n_mels), N at most `FIRST_CUTS`.

    They are evenly spread: a recording counts by its length here, where batches of training draw all kinds alike.
    """
    rows = torch.cat(list(mels))
    if len(rows) < frames:
        rows = rows.repeat(-(-frames // len(rows)), 1)
    rows = rows[: len(rows) // frames * frames].view(-1, frames, rows.shape[1])
    return rows[:: -(-len(rows) // FIRST_CUTS)]


def fit_codec(
    cfg: CodecConfig, training: Training, cuts: EpochBatches, folder: Path, dev: Sequence[Tensor], *, shown: bool = True
) -> Codec:
    """Train to the end of the recipe, or go on with what stands in a folder.

    Args:
        cfg: the run's config.
        training: what is trained, begun.
        cuts: batches of log-mels (B, T, n_mels) by epoch.
        folder: for checkpoints and the log.
        dev: log-mels (T, n_mels) on which the averaged weights are watched; without any nobody watches.
        shown: show the progress.

    Returns:
        The codec with averaged weights.
    """
    result = fit(
        training,
        step,
        cuts,
        folder=folder,
        seed=cfg.seed,
        evaluate=partial(dev_metrics, dev) if dev else None,
        monitor="dev_mel_l1",
        meta={"system": "unisrcodec"},
        progress=shown,
        **cfg.train.loop(),
    )
    if is_main_process():
        load_model(result.last, training)
    codec = Codec(cfg.model)
    load_weights(codec, training.averaged(), "the averaged weights")
    return codec


def dev_metrics(mels: Sequence[Tensor], model: nn.Module, step: int) -> dict[str, float]:
    """Measure log-mel L1 on dev, log-mels (T, n_mels), with the averaged weights."""
    assert isinstance(model, Training)
    codec, weights = model.codec, model.averaged()

    def gap(mel: Tensor) -> float:
        return float((functional_call(codec, weights, (mel[None],)).mel[0] - mel).abs().mean())

    return {"dev_mel_l1": sum(gap(mel) * len(mel) for mel in mels) / sum(map(len, mels))}
