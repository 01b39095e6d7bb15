"""The verifier as it is started: one process per row, and the report it leaves."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from rloop.api.helpers import VERDICT_BYTES, VerifierReport
from rloop_verifier.folders import folder_digest

GOOD = "write({'metrics': {'loss': 0.5}, 'checks': [{'name': 'shape', 'passed': True, 'detail': ''}]})"
PRELUDE = """
import json, os, pathlib, signal, subprocess, sys, time
def write(document):
    text = document if isinstance(document, str) else json.dumps(document)
    pathlib.Path(os.environ["RLOOP_VERDICT"]).write_text(text)
"""


class Bench:
    """Folders for a verifier, and a way to start it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.code, self.artifacts, self.held_out = root / "code", root / "artifacts", root / "held-out"
        for folder in (self.code, self.artifacts, self.held_out):
            folder.mkdir()
        (self.artifacts / "policy.json").write_text("{}")
        (self.held_out / "labels").write_text("1\n")
        self.report = root / "report.json"

    def job(self, script: str, **changes: Any) -> dict[str, Any]:
        (self.code / "score.py").write_text(PRELUDE + script)
        return {
            "command": [sys.executable, "score.py"],
            "code": str(self.code),
            "codeSha256": folder_digest(self.code),
            "artifacts": str(self.artifacts),
            "heldOut": str(self.held_out),
            "heldOutSha256": folder_digest(self.held_out),
            "seed": 41,
            "timeoutSeconds": 60,
            "report": str(self.report),
        } | changes

    def start(self, job: dict[str, Any]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "rloop_verifier"],
            env=os.environ | {"RLOOP_VERIFIER_JOB": json.dumps(job), "RLOOP_TOKEN": "secret"},
            check=False,
            capture_output=True,
            text=True,
        )

    def score(self, script: str, **changes: Any) -> VerifierReport:
        process = self.start(self.job(script, **changes))
        assert (process.returncode, process.stderr) == (0, "")
        return self.read()

    def read(self) -> VerifierReport:
        content = self.report.read_bytes()
        assert len(content) <= VERDICT_BYTES
        return VerifierReport.model_validate_json(content)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_a_verdict_is_reported(bench: Bench) -> None:
    report = bench.score(GOOD)
    assert report.verdict is not None
    assert report.verdict.metrics == {"loss": 0.5}
    assert [check.passed for check in report.verdict.checks] == [True]
    assert (report.reason, report.message, report.infrastructure) == (None, "", False)
    assert [path.name for path in bench.root.iterdir() if path.name.startswith(".")] == []


MALFORMED = "VerdictMalformed"
FAILED = "EvaluationFailed"


@pytest.mark.parametrize(
    ("script", "reason", "message"),
    [
        ("", "VerdictMissing", "without writing $RLOOP_VERDICT"),
        ("print('loss: 0.0')", "VerdictMissing", "without writing $RLOOP_VERDICT"),
        ("write('')", MALFORMED, "the verdict is empty; write {"),
        ("write('{')", MALFORMED, "the verdict is not JSON"),
        ("write('[' * 4000)", MALFORMED, "the verdict is not JSON"),
        ("write({'metrics': {'loss': float('nan')}})", MALFORMED, "NaN is not a JSON number"),
        ("write({'metrics': {'loss': float('-inf')}})", MALFORMED, "-Infinity is not a JSON number"),
        (
            'write(\'{"metrics": {"loss": 1e999}}\')',
            MALFORMED,
            "metrics.loss: must be a finite number, not Infinity",
        ),
        ("write('{\"metrics\": {\"loss\": 1%s}}' % ('0' * 400))", MALFORMED, "metrics.loss: "),
        ("write({'metrics': {'loss': '0.5'}})", MALFORMED, 'not "0.5": write it without quotes'),
        ("write({'metrics': {'loss': True}})", MALFORMED, "metrics.loss: must be a finite number, not true"),
        ("write({'loss': 0.5})", MALFORMED, "loss: unknown field; the fields here are metrics, checks; write {"),
        ("write({})", MALFORMED, "metrics: is empty, but no check failed"),
        ("write([1])", MALFORMED, "the verdict must be a mapping, not [1]"),
        ("write(0.5)", MALFORMED, 'must be a mapping, not 0.5; write {"metrics": {"<metric>": 0.5}}'),
        (
            "write({'metrics': {'loss': 1}, 'checks': [{'name': 'a'}]})",
            MALFORMED,
            "checks[0].passed: is missing",
        ),
        ("write({'metrics': {'loss': 1}, 'x': 'y' * 5000})", MALFORMED, "larger than 4096 bytes"),
        (
            "pathlib.Path(os.environ['RLOOP_VERDICT']).write_bytes(b'\\xff{}')",
            MALFORMED,
            "not UTF-8 text",
        ),
        ("os.mkfifo(os.environ['RLOOP_VERDICT'])", MALFORMED, "not a regular file"),
        ("os.mkdir(os.environ['RLOOP_VERDICT'])", MALFORMED, "not a regular file"),
        (
            "os.symlink(os.environ['RLOOP_HELD_OUT'] + '/labels', os.environ['RLOOP_VERDICT'])",
            MALFORMED,
            "the verdict cannot be read",
        ),
        ("import nothing_of_that_name", FAILED, f'exit code 1 ("{sys.executable}" is {sys.executable}); its last'),
        (f"{GOOD}; sys.exit(3)", FAILED, "the command ended with exit code 3; it printed nothing"),
        ("raise ValueError('policy.json has 11 rows')", FAILED, "policy.json has 11 rows"),
        ("print('a' * 99 + '\\n' * 9 + 'b' * 5000); sys.exit(1)", FAILED, "b" * 700),
        ("print('\\x1b[31m\\0' * 900 + '😀' * 900); sys.exit(1)", FAILED, "😀" * 700),
        ("os.kill(os.getpid(), signal.SIGKILL)", FAILED, "the command was killed by signal SIGKILL"),
    ],
)
def test_each_way_to_leave_no_verdict_has_a_reason(bench: Bench, script: str, reason: str, message: str) -> None:
    report = bench.score(script)
    assert report.verdict is None
    assert report.reason == reason
    assert message in report.message
    assert not report.infrastructure


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["no-such-program"], "no-such-program cannot be started: No such file"),
        (["./score.py"], "cannot be started: Permission denied"),
        ([], "cannot be started"),
        (["a\0b"], "cannot be started"),
    ],
)
def test_a_command_that_cannot_be_started_is_named(bench: Bench, command: list[str], message: str) -> None:
    report = bench.score(GOOD, command=command)
    assert report.reason == FAILED
    assert message in report.message


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda bench: (bench.code / "score.py").write_text("print(0)"), "evaluation code"),
        (lambda bench: (bench.code / "json.py").write_text(""), "evaluation code"),
        (lambda bench: (bench.code / "score.py").rename(bench.code / "other.py"), "evaluation code"),
        (lambda bench: (bench.held_out / "labels").write_text("2\n"), "held-out data"),
        (lambda bench: (bench.held_out / "a\nb").write_text(""), "held-out data"),
    ],
)
def test_a_changed_evaluator_is_not_run(bench: Bench, change: Callable[[Bench], object], what: str) -> None:
    job = bench.job(GOOD)
    change(bench)
    assert bench.start(job).returncode == 0
    report = bench.read()
    assert (report.verdict, report.reason, report.infrastructure) == (None, "EvaluatorChanged", True)
    assert f"the {what}" in report.message


