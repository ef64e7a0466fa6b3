"""Whisper's encoder as a front end for clips of any length: positions are sliced, nothing is padded to 30 s.

Whisper was trained on windows of 30 s; on a shorter input its features are nearly those of the padded window and cost a
tenth. A clip longer than 30 s is encoded in windows of 30 s, one after the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from auricle.audio.spectral import MelSpectrogram
from auricle.backbones import architecture as arch
from auricle.backbones.speech import Layer, check_layer, quiet
from auricle.core.errors import CheckpointError, ConfigError, DataError
from auricle.core.extras import CONVERTED, WEIGHTS, MissingWeights, converted_folder, require

RATE_HZ = 16_000
PURPOSE = "Whisper"
KIND = "ctranslate2"  # the format in which packages bring it
N_FFT, HOP = 400, 160
FRAMES_PER_S = 50
# What decides the encoder; the sizes are those of tiny.
DEFAULTS: dict[str, Any] = {
    "d_model": 384,
    "encoder_layers": 4,
    "encoder_attention_heads": 6,
    "encoder_ffn_dim": 1536,
    "num_mel_bins": 80,
    "max_source_positions": 1500,
    "activation_function": "gelu",
    "scale_embedding": False,
}
FLOOR, SPAN = 1e-10, 8.0  # of the power, and of its logarithm under the loudest bin of a clip


class WhisperMel(nn.Module):
    """Waveforms at 16 kHz to Whisper's log-mel frames, 100 a second; a clip's frames depend on nothing but the clip.

    Args:
        n_mels: mel bands M, 80 or 128.
    """

    def __init__(self, n_mels: int = 80) -> None:
        super().__init__()
        self.mel = MelSpectrogram(RATE_HZ, n_mels, n_fft=N_FFT, hop=HOP, win=N_FFT, center=False)

    def forward(self, wave: Tensor) -> Tensor:
        """Give the frames of one clip.

        Args:
            wave: (N,).

        Returns:
            (N // 160, M).
        """
        around = nn.functional.pad(wave[None], (N_FFT // 2, N_FFT // 2), mode="reflect")
        power: Tensor = self.mel(around)[0, : len(wave) // HOP]
        log = power.clamp_min(FLOOR).log10()
        return (torch.maximum(log, log.max() - SPAN) + 4) / 4


class WhisperEncoder(nn.Module):
    """Waveforms to frames of features, 50 a second; a clip's frames depend on nothing but the clip.

    Args:
        values: of `whisper_architecture`.
        layer: None for the last layer as the model gives it; 0 for what enters the first Transformer layer, k for what
            leaves the k-th (layers above it are not built); ``"weighted"`` for a learned softmax-weighted sum of the
            input, every layer and the last.
        freeze: never train the encoder (the layer weights are trained all the same); it stays in eval mode.

    Attributes:
        dim: width D of a frame.
        rate_hz: rate of the waveforms it takes.

    Raises:
        ConfigError: an architecture or a layer that cannot be built.
        MissingExtra: Transformers is not installed.
    """

    rate_hz = RATE_HZ

    def __init__(self, values: Mapping[str, Any], *, layer: Layer = None, freeze: bool = True) -> None:
        super().__init__()
        self.values = dict(values)
        check_layer(layer, {"num_hidden_layers": self.values["encoder_layers"]})
        self.layer, self.freeze = layer, freeze
        self.dim = int(self.values["d_model"])
        self.longest = 2 * int(self.values["max_source_positions"])  # mel frames
        self.mel = WhisperMel(int(self.values["num_mel_bins"]))
        self.model = _cut(new_encoder(self.values), layer)
        if freeze:
            self.model.requires_grad_(False)
        count = self.values["encoder_layers"] + 1
        self.mix = nn.Parameter(torch.zeros(count)) if layer == "weighted" else None
        self.train()

    def train(self, mode: bool = True) -> WhisperEncoder:
        """Set the mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self.freeze:
            self.model.eval()
        return self

    def take(self, encoder: nn.Module) -> None:
        """Copy the weights of a Transformers encoder of the same architecture, whose upper layers may be left over."""
        given = encoder.state_dict()
        names = self.model.state_dict().keys()
        self.model.load_state_dict({name: given[name] for name in names})

    def frames(self, samples: int) -> int:
        """Count the frames of a clip of so many samples."""
        return -(-(samples // HOP) // 2)

    def forward(self, wave: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Encode waveforms.

        Args:
            wave: (B, N) at 16 kHz; what padded samples hold does not matter.
            lengths: valid samples of each clip, (B,); None when all are.

        Returns:
            Features (B, T, D), zero at padded frames, and their mask (B, T), with T = `frames` of the longest clip.

        Raises:
            DataError: shapes that do not fit, or a clip of less than 25 ms.
        """
        states, mask = self.states(wave, lengths)
        if self.mix is None:
            return states[-1], mask
        shares = torch.softmax(self.mix, 0)
        mixed = torch.stack([share * state for share, state in zip(shares, states, strict=True)]).sum(0)
        return mixed, mask

    def states(self, wave: Tensor, lengths: Tensor | None = None) -> tuple[list[Tensor], Tensor]:
        """Give what enters the first layer and what leaves each one that is built, the last with its norm.

        Args:
            wave: as `forward`.
            lengths: as `forward`.

        Returns:
            States, (B, T, D) each and zero at padded frames, and their mask (B, T).

        Raises:
            DataError: as `forward`.
        """
        sizes = self._sizes(wave, lengths)
        mels = [self.mel(row[:size]) for row, size in zip(wave, sizes, strict=True)]
        parts = [torch.split(mel, self.longest) for mel in mels]
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.freeze):
            states, counts = self._run([part for mel in parts for part in mel])
        # the windows of a long clip go back into one row
        owned: list[list[Tensor]] = [[] for _ in states]
        place = 0
        for mel in parts:
            for number, state in enumerate(states):
                own = [state[place + index, : counts[place + index]] for index in range(len(mel))]
                owned[number].append(torch.cat(own))
            place += len(mel)
        rows = torch.tensor([len(row) for row in owned[0]], device=wave.device)
        mask = torch.arange(int(rows.max()), device=wave.device) < rows[:, None]
        return [nn.utils.rnn.pad_sequence(row, batch_first=True) for row in owned], mask

    def _run(self, mels: Sequence[Tensor]) -> tuple[list[Tensor], list[int]]:
        """Encode windows of at most 30 s; also give the valid frames of each."""
        sizes = torch.tensor([len(mel) for mel in mels], device=mels[0].device)
        x = nn.utils.rnn.pad_sequence(list(mels), batch_first=True).transpose(1, 2).to(self.model.conv1.weight.dtype)
        x = nn.functional.gelu(self.model.conv1(x))
        x = x * (torch.arange(x.shape[-1], device=x.device) < sizes[:, None])[:, None]
        x = nn.functional.gelu(self.model.conv2(x)).transpose(1, 2)
        x = x + self.model.embed_positions.weight[: x.shape[1]]
        counts = (sizes + 1) // 2
        hidden = torch.arange(x.shape[1], device=x.device) >= counts[:, None]
        bias = None
        if bool(hidden.any()):
            bias = torch.zeros(hidden.shape, dtype=x.dtype, device=x.device)
            bias = bias.masked_fill(hidden, torch.finfo(x.dtype).min)[:, None, None]
        states = [x]
        for layer in self.model.layers:
            states.append(layer(states[-1], bias))
        states[-1] = self.model.layer_norm(states[-1])
        kept = states if self.mix is not None or self.layer is None else states[: int(self.layer) + 1]
        return [state.float() for state in kept], counts.tolist()

    def _sizes(self, wave: Tensor, lengths: Tensor | None) -> list[int]:
        if wave.ndim != 2 or 0 in wave.shape or not wave.is_floating_point():
            raise DataError(f"waveforms of shape {tuple(wave.shape)}, {wave.dtype}; give (B, N) floats")
        sizes = [wave.shape[1]] * wave.shape[0] if lengths is None else [int(size) for size in lengths.tolist()]
        if len(sizes) != wave.shape[0] or max(sizes) > wave.shape[1]:
            raise DataError(f"lengths {sizes[:5]} for waveforms of shape {tuple(wave.shape)}; give (B,) within N")
        if min(sizes) < N_FFT:
            raise DataError(f"a clip of {min(sizes)} samples; Whisper's encoder needs at least {N_FFT}")
        return sizes


def load_whisper_encoder(
    name_or_folder: str, revision: str | None = None, layer: Layer = None, freeze: bool = True
) -> WhisperEncoder:
    """Load the encoder of a Whisper model.

    Args:
        name_or_folder: ``whisper-tiny-en`` (``auricle models add whisper-tiny-en``), a folder in the format of
            Transformers, or a Hub id.
        revision: commit of a Hub id, 40 hex digits.
        layer: which features; see `WhisperEncoder`.
        freeze: never train it.

    Raises:
        ConfigError: no such folder, a Hub id without a pinned revision, another kind of model, or no such layer.
        MissingWeights: the named weights are not installed or not converted.
        CheckpointError: weights that are missing, damaged, not in safetensors or do not fit.
        MissingExtra: Transformers is not installed.
    """
    model = load_whisper(name_or_folder, revision)
    encoder = WhisperEncoder(whisper_architecture(model.config), layer=layer, freeze=freeze)
    encoder.take(model.get_encoder())
    return encoder


def load_whisper(name_or_folder: str, revision: str | None = None, **how: Any) -> Any:
    """Read a Whisper model with its decoder, in float32 on the CPU, in eval mode; no code that comes with it is run.

    Args:
        name_or_folder: as `load_whisper_encoder`.
        revision: as `load_whisper_encoder`.
        how: further arguments of Transformers' ``from_pretrained``.

    Raises:
        ConfigError: as `load_whisper_encoder`.
        MissingWeights: as `load_whisper_encoder`.
        CheckpointError: as `load_whisper_encoder`.
        MissingExtra: Transformers is not installed.
    """
    transformers = require("transformers", "hf", PURPOSE)
    where = whisper_source(name_or_folder, revision)
    local = arch.is_folder(where, revision)
    place: dict[str, Any] = {
        "revision": None if local else revision,
        "local_files_only": local,
    }
    try:
        with torch.random.fork_rng(devices=[]), quiet():
            config = transformers.AutoConfig.from_pretrained(where, trust_remote_code=False, **place)
            if config.model_type != "whisper":
                raise ConfigError(f"{where} is a model of type {config.model_type!r}; give a Whisper model")
            model, found = transformers.WhisperForConditionalGeneration.from_pretrained(
                where,
                config=config,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                trust_remote_code=False,
                **place,
                **how,
            )
    except (OSError, ValueError, RuntimeError, KeyError, SafetensorError) as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise CheckpointError(f"{where} holds no Whisper model in safetensors: {first}") from error
    if absent := sorted({*found.get("missing_keys", ()), *map(str, found.get("mismatched_keys", ()))}):
        raise CheckpointError(f"the weights in {where} do not fit: {', '.join(absent[:3])}")
    return model.eval().requires_grad_(False)


def whisper_source(name_or_folder: str, revision: str | None = None) -> str:
    """Give the folder of weights that have a name, or the folder or Hub id itself.

    Args:
        name_or_folder: as `load_whisper_encoder`.
        revision: as `load_whisper_encoder`.

    Raises:
        ConfigError: neither a known name nor a folder nor a Hub id with its commit.
        MissingWeights: the named weights are not installed or not converted.
    """
    if WEIGHTS.get(name_or_folder) is None or WEIGHTS[name_or_folder].converted != KIND:
        arch.is_folder(name_or_folder, revision)
        return name_or_folder
    folder = converted_folder(name_or_folder)
    if not (folder / CONVERTED).is_file():
        raise MissingWeights(name_or_folder, PURPOSE)
    return str(folder)


def whisper_architecture(config: Any) -> dict[str, Any]:
    """Pick from a WhisperConfig what decides the encoder, as plain JSON values.

    Args:
        config: of Transformers.
    """
    return {key: getattr(config, key) for key in DEFAULTS}


def new_encoder(values: Mapping[str, Any]) -> Any:
    """Build the encoder of Transformers with fresh weights, without dropout or layer drop.

    Args:
        values: of `whisper_architecture`.

    Raises:
        ConfigError: an architecture that cannot be built, or has positions scaled otherwise.
        MissingExtra: Transformers is not installed.
    """
    transformers = require("transformers", "hf", PURPOSE)
    modeling = require("transformers.models.whisper.modeling_whisper", "hf", PURPOSE)
    if set(values) != set(DEFAULTS):
        raise ConfigError(f"the architecture of Whisper differs in {', '.join(sorted(set(values) ^ set(DEFAULTS)))}")
    if values["scale_embedding"] or values["activation_function"] != "gelu":
        raise ConfigError("an encoder of Whisper with scaled embeddings or without GELU is not supported")
    try:
        config = transformers.WhisperConfig(
            **values, dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, encoder_layerdrop=0.0
        )
        config._attn_implementation = "sdpa"
        return modeling.WhisperEncoder(config)
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"this encoder of Whisper cannot be built: {error}") from error


def _cut(model: Any, layer: Layer) -> Any:
    """Take away the layers above the wanted one, and the norm that belongs to the last of all."""
    if layer is None or layer == "weighted" or layer == len(model.layers):
        return model
    model.layers = model.layers[:layer]
    model.layer_norm = nn.Identity()
    return model
