"""The init container: prepares the files of a pod, and checks that they are the sealed ones.

Started in each pod of an experiment or a verifier; RLOOP_UNPACK (`rloop.api.helpers.UnpackJob`) contains the job. If it
fails, the user's container never starts, and the pod's termination message is its error. It is idempotent, because the
kubelet may start it twice.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from rloop.api.helpers import ALREADY_RAN, ARTIFACT_MISSING, VERDICT_BYTES, UnpackCopy, UnpackJob, UnpackReport
from rloop_sidecar.archive import unpack
from rloop_sidecar.copying import copy_tree, remove_content
from rloop_sidecar.environment import BadEnvironment, text
from rloop_sidecar.problems import Refused

TERMINATION_LOG = "/dev/termination-log"


def main(environment: Mapping[str, str]) -> int:
    """Do the job in RLOOP_UNPACK; returns the exit code."""
    log = Path(environment.get("RLOOP_TERMINATION_LOG") or TERMINATION_LOG)
    try:
        report = lay_out(_job(environment), Pod(environment.get("RLOOP_POD", ""), environment.get("RLOOP_WORKER", "0")))
    except BadEnvironment as error:
        return _failed(log, 2, f"BadEnvironment: {error}")
    except Refused as error:
        return _failed(log, 3, f"{error.reason}: {error}")
    except OSError as error:
        return _failed(log, 1, f"InputsUnavailable: {error}")
    _write(log, report.model_dump_json(exclude_none=True))
    return 0


@dataclass(frozen=True, slots=True)
class Pod:
    """Identity of this pod."""

    uid: str = ""
    worker: str = "0"
    """Its index among the workers of a PyTorchJob."""


def lay_out(job: UnpackJob, pod: Pod) -> UnpackReport:
    """Check that no other pod has begun, empty and make folders, unpack, copy. Raises Refused, OSError."""
    if job.once is not None:
        _pass_once(Path(f"{job.once}-w{pod.worker}"), pod.uid)
    for folder in job.empty if pod.worker == "0" else []:
        remove_content(Path(folder))
    for folder in job.make:
        Path(folder).mkdir(parents=True, exist_ok=True)
    for archive in job.archives:
        found = unpack(Path(archive.path), Path(job.target))
        _check(found, archive.sha256, f"the files of {archive.path}")
    return UnpackReport(copied=_copied(job.copy_))


def _pass_once(fence: Path, uid: str) -> None:
    """Raise Refused if another pod has begun this attempt. The kubelet may start this container twice in one pod."""
    try:
        with fence.open("x") as file:
            file.write(uid)
    except FileExistsError:
        before = fence.read_text()
        if before != uid:
            raise Refused(
                ALREADY_RAN, f"the pod {before} has already begun this attempt; an attempt runs only once"
            ) from None


def _copied(copy: UnpackCopy | None) -> str | None:
    if copy is None:
        return None
    source = Path(copy.from_)
    if not source.is_dir():
        raise Refused(
            ARTIFACT_MISSING, f"there is no folder {copy.from_}: the run left no files, or its volume is lost"
        )
    found = copy_tree(source, Path(copy.to), copy.max_bytes)
    _check(found, copy.sha256, f"the files in {copy.from_}")
    return found


def _check(found: str, expected: str | None, what: str) -> None:
    if expected is not None and found != expected:
        raise Refused("DigestMismatch", f"{what} have the digest {found}, but {expected} was sealed")


def _job(environment: Mapping[str, str]) -> UnpackJob:
    try:
        return UnpackJob.model_validate_json(text(environment, "RLOOP_UNPACK"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise BadEnvironment(f"RLOOP_UNPACK: {where}: {first['msg']}") from error


def _failed(log: Path, code: int, sentence: str) -> int:
    line = "".join(c if c.isprintable() else "?" for c in sentence)
    print(line, file=sys.stderr)
    _write(log, line)
    return code


def _write(log: Path, message: str) -> None:
    # Outside a pod this file does not exist, and nobody reads it.
    with suppress(OSError):
        log.write_bytes(message.encode(errors="replace")[:VERDICT_BYTES])
