"""Rewards: the three of the released code, and the grounded one that the truth of the world allows.

Source: arXiv 2601.02983 and its release `xieyuankun/ALLM-ADD-FT-GRPO`; format and accuracy are ms-swift 3.9's but for
one thing: an answer is read as evaluation reads it, so that the policy is not punished for what counts as right there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from auricle.alm.answers import parse_label
from auricle.alm.grpo import Reward
from auricle.core.errors import ConfigError
from auricle.systems.ft_grpo.rationale import FREQUENCY_TAG, LABELS, TIME_TAG, Evidence, read

_SHAPE = re.compile(r"<think>.*?</think>\s*<answer>.*?</answer>\s*", re.DOTALL)
_THINK = re.compile(r"<think>(.*?)</think>", re.DOTALL)
TAGS = (FREQUENCY_TAG, TIME_TAG)


@dataclass(frozen=True)
class Truth:
    """What the rewards know of a clip.

    Attributes:
        solution: text with the right label in an answer tag, as the released JSON has it.
        evidence: where the artefacts are; None for data without that truth, which only `ground` needs.
    """

    solution: str
    evidence: Evidence | None = None


def accuracy(text: str, truth: Truth) -> float:
    """Give 1 if the answer is the solution's label, as `auricle.alm.answers.parse_label` reads both, else 0.

    Letters of either case and line breaks inside the tag are read; several tags are not. The release compares the first
    tag letter by letter. There is no symbolic verifier: labels are two plain words.
    """
    said = parse_label(text, LABELS)
    return float(said is not None and said == parse_label(truth.solution, LABELS))


def form(text: str, truth: Truth) -> float:
    """Give 1 if the text is a think block and an answer block, else 0; what is in them is free.

    Spaces and line breaks may follow, which the release refuses.
    """
    return float(_SHAPE.fullmatch(text) is not None)


def structure(text: str, truth: Truth) -> float:
    """Give half a point for each of the two domain tags inside the first think block; what follows them is free.

    It tests form and not grounding: an analysis that is empty, or of another clip, earns it whole.
    """
    block = _THINK.search(text)
    return 0.0 if block is None else sum(tag in block.group(1) for tag in TAGS) / len(TAGS)


def ground(text: str, truth: Truth) -> float:
    """Give half a point for the right band and half for the right time bin (claim C8, not in the release).

    "none" is right where there is no artefact of that domain. A finding that cannot be read earns nothing.

    Raises:
        ConfigError: the truth of this clip is not known.
    """
    if truth.evidence is None:
        raise ConfigError("the grounded reward needs clips whose artefacts are known; set grpo.ground to 0")
    claim = read(text)
    band = claim.frequency is not None and claim.band == truth.evidence.band
    bin_ = claim.time is not None and claim.bin == truth.evidence.bin
    return 0.5 * band + 0.5 * bin_


REWARDS: dict[str, Reward] = {"accuracy": accuracy, "format": form, "structure": structure, "ground": ground}


def weighted(weights: Mapping[str, float]) -> dict[str, tuple[Reward, float]]:
    """Give rewards with their weights, as `auricle.alm.grpo.score` takes them; those of weight 0 are left out.

    Raises:
        ConfigError: a reward that does not exist, or no weight above 0.
    """
    unknown = sorted(set(weights) - set(REWARDS))
    if unknown:
        raise ConfigError(f"no reward {', '.join(unknown)}; rewards: {', '.join(REWARDS)}")
    chosen = {name: (REWARDS[name], weight) for name, weight in weights.items() if weight}
    if not chosen:
        raise ConfigError("every reward has weight 0; give one a weight")
    return chosen
