"""What is asked: the wording of each task, the synthetic table of facts, and the options' texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from auricle.core.seed import rng
from auricle.data.choices import ChoiceItem, balanced, option_sets

COLOURS = ("red", "green", "blue", "yellow", "black", "white", "orange", "purple")
# kinds of sound that the embedded corpus has enough of; a larger corpus has more, of which nothing is known beforehand
EVENTS = (
    "beep",
    "digging",
    "door",
    "electric spark",
    "explosion",
    "fire",
    "footsteps",
    "glass break",
    "gun reload",
    "gunshot",
    "laser",
    "scream",
    "water",
    "whoosh",
    "wood break",
)
FACTS = "facts"  # the set of texts that teaches the table


class Wording(NamedTuple):
    """How a task is worded; ``{answer}`` and ``{what}`` (a word, a key, a sound) are filled in."""

    question: str
    evidence: str
    naming: str


WORDINGS = {
    "number": Wording("Which number is said?", 'Someone says "{answer}".', "This is the number {answer}."),
    "letter": Wording("Which letter is said?", 'Someone says "{answer}".', "This is {answer}."),
    "language": Wording("Which language is spoken?", "Someone speaks {answer}.", "This is spoken in {answer}."),
    "word": Wording("Which word is said?", 'Someone says "{what}".', 'The word "{answer}" is said.'),
    "fact": Wording("Which colour does it have?", 'Someone says "{what}".', "The colour of {what} is {answer}."),
    "mode": Wording("Which chord is played?", "The chord is {answer}.", "This chord is {answer}."),
    "instrument": Wording("Which instrument plays?", "The {answer} plays.", "This is the sound of the {answer}."),
    "tempo": Wording("Which tempo does it have?", "The beat is {answer}.", "The tempo is {answer}."),
    "contour": Wording("How does the melody move?", "The melody {answer}.", "The melody {answer}."),
    "pace": Wording(
        "How is it the second time?", "It is heard twice, the second time {answer}.", "The second time it is {answer}."
    ),
    "event": Wording("Which sound is heard?", "The sound of {answer} is heard.", "This is the sound of {answer}."),
    "count": Wording(
        "How often is the sound heard?", "The sound of {what} is heard {answer}.", "The sound is heard {answer}."
    ),
    "order": Wording("In which order are they heard?", "First {answer}.", "First {answer}."),
}


def item(
    name: str, domain: str, task: str, options: Sequence[str], answer: int, what: str = "", clip: str | None = None
) -> ChoiceItem:
    """Word one question.

    Args:
        name: id of the item.
        domain: of the clip.
        task: a key of `WORDINGS`.
        options: as they are shown.
        answer: place of the right one.
        what: the word, key or sound that evidence and naming tell beside the answer.
        clip: id of the clip; None for a text alone.
    """
    wording = WORDINGS[task]
    told = {"answer": options[answer], "what": what}
    evidence, naming = wording.evidence.format(**told), wording.naming.format(**told)
    return ChoiceItem(name, domain, task, wording.question, tuple(options), answer, evidence, naming, clip)


def in_order(first: str, second: str) -> str:
    """Word two sounds in their order."""
    return f"{first}, then {second}"


def orders(classes: Sequence[str]) -> tuple[str, ...]:
    """Give four options of order from four classes: two pairs, each both ways; so no option stands out by its parts."""
    a, b, c, d = classes
    return in_order(a, b), in_order(b, a), in_order(c, d), in_order(d, c)


def fact_table(keys: Sequence[str], seed: int) -> dict[str, str]:
    """Assign a colour to every key; colours are as often as one another, as far as the keys allow.

    Args:
        keys: words that can be said.
        seed: of the draw.
    """
    draws = rng(seed, "facts")
    return {keys[int(at)]: COLOURS[turn % len(COLOURS)] for turn, at in enumerate(draws.permutation(len(keys)))}


def heard_facts(table: dict[str, str], share: float, seed: int) -> set[str]:
    """Choose the keys whose facts training asks about by audio too: the same share of every colour's, at least one.

    Args:
        table: from `fact_table`.
        share: of the keys.
        seed: of the draw.
    """
    chosen: set[str] = set()
    for colour in COLOURS:
        keys = sorted(key for key, own in table.items() if own == colour)
        order = rng(seed, "facts by audio", colour).permutation(len(keys))
        chosen |= {keys[int(at)] for at in order[: max(1, round(share * len(keys)))]}
    return chosen


def lessons(table: dict[str, str], seed: int, rounds: int = 4) -> list[ChoiceItem]:
    """Word the table as texts: each fact as a sentence, and as a question whose evidence is told in words.

    Args:
        table: from `fact_table`.
        seed: draws options and letters.
        rounds: times that each colour is asked about with other keys and options.
    """
    draws = rng(seed, "lessons")
    by_colour = {colour: sorted(key for key, own in table.items() if own == colour) for colour in COLOURS}
    most = max(map(len, by_colour.values()))
    turn = dict.fromkeys(COLOURS, 0)
    made: list[ChoiceItem] = []
    for colours in option_sets(COLOURS, rounds * most * len(COLOURS) // 4, draws):
        for colour, (options, answer) in zip(colours, balanced(colours, draws), strict=True):
            key = by_colour[colour][turn[colour] % len(by_colour[colour])]
            turn[colour] += 1
            made.append(item(f"{FACTS}-{len(made):04d}", "speech", "fact", options, answer, key))
    return made
