"""status, experiments, directions, findings and logs on a run folder, as a pipe sees them."""

import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
import yaml
from tests.operator.cli.conftest import STATUS, condition, experiment, run, write

from rloop.api.experiment import ResearchExperiment
from rloop.api.researchloop import ResearchLoop
from rloop_operator.local.storage.layout import RunFolder, RunLock
from rloop_operator.local.storage.store import LocalStore
from rloop_operator.local.workloads import processes
from rloop_operator.local.workloads.documents import write_json

Rloop = Callable[..., subprocess.CompletedProcess[str]]
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
READING = [
    ["status"],
    ["experiments"],
    ["experiments", "--all"],
    ["experiments", "i0001-e1"],
    ["experiments", "demo-i0001-e2"],
    ["directions"],
    ["findings"],
    ["logs"],
    ["status", "-o", "yaml"],
    ["findings", "-o", "json"],
]


@pytest.mark.parametrize("arguments", READING, ids=" ".join)
def test_what_is_piped_holds_no_control_characters(rloop: Rloop, layout: RunFolder, arguments: list[str]) -> None:
    done = rloop(*arguments, "--dir", layout.root)
    assert done.returncode == 0, done.stderr
    assert not CONTROLS.search(done.stdout)
    assert "Traceback" not in done.stderr


def test_status_tells_the_story(rloop: Rloop, layout: RunFolder) -> None:
    told = rloop("status").stdout  # the only run below ./runs needs no --dir
    assert "state        Iterating" in told
    assert "goal         Minimize loss to -100" in told
    assert "best         i0001-e1  0.2500 [0.2400, 0.2600] over 9 runs, gain 0.2500 (50 %) over the baseline" in told
    assert "12 runs, 1:40 active" in told  # 30 s and from activeSince to the operator's last beat
    assert "none since 2026-01-02 03:05:15 UTC" in told
    again = "i0002-s1 (investigate), i0002-e1 run 1 (screen)"
    assert f"now          nothing; to be resumed: {again}\n" in told


def test_without_an_operator_only_what_has_a_process_runs(rloop: Rloop, layout: RunFolder) -> None:
    for name, start in (("demo-i0002-e1-r1-a1", ""), ("demo-i0002-s1-a1", "of another process")):
        layout.workload(name).mkdir()
        own = processes.look(os.getpid())
        assert own is not None
        write_json(str(layout.workload(name)), "shim.json", {"pid": os.getpid(), "start": start or own.start})
    told = "now          i0002-e1 run 1 (screen), in the background; to be resumed: i0002-s1 (investigate)\n"
    assert told in rloop("status").stdout
    policy = "work in progress finishes (suspendPolicy Finish): i0002-e1 run 1 (screen), in the background"
    assert policy in rloop("suspend").stdout
    write_json(str(layout.workload("demo-i0002-e1-r1-a1")), "exit.json", {})
    assert "now          nothing; to be resumed: i0002-s1" in rloop("status").stdout


def test_at_the_end_the_direction_is_the_bests(rloop: Rloop, tmp_path: Path) -> None:
    newer = {"name": "demo-i0002-d1", "title": "newer", "frame": {"averaging": "uniform"}}
    ended = {"conditions": [condition("Complete", "TargetMet", "over")], "currentDirection": newer}
    write(tmp_path / "runs/demo", STATUS | ended)
    told = rloop("status").stdout
    assert "direction    i0001-d1 (the best's)" in told
    assert "i0002-d1" not in told


def test_status_works_beside_a_living_operator(rloop: Rloop, layout: RunFolder) -> None:
    with RunLock(layout.root):
        assert f"alive, process {os.getpid()}" in rloop("status").stdout


def test_json_and_yaml_are_the_object_itself(rloop: Rloop, layout: RunFolder) -> None:
    text = rloop("status", "-o", "json").stdout
    loop = ResearchLoop.model_validate_json(text)
    assert loop.status.best is not None
    assert loop.status.best.experiment == "demo-i0001-e1"
    document = json.loads(text)
    assert document["status"]["staleCount"] == 1
    assert document["apiVersion"] == "rloop.dev/v1alpha1"
    assert yaml.safe_load(rloop("status", "-o", "yaml").stdout) == document
    listed = json.loads(rloop("experiments", "-o", "json").stdout)
    assert [ResearchExperiment.model_validate(one).metadata.name for one in listed["items"]] == [
        "demo-b01",
        "demo-i0001-e1",
        "demo-i0001-e2",
        "demo-i0002-e1",
    ]


