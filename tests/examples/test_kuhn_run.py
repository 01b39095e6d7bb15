"""Runs of the Kuhn example as the loop would start them: training, seeds, bad recipes, bad policies."""

import json
import statistics
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.examples.runner import EXAMPLES, Runner

TRAIN = [sys.executable, "train.py"]
SCORE = [sys.executable, "score.py"]
FRAMES = {
    "averaging": ["none", "ema", "tail", "uniform"],
    "opponent": ["current", "average", "pool"],
    "anchor": ["none", "uniform", "snapshot"],
    "optimizer": ["sgd", "momentum", "adam", "optimistic"],
    "parameters": ["logits", "direct"],
}


def test_a_run_leaves_policy_progress_and_claim(kuhn_runner: Runner) -> None:
    run = kuhn_runner.train(TRAIN, "1")
    assert (run.code, run.stderr) == (0, "")
    verdict = kuhn_runner.score(SCORE, run.artifacts)
    assert [check["passed"] for check in verdict["checks"]] == [True]
    assert verdict["metrics"]["nashconv"] == pytest.approx(run.json("claims.json")["nashconv"], abs=1e-12)
    lines = (run.artifacts / "progress.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(100, 1001, 100))
    assert json.loads(lines[-1])["nashconv"] == pytest.approx(verdict["metrics"]["nashconv"], abs=1e-6)


def test_a_seed_repeats_itself_and_another_seed_does_not(kuhn_runner: Runner) -> None:
    seeds = ["7", "7", "8", "a seed may be any text"]
    policies = [kuhn_runner.train(TRAIN, seed).json("policy.json") for seed in seeds]
    assert policies[0] == policies[1]
    assert policies[0] != policies[2] != policies[3]


@pytest.mark.parametrize(("key", "choice"), [(key, choice) for key in FRAMES for choice in FRAMES[key]])
def test_every_structural_choice_trains(kuhn_task: dict[str, ModuleType], key: str, choice: str) -> None:
    recipe = kuhn_task["recipe"].complete({key: choice})
    first = kuhn_task["learner"].train(recipe, "1")
    assert first == kuhn_task["learner"].train(recipe, "1")
    assert len(first) == 12
    assert all(0 <= probability <= 1 for probability in first)
    assert first != kuhn_task["learner"].train(recipe, "2")


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"learning_rte": 1.0}, "unknown key 'learning_rte'"),
        ({"learning_rate": "0.5"}, "learning_rate must be a number"),
        ({"learning_rate": True}, "learning_rate must be a number"),
        ({"learning_rate": -1}, "learning_rate must be a number"),
        ('{"learning_rate": NaN}', "learning_rate must be a number"),
        ({"averaging": "ema", "ema_updates": None}, "ema_updates must be a number"),
        ({"pool_size": 2.5}, "pool_size must be a whole number"),
        ({"pool_size": 1e400}, "pool_size must be a whole number"),
        ({"averaging": "mean"}, "averaging must be one of none, ema, tail, uniform"),
        ({"averaging": ["ema"]}, "averaging must be one of"),
        ([], "one JSON object"),
        ("{", "cannot be read"),
    ],
)
def test_a_bad_recipe_is_one_clear_sentence(kuhn_runner: Runner, recipe: object, words: str) -> None:
    run = kuhn_runner.train(TRAIN, "1", recipe)
    assert run.code == 2
    assert words in run.stderr
    assert run.stderr.startswith("recipe.json")
    assert run.stderr.count("\n") == 1
    assert list(run.artifacts.iterdir()) == []


UNIFORM: dict[str, Any] = {
    card + history: {"pass": 0.5, "bet": 0.5} for card in "JQK" for history in ("", "p", "b", "pb")
}


def test_the_scorer_gives_the_uniform_policy_eleven_twelfths(kuhn_runner: Runner, tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text(json.dumps(UNIFORM))
    verdict = kuhn_runner.score(SCORE, tmp_path)
    assert verdict["metrics"]["nashconv"] == pytest.approx(11 / 12, abs=1e-15)


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (None, "no policy.json"),
        ("{", "cannot be read"),
        ("[" * 50_000, "cannot be read"),
        ("[" + " " * 200_000 + "]", "larger than"),
        ([], "information sets"),
        ({"J": {"pass": 0.5, "bet": 0.5}}, "information sets"),
        (UNIFORM | {"A": {"pass": 0.5, "bet": 0.5}}, "information sets"),
        (UNIFORM | {"J": [0.5, 0.5]}, "pass and bet"),
        (UNIFORM | {"J": {"pass": 0.5}}, "pass and bet"),
        (UNIFORM | {"J": {"pass": True, "bet": False}}, "not a number"),
        (UNIFORM | {"J": {"pass": "0.5", "bet": 0.5}}, "not a number"),
        (UNIFORM | {"J": {"pass": float("nan"), "bet": 0.5}}, "outside"),
        (UNIFORM | {"J": {"pass": float("inf"), "bet": 0.5}}, "outside"),
        (UNIFORM | {"J": {"pass": 1.5, "bet": -0.5}}, "outside"),
        (UNIFORM | {"J": {"pass": 0.5, "bet": 0.50001}}, "sum to 1"),
    ],
)
def test_the_scorer_refuses_what_is_no_policy(kuhn_runner: Runner, tmp_path: Path, policy: object, words: str) -> None:
    if policy is not None:
        text = policy if isinstance(policy, str) else json.dumps(policy)
        (tmp_path / "policy.json").write_text(text)
    verdict = kuhn_runner.score(SCORE, tmp_path)
    assert verdict["metrics"] == {}
    assert not verdict["checks"][0]["passed"]
    assert words in verdict["checks"][0]["detail"]


def test_the_campaign_is_won_by_structure_and_not_by_numbers(kuhn_task: dict[str, ModuleType]) -> None:
    """A small copy of what landscape.py measures in full."""

    def mean(**recipe: object) -> float:
        complete = kuhn_task["recipe"].complete(recipe)
        train, nashconv = kuhn_task["learner"].train, kuhn_task["kuhn"].nashconv
        values: list[float] = [nashconv(train(complete, str(seed))) for seed in range(8)]
        return statistics.mean(values)

    assert min(mean(learning_rate=rate) for rate in (0.2, 0.5, 1.0, 2.0, 5.0, 15.0)) > 0.1
    assert mean(averaging="uniform", learning_rate=6.0) < 0.05
    assert mean(averaging="tail", learning_rate=3.0) < 0.05
    assert mean(anchor="uniform", anchor_weight=0.05, learning_rate=3.0) < 0.05
    assert mean(anchor="snapshot", anchor_weight=0.2, learning_rate=8.0) < 0.05
    assert mean(optimizer="optimistic", learning_rate=8.0) < 0.05


def test_the_task_needs_the_standard_library_only() -> None:
    folder = EXAMPLES / "01-kuhn-selfplay"
    own = {"kuhn", "learner", "recipe"}
    for file in [*(folder / "task").glob("*.py"), folder / "evaluation" / "score.py"]:
        for line in file.read_text().splitlines():
            if line.startswith(("import ", "from ")):
                name = line.split()[1].split(".")[0]
                assert name in own | set(sys.stdlib_module_names), f"{file}: {line}"
