"""Names of the custom fields of a Lhotse cut. Every reader and writer in Auricle uses these constants.

A field is read with ``cut.custom.get(LABEL)``. What Lhotse has a place for itself (speaker, text, language, duration,
sampling rate) also stands there: the supervision's ``speaker``, ``text`` and ``language``.
"""

from __future__ import annotations

from typing import Final

LABEL: Final = "label"
"""What a detector has to tell: `BONAFIDE` or `SPOOF`. For sounds the class, such as ``footsteps``."""

GENERATOR: Final = "generator"
"""What made a spoof, such as ``world`` or ``griffin_lim``; absent for bona fide speech."""

FAMILY: Final = "family"
"""The kind of generator, such as ``vocoder``, ``conversion`` or ``tts``; splits hold whole families out."""

SPEAKER: Final = "speaker"
"""Pseudonymous voice, such as ``en-a``; the same as the supervision's speaker."""

SPEAKER_GROUP: Final = "speaker_group"
"""Voices that may be one person; splits by speaker go by this field."""

LANGUAGE: Final = "language"
"""ISO 639-1 code of what is spoken."""

SOURCE: Final = "source"
"""Corpus or package that the recording comes from; a source has its own bandwidth and codec."""

CODING: Final = "coding"
"""Coding in which the recording came, such as ``g722`` or ``mp3``."""

LICENCE: Final = "licence"
"""SPDX expression of the recording's licence."""

AUTHOR: Final = "author"
"""Who made the recording."""

TEXT: Final = "text"
"""The words, where they are certain; the same as the supervision's text."""

PROMPT: Final = "prompt"
"""Key of the text: utterances with the same key say the same thing, also across speakers."""

FINGERPRINT: Final = "fingerprint"
"""Of the file that the cut was made of, as `auricle.data.cut_audio.fingerprint` gives it: a changed file is noticed."""

SPLIT: Final = "split"
"""``train``, ``dev`` or ``test``."""

SYNTHETIC: Final = "synthetic"
"""True for audio that a machine made or altered, whatever the label."""

PAIR: Final = "pair"
"""Id of the bona fide utterance that a spoof was made from; on both members of a pair."""

CHANNEL: Final = "channel_chain"
"""Codec or transmission chain the audio went through, such as ``opus_16k``; a channel is never a spoof.

Not ``channel``: a Lhotse cut has an attribute of that name, the number of the audio channel."""

CLIP: Final = "clip"
"""Id of the clip in the embedded corpus."""

DETAIL: Final = "detail"
"""Finer than the label, such as the ground of footsteps."""

SUBSET: Final = "subset"
"""Part of a real corpus as it names it, such as ``eval`` or ``progress``; `SPLIT` is one of three words."""

GENDER: Final = "gender"
"""``F`` or ``M``, as a corpus gives it."""

TRANSMISSION: Final = "transmission"
"""Line a call went over in ASVspoof 2021 LA, such as ``ita_tx``."""

TRIM: Final = "trim"
"""``trim`` when a corpus cut silences off, else ``notrim``."""

VOCODER: Final = "vocoder"
"""Class of a spoof's vocoder in ASVspoof 2021 DF, such as ``traditional_vocoder``."""

ATTACK_TAG: Final = "attack_tag"
"""Group of attacks in ASVspoof 5, such as ``AC3``; the attack itself is the `GENERATOR`."""

CODEC_QUALITY: Final = "codec_quality"
"""Quality step of the codec in ASVspoof 5."""

CODEC_SEED: Final = "codec_seed"
"""Uncoded utterance that a coded one of ASVspoof 5 was made from; both belong in one split."""

TASK: Final = "task"
"""Task of a voice conversion challenge, in ASVspoof 2021 DF."""

TEAM: Final = "team"
"""Team of a voice conversion challenge, in ASVspoof 2021 DF."""

GENDER_PAIR: Final = "gender_pair"
"""Genders of source and target of a conversion, in ASVspoof 2021 DF."""

AUDIO_TYPE: Final = "audio_type"
"""What a clip is a recording of: `AUDIO_TYPES`. Not ``type``: a Lhotse cut has an attribute of that name."""

ARTEFACTS: Final = "artefacts"
"""What was done to a clip of the artefact world, a list of `auricle.data.worlds.artefacts.Artefact.as_dict`; empty
where nothing was, absent where it is not known."""

AUDIO_TYPES: Final = ("speech", "singing", "music", "sound")
"""The values of `AUDIO_TYPE`."""

BONAFIDE: Final = "bonafide"
"""Value of `LABEL`: recorded speech."""

SPOOF: Final = "spoof"
"""Value of `LABEL`: generated, converted or resynthesised speech."""

LABELS: Final = (BONAFIDE, SPOOF)
"""The two values of `LABEL` in a detection task."""

SPLITS: Final = ("train", "dev", "test")
"""The values of `SPLIT`."""
