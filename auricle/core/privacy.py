"""No library of ours calls home: what each one asks for, set before it is loaded."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping

# ORT_DISABLE_TELEMETRY: onnxruntime 1.29 and later send events and keep an id of the device in the user's cache folder
# on Linux and macOS; read once, when its library is loaded. HF_HUB: the name of the program and its versions in each
# request. RAY: a report of the cluster.
_OPT_OUTS = {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
}


def opt_out(environment: MutableMapping[str, str] | None = None) -> None:
    """Turn off the telemetry of the libraries that have any, in this process and its children.

    To be called before onnxruntime, huggingface_hub or ray is loaded; `auricle.core.extras.require` does it. Where
    onnxruntime is loaded already, its events are turned off by its own call.

    Args:
        environment: what is set; this process's by default.
    """
    (os.environ if environment is None else environment).update(_OPT_OUTS)
    loaded = sys.modules.get("onnxruntime")
    if loaded is not None:
        loaded.disable_telemetry_events()
