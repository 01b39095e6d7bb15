"""`rloop run` on small real campaigns: what it tells, its exit codes, and what it leaves behind."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from tests.operator.cli.conftest import STATUS, condition, write

from rloop_operator.local.storage.layout import RunFolder, RunLock

Rloop = Callable[..., subprocess.CompletedProcess[str]]
Example = Callable[..., Path]


def test_a_target_that_is_met_is_exit_0_and_told_again(rloop: Rloop, example: Example, tmp_path: Path) -> None:
    file = example("echo 1 >$RLOOP_ARTIFACTS/loss", objective__target="2", budget__runs=20)
    done = rloop("run", file)
    assert done.returncode == 0, done.stderr + done.stdout
    told = done.stdout
    assert "run folder runs/demo" in told
    for label in ("accepted", "baseline", "concluding", "complete"):
        assert f"  {label}" in told
    assert "\x1b" not in told
    assert "Target met by the unchanged task" in told
    log = [json.loads(line) for line in (tmp_path / "runs/demo/logs/orchestrator.jsonl").read_text().splitlines()]
    assert all(sorted(line) == ["detail", "event", "level", "source", "ts"] for line in log)
    assert {line["level"] for line in log} <= {"info", "warn", "error", "decision"}
    assert [line["event"] for line in log if line["level"] == "decision"][-1] == "TargetMetByBaseline"

    again = rloop("run", file)
    assert again.returncode == 0
    assert again.stdout.strip() == told[told.index("Target met by") :].strip()
    after = (tmp_path / "runs/demo/logs/orchestrator.jsonl").read_text().splitlines()
    assert len(after) == len(log)  # nothing was started


def test_a_campaign_that_ends_without_its_target_is_exit_3(rloop: Rloop, example: Example) -> None:
    done = rloop("run", example(), "--dir", "my rün", "--seed", "1")
    assert done.returncode == 3, done.stderr + done.stdout
    assert "Ended without the target (BudgetExhausted)" in done.stdout
    assert "rloop_operator.cli experiments b01 --dir 'my rün'" in done.stdout


def test_a_task_that_cannot_run_is_exit_2_with_its_last_words(rloop: Rloop, example: Example) -> None:
    done = rloop("run", example("echo no module named torch; exit 7", experiment__backoffLimit=0))
    assert done.returncode == 2
    assert "Failed (BaselineFailed)" in done.stdout
    for verb in ("directions", "report", "verify"):
        assert f"rloop_operator.cli {verb} " not in done.stdout, "there is nothing to show"
    assert "rloop_operator.cli logs " in done.stdout
    assert "rloop_operator.cli experiments b01 " in done.stdout
    assert "BaselineFailed: " in done.stderr
    assert done.stderr.count("no module named torch") == 1
    assert "runs/demo/logs/workloads/demo-b01-r" in done.stderr
    again = rloop("run", example())  # repaired, but what was frozen stays
    assert again.returncode == 2
    assert 'note: spec.task.path: "./task" was changed after the start' in again.stderr
    assert 'use another --dir, or delete "runs/demo", and run again' in again.stderr


def test_a_long_log_of_a_failed_baseline_is_told_once(rloop: Rloop, example: Example) -> None:
    long = "for i in $(seq 300); do echo line $i of it; done; exit 1"
    done = rloop("run", example(long, experiment__backoffLimit=0))
    assert done.stderr.count("line 300 of it") == 1
    assert "exit code 1.\nthe end of runs/demo/logs/workloads/" in done.stderr


def test_a_suspended_campaign_ends_the_command_and_says_how_to_go_on(rloop: Rloop, example: Example) -> None:
    done = rloop("run", example(suspend=True))
    assert done.returncode == 3, done.stderr
    assert "Suspended: nothing new starts until suspend: false in the manifest; the same" in done.stdout
    assert re.search(r"continue +suspend: false in the manifest, then \S+ -m rloop_operator.cli run ", done.stdout)
    assert "rloop resume" not in done.stdout
    again = rloop("run", example(budget__runs=20, objective__target="3000000000"), "--seed", "99")
    assert again.returncode == 2  # the target is frozen
    assert again.stdout == ""
    again = rloop("run", example(), "--seed", "99")
    assert "Ended without the target (BudgetExhausted)" in again.stdout
    assert "best        the baseline: no change was tried" in again.stdout
    assert "note: --seed: the seeds were fixed when this campaign started; 99 is ignored" in again.stderr


def test_ctrl_c_ends_in_order_and_the_same_command_goes_on(example: Example, tmp_path: Path) -> None:
    slow = "sleep 0.5; echo 1 >$RLOOP_ARTIFACTS/loss"
    file = example(slow, evaluation__baselineRuns=5, budget__runs=5)
    command = [sys.executable, "-m", "rloop_operator.cli", "run", str(file)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not list((tmp_path / "runs/demo/workloads").glob("*/shim.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "press Ctrl-C again to stop everything now" in told
    assert "Interrupted: nothing recorded is lost" in told
    # Found without an exit now, it ran when the last line was printed; whether one takes so long is the machine's.
    running = [one for one in (tmp_path / "runs/demo/workloads").iterdir() if not (one / "exit.json").exists()]
    assert not running or "  still runs" in told, "a run that takes longer than a moment goes on"
    again = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True, timeout=90)
    assert again.returncode == 3
    assert "  resumed     iteration 0" in again.stdout


def test_on_a_terminal_the_story_scrolls_above_a_panel(example: Example, tmp_path: Path) -> None:
    told, code = on_a_terminal(tmp_path, "run", str(example("sleep 1; echo 1 >$RLOOP_ARTIFACTS/loss")))
    assert code == 3
    told = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told)
    assert "╭─ demo" in told
    assert "Ctrl-C stops the campaign cleanly" in told
    assert told.rindex("Ended without the target") > told.rindex("╭─ demo")


def test_no_color_means_plain_lines(example: Example, tmp_path: Path) -> None:
    constant = example("echo 1 >$RLOOP_ARTIFACTS/loss")
    told, code = on_a_terminal(tmp_path, "run", str(constant), NO_COLOR="1")
    assert code == 3
    assert "\x1b" not in told
    assert re.search(r"  baseline +loss \S+ over 3 runs, deterministic: RLOOP_SEED may be unused", told)


def on_a_terminal(folder: Path, *arguments: str, **env: str) -> tuple[str, int]:
    """What the command writes to a terminal of 100 columns, and its exit code."""
    reader, terminal = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "rloop_operator.cli", *arguments],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "TERM": "xterm", "COLUMNS": "100", **env},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    )
    os.close(terminal)
    told = b""
    with suppress(OSError):  # Linux says EIO when the other side has closed
        while chunk := os.read(reader, 65536):
            told += chunk
    os.close(reader)
    return told.decode(), process.wait(timeout=10)


def test_every_problem_of_a_manifest_is_told_and_nothing_is_left(
    rloop: Rloop, example: Example, tmp_path: Path
) -> None:
    file = example(objective__target=0.5, experiment__command="train.sh --fast")
    done = rloop("run", file)
    assert done.returncode == 2
    fields = [line.split(":")[0] for line in done.stderr.splitlines()]
    assert {"spec.objective.target", "spec.experiment.command"} <= set(fields)
    done = rloop("run", example(experiment__command=["./nothing"]))
    assert done.returncode == 2
    assert done.stderr.startswith("spec.experiment.command[0]: ")
    assert not (tmp_path / "runs").exists()


def test_a_folder_in_use_is_told_with_its_process(rloop: Rloop, example: Example, tmp_path: Path) -> None:
    with RunLock(tmp_path / "runs/demo"):
        done = rloop("run", example())
    assert done.returncode == 2
    assert f"in use by process {os.getpid()}" in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["run", "status", "experiments", "directions", "findings", "logs"])
def test_a_file_in_place_of_the_run_folder_is_bad_input(
    rloop: Rloop, example: Example, tmp_path: Path, command: str
) -> None:
    (tmp_path / "file").write_text("")
    done = rloop(command, *([example()] if command == "run" else []), "--dir", "file/below")
    assert done.returncode == 2
    assert done.stderr == f'--dir: "{tmp_path / "file"}" is a file; give the folder of a run, or a new one\n'


def test_a_finished_campaign_cannot_be_given_another_target(rloop: Rloop, example: Example, tmp_path: Path) -> None:
    ended = {"conditions": [condition("Complete", "BudgetExhausted")]}
    write(tmp_path / "runs/demo", STATUS | ended, evaluation__baselineRuns=3)
    done = rloop("run", example(objective__target="5"))
    assert done.returncode == 2
    assert done.stderr.startswith("spec.objective.target: is frozen")


def test_a_folder_that_met_its_target_needs_no_provider_for_a_larger_budget(
    rloop: Rloop, example: Example, tmp_path: Path
) -> None:
    llm = {"agent__policy": None, "agent__llm": {"provider": "main", "model": "m"}}
    ended = {"conditions": [condition("Complete", "TargetMet")]}
    write(tmp_path / "runs/demo", STATUS | ended, evaluation__baselineRuns=3, parallelism=4, budget__runs=3, **llm)
    done = rloop("run", example(**llm))
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip().startswith("Target met")


@pytest.mark.parametrize(
    ("conditions", "code", "headline"),
    [
        ([condition("Complete", "TargetMet", "loss 1 over 5 runs")], 0, "Target met: loss 1 over 5 runs"),
        ([condition("Complete", "TargetMetByBaseline")], 0, "Target met by the unchanged task"),
        ([condition("Complete", "TargetNotConfirmed")], 3, "Ended without the target (TargetNotConfirmed)"),
        ([condition("Failed", "BaselineFailed", "why")], 2, "Failed (BaselineFailed)"),
    ],
)
def test_a_finished_folder_prints_its_result(
    rloop: Rloop,
    example: Example,
    tmp_path: Path,
    conditions: list[dict[str, object]],
    code: int,
    headline: str,
) -> None:
    file = example()
    changes = {"evaluation__baselineRuns": 3, "parallelism": 4, "budget__runs": 3}
    final = {
        "experiment": "demo-i0001-e1",
        "value": 0.26,
        "low": 0.25,
        "high": 0.27,
        "n": 5,
        "gap": 0.01,
        "met": True,
    }
    layout = write(tmp_path / "runs/demo", STATUS | {"conditions": conditions, "final": final}, **changes)
    done = rloop("run", file)
    assert done.returncode == code, done.stderr
    assert done.stdout.strip().startswith(headline)
    assert "value       0.2500 [0.2400, 0.2600] over 9 runs after the screening run" in done.stdout
    assert "claimed     0.2000 by the same runs on what they saw (-0.0500 from the verifier's value)" in done.stdout
    artifacts = "runs/demo/experiments/demo-i0001-e1/runs/r1/artifacts (of run 1; those of 9 more runs lie beside it)"
    assert f"artifacts   {artifacts}" in done.stdout
    assert "final       0.2600 [0.2500, 0.2700] over 5 fresh runs (dev-final gap: +0.0100)" in done.stdout
    assert "rloop_operator.cli experiments i0001-e1 --dir runs/demo" in done.stdout
    assert not list(RunFolder.at(layout.root).workloads.iterdir())
    if code == 2:
        assert 'use another --dir, or delete "runs/demo", and run again' in done.stderr
