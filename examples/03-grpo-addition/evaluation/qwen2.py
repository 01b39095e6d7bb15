"""The task's model from its files, computed with numpy: nothing of the candidate's is executed, not even its tokenizer.

Used by score.py. One shape only, the task's: two layers, 64 wide. The format is safetensors: 8 bytes with the length of
a JSON header, the header, and the raw numbers.
"""

import json
import math

import numpy as np

LAYERS, WIDTH, INNER, HEADS, KV_HEADS, VOCABULARY = 2, 64, 128, 4, 2, 14
HEAD = WIDTH // HEADS
LARGEST_FILE = 1_000_000
EPSILON = 1e-6
ROPE_BASE = 10_000.0


class BadModel(Exception):
    """Why the file is no model of the task."""


def _shapes():
    shapes = {"model.embed_tokens.weight": (VOCABULARY, WIDTH), "lm_head.weight": (VOCABULARY, WIDTH)}
    shapes["model.norm.weight"] = (WIDTH,)
    keys = KV_HEADS * HEAD
    for layer in range(LAYERS):
        for name, shape in {
            "input_layernorm.weight": (WIDTH,),
            "post_attention_layernorm.weight": (WIDTH,),
            "self_attn.q_proj.weight": (WIDTH, WIDTH),
            "self_attn.q_proj.bias": (WIDTH,),
            "self_attn.k_proj.weight": (keys, WIDTH),
            "self_attn.k_proj.bias": (keys,),
            "self_attn.v_proj.weight": (keys, WIDTH),
            "self_attn.v_proj.bias": (keys,),
            "self_attn.o_proj.weight": (WIDTH, WIDTH),
            "mlp.gate_proj.weight": (INNER, WIDTH),
            "mlp.up_proj.weight": (INNER, WIDTH),
            "mlp.down_proj.weight": (WIDTH, INNER),
        }.items():
            shapes[f"model.layers.{layer}.{name}"] = shape
    return shapes


def load(path):
    """Name -> float32 array, exactly the task's tensors. Raises BadModel."""
    try:
        with open(path, "rb") as file:
            content = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise BadModel(f"model.safetensors cannot be read: {error.strerror}") from None
    if len(content) > LARGEST_FILE:
        raise BadModel(f"model.safetensors is larger than {LARGEST_FILE} bytes")
    begin = 8 + int.from_bytes(content[:8], "little")
    try:
        header = json.loads(content[8:begin])
        header.pop("__metadata__", None)
        facts = {name: (one["dtype"], tuple(one["shape"]), *one["data_offsets"]) for name, one in header.items()}
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError):
        raise BadModel("model.safetensors has no safetensors header") from None
    wanted = _shapes()
    if set(facts) != set(wanted):
        odd = sorted(set(facts) ^ set(wanted))
        raise BadModel(f"model.safetensors has other tensors than the task's model, such as {odd[0][:80]}")
    return {name: _tensor(name, content[begin:], facts[name], shape) for name, shape in wanted.items()}


def _tensor(name, data, facts, shape):
    kind, found, begin, end = facts
    if (kind, found) != ("F32", shape):
        raise BadModel(f"{name} is {str(kind)[:20]} {str(found)[:40]}; F32 {shape} is needed")
    if not (isinstance(begin, int) and isinstance(end, int) and 0 <= begin <= end <= len(data)):
        raise BadModel(f"{name} does not lie in the file")
    if end - begin != 4 * math.prod(shape):
        raise BadModel(f"{name} has {end - begin} bytes")
    values = np.frombuffer(data[begin:end], "<f4").reshape(shape)
    if not np.isfinite(values).all():
        raise BadModel(f"{name} holds numbers that are not finite")
    return values


def complete(weights, prompts, count):
    """The `count` most likely next ids, one after the other. `prompts`: ids of shape (lines, length), no padding."""
    ids = np.asarray(prompts)
    for _ in range(count):
        ids = np.concatenate([ids, _logits(weights, ids).argmax(-1)[:, None]], axis=1)
    return ids[:, -count:]


def _logits(weights, ids):
    """Of the last position, shape (lines, vocabulary)."""
    length = ids.shape[1]
    angles = np.outer(np.arange(length), ROPE_BASE ** (-np.arange(0, HEAD, 2) / HEAD))
    angles = np.concatenate([angles, angles], axis=1)
    hidden = weights["model.embed_tokens.weight"][ids]
    for layer in range(LAYERS):
        own = {name.split(".", 3)[3]: one for name, one in weights.items() if name.startswith(f"model.layers.{layer}.")}
        hidden = hidden + _attention(own, _norm(hidden, own["input_layernorm.weight"]), angles)
        inner = _norm(hidden, own["post_attention_layernorm.weight"])
        gate = inner @ own["mlp.gate_proj.weight"].T
        with np.errstate(over="ignore"):
            gate = gate / (1 + np.exp(-gate))
        hidden = hidden + (gate * (inner @ own["mlp.up_proj.weight"].T)) @ own["mlp.down_proj.weight"].T
    return _norm(hidden[:, -1], weights["model.norm.weight"]) @ weights["lm_head.weight"].T


def _norm(x, weight):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + EPSILON) * weight


def _attention(own, x, angles):
    def heads(name, number):
        made = x @ own[f"self_attn.{name}_proj.weight"].T + own[f"self_attn.{name}_proj.bias"]
        made = made.reshape(*x.shape[:2], number, HEAD).transpose(0, 2, 1, 3)
        return np.repeat(made, HEADS // number, axis=1)

    queries, keys, values = _turn(heads("q", HEADS), angles), _turn(heads("k", KV_HEADS), angles), heads("v", KV_HEADS)
    scores = queries @ keys.transpose(0, 1, 3, 2) / math.sqrt(HEAD)
    scores = np.where(np.tri(x.shape[1], dtype=bool), scores, -np.inf)
    scores = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = (scores / scores.sum(-1, keepdims=True)) @ values
    return mixed.transpose(0, 2, 1, 3).reshape(x.shape) @ own["self_attn.o_proj.weight"].T


def _turn(x, angles):
    """Rotary positions, in halves as Qwen2 has them."""
    turned = np.concatenate([-x[..., HEAD // 2 :], x[..., : HEAD // 2]], axis=-1)
    return x * np.cos(angles) + turned * np.sin(angles)
