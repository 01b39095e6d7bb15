"""What a person is told to do: commands that can be pasted, and waits that only a person ends."""

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from tests.operator.cli.conftest import STATUS, Rloop, condition, write

BIN = Path(sys.executable).parent
Example = Callable[..., Path]


@pytest.mark.parametrize(
    ("command", "path", "told"),
    [
        ([str(BIN / "rloop")], "/usr/bin:/bin", f"{BIN}/rloop "),
        ([str(BIN / "rloop")], f"{BIN}:/usr/bin:/bin", "rloop "),
        ([".venv/bin/rloop"], "/usr/bin:/bin", ".venv/bin/rloop "),
        ([sys.executable, "-m", "rloop_operator.cli"], f"{BIN}:/usr/bin", f"{sys.executable} -m rloop_operator.cli "),
    ],
    ids=["by its path", "by its name", "by a path below this folder", "as a module"],
)
def test_the_suggested_commands_name_the_program_as_it_was_started(
    example: Example, tmp_path: Path, command: list[str], path: str, told: str
) -> None:
    (tmp_path / ".venv").symlink_to(BIN.parent)
    changes = {"evaluation__baselineRuns": 3, "parallelism": 4, "budget__runs": 3}
    write(tmp_path / "runs/demo", STATUS | {"conditions": [condition("Complete", "TargetMet")]}, **changes)
    env = {**os.environ, "PATH": path, "LANG": "C.UTF-8"}
    done = subprocess.run(
        [*command, "run", str(example())],
        cwd=tmp_path,
        env=env,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    suggested = done.stdout[done.stdout.index("next:\n") :].splitlines()[1:]
    starts = {line.index(told) for line in suggested}
    assert len(starts) == 1, "the commands are aligned"
    assert suggested[-1].endswith(f"{told}verify --dir runs/demo")


WHY = "demo-i0002-s1: the key of the provider is not valid"


def test_where_a_person_must_act_that_is_told_once(rloop: Rloop, tmp_path: Path) -> None:
    same = [("Degraded", "True"), ("Progressing", "False"), ("Ready", "False"), ("Stalled", "True")]
    conditions = [condition(type_, "ProviderRejectsKey", WHY, status) for type_, status in same]
    write(tmp_path / "runs/demo", STATUS | {"conditions": conditions})
    told = rloop("status").stdout
    assert "a person must act: i0002-s1: the key of the provider is not valid\n" in told
    assert told.count("the key of the provider is not valid") == 1


def test_several_void_iterations_do_not_repeat_what_the_newest_session_said(rloop: Rloop, tmp_path: Path) -> None:
    void = "the last 3 iterations produced no result"
    conditions = [
        condition("NeedsAttention", "ProviderRejectsKey", f"{void}; the newest: {WHY}"),
        condition("Degraded", "ProviderRejectsKey", WHY),
    ]
    write(tmp_path / "runs/demo", STATUS | {"conditions": conditions})
    told = rloop("status").stdout
    assert f"attention    {void}\n" in told
    assert told.count("the key of the provider is not valid") == 1


def test_without_an_operator_no_session_is_announced(rloop: Rloop, tmp_path: Path) -> None:
    opens = "the next session opens at 2026-01-02 03:05:05 UTC, or at once after an edit or a restart of the campaign"
    write(
        tmp_path / "runs/demo", STATUS | {"conditions": [condition("Progressing", "WaitingForLLM", f"{WHY}; {opens}")]}
    )
    told = rloop("status").stdout
    assert "waiting      i0002-s1: the key of the provider is not valid\n" in told
    assert "operator     none since" in told
    assert "opens" not in told


def test_what_ends_by_itself_needs_no_person(rloop: Rloop, tmp_path: Path) -> None:
    write(tmp_path / "runs/demo", STATUS | {"conditions": [condition("Progressing", "WaitingForLLM", WHY)]})
    told = rloop("status").stdout
    assert "a person must act" not in told
    assert "waiting      i0002-s1: the key" in told


@pytest.mark.parametrize(
    ("count", "one_frame", "told"),
    [(1, False, "stale 1 of 2  pivots"), (3, False, "stale 3  pivots"), (1, True, "stale 1  pivots")],
)
def test_a_limit_that_forces_nothing_is_not_told(
    rloop: Rloop, tmp_path: Path, count: int, one_frame: bool, told: str
) -> None:
    sealed = {"task": "0" * 64, "evaluation": "0" * 64, "oneFrame": one_frame}
    write(tmp_path / "runs/demo", STATUS | {"staleCount": count, "sealed": sealed}, stall__pivotAfter=2)
    assert told in rloop("status").stdout


def test_a_decision_in_the_log_is_a_sentence_with_short_names(rloop: Rloop, tmp_path: Path) -> None:
    layout = write(tmp_path / "runs/demo")
    details = [
        {"type": "Normal", "object": "demo-i0001-e1", "message": "demo-i0001-e1: BelowScreen, gain -1 over demo-b01"},
        {"type": "Warning", "object": "demo-i0002", "message": "the session failed"},
        {"type": "Normal", "object": "demo", "message": "the spec is valid"},
    ]
    line = {"ts": "2026-01-02T03:04:05Z", "source": "rloop.decide", "level": "decision", "event": "Told"}
    written = "".join(json.dumps({**line, "detail": detail}) + "\n" for detail in details)
    (layout.logs / "orchestrator.jsonl").write_text(written)
    assert [one.split(maxsplit=3)[1:] for one in rloop("logs").stdout.splitlines()] == [
        ["decision", "Told", "i0001-e1: BelowScreen, gain -1 over b01"],
        ["warning", "Told", "i0002: the session failed"],
        ["decision", "Told", "the spec is valid"],
    ]


def test_a_report_without_statements_names_the_findings_that_there_are(rloop: Rloop, tmp_path: Path) -> None:
    layout = write(tmp_path / "runs/demo")
    with closing(sqlite3.connect(layout.database)) as database, database:
        database.execute("DELETE FROM objects WHERE kind = 'ResearchIteration'")
    assert "## Findings\n\nNo statement of an agent. The findings are the keeps below.\n" in rloop("report").stdout
    assert "  keep  " in rloop("findings").stdout
