"""`train`: the encoder's heads, SFT, more SFT as a control, GRPO. It reads top to bottom."""

from __future__ import annotations

from pathlib import Path

from auricle.alm.items import Items, with_encoder_frames
from auricle.alm.sft import Policy
from auricle.alm.stages import Stage, for_grpo, merge_logs, train_only
from auricle.core.run import FINAL, RunFolder, is_main_process
from auricle.core.seed import derive
from auricle.metrics.calibration import calibrate
from auricle.systems.ft_grpo import data
from auricle.systems.ft_grpo.config import FtGrpoConfig
from auricle.systems.ft_grpo.features import features_of, heard
from auricle.systems.ft_grpo.generate import generate
from auricle.systems.ft_grpo.items import ready
from auricle.systems.ft_grpo.model import TOKENS, build
from auricle.systems.ft_grpo.stages import fit_grpo, fit_heads, fit_sft
from auricle.train.checkpoint import save_model

SFT, MORE_SFT = "sft", "more_sft"  # checkpoints that the final one is measured against
STAGES = ("heads", "sft", "more_sft", "grpo")
RESTING = ("projector", "decoder")  # what is trained while the encoder rests


def train(cfg: FtGrpoConfig, run: RunFolder) -> Path:
    """Train the model of a run: auxiliary heads, SFT cold start, GRPO; and SFT alone for as long.

    A killed run goes on in the stage in which it was.

    Args:
        cfg: the run's config.
        run: a run folder with prepared clips.

    Returns:
        The folder of the final checkpoint: the model, and its calibration on dev.

    Raises:
        DataError: nothing was prepared.
    """
    how = cfg.train
    items, dev = load_items(cfg, run, "train"), load_items(cfg, run, "dev")

    def stage(name: str) -> Stage:
        return Stage(items, dev, stage_folder(run, name), cfg.seed, meta={"system": "ft_grpo"})

    network, max_new = build(cfg), cfg.eval.max_new
    if how.heads is not None:
        fit_heads(network, stage("heads"), how.heads)
    if how.freeze:
        train_only(network, RESTING)
        items, dev = with_encoder_frames(network, items), with_encoder_frames(network, dev)
    fit_sft(network, stage("sft"), how.sft, how.head_weight, max_new)
    keep(run, SFT, cfg, network)
    if how.more_sft is not None:
        longer = build(cfg)
        longer.load_state_dict(network.state_dict())
        if how.freeze:
            train_only(longer, RESTING)
        fit_sft(longer, stage("more_sft"), how.more_sft, how.head_weight, max_new)
        keep(run, MORE_SFT, cfg, longer)
    if how.grpo is not None:
        lora = cfg.model
        network, reference = for_grpo(
            network, rank=lora.lora_rank, alpha=lora.lora_alpha, seed=derive(cfg.seed, "grpo")
        )
        fit_grpo(network, reference, stage("grpo"), how.grpo, max_new)
    merge_logs(run.path / "metrics.jsonl", [stage_folder(run, name) for name in STAGES])
    return keep(run, FINAL, cfg, network)


def load_items(cfg: FtGrpoConfig, run: RunFolder, name: str) -> Items:
    """Make a prepared set ready for training.

    Args:
        cfg: the run's config; `data.spoiled` of the training rationales come to contradict their labels.
        run: the run folder.
        name: of the set.

    Raises:
        DataError: it was not prepared.
    """
    clips = data.load(run, name)
    if name != "train" or not cfg.data.spoiled:
        return ready(clips, cfg.model)
    rationales = data.spoil_rationales(clips, cfg.data.spoiled, derive(cfg.data.seed, "spoiled"))
    return ready(clips, cfg.model, rationales)


def stage_folder(run: RunFolder, name: str) -> Path:
    """Name the folder of a stage's log and states; the checkpoints that answer lie beside them."""
    return run.checkpoints / "stages" / name


def keep(run: RunFolder, name: str, cfg: FtGrpoConfig, network: Policy) -> Path:
    """Write a checkpoint that answers: the weights, and probability, threshold and undecided band set on dev."""
    folder = run.checkpoints / name
    if not is_main_process():
        return folder
    dev = data.load(run, "dev")
    # heard as a file would be: the threshold is for what `infer` does
    features = features_of([heard(item.samples) for item in dev], cfg.model.backbone)
    generations = generate(network, features, cfg.eval, derive(cfg.seed, "answers"))
    real = [item.label == "real" for item in dev]
    calibration = calibrate(generations.scores, real).to_dict()
    return save_model(folder, network, {"calibration": calibration, TOKENS: network.tokens_mark})
