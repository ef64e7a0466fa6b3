"""A verifier by one line of text."""

from __future__ import annotations

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
