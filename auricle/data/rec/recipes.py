"""Which function reads which package."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from auricle.data.embedded.build.deb import Package
from auricle.data.rec.effects import effect_recordings, music_recordings, named_recordings
from auricle.data.rec.packages import Source
from auricle.data.rec.recording import Recording
from auricle.data.rec.speech import (
    acted_recordings,
    fish_recordings,
    letter_recordings,
    prompt_recordings,
    stamp_recordings,
)

Recipe = Callable[[Source, Package, dict[str, Package]], Iterator[Recording]]

RECIPES: dict[str, Recipe] = {
    "prompts": prompt_recordings,
    "acted": acted_recordings,
    "stamps": stamp_recordings,
    "fish": fish_recordings,
    "letters": letter_recordings,
    "effects": effect_recordings,
    "named": named_recordings,
    "music": music_recordings,
}
