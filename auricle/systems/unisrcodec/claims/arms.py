"""Arms of claims: recordings, their mels and for each seed a codec, which all claims share; then what differs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auricle.audio.vocoder_mel import GriffinLimVocoder, MelContract, VocoderMel
from auricle.claims.claim import Budget, Cell, Measured, Part
from auricle.claims.shared import once, prepared
from auricle.core.config import override
from auricle.core.files import digest, read_jsonl
from auricle.core.run import FINAL, RunFolder
from auricle.core.seed import derive
from auricle.metrics.codes import code_use
from auricle.systems.unisrcodec.claims.wave_codec import WaveConfig, WaveTraining, matched, network_size
from auricle.systems.unisrcodec.config import CodecConfig, DataConfig, EvalConfig, ModelConfig, TrainConfig
from auricle.systems.unisrcodec.data import PARTS, Cuts, Recording, load, log_mel, prepare
from auricle.systems.unisrcodec.measures import mel_measures, wave_measures
from auricle.systems.unisrcodec.model import Codec
from auricle.systems.unisrcodec.train import Training, fit_codec, step
from auricle.train.checkpoint import load_model, save_model
from auricle.train.loop import fit
from auricle.train.seed import seed_everything

# every value that decides a number stands here: a preset may change, a rule must not
FULL = CodecConfig(
    model=ModelConfig(channels=(8, 16, 32), blocks=1, groups=4, dim=8, codes=256, linear=True, discriminator=8),
    data=DataConfig(minutes=6.0),
    train=TrainConfig(
        frames=64,
        batch=8,
        max_steps=400,
        eval_every=400,
        save_every=400,
        lr=2e-3,
        warmup_fraction=0.05,
        low=1.5,
        high=1.5,
        adversarial=0.0,
        average=0.99,
        begin="moments",
    ),
    eval=EvalConfig(seconds=20.0, griffin_lim=32),
)
QUICK = CodecConfig(
    model=ModelConfig(channels=(8, 8, 16), blocks=1, groups=4, dim=8, codes=64, linear=True, discriminator=2),
    data=DataConfig(longest_s=1.0, minutes=0.15),
    train=TrainConfig(
        frames=32,
        batch=2,
        max_steps=3,
        eval_every=3,
        save_every=3,
        lr=2e-3,
        warmup_fraction=0.05,
        low=1.5,
        high=1.5,
        adversarial=0.0,
        average=0.9,
        begin="moments",
    ),
    eval=EvalConfig(seconds=1.0, griffin_lim=2),
)
CODES = {"full": {"small": 256, "large": 1024}, "quick": {"small": 64, "large": 256}}
MORE_STEPS = {"full": 200, "quick": 3}  # of claim 3 after the shared ones
WAVE_STRIDES = {"B": (4, 8, 8, 4), "L": (4, 8, 8)}  # 1024 and 256 samples a token: the rates of the variants
WAVE_BATCH = {"full": 4, "quick": 1}  # half the cuts of a mel codec's batch, whose step takes less time
FIRST_BATCHES = 8  # that a codebook begins with
SMALL = (
    "0.13 M parameters, 400 steps of 8 cuts of 0.74 s, 256 codes of width 8, on 9 minutes of the embedded corpus",
    "seeds draw weights and cuts again; recordings stay the same (log-mels: all of test; sound: 20 s of each kind)",
)
HEARD = "waveforms come from Griffin-Lim (32 iterations), which limits every mel side"


@dataclass(frozen=True)
class CodecArm:
    """One training of a mel codec.

    Attributes:
        settings: what differs from the shared config.
        as_drawn: leave the codebook as it was drawn.
        continued: settings of a second training that goes on from the first one's end; None for none.
    """

    settings: tuple[str, ...] = ()
    as_drawn: bool = False
    continued: tuple[str, ...] | None = None

    @property
    def first(self) -> CodecArm:
        """The training that a second one goes on from."""
        return CodecArm(self.settings, self.as_drawn)

    def config(self, cell: Cell) -> CodecConfig:
        """Give the config of the training, of the second one if there is one."""
        return config(cell.budget, cell.seed, *self.settings, *(self.continued or ()))

    def about(self, cell: Cell) -> dict[str, Any]:
        """Give what decides the numbers."""
        about = {"config": self.config(cell), "own_start": self.as_drawn}
        return about if self.continued is None else {**about, "from": self.first.about(cell)}

    def folder(self, cell: Cell) -> Path:
        """Give where the training stands; like arms of two claims stand in one place."""
        return cell.shared / "codecs" / f"{cell.seed}-{named(self.about(cell))}"


BASE = CodecArm()


def config(budget: Budget, seed: int = 0, *settings: str) -> CodecConfig:
    """Give the config of one training at a budget.

    Args:
        budget: quick or full.
        seed: of weights and cuts; the recordings stay the same.
        *settings: what differs.
    """
    return override(FULL if budget == "full" else QUICK, [f"seed={seed}", *settings])


def named(settings: Mapping[str, Any]) -> str:
    """Name settings, configs among them, by their content."""
    return digest(json.loads(json.dumps(settings, default=lambda part: part.model_dump(mode="json"))))


# --- recordings -------------------------------------------------------------------------------------------------------


@cache
def _world(shared: Path, budget: Budget) -> RunFolder:
    preset = "laptop" if budget == "full" else "smoke"
    return prepared(shared / "world", "unisrcodec", preset, config(budget), prepare)


@cache
def _clips(shared: Path, budget: Budget, part: str, listening: bool) -> tuple[Recording, ...]:
    cfg = config(budget)
    return tuple(load(cfg, _world(shared, budget), part, cfg.eval.seconds if listening else None))


@cache
def _mels(shared: Path, budget: Budget, part: str, listening: bool) -> tuple[Tensor, ...]:
    cfg = config(budget)
    clips, front_end = _clips(shared, budget, part, listening), VocoderMel()
    return tuple(log_mel(front_end, clip.wave, cfg.model.step) for clip in clips)


def clips_of(cell: Cell, part: str, listening: bool = False) -> tuple[Recording, ...]:
    """Read the recordings of a split; `listening` gives those of test that become sound again."""
    return _clips(cell.shared, cell.budget, part, listening)


def mels_of(cell: Cell, part: str, listening: bool = False) -> tuple[Tensor, ...]:
    """Give the log-mels (frames, n_mels) of a split, whole columns of either variant."""
    return _mels(cell.shared, cell.budget, part, listening)


def cuts(cfg: CodecConfig, rows: Iterable[Tensor], clips: Iterable[Recording], batch: int) -> Cuts:
    """Give random cuts of rows (frames, width) of the training recordings."""
    return Cuts(list(rows), [clip.kind for clip in clips], cfg.train.frames, batch, derive(cfg.seed, "cuts"))


# --- the mel codec ----------------------------------------------------------------------------------------------------


def trained(cell: Cell, arm: CodecArm) -> Codec:
    """Train the codec of an arm, or load it."""
    cfg, folder = arm.config(cell), arm.folder(cell)
    if not (folder / FINAL).is_dir():
        training = Training(cfg)
        batches = cuts(cfg, mels_of(cell, "train"), clips_of(cell, "train"), cfg.train.batch)
        if arm.continued is not None:
            training.begin_from(trained(cell, arm.first).state_dict())
        elif not arm.as_drawn:
            training.begin_with(torch.cat(list(islice(batches(0), FIRST_BATCHES))))
        save_model(folder / FINAL, fit_codec(cfg, training, batches, folder, (), shown=False), {})
        shutil.rmtree(folder / "checkpoints")
    codec = Codec(cfg.model)
    load_model(folder / FINAL, codec)
    return codec.eval()


def training_facts(folder: Path, model: nn.Module) -> dict[str, Any]:
    """Give parameters outside the codebook, steps and seconds of a training."""
    *_, last = read_jsonl(folder / "metrics.jsonl")
    return {"parameters": network_size(model), "steps": last["step"], "train_s": last["seconds"]}


def mel_metrics(cell: Cell, arm: CodecArm) -> dict[str, Any]:
    """Train and compare log-mels: means over all test recordings of L1, of its halves, and of sharpness."""
    folder = arm.folder(cell)

    def make() -> dict[str, Any]:
        codec, real = trained(cell, arm), mels_of(cell, "test")
        rows = [mel_measures(made, mel) for made, mel in zip(decoded(codec, real), real, strict=True)]
        means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
        return training_facts(folder, codec) | means

    return once(folder / "pictures.json", make)


def wave_metrics(cell: Cell, arm: CodecArm) -> dict[str, Any]:
    """Train, decode the listening recordings and make sound of them by Griffin-Lim; see `distances`."""
    folder = arm.folder(cell)

    def make() -> dict[str, Any]:
        codec = trained(cell, arm)
        made = decoded(codec, mels_of(cell, "test", listening=True))
        return training_facts(folder, codec) | distances(cell, waves_of(cell.budget, made))

    return once(folder / "sounds.json", make)


def ceiling(cell: Cell) -> dict[str, Any]:
    """Measure what needs no training: the listening recordings' own mels through Griffin-Lim, and silence."""

    def make() -> dict[str, Any]:
        silence = distances(cell, [np.zeros(len(clip.wave)) for clip in clips_of(cell, "test", listening=True)])
        limit = distances(cell, waves_of(cell.budget, mels_of(cell, "test", listening=True)))
        return limit | {f"silence_{name}": silence[f"mel_{name}"] for name in ("44", "16")}

    return once(cell.shared / "ceiling.json", make)


