"""Rollouts and a GRPO step of the audio language model, beside the ways a user would take them with the same model.

python benchmarks/alm.py [--quick] [--json] [--only rollout]

A model of about a million parameters with random weights (they do not change the time) answers 32 prompts of 38 frames
of audio and some text, 8 times each, with 16 tokens and without an end token, so that all sides write the same number.
All get the same encoded audio but one sequence per call, which encodes the clip in each call as a plain loop would;
that case (-each) gives the time of one answer, of all 256 together and of a few calls.
Peers are that loop, Transformers' own batched `generate`, and a GRPO step that runs the prompt with each answer. The
share of a whole step that sampling takes is printed as a case of its own: ours is the sampling, peer the whole step, so
a ratio above 2 means that it is under half.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator

import torch
from contract import Case, run, seconds

from auricle.alm.adapter import Adapter
from auricle.alm.grpo import GrpoBatch, GrpoSettings, advantages, grpo_loss
from auricle.alm.lora import add_lora
from auricle.alm.model import build_audio_lm
from auricle.alm.sampling import rollout
from auricle.alm.tokens import tiny_decoder_config, train_tokenizer
from auricle.backbones.speech import quiet

PROMPTS, SAMPLES, TOKENS, FRAMES = 32, 8, 16, 150
CALLS = 4  # of the loop: all 256 would take a minute
TEXT = "Is this audio real or fake? Look at the spectrogram along frequency and along time."


class Job:
    """The model, its prompts, and each side's way to answer them."""

    def __init__(self) -> None:
        tokenizer = train_tokenizer([TEXT] * 4, 384)
        encoder = {"n_mels": 64, "dim": 128, "layers": 2}
        place = tokenizer.convert_tokens_to_ids("<audio>")
        model = build_audio_lm(encoder, tiny_decoder_config(tokenizer), place, seed=0).eval()
        self.adapter = Adapter(add_lora(model, rank=8, alpha=16), tokenizer)
        self.adapter.eos_ids = (len(tokenizer) + 1,)  # nobody stops early
        self.model = self.adapter.base
        self.mel = torch.randn(PROMPTS, FRAMES, 64, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            encoded = self.model.encode(self.mel)
        self.frames, self.lengths = encoded.frames, encoded.lengths
        self.audio = list(encoded.frames)
        ids = self.adapter.ids(f"<audio>{TEXT}")
        self.prompts = [self.adapter.expand(ids, [int(size)]) for size in encoded.lengths]
        self.settings = GrpoSettings(temperature=1.0)

    def ours(self) -> torch.Tensor:
        """Answer as Auricle does."""
        settings = {"samples": SAMPLES, "max_new": TOKENS, "temperature": 1.0, "top_p": 1.0, "top_k": 0}
        return rollout(self.adapter, self.prompts, self.audio, **settings).ids

    @torch.no_grad()
    def generate(self, rows: slice, samples: int, **audio: torch.Tensor) -> torch.Tensor:
        """Answer some prompts as Transformers does."""
        ids = torch.tensor(self.prompts[rows])
        with quiet():
            made = self.model.generate(
                input_ids=ids, attention_mask=torch.ones_like(ids), do_sample=True, top_k=0, top_p=1.0,
                num_return_sequences=samples, max_new_tokens=TOKENS, eos_token_id=None,
                pad_token_id=self.adapter.pad_id, **audio,
            )  # fmt: skip
        return made[:, ids.shape[1] :]

    def batched(self) -> torch.Tensor:
        """Answer all prompts in one call, with the audio encoded before."""
        return self.generate(slice(None), SAMPLES, audio_embeds=self.frames, audio_lengths=self.lengths)

    def one_by_one(self) -> torch.Tensor:
        """Answer the first prompts once, each in a call of its own."""
        rows = [slice(row, row + 1) for row in range(CALLS)]
        return torch.cat([self.generate(row, 1, input_features=self.mel[row]) for row in rows])

    def step(self, ids: torch.Tensor, times: int) -> dict[str, torch.Tensor]:
        """Loss and gradients, with each prompt given `times` times."""
        gain = advantages(torch.rand(PROMPTS, SAMPLES, generator=torch.Generator().manual_seed(1))).flatten()
        prompts = [prompt for prompt in self.prompts for _ in range(times)]
        features = self.mel.repeat_interleave(times, 0)
        self.adapter.model.zero_grad(set_to_none=True)
        batch = GrpoBatch(prompts, ids, torch.ones_like(ids, dtype=torch.bool), gain, features=features)
        grpo_loss(self.adapter, batch, self.settings).loss.backward()
        return {n: p.grad for n, p in self.adapter.model.named_parameters() if p.grad is not None}

    def whole(self) -> dict[str, torch.Tensor]:
        """Sample and learn."""
        return self.step(self.ours(), 1)


def per_answer(answer: Callable[[], object]) -> float:
    """Time one answer of many: the median of three calls, after one to warm up."""
    answer()
    return statistics.median(seconds(answer) for _ in range(3)) / (PROMPTS * SAMPLES)


def per_call(answer: Callable[[], object]) -> float:
    """Time one answer of the loop."""
    answer()
    return statistics.median(seconds(answer) for _ in range(3)) / CALLS


def cases(quick: bool) -> Iterator[Case]:
    job = Job()
    ids = job.ours()
    name = f"{PROMPTS}x{SAMPLES}x{TOKENS}"
    yield Case(f"rollout-{name}", job.ours, job.batched, "transformers' batched generate, audio encoded before")
    ways = {job.ours: per_answer, job.one_by_one: per_call}
    yield Case(
        f"rollout-{name}-each", job.ours, job.one_by_one, "transformers' generate, one sequence per call", "ms",
        measure=lambda way: ways[way](way),
    )  # fmt: skip
    yield Case(f"grpo-step-{name}", lambda: job.step(ids, 1), lambda: job.step(ids, SAMPLES), "prompt with each answer")
    yield Case(f"grpo-sampling-share-{name}", job.ours, job.whole, "the whole step; above 2, sampling is under half")


if __name__ == "__main__":
    run(__doc__ or "", cases)
