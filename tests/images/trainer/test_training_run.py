"""Whole runs in one process: what they leave; one that was stopped and killed ends as one that was not."""

import json
import subprocess
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path

import pytest
from tests.images.trainer import tasks
from tests.images.trainer.attempts import Ended, attempt, environment, saved, steps, weights

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(600)  # several processes, which share the cores

# SIGNAL counts completions: 16 of them are a step.
RECIPE = {
    "reward": {"file": "reward.py", "function": "reward"},
    "grpo.steps": 12,
    "grpo.learning_rate": 0.01,
    "grpo.beta": 0.05,
    "grpo.warmup_steps": 3,
    "checkpoint.every_steps": 3,
    "metric": "low-digits",
}


def broken(recipe: Path, place: Path) -> list[Ended]:
    """SIGTERM in step 4, a kill in step 9 (the fifth after that), and a newest checkpoint that lost a byte."""
    ends = [attempt(recipe, place, SIGNAL="SIGTERM:60"), attempt(recipe, place, SIGNAL="SIGKILL:75")]
    optimizer = place / "checkpoints/checkpoint-6/optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-1])
    return [*ends, attempt(recipe, place)]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def ends(root: Path) -> Mapping[str, list[Ended]]:
    recipe = tasks.write(root / "task", RECIPE)
    with ThreadPoolExecutor() as pool:
        runs = {
            "broken": pool.submit(broken, recipe, root / "broken"),
            "unbroken": pool.submit(lambda: [attempt(recipe, root / "unbroken")]),
            "other": pool.submit(lambda: [attempt(recipe, root / "other", seed=8)]),
        }
    return {name: run.result() for name, run in runs.items()}


@pytest.fixture(scope="module")
def unbroken(root: Path, ends: Mapping[str, list[Ended]]) -> Path:
    assert [end.code for end in ends["unbroken"]] == [0], ends["unbroken"][0].log
    return root / "unbroken"


def test_each_step_has_a_line_with_its_signals(unbroken: Path) -> None:
    lines = steps(unbroken)
    assert [line["step"] for line in lines] == list(range(1, 13))
    for line in lines:
        assert set(line) >= {"loss", "reward", "reward_std", "frac_reward_zero_std", "entropy", "kl", "grad_norm"}
    rates = [line["learning_rate"] for line in lines]
    assert rates[:3] == sorted(rates[:3])
    assert rates[3:] == [0.01] * 9
    assert any(line["reward_std"] > 0 for line in lines)
    assert lines[-1]["kl"] > lines[0]["kl"] == 0


def test_the_artifact_is_whole(unbroken: Path) -> None:
    artifacts = unbroken / "artifacts"
    listed = json.loads((artifacts / "manifest.json").read_text())["files"]
    found = {path.relative_to(artifacts).as_posix(): path for path in artifacts.rglob("*") if path.is_file()}
    del found["manifest.json"]
    assert listed == {
        name: {"size": path.stat().st_size, "sha256": sha256(path.read_bytes()).hexdigest()}
        for name, path in found.items()
    }
    assert {"claims.json", "progress.jsonl", "model/model.safetensors", "model/tokenizer.json"} <= set(found)


LOAD = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

model = AutoModelForCausalLM.from_pretrained(sys.argv[1])
words = AutoTokenizer.from_pretrained(sys.argv[1])
rewards = []
for line in open(sys.argv[2]):
    asked = torch.tensor([words(json.loads(line)["prompt"])["input_ids"]])
    said = model.generate(asked, max_new_tokens=3, do_sample=False)[0, asked.shape[1]:]
    rewards.append(sum(letter in "01234" for letter in words.decode(said, skip_special_tokens=True)) / 3)
print(json.dumps({"dtype": str(model.dtype), "reward": sum(rewards) / len(rewards)}))
"""


def test_the_model_is_what_is_claimed(root: Path, unbroken: Path) -> None:
    # One prompt at a time, and by another's means.
    shown = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOAD, unbroken / "artifacts/model", root / "task/train.jsonl"],
        env=environment(),
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    measured = json.loads(shown)
    claims = json.loads((unbroken / "artifacts/claims.json").read_text())
    assert measured == {"dtype": "torch.float32", "reward": pytest.approx(claims["low-digits"], abs=0.011)}
    assert set(claims) == {"low-digits"}


def test_another_seed_gives_another_model(root: Path, ends: Mapping[str, list[Ended]], unbroken: Path) -> None:
    assert ends["other"][0].code == 0
    assert weights(root / "other") != weights(unbroken)
    assert [line["entropy"] for line in steps(root / "other")] != [line["entropy"] for line in steps(unbroken)]


def test_only_the_newest_checkpoints_are_kept(unbroken: Path) -> None:
    assert {path.name for path in (unbroken / "checkpoints").iterdir()} == {"checkpoint-6", "checkpoint-9", "start"}
    assert saved(unbroken) == {"checkpoint-6", "checkpoint-9"}


def test_a_stop_a_kill_and_a_damaged_checkpoint_change_nothing(
    root: Path, ends: Mapping[str, list[Ended]], unbroken: Path
) -> None:
    stopped, killed, last = ends["broken"]
    assert (stopped.code, killed.code, last.code) == (143, -9, 0), last.log
    assert "continuing after step 4, from checkpoint-4" in killed.log
    assert "checkpoint-6 is ignored and removed: optimizer.pt does not match its checksum" in last.log
    assert "continuing after step 4, from checkpoint-4" in last.log
    assert steps(root / "broken") == steps(unbroken)
    assert weights(root / "broken") == weights(unbroken)
