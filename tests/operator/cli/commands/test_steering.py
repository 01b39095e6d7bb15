"""suspend, resume and pivot on a run folder, without an operator and beside a running one."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.operator.cli.conftest import SPACE, STATUS, condition, write

from rloop import names
from rloop_operator.local.storage.layout import RunFolder

Rloop = Callable[..., subprocess.CompletedProcess[str]]
Example = Callable[..., Path]
SLOW = 'sleep 1; echo "$RLOOP_SEED" >"$RLOOP_ARTIFACTS/loss"'


def stored(rloop: Rloop) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(rloop("status", "demo", "-o", "json").stdout)
    return found


def test_without_an_operator_it_is_written_at_once(rloop: Rloop, layout: RunFolder) -> None:
    done = rloop("suspend", "demo")
    assert done.returncode == 0, done.stderr
    assert "demo: suspended. No session and no run starts until rloop resume; nothing is running.\n" in done.stdout
    assert "takes effect at the next rloop run, which then starts nothing and ends with exit code 3" in done.stdout
    assert stored(rloop)["spec"]["suspend"] is True
    again = rloop("suspend", "demo").stdout
    assert again.startswith("demo is suspended already\nNothing happens yet; operator: none since 2026-01-02")
    told = rloop("status", "demo").stdout
    assert "state        Iterating, suspended\n" in told
    assert "suspended    nothing new starts until rloop resume\n" in told
    done = rloop("resume")
    assert done.stdout.startswith("demo: resumed.\n")
    assert "takes effect at the next rloop run.\n" in done.stdout
    assert stored(rloop)["spec"]["suspend"] is False
    assert rloop("resume", "demo").stdout == "demo is not suspended\n"


def test_status_follows_the_request_and_not_what_an_operator_saw_last(rloop: Rloop, tmp_path: Path) -> None:
    conditions = [*STATUS["conditions"], condition("Suspended", "SuspendedByUser")]
    write(tmp_path / "runs/demo", STATUS | {"conditions": conditions}, suspend=True)
    told = rloop("status").stdout
    assert "state        Iterating, suspended\n" in told
    assert "suspended    nothing new starts until suspend: false in the manifest\n" in told
    rloop("resume")
    told = rloop("status").stdout
    assert "state        Iterating\n" in told
    assert "suspended" not in told
    assert "Nothing happens yet; operator: none since" in rloop("resume").stdout


def test_a_pivot_is_asked_for_with_a_new_text_each_time(rloop: Rloop, layout: RunFolder) -> None:
    texts = []
    for _ in range(2):
        told = rloop("pivot").stdout
        assert "demo: pivot 2 is requested as soon as an operator reconciles it. Open" in told
        assert "takes effect at the next rloop run.\n" in told
        assert "pivot        requested by rloop pivot, not applied yet\n" in rloop("status").stdout
        texts.append(stored(rloop)["metadata"]["annotations"][names.ANNOTATION_PIVOT])
    assert texts[0] < texts[1]


@pytest.mark.parametrize("verb", ["suspend", "resume", "pivot"])
def test_a_finished_campaign_is_left_as_it_is(rloop: Rloop, tmp_path: Path, verb: str) -> None:
    write(tmp_path / "runs/demo", STATUS | {"conditions": [condition("Complete", "TargetMet", "loss 1")]})
    before = stored(rloop)
    done = rloop(verb, "demo")
    assert done.returncode == 2
    assert "demo has ended (Complete: TargetMet) and cannot be continued; nothing was done" in done.stderr
    assert stored(rloop) == before


def test_a_running_campaign_takes_it_and_goes_on_when_it_is_resumed(
    rloop: Rloop, example: Example, tmp_path: Path
) -> None:
    file = example(SLOW, budget__runs=4, evaluation__baselineRuns=4, parallelism=1)
    shape = {
        "name": "shape",
        "key": "shape",
        "values": ["a", "b"],
        "default": "a",
        "structural": True,
        "field": "method",
    }
    task = file.parent / "task"
    (task / "space.yaml").write_text(yaml.safe_dump(SPACE | {"dimensions": [*SPACE["dimensions"], shape]}))
    (task / "recipe.json").write_text('{"rate": 1.0, "shape": "a"}\n')
    command = [sys.executable, "-m", "rloop_operator.cli", "run", str(file)]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 30
    while not list((tmp_path / "runs").glob("demo/workloads/*/shim.json")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    pivot, suspend = rloop("pivot", "demo"), rloop("suspend", "demo")
    assert "pivot 1 is requested once the baseline is measured" in pivot.stdout
    assert f"rloop run (process {process.pid}) has applied it" in pivot.stdout
    assert f"rloop run (process {process.pid}) ends with exit code 3" in suspend.stdout
    told, _ = process.communicate(timeout=60)
    assert process.returncode == 3, told
    assert "  suspended   nothing new starts until rloop resume\n" in told
    assert " -m rloop_operator.cli resume --dir runs/demo" in told
    assert "  continue  " not in told

    again = rloop("run", file)  # its manifest does not say suspend: true, and that alone resumes nothing
    assert again.returncode == 3
    assert "Suspended: nothing new starts until rloop resume; the same" in again.stdout
    rloop("resume", "demo")
    last = rloop("run", file)
    assert "Ended without the target (BudgetExhausted)" in last.stdout
    assert "pivot 1: requested by the user" in rloop("logs", "demo").stdout


def test_a_manifest_that_says_suspend_is_told(rloop: Rloop, example: Example) -> None:
    rloop("run", example(suspend=True))
    assert "The manifest has suspend: true: remove that" in rloop("resume", "demo").stdout


def test_while_the_report_is_written_nothing_can_be_turned(rloop: Rloop, tmp_path: Path) -> None:
    ending = {"reason": "TargetMet", "message": "loss 0.2 over 5 fresh runs"}
    write(tmp_path / "runs/demo", STATUS | {"phase": "Reporting", "ending": ending})
    told = rloop("status").stdout
    assert "state        Reporting" in told
    assert "outcome      loss 0.2 over 5 fresh runs" in told
    refused = rloop("pivot")
    assert refused.returncode == 2
    assert "only the report is still being written; nothing was done" in refused.stderr


def test_where_the_space_has_one_frame_no_pivot_is_demanded(rloop: Rloop, tmp_path: Path) -> None:
    sealed = {"task": "a" * 64, "evaluation": "b" * 64, "oneFrame": True}
    write(tmp_path / "runs/demo", STATUS | {"sealed": sealed})
    refused = rloop("pivot")
    assert refused.returncode == 2
    assert "there is no other frame to pivot to; nothing was done" in refused.stderr
