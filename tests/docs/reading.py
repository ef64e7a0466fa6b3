"""What the pages say: their code blocks, inline code, links and commands."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = (ROOT / "docs" / "systems", ROOT / "docs" / "api", ROOT / "docs" / "_build")
FENCE = re.compile(r"^(`{3,}|~{3,})(\S*)[^\n]*\n(.*?)^\1\s*$", re.MULTILINE | re.DOTALL)
SHELLS = ("sh", "bash", "shell", "console")


def pages() -> list[Path]:
    """List the hand-written pages: README, CONTRIBUTING, CHANGELOG, docs, and the cards of the systems."""
    docs = [
        path
        for path in (ROOT / "docs").rglob("*.md")
        if path.name == "index.md" or not any(path.is_relative_to(folder) for folder in GENERATED)
    ]
    cards = (ROOT / "auricle" / "systems").glob("*/README.md")
    return sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *docs, *cards])


def blocks(text: str) -> list[tuple[str, str]]:
    """Give language and content of each fenced block."""
    return [(found[2], found[3]) for found in FENCE.finditer(text)]


def prose(text: str) -> str:
    """Give the text without its fenced blocks."""
    return FENCE.sub("", text)


def inline(text: str) -> list[str]:
    """Give the inline code of a text."""
    return [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", prose(text))]


def links(text: str) -> list[str]:
    """Give the targets of its links."""
    return re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`]*`", "", prose(text)))


def anchors(text: str) -> set[str]:
    """Give the anchors of its headings, as they are made on the usual hosts."""
    titles = re.findall(r"^#+ (.+)$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@dataclass(frozen=True)
class Command:
    """A command as a page shows it."""

    page: str
    program: str
    arguments: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.page}: {self.program} {' '.join(self.arguments)}"


def commands(page: str, script: str) -> list[Command]:
    """Give the commands of a shell block: `auricle`, `make` and whatever else, each without what it is piped into."""
    found = []
    for line in re.sub(r"\\\n", " ", script).splitlines():
        lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars="&|;<>")
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, ";"]:
            if set(word) <= set("&|;<>"):
                if words:
                    found.append(_command(page, words))
                words = []
                if ">" in word or "<" in word:
                    break
            else:
                words.append(word)
    return found


def _command(page: str, words: list[str]) -> Command:
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words = words[1:]
    if "-m" in words and words[words.index("-m") + 1 : words.index("-m") + 2] == ["auricle"]:
        words = ["auricle", *words[words.index("-m") + 2 :]]
    program, *rest = words or [""]
    return Command(page, program.rsplit("/", 1)[-1], tuple(rest))


def shown() -> list[Command]:
    """List every command in a shell block of a page."""
    return [
        command
        for path in pages()
        for language, content in blocks(path.read_text(encoding="utf-8"))
        if language in SHELLS
        for command in commands(str(path.relative_to(ROOT)), content)
    ]
