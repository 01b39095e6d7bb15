"""The warm start: made once, whoever asks first, and the same for all runs."""

import json
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.images.trainer import tasks
from tests.images.trainer.attempts import Ended, attempt, command

pytest.importorskip("torch")
pytestmark = pytest.mark.timeout(600)  # several processes, which share the cores

# One digit and one: learned in a second, and worth something before the first step of GRPO.
LINES = [{"prompt": f"{number}+1=", "answer": str(number + 1)} for number in range(10)]
CHANGES = {
    "grpo.steps": 2,
    "warm_start": {"file": "warm.jsonl", "steps": 150, "learning_rate": 0.01, "batch": 16},
}


class Made(NamedTuple):
    """What two runs that started together left, and what was there for a third."""

    ends: list[Ended]
    identity: dict[str, tuple[int, int]]
    """Of each file in the cache: inode and time of change."""
    third: subprocess.CompletedProcess[str]


def identity(cache: Path) -> Mapping[str, tuple[int, int]]:
    files = [path for path in cache.rglob("*") if path.is_file() and path.suffix != ".lock"]
    return {str(path.relative_to(cache)): (path.stat().st_ino, path.stat().st_mtime_ns) for path in files}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("warm")


@pytest.fixture(scope="module")
def made(root: Path) -> Made:
    recipe = tasks.write(root / "task", CHANGES)
    for name in ("train.jsonl", "warm.jsonl"):
        tasks.lines(root / "task" / name, LINES)
    cache = root / "cache"
    with ThreadPoolExecutor() as pool:
        runs = [pool.submit(attempt, recipe, root / f"run-{seed}", seed, TRAINER_CACHE=str(cache)) for seed in (1, 2)]
    before = dict(identity(cache))
    return Made([run.result() for run in runs], before, command("--warm-start", recipe, TRAINER_CACHE=str(cache)))


def test_two_runs_at_once_make_one(root: Path, made: Made) -> None:
    assert [end.code for end in made.ends] == [0, 0], made.ends[0].log
    folders = [path for path in (root / "cache").iterdir() if path.is_dir()]
    assert len(folders) == 1
    assert json.loads((folders[0] / "complete.json").read_text())["loss"] < 0.5
    assert [path for path in (root / "run-1/checkpoints").glob("*") if path.is_dir()] == []


def test_it_is_the_start_of_both(root: Path, made: Made) -> None:
    # A random model is right in one of a hundred, and two steps teach it nothing.
    claims = [json.loads((root / f"run-{seed}/artifacts/claims.json").read_text()) for seed in (1, 2)]
    assert all(claim["exact-match"] >= 0.5 for claim in claims)


def test_another_time_it_is_taken_from_the_cache(root: Path, made: Made) -> None:
    (folder,) = (path for path in (root / "cache").iterdir() if path.is_dir())
    assert made.third.returncode == 0, made.third.stderr
    assert made.third.stdout.startswith(f"{folder} (")
    assert identity(root / "cache") == made.identity
