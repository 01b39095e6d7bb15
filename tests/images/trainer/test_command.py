"""The command as far as it needs no torch: what it checks, how fast, and how it ends."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.images.trainer import tasks
from tests.images.trainer.attempts import CONTRACT, command

from rloop_trainer.__main__ import main

HEAVY = {"torch", "transformers", "trl", "deepspeed", "datasets", "numpy", "tokenizers", "huggingface_hub"}


def test_a_check_is_silent_and_imports_nothing_heavy(tmp_path: Path) -> None:
    changes = {"warm_start.file": "train.jsonl", "reward": {"file": "reward.py", "function": "reward"}}
    checked = command("--check", tasks.write(tmp_path, changes), options=("-X", "importtime"))
    assert (checked.returncode, checked.stdout) == (0, "")
    imported = {line.split("|")[2].strip() for line in checked.stderr.splitlines()}
    assert "rloop_trainer.inputs.check" in imported
    assert {name.partition(".")[0] for name in imported} & HEAVY == set()


def test_a_bad_recipe_is_told_line_by_line(tmp_path: Path) -> None:
    recipe = tasks.write(tmp_path, {"grpo.steps": "5", "data.train": "gone.jsonl"})
    checked = command("--check", recipe)
    assert (checked.returncode, checked.stdout) == (2, "")
    assert checked.stderr.splitlines() == [
        f'{recipe}: grpo.steps: "5" is text, not a number: write 5',
        f"{recipe}: data.train: gone.jsonl: there is no such file",
    ]


def test_a_check_knows_how_many_ranks_there_will_be_and_is_none_of_them(tmp_path: Path) -> None:
    recipe = tasks.write(tmp_path)
    assert command("--check", recipe, WORLD_SIZE="4").returncode == 0
    refused = command("--check", recipe, WORLD_SIZE="3")
    assert refused.returncode == 2
    assert refused.stderr == f"{recipe}: grpo.batch: 16 must be divisible by the number of ranks, 3\n"
    assert command("--check", recipe, WORLD_SIZE="x").stderr.startswith(
        "WORLD_SIZE is 'x', which is not a whole number"
    )


def test_a_reward_that_cannot_be_imported_ends_before_anything_heavy_is(tmp_path: Path) -> None:
    recipe = tasks.write(tmp_path, {"reward": {"file": "reward.py", "function": "reward"}})
    (tmp_path / "reward.py").write_text("import nothing_of_that_name\ndef reward(completion, answer): ...\n")
    places = {"RLOOP_ARTIFACTS": str(tmp_path / "a"), "RLOOP_CHECKPOINTS": str(tmp_path / "c")}
    ended = command(recipe, options=("-X", "importtime"), RLOOP_SEED="1", **places)
    lines = ended.stderr.splitlines()
    imported = {line.split("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert {name.partition(".")[0] for name in imported} & HEAVY == set()
    sentence = "cannot be imported: ModuleNotFoundError: No module named 'nothing_of_that_name'"
    said = [line for line in lines if not line.startswith("import time:")]
    assert (ended.returncode, said) == (2, [f"reward.file: reward.py: {sentence}"])


def test_one_gpu_is_seen_before_anything_heavy_is(tmp_path: Path) -> None:
    recipe = tasks.write(tmp_path, {"reward": {"file": "reward.py", "function": "reward"}})
    (tmp_path / "reward.py").write_text(
        "import os\ndef reward(completion, answer): ...\nraise OSError(os.environ['CUDA_VISIBLE_DEVICES'])\n"
    )
    places = {"RLOOP_ARTIFACTS": str(tmp_path / "a"), "RLOOP_CHECKPOINTS": str(tmp_path / "c")}
    ended = command(recipe, options=(), CUDA_VISIBLE_DEVICES="3,4", RLOOP_SEED="1", **places)
    assert ended.stderr == "reward.file: reward.py: cannot be imported: OSError: 3\n"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"RLOOP_SEED": None}, "RLOOP_SEED is not set; it is part of the task's contract (docs/task-contract.md)"),
        ({"RLOOP_SEED": "1.5"}, "RLOOP_SEED is '1.5'; it must be a whole number of at most 2147483647"),
        ({"RLOOP_SEED": "2147483648"}, "RLOOP_SEED is '2147483648'; it must be a whole number of at most 2147483647"),
        ({"RLOOP_ARTIFACTS": None}, "RLOOP_ARTIFACTS is not set; "),
        ({"RLOOP_CHECKPOINTS": None}, "RLOOP_CHECKPOINTS is not set; "),
        ({"RLOOP_ARTIFACTS": "recipe.yaml"}, "RLOOP_ARTIFACTS: recipe.yaml cannot be made a folder (File exists)"),
        ({"WORLD_SIZE": "2"}, "RANK is not set, and WORLD_SIZE is 2: start the ranks with torchrun"),
    ],
)
def test_an_environment_that_is_wrong(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    changes: Mapping[str, str | None],
    sentence: str,
) -> None:
    recipe = tasks.write(tmp_path)
    monkeypatch.chdir(tmp_path)
    for name in CONTRACT:
        monkeypatch.delenv(name, raising=False)
    right: dict[str, Any] = {"RLOOP_SEED": "1", "RLOOP_ARTIFACTS": "a", "RLOOP_CHECKPOINTS": "c"}
    for name, value in {**right, **changes}.items():
        if value is not None:
            monkeypatch.setenv(name, value)
    assert main([str(recipe)]) == 2
    assert capsys.readouterr().err.startswith(sentence)


def test_a_warm_start_needs_a_section(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--warm-start", str(tasks.write(tmp_path))]) == 2
    assert capsys.readouterr().err == "warm_start: is missing; add it to make a warm start\n"


def test_a_cache_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tasks.write(tmp_path, {"warm_start.file": "train.jsonl"})
    monkeypatch.setenv("TRAINER_CACHE", str(recipe / "cache"))
    assert main(["--warm-start", str(recipe)]) == 2
    said = capsys.readouterr().err
    assert said == f"{recipe / 'cache'} cannot be written (Not a directory); name a folder in TRAINER_CACHE\n"


def test_one_thing_at_a_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--check", "--warm-start", str(tasks.write(tmp_path))])
    assert ended.value.code == 2
    assert "not allowed with argument" in capsys.readouterr().err
