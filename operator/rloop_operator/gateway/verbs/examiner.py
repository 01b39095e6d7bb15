"""Examines an experiment's files without blocking other requests: large ones in a separate process, with limits.

Called by `gateway.verbs.propose`. An agent chooses these texts, and comparing or parsing them can take seconds and much
memory. In the event loop that would delay the heartbeats of all agents; a thread could not be killed.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress

import structlog

from rloop.admit.content import Content, Texts, examine
from rloop.errors import Refused
from rloop_operator.gateway.verbs.examination import ANSWER, JOB, Answer, Job, too_costly

COMMAND = [sys.executable, "-c", "from rloop_operator.gateway.verbs import examination; examination.main()"]
LIGHT_BYTES = 64 * 1024
"""Total size of texts that are compared within milliseconds, so in this process."""
LIGHT_PARSED_BYTES = 4 * 1024
"""YAML is parsed at about 200 KiB per second."""
WALL_SECONDS = 20.0
"""Wall-time limit of one process. Its own limits end it earlier, unless the machine is busy."""
QUEUE_SECONDS = 10.0
"""Seconds to wait for the requests of other sessions."""

log = structlog.get_logger("rloop.gateway")


class Examiner:
    """Examines files, one large request at a time."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(1)
        self._waiting: set[str] = set()

    async def examine(self, session: str, files: Mapping[str, str], texts: Texts) -> Content:
        """The result of `rloop.admit.content.examine`.

        Raises Refused: as that function, TooCostly, or Busy if another large request of this session is being examined
        or the wait for other sessions or for the process is too long.
        """
        if _light(files, texts):
            return examine(files, texts)
        if session in self._waiting:
            raise Refused("Busy", "another large experiment of this session is being examined: try again later")
        self._waiting.add(session)
        try:
            async with asyncio.timeout(QUEUE_SECONDS):
                await self._free.acquire()
            try:
                answer = await _in_a_process(Job(files, texts))
            finally:
                self._free.release()
        except TimeoutError:
            raise Refused("Busy", "large experiments of other sessions are being examined: try again") from None
        finally:
            self._waiting.discard(session)
        if answer.content is None:
            raise Refused(answer.reason, answer.message)
        return answer.content


def _light(files: Mapping[str, str], texts: Texts) -> bool:
    before = {path: texts.parent.get(path, texts.task.get(path, "")) for path in files}
    if sum(map(len, (*files.values(), *before.values(), *texts.parent.values()))) > LIGHT_BYTES:
        return False
    if texts.space is None:
        return True
    parsed = {**texts.task, **texts.parent, **files}.get(texts.space.file, "")
    return texts.space.file.endswith(".json") or len(parsed) <= LIGHT_PARSED_BYTES


async def _in_a_process(job: Job) -> Answer:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # the terminal's Ctrl-C must reach only this process
    )
    try:
        async with asyncio.timeout(WALL_SECONDS):
            told, _ = await process.communicate(JOB.dump_json(job))
    except TimeoutError:
        raise Refused("Busy", "the machine is too busy to examine such large files: try again later") from None
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    if process.returncode == -signal.SIGXCPU:
        raise too_costly()
    if process.returncode != 0:
        message = f"the process that examines files ended with {process.returncode}"
        raise RuntimeError(message)
    return ANSWER.validate_json(told)
