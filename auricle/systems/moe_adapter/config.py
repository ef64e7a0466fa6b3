"""Settings of `moe_adapter`'s data. The paper's corpus is not public: all of these values are our choice."""

from __future__ import annotations

from pydantic import Field, model_validator

from auricle.core.config import Config
from auricle.data import corpora

DOMAINS = ("speech", "music", "sound")
TASKS = {
    "speech": ("number", "letter", "language", "pace", "word", "fact"),
    "music": ("mode", "instrument", "tempo", "contour", "pace"),
    "sound": ("event", "count", "order"),
}
EVERY_TASK = tuple(dict.fromkeys(task for tasks in TASKS.values() for task in tasks))


class DataConfig(Config):
    """The task world: questions with four options about clips of one length, rate and level."""

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

    def tasks_of(self, domain: str) -> tuple[str, ...]:
        """Give the tasks of a domain that are asked."""
        return tuple(task for task in TASKS[domain] if task in self.tasks)


class MoeAdapterConfig(Config):
    """Everything that decides a run."""

    seed: int = 0
    data: DataConfig = DataConfig()


def laptop() -> MoeAdapterConfig:
    """About 4,800 training items on 2,000 clips."""
    return MoeAdapterConfig()


def smoke() -> MoeAdapterConfig:
    """The same world with few items."""
    return MoeAdapterConfig(data=DataConfig(train=64, dev=32, test=48))


PRESETS = {"smoke": smoke, "laptop": laptop}
