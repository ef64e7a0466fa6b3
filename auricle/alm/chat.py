"""Chat data in the messages-and-audios JSONL that ms-swift and TRL users have, and its way into tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from auricle.alm.interface import AudioLanguageModel
from auricle.alm.tokens import CHAT_TEMPLATE, START
from auricle.core.errors import ConfigError, DataError
from auricle.core.files import write_jsonl
from auricle.core.lines import parse_json, text_lines

AUDIO_MARK = "<audio>"  # stands for one clip in a row's text, whatever the model's own placeholder is
ROLES = ("system", "user", "assistant")


@dataclass(frozen=True)
class ChatRow:
    """One conversation.

    Attributes:
        messages: dicts with ``role`` and ``content``; `AUDIO_MARK` in a content stands for the next clip.
        audios: paths of the clips, in order.
        extra: all other columns, such as ``solution``, which rewards read.
    """

    messages: list[dict[str, str]]
    audios: list[str] = field(default_factory=list)
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def prompt(self) -> list[dict[str, str]]:
        """The messages without an assistant's message at the end."""
        return self.messages[:-1] if self.messages[-1]["role"] == "assistant" else self.messages


def chat_row(value: Mapping[str, Any]) -> ChatRow:
    """Read one row.

    It takes ``messages`` with text contents and ``audios`` (ms-swift), contents that are lists of typed parts with
    the clips inside (TRL, Transformers), and ``prompt`` with ``completion`` in the place of ``messages`` (TRL).

    Args:
        value: the row as JSON has it.

    Raises:
        DataError: what is missing or does not fit.
    """
    columns = dict(value)
    if "messages" not in columns and "prompt" in columns:
        columns["messages"] = [
            *_turns(columns.pop("prompt"), "user"),
            *_turns(columns.pop("completion", []), "assistant"),
        ]
    raw, given = columns.pop("messages", None), columns.pop("audios", None) or []
    if not isinstance(raw, list) or not raw:
        raise DataError("a row needs 'messages' (or 'prompt'), a list of dicts with role and content")
    given = [given] if isinstance(given, str) else list(given)
    inside: list[str] = []
    messages = []
    for message in raw:
        if not isinstance(message, dict) or message.get("role") not in ROLES or "content" not in message:
            raise DataError(f"message {message!r}; each has a role ({', '.join(ROLES)}) and a content")
        messages.append({"role": message["role"], "content": _content(message["content"], inside)})
    if given and inside:
        raise DataError("a row has clips both in 'audios' and inside its messages; give them in one place")
    audios = [str(path) for path in given or inside]
    marks = sum(message["content"].count(AUDIO_MARK) for message in messages)
    if marks != len(audios):
        raise DataError(f"{marks} {AUDIO_MARK} in the messages and {len(audios)} audios; write one for each clip")
    return ChatRow(messages, audios, columns)


def read_chat(path: str | Path) -> list[ChatRow]:
    """Read a JSONL file of conversations, plain or gzip; see `chat_row`.

    Raises:
        DataError: no such file, no rows, or what is wrong in which line.
    """
    rows = []
    for number, line in text_lines(path):
        where = f"{path}, line {number}"
        value = parse_json(line, where)
        try:
            if not isinstance(value, dict):
                raise DataError("not a JSON object")
            rows.append(chat_row(value))
        except DataError as error:
            raise DataError(f"{where}: {error}") from error
    if not rows:
        raise DataError(f"{path} has no rows")
    return rows


def write_chat(path: str | Path, rows: Iterable[ChatRow]) -> None:
    """Write conversations in the form of ms-swift: ``messages``, ``audios`` and the other columns."""
    write_jsonl(Path(path), [{"messages": row.messages, "audios": row.audios, **row.extra} for row in rows])


