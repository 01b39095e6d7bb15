"""`python -m rloop_verifier`: the process that scores one artifact once.

Started by the operator in a verifier's pod, and by the local shell; RLOOP_VERIFIER_JOB contains the job. It needs no
network and no token. Exit codes: 0 a report was written, whatever its content; 1 it could not be written, or the
process was asked to end; 2 the job is invalid.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from types import FrameType

from pydantic import ValidationError

from rloop.api.helpers import VerifierJob
from rloop_verifier.job import score
from rloop_verifier.report import write


def main() -> int:
    """Score and report; returns the exit code."""
    try:
        job = VerifierJob.model_validate_json(os.environ.get("RLOOP_VERIFIER_JOB", ""))
    except ValidationError as error:
        print(f"RLOOP_VERIFIER_JOB: {error}", file=sys.stderr)
        return 2
    # The scorer is in its own process group: without this handler it would outlive this process.
    signal.signal(signal.SIGTERM, _end)
    report = score(job)
    try:
        write(report, Path(job.report))
    except OSError as error:
        print(f"the report cannot be written to {job.report}: {error}", file=sys.stderr)
        return 1
    return 0


def _end(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
