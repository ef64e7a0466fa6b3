"""Training: targets of the heads, the loss of SFT, a round of GRPO, and a killed stage that goes on."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import LlamaForCausalLM

from auricle.alm.items import Batches, Items, batch, with_encoder_frames
from auricle.alm.stages import Stage, for_grpo
from auricle.alm.tokens import tiny_decoder_config, train_tokenizer
from auricle.core.config import override
from auricle.core.errors import CheckpointError, ConfigError
from auricle.core.files import read_jsonl
from auricle.core.run import open_run
from auricle.core.seed import derive
from auricle.data.worlds.artefacts import Artefact
from auricle.systems.ft_grpo import items as of
from auricle.systems.ft_grpo import train
from auricle.systems.ft_grpo.model import TOKENS, build, chat, load_checkpoint
from auricle.systems.ft_grpo.rationale import Evidence, evidence, read, write, write_label
from auricle.systems.ft_grpo.rewards import Truth
from auricle.systems.ft_grpo.stages import fit_grpo, fit_sft, grpo_step, sft_step
from auricle.train.checkpoint import load_model, read_meta, save_model
from auricle.train.loop import fit


def started(cfg, network=None):
    """Give policy and reference as `train` makes them."""
    own = cfg.model
    return for_grpo(network or build(cfg), rank=own.lora_rank, alpha=own.lora_alpha, seed=derive(cfg.seed, "grpo"))


def text_of(items, row: int) -> str:
    return items.chats[row].messages[-1]["content"]


def test_targets_say_where_and_what() -> None:
    notch = Artefact("notch", "frequency", 2, 0.5, 820.0, 1220.0, 0.0, 1.5)
    click = Artefact("click", "time", 5, 0.5, 100.0, 3800.0, 1.0, 1.002)
    made = of.targets_of(evidence((notch, click)), (notch, click), 38, 0.04)
    assert {name: made[name] for name in ("label", "band", "bin", "frequency", "time")} == {
        "label": 0,
        "band": 3,
        "bin": 6,
        "frequency": 1,
        "time": 3,
    }
    assert made["artefact"].nonzero()[0].tolist() == [25]  # a click is shorter than a frame and still marked
    assert made["artefact"][25] == 3
    none = of.targets_of(evidence(()), (), 38, 0.04)
    assert none["label"] == 1
    assert not none["artefact"].any()


def test_what_is_ready_fits_the_encoder(items, clips, cfg) -> None:
    network = build(cfg)
    encoded = network.lm.base.encoder(items.features[:2].float(), torch.tensor([150, 150]))
    assert items.targets["artefact"].shape[1] == encoded.heads["artefact"].shape[1]
    assert text_of(items, 1) == write(clips[1].truth)
    assert read(text_of(items, 0)) == Evidence("real", "none", None, "none", None)
    assert items.truths[0].solution == write_label("real")


def test_only_the_answer_is_learned(items, cfg) -> None:
    network = build(cfg)
    ids, learned = network.training_row(items.chats[1], [150])
    said = network.lm.tokenizer.decode([one for one, own in zip(ids, learned, strict=True) if own])
    assert said == f"{text_of(items, 1)}<|im_end|>"
    asked = network.prompt(chat(), [150])
    assert ids[: len(asked)] == asked


def test_sft_adds_the_heads(items, cfg) -> None:
    network = build(cfg)
    some = batch(items, range(8))
    plain = sft_step(network, items, 0.0)(network, some)
    both = sft_step(network, items, 0.5)(network, some)
    extra = sum(float(value) for name, value in both.items() if name.startswith("head/"))
    assert both["loss"].item() == pytest.approx(plain["loss"].item() + 0.5 * extra, rel=1e-5)
    assert both["text"].item() == pytest.approx(plain["loss"].item(), rel=1e-6)
    assert both["weight"] == plain["weight"]
    heard_before = with_encoder_frames(network, items)
    alone = sft_step(network, heard_before, 0.5)(network, batch(heard_before, range(8)))
    assert set(alone) == {"loss", "weight"}  # a frozen encoder has no losses of its own


def test_a_clip_turned_round_has_its_bin_at_the_other_end(items) -> None:
    own = batch(items, range(16))
    some = torch.arange(16) % 4 == 1
    made = of.time_reversed(own, some)
    assert torch.equal(made.features[1], own.features[1].flip(0))
    assert torch.equal(made.features[0], own.features[0])
    for place in range(16):
        before, after = int(own.targets["bin"][place]), int(made.targets["bin"][place])
        assert after == (9 - before if some[place] and before else before)
    assert torch.equal(made.targets["band"], own.targets["band"])
    twice = of.time_reversed(made, some)
    assert all(torch.equal(twice.targets[name], own.targets[name]) for name in own.targets)


@pytest.mark.parametrize("settings", [[], ["model.lora_rank=4", "train.freeze=false"]])
def test_a_round_of_grpo(items, cfg, settings) -> None:
    """The first ratio is 1 and the KL 0, all parts are logged, and the same batch draws the same answers."""
    own = override(cfg, settings)
    network, reference = started(own)
    assert (reference is None) == bool(settings)
    ready = items if settings else with_encoder_frames(network, items)
    step = grpo_step(network, reference, ready, own.train.grpo, seed=3)
    some = batch(ready, range(4), number=7)
    made = step(network.train(), some)
    assert float(made["ratio"]) == pytest.approx(1.0, abs=1e-6)
    assert float(made["kl"]) == pytest.approx(0.0, abs=1e-6)
    for name in (
        "reward",
        "reward/accuracy",
        "reward/format",
        "reward/structure",
        "zero_variance",
        "length",
        "entropy",
    ):
        assert torch.isfinite(made[name]), name
    assert "reward/ground" not in made
    assert torch.equal(step(network, some)["reward_sd"], made["reward_sd"])
    assert network.training
    made["loss"].backward()
    learned = [one for one in network.parameters() if one.requires_grad]
    assert all(bool(one.grad.isfinite().all()) for one in learned if one.grad is not None)


def test_grpo_pulls_towards_its_reward(items, cfg, tmp_path) -> None:
    """A model that says "fake" and "real" alike comes to say what every truth says."""
    own = override(cfg, ["train.grpo.max_steps=40", "train.grpo.lr=3e-3", "train.grpo.beta=0", "train.grpo.samples=8"])
    network = build(own)
    rows = [0, 2, 4, 6]
    some = batch(items, rows)
    truths, chats = [items.truths[row] for row in rows], [items.chats[row] for row in rows]
    reals = Items(chats, some.features.half(), truths=truths, targets=some.targets)
    texts = [write(Evidence(label, "none", None, "none", None)) for label in ("real", "fake") * 2]
    both = replace(reals, chats=[chat(text) for text in texts])
    how = override(own, ["train.sft.max_steps=120", "train.sft.lr=1e-2", "train.sft.eval_every=120"]).train.sft
    fit_sft(network, Stage(both, both, tmp_path / "sft", own.seed, shown=False), how, own.train.head_weight, 24)
    policy, reference = started(own, network)
    stage = Stage(reals, reals, tmp_path / "grpo", own.seed, shown=False)
    fit_grpo(policy, reference, stage, own.train.grpo, 24)
    rows = [json.loads(line) for line in (tmp_path / "grpo" / "metrics.jsonl").read_text().splitlines()]
    rewards = [row["reward/accuracy"] for row in rows]
    assert 0.2 < np.mean(rewards[:2]) < 0.8
    assert np.mean(rewards[-8:]) > np.mean(rewards[:2]) + 0.15


def test_grpo_runs_in_bfloat16_with_accumulation(items, cfg, tmp_path) -> None:
    """What `paper()` does: autocast in each step, several batches an update, weights that stay in float32."""
    settings = ["train.grpo.mixed_precision=bf16", "train.grpo.accumulate=2", "train.grpo.max_steps=2"]
    own = override(cfg, [*settings, "train.grpo.max_new=12"])
    network, reference = started(own)
    before = {name: weight.clone() for name, weight in network.state_dict().items()}
    stage = Stage(items, items, tmp_path / "grpo", own.seed, shown=False)
    result = fit_grpo(network, reference, stage, own.train.grpo, 12)
    rows = list(read_jsonl(tmp_path / "grpo" / "metrics.jsonl"))
    assert [row["epoch"] for row in rows] == [0, 0]  # 16 clips are four batches of four: two updates
    saved = read_meta(result.last)["settings"]
    assert (saved["mixed_precision"], saved["accumulate"]) == ("bf16", 2)
    after = network.state_dict()
    assert all(weight.dtype == torch.float32 and bool(weight.isfinite().all()) for weight in after.values())
    assert any(not torch.equal(before[name], after[name]) for name in after)


def test_accumulated_batches_give_the_update_of_one_large_batch(items, cfg, tmp_path) -> None:
    weights = []
    for size, accumulate in ((8, 1), (4, 2)):
        own = override(cfg, [f"train.sft.batch={size}", f"train.sft.accumulate={accumulate}", "train.sft.max_steps=2"])
        network = build(own)
        stage = Stage(items, items, tmp_path / f"{size}" / "sft", own.seed, shown=False)
        fit_sft(network, stage, own.train.sft, 0.0, 4)
        weights.append(network.state_dict())
    assert all(torch.allclose(weights[0][name], weights[1][name], atol=2e-5) for name in weights[0])


def test_a_killed_stage_goes_on_to_the_same_numbers(items, cfg, tmp_path) -> None:
    own = override(cfg, ["train.grpo.max_steps=4", "train.grpo.save_every=2", "train.grpo.lr=1e-3"])

    class Killed(Exception):
        pass

    def run(folder, fatal: int | None = None) -> tuple[list[dict], torch.Tensor]:
        network, reference = started(own)
        step = grpo_step(network, reference, items, own.train.grpo, 0)

        def counted(model, given):
            if given.number == fatal:
                raise Killed
            return step(model, given)

        how = own.train.grpo
        fit(
            network,
            counted,
            Batches(items, how.prompts, 0),
            folder=folder,
            max_steps=4,
            lr=how.lr,
            seed=0,
            save_every=2,
            progress=False,
        )
        rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
        return [{k: v for k, v in row.items() if k != "seconds"} for row in rows], network.state_dict()

    rows, weights = run(tmp_path / "whole")
    with pytest.raises(Killed):
        run(tmp_path / "killed", fatal=3)
    again, others = run(tmp_path / "killed")
    assert again == rows
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_the_grounded_reward_needs_known_artefacts(items, cfg) -> None:
    own = override(cfg, ["train.grpo.ground=0.1"])
    network, reference = started(own)
    blind = replace(items, truths=[Truth(truth.solution) for truth in items.truths])
    with pytest.raises(ConfigError, match="known"):
        grpo_step(network, reference, blind, own.train.grpo, 0)(network, batch(blind, range(2)))


def test_a_killed_run_goes_on_where_it_was(clips, cfg, tmp_path, monkeypatch) -> None:
    """Stages that are done are not done again, and the weights are those of a run that was never killed."""
    own = override(cfg, ["train.grpo.max_steps=2", "eval.rationales=1", "eval.max_new=24"])
    monkeypatch.setattr(train.data, "load", lambda run, name: clips)
    whole = open_run(tmp_path / "whole", "ft_grpo", "smoke", own)
    train.train(own, whole)
    killed = open_run(tmp_path / "killed", "ft_grpo", "smoke", own)
    with monkeypatch.context() as patch:
        patch.setattr(train, "for_grpo", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train.train(own, killed)
    train.train(own, killed)
    for name in ("sft", "more_sft", "final"):
        first, second = (build(own) for _ in range(2))
        assert load_model(whole.checkpoints / name, first) == load_model(killed.checkpoints / name, second)
        assert all(torch.equal(one, two) for one, two in zip(first.parameters(), second.parameters(), strict=True))
    logs = [list(read_jsonl(run.path / "metrics.jsonl")) for run in (whole, killed)]
    assert [row["stage"] for row in logs[0]] == ["heads"] * 2 + ["sft"] * 4 + ["more_sft"] * 2 + ["grpo"] * 2
    assert [row["step"] for row in logs[0]] == list(range(1, 11))
    assert [row["loss"] for row in logs[0]] == [row["loss"] for row in logs[1]]


def test_a_decoder_whose_tokenizer_changed_is_noticed(cfg, tmp_path) -> None:
    """Weights stay in the checkpoint; what a token means comes from the folder that the config names."""
    tokenizer = train_tokenizer(["real fake think frequency domain time answer"] * 8, 270, [])
    LlamaForCausalLM(tiny_decoder_config(tokenizer, 16, 1, 2)).save_pretrained(tmp_path / "decoder")
    tokenizer.save_pretrained(tmp_path / "decoder")
    own = override(cfg, ["model.layers=2", f"model.decoder={tmp_path / 'decoder'}"])
    network = build(own)
    save_model(tmp_path / "final", network, {TOKENS: network.tokens_mark})
    assert load_checkpoint(tmp_path / "final", own)[0].tokens_mark == network.tokens_mark
    network.lm.tokenizer(["a", "longer text"], padding=True)  # what a call leaves in the tokenizer is no change
    assert build(own).tokens_mark == network.tokens_mark
    other = train_tokenizer(["other words whose merges differ from those before"] * 8, 270, [])
    assert len(other) == len(tokenizer)
    other.save_pretrained(tmp_path / "decoder")
    with pytest.raises(CheckpointError, match="another tokenizer"):
        load_checkpoint(tmp_path / "final", own)
