"""A row of a protocol: one trial of a real corpus, in the same words whatever the corpus calls its columns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProtocolRow:
    """One trial. What the corpus does not say, or says with ``-``, is None.

    Attributes:
        corpus: name in `auricle.data.protocols.PROTOCOLS`.
        utterance: the name that score files use; unique in its corpus.
        path: the audio file below the folder the corpus is unpacked in, with ``/``; None where it is not known.
        label: ``bonafide`` or ``spoof``; None in a list without labels.
        line: its line in the protocol file, from 1.
        speaker: the corpus's own speaker id; In-the-Wild's names are replaced by numbers.
        gender: ``F`` or ``M``.
        attack: what made a spoof, such as ``A07`` or ``GradTTS``; None for bona fide speech.
        attack_tag: ASVspoof 5's group of attacks, such as ``AC3``.
        codec: coding condition as the corpus writes it, such as ``alaw``, ``low_mp3`` or ``C05``.
        codec_quality: ASVspoof 5's quality step of the codec.
        codec_seed: the uncoded utterance that a coded one of ASVspoof 5 was made from; keep both in one split.
        transmission: line the call went over (2021 LA), such as ``ita_tx``.
        source: corpus inside the corpus (2021 DF): ``asvspoof``, ``vcc2018`` or ``vcc2020``.
        subset: part of the corpus as it names it: train, dev, valid, test, eval, progress or hidden.
        trim: ``trim`` when silences were cut off, else ``notrim`` (2021).
        vocoder: class of the vocoder (2021 DF).
        task: task of the voice conversion challenge (2021 DF).
        team: team of the voice conversion challenge (2021 DF).
        gender_pair: genders of source and target of a conversion (2021 DF).
        language: ISO 639-1 code where the corpus's own code is known, otherwise that code (2021 DF).
        audio_type: one of `auricle.data.fields.AUDIO_TYPES`, where the corpus is not one of speech alone.
    """

    corpus: str
    utterance: str
    path: str | None
    label: str | None
    line: int
    speaker: str | None = None
    gender: str | None = None
    attack: str | None = None
    attack_tag: str | None = None
    codec: str | None = None
    codec_quality: str | None = None
    codec_seed: str | None = None
    transmission: str | None = None
    source: str | None = None
    subset: str | None = None
    trim: str | None = None
    vocoder: str | None = None
    task: str | None = None
    team: str | None = None
    gender_pair: str | None = None
    language: str | None = None
    audio_type: str | None = None
