"""Items, batches, stages and texts: what four systems train audio language models with."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("peft")

from accelerate import Accelerator

from auricle.alm.chat import ChatRow
from auricle.alm.grpo import GrpoSettings
from auricle.alm.heads import HeadsStep, head_loss, head_measures
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.items import Batches, Items, batch, parts, sft_batch, token_counts, with_encoder_frames
from auricle.alm.lora import add_lora
from auricle.alm.sampling import label_log_odds
from auricle.alm.sft import Policy, need_tokens
from auricle.alm.stages import GrpoStep, SftStep, Stage, dev_loss, for_grpo, merge_logs, train_only
from auricle.alm.tokens import train_tokenizer
from auricle.alm.writing import explained, explained_odds, greedy, pooled, prefix, written
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.files import read_jsonl, write_jsonl
from auricle.train.checkpoint import load_model
from auricle.train.update import Update
from tests.floor.alm.conftest import tiny_model

ANSWERS = ("real", "fake", "a click in bin 5", "a notch in band 3 and a click in bin 5")


def chat(answer: str | None = None, question: str = "<audio>is this real?") -> ChatRow:
    messages = [{"role": "user", "content": question}]
    if answer is not None:
        messages.append({"role": "assistant", "content": answer})
    return ChatRow(messages, ["clip"] if "<audio>" in question else [])


@pytest.fixture
def policy(tokenizer) -> Policy:
    return Policy(AudioLanguageModel(tiny_model(tokenizer), tokenizer))


@pytest.fixture(scope="module")
def items() -> Items:
    """Eight clips of three lengths, zero where padded; answers of four lengths."""
    lengths = torch.tensor([40, 24, 31, 40, 24, 31, 40, 40])
    features = torch.randn(8, 40, 16, generator=torch.Generator().manual_seed(0))
    features[torch.arange(40) >= lengths[:, None]] = 0
    targets = {"band": torch.arange(8) % 6, "artefact": torch.arange(80).view(8, 10) % 2}
    return Items([chat(ANSWERS[n % 4]) for n in range(8)], features.half(), lengths, targets=targets)


def test_items_are_about_clips_or_about_none(items) -> None:
    texts = Items([chat("fake", "real or fake?")] * 3)
    assert [texts.clip(row) for row in range(3)] == [None] * 3
    assert texts.sizes(0) == []
    mixed = Items([chat(), chat(None, "real?"), chat()], items.features, items.lengths, clips=[5, None, 5])
    assert [mixed.sizes(row) for row in range(3)] == [[31], [], [31]]
    some = batch(mixed, [2, 1, 0])
    assert some.lengths.tolist() == [31, 31]
    assert torch.equal(some.features[0], items.features[5].float())
    assert mixed.subset([1, 2]).clips == [None, 5]
    for wrong, message in (
        ({"clips": [0, 8, None]}, "clips 0 to 7"),
        ({"clips": [0]}, "3 conversations and 1 numbers"),
        ({}, "3 conversations and 8 clips"),
        ({"clips": [0, 1, 2], "truths": [1]}, "1 truths"),
    ):
        with pytest.raises(DataError, match=message):
            Items([chat()] * 3, items.features, **wrong)


def test_batches_repeat_and_can_start_anywhere() -> None:
    items = Items([chat("fake", f"{n}?") for n in range(16)])
    batches = Batches(items, 4, seed=1)
    whole = [one.rows for one in batches(2)]
    assert sorted(row for rows in whole for row in rows) == list(range(16))
    assert [one.rows for one in batches(2, start=3)] == whole[3:]
    assert [one.rows for one in batches(3)] != whole
    assert [one.number for one in batches(2)] == [8, 9, 10, 11]


def test_batches_of_like_length_hold_all_and_pad_less() -> None:
    items = Items([chat("fake", f"{n}?") for n in range(96)])
    lengths = [(7 * n) % 40 + 1 for n in range(96)]
    mixed, alike = (list(Batches(items, 8, 3, given)(0)) for given in (None, lengths))
    assert sorted(row for one in alike for row in one.rows) == list(range(96))

    def padding(batches) -> int:
        return sum(
            max(lengths[row] for row in one.rows) * len(one.rows) - sum(lengths[row] for row in one.rows)
            for one in batches
        )

    assert padding(alike) * 4 < padding(mixed)
    firsts = [max(lengths[row] for row in one.rows) for one in alike]
    assert firsts != sorted(firsts)  # short ones do not come first
    again = list(Batches(items, 8, 3, lengths)(0, start=5))
    assert [one.rows for one in again] == [one.rows for one in alike[5:]]


def test_token_counts_are_those_of_the_rows(policy, items) -> None:
    counts = token_counts(policy, items)
    made = sft_batch(policy, items, batch(items, range(8)))
    assert counts == [len(row) for row in made.rows]
    assert len(set(counts)) > 4


def test_tokens_are_kept_and_are_those_of_the_chat(policy) -> None:
    one = policy.training_row(chat("fake"), [40])
    assert policy.training_row(chat("fake"), [40]) is one
    assert policy.training_row(chat("fake"), [24])[0] != one[0]
    assert one[0][: len(policy.prompt(chat(), [40]))] == policy.prompt(chat(), [40])


@pytest.mark.parametrize("frozen", [False, True])
def test_accumulated_batches_give_the_gradient_of_one(policy, items, frozen) -> None:
    """Each token counts once: 1 x 8 and 4 x 2 conversations of different lengths, in either order."""
    given = with_encoder_frames(policy, items) if frozen else items
    train_only(policy, ["projector", "decoder"] if frozen else ["encoder", "projector", "decoder"])
    step = SftStep(policy, given)
    update = Update(Accelerator(cpu=True), policy, step, bf16=False)
    found = []
    for cut in ([range(8)], [(0, 1), (2, 3), (4, 5), (6, 7)], [(7, 2), (0, 5), (3, 1), (6, 4)]):
        policy.zero_grad(set_to_none=True)
        row = update.gradients([batch(given, rows) for rows in cut])
        grads = {n: p.grad.clone() for n, p in policy.named_parameters() if p.grad is not None}
        found.append((row["loss"], grads))
    for loss, grads in found[1:]:
        assert loss == pytest.approx(found[0][0], rel=1e-6)
        assert grads.keys() == found[0][1].keys()
        for name, grad in grads.items():
            scale = max(1.0, float(found[0][1][name].abs().max()))
            assert float((grad - found[0][1][name]).abs().max()) <= 1e-5 * scale, name
    # and it is not the mean of the batches' means, which favours the tokens of short answers
    means = [float(step(policy, batch(given, rows))["loss"].detach()) for rows in ((0, 1), (2, 3), (4, 5), (6, 7))]
    assert abs(sum(means) / 4 - found[0][0]) > 1e-3


def test_dev_loss_is_the_mean_over_tokens(policy, items) -> None:
    whole = SftStep(policy, items)(policy, batch(items, range(8)))
    assert dev_loss(policy, items, at_once=3) == pytest.approx(float(whole["loss"].detach()), rel=1e-5)


def test_further_losses_are_added_and_named(policy, items) -> None:
    def extra(text, given):
        total, losses = head_loss(text.heads, given.targets)
        return 0.5 * total, losses

    some = batch(items, [0, 3, 6, 7])  # of one length: targets of frames are then those of all
    plain, both = SftStep(policy, items)(policy, some), SftStep(policy, items, extra)(policy, some)
    added = sum(float(value) for name, value in both.items() if name.startswith("head/"))
    assert float(both["loss"].detach()) == pytest.approx(float(plain["loss"].detach()) + 0.5 * added, rel=1e-5)
    assert both["weight"] == plain["weight"]


def test_what_was_heard_once_gives_what_hearing_gives(policy, items) -> None:
    ready = with_encoder_frames(policy, items)
    made = [float(SftStep(policy, one)(policy, batch(one, range(8)))["loss"].detach()) for one in (items, ready)]
    assert made[0] == pytest.approx(made[1], rel=1e-5)
    assert greedy(policy, items, 8, at_once=3) == greedy(policy, ready, 8)
    with pytest.raises(DataError, match="no clips"):
        with_encoder_frames(policy, Items([chat("fake", "?")]))


def test_only_what_a_stage_names_is_trained(policy) -> None:
    def trained() -> set[str]:
        return {name.split(".")[1] for name, weight in policy.named_parameters() if weight.requires_grad}

    count = train_only(policy, ["projector"])
    assert trained() == {"projector"}
    assert count == sum(one.numel() for one in policy.lm.base.projector.parameters())
    train_only(policy, ["projector", "decoder"])
    assert trained() == {"projector", "decoder"}
    with pytest.raises(ConfigError, match="no part 'lora'"):
        train_only(policy, ["lora"])
    with pytest.raises(ConfigError, match=r"no part 'adapter'; its parts are encoder, decoder, projector, lora"):
        train_only(policy, ["adapter"])
    low = Policy(AudioLanguageModel(add_lora(policy.lm.model, rank=2, targets=["q_proj"]), policy.lm.tokenizer))
    train_only(low, ["projector"])
    assert not any("lora_" in name for name, weight in low.named_parameters() if weight.requires_grad)
    train_only(low, ["projector", "lora"])
    names = [name for name, weight in low.named_parameters() if weight.requires_grad]
    assert any("lora_" in name for name in names)
    assert all("lora_" in name or ".projector." in name for name in names)


def test_a_stage_ends_with_the_best_or_with_the_last_weights(policy, items, tmp_path) -> None:
    """By a dev metric that is best at the second of three evaluations."""
    seen = {}

    def measure(model, step):
        seen[step] = {name: weight.clone() for name, weight in policy.state_dict().items()}
        return {"dev_loss": abs(step - 4) + 1.0}

    before = {name: weight.clone() for name, weight in policy.state_dict().items()}
    settings = {"batch": 4, "max_steps": 6, "lr": 1e-3, "eval_every": 2}
    stage = Stage(items, items, tmp_path / "best", 0, shown=False, meta={"system": "none"})
    result = stage.fit(policy, SftStep(policy, items), measure, take_best=True, **settings)
    assert result.best[0].step == 4
    assert all(torch.equal(weight, seen[4][name]) for name, weight in policy.state_dict().items())
    policy.load_state_dict(before)
    stage = Stage(items, items, tmp_path / "again" / "best", 0, shown=False)
    stage.fit(policy, SftStep(policy, items), measure, **settings)
    assert all(torch.equal(weight, seen[6][name]) for name, weight in policy.state_dict().items())
    assert not torch.equal(seen[6]["model.projector.up.weight"], seen[4]["model.projector.up.weight"])
    assert load_model(result.last, policy)["stage"] == "best"


def test_a_stage_batches_by_length(policy, items, tmp_path) -> None:
    sizes: list[list[int]] = []
    lengths = token_counts(policy, items)
    plain = SftStep(policy, items)

    def step(model, given):
        sizes.append(sorted(lengths[row] for row in given.rows))
        return plain(model, given)

    stage = Stage(items, items, tmp_path / "sft", 0, shown=False)
    stage.fit(policy, step, lambda *_: {"dev_loss": 1.0}, batch=2, lengths=lengths, max_steps=4, lr=1e-4)
    assert sorted(sizes) == [sorted(lengths)[n : n + 2] for n in (0, 2, 4, 6)]


def test_heads_learn_alone(policy, items, tmp_path) -> None:
    same = Items([chat()] * 4, items.features[[0, 3, 6, 7]], targets={n: t[:4] for n, t in items.targets.items()})
    train_only(policy, ["encoder"])
    stage = Stage(same, same, tmp_path / "heads", 0, shown=False)
    before = head_measures(policy, same, ["band"])
    stage.fit(policy, HeadsStep(), lambda *_: head_measures(policy, same, ["band"]), batch=4, max_steps=60, lr=1e-2)
    after = head_measures(policy, same, ["band"])
    assert after["dev_loss"] < before["dev_loss"] / 2
    assert after["dev_band"] == 1.0
    changed = HeadsStep(lambda given: type(given)(given.rows, 0 * given.features, given.lengths, given.targets))
    some = batch(same, range(4))
    assert changed(policy, some)["loss"] > HeadsStep()(policy, some)["loss"]


def test_frames_of_another_class_weigh_more() -> None:
    logits = torch.zeros(1, 4, 2)
    logits[0, 3, 0] = 5.0  # wrong of the only frame of class 1
    classes = torch.tensor([[0, 0, 0, 1]])
    light, heavy = (float(head_loss({"a": logits}, {"a": classes}, weight)[0]) for weight in (1.0, 4.0))
    right, wrong = float(torch.tensor(2.0).log()), float(torch.tensor([5.0, 0.0]).logsumexp(0))
    assert light == pytest.approx((3 * right + wrong) / 4, rel=1e-5)
    assert heavy == pytest.approx((3 * right + 4 * wrong) / 7, rel=1e-5)


@pytest.mark.parametrize("rank", [0, 2])
def test_a_round_of_grpo(tokenizer, items, rank) -> None:
    """The first ratio is 1 and the KL 0, rewards are logged, the same batch draws the same; texts alone go too."""
    model = tiny_model(tokenizer)
    model = add_lora(model, rank=2, seed=0) if rank else model
    policy, reference = for_grpo(Policy(AudioLanguageModel(model, tokenizer)), rank=rank, alpha=4.0, seed=1)
    assert (reference is None) == bool(rank)
    rewards = {"long": (lambda text, truth: float(len(text) > truth), 1.0)}
    mixed = Items(
        [chat(), chat(None, "real?"), chat(), chat()],
        items.features,
        items.lengths,
        clips=[0, None, 2, 5],
        truths=[3, 4, 5, 6],
    )
    step = GrpoStep(policy, reference, mixed, rewards, GrpoSettings(beta=0.1), samples=4, max_new=6, seed=3)
    made = step(policy, batch(mixed, range(4), number=2))
    assert float(made["ratio"]) == pytest.approx(1.0, abs=1e-5)
    assert float(made["kl"]) == pytest.approx(0.0, abs=1e-5)
    assert torch.equal(step(policy, batch(mixed, range(4), number=2))["reward/long"], made["reward/long"])
    made["loss"].backward()
    assert all(bool(one.grad.isfinite().all()) for one in policy.parameters() if one.grad is not None)
    texts = mixed.subset([1])
    assert torch.isfinite(
        GrpoStep(policy, reference, texts, rewards, GrpoSettings(beta=0.1), 2, 4)(policy, batch(texts, [0]))["loss"]
    )


def test_logs_of_stages_are_put_together(tmp_path) -> None:
    for name, count in (("one", 2), ("three", 1)):
        (tmp_path / name).mkdir()
        write_jsonl(tmp_path / name / "metrics.jsonl", [{"step": 1 + n, "loss": 0.5} for n in range(count)])
    merge_logs(tmp_path / "metrics.jsonl", [tmp_path / name for name in ("one", "two", "three")])
    rows = [(row["stage"], row["step"]) for row in read_jsonl(tmp_path / "metrics.jsonl")]
    assert rows == [("one", 1), ("one", 2), ("three", 3)]


def test_weights_of_another_tokenizer_are_refused(policy) -> None:
    need_tokens(policy, policy.tokens_mark, "a/final", "this version")
    need_tokens(policy, None, "a/final", "this version")
    other = train_tokenizer(["other words"] * 4, 300)
    mark = Policy(AudioLanguageModel(tiny_model(other), other)).tokens_mark
    with pytest.raises(CheckpointError, match="a/final was trained with another tokenizer than that of this version"):
        need_tokens(policy, mark, "a/final", "this version")


# --- texts and scores -----------------------------------------------------------------------------------------------


def test_greedy_texts_are_those_of_each_alone(policy, items) -> None:
    together = greedy(policy, items, 6, at_once=8)
    assert together == [greedy(policy, items.subset([row]), 6)[0] for row in range(8)]
    texts = Items([chat(None, "real or fake?"), chat(None, "fake?")])
    asked = [policy.prompt(one) for one in texts.chats]
    assert greedy(policy, texts, 6) == written(policy.lm, asked, max_new=6)


def test_what_is_alike_is_scored_once_and_gives_what_scoring_all_gives(policy, items, monkeypatch) -> None:
    lm = policy.lm
    with torch.no_grad():
        audio = lm.encode_audio(items.features[:4].float(), items.lengths[:4]).embeds
    asked = [policy.prompt(chat(), items.sizes(row)) for row in range(4)]
    rationales = [["a", "b", "a", "b"], ["a", "c", "a", "b"], ["d", "b", "a", "b"]]
    rows = []
    for row in rationales:
        begun = [[*one, *lm.ids(f"{prefix(text)}<answer>")] for one, text in zip(asked, row, strict=True)]
        rows.append(label_log_odds(lm, begun, "real", "fake", audio))
    counts = []

    def counted(lm, prompts, *given):
        counts.append(len(prompts))
        return label_log_odds(lm, prompts, *given)

    monkeypatch.setattr("auricle.alm.writing.label_log_odds", counted)
    made = explained_odds(lm, asked, audio, rationales, ("real", "fake"))
    assert torch.allclose(made, pooled(torch.stack(rows)), atol=1e-5)
    assert counts == [6]


def test_a_score_is_behind_several_rationales(policy, items) -> None:
    texts, scores = explained(policy, items, ("real", "fake"), max_new=6, rationales=3, at_once=4, seed=1)
    assert texts == greedy(policy, items, 6)
    again = explained(policy, items, ("real", "fake"), max_new=6, rationales=3, at_once=8, seed=1)[1]
    assert torch.allclose(scores, again, atol=1e-5)
    alone = explained(policy, items, ("real", "fake"), max_new=6)[1]
    assert not torch.allclose(scores, alone, atol=1e-4)


def test_the_score_is_that_of_the_mean_probability() -> None:
    odds = torch.tensor([[0.0, 40.0], [2.0, 60.0]])
    mean = (0.5 + torch.sigmoid(torch.tensor(2.0))) / 2
    made = pooled(odds)
    assert made[0].item() == pytest.approx(torch.logit(mean).item(), rel=1e-5)
    assert made[1].item() == pytest.approx(40.0 + float(torch.tensor(2.0).log()), rel=1e-4)  # not 1 - 1e-17


def test_a_rationale_is_taken_up_to_its_answer() -> None:
    assert prefix("<think> x </think>\n<answer>fake</answer>") == "<think> x </think>\n"
    assert prefix("<think> x") == "<think> x\n"


def test_parts_hold_all_in_order(items) -> None:
    assert [one.rows for one in parts(items, 3)] == [[0, 1, 2], [3, 4, 5], [6, 7]]
