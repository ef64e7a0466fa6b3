"""Arms of claims: recordings, their mels and for each seed a codec, which all claims share; then what differs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auricle.audio.vocoder_mel import GriffinLimVocoder
from auricle.claims import statistics as stats
from auricle.claims.claim import Budget, Measured
from auricle.core.config import override
from auricle.core.files import digest, read_json, read_jsonl, write_json
from auricle.core.run import RunFolder, open_run
from auricle.core.seed import derive
from auricle.metrics.codes import code_use
from auricle.systems.unisrcodec import data as recordings
from auricle.systems.unisrcodec.config import CodecConfig, DataConfig, EvalConfig, ModelConfig, TrainConfig
from auricle.systems.unisrcodec.data import PIECES, Cuts, Recording, log_mel
from auricle.systems.unisrcodec.evaluate import picture_measures, wave_measures
from auricle.systems.unisrcodec.model import Codec
from auricle.systems.unisrcodec.train import fit_codec, new_training, step
from auricle.systems.unisrcodec.wave_codec import WaveConfig, WaveTraining, matched, size
from auricle.train.checkpoint import load_model, save_model
from auricle.train.loop import fit
from auricle.train.seed import seed_everything

# every value that decides a number stands here: a preset may change, a rule must not
FULL = CodecConfig(
    model=ModelConfig(channels=(8, 16, 32), blocks=1, groups=4, dim=8, codes=256, linear=True, discriminator=8),
    data=DataConfig(minutes=6.0),
    train=TrainConfig(
        frames=64, batch=8, max_steps=400, eval_every=400, save_every=400, lr=2e-3, warmup_fraction=0.05, low=1.5,
        high=1.5, adversarial=0.0, average=0.99, begin="moments",
    ),
    eval=EvalConfig(seconds=20.0, griffin_lim=32),
)  # fmt: skip
QUICK = CodecConfig(
    model=ModelConfig(channels=(8, 8, 16), blocks=1, groups=4, dim=8, codes=64, linear=True, discriminator=2),
    data=DataConfig(longest_s=1.0, minutes=0.15),
    train=TrainConfig(
        frames=32, batch=2, max_steps=3, eval_every=3, save_every=3, lr=2e-3, warmup_fraction=0.05, low=1.5, high=1.5,
        adversarial=0.0, average=0.9, begin="moments",
    ),
    eval=EvalConfig(seconds=1.0, griffin_lim=2),
)  # fmt: skip
CODES = {"full": {"small": 256, "large": 1024}, "quick": {"small": 64, "large": 256}}
MORE = {"full": 200, "quick": 3}  # steps of claim 3 after the shared ones
WAVE_STRIDES = {"B": (4, 8, 8, 4), "L": (4, 8, 8)}  # 1024 and 256 samples a token: the rates of the variants
WAVE_BATCH = {"full": 4, "quick": 1}  # half the cuts of a mel codec's batch, whose step takes less time
FIRST = 8  # batches that a codebook begins with


@dataclass(frozen=True)
class Arm:
    """One training of a mel codec.

    Attributes:
        settings: what differs from the shared config.
        own_start: leave the codebook as it was drawn.
        more: settings of a second training that goes on from the first one's end; None for none.
    """

    settings: tuple[str, ...] = ()
    own_start: bool = False
    more: tuple[str, ...] | None = None

    def config(self, budget: Budget, seed: int) -> CodecConfig:
        """Give the config of the training, of the second one if there is one."""
        return config(budget, seed, *self.settings, *(self.more or ()))

    def about(self, budget: Budget, seed: int) -> dict[str, Any]:
        """Give what decides the numbers, as plain JSON."""
        about = {"config": self.config(budget, seed).model_dump(mode="json"), "own_start": self.own_start}
        return about if self.more is None else about | {"from": Arm(self.settings, self.own_start).about(budget, seed)}

    def folder(self, shared: Path, budget: Budget, seed: int) -> Path:
        """Give where the training stands; like arms of two claims stand in one place."""
        return shared / "codecs" / f"{seed}-{digest(self.about(budget, seed))}"


def config(budget: Budget, seed: int = 0, *settings: str) -> CodecConfig:
    """Give the config of one training at a budget.

    Args:
        budget: quick or full.
        seed: of weights and cuts; the recordings stay the same.
        *settings: what differs.
    """
    return override(FULL if budget == "full" else QUICK, [f"seed={seed}", *settings])


@cache
def world(shared: Path, budget: Budget) -> RunFolder:
    """Prepare the shared recordings once."""
    cfg = config(budget)
    run = open_run(shared / "world", "unisrcodec", "laptop" if budget == "full" else "smoke", cfg)
    if not run.done("prepare"):
        run.mark("prepare", **recordings.prepare(cfg, run))
    return run


@cache
def clips(shared: Path, budget: Budget, part: str, heard: bool = False) -> tuple[Recording, ...]:
    """Read the recordings of a split; `heard` gives those of test that become sound again."""
    cfg = config(budget)
    return tuple(recordings.load(cfg, world(shared, budget), part, seconds=cfg.eval.seconds if heard else None))


@cache
def mels(shared: Path, budget: Budget, part: str, heard: bool = False) -> tuple[Tensor, ...]:
    """Give the log-mels (frames, n_mels) of a split, whole columns of either variant."""
    cfg = config(budget)
    front = Codec(cfg.model).mel
    return tuple(log_mel(front, clip.wave, cfg.model.step) for clip in clips(shared, budget, part, heard))


def once(path: Path, make: Callable[[], Mapping[str, Any]]) -> dict[str, Any]:
    """Give the numbers of a file, made now if it is not there."""
    if not path.exists():
        write_json(path, dict(make()))
    return dict(read_json(path))


def cuts(cfg: CodecConfig, rows: Iterable[Tensor], kinds: Iterable[str], batch: int) -> Cuts:
    """Give random cuts of rows (frames, width) of the training recordings."""
    return Cuts(list(rows), list(kinds), cfg.train.frames, batch, derive(cfg.seed, "cuts"))


def trained(shared: Path, budget: Budget, seed: int, arm: Arm) -> Codec:
    """Train the codec of an arm, or load it."""
    cfg, folder = arm.config(budget, seed), arm.folder(shared, budget, seed)
    if not (folder / "final").is_dir():
        training = new_training(cfg)
        kinds = [clip.kind for clip in clips(shared, budget, "train")]
        batches = cuts(cfg, mels(shared, budget, "train"), kinds, cfg.train.batch)
        if arm.more is not None:
            training.begin_from(trained(shared, budget, seed, Arm(arm.settings, arm.own_start)).state_dict())
        elif not arm.own_start:
            training.begin_with(torch.cat(list(islice(batches(0), FIRST))))
        save_model(folder / "final", fit_codec(cfg, training, batches, folder, (), shown=False), {})
        shutil.rmtree(folder / "checkpoints")
    codec = Codec(cfg.model)
    load_model(folder / "final", codec)
    return codec.eval()


def of_training(folder: Path, model: nn.Module) -> dict[str, Any]:
    """Give parameters outside the codebook, steps and seconds of a training."""
    *_, last = read_jsonl(folder / "metrics.jsonl")
    return {"parameters": size(model), "steps": last["step"], "train_s": last["seconds"]}


def pictured(shared: Path, budget: Budget, seed: int, arm: Arm) -> dict[str, Any]:
    """Train and compare log-mels: means over all test recordings of L1, of its halves, and of sharpness."""
    folder = arm.folder(shared, budget, seed)

    def make() -> dict[str, Any]:
        codec, real = trained(shared, budget, seed, arm), mels(shared, budget, "test")
        rows = [picture_measures(one, mel) for one, mel in zip(decoded(codec, real), real, strict=True)]
        return of_training(folder, codec) | {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}

    return once(folder / "pictures.json", make)


def listened(shared: Path, budget: Budget, seed: int, arm: Arm) -> dict[str, Any]:
    """Train, decode the listening recordings and make sound of them by Griffin-Lim; see `distances`."""
    folder = arm.folder(shared, budget, seed)

    def make() -> dict[str, Any]:
        codec = trained(shared, budget, seed, arm)
        made = decoded(codec, mels(shared, budget, "test", heard=True))
        return of_training(folder, codec) | distances(shared, budget, sound(budget, made))

    return once(folder / "sounds.json", make)


def ceiling(shared: Path, budget: Budget) -> dict[str, Any]:
    """Measure what needs no training: the listening recordings' own mels through Griffin-Lim, and silence."""

    def make() -> dict[str, Any]:
        silence = [np.zeros(len(clip.wave)) for clip in clips(shared, budget, "test", heard=True)]
        nothing = distances(shared, budget, silence)
        own = distances(shared, budget, sound(budget, mels(shared, budget, "test", heard=True)))
        return own | {f"silence_{name}": nothing[f"mel_{name}"] for name in ("44", "16")}

    return once(shared / "ceiling.json", make)


