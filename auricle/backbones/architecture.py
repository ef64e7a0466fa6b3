"""The architecture of a speech encoder as plain JSON: enough to build it again without the folder it came from.

Nothing here imports torch or Transformers unless an encoder on the Hub is asked for by a name that is not in `KNOWN`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.extras import require
from auricle.core.files import read_json

RATE_HZ = 16000  # of all the encoders in this room
PURPOSE = "A pretrained speech encoder"
CLASSES = {
    "wav2vec2": ("Wav2Vec2Config", "Wav2Vec2Model"),
    "wavlm": ("WavLMConfig", "WavLMModel"),
    "hubert": ("HubertConfig", "HubertModel"),
}

# What Transformers takes where a config.json says nothing; the sizes are those of wav2vec 2.0 Base.
DEFAULTS: dict[str, Any] = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "hidden_act": "gelu",
    "layer_norm_eps": 1e-5,
    "feat_extract_norm": "group",
    "feat_extract_activation": "gelu",
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": False,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
    "do_stable_layer_norm": False,
}
OWN_DEFAULTS: dict[str, dict[str, Any]] = {
    "wav2vec2": {},
    "wavlm": {"num_buckets": 320, "max_bucket_distance": 800},
    "hubert": {"feat_proj_layer_norm": True},
}
# What may stand beside them: what is added to the variance of a waveform that is normalised, where it is not what
# Transformers adds.
OPTIONAL = ("variance_floor",)
# Settings that change the shape of what comes out, or tie a clip to its batch.
REFUSED = {
    "add_adapter": "an adapter that shortens the frames",
    "adapter_attn_dim": "language adapters",
    "conv_pos_batch_norm": "a batch norm, with which a clip depends on its batch mates",
}
_COUNTS = (
    "hidden_size",
    "num_hidden_layers",
    "num_attention_heads",
    "intermediate_size",
    "num_conv_pos_embeddings",
    "num_conv_pos_embedding_groups",
)
_LISTS = ("conv_dim", "conv_kernel", "conv_stride")

# XLS-R with 300 million parameters (2111.09296), as on the Hub.
XLS_R_300M: dict[str, Any] = {
    **DEFAULTS,
    "model_type": "wav2vec2",
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "feat_extract_norm": "layer",
    "conv_bias": True,
    "do_stable_layer_norm": True,
    "normalize": True,
}
XLS_R_300M_ID = "facebook/wav2vec2-xls-r-300m"
XLS_R_300M_REVISION = "1a640f32ac3e39899438a2931f9924c02f080a54"
KNOWN: dict[str, dict[str, Any]] = {XLS_R_300M_ID: XLS_R_300M}


def is_folder(name: str, revision: str | None = None) -> bool:
    """Say whether an encoder is a local folder (which never opens a socket) or stands on the Hub.

    Args:
        name: a folder, or a Hub id such as ``facebook/wav2vec2-xls-r-300m``.
        revision: commit of a Hub id.

    Raises:
        ConfigError: neither a folder nor a Hub id with its commit.
    """
    if name and Path(name).is_dir():
        return True
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name):
        raise ConfigError(f"there is no folder {name!r}, and it is no Hub id such as {XLS_R_300M_ID}")
    if revision is None or not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ConfigError(
            f"{name!r} is no folder here, and as a Hub id it needs a pinned revision, given: {revision!r}; give the "
            f"40 hex digits of a commit (a branch such as main can change), such as {XLS_R_300M_REVISION} for "
            f"{XLS_R_300M_ID}, or a folder"
        )
    return False


def architecture(name: str, revision: str | None = None) -> dict[str, Any]:
    """Read the architecture of an encoder; weights are not touched.

    Args:
        name: a folder in the format of Transformers, or a Hub id. One in `KNOWN` needs no file and no network.
        revision: commit of a Hub id.

    Returns:
        Plain JSON values: ``model_type``, sizes, and ``normalize``, whether it was trained on normalised waveforms.

    Raises:
        ConfigError: see `is_folder`; or an encoder of another kind.
        CheckpointError: there is no readable config.json, or the Hub cannot be reached.
        MissingExtra: Transformers is not installed, for a Hub id outside `KNOWN`.
    """
    if is_folder(name, revision):
        return _described(_file(Path(name) / "config.json"), _file(Path(name) / "preprocessor_config.json", {}), name)
    if name in KNOWN:
        return dict(KNOWN[name])
    transformers = require("transformers", "hf", PURPOSE)
    read = []
    for file, required in (("config.json", True), ("preprocessor_config.json", False)):
        try:
            path = transformers.utils.cached_file(
                name, file, revision=revision, _raise_exceptions_for_missing_entries=required
            )
        except OSError as error:
            raise CheckpointError(
                f"{file} of {name} at {revision} cannot be had: {str(error).splitlines()[0]}; "
                "download the model once and give its folder"
            ) from error
        read.append(_file(Path(path)) if path else {})
    return _described(read[0], read[1], name)


def described(values: Any) -> Any:
    """Put the architecture of the encoder that settings name beside them, so that a run needs no folder to be read.

    Args:
        values: settings before they are checked; ``encoder`` and ``encoder_revision`` name an encoder. What they say of
            it in ``encoder_config`` stays, if it is of the same one.

    Returns:
        The settings, with ``encoder_config`` where an encoder is named.

    Raises:
        ConfigError: as `architecture`.
        CheckpointError: as `architecture`.
    """
    if not isinstance(values, dict) or not isinstance(values.get("encoder"), str):
        return values
    origin = {"name": values["encoder"], "revision": values.get("encoder_revision")}
    known = values.get("encoder_config")
    if isinstance(known, dict) and {key: known.get(key) for key in origin} == origin:
        return values
    return {**values, "encoder_config": {**origin, **architecture(origin["name"], origin["revision"])}}


def check(values: Mapping[str, Any], source: str) -> None:
    """Refuse an architecture that cannot be built.

    Raises:
        ConfigError: naming the value.
    """
    kind = values.get("model_type")
    if kind not in CLASSES:
        raise ConfigError(f"{source}: a model of type {kind!r}; encoders of this room: {', '.join(CLASSES)}")
    known = {"model_type", "normalize", *DEFAULTS, *OWN_DEFAULTS[kind]}
    if differ := known ^ (set(values) - set(OPTIONAL)):
        raise ConfigError(f"{source}: the architecture differs in the keys {', '.join(sorted(differ))}")
    floor = values.get("variance_floor", 1.0)
    if isinstance(floor, bool) or not isinstance(floor, int | float) or not 0 < floor <= 1:
        raise ConfigError(f"{source}: variance_floor is {floor!r}; it must be a number above 0, such as 1e-5")
    for key in _COUNTS:
        if not _is_count(values[key]):
            raise ConfigError(f"{source}: {key} is {values[key]!r}; it must be a whole number of at least 1")
    layers = [values[key] for key in _LISTS]
    if not all(isinstance(one, list) and one and all(map(_is_count, one)) for one in layers):
        raise ConfigError(f"{source}: {', '.join(_LISTS)} must be lists of whole numbers of at least 1")
    if len({len(one) for one in layers}) != 1:
        raise ConfigError(f"{source}: {', '.join(_LISTS)} differ in length: {[len(one) for one in layers]}")
    if values["feat_extract_norm"] not in ("layer", "group"):
        raise ConfigError(f"{source}: feat_extract_norm is {values['feat_extract_norm']!r}; it can be layer or group")


def frames(samples: int, values: Mapping[str, Any]) -> int:
    """Count the frames of a clip: ``n = (n - kernel) // stride + 1`` for each convolution.

    Args:
        samples: length at 16 kHz.
        values: of `architecture`.

    Returns:
        Frames; 0 for a clip shorter than one. With the usual kernels ``(samples - 400) // 320 + 1``.
    """
    for kernel, stride in zip(values["conv_kernel"], values["conv_stride"], strict=True):
        if samples < kernel:
            return 0
        samples = (samples - kernel) // stride + 1
    return samples


def least_samples(values: Mapping[str, Any]) -> int:
    """Give the samples that one frame needs; 400, 25 ms, with the usual kernels."""
    need = 1
    for kernel, stride in zip(reversed(values["conv_kernel"]), reversed(values["conv_stride"]), strict=True):
        need = (need - 1) * stride + kernel
    return int(need)


def _described(config: Mapping[str, Any], preprocessor: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Pick from the files what decides the network."""
    kind = config.get("model_type")
    wanted = {**DEFAULTS, **OWN_DEFAULTS.get(str(kind), {})}
    values = {key: config.get(key, default) for key, default in wanted.items()}
    values |= {"model_type": kind, "normalize": bool(preprocessor.get("do_normalize", True))}
    check(values, source)
    for key, what in REFUSED.items():
        if config.get(key):
            raise ConfigError(f"{source}: {key} is {config[key]!r}; an encoder with {what} is not supported")
    return values


def _file(path: Path, default: dict[str, Any] | None = None) -> dict[str, Any]:
    if default is not None and not path.is_file():
        return default
    try:
        content = read_json(path)
    except DataError as error:
        raise CheckpointError(
            f"{error}; a folder of a speech encoder holds config.json and model.safetensors as Transformers writes them"
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds no JSON object")
    return content


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1
