"""`auricle models import mambo`: the published detector as a run folder."""

from __future__ import annotations

from pathlib import Path

from auricle.backbones.architecture import architecture
from auricle.backbones.released import mambo, read_state
from auricle.core.errors import CheckpointError, ConfigError
from auricle.metrics.calibration import UNCALIBRATED
from auricle.systems.mambo.config import paper
from auricle.systems.mambo.network import Network
from auricle.systems.mambo.scoring import cut_results, scores_of
from auricle.systems.releases import calibrated, configured, fill, write_run


def imported(checkpoint: Path, out: Path, part: str | None, dev: Path | None, encoder: Path | None) -> Path:
    """Make a run folder of a checkpoint of the XLSR-MamBo release; see `auricle.systems.releases.import_release`.

    Raises:
        ConfigError: `part` was given, and the release is one network.
        CheckpointError: not the release, or weights that do not fit together.
    """
    if part is not None:
        raise ConfigError(f"the release of mambo is one network; leave --part {part} out")
    folder = None if encoder is None else str(encoder)
    found = mambo.read(read_state(checkpoint), None if folder is None else architecture(folder), folder)
    try:
        cfg = configured(paper(), found.settings)
        network = Network(cfg)
    except ConfigError as error:  # of sizes that are the file's
        raise CheckpointError(f"{checkpoint} does not fit together: {error}") from None
    fill(network, found.state, checkpoint)
    calibration, notes = None, (*found.notes, UNCALIBRATED)
    if dev is not None:
        network.eval()
        calibration = calibrated(dev, lambda cuts: scores_of(cut_results(network, cfg.data, cuts)))
        notes = found.notes
    return write_run(out, "mambo", cfg, network, {"calibration": calibration, "domain": None}, checkpoint, notes)
