"""The task's model from its file, computed here: nothing of the candidate's is executed, not even its tokenizer.

Used by score.py. One shape only, the task's: two layers, 64 wide; so small that plain Python is quick enough, and the
scorer needs no package. The format is safetensors: 8 bytes with the length of a JSON header, the header, raw numbers.
"""

import json
import math
import struct
from operator import mul

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
    """Name -> rows of numbers (one row for a vector), exactly the task's tensors. Raises BadModel."""
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
    count = math.prod(shape)
    if end - begin != 4 * count:
        raise BadModel(f"{name} has {end - begin} bytes")
    values = struct.unpack(f"<{count}f", data[begin:end])
    if not all(map(math.isfinite, values)):
        raise BadModel(f"{name} holds numbers that are not finite")
    return [values[row : row + shape[-1]] for row in range(0, count, shape[-1])]


class Model:
    """Weights, and what was computed: prompts that begin alike share the work."""

    def __init__(self, weights):
        self._w = weights
        self._known = {(): (((), ()),) * LAYERS}

    def complete(self, prompt, count):
        """The `count` most likely next ids after the ids of a prompt, one after the other. Raises BadModel."""
        ids = tuple(prompt)
        for _ in range(count):
            last = _norm(self._read(ids), self._w["model.norm.weight"])
            logits = _times(self._w["lm_head.weight"], last)
            ids += (max(range(VOCABULARY), key=logits.__getitem__),)
        return ids[-count:]

    def _read(self, ids):
        """The last position's hidden state, in front of the last norm."""
        try:
            return self._step(ids)
        except OverflowError:
            raise BadModel("its numbers overflow") from None

    def _step(self, ids):
        if ids[:-1] not in self._known:
            self._step(ids[:-1])
        past = self._known[ids[:-1]]
        hidden, kept = self._w["model.embed_tokens.weight"][ids[-1]], []
        for layer in range(LAYERS):
            hidden, seen = self._layer(f"model.layers.{layer}.", hidden, past[layer])
            kept.append(seen)
        self._known[ids] = tuple(kept)
        return hidden

    def _layer(self, prefix, hidden, past):
        """The hidden state after a layer, and the keys and values of all positions so far."""
        own = {name.removeprefix(prefix): rows for name, rows in self._w.items() if name.startswith(prefix)}
        x, position = _norm(hidden, own["input_layernorm.weight"]), len(past[0])
        queries, key, value = (_heads(own, name, x) for name in "qkv")
        keys, values = (*past[0], [_turn(one, position) for one in key]), (*past[1], value)
        mixed = []
        for number, query in enumerate(queries):
            turned, shared = _turn(query, position), number * KV_HEADS // HEADS
            scores = [_dot(turned, one[shared]) / math.sqrt(HEAD) for one in keys]
            powers = [math.exp(one - max(scores)) for one in scores]
            columns = zip(*(one[shared] for one in values))
            mixed += [_dot(powers, column) / sum(powers) for column in columns]
        hidden = _sum(hidden, _times(own["self_attn.o_proj.weight"], mixed))
        x = _norm(hidden, own["post_attention_layernorm.weight"])
        gate = [one / (1 + math.exp(-one)) for one in _times(own["mlp.gate_proj.weight"], x)]
        inner = list(map(mul, gate, _times(own["mlp.up_proj.weight"], x)))
        return _sum(hidden, _times(own["mlp.down_proj.weight"], inner)), (keys, values)


def _heads(own, name, x):
    made = _sum(_times(own[f"self_attn.{name}_proj.weight"], x), own[f"self_attn.{name}_proj.bias"][0])
    return [made[begin : begin + HEAD] for begin in range(0, len(made), HEAD)]


def _turn(x, position):
    """Rotary positions, in halves as Qwen2 has them."""
    half = HEAD // 2
    angles = [position * ROPE_BASE ** (-2 * index / HEAD) for index in range(half)]
    pairs = [(x[i] * math.cos(a) - x[i + half] * math.sin(a)) for i, a in enumerate(angles)]
    return pairs + [(x[i + half] * math.cos(a) + x[i] * math.sin(a)) for i, a in enumerate(angles)]


def _norm(x, weight):
    scale = 1 / math.sqrt(_dot(x, x) / WIDTH + EPSILON)
    return [one * scale * factor for one, factor in zip(x, weight[0])]


def _times(rows, x):
    return [sum(map(mul, row, x)) for row in rows]


def _dot(a, b):
    return sum(map(mul, a, b))


def _sum(a, b):
    return [one + other for one, other in zip(a, b)]
