"""Task folders for the trainer: the smallest ones that do what a test is about."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

VOCABULARY = "0123456789+="
SCRATCH = {
    "vocabulary": VOCABULARY,
    "hidden": 16,
    "intermediate": 16,
    "layers": 1,
    "heads": 2,
    "kv_heads": 1,
    "positions": 8,
}
RECIPE: Mapping[str, Any] = {
    "model": {"scratch": SCRATCH},
    "data": {"train": "train.jsonl"},
    "grpo": {"steps": 8, "learning_rate": 0.001, "batch": 16, "group": 4, "completion_tokens": 3},
}
SUMS = [{"prompt": f"{a}+{b}=", "answer": str(a + b)} for a in range(10) for b in range(10)]
# Better and worse in every group, also of a model that knows nothing yet. A process that is to be hit by a signal at a
# certain place sends it to itself: SIGNAL=SIGKILL:60 is a kill in the middle of the 60th completion.
REWARD = """
import os
import signal

name, _, place = os.environ.get("SIGNAL", ":0").partition(":")
calls = 0

def reward(completion, answer):
    global calls
    calls += 1
    if calls == int(place):
        os.kill(os.getpid(), getattr(signal, name))
    return sum(letter in "01234" for letter in completion) / 3

def wrong(completion, answer):
    return 1 / 0
"""


def changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The document with other values at dotted keys; None takes a key out."""
    found: dict[str, Any] = json.loads(json.dumps(document))
    for key, value in changes.items():
        *path, last = key.split(".")
        inner = found
        for name in path:
            inner = inner.setdefault(name, {})
        if value is None:
            del inner[last]
        else:
            inner[last] = value
    return found


def write(folder: Path, changes: Mapping[str, Any] | None = None) -> Path:
    """A task, right but for the changes; the path of its recipe."""
    folder.mkdir(parents=True, exist_ok=True)
    lines(folder / "train.jsonl", SUMS)
    (folder / "reward.py").write_text(REWARD)
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(changed(RECIPE, changes or {}), sort_keys=False))
    return path


def lines(path: Path, found: list[dict[str, str]]) -> None:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in found))
