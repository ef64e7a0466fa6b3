"""A folder of recordings through the laptop detector, beside the loop a user would write around the same network.

python benchmarks/scoring.py [--quick] [--json]

The detector has the laptop preset's sizes and random weights: weights do not change the time. The files are recordings
of the embedded corpus. Auricle's side is the whole of `auricle infer` on a loaded detector: it judges each file, checks
its domain, and scores half seconds. The peer reads a file with soundfile, resamples it, cuts the same windows, and runs
them through the network in one forward pass a file, with torch's own threads; it gives a score and nothing else.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from contract import Case, run

from auricle.audio.files import read_mono
from auricle.core.run import open_run
from auricle.data import embedded
from auricle.metrics.calibration import calibrate
from auricle.systems.mambo.clips import windows
from auricle.systems.mambo.config import laptop
from auricle.systems.mambo.domain import describe, fit_domain
from auricle.systems.mambo.infer import Detector, infer, load
from auricle.systems.mambo.train import new_network
from auricle.train.checkpoint import save_model


def detector(folder: Path) -> Detector:
    """Save a random build of the laptop preset as a run, and load it as any run."""
    cfg = laptop()
    run = open_run(folder, "mambo", "laptop", cfg)
    rate_hz, band_hz = cfg.data.rate_hz, cfg.data.band_hz
    speech, sound = (
        [describe(read_mono(clip.file(), rate_hz)[0], rate_hz, band_hz) for clip in embedded.clips(kind=kind)[::50]]
        for kind in ("speech", "sound")
    )
    draws = np.random.default_rng(0)
    labels = np.arange(60) % 2 == 0
    calibration = calibrate(draws.normal(0, 1, 60) + labels, labels)
    meta = {"calibration": calibration.to_dict(), "domain": fit_domain(speech[::2], speech[1::2], sound).to_dict()}
    save_model(run.checkpoints / "final", new_network(cfg), meta)
    return load(folder)


def recordings(folder: Path, count: int, longest_s: float) -> list[Path]:
    """Write recordings of the corpus as FLAC at their own rates, spread over its voices."""
    chosen = [clip for clip in embedded.clips(kind="speech") if 0.5 <= clip.duration_s <= longest_s]
    files = []
    folder.mkdir()
    for clip in chosen[:: max(1, len(chosen) // count)][:count]:
        audio = clip.read()
        files.append(folder / f"{clip.id}.flac")
        soundfile.write(files[-1], np.clip(audio.mono(), -1, 1), audio.rate_hz)
    return files


def joined(folder: Path, files: Sequence[Path], seconds: float) -> list[Path]:
    """Write longer files: recordings one after the other, at 16 kHz."""
    folder.mkdir()
    wave = np.concatenate([read_mono(file, 16_000)[0] for file in files])
    size = round(seconds * 16_000)
    made = [folder / f"{index}.flac" for index in range(len(wave) // size)]
    for index, file in enumerate(made):
        soundfile.write(file, np.clip(wave[index * size : (index + 1) * size], -1, 1), 16_000)
    return made


@torch.inference_mode()
def plain_loop(model: Detector, files: Sequence[Path]) -> list[float]:
    """Score file after file."""
    scores = []
    for file in files:
        wave, rate_hz = soundfile.read(file, dtype="float32")
        wave = soxr.resample(wave, rate_hz, model.cfg.data.rate_hz)
        logits = model.network(torch.from_numpy(windows(wave, model.length))).logits
        scores.append(float((logits[:, 1] - logits[:, 0]).mean()))
    return scores


def cases(quick: bool) -> Iterator[Case]:
    with tempfile.TemporaryDirectory() as place:
        model = detector(Path(place) / "run")
        files = recordings(Path(place) / "clips", 200 if quick else 600, 3.0)
        long = joined(Path(place) / "long", files, 10.0)
        for name, chosen in (("clips up to 3 s", files), ("files of 10 s", long)):
            seconds = sum(soundfile.info(file).duration for file in chosen)
            yield Case(
                f"score {len(chosen)} {name} ({seconds:.0f} s)",
                lambda chosen=chosen: list(infer(model, chosen)),  # type: ignore[misc]
                lambda chosen=chosen: plain_loop(model, chosen),  # type: ignore[misc]
                "plain loop, a forward a file",
            )


if __name__ == "__main__":
    run(__doc__ or "", cases, quick_s=25.0)
