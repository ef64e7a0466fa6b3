"""Settings of `voice_auth`. FOUND values are the paper's or the public reference's; the others say why they are so."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from auricle.backbones.architecture import XLS_R_300M_ID, XLS_R_300M_REVISION, described
from auricle.core.config import Config
from auricle.core.errors import ConfigError
from auricle.core.run import RunFolder, seed_zero
from auricle.train.recipe import Recipe


class DataConfig(Config):
    """Voices, their enrolment and test clips, and the attacks on them."""

    source: str = "embedded"  # a corpus: embedded or rec
    split: int = Field(0, ge=0)  # which voices train, tune and test the detector; another number is another draw
    seed: int = 0  # draws of the data; kept apart from the run's seed
    rate_hz: int = Field(16000, ge=8000)
    min_clip_s: float = Field(1.2, ge=0.6)
    max_clip_s: float = Field(4.0, ge=1.0)
    enrol: int = Field(5, ge=1)  # UNKNOWN in the paper; 3 to 5 is usual
    tests: int = Field(10, ge=2)  # bona fide test clips a voice
    material_s: float = Field(30.0, gt=1)  # of the target, for conversion; the paper's "a few minutes" is UNKNOWN
    seen: tuple[str, ...] = ("world_conversion", "griffin_lim", "lpc_pulse", "psola")  # the detector trains on these
    unseen: tuple[str, ...] = ("neighbour", "world", "formant", "hibari")
    spoofs_per_voice: int = Field(5, ge=1)  # of each family against each voice
    band_hz: float = Field(3800.0, ge=1000)  # the sources end between 4 and 8 kHz; above this nobody looks
    channels: tuple[str, ...] = ("none", "mu_law", "a_law", "g722")
    noise_snr_db: tuple[float, float] = (35.0, 60.0)  # pink noise over everything: covers codec noise and exact zeros
    foreign_channels: tuple[str, ...] = ("gsm", "opus", "mp3")
    controls: tuple[Literal["recoded", "plain", "plain_recoded"], ...] = ("recoded",)  # of leak checks
    workers: int = Field(0, ge=0)  # processes that build clips; 0 is one a core

    @property
    def families(self) -> tuple[str, ...]:
        """All attack families, seen ones first."""
        return (*self.seen, *self.unseen)

    @model_validator(mode="after")
    def _fits(self) -> DataConfig:
        both = sorted(set(self.seen) & set(self.unseen))
        if both:
            raise ValueError(f"families both seen and unseen: {', '.join(both)}")
        if not self.seen:
            raise ValueError("no seen family: the detector has nothing to train on")
        if self.min_clip_s > self.max_clip_s:
            raise ValueError(f"min_clip_s {self.min_clip_s} is above max_clip_s {self.max_clip_s}")
        return self


class VerifierConfig(Config):
    """The speaker verifier under test."""

    spec: str = "ge2e"  # as auricle.backbones.speaker.load_verifier takes it: ge2e, ecapa:PATH, onnx:PATH, ...
    as_norm: int = Field(0, ge=0)  # cohort utterances nearest to each side that normalise a score; 0 is plain cosine
    batch: int = Field(32, ge=1)


class DetectorConfig(Config):
    """The spoof detector: one that is trained here, another run, or a file of scores."""

    kind: Literal["aasist", "cnn"] = "aasist"
    run: str | None = None  # folder of any run whose model scores audio, such as runs/mambo; replaces the own one
    scores: str | None = None  # file of `clip score` lines; replaces the own one
    start: str | None = None  # run whose detector training starts from, such as an imported release
    started: str | None = None  # the same, once that run's network stands here instead of what was given
    frontend: Literal["lfcc", "logmel", "ssl", "raw"] = "lfcc"  # raw: AASIST's own fixed filters on the waveform
    frontend_dim: int = Field(60, ge=8)  # coefficients, bands, filters, or the encoder's width
    hop_s: float = Field(0.02, gt=0.001)  # frames of the spectral front ends; the encoder has its own
    segment_s: float = Field(2.0, gt=0.2)  # what the network sees at once; shorter clips are tiled
    width: int | None = Field(None, ge=6)  # of AASIST's projection; null takes the features as they are
    channels: tuple[int, int] = (12, 24)
    graph: tuple[int, int] = (24, 16)
    keep: tuple[float, float, float] = (0.5, 0.5, 0.5)  # nodes kept over frequency, over time, and in the branches
    dead_norm: bool = False  # as in released networks, which compute a norm in each block and do not use it
    # FOUND in the references: the first window of the file as it is, and the logit of bona fide alone as its score;
    # "whole" cuts silence, sets the level, averages windows and takes the difference of the logits
    hearing: Literal["whole", "released"] = "whole"
    # of nodes, before pooling scores, of the branches, before the logits; the reference's (0.2, 0.3, 0.2, 0.5) keep a
    # network this small from learning anything in so few steps
    dropouts: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.5)
    encoder: str | None = None  # for "ssl": a folder in the format of Transformers, or a Hub id
    encoder_revision: str | None = None
    encoder_freeze: bool = False
    normalize: bool | None = None  # whether waves are brought to zero mean and unit variance; null asks the encoder
    encoder_config: dict[str, Any] | None = None  # read from `encoder`, kept with the run

    @model_validator(mode="before")
    @classmethod
    def _encoder_is_described(cls, values: Any) -> Any:
        """Store what `encoder` and `start` name, so that a run can be read without the folders they came from."""
        return described(_started(values))

    @model_validator(mode="after")
    def _fits(self) -> DetectorConfig:
        if self.run is not None and self.scores is not None:
            raise ValueError("detector.run and detector.scores are two detectors; give one of them")
        width = (self.encoder_config or {}).get("hidden_size")
        if self.frontend == "ssl" and width is not None and self.frontend_dim != width:
            raise ValueError(f"frontend_dim is {self.frontend_dim} and the encoder's frames are {width} wide; set both")
        return self


class TrainConfig(Recipe):
    """The recipe of the detector."""

    max_steps: int = Field(150, ge=1)
    eval_every: int = Field(50, ge=1)
    save_every: int = Field(75, ge=1)
    lr: float = Field(2e-3, gt=0)
    weight_decay: float = Field(0.1, ge=0)  # the reference has 1e-4, for a fine-tuned encoder
    batch: int = Field(16, ge=4)  # half real
    weight_spoof: float = Field(0.5, gt=0)  # batches are balanced; the reference has 0.1 and 0.9
    weight_bonafide: float = Field(0.5, gt=0)
    augment: Literal["none", "rawboost", "white"] = "none"
    rawboost: int = Field(3, ge=1, le=8)  # the algorithm; the reference has 5 for LA and 3 for DF
    copies: int = Field(3, ge=1)  # distorted copies of each clip, made once


class EvalConfig(Config):
    """What is measured and how."""

    fars: tuple[float, ...] = (1e-2, 1e-3, 1e-4)
    bootstrap: int = Field(1000, ge=100)
    batch: int = Field(32, ge=1)  # windows at once; with 64 the maps no longer fit the cache and cost a quarter more
    controls: bool = True  # baselines, CNN control, leave-one-generator-out matrix, leak check
    control_steps: int = Field(60, ge=1)  # training steps of each of those detectors
    sweep_clips: int = Field(100, ge=0)  # test clips of the sweeps; 0 leaves them out
    snr_db: tuple[float, ...] = (20.0, 10.0, 0.0)
    codecs: tuple[str, ...] = ("gsm", "opus", "mp3")
    durations_s: tuple[float, ...] = (0.5, 1.0, 2.0)
    enrolments: tuple[int, ...] = (1, 3)


SSL_ONLY = ("encoder", "encoder_revision", "encoder_freeze", "normalize")  # settings of the front end ssl
AASIST_ONLY = ("start", "width", "graph", "keep", "dead_norm")
OWN = ("kind", "hearing", "start")  # settings of the detector that is trained here
SHAPE = ("kind", "frontend", "frontend_dim", "segment_s", "width", "channels", "graph", "keep", "dead_norm")


def _started(values: Any) -> Any:
    """Take the network of the run that `start` names, once."""
    if not isinstance(values, dict) or not isinstance(start := values.get("start"), str):
        return values
    if values.get("started") == start:
        return values
    saved = RunFolder(seed_zero(start)).saved_config()
    if saved["system"] != "voice_auth":
        raise ConfigError(f"detector.start={start} is a run of '{saved['system']}'; give one of voice_auth")
    detector = saved["config"].get("detector", {})
    shape = {key: detector[key] for key in (*SHAPE, *SSL_ONLY, "encoder_config") if key in detector}
    return {**values, **shape, "started": start}


class VoiceAuthConfig(Config):
    """Everything that decides a run."""

    seed: int = 0
    data: DataConfig = DataConfig()
    verifier: VerifierConfig = VerifierConfig()
    detector: DetectorConfig = DetectorConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()

    def ignored(self) -> dict[str, str]:
        """Name the settings that decide nothing beside the others: key -> what it would need."""
        detector, augment = self.detector, self.train.augment
        trained = self.eval.controls or not (detector.run or detector.scores)
        rules = [
            ("detector.frontend=ssl", detector.frontend == "ssl", "detector", SSL_ONLY),
            ("detector.frontend=lfcc or logmel", detector.frontend in ("lfcc", "logmel"), "detector", ("hop_s",)),
            ("detector.kind=aasist", detector.kind == "aasist", "detector", AASIST_ONLY),
            ("train.augment=rawboost", augment == "rawboost", "train", ("rawboost",)),
            ("train.augment=rawboost or white", augment != "none", "train", ("copies",)),
            ("a detector that is trained here", trained, "detector", OWN),
            ("a detector that is trained here", trained, "train", tuple(TrainConfig.model_fields)),
        ]
        unmet = [(needs, group, names) for needs, met, group, names in rules if not met]
        return {f"{group}.{name}": f"it needs {needs}" for needs, group, names in unmet for name in names}


def paper() -> VoiceAuthConfig:
    """XLS-R 300M + AASIST with the public reference's values; the paper's own training is UNKNOWN.

    FOUND in the reference: norms that are computed and not used, and XLS-R on the waveform as it is, although it was
    trained on normalised ones. It scores with ``detector.hearing=released``, which only an import sets.
    """
    return VoiceAuthConfig(
        seed=1234,  # FOUND in the reference
        data=DataConfig(max_clip_s=4.0375, channels=("none",), material_s=180.0),
        verifier=VerifierConfig(spec="ecapa:spkrec-ecapa-voxceleb"),  # a folder of yours
        detector=DetectorConfig(
            frontend="ssl",
            frontend_dim=1024,
            segment_s=4.0375,  # 64,600 samples
            width=128,
            channels=(32, 64),
            graph=(64, 32),
            dropouts=(0.2, 0.3, 0.2, 0.5),
            dead_norm=True,
            encoder=XLS_R_300M_ID,
            encoder_revision=XLS_R_300M_REVISION,
            normalize=False,
        ),
        train=TrainConfig(
            batch=14,
            max_steps=100_000,
            eval_every=1000,
            save_every=1000,
            lr=1e-6,
            weight_decay=1e-4,
            weight_spoof=0.1,
            weight_bonafide=0.9,
            augment="rawboost",
            rawboost=5,
            copies=1,
        ),
        eval=EvalConfig(controls=False, sweep_clips=1000),
    )


def laptop() -> VoiceAuthConfig:
    """All voices of the embedded corpus, eight attack families, a small AASIST: under eight minutes on two cores."""
    return VoiceAuthConfig()


def smoke() -> VoiceAuthConfig:
    """The same path in seconds: few clips, two cheap families, few steps."""
    return VoiceAuthConfig(
        data=DataConfig(
            max_clip_s=1.6,
            enrol=2,
            tests=2,
            material_s=4.0,
            seen=("griffin_lim", "lpc_pulse"),
            unseen=("formant",),
            spoofs_per_voice=1,
        ),
        detector=DetectorConfig(frontend_dim=20, segment_s=1.0, channels=(4, 8), graph=(8, 4)),
        train=TrainConfig(batch=8, max_steps=20, eval_every=10, save_every=10),
        eval=EvalConfig(
            fars=(0.05, 0.01),
            bootstrap=100,
            control_steps=5,
            sweep_clips=12,
            snr_db=(10.0,),
            codecs=("gsm",),
            durations_s=(1.0,),
            enrolments=(1,),
        ),
    )


PRESETS = {"smoke": smoke, "laptop": laptop, "paper": paper}
