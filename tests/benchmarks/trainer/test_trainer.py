"""The figures of `benchmarks.trainer`, by small tables; and, where torch is, one tiny run of each side."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from benchmarks.trainer import __main__, folder, runs
from benchmarks.trainer.folder import Look
from benchmarks.trainer.killed import Run
from benchmarks.trainer.runs import Times


def times(step: float, *, save: float = 0.0, peak: float = 100.0, steps: int = 100) -> Times:
    """Each step takes `step` seconds, and a save after every 25th `save` more."""
    ends = [2.0 + step * number + save * ((number - 1) // 25) for number in range(1, steps + 1)]
    return Times(spawned=0.0, begun=0.5, imported=1.5, ready=2.0, steps=ends, peak=peak)


@pytest.mark.parametrize(
    ("found", "rate"),
    [
        (times(0.5), 2.0),
        (times(0.5, save=12.5), 75 / (37.5 + 3 * 12.5)),  # the saves after 25, 50 and 75 are in it
        (times(0.5, steps=26), 2.0),
    ],
)
def test_the_rate_counts_saves_and_leaves_out_the_first_steps(found: Times, rate: float) -> None:
    assert __main__.rate(found) == pytest.approx(rate)


def test_the_usual_step_has_no_save_in_it() -> None:
    found = times(0.5, save=0.25)
    assert __main__.usual_step(found) == pytest.approx(500)
    assert __main__.usual_save(found) == pytest.approx(250)


def test_spread_has_the_median_and_both_ends() -> None:
    assert __main__.spread([3.0, 1.0, 2.0, 9.0]) == {"median": 2.5, "min": 1.0, "max": 9.0}
    assert __main__.spread([1.23456], 2) == {"median": 1.23, "min": 1.23, "max": 1.23}


def test_a_machine_that_slows_down_for_a_pair_changes_no_ratio() -> None:
    figures, goals = __main__.speed([(times(0.1), times(0.1)), (times(0.9), times(0.9)), (times(0.1), times(0.1))])
    assert figures["stepsPerSecond"]["ratio"] == {"median": 1.0, "min": 1.0, "max": 1.0}
    assert figures["stepsPerSecond"]["ours"]["min"] < 0.2 * figures["stepsPerSecond"]["ours"]["max"]
    assert [goal.met for goal in goals] == [True, True]


@pytest.mark.parametrize(
    ("ours", "plain", "met"),
    [
        (times(0.1), times(0.098), [True, True]),
        (times(0.1), times(0.0979), [False, True]),
        (times(0.1, save=0.1), times(0.1), [False, True]),
        (times(0.1, peak=105.0), times(0.1), [True, True]),
        (times(0.1, peak=106.0), times(0.1), [True, False]),
    ],
)
def test_a_slower_or_larger_trainer_is_a_miss(ours: Times, plain: Times, met: list[bool]) -> None:
    _, goals = __main__.speed([(ours, plain)] * 3)
    assert [goal.met for goal in goals] == met


def test_two_ranks_are_one_run_whose_memory_is_added() -> None:
    one, two = [times(0.4, peak=100.0)], [times(0.25, peak=90.0), times(0.25, peak=80.0)]
    figures, goals = __main__.ranks([(one, two)])
    assert figures["stepsPerSecond"]["ratio"]["median"] == pytest.approx(1.6)
    assert figures["peakMiBOfAllRanks"]["2"]["median"] == pytest.approx(170.0)
    assert goals == []


def test_the_parts_of_a_start_are_all_of_it() -> None:
    figures, _ = __main__.start([times(0.25)])
    parts = {name: found["median"] for name, found in figures["seconds"].items()}
    assert parts == {"process": 0.5, "imports": 1.0, "modelReady": 0.5, "firstStep": 0.25, "all": 2.25}
    assert "not measured" in figures["image"]


def a_run(**changed: object) -> Run:
    facts = {"steps": 3, "kills": ["save"], "halves": 1, "resumed": 1, "progress": [1, 2, 3], "model": "a"}
    return Run(**(facts | changed))  # type: ignore[arg-type]  # each row changes what it likes


@pytest.mark.parametrize(
    ("run", "missed"),
    [
        (a_run(), []),
        (a_run(wrong=["loaded checkpoint-2, which was half written"]), ["half-written checkpoints loaded"]),
        (a_run(wrong=["began anew beside whole checkpoint-2"]), ["starts from elsewhere than the newest whole one"]),
        (a_run(failed=["exit 1: an error"]), ["starts that failed"]),
        (a_run(progress=[1, 2, 2, 3]), ["runs with one line for each step, and a model"]),
        (a_run(progress=[1, 3]), ["runs with one line for each step, and a model"]),
        (a_run(progress=[1, 2, 3, 4]), ["runs with one line for each step, and a model"]),
        (a_run(model="b"), ["killed runs with the model of the unkilled one"]),
    ],
)
def test_each_fault_after_a_kill_is_a_miss_of_its_own(run: Run, missed: list[str]) -> None:
    figures, goals = __main__.kills([a_run(kills=[], halves=0), a_run(), run])
    assert [goal.name for goal in goals if not goal.met] == missed
    assert figures["kills"] == {"save": 2}


def test_kills_that_hit_no_save_show_nothing() -> None:
    _, goals = __main__.kills([a_run(kills=[], halves=0), a_run(halves=0)])
    assert [goal.name for goal in goals if not goal.met] == ["kills that left half a checkpoint"]


# --- The witness of checkpoints --------------------------------------------------------------------------------------


def checkpoint(parent: Path, step: int) -> Path:
    path = parent / f"checkpoint-{step}"
    (path / "global_step").mkdir(parents=True)
    files = {}
    for name in ("model.safetensors", "global_step/rank.pt"):
        content = f"{name} of {step}".encode()
        (path / name).write_bytes(content)
        files[name] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (path / "complete.json").write_text(json.dumps({"maker": {}, "files": files}))
    return path


def test_only_what_is_as_it_was_sealed_is_whole(tmp_path: Path) -> None:
    found = {step: checkpoint(tmp_path, step) for step in range(1, 9)}
    (found[1] / "complete.json").unlink()
    sealed = (found[2] / "complete.json").read_text()
    (found[2] / "complete.json").write_text(sealed[: len(sealed) // 2])
    (found[3] / "model.safetensors").unlink()
    (found[4] / "model.safetensors").write_bytes(b"model.safetensors of 5")  # of the same size
    (found[5] / "global_step/rank.pt").write_bytes(b"glo")
    (found[6] / "complete.json").write_text('{"files": {}}')
    (found[7] / "more.txt").write_text("not sealed, and no harm")
    (tmp_path / "start").mkdir()
    assert folder.look(tmp_path) == Look([7, 8], [1, 2, 3, 4, 5, 6])


def test_only_the_newest_is_in_the_making(tmp_path: Path) -> None:
    assert not folder.in_the_making(tmp_path)
    old, new = checkpoint(tmp_path, 9), checkpoint(tmp_path, 10)
    (old / "complete.json").unlink()
    assert not folder.in_the_making(tmp_path)
    (new / "complete.json").unlink()
    assert folder.in_the_making(tmp_path)


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert folder.look(tmp_path / "none") == Look([], [])


@pytest.mark.parametrize(
    ("before", "said", "trained", "wrong"),
    [
        (Look([], []), "", True, ""),
        (Look([], [3]), "checkpoint-3 is left aside\nno usable checkpoint: starting from the beginning", True, ""),
        (Look([3, 6], []), "continuing after step 6, from checkpoint-6", True, ""),
        (Look([3, 6], [9]), "checkpoint-9 is left aside\ncontinuing after step 6, from checkpoint-6\n", False, ""),
        (Look([3, 6], []), "", False, ""),
        (Look([3, 6], [9]), "continuing after step 9, from checkpoint-9", True, "half written"),
        (Look([], [3]), "continuing after step 3, from checkpoint-3", False, "half written"),
        (Look([3, 6], []), "continuing after step 3, from checkpoint-3", True, "though checkpoint-6 was whole"),
        (Look([3, 6], []), "continuing after step 6, from checkpoint-3", True, "step 6 from checkpoint-3"),
        (Look([3, 6], []), "no usable checkpoint", True, "began anew beside whole checkpoint-6"),
    ],
)
def test_a_start_is_judged_by_what_lay_there_before(before: Look, said: str, trained: bool, wrong: str) -> None:
    found = folder.judged(before, said, trained=trained)
    assert wrong in found
    assert bool(wrong) == bool(found)


def test_steps_are_read_as_they_stand(tmp_path: Path) -> None:
    progress = tmp_path / "progress.jsonl"
    assert folder.steps_of(progress) == []
    progress.write_text('{"step": 1}\n{"step": 1}\n{"loss": 2}\n{"st')
    assert folder.steps_of(progress) == [1, 1, -1, -1]


# --- With torch ------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(400)
def test_both_sides_run_the_recipe_and_are_timed(tmp_path: Path) -> None:
    pytest.importorskip("trl", reason="needs make train")
    recipe = runs.recipe(steps=4, every_steps=2)
    recipe["warm_start"]["steps"] = 1
    task = runs.task(tmp_path / "task", recipe)
    for side in (runs.ours, runs.plain):
        place = tmp_path / side.__name__
        found = side(task, place)
        assert len(found.steps) == 4
        assert found.spawned < found.begun < found.imported < found.ready < found.steps[0] < found.steps[-1]
        assert found.peak > 100  # no process with torch is smaller
        assert (place / "checkpoints" / "checkpoint-2").is_dir()
