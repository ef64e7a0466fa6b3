"""`train`: the stand-in hears, the language model reads, then two adapters learn from the same batches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from auricle.alm.items import Items, with_encoder_frames
from auricle.alm.questions import OPEN, Question, as_items, as_text
from auricle.alm.sft import Policy
from auricle.alm.stages import LORA, Stage, merge_logs, train_only
from auricle.core.run import FINAL, RunFolder, is_main_process
from auricle.systems.moe_adapter import data
from auricle.systems.moe_adapter.config import MoeAdapterConfig
from auricle.systems.moe_adapter.hearing import Hearing
from auricle.systems.moe_adapter.items import asked, conversations, heard_items, lesson_items, text_items
from auricle.systems.moe_adapter.model import DENSE, LETTER, MOE, TOKENS, Arm, build
from auricle.systems.moe_adapter.stages import fit_encoder, fit_text
from auricle.train.checkpoint import save_model

ARMS: tuple[Arm, ...] = ("dense", "moe")
CHECKPOINTS = {MOE: FINAL, DENSE: DENSE}  # the dense arm is what the routed one is measured against


@dataclass(frozen=True)
class Ready:
    """What both arms train on: clips heard once, and questions about them."""

    clips: Items
    questions: list[Question]


def train(cfg: MoeAdapterConfig, run: RunFolder) -> Path:
    """Train both arms of a run; a killed run goes on in the stage in which it was.

    Args:
        cfg: the run's config.
        run: a run folder with prepared items.

    Returns:
        The folder of the final checkpoint: the routed arm. ``checkpoints/dense`` holds the other.

    Raises:
        DataError: nothing was prepared.
    """
    shared, ready, dev = prepared(cfg, run)
    for arm in ARMS:
        network = build(cfg, arm)
        take(network, shared)
        fit_arm(cfg, network, ready, dev, run.checkpoints / "stages" / arm)
        if is_main_process():
            save_model(run.checkpoints / CHECKPOINTS[arm], network, {"arm": arm, TOKENS: network.tokens_mark})
    stages = run.checkpoints / "stages"
    logs = [stages / name for name in ("encoder", "text", "lesson")]
    merge_logs(run.path / "metrics.jsonl", logs + [stages / arm / name for arm in ARMS for name in ("adapt", "joint")])
    return run.checkpoints / FINAL


def prepared(cfg: MoeAdapterConfig, run: RunFolder) -> tuple[Policy, Ready, Ready]:
    """Do what the arms share: train the stand-in and the tiny language model, and hear every clip once.

    Returns:
        The network whose encoder and language model the arms take; training and dev items.
    """
    how, network = cfg.train, build(cfg)
    hearing = Hearing(cfg.model, cfg.data.band_hz)
    splits = {name: data.load(run, name) for name in ("train", "dev")}
    clips = {name: heard_items(split, hearing) for name, split in splits.items()}
    questions = {name: asked(split.items, split.ids) for name, split in splits.items()}
    stages = run.checkpoints / "stages"

    def stage(name: str, items: Items, dev: Items) -> Stage:
        return Stage(items, dev, stages / name, cfg.seed, meta={"system": "moe_adapter"})

    if how.encoder is not None:
        train_only(network, ["encoder"])
        fit_encoder(network, stage("encoder", clips["train"], clips["dev"]), how.encoder)
    train_only(network, ["decoder"])
    texts, dev = text_items(cfg, run, questions["train"]), as_text(questions["dev"])
    if how.text is not None:
        fit_text(network, stage("text", as_items(texts, None, OPEN), as_items(dev, None, OPEN)), how.text)
    if how.lesson is not None:
        fit_text(network, stage("lesson", lesson_items(texts, cfg.seed), as_items(dev, None, LETTER)), how.lesson)
    ready = {name: Ready(with_encoder_frames(network, own), questions[name]) for name, own in clips.items()}
    return network, ready["train"], ready["dev"]


def take(network: Policy, shared: Policy) -> None:
    """Give an arm the encoder and the language model that both have; the adapter stays its own."""
    for part in ("encoder", "decoder"):
        getattr(network.lm.base, part).load_state_dict(getattr(shared.lm.base, part).state_dict())


def fit_arm(cfg: MoeAdapterConfig, network: Policy, ready: Ready, dev: Ready, folder: Path) -> None:
    """Train the adapter of an arm, then adapter and language model; every arm has the same batches."""
    items = conversations(ready.questions, ready.clips, cfg.train.letters, cfg.seed)
    held = conversations(dev.questions, dev.clips, 0.0, cfg.seed)
    trained = {"adapt": ["projector"], "joint": ["projector", LORA if cfg.model.lora_rank else "decoder"]}
    for name, how in (("adapt", cfg.train.adapt), ("joint", cfg.train.joint)):
        if how is not None:
            train_only(network, trained[name])
            stage = Stage(items, held, folder / name, cfg.seed, meta={"system": "moe_adapter"})
            fit_text(network, stage, how)
