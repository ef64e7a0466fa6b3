"""`train`: reconstruction, codebook, and if wanted the discriminator; the running mean of the weights is kept."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from auricle.core.run import FINAL, RunFolder, is_main_process
from auricle.core.seed import derive
from auricle.nn.image import begin_with_components
from auricle.systems.unisrcodec.config import CodecConfig, TrainConfig
from auricle.systems.unisrcodec.data import Cuts, load, log_mel
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

FIRST = 1024  # cuts, at most, whose latents the codebook begins with


class Training(nn.Module):
    """What is trained: codec, discriminator, and the running mean of the codec's weights as buffers."""

    updates: Tensor

    def __init__(self, cfg: CodecConfig) -> None:
        """Build all three.

        Args:
            cfg: model and recipe.
        """
        super().__init__()
        self.recipe: TrainConfig = cfg.train
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
        if self.recipe.begin == "components":
            begin_with_components(self.codec.encoder, self.codec.decoder, picture(mel))
        latents = self.codec.latents(mel).reshape(-1, self.codec.quantizer.dim)
        self.codec.quantizer.begin_with(latents, centres=self.recipe.begin == "components")
        self.begin_from(self.codec.state_dict())

    @torch.no_grad()
    def begin_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take the codec's weights from a state, and begin the running mean there."""
        self.codec.load_state_dict(weights)
        for name, tensor in weights.items():
            getattr(self.mean, _flat(name)).copy_(tensor)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the mean towards the weights; quickly at first, when they are far from where they will be."""
        done = int(self.updates)
        decay = min(self.recipe.average, (1 + done) / (10 + done))
        for name, tensor in self.codec.state_dict().items():
            kept = getattr(self.mean, _flat(name))
            if tensor.is_floating_point():
                kept.lerp_(tensor, 1 - decay)
            else:
                kept.copy_(tensor)
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
            losses |= self._adversarial(out.mel, mel)
            on = float(int(self.updates) > recipe.adversarial_after)
            total = total + on * (recipe.adversarial * losses["fool"] + recipe.feature * losses["feature"])
            total = total + losses["discriminator"]
        return {"loss": total, **losses}

    def _adversarial(self, made: Tensor, real: Tensor) -> dict[str, Tensor]:
        judge = self.discriminator
        assert judge is not None
        judge.requires_grad_(False)
        fooled, made_features = judge(made)
        with torch.no_grad():
            _, real_features = judge(real)
        judge.requires_grad_(True)
        good, bad = judge(real)[0], judge(made.detach())[0]
        return {
            "fool": (1 - fooled).square().mean(),
            "feature": feature_matching(made_features, real_features),
            "discriminator": (1 - good).square().mean() + bad.square().mean(),
        }


def _flat(name: str) -> str:
    return name.replace(".", "__")


def step(model: nn.Module, batch: Tensor) -> Mapping[str, Tensor]:
    """Give the losses of one batch (B, T, n_mels)."""
    losses: Mapping[str, Tensor] = model(batch)
    return losses


def new_training(cfg: CodecConfig) -> Training:
    """Build with the weights that the run's seed gives."""
    seed_everything(derive(cfg.seed, "weights"))
    return Training(cfg)


def train(cfg: CodecConfig, run: RunFolder) -> Path:
    """Train the codec of a run.

    Args:
        cfg: the run's config.
        run: a run folder with prepared recordings.

    Returns:
        The folder of the final checkpoint: the codec with averaged weights.

    Raises:
        DataError: nothing was prepared, recordings cannot be read, or a peer of the evaluation is not there.
    """
    if cfg.eval.peers:  # what evaluation will need is looked for before hours of training, not after
        load_peers(cfg.eval.peers, [clip.name for clip in load(cfg, run, "test", seconds=cfg.eval.seconds)])
    training = new_training(cfg)
    clips = load(cfg, run, "train")
    mels = [log_mel(training.codec.mel, clip.wave, cfg.model.step) for clip in clips]
    kinds = [clip.kind for clip in clips]
    dev = [log_mel(training.codec.mel, clip.wave, cfg.model.step) for clip in load(cfg, run, "dev")]
    recipe = cfg.train
    cuts = Cuts(mels, kinds, recipe.frames, recipe.batch, derive(cfg.seed, "cuts"))
    training.begin_with(end_to_end(mels, recipe.frames))
    codec = fit_codec(cfg, training, cuts, run.path, dev)
    if is_main_process():
        save_model(run.checkpoints / FINAL, codec, {"system": "unisrcodec", "fingerprint": fingerprint(codec)})
    return run.checkpoints / FINAL


def end_to_end(mels: Sequence[Tensor], frames: int) -> Tensor:
    """Lay log-mels (T, n_mels) end to end and cut them into rows (N, frames, n_mels), `FIRST` at most, evenly spread.

    Every recording counts by its length here; in training batches the kinds are drawn alike often.
    """
    rows = torch.cat(list(mels))
    if len(rows) < frames:
        rows = rows.repeat(-(-frames // len(rows)), 1)
    rows = rows[: len(rows) // frames * frames].view(-1, frames, rows.shape[1])
    return rows[:: -(-len(rows) // FIRST)]


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
    recipe = cfg.train
    result = fit(
        training,
        step,
        cuts,
        folder=folder,
        max_steps=recipe.max_steps,
        lr=recipe.lr,
        seed=cfg.seed,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        warmup_fraction=recipe.warmup_fraction,
        final_lr_fraction=0.01,
        evaluate=dev_metrics(dev) if dev else None,
        eval_every=recipe.eval_every,
        monitor="dev_mel_l1",
        save_every=recipe.save_every,
        meta={"system": "unisrcodec"},
        progress=shown,
    )
    if is_main_process():
        load_model(result.last, training)
    codec = Codec(cfg.model)
    load_weights(codec, training.averaged(), "the averaged weights")
    return codec


def dev_metrics(mels: Sequence[Tensor]) -> Callable[[nn.Module, int], dict[str, float]]:
    """Make the function that measures log-mel L1 on dev with the averaged weights."""

    def evaluate(model: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(model, Training)
        gaps, frames = 0.0, 0
        for mel in mels:
            made = functional_call(model.codec, model.averaged(), (mel[None],)).mel[0]
            gaps += float((made - mel).abs().mean()) * len(mel)
            frames += len(mel)
        return {"dev_mel_l1": gaps / frames}

    return evaluate
