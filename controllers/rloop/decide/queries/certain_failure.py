"""Decides whether a failure would repeat: then another attempt costs the same and fails in the same way.

Used by `retry`, `verification` and `session_outcome` before a retry. Only certain cases count: a wrong "certain" ends
a run that a second attempt would have saved, a wrong "uncertain" costs one retry.
"""

from __future__ import annotations

import re

from rloop.observed import FILES_LOST, PREFLIGHT

TOO_LARGE = "ArtifactTooLarge"
WOULD_COME_AGAIN = 3
"""Exit code by which a program reports that a retry would fail in the same way (docs/task-contract.md)."""
NOT_EXECUTABLE, NOT_FOUND = 126, 127
"""Exit codes of a shell, and by convention of all others, if a program cannot be executed or is not found."""
NOTE = "[rloop] "
"""Prefix of our own lines in the log of a program."""
MADE_WHILE_IT_RUNS = ("transformers_modules",)
"""Packages that a library downloads at run time: one that is missing may be present next time."""

_MISSING = re.compile(r"ModuleNotFoundError: No module named '([\w.]+)")
_NAME_MISSING = re.compile(r"ImportError: cannot import name '([\w.]+)")
_SYNTAX = re.compile(r"(SyntaxError|IndentationError|TabError): ")
_TORCHRUN = re.compile(r"Root Cause \(first observed failure\):.*?exitcode\s*: (\d+)", re.DOTALL)


def certainly(reason: str | None, code: int | None, log_tail: str) -> str | None:
    """Why the failure would repeat, as a clause; None if another attempt may succeed."""
    if reason == PREFLIGHT:
        return "the preflight command rejected the files"
    if reason == FILES_LOST:
        return "the files of the experiment are lost"
    if reason == TOO_LARGE:
        return "the artifacts would be too large again"
    if reason not in ("Error", "StartFailed"):
        return None
    code = _own_code(code, log_tail)
    if code == WOULD_COME_AGAIN:
        return f"exit code {code} means that a retry would fail in the same way"
    return broken_program(reason, code, log_tail)


def broken_program(reason: str | None, code: int | None, log_tail: str) -> str | None:
    """Why the program itself cannot work, as a clause. Also used for agents, where exit code 3 has no meaning."""
    if reason not in ("Error", "StartFailed"):
        return None
    if code in (NOT_EXECUTABLE, NOT_FOUND):
        return "a program cannot be executed" if code == NOT_EXECUTABLE else "a program was not found"
    return broken_code(log_tail) if code else None


def broken_code(log_tail: str) -> str | None:
    """A certain defect of the code, from the last line that Python printed; None if that line proves none."""
    last = last_line(log_tail, but=NOTE)
    if missing := missing_module(log_tail):
        return None if missing.startswith(MADE_WHILE_IT_RUNS) else f'Python finds no module "{missing}"'
    if named := _NAME_MISSING.match(last):
        return f'the import of "{named[1]}" fails'
    return "the code cannot be parsed" if _SYNTAX.match(last) else None


def missing_module(log_tail: str) -> str | None:
    """The module named by an uncaught ModuleNotFoundError."""
    found = _MISSING.match(last_line(log_tail, but=NOTE))
    return found[1] if found else None


def last_line(log_tail: str, *, but: str | tuple[str, ...] = ()) -> str:
    """The last line that is not blank and does not start with one of these prefixes."""
    lines = (line.rstrip() for line in reversed(log_tail.splitlines()))
    return next((line for line in lines if line.strip() and not line.startswith(but)), "")


def _own_code(code: int | None, log_tail: str) -> int | None:
    """The exit code of the rank that failed first: torchrun itself always ends with 1."""
    found = _TORCHRUN.findall(log_tail) if code == 1 else []
    return int(found[-1]) if found else code
