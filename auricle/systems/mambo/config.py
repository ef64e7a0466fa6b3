"""Settings of `mambo`. FOUND values are the paper's or its released code's; the others say why they were chosen."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, model_validator

from auricle.backbones.architecture import XLS_R_300M_ID, XLS_R_300M_REVISION, described
from auricle.core.config import Config, override, parse
from auricle.core.errors import ConfigError
from auricle.data import corpora
from auricle.train.recipe import Recipe

Topology = Literal["mambo1", "mambo2", "mambo3", "mambo4", "transformer"]
MixerName = Literal[
    "mamba", "mamba2", "hydra", "gdn", "bimamba_add", "bimamba_concat", "bimamba2_add", "bimamba2_concat"
]
FrontEnd = Literal["lfcc", "logmel", "ssl", "whisper"]


class ModelConfig(Config):
    """The network. None means the mixer's published default."""

    topology: Topology = "mambo3"
    mixer: MixerName = "hydra"
    n: int = Field(3, ge=1, le=8)  # SSM blocks in a row; the paper's N
    layers: int = Field(5, ge=1, le=48)  # repeated units; the paper's L, 5 in the released command
    d_model: int = Field(128, ge=8)
    ffn_hidden: int | None = Field(None, ge=1)  # int(8 * d_model / 3) = 341 in the released code
    heads: int = Field(4, ge=1)
    dropout: float = Field(0.1, ge=0, lt=1)
    d_state: int | None = Field(None, ge=1)  # 16 for Mamba, 64 for Mamba2 and Hydra
    head_dim: int | None = Field(None, ge=1)  # 64 for Mamba2 and Hydra (the config's 32 is never passed on)
    pool_hidden: int | None = Field(None, ge=1)  # as ffn_hidden
    frontend: FrontEnd = "ssl"
    frontend_dim: int = Field(1024, ge=1)  # coefficients or bands of a frame; 1024 for XLS-R
    # for "ssl": a folder in the format of Transformers, or a Hub id; for "whisper" also whisper-tiny-en
    encoder: str | None = None
    encoder_revision: str | None = None  # commit of a Hub id, 40 hex digits
    # None is the last layer, as in the release; for "whisper" a learnt mixture of so many layers from below
    encoder_layer: int | Literal["weighted"] | None = None
    encoder_freeze: bool = False  # the released command trains the whole encoder
    encoder_config: dict[str, Any] | None = None  # the encoder's architecture; read from `encoder`, kept with the run

    @model_validator(mode="before")
    @classmethod
    def _encoder_is_described(cls, values: Any) -> Any:
        """Store the encoder's architecture, so that a run can be read without the folder the encoder came from."""
        return values if isinstance(values, dict) and values.get("frontend") == "whisper" else described(values)

    @model_validator(mode="after")
    def _encoder_fits(self) -> ModelConfig:
        if self.frontend == "whisper" and not (
            self.encoder is not None and isinstance(self.encoder_layer, int) and self.encoder_freeze
        ):
            raise ValueError(
                "frontend=whisper needs encoder (whisper-tiny-en, a folder or a Hub id), encoder_layer (the number of "
                "layers that are mixed) and encoder_freeze=true"
            )
        if self.frontend != "ssl" or self.encoder_config is None:
            return self
        width, count = self.encoder_config.get("hidden_size"), self.encoder_config.get("num_hidden_layers")
        if self.frontend_dim != width:
            raise ValueError(f"frontend_dim is {self.frontend_dim} and the encoder's frames are {width} wide; set both")
        if isinstance(self.encoder_layer, int) and not 0 <= self.encoder_layer <= (count or 0):
            raise ValueError(f"encoder_layer is {self.encoder_layer}; this encoder has 0 to {count}, or weighted")
        return self


