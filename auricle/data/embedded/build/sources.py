"""The packages the corpus is cut from, and the credits that their copyright files do not give per file."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """One package: the file to look for, its checksum and where it comes from."""

    deb: str
    sha256: str
    homepage: str


PACKAGES: dict[str, Source] = {
    "asterisk-core-sounds-en-g722": Source(
        "asterisk-core-sounds-en-g722_1.6.1-1_all.deb",
        "38c5261820b406dcb0ecb37675720da2b0864850690690352ca52707eb623806",
        "http://downloads.asterisk.org/pub/telephony/asterisk/",
    ),
    "asterisk-core-sounds-es-g722": Source(
        "asterisk-core-sounds-es-g722_1.6.1-1_all.deb",
        "e4e3b4281057d3b81b779298fd6be705f57411513955c518eed1bcaabbd615b8",
        "http://downloads.asterisk.org/pub/telephony/asterisk/",
    ),
    "asterisk-core-sounds-fr-g722": Source(
        "asterisk-core-sounds-fr-g722_1.6.1-1_all.deb",
        "7add61d5e42279ecff1bbdf842a5a946ac3644fac9a0fe44384731aa7270c8e0",
        "http://downloads.asterisk.org/pub/telephony/asterisk/",
    ),
    "asterisk-core-sounds-it-g722": Source(
        "asterisk-core-sounds-it-g722_1.6.1-1_all.deb",
        "46b4cf7afc508a5fcfc051b7ea233251c0d195dd4ef83cc4b7facb4c6429b016",
        "http://downloads.asterisk.org/pub/telephony/asterisk/",
    ),
    "asterisk-core-sounds-ru-g722": Source(
        "asterisk-core-sounds-ru-g722_1.6.1-1_all.deb",
        "673b4238a6b8269960f055d868c6a11083f7a0d00979167cb01554046b48ed9b",
        "http://downloads.asterisk.org/pub/telephony/asterisk/",
    ),
    "asterisk-moh-opsound-g722": Source(
        "asterisk-moh-opsound-g722_2.03-1.1_all.deb",
        "8d6b39d6f2e8feff54a042c4a25e1b72f3e2478d05ee372c92f77446fa0b1671",
        "http://downloads.asterisk.org/pub/telephony/sounds/",
    ),
    "asterisk-prompt-fr-armelle": Source(
        "asterisk-prompt-fr-armelle_20070613-2.2_all.deb",
        "162570b1a9b3512a98f06b89f60c7c17cf1b9b52297315adca9a4e5be728bea3",
        "http://public.aclap.com/asterisk-1.2-sounds-fr-armelle.tar.gz",
    ),
    "asterisk-prompt-it-menardi-wav": Source(
        "asterisk-prompt-it-menardi-wav_1%3a1.4.22+mm20110907-3.1_all.deb",
        "3094530d98f8758ac275572d59624c41f60969fef883f34f4886d144f3dfeb21",
        "http://www.voip.ammdomus.it",
    ),
    "flight-of-the-amazon-queen": Source(
        "flight-of-the-amazon-queen_1.0.0-9_all.deb",
        "40c08fd258d6fe95c46c1eaf5e9137f84ba330657995a281bd887c94a560a0f1",
        "http://scummvm.org",
    ),
    "gcompris-qt-data": Source(
        "gcompris-qt-data_3.1-2_all.deb",
        "e9cf06ab2105529068df73085784e835d2ff03f870d2a8091f09125d40abac9f",
        "https://commits.kde.org/gcompris",
    ),
    "libmysofa1": Source(
        "libmysofa1_1.3.1~dfsg0-1_amd64.deb",
        "c4bd2b6d4352be2c0595974e4f62c2d16cfcde83b722be8fc96c0aee3e49c904",
        "https://github.com/hoene/libmysofa",
    ),
    "minetest-data": Source(
        "minetest-data_5.6.1+dfsg+~1.9.0mt8+dfsg-2_all.deb",
        "91371dd2bd51cfcd4fa60c138667989a47047dfe1a47f7523b9ad1782d397585",
        "https://github.com/minetest/minetest",
    ),
    "sonic-pi-samples": Source(
        "sonic-pi-samples_3.2.2~repack-8_all.deb",
        "25f2312d2fae005e6ad0f4726b8ed3084e776006a5a132083506e960224ac79d",
        "https://github.com/samaaron/sonic-pi",
    ),
    "sound-theme-freedesktop": Source(
        "sound-theme-freedesktop_0.8-2_all.deb",
        "135cc4893ba590d428577bc3bf42df756a165c05a2a43f84311ad7db779a70ea",
        "https://people.freedesktop.org/~mccann/dist/",
    ),
    "ufoai-sound": Source(
        "ufoai-sound_2.5-2_all.deb",
        "0224308c10e1265581d1829f19eaef031175390fd0eafeb4a1d558ac6561ed4e",
        "http://sourceforge.net/projects/ufoai/",
    ),
}


@dataclass(frozen=True)
class Credit:
    """Who made a file and under which licence (SPDX, or a LicenseRef named in the LICENSES folder)."""

    author: str
    licence: str


# Minetest names the authors of its sounds in the README of each mod; Debian's copyright file only has the
# licence of the whole. The README is the authors' own and finer word, so it goes first.
MINETEST: tuple[tuple[str, Credit], ...] = (
    (r"default_break_glass\.1", Credit("cmusounddesign", "CC-BY-3.0")),
    (r"default_break_glass\.2", Credit("Tomlija", "CC-BY-3.0")),
    (r"default_break_glass\.3", Credit("lsprice", "CC-BY-3.0")),
    (r"default_dig_metal", Credit("yadronoff", "CC-BY-3.0")),
    (r"default_dug_metal", Credit("Iwan Gabovitch (qubodup)", "CC0-1.0")),
    (r"default_metal_footstep", Credit("mypantsfelldown", "CC0-1.0")),
    (r"default_place_node_metal", Credit("Ogrebane", "CC0-1.0")),
    (r"default_tool_breaks", Credit("HerbertBoland, sofar", "CC-BY-3.0")),
    (r"default_water_footstep", Credit("AGFX", "CC-BY-3.0")),
    (r"default_dig_snappy", Credit("blukotek", "CC0-1.0")),
    (
        r"default_chest_",
        Credit("sofar, from Sevin7, Percy Duke, kingsamas, bulbastre, Yoyodaman234", "CC-BY-3.0 AND CC0-1.0"),
    ),
    (r"default_snow_footstep", Credit("Ryding", "CC0-1.0")),
    (r"default_dig_choppy", Credit("Sheyvan", "CC0-1.0")),
    (r"default_gravel_(dig|dug)", Credit("lolamadeus", "CC0-1.0")),
    (r"default_dig_cracky", Credit("Benboncan", "CC-BY-3.0")),
    (r"default_hard_footstep", Credit("Erdie", "CC-BY-3.0")),
    (r"default_sand_footstep", Credit("worthahep88", "CC0-1.0")),
    (r"default_ice_dig", Credit("dheming", "CC-BY-3.0")),
    (r"default_ice_footstep", Credit("InspectorJ", "CC-BY-3.0")),
    (r"default_furnace_active", Credit("iankath", "CC0-1.0")),
    (r"default_(dig_crumbly|dug_node|grass_footstep|gravel_footstep|place_node)", Credit("Mito551", "CC-BY-SA-3.0")),
    (r"default_(wood_footstep|dirt_footstep|glass_footstep)", Credit("Mito551", "CC-BY-SA-3.0")),
    (r"env_sounds_water", Credit("Yuval", "CC0-1.0")),
    (r"env_sounds_lava", Credit("Halion", "CC0-1.0")),
    (r"fire_small", Credit("dobroide", "CC-BY-3.0")),
    (r"fire_(large|fire)", Credit("Dynamicell", "CC-BY-3.0")),
    (r"fire_flint", Credit("Benboncan", "CC-BY-3.0")),
    (r"tnt_explode", Credit("steveygos93, edited by TumeniNodes", "CC0-1.0")),
    (r"tnt_ignite", Credit("theneedle.tv, edited by TumeniNodes", "CC0-1.0")),
    (r"tnt_gunpowder", Credit("frankelmedico, edited by TumeniNodes", "CC0-1.0")),
    (r"doors_door_open", Credit("CGEffex, modified by BlockMen", "CC-BY-3.0")),
    (r"doors_door_close", Credit("bennstir", "CC-BY-3.0")),
    (r"doors_fencegate_open", Credit("mhtaylor67", "CC0-1.0")),
    (r"doors_fencegate_close", Credit("BarkersPinhead, rivernile7", "CC-BY-3.0")),
    (r"doors_steel_door", Credit("HazMatt", "CC-BY-3.0")),
    (r"doors_glass_door", Credit("SkeetMasterFunk69", "CC0-1.0")),
)

MUSIC: dict[str, Credit] = {
    "macroform": Credit("Paul Shuler (Macroform), http://macroform.bandcamp.com/", "CC-BY-SA-3.0"),
    "manolo_camp": Credit("Manolo Camp, http://ccmixter.org/people/ManoloCamp", "CC-BY-SA-3.0"),
    "reno_project": Credit("Reno Project, http://www.jamendo.com/en/album/23661", "CC-BY-SA-3.0"),
}


def minetest_credit(name: str) -> Credit | None:
    """Give the credit of a Minetest sound by its file name; None where no README names it."""
    for pattern, credit in MINETEST:
        if re.match(pattern, name):
            return credit
    return None
