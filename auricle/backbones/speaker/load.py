"""A verifier by one line of text."""

from __future__ import annotations

import glob
from pathlib import Path

from auricle.backbones.speaker.verifier import Verifier
from auricle.core.errors import ConfigError

NAMES = ("ge2e", "voicefilter", "ecapa:PATH", "onnx:PATH")


def load_verifier(spec: str) -> Verifier:
    """Build a verifier.

    Args:
        spec: ``ge2e`` or ``voicefilter`` (weights in a package: ``auricle models add ge2e``), ``ecapa:PATH`` (see
            `load_ecapa`) or ``onnx:PATH`` (see `OnnxVerifier`).

    Returns:
        The verifier, with its weights, on the CPU.

    Raises:
        ConfigError: no such verifier.
        MissingWeights: the package with the weights is not installed; the message has the command.
        MissingExtra: onnxruntime is not installed.
        CheckpointError: a file is missing, damaged or does not fit.
    """
    kind, _, path = spec.partition(":")
    if spec == "ge2e":
        from auricle.backbones.speaker.ge2e import GE2E

        return GE2E()
    if spec == "voicefilter":
        from auricle.backbones.speaker.onnx_model import VoiceFilter

        return VoiceFilter()
    if kind == "ecapa" and path:
        from auricle.backbones.speaker.ecapa_weights import Ecapa, load_ecapa

        return Ecapa(load_ecapa(path))
    if kind == "onnx" and path:
        from auricle.backbones.speaker.onnx_model import OnnxVerifier

        return OnnxVerifier(path)
    lacks = f"; {kind} needs a path after the colon" if kind in ("ecapa", "onnx") else ""
    raise ConfigError(f"there is no verifier {spec!r}{lacks}; give one of {', '.join(NAMES)}")


def weights_files(spec: str) -> list[Path]:
    """List the files behind the path of a verifier, so that they can be named by content; nothing is opened.

    Args:
        spec: as `load_verifier` takes it. The weights that come in packages have fixed checksums: none are listed.

    Returns:
        Those that are there, in order.
    """
    kind, _, path = spec.partition(":")
    if kind == "ecapa":
        from auricle.backbones.speaker.ecapa_weights import MODEL, PUBLIC_FILE, SIZES

        found = [Path(path), *(Path(path) / name for name in (SIZES, MODEL, PUBLIC_FILE))]
    else:
        # a large ONNX model has its numbers in a file beside it: x.onnx.data, x.onnx_data
        found = sorted(Path(path).parent.glob(f"{glob.escape(Path(path).name)}*")) if kind == "onnx" and path else []
    return [file for file in found if file.is_file()]
