"""`auricle codec vocoder`: from recordings to a trained vocoder, measured beside Griffin-Lim."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from auricle.audio.distance import MEL_SCALES, mel_distance
from auricle.audio.resample import resample
from auricle.audio.spectral import LogMel
from auricle.audio.vocoder_mel import GriffinLimVocoder, VocoderMel
from auricle.core.config import override, parse
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.report import MetricRow, Report
from auricle.core.run import RunFolder, environment, is_main_process, open_run
from auricle.core.seed import derive
from auricle.metrics.bootstrap import mean_bootstrap
from auricle.systems.unisrcodec import data as recordings
from auricle.systems.unisrcodec.config import CodecConfig
from auricle.systems.unisrcodec.data import Cuts, Recording, log_mel
from auricle.systems.unisrcodec.infer import Coder
from auricle.systems.unisrcodec.infer import load as load_codec
from auricle.systems.unisrcodec.vocoder import FINAL, PRESETS, SYSTEM, Vocoder, VocoderConfig, about, is_run, load
from auricle.train.checkpoint import load_model, save_model
from auricle.train.loop import fit
from auricle.train.seed import seed_everything

NARROW_HZ = 16_000
GRIFFIN_LIM = "griffin_lim"
REAL, DECODED = "", "decoded "  # mels of recordings, and what the codec makes of them
GAIN = "gain_over_griffin_lim"
TOY = "a vocoder trained in minutes on minutes of audio, without a discriminator: one run of one seed"
OWN_YARDSTICK = (
    "training minimises a distance of the same form as mel_distance and Griffin-Lim does not: a gain here is no proof "
    "of a better sound"
)
GAINS = "gain_over_griffin_lim is Griffin-Lim's distance less the vocoder's, its interval over files"

TONES = (
    "tone_kept is the share of a sine's energy that stays within 10 Hz, over twelve sines: the vocoder gives every "
    "frame its phases apart and draws steady tones to multiples of the frame rate, which mel distances hardly see"
)
SINES_HZ = np.geomspace(110, 3520, 12)


class Yardstick(nn.Module):
    """Mean over scales of the L1 between log-mels of two waves, with gradients: the measure that DAC trains with."""

    def __init__(self, rate_hz: int) -> None:
        """Fix the scales, those of `auricle.audio.distance.mel_distance`.

        Args:
            rate_hz: of the waves.
        """
        super().__init__()
        self.scales = nn.ModuleList(
            LogMel(rate_hz, bands, window, window // 4, None, power=1.0, floor=1e-5) for window, bands in MEL_SCALES
        )

    def forward(self, made: Tensor, real: Tensor) -> Tensor:
        """Give the distance of waves (B, T), in natural logarithms."""
        return torch.stack([(mel(made) - mel(real)).abs().mean() for mel in self.scales]).mean()


class Training(nn.Module):
    """The vocoder and its loss."""

    def __init__(self, cfg: VocoderConfig) -> None:
        """Build with the weights that the run's seed gives."""
        super().__init__()
        seed_everything(derive(cfg.seed, "weights"))
        self.vocoder = Vocoder(cfg.model)
        self.yardstick = Yardstick(self.vocoder.contract.rate_hz)

    def forward(self, rows: Tensor) -> dict[str, Tensor]:
        """Give the loss of frames (B, T, n_mels + hop): the log-mel of each frame and the samples of its hop."""
        bands = self.vocoder.contract.n_mels
        return {"loss": self.yardstick(self.vocoder(rows[..., :bands]), rows[..., bands:].flatten(1))}


@dataclass(frozen=True)
class Pair:
    """A mel and the wave that it should become.

    Attributes:
        recording: the original.
        whose: `REAL` or `DECODED`.
        mel: (frames, n_mels).
    """

    recording: Recording
    whose: str
    mel: Tensor

    def rows(self, hop: int) -> Tensor:
        """Give each frame's log-mel and samples, (frames, n_mels + hop)."""
        wave = torch.from_numpy(np.pad(self.recording.wave, (0, len(self.mel) * hop - len(self.recording.wave))))
        return torch.cat([self.mel, wave.view(-1, hop)], dim=1)


