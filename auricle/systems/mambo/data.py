"""`prepare`: from a corpus of real speech, or a labelled manifest, to the manifests of a run."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from auricle.audio.channel import CHANNELS
from auricle.core.errors import ConfigError
from auricle.core.run import RunFolder
from auricle.core.seed import rng
from auricle.data import corpora, embedded, fields, manifest
from auricle.data.building import audio_folder, build_all
from auricle.data.labelled import need_both_classes, split_manifest
from auricle.data.splits import SHARES, drop_shared_texts, split_groups
from auricle.data.spoof import FAMILIES
from auricle.systems.mambo.build import CONTROLS, Utterance, build
from auricle.systems.mambo.config import DataConfig, MamboConfig
from auricle.systems.mambo.network import Network

if TYPE_CHECKING:
    from lhotse import CutSet

PLAIN = ("id", "path")  # of a row; everything else is a custom field of its cut


def prepare(cfg: MamboConfig, run: RunFolder) -> dict[str, Any]:
    """Write ``manifests/{train,dev,test}.jsonl``, and ``controls.jsonl`` for the leak checks.

    Args:
        cfg: ``data.source`` names a corpus (``embedded``, ``rec``), or is the path of a manifest with labels.
        run: the run folder; audio goes to its cache.

    Returns:
        Counts per split and family, and what was skipped.

    Raises:
        ConfigError: an unknown spoof family, channel or source; sizes that cannot be built, or no speech encoder.
        CheckpointError: weights of the speech encoder that are missing, damaged or do not fit.
        MissingExtra: ``ssl`` without Transformers.
        DataError: too few voices, or a split without one of the classes.
    """
    if cfg.data.source in corpora.NAMES:
        _check_chain(cfg.data)
        _check_network(cfg)
        sets, facts = _from_corpus(cfg.data, run)
    else:
        sets, how = split_manifest(cfg.data.source, cfg.data.split)
        _check_network(cfg)
        facts = {"split": how}
    for name, cuts in sets.items():
        if name in fields.SPLITS:
            need_both_classes(name, cuts)
        manifest.write(cuts, run.manifests / f"{name}.jsonl")
        facts[name] = dict(sorted(Counter(cut.custom[fields.LABEL] for cut in cuts).items()))
    return facts


def _check_network(cfg: MamboConfig) -> None:
    """Refuse sizes, packages and weights with which training could only fail, before anything is built."""
    with torch.random.fork_rng(devices=[]):
        network = Network(cfg)
    if network.encoder is not None:
        network.encoder.fetch()


def _check_chain(cfg: DataConfig) -> None:
    """Refuse families and channels that there are not, and a corpus whose leak checks cannot be made."""
    unknown = [name for name in (*cfg.seen, *cfg.unseen, *cfg.held_out) if name not in FAMILIES]
    if unknown:
        raise ConfigError(f"no spoof family {', '.join(unknown)}; families: {', '.join(FAMILIES)}")
    unknown = [name for name in (*cfg.channels, *cfg.foreign_channels) if name not in ("none", *CHANNELS)]
    if unknown:
        raise ConfigError(f"no channel {', '.join(unknown)}; channels: none, {', '.join(CHANNELS)}")
    if not set(cfg.channels) - {"none"}:
        raise ConfigError(
            f"data.source={cfg.source} without a codec in data.channels: its leak checks cannot be made. "
            "--preset paper is for labelled clips of yours: give --data MANIFEST, and model.encoder=FOLDER unless the "
            "weights may be fetched"
        )
    empty = [name for name in ("seen", "foreign_channels") if not getattr(cfg, name)]
    if empty:
        raise ConfigError(f"data.{empty[0]} is empty; data.source={cfg.source} needs at least one name in it")


def load(run: RunFolder, split: str) -> CutSet:
    """Read one split's manifest.

    Raises:
        DataError: it was not prepared.
    """
    return manifest.read(run.manifests / f"{split}.jsonl")


def _from_corpus(cfg: DataConfig, run: RunFolder) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    tasks, dropped = plan(cfg)
    folder = audio_folder(run, cfg.model_dump(mode="json"))
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, Any]] = []
    skipped: list[str] = []
    for built in build_all(partial(build, cfg=cfg, folder=str(folder)), tasks, cfg.workers):
        rows += built.rows
        skipped += built.skipped
    clips = [row for row in rows if row.get(fields.FAMILY) not in CONTROLS]
    sets = {name: _cuts([row for row in clips if row[fields.SPLIT] == name], folder) for name in fields.SPLITS}
    sets["controls"] = _cuts([row for row in rows if row.get(fields.FAMILY) in CONTROLS], folder)
    families = Counter(row[fields.FAMILY] for row in rows if row[fields.LABEL] == fields.SPOOF)
    facts = {
        "families": dict(sorted(families.items())),
        "voices": {name: len({task.group for task in tasks if task.split == name}) for name in fields.SPLITS},
        "left_out_for_shared_text": dropped,
        "skipped": len(skipped),
        "skipped_why": skipped[:20],
    }
    return sets, facts


def plan(cfg: DataConfig) -> tuple[list[Utterance], int]:
    """Decide what is made of which clip; pure, and the same on every machine.

    Returns:
        One task an utterance, and how many clips were left out because an earlier split says the same words.
    """
    by_group: dict[str, list[embedded.Clip]] = defaultdict(list)
    for clip in corpora.corpus(cfg.source).clips(kind="speech"):
        if clip.duration_s >= cfg.min_clip_s and clip.speaker_group:
            by_group[clip.split_group].append(clip)
    sources = {group: clips[0].package for group, clips in by_group.items()}
    assigned = split_groups(sources, cfg.split, {**SHARES, "dev": cfg.dev_share})
    by_voice: dict[str, list[embedded.Clip]] = defaultdict(list)
    for clip in (clip for group in sorted(by_group) for clip in by_group[group]):
        by_voice[clip.speaker or ""].append(clip)
    chosen: list[tuple[embedded.Clip, str]] = []
    for voice, clips in by_voice.items():
        order = rng(cfg.seed, "clips", voice).permutation(len(clips))
        picked = [clips[i] for i in order[: cfg.clips_per_voice]]
        chosen += [(clip, assigned[clip.split_group]) for clip in picked]
    out, dropped = drop_shared_texts([(clip.id, split, _text_key(clip)) for clip, split in chosen])
    chosen = [(clip, split) for clip, split in chosen if clip.id not in out]
    return [_task(clip, split, chosen, cfg) for clip, split in chosen], dropped


def _task(clip: embedded.Clip, split: str, chosen: list[tuple[embedded.Clip, str]], cfg: DataConfig) -> Utterance:
    draws = rng(cfg.seed, "families", clip.id)
    if split == "test":
        # few clips can be spoken, so an unseen engine that speaks takes all of them
        all_of = {name for name in cfg.unseen if FAMILIES[name].needs == "text"}
        names = [name for name in (*cfg.seen, *cfg.unseen) if name in all_of or draws.random() < cfg.test_share]
        names = [name for name in names if FAMILIES[name].needs != "text" or _speakable(clip)]
    else:
        known = (*cfg.seen, *(cfg.held_out if split == "dev" else ()))
        known = tuple(name for name in known if FAMILIES[name].needs != "text" or _speakable(clip))
        names = [known[i] for i in draws.choice(len(known), min(cfg.spoofs_per_clip, len(known)), replace=False)]
    others = [other for other, where in chosen if where == split and other.speaker_group != clip.speaker_group]
    target = others[int(draws.integers(len(others)))].id if others else None
    if target is None:
        names = [name for name in names if FAMILIES[name].needs != "target"]
    return Utterance(clip.id, clip.speaker_group or "", split, tuple(names), target)


def _speakable(clip: embedded.Clip) -> bool:
    """English, with enough words that the synthetic voice fills a clip of the usual length."""
    return clip.language == "en" and bool(clip.text) and len(str(clip.text)) >= 12


def _text_key(clip: embedded.Clip) -> str:
    """What tells that two clips say the same words: the prompt, else the text, within a language."""
    words = clip.prompt or clip.text or ""
    return f"{clip.language}:{' '.join(words.lower().split())}" if words else ""


def _cuts(rows: Iterable[dict[str, Any]], folder: Path) -> list[Any]:
    return [
        manifest.cut(row["id"], folder / row["path"], {key: value for key, value in row.items() if key not in PLAIN})
        for row in rows
    ]
