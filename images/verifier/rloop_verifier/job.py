"""One scoring of one artifact, as a sequence of steps.

Called by `__main__`. No code of the candidate is executed here, and numbers are taken only from the verdict written by
the user's own sealed code.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from pathlib import Path

from rloop.api.helpers import VerifierJob, VerifierReport
from rloop_verifier import scorer
from rloop_verifier.folders import copy_folder, folder_digest, make_read_only
from rloop_verifier.report import with_verdict, without_verdict
from rloop_verifier.verdict import NoVerdict, read_verdict

TAIL_CHARACTERS = 800


def score(job: VerifierJob) -> VerifierReport:
    """Check the inputs, run the command, read its verdict."""
    try:
        with tempfile.TemporaryDirectory(prefix="rloop-verifier-", ignore_cleanup_errors=True) as scratch:
            return _score(job, Path(scratch))
    except _Changed as changed:
        return without_verdict("EvaluatorChanged", f"{changed}", infrastructure=True)
    except OSError as error:
        # A full disk or a missing volume: the evaluator was not changed, and nothing was measured.
        return without_verdict("InputsUnavailable", f"{error}", infrastructure=True)


class _Changed(Exception):
    """Files differ from what was sealed."""


def _score(job: VerifierJob, scratch: Path) -> VerifierReport:
    # The copy is checked, because the copy is what runs.
    copy_folder(Path(job.code), scratch / "code")
    _unchanged("evaluation code", scratch / "code", job.code_sha256)
    if job.held_out is not None and job.held_out_sha256 is not None:
        _unchanged("held-out data", Path(job.held_out), job.held_out_sha256)
    make_read_only(Path(job.artifacts))
    if job.incumbent_artifacts is not None:
        make_read_only(Path(job.incumbent_artifacts))
    return _run(job, scratch)


def _unchanged(what: str, folder: Path, sealed: str) -> None:
    found = folder_digest(folder)
    if found != sealed:
        raise _Changed(
            f"the {what} differs from what was sealed when the loop was accepted (sha256 {found[:12]}, sealed "
            f"{sealed[:12]}): put the sealed files back, or start a new loop"
        )


def _run(job: VerifierJob, scratch: Path) -> VerifierReport:
    verdict, home = scratch / "verdict.json", scratch / "home"
    home.mkdir()
    ours = {
        "RLOOP_ARTIFACTS": job.artifacts,
        "RLOOP_HELD_OUT": job.held_out,
        "RLOOP_INCUMBENT_ARTIFACTS": job.incumbent_artifacts,
    }
    environment = scorer.clean_environment(
        home,
        {
            **{name: str(Path(value).absolute()) for name, value in ours.items() if value is not None},
            "RLOOP_SEED": str(job.seed),
            "RLOOP_VERDICT": str(verdict),
        },
    )
    try:
        ended = scorer.run(job.command, scratch / "code", environment, job.timeout_seconds)
    except OSError as error:
        name = job.command[0] if job.command else "an empty command"
        return without_verdict("EvaluationFailed", f"{name} cannot be started: {error.strerror or error}")
    except (ValueError, IndexError) as error:
        return without_verdict("EvaluationFailed", f"the command cannot be started: {error}")
    if ended.exit_code is None:
        return without_verdict("EvaluationTimeout", f"timeout after {job.timeout_seconds} s; {_last(ended)}")
    if ended.exit_code != 0:
        how = f"{_how(ended.exit_code)}{_which(job.command[0], ended)}"
        return without_verdict("EvaluationFailed", f"{how}; {_last(ended)}")
    try:
        return with_verdict(read_verdict(verdict))
    except NoVerdict as problem:
        return without_verdict(problem.reason, f"{problem}")


def _how(exit_code: int) -> str:
    if exit_code > 0:
        return f"the command ended with exit code {exit_code}"
    try:
        name = signal.Signals(-exit_code).name
    except ValueError:
        name = str(-exit_code)
    return f"the command was killed by signal {name}"


def _which(program: str, ended: scorer.Ended) -> str:
    """Path of the program, if a module is missing: "python3" may not be the expected one."""
    place = shutil.which(program)
    return f' ("{program}" is {place})' if place and "ModuleNotFoundError" in ended.tail else ""


def _last(ended: scorer.Ended) -> str:
    text = ended.tail.strip()
    if not text:
        return "it printed nothing"
    if len(text) > TAIL_CHARACTERS:
        # Complete lines, if there are any.
        _, _, lines = text[-TAIL_CHARACTERS:].partition("\n")
        text = lines or text[-TAIL_CHARACTERS:]
    return f"its last lines:\n{text}"