@torch.no_grad()
def decoded(codec: Codec, given: Iterable[Tensor]) -> list[Tensor]:
    """Code and decode log-mels (frames, n_mels)."""
    return [codec(mel[None]).mel[0] for mel in given]


def sound(budget: Budget, made: Iterable[Tensor]) -> list[np.ndarray]:
    """Give the samples (T,) of log-mels (frames, n_mels)."""
    vocoder = GriffinLimVocoder(iterations=config(budget).eval.griffin_lim)
    return [vocoder(mel[None])[0].numpy() for mel in made]


def distances(shared: Path, budget: Budget, waves: Iterable[np.ndarray]) -> dict[str, Any]:
    """Compare waves (T,) with the listening recordings: mean multi-scale mel distances, and those of each file."""
    rows = []
    for clip, wave in zip(clips(shared, budget, "test", heard=True), waves, strict=True):
        rows.append(wave_measures(wave[: len(clip.wave)].astype(np.float32), clip.wave, 44_100))
    files = {name: [row[f"mel_distance_{name}"] for row in rows] for name in ("44", "16")}
    means = {f"mel_{name}": float(np.mean(values)) for name, values in files.items()}
    return means | {f"files_{name}": values for name, values in files.items()}


@torch.no_grad()
def tokens(shared: Path, budget: Budget, seed: int, arm: Arm, part: str) -> list[Tensor]:
    """Give the tokens (T', F') of each recording of a split."""
    codec = trained(shared, budget, seed, arm)
    return [codec.encode(mel[None])[0] for mel in mels(shared, budget, part)]


