"""Two processes on one machine (DDP over gloo) tune and reinforce like one process."""

import json
import os
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")

from auricle.alm.chat import ChatRow, prompt_ids
from auricle.alm.grpo import GrpoBatch, GrpoSettings, advantages, grpo_loss
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.model import build_audio_lm
from auricle.alm.sampling import rollout
from auricle.alm.sft import Policy, collate_sft, sft_loss
from auricle.alm.tokens import tiny_decoder_config, train_tokenizer
from auricle.train import fit, load_model

FRAMES = (20, 12, 17, 9, 25, 14, 22, 11)
STEPS = {"sft": 5, "grpo": 4}


def policy() -> Policy:
    """A small model whose auxiliary heads have no part in either loss."""
    tokenizer = train_tokenizer(["is this real or fake? user assistant"] * 4, 300)
    encoder = {
        "n_mels": 8,
        "dim": 16,
        "channels": (4,),
        "time_strides": (4,),
        "mel_strides": (2,),
        "layers": 1,
        "heads": 2,
        "clip_heads": {"band": 3},
    }
    decoder = tiny_decoder_config(tokenizer, dim=16, layers=1, heads=2)
    model = build_audio_lm(encoder, decoder, tokenizer.convert_tokens_to_ids("<audio>"), 0)
    return Policy(AudioLanguageModel(model, tokenizer))


def clips(rows) -> list[torch.Tensor]:
    return [torch.randn(FRAMES[row], 8, generator=torch.Generator().manual_seed(row)) for row in rows]


def batches(epoch):
    """Batches of different sizes: a mean over items is not the mean over processes."""
    for rows in ([0, 1, 2], [3], [4, 5], [6, 7, 0, 1], [2, 5]):
        yield [(row + epoch) % len(FRAMES) for row in rows]


def sft_step(model, rows):
    def job(lm):
        said = [{"role": "assistant", "content": "real" if row % 2 else "fake, fake"} for row in rows]
        chats = [ChatRow([{"role": "user", "content": "<audio>?"}, one], ["clip"]) for one in said]
        made = sft_loss(lm, collate_sft(lm, chats, [[clip] for clip in clips(rows)]))
        return replace(made, heads={})  # not part of this loss

    made = model(job)
    return {"loss": made.loss, "weight": made.weight}


def grpo_step(model, rows):
    def job(lm):
        features = torch.nn.utils.rnn.pad_sequence(clips(rows), batch_first=True)
        lengths = torch.tensor([FRAMES[row] for row in rows])
        with torch.no_grad():
            audio = lm.encode_audio(features, lengths)
        chat = ChatRow([{"role": "user", "content": "<audio>?"}], ["clip"])
        prompts = [prompt_ids(lm, chat, [int(size)]) for size in audio.lengths]
        made = rollout(lm, prompts, audio.embeds, samples=4, max_new=6, keys=rows, seed=1)
        rewards = ((made.ids % 2 == 0) & made.mask).sum(1).float().view(len(rows), 4)
        batch = GrpoBatch(
            prompts,
            made.ids,
            made.mask,
            advantages(rewards).flatten(),
            features=features,
            lengths=lengths,
            ref=made.logprobs - 0.1,
        )
        return grpo_loss(lm, batch, GrpoSettings("dapo"))

    made = model(job)
    return {"loss": made.loss, "weight": made.weight, "kl": made.logs["kl"]}


def train(folder, kind, accumulate):
    model = policy()
    result = fit(
        model,
        {"sft": sft_step, "grpo": grpo_step}[kind],
        batches,
        folder=folder / kind,
        max_steps=STEPS[kind],
        lr=0.01,
        seed=2,
        accumulate=accumulate,
        progress=False,
        unused_weights=True,
    )
    return model, result


@pytest.mark.slow
def test_two_processes_equal_one(tmp_path) -> None:
    # what `accelerate launch` and torchrun set in each process they start
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "ACCELERATE_USE_CPU": "true"}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[3]), environment["PYTHONPATH"]])
    runs = [
        subprocess.Popen(
            [sys.executable, __file__, str(tmp_path / "two")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(2)
    ]
    for rank, run in enumerate(runs):
        out, err = run.communicate(timeout=240)
        assert run.returncode == 0, err[-3000:]
        assert json.loads(out) == [rank, 2]
    for kind, steps in STEPS.items():
        one, result = train(tmp_path / "one", kind, accumulate=2)
        two, before = policy(), policy()
        load_model(tmp_path / "two" / kind / "checkpoints" / result.last.name, two)
        moved = 0.0
        for a, b, c in zip(one.parameters(), two.parameters(), before.parameters(), strict=True):
            assert (a - b).abs().max() <= 1e-5
            moved = max(moved, float((a - c).detach().abs().max()))
        assert moved > 1e-2
        curves = [
            [json.loads(line) for line in (tmp_path / name / kind / "metrics.jsonl").read_text().splitlines()]
            for name in ("one", "two")
        ]
        assert len(curves[0]) == len(curves[1]) == steps
        for a, b in zip(*curves, strict=True):
            assert a["loss"] == pytest.approx(b["loss"], abs=1e-5)
            assert a["grad_norm"] == pytest.approx(b["grad_norm"], rel=1e-4)


if __name__ == "__main__":
    from accelerate import PartialState

    for which in STEPS:
        train(Path(sys.argv[1]), which, accumulate=1)
    state = PartialState()
    sys.stdout.write(json.dumps([state.process_index, state.num_processes]) + "\n")
