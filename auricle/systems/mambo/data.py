"""The data of a run: the plan, the manifests, and the windows of features that the network sees."""

from __future__ import annotations

import multiprocessing
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from auricle.core.errors import DataError
from auricle.core.files import read_jsonl, write_jsonl
from auricle.core.run import RunFolder
from auricle.core.seed import rng
from auricle.data import embedded
from auricle.data.spoof import FAMILIES
from auricle.systems.mambo.build import Built, Utterance, build
from auricle.systems.mambo.config import DataConfig, MamboConfig
from auricle.systems.mambo.splits import drop_shared_texts, split_groups
