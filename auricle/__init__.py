"""Auricle: the audio systems of fourteen papers, end to end, behind one command and one API.

>>> import auricle
>>> detector = auricle.load("runs/mambo")          # doctest: +SKIP
>>> detector.score(wave, rate)                     # doctest: +SKIP
"""

from __future__ import annotations

from importlib.metadata import version as _version
from pathlib import Path
from typing import Any

__version__ = _version("auricle")
__all__ = ["__version__", "list_systems", "load", "pretrained", "run"]


def list_systems() -> tuple[str, ...]:
    """Name the systems that this version contains."""
    from auricle.systems import NAMES

    return NAMES


def load(folder: str | Path) -> Any:
    """Load a trained run from its folder, whatever the system; a local folder never opens a socket.

    Args:
        folder: a run folder, such as ``runs/mambo``; of a run with several seeds, seed 0 is taken.

    Returns:
        The system's model object; for detection it has ``score(wave, rate_hz) -> float``.

    Raises:
        CheckpointError: not a run folder, or a damaged or untrained one.
    """
    from auricle.systems import load as load_run

    return load_run(folder)


def pretrained(system: str, model: str | None = None) -> Any:
    """Load the small model of a system that comes in the package: trained on a laptop, for trying, not for deciding.

    Args:
        system: its name, such as ``mambo``.
        model: the preset that it was made with, where several come, such as ``small``; None is the plain one.

    Returns:
        As `load`.

    Raises:
        ConfigError: no such system, or no such model of it.
        CheckpointError: none comes with it.
        MissingWeights: the model stands on weights that are not installed; the message has the command.
    """
    from auricle.systems import system as find

    found = find(system)
    return found.verb("load")(found.pretrained(model))


def run(system: str, preset: str = "laptop", folder: str | Path | None = None, **settings: Any) -> Any:
    """Prepare, train and evaluate a system, as ``auricle run`` does.

    Args:
        system: its name.
        preset: ``smoke``, ``laptop``, ``small`` or ``paper``.
        folder: the run folder; ``runs/SYSTEM`` if None.
        settings: dotted settings with ``__`` for the dot, such as ``train__max_steps=100``.

    Returns:
        The `auricle.core.report.Report`.

    Raises:
        ConfigError: unknown system, preset or setting.
    """
    import json

    from auricle.systems.pipeline import run_all

    chosen = [f"{key.replace('__', '.')}={json.dumps(value)}" for key, value in settings.items()]
    return run_all(system, preset, folder, settings=chosen)
