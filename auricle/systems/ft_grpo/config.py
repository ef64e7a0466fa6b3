"""Settings of `ft_grpo`. FOUND values are those of the released scripts; the others say why they are so."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from auricle.core.config import Config
from auricle.data import corpora
from auricle.train.recipe import Recipe

TYPES = ("speech", "singing", "music", "sound")
# of the smoke preset; where a public model takes their place, these and the defaults are nobody's wish
_SMALL: dict[str, Any] = {
    "dim": 32,
    "layers": 2,
    "heads": 2,
    "encoder_layers": 1,
    "channels": (8, 16),
    "time_strides": (2, 2),
    "mel_strides": (4, 2),
}
_FEW: dict[str, Any] = {
    "train": 160,
    "dev": 32,
    "test": 64,
    "weak": 16,
    "hard": 8,
    "hard_families": ("griffin_lim", "lpc_pulse"),
}
_OF_THE_WORLD = (
    "types", "train", "dev", "test", "weak", "hard", "share_time", "both", "strength", "weak_strength",
    "hard_families", "codecs", "room_snr_db", "line_snr_db", "spoiled", "seed",
)  # fmt: skip
_OF_OUR_ENCODER = (
    "dim", "layers", "heads", "hidden", "encoder_layers", "channels", "time_strides", "mel_strides", "dropout",
    "merge", "summary", "position_heads",
)  # fmt: skip


def _refuse_ignored(group: Config, names: Sequence[str], preset: Mapping[str, Any], why: str) -> None:
    """Refuse settings that would decide nothing; what a default or a preset says is nobody's wish.

    Raises:
        ValueError: naming them.
    """
    default = {name: field.default for name, field in type(group).model_fields.items()}
    asked = [name for name in names if getattr(group, name) not in (default[name], preset.get(name, default[name]))]
    if asked:
        raise ValueError(f"{why}: {', '.join(asked)} would be ignored; leave it out")


class DataConfig(Config):
    """The artefact world: four types of audio, half of the clips with artefacts of known place.

    The paper trains on four real corpora; all of these values are our choice.
    """

    source: str = "embedded"  # a corpus (embedded, rec), or the path of a labelled manifest
    types: tuple[str, ...] = TYPES
    split: int = Field(0, ge=0)  # which voices, tracks and sounds train, tune and test; another number, another draw
    seed: int = 0  # draws of the data; kept apart from the run's seed
    train: int = Field(4000, ge=16)  # clips over all types, half of them fake
    dev: int = Field(400, ge=16)
    test: int = Field(1000, ge=16)
    weak: int = Field(400, ge=0)  # of the weak-artefact test set; half real
    hard: int = Field(96, ge=0)  # of the vocoded speech without a place; half real
    share_time: float = Field(0.5, ge=0, le=1)  # of the fakes with one artefact, those with one of time
    both: float = Field(0.3, ge=0, le=1)  # of the fakes, those with one of each domain
    strength: tuple[float, float] = (0.5, 1.0)
    weak_strength: tuple[float, float] = (0.15, 0.4)  # below all that was trained on
    hard_families: tuple[str, ...] = ("world", "griffin_lim", "lpc_pulse")
    codecs: tuple[str, ...] = ("none", "none", "mu_law", "g722")  # one a pair of real and fake; twice none is half
    room_snr_db: tuple[float, float] = (25.0, 40.0)  # pink noise before the artefact: pauses have a floor
    line_snr_db: tuple[float, float] = (50.0, 60.0)  # pink noise after it: no exact zeros
    spoiled: float = Field(0.0, ge=0, lt=1)  # share of training rationales that contradict the label (C5: 0.12)
    segment_s: float = Field(1.5, ge=1.5, le=1.5)  # the bins are eighths of it

    @model_validator(mode="after")
    def _fits(self) -> DataConfig:
        unknown = [name for name in self.types if name not in TYPES]
        if unknown or not self.types or len(set(self.types)) != len(self.types):
            raise ValueError(f"types {', '.join(self.types) or 'none'}; give some of {', '.join(TYPES)}, each once")
        if self.weak_strength[1] > self.strength[0]:
            raise ValueError(f"weak_strength {self.weak_strength} reaches into strength {self.strength}")
        if self.source not in corpora.NAMES:
            _refuse_ignored(self, _OF_THE_WORLD, _FEW, f"the manifest {self.source} brings its own clips")
        return self


class ModelConfig(Config):
    """The audio language model: our own small one, our encoder under a causal LM of yours, or a public one."""

    renamed: ClassVar[Mapping[str, str]] = {"seekers": "position_heads"}

    backbone: str | None = None  # folder of a public audio LM (Qwen2.5-Omni thinker, Qwen2-Audio); replaces all below
    decoder: str | None = None  # folder of a causal LM under our encoder; null builds the tiny one below
    dim: int = Field(128, ge=16)  # of encoder and tiny decoder
    layers: int = Field(3, ge=1)  # of the tiny decoder
    heads: int = Field(4, ge=1)
    hidden: int | None = Field(None, ge=16)  # of its feed-forward layers; null is 3 x dim
    encoder_layers: int = Field(2, ge=0)
    channels: tuple[int, ...] = (24, 48, 64)  # of the 2-D convolutions
    time_strides: tuple[int, ...] = (2, 2, 1)  # 40 ms frames: a time bin is more than four of them
    mel_strides: tuple[int, ...] = (2, 2, 2)
    dropout: float = Field(0.0, ge=0, lt=1)
    merge: int = Field(5, ge=1)  # encoder frames to one place of the decoder, 200 ms
    summary: bool = True  # one more place, made of the mean and the maximum that the auxiliary heads read
    position_heads: int = Field(4, ge=0)  # attention heads over frames; the mean time of each goes there too
    lora_rank: int = Field(0, ge=0)  # 0 trains every weight, which a model made from nothing needs
    lora_alpha: float = Field(16.0, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> ModelConfig:
        if self.backbone is not None and self.decoder is not None:
            raise ValueError("model.backbone is a whole audio language model; give it or model.decoder, not both")
        if self.backbone is not None:
            _refuse_ignored(self, _OF_OUR_ENCODER, _SMALL, "model.backbone is a whole model, which brings its sizes")
        elif self.decoder is not None:
            _refuse_ignored(self, ("layers", "hidden"), _SMALL, "model.decoder brings its sizes")
        if not self.lora_rank:
            _refuse_ignored(self, ("lora_alpha",), {}, "without model.lora_rank there is no LoRA")
        return self


class _Recipe(Recipe):
    renamed: ClassVar[Mapping[str, str]] = {"steps": "max_steps", "warmup": "warmup_fraction"}

    weight_decay: float = Field(0.1, ge=0)
    warmup_fraction: float = Field(0.05, ge=0, lt=1)


class StageConfig(_Recipe):
    """One stage of supervised training."""

    batch: int = Field(64, ge=1)
    save_every: int = Field(100, ge=1)


class GrpoConfig(_Recipe):
    """Stage 2. The defaults are those of the released scripts and of ms-swift 3.9, which they start."""

    max_steps: int = Field(100, ge=1)
    prompts: int = Field(32, ge=1)  # a batch
    samples: int = Field(8, ge=2)  # G
    kind: Literal["grpo", "dr_grpo", "dapo", "sapo"] = "grpo"
    clip: float = Field(0.2, ge=0, lt=1)  # of the ratio; `clip_norm` is of the gradient
    beta: float = Field(0.04, ge=0)
    temperature: float = Field(0.9, gt=0)
    top_p: float = Field(0.9, gt=0, le=1)
    top_k: int = Field(50, ge=0)
    max_new: int = Field(64, ge=1)
    accuracy: float = Field(1.0, ge=0)  # weights of the rewards
    format: float = Field(0.1, ge=0)
    structure: float = Field(0.1, ge=0)
    ground: float = Field(0.0, ge=0)  # not in the release; needs clips whose artefacts are known
    lr: float = Field(1e-5, gt=0)
    save_every: int = Field(50, ge=1)
    eval_every: int = Field(50, ge=1)

    @model_validator(mode="after")
    def _fits(self) -> GrpoConfig:
        if not any(self.weights.values()):
            raise ValueError("every reward has weight 0; give one of accuracy, format, structure, ground a weight")
        if self.kind == "sapo":
            _refuse_ignored(self, ("clip",), {}, "sapo does not clip the ratio")
        return self

    @property
    def weights(self) -> dict[str, float]:
        """Weight of each reward."""
        return {name: getattr(self, name) for name in ("accuracy", "format", "structure", "ground")}


class TrainConfig(Config):
    """The stages, in order; a number of steps of null leaves a stage out."""

    heads: StageConfig | None = None  # encoder and its auxiliary heads alone, which is cheap; not in the paper
    # after the heads the encoder rests and every clip is encoded once: SFT and GRPO are then the decoder's alone
    freeze: bool = False
    sft: StageConfig = StageConfig()
    head_weight: float = Field(0.3, ge=0)  # of the auxiliary losses beside the text's, in SFT
    grpo: GrpoConfig | None = GrpoConfig()
    # SFT for about as long as stage 2 takes, from the same weights: the row that GRPO has to beat
    more_sft: StageConfig | None = None

    @model_validator(mode="after")
    def _fits(self) -> TrainConfig:
        if self.freeze and self.heads is None:
            raise ValueError("train.freeze would freeze an encoder that nothing has trained; give train.heads too")
        if self.freeze and self.head_weight:
            _refuse_ignored(self, ("head_weight",), {}, "with train.freeze the heads are trained before SFT alone")
        return self


class EvalConfig(Config):
    """What is measured and how."""

    batch: int = Field(64, ge=1)
    max_new: int = Field(64, ge=1)
    rationales: int = Field(4, ge=1)  # the score averages over so many rationales, the greedy one among them
    bootstrap: int = Field(1000, ge=100)
    counterfactuals: int = Field(100, ge=0)  # test fakes whose artefact is moved and removed; 0 leaves it out
    pictures: int = Field(8, ge=0)  # annotated spectrograms in the report


class FtGrpoConfig(Config):
    """Everything that decides a run."""

    seed: int = 0
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()

    @model_validator(mode="after")
    def _fits(self) -> FtGrpoConfig:
        if self.model.backbone is not None and (self.train.heads is not None or self.train.head_weight):
            raise ValueError(
                "a public backbone has no auxiliary heads; begin with --preset paper, which trains without, and "
                "model.backbone=FOLDER"
            )
        if self.train.freeze and self.model.lora_rank:
            raise ValueError("train.freeze is for a model whose every weight is trained; set model.lora_rank 0")
        if self.data.source not in corpora.NAMES and self.train.grpo is not None and self.train.grpo.ground:
            raise ValueError(
                f"train.grpo.ground needs clips whose artefacts are known, and {self.data.source} does not say; set it "
                f"to 0, or data.source to {' or '.join(corpora.NAMES)}"
            )
        return self


def paper() -> FtGrpoConfig:
    """Qwen2.5-Omni-3B with LoRA on all linear layers and the released scripts' recipe.

    FOUND: bfloat16; 16 clips (SFT) and 32 answers (GRPO) a GPU, 8 GPUs, no accumulation. This preset is for one GPU,
    which accumulates 8 batches: the same update. On 8 GPUs (`accelerate launch`) set accumulate=1 in both stages.
    """
    return FtGrpoConfig(
        model=ModelConfig(backbone="Qwen2.5-Omni-3B", lora_rank=64, lora_alpha=16.0),  # a folder of yours
        train=TrainConfig(
            # 3 epochs of about 340,000 clips in batches of 128; INFERRED from "about 340K" demonstrations
            sft=StageConfig(
                max_steps=7969,
                batch=16,
                accumulate=8,
                mixed_precision="bf16",
                lr=1e-5,
                warmup_fraction=0.01,
                save_every=500,
                eval_every=500,
            ),
            head_weight=0.0,  # the public encoder has no auxiliary heads
            # 2 epochs of as many prompts, 32 an update
            grpo=GrpoConfig(
                max_steps=21250,
                prompts=4,
                accumulate=8,
                mixed_precision="bf16",
                max_new=768,
                save_every=500,
                eval_every=500,
            ),
        ),
        eval=EvalConfig(batch=16, max_new=512, rationales=1, counterfactuals=0),
    )


def laptop() -> FtGrpoConfig:
    """About a million parameters from nothing, on the artefact world: SFT, then GRPO, in under twelve minutes."""
    return FtGrpoConfig(
        train=TrainConfig(
            heads=StageConfig(max_steps=500, lr=2e-3, eval_every=250),
            freeze=True,
            sft=StageConfig(max_steps=450, lr=2e-3, eval_every=150),
            # weights of our own from nothing take more than LoRA's 1e-5; an answer has at most 20 tokens
            grpo=GrpoConfig(max_steps=60, lr=1e-4, max_new=32, save_every=30, eval_every=30),
            more_sft=StageConfig(max_steps=250, lr=5e-4, eval_every=250),
        )
    )


def smoke() -> FtGrpoConfig:
    """The same path in seconds: few clips, few steps of something smaller."""
    return FtGrpoConfig(
        data=DataConfig(**_FEW),
        model=ModelConfig(**_SMALL),
        train=TrainConfig(
            heads=StageConfig(max_steps=30, batch=32, lr=3e-3, save_every=15, eval_every=15),
            freeze=True,
            sft=StageConfig(max_steps=240, batch=32, lr=5e-3, save_every=120, eval_every=120),
            grpo=GrpoConfig(max_steps=4, prompts=8, samples=4, lr=1e-4, max_new=32, save_every=2, eval_every=2),
            more_sft=StageConfig(max_steps=8, batch=32, lr=5e-4, save_every=4, eval_every=4),
        ),
        eval=EvalConfig(rationales=2, bootstrap=100, counterfactuals=12, pictures=2),
    )


PRESETS = {"smoke": smoke, "laptop": laptop, "paper": paper}
