"""The shell and awk example end to end: runs, seeds, bad recipes and artifacts, what reaches the target."""

import json
import statistics
from pathlib import Path

import pytest
from tests.examples.runner import Runner

TRAIN = ["sh", "run.sh"]
SCORE = ["sh", "score.sh"]
TARGET = 0.02


def mse(runner: Runner, seed: str, recipe: object = None) -> float:
    run = runner.train(TRAIN, seed, recipe)
    assert (run.code, run.stderr) == (0, "")
    verdict = runner.score(SCORE, run.artifacts)
    assert verdict["checks"][0]["passed"]
    value: float = verdict["metrics"]["mse"]
    return value


def test_a_run_leaves_coefficients_progress_and_claim(shell_runner: Runner) -> None:
    run = shell_runner.train(TRAIN, "1")
    assert len((run.artifacts / "coefficients.txt").read_text().splitlines()) == 2
    lines = (run.artifacts / "progress.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(10, 101, 10))
    assert json.loads(lines[-1])["mse"] == run.json("claims.json")["mse"]


def test_a_seed_repeats_itself_and_another_seed_does_not(shell_runner: Runner) -> None:
    values = [mse(shell_runner, seed) for seed in ("3", "3", "4", "12345678901234567890", "any text")]
    assert values[0] == values[1]
    assert len(set(values[1:])) == 4


def test_only_a_change_of_shape_reaches_the_target(shell_runner: Runner) -> None:
    def mean(**recipe: object) -> float:
        return statistics.mean(mse(shell_runner, str(seed), recipe) for seed in range(4))

    for rate in (0.005, 0.05, 0.2):
        assert mean(rate=rate, epochs=200) > 10 * TARGET
    assert mean(loss="absolute") > 10 * TARGET
    assert mean(shape="parabola") < TARGET
    assert mean(shape="cubic") < TARGET


@pytest.mark.parametrize(
    "recipe",
    [
        '{"shape":"parabola","rate":5e-2}',
        '{"shape": "parabola", "rate": 0.05}\n',
        '{\r\n\t"rate": 0.05,\r\n\t"shape": "parabola"\r\n}\r\n',
    ],
)
def test_a_recipe_may_be_written_in_any_layout(shell_runner: Runner, recipe: str) -> None:
    assert mse(shell_runner, "1", recipe) < TARGET


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ({"shap": "line"}, "unknown entry"),
        ({"shape": "circle"}, "shape must be line, parabola or cubic"),
        ({"shape": 1}, "shape must be line, parabola or cubic"),
        ({"loss": "huber"}, "loss must be squared or absolute"),
        ({"rate": "0.05"}, "rate must be a number"),
        ({"rate": -1}, "rate must be a number"),
        ({"rate": "$(touch broken)"}, "rate must be a number"),
        ({"epochs": 1.5}, "epochs must be a whole number"),
        ({"shape": "*"}, "shape must be"),
        ("[1]", "unknown entry"),
        ("nonsense", "unknown entry"),
    ],
)
def test_a_bad_recipe_is_one_clear_sentence(shell_runner: Runner, recipe: object, words: str) -> None:
    run = shell_runner.train(TRAIN, "1", recipe)
    assert run.code == 2
    assert words in run.stderr
    assert run.stderr.count("\n") == 1
    assert list(run.artifacts.iterdir()) == []


@pytest.mark.parametrize("text", [None, "", "nan\n", "inf\n", "1e400\n", "1 2\n", "9999999\n", "0\n" * 7, "x" * 2000])
def test_the_scorer_refuses_what_are_no_coefficients(shell_runner: Runner, tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "coefficients.txt").write_text(text)
    verdict = shell_runner.score(SCORE, tmp_path)
    assert verdict["metrics"] == {}
    assert not verdict["checks"][0]["passed"]
