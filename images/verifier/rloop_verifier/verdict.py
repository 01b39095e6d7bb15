"""Reads the verdict that the scorer left, or says in one sentence what is wrong with it.

Called by `rloop_verifier.job`. The sentence is read by the person who wrote the scorer, often months after:
it names the field and what was expected.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from rloop.api.wire import VERDICT_BYTES, Verdict


class NoVerdict(Exception):
    """There is no usable verdict: the reason and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def read_verdict(path: Path) -> Verdict:
    """The verdict. Raises NoVerdict with the reason VerdictMissing or VerdictMalformed."""
    content = _content(path)
    if len(content) > VERDICT_BYTES:
        raise NoVerdict("VerdictMalformed", f"the verdict is larger than {VERDICT_BYTES} bytes")
    try:
        document = json.loads(content.decode(), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise NoVerdict("VerdictMalformed", f"the verdict is no UTF-8 text: {error.reason}") from error
    except (ValueError, RecursionError) as error:
        raise NoVerdict("VerdictMalformed", f"the verdict is no JSON: {error}") from error
    try:
        verdict = Verdict.model_validate(document)
    except (ValidationError, OverflowError) as error:
        raise NoVerdict("VerdictMalformed", _sentence(error)) from error
    if not verdict.metrics and all(check.passed for check in verdict.checks):
        raise NoVerdict("VerdictMalformed", "metrics: empty, though no check failed")
    return verdict


def _no_number(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON number; a metric must be a finite number")


def _content(path: Path) -> bytes:
    """The first bytes of a regular file: neither a link nor a pipe is followed or waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NoVerdict("VerdictMissing", "the command ended without writing $RLOOP_VERDICT") from None
    except OSError as error:
        raise NoVerdict("VerdictMalformed", f"the verdict cannot be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NoVerdict("VerdictMalformed", "the verdict is no regular file")
        # A regular file of this size is read at once.
        return os.read(descriptor, VERDICT_BYTES + 1)
    finally:
        os.close(descriptor)


def _sentence(error: ValidationError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return f"a number in the verdict is too large: {error}"
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(map(str, first["loc"])) or "the verdict"
    others = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    return f"{where}: {first['msg']}{others}"
