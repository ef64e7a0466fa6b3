"""Speech of the large corpus: telephone voices, a game's actors, read descriptions, two fish, spoken letters.

A speaker is named only where the package tells who speaks. Groups keep apart what is certain and together what is
not: ``p`` professional, ``a`` actors as in the embedded corpus, ``t`` the volunteers of Tux Paint, one per language,
``f`` the fish, ``k`` the letters of KLettres, one unknown voice per language. KLettres names nobody: a
``k`` voice could be the ``t`` volunteer of the same language, so a trial of the two is no certain impostor trial.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

from auricle.core.files import read_json
from auricle.data.embedded.build import prompts
from auricle.data.embedded.build.acted import AUTHOR, FASTEST, SLOWEST, UNKIND, speakers_of
from auricle.data.embedded.build.amazon_queen import entries, spoken_lines
from auricle.data.embedded.build.deb import Package
from auricle.data.embedded.build.items import measure
from auricle.data.embedded.build.names import GAME_FILE, VOICES_JSON
from auricle.data.rec.packages import Source
from auricle.data.rec.recording import Recording, slug

_COLOMBIAN = prompts.Voice(
    "es-b",
    "p7",
    "es",
    "asterisk-prompt-es-co",
    "es",
    ".gsm",
    "Avatar Ltda., voice of July E. Jiménez, http://www.avatar.com.co/",
    "GPL-2.0-only",
)
# Folders of Tux Paint's numbers and letters: other people read them than the descriptions, and not always one.
_OTHER_READERS = ("symbols/alphabets/", "symbols/math/")
_STAMPS = "usr/share/tuxpaint/stamps/"
# Language of the spoken descriptions: pseudonym of its volunteer.
_VOLUNTEERS = {
    "be": "be-a",
    "bg": "bg-a",
    "ca": "ca-a",
    "da": "da-a",
    "el": "el-a",
    "es": "es-c",
    "fr": "fr-c",
    "ro": "ro-a",
    "ru": "ru-b",
}
# A speaker encoder (GE2E) finds one voice in each language, but a second one, in animals alone, in these two.
_SECOND_READER_OF_ANIMALS = ("ca", "fr")
_FISH = "usr/share/games/fillets-ng/"
_LETTERS = "usr/share/klettres/"
_DIALOGUE = re.compile(r'dialogId\("([^"]+)",\s*"([^"]*)",\s*"(?:[^"\\]|\\.)*"\)\s*dialogStr\("((?:[^"\\]|\\.)*)"\)')


def prompt_recordings(source: Source, package: Package, helps: dict[str, Package]) -> Iterator[Recording]:
    """Yield all prompts of a telephone voice; words for digits and letters where they are certain."""
    voice = next(item for item in (*prompts.VOICES, _COLOMBIAN) if item.package == source.package)
    folder = f"{prompts.SOUNDS_FOLDER}{voice.folder}/"
    for path in package.under(folder, voice.suffix):
        stem = path[len(folder) : -len(voice.suffix)]
        name = slug(voice.speaker, stem)
        load = partial(package.read, path)
        if stem.startswith("silence/"):
            continue
        if stem in prompts.NOT_SPEECH:
            yield Recording(
                name, "sound", path, voice.suffix, load, voice.author, voice.licence, {"detail": stem.replace("-", " ")}
            )
            continue
        extra = {"speaker": voice.speaker, "speaker_group": voice.group, "language": voice.language}
        extra |= _word(stem, voice.language) if "/" in stem else {"prompt": stem}
        yield Recording(name, "speech", path, voice.suffix, load, voice.author, voice.licence, extra)


def _word(stem: str, language: str) -> dict[str, str]:
    room, _, name = stem.partition("/")
    label = word = ""
    if room == "digits" and name in prompts.NUMBER_WORDS:
        label, word = name, prompts.NUMBER_WORDS[name]
    elif room == "letters" and name in prompts.LETTERS:
        label = word = name
    elif room == "phonetic" and language == "en" and name.removesuffix("_p") in prompts.SPELLING:
        label = word = prompts.SPELLING[name.removesuffix("_p")]
    if not label:
        return {"prompt": stem}
    return {"label": label, "text": word if language == "en" else ""}


def acted_recordings(source: Source, package: Package, helps: dict[str, Package]) -> Iterator[Recording]:
    """Yield the recorded lines of Flight of the Amazon Queen.

    Lines of the characters that ``voices.json`` keeps carry the voice, other dialogue only its words. What has no
    dialogue entry (cut scenes, remarks, effects) is speech without words where its name is that of a line.
    """
    found = entries(package.read(GAME_FILE))
    voices = read_json(VOICES_JSON)
    speakers = speakers_of(voices["groups"])
    doubtful = {*voices["rejected"], *voices["damaged"]}
    lines = {line.entry: line for line in spoken_lines(found)}
    for entry in sorted(name for name in found if name.endswith(".SB")):
        stem = entry.removesuffix(".SB")
        line = lines.get(entry)
        extra = {"language": "en"}
        kind = "speech"
        if line:
            if UNKIND.search(line.text):
                continue
            if SLOWEST <= len(line.text) / max(measure(found[entry], ".mp3")[1], 0.1) <= FASTEST:
                extra["text"] = line.text
            if line.character in speakers and entry not in doubtful:
                extra["speaker"], extra["speaker_group"] = speakers[line.character]
        elif not re.fullmatch(r"JOE?[0-9A-F]+|C[0-9A-F]+[A-Z_].*|\d\d.{4}[JP].", stem):
            kind, extra = "sound", {}
        load = partial(found.__getitem__, entry)
        path = f"{GAME_FILE}!{entry}"
        yield Recording(slug("fotaq", stem), kind, path, ".mp3", load, AUTHOR, "LicenseRef-FOTAQ", extra)


def stamp_recordings(source: Source, package: Package, helps: dict[str, Package]) -> Iterator[Recording]:
    """Yield the spoken descriptions of Tux Paint's stamps with their words, and the stamps' own sounds.

    The words of a language are its line in the file beside the sound; they are left out where their length does not
    fit that of the recording.
    """
    for path in [*package.under(_STAMPS, ".ogg"), *package.under(_STAMPS, ".wav")]:
        inner = path[len(_STAMPS) :]
        stem, suffix = inner.rsplit(".", 1)
        match = re.fullmatch(r"(?P<stamp>.+?)(?P<desc>_desc)?(?:_(?P<language>[a-z]{2}(?:_[A-Za-z]{2})?))?", stem)
        stamp, language = (match["stamp"], match["language"] or "") if match else (stem, "")
        described = match is not None and match["desc"] is not None
        others = inner.startswith(_OTHER_READERS)
        name = slug("stamp", stem.replace("/", "-")) + ("-wav" if suffix == "wav" else "")
        load = partial(package.read, path)
        if not described and not others:
            label = "animal" if inner.startswith("animals/") else ""
            extra = {"label": label, "detail": PurePosixPath(stem).name.replace("_", " ").replace("-", " ")}
            yield Recording(name, "sound", path, f".{suffix}", load, source.author, source.licence, extra)
            continue
        code = (language or "en").split("_")[0]
        extra = {"language": code}
        if described:
            extra["text"] = _stamp_text(package, f"{_STAMPS}{stamp}.txt", language)
            doubtful = code in _SECOND_READER_OF_ANIMALS and inner.startswith("animals/")
            if code in _VOLUNTEERS and not others and not doubtful:
                extra |= {"speaker": _VOLUNTEERS[code], "speaker_group": f"t-{code}"}
        yield Recording(name, "speech", path, f".{suffix}", load, source.author, source.licence, extra)


def _stamp_text(package: Package, path: str, language: str) -> str:
    if path not in package.files:
        return ""
    lines = package.files[path].decode("utf-8", "replace").splitlines()
    if not language:
        return lines[0].strip() if lines else ""
    found = next((line for line in lines if line.startswith(f"{language}.utf8=")), "")
    text = found.partition("=")[2].strip()
    return "" if "�" in text else text


def fish_recordings(source: Source, package: Package, helps: dict[str, Package]) -> Iterator[Recording]:
    """Yield Czech dialogue of Fish Fillets with its words, its effects and its music.

    The big and the small fish (``-v-``, ``-m-``) are one speaker each; of the other characters nobody is named.
    """
    words = _fish_words([package, *helps.values()])
    for path in package.under(_FISH, ".ogg"):
        inner = path[len(_FISH) :]
        *folders, file = inner.split("/")
        stem = file.removesuffix(".ogg")
        name = slug("fish", inner.removesuffix(".ogg").replace("/", "-"))
        load = partial(package.read, path)
        if folders[0] == "music":
            yield Recording(name, "music", path, ".ogg", load, source.author, source.licence, {"label": "track"})
            continue
        level = folders[1] if len(folders) > 1 else ""
        text = words.get((level, stem), words.get(("", stem), ""))
        fish = re.search(r"(?:^|-)([mv])-", stem)
        if folders[-1] != "cs" or not (text or fish or stem.startswith("kd-")):
            extra = {"detail": stem.split("-")[-1].replace("_", " ")}
            yield Recording(name, "sound", path, ".ogg", load, source.author, source.licence, extra)
            continue
        extra = {"language": "cs", "text": text}
        if fish:
            extra |= {"speaker": {"m": "cs-a", "v": "cs-b"}[fish[1]], "speaker_group": f"f-{fish[1]}"}
        yield Recording(name, "speech", path, ".ogg", load, source.author, source.licence, extra)


def _fish_words(packages: list[Package]) -> dict[tuple[str, str], str]:
    """Give the Czech words by level and line; under an empty level where a name has one text in all of them."""
    found: dict[tuple[str, str], str] = {}
    anywhere: dict[str, set[str]] = {}
    for package in packages:
        for path in package.under(f"{_FISH}script/", "dialogs_cs.lua"):
            for match in _DIALOGUE.finditer(package.files[path].decode("utf-8", "replace")):
                text = match[3].replace('\\"', '"').replace("\\n", " ").strip()
                found[path.split("/")[-2], match[1]] = text
                anywhere.setdefault(match[1], set()).add(text)
    return found | {("", name): texts.pop() for name, texts in anywhere.items() if len(texts) == 1}


def letter_recordings(source: Source, package: Package, helps: dict[str, Package]) -> Iterator[Recording]:
    """Yield letters and syllables of KLettres, one unknown voice per language."""
    import xml.etree.ElementTree as ElementTree

    said: dict[str, str] = {}
    for path in package.under(_LETTERS, "sounds.xml"):
        # entities of an XML file could grow without bound; these files have none
        root = ElementTree.fromstring(re.sub(rb"<!DOCTYPE.*?>", b"", package.files[path]))
        said.update({node.get("file", ""): node.get("name", "") for node in root.iter("sound")})
    for path in package.under(_LETTERS, ".ogg"):
        inner = path[len(_LETTERS) :]
        folder = inner.split("/")[0]
        word = said.get(inner, "").strip()
        speaker = f"{folder.lower().replace('_', '-')}-k"
        extra = {
            "speaker": speaker,
            "speaker_group": f"k-{folder.lower().replace('_', '-')}",
            "language": folder.split("_")[0],
            "text": word,
            "label": word.lower(),
        }
        name = slug("letters", inner.removesuffix(".ogg").replace("/", "-"))
        load = partial(package.read, path)
        yield Recording(name, "speech", path, ".ogg", load, source.author, source.licence, extra)
