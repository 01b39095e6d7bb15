"""Writes the report: no longer than a termination message, and atomically where possible.

Called by `rloop_verifier.__main__`. The report is the only output of the verifier's pod, and Kubernetes truncates
messages longer than 4096 bytes, which would make the whole report unreadable.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from rloop.api.helpers import VERDICT_BYTES, Verdict, VerifierReport

MESSAGE_CHARACTERS = 1024


def with_verdict(verdict: Verdict) -> VerifierReport:
    """The report of a verdict. If it is too long for a report, the details of its checks are removed."""
    report = VerifierReport(verdict=verdict)
    if len(encoded(report)) <= VERDICT_BYTES:
        return report
    checks = [check.model_copy(update={"detail": ""}) for check in verdict.checks]
    report = VerifierReport(verdict=verdict.model_copy(update={"checks": checks}))
    if len(encoded(report)) <= VERDICT_BYTES:
        return report
    return without_verdict("VerdictMalformed", f"the verdict is larger than {VERDICT_BYTES} bytes")


def without_verdict(reason: str, message: str, *, infrastructure: bool = False) -> VerifierReport:
    """The report of a failure; the message is truncated to fit."""
    readable = "".join(c if c.isprintable() or c == "\n" else "?" for c in message)[:MESSAGE_CHARACTERS]
    while True:
        report = VerifierReport(reason=reason, message=readable, infrastructure=infrastructure)
        # 1024 characters may be more bytes than fit.
        if len(encoded(report)) <= VERDICT_BYTES:
            return report
        readable = readable[: len(readable) * 3 // 4]


def encoded(report: VerifierReport) -> bytes:
    """The report as it is written."""
    return report.model_dump_json(by_alias=True, exclude_defaults=True).encode()


def write(report: VerifierReport, path: Path) -> None:
    """Write the report atomically. Raises OSError if it cannot be written."""
    content = encoded(report)
    try:
        _replace(path, content)
    except OSError:
        # A pod's termination log is a mount of its own, onto which nothing can be renamed. The file is so short that a
        # plain write is practically atomic too.
        path.write_bytes(content)


def _replace(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(prefix=".report-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
            os.fchmod(descriptor, 0o644)
        Path(name).replace(path)
    except OSError:
        with suppress(OSError):
            Path(name).unlink()
        raise