@pytest.mark.parametrize("missing", ["code", "artifacts", "heldOut", "incumbentArtifacts"])
def test_a_folder_that_is_not_there_is_nobodys_fault(bench: Bench, missing: str) -> None:
    report = bench.score(GOOD, **{missing: str(bench.root / "gone")})
    assert (report.verdict, report.reason, report.infrastructure) == (None, "InputsUnavailable", True)
    assert "gone" in report.message


def test_held_out_data_without_a_digest_is_taken_as_it_is(bench: Bench) -> None:
    job = bench.job(GOOD)
    del job["heldOutSha256"]
    (bench.held_out / "labels").write_text("2\n")
    bench.start(job)
    assert bench.read().verdict is not None


def test_the_command_gets_the_contracts_environment_and_nothing_else(bench: Bench) -> None:
    (bench.root / "incumbent").mkdir()
    process = bench.start(
        bench.job(
            "print(json.dumps(dict(os.environ) | {'cwd': os.getcwd(), 'home': os.listdir(os.environ['HOME'])}))",
            incumbentArtifacts=str(bench.root / "incumbent"),
        )
    )
    seen = json.loads(process.stdout)
    assert seen["RLOOP_ARTIFACTS"] == str(bench.artifacts)
    assert seen["RLOOP_HELD_OUT"] == str(bench.held_out)
    assert seen["RLOOP_INCUMBENT_ARTIFACTS"] == str(bench.root / "incumbent")
    assert seen["RLOOP_SEED"] == "41"
    assert seen["HOME"] == seen["TMPDIR"]
    assert seen["home"] == []
    assert seen["OMP_NUM_THREADS"] == "1"
    assert not Path(seen["cwd"]).is_relative_to(bench.root)
    assert {name for name in seen if name.startswith("RLOOP_")} == {
        "RLOOP_ARTIFACTS",
        "RLOOP_HELD_OUT",
        "RLOOP_INCUMBENT_ARTIFACTS",
        "RLOOP_SEED",
        "RLOOP_VERDICT",
    }
    assert not Path(seen["HOME"]).exists()


def test_the_sealed_code_is_run_in_a_copy(bench: Bench) -> None:
    job = bench.job(f"pathlib.Path('score.py').write_text('changed'); pathlib.Path('new').write_text(''); {GOOD}")
    bench.start(job)
    assert folder_digest(bench.code) == job["codeSha256"]
    assert bench.read().verdict is not None
    assert [path.name for path in bench.code.iterdir()] == ["score.py"]


def test_artifacts_are_read_only_and_can_still_be_deleted(bench: Bench) -> None:
    bench.score(GOOD)
    artifact = bench.artifacts / "policy.json"
    assert artifact.stat().st_mode & 0o222 == 0
    artifact.unlink()


