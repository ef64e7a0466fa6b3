"""Chat rows, the loss mask, supervised tuning and the reading of answers."""

from __future__ import annotations

import copy
import gzip
import json

import pytest
import torch

from auricle.alm.answers import parse_choice, parse_label, score_choices
from auricle.alm.chat import ChatRow, chat_row, prompt_ids, read_chat, training_ids, write_chat
from auricle.alm.interface import AudioLanguageModel
from auricle.alm.sampling import rollout
from auricle.alm.sft import Policy, collate_sft, sft_loss
from auricle.alm.tiny import tiny_public_model
from auricle.core.errors import ConfigError, DataError

SYSTEM, USER = {"role": "system", "content": "be brief"}, {"role": "user", "content": "<audio>real or fake?"}
FAKE = {"role": "assistant", "content": "<answer>fake</answer>"}


@pytest.fixture
def lm(model, tokenizer) -> AudioLanguageModel:
    return AudioLanguageModel(model, tokenizer)


def mel(frames: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(frames, 16, generator=torch.Generator().manual_seed(seed))


def test_reads_the_three_forms_alike(tmp_path) -> None:
    swift = {"messages": [USER, FAKE], "audios": ["a.wav"], "solution": "<answer>fake</answer>"}
    parts = [{"type": "audio", "audio": "a.wav"}, {"type": "text", "text": "real or fake?"}]
    typed = {"messages": [{"role": "user", "content": parts}, FAKE], "solution": "<answer>fake</answer>"}
    split = {"prompt": [USER], "completion": [FAKE], "audios": ["a.wav"], "solution": "<answer>fake</answer>"}
    rows = [chat_row(value) for value in (swift, typed, split)]
    assert rows[0] == rows[1] == rows[2]
    assert rows[0].extra == {"solution": "<answer>fake</answer>"}
    assert rows[0].prompt == [USER]
    write_chat(tmp_path / "rows.jsonl", rows)
    assert read_chat(tmp_path / "rows.jsonl") == rows
    assert json.loads((tmp_path / "rows.jsonl").read_text().splitlines()[0]) == swift


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"messages": [USER]}, "1 <audio> in the messages and 0 audios"),
        ({"messages": [FAKE], "audios": ["a.wav"]}, "0 <audio> in the messages and 1 audios"),
        ({"audios": ["a.wav"]}, "needs 'messages'"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "role"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "text or audio"),
    ],
)
def test_says_what_is_wrong_in_which_line(tmp_path, value, message) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps({"messages": [FAKE]}) + "\n" + json.dumps(value) + "\n")
    with pytest.raises(DataError, match=message) as caught:
        read_chat(path)
    assert "line 2" in str(caught.value)


def test_text_of_any_make_is_read(tmp_path) -> None:
    said = {"role": "assistant", "content": "one\u2028two\u0085three"}
    row = json.dumps({"messages": [USER, said], "audios": ["a.wav"]}, ensure_ascii=False).encode()
    (tmp_path / "rows.jsonl").write_bytes(gzip.compress(b"\xef\xbb\xbf" + row + b"\r\n\r\n" + row))
    assert [one.messages[1]["content"] for one in read_chat(tmp_path / "rows.jsonl")] == [said["content"]] * 2


def test_refuses_what_is_not_json(tmp_path) -> None:
    (tmp_path / "bad.jsonl").write_text("{")
    with pytest.raises(DataError, match="line 1"):
        read_chat(tmp_path / "bad.jsonl")
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(DataError, match="no rows"):
        read_chat(tmp_path / "empty.jsonl")


def test_learns_the_assistants_text_and_its_end_alone(lm) -> None:
    row = ChatRow(
        [SYSTEM, USER, FAKE, {"role": "user", "content": "sure?"}, {"role": "assistant", "content": "real"}], ["a"]
    )
    ids, learned = training_ids(lm, row, [3])
    assert ids.count(lm.audio_token_id) == 3
    assert len(ids) == len(learned)
    said = [one for one, own in zip(ids, learned, strict=True) if own]
    end = lm.eos_ids[0]
    assert said == [*lm.ids("<answer>fake</answer>"), end, *lm.ids("real"), end]
    assert learned[-1]  # the line break after the last end is left out
    whole = lm.tokenizer.decode([one for one in ids if one != lm.audio_token_id])
    assert whole.startswith("<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\nreal or fake?<|im_end|>\n")


def test_prompt_is_the_beginning_of_what_is_learned(lm) -> None:
    row = ChatRow([USER, FAKE], ["a"])
    ids, learned = training_ids(lm, row, [2])
    assert prompt_ids(lm, row, [2]) == ids[: learned.index(True)]


