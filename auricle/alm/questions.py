"""Multiple-choice questions about clips: how they are written, in which order their options stand, and controls."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from auricle.alm.chat import AUDIO_MARK, ChatRow
from auricle.alm.items import Items
from auricle.core.errors import ConfigError, DataError
from auricle.core.seed import rng

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NEUTRAL = "Which option is right?"  # asks nothing: what the options alone give away


@dataclass(frozen=True)
class Question:
    """A question with options.

    Attributes:
        text: what is asked, without the options.
        options: their texts, all different.
        answer: place of the right one.
        clip: index of the clip it is about; None for a text alone.
        kind: template or domain, within which letters are balanced and wrong clips are drawn.
        said: what there is to hear, in words, for the same question as text; None where it is not known.
        more: whatever else is to be kept with it.
    """

    text: str
    options: tuple[str, ...]
    answer: int
    clip: int | None = None
    kind: str = ""
    said: str | None = None
    more: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        same = {option.strip().lower() for option in self.options}
        if not 2 <= len(self.options) <= len(LETTERS) or len(same) != len(self.options):
            raise DataError(
                f"options {', '.join(map(repr, self.options))} of {self.text!r}; give 2 to {len(LETTERS)} that differ "
                "in more than case"
            )
        if not 0 <= self.answer < len(self.options):
            raise DataError(f"answer {self.answer} of {self.text!r}; give 0 to {len(self.options) - 1}")

    @property
    def right(self) -> str:
        """Text of the right option."""
        return self.options[self.answer]

    @property
    def letter(self) -> str:
        """Letter of the right option."""
        return LETTERS[self.answer]


@dataclass(frozen=True)
class Form:
    """How a question is written and answered.

    Attributes:
        listed: the options stand in the prompt.
        line: of an option in the prompt, with ``{letter}`` and ``{option}``. A small decoder learns to bind letters
            sooner where the letter comes last, which `LETTER_LAST` has.
        ask: last line of the prompt; ``""`` for none.
        answer: what the assistant says, with ``{letter}`` or ``{option}`` or both.
    """

    listed: bool = True
    line: str = "{letter}. {option}"
    ask: str = "Answer with the letter."
    answer: str = "{letter}"

    def __post_init__(self) -> None:
        if not ("{letter}" in self.answer or "{option}" in self.answer):
            raise ConfigError(f"the answer {self.answer!r} says neither {{letter}} nor {{option}}; put one of them in")
        if self.listed and not ("{letter}" in self.line and "{option}" in self.line):
            raise ConfigError(f"the line {self.line!r} of an option needs both {{letter}} and {{option}}")
        if not self.listed and "{letter}" in self.answer:
            raise ConfigError("a letter cannot be the answer where no options are listed; answer with {option}")

    def answered(self, question: Question, place: int) -> str:
        """Give the answer that picks one option."""
        return self.answer.replace("{letter}", LETTERS[place]).replace("{option}", question.options[place])


LETTER = Form()
LETTER_LAST = Form(line="{option} {letter}")
OPEN = Form(listed=False, ask="", answer="{option}")


def shuffled(questions: Sequence[Question], seed: int) -> list[Question]:
    """Put the options of questions into a drawn order in which every letter is right equally often.

    Within each kind and number of options the right answers' letters differ in number by one at most, so a constant
    letter gains nothing; wrong options are in random order.

    Args:
        questions: in any order of options.
        seed: of the draws; the same questions and seed give the same orders.
    """
    groups: dict[tuple[str, int], list[int]] = {}
    for index, question in enumerate(questions):
        groups.setdefault((question.kind, len(question.options)), []).append(index)
    found = list(questions)
    for (kind, size), members in groups.items():
        draws = rng(seed, "letters", kind, size)
        first = int(draws.integers(size))
        for number, place in zip(draws.permutation(len(members)).tolist(), members, strict=True):
            found[place] = _with_answer_at(questions[place], (first + number) % size, draws)
    return found


def _with_answer_at(question: Question, place: int, draws: Any) -> Question:
    wrong = [option for index, option in enumerate(question.options) if index != question.answer]
    order = [wrong[index] for index in draws.permutation(len(wrong))]
    return replace(question, options=(*order[:place], question.right, *order[place:]), answer=place)


def letter_counts(questions: Sequence[Question]) -> dict[str, Counter[str]]:
    """Count for each kind how often each letter is right: the leak check of a constant letter."""
    counts: dict[str, Counter[str]] = {}
    for question in questions:
        counts.setdefault(question.kind, Counter())[question.letter] += 1
    return counts


def chat_of(question: Question, form: Form = LETTER, answered: bool = False) -> ChatRow:
    """Write a question as a conversation.

    Args:
        question: with the mark of its clip where it has one.
        form: how it is written.
        answered: the right answer stands at the end, to be learned.
    """
    lines = [question.text] if question.text else []
    if form.listed:
        lines += [
            form.line.replace("{letter}", letter).replace("{option}", option)
            for letter, option in zip(LETTERS, question.options, strict=False)
        ]
    lines += [form.ask] if form.ask else []
    mark = AUDIO_MARK if question.clip is not None else ""
    messages = [{"role": "user", "content": mark + "\n".join(lines)}]
    if answered:
        messages.append({"role": "assistant", "content": form.answered(question, question.answer)})
    return ChatRow(messages, ["clip"] if mark else [])


def as_items(
    questions: Sequence[Question], clips: Items | None = None, form: Form = LETTER, answered: bool = True
) -> Items:
    """Make conversations of questions, to learn from or to be answered; their truths are the questions.

    Args:
        questions: about clips by their index.
        clips: brings features, lengths and frames of the clips; None for texts alone.
        form: how questions are written.
        answered: the right answers stand there.

    Raises:
        DataError: a question is about a clip, and there are none.
    """
    chats = [chat_of(question, form, answered) for question in questions]
    named = [question.clip for question in questions]
    if clips is None:
        if any(clip is not None for clip in named):
            raise DataError("a question is about a clip, and no clips were given; give them, or `without_audio`")
        return Items(chats, truths=list(questions))
    return replace(clips, chats=chats, clips=named, truths=list(questions))


# --- controls -------------------------------------------------------------------------------------------------------


def without_audio(questions: Sequence[Question]) -> list[Question]:
    """Give the same questions without their clips: what question and options give away (question only)."""
    return [replace(question, clip=None) for question in questions]


def options_only(questions: Sequence[Question]) -> list[Question]:
    """Give the same options without clip and question: what the options alone give away."""
    return [replace(question, clip=None, text=NEUTRAL) for question in questions]


def wrong_audio(questions: Sequence[Question], seed: int) -> list[Question]:
    """Give the same questions about the clip of another question of the same kind whose right answer is another text.

    A model that listens then does worse than chance or like it; one that guesses from the text does as before.

    Args:
        questions: each about a clip.
        seed: of the draws.

    Raises:
        DataError: a question without a clip, or a kind in which all right answers are alike.
    """
    by_kind: dict[str, list[Question]] = {}
    true_of: dict[tuple[str, str], set[int | None]] = {}  # the clips of which an answer is true, within a kind
    for question in questions:
        if question.clip is None:
            raise DataError(f"{question.text!r} is about no clip, so it has no wrong one")
        by_kind.setdefault(question.kind, []).append(question)
        true_of.setdefault((question.kind, question.right), set()).add(question.clip)
    others = {
        (kind, right): [one.clip for one in by_kind[kind] if one.clip not in clips]
        for (kind, right), clips in true_of.items()
    }
    found = []
    for index, question in enumerate(questions):
        wrong = others[question.kind, question.right]
        if not wrong:
            raise DataError(
                f"every clip of the kind {question.kind!r} has the answer {question.right!r}; there is no wrong one"
            )
        found.append(replace(question, clip=wrong[int(rng(seed, "wrong audio", index).integers(len(wrong)))]))
    return found


def as_text(questions: Sequence[Question]) -> list[Question]:
    """Give the same questions with what there is to hear in words, in the place of their clips.

    Raises:
        DataError: it is not known of a question.
    """
    found = []
    for question in questions:
        if question.said is None:
            raise DataError(f"what there is to hear of {question.text!r} is not known in words; set `said`")
        text = f"{question.said}\n{question.text}" if question.text else question.said
        found.append(replace(question, clip=None, text=text))
    return found


# --- the letter lesson's questions ----------------------------------------------------------------------------------


def letter_lesson(
    words: Sequence[str], count: int, *, options: int = 4, seed: int = 0, text: str = "Which option is {word}?"
) -> list[Question]:
    """Make text questions that teach nothing but which letter stands beside which word.

    Args:
        words: the options that the task has, or any others.
        count: questions.
        options: of each.
        seed: of the draws.
        text: the question, with ``{word}``.

    Raises:
        DataError: fewer words than options.
    """
    if len(set(words)) < options:
        raise DataError(f"{len(set(words))} different words for questions of {options} options; give as many at least")
    known = list(dict.fromkeys(words))
    draws = rng(seed, "letter lesson")
    made = []
    for _ in range(count):
        chosen = [known[index] for index in draws.choice(len(known), options, replace=False)]
        made.append(Question(text.replace("{word}", chosen[0]), tuple(chosen), 0, kind="letters"))
    return shuffled(made, seed)