class DataConfig(Config):
    """Real clips, the spoofs made of them, and the chain that both go through."""

    source: str = "embedded"  # a corpus (embedded, rec), or the path of a manifest with labels of its own
    split: int = Field(0, ge=0)  # which voices train, tune and test; another number is another draw
    seed: int = 0  # draws of the data; kept apart from the run's seed, so that seeds share one test set
    rate_hz: int = Field(16000, ge=8000)
    segment_s: float = Field(2.0, gt=0.2)  # what the network sees at once; shorter clips are tiled
    first_window: bool = False  # score the first of it alone, neither cut nor with noise: as the release does
    min_clip_s: float = Field(1.0, ge=0.2)
    max_clip_s: float = Field(3.0, ge=0.5)
    clips_per_voice: int = Field(20, ge=2)
    # Neural ones stand on both sides: a vocoder that upsamples and a text-to-speech engine in training, a vocoder of
    # another build in the test alone. Chosen before any detector was trained on them.
    seen: tuple[str, ...] = ("world", "world_conversion", "griffin_lim", "lpc_pulse", "hibari", "neural_upsampling")
    unseen: tuple[str, ...] = ("lpc_noise", "psola", "formant", "phase_vocoder", "neural_istft")
    # Of dev clips alone, beside the seen ones: a threshold that has met nothing but what was trained on is too sure.
    # They are neither seen nor unseen, so that the test says nothing of them and they nothing of the test.
    held_out: tuple[str, ...] = ("neighbour", "harmonic")
    spoofs_per_clip: int = Field(3, ge=1)  # families drawn for each training and dev clip
    # Of the speaker groups of each source: a quarter is four of the embedded corpus, from three packages or more.
    dev_share: float = Field(0.25, gt=0, le=0.5)
    test_share: float = Field(0.4, gt=0, le=1)  # share of the test clips that each family re-synthesises
    band_hz: float = Field(3800.0, ge=1000)  # the sources end between 4 and 8 kHz; above this nobody looks
    channels: tuple[str, ...] = ("none", "mu_law", "a_law", "g722")
    noise_snr_db: tuple[float, float] = (35.0, 60.0)  # pink noise over everything: covers codec noise and exact zeros
    foreign_channels: tuple[str, ...] = ("gsm", "opus", "mp3")  # for the second leak check only
    workers: int = Field(0, ge=0)  # processes that build clips; 0 is one a core

    @property
    def window(self) -> int:
        """Samples of what the network sees at once."""
        return round(self.segment_s * self.rate_hz)

    @model_validator(mode="after")
    def _families_are_apart(self) -> DataConfig:
        for names, others, what in (
            (self.seen, self.unseen, "seen and unseen"),
            (self.seen, self.held_out, "seen and held_out"),
            (self.unseen, self.held_out, "unseen and held_out"),
        ):
            if both := sorted(set(names) & set(others)):
                raise ValueError(f"families both {what}: {', '.join(both)}")
        if self.min_clip_s > self.max_clip_s:
            raise ValueError(f"min_clip_s {self.min_clip_s} is above max_clip_s {self.max_clip_s}")
        return self


class TrainConfig(Recipe):
    """The recipe. Defaults are the released one's.

    Our weight decay spares A_log, dt bias, D, norms and biases; the release's does not. ``clip_norm`` is UNKNOWN in the
    paper; 1.0 is the usual choice.
    """

    lr: float = Field(1e-5, gt=0)
    max_steps: int = Field(15_860, ge=1)  # 20 epochs of 25,380 clips at batch 32
    eval_every: int = Field(793, ge=1)  # one epoch
    save_every: int = Field(793, ge=1)
    keep_best: int = Field(5, ge=1)  # checkpoints of lowest `monitor`
    patience: int | None = Field(7, ge=1)  # evaluations without a lower dev loss
    mixed_precision: Literal["no", "bf16"] = "bf16"
    monitor: Literal["dev_loss", "dev_eer"] = "dev_loss"  # the lower the better
    loss: Literal["focal", "wce"] = "focal"
    alpha_spoof: float = Field(0.1, gt=0)  # class weights, spoof and bona fide
    alpha_bonafide: float = Field(0.9, gt=0)
    gamma: float = Field(2.0, ge=0)  # of the focal loss
    batch: int = Field(32, ge=2)  # clips; half of them real, each with a fake of the same utterance
    # windows begin at multiples of it (0: anywhere): with few windows, features that are kept are found again
    grid_s: float = Field(0.0, ge=0)
    splice: float = Field(0.0, ge=0, le=1)  # share of the fakes that are pasted into their real clip in part
    frame_weight: float = Field(0.0, ge=0)  # weight of the frame loss, which needs the splices' truth
    rawboost: int | None = Field(None, ge=1, le=8)  # algorithm that distorts training and dev clips


