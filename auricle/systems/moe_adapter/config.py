"""Settings of `moe_adapter`. What the paper does not say is our choice, and says so."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from auricle.core.config import Config
from auricle.data import corpora
from auricle.data.worlds.listening import Chain
from auricle.train.recipe import Recipe

DOMAINS = ("speech", "music", "sound")
TASKS = {
    "speech": ("number", "letter", "language", "pace", "word", "fact"),
    "music": ("mode", "instrument", "tempo", "contour", "pace"),
    "sound": ("event", "count", "order"),
}
EVERY_TASK = tuple(dict.fromkeys(task for tasks in TASKS.values() for task in tasks))


class DataConfig(Config):
    """The task world: questions with four options about clips of one length, rate and level.

    The paper's corpus is not public: all of these values are our choice.
    """

    source: str = "embedded"  # a corpus: embedded or rec
    # which of some common words is in a sentence needs an encoder that knows English, so it is not asked by default
    tasks: tuple[str, ...] = tuple(task for task in EVERY_TASK if task != "word")
    split: int = Field(
        0, ge=0
    )  # which voices, recordings and pieces train, tune and test; another number, another draw
    seed: int = 0  # draws of the data; kept apart from the run's seed
    train: int = Field(1600, ge=16)  # items of each domain, shared evenly by its tasks; a multiple of four a task
    dev: int = Field(240, ge=16)
    test: int = Field(480, ge=16)
    questions: int = Field(2, ge=1)  # times that a clip is asked about in one task, with other options
    seconds: float = Field(2.56, ge=2.4, le=3.0)  # 32 frames of 80 ms
    band_hz: tuple[float, float] = (
        60.0,
        3600.0,
    )  # telephone prompts end here; all clips do, so no source is told by it
    snr_db: tuple[float, float] = (22.0, 34.0)  # pink noise under the whole clip
    level_dbfs: tuple[float, float] = (-44.0, -36.0)  # low: a click is as loud as a chord, and is not clipped
    speed: tuple[float, float] = (0.9, 1.1)  # every recording is played faster or slower, pitch and all
    facts_by_audio: float = Field(0.5, ge=0, le=1)  # share of the facts that training asks about by audio too

    @model_validator(mode="after")
    def _fits(self) -> DataConfig:
        unknown = [task for task in self.tasks if task not in EVERY_TASK]
        if unknown or len(set(self.tasks)) != len(self.tasks):
            raise ValueError(f"tasks {', '.join(self.tasks)}; give some of {', '.join(EVERY_TASK)}, each once")
        bare = [domain for domain in DOMAINS if not self.tasks_of(domain)]
        if bare:
            raise ValueError(f"no task is left for {', '.join(bare)}; each domain needs one")
        if self.source not in corpora.NAMES:
            raise ValueError(f"data.source {self.source}; the task world is made of {' or '.join(corpora.NAMES)}")
        return self

    @property
    def chain(self) -> Chain:
        """What every clip goes through."""
        return Chain(self.seconds, self.band_hz, self.snr_db, self.level_dbfs, self.speed, self.seed)

    def tasks_of(self, domain: str) -> tuple[str, ...]:
        """Give the tasks of a domain that are asked."""
        return tuple(task for task in TASKS[domain] if task in self.tasks)


class AdapterConfig(Config):
    """The routed adapter; the dense one beside it has as many weights in all."""

    # FOUND: router 2560 to 8 and language model 2048 wide; only the parallel layout has these and the published budget
    layout: Literal["parallel", "sequential", "linear"] = "parallel"
    experts: int = Field(8, ge=2)  # FOUND
    top_k: int = Field(4, ge=1)  # FOUND
    hidden: int = Field(48, ge=1)  # of one expert; FOUND 1,280
    shared_hidden: int = Field(384, ge=0)  # of the block that every token meets; FOUND 10,240, eight times an expert's
    front: int | None = Field(None, ge=1)  # width to which the encoder's frames are brought first; FOUND 2,560
    noise: float = Field(0.0, ge=0)  # on the router's logits while training; the paper reports none
    capacity: float | None = Field(None, gt=0)  # greatest load of an expert; the paper reports no limit
    balance: float = Field(0.01, ge=0)  # weights of the routing losses; UNKNOWN in the paper
    importance: float = Field(0.0, ge=0)
    load: float = Field(0.0, ge=0)
    probabilities: Literal["full", "chosen"] = "full"  # of the balance loss; UNKNOWN
    shares: Literal["one", "k"] = "one"  # the same

    @property
    def losses(self) -> dict[str, float]:
        """Weight of each routing loss."""
        return {"balance": self.balance, "importance": self.importance, "load": self.load}


class ModelConfig(Config):
    """Frozen encoder, adapter, language model."""

    encoder: str | None = None  # a Whisper: whisper-tiny-en, a folder, or a Hub id; null is the stand-in below
    revision: str | None = None  # commit of a Hub id
    width: int = Field(96, ge=8)  # of the encoder's frames
    stack: int = Field(4, ge=1)  # frames of Whisper that become one, 12.5 a second; FOUND
    channels: tuple[int, ...] = (24, 48, 64)  # of the stand-in's convolutions
    encoder_layers: int = Field(2, ge=0)
    position_heads: int = Field(4, ge=0)
    dropout: float = Field(0.1, ge=0, lt=1)  # of the stand-in
    # one more frame, in front: what the stand-in's heads read of the whole clip; a frozen decoder pools frames badly
    summary: bool = True
    decoder: str | None = None  # smollm2, or a folder with a causal LM; null is the tiny one below
    dim: int = Field(128, ge=16)
    layers: int = Field(4, ge=1)
    heads: int = Field(4, ge=1)
    lora_rank: int = Field(0, ge=0)  # of the joint stage; 0 trains the whole language model there
    lora_alpha: float = Field(16.0, gt=0)
    adapter: AdapterConfig = AdapterConfig()


class StageConfig(Recipe):
    """One stage of training. FOUND: AdamW with these betas, warm-up, then stable, then decay."""

    batch: int = Field(64, ge=1)
    save_every: int = Field(200, ge=1)
    warmup_fraction: float = Field(0.05, ge=0, lt=1)


class TrainConfig(Config):
    """The stages, in order; null leaves one out. The two arms share the first two and see the same batches after."""

    encoder: StageConfig | None = StageConfig()  # the stand-in learns to tell classes apart, then it is frozen
    text: StageConfig | None = StageConfig()  # the language model learns the questions and the facts as text
    lesson: StageConfig | None = None  # text alone: which letter stands beside which option
    adapt: StageConfig = StageConfig()  # the adapter alone; SET by the follow-up's report
    joint: StageConfig | None = None  # adapter and language model, or its LoRA
    letters: float = Field(0.0, ge=0, le=1)  # share of the clips' questions that are learnt with letters too


class EvalConfig(Config):
    """What is measured and how."""

    batch: int = Field(32, ge=1)
    bootstrap: int = Field(1000, ge=100)
    gradient_batches: int = Field(24, ge=0)  # disjoint ones a domain, for the cosines; 0 leaves them out
    gradient_size: int = Field(8, ge=1)  # items of each
    examples: int = Field(12, ge=0)  # players in the report


class MoeAdapterConfig(Config):
    """Everything that decides a run."""

    seed: int = 0
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    eval: EvalConfig = EvalConfig()

    @model_validator(mode="after")
    def _fits(self) -> MoeAdapterConfig:
        for part, stage in (("encoder", self.train.encoder), ("decoder", self.train.text)):
            name = getattr(self.model, part)
            if name is not None and stage is not None:
                raise ValueError(
                    f"model.{part} {name} has been trained, and this preset trains its own; begin with small"
                )
        if self.model.encoder is None and self.train.encoder is None:
            raise ValueError("the stand-in encoder would stay random; give train.encoder, or model.encoder")
        if self.model.lora_rank and self.train.joint is None:
            raise ValueError("model.lora_rank is of the joint stage, which this preset leaves out; begin with small")
        return self


def paper() -> MoeAdapterConfig:
    """Whisper large under Qwen3-1.7B with the published widths: 94.37 M dense, 94.39 M routed, 70.80 M active.

    The corpus of 40 B tokens is not public; steps and batch are our choice. The follow-up dropped the paper's second
    stream of discrete tokens, and so does this preset.
    """
    return MoeAdapterConfig(
        model=ModelConfig(
            encoder="whisper-large-v3",  # a folder of yours
            width=1280,
            decoder="Qwen3-1.7B",  # a folder of yours
            adapter=AdapterConfig(hidden=1280, shared_hidden=10_240, front=2560),
        ),
        train=TrainConfig(
            encoder=None,
            text=None,
            adapt=StageConfig(max_steps=5000, batch=32, lr=1e-5, mixed_precision="bf16", save_every=500),
            joint=StageConfig(max_steps=20_000, batch=32, lr=1e-5, mixed_precision="bf16", save_every=500),
        ),
    )


def small() -> MoeAdapterConfig:
    """Whisper tiny.en, frozen, under SmolLM2-135M: the adapter alone, then adapter and LoRA."""
    return MoeAdapterConfig(
        data=DataConfig(train=800, dev=96, test=240),
        model=ModelConfig(
            encoder="whisper-tiny-en",
            width=384,
            decoder="smollm2",
            lora_rank=16,
            adapter=AdapterConfig(hidden=128, shared_hidden=1024),
        ),
        train=TrainConfig(
            encoder=None,
            text=None,
            adapt=StageConfig(max_steps=240, batch=16, lr=1e-3, eval_every=120),
            joint=StageConfig(max_steps=80, batch=16, lr=3e-4, eval_every=80),
        ),
        eval=EvalConfig(batch=16, gradient_batches=6, gradient_size=4),
    )


def laptop() -> MoeAdapterConfig:
    """A stand-in encoder and a tiny language model, about a million parameters, on 4,800 items."""
    return MoeAdapterConfig(
        data=DataConfig(questions=1),
        train=TrainConfig(
            encoder=StageConfig(max_steps=500, lr=2e-3, eval_every=300),
            text=StageConfig(max_steps=200, lr=3e-3, eval_every=100),
            adapt=StageConfig(max_steps=600, lr=3e-3, eval_every=200),
        ),
    )


def smoke() -> MoeAdapterConfig:
    """The same path in seconds: few items, few steps of something smaller."""
    return MoeAdapterConfig(
        data=DataConfig(train=64, dev=32, test=48),
        model=ModelConfig(
            width=32,
            channels=(8, 16, 16),
            encoder_layers=1,
            position_heads=2,
            dim=32,
            layers=2,
            heads=2,
            adapter=AdapterConfig(hidden=8, shared_hidden=64),
        ),
        train=TrainConfig(
            encoder=StageConfig(max_steps=30, batch=32, lr=3e-3, save_every=15, eval_every=15),
            text=StageConfig(max_steps=120, batch=32, lr=1e-2, save_every=60, eval_every=60),
            adapt=StageConfig(max_steps=30, batch=32, lr=5e-3, save_every=15, eval_every=15),
            joint=StageConfig(max_steps=4, batch=32, lr=1e-3, save_every=2, eval_every=2),
        ),
        eval=EvalConfig(bootstrap=100, gradient_batches=4, gradient_size=2, examples=3),
    )


PRESETS = {"smoke": smoke, "laptop": laptop, "small": small, "paper": paper}
