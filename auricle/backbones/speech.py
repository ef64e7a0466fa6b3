"""Self-supervised speech encoders: wav2vec 2.0, XLS-R, WavLM and HuBERT, through Transformers.

An encoder is built from its architecture alone, with weights that are NaN until they come from a run's checkpoint or,
before the first use, from the pretrained folder. So a run is read back without the folder it began from, and nobody
can train or save an encoder that by accident never got its weights.
"""

from __future__ import annotations

import contextlib
import pickle
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from auricle.backbones import architecture as arch
from auricle.backbones.architecture import PURPOSE
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.extras import require

Layer = int | Literal["weighted"] | None
MASK = "masked_spec_embed"
# The recipe of XLSR-MamBo trains the encoder without any of these (torchaudio's bundle has them at 0). A skipped layer
# would also leave parameters without gradient, which data-parallel training refuses.
WITHOUT = (
    "hidden_dropout",
    "attention_dropout",
    "activation_dropout",
    "feat_proj_dropout",
    "final_dropout",
    "layerdrop",
)
VARIANCE_FLOOR = 1e-7  # that of Transformers' feature extractor, unless the architecture says another


class SpeechEncoder(nn.Module):
    """Waveforms to frames of features; a clip's frames depend on nothing but the clip.

    Args:
        values: of `architecture`.
        layer: None for the last layer as the model gives it; 0 for what enters the first Transformer layer, k for what
            leaves the k-th (layers above it are not built); ``"weighted"`` for a learned softmax-weighted sum of the
            input, every layer and the last (2105.01051).
        freeze: never train the encoder (the layer weights are trained all the same); it stays in eval mode.
        pretrained: folder or Hub id, and revision, where weights come from if nothing else brings any before the
            first use. It is not looked at until then.

    Attributes:
        dim: width D of a frame.
        rate_hz: rate of the waveforms it takes.

    Raises:
        ConfigError: an architecture or a layer that cannot be built.
        MissingExtra: Transformers is not installed.
    """

    rate_hz = arch.RATE_HZ

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        layer: Layer = None,
        freeze: bool = False,
        pretrained: tuple[str, str | None] | None = None,
    ) -> None:
        super().__init__()
        self.values = dict(values)
        arch.check(self.values, "encoder")
        self.layer, self.freeze, self.pretrained = layer, freeze, pretrained
        self.dim = int(self.values["hidden_size"])
        check_layer(layer, self.values)
        device = torch.empty(0).device
        self.model = cut(_on_meta(self.values), layer)
        self.model.to_empty(device=device)
        if device.type != "meta":
            for tensor in self.model.state_dict().values():
                tensor.fill_(float("nan"))
        self._ready = False
        # Part of the published 315,438,720 parameters, but only masked pre-training uses it.
        getattr(self.model, MASK).requires_grad_(False)
        if freeze:
            self.model.requires_grad_(False)
        self.mix = nn.Parameter(torch.zeros(self.values["num_hidden_layers"] + 1)) if layer == "weighted" else None
        self.train()

    def train(self, mode: bool = True) -> SpeechEncoder:
        """Set the mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.freeze:
            self.model.eval()
        return self

    def frames(self, samples: int) -> int:
        """Count the frames of a clip of so many samples; 0 for one that is too short."""
        return arch.frames(samples, self.values)

    def forward(self, wave: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode waveforms.

        An encoder whose first convolution is normalised over time (wav2vec 2.0 Base, HuBERT Base, WavLM Base) would
        take statistics over the padding too, so clips of different lengths go through it apart; the others are padded.

        Args:
            wave: (B, N) at `rate_hz`; what padded samples hold does not matter.
            lengths: valid samples of each clip, (B,); None when all are.

        Returns:
            Features (B, T, D), zero at padded frames, and their mask (B, T), with T = `frames` of the longest clip.

        Raises:
            DataError: shapes that do not fit, or a clip too short for one frame.
            CheckpointError: there are no weights, or they cannot be read.
        """
        if not self._ready:
            self._make_ready()
        sizes = self._sizes(wave, lengths)
        wave = wave[:, : max(sizes)]
        if self.values["normalize"]:
            wave = normalised(wave, sizes, self.values.get("variance_floor", VARIANCE_FLOOR))
        counts = torch.tensor([self.frames(size) for size in sizes], device=wave.device)
        mask = torch.arange(int(counts.max()), device=wave.device) < counts[:, None]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze):
            states = self._states(wave, sizes, mask)
        if self.mix is not None:
            shares = torch.softmax(self.mix, 0)
            features = sum(share * state for share, state in zip(shares, states, strict=True))
        else:
            features = states[-1]
        return torch.where(mask[..., None], features, torch.zeros((), device=wave.device)), mask

    def fetch(self) -> None:
        """Read the pretrained weights now.

        Raises:
            CheckpointError: there are none, they do not fit, or their architecture is not that of this encoder.
            ConfigError: a Hub id without a pinned revision, or a folder that is not there.
        """
        if self.pretrained is None:
            raise CheckpointError("this speech encoder has no weights: load a checkpoint into it, or give pretrained")
        name, revision = self.pretrained
        local = arch.is_folder(name, revision)
        found = arch.architecture(name, revision)
        # how waveforms are fed is the owner's choice and changes no weight
        differ = [key for key in found if key != "normalize" and self.values.get(key) != found[key]]
        if differ or found.keys() != self.values.keys() - set(arch.OPTIONAL):
            raise CheckpointError(
                f"{name} is not the encoder this model was configured for; they differ in {', '.join(differ)}"
            )
        full = _pretrained(self.values, name, revision, local)
        self.take(cut(full, self.layer))

    def take(self, model: nn.Module) -> None:
        """Copy the weights of a Transformers model of the same architecture, cut at the same layer."""
        self.model.load_state_dict(model.state_dict())
        self._ready = True

    def _make_ready(self) -> None:
        """See to it that there are weights: from a checkpoint that was loaded, else the pretrained ones."""
        parameters = dict(self.model.named_parameters())
        unset = [name for name, parameter in parameters.items() if bool(parameter.isnan().all())]
        if len(unset) == len(parameters):
            self.fetch()
        elif unset:
            raise CheckpointError(f"the speech encoder got only a part of its weights; without: {', '.join(unset[:5])}")
        self._ready = True

    def _sizes(self, wave: Tensor, lengths: Tensor | None) -> list[int]:
        """Give the valid samples of each clip, checked."""
        if wave.ndim != 2 or 0 in wave.shape or not wave.is_floating_point():
            raise DataError(f"waveforms of shape {tuple(wave.shape)}, {wave.dtype}; give (B, N) floats")
        sizes = [wave.shape[1]] * wave.shape[0] if lengths is None else [int(size) for size in lengths.tolist()]
        least = arch.least_samples(self.values)
        if len(sizes) != wave.shape[0] or max(sizes) > wave.shape[1]:
            raise DataError(f"lengths {sizes[:5]} for waveforms of shape {tuple(wave.shape)}; give (B,) within N")
        if min(sizes) < least:
            raise DataError(f"a clip of {min(sizes)} samples; this speech encoder needs at least {least}")
        return sizes

    def _states(self, wave: Tensor, sizes: Sequence[int], mask: Tensor) -> list[Tensor]:
        """Give the wanted hidden states, (B, T, D) each."""
        if len(set(sizes)) == 1:
            return self._run(wave, None)
        if self.values["feat_extract_norm"] == "layer":
            valid = torch.arange(wave.shape[1], device=wave.device) < torch.tensor(sizes, device=wave.device)[:, None]
            return self._run(wave, valid.long())
        rows: list[list[Tensor]] = [[] for _ in sizes]
        for size in sorted(set(sizes)):
            own = [row for row, other in enumerate(sizes) if other == size]
            states = self._run(wave[own, :size], None)
            for place, row in enumerate(own):
                rows[row] = [state[place] for state in states]
        kept = range(len(rows[0]))
        return [nn.utils.rnn.pad_sequence([row[index] for row in rows], batch_first=True) for index in kept]

    def _run(self, wave: Tensor, valid: Tensor | None) -> list[Tensor]:
        """Run the model; `valid` (B, N) becomes the attention mask of its frames."""
        output = self.model(wave, attention_mask=valid, output_hidden_states=self.mix is not None)
        last: Tensor = output.last_hidden_state
        if self.mix is None:
            return [last.float() if last.dtype in (torch.bfloat16, torch.float16) else last]
        # the last state of a model with stable layer norm is wanted with its norm, like the model's own output
        inner = output.hidden_states[: self.values["num_hidden_layers"]]
        return [state.to(self.mix.dtype) for state in (*inner, last)]


