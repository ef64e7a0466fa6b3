"""Group relative policy optimisation: advantages, losses and logs; sampling is `auricle.alm.sampling.rollout`.

GRPO is that of DeepSeekMath (2402.03300) as ms-swift 3.9 and TRL have it; Dr. GRPO 2503.20783, DAPO 2503.14476, SAPO
2511.20347.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from auricle.alm.interface import AudioLanguageModel
from auricle.alm.lora import reference
from auricle.alm.sampling import Rollouts, evaluating
from auricle.core.errors import ConfigError, DataError

Kind = Literal["grpo", "dr_grpo", "dapo", "sapo"]
KINDS = ("grpo", "dr_grpo", "dapo", "sapo")
Reward = Callable[[str, Any], float]


@dataclass(frozen=True)
class GrpoSettings:
    """How the policy is pulled; the defaults are those of the FT-GRPO scripts.

    Attributes:
        kind: ``grpo`` means over each answer's tokens, then over answers; ``dr_grpo`` divides the sum by answers times
            `max_new`; ``dapo`` by the tokens of the whole batch; ``sapo`` replaces the clip by a soft gate.
        clip_low: the ratio is clipped below 1 minus this.
        clip_high: and above 1 plus this; None takes `clip_low`. DAPO's clip-higher has 0.28 here and 0.2 there.
        beta: weight of the KL to the reference; 0 needs none.
        max_new: greatest number of tokens of an answer, for ``dr_grpo``.
        sapo_temperatures: of the gate where the advantage is positive, and where it is not.
        temperature: at which the answers were sampled.
        kl_by_ratio: multiply the KL of a token by its ratio, which makes its gradient unbiased (DeepSeek-V3.2,
            2512.02556); TRL does since 1.x, ms-swift 3.9 and the FT-GRPO scripts do not.
    """

    kind: Kind = "grpo"
    clip_low: float = 0.2
    clip_high: float | None = None
    beta: float = 0.04
    max_new: int | None = None
    sapo_temperatures: tuple[float, float] = (1.0, 1.05)
    temperature: float = 0.9
    kl_by_ratio: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigError(f"there is no loss {self.kind!r}; it can be {', '.join(KINDS)}")
        if self.kind == "dr_grpo" and not self.max_new:
            raise ConfigError("dr_grpo divides by max_new; give it")
        high = self.clip_low if self.clip_high is None else self.clip_high
        if not (0 <= self.clip_low < 1 and high >= 0 and self.beta >= 0 and self.temperature > 0):
            raise ConfigError(
                f"clip_low {self.clip_low}, clip_high {self.clip_high}, beta {self.beta}, temperature "
                f"{self.temperature}; give 0 <= clip_low < 1, clip_high and beta >= 0, temperature > 0"
            )
        if min(self.sapo_temperatures) <= 0:
            raise ConfigError(f"sapo_temperatures {self.sapo_temperatures}; both must be above 0")


@dataclass(frozen=True)
class GrpoBatch:
    """Answers of one round, G to each of n prompts.

    Attributes:
        prompts: token ids, with expanded placeholders.
        ids: (n G, T) answers.
        mask: (n G, T) bool, True at their tokens, the end included.
        advantages: (n G,).
        audio: embeddings of the clips, in order, of a frozen encoder; None encodes `features`.
        features: (N, T, M) log-mel of the clips; None without clips, or with `audio`.
        lengths: valid frames of each clip, (N,).
        old: log-probabilities (n G, T) of the policy that sampled, when it is not the one that is trained; None takes
            the ratio as 1, which it is at the first update after sampling.
        ref: log-probabilities (n G, T) of the reference; None takes the model with LoRA off.
    """

    prompts: Sequence[Sequence[int]]
    ids: Tensor
    mask: Tensor
    advantages: Tensor
    audio: Sequence[Tensor] | None = None
    features: Tensor | None = None
    lengths: Tensor | None = None
    old: Tensor | None = None
    ref: Tensor | None = None


@dataclass(frozen=True)
class GrpoLoss:
    """A loss, what it is the mean of, and what there is to log.

    Attributes:
        loss: scalar.
        weight: number of items of that mean (answers, or tokens with ``dapo``), to average over batches and processes.
        logs: ``kl``, ``clipped`` (share of tokens outside the clip), ``ratio`` (mean) and ``entropy`` (mean).
    """

    loss: Tensor
    weight: Tensor
    logs: dict[str, Tensor]


def advantages(rewards: Tensor, scale: Literal["group", "batch", "none"] = "group", eps: float = 1e-4) -> Tensor:
    """Give each answer's reward above the mean of its group, in units of a standard deviation.

    Args:
        rewards: (n, G).
        scale: deviation of the own group (GRPO), of all rewards, or none (Dr. GRPO); samples' deviations, with G - 1.
        eps: added to the deviation.

    Returns:
        (n, G); all zero in a group of equal rewards.

    Raises:
        DataError: no groups, groups of one, or rewards that are not finite.
        ConfigError: no such scale.
    """
    if rewards.ndim != 2 or rewards.shape[1] < 2 or not len(rewards) or not bool(rewards.isfinite().all()):
        raise DataError(f"rewards of shape {tuple(rewards.shape)}; give finite ones, (prompts, answers >= 2)")
    above = rewards - rewards.mean(1, keepdim=True)
    # equal rewards differ from their mean by rounding, which a division by nearly nothing would blow up
    above = torch.where(zero_variance(rewards)[:, None], 0.0, above)
    if scale == "none":
        return above
    if scale == "group":
        return above / (rewards.std(1, keepdim=True) + eps)
    if scale == "batch":
        return above / (rewards.std() + eps)
    raise ConfigError(f"there is no scale {scale!r}; it can be group, batch or none")


def zero_variance(rewards: Tensor) -> Tensor:
    """Say of which groups (n, G) all rewards are equal, (n,): they teach nothing."""
    return (rewards == rewards[:, :1]).all(1)


def k3(logprobs: Tensor, ref: Tensor) -> Tensor:
    """Estimate the KL of the policy to the reference at each token: exp(d) - d - 1 with d = ref - logprobs; never < 0.

    Source: Schulman, Approximating KL Divergence (2020).
    """
    difference = ref - logprobs
    return torch.expm1(difference) - difference


def policy_loss(
    logprobs: Tensor,
    mask: Tensor,
    advantage: Tensor,
    settings: GrpoSettings,
    old: Tensor | None = None,
    ref: Tensor | None = None,
) -> GrpoLoss:
    """Give the loss of answers whose log-probabilities are known.

    With the ratio r = exp(logprobs - old) each token has -min(r A, clip(r, 1 - low, 1 + high) A), or with SAPO
    -A (4 / t) sigmoid(t (r - 1)); plus beta times `k3`.

    Args:
        logprobs: (B, T) of the policy, with gradients.
        mask: (B, T) bool, True at tokens that count.
        advantage: (B,).
        settings: of the loss.
        old: (B, T) of the policy that sampled; None takes `logprobs` without gradient.
        ref: (B, T) of the reference; needed unless beta is 0.

    Raises:
        ConfigError: a KL without a reference.
        DataError: shapes that do not fit, or an answer without a token.
    """
    if mask.shape != logprobs.shape or advantage.shape != logprobs.shape[:1] or not bool(mask.any(1).all()):
        raise DataError(
            f"logprobs {tuple(logprobs.shape)}, mask {tuple(mask.shape)}, advantage {tuple(advantage.shape)}; give "
            "(B, T), (B, T) and (B,), with at least one token in each row"
        )
    ratio = (logprobs - (logprobs.detach() if old is None else old)).exp()
    gain = advantage[:, None].to(logprobs.dtype)
    low, high = 1 - settings.clip_low, 1 + (settings.clip_low if settings.clip_high is None else settings.clip_high)
    if settings.kind == "sapo":
        up, down = settings.sapo_temperatures
        heat = torch.where(gain > 0, up, down)
        token = -gain * 4 / heat * torch.sigmoid(heat * (ratio - 1))
    else:
        token = -torch.minimum(ratio * gain, ratio.clamp(low, high) * gain)
    tokens = mask.sum()
    outside = ((ratio < low) & (gain < 0)) | ((ratio > high) & (gain > 0))
    logs = {"ratio": (ratio * mask).sum() / tokens, "clipped": (outside & mask).sum() / tokens}
    if settings.beta:
        if ref is None:
            raise ConfigError(f"beta is {settings.beta}, which needs the reference's log-probabilities")
        kl = k3(logprobs, ref)
        token = token + settings.beta * (kl * ratio if settings.kl_by_ratio else kl)
        logs["kl"] = (kl * mask).sum() / tokens
    token = torch.where(mask, token, torch.zeros_like(token))
    answers = torch.tensor(len(token), device=token.device)
    if settings.kind == "dapo":
        loss, weight = token.sum() / tokens, tokens
    elif settings.kind == "dr_grpo":
        loss, weight = token.sum() / (len(token) * int(settings.max_new or 0)), answers
    else:
        loss, weight = (token.sum(1) / mask.sum(1)).mean(), answers
    return GrpoLoss(loss, weight, {name: value.detach() for name, value in logs.items()})


def grpo_loss(lm: AudioLanguageModel, batch: GrpoBatch, settings: GrpoSettings) -> GrpoLoss:
    """Give the loss of a batch; each prompt is encoded and run once for its group, and once more for the reference.

    Dropout is off, and so is everything else that differs between training and evaluation: the policy that is trained
    is the one that sampled, and the first ratio is 1.

    Args:
        lm: the policy; with LoRA when `batch.ref` is None and beta is not 0.
        batch: answers with their advantages.
        settings: of the loss.

    Raises:
        ConfigError: no reference, where one is needed.
        DataError: what does not fit together.
    """
    with evaluating(lm.model):
        ref = batch.ref
        if ref is None and settings.beta:
            with reference(lm.model):
                ref = _logprobs(lm, batch, settings.temperature)[0]
        own, entropy = _logprobs(lm, batch, settings.temperature)
    made = policy_loss(own, batch.mask, batch.advantages, settings, batch.old, ref)
    made.logs["entropy"] = entropy.sum() / batch.mask.sum()
    return made


def _logprobs(lm: AudioLanguageModel, batch: GrpoBatch, temperature: float) -> tuple[Tensor, Tensor]:
    audio = batch.audio
    if audio is None and batch.features is not None:
        audio = lm.encode_audio(batch.features, batch.lengths).embeds
    return lm.logprobs(batch.prompts, batch.ids, batch.mask, audio, temperature)


def score(
    texts: Sequence[str], contexts: Sequence[Any], rewards: Mapping[str, tuple[Reward, float]], samples: int
) -> tuple[Tensor, dict[str, Tensor]]:
    """Reward answers.

    Args:
        texts: the answers, `samples` to each prompt after one another.
        contexts: what the rewards know of each prompt (a row's ``solution``, say).
        rewards: by name a function of text and context, and its weight.
        samples: answers G to each prompt.

    Returns:
        Weighted sums (n, G), and each reward before its weight (n, G).

    Raises:
        ConfigError: no rewards.
        DataError: not G answers to each prompt, or a reward that is not finite.
    """
    if not rewards:
        raise ConfigError("give at least one reward")
    if len(texts) != len(contexts) * samples or not texts:
        raise DataError(f"{len(texts)} answers for {len(contexts)} prompts with {samples} each")
    parts = {
        name: torch.tensor([float(reward(text, contexts[row // samples])) for row, text in enumerate(texts)])
        for name, (reward, _) in rewards.items()
    }
    for name, part in parts.items():
        if not bool(part.isfinite().all()):
            raise DataError(f"the reward {name!r} gave a number that is not finite")
    total = torch.stack([weight * parts[name] for name, (_, weight) in rewards.items()]).sum(0)
    return total.view(-1, samples), {name: part.view(-1, samples) for name, part in parts.items()}


def round_logs(rewards: Tensor, parts: Mapping[str, Tensor], made: Rollouts, texts: Sequence[str]) -> dict[str, float]:
    """Sum up one round of answers for the log.

    Args:
        rewards: (n, G).
        parts: each reward before its weight, (n, G).
        made: the answers.
        texts: their texts.

    Returns:
        Means of the reward and its parts, the mean deviation within groups, the share of groups without any
        (``zero_variance``), mean length in tokens, share cut off by the limit, and share of different texts.
    """
    return {
        "reward": float(rewards.mean()),
        "reward_sd": float(rewards.std(1).mean()),
        "zero_variance": float(zero_variance(rewards).float().mean()),
        "length": float(made.mask.sum(1).float().mean()),
        "cut": float((~made.ended).float().mean()),
        "distinct": len(set(texts)) / len(texts),
        **{f"reward/{name}": float(part.mean()) for name, part in parts.items()},
    }
