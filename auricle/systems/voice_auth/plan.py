"""Who is enrolled with what, which clips are tested, and who attacks whom: decided before anything is made."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from auricle.core.errors import DataError
from auricle.core.seed import rng
from auricle.data import corpora, embedded
from auricle.data.splits import split_groups
from auricle.data.spoof import FAMILIES
from auricle.systems.voice_auth.clips import ENROL, SPOOF, TEST
from auricle.systems.voice_auth.config import DataConfig

SHARES = {"test": 0.4, "dev": 0.12}  # of the speaker groups of each source; the rest trains the detector
SPEAKABLE = 12  # letters that a synthetic voice needs to fill a clip


@dataclass(frozen=True)
class Voice:
    """A voice that can be claimed, with its clips; no clip has two uses.

    Attributes:
        name: pseudonym.
        group: speaker group; two voices of one group are never held against each other.
        split: of the detector: train, dev or test.
        language: ISO 639-1 code.
        enrol: ids of the clips that make its model.
        tests: ids of the clips that are tried.
        material: ids of the clips that an attacker has of it.
    """

    name: str
    group: str
    split: str
    language: str
    enrol: tuple[str, ...]
    tests: tuple[str, ...]
    material: tuple[str, ...]


@dataclass(frozen=True)
class Task:
    """One file to make.

    Attributes:
        role: enrol, test, spoof, or the name of a leak control.
        voice: the claimed voice; of a real clip, the one who speaks.
        clip: id of the clip it is made of; for text-to-speech, of the clip whose text is spoken.
        speaker: voice of that clip.
        family: spoof family, or empty.
        attack: what the attacker has: ``copy`` (a recording of the target's), ``conversion`` (material of the target
            and own speech), ``blind`` (own speech alone), ``tts`` (a shipped voice).
        number: counts the files of one family against one voice.
    """

    role: str
    voice: str
    clip: str
    speaker: str
    family: str = ""
    attack: str = ""
    number: int = 0

    @property
    def id(self) -> str:
        """Name of the file, without its ending."""
        if self.role == SPOOF:
            return f"{self.voice}--{self.family}-{self.number}-synthetic"
        return f"{self.clip}--{self.role}"


@dataclass(frozen=True)
class Plan:
    """Voices by name, and the files to make of them; `left_out` says which voices are not there, and why."""

    voices: dict[str, Voice]
    tasks: tuple[Task, ...]
    left_out: tuple[str, ...]


def attack_of(family: str) -> str:
    """Say what an attacker with this family has of the target."""
    synthesis = FAMILIES[family]
    if synthesis.kind in ("copy", "tts"):
        return synthesis.kind
    return "conversion" if synthesis.needs == "target" else "blind"


def plan(cfg: DataConfig) -> Plan:
    """Decide everything; pure, and the same on every machine.

    Raises:
        DataError: fewer than three speaker groups with enough clips; the message names the voices that have too few.
    """
    by_voice: dict[str, list[embedded.Clip]] = defaultdict(list)
    for clip in corpora.corpus(cfg.source).clips(kind="speech"):
        if clip.speaker and clip.speaker_group:
            by_voice[clip.speaker].append(clip)
    needed = cfg.enrol + cfg.tests
    usable: dict[str, list[embedded.Clip]] = {}
    left_out = []
    for name, clips in sorted(by_voice.items()):
        long_enough = [clip for clip in clips if clip.duration_s >= cfg.min_clip_s]
        if len(long_enough) > needed:
            usable[name] = long_enough
        else:
            left_out.append(
                f"{name}: {len(long_enough)} clips of {cfg.min_clip_s:g} s or more, {needed + 1} are needed"
            )
    groups = {clip.split_group: clip.package for clips in usable.values() for clip in clips}
    if len(groups) < 3:
        raise DataError(
            f"{len(groups)} speaker group(s) with enough clips, at least 3 are needed; left out: "
            f"{'; '.join(left_out[:5]) or 'none'}; lower data.tests or data.enrol"
        )
    assigned = split_groups(groups, cfg.split, SHARES)
    voices = {name: _voice(name, clips, assigned, cfg) for name, clips in usable.items()}
    tasks = [task for voice in voices.values() for task in _real(voice, cfg)]
    for voice in voices.values():
        rivals = [v for v in voices.values() if v.group != voice.group and v.split == voice.split]
        rivals = rivals or [v for v in voices.values() if v.group != voice.group]
        for family in cfg.families:
            tasks += _attacks(voice, rivals, family, cfg)
    return Plan(voices, tuple(tasks), tuple(left_out))


def _voice(name: str, clips: Sequence[embedded.Clip], assigned: dict[str, str], cfg: DataConfig) -> Voice:
    order = [clips[i].id for i in rng(cfg.seed, "clips", name).permutation(len(clips))]
    length = {clip.id: clip.duration_s for clip in clips}
    enrol, tests, rest = order[: cfg.enrol], order[cfg.enrol : cfg.enrol + cfg.tests], order[cfg.enrol + cfg.tests :]
    until = np.cumsum([length[clip] for clip in rest])
    material = rest[: int(np.searchsorted(until, cfg.material_s)) + 1]
    first = clips[0]
    split = assigned[first.split_group]
    return Voice(name, first.speaker_group, split, first.language, tuple(enrol), tuple(tests), tuple(material))


def _real(voice: Voice, cfg: DataConfig) -> list[Task]:
    roles = [(ENROL, voice.enrol), (TEST, voice.tests), *((control, voice.tests) for control in cfg.controls)]
    return [Task(role, voice.name, clip, voice.name) for role, clips in roles for clip in clips]


def _attacks(voice: Voice, rivals: Sequence[Voice], family: str, cfg: DataConfig) -> list[Task]:
    """Draw the attacks of one family on one voice; who attacks is of the same split as who is attacked."""
    attack = attack_of(family)
    draws = rng(cfg.seed, "attacks", voice.name, family)
    attackers = [voice] if attack == "copy" else rivals
    sources = [(clip, attacker.name) for attacker in attackers for clip in attacker.tests]
    if attack == "tts":
        sources = [(clip, name) for clip, name in sources if _speakable(clip, cfg)]
    picked = [sources[i] for i in draws.permutation(len(sources))[: cfg.spoofs_per_voice]]
    return [
        Task(SPOOF, voice.name, clip, speaker, family, attack, number) for number, (clip, speaker) in enumerate(picked)
    ]


def _speakable(clip_id: str, cfg: DataConfig) -> bool:
    """English, with enough words that the synthetic voice fills a clip."""
    clip = corpora.corpus(cfg.source).clip(clip_id)
    return clip.language == "en" and len(clip.text or "") >= SPEAKABLE