def load_speech_encoder(
    name_or_folder: str, revision: str | None = None, layer: Layer = None, freeze: bool = False
) -> SpeechEncoder:
    """Load a pretrained speech encoder.

    Args:
        name_or_folder: a folder in the format of Transformers, which is read without a socket; or a Hub id.
        revision: commit of a Hub id, 40 hex digits.
        layer: which features; see `SpeechEncoder`.
        freeze: never train it.

    Returns:
        The encoder with its weights, in float32 on the CPU, in training mode (without dropout) unless frozen.

    Raises:
        ConfigError: no such folder, a Hub id without a pinned revision, another kind of model, or no such layer.
        CheckpointError: weights that are missing, damaged or do not fit.
        MissingExtra: Transformers is not installed.
    """
    values = arch.architecture(name_or_folder, revision)
    encoder = SpeechEncoder(values, layer=layer, freeze=freeze, pretrained=(name_or_folder, revision))
    encoder.fetch()
    return encoder


def check_layer(layer: Layer, values: Mapping[str, Any]) -> None:
    """Refuse a layer that an encoder does not have.

    Raises:
        ConfigError: naming the allowed ones.
    """
    count = values["num_hidden_layers"]
    whole = isinstance(layer, int) and not isinstance(layer, bool) and 0 <= layer <= count
    if not (layer is None or layer == "weighted" or whole):
        raise ConfigError(f"there is no layer {layer!r} in this encoder; give 0 to {count}, 'weighted', or none")