@torch.no_grad()
def decoded(codec: Codec, mels: Iterable[Tensor]) -> list[Tensor]:
    """Code and decode log-mels (frames, n_mels)."""
    return [codec(mel[None]).mel[0] for mel in mels]


def waves_of(budget: Budget, mels: Iterable[Tensor]) -> list[np.ndarray]:
    """Give the samples (T,) of log-mels (frames, n_mels)."""
    vocoder = GriffinLimVocoder(iterations=config(budget).eval.griffin_lim)
    return [vocoder(mel[None])[0].numpy() for mel in mels]


def distances(cell: Cell, waves: Iterable[np.ndarray]) -> dict[str, Any]:
    """Compare waves (T,) with the listening recordings: mean multi-scale mel distances, and those of each file."""
    rows = []
    for clip, wave in zip(clips_of(cell, "test", listening=True), waves, strict=True):
        rows.append(wave_measures(wave[: len(clip.wave)].astype(np.float32), clip.wave, MelContract().rate_hz))
    files = {name: [row[f"mel_distance_{name}"] for row in rows] for name in ("44", "16")}
    means = {f"mel_{name}": float(np.mean(values)) for name, values in files.items()}
    return means | {f"files_{name}": values for name, values in files.items()}


@torch.no_grad()
def tokens_of(cell: Cell, arm: CodecArm, part: str) -> list[Tensor]:
    """Give the tokens (T', F') of each recording of a split."""
    codec = trained(cell, arm)
    return [codec.encode(mel[None])[0] for mel in mels_of(cell, part)]


