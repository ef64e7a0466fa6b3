"""The classes of Transformers that this room builds on, or one error that names the extra."""

from __future__ import annotations

import pickle
from typing import Any

from safetensors import SafetensorError

from auricle.core.extras import require

PURPOSE = "An audio language model"
# Typed as Any: the annotations of Transformers differ from one release to the next.
transformers: Any = require("transformers", "hf", PURPOSE)
_cache: Any = require("transformers.cache_utils", "hf", PURPOSE)
_config: Any = require("transformers.configuration_utils", "hf", PURPOSE)
_hub: Any = require("huggingface_hub.errors", "hf", PURPOSE)
_outputs: Any = require("transformers.modeling_outputs", "hf", PURPOSE)

AutoConfig: Any = transformers.AutoConfig
AutoModelForCausalLM: Any = transformers.AutoModelForCausalLM
Cache: Any = _cache.Cache
CausalLMOutputWithPast: Any = _outputs.CausalLMOutputWithPast
DynamicCache: Any = _cache.DynamicCache
DynamicLayer: Any = _cache.DynamicLayer
GenerationMixin: Any = transformers.GenerationMixin
PreTrainedConfig: Any = transformers.PreTrainedConfig
PreTrainedModel: Any = transformers.PreTrainedModel
PreTrainedTokenizerFast: Any = transformers.PreTrainedTokenizerFast
SubConfigSpec: Any = _config.SubConfigSpec
# What Transformers raises on a folder of somebody's that it cannot read: values of any kind stand in its config.
UNREADABLE: tuple[type[Exception], ...] = (
    OSError,
    ValueError,
    TypeError,
    RuntimeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    ImportError,
    EOFError,
    SafetensorError,
    _hub.StrictDataclassError,
    pickle.UnpicklingError,
)
