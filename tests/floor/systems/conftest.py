import json

import numpy as np
import pytest
import soundfile


@pytest.fixture(scope="session")
def untrained_run(tmp_path_factory):
    """A run of the smoke preset with random weights and honest domain checks: all that `infer` needs, in seconds."""
    from auricle.audio.files import read_mono
    from auricle.core.run import open_run
    from auricle.data import embedded
    from auricle.metrics.calibration import calibrate
    from auricle.systems.mambo.config import smoke
    from auricle.systems.mambo.domain import describe, fit_domain
    from auricle.systems.mambo.train import new_network
    from auricle.train.checkpoint import save_model

    cfg = smoke()
    run = open_run(tmp_path_factory.mktemp("scale") / "run", "mambo", "smoke", cfg)

    def described(kind, step):
        chosen = embedded.clips(kind=kind)[::step]
        return [describe(read_mono(clip.file(), 16000)[0], 16000, 3800.0) for clip in chosen]

    speech = described("speech", 100)
    domain = fit_domain(speech[::2], speech[1::2], described("sound", 30))
    draws = np.random.default_rng(0)
    labels = np.arange(60) % 2 == 0
    calibration = calibrate(draws.normal(0, 1, 60) + labels, labels)
    meta = {"calibration": calibration.to_dict(), "domain": domain.to_dict()}
    save_model(run.checkpoints / "final", new_network(cfg), json.loads(json.dumps(meta)))
    return run.path


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """Files of many lengths, rates and codings, one that is long, and one that is not audio."""
    from auricle.data import embedded

    path = tmp_path_factory.mktemp("scale-audio")
    for clip in [*embedded.clips(kind="speech")[::150], *embedded.clips(kind="sound")[::60]]:
        (path / f"{clip.id}{clip.file().suffix}").write_bytes(clip.file().read_bytes())
    draws = np.random.default_rng(1)
    for name, seconds, rate_hz in (
        ("short", 0.4, 8000),
        ("two", 2.0, 16000),
        ("mid", 7.3, 44100),
        ("long", 65.2, 16000),
    ):
        wave = draws.normal(0, 0.1, round(seconds * rate_hz)).astype(np.float32)
        if name == "mid":
            wave[: 3 * rate_hz] = 0.0  # a recorder that was started early: digital silence inside a good file
        soundfile.write(path / f"{name}.wav", wave, rate_hz)
    (path / "broken.wav").write_bytes(b"not audio")
    return path