@torch.no_grad()
def pairs(cfg: VocoderConfig, run: RunFolder, coder: Coder | None, *parts: str, seconds: float | None) -> list[Pair]:
    """Read recordings of some splits with their mels, and with a codec once more with the mels it decodes."""
    mel, found = VocoderMel(), []
    for clip in recordings.load(_codec_config(cfg), run, *parts, seconds=seconds):
        found.append(Pair(clip, REAL, log_mel(mel, clip.wave, 1 if coder is None else coder.codec.step)))
        if coder is not None:
            found.append(Pair(clip, DECODED, coder.codec(found[-1].mel[None]).mel[0]))
    return found


def _codec_config(cfg: VocoderConfig) -> CodecConfig:
    return CodecConfig(seed=cfg.seed, data=cfg.data)


def resolve(preset: str, codec: str | Path | None, source: str | None, settings: Sequence[str]) -> VocoderConfig:
    """Give the config of a preset; with a codec's run, on the recordings of that run.

    Raises:
        ConfigError: no such preset or setting, or recordings that are not the codec's: what it trained on might be
            what the vocoder is tested on.
        CheckpointError: `codec` is no run of unisrcodec.
    """
    if preset not in PRESETS:
        raise ConfigError(f"there is no preset '{preset}' of the vocoder; presets: {', '.join(PRESETS)}")
    cfg = PRESETS[preset]()
    if codec is not None:
        cfg = override(cfg, [f"codec={codec}"])
    if source is not None:
        settings = [f"data.source={source}", *settings]
    given = override(cfg, settings)
    if given.codec is None:
        return given
    saved = RunFolder(Path(given.codec)).saved_config()
    if saved["system"] != "unisrcodec":
        raise CheckpointError(f"--codec {given.codec} is a run of '{saved['system']}', not of 'unisrcodec'")
    theirs = parse(CodecConfig, saved["config"]).data
    wanted = override(given.model_copy(update={"data": theirs}), settings)
    if wanted.data != theirs:
        raise ConfigError(
            f"with --codec the recordings are those of {given.codec}; leave out --data and data.* settings"
        )
    return wanted


def run_all(
    folder: str | Path,
    preset: str | None = None,
    codec: str | Path | None = None,
    source: str | None = None,
    settings: Sequence[str] = (),
    overwrite: bool = False,
) -> Report:
    """Prepare, train and measure; what is finished is not done again, and a killed training goes on.

    Args:
        folder: the run folder. Without any other argument, its own config holds.
        preset: ``laptop`` (the default) or ``smoke``.
        codec: run folder of a codec whose decoded mels are to be learned too.
        source: a corpus, ``embedded`` or ``rec``.
        settings: ``key=value`` assignments.
        overwrite: replace a run of another config.

    Raises:
        ConfigError: see `resolve` and `auricle.core.run.open_run`.
        CheckpointError: see `resolve`.
        DataError: too few recordings.
    """
    run = RunFolder(Path(folder))
    if (preset, codec, source) == (None, None, None) and not settings and not overwrite and is_run(folder):
        saved = run.saved_config()
        cfg, preset = parse(VocoderConfig, saved["config"]), str(saved["preset"])
    else:
        preset = preset or "laptop"
        cfg = resolve(preset, codec, source, settings)
    run = open_run(folder, SYSTEM, preset, cfg, overwrite=overwrite)
    if not run.done("prepare"):
        run.mark("prepare", **recordings.prepare(_codec_config(cfg), run))
    coder = None if cfg.codec is None else load_codec(cfg.codec)
    if not run.done("train"):
        started = time.monotonic()
        train(cfg, run, coder)
        run.mark("train", seconds=round(time.monotonic() - started, 1))
    if run.done("evaluate"):
        return Report.load(run.path / "report.json")
    report = evaluate(cfg, run, preset, coder)
    run.mark("evaluate")
    return report


