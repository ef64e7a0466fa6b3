"""What `prepare` refuses before anything is made: what cannot work, and settings that would be ignored."""

from __future__ import annotations

from collections import Counter

import numpy as np

from auricle.audio.channel import CHANNELS
from auricle.backbones.speaker import load_verifier
from auricle.core.errors import AuricleError, ConfigError, MissingExtra
from auricle.core.extras import available
from auricle.data import corpora
from auricle.data.spoof import FAMILIES
from auricle.metrics.scores import read_scores
from auricle.metrics.verification import check_far
from auricle.systems.voice_auth.config import PRESETS, VoiceAuthConfig
from auricle.systems.voice_auth.detectors import built, external_detector
from auricle.systems.voice_auth.network import score_items
from auricle.systems.voice_auth.plan import Plan


def need_workable(cfg: VoiceAuthConfig, preset: str) -> None:
    """Refuse a config that cannot come to a report, or with a setting that nothing would look at.

    Args:
        cfg: the run's config.
        preset: that it began as; settings that were not changed from it are let be.

    Raises:
        ConfigError: an unknown corpus, verifier, family or channel, sizes that do not fit, an ignored setting, or
            ``paper`` without a corpus of its own.
        MissingExtra: a package or weights that are not installed.
        CheckpointError: weights that cannot be read; ``detector.run`` is no run that scores audio.
        DataError: ``detector.scores`` is no file of scores.
    """
    _need_corpus(cfg, preset)
    _need_names(cfg)
    _need_looked_at(cfg, preset)
    load_verifier(cfg.verifier.spec)
    if cfg.detector.run is not None:
        external_detector(cfg.detector.run)
    if cfg.detector.scores is not None:
        read_scores(cfg.detector.scores)
    _need_network(cfg)


def _need_corpus(cfg: VoiceAuthConfig, preset: str) -> None:
    if cfg.data.source not in corpora.NAMES:
        raise ConfigError(
            f"--data {cfg.data.source}: voice_auth makes its own attacks of a corpus ({', '.join(corpora.NAMES)}); to "
            "audit scores of your own clips give them to: auricle evaluate voice_auth --scores FILE --key FILE"
        )
    if preset == "paper" and cfg.data.source == "embedded":
        raise ConfigError(
            "--preset paper needs more voices than the embedded corpus has: give --data rec (auricle data build "
            "--profile rec makes it), or take --preset laptop"
        )


def _need_names(cfg: VoiceAuthConfig) -> None:
    """Refuse families, channels and targets that there are not."""
    unknown = [name for name in cfg.data.families if name not in FAMILIES]
    if unknown:
        raise ConfigError(f"no spoof family {', '.join(unknown)}; families: {', '.join(FAMILIES)}")
    for name in cfg.data.families:
        for package in FAMILIES[name].packages:
            if not available(package):
                raise MissingExtra(package, str(FAMILIES[name].extra), f"the spoof family '{name}'")
    for key, names in (
        ("data.channels", set(cfg.data.channels) - {"none"}),
        ("data.foreign_channels", set(cfg.data.foreign_channels) - {"none"}),
        ("eval.codecs", set(cfg.eval.codecs)),
    ):
        if names - CHANNELS.keys():
            raise ConfigError(f"{key}: no channel {', '.join(sorted(names - CHANNELS.keys()))}; {', '.join(CHANNELS)}")
    if not cfg.data.channels or not cfg.eval.fars:
        raise ConfigError(f"{'eval.fars' if cfg.data.channels else 'data.channels'} is empty; give at least one")
    for far in cfg.eval.fars:
        check_far(far)


def _need_looked_at(cfg: VoiceAuthConfig, preset: str) -> None:
    """Refuse settings that were changed from the preset's and decide nothing beside the others."""
    own, base = cfg.model_dump(), PRESETS[preset]().model_dump()
    for key, needs in cfg.ignored().items():
        group, name = key.split(".")
        if own[group][name] != base[group][name]:
            raise ConfigError(f"{key}={own[group][name]} would decide nothing: {needs}; leave it out")


def _need_network(cfg: VoiceAuthConfig) -> None:
    """Build the detector, with its encoder's weights if it has one, and let it hear a window of noise."""
    try:
        network = built(cfg)
        noise = 0.1 * np.random.default_rng(0).standard_normal(network.samples).astype(np.float32)
        score_items(network, [network.item(noise)], 1)
    except AuricleError:
        raise
    except (RuntimeError, ValueError, ArithmeticError) as error:
        said = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"the detector's sizes do not fit each other: {said}; see detector.* of the config") from None


def need_cohort(cfg: VoiceAuthConfig, planned: Plan) -> None:
    """Refuse a cohort that is larger than what is left when the speakers of a trial are taken out.

    Raises:
        ConfigError: ``verifier.as_norm`` is above that.
    """
    each = Counter(voice.group for voice in planned.voices.values())
    left = cfg.data.enrol * (sum(each.values()) - sum(count for _, count in each.most_common(2)))
    if cfg.verifier.as_norm > left:
        raise ConfigError(f"verifier.as_norm={cfg.verifier.as_norm}: some trials have {left} utterances of others")
