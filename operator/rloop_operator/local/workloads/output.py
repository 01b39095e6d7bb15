"""The output of a workload: kept up to a limit, with the last bytes always kept.

Called by `supervisor`. The workload writes into a pipe and never blocks: output beyond the limit is read and
dropped.
"""

from __future__ import annotations

import os

OUTPUT_BYTES = 16 * 2**20
TAIL_BYTES = 3072
CHUNK = 65536
PUMP_CHUNKS = 64
"""Maximum chunks read at once before the limits are checked again, so that a flood of output cannot delay its end."""


class Output:
    """The file output.log, and in memory the last bytes of the whole output."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        self._room = OUTPUT_BYTES
        self._dropped = 0
        self._tail = bytearray()
        self._notes: list[str] = []
        self.source: int | None = None

    def pump(self) -> bool:
        """Read the bytes that are in the pipe now. False at its end."""
        assert self.source is not None
        for _ in range(PUMP_CHUNKS):
            try:
                chunk = os.read(self.source, CHUNK)
            except BlockingIOError:
                return True
            if not chunk:
                return False
            self._keep(chunk)
        return True

    def drain(self) -> None:
        """Read the rest. All writers have ended, so at most the capacity of the pipe is left."""
        if self.source is not None:
            self.pump()
            os.close(self.source)
            self.source = None

    def _keep(self, chunk: bytes) -> None:
        self._tail = (self._tail + chunk)[-TAIL_BYTES:]
        kept = chunk[: self._room]
        self._dropped += len(chunk) - len(kept)
        self._room -= len(kept)
        self._write(kept)

    def _write(self, content: bytes) -> None:
        try:
            while content:
                content = content[os.write(self._file, content) :]
        except OSError:
            # If the disk is full, the run may still succeed, and the end of its output is kept in memory.
            self._room = 0

    def note(self, sentence: str) -> None:
        """Write a line of our own into the log. It is never dropped."""
        self._notes.append(sentence)
        self._write(f"[rloop] {sentence}\n".encode(errors="replace"))

    def close(self) -> None:
        if self._dropped:
            self.note(f"{self._dropped} bytes of output were dropped; a workload's log ends at {OUTPUT_BYTES} bytes")
        os.close(self._file)

    def tail(self) -> str:
        """The last lines as clean text, followed by our own notes."""
        notes = "".join(f"[rloop] {note}\n" for note in self._notes)[-TAIL_BYTES // 2 :]
        text = clean(bytes(self._tail))
        if text and not text.endswith("\n"):
            text += "\n"
        kept = text.encode()[-(TAIL_BYTES - len(notes.encode())) :].decode(errors="ignore")
        return kept + notes


def clean(content: bytes) -> str:
    """Valid text without control characters, so that a log breaks neither a terminal nor a document."""
    import re  # imported late: a third of the shim's start time, and only needed at its end

    text = content.decode(errors="replace").replace("\r\n", "\n").replace("\r", "\n")
    text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]", "", text)
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "", text)
