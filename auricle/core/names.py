"""The fourteen systems, each under the one name that its folder, command, test and page share."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from auricle.core.errors import ConfigError

Verb = Literal["prepare", "train", "evaluate", "infer"]
Field = Literal["audio", "text", "image", "video"]
Gives = Literal["json", "audio", "image", "video"]
PRESETS = ("smoke", "laptop", "small", "paper")


@dataclass(frozen=True)
class Paper:
    """A row of the table of systems.

    Attributes:
        system: name of the folder, the command and the page.
        title: short name of the paper.
        arxiv: arXiv number.
        answers: the question a user asks it.
        works: whether this version of Auricle contains it.
    """

    system: str
    title: str
    arxiv: str
    answers: str
    works: bool = False


@dataclass(frozen=True)
class Take:
    """A field of a request that a system takes.

    Attributes:
        field: which one.
        needed: whether a request without it is refused.
        channels: of audio, the loudest channel or all of them.
    """

    field: Field
    needed: bool = True
    channels: Literal["mono", "all"] = "mono"


@dataclass(frozen=True)
class More:
    """A further value that a request may carry, under a key of its own.

    Attributes:
        key: its name.
        kind: its type: str, int, float, bool, list or dict.
        help: what it is for, in a few words.
        needed: whether a request without it is refused.
    """

    key: str
    kind: type
    help: str
    needed: bool = False


@dataclass(frozen=True)
class Spec:
    """What a system declares about itself.

    Attributes:
        name: as in `PAPERS`.
        line: one line for lists.
        verbs: which of the four verbs it has.
        headline: name of the metric that stands for it.
        task: "detection" and so on; names the kind of answer that `infer` gives.
        takes: the fields of a request that it takes.
        gives: what comes back: a line of JSON, and files where ``--out-dir`` says.
        more: further values of a request.
        titles: how pages write the names of its metrics and baselines, where the names do not say it themselves.
        items: what its test set is made of, in the plural, as pages count it.
    """

    name: str
    line: str
    verbs: tuple[Verb, ...]
    headline: str
    task: str
    takes: tuple[Take, ...] = (Take("audio"),)
    gives: tuple[Gives, ...] = ("json",)
    more: tuple[More, ...] = ()
    titles: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    items: str = "clips"


PAPERS: tuple[Paper, ...] = (
    Paper("mambo", "XLSR-MamBo", "2601.02944", "is this speech synthetic?", works=True),
    Paper("ft_grpo", "FT-GRPO", "2601.02983", "is this audio fake, and where is the evidence?", works=True),
    Paper(
        "voice_auth",
        "Voice authentication",
        "2601.02914",
        "how far does a voice login hold against clones?",
        works=True,
    ),
    Paper(
        "moe_adapter",
        "MoE-Adapter",
        "2601.02967",
        "can one audio LLM hear speech, music and sound?",
        works=True,
    ),
    Paper("twnm", "The World is Not Mono", "2601.02954", "what is where in this binaural scene?"),
    Paper("neurons", "Emotion-sensitive neurons", "2601.03115", "which units carry an emotion?"),
    Paper("agl1k", "The Sonar Moment", "2601.03227", "where on Earth was this recorded?"),
    Paper("clsp", "FCaps/CLSP", "2601.03065", "which words describe how this is spoken?"),
    Paper("spo_clapscore", "SPO-CLAPScore", "2601.02900", "how well does this sound match this caption?"),
    Paper("unisrcodec", "UniSRCodec", "2601.02776", "how few tokens can carry this sound?", works=True),
    Paper("ted_tts", "TED-TTS", "2601.03170", "speak this with these emotions and durations inside"),
    Paper("vclip", "Vclip", "2601.02753", "which voice would fit this face?"),
    Paper("omni2sound", "Omni2Sound", "2601.02731", "what does this video, text, or both, sound like?"),
    Paper("m2former", "M2Former", "2601.02688", "who said what, when all talk at once?"),
)


def paper(system: str) -> Paper:
    """Look a system up by name.

    Raises:
        ConfigError: no such system; the message has the nearest name and the list.
    """
    names = [row.system for row in PAPERS]
    if system not in names:
        near = difflib.get_close_matches(system, names, n=1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        raise ConfigError(f"there is no system '{system}'; {hint}Systems: {', '.join(names)}")
    return PAPERS[names.index(system)]