def train(cfg: VocoderConfig, run: RunFolder, coder: Coder | None = None) -> Path:
    """Train the vocoder of a run.

    Args:
        cfg: the run's config.
        run: a run folder with prepared recordings.
        coder: the codec whose decoded mels are learned too.

    Returns:
        The folder of the final checkpoint: the weights that were best on dev.

    Raises:
        DataError: nothing was prepared, or recordings cannot be read.
    """
    training = Training(cfg)
    contract, recipe = training.vocoder.contract, cfg.train
    clips = pairs(cfg, run, coder, "train", seconds=None)
    dev = pairs(cfg, run, coder, "dev", seconds=recipe.dev_seconds)
    rows = [pair.rows(contract.hop) for pair in clips]
    kinds = [pair.whose + pair.recording.kind for pair in clips]
    result = fit(
        training,
        step,
        Cuts(rows, kinds, recipe.frames, recipe.batch, derive(cfg.seed, "cuts")),
        folder=run.path,
        max_steps=recipe.max_steps,
        lr=recipe.lr,
        seed=cfg.seed,
        betas=recipe.betas,
        weight_decay=recipe.weight_decay,
        warmup_fraction=recipe.warmup_fraction,
        final_lr_fraction=0.01,
        evaluate=dev_metrics(dev),
        eval_every=recipe.eval_every,
        monitor="dev_mel_distance",
        save_every=recipe.save_every,
        meta=about(contract),
    )
    if is_main_process():
        load_model(result.best[0].path, training)
        save_model(run.checkpoints / FINAL, training.vocoder, about(contract))
    return run.checkpoints / FINAL


def step(model: nn.Module, rows: Tensor) -> Mapping[str, Tensor]:
    """Give the loss of one batch (B, T, n_mels + hop)."""
    losses: Mapping[str, Tensor] = model(rows)
    return losses


def dev_metrics(dev: Sequence[Pair]) -> Callable[[nn.Module, int], dict[str, float]]:
    """Make the function that measures the mean mel distance of dev recordings at 44.1 kHz."""

    def evaluate(model: nn.Module, step: int) -> dict[str, float]:
        assert isinstance(model, Training)
        rate = model.vocoder.contract.rate_hz
        gaps = [mel_distance(sound(model.vocoder, pair), pair.recording.wave, rate) for pair in dev]
        return {"dev_mel_distance": float(np.mean(gaps))}

    return evaluate


@torch.no_grad()
def sound(vocoder: nn.Module, pair: Pair) -> np.ndarray:
    """Give the samples (T,) that a vocoder makes of a mel, as many as the recording has."""
    wave: np.ndarray = vocoder(pair.mel[None])[0].numpy()
    return wave[: len(pair.recording.wave)].astype(np.float32)


@dataclass(frozen=True)
class Heard:
    """What the vocoders made of one mel, by whose (None: the trained one): distances by rate, and seconds taken."""

    pair: Pair
    distances: dict[str | None, dict[str, float]]
    seconds: dict[str | None, float]


def evaluate(cfg: VocoderConfig, run: RunFolder, preset: str, coder: Coder | None = None) -> Report:
    """Measure a trained vocoder beside Griffin-Lim on recordings of sources that it never heard.

    Args:
        cfg: the run's config.
        run: a trained run.
        preset: its name.
        coder: the codec whose decoded mels are measured too.

    Returns:
        The report, also written as ``report.json``: mel distances by kind and over all, gains, speeds.
    """
    vocoder, contract = load(run.path)
    both: dict[str | None, nn.Module] = {None: vocoder, GRIFFIN_LIM: GriffinLimVocoder(contract, cfg.eval.griffin_lim)}
    given = pairs(cfg, run, coder, "test", seconds=cfg.eval.seconds)
    hear(both, given[0])  # the first call of each is slow and not to be timed
    heard = [hear(both, pair) for pair in given]
    rows = {name: list(group_rows(cfg, name, part)) for name, part in groups(heard)}
    report = Report(
        system=SYSTEM,
        preset=preset,
        data=cfg.data.source,
        toy=True,
        seeds=[cfg.seed],
        environment=environment(),
        metrics=[*(row for part in rows.values() for row in part), *tone_rows(cfg, both)],
        warnings=[TOY, OWN_YARDSTICK, GAINS, TONES],
        extra={
            "griffin_lim": cfg.eval.griffin_lim,
            "weights": sum(one.numel() for one in vocoder.parameters()),
            "details": [name for name in rows if not name.endswith("all")],
        },
    )
    report.save(run.path / "report.json")
    return report