def codebook_usage(cell: Cell, arm: CodecArm) -> dict[str, Any]:
    """Train and count codes: share of those that so many tokens can show, of all recordings and of test alone."""

    def make() -> dict[str, Any]:
        codes = trained(cell, arm).quantizer.n_codes
        flat = {part: torch.cat([tokens.flatten() for tokens in tokens_of(cell, arm, part)]).numpy() for part in PARTS}
        every, test = code_use(np.concatenate(list(flat.values())), codes), code_use(flat["test"], codes)
        return {
            "share": 100 * every.share,
            "perplexity": every.perplexity,
            "tokens": every.tokens,
            "codes": codes,
            "tokens_a_code": every.tokens / codes,
            "share_test": 100 * test.share,
            "tokens_test": test.tokens,
        }

    return once(arm.folder(cell) / "use.json", make)


# --- the waveform codec -----------------------------------------------------------------------------------------------


@cache
def wave_sizes(budget: Budget, variant: str) -> WaveConfig:
    """Give the waveform codec of a rate that has as many parameters as the mel codec of that rate."""
    cfg = config(budget, 0, f"model.variant={variant}")
    return matched(WAVE_STRIDES[variant], cfg.model.codes, cfg.model.dim, network_size(Codec(cfg.model)))


def wave_about(cell: Cell, variant: str) -> dict[str, Any]:
    """Give what decides the numbers of a waveform codec."""
    sizes, batch = wave_sizes(cell.budget, variant), WAVE_BATCH[cell.budget]
    return {"config": config(cell.budget, cell.seed), "wave": sizes, "batch": batch}


def wave_codec_metrics(cell: Cell, variant: str) -> dict[str, Any]:
    """Train a waveform codec at the rate of a variant and decode the listening recordings; see `distances`."""
    folder = cell.shared / "waves" / f"{cell.seed}-{named(wave_about(cell, variant))}"

    def make() -> dict[str, Any]:
        training = fit_wave_codec(cell, variant, folder)
        codec = training.codec.eval()
        waves = [torch.from_numpy(clip.wave) for clip in clips_of(cell, "test", listening=True)]
        with torch.no_grad():
            padded = [nn.functional.pad(wave, (0, -len(wave) % codec.step)) for wave in waves]
            made = [codec(wave[None])[0][0].numpy() for wave in padded]
        return training_facts(folder, codec) | distances(cell, made)

    return once(folder / "sounds.json", make)


def fit_wave_codec(cell: Cell, variant: str, folder: Path) -> WaveTraining:
    """Train the waveform codec of a seed at the rate of a variant."""
    cfg, hop = config(cell.budget, cell.seed), MelContract().hop
    seed_everything(derive(cell.seed, "weights"))
    training = WaveTraining(wave_sizes(cell.budget, variant))
    clips = clips_of(cell, "train")
    rows = [torch.from_numpy(np.pad(clip.wave, (0, -len(clip.wave) % hop))).view(-1, hop) for clip in clips]
    batches = cuts(cfg, rows, clips, WAVE_BATCH[cell.budget])
    training.begin_with(torch.cat(list(islice(batches(0), FIRST_BATCHES))).flatten(1))
    fit(
        training,
        step,
        batches,
        folder=folder,
        seed=cell.seed,
        progress=False,
        **cfg.train.loop(),
    )
    shutil.rmtree(folder / "checkpoints")
    return training


# --- what a verdict reports -------------------------------------------------------------------------------------------


def mean_part(name: str, measured: Measured, arm: str, number: str) -> Part:
    """Report a number of one arm, its mean over seeds; it decides nothing."""
    return Part(name, float(measured.values(arm, number).mean()))
