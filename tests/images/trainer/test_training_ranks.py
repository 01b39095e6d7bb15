"""Several ranks: they train together, end together, and go on together; with and without DeepSpeed."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.images.trainer import tasks
from tests.images.trainer.attempts import Ended, attempt, attempt_of_ranks, saved, steps, weights

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(600)  # several processes, which share the cores

# SIGNAL counts a rank's own completions: 8 of them are a step of two ranks.
RECIPE = {
    "reward": {"file": "reward.py", "function": "reward"},
    "grpo.steps": 6,
    "grpo.learning_rate": 0.01,
    "checkpoint.every_steps": 4,
}


def codes(ends: list[Ended]) -> list[int]:
    return [end.code for end in ends]


def logs(ends: list[Ended]) -> str:
    return "\n".join(f"--- rank {rank}\n{end.log}" for rank, end in enumerate(ends))


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("unbroken")
    ends = attempt_of_ranks(tasks.write(place / "task", RECIPE), place, 2)
    assert codes(ends) == [0, 0], logs(ends)
    return place


def test_two_ranks_share_a_step(unbroken: Path) -> None:
    assert [line["step"] for line in steps(unbroken)] == [1, 2, 3, 4, 5, 6]
    assert any(line["grad_norm"] > 0 for line in steps(unbroken))
    # The first rank alone writes what is shared, and alone talks.
    assert "done: reward" in (unbroken / "log-0").read_text()
    assert "done: reward" not in (unbroken / "log-1").read_text()


def test_ranks_end_together_and_go_on_as_if_nothing_had_been(unbroken: Path, tmp_path: Path) -> None:
    recipe = tasks.write(tmp_path / "task", RECIPE)
    stopped = attempt_of_ranks(recipe, tmp_path, 2, signals={1: "SIGTERM:20"})
    assert codes(stopped) == [143, 143], logs(stopped)
    assert saved(tmp_path) == {"checkpoint-3"}
    killed = attempt_of_ranks(recipe, tmp_path, 2, signals={1: "SIGKILL:20"})
    assert codes(killed) == [1, -9], logs(killed)
    assert killed[0].log.splitlines()[-1].startswith("failed: ")
    assert saved(tmp_path) == {"checkpoint-3", "checkpoint-4"}
    last = attempt_of_ranks(recipe, tmp_path, 2)
    assert codes(last) == [0, 0], logs(last)
    assert steps(tmp_path) == steps(unbroken)
    assert weights(tmp_path) == weights(unbroken)


@pytest.mark.parametrize("distributed", [{"zero": 2}, {"zero": 3, "precision": "bfloat16"}], ids=["zero-2", "zero-3"])
def test_ranks_share_out_what_zero_says(tmp_path: Path, distributed: Mapping[str, object]) -> None:
    changes = {**RECIPE, "distributed": distributed, "grpo.steps": 4, "grpo.beta": 0.05, "checkpoint.every_steps": 2}
    ends = attempt_of_ranks(tasks.write(tmp_path / "task", changes), tmp_path, 2)
    assert codes(ends) == [0, 0], logs(ends)
    assert [line["step"] for line in steps(tmp_path)] == [1, 2, 3, 4]
    assert "built successfully" not in logs(ends)  # DeepSpeed has compiled nothing
    assert len(list((tmp_path / "checkpoints/checkpoint-2").glob("global_step2/*optim_states.pt"))) == 2


def test_zero_on_one_rank_goes_on_as_if_nothing_had_been(tmp_path: Path) -> None:
    recipe = tasks.write(tmp_path / "task", {**RECIPE, "distributed.zero": 3, "grpo.beta": 0.05})

    def broken() -> list[int]:
        first = attempt(recipe, tmp_path / "broken", SIGNAL="SIGTERM:40")
        return [first.code, attempt(recipe, tmp_path / "broken").code]

    with ThreadPoolExecutor() as pool:
        two = pool.submit(broken)
        one = pool.submit(attempt, recipe, tmp_path / "unbroken")
        assert one.result().code == 0, one.result().log
        assert two.result() == [143, 0]
    assert steps(tmp_path / "broken") == steps(tmp_path / "unbroken")
    assert weights(tmp_path / "broken") == weights(tmp_path / "unbroken")
