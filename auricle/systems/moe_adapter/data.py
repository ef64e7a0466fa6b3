"""`prepare`: the task world as manifests of a run, with leak checks; and its clips and items in memory.

``manifests/SPLIT.jsonl`` lists the clips of a split, ``manifests/items/SPLIT.jsonl`` the questions about them, and
``manifests/items/facts.jsonl`` the texts that teach the table of facts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from auricle.audio.level import rms_db
from auricle.core.errors import DataError
from auricle.core.run import RunFolder
from auricle.data import fields, manifest
from auricle.data.building import audio_folder, provenance
from auricle.data.choices import ChoiceItem, read_items, write_items
from auricle.data.tape import read_tape, write_tape
from auricle.data.worlds.events import RATE_HZ
from auricle.data.worlds.leaks import Leak, check_leaks, features_only
from auricle.data.worlds.listening import ClipPlan, Maker
from auricle.data.worlds.recordings import stock
from auricle.systems.moe_adapter.config import MoeAdapterConfig
from auricle.systems.moe_adapter.plan import SplitPlan, facts_of, plan
from auricle.systems.moe_adapter.questions import FACTS, lessons

if TYPE_CHECKING:
    from pathlib import Path

    from lhotse.cut import Cut

PROCEDURAL = "procedural"


@dataclass(frozen=True)
class Split:
    """One split in memory.

    Attributes:
        ids: of the clips.
        waves: (C, N) int16 at 16 kHz.
        items: questions; `ChoiceItem.clip` is one of `ids`.
    """

    ids: list[str]
    waves: npt.NDArray[np.int16]
    items: list[ChoiceItem]

    def rows(self) -> list[int]:
        """Give, for each item, the place of its clip."""
        places = {name: place for place, name in enumerate(self.ids)}
        return [places[str(item.clip)] for item in self.items]


def prepare(cfg: MoeAdapterConfig, run: RunFolder) -> dict[str, Any]:
    """Write the clips and items of every split; the audio goes to the run's cache and is made once.

    Args:
        cfg: ``data`` decides the world.
        run: the run folder.

    Returns:
        Counts of each split, leak checks by task (accuracy of each guess on the test items; chance is 0.25), and which
        of them are above what guessing reaches.

    Raises:
        DataError: the corpus has too few recordings for a task, or splits share a recording.
    """
    found = stock(cfg.data.source, cfg.data.split)
    plans = {name: plan(cfg.data, found, name) for name in fields.SPLITS}
    _need_apart(plans)
    folder = audio_folder(run, cfg.data.model_dump(mode="json"))
    maker = Maker(cfg.data.chain)
    facts: dict[str, Any] = {}
    for name, own in plans.items():
        cuts = _built(maker, folder, name, own)
        manifest.write(cuts, run.manifests / f"{name}.jsonl")
        write_items(run.manifests / "items" / f"{name}.jsonl", own.items)
        facts[name] = _counts(own)
    if "fact" in cfg.data.tasks:
        taught = lessons(facts_of(cfg.data, found), cfg.data.seed)
        write_items(run.manifests / "items" / f"{FACTS}.jsonl", taught)
        facts[FACTS] = {"items": len(taught)}
    checks = leaks({name: load(run, name) for name in ("train", "test")})
    facts["leaks"] = {task: {one.check: round(one.accuracy, 3) for one in found} for task, found in checks.items()}
    facts["above_chance"] = [f"{task}: {one.check}" for task, found in checks.items() for one in found if one.leaks]
    return facts


def load(run: RunFolder, name: str) -> Split:
    """Read a split into memory.

    Args:
        run: a prepared run.
        name: ``train``, ``dev`` or ``test``.

    Raises:
        DataError: it was not prepared, or its audio is gone, damaged or another than it was.
    """
    cuts = list(manifest.read(run.manifests / f"{name}.jsonl"))
    return Split(
        [cut.id for cut in cuts], read_tape(cuts, RATE_HZ), read_items(run.manifests / "items" / f"{name}.jsonl")
    )


def load_facts(run: RunFolder) -> list[ChoiceItem]:
    """Read the texts that teach the table of facts; none of them has a clip.

    Raises:
        DataError: the run has none.
    """
    return read_items(run.manifests / "items" / f"{FACTS}.jsonl")


def leaks(splits: Mapping[str, Split]) -> dict[str, list[Leak]]:
    """Check each task of each domain for what tells the answer without hearing the clip's content.

    Args:
        splits: ``train`` and ``test``.

    Returns:
        Checks by ``domain task``: question, options and letter only; and a classifier of length and level.
    """
    train, test = splits["train"], splits["test"]
    numbers = {
        name: np.array([len(wave) / RATE_HZ, rms_db(wave / 32768.0)])
        for split in (train, test)
        for name, wave in zip(split.ids, split.waves, strict=True)
    }
    found = {}
    for domain, task in dict.fromkeys((item.domain, item.task) for item in test.items):
        learnt, asked = (
            [item for item in split.items if (item.domain, item.task) == (domain, task)] for split in (train, test)
        )
        if learnt:
            found[f"{domain} {task}"] = [*check_leaks(learnt, asked), features_only(learnt, asked, numbers)]
    return found


def _built(maker: Maker, folder: Path, name: str, own: SplitPlan) -> list[Cut]:
    """Make a split's audio and cuts, or find them from an earlier run."""
    index = folder / f"{name}.jsonl"
    if index.is_file() and (folder / f"{name}.flac").is_file():
        return list(manifest.read(index))
    console = Console(stderr=True)
    shown = track(own.clips, name, console=console, disable=not console.is_terminal, transient=True)
    waves = np.stack([maker.wave(one) for one in shown])
    cuts = write_tape(folder / f"{name}.flac", waves, [_row(one, name) for one in own.clips], RATE_HZ)
    manifest.write(cuts, index)
    return cuts


