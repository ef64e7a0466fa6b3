"""Answers that say what the request was; each request that is really answered is noted in `ANSWERED`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from auricle.core.answers import Output, Refused
from auricle.core.request import Request

ANSWERED: list[Request] = []


@dataclass(frozen=True)
class Echo:
    """What was asked; and, as a file, its text."""

    request: Request

    def as_dict(self) -> dict[str, Any]:
        sizes = {path.suffix[1:]: path.stat().st_size for path in self.request.files}
        return {"input": self.request.input, "words": self.request.text, "sizes": sizes, "warnings": []}

    def outputs(self) -> Mapping[str, Output]:
        return {"sound": Output(".txt", lambda path: path.write_text(self.request.text or ""))}


def load(folder: str | Path) -> str:
    return str(folder)


def infer(model: str, requests: Iterable[Request]) -> Iterator[Echo | Refused]:
    for request in requests:
        ANSWERED.append(request)
        yield Refused(request.input, "I will not") if request.text == "refuse" else Echo(request)
