"""Tiny Debian packages in the layout of the real ones, and a downloader that serves them from a folder."""

from __future__ import annotations

import functools
import hashlib
import io
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile

from auricle.core.seed import rng
from auricle.data.rec.apt import Archive
from auricle.data.rec.packages import Source

SOURCES = (
    Source("asterisk-prompt-es-co", "prompts"),
    Source("tuxpaint-stamps-default", "stamps", "Tux Paint", "GPL-2.0-only"),
    Source("fillets-ng-data-cs", "fish", "ALTAR", "GPL-2.0-only", ("fillets-ng-data",)),
    Source("klettres-data", "letters", "KDE", "GPL-2.0-or-later"),
    Source("lomiri-sounds", "named"),
)
_STAMPS = "usr/share/tuxpaint/stamps"
_FISH = "usr/share/games/fillets-ng"
_PROMPTS = "usr/share/asterisk/sounds/es"
_DIALOGUE = 'dialogId("ate-v-ahoj", "font_big", "Hello \\"fish\\".")\ndialogStr("Ahoj \\"rybo\\".")\n\n'
_COPYRIGHT = (
    "Format: x\n\nFiles: share/sounds/lomiri/ringtones/Call?me.ogg\nCopyright: 2018, Ann\nLicense: CC0-1.0\n\n"
    "Files: share/sounds/lomiri/notifications/*\nCopyright: 2019, Bo\nLicense: GPL-2+\n"
)


@functools.cache  # an Ogg file has a random serial number
def sound(name: str, rate_hz: int = 44_100, channels: int = 1, seconds: float = 0.5, suffix: str = ".ogg") -> bytes:
    """Give a noisy tone as a coded file; the second channel is the louder one."""
    generator = rng(0, name)
    time_s = np.arange(int(rate_hz * seconds)) / rate_hz
    wave = 0.2 * np.sin(2 * np.pi * generator.uniform(200, 900) * time_s) + 0.01 * generator.standard_normal(
        len(time_s)
    )
    frames = np.stack([wave * (0.5 + channel) for channel in range(channels)], axis=1)
    out = io.BytesIO()
    if suffix == ".gsm":
        soundfile.write(out, frames, rate_hz, format="RAW", subtype="GSM610")
    else:
        soundfile.write(out, frames, rate_hz, format="OGG" if suffix == ".ogg" else "WAV")
    return out.getvalue()


def contents() -> dict[str, dict[str, bytes]]:
    """Give the files of each package."""
    stamps = {f"{_STAMPS}/animals/cat.ogg": sound("cat"), f"{_STAMPS}/animals/cat.png": b"png"}
    stamps[f"{_STAMPS}/animals/cat.txt"] = "A cat.\nro.utf8=O pisică.\nfr.utf8=Un chat.\n".encode()
    for language in ("_ro", "_fr", "_lt", ""):
        stamps[f"{_STAMPS}/animals/cat_desc{language}.ogg"] = sound(f"cat{language}", channels=2)
    stamps[f"{_STAMPS}/symbols/math/7_ro.ogg"] = sound("seven")
    stamps[f"{_STAMPS}/animals/silent.ogg"] = sound("short", seconds=0.01)
    letters = {f"usr/share/klettres/de/alpha/{name}.ogg": sound(f"de{name}", channels=2) for name in "abcdef"}
    names = "".join(f'<sound name="{name.upper()}" file="de/alpha/{name}.ogg" />' for name in "abcdef")
    letters["usr/share/klettres/de/sounds.xml"] = (
        f"<klettres><language code='de'>{names}</language></klettres>".encode()
    )
    prompts = {f"{_PROMPTS}/{name}.gsm": sound(name, 8_000, suffix=".gsm") for name in ("hola", "digits/7", "beep")}
    fish = {f"{_FISH}/sound/ateam/cs/{name}.ogg": sound(name, 22_050) for name in ("ate-v-ahoj", "ate-x-bum")}
    home = "usr/share/sounds/lomiri"
    named = {
        f"{home}/ringtones/Call me.ogg": sound("call"),
        f"{home}/notifications/Slick.ogg": sound("slick"),
        "usr/share/doc/lomiri-sounds/copyright": _COPYRIGHT.encode(),
    }
    return {
        "asterisk-prompt-es-co": prompts,
        "tuxpaint-stamps-default": stamps,
        "fillets-ng-data": {f"{_FISH}/script/ateam/dialogs_cs.lua": _DIALOGUE.encode()},
        "fillets-ng-data-cs": fish,
        "klettres-data": letters,
        "lomiri-sounds": named,
    }


def make_debs(folder: Path) -> Path:
    """Build the packages with dpkg-deb."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, files in contents().items():
        tree = folder / f"{name}.tree"
        control = tree / "DEBIAN" / "control"
        control.parent.mkdir(parents=True)
        control.write_text(
            f"Package: {name}\nVersion: 1:2.0-3\nArchitecture: all\nMaintainer: N <n@example.org>\nDescription: test\n"
        )
        for path, data in files.items():
            (tree / path).parent.mkdir(parents=True, exist_ok=True)
            (tree / path).write_bytes(data)
        deb = folder / f"{name}_1%3a2.0-3_all.deb"
        subprocess.run(["dpkg-deb", "-Zgzip", "--build", str(tree), str(deb)], check=True, capture_output=True)
        shutil.rmtree(tree)
    return folder


class Shelf:
    """A downloader that copies packages from a folder; `before` runs ahead of each copy."""

    def __init__(self, folder: Path, before=lambda archive, target: None) -> None:
        self.folder = folder
        self.before = before
        self.fetched: list[str] = []

    def look_up(self, packages: Sequence[str]) -> dict[str, Archive]:
        found = {}
        for name in packages:
            (file,) = self.folder.glob(f"{name}_*.deb")
            data = file.read_bytes()
            found[name] = Archive(name, file.name, "1:2.0-3", len(data), hashlib.sha256(data).hexdigest())
        return found

    def fetch(self, archives: Sequence[Archive], folder: Path) -> None:
        for archive in archives:
            self.before(archive, folder)
            self.fetched.append(archive.package)
            shutil.copy(self.folder / archive.file, folder / archive.file)
