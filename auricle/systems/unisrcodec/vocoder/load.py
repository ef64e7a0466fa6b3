"""A trained vocoder from its run folder."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from auricle.audio.vocoder_mel import MelContract
from auricle.core.errors import CheckpointError
from auricle.core.run import RunFolder, open_trained
from auricle.systems.unisrcodec.vocoder import SPEC
from auricle.systems.unisrcodec.vocoder.config import VocoderConfig
from auricle.systems.unisrcodec.vocoder.network import Vocoder
from auricle.train.checkpoint import load_model, read_meta


def is_run(folder: str | Path) -> bool:
    """Say whether a folder is a run of `auricle codec vocoder`."""
    try:
        return bool(RunFolder(Path(folder)).saved_config()["system"] == SPEC.name)
    except CheckpointError:
        return False


def about(contract: MelContract) -> dict[str, Any]:
    """Give what stands beside a vocoder's weights: whose they are and the mel that they read."""
    return {"system": SPEC.name, "contract": asdict(contract)}


def load(folder: str | Path) -> tuple[Vocoder, MelContract]:
    """Load the vocoder of a run of `auricle codec vocoder`.

    Returns:
        The vocoder, and the mel it reads.

    Raises:
        CheckpointError: not such a run, an untrained or a damaged one.
    """
    trained = open_trained(folder, SPEC.name, VocoderConfig, command="auricle codec vocoder")
    try:
        contract = MelContract(**read_meta(trained.final)["contract"])
    except (KeyError, TypeError) as error:
        raise CheckpointError(f"{trained.final} does not say which mel it reads ({error}); train it again") from None
    vocoder = Vocoder(trained.cfg.model, contract)
    load_model(trained.final, vocoder)
    return vocoder.eval(), contract