def test_status_starts_fast(layout: RunFolder) -> None:
    # What decides, serves and draws is hundreds of modules; a status must not wait for them.
    code = (
        "import sys; from rloop_operator.cli.main import app\n"
        "try: app(['status', '--dir', sys.argv[1]])\n"
        "except SystemExit: pass\n"
        "heavy = {'scipy', 'numpy', 'uvicorn', 'starlette', 'httpx', 'matplotlib', 'kopf', 'torch', 'rapidfuzz', "
        "'rloop.decide', 'rloop.session_view.context', 'rloop_operator.local.campaign'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(layout.root)], check=True, capture_output=True, text=True)
    assert "HEAVY []" in done.stdout


def test_experiments_are_a_table_and_one_is_told_in_detail(rloop: Rloop, layout: RunFolder) -> None:
    rows = rloop("experiments").stdout.splitlines()
    headings = ["NAME", "ITER", "PHASE", "REASON", "RUNS", "VALUE", "± (95 %)", "GAIN", "OVER", "WHAT"]
    assert re.split(" {2,}", rows[0]) == headings
    assert rows[2].split()[:9] == ["i0001-e1", "1", "Accepted", "Kept", "9", "0.2500", "0.0100", "0.2500", "b01"]
    assert "rate =0.1 [bold]größer" in rows[2]
    told = rloop("experiments", "i0001-e1").stdout
    assert '-{"rate": 1}\n+{"rate": 0.1}' in told
    assert "Kept, gain 0.2500 over the incumbent b01 (5 runs)" in told
    assert "/experiments/demo-i0001-e1/runs/r1/artifacts (of run 1; those of 9 more runs lie beside it)\n" in told
    failed = rloop("experiments", "demo-i0001-e2").stdout
    assert "demo-i0001-e2-r1-a1.log:\n  no such file\n" in failed


def test_why_a_scoring_failed_is_told_apart_from_its_log(rloop: Rloop, layout: RunFolder) -> None:
    log = layout.workload_log("demo-i0002-e2-r1-v1")
    for name, why in (("demo-i0002-e2", "ended without a verdict"), ("demo-i0002-e3", "loss = 0.5 banana")):
        scoring = {"number": 1, "repeat": 1, "seed": 1, "phase": "Failed", "reason": "VerdictMissing", "message": why}
        runs = [run(1, "screen", None, "Failed", verifications=[scoring])]
        with closing(LocalStore(layout.root)) as store:
            asyncio.run(store.create(experiment(name, 2, {"phase": "Invalid", "runs": runs})))
        log.with_name(f"{name}-r1-v1.log").write_text("x" * 5000 + "\nloss = 0.5 banana\n")
    end = "-r1-v1.log:\n  loss = 0.5 banana\n"
    shown = rloop("experiments", "i0002-e2").stdout
    assert "\nwhy demo-i0002-e2-r1-v1 failed (VerdictMissing):\n  ended without a verdict\n\nthe end of " in shown
    assert shown.endswith(f"demo-i0002-e2{end}")
    shown = rloop("experiments", "i0002-e3").stdout
    assert shown.endswith(f"demo-i0002-e3{end}")
    assert "why" not in shown, "its log says it"
    log.unlink()
    assert rloop("experiments", "i0002-e2").stdout.endswith("(VerdictMissing):\n  ended without a verdict\n")


def test_an_unknown_experiment_names_those_that_are_near(rloop: Rloop, layout: RunFolder) -> None:
    done = rloop("experiments", "i001-e1")
    assert done.returncode == 2
    assert "did you mean i0001-e1" in done.stderr
    assert done.stdout == ""
    assert "the last ones are b01, i0001-e1, i0001-e2, i0002-e1" in rloop("experiments", "zz").stderr


def test_directions_and_findings(rloop: Rloop, layout: RunFolder) -> None:
    directions = rloop("directions").stdout.splitlines()
    assert directions[1].split()[:6] == ["i0001-d1", "-", "2", "1", "0.2500", "i0001-e1"]
    findings = rloop("findings").stdout
    assert "averaging helps" in findings
    assert "is a verified gain over the incumbent b01 (5 runs)" in findings


def test_logs_of_the_orchestrator_are_readable(rloop: Rloop, layout: RunFolder) -> None:
    line = {
        "ts": "2026-01-02T03:04:05Z",
        "source": "rloop.decide",
        "level": "decision",
        "event": "PivotForced",
        "detail": {"message": "pivot\x1b[2J 1"},
    }
    started = {**line, "level": "info", "event": "start"}
    log = "".join(f"{one}\n" for one in (json.dumps(line), json.dumps(started), "not json"))
    (layout.logs / "orchestrator.jsonl").write_text(log)
    told = rloop("logs").stdout.splitlines()
    assert told[0].split() == ["03:04:05", "decision", "PivotForced", "pivot", "1"]
    assert told[1:] == ["not json"]
    assert rloop("logs", "--all").stdout.splitlines()[1].split()[1:4] == ["info", "decide", "start"]


def test_logs_of_workloads_by_their_own_name_or_their_owners(rloop: Rloop, layout: RunFolder) -> None:
    kept = layout.workload_log("demo-i0001-e1-r1-a1")
    kept.write_text("epoch 1\r\n\x1b[31mloss\x1b[0m 0.2")
    layout.workload_log("demo-i0001-e1-r10-a1").write_text("tenth\n")
    live = layout.workload("demo-i0001-s1-a1")
    live.mkdir()
    (live / "output.log").write_text("thinking\n")
    for name in ("demo-i0001-e1-r1-a1", "i0001-e1-r1", "i0001-e1-r1-a1"):
        assert rloop("logs", name).stdout == "epoch 1\nloss 0.2\n"
    assert rloop("logs", "i0001-s1").stdout == "thinking\n"
    both = rloop("logs", "i0001-e1").stdout
    assert both.index("==> demo-i0001-e1-r1-a1 <==") < both.index("==> demo-i0001-e1-r10-a1 <==")
    assert rloop("logs", "-f", "i0001-e1-r1").stdout == "epoch 1\nloss 0.2\n"  # nobody is there to write more
    unknown = rloop("logs", "i0001-e9")
    assert unknown.returncode == 2
    assert "did you mean i0001-e1" in unknown.stderr


def test_the_log_of_our_agent_is_readable_and_that_of_another_program_as_it_is(rloop: Rloop, layout: RunFolder) -> None:
    at = {"ts": "2026-01-02T03:04:05.1+00:00", "level": "info"}
    lines: list[object] = [
        {**at, "event": "started", "client": "codex", "model": None},
        {**at, "event": "model", "text": "I turn\n\x1b[2Jthe numbers."},
        {**at, "event": "tool", "text": 'submit_experiment {"title": "b"}'},
        {"event": "mine", "text": "no time"},
    ]
    log = "".join(f"{json.dumps(line)}\n" for line in lines) + "Not logged in\n"
    layout.workload_log("demo-i0001-s1-a1").write_text(log)
    assert rloop("logs", "i0001-s1").stdout.splitlines() == [
        "03:04:05 info     started  client=codex  model=null",
        "03:04:05 model    I turn the numbers.",
        '03:04:05 tool     submit_experiment {"title": "b"}',
        json.dumps(lines[3]),
        "Not logged in",
    ]
    layout.workload_log("demo-i0001-e1-r1-a1").write_text(log)
    assert rloop("logs", "i0001-e1-r1").stdout == log


def test_logs_follow_until_the_operator_ends(layout: RunFolder) -> None:
    path = layout.workload("demo-i0002-s1-a1") / "output.log"
    path.parent.mkdir()
    path.write_text("first\n")
    command = [sys.executable, "-m", "rloop_operator.cli", "logs", "-f", "i0002-s1", "--dir", str(layout.root)]
    with RunLock(layout.root):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        assert process.stdout.readline() == "first\n"
        with path.open("a") as file:
            file.write("second, still half a li")
        time.sleep(1)
        with path.open("a") as file:
            file.write("ne\nthird")
        path.rename(layout.workload_log("demo-i0002-s1-a1"))  # as when the workload is removed
    told, _ = process.communicate(timeout=20)
    assert told == "second, still half a line\nthird\n"


def test_without_dir_several_runs_are_listed(rloop: Rloop, layout: RunFolder, tmp_path: Path) -> None:
    write(tmp_path / "runs" / "other")
    done = rloop("status")
    assert done.returncode == 2
    assert "--dir runs/größe of a run" in done.stderr
    assert "--dir runs/other" in done.stderr


@pytest.mark.parametrize("command", ["status", "experiments", "directions", "findings", "logs"])
def test_where_there_is_no_run_the_remedy_is_told(rloop: Rloop, command: str, tmp_path: Path) -> None:
    for arguments in ([command], [command, "--dir", str(tmp_path / "nothing")]):
        done = rloop(*arguments)
        assert done.returncode == 2
        assert "start one with rloop run" in done.stderr
    assert not (tmp_path / "nothing").exists()


def test_a_reader_that_goes_away_is_no_error(layout: RunFolder) -> None:
    command = f'{sys.executable} -m rloop_operator.cli experiments --dir "{layout.root}" | true'
    done = subprocess.run(["sh", "-c", command], check=True, capture_output=True, text=True)
    assert done.stderr == ""


def test_of_several_attempts_the_newest_that_said_something_is_shown(rloop: Rloop, layout: RunFolder) -> None:
    failed = {"number": 1, "phase": "Failed", "exitCode": 1, "reason": "Error", "logTail": "out of luck\n"}
    done = {"number": 2, "phase": "Succeeded", "exitCode": 0, "reason": "Completed", "logTail": "it worked\n"}
    live = {"number": 2, "phase": "Running"}
    with closing(LocalStore(layout.root)) as store:
        for name, second in (("demo-i0002-e2", done), ("demo-i0002-e3", live)):
            runs = [run(1, "screen", None, "Running", attempts=[failed, second], claimed=None)]
            asyncio.run(store.create(experiment(name, 2, {"phase": "Running", "runs": runs})))
    for name, attempt, said in (("i0002-e2", 2, "it worked"), ("i0002-e3", 1, "out of luck")):
        shown = rloop("experiments", name, "--dir", layout.root).stdout
        assert shown.endswith(f"demo-{name}-r1-a{attempt}.log (attempt {attempt} of 2):\n  {said}\n"), shown
