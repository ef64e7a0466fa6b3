"""`auricle models import voice_auth`: a published detector as a run folder of its own."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from auricle.backbones.released import aasist, read_state, xlsr_aasist
from auricle.core.errors import ConfigError
from auricle.metrics.calibration import UNCALIBRATED
from auricle.systems.detections import cut_scores
from auricle.systems.releases import calibrated, configured, fill, write_run
from auricle.systems.voice_auth.config import paper
from auricle.systems.voice_auth.detectors import TrainedDetector
from auricle.systems.voice_auth.infer import DETECTOR
from auricle.systems.voice_auth.network import Network

TUNING = "to go on training it: auricle run voice_auth --run NEW detector.start={}"


def imported(checkpoint: Path, out: Path, part: str | None, dev: Path | None, encoder: Path | None) -> Path:
    """Make a run folder of AASIST, AASIST-L or XLS-R + AASIST; see `auricle.systems.releases.import_release`.

    Raises:
        ConfigError: another part than the detector, or an encoder, which the file has in it.
    """
    if part not in (None, DETECTOR):
        raise ConfigError(f"--part {part}: only a released {DETECTOR} is read; a verifier is given by verifier.spec")
    if encoder is not None:
        raise ConfigError(f"--encoder {encoder}: the release has its encoder in it; leave it out")
    state = read_state(checkpoint)
    with_encoder = any(name.startswith(xlsr_aasist.ENCODER) for name in state)
    found = xlsr_aasist.read(state) if with_encoder else aasist.read(state)
    cfg = configured(paper(), found.settings)
    network = Network(cfg)
    fill(network, found.state, checkpoint)
    calibration, notes = None, (*found.notes, UNCALIBRATED)
    if dev is not None:
        detector = TrainedDetector(network, cfg.data.rate_hz, cfg.eval.batch)
        calibration, notes = calibrated(dev, partial(cut_scores, detector)), found.notes
    meta = {"part": DETECTOR, "calibration": calibration}
    return write_run(out, "voice_auth", cfg, network, meta, checkpoint, (*notes, TUNING.format(out)))