def test_a_mounted_configmap_is_read_through_its_own_link(bench: Bench) -> None:
    job = bench.job(GOOD)
    version = bench.code / "..2026_01_01"
    version.mkdir()
    (bench.code / "score.py").rename(version / "score.py")
    (bench.code / "..data").symlink_to(version.name)
    (bench.code / "score.py").symlink_to("..data/score.py")
    bench.start(job)
    assert bench.read().verdict is not None


def alive(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def gone(pid: int) -> bool:
    """SIGKILL was sent; the kernel may need a moment."""
    for _ in range(3000):
        if not alive(pid):
            return True
        time.sleep(0.01)
    return False


CHILD = (
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(1000)'])\n"
    "pathlib.Path({!r}).write_text(str(child.pid))\n"
)


def test_a_timeout_ends_the_whole_group(bench: Bench) -> None:
    report = bench.score(
        f"{CHILD.format(str(bench.root / 'pid'))}{GOOD}\nprint('working', flush=True)\ntime.sleep(1000)",
        timeoutSeconds=3,
    )
    assert (report.verdict, report.reason, report.infrastructure) == (None, "EvaluationTimeout", False)
    assert "timeout after 3 s" in report.message
    assert "working" in report.message
    assert gone(int((bench.root / "pid").read_text()))


def test_what_the_command_leaves_running_ends_with_it(bench: Bench) -> None:
    report = bench.score(f"{CHILD.format(str(bench.root / 'pid'))}{GOOD}")
    assert report.verdict is not None
    assert gone(int((bench.root / "pid").read_text()))


def test_a_verifier_that_is_told_to_end_takes_the_command_with_it(bench: Bench) -> None:
    job = bench.job(f"pathlib.Path({str(bench.root / 'pid')!r}).write_text(str(os.getpid())); time.sleep(1000)")
    verifier = subprocess.Popen(
        [sys.executable, "-m", "rloop_verifier"], env=os.environ | {"RLOOP_VERIFIER_JOB": json.dumps(job)}
    )
    pid = bench.root / "pid"
    while not (pid.exists() and pid.read_text()):
        time.sleep(0.01)
    verifier.send_signal(signal.SIGTERM)
    assert verifier.wait() == 1
    assert gone(int(pid.read_text()))
    assert not bench.report.exists()


def test_the_output_is_echoed_up_to_a_bound(bench: Bench) -> None:
    process = bench.start(bench.job(f"print('first'); print('x' * 3_000_000); print('last'); {GOOD}"))
    assert process.stdout.startswith("first\n")
    assert "the rest of the scorer's output is not shown" in process.stdout
    assert len(process.stdout) < 70_000
    assert bench.read().verdict is not None


def test_a_full_verdict_loses_details_rather_than_itself(bench: Bench) -> None:
    # 4096 bytes as the scorer writes them, more in a report.
    checks = "[{'name': str(i), 'passed': True, 'detail': 'd' * 75} for i in range(32)]"
    script = (
        f"document = {{'metrics': {{'loss': 1e5}}, 'checks': {checks}}}\n"
        "text = json.dumps(document, separators=(',', ':'))\n"
        "assert len(text) < 4096\n"
        "write(text[:-1] + ' ' * (4096 - len(text)) + '}')"
    )
    report = bench.score(script)
    assert report.verdict is not None
    assert len(report.verdict.checks) == 32


def test_a_report_can_be_written_over_a_mounted_file(bench: Bench) -> None:
    # A termination log cannot be renamed onto; a folder that takes no new files behaves the same.
    bench.root.joinpath("log").mkdir()
    log = bench.root / "log" / "termination-log"
    log.write_text("")
    code = (
        "import sys, rloop_verifier.report as r\n"
        "from pathlib import Path\n"
        "def refuse(*_): raise OSError(16, 'Device or resource busy')\n"
        "r.Path.replace = refuse\n"
        "r.write(r.without_verdict('VerdictMissing', 'nothing'), Path(sys.argv[1]))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(log)], check=True)
    assert VerifierReport.model_validate_json(log.read_bytes()).reason == "VerdictMissing"
    assert [path.name for path in log.parent.iterdir()] == ["termination-log"]


@pytest.mark.parametrize(
    ("job", "exit_code", "text"),
    [
        ("", 2, "RLOOP_VERIFIER_JOB"),
        ('{"command": []}', 2, "codeSha256"),
    ],
)
def test_a_job_that_cannot_be_read_is_said(job: str, exit_code: int, text: str) -> None:
    process = subprocess.run(
        [sys.executable, "-m", "rloop_verifier"],
        env=os.environ | {"RLOOP_VERIFIER_JOB": job},
        check=False,
        capture_output=True,
        text=True,
    )
    assert process.returncode == exit_code
    assert text in process.stderr


def test_a_report_that_cannot_be_written_is_a_failure(bench: Bench) -> None:
    process = bench.start(bench.job(GOOD, report=str(bench.root / "gone" / "report.json")))
    assert process.returncode == 1
    assert "cannot be written" in process.stderr
