"""Labelled sound effects: which files, under which label. The label follows from the file's own name."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass

from auricle.core.errors import DataError
from auricle.data.embedded.build.copyrights import SPDX, Stanza, licence_of, stanzas
from auricle.data.embedded.build.deb import Package
from auricle.data.embedded.build.items import Item, measure, to_flac
from auricle.data.embedded.build.qt_resources import rcc_files
from auricle.data.embedded.build.sources import Credit, minetest_credit

_MIN_S, _MAX_S = 0.15, 11.0
_MAX_BYTES = 85_000  # a file; what is larger is left out to keep the corpus small,
_RARE_BYTES = 125_000  # unless its label has fewer than two clips so far
_MINETEST = "usr/share/games/minetest/games/minetest_game/"
_SONIC = "usr/share/sonic-pi/samples/"
_THEME = "usr/share/sounds/freedesktop/"
_RCC = "usr/share/gcompris-qt/rcc/"

# (package, pattern of the whole name without folder and suffix, label, detail or "" to take it from the group)
_RULES: tuple[tuple[str, str, str, str], ...] = (
    ("minetest-data", r"default_(?P<d>[a-z]+)_footstep\.\d", "footsteps", ""),
    ("minetest-data", r"default_glass_footstep", "footsteps", "glass"),
    ("ufoai-sound", r"footsteps/((?P<d>carpet|dirt|grass|gravel|snow|stone|tile|wood)\d)", "footsteps", ""),
    ("ufoai-sound", r"footsteps/splash\d", "footsteps", "water"),
    ("ufoai-sound", r"footsteps/sand1", "footsteps", "sand"),
    ("gcompris-qt-data", r"icy_walk", "footsteps", "ice"),
    ("minetest-data", r"default_(dig|dug)_(?P<d>choppy|cracky|crumbly|metal|snappy)(\.\d)?", "digging", ""),
    ("minetest-data", r"default_(?P<d>gravel|ice)_d[iu]g(\.\d)?", "digging", ""),
    ("gcompris-qt-data", r"pickaxe", "digging", "pickaxe"),
    ("minetest-data", r"doors_(?P<d>.+)_(open|close)", "door", ""),
    ("minetest-data", r"default_chest_(open|close)", "door", "chest"),
    ("ufoai-sound", r"doors/door\d-(?P<d>open|close)", "door", ""),
    ("gcompris-qt-data", r"door_(?P<d>open|close)", "door", ""),
    ("sonic-pi-samples", r"perc_door", "door", "slam"),
    ("minetest-data", r"default_break_glass\.\d", "glass_break", "pane"),
    ("ufoai-sound", r"misc/breakglass0\d", "glass_break", "pane"),
    ("ufoai-sound", r"misc/breakmetal0\d", "metal_break", "metal"),
    ("minetest-data", r"default_tool_breaks\.\d", "metal_break", "tool"),
    ("minetest-data", r"default_place_node_metal\.\d", "metal_hit", "plate"),
    ("gcompris-qt-data", r"metal_hit", "metal_hit", "bar"),
    ("ufoai-sound", r"seq/sword-hit", "metal_hit", "sword"),
    ("ufoai-sound", r"misc/breakwood0\d", "wood_break", "wood"),
    ("ufoai-sound", r"ambience/(smallfire|fire0\d)", "fire", "fire"),
    ("minetest-data", r"fire_(?P<d>small|large)", "fire", ""),
    ("minetest-data", r"fire_fire\.\d", "fire", "fire"),
    ("minetest-data", r"default_furnace_active", "fire", "furnace"),
    ("minetest-data", r"tnt_(?P<d>ignite|gunpowder_burning)", "fuse", ""),
    ("minetest-data", r"env_sounds_lava\.\d", "bubbling", "lava"),
    ("ufoai-sound", r"ambience/alienbase-bubbles", "bubbling", "bubbles"),
    ("minetest-data", r"env_sounds_water\.\d", "water", "stream"),
    ("ufoai-sound", r"ambience/water0\d", "water", "water"),
    ("ufoai-sound", r"footsteps/water_(?P<d>in|out|under)", "water", ""),
    ("ufoai-sound", r"impact/water-impact", "water", "splash"),
    ("gcompris-qt-data", r"water_fill", "water", "filling"),
    ("ufoai-sound", r"weapons/explosion(?P<d>-grenade|-rocket|-flashbang|)", "explosion", ""),
    ("ufoai-sound", r"geoscape/combat-(explosion|rocket-exp)", "explosion", "far"),
    ("minetest-data", r"tnt_explode", "explosion", "tnt"),
    ("ufoai-sound", r"weapons/bullet-(?P<d>pistol2?|rifle|rifle-3x|shotgun|smg|smg-5x|sniper|hmg-5x)", "gunshot", ""),
    ("ufoai-sound", r"weapons/reload-(?P<d>pistol|rifle|shotgun|smg|sniper|grenade)", "gun_reload", ""),
    ("ufoai-sound", r"weapons/laser-(?P<d>blast|huge|large|medium|small)", "laser", ""),
    ("ufoai-sound", r"geoscape/combat-airlaser(-fast)?", "laser", "far"),
    ("ufoai-sound", r"weapons/electro-taser(double)?", "electric_spark", "taser"),
    ("ufoai-sound", r"misc/(electro|breakelectric0\d)", "electric_spark", "spark"),
    ("ufoai-sound", r"ugv/(?P<d>diesel-idle|diesel-move|diesel-stop)", "engine", ""),
    ("ufoai-sound", r"seq/humanflyby", "engine", "aircraft"),
    ("gcompris-qt-data", r"(?P<d>car|helicopter)", "engine", ""),
    ("minetest-data", r"carts_cart_moving\.\d", "cart", "rails"),
    ("ufoai-sound", r"ambience/wind_turbine", "wind", "turbine"),
    ("sonic-pi-samples", r"ambi_(?P<d>dark_woosh|swoosh)", "whoosh", ""),
    ("sonic-pi-samples", r"perc_(?P<d>swash|swoosh)", "whoosh", ""),
    ("ufoai-sound", r"weapons/melee-(?P<d>swoosh|throw)", "whoosh", ""),
    ("ufoai-sound", r"seq/sword-fly", "whoosh", "sword"),
    ("ufoai-sound", r"ambience/tv_static", "static", "television"),
    ("ufoai-sound", r"civilians/civfem(scream|death)0\da", "scream", "woman"),
    ("ufoai-sound", r"civilians/civmale(hurt|death)0\da", "scream", "man"),
    ("ufoai-sound", r"ui/(?P<d>click\d)", "click", ""),
    ("ufoai-sound", r"ui/beep\d", "beep", "beep"),
    ("sonic-pi-samples", r"elec_(?P<d>beep|blip2?|ping)", "beep", ""),
    ("ufoai-sound", r"geoscape/basealert", "alarm", "base"),
    ("sound-theme-freedesktop", r"alarm-clock-elapsed", "alarm", "clock"),
    ("sound-theme-freedesktop", r"(?P<d>message|complete|dialog-information)", "notification", ""),
    ("ufoai-sound", r"geoscape/(?P<d>info|mail|newmission)", "notification", ""),
    ("gcompris-qt-data", r"win", "notification", "win"),
    ("sound-theme-freedesktop", r"camera-shutter", "camera_shutter", "camera"),
    ("gcompris-qt-data", r"money[12]", "coins", "coins"),
    ("sonic-pi-samples", r"perc_till", "cash_register", "till"),
    ("gcompris-qt-data", r"card_flip", "paper", "card"),
    ("gcompris-qt-data", r"(?P<d>eraser|brush)", "scrubbing", ""),
    ("sonic-pi-samples", r"vinyl_(?P<d>backspin|rewind|scratch)", "vinyl_scratch", ""),
    ("sonic-pi-samples", r"ambi_glass_rub", "glass_rub", "glass"),
    ("sonic-pi-samples", r"misc_crow", "bird", "crow"),
    ("sonic-pi-samples", r"misc_burp", "burp", "burp"),
    ("sonic-pi-samples", r"perc_snap2?", "finger_snap", "snap"),
    ("sonic-pi-samples", r"perc_bell2?", "bell", "bell"),
    ("sonic-pi-samples", r"elec_(?P<d>bell|chime)", "bell", ""),
    ("sound-theme-freedesktop", r"bell", "bell", "desktop"),
    ("sonic-pi-samples", r"drum_cowbell", "cowbell", "cowbell"),
    ("sonic-pi-samples", r"(drum_heavy_kick|bd_(fat|haus|pure|808|klub|tek|zum))", "kick_drum", "kick"),
    ("sonic-pi-samples", r"(drum_snare_(hard|soft)|sn_(dolf|dub|generic|zome)|elec_hi_snare)", "snare_drum", "snare"),
    ("sonic-pi-samples", r"drum_cymbal_(?P<d>closed|hard|open|pedal|soft)", "cymbal", ""),
    ("sonic-pi-samples", r"drum_splash_soft", "cymbal", "splash"),
    ("sonic-pi-samples", r"drum_tom_(?P<d>(hi|lo|mid)_(hard|soft))", "tom_drum", ""),
    ("sonic-pi-samples", r"tabla_(?P<d>ghe[1458]|na|na_o|re|tas[123]|te2|tun3)", "tabla", ""),
    ("sonic-pi-samples", r"guit_(?P<d>e_slide|harmonics)", "guitar", ""),
    ("sonic-pi-samples", r"bass_(?P<d>dnb_f|hit_c|voxy_hit_c)", "bass", ""),
    ("sonic-pi-samples", r"ambi_piano", "piano", "piano"),
    ("sonic-pi-samples", r"ambi_choir", "choir", "choir"),
)


@dataclass(frozen=True)
class SoundFile:
    """A sound inside a package: short name for the rules, path for the row, path for the licence."""

    name: str
    source_path: str
    licence_path: str
    data: bytes


def _plain(package: Package, folder: str, suffix: str, licence_folder: str) -> Iterator[SoundFile]:
    for path in package.under(folder, suffix):
        inner = path[len(folder) :]
        yield SoundFile(inner.rsplit("/", 1)[-1][: -len(suffix)], path, licence_folder + inner, package.files[path])


def sound_files(package: Package, rcc_suffixes: tuple[str, ...] = (".wav",)) -> Iterator[SoundFile]:
    """Yield the sounds of a package, also those inside its archives.

    Args:
        package: one of the packages that the rules name.
        rcc_suffixes: which files of Qt resources to take.

    Raises:
        DataError: another package.
    """
    if package.name == "minetest-data":
        yield from _plain(package, _MINETEST, ".ogg", "mtg/")
    elif package.name == "sonic-pi-samples":
        yield from _plain(package, _SONIC, ".flac", "etc/samples/")
    elif package.name == "sound-theme-freedesktop":
        yield from _plain(package, _THEME, ".oga", "")
    elif package.name == "ufoai-sound":
        archive_path = "usr/share/games/ufoai/base/0snd.pk3"
        with zipfile.ZipFile(io.BytesIO(package.read(archive_path))) as archive:
            for name in sorted(entry for entry in archive.namelist() if entry.endswith(".ogg")):
                short = name.removeprefix("sound/").removesuffix(".ogg")
                yield SoundFile(short, f"{archive_path}!{name}", f"base/{name}", archive.read(name))
    elif package.name == "gcompris-qt-data":
        for path in package.under(_RCC, ".rcc"):
            for inner, data in sorted(rcc_files(package.files[path], rcc_suffixes).items()):
                short = inner.rsplit("/", 1)[-1].rsplit(".", 1)[0]
                yield SoundFile(short, f"{path}!{inner}", inner.removeprefix("gcompris/"), data)
    else:
        raise DataError(f"package {package.name} has no sound effects that the corpus takes")


def match_rule(package: str, name: str) -> tuple[str, str] | None:
    """Give label and detail of a sound by its name; None where no rule holds."""
    for wanted, pattern, label, detail in _RULES:
        found = re.fullmatch(pattern, name) if wanted == package else None
        if found:
            named = found.groupdict().get("d") or detail or label
            return label, named.strip("-_").replace("_", " ").replace("-", " ")
    return None


def spdx(name: str) -> str | None:
    """Give the SPDX expression of a licence as Debian writes it; None where the corpus may not take it."""
    parts = [SPDX.get(part) for part in re.split(r"\s+and\s+", name)]
    known = [part for part in parts if part]
    return " AND ".join(known) if len(known) == len(parts) else None


def _credit(package: str, file: SoundFile, found: list[Stanza]) -> Credit | None:
    own = minetest_credit(file.name) if package == "minetest-data" else None
    if own:
        return own
    stanza = licence_of(file.licence_path, found)
    licence = spdx(stanza.licence) if stanza else None
    return Credit(stanza.authors, licence) if stanza and licence else None


def sound_items(packages: dict[str, Package]) -> list[Item]:
    """Give the labelled sound effects; a file that a rule names but whose licence forbids is an error.

    Args:
        packages: the packages by name.

    Raises:
        DataError: a rule asks for a file under a licence that is not on the list.
    """
    items: list[Item] = []
    seen: set[bytes] = set()
    counts: dict[str, int] = {}
    for name in sorted({rule[0] for rule in _RULES}):
        package = packages[name]
        found = stanzas(package.copyright_text())
        for file in sound_files(package):
            match = match_rule(name, file.name)
            if match is None or file.data in seen:
                continue
            credit = _credit(name, file, found)
            if credit is None:
                raise DataError(f"{name}: {file.source_path} is not under a licence that the corpus takes")
            suffix = "." + file.source_path.rsplit(".", 1)[-1].replace("oga", "ogg")
            _, duration_s = measure(file.data, suffix)
            limit = _MAX_BYTES if counts.get(match[0], 0) >= 2 else _RARE_BYTES
            size = len(file.data) // (3 if suffix == ".wav" else 1)  # about what FLAC makes of a WAV file
            if not _MIN_S <= duration_s <= _MAX_S or size > limit:
                continue
            seen.add(file.data)
            items.append(_item(package, file, match, credit, suffix, counts))
    return items


def _item(
    package: Package, file: SoundFile, match: tuple[str, str], credit: Credit, suffix: str, counts: dict[str, int]
) -> Item:
    label, detail = match
    counts[label] = counts.get(label, 0) + 1
    recode = suffix == ".wav"
    return Item(
        id=f"{label.replace('_', '-')}-{counts[label]:02d}",
        kind="sound",
        suffix=".flac" if recode else suffix,
        data=to_flac(file.data) if recode else file.data,
        package=package.name,
        version=package.version,
        source_path=file.source_path,
        author=credit.author,
        licence=credit.licence,
        changes="WAV recoded as FLAC, samples unchanged" if recode else "renamed, bytes unchanged",
        extra={"label": label, "detail": detail},
    )