def prompt_ids(lm: AudioLanguageModel, row: ChatRow, counts: Sequence[int]) -> list[int]:
    """Give the tokens up to where the assistant's last answer begins.

    Args:
        lm: the model.
        row: the conversation.
        counts: embeddings of each clip; see `AudioLanguageModel.audio_frames`.

    Raises:
        DataError: more or fewer clips than marks.
        ConfigError: no chat template.
    """
    return lm.expand(lm.ids(_text(lm, row.prompt, open_turn=True)), counts)


def training_ids(lm: AudioLanguageModel, row: ChatRow, counts: Sequence[int]) -> tuple[list[int], list[bool]]:
    """Give the tokens of a conversation, and which of them are learned: what the assistant says, and that it ends.

    Args:
        lm: the model.
        row: the conversation; it ends with the assistant.
        counts: embeddings of each clip.

    Raises:
        DataError: the conversation does not end with the assistant, or clips that do not fit the marks.
        ConfigError: no chat template, or one that does not tell where an answer begins and ends.
    """
    if row.messages[-1]["role"] != "assistant":
        raise DataError("a conversation to learn from ends with the assistant's message")
    ids: list[int] = []
    learned: list[bool] = []
    done = ""
    for place, message in enumerate(row.messages):
        if message["role"] != "assistant":
            continue
        before = _text(lm, row.messages[:place], open_turn=True)
        after = _text(lm, row.messages[: place + 1], open_turn=False)
        if not (before.startswith(done) and after.startswith(before)):
            raise ConfigError("the chat template rewrites earlier turns, so it does not tell what is learned")
        # tokenised apart, as the answer is when it is sampled
        asked, said = lm.ids(before[len(done) :]), lm.ids(after[len(before) :])
        end = next((at for at, one in enumerate(said) if one in lm.eos_ids), None)
        if end is None:
            raise ConfigError("the chat template ends the assistant's turn without an end token of the model")
        ids += asked + said
        learned += [False] * len(asked) + [at <= end for at in range(len(said))]
        done = after
    expanded = lm.expand(ids, counts)
    left = iter(counts)
    wide = [new for one, own in zip(ids, learned, strict=True) for new in _repeat(lm, one, own, left)]
    size = len(wide) - wide[::-1].index(True)  # what follows the last end token is of no use
    return expanded[:size], wide[:size]


def _repeat(lm: AudioLanguageModel, token: int, learned: bool, left: Any) -> list[bool]:
    return [False] * next(left) if token == lm.audio_token_id else [learned]


def _text(lm: AudioLanguageModel, messages: Sequence[Mapping[str, str]], open_turn: bool) -> str:
    """Write messages with the tokenizer's chat template; `open_turn` begins the assistant's next one."""
    tokenizer = lm.tokenizer
    template = tokenizer.chat_template
    if template is None:
        if START not in tokenizer.get_vocab():
            raise ConfigError("the tokenizer has no chat template and no ChatML tokens; set tokenizer.chat_template")
        template = CHAT_TEMPLATE
    own = [{**one, "content": one["content"].replace(AUDIO_MARK, lm.clip_text)} for one in messages]
    return str(
        tokenizer.apply_chat_template(own, chat_template=template, tokenize=False, add_generation_prompt=open_turn)
    )


def _turns(value: Any, role: str) -> list[Any]:
    """Give a prompt or completion as messages."""
    if isinstance(value, str):
        return [{"role": role, "content": value}]
    return list(value)


def _content(value: Any, audios: list[str]) -> str:
    """Give a content as text; clips inside it are collected and marked."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        raise DataError(f"content {value!r}; give a text or a list of parts")
    made = ""
    for part in value:
        kind = part.get("type") if isinstance(part, dict) else None
        if kind == "text":
            made += str(part.get("text", ""))
        elif kind == "audio":
            path = part.get("audio") or part.get("path") or part.get("audio_url")
            if isinstance(path, str):  # without a path it stands for the next one of 'audios'
                audios.append(path)
            made += AUDIO_MARK
        else:
            raise DataError(f"part {part!r}; parts are of type text or audio")
    return made