def normalised(wave: Tensor, sizes: Sequence[int], floor: float = VARIANCE_FLOOR) -> Tensor:
    """Bring each clip to zero mean and unit variance over its own valid samples, never over the batch.

    Args:
        wave: (B, N).
        sizes: valid samples of each clip.
        floor: added to the variance.

    Returns:
        (B, N), zero where padded.
    """
    count = torch.tensor(sizes, device=wave.device)[:, None]
    valid = torch.arange(wave.shape[1], device=wave.device) < count
    wave = torch.where(valid, wave, torch.zeros((), dtype=wave.dtype, device=wave.device))
    centred = torch.where(valid, wave - wave.sum(1, keepdim=True) / count, torch.zeros_like(wave))
    return centred / (centred.square().sum(1, keepdim=True) / count + floor).sqrt()


def new_model(values: Mapping[str, Any]) -> Any:
    """Build the Transformers model with fresh weights, without dropout, layer drop or masking."""
    transformers = require("transformers", "hf", PURPOSE)
    config_class, model_class = (getattr(transformers, name) for name in arch.CLASSES[values["model_type"]])
    ours = ("model_type", "normalize", *arch.OPTIONAL)
    sizes = {key: value for key, value in values.items() if key not in ours}
    try:
        # the masking vector exists only where masking could happen
        config = config_class(**sizes, **dict.fromkeys(WITHOUT, 0.0), apply_spec_augment=False, mask_time_prob=0.05)
        return model_class(config)
    except (ValueError, KeyError) as error:
        raise ConfigError(f"the speech encoder cannot be built: {first_line(error)}") from error


def cut(model: Any, layer: Layer) -> Any:
    """Take away the layers above the wanted one, and the norm that belongs to the last of all."""
    if layer is None or layer == "weighted" or layer == len(model.encoder.layers):
        return model
    model.encoder.layers = model.encoder.layers[:layer]
    if model.config.do_stable_layer_norm:
        model.encoder.layer_norm = nn.Identity()
    return model


def _pretrained(values: Mapping[str, Any], name: str, revision: str | None, local: bool) -> Any:
    """Read a pretrained model; every weight must be there. The global generators are left as they were."""
    shape = _on_meta(values)
    try:
        with torch.random.fork_rng(devices=[]), quiet():
            model, found = type(shape).from_pretrained(
                name,
                config=shape.config,
                revision=None if local else revision,
                local_files_only=local,
                dtype=torch.float32,
                output_loading_info=True,
                trust_remote_code=False,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        hint = "" if local else "; download the model once and give its folder"
        raise CheckpointError(f"the weights of {name} cannot be read: {first_line(error)}{hint}") from error
    missing = sorted(set(found["missing_keys"]))
    if MASK in missing:  # a checkpoint that was written without masking; the vector is never used here
        nn.init.zeros_(getattr(model, MASK))
        missing.remove(MASK)
    if missing:
        raise CheckpointError(f"{name} lacks weights of its own architecture, such as {', '.join(missing[:5])}")
    return model


def _on_meta(values: Mapping[str, Any]) -> Any:
    # draws without memory still move the generator
    with torch.random.fork_rng(devices=[]), torch.device("meta"):
        return new_model(values)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep Transformers' bars and notes about heads that are not wanted off the screen, and only for so long."""
    logging = require("transformers", "hf", PURPOSE).utils.logging
    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def first_line(error: BaseException) -> str:
    """Give the first line of what an error says, with the next where it only announces that; else the error's kind."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1])
