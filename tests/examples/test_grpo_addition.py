"""Example 03: its files belong together, the scorer's own model is the real one, and two ranks learn something.

What trains needs torch (`make test-train`); the rest runs everywhere.
"""

import importlib.util
import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.examples.runner import EXAMPLES, Runner
from tests.images.trainer.attempts import SECONDS, attempt_of_ranks, command

from rloop_operator.cli.commands.pack import APPLY_BYTES
from rloop_operator.user_files.packing import pack

EXAMPLE = EXAMPLES / "03-grpo-addition"
SCORE = [sys.executable, "score.py"]
needs_torch = pytest.mark.skipif(importlib.util.find_spec("trl") is None, reason="needs trl (make train)")

# Greedy completions of the held-out sums by the library that trained the model: share that is exactly right.
JUDGE = """
import json, sys, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
folder, pairs = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
words = AutoTokenizer.from_pretrained(folder, padding_side="left")
lines = [json.loads(line) for line in open(pairs)]
asked = words([one["prompt"] for one in lines], return_tensors="pt")
said = model.generate(**asked, max_new_tokens=3, do_sample=False)[:, asked["input_ids"].shape[1]:]
right = [words.decode(ids, skip_special_tokens=True) == one["answer"] for ids, one in zip(said, lines)]
print(sum(right) / len(right))
"""


def lines(path: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (EXAMPLE / path).read_text().splitlines()]


def header_and_data(content: bytes) -> tuple[dict[str, Any], bytes]:
    (length,) = struct.unpack("<Q", content[:8])
    header: dict[str, Any] = json.loads(content[8 : 8 + length])
    return header, content[8 + length :]


def packed(header: dict[str, Any], data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def start_in_float32() -> bytes:
    """The weights that every run begins from, as a run exports them: a bfloat16 is the upper half of a float32."""
    header, data = header_and_data((EXAMPLE / "task/start/model.safetensors").read_bytes())
    header.pop("__metadata__", None)
    wide = (np.frombuffer(data, "<u2").astype("<u4") << 16).tobytes()
    for one in header.values():
        one |= {"dtype": "F32", "data_offsets": [2 * offset for offset in one["data_offsets"]]}
    return packed(header, wide)


def score(runner: Runner, folder: Path, content: bytes) -> dict[str, Any]:
    (folder / "model").mkdir()
    (folder / "model/model.safetensors").write_bytes(content)
    return runner.score(SCORE, folder)


def test_every_sum_is_there_once_and_right() -> None:
    train, held_out = lines("task/train.jsonl"), lines("held-out/pairs.jsonl")
    asked = [one["prompt"] for one in [*train, *held_out]]
    assert sorted(asked) == [f"{a:02d}+{b:02d}=" for a in range(23) for b in range(23)]
    for one in [*train, *held_out]:
        assert int(one["answer"]) == (int(one["prompt"][:2]) + int(one["prompt"][3:5])) % 23
        assert len(one["answer"]) == 2


def test_the_recipe_passes_its_preflight() -> None:
    recipe = EXAMPLE / "task/recipe.yaml"
    done = command("--check", recipe, WORLD_SIZE="2", RANK="0", MASTER_ADDR="127.0.0.1", MASTER_PORT="1")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_client_can_apply_it() -> None:
    # Bytes that are no text take a third more.
    assert pack(EXAMPLE / "loop.yaml").bytes * 4 < APPLY_BYTES * 3


def test_the_start_is_half_way(grpo_runner: Runner, tmp_path: Path) -> None:
    verdict = score(grpo_runner, tmp_path, start_in_float32())
    assert verdict["checks"][0]["passed"]
    assert 0.2 < verdict["metrics"]["accuracy"] < 0.38


def _without_a_tensor(header: dict[str, Any]) -> None:
    del header["model.norm.weight"]


def _another_shape(header: dict[str, Any]) -> None:
    header["model.norm.weight"]["shape"] = [8, 8]


def _outside(header: dict[str, Any]) -> None:
    begin, end = header["model.norm.weight"]["data_offsets"]
    header["model.norm.weight"]["data_offsets"] = [begin + 10**9, end + 10**9]


def _half_precision(header: dict[str, Any]) -> None:
    header["model.norm.weight"]["dtype"] = "F16"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without_a_tensor, "other tensors"),
        (_another_shape, "F32 (64,) is needed"),
        (_outside, "does not lie in the file"),
        (_half_precision, "F16"),
    ],
)
def test_another_model_is_a_failed_check(
    grpo_runner: Runner, tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    header, data = header_and_data(start_in_float32())
    change(header)
    verdict = score(grpo_runner, tmp_path, packed(header, data))
    assert verdict["metrics"] == {}
    assert not verdict["checks"][0]["passed"]
    assert words in verdict["checks"][0]["detail"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no safetensors header"),
        (b"\xff" * 100, "no safetensors header"),
        (b"\x02\0\0\0\0\0\0\0[]", "no safetensors header"),
        (b"x" * 1_000_001, "larger than"),
    ],
)
def test_what_is_no_model_is_a_failed_check(grpo_runner: Runner, tmp_path: Path, content: bytes, words: str) -> None:
    verdict = score(grpo_runner, tmp_path, content)
    assert not verdict["checks"][0]["passed"]
    assert words in verdict["checks"][0]["detail"]


def test_numbers_that_are_not_finite_are_a_failed_check(grpo_runner: Runner, tmp_path: Path) -> None:
    header, data = header_and_data(start_in_float32())
    verdict = score(grpo_runner, tmp_path, packed(header, b"\xff" * 4 + data[4:]))
    assert "not finite" in verdict["checks"][0]["detail"]


@needs_torch
@pytest.mark.timeout(2 * SECONDS)
def test_two_ranks_learn_and_both_judges_agree(grpo_runner: Runner, tmp_path: Path) -> None:
    """With a higher learning rate than the one that the campaign begins with, and half of its steps."""
    text = (EXAMPLE / "task/recipe.yaml").read_text()
    recipe = text.replace("learning_rate: 0.00001", "learning_rate: 0.0003").replace("steps: 100", "steps: 50")
    assert recipe != text
    task, copy = EXAMPLE / "task", tmp_path / "task"
    copy.mkdir()
    (copy / "recipe.yaml").write_text(recipe)
    (copy / "train.jsonl").write_bytes((task / "train.jsonl").read_bytes())
    (copy / "start").symlink_to(task / "start")
    ends = attempt_of_ranks(copy / "recipe.yaml", tmp_path, 2, seed=1, HOME=str(tmp_path), HF_HUB_OFFLINE="1")
    assert [end.code for end in ends] == [0, 0], ends[0].log[-2000:]

    artifacts = tmp_path / "artifacts"
    verdict = grpo_runner.score(SCORE, artifacts)
    accuracy = verdict["metrics"]["accuracy"]
    before = score(grpo_runner, tmp_path, start_in_float32())["metrics"]["accuracy"]
    assert accuracy > before
    judged = subprocess.run(
        [sys.executable, "-c", JUDGE, str(artifacts / "model"), str(EXAMPLE / "held-out/pairs.jsonl")],
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(judged.stdout.split()[-1]) == accuracy