class EvalConfig(Config):
    """What is measured and how."""

    average: int = Field(1, ge=1)  # average the weights of the k best checkpoints; the paper scores each alone
    batch: int = Field(64, ge=1)
    bootstrap: int = Field(1000, ge=10)  # speaker-bootstrap replicates
    controls: bool = True  # baselines, leak checks and leave-one-source-out beside the result
    control_steps: int = Field(60, ge=1)  # training steps of each control detector


class MamboConfig(Config):
    """Everything that decides a run."""

    seed: int = 0
    model: ModelConfig = ModelConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()

    def ignored(self) -> dict[str, str]:
        """Name the settings that decide nothing beside the others, each with the reason."""
        model, kinds = self.model, {"mambo1": {"ffn"}, "mambo2": {"mha"}, "transformer": {"mha", "ffn"}}
        has = kinds.get(model.topology, {"ffn", "mha"}) | ({"gdn"} if model.mixer == "gdn" else set())
        found: dict[str, str] = {}
        if model.frontend in ("lfcc", "logmel"):
            reason = (
                f"model.frontend={model.frontend} takes no speech encoder; set model.frontend=ssl, and "
                "model.frontend_dim to the encoder's width"
            )
            names = ("encoder", "encoder_revision", "encoder_layer", "encoder_freeze")
            found |= dict.fromkeys((f"model.{name}" for name in names), reason)
        if not has & {"mha", "gdn"}:
            found["model.heads"] = f"nothing in model.topology={model.topology} has heads"
        if "ffn" not in has:
            found["model.ffn_hidden"] = f"model.topology={model.topology} has no feed-forward"
        if model.topology == "transformer":
            reason = "model.topology=transformer has no mixer"
            found |= dict.fromkeys(("model.mixer", "model.d_state", "model.head_dim"), reason)
        if self.train.loss == "wce":
            found["train.gamma"] = "train.loss=wce has no gamma"
        if self.eval.average > self.train.keep_best:
            found["eval.average"] = f"train.keep_best={self.train.keep_best} checkpoints are kept"
        if not self.eval.controls:
            found["eval.control_steps"] = "eval.controls=false trains no control detector"
        if self.data.source not in corpora.NAMES:
            found |= dict.fromkeys(_OF_A_CORPUS, f"the clips of {self.data.source} are taken as they are")
        return found


# Settings of the spoofs, of the chain and of the leak checks, which a manifest of one's own does not go through.
_OF_A_CORPUS = (
    "data.seed",
    "data.min_clip_s",
    "data.max_clip_s",
    "data.clips_per_voice",
    "data.spoofs_per_clip",
    "data.held_out",
    "data.dev_share",
    "data.test_share",
    "data.channels",
    "data.noise_snr_db",
    "data.foreign_channels",
    "data.workers",
    "eval.control_steps",
)


def paper() -> MamboConfig:
    """MamBo-3-Hydra-N3 with L = 5 on XLS-R 300M: the published sizes and recipe (released code)."""
    return MamboConfig(
        seed=114514,  # the only seed of the release
        model=ModelConfig(encoder=XLS_R_300M_ID, encoder_revision=XLS_R_300M_REVISION),
        data=DataConfig(segment_s=4.175, max_clip_s=4.175, channels=("none",)),  # 66,800 samples at 16 kHz
        # the release's 5 for ASVspoof 2021 LA; for DF it takes 3, for In-the-Wild and DFADD none (null)
        train=TrainConfig(rawboost=5),
        eval=EvalConfig(controls=False),
    )