def _row(one: ClipPlan, split: str) -> dict[str, Any]:
    """Give the custom fields of a clip, and its id."""
    clips = [stem.clip for stem in one.stems]
    return {
        **(provenance(clips[0]) if clips else {}),
        "id": one.id,
        fields.SPLIT: split,
        fields.SUBSET: one.subset,
        fields.AUDIO_TYPE: one.domain,
        fields.LABEL: one.answer,
        fields.SPEAKER_GROUP: one.group,
        fields.CLIP: ", ".join(one.recordings),
        fields.SYNTHETIC: not clips,
        fields.SOURCE: ", ".join(sorted({clip.package for clip in clips})) or PROCEDURAL,
        fields.LICENCE: ", ".join(sorted({clip.licence for clip in clips})) or "Apache-2.0",
        fields.AUTHOR: "; ".join(sorted({clip.author for clip in clips})) or "The Auricle authors",
    }


def _need_apart(plans: Mapping[str, SplitPlan]) -> None:
    """Refuse splits that share a recording, or a voice that is called new."""
    used: dict[str, str] = {}
    trained = {one.group for one in plans["train"].clips}
    for name, own in plans.items():
        for one in own.clips:
            for recording in one.recordings:
                if used.setdefault(recording, name) != name:
                    raise DataError(f"the recording {recording} is in {used[recording]} and {name}; this is a bug")
            if name != "train" and one.subset == "new voice" and one.group in trained:
                raise DataError(f"{one.group} is called a new voice in {name} and was trained on; this is a bug")


def _counts(own: SplitPlan) -> dict[str, Any]:
    """Count a split's clips, recordings and items."""
    asked: Counter[str] = Counter(f"{item.domain} {item.task}" for item in own.items)
    return {
        "clips": dict(Counter(one.domain for one in own.clips)),
        "recordings": len({recording for one in own.clips for recording in one.recordings}),
        "items": dict(asked),
        "subsets": dict(sorted(Counter(f"{one.domain}, {one.subset}" for one in own.clips if one.subset).items())),
    }


def domains(items: Sequence[ChoiceItem]) -> dict[str, list[int]]:
    """Give the places of the items of each domain."""
    found: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        found.setdefault(item.domain, []).append(place)
    return found
