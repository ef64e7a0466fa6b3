"""What a model writes about clips, and how sure it is of the label."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from auricle.alm.items import Items
from auricle.alm.sft import Policy
from auricle.alm.writing import explained
from auricle.systems.ft_grpo.config import EvalConfig, GrpoConfig
from auricle.systems.ft_grpo.model import chat
from auricle.systems.ft_grpo.rationale import LABELS

SAMPLING = GrpoConfig()  # temperature, top-p and top-k of the further rationales


@dataclass(frozen=True)
class Generations:
    """What a model writes about clips.

    Attributes:
        texts: of each clip, greedily.
        scores: higher is more bona fide, (N,).
    """

    texts: list[str]
    scores: np.ndarray


def generate(network: Policy, features: Tensor, how: EvalConfig, seed: int) -> Generations:
    """Write about clips, and score the label given the rationale.

    The score is the log-odds of real, the probability being the mean over the greedy rationale and sampled ones.

    Args:
        network: the model.
        features: (N, T, M) log-mel.
        how: tokens, clips at once, and how many rationales, the greedy one among them.
        seed: of the sampled rationales; a clip's own do not depend on its mates.
    """
    texts, scores = explained(
        network,
        Items([chat()] * len(features), features),
        LABELS,
        max_new=how.max_new,
        rationales=how.rationales,
        at_once=how.batch,
        temperature=SAMPLING.temperature,
        top_p=SAMPLING.top_p,
        top_k=SAMPLING.top_k,
        seed=seed,
    )
    return Generations(texts, scores.double().numpy())
