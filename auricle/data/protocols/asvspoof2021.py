"""ASVspoof 2021 logical access (LA) and deepfake (DF): trial metadata with keys, and the trial lists without.

LA, eight columns: speaker, trial, codec, transmission, attack, key, trim, subset. DF, up to thirteen: speaker, trial,
codec, source corpus, attack, key, trim, subset, vocoder class, task, team, gender pair, language; lines are ragged, so
the first eight are asked for, the others are taken where they are, and what stands after them is left out. Bona fide
rows have ``bonafide`` or ``-`` for an attack. Source: the README and the configuration of the organisers' evaluation
package. Audio lies in ``ASVspoof2021_<track>_eval/flac/<trial>.flac``, 16 kHz.
"""

from __future__ import annotations

from pathlib import Path

from auricle.core.errors import DataError
from auricle.data.protocols.lines import Names, attack, columns, label, locate, one_of
from auricle.data.protocols.row import ProtocolRow

LA = "asvspoof2021_la"
DF = "asvspoof2021_df"
SUBSETS = ("progress", "eval", "hidden")
# In the order in which the organisers' package prints them.
LA_ATTACKS = tuple(f"A{number:02d}" for number in range(7, 20))
LA_CODECS = ("none", "alaw", "pstn", "g722", "ulaw", "gsm", "opus")
LA_TRANSMISSIONS = ("ita_tx", "sin_tx", "loc_tx", "mad_tx")
DF_CODECS = (
    "nocodec",
    "low_mp3",
    "high_mp3",
    "low_m4a",
    "high_m4a",
    "low_ogg",
    "high_ogg",
    "mp3m4a",
    "oggm4a",
)
DF_VOCODERS = (
    "traditional_vocoder",
    "waveform_concatenation",
    "neural_vocoder_autoregressive",
    "neural_vocoder_nonautoregressive",
    "unknown",
)
# Subsets add up to the published totals: 181,566 trials in LA, 22,617 + 589,212 in DF.
LA_SIZES = {
    "progress": {"bonafide": 1_676, "spoof": 14_788},
    "eval": {"bonafide": 14_816, "spoof": 133_360},
    "hidden": {"bonafide": 1_960, "spoof": 14_966},
}
DF_SIZES = {
    "progress": {"bonafide": 5_768, "spoof": 53_557},
    "eval": {"bonafide": 14_869, "spoof": 519_059},
    "hidden": {"bonafide": 1_980, "spoof": 16_596},
}

_LA_COLUMNS = ("speaker", "trial", "codec", "transmission", "attack", "key", "trim", "subset")
_DF_COLUMNS = (
    "speaker",
    "trial",
    "codec",
    "source",
    "attack",
    "key",
    "trim",
    "subset",
    "vocoder",
    "task",
    "team",
    "gender pair",
    "language",
)
_TRIMS = ("notrim", "trim")
_PREFIXES = {"LA": "LA_E_", "DF": "DF_E_"}
# The languages of the voice conversion challenge 2020.
_LANGUAGES = {"E": "en", "F": "fi", "G": "de", "M": "zh"}


def _folders(track: str) -> tuple[str, ...]:
    keys = (f"{track}/CM", f"keys/{track}/CM", "keys/CM")
    return (
        "",
        "CM",
        *keys,
        *(f"{place}/{key}" for place in (f"ASVspoof2021_{track}_eval", f"{track}-keys-full") for key in keys),
    )


def _audio(track: str, trial: str) -> str:
    return f"ASVspoof2021_{track}_eval/flac/{trial}.flac"


def read_asvspoof2021_la(path: str | Path) -> list[ProtocolRow]:
    """Read the trial metadata of the LA track, all subsets.

    Args:
        path: ``trial_metadata.txt`` of ``keys/LA/CM``, or a folder that holds it there.

    Returns:
        One row a trial.

    Raises:
        DataError: nothing to read, other than eight columns, an unknown label, trim or subset, a trial of another
            track or one that is there twice; with file and line.
    """
    (file,) = locate(path, ("trial_metadata.txt",), _folders("LA"))
    rows = []
    names = Names((_PREFIXES["LA"],))
    for line, (speaker, trial, codec, transmission, made_by, key, trim, subset) in columns(file, _LA_COLUMNS):
        name = names.take(file, line, trial)
        kind = label(file, line, key)
        rows.append(
            ProtocolRow(
                corpus=LA,
                utterance=name,
                path=_audio("LA", name),
                label=kind,
                line=line,
                speaker=speaker,
                attack=attack(file, line, kind, made_by),
                codec=codec,
                transmission=transmission,
                subset=one_of(file, line, "subset", subset, SUBSETS),
                trim=one_of(file, line, "trim", trim, _TRIMS),
            )
        )
    return rows


def read_asvspoof2021_df(path: str | Path) -> list[ProtocolRow]:
    """Read the trial metadata of the DF track, all subsets; lines may be ragged after the eighth column.

    Args:
        path: ``trial_metadata.txt`` of ``keys/DF/CM``, or a folder that holds it there.

    Returns:
        One row a trial.

    Raises:
        DataError: nothing to read, fewer than eight columns, an unknown label, trim or subset, a trial of another
            track or one that is there twice; with file and line.
    """
    (file,) = locate(path, ("trial_metadata.txt",), _folders("DF"))
    rows = []
    names = Names((_PREFIXES["DF"],))
    for line, values in columns(file, _DF_COLUMNS, least=8):
        speaker, trial, codec, source, made_by, key, trim, subset, vocoder, task, team, pair, language = values
        name = names.take(file, line, trial)
        kind = label(file, line, key)
        rows.append(
            ProtocolRow(
                corpus=DF,
                utterance=name,
                path=_audio("DF", name),
                label=kind,
                line=line,
                speaker=speaker,
                attack=attack(file, line, kind, made_by, needed=False),
                codec=codec,
                source=source,
                subset=one_of(file, line, "subset", subset, SUBSETS),
                trim=one_of(file, line, "trim", trim, _TRIMS),
                vocoder=None if vocoder == "bonafide" else vocoder,
                task=task,
                team=team,
                gender_pair=pair,
                language=_LANGUAGES.get(language, language) if language else None,
            )
        )
    return rows


def read_asvspoof2021_trials(path: str | Path) -> list[ProtocolRow]:
    """Read a trial list without labels: one utterance a line, all of one track.

    Args:
        path: ``ASVspoof2021.LA.cm.eval.trl.txt`` or ``ASVspoof2021.DF.cm.eval.trl.txt``, or its folder.

    Returns:
        One row a trial, the label None.

    Raises:
        DataError: nothing to read, more than one column, a trial of no known track or of two, or one that is there
            twice; with file and line.
    """
    files = [f"ASVspoof2021.{track}.cm.eval.trl.txt" for track in _PREFIXES]
    found = locate(path, files, ("", "ASVspoof2021_LA_eval", "ASVspoof2021_DF_eval"))
    if len(found) > 1:
        raise DataError(f"{path} has the trial lists of both tracks ({', '.join(map(str, found))}); give one file")
    (file,) = found
    rows: list[ProtocolRow] = []
    names = Names(tuple(_PREFIXES.values()))
    for line, (trial,) in columns(file, ("trial",)):
        name = names.take(file, line, trial)
        corpus = LA if name.startswith(_PREFIXES["LA"]) else DF
        if rows and rows[0].corpus != corpus:
            raise DataError(f"{file}, line {line}: {name}; expected trials of one track, as {rows[0].utterance} above")
        rows.append(ProtocolRow(corpus=corpus, utterance=name, path=_audio(name[:2], name), label=None, line=line))
    return rows
