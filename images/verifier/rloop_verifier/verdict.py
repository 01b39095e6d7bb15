"""Reads the scorer's verdict, or reports in one sentence what is wrong with it.

Called by `rloop_verifier.job`. The author of the scorer reads the sentence, often months later, so it names the field
and what was expected.
"""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import NoReturn

from pydantic import ValidationError

from rloop.api.helpers import VERDICT_BYTES, Verdict

FORM = 'write {"metrics": {"<metric>": 0.5}}, with the name in objective.metric for <metric>'


class NoVerdict(Exception):
    """No usable verdict: the reason and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def read_verdict(path: Path) -> Verdict:
    """The verdict. Raises NoVerdict with the reason VerdictMissing or VerdictMalformed."""
    content = _content(path)
    if len(content) > VERDICT_BYTES:
        message = (
            f"the verdict is larger than {VERDICT_BYTES} bytes: remove everything that is neither metric nor check"
        )
        raise NoVerdict("VerdictMalformed", message)
    try:
        document = json.loads(content.decode(), parse_constant=_no_number)
    except UnicodeDecodeError as error:
        raise NoVerdict("VerdictMalformed", f"the verdict is not UTF-8 text: {error.reason}; {FORM}") from error
    except json.JSONDecodeError as error:
        raise NoVerdict("VerdictMalformed", _no_json(error)) from error
    except RecursionError as error:
        raise NoVerdict("VerdictMalformed", f"the verdict is not JSON (nested too deep); {FORM}") from error
    except NoVerdict:
        raise
    except ValueError as error:  # what Python refuses to parse: an integer with thousands of digits
        raise NoVerdict("VerdictMalformed", "the verdict contains a number with too many digits") from error
    try:
        verdict = Verdict.model_validate(document)
    except (ValidationError, OverflowError) as error:
        raise NoVerdict("VerdictMalformed", _sentence(error, document)) from error
    if not verdict.metrics and all(check.passed for check in verdict.checks):
        raise NoVerdict("VerdictMalformed", f"metrics: is empty, but no check failed; {FORM}")
    return verdict


def _no_number(constant: str) -> NoReturn:
    message = (
        f"{constant} is not a JSON number: a metric must be finite; if nothing can be measured, report a failed check"
    )
    raise NoVerdict("VerdictMalformed", message)


def _content(path: Path) -> bytes:
    """The content of a regular file, up to one byte above the limit. A link is not followed, a pipe not waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NoVerdict("VerdictMissing", "the command ended without writing $RLOOP_VERDICT") from None
    except OSError as error:
        raise NoVerdict("VerdictMalformed", f"the verdict cannot be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NoVerdict("VerdictMalformed", "$RLOOP_VERDICT is not a regular file; write a file there")
        # A regular file of this size is read in one call.
        return os.read(descriptor, VERDICT_BYTES + 1)
    finally:
        os.close(descriptor)


def _no_json(error: json.JSONDecodeError) -> str:
    if not error.doc.strip():
        return f"the verdict is empty; {FORM}"
    where = f"line {error.lineno}, column {error.colno}"
    return f"the verdict is not JSON ({where}: {error.msg[:1].lower()}{error.msg[1:]}); {FORM}"


def _sentence(error: ValidationError | OverflowError, document: object) -> str:
    # Imported here: it imports all kinds, which takes longer than reading a valid verdict.
    from rloop.api.reading.problems import problems
    from rloop.api.reading.wording import shown

    if isinstance(error, OverflowError):
        return "the verdict contains a number that is too large"
    if not isinstance(document, dict):
        return f"the verdict must be a mapping, not {shown(document)}; {FORM}"
    first, *others = problems(error, document, Verdict)
    more = f" (and {len(others)} more)" if others else ""
    text, cause = str(first), error.errors()[0]
    if cause["type"] in ("float_type", "finite_number"):
        quoted = ": write it without quotes" if isinstance(cause["input"], str) else ""
        text = f"{first.field}: must be a finite number, not {shown(cause['input'])}{quoted}"
    form = "" if first.field.startswith(("checks", "metrics.")) else f"; {FORM}"
    return f"{text}{form}{more}"
