# ruff: noqa: PTH118, PTH123 - pathlib would double the start of the shim
"""Collect the results of an ended workload: termination message, claims, curves and artifacts. None of it is trusted.

Called by `supervisor`. Each read is limited in size, follows no link and accepts regular files only.
"""

from __future__ import annotations

import json
import os
import stat
from typing import Any, NamedTuple

from rloop_operator.local.workloads.output import Output
from rloop_operator.tree import TreeProblem, digest_tree

MESSAGE_BYTES = 4096
"""Limit at which Kubernetes truncates a termination message."""
CLAIMS_BYTES = 65536
PROGRESS_BYTES = 16 * 2**20
"""Bytes read from the beginning of progress.jsonl. Curves ignore everything after it."""
MAX_CLAIMS = 32
MAX_NAME = 63
NAMED = 3
"""Maximum number of ignored claims that a note names."""


class Leavings(NamedTuple):
    """Collected results of a workload."""

    message: str
    claims: dict[str, float]
    curves: dict[str, list[tuple[int, float]]]
    artifact_sha256: str | None
    problem: str | None
    """Reason why the artifacts cannot be used; None if they can."""


def collect(spec: dict[str, Any], output: Output, *, succeeded: bool) -> Leavings:
    """Read the results that the spec names."""
    message_file, artifacts = spec.get("message_file"), spec.get("artifacts")
    message = read_bounded(message_file, MESSAGE_BYTES) if message_file else None
    text = message.decode(errors="replace") if message is not None else ""
    if artifacts is None:
        return Leavings(text, {}, {}, None, None)
    claims = _claims(os.path.join(artifacts, "claims.json"), output)
    curves = _curves(os.path.join(artifacts, "progress.jsonl"), output)
    if not succeeded:
        _name_the_python(spec, output)
        # The artifacts of a failed run are not scored, so they need no digest.
        return Leavings(text, claims, curves, None, None)
    try:
        return Leavings(text, claims, curves, digest_tree(artifacts, spec["max_artifact_bytes"]), None)
    except TreeProblem as problem:
        output.note(str(problem))
        return Leavings(text, claims, curves, None, problem.reason)
    except OSError as error:
        output.note(f"the artifacts could not be read: {error}")
        return Leavings(text, claims, curves, None, "ArtifactUnreadable")


def _name_the_python(spec: dict[str, Any], output: Output) -> None:
    """Add a note that names the Python which lacks a module: "python3" may be another one than the user expects."""
    tail = output.tail()
    if "ModuleNotFoundError" not in tail:
        return
    from rloop.decide.queries.certain_failure import missing_module  # needed only after such a failure
    from rloop_operator.user_files import interpreter

    program, module = spec["command"][0], missing_module(tail)
    python = interpreter.found(program, spec["env"]["PATH"])
    if module is not None and python is not None and interpreter.is_python(program):
        output.note(f'"{program}" is {python}, which has no module "{module}"; {interpreter.remedy(module)}')


def read_bounded(path: str, limit: int) -> bytes | None:
    """The first `limit` bytes of a regular file; None if it is missing or unreadable."""
    try:
        # O_NONBLOCK: the open of a pipe must not wait for its other end.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    with open(descriptor, "rb", buffering=0) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        try:
            return file.read(limit)
        except OSError:
            return None


def _curves(path: str, output: Output) -> dict[str, list[tuple[int, float]]]:
    content = read_bounded(path, PROGRESS_BYTES)
    if content is None:
        return {}
    from rloop.api.curves import Curves  # imported late: only needed at the end of a run

    curves = Curves()
    curves.feed(content)
    for name, step in curves.unusable.items():
        output.note(f"progress.jsonl: {name} is NaN, infinite or beyond ±1e150 from step {step} on, at least once")
    return curves.points()


def _claims(path: str, output: Output) -> dict[str, float]:
    content = read_bounded(path, CLAIMS_BYTES + 1)
    if content is None:
        return {}
    try:
        document = json.loads(content) if len(content) <= CLAIMS_BYTES else None
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict):
        output.note('claims.json is ignored: it must be {"metric": number} in at most 64 KiB')
        return {}
    claims = {name: float(value) for name, value in list(document.items())[:MAX_CLAIMS] if _is_claim(name, value)}
    if ignored := [
        f"{name[:MAX_NAME]}: {json.dumps(value):.40}" for name, value in document.items() if name not in claims
    ]:
        told = ", ".join(ignored[:NAMED]) + (f" and {len(ignored) - NAMED} more" if len(ignored) > NAMED else "")
        output.note(
            f"claims.json: ignored {told}; a claim is a finite number within ±1e150, and {MAX_CLAIMS} are taken at most"
        )
    return claims


def _is_claim(name: str, value: object) -> bool:
    from rloop.api.curves import is_usable  # imported late: only needed at the end of a run

    return 0 < len(name) <= MAX_NAME and is_usable(value)
