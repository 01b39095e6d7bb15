"""One examination of an experiment's files in a separate process with limits on CPU time and memory.

Started by `gateway.verbs.examiner`. It imports little, because the agent waits for its start.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from pydantic import TypeAdapter

from rloop.admit.content import Content, Texts, examine
from rloop.errors import Refused

CPU_SECONDS = 5
"""CPU seconds after the start. CPU time, not wall time: a busy machine must not reject what an idle one accepts."""
MEMORY_BYTES = 640 * 2**20
"""Address space of the process; the gateway's pod has 1 GiB of memory."""


@dataclass(frozen=True, slots=True)
class Job:
    """Input of one examination."""

    files: Mapping[str, str]
    texts: Texts


@dataclass(frozen=True, slots=True)
class Answer:
    """The content, or the reason why the files are rejected."""

    content: Content | None = None
    reason: str = ""
    message: str = ""


JOB = TypeAdapter(Job)
ANSWER = TypeAdapter(Answer)


def too_costly() -> Refused:
    """The error for a limit that was exceeded."""
    return Refused(
        "TooCostly",
        f"the files take more than {CPU_SECONDS} s or {MEMORY_BYTES // 2**20} MiB to compare and to read: "
        "make them smaller or simpler, and generate data at run time",
    )


def main() -> None:
    """Entry point of the process: reads a job from standard input, writes its answer to standard output."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime) + CPU_SECONDS
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 1))
    with suppress(ValueError, OSError):  # macOS has no such limit
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    try:
        job = JOB.validate_json(sys.stdin.buffer.read())
        answer = Answer(content=examine(job.files, job.texts))
    except Refused as refused:
        answer = Answer(reason=refused.reason, message=refused.message)
    except (MemoryError, RecursionError):
        costly = too_costly()
        answer = Answer(reason=costly.reason, message=costly.message)
    sys.stdout.buffer.write(ANSWER.dump_json(answer))
