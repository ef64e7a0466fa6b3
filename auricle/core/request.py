"""A question to a system: audio, text, an image, a video, and plain values beside them; any may be absent.

A path alone stands for a request: it fills the field that its suffix and the system's `Spec.takes` name. A line of JSON
or a row of CSV names the fields: ``{"audio": "a.wav", "text": "tired", "n": 3}``; keys that are no field fill `more`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, get_args

from auricle.core.errors import ConfigError, DataError
from auricle.core.names import Field, More, Spec

FIELDS: tuple[Field, ...] = get_args(Field)
FILES: tuple[Field, ...] = ("audio", "image", "video")
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
VIDEOS = (".mp4", ".mkv", ".webm", ".mov", ".avi", ".m4v")
EMPTY: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Request:
    """One question.

    Attributes:
        audio: an audio file.
        text: words: a question, a caption, a sentence to speak.
        image: a picture file.
        video: a video file.
        more: further plain JSON values, under the keys that `Spec.more` names.
    """

    audio: Path | None = None
    text: str | None = None
    image: Path | None = None
    video: Path | None = None
    more: Mapping[str, Any] = field(default_factory=lambda: EMPTY)

    @property
    def input(self) -> str:
        """What stands for the request in its answer: the path of its first file, or its text."""
        return next((str(path) for path in self.files), self.text or "")

    @property
    def files(self) -> tuple[Path, ...]:
        """Its files: audio, image, video, those that are given."""
        return tuple(path for path in (self.audio, self.image, self.video) if path is not None)

    @property
    def beside(self) -> dict[str, Any]:
        """What the request has beside the file or text that `input` names; empty for a plain file."""
        whole = self.as_dict()
        first = next((name for name in (*FILES, "text") if name in whole), None)
        return {name: value for name, value in whole.items() if name != first}

    def as_dict(self) -> dict[str, Any]:
        """Give the request as plain JSON values: the fields that are given, then `more`."""
        fields = {name: getattr(self, name) for name in FIELDS}
        plain: dict[str, Any] = {name: str(value) for name, value in fields.items() if value is not None}
        return {**plain, **self.more}


def from_path(path: str | Path, spec: Spec) -> Request:
    """Make the request that a path stands for.

    Args:
        path: a file; nothing is opened.
        spec: of the system that is asked.

    Returns:
        A request with the one field that takes the path: by its suffix where the system takes several kinds of file,
        else the one kind that it takes.

    Raises:
        ConfigError: the system takes no file.
    """
    kinds = [take.field for take in spec.takes if take.field in FILES]
    if not kinds:
        raise ConfigError(f"'{spec.name}' takes no file and was given {path}; it takes {takes_text(spec)}")
    suffix = Path(path).suffix.lower()
    by_suffix = "image" if suffix in IMAGES else "video" if suffix in VIDEOS else "audio"
    return replace(Request(), **{by_suffix if by_suffix in kinds else kinds[0]: Path(path)})  # type: ignore[arg-type]


def from_values(values: Mapping[str, Any], spec: Spec, folder: Path = Path()) -> Request:
    """Make a request of named values, such as a line of JSON.

    Args:
        values: field or key of `Spec.more` -> value; None and "" count as absent, as in an empty cell of a CSV.
        spec: of the system that is asked.
        folder: relative paths are relative to it.

    Returns:
        The request, each value of the type that its key has.

    Raises:
        DataError: a key that is neither, or a value of another type.
    """
    given = {key: value for key, value in values.items() if value is not None and value != ""}
    known = {more.key: more for more in spec.more}
    unknown = [key for key in given if key not in FIELDS and key not in known]
    if unknown:
        raise DataError(
            f"'{spec.name}' knows no {', '.join(map(repr, unknown))}; a request has {', '.join((*FIELDS, *known))}"
        )
    wrong = [key for key in FIELDS if key in given and not isinstance(given[key], str)]
    if wrong:
        raise DataError(f"{wrong[0]} of a request is a text, and was given {given[wrong[0]]!r}")
    fields: dict[str, Any] = {key: given[key] for key in FIELDS if key in given}
    fields |= {key: folder / Path(given[key]).expanduser() for key in FILES if key in given}
    return Request(**fields, more={key: value_of(known[key], given[key]) for key in given if key in known})


def need(request: Request, spec: Spec) -> str | None:
    """Say what keeps a system from answering a request.

    Args:
        request: the question.
        spec: what the system takes.

    Returns:
        One sentence that names what is missing or cannot be taken; None where nothing is.
    """
    taken = {take.field for take in spec.takes}
    odd = [name for name in FIELDS if getattr(request, name) is not None and name not in taken]
    if odd:
        return f"'{spec.name}' takes no {odd[0]}; it takes {takes_text(spec)}"
    missing = [take.field for take in spec.takes if take.needed and getattr(request, take.field) is None]
    if missing:
        return f"'{spec.name}' needs {' and '.join(missing)}, and the request has none; it takes {takes_text(spec)}"
    if not any(getattr(request, name) is not None for name in FIELDS):
        return f"the request is empty; '{spec.name}' takes {takes_text(spec)}"
    absent = [more.key for more in spec.more if more.needed and more.key not in request.more]
    return (
        f"'{spec.name}' needs {' and '.join(absent)} with each request; give --set {absent[0]}=..." if absent else None
    )


def value_of(more: More, value: Any) -> Any:
    """Bring a value of `Request.more` to its type; a text, as from a command line or a CSV, is read as JSON.

    Args:
        more: the key and its type.
        value: as given.

    Raises:
        DataError: it is of another type.
    """
    given = value
    if isinstance(value, str) and more.kind is not str:
        try:
            value = json.loads(value)
        except json.JSONDecodeError:
            raise DataError(f"{more.key}={given!r} is no {more.kind.__name__}; {more.help}") from None
    if more.kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if not isinstance(value, more.kind) or (isinstance(value, bool) and more.kind is not bool):
        raise DataError(f"{more.key}={given!r} is no {more.kind.__name__}; {more.help}")
    return value


def assigned(settings: Sequence[str], spec: Spec) -> dict[str, Any]:
    """Read ``KEY=VALUE`` texts as values of `Request.more`.

    Args:
        settings: the texts.
        spec: of the system that is asked.

    Raises:
        ConfigError: no ``=``, a key that the system does not have, or a value of another type.
    """
    known = {more.key: more for more in spec.more}
    values: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals or key not in known:
            allowed = ", ".join(f"{more.key} ({more.kind.__name__}: {more.help})" for more in spec.more) or "none"
            raise ConfigError(f"--set {setting}: '{spec.name}' has no such value; KEY=VALUE with: {allowed}")
        try:
            values[key] = value_of(known[key], text)
        except DataError as error:
            raise ConfigError(f"--set {error}") from None
    return values


def takes_text(spec: Spec) -> str:
    """Say in words what a system takes.

    Args:
        spec: what it declares.
    """
    words = []
    for take in spec.takes:
        channels = " (all channels)" if take.field == "audio" and take.channels == "all" else ""
        words.append(f"{take.field}{channels}" if take.needed else f"{take.field}{channels} if given")
    return ", ".join(words)


def joined(requests: Iterable[Request], text: str | None, more: Mapping[str, Any]) -> Iterable[Request]:
    """Give each request the text and the values that hold for all of them; its own win.

    Args:
        requests: the questions.
        text: for those that have none.
        more: values for all.
    """
    for request in requests:
        yield Request(
            request.audio,
            request.text if request.text is not None else text,
            request.image,
            request.video,
            {**more, **request.more},
        )
