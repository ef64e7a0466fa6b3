"""`prepare`: the lines of a file, and what is in a file that a line names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from auricle.systems.steps import CALLS
from auricle.systems.steps.config import StepsConfig

from auricle.core.errors import ConfigError, DataError
from auricle.core.files import write_jsonl
from auricle.core.run import RunFolder
from auricle.data import fields
from auricle.data.cut_audio import fingerprint


def prepare(cfg: StepsConfig, run: RunFolder) -> dict[str, Any]:
    """Write a manifest."""
    CALLS.append("prepare")
    write_jsonl(run.cache / "half.jsonl", [1])
    if cfg.data.source == "embedded":
        return {"lines": 0}
    if not Path(cfg.data.source).is_file():
        raise ConfigError(f"{cfg.data.source} is no file")
    lines = Path(cfg.data.source).read_text().splitlines()
    if "full" in lines:
        raise DataError("no room") from OSError(28, "No space left on device")
    if "bad" in lines:
        raise DataError(f"{cfg.data.source} holds a bad line")
    named = [line for line in lines if Path(line).is_file()]
    rows = []
    for name in named:
        source = {"type": "file", "source": name}
        rows.append({"custom": {fields.FINGERPRINT: fingerprint(name)}, "recording": {"sources": [source]}})
    write_jsonl(run.manifests / "train.jsonl", rows)
    return {"lines": len(lines)}
