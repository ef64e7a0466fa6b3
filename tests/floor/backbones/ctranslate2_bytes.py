"""Writes model files as CTranslate2 does, byte by byte."""

import struct

import numpy as np

CODES = {"float32": 0, "int8": 1, "int16": 2, "int32": 3, "float16": 4}


def text(value):
    raw = value.encode() + b"\0"
    return struct.pack("<H", len(raw)) + raw


def variable(name, value, code=None, size=None, shape=None):
    value = np.asarray(value)
    shape = value.shape if shape is None else shape
    head = text(name) + struct.pack(f"<B{len(shape)}I", len(shape), *shape)
    raw = value.tobytes()
    kind = CODES[value.dtype.name] if code is None else code
    return head + struct.pack("<BI", kind, len(raw) if size is None else size) + raw


def file_of(variables, aliases=(), spec="WhisperSpec", version=6, count=None):
    """`variables` are (name, array) or ready bytes."""
    parts = [one if isinstance(one, bytes) else variable(*one) for one in variables]
    head = struct.pack("<I", version) + text(spec) + struct.pack("<II", 3, len(parts) if count is None else count)
    tail = struct.pack("<I", len(aliases)) + b"".join(text(part) for pair in aliases for part in pair)
    return head + b"".join(parts) + tail


def quantised(name, value, kind):
    """A weight as CTranslate2 stores it in `kind`, and what it stands for afterwards."""
    value = np.asarray(value, np.float32)
    if kind == "int8" and value.ndim > 1:
        most = np.abs(value).reshape(len(value), -1).max(1)
        scale = (127 / np.where(most == 0, 127, most)).astype(np.float32)
        whole = np.round(value * scale.reshape(-1, *[1] * (value.ndim - 1))).astype(np.int8)
        return [(name, whole), (f"{name}_scale", scale)], whole / scale.reshape(-1, *[1] * (value.ndim - 1))
    if kind == "int16" and value.ndim > 1:
        scale = np.float32(2**10 / np.abs(value).max())
        whole = np.round(value * scale).astype(np.int16)
        return [(name, whole), (f"{name}_scale", np.float32(scale))], whole / scale
    kept = value.astype(np.float16) if kind == "float16" else value
    return [(name, kept)], kept.astype(np.float32)


FLAGS = {
    "decoder/activation": np.int8(3),
    "decoder/alibi": np.int8(0),
    "decoder/alignment_heads": np.int16(1),
    "decoder/alignment_layer": np.int16(-1),
    "decoder/pre_norm": np.int8(1),
    "decoder/scale_embeddings": np.int8(0),
    "decoder/start_from_zero_embedding": np.int8(0),
}


def whisper_weights(model):
    """The weights of a Transformers Whisper under CTranslate2's names."""
    state = {name: value.numpy() for name, value in model.model.state_dict().items()}
    found = {"decoder/embeddings/weight": state["decoder.embed_tokens.weight"]}
    for conv in ("conv1", "conv2"):
        for part in ("weight", "bias"):
            found[f"encoder/{conv}/{part}"] = state[f"encoder.{conv}.{part}"]

    def norm(ours, theirs):
        found[f"{ours}/gamma"], found[f"{ours}/beta"] = state[f"{theirs}.weight"], state[f"{theirs}.bias"]

    def linear(ours, *theirs):
        weights = [state[f"{one}.weight"] for one in theirs]
        biases = [state.get(f"{one}.bias", np.zeros(len(weights[0]), np.float32)) for one in theirs]
        found[f"{ours}/weight"], found[f"{ours}/bias"] = np.concatenate(weights), np.concatenate(biases)

    for side, count in (("encoder", model.config.encoder_layers), ("decoder", model.config.decoder_layers)):
        found[f"{side}/position_encodings/encodings"] = state[f"{side}.embed_positions.weight"]
        norm(f"{side}/layer_norm", f"{side}.layer_norm")
        for number in range(count):
            ours, theirs = f"{side}/layer_{number}", f"{side}.layers.{number}"
            norm(f"{ours}/self_attention/layer_norm", f"{theirs}.self_attn_layer_norm")
            own = f"{theirs}.self_attn"
            linear(f"{ours}/self_attention/linear_0", *(f"{own}.{part}_proj" for part in "qkv"))
            linear(f"{ours}/self_attention/linear_1", f"{own}.out_proj")
            if side == "decoder":
                norm(f"{ours}/attention/layer_norm", f"{theirs}.encoder_attn_layer_norm")
                cross = f"{theirs}.encoder_attn"
                linear(f"{ours}/attention/linear_0", f"{cross}.q_proj")
                linear(f"{ours}/attention/linear_1", f"{cross}.k_proj", f"{cross}.v_proj")
                linear(f"{ours}/attention/linear_2", f"{cross}.out_proj")
            norm(f"{ours}/ffn/layer_norm", f"{theirs}.final_layer_norm")
            linear(f"{ours}/ffn/linear_0", f"{theirs}.fc1")
            linear(f"{ours}/ffn/linear_1", f"{theirs}.fc2")
    heads = {
        f"{side}/num_heads": np.int16(getattr(model.config, f"{side}_attention_heads"))
        for side in ("encoder", "decoder")
    }
    return found, {**FLAGS, **heads}
