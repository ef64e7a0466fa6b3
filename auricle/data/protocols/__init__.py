"""Protocols of real corpora in their own formats: read, counted against the published sizes, made into manifests.

`read` and `check` go by a corpus's name in `PROTOCOLS`; `to_manifest` joins rows and audio. The readers are tolerant
where the files are ragged (spaces, tabs, line ends, columns that may lack) and strict about what is missing: every
complaint has the file, the line and what was expected.
"""

from auricle.data.protocols.aishell3 import Transcript, read_aishell3, read_aishell3_texts
from auricle.data.protocols.all_type import read_codecfake_a3, read_fakemusiccaps
from auricle.data.protocols.asv_scores import (
    AsvScores,
    AsvTrial,
    by_kind,
    read_asv_scores,
    read_asv_scores_2019,
    read_asv_scores_2021,
)
from auricle.data.protocols.asvspoof5 import read_asvspoof5
from auricle.data.protocols.asvspoof2019 import read_asvspoof2019_la
from auricle.data.protocols.asvspoof2021 import (
    read_asvspoof2021_df,
    read_asvspoof2021_la,
    read_asvspoof2021_trials,
)
from auricle.data.protocols.attack_trials import (
    AttackTrial,
    audit_subset,
    located,
    read_attack_trials,
    read_audit_trials,
    scored_trials,
)
from auricle.data.protocols.counts import CheckRow, CheckTable, check
from auricle.data.protocols.ctrsvdd import read_ctrsvdd
from auricle.data.protocols.cuts import Manifest, audio_path, missing_audio, to_manifest
from auricle.data.protocols.dfadd import read_dfadd
from auricle.data.protocols.envsdd import read_envsdd
from auricle.data.protocols.ft_labels import read_ft_labels
from auricle.data.protocols.in_the_wild import read_in_the_wild
from auricle.data.protocols.mmau import read_mmau
from auricle.data.protocols.row import ProtocolRow
from auricle.data.protocols.table import PROTOCOLS, Protocol, protocol, read
from auricle.data.protocols.trial_tables import read_trials, write_trials
from auricle.data.protocols.voicebench import read_voicebench
from auricle.data.protocols.voxceleb import PairTrial, read_voxceleb

__all__ = [
    "PROTOCOLS",
    "AsvScores",
    "AsvTrial",
    "AttackTrial",
    "CheckRow",
    "CheckTable",
    "Manifest",
    "PairTrial",
    "Protocol",
    "ProtocolRow",
    "Transcript",
    "audio_path",
    "audit_subset",
    "by_kind",
    "check",
    "located",
    "missing_audio",
    "protocol",
    "read",
    "read_aishell3",
    "read_aishell3_texts",
    "read_asv_scores",
    "read_asv_scores_2019",
    "read_asv_scores_2021",
    "read_asvspoof5",
    "read_asvspoof2019_la",
    "read_asvspoof2021_df",
    "read_asvspoof2021_la",
    "read_asvspoof2021_trials",
    "read_attack_trials",
    "read_audit_trials",
    "read_codecfake_a3",
    "read_ctrsvdd",
    "read_dfadd",
    "read_envsdd",
    "read_fakemusiccaps",
    "read_ft_labels",
    "read_in_the_wild",
    "read_mmau",
    "read_trials",
    "read_voicebench",
    "read_voxceleb",
    "scored_trials",
    "to_manifest",
    "write_trials",
]
