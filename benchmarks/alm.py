"""Rollouts and a GRPO step of the audio language model, beside the ways a user would take them with the same model.

python benchmarks/alm.py [--quick] [--json] [--only rollout]

A model of the sizes of ft_grpo's laptop preset with random weights (they do not change the time) answers 32 prompts of
38 frames of audio and some text, 8 times each, with 24 tokens and without an end token, so that all sides write the
same number. Everyone gets the same encoded audio.

Peers are Transformers' own batched `generate`; a loop of it with one sequence per call (-each: the time of one answer,
of all 256 together and of a few calls); and a GRPO step, KL to the reference included, that runs the prompt with each
answer: with the encoder inside the step, which then hears each clip 8 times, and with a frozen one (-encoded), where
only the language model's part of the prompt is repeated. The share of a whole step that sampling takes is a case of its
own: ours is the sampling, peer the whole step, so a ratio above 2 means that it is under half.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from contract import Case, run

from auricle.alm.grpo import GrpoBatch, GrpoSettings, advantages, grpo_loss
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.lora import add_lora
from auricle.alm.model import build_audio_lm
from auricle.alm.sampling import rollout
from auricle.alm.tokens import tiny_decoder_config, train_tokenizer
from auricle.backbones.speech import quiet

PROMPTS, SAMPLES, TOKENS, FRAMES = 32, 8, 24, 150
CALLS = 8  # of the loop: all 256 would take a minute
TEXT = "Is this audio real or fake? Look at the spectrogram along frequency and along time."


class Job:
    """The model, its prompts, and each side's way to answer them."""

    def __init__(self) -> None:
        tokenizer = train_tokenizer([TEXT] * 4, 640)
        encoder = {"n_mels": 64, "dim": 128, "layers": 2}
        place = tokenizer.convert_tokens_to_ids("<audio>")
        model = build_audio_lm(encoder, tiny_decoder_config(tokenizer), place, seed=0).eval()
        self.lm = AudioLanguageModel(add_lora(model, rank=8, alpha=16), tokenizer)
        self.lm.eos_ids = (len(tokenizer) + 1,)  # nobody stops early
        self.model = self.lm.base
        self.mel = torch.randn(PROMPTS, FRAMES, 64, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            encoded = self.model.encode(self.mel)
        self.frames, self.lengths = encoded.frames, encoded.lengths
        self.audio = list(encoded.frames)
        ids = self.lm.ids(f"<audio>{TEXT}")
        self.prompts = [self.lm.expand(ids, [int(size)]) for size in encoded.lengths]
        self.settings = GrpoSettings(temperature=1.0)

    def ours(self) -> torch.Tensor:
        """Answer as Auricle does."""
        settings = {"samples": SAMPLES, "max_new": TOKENS, "temperature": 1.0, "top_p": 1.0, "top_k": 0}
        return rollout(self.lm, self.prompts, self.audio, **settings).ids

    @torch.no_grad()
    def generate(self, rows: slice, samples: int, **audio: torch.Tensor) -> torch.Tensor:
        """Answer some prompts as Transformers does."""
        ids = torch.tensor(self.prompts[rows])
        with quiet():
            made = self.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=True,
                top_k=0,
                top_p=1.0,
                num_return_sequences=samples,
                max_new_tokens=TOKENS,
                eos_token_id=None,
                pad_token_id=self.lm.pad_id,
                **audio,
            )
        return made[:, ids.shape[1] :]

    def batched(self) -> torch.Tensor:
        """Answer all prompts in one call, with the audio encoded before."""
        return self.generate(slice(None), SAMPLES, audio_embeds=self.frames, audio_lengths=self.lengths)

    def one_by_one(self) -> torch.Tensor:
        """Answer the first prompts once, each in a call of its own, with the audio encoded before."""
        rows = [slice(row, row + 1) for row in range(CALLS)]
        return torch.cat(
            [self.generate(row, 1, audio_embeds=self.frames[row], audio_lengths=self.lengths[row]) for row in rows]
        )

    def step(self, ids: torch.Tensor, times: int, encoded: bool = False) -> dict[str, torch.Tensor]:
        """Loss and gradients, with each prompt given `times` times; `encoded` leaves the encoder out."""
        gain = advantages(torch.rand(PROMPTS, SAMPLES, generator=torch.Generator().manual_seed(1))).flatten()
        prompts = [prompt for prompt in self.prompts for _ in range(times)]
        heard = (
            {"audio": [clip for clip in self.audio for _ in range(times)]}
            if encoded
            else {"features": self.mel.repeat_interleave(times, 0)}
        )
        self.lm.model.zero_grad(set_to_none=True)
        batch = GrpoBatch(prompts, ids, torch.ones_like(ids, dtype=torch.bool), gain, **heard)
        grpo_loss(self.lm, batch, self.settings).loss.backward()
        return {n: p.grad for n, p in self.lm.model.named_parameters() if p.grad is not None}

    def whole(self) -> dict[str, torch.Tensor]:
        """Sample and learn."""
        return self.step(self.ours(), 1)


def cases(quick: bool) -> Iterator[Case]:
    job = Job()
    ids = job.ours()
    name = f"{PROMPTS}x{SAMPLES}x{TOKENS}"
    yield Case(f"rollout-{name}", job.ours, job.batched, "transformers' batched generate")
    yield Case(
        f"rollout-{name}-each",
        job.ours,
        job.one_by_one,
        "transformers' generate, one sequence per call",
        "ms",
        items=(PROMPTS * SAMPLES, CALLS),
    )
    for encoded in (False, True):
        yield Case(
            f"grpo-step-{name}{'-encoded' if encoded else ''}",
            lambda encoded=encoded: job.step(ids, 1, encoded),  # type: ignore[misc]
            lambda encoded=encoded: job.step(ids, SAMPLES, encoded),  # type: ignore[misc]
            "prompt with each answer",
        )
    yield Case(f"grpo-sampling-share-{name}", job.ours, job.whole, "the whole step; above 2, sampling is under half")


if __name__ == "__main__":
    run(__doc__ or "", cases)