def test_refuses_rows_that_teach_nothing(lm) -> None:
    with pytest.raises(DataError, match="ends with the assistant"):
        training_ids(lm, ChatRow([USER], ["a"]), [2])
    with pytest.raises(DataError, match="2 clips"):
        training_ids(lm, ChatRow([USER, FAKE], ["a"]), [2, 2])
    bare = copy.deepcopy(lm.tokenizer)
    bare.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    with pytest.raises(ConfigError, match="without an end token"):
        training_ids(AudioLanguageModel(lm.model, bare), ChatRow([USER, FAKE], ["a"]), [2])


def test_loss_is_that_of_each_row_alone(lm) -> None:
    rows = [ChatRow([USER, FAKE], ["a"]), ChatRow([SYSTEM, USER, {"role": "assistant", "content": "real"}], ["b"])]
    clips = [[mel(20)], [mel(33, 1)]]
    with torch.no_grad():
        both = sft_loss(lm, collate_sft(lm, rows, clips))
        alone = [sft_loss(lm, collate_sft(lm, [r], [c])) for r, c in zip(rows, clips, strict=True)]
    mean = sum(one.loss * one.weight for one in alone) / sum(one.weight for one in alone)
    torch.testing.assert_close(both.loss, mean, atol=1e-5, rtol=1e-5)
    assert int(both.weight) == sum(int(one.weight) for one in alone)
    assert both.heads["band"].shape == (2, 6)
    assert both.lengths.tolist() == [5, 9]
    # by hand, from the model's own forward
    batch = collate_sft(lm, rows[1:], clips[1:])
    labels = torch.tensor(batch.rows).masked_fill(~torch.tensor(batch.learned), -100)
    with torch.no_grad():
        own = lm.model(input_ids=torch.tensor(batch.rows), input_features=batch.features, labels=labels).loss
    assert abs(float(own - alone[1].loss)) < 2e-2  # that of the class counts the banned tokens too
    ready = lm.encode_audio(batch.features, batch.lengths).embeds
    torch.testing.assert_close(sft_loss(lm, batch, ready).loss, alone[1].loss)


@pytest.mark.parametrize("kind", ["ours", "qwen2_audio", "qwen2_5_omni_thinker"])
def test_learns_an_answer_from_audio_and_gives_it(kind, model, tokenizer) -> None:
    own = copy.deepcopy(tokenizer)
    lm = AudioLanguageModel(model if kind == "ours" else tiny_public_model(kind, own), own)
    rows = [ChatRow([USER, {"role": "assistant", "content": label}], ["a"]) for label in ("real", "fake")]
    clips = [[mel(40) - 2.0], [mel(40, 1) + 2.0]]
    batch = collate_sft(lm, rows, clips)
    policy = Policy(lm)
    optimizer = torch.optim.AdamW(policy.parameters(), lr=5e-3)
    first = 0.0
    for _ in range(40):
        made = policy(lambda one: sft_loss(one, batch))
        first = first or float(made.loss)
        optimizer.zero_grad()
        made.loss.backward()
        torch.nn.utils.clip_grad_norm_(policy.parameters(), 1.0)
        optimizer.step()
        if float(made.loss) < 0.02:
            break
    assert float(made.loss) < 0.2 * first
    with torch.no_grad():
        audio = lm.encode_audio(batch.features, batch.lengths)
    prompts = [prompt_ids(lm, row, [int(n)]) for row, n in zip(rows, audio.lengths, strict=True)]
    answers = rollout(lm, prompts, audio.embeds, temperature=0, max_new=8)
    assert [lm.text(row) for row in answers.ids] == ["real", "fake"]


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("<think>real</think><answer>fake</answer>", "fake"),
        ("<answer> Real </answer>", "real"),
        ("FAKE", "fake"),
        ("it is fake", None),
        ("<answer>real</answer><answer>fake</answer>", None),
        ("<answer></answer>", None),
        ("", None),
    ],
)
def test_labels(text, label) -> None:
    assert parse_label(text, ["real", "fake"]) == label


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("B", 1),
        ("(b)", 1),
        ("B. dog", 1),
        ("<answer>C</answer>", 2),
        ("dog", 1),
        ("It is a dog.", 1),
        ("A. dog", None),
        ("cat or dog", None),
        ("E", None),
        ("a bird", 2),
        ("", None),
        ("none of them", None),
        ("hotdog", None),
    ],
)
def test_choices_are_read_or_not(text, place) -> None:
    assert parse_choice(text, ["cat", "dog", "a bird"]) == place


def test_what_cannot_be_read_is_wrong_and_counted() -> None:
    score = score_choices(["A", "B", "what?", "cat"], [["cat", "dog"]] * 4, [0, 0, 0, 0])
    assert (score.accuracy, score.parse_failures, score.n, score.chance) == (0.5, 1, 4, 0.5)
    assert score.picked == [0, 1, None, 0]
    with pytest.raises(DataError, match="as many of each"):
        score_choices([], [], [])
    with pytest.raises(ConfigError, match="1 options"):
        parse_choice("A", ["one"])
