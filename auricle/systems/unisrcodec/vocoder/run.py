"""`auricle codec vocoder`: from recordings to a trained vocoder and its report."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import torch

from auricle.core.config import override, parse
from auricle.core.errors import AuricleError, CheckpointError, ConfigError
from auricle.core.report import Report
from auricle.core.run import RunFolder
from auricle.report.evaluation import publish
from auricle.systems.contents import contents, refuse_changed, refuse_changed_audio
from auricle.systems.pipeline import begin, take_back, tell, writing
from auricle.systems.unisrcodec.config import CodecConfig
from auricle.systems.unisrcodec.data import prepare
from auricle.systems.unisrcodec.infer import load as load_codec
from auricle.systems.unisrcodec.vocoder import SPEC
from auricle.systems.unisrcodec.vocoder.config import PRESETS, VocoderConfig
from auricle.systems.unisrcodec.vocoder.evaluate import evaluate
from auricle.systems.unisrcodec.vocoder.load import is_run
from auricle.systems.unisrcodec.vocoder.network import Vocoder
from auricle.systems.unisrcodec.vocoder.train import train


def resolve(preset: str, codec: str | Path | None, source: str | None, settings: Sequence[str]) -> VocoderConfig:
    """Give the config of a preset; with a codec's run, on the recordings of that run.

    Raises:
        ConfigError: no such preset or setting, or recordings that are not the codec's: what it trained on might be
            what the vocoder is tested on.
        CheckpointError: `codec` is no run of unisrcodec.
    """
    if preset not in PRESETS:
        raise ConfigError(f"there is no preset '{preset}' of the vocoder; presets: {', '.join(PRESETS)}")
    chosen = [] if codec is None else [f"codec={codec}"]
    settings = settings if source is None else [f"data.source={source}", *settings]
    cfg = override(PRESETS[preset](), [*chosen, *settings])
    if cfg.codec is None:
        return cfg
    saved = RunFolder(Path(cfg.codec)).saved_config()
    if saved["system"] != "unisrcodec":
        raise CheckpointError(f"--codec {cfg.codec} is a run of '{saved['system']}', not of 'unisrcodec'")
    data = parse(CodecConfig, saved["config"]).data
    on_its_data = parse(VocoderConfig, {**cfg.model_dump(mode="json"), "data": data.model_dump(mode="json")})
    if override(on_its_data, settings).data != data:
        raise ConfigError(f"with --codec the recordings are those of {cfg.codec}; leave out --data and data.* settings")
    return on_its_data


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
        DataError: too few recordings, or another process writes the folder.
    """
    if (preset, codec, source) == (None, None, None) and not settings and not overwrite and is_run(folder):
        saved = RunFolder(Path(folder)).saved_config()
        cfg, preset = parse(VocoderConfig, saved["config"]), str(saved["preset"])
    else:
        preset = preset or "laptop"
        cfg = resolve(preset, codec, source, settings)
    run = begin(Path(folder), SPEC.name, preset, cfg, overwrite)
    with writing(run):
        return _stages(run, preset, cfg)


def _stages(run: RunFolder, preset: str, cfg: VocoderConfig) -> Report:
    """Do each stage that is not complete."""
    again = f"auricle codec vocoder --run {run.path}"
    refuse_changed(run, cfg, again)
    if run.done("evaluate"):
        refuse_changed_audio(run, again)
        tell(f"nothing to do: this run is complete ({run.path})")
        return Report.load(run.path / "report.json")
    try:
        coder = None if cfg.codec is None else load_codec(cfg.codec)
        with torch.device("meta"):
            Vocoder(cfg.model)  # refuses sizes that cannot be, before anything is prepared
        if not run.done("prepare"):
            found = contents(cfg)
            run.mark("prepare", **prepare(cfg.of_codec, run), contents=found)
    except AuricleError as error:
        take_back(run, error)
        raise
    if not run.done("train"):
        started = time.monotonic()
        train(cfg, run, coder)
        run.mark("train", seconds=round(time.monotonic() - started, 1))
    report = publish(evaluate(cfg, run, coder), run, cfg, SPEC, preset, seed=cfg.seed)
    run.mark("evaluate")
    return report
