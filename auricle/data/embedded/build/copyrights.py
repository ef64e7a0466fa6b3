"""Who made a file and under which licence: Debian's machine-readable copyright files (DEP-5)."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Names that packages write, and the SPDX identifier of the same licence.
SPDX = {
    "CC0": "CC0-1.0",
    "CC0-1.0": "CC0-1.0",
    "CC-BY-3.0": "CC-BY-3.0",
    "CC-BY-4.0": "CC-BY-4.0",
    "CC-BY-SA-3.0": "CC-BY-SA-3.0",
    "CC-BY-SA-4.0": "CC-BY-SA-4.0",
    "MIT": "MIT",
    "Expat": "MIT",
    "BSD-3-clause": "BSD-3-Clause",
    "public-domain": "LicenseRef-PublicDomain",
}


@dataclass(frozen=True)
class Stanza:
    """One ``Files:`` paragraph: its patterns, the authors and the licence's short name."""

    patterns: tuple[str, ...]
    authors: str
    licence: str


def _paragraphs(text: str) -> list[dict[str, str]]:
    paragraphs: list[dict[str, str]] = []
    for block in re.split(r"\n\s*\n", text):
        fields: dict[str, str] = {}
        name = ""
        for line in block.splitlines():
            if line[:1] in " \t" and name:
                fields[name] += "\n" + line.strip()
            elif ":" in line:
                name, _, value = line.partition(":")
                fields[name] = value.strip()
        paragraphs.append(fields)
    return paragraphs


def stanzas(text: str) -> list[Stanza]:
    """Read the ``Files:`` paragraphs of a copyright file, in order."""
    found = []
    for fields in _paragraphs(text):
        if "Files" in fields and "License" in fields:
            authors = " / ".join(line for line in fields.get("Copyright", "").splitlines() if line)
            authors = re.sub(r"\s+", " ", authors)
            found.append(Stanza(tuple(fields["Files"].split()), authors, fields["License"].splitlines()[0].strip()))
    return found


def licence_of(path: str, found: list[Stanza]) -> Stanza | None:
    """Give the paragraph that holds for `path`: the last one that matches, as DEP-5 section 6 says.

    Args:
        path: the file's path inside the source package, such as ``etc/samples/drum.flac``.
        found: what `stanzas` returned.
    """
    answer = None
    for stanza in found:
        for pattern in stanza.patterns:
            # in DEP-5 a star also crosses slashes
            expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
            if re.fullmatch(expression, path):
                answer = stanza
    return answer


def licence_text(text: str, name: str) -> str:
    """Give the full text of the licence `name` that a copyright file carries, with Debian's markers undone.

    Args:
        text: the copyright file.
        name: the licence's short name in it.

    Returns:
        The text, or an empty string where the file only names the licence.
    """
    best = ""
    for match in re.finditer(rf"^License: *{re.escape(name)}[ \t]*\n((?:[ \t].*\n?)*)", text, re.MULTILINE):
        lines = [re.sub(r"^[ \t]{1,4}", "", line.rstrip()) for line in match.group(1).splitlines()]
        body = "\n".join("" if line.strip() == "." else line for line in lines).strip("\n")
        best = max(best, body, key=len)
    return best
