"""The professional voices: telephone prompts of the Asterisk project, with spoken digits and letters."""

from __future__ import annotations

from dataclasses import dataclass

from auricle.core.errors import DataError
from auricle.data.embedded.build.deb import Package
from auricle.data.embedded.build.items import Item, measure, order_key, to_flac

_SECONDS = 153.0  # of sentences per voice
_MIN_S, _MAX_S = 1.2, 8.0
SHORTEST_S = 0.15
SOUNDS_FOLDER = "usr/share/asterisk/sounds/"
# Prompts that are tones or animals, or a file that holds no speech.
NOT_SPEECH = (
    "beep",
    "beeperr",
    "ascending-2tone",
    "descending-2tone",
    "tt-monkeys",
    "confbridge-join",
    "confbridge-leave",
)

DIGITS = tuple(str(number) for number in (*range(21), 30, 40, 50, 60, 70, 80, 90))
LETTERS = tuple("abcdefghijklmnopqrstuvwxyz")
_NUMBERS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety"
)
_ALPHABET = (
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo "
    "sierra tango uniform victor whiskey x-ray yankee zulu"
)
NUMBER_WORDS = dict(zip(DIGITS, _NUMBERS.split(), strict=True))
SPELLING = dict(zip(LETTERS, _ALPHABET.split(), strict=True))


@dataclass(frozen=True)
class Voice:
    """One recorded voice: its package and folder, and what every clip of it says about itself."""

    speaker: str
    group: str
    language: str
    package: str
    folder: str
    suffix: str
    author: str
    licence: str
    reverse: bool = False  # take the prompts from the other end, so that two voices of a language share few texts


_CORE = "asterisk-core-sounds-{}-g722"
VOICES: tuple[Voice, ...] = (
    Voice(
        "en-a",
        "p1",
        "en",
        _CORE.format("en"),
        "en_US_f_Allison",
        ".g722",
        "Allison Smith, http://www.theivrvoice.com; paid for by Digium, Inc.",
        "CC-BY-SA-3.0",
    ),
    Voice(
        "es-a",
        "p1",
        "es",
        _CORE.format("es"),
        "es_MX_f_Allison",
        ".g722",
        "Allison Smith, http://www.theivrvoice.com; paid for by Digium, Inc.",
        "CC-BY-SA-3.0",
    ),
    Voice(
        "fr-a",
        "p2",
        "fr",
        _CORE.format("fr"),
        "fr_CA_f_June",
        ".g722",
        "June Wallack, http://www.junewallack.com; translated by Clod Patry, Kristopher Lalletti, June Wallack; "
        "paid for by Digium, Unlimitel, BGM Informatique",
        "CC-BY-SA-3.0",
    ),
    Voice(
        "it-a",
        "p3",
        "it",
        _CORE.format("it"),
        "it_IT_m_Carlo",
        ".g722",
        "Carlo Flora, http://www.carloflora.com, http://www.segreterietelefoniche.it; translated by Silvia Petrin",
        "CC-BY-3.0",
    ),
    Voice(
        "ru-a",
        "p4",
        "ru",
        _CORE.format("ru"),
        "ru_RU_f_IvrvoiceRU",
        ".g722",
        "Maxim Topal, http://www.ivrvoice.ru",
        "CC-BY-3.0",
    ),
    Voice(
        "it-b",
        "p5",
        "it",
        "asterisk-prompt-it-menardi-wav",
        "it_IT_f_Menardi",
        ".wav",
        "Marco Menardi and Paola Dal Zot, http://www.voip.ammdomus.it",
        "LicenseRef-CC-BY-SA-3.0-IT",
        True,
    ),
    Voice(
        "fr-b",
        "p6",
        "fr",
        "asterisk-prompt-fr-armelle",
        "fr",
        ".gsm",
        "Armelle Desjardins (voice), Michel Gutierrez (copyright 2006)",
        "LicenseRef-Armelle",
        True,
    ),
)


def _item(voice: Voice, package: Package, path: str, name: str, extra: dict[str, str]) -> Item:
    recode = voice.suffix == ".wav"
    data = package.files[path]
    return Item(
        id=f"{voice.speaker}-{name}",
        kind="speech",
        suffix=".flac" if recode else voice.suffix,
        data=to_flac(data) if recode else data,
        package=package.name,
        version=package.version,
        source_path=path,
        author=voice.author,
        licence=voice.licence,
        changes="WAV recoded as FLAC, samples unchanged" if recode else "renamed, bytes unchanged",
        extra={"speaker": voice.speaker, "speaker_group": voice.group, "language": voice.language, **extra},
    )


def _sentences(voice: Voice, package: Package, folder: str) -> list[Item]:
    stems = {path[len(folder) : -len(voice.suffix)]: path for path in package.under(folder, voice.suffix)}
    # the order goes by the prompt's name alone, the same for every voice
    order = sorted((stem for stem in stems if "/" not in stem), key=order_key, reverse=voice.reverse)
    items: list[Item] = []
    total_s = 0.0
    for stem in order:
        if stem in NOT_SPEECH:
            continue
        _, duration_s = measure(package.files[stems[stem]], voice.suffix)
        if _MIN_S <= duration_s <= _MAX_S and total_s < _SECONDS:
            total_s += duration_s
            items.append(_item(voice, package, stems[stem], stem, {"prompt": stem}))
    if total_s < 120:
        raise DataError(f"{package.name}: only {total_s:.0f} s of sentences for voice {voice.speaker}; 120 are needed")
    return items


def _words(voice: Voice, package: Package, folder: str) -> list[Item]:
    wanted: list[tuple[str, str, str, str]] = []  # name in the package, name in the corpus, label, word
    wanted += [(f"digits/{digit}", f"number-{digit}", digit, NUMBER_WORDS[digit]) for digit in DIGITS]
    wanted += [(f"letters/{letter}", f"letter-{letter}", letter, letter) for letter in LETTERS]
    if voice.language == "en":
        wanted += [(f"phonetic/{letter}_p", f"spelling-{letter}", word, word) for letter, word in SPELLING.items()]
    items = []
    for source, name, label, word in wanted:
        path = f"{folder}{source}{voice.suffix}"
        # the Italian and French sets leave a few out; a silent placeholder is no word either
        if path not in package.files or measure(package.files[path], voice.suffix)[1] < SHORTEST_S:
            continue
        extra = {"label": label}
        if voice.language == "en":
            extra["text"] = word
        items.append(_item(voice, package, path, name, extra))
    return items


def prompt_items(packages: dict[str, Package]) -> list[Item]:
    """Give the sentences, digits and letters of the professional voices.

    Args:
        packages: the packages by name.

    Raises:
        DataError: a package does not hold enough speech.
    """
    items: list[Item] = []
    for voice in VOICES:
        package = packages[voice.package]
        folder = f"{SOUNDS_FOLDER}{voice.folder}/"
        items += _sentences(voice, package, folder) + _words(voice, package, folder)
    return items