def used(shared: Path, budget: Budget, seed: int, arm: Arm) -> dict[str, Any]:
    """Train and count codes: share of those that so many tokens can show, of all recordings and of test alone."""

    def make() -> dict[str, Any]:
        codes = trained(shared, budget, seed, arm).quantizer.n_codes
        own = {part: tokens(shared, budget, seed, arm, part) for part in PIECES}
        flat = {part: torch.cat([one.flatten() for one in files]).numpy() for part, files in own.items()}
        every, test = code_use(np.concatenate(list(flat.values())), codes), code_use(flat["test"], codes)
        return {
            "share": 100 * every.share, "perplexity": every.perplexity, "tokens": every.tokens, "codes": codes,
            "tokens_a_code": every.tokens / codes, "share_test": 100 * test.share, "tokens_test": test.tokens,
        }  # fmt: skip

    return once(arm.folder(shared, budget, seed) / "use.json", make)


@cache
def wave_sizes(budget: Budget, variant: str) -> WaveConfig:
    """Give the waveform codec of a rate that has as many parameters as the mel codec of that rate."""
    cfg = config(budget, 0, f"model.variant={variant}")
    return matched(WAVE_STRIDES[variant], cfg.model.codes, cfg.model.dim, size(Codec(cfg.model)))


def wave_about(budget: Budget, seed: int, variant: str) -> dict[str, Any]:
    """Give what decides the numbers of a waveform codec, as plain JSON."""
    own = {"wave": wave_sizes(budget, variant).model_dump(mode="json"), "batch": WAVE_BATCH[budget]}
    return {"config": config(budget, seed).model_dump(mode="json"), **own}


def wave_listened(shared: Path, budget: Budget, seed: int, variant: str) -> dict[str, Any]:
    """Train a waveform codec at the rate of a variant and decode the listening recordings; see `distances`."""
    cfg, sizes = config(budget, seed), wave_sizes(budget, variant)
    folder = shared / "waves" / f"{seed}-{digest(wave_about(budget, seed, variant))}"

    @torch.no_grad()
    def rebuilt(training: WaveTraining) -> list[np.ndarray]:
        codec = training.codec.eval()
        given = [torch.from_numpy(clip.wave) for clip in clips(shared, budget, "test", heard=True)]
        return [codec(nn.functional.pad(wave, (0, -len(wave) % sizes.step))[None])[0][0].numpy() for wave in given]

    def make() -> dict[str, Any]:
        seed_everything(derive(seed, "weights"))
        training, recipe = WaveTraining(sizes), cfg.train
        train = clips(shared, budget, "train")
        rows = [torch.from_numpy(np.pad(clip.wave, (0, -len(clip.wave) % 512))).view(-1, 512) for clip in train]
        batches = cuts(cfg, rows, [clip.kind for clip in train], WAVE_BATCH[budget])
        training.begin_with(torch.cat(list(islice(batches(0), FIRST))).flatten(1))
        fit(
            training, step, batches, folder=folder, max_steps=recipe.max_steps, lr=recipe.lr, seed=seed,
            betas=recipe.betas, weight_decay=recipe.weight_decay, warmup_fraction=recipe.warmup_fraction,
            final_lr_fraction=0.01, save_every=recipe.save_every, progress=False,
        )  # fmt: skip
        numbers = of_training(folder, training.codec) | distances(shared, budget, rebuilt(training))
        shutil.rmtree(folder / "checkpoints")
        return numbers

    return once(folder / "sounds.json", make)


def difference(measured: Measured, name: str, one: str, other: str) -> stats.Estimate:
    """Give a number of one arm less that of another, paired over seeds."""
    return stats.paired_t(measured.values(one, name), measured.values(other, name))