def hear(vocoders: Mapping[str | None, nn.Module], pair: Pair) -> Heard:
    """Make sound of one mel with each vocoder, and measure."""
    rate, real = VocoderMel().contract.rate_hz, pair.recording.wave
    small_real = resample(real, rate, NARROW_HZ)
    distances, seconds = {}, {}
    for whose, vocoder in vocoders.items():
        started = time.perf_counter()
        made = sound(vocoder, pair)
        seconds[whose] = time.perf_counter() - started
        small = resample(made, rate, NARROW_HZ)
        distances[whose] = {
            "mel_distance_44": mel_distance(made, real, rate),
            "mel_distance_16": mel_distance(small, small_real, NARROW_HZ),
        }
    return Heard(pair, distances, seconds)


@torch.no_grad()
def tone_kept(vocoder: nn.Module, tone_hz: float) -> float:
    """Give the percentage of the energy of what a vocoder makes of a sine that lies within 10 Hz of it."""
    mel = VocoderMel()
    rate, hop = mel.contract.rate_hz, mel.hop
    wave = 0.2 * torch.sin(2 * torch.pi * tone_hz * torch.arange(160 * hop) / rate)
    made = vocoder(mel(wave[None]))[0, 32 * hop : 128 * hop]  # away from the ends
    power = torch.fft.rfft(made * torch.hann_window(len(made))).abs().square()
    near = (torch.arange(len(power)) * rate / len(made) - tone_hz).abs() <= 10
    return 100 * float(power[near].sum() / power.sum())


def tone_rows(cfg: VocoderConfig, vocoders: Mapping[str | None, nn.Module]) -> Iterator[MetricRow]:
    """Give `tone_kept` of each vocoder over `SINES_HZ`."""
    for whose, vocoder in vocoders.items():
        kept = [tone_kept(vocoder, float(tone)) for tone in SINES_HZ]
        yield MetricRow(
            name="tone_kept", value=float(np.mean(kept)), unit="%", n=len(kept), baseline=whose, data=cfg.data.source
        )


def groups(heard: Sequence[Heard]) -> Iterator[tuple[str, list[Heard]]]:
    """Give the kinds and all, of real mels and of decoded ones."""
    for whose in dict.fromkeys(one.pair.whose for one in heard):
        own = [one for one in heard if one.pair.whose == whose]
        for kind in dict.fromkeys(one.pair.recording.kind for one in own):
            yield whose + kind, [one for one in own if one.pair.recording.kind == kind]
        yield f"{whose}all", own


def group_rows(cfg: VocoderConfig, group: str, heard: Sequence[Heard]) -> Iterator[MetricRow]:
    """Give distances, the gain over Griffin-Lim file by file, and speeds of one group."""
    common: dict[str, Any] = {"group": group, "data": cfg.data.source, "n": len(heard)}

    def row(name: str, values: Sequence[float], whose: str | None = None) -> MetricRow:
        bounds = mean_bootstrap(values, cfg.eval.bootstrap, seed=cfg.seed)
        return MetricRow(name=name, value=float(np.mean(values)), ci95=bounds, baseline=whose, **common)

    for name in heard[0].distances[None]:
        for whose in heard[0].distances:
            yield row(name, [one.distances[whose][name] for one in heard], whose)
        gains = [one.distances[GRIFFIN_LIM][name] - one.distances[None][name] for one in heard]
        yield row(f"{GAIN}_{name.removeprefix('mel_distance_')}", gains)
    audio_s = sum(len(one.pair.recording.wave) for one in heard) / VocoderMel().contract.rate_hz
    for whose in heard[0].seconds:
        speed = audio_s / sum(one.seconds[whose] for one in heard)
        yield MetricRow(name="speed", value=speed, unit="x real time", baseline=whose, **common)
