"""`prepare`: sweeps in noise, whose direction is known because they were made so."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from auricle.systems.dummy.config import DataConfig, DummyConfig

from auricle.audio.files import read_mono, write
from auricle.core.errors import ConfigError
from auricle.core.run import RunFolder
from auricle.core.seed import rng
from auricle.data import fields, manifest
from auricle.data.building import audio_folder, build_all

UP = "up"
LOW_HZ, HIGH_HZ = 300.0, 2500.0


def prepare(cfg: DummyConfig, run: RunFolder) -> dict[str, Any]:
    """Write ``manifests/{train,dev,test}.jsonl``; give counts.

    Raises:
        ConfigError: a source that is not the world of sweeps.
    """
    if cfg.data.source != "sweeps":
        raise ConfigError(f"--data {cfg.data.source}: dummy makes its own tones (sweeps)")
    folder = audio_folder(run, cfg.data.model_dump(mode="json"))
    folder.mkdir(parents=True, exist_ok=True)
    facts = {}
    for split in fields.SPLITS:
        count = getattr(cfg.data, split)
        tasks = [(split, number) for number in range(count)]
        rows = list(build_all(partial(_make, cfg=cfg.data, folder=folder), tasks, cfg.data.workers))
        cuts = [manifest.cut(name, folder / f"{name}.wav", {fields.LABEL: label}) for name, label in rows]
        manifest.write(cuts, run.manifests / f"{split}.jsonl")
        facts[split] = count
    return facts


def _make(task: tuple[str, int], cfg: DataConfig, folder: Path) -> tuple[str, str]:
    """Write one sweep; give its id and label. The noise and the end frequencies are drawn alike for both labels."""
    split, number = task
    draws = rng(0, "sweep", split, number)
    label = UP if number % 2 else "down"
    ends = np.sort(draws.uniform(LOW_HZ, HIGH_HZ, 2)) + np.array([0.0, 500.0])
    pitch = np.linspace(*(ends if label == UP else ends[::-1]), round(cfg.seconds * cfg.rate_hz))
    wave = np.sin(2 * np.pi * np.cumsum(pitch) / cfg.rate_hz)
    noise = draws.normal(0, np.sqrt(0.5 / 10 ** (cfg.snr_db / 10)), len(wave))
    mixed = wave + noise
    write(folder / f"{split}-{number:04}.wav", 0.3 * mixed / np.abs(mixed).max(), cfg.rate_hz)
    return f"{split}-{number:04}", label


def load(cfg: DummyConfig, run: RunFolder, split: str) -> tuple[list[np.ndarray], np.ndarray, list[str]]:
    """Read one split: waves (T,), booleans (N,) that are true for rising, ids.

    Raises:
        DataError: it was not prepared.
    """
    cuts = list(manifest.read(run.manifests / f"{split}.jsonl"))
    waves = [read_mono(cut.recording.sources[0].source, cfg.data.rate_hz)[0] for cut in cuts]
    return waves, np.array([cut.custom[fields.LABEL] == UP for cut in cuts]), [cut.id for cut in cuts]
