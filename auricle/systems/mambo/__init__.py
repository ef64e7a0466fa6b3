"""XLSR-MamBo (arXiv 2601.02944): is this speech synthetic? SSM and attention hybrids on frame features."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from auricle.core.config import parse
from auricle.core.errors import ConfigError
from auricle.core.names import Spec
from auricle.core.run import RunFolder
from auricle.systems.mambo.config import PRESETS, MamboConfig

if TYPE_CHECKING:
    from auricle.core.report import Report
    from auricle.systems.mambo.infer import Detection, Detector

SPEC = Spec(
    name="mambo",
    line="speech deepfake detection with SSM/attention hybrids",
    verbs=("prepare", "train", "evaluate", "infer"),
    headline="eer",
    task="detection",
)


def config(preset: str) -> MamboConfig:
    """Give a preset's config.

    Raises:
        ConfigError: no such preset.
    """
    if preset not in PRESETS:
        raise ConfigError(f"there is no preset '{preset}'; presets: {', '.join(PRESETS)}")
    return PRESETS[preset]()


def parse_config(values: dict[str, Any]) -> MamboConfig:
    """Validate a saved config."""
    return parse(MamboConfig, values)


def prepare(cfg: MamboConfig, run: RunFolder) -> dict[str, Any]:
    """Build the data: real clips, their spoofs, the splits; see `auricle.systems.mambo.data`."""
    from auricle.systems.mambo import data

    return data.prepare(cfg, run)


def train(cfg: MamboConfig, run: RunFolder) -> Path:
    """Train the detector; see `auricle.systems.mambo.train`."""
    from auricle.systems.mambo import train as training

    return training.train(cfg, run)


def evaluate(cfg: MamboConfig, run: RunFolder) -> Report:
    """Measure on the test voices; see `auricle.systems.mambo.evaluate`."""
    from auricle.systems.mambo import evaluate as evaluation

    return evaluation.evaluate(cfg, run)


def load(folder: str | Path) -> Detector:
    """Load a trained detector; see `auricle.systems.mambo.infer`."""
    from auricle.systems.mambo import infer as inference

    return inference.load(folder)


def infer(model: Detector, inputs: Iterable[str | Path]) -> Iterator[Detection]:
    """Answer for each file; see `auricle.systems.mambo.infer`."""
    from auricle.systems.mambo import infer as inference

    return inference.infer(model, inputs)