def laptop() -> MamboConfig:
    """A MamBo-3-Hydra on log filter banks that trains in about two minutes on two cores."""
    return MamboConfig(
        model=ModelConfig(
            topology="mambo3",
            mixer="hydra",
            n=2,
            layers=1,
            d_model=64,
            d_state=32,  # halved with the width
            head_dim=32,
            frontend="lfcc",
            frontend_dim=100,  # filters of 38 Hz up to band_hz
        ),
        train=TrainConfig(
            loss="wce",
            alpha_spoof=0.5,  # batches are balanced
            alpha_bonafide=0.5,
            lr=2e-3,  # small network from scratch, not a fine-tuned encoder
            batch=16,
            max_steps=300,
            eval_every=50,
            monitor="dev_eer",  # on so few voices the loss punishes confidence, and picks what has learnt little
            patience=None,
            keep_best=3,
            save_every=50,
            mixed_precision="no",
            splice=0.25,
            frame_weight=0.3,
        ),
        eval=EvalConfig(average=3),
    )


def small() -> MamboConfig:
    """A MamBo-3-Hydra on the first layers of Whisper tiny.en, which stay as they are; a few minutes on two cores."""
    base = laptop()
    model = base.model.model_copy(
        update={
            "frontend": "whisper",
            "frontend_dim": 384,
            "encoder": "whisper-tiny-en",
            "encoder_layer": 2,
            "encoder_freeze": True,
        }
    )
    # Three or four hundred steps are enough: after that the loss on the few training voices is nothing and dev stands
    # still. No splices: a window that is pasted anew is new to the features that are kept.
    recipe = {"max_steps": 400, "grid_s": 0.25, "splice": 0.0, "frame_weight": 0.0}
    train = base.train.model_copy(update=recipe)
    return parse(MamboConfig, base.model_copy(update={"model": model, "train": train}).model_dump())


def smoke() -> MamboConfig:
    """The same path in seconds: fewer voices' clips, two families, fifty small steps."""
    settings = [
        "model.d_model=32",
        "model.d_state=16",
        "model.head_dim=16",
        "data.clips_per_voice=4",
        "data.max_clip_s=1.5",
        'data.seen=["griffin_lim", "lpc_pulse"]',
        'data.unseen=["lpc_noise"]',
        'data.held_out=["harmonic"]',
        "data.spoofs_per_clip=1",
        "data.test_share=1.0",
        "train.max_steps=50",
        "train.eval_every=25",
        "train.save_every=25",
        "eval.average=1",
        "eval.bootstrap=100",
        "eval.control_steps=10",
    ]
    return override(laptop(), settings)


_MIXERS: dict[str, MixerName] = {"Mamba": "mamba", "Mamba2": "mamba2", "Hydra": "hydra", "GDN": "gdn"}
NAMED = tuple(f"MamBo-{kind}-{mixer}-N{n}" for kind in (1, 2, 3, 4) for mixer in _MIXERS for n in (1, 2, 3))


def named(name: str) -> MamboConfig:
    """Give one of the paper's 48 configurations; they differ in nothing but topology, mixer and N.

    On the command line: ``--preset paper model.topology=mambo1 model.mixer=mamba2 model.n=2`` is MamBo-1-Mamba2-N2.

    Args:
        name: one of `NAMED`, such as ``MamBo-3-Hydra-N3``.

    Raises:
        ConfigError: no such configuration.
    """
    parts = re.fullmatch(r"MamBo-([1-4])-(\w+)-N([1-3])", name)
    if parts is None or parts[2] not in _MIXERS:
        raise ConfigError(
            f"there is no configuration {name!r}; names are MamBo-{{1..4}}-{{{','.join(_MIXERS)}}}-N{{1..3}}, "
            "such as MamBo-3-Hydra-N3"
        )
    return override(
        paper(), [f"model.topology=mambo{parts[1]}", f"model.mixer={_MIXERS[parts[2]]}", f"model.n={parts[3]}"]
    )


PRESETS = {"smoke": smoke, "laptop": laptop, "small": small, "paper": paper}
