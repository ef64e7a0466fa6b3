"""A folder of recordings through detectors and a speaker verifier, beside the loop a user would write himself.

python benchmarks/scoring.py [--quick] [--json]

The detectors have the sizes of their presets and random weights: weights do not change the time. The files are
recordings of the embedded corpus. Auricle's side judges and decodes each file and runs batches side by side; for
`mambo` it is the whole of `auricle infer` on a loaded detector, which also checks the domain and scores half seconds.
The peer reads a file with soundfile, resamples it, makes the same input, and runs it through the same network in one
forward pass a file, with torch's own threads; it gives a score and nothing else. Before a case of `voice_auth` is
timed, both sides' results must agree to 1e-5. XLS-R 300M with AASIST (random weights, 1.3 GB) is left out of --quick.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr
import torch
import transformers
from contract import Case, Skipped, run

from auricle.audio.files import read_mono
from auricle.audio.hearing import heard, sound_of
from auricle.backbones.architecture import XLS_R_300M
from auricle.backbones.speaker.ge2e import GE2E, prepared
from auricle.core.request import Request
from auricle.core.run import FINAL, open_run
from auricle.data import embedded, fields
from auricle.data.clips import Clips, as_int16, windows
from auricle.metrics.calibration import calibrate
from auricle.systems.batching import score_files
from auricle.systems.mambo.config import laptop
from auricle.systems.mambo.domain import fit_domain
from auricle.systems.mambo.infer import Detector, infer, load
from auricle.systems.mambo.train import new_network
from auricle.systems.voice_auth.config import VoiceAuthConfig, paper
from auricle.systems.voice_auth.config import laptop as login_laptop
from auricle.systems.voice_auth.detectors import TrainedDetector
from auricle.systems.voice_auth.network import Network as VoiceAuthNetwork
from auricle.train.checkpoint import save_model


def detector(folder: Path) -> Detector:
    """Save a random build of the laptop preset as a run, and load it as any run."""
    cfg = laptop()
    run = open_run(folder, "mambo", "laptop", cfg)
    known = embedded.clips(kind="speech")[::50]
    facts = [{fields.LABEL: fields.BONAFIDE, fields.SOURCE: clip.package} for clip in known]
    speech = Clips([as_int16(read_mono(clip.file(), cfg.data.rate_hz)[0]) for clip in known], facts, cfg.data.rate_hz)
    draws = np.random.default_rng(0)
    labels = np.arange(60) % 2 == 0
    calibration = calibrate(draws.normal(0, 1, 60) + labels, labels)
    meta = {
        "calibration": calibration.to_dict(),
        "domain": fit_domain([speech], cfg.data.band_hz, cfg.data.window, draws).to_dict(),
    }
    save_model(run.checkpoints / FINAL, new_network(cfg), meta)
    return load(folder)


def recordings(folder: Path, count: int, longest_s: float) -> list[Path]:
    """Write recordings of the corpus as FLAC at their own rates, spread over its voices."""
    chosen = [clip for clip in embedded.clips(kind="speech") if 0.5 <= clip.duration_s <= longest_s]
    files = []
    folder.mkdir()
    for clip in chosen[:: max(1, len(chosen) // count)][:count]:
        audio = clip.read()
        files.append(folder / f"{clip.id}.flac")
        soundfile.write(files[-1], np.clip(audio.mono(), -1, 1), audio.rate_hz)
    return files


def joined(folder: Path, files: Sequence[Path], seconds: float) -> list[Path]:
    """Write longer files: recordings one after the other, at 16 kHz."""
    folder.mkdir()
    wave = np.concatenate([read_mono(file, 16_000)[0] for file in files])
    size = round(seconds * 16_000)
    made = [folder / f"{index}.flac" for index in range(len(wave) // size)]
    for index, file in enumerate(made):
        soundfile.write(file, np.clip(wave[index * size : (index + 1) * size], -1, 1), 16_000)
    return made


def asked(files: Sequence[Path]) -> list[Request]:
    """Make a request of each file."""
    return [Request(audio=file) for file in files]


@torch.inference_mode()
def plain_loop(model: Detector, files: Sequence[Path]) -> list[float]:
    """Score file after file."""
    scores = []
    for file in files:
        wave, rate_hz = soundfile.read(file, dtype="float32")
        wave = soxr.resample(wave, rate_hz, model.cfg.data.rate_hz)
        sound = sound_of(wave, model.cfg.data.rate_hz)
        pieces_of_it = np.stack([piece for _, piece in heard([wave], sound, model.cfg.data.window)])
        logits = model.network(torch.from_numpy(pieces_of_it)).logits
        scores.append(float((logits[:, 1] - logits[:, 0]).mean()))
    return scores


def login_detector(cfg: VoiceAuthConfig) -> TrainedDetector:
    """Build a detector of `voice_auth` with random weights."""
    torch.manual_seed(0)
    return TrainedDetector(VoiceAuthNetwork(cfg).eval(), cfg.data.rate_hz, cfg.eval.batch)


@torch.inference_mode()
def login_loop(model: TrainedDetector, files: Sequence[Path]) -> list[float]:
    """Score file after file."""
    scores = []
    for file in files:
        wave, rate_hz = soundfile.read(file, dtype="float32")
        level = as_int16(soxr.resample(wave, rate_hz, model.rate_hz)).astype(np.float32) / 32768
        cut = windows(model.network.item(level), model.network.steps)
        logits = model.network(torch.from_numpy(np.ascontiguousarray(cut)))
        scores.append(float((logits[:, 1] - logits[:, 0]).mean()))
    return scores


@torch.inference_mode()
def voice_loop(model: GE2E, files: Sequence[Path]) -> list[np.ndarray]:
    """Embed file after file."""
    made = []
    for file in files:
        wave, rate_hz = soundfile.read(file, dtype="float32")
        mean = model.network(model.partials(prepared(soxr.resample(wave, rate_hz, model.rate_hz)))).mean(0)
        made.append((mean / mean.norm()).numpy())
    return made


def folder(score: Callable[[list[np.ndarray], list[int]], Sequence[Any]], files: Sequence[Path]) -> list[Any]:
    """Score files as Auricle does."""
    stream = score_files(lambda clips: score([c.wave for c in clips], [c.rate_hz for c in clips]), asked(files))
    return [value for _, value in stream]


def agreeing(name: str, ours: Callable[[], list[Any]], peer: Callable[[], list[Any]], peer_name: str) -> Case:
    """Make a case of two ways that give the same; stop where they do not."""
    one, other = np.array(ours()), np.array(peer())
    far = float(np.abs(one - other).max() / max(1.0, np.abs(other).max()))
    if not far <= 1e-5:
        raise SystemExit(f"{name}: the results differ by {far:.1e}; a time would mean nothing")
    return Case(name, ours, peer, peer_name)


def login_cases(files: Sequence[Path], quick: bool) -> Iterator[Case | Skipped]:
    loop = "plain loop, a forward a file"
    spoofs, voices = login_detector(login_laptop()), GE2E()
    yield agreeing(
        f"voice_auth: AASIST over LFCC, {len(files)} clips",
        lambda: folder(spoofs.scores, files),
        lambda: login_loop(spoofs, files),
        loop,
    )
    yield agreeing(
        f"voice_auth: GE2E, {len(files)} clips",
        lambda: folder(voices.embed, files),
        lambda: voice_loop(voices, files),
        loop,
    )
    name, few = "voice_auth: XLS-R 300M + AASIST, 16 clips", files[:: len(files) // 16][:16]
    if quick:
        yield Skipped(name, loop, "left out of --quick: 1.3 GB of weights")
        return
    with tempfile.TemporaryDirectory() as place:
        transformers.Wav2Vec2Model(transformers.Wav2Vec2Config(**XLS_R_300M)).save_pretrained(place)
        large = paper().model_dump()
        large["detector"] |= {"encoder": place, "encoder_revision": None, "encoder_config": None}
        big = login_detector(VoiceAuthConfig.model_validate(large))
        yield agreeing(name, lambda: folder(big.scores, few), lambda: login_loop(big, few), loop)


def cases(quick: bool) -> Iterator[Case | Skipped]:
    with tempfile.TemporaryDirectory() as place:
        model = detector(Path(place) / "run")
        files = recordings(Path(place) / "clips", 200 if quick else 600, 3.0)
        long = joined(Path(place) / "long", files, 10.0)
        for name, chosen in (("clips up to 3 s", files), ("files of 10 s", long)):
            seconds = sum(soundfile.info(file).duration for file in chosen)
            yield Case(
                f"mambo: {len(chosen)} {name} ({seconds:.0f} s)",
                lambda chosen=chosen: list(infer(model, asked(chosen))),  # type: ignore[misc]
                lambda chosen=chosen: plain_loop(model, chosen),  # type: ignore[misc]
                "plain loop, a forward a file",
            )
        yield from login_cases(files, quick)


if __name__ == "__main__":
    run(__doc__ or "", cases, quick_s=15.0)
